package httpapi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A cursors makes and reads cursors: places in a list, or in the feed, that a caller brings back. A cursor says nothing to its holder, is
// good for one caller and one query, and cannot be made by anyone else: one that is torn, edited, another's, or of another query
// is fault.BadRequest. The first key seals, each opens.
//
// The form is that of a synthetic IV (as RFC 5297 has it, with HMAC-SHA256 as the function): the tag over caller, query and place is
// also the IV under which the place is encrypted. So the same place has the same cursor, and no nonce is to be kept from coming twice. The
// place is encrypted because it would tell: the feed's counts the commits of the whole shop.
type cursors []cursorKey

type cursorKey struct {
	mac   []byte
	block cipher.Block
}

const (
	// cursorVersion begins every cursor, so that a later kind is told from this one.
	cursorVersion byte = 1
	cursorTag          = aes.BlockSize
	// maxCursor is longer than any cursor of ours: the longest place is a product's id.
	maxCursor = 256
)

// newCursors derives what is needed from keys of 32 bytes. Without any there is one that ends with the process, and so do its cursors.
func newCursors(keys [][]byte) cursors {
	if len(keys) == 0 {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
		keys = [][]byte{key}
	}
	out := make(cursors, len(keys))
	for i, key := range keys {
		block, err := aes.NewCipher(expand(key, "cursor place"))
		if err != nil {
			panic(err) // no key of 32 bytes is refused
		}
		out[i] = cursorKey{expand(key, "cursor tag"), block}
	}
	return out
}

func expand(key []byte, label string) []byte {
	out, err := hkdf.Expand(sha256.New, key, label, sha256.Size)
	if err != nil {
		panic(err) // 32 bytes are not too many
	}
	return out
}

// seal makes the cursor of a place in what a query gives to a caller.
func (c cursors) seal(subject, query, place string) string {
	out := make([]byte, 1+cursorTag+len(place))
	out[0] = cursorVersion
	c[0].tag(out[1:1], subject, query, place)
	cipher.NewCTR(c[0].block, out[1:1+cursorTag]).XORKeyStream(out[1+cursorTag:], []byte(place))
	return base64.RawURLEncoding.EncodeToString(out)
}

// open returns the place of a cursor that was sealed for this caller and this query.
func (c cursors) open(subject, query, cursor string) (place string, ok bool) {
	if len(cursor) > maxCursor {
		return "", false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(sealed) < 1+cursorTag || sealed[0] != cursorVersion {
		return "", false
	}
	if base64.RawURLEncoding.EncodeToString(sealed) != cursor { // the decoder passes over line ends and spare bits
		return "", false
	}
	tag, hidden := sealed[1:1+cursorTag], sealed[1+cursorTag:]
	plain := make([]byte, len(hidden))
	for _, key := range c {
		cipher.NewCTR(key.block, tag).XORKeyStream(plain, hidden)
		var expected [sha256.Size]byte
		if hmac.Equal(key.tag(expected[:0], subject, query, string(plain)), tag) {
			return string(plain), true
		}
	}
	return "", false
}

// tag appends the tag. Each part comes with its length, so that nothing can move from one to the next.
func (k cursorKey) tag(dst []byte, subject, query, place string) []byte {
	h := hmac.New(sha256.New, k.mac)
	for _, part := range [...]string{subject, query, place} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	var sum [sha256.Size]byte
	return append(dst, h.Sum(sum[:0])[:cursorTag]...)
}

// page reads limit and cursor: fault.BadRequest names the one that is wrong.
func (s *server) page(x *exchange, query string, limit *int, cursor *string) (n int, place string, err error) {
	n = defaultLimit
	if limit != nil {
		n = *limit
	}
	if n < 1 || n > maxLimit {
		return 0, "", fault.New(fault.BadRequest, "limit must be from 1 to %d.", maxLimit).With("field", "limit")
	}
	if cursor == nil {
		return n, "", nil
	}
	place, ok := s.cursors.open(x.principal.Subject, query, *cursor)
	if !ok {
		return 0, "", fault.New(fault.BadRequest, "cursor is not one that a page of this list ended with.").With("field", "cursor")
	}
	return n, place, nil
}

// next is the cursor behind a place; none behind the last page.
func (s *server) next(x *exchange, query, place string) string {
	if place == "" {
		return ""
	}
	return s.cursors.seal(x.principal.Subject, query, place)
}
