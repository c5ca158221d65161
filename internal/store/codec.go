package store

import (
	"encoding/binary"
	"errors"
)

// The tags of the encoding. A boolean needs no bytes of its own: its value is its tag.
const (
	tagString byte = iota
	tagInt
	tagBytes
	tagFalse
	tagTrue
)

// errCodec has one text for every kind of garbage: whoever meets it has a damaged store, and the place in the bytes would not help.
var errCodec = errors.New("store: not an encoded item")

// AppendItem appends the item's encoding to dst: the number of attributes, then for each its tag, its name and its
// value; lengths are varints, an integer is a zigzag varint (as in encoding/binary). Attributes keep their order, so that equal
// items have equal encodings, and exactly one encoding belongs to an item: DecodeItem takes no other. A nil item is
// encoded as an empty one.
func AppendItem(dst []byte, it Item) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(it)))
	for i := range it {
		a := &it[i]
		dst = append(dst, a.Value.tag())
		dst = binary.AppendUvarint(dst, uint64(len(a.Name)))
		dst = append(dst, a.Name...)
		switch a.Value.kind {
		case KindInt:
			dst = binary.AppendVarint(dst, a.Value.num)
		case KindString, KindBytes:
			dst = binary.AppendUvarint(dst, uint64(len(a.Value.str)))
			dst = append(dst, a.Value.str...)
		case KindBool: // its tag said it all
		}
	}
	return dst
}

func (v Value) tag() byte {
	switch v.kind {
	case KindInt:
		return tagInt
	case KindBytes:
		return tagBytes
	case KindBool:
		return tagFalse + byte(v.num)
	default:
		return tagString
	}
}

// DecodeItem is the inverse of AppendItem. It copies b once, and the item's names and values share that copy. Whatever
// b holds, it neither panics nor allocates more than a small multiple of len(b).
func DecodeItem(b []byte) (Item, error) {
	d := decoder{rest: string(b)}
	n := d.uvarint()
	// An attribute has at least a tag and the length of its name, so a greater count is garbage, not a reason to allocate.
	if d.bad || n > uint64(len(d.rest))/2 {
		return nil, errCodec
	}
	it := make(Item, n)
	for i := range it {
		it[i] = d.attr()
	}
	if d.bad || d.rest != "" {
		return nil, errCodec
	}
	return it, nil
}

// A decoder eats its string from the front; once something was wrong it is bad for good and gives zeros.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) attr() Attr {
	tag := d.byte()
	a := Attr{Name: d.text()}
	switch tag {
	case tagString:
		a.Value = Value{kind: KindString, str: d.text()}
	case tagBytes:
		a.Value = Value{kind: KindBytes, str: d.text()}
	case tagInt:
		u := d.uvarint()
		a.Value = Value{kind: KindInt, num: int64(u>>1) ^ -int64(u&1)}
	case tagFalse, tagTrue:
		a.Value = Value{kind: KindBool, num: int64(tag - tagFalse)}
	default:
		d.bad = true
	}
	return a
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.bad = true
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// uvarint is binary.Uvarint on a string, and refuses a number that is written longer than it has to be.
func (d *decoder) uvarint() uint64 {
	var u uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		c := d.rest[i]
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if i > 0 && c == 0 || i == binary.MaxVarintLen64-1 && c > 1 {
				break
			}
			d.rest = d.rest[i+1:]
			return u
		}
	}
	d.bad = true
	return 0
}
