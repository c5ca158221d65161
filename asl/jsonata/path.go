package jsonata

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
)

// path evaluates steps from left to right, each with every item of what the one before it gave as its context.
func (e *evaluation) path(n *node, input any, env *frame) any {
	list := []any{input}
	if elements, isArray := items(input); isArray && n.nodes[0].kind != kindVariable {
		list = elements
	}
	var result any
	var tuples *array // from the first step on that has @, # or an ancestor
	isTuples := false
	for i, step := range n.nodes {
		isTuples = isTuples || step.tuple
		switch {
		case i == 0 && step.cons:
			result = e.eval(step, sequenceOf(list...), env)
		case isTuples:
			tuples = e.tupleStep(step, list, tuples, env)
		default:
			result = e.step(step, list, env, i == len(n.nodes)-1)
		}
		if !isTuples {
			elements, isArray := items(result)
			if isUndefined(result) || isArray && len(elements) == 0 {
				break
			}
			// What [...][0] gives is no array, and as in the reference a step behind it finds nothing: ([...][0]).name does.
			if step.focus == "" {
				list = elements
			}
		}
	}
	if isTuples {
		result = e.ofTuples(n, tuples)
	}
	if n.keepSingleton {
		result = keepSingleton(result)
	}
	if n.group != nil {
		if isTuples {
			return e.groupBy(n.group, tuples, env)
		}
		return e.groupBy(n.group, result, env)
	}
	return result
}

func (e *evaluation) ofTuples(n *node, tuples *array) any {
	if n.tuple {
		return tuples
	}
	seq := sequenceOf()
	for _, t := range tuples.items {
		seq.items = append(seq.items, t.(tuple)["@"])
	}
	return seq
}

func keepSingleton(v any) any {
	a, ok := v.(*array)
	if !ok {
		return v // a plain array stays one anyhow
	}
	if a.cons && !a.sequence {
		a = sequenceOf(a)
	}
	a.keepSingleton = true
	return a
}

func (e *evaluation) step(n *node, list []any, env *frame, last bool) any {
	if n.kind == kindSort {
		return e.filterAll(n, e.orderBy(n, list, env), env)
	}
	var results []any
	for _, item := range list {
		v := e.eval(n, item, env)
		for _, s := range n.stages {
			v = e.filter(s.filter, v, env)
		}
		if !isUndefined(v) {
			results = append(results, v)
		}
	}
	if last && len(results) == 1 && !isSequence(results[0]) {
		if _, isArray := items(results[0]); isArray {
			return results[0]
		}
	}
	seq := sequenceOf()
	for _, v := range results {
		elements, isArray := items(v)
		if a, marked := v.(*array); marked && a.cons {
			isArray = false
		}
		if !isArray {
			elements = []any{v}
		}
		e.meter.spend(len(elements))
		seq.items = append(seq.items, elements...)
	}
	return seq
}

func (e *evaluation) filterAll(n *node, v any, env *frame) any {
	for _, s := range n.stages {
		if s.filter != nil {
			v = e.filter(s.filter, v, env)
			continue
		}
		list, _ := items(v)
		for i, item := range list {
			if t, ok := item.(tuple); ok {
				t[s.index] = float64(i)
			}
		}
	}
	return v
}

// tupleStep is a step in a path that keeps more of an item than its value: what @ and # bound, and its ancestors.
func (e *evaluation) tupleStep(n *node, list []any, tuples *array, env *frame) *array {
	if n.kind == kindSort {
		return e.tupleSort(n, list, tuples, env)
	}
	if tuples == nil {
		tuples = &array{tuples: true}
		for _, item := range list {
			tuples.items = append(tuples.items, tuple{"@": item})
		}
	}
	result := &array{sequence: true, tuples: true}
	for _, item := range tuples.items {
		from := item.(tuple)
		v := e.eval(n, from["@"], frameOf(env, from))
		if isUndefined(v) {
			continue
		}
		for i, found := range listOf(v) {
			e.meter.spend(1 + len(from))
			result.items = append(result.items, from.with(n, found, i))
		}
	}
	filtered, ok := e.filterAll(n, result, env).(*array)
	if !ok || !filtered.tuples {
		return &array{sequence: true, tuples: true}
	}
	return filtered
}

