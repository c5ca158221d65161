package sagagraph

import (
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
)

// A Graph is a machine laid out: all lengths and places are in pixels from the upper left corner, y grows downwards. It is
// immutable and safe for concurrent use.
type Graph struct {
	Nodes         []Node // the start first, as Machine.States has them
	Edges         []Edge // by From as in Nodes; of one state its next edges before its catch edges
	Width, Height int

	// Crossings is how often two lines cross. Lines that have joined count as one.
	Crossings int

	compensation band // zero if there is no compensation
}

// A Node is one state, drawn as a box.
type Node struct {
	Name     string
	Type     string // as the States Language has it: Task, Choice, Pass, Wait, Succeed, Fail, Parallel or Map
	Resource string // of a Task
	Start    bool   // the execution begins here

	// Compensation marks a state that exists because something fails: from the start it is reached only over a catch edge,
	// or over a choice that follows one. Jumps do not count as ways to it. A state where both sides meet again, such as
	// the customer's notification, is none.
	Compensation bool

	// Inside are the branches of a Parallel, or the one flow that each iteration of a Map goes through: drawn in the box, side by side, each with
	// its own places from its own corner.
	Inside []Graph

	Layer               int // 0 is the start's
	X, Y, Width, Height int // X and Y are the upper left corner
}

// Kind is why an execution follows an edge.
type Kind string

const (
	Next  Kind = "next"  // all is well: a state's Next, or what a choice decides
	Catch Kind = "catch" // the task failed, and a catcher took the error
)

// An Edge leads from one state to another.
type Edge struct {
	From, To string
	Kind     Kind

	// Jump marks an edge by which the first choice enters the machine in the middle, to resume it: another branch of that
	// choice leads to the same state in the ordinary way. Jumps of one side share a line.
	Jump bool

	// Back marks an edge that closes a loop. It is the only kind that leads upwards; one to its own state has no Points.
	Back bool

	// Points are where the line passes, from the box it leaves to the box it enters. Between two of them it is straight or
	// bends once to each side, and is never outside their rectangle; it leaves and enters each of them vertically.
	Points []Point
}

// A Point is a place in the drawing.
type Point struct{ X, Y int }

// A band is the ground on which the compensation side is drawn.
type band struct{ x, y, width, height int }

// New lays out a machine. The same definition gives the same drawing, on every machine: it is computed in whole numbers.
func New(m *asl.Machine) Graph { return layOut(m, m.States()) }

// layOut lays out the states of one flow, and what is inside of them before.
func layOut(m *asl.Machine, states []string) Graph {
	var g Graph
	for i, name := range states {
		s, _ := m.State(name)
		n := Node{Name: name, Type: s.Type, Resource: s.Resource, Start: i == 0}
		for _, flow := range s.Flows {
			n.Inside = append(n.Inside, layOut(m, flow))
		}
		g.Nodes = append(g.Nodes, n)
		for _, to := range s.Next {
			g.Edges = append(g.Edges, Edge{From: name, To: to, Kind: Next})
		}
		for _, to := range s.Catch {
			g.Edges = append(g.Edges, Edge{From: name, To: to, Kind: Catch})
		}
	}
	t := topologyOf(g)
	t.markBack(&g)
	t.markJumps(&g)
	t.markCompensation(&g)
	t.layer(&g)
	l := newLayout(&g, t)
	l.reduceCrossings()
	l.place()
	l.finish()
	return g
}

// A topology is a graph by number: who follows whom.
type topology struct {
	index map[string]int
	out   [][]int // node -> numbers of the edges that leave it
	to    []int   // edge -> node that it enters
}

func topologyOf(g Graph) topology {
	t := topology{index: map[string]int{}, out: make([][]int, len(g.Nodes)), to: make([]int, len(g.Edges))}
	for i, n := range g.Nodes {
		t.index[n.Name] = i
	}
	for i, e := range g.Edges {
		from := t.index[e.From]
		t.out[from] = append(t.out[from], i)
		t.to[i] = t.index[e.To]
	}
	return t
}

// markBack marks the edges that lead to a state on the way by which a depth-first walk came. Without them there is no loop
// left. The walk takes next edges first, so that it is the retry that turns back and not the way to success.
func (t topology) markBack(g *Graph) {
	const onTheWay, done = 1, 2
	seen := make([]int, len(g.Nodes))
	var walk func(int)
	walk = func(n int) {
		seen[n] = onTheWay
		for _, e := range t.out[n] {
			switch to := t.to[e]; seen[to] {
			case onTheWay:
				g.Edges[e].Back = true
			case done:
			default:
				walk(to)
			}
		}
		seen[n] = done
	}
	walk(0)
}

// reach is which nodes are reached from one over the edges that are allowed, itself among them.
func (t topology) reach(from int, allowed func(edge int) bool) []bool {
	seen := make([]bool, len(t.out))
	seen[from] = true
	for stack := []int{from}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, e := range t.out[n] {
			if to := t.to[e]; allowed(e) && !seen[to] {
				seen[to] = true
				stack = append(stack, to)
			}
		}
	}
	return seen
}

// markJumps finds the branches of a first choice that lead where another branch leads too, but not back: of two branches
// in one loop neither is a jump, so that a state that is reached at all is still reached when all jumps are taken away.
func (t topology) markJumps(g *Graph) {
	if g.Nodes[0].Type != "Choice" {
		return
	}
	reach := map[int][]bool{} // by branch, but for one that chooses the choice itself
	for _, e := range t.out[0] {
		if t.to[e] != 0 {
			reach[e] = t.reach(t.to[e], func(next int) bool { return t.to[next] != 0 })
		}
	}
	for e := range reach {
		for other := range reach {
			if reach[other][t.to[e]] && !reach[e][t.to[other]] {
				g.Edges[e].Jump = true
			}
		}
	}
}

func (t topology) markCompensation(g *Graph) {
	well := t.reach(0, func(e int) bool { return g.Edges[e].Kind == Next && !g.Edges[e].Jump })
	for i := range g.Nodes {
		g.Nodes[i].Compensation = !well[i]
	}
}

// layer puts each state below all that lead to it, as high as that lets it: by the longest way from the start.
func (t topology) layer(g *Graph) {
	waits := make([]int, len(g.Nodes)) // for how many edges that enter it
	for e := range g.Edges {
		if !g.Edges[e].Back {
			waits[t.to[e]]++
		}
	}
	for ready := []int{0}; len(ready) > 0; {
		n := ready[0]
		ready = ready[1:]
		for _, e := range t.out[n] {
			if g.Edges[e].Back {
				continue
			}
			to := &g.Nodes[t.to[e]]
			to.Layer = max(to.Layer, g.Nodes[n].Layer+1)
			if waits[t.to[e]]--; waits[t.to[e]] == 0 {
				ready = append(ready, t.to[e])
			}
		}
	}
}

// all are the states, each before those inside of it.
func (g Graph) all() []Node {
	var out []Node
	for _, n := range g.Nodes {
		out = append(out, n)
		for _, inside := range n.Inside {
			out = append(out, inside.all()...)
		}
	}
	return out
}

// node finds a state of this flow by its name.
func (g Graph) node(name string) (Node, bool) {
	i := slices.IndexFunc(g.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return g.Nodes[i], true
}
