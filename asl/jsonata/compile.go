package jsonata

import (
	"encoding/json"
	"strconv"
)

// slot is where an ancestor of an item is kept, for a % further on: a label under which tuples hold it, and how many steps up it still is.
type slot struct {
	label string
	level int
}

// compiler rewrites the parser's tree for evaluation: dots become paths of steps, brackets become predicates of the step before them, and each %
// finds the step whose input it means.
type compiler struct{ parents int }

func compile(parsed *node) *node {
	c := &compiler{}
	n := c.rewrite(parsed)
	if n.kind == kindParent || len(n.seeking) > 0 {
		fail("S0217", n.pos, details{})
	}
	return n
}

func (c *compiler) rewrite(n *node) *node {
	var result *node
	switch n.kind {
	case kindBinary:
		result = c.binary(n)
	case kindName, kindKeyword:
		n.kind = kindName
		result = &node{kind: kindPath, pos: n.pos, nodes: []*node{n}, keepSingleton: n.keepArray}
	case kindParent:
		n.slot = &slot{label: "!" + strconv.Itoa(c.parents), level: 1}
		if c.parents++; c.parents > maxParents {
			fail(codeDeep, n.pos, details{})
		}
		result = n
	case kindMinus:
		result = c.minus(n)
	case kindLambda:
		n.rhs = tailCalls(c.rewrite(n.rhs))
		result = n
	case kindTransform:
		n.lhs, n.rhs = c.rewrite(n.lhs), c.rewrite(n.rhs)
		if n.third != nil {
			n.third = c.rewrite(n.third)
		}
		result = n
	case kindArray, kindObject, kindBlock, kindCall, kindPartial, kindCondition:
		result = c.operands(n)
	case kindEnd:
		fail("S0207", n.pos, details{})
	default:
		result = n
	}
	if n.keepArray {
		result.keepArray = true
	}
	return result
}

// operands rewrites what a node is made of, and hands on the parents that are sought in it.
func (c *compiler) operands(n *node) *node {
	sub := func(p **node) {
		if *p != nil {
			*p = c.rewrite(*p)
			n.seek(*p)
		}
	}
	if n.kind == kindCall || n.kind == kindPartial {
		n.lhs = c.rewrite(n.lhs) // a % in the procedure finds nothing, as in the reference
	} else {
		sub(&n.lhs)
	}
	sub(&n.rhs)
	sub(&n.third)
	for i := range n.nodes {
		sub(&n.nodes[i])
		e := n.nodes[i]
		if n.kind == kindBlock && (e.cons || e.kind == kindPath && e.nodes[0].cons) {
			n.cons = true
		}
	}
	for i := range n.pairs {
		sub(&n.pairs[i][0])
		sub(&n.pairs[i][1])
	}
	return n
}

func (c *compiler) minus(n *node) *node {
	n.lhs = c.rewrite(n.lhs)
	if n.lhs.kind != kindNumber {
		n.seek(n.lhs)
		return n
	}
	switch v := n.lhs.value.(type) {
	case float64:
		n.lhs.value = -v
	case json.Number:
		n.lhs.value = "-" + v
		if v[0] == '-' {
			n.lhs.value = v[1:]
		}
	}
	return n.lhs
}

func (c *compiler) binary(n *node) *node {
	switch n.text {
	case ".":
		return c.path(n)
	case "[":
		return c.predicate(n)
	case "{":
		result := c.rewrite(n.lhs)
		if result.group != nil {
			fail("S0210", n.pos, details{})
		}
		for i, pair := range n.pairs {
			n.pairs[i] = [2]*node{c.rewrite(pair[0]), c.rewrite(pair[1])}
		}
		result.group = &node{kind: kindObject, pos: n.pos, pairs: n.pairs}
		return result
	case "^":
		return c.orderBy(n)
	case ":=":
		n.kind = kindBind
		n.rhs = c.rewrite(n.rhs)
		n.seek(n.rhs)
		return n
	case "@":
		return c.focus(n)
	case "#":
		return c.index(n)
	case "~>":
		n.kind = kindApply
		n.lhs, n.rhs = c.rewrite(n.lhs), c.rewrite(n.rhs)
		n.keepArray = n.lhs.keepArray || n.rhs.keepArray
		return n
	}
	return c.operands(n)
}

func (c *compiler) path(n *node) *node {
	first := c.rewrite(n.lhs)
	path := first
	if first.kind != kindPath {
		path = &node{kind: kindPath, pos: n.pos, nodes: []*node{first}}
	}
	if first.kind == kindParent {
		path.seeking = []*slot{first.slot}
	}
	rest := c.rewrite(n.rhs)
	if rest.kind == kindPath {
		path.nodes = append(path.nodes, rest.nodes...)
	} else {
		for _, p := range rest.predicates {
			rest.stages = append(rest.stages, stage{filter: p})
		}
		rest.predicates = nil
		path.nodes = append(path.nodes, rest)
	}
	for _, step := range path.nodes {
		switch step.kind {
		case kindNumber, kindLiteral:
			fail("S0213", step.pos, details{value: step.value})
		case kindString:
			step.kind = kindName
		default:
		}
		if step.keepArray {
			path.keepSingleton = true
		}
	}
	for _, step := range []*node{path.nodes[0], path.nodes[len(path.nodes)-1]} {
		if step.kind == kindArray {
			step.cons = true
		}
	}
	resolve(path)
	return path
}

