package asl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSteps bounds a path, and with it the recursion that evaluates it. No value nests deeper.
const maxSteps = maxDepth

// maxFilterDepth bounds how deep parentheses, negations and filters stand within filters.
const maxFilterDepth = 32

// maxPatterns bounds the regular expressions of a definition, in instructions of some forty bytes: a{1000} is short as a
// text.
const maxPatterns = 1 << 18

// compilePath compiles a whole text. patterns counts the instructions of the definition's regular expressions.
func compilePath(text string, patterns *int) (*path, error) {
	p := &pathParser{s: text, patterns: patterns}
	compiled, err := p.path()
	if err != nil {
		return nil, err
	}
	if p.i < len(p.s) {
		return nil, fmt.Errorf("'.' or '[' is expected before %q", p.rest())
	}
	return compiled, nil
}

// pathParser reads a path from the front of a text: a whole one, or one in a filter, which ends where an operator begins.
type pathParser struct {
	s     string
	i     int
	depth int  // of filters; 0: the path stands in none
	arg   bool // the path is an argument of an intrinsic function: ',' and ')' end it

	patterns *int
}

func (p *pathParser) rest() string { return p.s[p.i:] }

// eat reports whether the text goes on with t, and passes it.
func (p *pathParser) eat(t string) bool {
	if strings.HasPrefix(p.rest(), t) {
		p.i += len(t)
		return true
	}
	return false
}

func (p *pathParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

// path reads "$", "$$", "$name" or, in a filter, "@", and the steps behind it.
func (p *pathParser) path() (*path, error) {
	start, c := p.i, &path{}
	switch {
	case p.depth > 0 && p.eat("@"):
		c.current = true
	case !p.eat("$"):
		return nil, errors.New("a JSONPath must begin with '$'")
	case p.eat("$"):
		c.context = true
	default:
		c.variable = p.identifier()
	}
	if p.depth > 0 && (c.context || c.variable != "") {
		return nil, errors.New("a filter sees only '@' and '$'")
	}
	for p.i < len(p.s) && (p.s[p.i] == '.' || p.s[p.i] == '[') {
		if err := p.step(c); err != nil {
			return nil, err
		}
		if len(c.steps) > maxSteps {
			return nil, fmt.Errorf("a path has at most %d steps", maxSteps)
		}
	}
	c.text = p.s[start:p.i]
	c.measure()
	return c, nil
}

// identifier reads a variable's name, if there is one.
func (p *pathParser) identifier() string {
	start := p.i
	for p.i < len(p.s) {
		r, size := utf8.DecodeRuneInString(p.rest())
		if r != '_' && !unicode.IsLetter(r) && (p.i == start || !unicode.IsDigit(r)) {
			break
		}
		p.i += size
	}
	return p.s[start:p.i]
}

// measure derives from the steps what is asked for at each evaluation.
func (c *path) measure() {
	last := len(c.steps) - 1
	for i, s := range c.steps {
		shape := manyNodes
		switch {
		case s.kind <= indexStep:
			shape = oneNode
		case s.kind == membersStep && i < last:
			shape = impossible
		case s.kind == membersStep:
			shape = oneObject
		}
		c.shape = max(c.shape, shape)
		c.names += stringSize(s.name) + len("{:,}")
	}
}

// step reads one step, or two: ".." goes with the step behind it.
func (p *pathParser) step(c *path) error {
	dot := p.eat(".")
	if dot && p.eat(".") {
		c.steps = append(c.steps, step{kind: descendStep})
	}
	var s step
	var err error
	switch {
	case p.eat("["):
		s, err = p.bracket()
	case dot && p.eat("*"):
		s.kind = wildStep
	default:
		s.name, err = p.name()
	}
	if err == nil {
		c.steps = append(c.steps, s)
	}
	return err
}

// name reads a member's name that stands behind a dot. A call such as length() is one too: see path.
func (p *pathParser) name() (string, error) {
	ends := ".["
	switch {
	case p.depth > 0:
		ends = ".[ \t\r\n()=!<>~&|,"
	case p.arg:
		ends = ".[ \t\r\n(),"
	}
	end := strings.IndexAny(p.rest(), ends)
	if end < 0 {
		end = len(p.rest())
	}
	if ends != ".[" && strings.HasPrefix(p.rest()[end:], "()") {
		end += len("()")
	}
	name := p.rest()[:end]
	bare := strings.TrimSuffix(name, "()")
	switch {
	case bare == "":
		return "", errors.New("a name is expected after '.'")
	case strings.ContainsAny(bare, "()"):
		return "", fmt.Errorf("the JSONPath function %s is not supported", bare)
	case strings.ContainsAny(bare, " \t\r\n]'\"*?@,:"):
		return "", fmt.Errorf("the name %q must be written in brackets and quotes", bare)
	}
	p.i += end
	return name, nil
}

// bracket reads a step from behind its '['.
func (p *pathParser) bracket() (step, error) {
	p.space()
	switch {
	case strings.HasPrefix(p.rest(), "'"), strings.HasPrefix(p.rest(), `"`):
		return p.quoted()
	case p.eat("*"):
		p.space()
		if !p.eat("]") {
			return step{}, errors.New("']' is expected after '*'")
		}
		return step{kind: wildStep}, nil
	case p.eat("?"):
		return p.filter()
	}
	in, _, closed := strings.Cut(p.rest(), "]")
	if !closed {
		return step{}, errors.New("']' is missing")
	}
	p.i += len(in) + 1
	if strings.Contains(in, ":") {
		return slice(strings.TrimSpace(in))
	}
	s := step{kind: indexStep}
	var all []int
	for _, each := range strings.Split(in, ",") {
		n, ok := integer(strings.TrimSpace(each))
		if !ok {
			return step{}, fmt.Errorf("'[%s]' is neither an index nor a quoted name", in)
		}
		all = append(all, n)
	}
	if len(all) > 1 {
		return step{kind: indexesStep, more: &selector{indexes: all}}, nil
	}
	s.index = all[0]
	return s, nil
}

// integer reads an index as Java's Integer.parseInt does, but for a plus sign.
func integer(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil && s[0] != '+'
}

// slice reads from:to, of which one may be absent. Jayway reads a third number and ignores it, and so does this.
func slice(in string) (step, error) {
	var m selector
	parts := strings.Split(in, ":")
	for i, end := range []**int{&m.from, &m.to} {
		if i < len(parts) && parts[i] != "" {
			n, ok := integer(parts[i])
			if !ok {
				return step{}, fmt.Errorf("'[%s]' is no slice", in)
			}
			*end = &n
		}
	}
	if m.from == nil && m.to == nil || strings.Trim(in, "-0123456789:") != "" {
		return step{}, fmt.Errorf("'[%s]' is no slice", in)
	}
	return step{kind: sliceStep, more: &m}, nil
}

// quoted reads 'name'] or 'name','other'].
func (p *pathParser) quoted() (step, error) {
	var names []string
	for {
		name, err := p.quotedName()
		if err != nil {
			return step{}, err
		}
		names = append(names, name)
		p.space()
		if p.eat("]") {
			break
		}
		if !p.eat(",") {
			return step{}, errors.New("']' is expected after a quoted name")
		}
		p.space()
	}
	if len(names) > 1 {
		return step{kind: membersStep, more: &selector{names: names}}, nil
	}
	return step{name: names[0]}, nil
}

// quotedName reads 'name' or "name". A backslash escapes the quote and itself, before anything else it stands for
// itself, as AWS reads it.
func (p *pathParser) quotedName() (string, error) {
	if p.i == len(p.s) || p.s[p.i] != '\'' && p.s[p.i] != '"' {
		return "", errors.New("a quoted name is expected")
	}
	quote, name := p.s[p.i], []byte(nil)
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\' && p.i+1 < len(p.s) && (p.s[p.i+1] == quote || p.s[p.i+1] == '\\'):
			p.i++
			name = append(name, p.s[p.i])
		case c == quote:
			p.i++
			return string(name), nil
		default:
			name = append(name, c)
		}
	}
	return "", errors.New("the closing quote of a name is missing")
}

