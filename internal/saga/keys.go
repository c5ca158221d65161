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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// keyBytes is the length of a signing key: as long as the hash, which is what RFC 2104 section 3 asks for.
const keyBytes = sha256.Size

// Keys sign and verify the saga's input. One key signs; those that signed before go on verifying, so that a
// rotation does not stop the executions that are under way.
type Keys struct {
	signing string
	byID    map[string]*signer

	follow func(fresh bool) (*Keys, error) // of FollowKeys; all else is empty but what was followed last
	last   atomic.Pointer[Keys]
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

// FollowKeys returns Keys that are, at each use, what current gives: for keys that are rotated while this runs. current is called at every use
// and has to be quick; fresh asks it to look again, because a signature names a key that it has not given, as one does that another process made
// just after a rotation. Once it has given keys, the last ones sign while it fails; verifying then fails with its error.
func FollowKeys(current func(fresh bool) (*Keys, error)) (*Keys, error) {
	k := &Keys{follow: current}
	if _, err := k.now(false); err != nil {
		return nil, err
	}
	return k, nil
}

// now is the keys that count now.
func (k *Keys) now(fresh bool) (*Keys, error) {
	if k.follow == nil {
		return k, nil
	}
	now, err := k.follow(fresh)
	if err != nil {
		return nil, fmt.Errorf("saga: signing keys: %w", err)
	}
	k.last.Store(now)
	return now, nil
}

// latest is now, or what it was last.
func (k *Keys) latest() *Keys {
	now, err := k.now(false)
	if err != nil {
		return k.last.Load()
	}
	return now
}

// keyFile is the form of the file in a data directory, and of the first key that CloudFormation draws into a secret, which can make a flat object
// only (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-secretsmanager-secret-generatesecretstring.html):
// {"signing": "k1", "k1": hexadecimal}.
type keyFile struct {
	Signing string            `json:"signing"`
	Keys    map[string]string `json:"keys"` // id -> hex

	flat bool
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
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%w, in %s", err, path)
	}
	return keys, nil
}

// ParseKeys reads texts of the form of the key file, {"signing": id, "keys": {id: hexadecimal}}, or of the flat one,
// {"signing": id, id: hexadecimal}, where each other member is a key. The first text says which key signs; the
// keys of the others, such as the text before a rotation, verify too. An id that stands for two keys is refused: what one of them signed would be
// worth nothing from then on. No error quotes a key.
func ParseKeys(text []byte, others ...[]byte) (*Keys, error) {
	first, err := parseKeyFile(text)
	if err != nil {
		return nil, err
	}
	byID := make(map[string][]byte, len(first.Keys))
	for _, other := range append([][]byte{text}, others...) {
		f, err := parseKeyFile(other)
		if err != nil {
			return nil, err
		}
		for id, digits := range f.Keys {
			key, err := hex.DecodeString(digits)
			if err != nil {
				return nil, fmt.Errorf("saga: signing key %q is not hexadecimal", id)
			}
			if had, twice := byID[id]; twice && !bytes.Equal(had, key) {
				return nil, fmt.Errorf("saga: the id %q stands for two signing keys", id)
			}
			byID[id] = key
		}
	}
	return NewKeys(first.Signing, byID)
}

func parseKeyFile(text []byte) (f keyFile, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil { // whose error may quote
		return keyFile{}, errShape
	}
	if nested, ok := members["keys"]; ok && !bytes.HasPrefix(bytes.TrimSpace(nested), []byte{'"'}) {
		if json.Unmarshal(text, &f) != nil {
			return keyFile{}, errShape
		}
		return f, nil
	}
	f = keyFile{Keys: make(map[string]string, len(members)), flat: true}
	for name, value := range members {
		var digits string
		if json.Unmarshal(value, &digits) != nil {
			return keyFile{}, errShape
		}
		if name == signingMember {
			f.Signing = digits
			continue
		}
		f.Keys[name] = digits
	}
	return f, nil
}

var errShape = errors.New("saga: signing keys that are not JSON of the right shape")

const signingMember = "signing"

// text is the file in the form that it was read in.
func (f keyFile) text() ([]byte, error) {
	if !f.flat {
		return json.MarshalIndent(f, "", "  ")
	}
	members := maps.Clone(f.Keys)
	members[signingMember] = f.Signing
	return json.MarshalIndent(members, "", "  ")
}

// maxKeys are kept by a rotation: with one a month, an execution that is over a year old.
const maxKeys = 16

// RotateKeys returns the text with a new key, which signs, in the form that it has. The ids of such keys are k1, k2 and so on; beyond 16 of them the one with the lowest
// number goes.
func RotateKeys(text []byte) ([]byte, error) {
	if _, err := ParseKeys(text); err != nil {
		return nil, err
	}
	f, err := parseKeyFile(text)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for id := range f.Keys {
		if n, err := strconv.Atoi(strings.TrimPrefix(id, "k")); err == nil && id == keyID(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	for len(numbers) >= maxKeys {
		delete(f.Keys, keyID(numbers[0]))
		numbers = numbers[1:]
	}
	f.Signing = keyID(next)
	f.Keys[f.Signing] = newKey()
	return f.text()
}

func keyID(n int) string { return "k" + strconv.Itoa(n) }

// newKey draws a key, in hexadecimal; crypto/rand never fails.
func newKey() string {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key)
	return hex.EncodeToString(key)
}

func createKeyFile(path string) ([]byte, error) {
	text, err := json.MarshalIndent(keyFile{Signing: "k1", Keys: map[string]string{"k1": newKey()}}, "", "  ")
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
	k = k.latest()
	sum := k.byID[k.signing].sum(in)
	in.MAC = k.signing + ":" + hex.EncodeToString(sum[:])
	return in
}

// Verify refuses an input that no key of ours has signed as it stands: fault.BadSignature. Keys that are followed and cannot be had are another
// error: then nothing is known of the signature.
func (k *Keys) Verify(in Input) error {
	id, digits, _ := strings.Cut(in.MAC, ":")
	now, err := k.now(false)
	if err == nil && now.byID[id] == nil && k.follow != nil {
		now, err = k.now(true)
	}
	if err != nil {
		return err
	}
	if s := now.byID[id]; s == nil || !s.made(digits, in) {
		return fault.New(fault.BadSignature, "the input of order %s is not what was signed", in.OrderID)
	}
	return nil
}

// Derive returns keys of 32 bytes for another purpose, which the label names: one from each key, that of the signing key first. They
// say nothing about the keys that they come from (HKDF, RFC 5869).
func (k *Keys) Derive(label string) ([][]byte, error) {
	k = k.latest()
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
