package httpapi

import (
	"strconv"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pan"
)

// A shape is which members a body may have, and where they may have members of their own. What a member must be is not told
// here: an unknown member is 400 before the replay of an idempotency key, a bad value 422 after it.
type shape struct {
	members map[string]*shape
	items   *shape // of an array
}

var scalar = &shape{}

// check refuses members that the shape does not name: fault.BadRequest with the field.
func (s *shape) check(v value, path string) error {
	switch {
	case v.kind == object && s.members != nil:
		for _, m := range v.members {
			inner, ok := s.members[m.name]
			if !ok {
				field := join(path, shorten(m.name))
				return fault.New(fault.BadRequest, "%s is not a member that this call knows.", field).With("field", field)
			}
			if inner == scalar {
				continue
			}
			if err := inner.check(m.value, join(path, m.name)); err != nil {
				return err
			}
		}
	case v.kind == array && s.items != nil:
		for i, item := range v.items {
			if err := s.items.check(item, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// A form reads typed members out of objects and keeps the first fault.ValidationFailed. It asks for presence and type; bounds are the
// services' own. Card numbers it refuses in every text, so that no route can forget to. Its path leads to the object being read, and is put together for an error only.
type form struct {
	list  string // the array whose item is being read: "items"
	index int
	in    string // the member whose object is being read: "contact"
	err   *fault.Error
}

func (f *form) field(name string) string {
	switch {
	case f.list != "":
		return f.list + "[" + strconv.Itoa(f.index) + "]." + name
	case f.in != "":
		return f.in + "." + name
	}
	return name
}

// invalid notes the fault if it is the first one; rule ends the sentence that the field begins.
func (f *form) invalid(field, rule string) {
	if f.err == nil {
		f.err = fault.New(fault.ValidationFailed, "%s %s.", field, rule).With("field", field)
	}
}

// text is a member that must be a text.
func (f *form) text(v value, name string) string {
	m := v.get(name)
	if m.kind == absent {
		f.invalid(f.field(name), "is missing")
		return ""
	}
	return f.textOf(m, name)
}

// optionalText is "" if there is no such member.
func (f *form) optionalText(v value, name string) string {
	m := v.get(name)
	if m.kind == absent {
		return ""
	}
	return f.textOf(m, name)
}

// textOf refuses an empty text too: for every text of this interface that is the same as leaving it out, so it is a mistake.
func (f *form) textOf(m value, name string) string {
	if m.kind != text || m.text == "" {
		f.invalid(f.field(name), "must be a text that is not empty")
		return ""
	}
	if pan.In(m.text) && !mayLookLikeACard[f.field(name)] {
		f.invalid(f.field(name), noCards)
		return ""
	}
	return m.text
}

// anything is a member that may be any JSON value, as JSON; null if there is none.
func (f *form) anything(v value, name string) []byte {
	m := v.get(name)
	if m.kind == absent {
		return []byte("null")
	}
	f.refuseCards(m, f.field(name))
	return appendCanonical(nil, m)
}

// refuseCards refuses a value with a card's number in a text, a name or a number, at any depth. A number of 13 digits passes, which no card has had
// for decades: the time in milliseconds is one.
func (f *form) refuseCards(v value, field string) {
	if v.kind == text && pan.In(v.text) || v.kind == number && len(v.text) > 13 && pan.In(v.text) {
		f.invalid(field, noCards)
	}
	for i, item := range v.items {
		f.refuseCards(item, field+"["+strconv.Itoa(i)+"]")
	}
	for _, m := range v.members {
		if pan.In(m.name) {
			f.invalid(field, noCards) // the member's name would be the number
			continue
		}
		f.refuseCards(m.value, join(field, shorten(m.name)))
	}
}

// noCards ends the sentence that refuses a text with a card's number. It does not repeat the text.
const noCards = "must not hold a payment card's number"

// mayLookLikeACard are the texts that are not looked through for card numbers. A task's token is ours, and is not kept. A phone number in E.164 has up to 15 digits, and one in ten
// of 13 or more has a card's check digit by chance, as its owner cannot help. Nothing but E.164 is taken in its place, it is sealed before it
// is stored, and it is never logged.
var mayLookLikeACard = map[string]bool{"contact.phone": true, "token": true}

// integer is a member that must be an integer.
func (f *form) integer(v value, name string) int64 {
	m := v.get(name)
	if m.kind == absent {
		f.invalid(f.field(name), "is missing")
		return 0
	}
	return f.integerOf(m, name)
}

// optionalInteger is nil if there is no such member.
func (f *form) optionalInteger(v value, name string) *int64 {
	m := v.get(name)
	if m.kind == absent {
		return nil
	}
	n := f.integerOf(m, name)
	return &n
}

// integerOf takes an integer's plain form only. 2.0 and 2e0 are integers too, but a program that writes them computes with
// floating point, and money should not be.
func (f *form) integerOf(m value, name string) int64 {
	if m.kind == number {
		if n, err := strconv.ParseInt(m.text, 10, 64); err == nil {
			return n
		}
	}
	f.invalid(f.field(name), "must be an integer, written as digits only")
	return 0
}

// fault is the first one as an error; nil if there is none.
func (f *form) fault() error {
	if f.err == nil {
		return nil
	}
	return f.err
}
