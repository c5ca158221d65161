package jsonata

import (
	"maps"
	"slices"
)

// lambda is a function that the expression defines, with the frame and the context that it was defined in.
type lambda struct {
	params    []string
	signature *signature
	body      *node
	input     any
	env       *frame
	builtin   *builtin // of a partial application of one
}

// builtin is a function that is implemented here.
type builtin struct {
	name      string
	arity     int
	signature *signature
	apply     function
}

// call applies the function. It pays for the strings among the arguments, whatever the function does with them; the function pays for what it makes.
func (b *builtin) call(c *call, args []any) any {
	args = b.signature.validate(c, args)
	for _, arg := range args {
		if s, ok := arg.(string); ok {
			c.meter.spendBytes(len(s))
		}
	}
	return b.apply(c, args)
}

// matcher is a regular expression, which is a function from a string to its first match.
type matcher struct {
	regex *regex
	pos   int
}

// tailCall is what a function gives that ends with a call: the call is still to be made.
type tailCall struct {
	node  *node
	input any
	env   *frame
}

// call is what an implementation knows of the call it carries out.
type call struct {
	*evaluation
	name     any // undefined for a function without one
	position int
	input    any // the context
}

func (c *call) fail(code string, d details) {
	d.token = c.name
	fail(code, c.position, d)
}

// refuse says that an argument is none that the function can work with, where the reference has no code for that.
func (c *call) refuse(which string, v any) {
	c.fail(codeArgument, details{message: which, value: v})
}

func arity(f any) int {
	switch f := f.(type) {
	case *lambda:
		return len(f.params)
	case *builtin:
		return f.arity
	}
	return 2 // of a regular expression: the string, and where to start
}

// nameOf is how a procedure is written: $sum, or sum where the $ was forgotten. What has no name is undefined.
func nameOf(procedure *node) any {
	switch procedure.kind {
	case kindPath:
		return procedure.nodes[0].text
	case kindVariable:
		return procedure.text
	default:
		return undefined
	}
}

// call evaluates a call. first is the left side of ~>, the first argument.
func (e *evaluation) call(n *node, input any, env *frame, first []any) any {
	f := e.procedure(n, input, env, "T1005")
	args := slices.Clone(first)
	for _, arg := range n.nodes {
		args = append(args, e.eval(arg, input, env))
	}
	return e.invoke(f, args, &call{evaluation: e, name: nameOf(n.lhs), position: n.pos, input: input})
}

// procedure is the function that is called. If there is none, but one of the name with a $, the error says so.
func (e *evaluation) procedure(n *node, input any, env *frame, code string) any {
	f := e.eval(n.lhs, input, env)
	if isUndefined(f) && n.lhs.kind == kindPath {
		if name := n.lhs.nodes[0].text; !isUndefined(e.lookup(env, name)) {
			fail(code, n.pos, details{token: name})
		}
	}
	return f
}

// invoke applies a function. What a function ends with is called in this loop, and not in one that is nested in it. It counts by itself, since what ~>
// joins is called without a node that is evaluated.
func (e *evaluation) invoke(f any, args []any, c *call) any {
	e.enter(c.position)
	for {
		v := e.invokeOnce(f, args, c)
		next, ok := v.(*tailCall)
		if !ok {
			e.calls--
			return v
		}
		e.meter.position = next.node.pos
		e.meter.spend(1)
		f = e.procedure(next.node, next.input, next.env, "T1005")
		args = nil
		for _, arg := range next.node.nodes {
			args = append(args, e.eval(arg, next.input, next.env))
		}
		c = &call{evaluation: e, name: nameOf(next.node.lhs), position: next.node.pos, input: next.input}
	}
}

func (e *evaluation) invokeOnce(f any, args []any, c *call) any {
	switch f := f.(type) {
	case *lambda:
		args = f.signature.validate(c, args)
		inner := &frame{outer: f.env}
		for i, name := range f.params {
			inner.bind(name, argument(args, i))
		}
		if f.builtin != nil {
			return e.invokePartial(f, inner, c)
		}
		return e.eval(f.body, f.input, inner)
	case *builtin:
		return f.call(c, args)
	case *matcher:
		return c.matchObject(f, argument(args, 0))
	}
	c.fail("T1006", details{})
	return nil
}

