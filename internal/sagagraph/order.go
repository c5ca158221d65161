package sagagraph

import (
	"cmp"
	"slices"
)

// The lanes, from left to right. The wall is a line of empty vertices, one a layer, that keeps the sides apart all the way down.
const (
	forwardLane = iota
	wallLane
	compensationLane
)

// A vertex is what stands in a layer: a box, a point through which a long line passes, or a piece of the wall.
type vertex struct {
	node        int // -1: no box
	layer, lane int
	pos         int // in its layer, from the left
	key         int // by which the layer was last sorted
	left, right int // how far it extends from its x
	up, down    []int
	block       int
}

// A segment is a piece of a line, from one layer to the next. Lines that have joined share it.
type segment struct {
	top, bottom int // vertices
	kind        Kind
	jump, back  bool
	weight      int  // how much a crossing and a bend of it would hurt; of the wall 0
	straight    bool // its ends stand above each other
}

// A layout is a graph under construction.
type layout struct {
	g        *Graph
	vertices []vertex
	segments []segment
	layers   [][]int // vertices from left to right
	routes   [][]int // edge -> its segments from the top down; none: a loop on one state

	blocks []block
	y      []int // layer -> its upper end
	height []int // layer -> that of its highest box
}

// A trunk is a line that several long edges share: all that enter one state from the same side, or all jumps to one side.
type trunk struct {
	shared     int // the node at the shared end
	lane       int
	kind       Kind
	jump, back bool
}

// newLayout makes the vertices and segments: boxes, trunks for the edges that span more than one layer, and the wall.
func newLayout(g *Graph, t topology) *layout {
	l := &layout{g: g, routes: make([][]int, len(g.Edges))}
	for i, n := range g.Nodes {
		lane := forwardLane
		if n.Compensation {
			lane = compensationLane
		}
		half := boxWidth(n) / 2
		l.add(vertex{node: i, layer: n.Layer, lane: lane, left: half, right: half})
	}
	l.buildWall()
	type place struct {
		trunk
		layer int
	}
	points := map[place]int{}
	joints := map[segment]int{}
	for i, e := range g.Edges {
		top, bottom := t.index[e.From], t.to[i]
		if top == bottom {
			l.vertices[top].right += selfLoop
			continue
		}
		if e.Back {
			top, bottom = bottom, top
		}
		way, at := l.trunkOf(e, top, bottom), top
		for layer := g.Nodes[top].Layer + 1; layer <= g.Nodes[bottom].Layer; layer++ {
			below := bottom
			if layer < g.Nodes[bottom].Layer {
				p, there := points[place{way, layer}]
				if !there {
					p = l.add(vertex{node: -1, layer: layer, lane: way.lane})
					points[place{way, layer}] = p
				}
				below = p
			}
			s := segment{top: at, bottom: below, kind: e.Kind, jump: e.Jump, back: e.Back, weight: weightOf(e)}
			if l.vertices[at].node < 0 && l.vertices[below].node < 0 {
				s.weight *= inside // where two of them cross, one cannot be straight
			}
			n, there := joints[s]
			if !there {
				n = l.join(s)
				joints[s] = n
			}
			l.routes[i] = append(l.routes[i], n)
			at = below
		}
	}
	return l
}

// inside makes the inner pieces of long lines weigh more than their ends.
const inside = 2

func weightOf(e Edge) int {
	switch {
	case e.Jump:
		return 1
	case e.Kind == Catch:
		return 2
	default:
		return 3
	}
}

// trunkOf is the trunk of an edge. An edge belongs to the compensation side if one of its ends does; a jump if its target does.
func (l *layout) trunkOf(e Edge, top, bottom int) trunk {
	way := trunk{shared: bottom, kind: e.Kind, jump: e.Jump, back: e.Back}
	if e.Jump || e.Back {
		way.shared = top
	}
	if l.vertices[bottom].lane == compensationLane || l.vertices[top].lane == compensationLane && !e.Jump {
		way.lane = compensationLane
	}
	return way
}

// buildWall puts a piece of the wall into each layer, if there are two sides.
func (l *layout) buildWall() {
	if !slices.ContainsFunc(l.g.Nodes, func(n Node) bool { return n.Compensation }) {
		return
	}
	for layer := range l.layers {
		l.add(vertex{node: -1, layer: layer, lane: wallLane})
		if n := len(l.vertices) - 1; layer > 0 {
			l.join(segment{top: n - 1, bottom: n})
		}
	}
}

func (l *layout) add(v vertex) int {
	for len(l.layers) <= v.layer {
		l.layers = append(l.layers, nil)
	}
	n := len(l.vertices)
	l.vertices = append(l.vertices, v)
	l.layers[v.layer] = append(l.layers[v.layer], n)
	return n
}

func (l *layout) join(s segment) int {
	n := len(l.segments)
	l.segments = append(l.segments, s)
	l.vertices[s.top].down = append(l.vertices[s.top].down, n)
	l.vertices[s.bottom].up = append(l.vertices[s.bottom].up, n)
	return n
}

// maxSweeps bounds the search for an order without crossings, and patience how many sweeps in a row may find nothing better.
const (
	maxSweeps = 24
	patience  = 5
)

