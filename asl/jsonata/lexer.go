package jsonata

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenVariable
	tokenString
	tokenNumber
	tokenLiteral // true, false, null
	tokenRegexp
	tokenOperator
)

type token struct {
	kind  tokenKind
	text  string // a name, a variable without its $, a string's content, an operator
	value any    // of a number or a literal
	regex *regex
	end   int // the position behind the token, which is what the reference calls its position
}

// lexer splits an expression into tokens. What a / means depends on what may stand there: the parser says.
type lexer struct {
	source string
	i      int
}

const (
	spaces = " \t\n\r\v"
	// stops are the characters that end a name: those that operators start with.
	stops = ".[]{}(),@#;:?+-*/%|=<>^&!~"
)

var (
	twoCharacters = []string{"..", ":=", "!=", ">=", "<=", "**", "~>"}
	numberPattern = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?([Ee][-+]?[0-9]+)?`)
)

// next is the next token. Where an infix operator may stand, a / is a division, elsewhere it starts a regular expression.
func (l *lexer) next(infix bool) token {
	l.skip()
	if l.i >= len(l.source) {
		return token{kind: tokenEnd, end: len(l.source)}
	}
	rest := l.source[l.i:]
	c := rest[0]
	if c == '/' && !infix {
		l.i++
		re := l.regexp()
		return token{kind: tokenRegexp, regex: re, end: l.i}
	}
	for _, op := range twoCharacters {
		if strings.HasPrefix(rest, op) {
			return l.operator(op)
		}
	}
	switch {
	case c == '!' || c == '~':
		fail("S0204", l.i+1, details{token: rest[:1]})
	case strings.IndexByte(stops, c) >= 0:
		return l.operator(rest[:1])
	case c == '"' || c == '\'':
		return l.str(c)
	case '0' <= c && c <= '9':
		return l.number(numberPattern.FindString(rest))
	case c == '`':
		return l.quotedName()
	}
	return l.name()
}

// skip passes spaces and comments.
func (l *lexer) skip() {
	for l.i < len(l.source) {
		switch {
		case strings.IndexByte(spaces, l.source[l.i]) >= 0:
			l.i++
		case strings.HasPrefix(l.source[l.i:], "/*"):
			end := strings.Index(l.source[l.i+2:], "*/")
			if end < 0 {
				fail("S0106", l.i, details{})
			}
			l.i += end + 4
		default:
			return
		}
	}
}

func (l *lexer) operator(op string) token {
	l.i += len(op)
	return token{kind: tokenOperator, text: op, end: l.i}
}

func (l *lexer) number(text string) token {
	f, _ := strconv.ParseFloat(text, 64)
	if math.IsInf(f, 0) {
		fail("S0102", l.i, details{token: text})
	}
	l.i += len(text)
	t := token{kind: tokenNumber, value: f, end: l.i}
	if len(text) > 15 && !strings.ContainsAny(text, ".eE") {
		t.value = json.Number(text) // as a number of the input, it keeps its digits
	}
	return t
}

func (l *lexer) quotedName() token {
	l.i++
	end := strings.IndexByte(l.source[l.i:], '`')
	if end < 0 {
		fail("S0105", len(l.source), details{})
	}
	text := l.source[l.i : l.i+end]
	l.i += end + 1
	return token{kind: tokenName, text: text, end: l.i}
}

func (l *lexer) name() token {
	start := l.i
	for l.i < len(l.source) && strings.IndexByte(spaces+stops, l.source[l.i]) < 0 {
		l.i++
	}
	text := l.source[start:l.i]
	if variable, ok := strings.CutPrefix(text, "$"); ok {
		return token{kind: tokenVariable, text: variable, end: l.i}
	}
	switch text {
	case "or", "in", "and":
		return token{kind: tokenOperator, text: text, end: l.i}
	case "true", "false":
		return token{kind: tokenLiteral, text: text, value: text == "true", end: l.i}
	case "null":
		return token{kind: tokenLiteral, text: text, end: l.i}
	}
	return token{kind: tokenName, text: text, end: l.i}
}

func (l *lexer) str(quote byte) token {
	l.i++
	var out []byte
	for l.i < len(l.source) {
		switch c := l.source[l.i]; c {
		case quote:
			l.i++
			return token{kind: tokenString, text: string(out), end: l.i}
		case '\\':
			out = utf8.AppendRune(out, l.escape())
		default:
			out = append(out, c)
			l.i++
		}
	}
	fail("S0101", l.i, details{})
	return token{}
}

// escape reads from a backslash. Two \u that are a surrogate pair are one character; a lone surrogate becomes U+FFFD, since a Go string cannot hold it.
func (l *lexer) escape() rune {
	l.i++
	if l.i >= len(l.source) {
		fail("S0103", l.i, details{token: ""})
	}
	r, size := utf8.DecodeRuneInString(l.source[l.i:])
	if i := strings.IndexRune(`"\/bfnrt`, r); i >= 0 {
		l.i++
		return rune("\"\\/\b\f\n\r\t"[i])
	}
	if r != 'u' {
		fail("S0103", l.i, details{token: l.source[l.i : l.i+size]})
	}
	unit, ok := hexDigits(l.source[l.i+1:])
	if !ok {
		fail("S0104", l.i, details{})
	}
	l.i += 5
	if utf16.IsSurrogate(unit) && strings.HasPrefix(l.source[l.i:], `\u`) {
		if low, ok := hexDigits(l.source[l.i+2:]); ok {
			if pair := utf16.DecodeRune(unit, low); pair != utf8.RuneError {
				l.i += 6
				return pair
			}
		}
	}
	return unit
}

func hexDigits(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 32)
	return rune(n), err == nil
}

// regexp reads the rest of /pattern/flags. A slash ends it where no bracket is open.
func (l *lexer) regexp() *regex {
	start, depth := l.i, 0
	for ; l.i < len(l.source); l.i++ {
		c := l.source[l.i]
		escaped := l.i > start && l.source[l.i-1] == '\\'
		switch {
		case c == '/' && depth == 0 && !oddBackslashes(l.source[start:l.i]):
			pattern := l.source[start:l.i]
			if pattern == "" {
				fail("S0301", l.i, details{})
			}
			l.i++
			flags := l.i
			for l.i < len(l.source) && (l.source[l.i] == 'i' || l.source[l.i] == 'm') {
				l.i++
			}
			return compileRegexp(pattern, l.source[flags:l.i], l.i)
		case strings.IndexByte("([{", c) >= 0 && !escaped:
			depth++
		case strings.IndexByte(")]}", c) >= 0 && !escaped:
			depth--
		}
	}
	fail("S0302", l.i, details{})
	return nil
}

func oddBackslashes(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}
