package sagagraph

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Mermaid writes the graph as a Mermaid flowchart, which many places that show Markdown draw. A flowchart and not a
// stateDiagram-v2: that one has no line of dashes for what is caught. Mermaid does the layout itself; sides, kinds of edges and the
// path are told by subgraph, by dashes and by classes.
func (g Graph) Mermaid(w io.Writer, p Path) error {
	m := mermaid{t: traceOf(p), nodes: g.all(), number: map[string]int{}}
	for i, n := range m.nodes {
		m.number[n.Name] = i
	}
	m.WriteString("flowchart TD\n  start((\" \")) --> s0\n")
	m.states(g, "  ")
	m.edges(g)
	m.classes()
	if len(m.taken) > 0 {
		fmt.Fprintf(&m, "  linkStyle %s stroke:%s,stroke-width:3px\n", strings.Join(m.taken, ","), green)
	}
	_, err := io.WriteString(w, m.String())
	return err
}

// A mermaid is a flowchart being written.
type mermaid struct {
	strings.Builder
	t      trace
	nodes  []Node         // of all flows
	number map[string]int // of each state
	links  int            // written so far, but for the one from the start, which is link 0
	taken  []string       // links
}

// states writes the states of a flow, those of the compensation together.
func (m *mermaid) states(g Graph, indent string) {
	for _, n := range g.Nodes {
		if !n.Compensation {
			m.state(n, indent)
		}
	}
	if !slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Compensation }) {
		return
	}
	fmt.Fprintf(m, "%ssubgraph %s [Compensation]\n", indent, m.compensation(g))
	for _, n := range g.Nodes {
		if n.Compensation {
			m.state(n, indent+"  ")
		}
	}
	m.WriteString(indent + "end\n")
}

// compensation names the compensation of a flow: that of the machine alone has no number.
func (m *mermaid) compensation(g Graph) string {
	if first := m.number[g.Nodes[0].Name]; first > 0 {
		return fmt.Sprintf("compensation%d", first)
	}
	return "compensation"
}

func (m *mermaid) state(n Node, indent string) {
	id, label := fmt.Sprintf("s%d", m.number[n.Name]), mermaidLabel(n, m.t)
	if len(n.Inside) == 0 {
		m.WriteString(indent + id + mermaidShape(n.Type, label) + "\n")
		return
	}
	fmt.Fprintf(m, "%ssubgraph %s [\"%s\"]\n", indent, id, label)
	for _, inside := range n.Inside {
		m.states(inside, indent+"  ")
	}
	m.WriteString(indent + "end\n")
}

// edges writes those of a flow, then those of what is inside of its states.
func (m *mermaid) edges(g Graph) {
	for _, e := range g.Edges {
		arrow := "-->"
		switch {
		case e.Kind == Catch:
			arrow = "-. catch .->"
		case e.Jump:
			arrow = "-- resume -->"
		}
		fmt.Fprintf(m, "  s%d %s s%d\n", m.number[e.From], arrow, m.number[e.To])
		m.links++
		if m.t.took(e) {
			m.taken = append(m.taken, fmt.Sprint(m.links))
		}
	}
	for _, n := range g.Nodes {
		for _, inside := range n.Inside {
			m.edges(inside)
		}
	}
}

// classes says which states are of which class; the later ones win.
func (m *mermaid) classes() {
	t := m.t
	for _, c := range []struct {
		name, look string
		holds      func(Node) bool
	}{
		{"compensation", "stroke:" + amber, func(n Node) bool { return n.Compensation }},
		{"visited", "fill:#ecfdf5,stroke:" + green + ",stroke-width:2px,color:" + black, func(n Node) bool { return len(t.steps[n.Name]) > 0 }},
		{"failed", "fill:#fef2f2,stroke:" + red + ",stroke-width:2px,color:" + black, func(n Node) bool { return t.failed[n.Name] }},
		{"current", "fill:#eff6ff,stroke:" + blue + ",stroke-width:4px,color:" + black, func(n Node) bool { return t.any && t.current == n.Name }},
	} {
		var ids []string
		for i, n := range m.nodes {
			if c.holds(n) {
				ids = append(ids, fmt.Sprintf("s%d", i))
			}
		}
		if len(ids) > 0 {
			fmt.Fprintf(m, "  classDef %s %s\n  class %s %s\n", c.name, c.look, strings.Join(ids, ","), c.name)
		}
	}
}

func mermaidLabel(n Node, t trace) string {
	label := shown(n.Name)
	if steps := t.steps[n.Name]; len(steps) > 0 {
		label = enumerate(steps, maxBadge) + ": " + label
	}
	return mermaidText(label)
}

func mermaidShape(kind, label string) string {
	switch kind {
	case "Choice":
		return `{{"` + label + `"}}`
	case "Wait":
		return `(["` + label + `"])`
	case "Succeed":
		return `((("` + label + `")))`
	case "Fail":
		return `[["` + label + `"]]`
	default:
		return `("` + label + `")`
	}
}

// mermaidText writes everything but letters, digits and blanks by its number: Mermaid has quotes, Markdown, HTML, entities and comments, and
// no one rule that escapes them all. A label that begins with a number and a point would be a list, so the point has one too.
func mermaidText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == ' ' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
