package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf16"
)

// predicate is the condition of a filter, [?(...)].
type predicate interface {
	accepts(s *search, at any) bool
	String() string
}

type (
	bothOf   struct{ left, right predicate }
	eitherOf struct{ left, right predicate }
	negation struct{ of predicate }
	exists   struct{ path *path }
	relation struct {
		left, right operandNode
		name        string
		holds       func(s *search, left, right any) bool
	}
)

func (p bothOf) accepts(s *search, at any) bool {
	return p.left.accepts(s, at) && p.right.accepts(s, at)
}

func (p eitherOf) accepts(s *search, at any) bool {
	return p.left.accepts(s, at) || p.right.accepts(s, at)
}

func (p negation) accepts(s *search, at any) bool { return !p.of.accepts(s, at) }

func (p exists) accepts(s *search, at any) bool { return p.path.inFilter(s, at) != undefined{} }

func (p *relation) accepts(s *search, at any) bool {
	left, right := p.left.value(s, at), p.right.value(s, at)
	return s.compares(left, right) && p.holds(s, left, right)
}

func (p bothOf) String() string   { return "(" + p.left.String() + " && " + p.right.String() + ")" }
func (p eitherOf) String() string { return "(" + p.left.String() + " || " + p.right.String() + ")" }
func (p negation) String() string { return "!(" + p.of.String() + ")" }
func (p exists) String() string   { return p.path.String() }
func (p *relation) String() string {
	return p.left.String() + " " + p.name + " " + p.right.String()
}

// compares takes from the evaluation's work what comparing two values costs at most: a long text has more than one step.
func (s *search) compares(a, b any) bool { return s.env.spend(1 + (textLen(a)+textLen(b))/8) }

func textLen(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case json.Number:
		return len(v)
	}
	return 0
}

// undefined is the value of a path that leads nowhere. It equals nothing, not even itself.
type undefined struct{}

// operandNode is one side of a relation: a path, a pattern or a literal.
type operandNode struct {
	path    *path
	literal any // a JSON value or a *filterPattern
	text    string
}

func (o operandNode) value(s *search, at any) any {
	if o.path != nil {
		return o.path.inFilter(s, at)
	}
	return o.literal
}

func (o operandNode) String() string {
	if o.path != nil {
		return o.path.String()
	}
	return o.text
}

// inFilter is what the path names: below the element for "@", below the document for "$".
func (p *path) inFilter(s *search, at any) any {
	if !p.current {
		at = s.root
	}
	if p.shape == oneNode {
		s.env.work += 1 + len(p.steps)
		if v, steps := p.get(at); steps == len(p.steps) {
			return v
		}
		return undefined{}
	}
	inner := &search{env: s.env, root: s.root}
	inner.walk(at, p.steps)
	switch {
	case p.shape == manyNodes:
		return inner.list()
	case p.shape == oneObject && len(inner.out) == 1:
		return inner.out[0]
	}
	return undefined{}
}

