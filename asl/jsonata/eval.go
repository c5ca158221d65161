package jsonata

import (
	"math"
	"math/rand/v2"

	"github.com/utkarsh698/cloudflow/asl"
)

// evaluation is one run of an expression.
type evaluation struct {
	scope  asl.ExpressionScope
	meter  meter
	calls  int // how deep evaluations and calls are nested
	chance *rand.Rand
}

// frame holds the variables of a block or a call.
type frame struct {
	outer *frame
	names []string
	bound []any
}

func (f *frame) bind(name string, v any) {
	for i, n := range f.names {
		if n == name {
			f.bound[i] = v
			return
		}
	}
	f.names, f.bound = append(f.names, name), append(f.bound, v)
}

// lookup finds a variable: what the expression bound, then what the state machine did, then what is built in.
func (e *evaluation) lookup(f *frame, name string) any {
	for ; f != nil; f = f.outer {
		for i, n := range f.names {
			if n == name {
				return f.bound[i]
			}
		}
	}
	if e.scope.Variable != nil && name != "$" && name != "" {
		if v, defined := e.scope.Variable(name); defined {
			return v
		}
	}
	if b, ok := builtins[name]; ok {
		return b
	}
	return undefined
}

// enter pays for an evaluation or a call that is nested in the one at hand. Whoever is done with it takes one off calls.
func (e *evaluation) enter(position int) {
	if e.calls++; e.calls > maxCalls {
		fail(codeStack, position, details{})
	}
	e.meter.position = position
	e.meter.spend(1)
}

// eval evaluates a node with input as the context.
func (e *evaluation) eval(n *node, input any, env *frame) any {
	e.enter(n.pos)
	v := e.evalKind(n, input, env)
	for _, p := range n.predicates {
		v = e.filter(p, v, env)
	}
	if n.group != nil && n.kind != kindPath {
		v = e.groupBy(n.group, v, env)
	}
	e.calls--
	return settled(v, n.keepArray)
}

// settled makes of a sequence what it stands for: of one item the item, of none undefined.
func settled(v any, keepArray bool) any {
	a, ok := v.(*array)
	if !ok || !a.sequence || a.tuples {
		return v
	}
	if keepArray {
		a.keepSingleton = true
	}
	switch {
	case len(a.items) == 0:
		return undefined
	case len(a.items) == 1 && !a.keepSingleton:
		return a.items[0]
	}
	return a
}

func (e *evaluation) evalKind(n *node, input any, env *frame) any {
	switch n.kind {
	case kindPath:
		return e.path(n, input, env)
	case kindName:
		return e.field(input, n.text)
	case kindString:
		return n.text
	case kindNumber, kindLiteral:
		return n.value
	case kindVariable:
		if n.text == "" {
			return input
		}
		return e.lookup(env, n.text)
	case kindParent:
		return e.lookup(env, n.slot.label)
	case kindWildcard:
		return e.wildcard(input)
	case kindDescendant:
		return e.descendants(input)
	case kindBinary:
		return e.binary(n, input, env)
	case kindMinus:
		return e.minus(n, input, env)
	case kindArray:
		return e.array(n, input, env)
	case kindObject:
		return e.groupBy(n, input, env)
	case kindCondition:
		return e.condition(n, input, env)
	case kindBlock:
		return e.block(n, input, env)
	case kindBind:
		v := e.eval(n.rhs, input, env)
		env.bind(n.lhs.text, v)
		return v
	case kindRegexp:
		return &matcher{regex: n.regex, pos: n.pos}
	case kindCall:
		return e.call(n, input, env, nil)
	case kindPartial:
		return e.partial(n, input, env)
	case kindApply:
		return e.apply(n, input, env)
	case kindTransform:
		return e.transformer(n, env)
	case kindLambda:
		return &lambda{params: n.params, signature: n.signature, body: n.rhs, input: input, env: env}
	case kindTailCall:
		return &tailCall{node: n.lhs, input: input, env: env}
	default:
		return undefined // the others are rewritten by compile, or stand in nodes that look at them
	}
}

