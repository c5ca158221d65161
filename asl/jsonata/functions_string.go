package jsonata

import (
	"encoding/base64"
	"math"
	"strings"
	"unicode/utf8"
)

func toString(c *call, args []any) any {
	switch v := args[0].(type) {
	case undefinedValue:
		return undefined
	case string:
		return v
	case *lambda, *builtin, *matcher:
		return ""
	default:
		pretty, _ := args[1].(bool)
		text := appendValue(nil, c.finite(v, c.position), printer{pretty: pretty, position: c.position, meter: &c.meter})
		return string(text)
	}
}

// text is an argument, if it is a string: one that may be missing is undefined.
func text(v any) (string, bool) {
	s, ok := v.(string)
	return s, ok
}

// whole is a number cut to an integer, within what a string's length can be.
func whole(v any) int {
	f := float(v)
	if math.IsNaN(f) {
		return 0
	}
	return int(max(min(math.Trunc(f), math.MaxInt32), math.MinInt32))
}

func substring(c *call, s string, args []any) any {
	start, size := whole(args[1]), utf8.RuneCountInString(s)
	if size+start < 0 {
		start = 0
	}
	if start < 0 {
		start += size
	}
	end := size
	if isNumber(args[2]) {
		if float(args[2]) <= 0 {
			return ""
		}
		end = int(min(float64(size), math.Trunc(float64(start)+float(args[2]))))
	}
	if start = min(start, size); end <= start {
		return ""
	}
	s = s[runeOffset(s, start):]
	return s[:runeOffset(s, end-start)]
}

// runeOffset is the position of the n-th character in bytes.
func runeOffset(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

func substringBefore(c *call, s string, args []any) any {
	separator, _ := text(args[1])
	before, _, _ := strings.Cut(s, separator)
	return before
}

func substringAfter(c *call, s string, args []any) any {
	separator, _ := text(args[1])
	if _, after, has := strings.Cut(s, separator); has {
		return after
	}
	return s
}

func lowercase(c *call, s string, args []any) any {
	return strings.ToLower(s)
}

func uppercase(c *call, s string, args []any) any {
	return strings.ToUpper(strings.ReplaceAll(s, "ß", "SS")) // the one letter in use whose capital is two letters
}

func length(c *call, s string, args []any) any {
	return float64(utf8.RuneCountInString(s))
}

// trim makes one space of many, and takes off the first and the last.
func trim(c *call, s string, args []any) any {
	var out strings.Builder
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(" \t\n\r", r) }) {
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(word)
	}
	return out.String()
}

func pad(c *call, s string, args []any) any {
	filler, _ := text(args[2])
	if filler == "" {
		filler = " "
	}
	width := whole(args[1])
	missing := max(width, -width) - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s
	}
	c.meter.spendBytes(missing * utf8.UTFMax)
	runes := []rune(filler)
	padding := make([]rune, missing)
	for i := range padding {
		padding[i] = runes[i%len(runes)]
	}
	if width > 0 {
		return s + string(padding)
	}
	return string(padding) + s
}

// limitOf is the last argument of $match, $split and $replace: how many there may be, or all.
func (c *call) limitOf(v any, code string) float64 {
	if !isNumber(v) {
		return math.Inf(1)
	}
	if float(v) < 0 {
		c.fail(code, details{value: v})
	}
	return float(v)
}

func matches(c *call, s string, args []any) any {
	limit := c.limitOf(args[2], "D3040")
	result := sequenceOf()
	if limit <= 0 {
		return result
	}
	for m := c.firstMatch(args[1], s); m != nil && float64(len(result.items)) < limit; m = m.next() {
		c.meter.spend(costOfObject + len(m.groups))
		result.items = append(result.items, map[string]any{
			"match": s[m.start:m.end], "index": float64(m.index), "groups": &array{items: m.groups},
		})
	}
	return result
}

func contains(c *call, s string, args []any) any {
	if part, ok := text(args[1]); ok {
		return strings.Contains(s, part)
	}
	if !isFunction(args[1]) {
		return false
	}
	return c.firstMatch(args[1], s) != nil
}

func split(c *call, s string, args []any) any {
	limit := c.limitOf(args[2], "D3020")
	parts := []any{}
	if separator, ok := text(args[1]); ok {
		for part := range strings.SplitSeq(s, separator) {
			if float64(len(parts)) >= math.Trunc(limit) {
				break
			}
			c.meter.spend(1)
			parts = append(parts, part)
		}
		return &array{items: parts}
	}
	if limit <= 0 || !isFunction(args[1]) {
		return &array{items: parts}
	}
	start := 0
	for m := c.firstMatch(args[1], s); m != nil && float64(len(parts)) < limit; m = m.next() {
		c.meter.spend(1)
		parts = append(parts, s[min(start, m.start):m.start])
		start = m.end
	}
	if float64(len(parts)) < limit {
		parts = append(parts, s[start:])
	}
	return &array{items: parts}
}

func join(c *call, list, args []any) any {
	separator, _ := text(args[1])
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i], _ = text(v)
		c.meter.spendBytes(len(parts[i]) + len(separator))
	}
	return strings.Join(parts, separator)
}

