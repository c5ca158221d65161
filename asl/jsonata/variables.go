package jsonata

import (
	"maps"
	"slices"
)

// variableFinder walks a tree with the names that are bound where it stands.
type variableFinder struct {
	free map[string]bool
}

// scopeNames are the names that a block, a function or a path binds.
type scopeNames struct {
	outer *scopeNames
	names map[string]bool
}

func (s *scopeNames) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.names[name] {
			return true
		}
	}
	return false
}

// freeVariables are the variables that are read and not bound within the expression. A binding counts from where it stands.
func freeVariables(root *node) []string {
	f := &variableFinder{free: map[string]bool{}}
	f.walk(root, &scopeNames{names: map[string]bool{}}, true)
	return slices.Sorted(maps.Keys(f.free))
}

// walk visits n. top says that the context is still that of the expression.
func (f *variableFinder) walk(n *node, s *scopeNames, top bool) {
	if n == nil {
		return
	}
	switch n.kind {
	case kindVariable:
		f.read(n.text, s, top)
	case kindBind:
		f.walk(n.rhs, s, top)
		s.names[n.lhs.text] = true
	case kindPath:
		f.path(n, s, top)
	case kindBlock:
		inner := &scopeNames{outer: s, names: map[string]bool{}}
		for _, sub := range n.nodes {
			f.walk(sub, inner, top)
		}
	case kindLambda:
		inner := &scopeNames{outer: s, names: map[string]bool{}}
		for _, name := range n.params {
			inner.names[name] = true
		}
		f.walk(n.rhs, inner, top)
	case kindTransform:
		for _, sub := range []*node{n.lhs, n.rhs, n.third} {
			f.walk(sub, s, false)
		}
	default:
		f.operands(n, s, top)
	}
	for _, p := range n.predicates {
		f.walk(p, s, false)
	}
	if n.group != nil {
		f.operands(n.group, s, false)
	}
}

func (f *variableFinder) operands(n *node, s *scopeNames, top bool) {
	for _, sub := range append([]*node{n.lhs, n.rhs, n.third}, n.nodes...) {
		f.walk(sub, s, top)
	}
	for _, pair := range n.pairs {
		f.walk(pair[0], s, top)
		f.walk(pair[1], s, top)
	}
}

// path binds with @ and #, for the steps behind and for what the path is grouped by.
func (f *variableFinder) path(n *node, outer *scopeNames, top bool) {
	s := &scopeNames{outer: outer, names: map[string]bool{}}
	for i, step := range n.nodes {
		f.walk(step, s, top && i == 0)
		if step.focus != "" {
			s.names[step.focus] = true
		}
		if step.index != "" {
			s.names[step.index] = true
		}
		for _, st := range step.stages {
			f.walk(st.filter, s, false)
			if st.index != "" {
				s.names[st.index] = true
			}
		}
		for _, t := range step.terms {
			f.walk(t.expr, s, false)
		}
	}
	if n.group != nil {
		f.operands(n.group, s, false)
	}
	for name := range s.names { // := binds for all that follows, also from within a step
		if outer != nil && !f.bindsStep(n, name) {
			outer.names[name] = true
		}
	}
}

// bindsStep reports whether a name is bound by a step's @ or #, and so ends with the path.
func (f *variableFinder) bindsStep(n *node, name string) bool {
	return slices.ContainsFunc(n.nodes, func(step *node) bool {
		return step.focus == name || step.index == name || slices.ContainsFunc(step.stages, func(st stage) bool { return st.index == name })
	})
}

func (f *variableFinder) read(name string, s *scopeNames, top bool) {
	switch {
	case name == "":
		if top {
			f.free[""] = true
		}
	case name == "$":
		f.free["$"] = true
	case !s.has(name) && builtins[name] == nil:
		f.free[name] = true
	}
}
