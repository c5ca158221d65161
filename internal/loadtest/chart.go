package loadtest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// The charts are SVG documents that stand alone. They carry their looks in presentation attributes and not in a style sheet: a page's
// Content-Security-Policy may forbid the latter, and a file that is opened by itself has no page. They have a ground of their own, so that they
// can be read on a dark page and on paper.

const (
	chartWidth, chartHeight = 900, 460
	chartLeft, chartRight   = 64, 876 // of what is plotted
	charWidth               = 6.2     // of a label of 11 px, about; too wide is better than labels on each other

	maxLinearTicks = 5
	maxLogTicks    = 12
	logFrom        = 20.0 // a latency axis is logarithmic if the largest is so many times the smallest
	fewestBars     = 16   // what a distribution is wide at least: one bar alone would fill the chart
)

// Blue and orange are told apart by everybody; the others stand in places of their own.
const (
	ink, soft, grid = "#1d1f21", "#5d6166", "#e6e6e1"
	blue, lightBlue = "#1a56b0", "#7d9fd2"
	orange          = "#c2570c"
	green, red      = "#7aa78f", "#a8261f"
	family          = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
)

// A drawing is an SVG document in the making.
type drawing struct{ b bytes.Buffer }

// newDrawing begins a document with its title and a line below it, which are also what a screen reader says.
func newDrawing(title, subtitle string) *drawing {
	d := &drawing{}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc" font-family="%s" font-size="11" font-variant="tabular-nums" fill="%s">`,
		chartWidth, chartHeight, chartWidth, chartHeight, escape(family), soft)
	d.put(`<title id="title">%s</title><desc id="desc">%s</desc>`, escape(title), escape(subtitle))
	d.put(`<rect width="%d" height="%d" fill="#ffffff"/>`, chartWidth, chartHeight)
	d.put(`<text x="24" y="32" font-size="16" font-weight="600" fill="%s">%s</text>`, ink, escape(title))
	d.put(`<text x="24" y="52" font-size="12">%s</text>`, escape(subtitle))
	return d
}

func (d *drawing) put(format string, args ...any) {
	fmt.Fprintf(&d.b, format, args...)
	d.b.WriteByte('\n')
}

// writeTo ends the document.
func (d *drawing) writeTo(w io.Writer) error {
	d.put(`</svg>`)
	_, err := w.Write(d.b.Bytes())
	return err
}