// relations are Jayway's operators that a filter may have.
var relations = map[string]func(s *search, left, right any) bool{
	"==":       looselyEqual,
	"!=":       func(s *search, l, r any) bool { return !looselyEqual(s, l, r) },
	"===":      func(s *search, l, r any) bool { return sameType(l, r) && looselyEqual(s, l, r) },
	"!==":      func(s *search, l, r any) bool { return !sameType(l, r) || !looselyEqual(s, l, r) },
	"<":        ordered(func(c int) bool { return c < 0 }),
	"<=":       ordered(func(c int) bool { return c <= 0 }),
	">":        ordered(func(c int) bool { return c > 0 }),
	">=":       ordered(func(c int) bool { return c >= 0 }),
	"=~":       matches,
	"in":       func(s *search, l, r any) bool { return contains(s, r, l) },
	"nin":      func(s *search, l, r any) bool { return !contains(s, r, l) },
	"subsetof": func(s *search, l, r any) bool { return bothLists(l, r) && count(s, l, r) == len(l.([]any)) },
	"anyof":    func(s *search, l, r any) bool { return bothLists(l, r) && count(s, l, r) > 0 },
	"noneof":   func(s *search, l, r any) bool { return bothLists(l, r) && count(s, l, r) == 0 },
	"all":      func(s *search, l, r any) bool { return bothLists(l, r) && count(s, r, l) == len(r.([]any)) },
	"contains": func(s *search, l, r any) bool {
		if text, ok := l.(string); ok {
			part, ok := r.(string)
			return ok && strings.Contains(text, part)
		}
		return contains(s, l, r)
	},
	"size": func(_ *search, l, r any) bool {
		n, ok := r.(json.Number)
		size := sizeIn(l)
		return ok && size >= 0 && CompareNumbers(n, json.Number(strconv.Itoa(size))) == 0
	},
	"empty": func(_ *search, l, r any) bool {
		want, ok := r.(bool)
		size := sizeIn(l)
		if m, isObject := l.(map[string]any); isObject {
			size = len(m)
		}
		return ok && size >= 0 && (size == 0) == want
	},
}

// sizeIn is the length of a string in Java's characters, or of an array; -1: it has none.
func sizeIn(v any) int {
	switch v := v.(type) {
	case string:
		n := 0
		for _, r := range v {
			n += utf16.RuneLen(r)
		}
		return n
	case []any:
		return len(v)
	}
	return -1
}

func sameType(a, b any) bool { return typeName(a) == typeName(b) }

// looselyEqual is Jayway's ==: a string equals a number whose text it is, and a number a string that reads as it.
func looselyEqual(s *search, a, b any) bool {
	if !s.compares(a, b) {
		return false
	}
	switch a := a.(type) {
	case undefined:
		return false
	case string:
		switch b := b.(type) {
		case string:
			return a == b
		case json.Number:
			return a == string(b)
		}
		return false
	case json.Number:
		switch b := b.(type) {
		case string:
			_, err := strconv.ParseFloat(b, 64)
			return err == nil && CompareNumbers(a, json.Number(b)) == 0
		case json.Number:
			return CompareNumbers(a, b) == 0
		}
		return false
	case bool, nil:
		return a == b
	}
	return isComposite(a) && isComposite(b) && deepEqual(s, a, b)
}

// deepEqual compares two JSON values, numbers by value. Its work is counted: a filter compares once for each element.
func deepEqual(s *search, a, b any) bool {
	if !s.compares(a, b) {
		return false
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !deepEqual(s, a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			if w, ok := b[name]; !ok || !deepEqual(s, v, w) {
				return false
			}
		}
		return true
	case json.Number:
		n, ok := b.(json.Number)
		return ok && CompareNumbers(a, n) == 0
	}
	return !isComposite(b) && a == b
}

// ordered compares two numbers as numbers; a string with a string or a number as texts, as Jayway does.
func ordered(holds func(c int) bool) func(s *search, left, right any) bool {
	return func(_ *search, left, right any) bool {
		l, leftNumber := left.(json.Number)
		r, rightNumber := right.(json.Number)
		if leftNumber && rightNumber {
			return holds(CompareNumbers(l, r))
		}
		a, leftText := left.(string)
		b, rightText := right.(string)
		if leftNumber {
			a = string(l)
		}
		if rightNumber {
			b = string(r)
		}
		return (leftText || leftNumber) && (rightText || rightNumber) && holds(strings.Compare(a, b))
	}
}

// filterPattern is a regular expression.
type filterPattern struct {
	expression   *regexp.Regexp
	instructions int
}

// matches is =~: a pattern on one side matches the whole of a text on the other, or of one element of an array.
func matches(s *search, left, right any) bool {
	pattern, ok := right.(*filterPattern)
	if !ok {
		if pattern, ok = left.(*filterPattern); !ok {
			return false
		}
		left = right
	}
	if list, ok := left.([]any); ok {
		for _, v := range list {
			if matchesOne(s, pattern, v) {
				return true
			}
		}
		return false
	}
	return matchesOne(s, pattern, left)
}

