package jsonata

import (
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxProgram bounds a compiled regular expression, whose size times the text's length is the time that a match takes.
const maxProgram = 5000

// regex is a regular expression of JavaScript, carried out by Go's package: in time linear in the text, so no expression can hang the machine. For
// that, what JavaScript has and RE2 has not is refused when it is compiled: lookahead, lookbehind and backreferences.
type regex struct {
	first, next *regexp.Regexp // from the start of the text, and from behind one character of context
	cost        int            // of one character
}

func compileRegexp(pattern, flags string, position int) *regex {
	refuse := func(why string) { fail(codeRegexp, position, details{message: why + " in /" + pattern + "/"}) }
	translated, why := translateRegexp(pattern)
	if why != "" {
		refuse(why)
	}
	group := "(?" + flags + ":"
	if flags == "" {
		group = "(?:"
	}
	body := "(" + group + translated + "))"
	parsed, err := syntax.Parse(body, syntax.Perl)
	if err != nil {
		refuse(err.Error())
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		refuse(err.Error())
	}
	if len(program.Inst) > maxProgram {
		refuse("more repetitions than are allowed")
	}
	// A match that goes on behind an earlier one has to see the character before it, for ^ and \b. So it starts there, passes that character, and
	// then as few as it can.
	first, err := regexp.Compile(`\A(?s:.*?)` + body)
	if err != nil {
		refuse(err.Error())
	}
	next, err := regexp.Compile(`\A(?s:.)(?s:.*?)` + body)
	if err != nil {
		refuse(err.Error())
	}
	// Each step of the program may copy the positions of all groups.
	return &regex{first: first, next: next, cost: 1 + len(program.Inst)/32*(1+program.NumCap/32)}
}

// find is the first match at or behind the byte from: the positions of the whole and of its groups, -1 for a group that took no part, or nil.
func (re *regex) find(s string, from int, m *meter) []int {
	pattern, start := re.first, from
	if from > 0 {
		_, size := utf8.DecodeLastRuneInString(s[:from])
		pattern, start = re.next, from-size
	}
	r := &countingReader{s: s[start:], meter: m, cost: re.cost}
	bounds := pattern.FindReaderSubmatchIndex(r)
	if bounds == nil {
		return nil
	}
	bounds = bounds[2:] // the first group is the expression itself
	for i := range bounds {
		if bounds[i] >= 0 {
			bounds[i] += start
		}
	}
	return bounds
}

// countingReader makes a match pay for each character that it reads.
type countingReader struct {
	s     string
	i     int
	meter *meter
	cost  int
}

func (r *countingReader) ReadRune() (rune, int, error) {
	if r.i >= len(r.s) {
		return 0, 0, io.EOF
	}
	r.meter.spend(r.cost)
	c, size := utf8.DecodeRuneInString(r.s[r.i:])
	r.i += size
	return c, size, nil
}

// What JavaScript means by \s, \S and a dot, in Go's words.
const (
	jsSpace    = `\s\v\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	jsAnything = `[^\n\r\x{2028}\x{2029}]`
)

// translateRegexp writes a pattern of JavaScript in Go's syntax, or says why that cannot be.
func translateRegexp(pattern string) (translated, why string) {
	var out strings.Builder
	inClass := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\':
			text, size, refused := translateEscape(pattern[i+1:], inClass)
			if refused != "" {
				return "", refused
			}
			out.WriteString(text)
			i += size
			continue
		case inClass && c == '[':
			out.WriteString(`\[`)
			continue
		case c == '[':
			inClass = true
			if text, size := emptyClass(pattern[i:]); size > 0 {
				out.WriteString(text)
				i += size - 1
				inClass = false
				continue
			}
		case c == ']':
			inClass = false
		case c == '.' && !inClass:
			out.WriteString(jsAnything)
			continue
		case c == '(' && !inClass:
			if refused := refusedGroup(pattern[i:]); refused != "" {
				return "", refused
			}
		}
		out.WriteByte(c)
	}
	return out.String(), ""
}

// emptyClass translates [] and [^], which match nothing and everything.
func emptyClass(rest string) (text string, size int) {
	switch {
	case strings.HasPrefix(rest, "[]"):
		return `[^\x00-\x{10ffff}]`, 2
	case strings.HasPrefix(rest, "[^]"):
		return `[\x00-\x{10ffff}]`, 3
	}
	return "", 0
}

func refusedGroup(rest string) string {
	switch {
	case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!"):
		return "lookahead"
	case strings.HasPrefix(rest, "(?<=") || strings.HasPrefix(rest, "(?<!"):
		return "lookbehind"
	case strings.HasPrefix(rest, "(?") && !strings.HasPrefix(rest, "(?:") && !strings.HasPrefix(rest, "(?<"):
		return "invalid group"
	}
	return ""
}

// translateEscape translates what follows a backslash, and says how many bytes of it that took.
func translateEscape(rest string, inClass bool) (text string, size int, why string) {
	if rest == "" {
		return "", 0, "a backslash at the end"
	}
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case r == 's' && inClass:
		return jsSpace, 1, ""
	case r == 's':
		return "[" + jsSpace + "]", 1, ""
	case r == 'S' && !inClass:
		return "[^" + jsSpace + "]", 1, ""
	case r == 'b' && inClass:
		return `\x08`, 1, ""
	case strings.ContainsRune("dDwWSbBtnrvf", r):
		return `\` + rest[:1], 1, ""
	case '1' <= r && r <= '9', r == 'k':
		return "", 0, "backreference"
	case r == '0':
		return `\x00`, 1, ""
	case r == 'u':
		if _, ok := hexDigits(rest[1:]); ok {
			return `\x{` + rest[1:5] + `}`, 5, ""
		}
	case r == 'x' && len(rest) >= 3 && isHex(rest[1]) && isHex(rest[2]):
		return `\x` + rest[1:3], 3, ""
	case r == 'c' && len(rest) >= 2 && unicode.IsLetter(rune(rest[1])):
		return `\x{` + string("0123456789abcdef"[rest[1]&31>>4]) + string("0123456789abcdef"[rest[1]&15]) + `}`, 2, ""
	}
	if r == '-' {
		return `\-`, 1, "" // within a class it would be a range
	}
	return regexp.QuoteMeta(string(r)), size, ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
