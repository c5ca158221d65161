package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a JSON text, and with it the recursion of everything that walks a value.
const maxDepth = 512

// DecodeJSON reads one JSON text. Numbers keep their text as json.Number, of equal member names the last one stands.
// It refuses trailing data, invalid UTF-8, escaped lone surrogates (no UTF-8 text can hold them) and nesting deeper
// than 512. The strings share one copy of the text: keeping a small part of a large value keeps the text.
func DecodeJSON(b []byte) (any, error) {
	d := decoder{}
	return d.decode(b)
}

// decoder is a recursive descent over the text. With onDuplicate it keeps the pointer to where it stands.
type decoder struct {
	s           string
	i           int
	depth       int
	onDuplicate func(pointer []string)
	pointer     []string
}

func (d *decoder) decode(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("asl: the JSON text is not valid UTF-8")
	}
	d.s = string(b)
	if strings.HasPrefix(d.s, "\ufeff") { // AWS refuses it, too
		return nil, d.fail("the text begins with a byte order mark; save it as UTF-8 without one")
	}
	d.space()
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	d.space()
	if d.i < len(d.s) {
		return nil, d.fail("unexpected data after the value")
	}
	return v, nil
}

func (d *decoder) fail(what string) error {
	return fmt.Errorf("asl: invalid JSON at byte %d: %s", d.i, what)
}

func (d *decoder) space() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

func (d *decoder) value() (any, error) {
	if d.i >= len(d.s) {
		return nil, d.fail("the text ends where a value is expected")
	}
	switch c := d.s[d.i]; {
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case c == '"':
		return d.str()
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case d.word("true"):
		return true, nil
	case d.word("false"):
		return false, nil
	case d.word("null"):
		return nil, nil
	}
	return nil, d.fail("a value is expected")
}

func (d *decoder) word(w string) bool {
	if len(d.s)-d.i >= len(w) && d.s[d.i:d.i+len(w)] == w {
		d.i += len(w)
		return true
	}
	return false
}

func (d *decoder) open() error {
	d.i++
	if d.depth++; d.depth > maxDepth {
		return d.fail("nested deeper than " + strconv.Itoa(maxDepth))
	}
	d.space()
	return nil
}

// closed reports whether the composite ends here, and eats the closing byte.
func (d *decoder) closed(by byte) bool {
	if d.i < len(d.s) && d.s[d.i] == by {
		d.i++
		d.depth--
		return true
	}
	return false
}

func (d *decoder) object() (any, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	m := make(map[string]any)
	if d.closed('}') {
		return m, nil
	}
	for {
		if d.i >= len(d.s) || d.s[d.i] != '"' {
			return nil, d.fail("a member's name is expected")
		}
		key, err := d.str()
		if err != nil {
			return nil, err
		}
		d.space()
		if d.i >= len(d.s) || d.s[d.i] != ':' {
			return nil, d.fail("':' is expected after a member's name")
		}
		d.i++
		d.space()
		if d.onDuplicate != nil {
			d.pointer = append(d.pointer, key)
			if _, twice := m[key]; twice {
				d.onDuplicate(d.pointer)
			}
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		if d.onDuplicate != nil {
			d.pointer = d.pointer[:len(d.pointer)-1]
		}
		m[key] = v
		d.space()
		if d.closed('}') {
			return m, nil
		}
		if d.i >= len(d.s) || d.s[d.i] != ',' {
			return nil, d.fail("',' or '}' is expected after a member")
		}
		d.i++
		d.space()
	}
}

func (d *decoder) array() (any, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	a := []any{}
	if d.closed(']') {
		return a, nil
	}
	for {
		if d.onDuplicate != nil {
			d.pointer = append(d.pointer, strconv.Itoa(len(a)))
		}
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		if d.onDuplicate != nil {
			d.pointer = d.pointer[:len(d.pointer)-1]
		}
		a = append(a, v)
		d.space()
		if d.closed(']') {
			return a, nil
		}
		if d.i >= len(d.s) || d.s[d.i] != ',' {
			return nil, d.fail("',' or ']' is expected after an element")
		}
		d.i++
		d.space()
	}
}

func (d *decoder) number() (any, error) {
	start := d.i
	if d.s[d.i] == '-' {
		d.i++
	}
	switch {
	case d.i < len(d.s) && d.s[d.i] == '0':
		d.i++
	case !d.digits():
		return nil, d.fail("a digit is expected")
	}
	if d.i < len(d.s) && d.s[d.i] == '.' {
		d.i++
		if !d.digits() {
			return nil, d.fail("a digit is expected after the decimal point")
		}
	}
	if d.i < len(d.s) && (d.s[d.i] == 'e' || d.s[d.i] == 'E') {
		d.i++
		if d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if !d.digits() {
			return nil, d.fail("a digit is expected in the exponent")
		}
	}
	return json.Number(d.s[start:d.i]), nil
}

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.s) && '0' <= d.s[d.i] && d.s[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}

