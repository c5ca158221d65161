package httpapi

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
)

// A kind is what a JSON value is.
type kind uint8

const (
	absent kind = iota // the zero value: no such member
	null
	boolean
	number
	text
	array
	object
)

// A value is a JSON value as it was sent: numbers keep their text, members their order. encoding/json is not used for bodies: it
// takes duplicate members, bytes that are not UTF-8 and names in another case, and each of these is a way to have a request
// read differently by two programs.
type value struct {
	kind    kind
	text    string   // of a text: unescaped; of a number or a boolean: as it was written
	members []member // of an object
	items   []value  // of an array
}

type member struct {
	name  string
	value value
}

// get is the member of that name; the zero value if there is none.
func (v value) get(name string) value {
	for i := range v.members {
		if v.members[i].name == name {
			return v.members[i].value
		}
	}
	return value{}
}

// parse reads one JSON text (RFC 8259), and refuses with fault.BadRequest what is not: also duplicate members, texts that
// are not Unicode, and anything after the value.
func parse(in string) (value, error) {
	if in == "" {
		return value{}, fault.New(fault.BadRequest, "The body is empty; JSON is expected.")
	}
	if !utf8.ValidString(in) {
		return value{}, fault.New(fault.BadRequest, "The body is not valid UTF-8.")
	}
	p := parser{in: in}
	p.space()
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.pos < len(p.in) {
		return value{}, p.fail("There is something after the JSON value")
	}
	return v, nil
}

// A parser stands before in[pos:]. path leads to the value that it is reading, for the text of an error.
type parser struct {
	in     string
	pos    int
	values int
	path   []step
}

// A step goes into a member, or into the item of an array.
type step struct {
	name  string
	index int // of an item; -1 for a member
}

func (p *parser) fail(reason string) error {
	err := fault.New(fault.BadRequest, "%s (at byte %d).", reason, p.pos)
	if len(p.path) > 0 {
		err = err.With("field", p.field())
	}
	return err
}

