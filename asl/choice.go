package asl

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// choice is the compiled part of a Choice state.
type choice struct {
	rules    []topRule
	fallback *state // Default
}

type topRule struct {
	rule    rule
	next    *state
	leaving leaving
}

// rule is one condition: a comparison, or And, Or, Not of conditions.
type rule interface {
	holds(e *env) (bool, *failure)
}

type allOf []rule

func (r allOf) holds(e *env) (bool, *failure) {
	for _, each := range r {
		if ok, f := each.holds(e); f != nil || !ok {
			return false, f
		}
	}
	return true, nil
}

type anyOf []rule

func (r anyOf) holds(e *env) (bool, *failure) {
	for _, each := range r {
		if ok, f := each.holds(e); f != nil || ok {
			return ok, f
		}
	}
	return false, nil
}

type not struct{ rule rule }

func (r not) holds(e *env) (bool, *failure) {
	ok, f := r.rule.holds(e)
	return !ok, f
}

// typeTest is IsPresent, IsNull and the other Is operators.
type typeTest struct {
	variable *path
	present  bool // IsPresent: what is absent is no error
	is       func(v any) bool
	want     bool
}

func (r *typeTest) holds(e *env) (bool, *failure) {
	if r.present {
		_, found, f := r.variable.lookup(e)
		return (found && f == nil) == r.want, nil // a variable that is not defined is absent, no error
	}
	v, f := r.variable.chosen(e)
	if f != nil {
		return false, f
	}
	return r.is(v) == r.want, nil
}

var typeTests = map[string]func(v any) bool{
	"IsPresent": nil,
	"IsNull":    func(v any) bool { return v == nil },
	"IsString":  func(v any) bool { _, ok := v.(string); return ok },
	"IsNumeric": func(v any) bool { _, ok := v.(json.Number); return ok },
	"IsBoolean": func(v any) bool { _, ok := v.(bool); return ok },
	"IsTimestamp": func(v any) bool {
		s, ok := v.(string)
		if ok {
			_, ok = parseTimestamp(s)
		}
		return ok
	},
}

// comparison compares the variable with a constant, or with what a second path names. Values of two types are never
// equal, less or greater: the comparison is false, not an error.
type comparison struct {
	variable *path
	kind     operandType
	order    func(c int) bool
	constant operand
	other    *path // the ...Path forms
}

type operandType byte

const (
	stringOperand operandType = iota
	numericOperand
	booleanOperand
	timestampOperand
)

// operand is a value read as the comparison's type.
type operand struct {
	text string
	bool bool
	time time.Time
}

func (r *comparison) holds(e *env) (bool, *failure) {
	v, f := r.variable.chosen(e)
	if f != nil {
		return false, f
	}
	right := r.constant
	if r.other != nil {
		w, f := r.other.chosen(e)
		if f != nil {
			return false, f
		}
		var ok bool
		if right, ok = r.kind.read(w); !ok {
			return false, nil
		}
	}
	left, ok := r.kind.read(v)
	return ok && r.order(r.kind.compare(left, right)), nil
}

func (k operandType) read(v any) (operand, bool) {
	switch k {
	case stringOperand:
		s, ok := v.(string)
		return operand{text: s}, ok
	case numericOperand:
		n, ok := v.(json.Number)
		return operand{text: string(n)}, ok
	case booleanOperand:
		b, ok := v.(bool)
		return operand{bool: b}, ok
	case timestampOperand:
		if s, ok := v.(string); ok {
			t, ok := parseTimestamp(s)
			return operand{time: t}, ok
		}
	}
	return operand{}, false
}

func (k operandType) compare(a, b operand) int {
	switch {
	case k == stringOperand:
		return strings.Compare(a.text, b.text)
	case k == numericOperand:
		return CompareNumbers(json.Number(a.text), json.Number(b.text))
	case k == timestampOperand:
		return a.time.Compare(b.time)
	case a.bool == b.bool:
		return 0
	}
	return 1 // booleans are only compared for equality
}