// with is the tuple of an item that a step found for t.
func (t tuple) with(n *node, found any, index int) tuple {
	to := maps.Clone(t)
	if inner, ok := found.(tuple); ok {
		maps.Copy(to, inner)
		return to
	}
	if n.focus != "" {
		to[n.focus] = found
	} else {
		to["@"] = found
	}
	if n.index != "" {
		to[n.index] = float64(index)
	}
	if n.ancestor != nil {
		to[n.ancestor.label] = t["@"]
	}
	return to
}

func (e *evaluation) tupleSort(n *node, list []any, tuples *array, env *frame) *array {
	result := &array{sequence: true, tuples: true}
	if tuples != nil {
		result.items, _ = items(e.orderBy(n, tuples, env))
	} else {
		sorted, _ := items(e.orderBy(n, list, env))
		for i, v := range sorted {
			t := tuple{"@": v}
			if n.index != "" {
				t[n.index] = float64(i)
			}
			result.items = append(result.items, t)
		}
	}
	if filtered, ok := e.filterAll(n, result, env).(*array); ok && filtered.tuples {
		return filtered
	}
	return &array{sequence: true, tuples: true}
}

// frameOf makes variables of what a tuple holds.
func frameOf(env *frame, t tuple) *frame {
	f := &frame{outer: env}
	for name, v := range t {
		f.names, f.bound = append(f.names, name), append(f.bound, v)
	}
	return f
}

// filter keeps the items that a predicate holds for, or those at the positions that it names.
func (e *evaluation) filter(p *node, input any, env *frame) any {
	result := &array{sequence: true, tuples: isTuples(input)}
	list := listOf(input)
	if p.kind == kindNumber {
		i, ok := position(p.value, len(list))
		if !ok || isUndefined(list[i]) {
			return result
		}
		if _, isArray := items(list[i]); isArray {
			return list[i]
		}
		result.items = []any{list[i]}
		return result
	}
	for i, item := range list {
		context, inner := item, env
		if t, ok := item.(tuple); ok {
			context, inner = t["@"], frameOf(env, t)
		}
		for range e.selections(p, context, inner, i, len(list)) {
			result.items = append(result.items, item)
		}
	}
	return result
}

// selections says how often the item at i is selected: more than once by a predicate that names its position repeatedly.
func (e *evaluation) selections(p *node, context any, env *frame, i, length int) int {
	v := e.eval(p, context, env)
	positions := listOf(v)
	e.meter.spend(len(positions))
	if !allNumeric(positions, p.pos) {
		if e.truth(v, p.pos) {
			return 1
		}
		return 0
	}
	n := 0
	for _, at := range positions {
		if index, ok := position(at, length); ok && index == i {
			n++
		}
	}
	return n
}

// position is the index that a number means: rounded down, from the end where it is negative.
func position(v any, length int) (int, bool) {
	i := math.Floor(float(v))
	if i < 0 {
		i += float64(length)
	}
	if !(i >= 0 && i < float64(length)) {
		return 0, false
	}
	return int(i), true
}

// field is a member of an object, or that of each object of an array.
func (e *evaluation) field(input any, name string) any {
	if m, ok := input.(map[string]any); ok {
		if v, has := m[name]; has {
			return v
		}
		return undefined
	}
	list, isArray := items(input)
	if !isArray {
		return undefined
	}
	seq := sequenceOf()
	e.fields(seq, list, name, 0)
	return seq
}

func (e *evaluation) fields(seq *array, list []any, name string, depth int) {
	if depth > maxNesting {
		fail(codeNesting, e.meter.position, details{})
	}
	for _, item := range list {
		e.meter.spend(1)
		if inner, isArray := items(item); isArray {
			e.fields(seq, inner, name, depth+1)
			continue
		}
		m, _ := item.(map[string]any)
		v, has := m[name]
		if !has || isUndefined(v) {
			continue
		}
		if elements, isArray := items(v); isArray {
			e.meter.spend(len(elements))
			seq.items = append(seq.items, elements...)
		} else {
			seq.items = append(seq.items, v)
		}
	}
}

