package jcs

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting that Decode follows, and with it its recursion.
const maxDepth = 100

// Decode reads a value that Append wrote: objects as map[string]any, arrays as []any, numbers as json.Number. It reports false for
// what is no JSON, holds a space between its tokens, or is nested deeper than 100; it does not look whether members stand in
// their order. The strings share the text: keeping one keeps all of it.
func Decode(text string) (any, bool) {
	d := decoder{rest: text}
	v := d.value(0)
	if d.bad || d.rest != "" || !utf8.ValidString(text) {
		return nil, false
	}
	return v, true
}

// A decoder eats its text from the front; once something was wrong it is bad for good, and eats no more.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) fail() {
	d.bad, d.rest = true, ""
}

// eat takes the byte if it is the next.
func (d *decoder) eat(c byte) bool {
	if d.rest == "" || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

func (d *decoder) value(depth int) any {
	if d.rest == "" || depth > maxDepth {
		d.fail()
		return nil
	}
	switch d.rest[0] {
	case '{':
		return d.object(depth)
	case '[':
		return d.array(depth)
	case '"':
		return d.str()
	case 'n':
		d.word("null")
		return nil
	case 't':
		d.word("true")
		return true
	case 'f':
		d.word("false")
		return false
	}
	return d.number()
}

func (d *decoder) word(w string) {
	rest, ok := strings.CutPrefix(d.rest, w)
	if !ok {
		d.fail()
		return
	}
	d.rest = rest
}

func (d *decoder) object(depth int) any {
	m := make(map[string]any)
	d.rest = d.rest[1:]
	if d.eat('}') {
		return m
	}
	for !d.bad {
		name := d.str()
		d.word(":")
		m[name] = d.value(depth + 1)
		if d.eat('}') {
			return m
		}
		d.word(",")
	}
	return nil
}

func (d *decoder) array(depth int) any {
	a := []any{}
	d.rest = d.rest[1:]
	if d.eat(']') {
		return a
	}
	for !d.bad {
		a = append(a, d.value(depth+1))
		if d.eat(']') {
			return a
		}
		d.word(",")
	}
	return nil
}

func (d *decoder) str() string {
	if !d.eat('"') {
		d.fail()
		return ""
	}
	for i := 0; i < len(d.rest); i++ {
		switch c := d.rest[i]; {
		case c == '"':
			s := d.rest[:i]
			d.rest = d.rest[i+1:]
			return s
		case c == '\\':
			return d.escaped(i)
		case c < ' ':
			d.fail()
			return ""
		}
	}
	d.fail()
	return ""
}

// escaped reads a string, whose opening quote is eaten, from its first backslash on. Escapes are rare, so it leaves them to
// encoding/json.
func (d *decoder) escaped(i int) string {
	for i < len(d.rest) && d.rest[i] != '"' {
		if d.rest[i] == '\\' {
			i++
		}
		i++
	}
	var s string
	if i >= len(d.rest) || json.Unmarshal([]byte(`"`+d.rest[:i+1]), &s) != nil {
		d.fail()
		return ""
	}
	d.rest = d.rest[i+1:]
	return s
}

// number reads the grammar of RFC 8259 section 6.
func (d *decoder) number() any {
	s := d.rest
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	one := func(set string) bool {
		if i == len(s) || strings.IndexByte(set, s[i]) < 0 {
			return false
		}
		i++
		return true
	}
	one("-")
	ok := one("0") || digits()
	if ok && one(".") {
		ok = digits()
	}
	if ok && one("eE") {
		one("+-")
		ok = digits()
	}
	if !ok {
		d.fail()
		return nil
	}
	d.rest = s[i:]
	return json.Number(s[:i])
}
