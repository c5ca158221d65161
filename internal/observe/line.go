package observe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/pan"
)

// A line is one under construction: a JSON object without its closing braces.
type line struct {
	b          []byte
	first      bool // the next member needs no comma before it
	top        bool // the next member stands beside timestamp, level and message
	correlated bool // the context's correlation id was written
	truncated  bool
}

// attr writes one member, or a group of them, or notes that there was no room.
func (l *line) attr(a slog.Attr, depth int) {
	v := a.Value.Resolve()
	if a.Key == "" && v.Kind() != slog.KindGroup || a.Equal(slog.Attr{}) {
		return
	}
	begin, first := len(l.b), l.first
	if v.Kind() == slog.KindGroup {
		l.group(a.Key, v.Group(), depth)
	} else {
		l.attrName(a.Key)
		l.value(v)
	}
	if len(l.b) > MaxLineBytes {
		l.b, l.first, l.truncated = l.b[:begin], first, true
	}
}

// group writes a group's members: in an object of its name, or in place if it has none. An empty group is nothing.
func (l *line) group(name string, members []slog.Attr, depth int) {
	if len(members) == 0 {
		return
	}
	if depth >= maxDepth {
		l.truncated = true
		return
	}
	if name == "" {
		for _, a := range members {
			l.attr(a, depth+1)
		}
		return
	}
	top := l.top
	l.attrName(name)
	l.b = append(l.b, '{')
	l.first, l.top = true, false
	for _, a := range members {
		l.attr(a, depth+1)
	}
	l.b = append(l.b, '}')
	l.first, l.top = false, top
}

// name writes the comma, the member's name and the colon.
func (l *line) name(name string) {
	if !l.first {
		l.b = append(l.b, ',')
	}
	l.first = false
	l.b = append(l.b, '"')
	l.b = appendEscaped(l.b, cut(pan.Strike(name), MaxValueBytes))
	l.b = append(l.b, '"', ':')
}

// attrName writes an attribute's name. One that the line has already gets an underscore: a name twice would be JSON
// that each reader reads in its own way.
func (l *line) attrName(name string) {
	if l.top {
		switch name {
		case keyTimestamp, keyLevel, keyService, keyMessage, keyTruncated:
			name += "_"
		case keyCorrelation:
			if l.correlated {
				name += "_"
			}
		}
	}
	l.name(name)
}

func (l *line) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		l.text(v.String())
	case slog.KindInt64:
		l.b = strconv.AppendInt(l.b, v.Int64(), 10)
	case slog.KindUint64:
		l.b = strconv.AppendUint(l.b, v.Uint64(), 10)
	case slog.KindBool:
		l.b = strconv.AppendBool(l.b, v.Bool())
	case slog.KindFloat64:
		l.float(v.Float64())
	case slog.KindDuration: // as people write it: 1.5s
		l.text(v.Duration().String())
	case slog.KindTime:
		l.text(v.Time().UTC().Format(time.RFC3339Nano))
	default:
		l.any(v.Any())
	}
}

func (l *line) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) { // JSON has no such numbers
		l.text(strconv.FormatFloat(f, 'g', -1, 64))
		return
	}
	l.b = strconv.AppendFloat(l.b, f, 'g', -1, 64)
}

// any writes an error as its text and everything else as encoding/json does. A value that panics or cannot be written
// says so.
func (l *line) any(v any) {
	begin := len(l.b)
	defer func() {
		if p := recover(); p != nil {
			l.b = l.b[:begin]
			l.text(fmt.Sprintf("!PANIC: %T", v))
		}
	}()
	switch v := v.(type) {
	case error:
		l.text(v.Error())
		return
	case fmt.Stringer:
		if _, ok := v.(json.Marshaler); !ok {
			l.text(v.String())
			return
		}
	}
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		l.text(fmt.Sprintf("!ERROR: %T: %v", v, err))
	case len(b) > MaxValueBytes || !utf8.Valid(b):
		l.text(string(b))
	default:
		l.b = append(l.b, struck(b)...)
	}
}

// struck is JSON without card numbers in its texts. Its numbers stay what they are.
func struck(b []byte) []byte {
	if !pan.In(string(b)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		begin := bytes.IndexByte(b, '"')
		if begin < 0 {
			break
		}
		end := begin + 1
		for end < len(b) && b[end] != '"' {
			if b[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(b))
		out = append(append(out, b[:begin]...), pan.Strike(string(b[begin:end]))...)
		b = b[end:]
		if len(b) > 0 { // the closing quote, which must not be taken for an opening one
			out = append(out, b[0])
			b = b[1:]
		}
	}
	return append(out, b...)
}

// text writes a JSON string, without card numbers, cut to MaxValueBytes.
func (l *line) text(s string) {
	l.b = append(l.b, '"')
	s = pan.Strike(s)
	kept := cut(s, MaxValueBytes)
	l.b = appendEscaped(l.b, kept)
	if n := len(s) - len(kept); n > 0 {
		l.b = append(l.b, "... (+"...)
		l.b = strconv.AppendInt(l.b, int64(n), 10)
		l.b = append(l.b, " bytes)"...)
	}
	l.b = append(l.b, '"')
}

// cut returns the beginning of s, at most n bytes, ending between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string (RFC 8259). Bytes that are no UTF-8 become U+FFFD; DEL, and
// the line separators that some viewers break a line at, are escaped too.
func appendEscaped(b []byte, s string) []byte {
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = appendControl(append(b, s[begin:i]...), c)
			i++
			begin = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[begin:i]...), "\uFFFD"...)
			begin = i + size
		case r == 0x85:
			b = append(append(b, s[begin:i]...), `\u0085`...)
			begin = i + size
		case r == 0x2028 || r == 0x2029:
			b = append(append(b, s[begin:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xF])
			begin = i + size
		}
		i += size
	}
	return append(b, s[begin:]...)
}

func appendControl(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
}
