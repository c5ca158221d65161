package jsonata

import (
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"
)

// printer writes values as JSON.stringify does within $string.
type printer struct {
	pretty   bool
	lenient  bool // for messages: what has no JSON is null, and what is behind maxShown bytes is left out
	position int
	meter    *meter
}

func appendValue(dst []byte, v any, p printer) []byte { return p.append(dst, v, 0) }

func (p printer) append(dst []byte, v any, depth int) []byte {
	if p.full(dst) {
		return dst
	}
	if depth > maxNesting {
		if p.lenient {
			return append(dst, "..."...)
		}
		fail(codeNesting, p.position, details{})
	}
	p.meter.spend(1)
	switch v := v.(type) {
	case bool:
		if v {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case string:
		p.meter.spendBytes(len(v))
		return appendString(dst, v)
	case float64, json.Number:
		return p.number(dst, v)
	case []any:
		return p.array(dst, v, depth)
	case *array:
		return p.array(dst, v.items, depth)
	case map[string]any:
		return p.object(dst, v, depth)
	case *lambda, *builtin, *matcher:
		return append(dst, '"', '"')
	}
	return append(dst, "null"...)
}

// full reports whether a message has all that it will show.
func (p printer) full(dst []byte) bool { return p.lenient && len(dst) > maxShown }

func (p printer) number(dst []byte, v any) []byte {
	f := float(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		if !p.lenient && !math.IsNaN(f) {
			fail("D1001", p.position, details{value: nil})
		}
		return append(dst, "null"...)
	}
	if p.lenient {
		return append(dst, formatFloat(f)...)
	}
	return append(dst, formatPrecise(v)...)
}

func (p printer) array(dst []byte, list []any, depth int) []byte {
	dst = append(dst, '[')
	for i, e := range list {
		if p.full(dst) {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.line(dst, depth+1)
		dst = p.append(dst, e, depth+1)
	}
	if len(list) > 0 {
		dst = p.line(dst, depth)
	}
	return append(dst, ']')
}

func (p printer) object(dst []byte, m map[string]any, depth int) []byte {
	dst = append(dst, '{')
	first := true
	for _, name := range sortedNames(m) {
		if p.full(dst) {
			break
		}
		if isUndefined(m[name]) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		p.meter.spendBytes(len(name))
		dst = append(appendString(p.line(dst, depth+1), name), ':')
		if p.pretty {
			dst = append(dst, ' ')
		}
		dst = p.append(dst, m[name], depth+1)
	}
	if !first {
		dst = p.line(dst, depth)
	}
	return append(dst, '}')
}

func (p printer) line(dst []byte, depth int) []byte {
	if !p.pretty {
		return dst
	}
	return append(append(dst, '\n'), strings.Repeat("  ", depth)...)
}

// appendString escapes as JSON.stringify does: \b and \f have short forms, unlike in asl.AppendJSON.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ':
			dst = utf8.AppendRune(dst, r)
		default:
			if i := strings.IndexRune("\b\f\n\r\t", r); i >= 0 {
				dst = append(dst, '\\', "bfnrt"[i])
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
			}
		}
	}
	return append(dst, '"')
}