func (d *drawing) text(x, y float64, anchor, fill, s string) {
	d.put(`<text x="%s" y="%s" text-anchor="%s" fill="%s">%s</text>`, px(x), px(y), anchor, fill, escape(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, stroke string) {
	d.put(`<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"/>`, px(x1), px(y1), px(x2), px(y2), stroke)
}

func (d *drawing) rect(x, y, width, height float64, fill string) {
	d.put(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`, px(x), px(y), px(width), px(height), fill)
}

// yAxis draws a grid line and a label for each tick, and what they are above them.
func (d *drawing) yAxis(s scale, label string) {
	for _, v := range s.ticks() {
		y := crisp(s.at(v))
		d.line(chartLeft, y, chartRight, y, grid)
		d.text(chartLeft-8, y+4, "end", soft, number(v))
	}
	d.text(chartLeft-8, s.to-14, "end", soft, label)
}

// xAxis draws the line below what is plotted, a mark and a label for each tick, and what they are below them.
func (d *drawing) xAxis(s scale, y float64, label string) {
	d.line(chartLeft, crisp(y), chartRight, crisp(y), soft)
	for _, v := range s.ticks() {
		x := crisp(s.at(v))
		d.line(x, crisp(y), x, y+5, soft)
		d.text(x, y+18, "middle", soft, number(v))
	}
	d.text((chartLeft+chartRight)/2, y+38, "middle", soft, label)
}

// legend draws names with their colours, up to the right edge.
func (d *drawing) legend(entries [][2]string) {
	x := float64(chartRight)
	for _, e := range entries {
		x -= float64(len(e[0]))*charWidth + 34
	}
	for _, e := range entries {
		name, colour := e[0], e[1]
		d.rect(x+18, 23, 10, 10, colour)
		d.text(x+34, 32, "start", ink, name)
		x += float64(len(name))*charWidth + 34
	}
}

// nothing says that there is nothing to draw.
func (d *drawing) nothing() {
	d.text((chartLeft+chartRight)/2, chartHeight/2, "middle", soft, "No order came back.")
}

// A scale maps values from lo to hi to pixels.
type scale struct {
	lo, hi   float64
	from, to float64
	log      bool
	whole    bool // the values are whole numbers: there is nothing between them to be marked
}

// fromZero is a linear scale from 0 to a tick that is not below most.
func fromZero(most, from, to float64) scale {
	step := niceStep(most, maxLinearTicks)
	return scale{lo: 0, hi: math.Max(1, math.Ceil(most/step-1e-9)) * step, from: from, to: to}
}

// logarithmic is a scale whose ends are 1, 2 or 5 times a power of ten around the values.
func logarithmic(least, most, from, to float64) scale {
	s := scale{lo: niceBelow(least), hi: niceAbove(most), from: from, to: to, log: true}
	if s.lo == s.hi {
		s.hi *= 2
	}
	return s
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(math.Max(v, s.lo))
	}
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// ticks are round values within the scale: steps of 1, 2 or 5 times a power of ten; on a logarithmic scale those themselves, or the powers of
// ten alone where they would be too many.
func (s scale) ticks() []float64 {
	var out []float64
	if !s.log {
		n := maxLinearTicks
		if s.to > s.from { // along the width there is room for twice as many
			n *= 2
		}
		step := niceStep(s.hi-s.lo, n)
		if s.whole {
			step = max(step, 1)
		}
		for i := math.Ceil(s.lo / step); i*step <= s.hi*(1+1e-9); i++ {
			out = append(out, i*step)
		}
		return out
	}
	for _, of := range [][]float64{{1, 2, 5}, {1}} {
		out = out[:0]
		for e := math.Floor(math.Log10(s.lo)); math.Pow(10, e) <= s.hi*(1+1e-9); e++ {
			for _, m := range of {
				if v := m * math.Pow(10, e); v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
					out = append(out, v)
				}
			}
		}
		if len(out) <= maxLogTicks {
			break
		}
	}
	return out
}

// niceStep is the smallest of 1, 2 or 5 times a power of ten of which at most n make the span.
func niceStep(span float64, n int) float64 {
	if span <= 0 {
		return 1
	}
	return niceAbove(span / float64(n))
}

// niceAbove is the smallest value not below v that is 1, 2 or 5 times a power of ten; niceBelow the largest not above it.
func niceAbove(v float64) float64 {
	for power := math.Pow(10, math.Floor(math.Log10(v))); ; power *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if m*power >= v*(1-1e-9) {
				return m * power
			}
		}
	}
}

func niceBelow(v float64) float64 { return 1 / niceAbove(1/v) } // 1/2 is 5/10, and 1/5 is 2/10

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // into memory
	return b.String()
}

// px is a coordinate: a tenth of a pixel is finer than anybody sees, and a path of 600 points is short with it.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// crisp is in the middle of a pixel, where a line of one pixel is not smeared over two.
func crisp(v float64) float64 { return math.Floor(v) + 0.5 }

// number is a value with its thousands set apart.
func number(v float64) string {
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}

// threeDigits is a latency in three digits and the unit in which they are.
func threeDigits(ms float64) string {
	value, unit := ms, "ms"
	if ms >= 1000 {
		value, unit = ms/1000, "s"
	}
	places := 0
	for limit := 100.0; value < limit && places < 2; limit /= 10 {
		places++
	}
	return strconv.FormatFloat(value, 'f', places, 64) + " " + unit
}

// summary is a run in a line.
func (s Snapshot) summary() string {
	loop := fmt.Sprintf("closed loop of %d", s.Concurrency)
	if s.Rate > 0 {
		loop = fmt.Sprintf("open loop, %s orders a second due", number(s.Rate))
	}
	text := fmt.Sprintf("%s orders in %s s, %s", number(float64(s.Done)), number(math.Round(s.ElapsedSeconds*10)/10), loop)
	if s.Done > 0 {
		text += fmt.Sprintf(": p50 %s, p99 %s, max %s", threeDigits(s.Latency.P50Ms), threeDigits(s.Latency.P99Ms), threeDigits(s.Latency.MaxMs))
	}
	if n := s.Counts.Errors(); n > 0 {
		text += fmt.Sprintf(", %s errors", number(float64(n)))
	}
	return text
}
