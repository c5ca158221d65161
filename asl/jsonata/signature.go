package jsonata

import (
	"regexp"
	"strings"
)

// signature says what arguments a function takes, such as <s-n?:s>. Each argument is a letter: s, n, b, l for null, a, o, f, and m for a missing one.
type signature struct {
	params  []param
	pattern *regexp.Regexp
}

type param struct {
	letter  byte   // a, f and so on; ( for a choice
	class   string // the letters that fit
	repeat  string // ?, + or nothing
	subtype string // of an array: what it holds
	context bool   // the context stands in for a missing argument
}

const anyLetter = "asnblfom"

func parseSignature(text string, position int) *signature {
	s := &signature{}
	for i := 1; i < len(text) && text[i] != ':'; i++ {
		c := text[i]
		last := len(s.params) - 1
		switch {
		case strings.IndexByte("snblo", c) >= 0:
			s.params = append(s.params, param{letter: c, class: string(c) + "m"})
		case c == 'a', c == 'x':
			s.params = append(s.params, param{letter: c, class: anyLetter})
		case c == 'j':
			s.params = append(s.params, param{letter: c, class: "asnblom"})
		case c == 'f':
			s.params = append(s.params, param{letter: c, class: "f"})
		case c == '(':
			end := closing(text, i, '(', ')')
			choice := text[i+1 : end]
			if strings.Contains(choice, "<") {
				fail("S0402", position+i, details{value: choice})
			}
			s.params = append(s.params, param{letter: c, class: onlyLetters(choice) + "m"})
			i = end
		case last < 0:
		case c == '-':
			s.params[last].context, s.params[last].repeat = true, "?"
		case c == '?', c == '+':
			s.params[last].repeat = string(c)
		case c == '<':
			if s.params[last].letter != 'a' && s.params[last].letter != 'f' {
				fail("S0401", position+i, details{value: string(s.params[last].letter)})
			}
			end := closing(text, i, '<', '>')
			s.params[last].subtype = text[i+1 : end]
			i = end
		}
	}
	if len(s.params) > 32 {
		fail(codeSignature, position, details{value: text})
	}
	s.pattern = regexp.MustCompile("^" + s.expression(len(s.params)) + "$")
	return s
}

// closing is the position of the bracket that closes the one at i, or the last position of the text.
func closing(text string, i int, open, shut byte) int {
	depth := 0
	for ; i < len(text)-1; i++ {
		switch text[i] {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}

func onlyLetters(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r
		}
		return -1
	}, s)
}

// expression is the regular expression over the letters of the first n parameters.
func (s *signature) expression(n int) string {
	var out strings.Builder
	for _, p := range s.params[:n] {
		out.WriteString("([" + p.class + "]" + p.repeat + ")")
	}
	return out.String()
}

func letterOf(v any) byte {
	switch v := v.(type) {
	case undefinedValue:
		return 'm'
	case nil:
		return 'l'
	case string:
		return 's'
	case bool:
		return 'b'
	case map[string]any:
		return 'o'
	default:
		switch {
		case isNumber(v):
			return 'n'
		case isFunction(v):
			return 'f'
		}
		return 'a'
	}
}

// validate checks the arguments, puts the context where one is missing that may be, and makes an array of a lone value where an array is wanted.
func (s *signature) validate(c *call, args []any) []any {
	if s == nil {
		return args
	}
	letters := make([]byte, len(args))
	for i, arg := range args {
		letters[i] = letterOf(arg)
	}
	groups := s.pattern.FindSubmatch(letters)
	if groups == nil {
		s.refuse(c, letters)
	}
	var valid []any
	next := 0
	for i, p := range s.params {
		taken := len(groups[i+1])
		if taken == 0 {
			if !p.context {
				valid = append(valid, argument(args, next))
				next++
				continue
			}
			if strings.IndexByte(p.class, letterOf(c.input)) < 0 {
				c.fail("T0411", details{value: c.input, index: next + 1})
			}
			valid = append(valid, c.input)
			continue
		}
		for range taken {
			arg := argument(args, next)
			if p.letter == 'a' {
				arg = p.array(c, arg, next)
			}
			valid = append(valid, arg)
			next++
		}
	}
	return valid
}

func argument(args []any, i int) any {
	if i < len(args) {
		return args[i]
	}
	return undefined
}

func (p param) array(c *call, arg any, index int) any {
	letter := letterOf(arg)
	if letter == 'm' {
		return undefined
	}
	list, isArray := items(arg)
	ok := true
	if p.subtype != "" {
		if !isArray {
			ok = string(letter) == p.subtype
		} else if len(list) > 0 {
			ok = letterOf(list[0]) == p.subtype[0]
			for _, v := range list {
				ok = ok && letterOf(v) == letterOf(list[0])
			}
		}
	}
	if !ok {
		names := map[string]string{"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings"}
		c.fail("T0412", details{value: arg, index: index + 1, typ: names[p.subtype]})
	}
	if isArray {
		return arg
	}
	return []any{arg}
}

// refuse names the first argument that does not fit.
func (s *signature) refuse(c *call, letters []byte) {
	good := 0
	for i := range s.params {
		fits := regexp.MustCompile("^" + s.expression(i+1)).Find(letters)
		if fits == nil {
			break
		}
		good = len(fits)
	}
	c.fail("T0410", details{index: good + 1})
}