// lastStep is the step that what follows a node belongs to.
func (n *node) lastStep() *node {
	if n.kind == kindPath {
		return n.nodes[len(n.nodes)-1]
	}
	return n
}

func (c *compiler) predicate(n *node) *node {
	result := c.rewrite(n.lhs)
	step := result.lastStep()
	if step.group != nil {
		fail("S0209", n.pos, details{})
	}
	p := c.rewrite(n.rhs)
	for _, s := range p.seeking {
		if s.level == 1 {
			findParent(step, s)
		} else {
			s.level--
		}
	}
	if len(p.seeking) > 0 {
		step.seek(p)
	}
	if result.kind == kindPath {
		step.stages = append(step.stages, stage{filter: p})
	} else {
		step.predicates = append(step.predicates, p)
	}
	return result
}

func (c *compiler) orderBy(n *node) *node {
	result := c.rewrite(n.lhs)
	if result.kind != kindPath {
		result = &node{kind: kindPath, pos: n.pos, nodes: []*node{result}}
	}
	sort := &node{kind: kindSort, pos: n.pos}
	for _, t := range n.terms {
		t.expr = c.rewrite(t.expr)
		sort.seek(t.expr)
		sort.terms = append(sort.terms, t)
	}
	result.nodes = append(result.nodes, sort)
	resolve(result)
	return result
}

func (c *compiler) focus(n *node) *node {
	result := c.rewrite(n.lhs)
	step := result.lastStep()
	if len(step.stages) > 0 || len(step.predicates) > 0 {
		fail("S0215", n.pos, details{})
	}
	if step.kind == kindSort {
		fail("S0216", n.pos, details{})
	}
	if n.keepArray {
		step.keepArray = true
	}
	step.focus, step.tuple = n.rhs.text, true
	return result
}

func (c *compiler) index(n *node) *node {
	result := c.rewrite(n.lhs)
	step := result.lastStep()
	if result.kind != kindPath {
		result = &node{kind: kindPath, pos: n.pos, nodes: []*node{step}}
		for _, p := range step.predicates {
			step.stages = append(step.stages, stage{filter: p})
		}
		step.predicates = nil
	}
	if len(step.stages) == 0 {
		step.index = n.rhs.text
	} else {
		step.stages = append(step.stages, stage{index: n.rhs.text})
	}
	step.tuple = true
	return result
}

// tailCalls marks the calls that a function ends with: they are carried out in a loop, so that such a recursion needs no stack.
func tailCalls(n *node) *node {
	switch n.kind {
	case kindCall:
		if len(n.predicates) == 0 && n.group == nil && !n.keepArray {
			return &node{kind: kindTailCall, pos: n.pos, lhs: n}
		}
	case kindCondition:
		if n.bare() {
			n.rhs = tailCalls(n.rhs)
			if n.third != nil {
				n.third = tailCalls(n.third)
			}
		}
	case kindBlock:
		if last := len(n.nodes) - 1; last >= 0 && n.bare() {
			n.nodes[last] = tailCalls(n.nodes[last])
		}
	default:
	}
	return n
}

// bare reports that nothing is done to the node's value.
func (n *node) bare() bool { return len(n.predicates) == 0 && n.group == nil && !n.keepArray }

// seek hands the parents that are sought in value on to n.
func (n *node) seek(value *node) {
	n.seeking = append(n.seeking, value.seeking...)
	if value.kind == kindParent {
		n.seeking = append(n.seeking, value.slot)
	}
}

// resolve finds the steps whose inputs the parents mean that are sought in a path's last step.
func resolve(path *node) {
	last := path.lastStep()
	slots := last.seeking
	if last.kind == kindParent {
		slots = append(slots[:len(slots):len(slots)], last.slot)
	}
	for _, s := range slots {
		for i := len(path.nodes) - 2; s.level > 0; {
			if i < 0 {
				path.seeking = append(path.seeking, s)
				break
			}
			step := path.nodes[i]
			i--
			for i >= 0 && step.focus != "" && path.nodes[i].focus != "" { // steps bound with @ all have the same parent
				step = path.nodes[i]
				i--
			}
			findParent(step, s)
		}
	}
}

// findParent counts a slot's level down over a step. At zero the step's input is what the slot is for.
func findParent(n *node, s *slot) {
	switch n.kind {
	case kindName, kindWildcard:
		if s.level--; s.level > 0 {
			return
		}
		if n.ancestor != nil {
			s.label = n.ancestor.label
		}
		n.ancestor, n.tuple = s, true
	case kindParent:
		s.level++
	case kindBlock:
		if len(n.nodes) > 0 {
			n.tuple = true
			findParent(n.nodes[len(n.nodes)-1], s)
		}
	case kindPath:
		n.tuple = true
		for i := len(n.nodes) - 1; i >= 0; i-- {
			findParent(n.nodes[i], s)
			if s.level <= 0 {
				break
			}
		}
	default:
		fail("S0217", n.pos, details{})
	}
}
