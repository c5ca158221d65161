package sagagraph

import (
	"cmp"
	"slices"
)

// The measures of the drawing.
const (
	margin    = 24
	boxHeight = 46
	boxPad    = 16 // between a text and the border at its side
	minBox    = 104
	headroom  = 40 // above the start, for the dot from which the execution comes

	boxGap   = 30 // between two boxes
	lineGap  = 16 // between two lines
	mixedGap = 22 // between a box and a line
	wallGap  = 26

	minLayerGap = 28
	maxLayerGap = 52

	portGap  = 16 // between two lines at a box
	portEdge = 18 // between a line and the corner of its box
	selfLoop = 26

	bandTitle = 34 // above the first box of the compensation side: its title, and the heads of what enters
	bandFoot  = 18 // below its last
	bandSide  = 12
)

// A block is a column of vertices that stand above each other.
type block struct {
	vertices    []int
	x           int
	left, right []link // the blocks beside it
	pulls       []pull
}

// A link keeps a block beside it at least so far away.
type link struct{ block, distance int }

// A pull draws a block towards another with which it shares a segment.
type pull struct{ block, weight int }

// place gives each vertex its x: long lines and the way to success become straight columns, and the columns
// are then drawn together, in the manner of Brandes and Köpf (2002).
func (l *layout) place() {
	l.align()
	l.link()
	order := l.fromLeft()
	l.spread(order, func(int) int { return 0 }) // as far left as it goes
	for range settleRounds {
		l.settle(order)
	}
	l.rows()
}

// align makes the blocks. A segment becomes straight if neither end is already in a column in that direction and it crosses no
// straight one; those that matter most come first.
func (l *layout) align() {
	const none = -1
	above, below := make([]int, len(l.vertices)), make([]int, len(l.vertices)) // the vertex that stands there
	for v := range l.vertices {
		above[v], below[v] = none, none
	}
	straight := make([][]int, len(l.layers)) // by the layer of the lower end
	for _, n := range l.byRank() {
		s := &l.segments[n]
		top, bottom := l.vertices[s.top], l.vertices[s.bottom]
		crosses := slices.ContainsFunc(straight[bottom.layer], func(o int) bool {
			return (top.pos < l.vertices[l.segments[o].top].pos) != (bottom.pos < l.vertices[l.segments[o].bottom].pos)
		})
		if below[s.top] != none || above[s.bottom] != none || crosses {
			continue
		}
		s.straight = true
		below[s.top], above[s.bottom] = s.bottom, s.top
		straight[bottom.layer] = append(straight[bottom.layer], n)
	}
	for _, layer := range l.layers {
		for _, v := range layer {
			if above[v] != none {
				continue
			}
			var b block
			for at := v; at != none; at = below[at] {
				l.vertices[at].block = len(l.blocks)
				b.vertices = append(b.vertices, at)
			}
			l.blocks = append(l.blocks, b)
		}
	}
}

