package pebblestore

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// The key spaces: the first byte of every key on the disk.
const (
	spaceCursor byte = 'c' // + name of a feed's runner: the position that it has delivered
	spaceFeed   byte = 'f' // + position: one change
	spaceItem   byte = 'i' // + table NUL pk NUL sk: version and item
	spaceMark   byte = 't' // + minute, 8 bytes: the number of the first commit in it that fed something
	keySequence      = "seq"
	keyOldest        = "oldest" // the first commit whose changes the feed still has in full, 8 bytes
)

// appendItemKey appends the key of an item. NUL is less than any byte of a key, which CheckKey has made sure of, so
// the order on the disk is the order of (table, partition, sort key), and a partition is one run of keys.
func appendItemKey(dst []byte, k store.Key) []byte {
	dst = append(dst, spaceItem)
	dst = append(dst, k.Table...)
	dst = append(dst, 0)
	dst = append(dst, k.PK...)
	dst = append(dst, 0)
	return append(dst, k.SK...)
}

func parseItemKey(b []byte) (store.Key, error) {
	if len(b) > 0 && b[0] == spaceItem {
		s := string(b[1:])
		if i := bytes.IndexByte(b[1:], 0); i >= 0 {
			if j := bytes.IndexByte(b[i+2:], 0); j >= 0 {
				return store.Key{Table: s[:i], PK: s[i+1 : i+1+j], SK: s[i+j+2:]}, nil
			}
		}
	}
	return store.Key{}, fmt.Errorf("pebblestore: %q is no key of an item", b)
}

// A position orders the feed: the commit's number, and the place of the change within the commit (of which the port
// allows a hundred).
type position struct {
	seq   uint64
	place uint8
}

const positionBytes = 9

// end is the position behind all changes of the commit.
func end(seq uint64) position { return position{seq, 0xff} }

func (p position) before(q position) bool {
	return p.seq < q.seq || p.seq == q.seq && p.place < q.place
}

func (p position) append(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, p.seq), p.place)
}

func (p position) feedKey() []byte {
	return p.append(append(make([]byte, 0, 1+positionBytes), spaceFeed))
}

// public is the position as the port has it.
func (p position) public() store.Position {
	return store.Position(p.append(make([]byte, 0, positionBytes)))
}

func parsePosition(b []byte) (position, error) {
	if len(b) != positionBytes {
		return position{}, fmt.Errorf("pebblestore: %q is no position of the feed", b)
	}
	return position{binary.BigEndian.Uint64(b), b[8]}, nil
}

func cursorKey(name string) []byte { return append([]byte{spaceCursor}, name...) }

func markKey(minute uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceMark}, minute)
}

// A stored value is the item's version, as a varint, and its encoding.

func appendValue(dst []byte, version uint64, it store.Item) []byte {
	return store.AppendItem(binary.AppendUvarint(dst, version), it)
}

func splitValue(b []byte) (version uint64, item []byte, err error) {
	version, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("pebblestore: a stored item without a version")
	}
	return version, b[n:], nil
}

func decodeValue(b []byte) (store.Item, uint64, error) {
	version, rest, err := splitValue(b)
	if err != nil {
		return nil, 0, err
	}
	it, err := store.DecodeItem(rest)
	return it, version, err
}

// What a feed entry says of the item, in its first byte.
const (
	changeDeleted byte = iota
	changeItem         // it follows the key
	changeKey          // it is there, and not kept with the change
)

// appendChange appends a feed entry: what it says of the item, the key, and the item if there is one and it is to be kept.
func appendChange(dst []byte, key store.Key, it store.Item, keyOnly bool) []byte {
	form := changeItem
	switch {
	case it == nil:
		form = changeDeleted
	case keyOnly:
		form = changeKey
	}
	dst = append(dst, form)
	for _, s := range [...]string{key.Table, key.PK, key.SK} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	if form == changeItem {
		dst = store.AppendItem(dst, it)
	}
	return dst
}

func decodeChange(at position, b []byte) (store.Change, error) {
	bad := fmt.Errorf("pebblestore: the feed's entry of commit %d is damaged", at.seq)
	if len(b) == 0 || b[0] > changeKey {
		return store.Change{}, bad
	}
	form, b := b[0], b[1:]
	var parts [3]string
	for i := range parts {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return store.Change{}, bad
		}
		parts[i] = string(b[w : w+int(n)])
		b = b[w+int(n):]
	}
	c := store.Change{
		Seq: at.seq, At: at.public(), Key: store.Key{Table: parts[0], PK: parts[1], SK: parts[2]}, Deleted: form == changeDeleted,
	}
	switch {
	case form == changeItem:
		it, err := store.DecodeItem(b)
		if err != nil {
			return store.Change{}, bad
		}
		c.Item = it
	case len(b) > 0:
		return store.Change{}, bad
	}
	return c, nil
}