// field is the path as a caller reads it: items[0].quantity.
func (p *parser) field() string {
	var b strings.Builder
	for _, s := range p.path {
		if s.index >= 0 {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(shorten(s.name))
	}
	return b.String()
}

// shorten keeps a caller's own text from filling the answer or the log.
func shorten(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	end := limit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

func (p *parser) space() {
	for p.pos < len(p.in) {
		switch p.in[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// next reports whether c is next, and steps over it.
func (p *parser) next(c byte) bool {
	if p.pos < len(p.in) && p.in[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) value(depth int) (value, error) {
	p.values++
	switch {
	case depth > maxDepth:
		return value{}, p.fail("The JSON is nested too deeply")
	case p.values > maxValues:
		return value{}, p.fail("The JSON has too many values")
	case p.pos == len(p.in):
		return value{}, p.fail("The JSON ends too early")
	}
	switch c := p.in[p.pos]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		return value{kind: text, text: s}, err
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	}
	for _, word := range [...]struct {
		text string
		kind kind
	}{{"true", boolean}, {"false", boolean}, {"null", null}} {
		if strings.HasPrefix(p.in[p.pos:], word.text) {
			p.pos += len(word.text)
			return value{kind: word.kind, text: word.text}, nil
		}
	}
	return value{}, p.fail("This is not a JSON value")
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: object}
	p.pos++
	p.space()
	if p.next('}') {
		return v, nil
	}
	v.members = make([]member, 0, 4)
	for {
		p.space()
		if p.pos == len(p.in) || p.in[p.pos] != '"' {
			return v, p.fail("A member's name is expected")
		}
		name, err := p.string()
		if err != nil {
			return v, err
		}
		p.path = append(p.path, step{name, -1})
		if v.get(name).kind != absent {
			return v, p.fail("The member stands twice")
		}
		p.space()
		if !p.next(':') {
			return v, p.fail("A colon is expected")
		}
		p.space()
		m, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{name, m})
		p.path = p.path[:len(p.path)-1]
		p.space()
		if p.next('}') {
			return v, nil
		}
		if !p.next(',') {
			return v, p.fail("A comma or the object's end is expected")
		}
	}
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: array}
	p.pos++
	p.space()
	if p.next(']') {
		return v, nil
	}
	for {
		p.space()
		p.path = append(p.path, step{index: len(v.items)})
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
		p.path = p.path[:len(p.path)-1]
		p.space()
		if p.next(']') {
			return v, nil
		}
		if !p.next(',') {
			return v, p.fail("A comma or the array's end is expected")
		}
	}
}

func (p *parser) number() (value, error) {
	from := p.pos
	p.next('-')
	if !p.next('0') && !p.digits() {
		return value{}, p.fail("This is not a JSON number")
	}
	if p.next('.') && !p.digits() {
		return value{}, p.fail("This is not a JSON number")
	}
	if p.next('e') || p.next('E') {
		if !p.next('+') {
			p.next('-')
		}
		if !p.digits() {
			return value{}, p.fail("This is not a JSON number")
		}
	}
	return value{kind: number, text: p.in[from:p.pos]}, nil
}

// digits steps over digits and reports whether there was one.
func (p *parser) digits() bool {
	from := p.pos
	for p.pos < len(p.in) && '0' <= p.in[p.pos] && p.in[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > from
}

// string reads a text. One without an escape is a part of the body itself, not a copy.
func (p *parser) string() (string, error) {
	p.pos++
	from := p.pos
	var unescaped []byte // what stands before from, once there was an escape
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; {
		case c == '"':
			s := p.in[from:p.pos]
			p.pos++
			if unescaped == nil {
				return s, nil
			}
			return string(append(unescaped, s...)), nil
		case c < ' ':
			return "", p.fail("A control character must be escaped in a text")
		case c == '\\':
			unescaped = append(unescaped, p.in[from:p.pos]...)
			var err error
			if unescaped, err = p.escape(unescaped); err != nil {
				return "", err
			}
			from = p.pos
		default:
			p.pos++
		}
	}
	return "", p.fail("A text has no end")
}

// escape reads one escape and appends what it stands for.
func (p *parser) escape(dst []byte) ([]byte, error) {
	if p.pos+1 >= len(p.in) {
		return nil, p.fail("A text has no end")
	}
	c := p.in[p.pos+1]
	if c == 'u' {
		return p.unicode(dst)
	}
	const escapes, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	i := strings.IndexByte(escapes, c)
	if i < 0 {
		return nil, p.fail("JSON has no such escape")
	}
	p.pos += 2
	return append(dst, meanings[i]), nil
}

// unicode reads \uXXXX, or two of them that are a surrogate pair. Half a pair is refused (RFC 7493, section 2.1): it is no
// character, and two programs would make different texts of it.
func (p *parser) unicode(dst []byte) ([]byte, error) {
	r, ok := p.hex4(p.pos)
	if !ok {
		return nil, p.fail("Four hexadecimal digits are expected")
	}
	size := 6
	if utf16.IsSurrogate(r) {
		low, ok := p.hex4(p.pos + 6)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return nil, p.fail("Half of a surrogate pair is no character")
		}
		size = 12
	}
	p.pos += size
	return utf8.AppendRune(dst, r), nil
}

// hex4 is the code unit of the \uXXXX at in[at:].
func (p *parser) hex4(at int) (rune, bool) {
	if at+6 > len(p.in) || p.in[at] != '\\' || p.in[at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(p.in[at+2:at+6], 16, 16)
	return rune(n), err == nil
}

// appendCanonical writes v in the canonical form of RFC 8785, sorting its members in place. Names are compared byte by byte: where the form
// matters it runs after the check for unknown members, and the names that are known are ASCII.
func appendCanonical(dst []byte, v value) []byte {
	switch v.kind {
	case absent, null, boolean, number:
		return append(dst, v.text...)
	case text:
		return jcs.AppendString(dst, v.text)
	case array:
		dst = append(dst, '[')
		for i, item := range v.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, item)
		}
		return append(dst, ']')
	case object:
		slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		dst = append(dst, '{')
		for i, m := range v.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jcs.AppendString(dst, m.name)
			dst = append(dst, ':')
			dst = appendCanonical(dst, m.value)
		}
		return append(dst, '}')
	}
	return dst
}