// byRank are the segments that may become straight, the most important first: the wall, the inside of long lines, the way
// to success, then the others. A jump does not stand above its target: it joins from the side. Where a state has several
// ways on, the one that gets furthest goes straight down.
func (l *layout) byRank() []int {
	furthest := make([]int, len(l.vertices))
	for i := len(l.layers) - 1; i >= 0; i-- {
		for _, v := range l.layers[i] {
			furthest[v] = i
			for _, s := range l.vertices[v].down {
				furthest[v] = max(furthest[v], furthest[l.segments[s].bottom])
			}
		}
	}
	rank := func(n int) int {
		s := l.segments[n]
		top, bottom := l.vertices[s.top], l.vertices[s.bottom]
		switch {
		case top.lane == wallLane:
			return 0
		case top.node < 0 && bottom.node < 0:
			return 1
		case s.jump:
			return 5
		case s.kind == Next && !s.back && top.lane == forwardLane && bottom.lane == forwardLane:
			return 2
		case s.kind == Next && !s.back:
			return 3
		default:
			return 4
		}
	}
	var out []int
	ranks := map[int]int{}
	for n := range l.segments {
		if ranks[n] = rank(n); ranks[n] < 5 {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int {
		s, t := l.segments[a], l.segments[b]
		return cmp.Or(ranks[a]-ranks[b], l.vertices[s.top].layer-l.vertices[t.top].layer, furthest[t.bottom]-furthest[s.bottom])
	})
	return out
}

// link says of each block what stands beside it and what pulls it.
func (l *layout) link() {
	distances := map[[2]int]int{}
	var pairs [][2]int
	for _, layer := range l.layers {
		for i := 1; i < len(layer); i++ {
			a, b := l.vertices[layer[i-1]], l.vertices[layer[i]]
			pair := [2]int{a.block, b.block}
			if _, there := distances[pair]; !there {
				pairs = append(pairs, pair)
			}
			distances[pair] = max(distances[pair], a.right+gap(a, b)+b.left)
		}
	}
	for _, p := range pairs {
		l.blocks[p[0]].right = append(l.blocks[p[0]].right, link{p[1], distances[p]})
		l.blocks[p[1]].left = append(l.blocks[p[1]].left, link{p[0], distances[p]})
	}
	for _, s := range l.segments {
		top, bottom := l.vertices[s.top].block, l.vertices[s.bottom].block
		if top != bottom {
			l.blocks[top].pulls = append(l.blocks[top].pulls, pull{bottom, s.weight})
			l.blocks[bottom].pulls = append(l.blocks[bottom].pulls, pull{top, s.weight})
		}
	}
}

func gap(a, b vertex) int {
	switch {
	case a.lane == wallLane || b.lane == wallLane:
		return wallGap
	case a.node >= 0 && b.node >= 0:
		return boxGap
	case a.node < 0 && b.node < 0:
		return lineGap
	default:
		return mixedGap
	}
}

// fromLeft orders the blocks such that what stands left of one comes before it. Since no two straight segments cross, there is
// such an order.
func (l *layout) fromLeft() []int {
	waits := make([]int, len(l.blocks))
	var order []int
	for b := range l.blocks {
		if waits[b] = len(l.blocks[b].left); waits[b] == 0 {
			order = append(order, b)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, r := range l.blocks[order[i]].right {
			if waits[r.block]--; waits[r.block] == 0 {
				order = append(order, r.block)
			}
		}
	}
	return order
}

// settleRounds is how often the blocks are drawn together; later rounds move nothing by more than a few pixels.
const settleRounds = 120

// settle moves each block half the way to the mean of what pulls it, as far as the others let it.
func (l *layout) settle(order []int) {
	wanted := make([]int, len(l.blocks))
	for b := range l.blocks {
		wanted[b] = l.blocks[b].x
		sum, weight := 0, 0
		for _, p := range l.blocks[b].pulls {
			sum += p.weight * l.blocks[p.block].x
			weight += p.weight
		}
		if weight > 0 {
			wanted[b] = (wanted[b] + sum/weight) / 2
		}
	}
	l.spread(order, func(b int) int { return wanted[b] })
}

// spread puts the blocks near where they are wanted, with the distances kept. Two placements keep them: the one that only moves blocks
// to the right, and the one that only moves them to the left. So does the middle of both.
func (l *layout) spread(order []int, wanted func(b int) int) {
	low, high := make([]int, len(l.blocks)), make([]int, len(l.blocks))
	for _, b := range order {
		low[b] = wanted(b)
		for _, n := range l.blocks[b].left {
			low[b] = max(low[b], low[n.block]+n.distance)
		}
	}
	for _, b := range slices.Backward(order) {
		high[b] = wanted(b)
		for _, n := range l.blocks[b].right {
			high[b] = min(high[b], high[n.block]-n.distance)
		}
	}
	for b := range l.blocks {
		l.blocks[b].x = (low[b] + high[b]) >> 1 // a shift rounds down on both sides of 0, and so keeps distances
	}
}

// rows gives each layer its y. Where a line goes far to the side the layers stand further apart, so that it is not flat.
func (l *layout) rows() {
	l.y, l.height = make([]int, len(l.layers)), make([]int, len(l.layers))
	for i := range l.height {
		l.height[i] = boxHeight
	}
	for i := range l.g.Nodes {
		n := &l.g.Nodes[i]
		n.Width, n.Height = boxWidth(*n), heightOf(*n)
		l.height[n.Layer] = max(l.height[n.Layer], n.Height)
	}
	l.y[0] = margin + headroom
	for i := 1; i < len(l.layers); i++ {
		widest := 0
		for _, v := range l.layers[i] {
			for _, s := range l.vertices[v].up {
				d := l.x(l.segments[s].top) - l.x(v)
				widest = max(widest, d, -d)
			}
		}
		l.y[i] = l.y[i-1] + l.height[i-1] + min(minLayerGap+widest/8, maxLayerGap)
	}
}

func (l *layout) x(v int) int { return l.blocks[l.vertices[v].block].x }

// finish moves the drawing to the upper left corner and writes the places into the graph.
func (l *layout) finish() {
	left, right := 0, 0
	for v, one := range l.vertices {
		if v == 0 {
			left, right = l.x(v)-one.left, l.x(v)+one.right
		}
		left, right = min(left, l.x(v)-one.left), max(right, l.x(v)+one.right)
	}
	for b := range l.blocks {
		l.blocks[b].x += margin - left
	}
	l.g.Width = right - left + 2*margin
	l.g.Height = l.y[len(l.y)-1] + l.height[len(l.y)-1] + margin
	for v, one := range l.vertices {
		if one.node >= 0 {
			n := &l.g.Nodes[one.node]
			n.X, n.Y = l.x(v)-one.left, l.y[one.layer]
		}
	}
	l.ground()
	ports := l.ports()
	for i, route := range l.routes {
		points := l.points(route, ports)
		if l.g.Edges[i].Back {
			slices.Reverse(points)
		}
		l.g.Edges[i].Points = points
	}
}

// ground lays the band under the compensation side.
func (l *layout) ground() {
	b := &l.g.compensation
	bottom := 0
	for v, one := range l.vertices {
		switch {
		case one.lane == wallLane:
			b.x = l.x(v)
		case one.node >= 0 && one.lane == compensationLane:
			if b.y == 0 {
				b.y = l.y[one.layer]
			}
			b.y, bottom = min(b.y, l.y[one.layer]), max(bottom, l.y[one.layer]+l.g.Nodes[one.node].Height)
		}
	}
	if b.y == 0 {
		return
	}
	l.g.Width += bandSide
	b.width = l.g.Width - margin/2 - b.x
	b.y -= bandTitle
	b.height = bottom + bandFoot - b.y
	l.g.Height = max(l.g.Height, b.y+b.height+margin)
}

// ports says how far from the middle of its box each segment leaves and enters it: in the order of where they lead, a straight
// one in the middle.
func (l *layout) ports() map[[2]int]int {
	out := map[[2]int]int{} // vertex and segment
	for v, one := range l.vertices {
		if one.node < 0 {
			continue
		}
		half := (l.g.Nodes[one.node].Width)/2 - portEdge
		for _, above := range []bool{true, false} {
			segments := slices.Clone(l.beside(v, above))
			slices.SortStableFunc(segments, func(a, b int) int {
				s, t := l.segments[a], l.segments[b]
				return cmp.Or(l.x(s.other(v))-l.x(t.other(v)), t.weight-s.weight)
			})
			middle := slices.IndexFunc(segments, func(s int) bool { return l.segments[s].straight })
			for i, s := range segments {
				if middle >= 0 {
					each := min(portGap, half/max(middle, len(segments)-1-middle, 1))
					out[[2]int{v, s}] = (i - middle) * each
				} else {
					each := min(portGap, 2*half/max(len(segments)-1, 1))
					out[[2]int{v, s}] = (2*i - len(segments) + 1) * each / 2
				}
			}
		}
	}
	return out
}

// points is the line through the segments, from the top down, without those that lie between two others on a straight piece.
func (l *layout) points(route []int, ports map[[2]int]int) []Point {
	var out []Point
	add := func(p Point) {
		if n := len(out); n >= 2 && out[n-1].X == p.X && out[n-2].X == p.X {
			out = out[:n-1]
		}
		if n := len(out); n == 0 || out[n-1] != p {
			out = append(out, p)
		}
	}
	for _, n := range route {
		s := l.segments[n]
		top := l.vertices[s.top]
		x, y := l.x(s.top)+ports[[2]int{s.top, n}], l.y[top.layer]
		if top.node >= 0 {
			add(Point{x, y + l.g.Nodes[top.node].Height})
		}
		add(Point{x, y + l.height[top.layer]}) // straight down beside what is higher, then to the side
		add(Point{l.x(s.bottom) + ports[[2]int{s.bottom, n}], l.y[l.vertices[s.bottom].layer]})
	}
	return out
}