// wildcard are the members of an object, or the elements of an array, arrays among them flattened.
func (e *evaluation) wildcard(input any) any {
	seq := sequenceOf()
	members, _ := items(input)
	if m, ok := input.(map[string]any); ok {
		for _, name := range sortedNames(m) {
			members = append(members, m[name])
		}
	}
	for _, v := range members {
		if elements, isArray := items(v); isArray {
			seq.sequence = false // as in the reference, where concatenation takes the mark off
			e.flatten(seq, elements, 0)
			continue
		}
		e.meter.spend(1)
		seq.items = append(seq.items, v)
	}
	return seq
}

func (e *evaluation) flatten(into *array, list []any, depth int) {
	if depth > maxNesting {
		fail(codeNesting, e.meter.position, details{})
	}
	for _, v := range list {
		e.meter.spend(1)
		if elements, isArray := items(v); isArray {
			e.flatten(into, elements, depth+1)
		} else {
			into.items = append(into.items, v)
		}
	}
}

func (e *evaluation) descendants(input any) any {
	if isUndefined(input) {
		return input
	}
	seq := sequenceOf()
	e.descend(seq, input, 0)
	if len(seq.items) == 1 {
		return seq.items[0]
	}
	return seq
}

func (e *evaluation) descend(into *array, v any, depth int) {
	if depth > maxNesting {
		fail(codeNesting, e.meter.position, details{})
	}
	e.meter.spend(1)
	if list, isArray := items(v); isArray {
		for _, item := range list {
			e.descend(into, item, depth+1)
		}
		return
	}
	into.items = append(into.items, v)
	if m, ok := v.(map[string]any); ok {
		for _, name := range sortedNames(m) {
			e.descend(into, m[name], depth+1)
		}
	}
}

// grouped are the items that one key was found for.
type grouped struct {
	key  string
	data any // the item; an array that is ours once there are two
	ours bool
	pair int
}

func (g *grouped) add(item any) {
	if isUndefined(item) {
		return
	}
	if !g.ours {
		if isUndefined(g.data) {
			g.data = item
			return
		}
		g.data, g.ours = &array{items: slices.Clone(listOf(g.data)), tuples: isTuples(g.data)}, true
	}
	a := g.data.(*array)
	a.items = append(a.items, listOf(item)...)
}

// groupBy evaluates an object's keys for every item of the input, and then each value with the items of its key as the context. An object constructor is
// the same with the context as the only item.
func (e *evaluation) groupBy(n *node, input any, env *frame) any {
	list := listOf(input)
	if len(list) == 0 {
		list = []any{undefined}
	}
	var groups []*grouped
	byKey := map[string]*grouped{}
	for _, item := range list {
		context, inner := item, env
		if t, ok := item.(tuple); ok {
			context, inner = t["@"], frameOf(env, t)
		}
		for i, pair := range n.pairs {
			key := e.eval(pair[0], context, inner)
			if isUndefined(key) {
				continue
			}
			name, ok := key.(string)
			if !ok {
				fail("T1003", n.pos, details{value: key})
			}
			e.meter.spendBytes(len(name))
			g := byKey[name]
			if g == nil {
				g = &grouped{key: name, data: item, pair: i}
				byKey[name], groups = g, append(groups, g)
				continue
			}
			if g.pair != i {
				fail("D1009", n.pos, details{value: name})
			}
			e.meter.spend(len(listOf(item)))
			g.add(item)
		}
	}
	return e.groupValues(n, groups, env)
}

func (e *evaluation) groupValues(n *node, groups []*grouped, env *frame) any {
	e.meter.spend(costOfObject)
	result := make(map[string]any, len(groups))
	for _, g := range groups {
		context, inner := g.data, env
		if t, ok := e.reduced(g.data); ok {
			context, inner = t["@"], frameOf(env, t)
		}
		if v := e.eval(n.pairs[g.pair][1], context, inner); !isUndefined(v) {
			result[g.key] = v
		}
	}
	return result
}