// String writes the path in bracket form. It compiles to the same path.
func (p *path) String() string {
	root := "$" + p.variable
	switch {
	case p.context:
		root = "$$"
	case p.current:
		root = "@"
	}
	b := []byte(root)
	for _, s := range p.steps {
		b = append(b, s.String()...)
	}
	return string(b)
}

func (s step) String() string {
	switch s.kind {
	case memberStep:
		return "[" + quoteName(s.name) + "]"
	case membersStep:
		quoted := make([]string, len(s.more.names))
		for i, name := range s.more.names {
			quoted[i] = quoteName(name)
		}
		return "[" + strings.Join(quoted, ",") + "]"
	case filterStep:
		return "[?(" + s.more.filter.String() + ")]"
	default:
		return s.normal()
	}
}

// normal is String for AWS's causes, which escape nothing.
func (s step) normal() string {
	switch s.kind {
	case memberStep:
		return "['" + s.name + "']"
	case membersStep:
		return "['" + strings.Join(s.more.names, "', '") + "']"
	case indexStep:
		return "[" + strconv.Itoa(s.index) + "]"
	case indexesStep:
		return strings.ReplaceAll(fmt.Sprint(s.more.indexes), " ", ",")
	case sliceStep:
		return "[" + optional(s.more.from) + ":" + optional(s.more.to) + "]"
	case wildStep:
		return "[*]"
	case descendStep:
		return ".."
	case filterStep:
	}
	return "[?]"
}

func optional(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func quoteName(name string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
}
