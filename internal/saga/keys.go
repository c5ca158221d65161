package saga

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// keyBytes is the length of a signing key: as long as the hash, which is what RFC 2104 section 3 asks for.
const keyBytes = sha256.Size

// Keys sign and verify the saga's input. One key signs; those that signed before go on verifying, so that a
// rotation does not stop the executions that are under way.
type Keys struct {
	signing string
	byID    map[string]*signer
}

// NewKeys returns Keys that sign with byID[signing] and verify with all of byID.
func NewKeys(signing string, byID map[string][]byte) (*Keys, error) {
	if len(byID[signing]) < keyBytes {
		return nil, fmt.Errorf("saga: signing key %q is missing or shorter than %d bytes", signing, keyBytes)
	}
	k := &Keys{signing: signing, byID: make(map[string]*signer, len(byID))}
	for id, key := range byID {
		if id == "" || strings.ContainsRune(id, ':') {
			return nil, fmt.Errorf("saga: key id %q is empty or holds a colon", id)
		}
		k.byID[id] = &signer{key: bytes.Clone(key)}
	}
	return k, nil
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
	sum := k.byID[k.signing].sum(in)
	in.MAC = k.signing + ":" + hex.EncodeToString(sum[:])
	return in
}

// Verify refuses an input that no key of ours has signed as it stands: fault.BadSignature.
func (k *Keys) Verify(in Input) error {
	id, digits, _ := strings.Cut(in.MAC, ":")
	if s := k.byID[id]; s == nil || !s.made(digits, in) {
		return fault.New(fault.BadSignature, "the input of order %s is not what was signed", in.OrderID)
	}
	return nil
}

// Derive returns keys of 32 bytes for another purpose, which the label names: one from each key, that of the signing key first. They
// say nothing about the keys that they come from (HKDF, RFC 5869).
func (k *Keys) Derive(label string) ([][]byte, error) {
	derived := make([][]byte, 0, len(k.byID))
	for _, id := range append([]string{k.signing}, slices.Sorted(maps.Keys(k.byID))...) {
		if id == k.signing && len(derived) > 0 {
			continue
		}
		key, err := hkdf.Key(sha256.New, k.byID[id].key, nil, label, keyBytes)
		if err != nil {
			return nil, fmt.Errorf("saga: derive a key: %w", err)
		}
		derived = append(derived, key)
	}
	return derived, nil
}

// A signer makes MACs with one key. Three tasks of every order verify one, so what that takes is kept for the next: a hash that has
// taken in its key already, and room for the text.
type signer struct {
	key  []byte
	idle sync.Pool // of *summer
}

type summer struct {
	hash hash.Hash
	text []byte
}

type mac [sha256.Size]byte

func (s *signer) sum(in Input) (out mac) {
	u, ok := s.idle.Get().(*summer)
	if !ok {
		u = &summer{hash: hmac.New(sha256.New, s.key)}
	}
	u.hash.Reset()
	u.text = in.canonical(u.text[:0])
	u.hash.Write(u.text)
	u.text = u.hash.Sum(u.text[:0])
	copy(out[:], u.text)
	s.idle.Put(u)
	return out
}

// made reports whether the digits are the input's MAC.
func (s *signer) made(digits string, in Input) bool {
	var claimed mac
	if len(digits) != 2*len(claimed) {
		return false
	}
	if _, err := hex.Decode(claimed[:], []byte(digits)); err != nil {
		return false
	}
	sum := s.sum(in)
	return hmac.Equal(claimed[:], sum[:])
}
