package asl

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// path is a compiled JSONPath. It follows Jayway's JsonPath, which AWS evaluates paths with, and its release 2.0 where
// later ones differ: that is what AWS shows in its errors. So the functions of later releases, such as length(), are
// names of members that nothing has, and a union of names is the last step.
type path struct {
	text     string
	context  bool   // from the context object, $$
	variable string // from a variable, $name
	current  bool   // from the element that a filter looks at, @
	steps    []step
	shape    pathShape
	names    int // bytes that set adds at most beside the value: names, braces and punctuation
}

// pathShape is what a path can give. The order matters: a path is of the last shape that one of its steps has.
type pathShape byte

const (
	oneNode    pathShape = iota // members and indexes alone: at most one node, found by a loop
	oneObject                   // a union of names at the end: at most one new object
	manyNodes                   // an array, of as many nodes as there are
	impossible                  // a union of names in the middle: AWS accepts it, and fails where it is evaluated
)

type stepKind byte

const (
	memberStep stepKind = iota
	indexStep
	membersStep // ['a','b']
	indexesStep // [0,1]
	sliceStep   // [1:3]
	wildStep    // * or [*]
	descendStep // ..: the rest of the path at this node and at each below it
	filterStep  // [?(...)]
)

type step struct {
	name  string
	index int // a negative one counts from the array's end
	kind  stepKind
	more  *selector // of the kinds that need more
}

// selector is what the rarer steps have.
type selector struct {
	names    []string
	indexes  []int
	from, to *int
	filter   predicate
}

// isRoot reports whether the path is "$": the whole input.
func (p *path) isRoot() bool {
	return len(p.steps) == 0 && !p.context && p.variable == ""
}

// root is what the path starts from, and a bound of its size.
func (e *env) root(p *path) (v any, bound int, f *failure) {
	switch {
	case p.context:
		v, bound = e.x.context(e.scope)
		return v, bound, nil
	case p.variable != "":
		v, ok := e.scope.variable(p.variable)
		if !ok {
			return nil, 0, undefinedVariable(p.variable)
		}
		return v.value, v.size, nil
	}
	return e.input, e.bound, nil
}

// find is the value that the path names, and a bound of its size. A path of many nodes is always found, as an array: AWS
// gives the empty one where a step before the first wildcard leads nowhere.
func (p *path) find(e *env) (v any, bound int, found bool, f *failure) {
	root, bound, f := e.root(p)
	if f != nil {
		return nil, 0, false, f
	}
	if p.shape == oneNode {
		v, steps := p.get(root)
		return v, bound, steps == len(p.steps), nil
	}
	return p.search(e, root, bound)
}

// lookup is find for whoever keeps no value.
func (p *path) lookup(e *env) (v any, found bool, f *failure) {
	v, _, found, f = p.find(e)
	return v, found, f
}

// get is the node that a path of one node names below root, and how many steps led to it: all of them, if it exists.
func (p *path) get(root any) (v any, steps int) {
	v = root
	for i := range p.steps {
		s := &p.steps[i]
		switch s.kind {
		case memberStep:
			m, ok := v.(map[string]any)
			if !ok {
				return v, i
			}
			if v, ok = m[s.name]; !ok {
				return m, i
			}
		case indexStep:
			a, ok := v.([]any)
			n := s.index
			if n < 0 {
				n += len(a)
			}
			if !ok || n < 0 || n >= len(a) {
				return v, i
			}
			v = a[n]
		default:
			return v, i
		}
	}
	return v, len(p.steps)
}

// missing says in the words of AWS (of Jayway's JsonPath, that is) why the path was not found below root.
func (p *path) missing(root any) string {
	v, steps := p.get(root)
	s := p.steps[steps]
	_, object := v.(map[string]any)
	array, isArray := v.([]any)
	last := steps == len(p.steps)-1
	switch {
	case p.shape == impossible:
		i := slices.IndexFunc(p.steps, func(s step) bool { return s.kind == membersStep })
		return "Multi properties can only be used as path leafs: " + p.normal(i+1)
	case s.kind == indexStep && !isArray:
		return fmt.Sprintf("Filter: %s can only be applied to arrays. Current context is: %s", s.normal(), AppendJSON(nil, v))
	case s.kind == indexStep && last:
		return "No results for path: " + p.normal(steps+1)
	case s.kind == indexStep:
		return fmt.Sprintf("Index out of bounds when evaluating path %s: length %d", p.normal(steps+1), len(array))
	case !object:
		return fmt.Sprintf("Expected to find an object with property %s in path %s but found '%s'", s.normal(), p.normal(steps), typeName(v))
	case last:
		return "No results for path: " + p.normal(steps+1)
	}
	return "Missing property in path " + p.normal(steps+1)
}

// normal writes the first n steps in bracket form, as AWS's causes have them: nothing is escaped.
func (p *path) normal(n int) string {
	b := []byte("$")
	for _, s := range p.steps[:n] {
		b = append(b, s.normal()...)
	}
	return string(b)
}

// set is root with v at the path. Only the objects and arrays on the way are copied; members on the way are made. It
// fails where a step meets something that is there and is of another shape.
func (p *path) set(root, v any) (any, bool) { return setStep(root, p.steps, v) }

func setStep(at any, steps []step, v any) (any, bool) {
	if len(steps) == 0 {
		return v, true
	}
	s := &steps[0]
	if s.kind == indexStep {
		a, ok := at.([]any)
		if !ok || s.index < 0 || s.index >= len(a) {
			return nil, false
		}
		if v, ok = setStep(a[s.index], steps[1:], v); !ok {
			return nil, false
		}
		a = slices.Clone(a)
		a[s.index] = v
		return a, true
	}
	m, ok := at.(map[string]any)
	if !ok {
		return nil, false
	}
	below, there := m[s.name]
	if !there && len(steps) > 1 {
		below = map[string]any{}
	}
	if v, ok = setStep(below, steps[1:], v); !ok {
		return nil, false
	}
	m = maps.Clone(m)
	m[s.name] = v
	return m, true
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
