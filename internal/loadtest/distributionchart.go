package loadtest

import (
	"io"
	"math"
	"strings"
)

// DistributionSVG draws how many orders took how long, on a logarithmic axis, and marks the percentiles.
func (r Result) DistributionSVG(w io.Writer) error {
	d := newDrawing("Distribution of the latency", r.summary())
	if r.Done == 0 || len(r.Distribution) == 0 {
		d.nothing()
		return d.writeTo(w)
	}
	x := scale{lo: r.Distribution[0].FromMs, hi: r.Distribution[len(r.Distribution)-1].ToMs, from: chartLeft, to: chartRight, log: true}
	for wide := r.Distribution[0].ToMs / r.Distribution[0].FromMs; x.hi/x.lo < math.Pow(wide, fewestBars-0.5); {
		x.lo, x.hi = x.lo/wide, x.hi*wide
	}
	most := int64(0)
	for _, b := range r.Distribution {
		most = max(most, b.Count)
	}
	y := fromZero(float64(most), 406, 172)
	y.whole = true
	d.yAxis(y, "orders")
	for _, b := range r.Distribution {
		if b.Count > 0 {
			top := min(y.at(float64(b.Count)), y.from-2) // one order that took a second is what one looks for
			d.rect(x.at(b.FromMs)+0.5, top, x.at(b.ToMs)-x.at(b.FromMs)-1, y.from-top, lightBlue)
		}
	}
	d.marks(marksOf(r.Latency), x, y.from)
	d.xAxis(x, 406, "milliseconds from when an order was "+r.since()+" until it came back, log")
	return d.writeTo(w)
}

// since is what the latencies count from.
func (s Snapshot) since() string {
	if s.Rate > 0 {
		return "due"
	}
	return "sent"
}

// A mark is a percentile, or several that are the same.
type mark struct {
	names []string
	ms    float64
}

func (m mark) label() string { return strings.Join(m.names, ", ") + " " + threeDigits(m.ms) }

func marksOf(l Latency) []mark {
	var out []mark
	for _, m := range []mark{{[]string{"p50"}, l.P50Ms}, {[]string{"p90"}, l.P90Ms}, {[]string{"p99"}, l.P99Ms}, {[]string{"p99.9"}, l.P999Ms}, {[]string{"max"}, l.MaxMs}} {
		if n := len(out); n > 0 && threeDigits(out[n-1].ms) == threeDigits(m.ms) {
			out[n-1].names = append(out[n-1].names, m.names...)
		} else {
			out = append(out, m)
		}
	}
	return out
}

// marks draws a line down to the axis with a label for each mark, each label in the first row in which it has room.
func (d *drawing) marks(marks []mark, x scale, axis float64) {
	const rows = 5 // one for each, if need be
	var ends [rows]float64
	type label struct {
		x, y         float64
		anchor, text string
	}
	var labels []label
	for _, m := range marks {
		at := crisp(min(x.at(m.ms), chartRight-1))
		l := label{x: at + 5, anchor: "start", text: m.label()}
		width := float64(len(l.text)) * charWidth
		begin := l.x
		if begin+width > chartRight {
			l.x, l.anchor, begin = at-5, "end", at-5-width
		}
		row := 0
		for row < rows-1 && begin < ends[row] {
			row++
		}
		ends[row] = begin + width + 10
		l.y = 84 + 16*float64(row)
		d.put(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-dasharray="3 3"/>`, px(at), px(l.y-9), px(at), px(axis), orange)
		labels = append(labels, l)
	}
	for _, l := range labels { // on top of all lines, with a margin in the colour of the ground
		d.put(`<text x="%s" y="%s" text-anchor="%s" fill="%s" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">%s</text>`,
			px(l.x), px(l.y), l.anchor, ink, escape(l.text))
	}
}
