package sagagraph

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// SVG writes the drawing as an element of an HTML page. It has no script, no style and no colours, so that a strict
// Content-Security-Policy lets it be; without the page's style sheet it is black. The sheet sees these classes:
//
//	svg.saga-graph        .with-path if an execution is shown: then what has not been visited or taken should be faint
//	rect.lane.compensation, text.lane-title
//	path.edge             .next or .catch; .jump, .back, .taken; .undo if it was taken from or to the compensation
//	path.arrow            the same, but .back: the heads of the edges
//	circle.start, path.start
//	g.state               .task, .choice, .pass, .wait, .succeed, .fail, .parallel or .map; .compensation; .visited, .failed, .current
//	  .shape, .inner      its outline; a second one within, of succeed and fail
//	  text.name           sized for 13 px bold sans-serif
//	  text.detail         10 px: what a task calls, or the type
//	  rect.badge, text.step  at its corner, the places of its visits in the order of all
//	g.flow                behind a parallel or a map: a branch or what an iteration goes through, with all of the above
//
// Every state has an id, so a page holds one drawing. An edge's path begins at the state that it enters: where lines have
// joined, the dashes of all of them fall together.
func (g Graph) SVG(w io.Writer, p Path) error { return g.draw(w, p, false) }

// StandaloneSVG writes the drawing as a file for any viewer: as SVG does, with colours on a light ground and a legend.
func (g Graph) StandaloneSVG(w io.Writer, p Path) error { return g.draw(w, p, true) }

const (
	round     = 9  // of a box's corners
	notch     = 12 // how far a choice's sides point outwards
	inset     = 4  // between the two outlines of an end
	headSize  = 6  // of an arrow's head, before the line begins
	badgeSize = 16
	legendRow = 40
)

// A drawing is an SVG being written.
type drawing struct {
	strings.Builder
	g       Graph
	t       trace
	colours bool
}

func (g Graph) draw(w io.Writer, p Path, colours bool) error {
	d := &drawing{g: g, t: traceOf(p), colours: colours}
	width, height := g.Width, g.Height
	if colours {
		height += legendRow
		width = max(width, legendWidth)
	}
	class := "saga-graph"
	if d.t.any {
		class += " with-path"
	}
	d.tag(`<svg xmlns="http://www.w3.org/2000/svg" class="%s" role="img" aria-labelledby="saga-graph-title saga-graph-desc" viewBox="0 0 %d %d" width="%d" height="%d"`,
		class, width, height, width, height)
	d.look(`font-family="system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"`)
	d.WriteString(">\n")
	d.line(`<title id="saga-graph-title">%s</title>`, escape(g.title(p)))
	d.line(`<desc id="saga-graph-desc">%s</desc>`, escape(g.describe(p)))
	d.heads()
	if colours {
		d.line(`<rect width="%d" height="%d" fill="%s"/>`, width, height, paper)
	}
	d.flow()
	if colours {
		d.legend()
	}
	d.WriteString("</svg>\n")
	_, err := io.WriteString(w, d.String())
	return err
}

// flow draws the states of one flow and what is inside of them.
func (d *drawing) flow() {
	d.ground()
	d.start()
	d.edges()
	d.laneTitle()
	for _, n := range d.g.Nodes {
		d.node(n)
		d.inside(n)
	}
}

// inside draws the flows in a state's box, below its name. They do not stand in the state's own element: what marks it would mark all of them.
func (d *drawing) inside(n Node) {
	outer, x := d.g, n.X+(n.Width-insideWidth(n))/2
	for _, g := range n.Inside {
		d.line(`<g class="flow" transform="translate(%d %d)">`, x, n.Y+boxHeight)
		d.g = g
		d.flow()
		d.line("</g>")
		x += g.Width
	}
	d.g = outer
}

func (d *drawing) tag(format string, args ...any)  { fmt.Fprintf(d, format, args...) }
func (d *drawing) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// look adds attributes that only a drawing on its own has.
func (d *drawing) look(attributes string) {
	if d.colours && attributes != "" {
		d.WriteString(" " + attributes)
	}
}

func (g Graph) title(p Path) string {
	text := fmt.Sprintf("State machine of %d states, beginning with %s", len(g.all()), shown(g.Nodes[0].Name))
	if len(p.Visits) > 0 {
		text += ", with the way of one execution"
	}
	return text
}

// describe says in words what the drawing shows, for who does not see it.
func (g Graph) describe(p Path) string {
	var b strings.Builder
	if len(p.Visits) == 0 {
		list := func(title string, compensation bool) {
			var names []string
			for _, n := range g.all() {
				if n.Compensation == compensation {
					names = append(names, shown(n.Name))
				}
			}
			if len(names) > 0 {
				b.WriteString(title + strings.Join(names, ", ") + ".")
			}
		}
		list("States: ", false)
		list(" Compensation: ", true)
		return b.String()
	}
	b.WriteString("Visited: ")
	for i, v := range p.Visits {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(shown(v.State))
		if v.Failed {
			b.WriteString(" (failed)")
		}
	}
	b.WriteString(".")
	if p.Current != "" {
		b.WriteString(" It stands in " + shown(p.Current) + ".")
	}
	return b.String()
}