// invokePartial calls a builtin some of whose arguments a partial application has bound.
func (e *evaluation) invokePartial(f *lambda, env *frame, c *call) any {
	args := make([]any, f.builtin.arity)
	for i := range args {
		args[i] = e.lookup(env, partialParam(i))
	}
	return f.builtin.call(c, args)
}

// partialParam names the parameters of a builtin, which have no names, as no variable can be named.
func partialParam(i int) string { return string([]byte{'#', byte('0' + i)}) }

func (e *evaluation) partial(n *node, input any, env *frame) any {
	f := e.procedure(n, input, env, "T1007")
	var from lambda
	switch f := f.(type) {
	case *lambda:
		from = *f
	case *builtin:
		from = lambda{builtin: f, env: env}
		for i := range f.arity {
			from.params = append(from.params, partialParam(i))
		}
	default:
		fail("T1008", n.pos, details{token: nameOf(n.lhs)})
	}
	result := &lambda{body: from.body, input: from.input, builtin: from.builtin, env: &frame{outer: from.env}}
	for i, name := range from.params {
		if i < len(n.nodes) && n.nodes[i].kind == kindPlaceholder {
			result.params = append(result.params, name)
			continue
		}
		v := undefined
		if i < len(n.nodes) {
			v = e.eval(n.nodes[i], input, env)
		}
		result.env.bind(name, v)
	}
	return result
}

// apply is ~>: the left side becomes the first argument, or two functions become one.
func (e *evaluation) apply(n *node, input any, env *frame) any {
	l := e.eval(n.lhs, input, env)
	if n.rhs.kind == kindCall { // what stands behind the call in brackets is passed over, as in the reference
		return e.call(n.rhs, input, env, []any{l})
	}
	f := e.eval(n.rhs, input, env)
	if !isFunction(f) {
		fail("T2006", n.pos, details{value: f})
	}
	c := &call{evaluation: e, name: undefined, position: n.pos}
	if !isFunction(l) {
		return e.invoke(f, []any{l}, c)
	}
	return &builtin{arity: 1, apply: func(c *call, args []any) any {
		return e.invoke(f, []any{e.invoke(l, args[:min(len(args), 1)], c)}, c)
	}}
}

// transformer makes the function of |pattern|update, delete|: it changes what the pattern finds in a copy of its argument.
func (e *evaluation) transformer(n *node, env *frame) any {
	return &builtin{name: "", arity: 1, signature: transformSignature, apply: func(c *call, args []any) any {
		if isUndefined(args[0]) {
			return undefined
		}
		clone := e.lookup(env, "clone")
		if !isFunction(clone) {
			fail("T2013", n.pos, details{})
		}
		from := args[0]
		if clone != any(builtins["clone"]) { // the user's own may hand out what it was given: what it gives is copied, too
			from = e.invoke(clone, args[:1], &call{evaluation: e, name: "clone", position: n.pos})
		}
		copies := &cloner{evaluation: e, position: n.pos, objects: map[uintptr]bool{}}
		result := copies.clone(from, 0)
		matches := e.eval(n.lhs, result, env)
		if isUndefined(matches) {
			return result
		}
		for _, found := range listOf(matches) {
			ours := copies.made(found) // a pattern may also lead to a variable, and so to what the state machine holds
			e.update(n, found, ours, env)
			e.delete(n, found, ours, env)
		}
		return result
	}}
}

var transformSignature = parseSignature("<(oa):o>", 0)

func (e *evaluation) update(n *node, found any, ours bool, env *frame) {
	update := e.eval(n.rhs, found, env)
	if isUndefined(update) {
		return
	}
	members, ok := update.(map[string]any)
	if !ok {
		fail("T2011", n.rhs.pos, details{value: update})
	}
	if ours {
		e.meter.spend(len(members))
		maps.Copy(found.(map[string]any), members)
	}
}

func (e *evaluation) delete(n *node, found any, ours bool, env *frame) {
	if n.third == nil {
		return
	}
	names := e.eval(n.third, found, env)
	if isUndefined(names) {
		return
	}
	list := listOf(names)
	if !allStrings(list) {
		fail("T2012", n.third.pos, details{value: names})
	}
	if ours {
		for _, name := range list {
			delete(found.(map[string]any), name.(string))
		}
	}
}
