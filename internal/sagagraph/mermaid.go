package sagagraph

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Mermaid writes the graph as a Mermaid flowchart, which many places that show Markdown draw. A flowchart and not a
// stateDiagram-v2: that one has no line of dashes for what is caught. Mermaid does the layout itself; sides, kinds of edges and the
// path are told by subgraph, by dashes and by classes.
func (g Graph) Mermaid(w io.Writer, p Path) error {
	var b strings.Builder
	t := traceOf(p)
	b.WriteString("flowchart TD\n  start((\" \")) --> s0\n")
	number := map[string]int{}
	var compensation []string
	for i, n := range g.Nodes {
		number[n.Name] = i
		line := fmt.Sprintf("s%d%s", i, mermaidShape(n.Type, mermaidLabel(n, t)))
		if n.Compensation {
			compensation = append(compensation, line)
			continue
		}
		b.WriteString("  " + line + "\n")
	}
	if len(compensation) > 0 {
		b.WriteString("  subgraph compensation [Compensation]\n    " + strings.Join(compensation, "\n    ") + "\n  end\n")
	}
	var taken []string
	for i, e := range g.Edges {
		arrow := "-->"
		switch {
		case e.Kind == Catch:
			arrow = "-. catch .->"
		case e.Jump:
			arrow = "-- resume -->"
		}
		fmt.Fprintf(&b, "  s%d %s s%d\n", number[e.From], arrow, number[e.To])
		if t.took(e) {
			taken = append(taken, fmt.Sprint(i+1)) // link 0 comes from the start
		}
	}
	g.mermaidClasses(&b, t)
	if len(taken) > 0 {
		fmt.Fprintf(&b, "  linkStyle %s stroke:%s,stroke-width:3px\n", strings.Join(taken, ","), green)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidClasses says which states are of which class; the later ones win.
func (g Graph) mermaidClasses(b *strings.Builder, t trace) {
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
		for i, n := range g.Nodes {
			if c.holds(n) {
				ids = append(ids, fmt.Sprintf("s%d", i))
			}
		}
		if len(ids) > 0 {
			fmt.Fprintf(b, "  classDef %s %s\n  class %s %s\n", c.name, c.look, strings.Join(ids, ","), c.name)
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