// reduceCrossings orders each layer by the barycentres of its neighbours, layer by layer down and up again (Sugiyama, Tagawa and
// Toda 1981), exchanges neighbours where that helps, and keeps the best order seen. The lanes stay apart. Two searches
// start from opposite orders, since a sweep keeps what it cannot tell apart.
func (l *layout) reduceCrossings() {
	for _, layer := range l.layers {
		l.sortLane(layer, func(int) int { return 0 })
	}
	first := l.order()
	best, least := first, l.crossings()
	for _, reversed := range []bool{false, true} {
		l.restore(first)
		if reversed {
			for _, layer := range l.layers {
				slices.Reverse(layer)
				l.sortLane(layer, func(int) int { return 0 })
			}
		}
		for sweep, found := 0, 0; sweep < maxSweeps && sweep-found < patience && least > 0; sweep++ {
			l.sweep(sweep%2 == 0)
			l.exchange()
			if n := l.crossings(); n < least {
				best, least, found = l.order(), n, sweep
			}
		}
	}
	l.restore(best)
	l.g.Crossings = l.count(func(segment) int { return 1 })
}

func (l *layout) order() [][]int {
	out := make([][]int, len(l.layers))
	for i, layer := range l.layers {
		out[i] = slices.Clone(layer)
	}
	return out
}

func (l *layout) restore(order [][]int) {
	for i, layer := range order {
		copy(l.layers[i], layer)
		l.number(l.layers[i])
	}
}

func (l *layout) number(layer []int) {
	for pos, v := range layer {
		l.vertices[v].pos = pos
	}
}

// sortLane sorts a layer within its lanes and leaves equals as they are.
func (l *layout) sortLane(layer []int, key func(v int) int) {
	for _, v := range layer {
		l.vertices[v].key = key(v)
	}
	slices.SortStableFunc(layer, func(a, b int) int {
		return cmp.Or(l.vertices[a].lane-l.vertices[b].lane, l.vertices[a].key-l.vertices[b].key)
	})
	l.number(layer)
}

func (l *layout) sweep(down bool) {
	for i := range l.layers {
		layer := l.layers[i]
		if !down {
			layer = l.layers[len(l.layers)-1-i]
		}
		l.sortLane(layer, func(v int) int { return l.barycentre(v, down) })
	}
}

// fine is how many steps a place is divided into, for means in whole numbers.
const fine = 1 << 12

func (l *layout) barycentre(v int, above bool) int {
	sum, n := 0, 0
	for _, s := range l.beside(v, above) {
		sum += l.vertices[l.segments[s].other(v)].pos
		n++
	}
	if n == 0 {
		return l.vertices[v].pos * fine
	}
	return sum * fine / n
}

func (l *layout) beside(v int, above bool) []int {
	if above {
		return l.vertices[v].up
	}
	return l.vertices[v].down
}

func (s segment) other(v int) int {
	if s.top == v {
		return s.bottom
	}
	return s.top
}

// exchange swaps neighbours in a layer as long as that takes crossings away, a few rounds at most.
func (l *layout) exchange() {
	for better, round := true, 0; better && round < 4; round++ {
		better = false
		for _, layer := range l.layers {
			for i := 1; i < len(layer); i++ {
				a, b := layer[i-1], layer[i]
				if l.vertices[a].lane != l.vertices[b].lane || l.between(b, a) >= l.between(a, b) {
					continue
				}
				layer[i-1], layer[i] = b, a
				l.vertices[a].pos, l.vertices[b].pos = i, i-1
				better = true
			}
		}
	}
}

// between weighs the crossings of the segments of two neighbours, the first of them on the left.
func (l *layout) between(left, right int) int {
	sum := 0
	for _, above := range []bool{true, false} {
		for _, s := range l.beside(left, above) {
			for _, r := range l.beside(right, above) {
				if l.vertices[l.segments[s].other(left)].pos > l.vertices[l.segments[r].other(right)].pos {
					sum += l.segments[s].weight * l.segments[r].weight
				}
			}
		}
	}
	return sum
}

// crossings weighs all crossings: that of two thin lines hurts less than that of the way to success.
func (l *layout) crossings() int { return l.count(func(s segment) int { return s.weight }) }

// count adds up the products of the weights of all pairs of segments that cross. From left to right by its upper end, each
// segment crosses those before it that end further right; a Fenwick tree holds their weights.
func (l *layout) count(weight func(segment) int) int {
	total := 0
	for _, layer := range l.layers[1:] {
		var between []segment
		for _, v := range layer {
			for _, s := range l.vertices[v].up {
				if l.vertices[v].lane != wallLane {
					between = append(between, l.segments[s])
				}
			}
		}
		pos := func(v int) int { return l.vertices[v].pos }
		slices.SortStableFunc(between, func(a, b segment) int {
			return cmp.Or(pos(a.top)-pos(b.top), pos(a.bottom)-pos(b.bottom))
		})
		tree, all := make([]int, len(layer)+1), 0
		for _, s := range between {
			before := 0 // the weight of those that end at this place or left of it
			for at := pos(s.bottom) + 1; at > 0; at -= at & -at {
				before += tree[at]
			}
			w := weight(s)
			total += w * (all - before)
			all += w
			for at := pos(s.bottom) + 1; at < len(tree); at += at & -at {
				tree[at] += w
			}
		}
	}
	return total
}