func (d *decoder) str() (string, error) {
	d.i++
	for start := d.i; d.i < len(d.s); d.i++ {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return d.s[start : d.i-1], nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return "", d.fail("a control character stands in a string")
		}
	}
	return "", d.fail("the text ends within a string")
}

// escaped goes on with a string from its first backslash.
func (d *decoder) escaped(start int) (string, error) {
	buf := append([]byte(nil), d.s[start:d.i]...)
	for d.i < len(d.s) {
		c := d.s[d.i]
		switch {
		case c == '"':
			d.i++
			return string(buf), nil
		case c < ' ':
			return "", d.fail("a control character stands in a string")
		case c != '\\':
			buf = append(buf, c)
			d.i++
		default:
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			buf = utf8.AppendRune(buf, r)
		}
	}
	return "", d.fail("the text ends within a string")
}

func (d *decoder) escape() (rune, error) {
	if d.i+1 >= len(d.s) {
		return 0, d.fail("the text ends within an escape")
	}
	c := d.s[d.i+1]
	if c != 'u' {
		r, known := map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c]
		if !known {
			return 0, d.fail("unknown escape")
		}
		d.i += 2
		return r, nil
	}
	r, ok := d.hex(d.i)
	if !ok {
		return 0, d.fail("four hexadecimal digits are expected after \\u")
	}
	if !utf16.IsSurrogate(r) {
		d.i += 6
		return r, nil
	}
	low, ok := d.hex(d.i + 6)
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, d.fail("a lone surrogate cannot be text")
	}
	d.i += 12
	return r, nil
}

// hex reads the \uXXXX that starts at byte i.
func (d *decoder) hex(i int) (rune, bool) {
	if i+6 > len(d.s) || d.s[i] != '\\' || d.s[i+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(d.s[i+2:i+6], 16, 32)
	return rune(n), err == nil
}

// AppendJSON appends v as compact JSON. It is deterministic: members stand sorted by name, numbers as their text. A
// value of another type than DecodeJSON makes is written as encoding/json writes it (null if that refuses it).
func AppendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendString(dst, v)
	case json.Number:
		return append(dst, v...)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, b...)
}

func appendObject(dst []byte, m map[string]any) []byte {
	var few [16]string
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, name), ':')
		dst = AppendJSON(dst, m[name])
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// sizeOf is the length of v as compact JSON, in bytes. It stops counting once it is over limit: a value that is too
// large costs no more to refuse than one that just fits costs to accept.
func sizeOf(v any, limit int) int {
	switch v := v.(type) {
	case nil:
		return 4
	case bool:
		if v {
			return 4
		}
		return 5
	case string:
		return stringSize(v)
	case json.Number:
		return len(v)
	case []any:
		n := 2 + max(len(v)-1, 0)
		for _, e := range v {
			if n > limit {
				return n
			}
			n += sizeOf(e, limit-n)
		}
		return n
	case map[string]any:
		n := 2 + max(len(v)-1, 0)
		for name, e := range v {
			if n > limit {
				return n
			}
			n += stringSize(name) + 1
			n += sizeOf(e, limit-n)
		}
		return n
	}
	return len(AppendJSON(nil, v))
}

func stringSize(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			n++
		case c < ' ':
			n += 5
		}
	}
	return n
}
