package loadtest

import (
	"io"
	"math"
)

// ScatterSVG draws single orders: when each came back and how long it took, with lines at the percentiles. What a percentile of a second
// hides is seen here: two groups, or one caller that waits for all others.
func (r Result) ScatterSVG(w io.Writer) error {
	shown := "every order"
	if r.SampleEvery > 1 {
		shown = "one order in " + number(float64(r.SampleEvery))
	}
	d := newDrawing("Single orders", shown+" of "+r.summary())
	d.legend([][2]string{{"confirmed", blue}, {"any other end", green}, {"errors", red}})
	if len(r.Sample) == 0 {
		d.nothing()
		return d.writeTo(w)
	}
	least, most, end := math.Inf(1), 0.0, 0.0
	for _, o := range r.Sample {
		least, most, end = min(least, o.Ms), max(most, o.Ms), max(end, o.Second)
	}
	x := scale{lo: 0, hi: max(end, 0.001), from: chartLeft, to: chartRight}
	y, label := fromZero(most, 406, 92), "ms"
	if most > logFrom*least {
		y, label = logarithmic(least, most, 406, 92), "ms, log"
	}
	d.yAxis(y, label)
	for _, o := range r.Sample {
		colour := blue
		switch {
		case o.Outcome.IsError():
			colour = red
		case o.Outcome != Confirmed:
			colour = green
		}
		d.put(`<circle cx="%s" cy="%s" r="2.2" fill="%s" fill-opacity="0.6"/>`, px(x.at(o.Second)), px(y.at(o.Ms)), colour)
	}
	last := y.from
	for _, p := range []mark{{[]string{"p50"}, r.Latency.P50Ms}, {[]string{"p95"}, r.Latency.P95Ms}, {[]string{"p99"}, r.Latency.P99Ms}} {
		at := crisp(max(y.at(p.ms), y.to))
		d.put(`<line x1="%d" y1="%s" x2="%d" y2="%s" stroke="%s" stroke-dasharray="3 3"/>`, chartLeft, px(at), chartRight, px(at), orange)
		last = min(at-4, last-14) // labels do not lie on each other where the lines nearly do
		d.put(`<text x="%d" y="%s" text-anchor="end" fill="%s" stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">%s</text>`,
			chartRight-4, px(last), ink, escape(p.label()))
	}
	d.xAxis(x, y.from, "seconds since the first order")
	return d.writeTo(w)
}
