package sagagraph

import "fmt"

// The colours of a drawing on its own. Nothing is said by colour alone: kinds differ by dashes and types by shape, what was
// visited has a number, what failed a cross.
const (
	paper     = "#ffffff"
	warmPaper = "#fff8ec"
	black     = "#0f172a"
	slate     = "#475569"
	grey      = "#64748b"
	faint     = "#b8c4d3"
	green     = "#047857"
	amber     = "#b45309"
	red       = "#b91c1c"
	blue      = "#1d4ed8"
)

// A coat is the colours of a box.
type coat struct {
	fill, stroke, text, detail string
	width                      float64
}

func (k coat) attributes() string {
	return fmt.Sprintf(`fill="%s" stroke="%s" stroke-width="%g"`, k.fill, k.stroke, k.width)
}

func (d *drawing) coatOf(n Node) coat {
	visited := len(d.t.steps[n.Name]) > 0
	switch {
	case d.t.failed[n.Name]:
		return coat{"#fef2f2", red, black, slate, d.weight(n)}
	case visited && d.t.current == n.Name:
		return coat{"#eff6ff", blue, black, slate, d.weight(n)}
	case visited && n.Compensation:
		return coat{"#fef0c7", amber, black, slate, d.weight(n)}
	case visited:
		return coat{"#ecfdf5", green, black, slate, d.weight(n)}
	case d.t.any:
		return coat{paper, faint, grey, grey, 1.2}
	case n.Compensation:
		return coat{paper, amber, black, grey, 1.4}
	case n.Type == "Fail":
		return coat{paper, red, black, grey, 1.4}
	case n.Type == "Succeed":
		return coat{paper, green, black, grey, 1.4}
	default:
		return coat{paper, slate, black, grey, 1.4}
	}
}

// weight is the width of a visited state's outline: one that failed while the execution stands in it shows both.
func (d *drawing) weight(n Node) float64 {
	if d.t.current == n.Name {
		return 3.5
	}
	return 2
}

func (d *drawing) ink(s stroke) string {
	switch {
	case s.taken && s.kind == Catch:
		return red
	case s.undo:
		return amber
	case s.taken:
		return green
	case d.t.any:
		return faint
	case s.kind == Catch:
		return amber
	case s.jump:
		return "#94a3b8"
	default:
		return slate
	}
}

func (d *drawing) pen(s stroke) string {
	width := 1.6
	switch {
	case s.taken:
		width = 2.6
	case s.jump:
		width = 1.1
	}
	text := fmt.Sprintf(`stroke="%s" stroke-width="%g"`, d.ink(s), width)
	if s.kind == Catch {
		text += ` stroke-dasharray="6 4"`
	}
	return text
}

// legendWidth is what the longest legend needs.
const legendWidth = 560

// legend says what the lines mean, of the kinds that occur.
func (d *drawing) legend() {
	x, y := margin, d.g.Height+legendRow/2-margin/2
	d.line(`<g class="legend">`)
	entry := func(s stroke, text string) {
		d.tag(`<path class="edge %s" d="M%d %dH%d" marker-start="url(#%s)"`, s.classes(), x+34, y, x, s.head())
		d.look(`fill="none" ` + d.pen(s))
		d.line(`/><text x="%d" y="%d" fill="%s" font-size="11">%s</text>`, x+48, y+4, slate, text)
		x += 48 + textWidth(text, 11) + 12
	}
	for _, one := range []struct {
		of   func(Edge) bool
		text string
	}{
		{func(e Edge) bool { return e.Kind == Next && !e.Jump }, "goes on"},
		{func(e Edge) bool { return e.Kind == Catch }, "catches an error"},
		{func(e Edge) bool { return e.Jump }, "resumes in the middle"},
	} {
		found := false // where some of the kind were taken, the legend shows how that looks
		var s stroke
		for _, e := range d.g.Edges {
			if one.of(e) && (!found || !s.taken) {
				s, found = d.strokeOf(e), true
			}
		}
		if found {
			entry(s, one.text)
		}
	}
	if d.t.any {
		d.line(`<text x="%d" y="%d" fill="%s" font-size="11">1, 2, 3: the order; ×: failed</text>`, x, y+4, slate)
	}
	d.line("</g>")
}