func (e *evaluation) block(n *node, input any, env *frame) any {
	inner := &frame{outer: env}
	v := undefined
	for _, sub := range n.nodes {
		v = e.eval(sub, input, inner)
	}
	return v
}

func (e *evaluation) condition(n *node, input any, env *frame) any {
	if e.truth(e.eval(n.lhs, input, env), n.pos) {
		return e.eval(n.rhs, input, env)
	}
	if n.third != nil {
		return e.eval(n.third, input, env)
	}
	return undefined
}

// truth is what $boolean makes of a value; undefined is false.
func (e *evaluation) truth(v any, position int) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != ""
	case map[string]any:
		return len(v) > 0
	case []any, *array:
		return e.anyTruth(listOf(v), position, 0)
	}
	return numeric(v, position) && float(v) != 0
}

func (e *evaluation) anyTruth(list []any, position, depth int) bool {
	if depth > maxNesting {
		fail(codeNesting, position, details{})
	}
	for _, v := range list {
		e.meter.spend(1)
		if inner, ok := items(v); ok {
			if e.anyTruth(inner, position, depth+1) {
				return true
			}
		} else if e.truth(v, position) {
			return true
		}
	}
	return false
}

func (e *evaluation) minus(n *node, input any, env *frame) any {
	v := e.eval(n.lhs, input, env)
	if isUndefined(v) {
		return v
	}
	if !numeric(v, n.pos) {
		fail("D1002", n.pos, details{value: v})
	}
	return -float(v)
}

func (e *evaluation) array(n *node, input any, env *frame) any {
	list := []any{}
	for _, sub := range n.nodes {
		v := e.eval(sub, input, env)
		switch elements, isArray := items(v); {
		case isUndefined(v):
		case isArray && sub.kind != kindArray:
			e.meter.spend(len(elements))
			list = append(list, elements...)
		default:
			e.meter.spend(1)
			list = append(list, v)
		}
	}
	return &array{items: list, cons: n.cons}
}

func (e *evaluation) binary(n *node, input any, env *frame) any {
	l := e.eval(n.lhs, input, env)
	switch n.text {
	case "and":
		return e.truth(l, n.pos) && e.truth(e.eval(n.rhs, input, env), n.pos)
	case "or":
		return e.truth(l, n.pos) || e.truth(e.eval(n.rhs, input, env), n.pos)
	}
	r := e.eval(n.rhs, input, env)
	switch n.text {
	case "=", "!=":
		if isUndefined(l) || isUndefined(r) {
			return false
		}
		return e.equal(l, r, n.pos) == (n.text == "=")
	case "<", "<=", ">", ">=":
		return e.compare(n, l, r)
	case "&":
		s, t := e.text(l, n.pos), e.text(r, n.pos)
		e.meter.spendBytes(len(s) + len(t))
		return s + t
	case "..":
		return e.numbersBetween(n, l, r)
	case "in":
		return e.includes(l, r)
	}
	return arithmetic(n, l, r)
}

func arithmetic(n *node, l, r any) any {
	if !isUndefined(l) && !numeric(l, n.pos) {
		fail("T2001", n.pos, details{token: n.text, value: l})
	}
	if !isUndefined(r) && !numeric(r, n.pos) {
		fail("T2002", n.pos, details{token: n.text, value: r})
	}
	if isUndefined(l) || isUndefined(r) {
		return undefined
	}
	a, b := float(l), float(r)
	switch n.text {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	}
	return math.Mod(a, b)
}