// A stroke is how a line is drawn; its classes name it.
type stroke struct {
	kind        Kind
	jump, taken bool
	undo        bool // taken, from or to a state of the compensation
}

func (d *drawing) strokeOf(e Edge) stroke {
	s := stroke{kind: e.Kind, jump: e.Jump, taken: d.t.took(e)}
	if s.taken {
		from, _ := d.g.node(e.From)
		to, _ := d.g.node(e.To)
		s.undo = from.Compensation || to.Compensation
	}
	return s
}

func (s stroke) classes() string {
	class := string(s.kind)
	if s.jump {
		class += " jump"
	}
	if s.taken {
		class += " taken"
	}
	if s.undo {
		class += " undo"
	}
	return class
}

func (s stroke) head() string { return "saga-arrow-" + strings.ReplaceAll(s.classes(), " ", "-") }

// drawn are the edges from the ones below to those on top: jumps, what was not taken, what was.
func (d *drawing) drawn() []Edge {
	height := func(e Edge) int {
		switch s := d.strokeOf(e); {
		case s.taken:
			return 3
		case s.jump:
			return 0
		case s.kind == Catch:
			return 1
		default:
			return 2
		}
	}
	out := slices.Clone(d.g.Edges)
	slices.SortStableFunc(out, func(a, b Edge) int { return height(a) - height(b) })
	return out
}

// heads defines an arrow head for each stroke that occurs.
func (d *drawing) heads() {
	d.line("<defs>")
	d.headsOf(d.g, map[stroke]bool{})
	d.line("</defs>")
}

func (d *drawing) headsOf(g Graph, done map[stroke]bool) {
	outer := d.g
	d.g = g
	for _, e := range d.drawn() {
		s := d.strokeOf(e)
		if done[s] {
			continue
		}
		done[s] = true
		d.tag(`<marker id="%s" viewBox="0 0 10 10" refX="%d" refY="5" markerWidth="10" markerHeight="10" orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="arrow %s" d="M0 1 10 5 0 9z"`,
			s.head(), 10-headSize, s.classes())
		d.look(fmt.Sprintf(`fill="%s"`, d.ink(s)))
		d.line("/></marker>")
	}
	for _, n := range g.Nodes {
		for _, inside := range n.Inside {
			d.headsOf(inside, done)
		}
	}
	d.g = outer
}

func (d *drawing) ground() {
	b := d.g.compensation
	if b.height == 0 {
		return
	}
	d.tag(`<rect class="lane compensation" x="%d" y="%d" width="%d" height="%d" rx="%d"`, b.x, b.y, b.width, b.height, round)
	d.look(fmt.Sprintf(`fill="%s"`, warmPaper))
	d.line("/>")
}

// laneTitle comes after the edges: a line that runs behind it stops at its edge.
func (d *drawing) laneTitle() {
	b := d.g.compensation
	if b.height == 0 {
		return
	}
	d.tag(`<text class="lane-title" x="%d" y="%d"`, b.x+bandSide, b.y+16)
	d.look(fmt.Sprintf(`fill="%s" stroke="%s" stroke-width="5" paint-order="stroke" stroke-linejoin="round" font-size="11"`, amber, warmPaper))
	d.line(">Compensation</text>")
}

// start draws the dot from which an execution comes.
func (d *drawing) start() {
	n := d.g.Nodes[0]
	x := n.X + n.Width/2
	ink := slate
	if d.t.any {
		ink = green
	}
	d.tag(`<path class="start" d="M%d %dV%d"`, x, n.Y-headroom+8, n.Y)
	d.look(fmt.Sprintf(`fill="none" stroke="%s" stroke-width="1.6"`, ink))
	d.tag(`/><circle class="start" cx="%d" cy="%d" r="6"`, x, n.Y-headroom+8)
	d.look(fmt.Sprintf(`fill="%s"`, ink))
	d.line("/>")
}

func (d *drawing) edges() {
	for _, e := range d.drawn() {
		s := d.strokeOf(e)
		class := s.classes()
		if e.Back {
			class += " back"
		}
		d.tag(`<path class="edge %s" data-from="%s" data-to="%s" d="%s" marker-start="url(#%s)"`,
			class, escape(e.From), escape(e.To), d.track(e), s.head())
		d.look(`fill="none" ` + d.pen(s))
		d.line("/>")
	}
}

