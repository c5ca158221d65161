// Package pii seals contact data under a key per subject, so that erasing the key erases the data: wherever the sealed
// bytes were copied to, a message queue or a backup of the store, they never open again.
//
// It promises: what Seal returned opens with the same subject until Erase, and with nothing else; a key that KeyFile gave out
// survives a crash; an erasure that returned nil survives one too. It refuses (ErrErased) to open what was sealed under a key
// that is gone, even if the subject has a new one. It does not promise that a disk forgets: a copy-on-write file system, a flash
// translation layer and every backup of the key file may keep old blocks, so the key file is kept out of the store's backups or their age is bounded.
package pii

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// KeySize is the size of a subject's key in bytes: AES-256.
const KeySize = 32

// ErrErased says that the key under which something was sealed is gone, or never was.
var ErrErased = errors.New("pii: the subject's key was erased")

// Keys keeps one key per subject. It is safe for concurrent use.
type Keys interface {
	// Key returns the subject's key, which is durable then and not to be changed in place. Without one it makes a new
	// random key if create, else it returns ErrErased.
	Key(subject string, create bool) ([]byte, error)
	// Erase destroys the subject's key, durably when it returns nil. A subject without a key is no error. After an
	// error it is to be repeated.
	Erase(subject string) error
}

// The layout of sealed bytes: version, key id, then nonce, ciphertext and tag as AES-GCM with a random nonce writes them.
const (
	sealVersion = 1
	keyIDSize   = 8
	headSize    = 1 + keyIDSize
)

// Overhead is how many bytes longer sealed data is than its plaintext.
const Overhead = headSize + 12 + 16

// Seal encrypts the plaintext under the subject's key, and makes one where there is none. Two seals of one text differ.
func Seal(keys Keys, subject string, plaintext []byte) ([]byte, error) {
	key, err := keys.Key(subject, true)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	id := keyID(key)
	out := make([]byte, headSize, Overhead+len(plaintext))
	out[0] = sealVersion
	copy(out[1:], id[:])
	return aead.Seal(out, nil, plaintext, additional(out[:headSize], subject)), nil
}

// Open decrypts what Seal returned for the same subject: ErrErased if its key is gone, fault.Internal if the bytes
// are not what was sealed, or were sealed for another subject's use of this key.
func Open(keys Keys, subject string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != sealVersion {
		return nil, fault.New(fault.Internal, "pii: %d bytes that were not sealed here", len(sealed))
	}
	key, err := keys.Key(subject, false)
	if err != nil {
		return nil, err
	}
	if id := keyID(key); string(sealed[1:headSize]) != string(id[:]) {
		return nil, ErrErased
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed[headSize:], additional(sealed[:headSize], subject))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "pii: open")
	}
	return plaintext, nil
}

// additional is what the tag covers beside the text: the head, and whom it is about.
func additional(head []byte, subject string) []byte {
	out := make([]byte, 0, len(head)+len(subject))
	return append(append(out, head...), subject...)
}

// keyID tells the keys of one subject apart. Of a random 256-bit key it tells nothing else.
func keyID(key []byte) [keyIDSize]byte {
	sum := sha256.Sum256(append([]byte("cloudflow pii key id\x00"), key...))
	return [keyIDSize]byte(sum[:keyIDSize])
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "pii: key of %d bytes", len(key))
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "pii: cipher")
	}
	return aead, nil
}

// newKey draws a key; crypto/rand never fails.
func newKey() []byte {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key)
	return key
}

// MemoryKeys keeps keys for the life of the process: for tests and simulation.
type MemoryKeys struct {
	mu   sync.Mutex
	keys map[string][]byte
}

// NewMemoryKeys returns an empty set of keys.
func NewMemoryKeys() *MemoryKeys { return &MemoryKeys{keys: make(map[string][]byte)} }

// Key implements Keys.
func (m *MemoryKeys) Key(subject string, create bool) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := m.keys[subject]
	if key == nil {
		if !create {
			return nil, ErrErased
		}
		key = newKey()
		m.keys[subject] = key
	}
	return key, nil
}

// Erase implements Keys.
func (m *MemoryKeys) Erase(subject string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, subject)
	return nil
}
