package asl

import "fmt"

// maxWork bounds what one evaluation (of a payload template, or of a Choice state's rules) may do: in nodes that paths
// visit, values that filters compare (a text by its length), and of intrinsic functions the fourth part of the bytes that
// they write and the 64th part of those that they look at. A payload has at most 131,072 nodes, so looking at each of them some thirty times
// passes, and writing sixty payloads; "$..*..*..*" would run for hours.
const maxWork = 1 << 22

// spend takes n from the evaluation's work, and reports whether it was there.
func (e *env) spend(n int) bool {
	e.work += n
	return e.work <= maxWork
}

func tooMuchWork() *failure {
	return runtimeFailure(fmt.Sprintf("The evaluation takes more than %d steps.", maxWork))
}

// search evaluates a path in general, with all that a path may have. Members of an object come by name: the values here
// keep no other order, where AWS has that of the text.
type search struct {
	env  *env
	root any // the document, which a filter's "$" names
	out  []any
}

// search is find for the paths that get is not for.
func (p *path) search(e *env, root any, bound int) (any, int, bool, *failure) {
	if root == nil || p.shape == impossible {
		return nil, 0, false, nil
	}
	s := &search{env: e, root: root}
	s.walk(root, p.steps)
	switch {
	case e.work > maxWork:
		return nil, 0, false, tooMuchWork()
	case p.shape == manyNodes && p.overlaps():
		out := s.list()
		return out, sizeOf(out, maxPayload), true, nil
	case p.shape == manyNodes:
		return s.list(), bound + len(s.out) + len("[]"), true, nil
	case len(s.out) == 0:
		return nil, 0, false, nil
	}
	return s.out[0], bound, true, nil
}

// overlaps reports whether one node may come twice, or below another: then the results may be larger than the root.
func (p *path) overlaps() bool {
	for _, s := range p.steps {
		if s.kind == descendStep || s.kind == indexesStep || s.kind == membersStep || s.kind == sliceStep && s.more.from != nil && *s.more.from < 0 {
			return true
		}
	}
	return false
}

// list is what was found: never nil.
func (s *search) list() []any {
	if s.out == nil {
		return []any{}
	}
	return s.out
}

// walk adds what the steps name below at.
func (s *search) walk(at any, steps []step) {
	if !s.env.spend(1) {
		return
	}
	if len(steps) == 0 {
		s.out = append(s.out, at)
		return
	}
	st, rest := &steps[0], steps[1:]
	switch st.kind {
	case memberStep:
		if m, ok := at.(map[string]any); ok {
			if v, ok := m[st.name]; ok {
				s.walk(v, rest)
			}
		}
	case membersStep:
		if m, ok := at.(map[string]any); ok {
			s.walk(st.more.members(m), rest)
		}
	case wildStep:
		s.children(at, rest)
	case descendStep:
		s.descend(at, rest)
	case filterStep:
		s.filter(at, st.more.filter, rest)
	case indexStep, indexesStep, sliceStep:
		if a, ok := at.([]any); ok {
			s.elements(a, st, rest)
		}
	}
}

// members is a new object of the members that are there, as Jayway gives it.
func (m *selector) members(of map[string]any) map[string]any {
	some := make(map[string]any, len(m.names))
	for _, name := range m.names {
		if v, ok := of[name]; ok {
			some[name] = v
		}
	}
	return some
}

func (s *search) element(a []any, i int, rest []step) {
	if i < 0 {
		i += len(a)
	}
	if i >= 0 && i < len(a) {
		s.walk(a[i], rest)
	}
}

// elements takes the elements that an index, a union or a slice names. A slice with two ends is Jayway's: the end is not
// counted from the array's end, and each index between is read as an index would be. So [1:-1] names nothing.
func (s *search) elements(a []any, st *step, rest []step) {
	switch st.kind {
	case indexStep:
		s.element(a, st.index, rest)
		return
	case indexesStep:
		for _, i := range st.more.indexes {
			s.element(a, i, rest)
		}
		return
	default:
	}
	from, to := 0, len(a)
	switch m := st.more; {
	case m.to == nil:
		if from = *m.from; from < 0 {
			from = max(0, from+len(a))
		}
	case m.from == nil:
		if to = min(to, *m.to); *m.to < 0 {
			to = *m.to + len(a)
		}
	default:
		from, to = max(*m.from, -len(a)), min(to, *m.to)
	}
	for i := from; i < to; i++ {
		s.element(a, i, rest)
	}
}

func (s *search) children(at any, rest []step) {
	switch at := at.(type) {
	case []any:
		for _, v := range at {
			s.walk(v, rest)
		}
	case map[string]any:
		for _, name := range sortedNames(at) {
			s.walk(at[name], rest)
		}
	}
}

// descend takes the rest of the path at this node, then at each below it. A filter there looks at each object itself: the
// array around it would bring the same objects once more.
func (s *search) descend(at any, rest []step) {
	if !s.env.spend(1) {
		return
	}
	if rest[0].kind != filterStep {
		s.walk(at, rest)
	}
	switch at := at.(type) {
	case []any:
		for _, v := range at {
			s.descend(v, rest)
		}
	case map[string]any:
		if rest[0].kind == filterStep {
			s.walk(at, rest)
		}
		for _, name := range sortedNames(at) {
			s.descend(at[name], rest)
		}
	}
}

// filter takes the elements of an array that the filter accepts, or an object if it accepts the object. It accepts no
// scalar: "@ matches only objects" (AWS, Using JSONPath paths).
func (s *search) filter(at any, f predicate, rest []step) {
	switch at := at.(type) {
	case []any:
		for _, v := range at {
			if isComposite(v) && f.accepts(s, v) {
				s.walk(v, rest)
			}
			if !s.env.spend(0) { // a filter of many conditions is long even when each gives up at once
				return
			}
		}
	case map[string]any:
		if f.accepts(s, at) {
			s.walk(at, rest)
		}
	}
}

func isComposite(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}