// matchesOne counts the text's length, for a large pattern many times: Go's patterns run in time linear to the product of
// both. What is no scalar is the empty text.
func matchesOne(s *search, pattern *filterPattern, v any) bool {
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = string(v)
	case bool:
		text = strconv.FormatBool(v)
	}
	return s.env.spend(len(text)*(1+pattern.instructions/16)) && pattern.expression.MatchString(text)
}

func contains(s *search, list, v any) bool {
	a, _ := list.([]any)
	for _, each := range a {
		if looselyEqual(s, each, v) {
			return true
		}
		if !s.env.spend(0) { // a longer loop would go on over nothing
			return false
		}
	}
	return false
}

func bothLists(a, b any) bool {
	_, first := a.([]any)
	_, second := b.([]any)
	return first && second
}

// count is how many elements of a stand in b, both arrays.
func count(s *search, a, b any) (n int) {
	for _, v := range a.([]any) {
		if contains(s, b, v) {
			n++
		}
	}
	return n
}

// filter reads a filter from behind "[?".
func (p *pathParser) filter() (step, error) {
	p.depth++
	defer func() { p.depth-- }()
	p.space()
	if !p.eat("(") {
		return step{}, errors.New("'(' is expected after '[?'")
	}
	f, err := p.either()
	if err != nil {
		return step{}, err
	}
	p.space()
	if !p.eat(")") {
		return step{}, fmt.Errorf("')' is expected before %q", p.rest())
	}
	p.space()
	if !p.eat("]") {
		return step{}, errors.New("']' is expected after a filter")
	}
	return step{kind: filterStep, more: &selector{filter: f}}, nil
}

func (p *pathParser) either() (predicate, error) {
	left, err := p.both()
	for p.space(); err == nil && p.eat("||"); p.space() {
		var right predicate
		right, err = p.both()
		left = eitherOf{left, right}
	}
	return left, err
}

func (p *pathParser) both() (predicate, error) {
	left, err := p.single()
	for p.space(); err == nil && p.eat("&&"); p.space() {
		var right predicate
		right, err = p.single()
		left = bothOf{left, right}
	}
	return left, err
}

