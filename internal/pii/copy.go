package pii

import (
	"errors"
	"fmt"
	"io"
)

// Copy returns the key file as it is now, in the form that OpenKeyFile reads: for a backup. It holds every key that was given out and not
// erased, and nothing of those that were. It is never written beside the file itself, where an erasure would not find it.
func (k *KeyFile) Copy() []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]byte, recordSize, recordSize*(1+len(k.keys)))
	copy(out, fileMagic)
	for subject, e := range k.keys {
		r := newRecord(subject, e.key)
		out = append(out, r[:]...)
	}
	return out
}

// CheckCopy reads what Copy returned and says whether it is whole: each record is intact, or was erased since. It is the copy's checksum,
// and a better one than a sum over all of it, which an erasure in the copy would break.
func CheckCopy(r io.Reader) error {
	var header [recordSize]byte
	copy(header[:], fileMagic)
	for n := 0; ; n++ {
		var got [recordSize]byte
		switch _, err := io.ReadFull(r, got[:]); {
		case err == io.EOF && n > 0: //nolint:errorlint // ReadFull returns it as it is
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("pii: a key file that ends within a record")
		case err != nil:
			return err
		}
		switch {
		case n == 0 && got != header:
			return errors.New("pii: not a key file")
		case n > 0 && got != [recordSize]byte{} && newRecord([subjectSize]byte(got[:]), got[subjectSize:subjectSize+KeySize]) != got:
			return fmt.Errorf("pii: record %d of a key file is damaged", n)
		}
	}
}
