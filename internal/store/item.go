package store

import (
	"slices"
	"strconv"
)

// An Item is a set of named attributes, kept as a short list: an item has a dozen attributes, and a list of a dozen is faster and
// smaller than a map. Names are unique; pk, sk and names that begin with an underscore belong to the adapters.
type Item []Attr

// AttrExpires is the attribute that is the time to live, in Unix seconds: from then on the item may vanish, days late.
const AttrExpires = "expires_at"

// An Attr is one attribute of an item.
type Attr struct {
	Name  string
	Value Value
}

// A Value is what an attribute holds: a string, a 64-bit integer, bytes or a boolean. The zero Value is the empty string.
type Value struct {
	kind ValueKind
	num  int64
	str  string // strings and bytes
}

// ValueKind is the type of a Value.
type ValueKind uint8

// The kinds, after DynamoDB's type descriptors S, N, B and BOOL.
const (
	KindString ValueKind = iota
	KindInt
	KindBytes
	KindBool
)

// S is a string attribute.
func S(name, v string) Attr { return Attr{name, Value{kind: KindString, str: v}} }

// N is an integer attribute. Fractions have no place here: money is cents, time is milliseconds.
func N(name string, v int64) Attr { return Attr{name, Value{kind: KindInt, num: v}} }

// B is an attribute of bytes; it copies v.
func B(name string, v []byte) Attr { return Attr{name, Value{kind: KindBytes, str: string(v)}} }

// Bool is a boolean attribute.
func Bool(name string, v bool) Attr {
	a := Attr{name, Value{kind: KindBool}}
	if v {
		a.Value.num = 1
	}
	return a
}

// Kind is the type of the value.
func (v Value) Kind() ValueKind { return v.kind }

// Text is the string, or the bytes as a string; "" for a number or a boolean.
func (v Value) Text() string { return v.str }

// Int is the integer; 0 for a string or bytes, 1 for true.
func (v Value) Int() int64 { return v.num }

// String is the value as a log shows it.
func (v Value) String() string {
	switch v.kind {
	case KindInt:
		return strconv.FormatInt(v.num, 10)
	case KindBool:
		return strconv.FormatBool(v.num == 1)
	default:
		return strconv.Quote(v.str)
	}
}

// Lookup returns the attribute's value and whether it is there.
func (it Item) Lookup(name string) (Value, bool) {
	for i := range it {
		if it[i].Name == name {
			return it[i].Value, true
		}
	}
	return Value{}, false
}

// Str is the string attribute of that name, "" if it is absent or of another type.
func (it Item) Str(name string) string {
	v, _ := it.Lookup(name)
	if v.kind != KindString {
		return ""
	}
	return v.str
}

// Int is the integer attribute of that name, 0 if it is absent or of another type.
func (it Item) Int(name string) int64 {
	v, _ := it.Lookup(name)
	if v.kind != KindInt {
		return 0
	}
	return v.num
}

// Bytes is a copy of the attribute of bytes, nil if it is absent or of another type.
func (it Item) Bytes(name string) []byte {
	v, ok := it.Lookup(name)
	if !ok || v.kind != KindBytes {
		return nil
	}
	return []byte(v.str)
}

// Bool is the boolean attribute of that name, false if it is absent or of another type.
func (it Item) Bool(name string) bool {
	v, _ := it.Lookup(name)
	return v.kind == KindBool && v.num == 1
}

// With returns a copy of the item in which each given attribute replaces the one of its name, or is added.
func (it Item) With(attrs ...Attr) Item {
	out := make(Item, len(it), len(it)+len(attrs))
	copy(out, it)
	for _, a := range attrs {
		if i := slices.IndexFunc(out, func(b Attr) bool { return b.Name == a.Name }); i >= 0 {
			out[i] = a
		} else {
			out = append(out, a)
		}
	}
	return out
}

// Without returns a copy of the item that lacks the named attributes.
func (it Item) Without(names ...string) Item {
	out := make(Item, 0, len(it))
	for _, a := range it {
		if !slices.Contains(names, a.Name) {
			out = append(out, a)
		}
	}
	return out
}

// Equal reports whether both hold the same, in whatever order: that is the adapter's. No item equals nil but nil.
func (it Item) Equal(other Item) bool {
	if (it == nil) != (other == nil) || len(it) != len(other) {
		return false
	}
	for _, a := range it {
		if v, ok := other.Lookup(a.Name); !ok || v != a.Value {
			return false
		}
	}
	return true
}

// Size is what DynamoDB would count for the item, without its key: the bytes of names and values; a number counts as
// half its digits plus one, a boolean as one
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func (it Item) Size() int {
	n := 0
	for _, a := range it {
		n += len(a.Name)
		switch a.Value.kind {
		case KindInt:
			n += decimalDigits(a.Value.num)/2 + 2
		case KindBool:
			n++
		default:
			n += len(a.Value.str)
		}
	}
	return n
}

func decimalDigits(n int64) int {
	digits := 1
	for n /= 10; n != 0; n /= 10 {
		digits++
	}
	return digits
}