func replace(c *call, s string, args []any) any {
	pattern, isText := text(args[1])
	if isText && pattern == "" {
		c.fail("D3010", details{value: pattern})
	}
	limit := c.limitOf(args[3], "D3011")
	if limit <= 0 || !isText && !isFunction(args[1]) {
		return s
	}
	if isText {
		return c.replaceText(s, pattern, args[2], limit)
	}
	var out strings.Builder
	position, count := 0, 0.0
	for m := c.firstMatch(args[1], s); m != nil && count < limit; m = m.next() {
		replacement := c.replacement(args[2], m, s)
		between := s[min(position, m.start):m.start]
		c.meter.spendBytes(len(between) + len(replacement))
		out.WriteString(between)
		out.WriteString(replacement)
		position = m.end
		count++
	}
	return out.String() + s[position:]
}

func (c *call) replaceText(s, pattern string, by any, limit float64) string {
	replacement, ok := text(by)
	if !ok {
		c.fail("D3012", details{value: by})
	}
	n := strings.Count(s, pattern)
	if limit < float64(n) {
		n = int(math.Ceil(limit))
	}
	c.meter.spendBytes(len(s) + n*len(replacement))
	return strings.Replace(s, pattern, replacement, n)
}

func (c *call) replacement(by any, m *found, s string) string {
	if template, ok := text(by); ok {
		return c.expand(template, s[m.start:m.end], m.groups)
	}
	result := c.invoke(by, []any{c.objectOf(m, s)}, c.inner())
	replacement, ok := text(result)
	if !ok {
		c.fail("D3012", details{value: result})
	}
	return replacement
}

// expand puts the groups in place of $1, $2 and so on, the whole match for $0, and a dollar for $$. Of the digits behind a dollar as many count as name
// a group that there is.
func (c *call) expand(template, whole string, groups []any) string {
	var out strings.Builder
	write := func(s string) {
		c.meter.spendBytes(len(s))
		out.WriteString(s)
	}
	for {
		before, after, found := strings.Cut(template, "$")
		write(before)
		if !found {
			return out.String()
		}
		template = after
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			template = after[1:]
		case strings.HasPrefix(after, "0"):
			write(whole)
			template = after[1:]
		default:
			index, size := groupNumber(after, len(groups))
			if size == 0 {
				out.WriteByte('$')
				continue
			}
			if index >= 1 && index <= len(groups) {
				group, _ := text(groups[index-1])
				write(group)
			}
			template = after[size:]
		}
	}
}

func groupNumber(s string, groups int) (number, size int) {
	most := 1
	for n := groups; n >= 10; n /= 10 {
		most++
	}
	for size < most && size < len(s) && '0' <= s[size] && s[size] <= '9' {
		number = number*10 + int(s[size]-'0')
		size++
	}
	if size > 1 && number > groups {
		number /= 10
		size--
	}
	return number, size
}

// base64encode takes each character for a byte, as the documentation says; of one beyond U+00FF the low byte is left, as with the reference in Node.js.
func base64encode(c *call, s string, args []any) any {
	c.meter.spendBytes(2 * len(s))
	latin := make([]byte, 0, len(s))
	for _, r := range s {
		latin = append(latin, byte(r))
	}
	return base64.StdEncoding.EncodeToString(latin)
}

// base64decode is as lenient as Node.js: other characters are passed over, URL-safe ones are understood, and padding may be missing.
func base64decode(c *call, s string, args []any) any {
	c.meter.spendBytes(2 * len(s))
	s, _, _ = strings.Cut(s, "=")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r == '+', r == '/', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			return r
		}
		return -1
	}, s)
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	decoded, _ := base64.RawStdEncoding.DecodeString(s)
	runes := make([]rune, len(decoded))
	for i, b := range decoded {
		runes[i] = rune(b)
	}
	return string(runes)
}

const (
	unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()"
	reserved   = ";/?:@&=+$,#"
)

func encodeURL(kept string) function {
	return onString(func(c *call, s string, _ []any) any {
		if strings.ContainsRune(s, utf8.RuneError) { // it stands for a lone surrogate, which has no encoding
			c.fail("D3140", details{value: s, function: c.name})
		}
		c.meter.spendBytes(3 * len(s))
		const hex = "0123456789ABCDEF"
		var out strings.Builder
		for i := range len(s) {
			if strings.IndexByte(kept, s[i]) >= 0 {
				out.WriteByte(s[i])
			} else {
				out.Write([]byte{'%', hex[s[i]>>4], hex[s[i]&15]})
			}
		}
		return out.String()
	})
}

// decodeURL leaves the escapes of the kept characters as they are.
func decodeURL(kept string) function {
	return onString(func(c *call, s string, _ []any) any {
		var out []byte
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				out = append(out, s[i])
				continue
			}
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				c.fail("D3140", details{value: s, function: c.name})
			}
			unit, _ := hexDigits("00" + s[i+1:i+3])
			if strings.IndexByte(kept, byte(unit)) >= 0 {
				out = append(out, s[i:i+3]...)
			} else {
				out = append(out, byte(unit))
			}
			i += 2
		}
		if !utf8.Valid(out) {
			c.fail("D3140", details{value: s, function: c.name})
		}
		return string(out)
	})
}