func (e *evaluation) compare(n *node, l, r any) any {
	comparable := func(v any) bool {
		_, isString := v.(string)
		return isString || isNumber(v)
	}
	for _, v := range []any{l, r} {
		if !isUndefined(v) && !comparable(v) {
			fail("T2010", n.pos, details{token: n.text, value: v})
		}
	}
	if isUndefined(l) || isUndefined(r) {
		return undefined
	}
	if isNumber(l) != isNumber(r) {
		fail("T2009", n.pos, details{token: n.text, value: l, value2: r})
	}
	var order int
	if isNumber(l) {
		if math.IsNaN(float(l)) || math.IsNaN(float(r)) {
			return false
		}
		order = compareNumbers(l, r)
	} else {
		order = e.compareStrings(l.(string), r.(string))
	}
	switch n.text {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// text is what & makes of a value.
func (e *evaluation) text(v any, position int) string {
	switch v := v.(type) {
	case string:
		return v
	case undefinedValue, *lambda, *builtin, *matcher:
		return ""
	default:
		return string(appendValue(nil, e.finite(v, position), printer{position: position, meter: &e.meter}))
	}
}

// finite refuses to write the numbers that JSON has not.
func (e *evaluation) finite(v any, position int) any {
	if isNumber(v) && (math.IsInf(float(v), 0) || math.IsNaN(float(v))) {
		fail("D3001", position, details{})
	}
	return v
}

func (e *evaluation) numbersBetween(n *node, l, r any) any {
	integer := func(v any) bool {
		return isNumber(v) && float(v) == math.Trunc(float(v)) && !math.IsInf(float(v), 0)
	}
	if !isUndefined(l) && !integer(l) {
		fail("T2003", n.pos, details{value: l})
	}
	if !isUndefined(r) && !integer(r) {
		fail("T2004", n.pos, details{value: r})
	}
	if isUndefined(l) || isUndefined(r) || float(l) > float(r) {
		return undefined
	}
	first, size := float(l), float(r)-float(l)+1
	if size > maxRange {
		fail("D2014", n.pos, details{value: size})
	}
	e.meter.spend(int(size))
	list := make([]any, int(size))
	for i := range list {
		list[i] = first + float64(i)
	}
	return sequenceOf(list...)
}

// includes is the operator in. As in the reference objects and arrays are members of nothing.
func (e *evaluation) includes(l, r any) any {
	if isUndefined(l) || isUndefined(r) {
		return false
	}
	list := listOf(r)
	e.meter.spend(len(list))
	for _, v := range list {
		if same, simple := e.equalSimple(l, v); simple && same {
			return true
		}
	}
	return false
}

// equalSimple compares what is neither object nor array.
func (e *evaluation) equalSimple(a, b any) (equal, simple bool) {
	switch a := a.(type) {
	case nil:
		return b == nil, true
	case bool:
		t, ok := b.(bool)
		return ok && a == t, true
	case string:
		t, ok := b.(string)
		if !ok || len(a) != len(t) {
			return false, true
		}
		e.meter.spendBytes(len(a))
		return a == t, true
	case *lambda, *builtin, *matcher:
		return a == b, true
	}
	if isNumber(a) {
		return isNumber(b) && !math.IsNaN(float(a)) && compareNumbers(a, b) == 0, true
	}
	return false, false
}

func (e *evaluation) equal(a, b any, position int) bool { return e.deepEqual(a, b, position, 0) }

func (e *evaluation) deepEqual(a, b any, position, depth int) bool {
	if depth > maxNesting {
		fail(codeNesting, position, details{})
	}
	e.meter.spend(1)
	if equal, simple := e.equalSimple(a, b); simple {
		return equal
	}
	if list, ok := items(a); ok {
		other, ok := items(b)
		if !ok || len(list) != len(other) {
			return false
		}
		for i := range list {
			if !e.deepEqual(list[i], other[i], position, depth+1) {
				return false
			}
		}
		return true
	}
	m, ok := a.(map[string]any)
	other, otherOK := b.(map[string]any)
	if !ok || !otherOK || len(m) != len(other) {
		return false
	}
	e.meter.spend(len(m))
	for _, name := range sortedNames(m) { // in order, since where it ends is counted
		w, has := other[name]
		if !has || !e.deepEqual(m[name], w, position, depth+1) {
			return false
		}
	}
	return true
}