// reduced makes one tuple of many: under each name the array of what they hold.
func (e *evaluation) reduced(data any) (tuple, bool) {
	if t, ok := data.(tuple); ok {
		return t, true
	}
	a, ok := data.(*array)
	if !ok || len(a.items) == 0 {
		return nil, false
	}
	if _, ok := a.items[0].(tuple); !ok {
		return nil, false
	}
	lists := map[string]*grouped{}
	for _, item := range a.items {
		for name, v := range item.(tuple) {
			e.meter.spend(1)
			if lists[name] == nil {
				lists[name] = &grouped{data: v}
			} else {
				lists[name].add(v)
			}
		}
	}
	t := tuple{}
	for name, g := range lists {
		t[name] = g.data
	}
	return t, true
}

// orderBy sorts by the terms of ^(...). An item for which a term has no value stands last.
func (e *evaluation) orderBy(n *node, input any, env *frame) any {
	list := listOf(input)
	return &array{sequence: isSequence(input), items: e.sorted(list, func(a, b any) bool {
		for _, t := range n.terms {
			x, y := e.termOf(t, a, env), e.termOf(t, b, env)
			if order := e.compareTerms(n, x, y); order != 0 {
				if t.descending && !isUndefined(x) && !isUndefined(y) {
					order = -order
				}
				return order > 0
			}
		}
		return false
	})}
}

func (e *evaluation) termOf(t term, item any, env *frame) any {
	if tup, ok := item.(tuple); ok {
		return e.eval(t.expr, tup["@"], frameOf(env, tup))
	}
	return e.eval(t.expr, item, env)
}

func (e *evaluation) compareTerms(n *node, x, y any) int {
	switch {
	case isUndefined(x) && isUndefined(y):
		return 0
	case isUndefined(x):
		return 1
	case isUndefined(y):
		return -1
	}
	s, xString := x.(string)
	t, yString := y.(string)
	for _, v := range []any{x, y} {
		if _, isString := v.(string); !isString && !isNumber(v) {
			fail("T2008", n.pos, details{value: v})
		}
	}
	if xString != yString {
		fail("T2007", n.pos, details{value: x, value2: y})
	}
	if xString {
		return e.compareStrings(s, t)
	}
	return compareNumbers(x, y)
}

// sorted is a stable merge sort: after says whether a stands behind b. It is the reference's, since a function of the user is asked in it, which may
// contradict itself.
func (e *evaluation) sorted(list []any, after func(a, b any) bool) []any {
	if len(list) <= 1 {
		return list
	}
	middle := len(list) / 2
	left, right := e.sorted(list[:middle], after), e.sorted(list[middle:], after)
	merged := make([]any, 0, len(list))
	e.meter.spend(len(list))
	for len(left) > 0 && len(right) > 0 {
		if after(left[0], right[0]) {
			merged, right = append(merged, right[0]), right[1:]
		} else {
			merged, left = append(merged, left[0]), left[1:]
		}
	}
	return append(append(merged, left...), right...)
}

// cloner copies objects and arrays, and remembers which objects it made.
type cloner struct {
	*evaluation
	position int
	objects  map[uintptr]bool
}

// made reports whether v is an object that this cloner made.
func (c *cloner) made(v any) bool {
	m, ok := v.(map[string]any)
	return ok && c.objects[reflect.ValueOf(m).Pointer()]
}

func (c *cloner) clone(v any, depth int) any {
	if depth > maxNesting {
		fail(codeNesting, c.position, details{})
	}
	c.meter.spend(1)
	switch v := v.(type) {
	case map[string]any:
		c.meter.spend(costOfObject)
		m := make(map[string]any, len(v))
		c.objects[reflect.ValueOf(m).Pointer()] = true
		for _, name := range sortedNames(v) {
			if !isUndefined(v[name]) {
				m[name] = c.clone(v[name], depth+1)
			}
		}
		return m
	case []any, *array:
		list := listOf(v)
		copied := make([]any, len(list))
		for i, element := range list {
			copied[i] = c.clone(element, depth+1)
		}
		return copied
	case json.Number, float64:
		return c.finite(v, c.position)
	case *lambda, *builtin, *matcher:
		return ""
	}
	return v
}
