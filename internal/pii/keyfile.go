package pii

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// The layout of the key file: a header and records of 64 bytes each, so that none spans two sectors of the disk. A record is the
// SHA-256 of its subject (the first 24 bytes), its key, and a checksum over both (8 bytes of SHA-256). A record of zeros was erased.
const (
	recordSize  = 64
	subjectSize = 24
	sumSize     = recordSize - subjectSize - KeySize
)

const fileMagic = "cloudflow pii keys 1\n"

// A KeyFile is Keys in one file. New records are appended and synced before their key is used; concurrent callers share a
// sync. Erase overwrites in place with zeros and syncs. After a failed sync nobody knows what the disk holds, so from then on the file
// takes neither new keys nor erasures (fault.Unavailable); the keys it had are still given out.
type KeyFile struct {
	f file

	mu      sync.RWMutex
	keys    map[[subjectSize]byte]entry
	size    int64  // where the next record goes
	written uint64 // changes written so far
	damaged int

	synced uint64 // as far as this they are durable
	broken error  // the sync that failed

	syncing chan struct{} // takes one token: whoever put it there syncs
}

// file is what a KeyFile needs of an *os.File.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

type entry struct {
	key    []byte
	offset int64
	change uint64 // usable once synced has reached it
}

var _ Keys = (*KeyFile)(nil)

// OpenKeyFile opens the file, and makes it if it is absent. Only its owner may read it (mode 0600). A record that a crash has
// torn, while it was appended or erased, gives no key and is overwritten with zeros. One process at a time.
func OpenKeyFile(path string) (*KeyFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("pii: %w", err)
	}
	k, err := openKeys(f)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("pii: %s: %w", path, err)
	}
	return k, nil
}

// syncDir makes the file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func openKeys(f file) (*KeyFile, error) {
	all, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return nil, err
	}
	k := &KeyFile{f: f, keys: make(map[[subjectSize]byte]entry), size: recordSize, syncing: make(chan struct{}, 1)}
	if fresh, err := k.checkHeader(all); fresh || err != nil {
		return k, err
	}
	for ; k.size+recordSize <= int64(len(all)); k.size += recordSize {
		if err := k.load([recordSize]byte(all[k.size:])); err != nil {
			return nil, err
		}
	}
	if k.size < int64(len(all)) { // an append of which not even the length survived
		if err := f.Truncate(k.size); err != nil {
			return nil, err
		}
	}
	return k, f.Sync()
}

// checkHeader writes the header of a new file, and says whether it is one. The header is synced before the first record is
// written, so a file that ends within it, or where a part of it is still zeros, holds no key: a crash tore it at birth.
func (k *KeyFile) checkHeader(all []byte) (fresh bool, err error) {
	header := make([]byte, recordSize)
	copy(header, fileMagic)
	if len(all) >= recordSize && string(all[:recordSize]) == string(header) {
		return false, nil
	}
	if len(all) > recordSize {
		return false, errors.New("not a key file")
	}
	for i, c := range all {
		if c != 0 && c != header[i] {
			return false, errors.New("not a key file")
		}
	}
	if _, err := k.f.WriteAt(header, 0); err != nil {
		return false, err
	}
	return true, k.f.Sync()
}

// load takes the record at k.size.
func (k *KeyFile) load(r [recordSize]byte) error {
	if r == [recordSize]byte{} {
		return nil
	}
	subject := [subjectSize]byte(r[:])
	key := append([]byte(nil), r[subjectSize:subjectSize+KeySize]...)
	if newRecord(subject, key) != r {
		k.damaged++
		return k.zero(k.size)
	}
	if old, twice := k.keys[subject]; twice {
		// The key was erased and made anew, and the crash kept the new record but not the erasure. Neither was
		// acknowledged; the erasure is finished.
		if err := k.zero(old.offset); err != nil {
			return err
		}
	}
	k.keys[subject] = entry{key: key, offset: k.size}
	return nil
}

func (k *KeyFile) zero(offset int64) error {
	_, err := k.f.WriteAt(make([]byte, recordSize), offset)
	return err
}

func newRecord(subject [subjectSize]byte, key []byte) [recordSize]byte {
	var r [recordSize]byte
	copy(r[:], subject[:])
	copy(r[subjectSize:], key)
	sum := sha256.Sum256(r[:subjectSize+KeySize])
	copy(r[subjectSize+KeySize:], sum[:sumSize])
	return r
}

func subjectID(subject string) [subjectSize]byte {
	sum := sha256.Sum256([]byte(subject))
	return [subjectSize]byte(sum[:subjectSize])
}

// Damaged is how many records failed their checksum when the file was opened. A crash tears those that were being written
// at that moment, whose keys nobody had used; more than that is a failing disk, and worth a line in the log.
func (k *KeyFile) Damaged() int { return k.damaged }

// Key implements Keys.
func (k *KeyFile) Key(subject string, create bool) ([]byte, error) {
	id := subjectID(subject)
	k.mu.RLock()
	e, ok := k.keys[id]
	durable := ok && e.change <= k.synced
	k.mu.RUnlock()
	if durable {
		return e.key, nil
	}
	if !ok {
		if !create {
			return nil, ErrErased
		}
		var err error
		if e, err = k.add(id); err != nil {
			return nil, err
		}
	}
	if err := k.sync(e.change); err != nil {
		return nil, err
	}
	return e.key, nil
}

// add appends a record for the subject, if no one else has meanwhile.
func (k *KeyFile) add(id [subjectSize]byte) (entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.keys[id]; ok {
		return e, nil
	}
	if k.broken != nil {
		return entry{}, k.broken
	}
	e := entry{key: newKey(), offset: k.size, change: k.written + 1}
	r := newRecord(id, e.key)
	if _, err := k.f.WriteAt(r[:], e.offset); err != nil { // the next one writes over what this one left
		return entry{}, fault.Wrap(fault.Unavailable, err, "pii: write key")
	}
	k.written = e.change
	k.size += recordSize
	k.keys[id] = e
	return e, nil
}

// Erase implements Keys.
func (k *KeyFile) Erase(subject string) error {
	change, err := k.wipe(subjectID(subject))
	if err != nil {
		return err
	}
	return k.sync(change)
}

// wipe overwrites the subject's record and forgets its key. The change it returns has to be synced even if there was no
// record any more: another's erasure of it may not be durable yet.
func (k *KeyFile) wipe(id [subjectSize]byte) (change uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return 0, k.broken
	}
	e, ok := k.keys[id]
	if !ok {
		return k.written, nil
	}
	if err := k.zero(e.offset); err != nil {
		return 0, fault.Wrap(fault.Unavailable, err, "pii: erase key")
	}
	delete(k.keys, id)
	k.written++
	return k.written, nil
}

// sync returns once the change is durable. One caller syncs for all whose changes were written before it began.
func (k *KeyFile) sync(change uint64) error {
	k.syncing <- struct{}{}
	defer func() { <-k.syncing }()
	k.mu.RLock()
	covers, done, broken := k.written, k.synced >= change, k.broken
	k.mu.RUnlock()
	if done {
		return nil
	}
	if broken != nil {
		return broken
	}
	err := k.f.Sync()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.broken = fault.Wrap(fault.Unavailable, err, "pii: sync keys")
		return k.broken
	}
	k.synced = covers
	return nil
}

// Close closes the file. Every key that was given out and every erasure that returned nil is durable already.
func (k *KeyFile) Close() error { return k.f.Close() }