// single reads a negation, a condition in parentheses, a relation or a path that must exist.
func (p *pathParser) single() (predicate, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxFilterDepth {
		return nil, fmt.Errorf("a filter nests deeper than %d", maxFilterDepth)
	}
	p.space()
	switch {
	case p.eat("!"):
		of, err := p.single()
		return negation{of}, err
	case p.eat("("):
		of, err := p.either()
		if err != nil {
			return nil, err
		}
		if p.space(); !p.eat(")") {
			return nil, fmt.Errorf("')' is expected before %q", p.rest())
		}
		return of, nil
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	p.space()
	if left.path != nil && (p.i == len(p.s) || strings.IndexByte(")&|", p.s[p.i]) >= 0) {
		return exists{left.path}, nil
	}
	r := &relation{left: left, name: p.operator()}
	if r.holds = relations[strings.ToLower(r.name)]; r.holds == nil {
		return nil, fmt.Errorf("the filter's operator %q is not known", r.name)
	}
	p.space()
	r.right, err = p.operand()
	return r, err
}

func (p *pathParser) operator() string {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("=!<>~", p.s[p.i]) >= 0 {
		p.i++
	}
	if p.i == start {
		for p.i < len(p.s) && 'a' <= p.s[p.i]|0x20 && p.s[p.i]|0x20 <= 'z' {
			p.i++
		}
	}
	return p.s[start:p.i]
}

func (p *pathParser) operand() (operandNode, error) {
	if p.i == len(p.s) {
		return operandNode{}, errors.New("the filter ends where a value is expected")
	}
	switch c := p.s[p.i]; c {
	case '@', '$':
		inner, err := p.path()
		return operandNode{path: inner}, err
	case '\'', '"':
		text, err := p.literalText()
		return operandNode{literal: text, text: quoteName(text)}, err
	case '/':
		return p.pattern()
	case '[':
		list, err := p.list()
		return operandNode{literal: list, text: string(AppendJSON(nil, list))}, err
	}
	d := decoder{s: p.s, i: p.i, depth: maxDepth - maxFilterDepth}
	v, err := d.value()
	if err != nil {
		return operandNode{}, fmt.Errorf("a value is expected before %q", p.rest())
	}
	p.i = d.i
	return operandNode{literal: v, text: string(AppendJSON(nil, v))}, nil
}

// list reads an array of literals. Its strings may stand in single quotes: Jayway reads it permissively.
func (p *pathParser) list() ([]any, error) {
	list := []any{}
	p.i++
	for p.space(); !p.eat("]"); p.space() {
		if len(list) > 0 {
			if !p.eat(",") {
				return nil, fmt.Errorf("',' or ']' is expected before %q", p.rest())
			}
			p.space()
		}
		if p.i == len(p.s) || p.s[p.i] == '@' || p.s[p.i] == '$' || p.s[p.i] == '/' {
			return nil, errors.New("an array of a filter holds literals")
		}
		if p.depth++; p.depth > maxFilterDepth {
			return nil, fmt.Errorf("a filter nests deeper than %d", maxFilterDepth)
		}
		each, err := p.operand()
		if err != nil {
			return nil, err
		}
		p.depth--
		list = append(list, each.literal)
	}
	return list, nil
}

// literalText reads a string of a filter. A backslash stands for what follows it; n, r, t, b, f and u have their meaning
// of JSON, as Jayway's unescape has it.
func (p *pathParser) literalText() (string, error) {
	quote, text := p.s[p.i], []byte(nil)
	for p.i++; p.i < len(p.s); {
		c := p.s[p.i]
		switch {
		case c == quote:
			p.i++
			return string(text), nil
		case c != '\\' || p.i+1 == len(p.s):
			text = append(text, c)
			p.i++
		case strings.IndexByte("nrtbfu", p.s[p.i+1]) >= 0:
			d := decoder{s: p.s, i: p.i}
			r, err := d.escape()
			if err != nil {
				return "", errors.New("an escape in a filter's string is not valid")
			}
			text, p.i = append(text, string(r)...), d.i
		default:
			text = append(text, p.s[p.i+1])
			p.i += 2
		}
	}
	return "", errors.New("the closing quote of a string is missing")
}

// pattern reads /.../ and its flags. Go's syntax has no backreference and no lookaround: they are refused.
func (p *pathParser) pattern() (operandNode, error) {
	start := p.i
	for p.i++; p.i < len(p.s) && p.s[p.i] != '/'; p.i++ {
		if p.s[p.i] == '\\' && p.i+1 < len(p.s) {
			p.i++
		}
	}
	if p.i >= len(p.s) {
		return operandNode{}, errors.New("the closing '/' of a pattern is missing")
	}
	body := p.s[start+1 : p.i]
	flags := ""
	for p.i++; p.i < len(p.s) && strings.IndexByte("ims", p.s[p.i]) >= 0; p.i++ {
		flags += p.s[p.i : p.i+1]
	}
	prefix := ""
	if flags != "" {
		prefix = "(?" + flags + ")"
	}
	expression := prefix + `\A(?:` + strings.ReplaceAll(body, `\/`, "/") + `)\z`
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return operandNode{}, fmt.Errorf("the pattern /%s/ is not valid", body)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return operandNode{}, fmt.Errorf("the pattern /%s/ is not valid", body)
	}
	if *p.patterns += len(program.Inst); *p.patterns > maxPatterns {
		return operandNode{}, errors.New("the patterns of the definition are too large")
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return operandNode{}, fmt.Errorf("the pattern /%s/ is not valid", body)
	}
	return operandNode{literal: &filterPattern{re, len(program.Inst)}, text: p.s[start:p.i]}, nil
}