// track is an edge's path, from its head to its tail.
func (d *drawing) track(e Edge) string {
	var b strings.Builder
	if len(e.Points) == 0 {
		n, _ := d.g.node(e.From)
		x, y := n.X+n.Width, n.Y+n.Height/2
		fmt.Fprintf(&b, "M%d %dC%d %d %d %d %d %d", x+headSize, y-10, x+selfLoop, y-16, x+selfLoop, y+16, x, y+10)
		return b.String()
	}
	points := slices.Clone(e.Points)
	slices.Reverse(points)
	if points[1].Y > points[0].Y {
		points[0].Y += headSize
	} else {
		points[0].Y -= headSize
	}
	fmt.Fprintf(&b, "M%d %d", points[0].X, points[0].Y)
	for i, to := range points[1:] {
		from := points[i]
		if from.X == to.X {
			fmt.Fprintf(&b, "V%d", to.Y)
			continue
		}
		bend := (to.Y - from.Y) * 11 / 20 // a little over the middle: the ends stand steeper
		fmt.Fprintf(&b, "C%d %d %d %d %d %d", from.X, from.Y+bend, to.X, to.Y-bend, to.X, to.Y)
	}
	return b.String()
}

func (d *drawing) node(n Node) {
	classes := []string{"state", strings.ToLower(n.Type)}
	steps := d.t.steps[n.Name]
	for _, c := range []struct {
		holds bool
		class string
	}{
		{n.Compensation, "compensation"},
		{len(steps) > 0, "visited"},
		{d.t.failed[n.Name], "failed"},
		{d.t.current == n.Name && d.t.any, "current"},
	} {
		if c.holds {
			classes = append(classes, c.class)
		}
	}
	k := d.coatOf(n)
	d.line(`<g class="%s" data-state="%s" id="%s">`, strings.Join(classes, " "), escape(n.Name), id(n.Name))
	d.line(`<title>%s</title>`, escape(d.caption(n)))
	d.outline(n, k)
	x := n.X + n.Width/2
	d.tag(`<text class="name" x="%d" y="%d" text-anchor="middle"`, x, n.Y+21)
	d.look(fmt.Sprintf(`fill="%s" font-size="%d" font-weight="600"`, k.text, nameSize))
	d.line(`>%s</text>`, escape(shown(n.Name)))
	d.tag(`<text class="detail" x="%d" y="%d" text-anchor="middle"`, x, n.Y+36)
	d.look(fmt.Sprintf(`fill="%s" font-size="%d"`, k.detail, detailSize))
	d.line(`>%s</text>`, escape(detail(n)))
	if len(steps) > 0 {
		d.badge(n, k, steps)
	}
	d.line("</g>")
}

// caption is what a viewer shows when the pointer rests on a state.
func (d *drawing) caption(n Node) string {
	text := shown(n.Name) + ", " + n.Type
	if n.Resource != "" {
		text += " " + shown(n.Resource)
	}
	if steps := d.t.steps[n.Name]; len(steps) > 0 {
		text += "; step " + enumerate(steps, len(steps))
	}
	if d.t.failed[n.Name] {
		text += "; failed"
	}
	if d.t.any && d.t.current == n.Name {
		text += "; the execution stands here"
	}
	return text
}

// outline draws the shape that says the type: a choice points to both sides, waits and successes are round, ends have a
// double line.
func (d *drawing) outline(n Node, k coat) {
	corner := round
	switch n.Type {
	case "Choice":
		middle := n.Y + n.Height/2
		d.tag(`<path class="shape" d="M%d %dH%dL%d %dL%d %dH%dL%d %dz"`,
			n.X+notch, n.Y, n.X+n.Width-notch, n.X+n.Width, middle, n.X+n.Width-notch, n.Y+n.Height, n.X+notch, n.X, middle)
		d.look(k.attributes() + ` stroke-linejoin="round"`)
		d.line("/>")
		return
	case "Wait", "Succeed":
		corner = n.Height / 2
	case "Fail":
		corner = 2
	}
	rect := func(class string, in int) {
		d.tag(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"`,
			class, n.X+in, n.Y+in, n.Width-2*in, n.Height-2*in, max(corner-in, 1))
	}
	rect("shape", 0)
	d.look(k.attributes())
	d.line("/>")
	if n.Type == "Succeed" || n.Type == "Fail" {
		rect("inner", inset)
		d.look(fmt.Sprintf(`fill="none" stroke="%s"`, k.stroke))
		d.line("/>")
	}
}

// maxBadge is how many places in the order a badge names; a loop may have very many.
const maxBadge = 3

func (d *drawing) badge(n Node, k coat, steps []int) {
	text := enumerate(steps, maxBadge)
	if d.t.failed[n.Name] {
		text += " ×"
	}
	width := max(badgeSize, textWidth(text, detailSize)+9)
	x, y := n.X-badgeSize/2+2, n.Y-badgeSize/2
	d.tag(`<rect class="badge" x="%d" y="%d" width="%d" height="%d" rx="%d"`, x, y, width, badgeSize, badgeSize/2)
	d.look(fmt.Sprintf(`fill="%s"`, k.stroke))
	d.tag(`/><text class="step" x="%d" y="%d" text-anchor="middle"`, x+width/2, y+12)
	d.look(fmt.Sprintf(`fill="%s" font-size="%d" font-weight="600"`, paper, detailSize))
	d.line(`>%s</text>`, text)
}

func enumerate(steps []int, most int) string {
	var texts []string
	for i, s := range steps {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, strconv.Itoa(s))
	}
	return strings.Join(texts, ", ")
}
