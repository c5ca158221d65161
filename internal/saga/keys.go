package saga

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// keyBytes is the length of a signing key: as long as the hash, which is what RFC 2104 section 3 asks for.
const keyBytes = sha256.Size

// Keys sign and verify the saga's input. One key signs; those that signed before go on verifying, so that a
// rotation does not stop the executions that are under way.
type Keys struct {
	signing string
	byID    map[string][]byte
}

// NewKeys returns Keys that sign with byID[signing] and verify with all of byID.
func NewKeys(signing string, byID map[string][]byte) (*Keys, error) {
	if len(byID[signing]) < keyBytes {
		return nil, fmt.Errorf("saga: signing key %q is missing or shorter than %d bytes", signing, keyBytes)
	}
	for id := range byID {
		if id == "" || strings.ContainsRune(id, ':') {
			return nil, fmt.Errorf("saga: key id %q is empty or holds a colon", id)
		}
	}
	return &Keys{signing: signing, byID: byID}, nil
}

// keyFile is the form of the file in a data directory.
type keyFile struct {
	Signing string            `json:"signing"`
	Keys    map[string]string `json:"keys"` // id -> hex
}

// OpenKeys reads the key file, or makes one with a fresh key where there is none. The file is on disk, with its
// directory entry, before a key of it is used.
func OpenKeys(path string) (*Keys, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = createKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("saga: signing keys: %w", err)
	}
	var f keyFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("saga: signing keys in %s: %w", path, err)
	}
	byID := make(map[string][]byte, len(f.Keys))
	for id, digits := range f.Keys {
		key, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("saga: signing key %q in %s is not hexadecimal", id, path)
		}
		byID[id] = key
	}
	return NewKeys(f.Signing, byID)
}

func createKeyFile(path string) ([]byte, error) {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(keyFile{Signing: "k1", Keys: map[string]string{"k1": hex.EncodeToString(key)}}, "", "  ")
	if err != nil {
		return nil, err
	}
	// Written whole under another name and then renamed: a crash leaves no half of a key behind.
	draft := path + ".new"
	if err := writeSynced(draft, append(text, '\n')); err != nil {
		return nil, err
	}
	if err := os.Rename(draft, path); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return text, errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// Sign returns the input with its MAC.
func (k *Keys) Sign(in Input) Input {
	in.MAC = k.signing + ":" + hex.EncodeToString(k.sum(k.byID[k.signing], in))
	return in
}

// Verify refuses an input that no key of ours has signed as it stands: fault.BadSignature.
func (k *Keys) Verify(in Input) error {
	id, digits, _ := strings.Cut(in.MAC, ":")
	key, known := k.byID[id]
	mac, err := hex.DecodeString(digits)
	if !known || err != nil || !hmac.Equal(mac, k.sum(key, in)) {
		return fault.New(fault.BadSignature, "the input of order %s is not what was signed", in.OrderID)
	}
	return nil
}

func (k *Keys) sum(key []byte, in Input) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(in.canonical(make([]byte, 0, 512)))
	return h.Sum(nil)
}