// comparisons are the operators with a type, an order and a ...Path form.
var comparisons = func() map[string]comparison {
	m := make(map[string]comparison)
	for name, kind := range map[string]operandType{
		"String": stringOperand, "Numeric": numericOperand, "Timestamp": timestampOperand,
	} {
		m[name+"Equals"] = comparison{kind: kind, order: func(c int) bool { return c == 0 }}
		m[name+"LessThan"] = comparison{kind: kind, order: func(c int) bool { return c < 0 }}
		m[name+"LessThanEquals"] = comparison{kind: kind, order: func(c int) bool { return c <= 0 }}
		m[name+"GreaterThan"] = comparison{kind: kind, order: func(c int) bool { return c > 0 }}
		m[name+"GreaterThanEquals"] = comparison{kind: kind, order: func(c int) bool { return c >= 0 }}
	}
	m["BooleanEquals"] = comparison{kind: booleanOperand, order: func(c int) bool { return c == 0 }}
	return m
}()

// pattern is StringMatches: the literal texts between its asterisks.
type pattern struct {
	variable *path
	texts    []string
}

// compilePattern splits at each '*' that no backslash escapes. A backslash escapes '*' and itself.
func compilePattern(s string) []string {
	texts, text := []string(nil), []byte(nil)
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '\\'):
			i++
			text = append(text, s[i])
		case s[i] == '*':
			texts, text = append(texts, string(text)), nil
		default:
			text = append(text, s[i])
		}
	}
	return append(texts, string(text))
}

func (r *pattern) holds(e *env) (bool, *failure) {
	v, f := r.variable.chosen(e)
	if f != nil {
		return false, f
	}
	s, ok := v.(string)
	return ok && matchTexts(r.texts, s), nil
}

// matchTexts takes each text at its first place: where that fails, a later place fails too.
func matchTexts(texts []string, s string) bool {
	if len(texts) == 1 {
		return s == texts[0]
	}
	s, ok := strings.CutPrefix(s, texts[0])
	if !ok {
		return false
	}
	last := len(texts) - 1
	for _, text := range texts[1:last] {
		if _, s, ok = strings.Cut(s, text); !ok {
			return false
		}
	}
	return strings.HasSuffix(s, texts[last])
}

// chosen is the value that a condition asks for. What is not there is a failure for every operator but IsPresent.
func (p *path) chosen(e *env) (any, *failure) {
	v, found, f := p.lookup(e)
	if f == nil && !found {
		f = runtimeFailure("Invalid path '" + p.text + "': The choice state's condition path references an invalid value.")
	}
	return v, f
}

// rule compiles a condition. Only a top rule has Next and Assign; nil is a rule with a problem.
func (c *compiler) rule(o *fields, top bool) rule {
	defer o.done()
	o.text("Comment")
	operators := slices.DeleteFunc(sortedNames(o.m), func(name string) bool {
		switch name {
		case "Variable", "Comment":
			return true
		case "Next", "Assign":
			return top
		}
		return false
	})
	if len(operators) != 1 {
		c.problem(o.ptr, fmt.Sprintf("exactly one comparison operator is required, there are %d: %v", len(operators), operators))
		o.ignore("Variable")
		o.ignore(operators...)
		return nil
	}
	return c.operator(o, operators[0])
}

func (c *compiler) operator(o *fields, name string) rule {
	switch name {
	case "And", "Or":
		rules := []rule(nil)
		for _, each := range o.objects(name, true) {
			rules = append(rules, c.rule(each, false))
		}
		o.forbid("Variable", "does not go with "+name)
		if name == "And" {
			return allOf(rules)
		}
		return anyOf(rules)
	case "Not":
		o.forbid("Variable", "does not go with Not")
		if inner := o.object(name); inner != nil {
			return not{c.rule(inner, false)}
		}
		return nil
	}
	variable := o.reference("Variable", true)
	if is, ok := typeTests[name]; ok {
		return &typeTest{variable: variable, present: name == "IsPresent", is: is, want: o.boolean(name)}
	}
	if name == "StringMatches" {
		return &pattern{variable, compilePattern(o.text(name))}
	}
	bare, isPath := strings.CutSuffix(name, "Path")
	r, ok := comparisons[bare]
	if !ok {
		c.problem(o.at(name), "the comparison operator is not known")
		o.ignore(name)
		return nil
	}
	r.variable = variable
	if isPath {
		r.other = o.reference(name, true)
		return &r
	}
	v := o.value(name)
	if r.constant, ok = r.kind.read(v); !ok {
		c.problem(o.at(name), r.kind.want())
	}
	return &r
}

func (k operandType) want() string {
	switch k {
	case stringOperand:
		return "a string is expected"
	case numericOperand:
		return "a number is expected"
	case booleanOperand:
		return "a boolean is expected"
	case timestampOperand:
	}
	return "String does not match RFC3339 timestamp"
}
