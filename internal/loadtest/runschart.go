package loadtest

import (
	"fmt"
	"io"
	"strings"
)

// TailSVG draws how the percentiles of the latency go apart from run to run. A run in which no order came back is left out.
func TailSVG(w io.Writer, runs []Result) error {
	d := newDrawing("Tail latency", summaryOf(runs))
	d.legend([][2]string{{"p50", blue}, {"p95", lightBlue}, {"p99", orange}, {"p99.9", red}, {"max", soft}})
	runs = answered(runs)
	if len(runs) == 0 {
		d.nothing()
		return d.writeTo(w)
	}
	y, label := tailScale(runs, 406, 92)
	d.yAxis(y, label)
	for _, of := range []struct {
		colour  string
		latency func(Latency) float64
	}{ // the worst first: where lines meet, the median is seen
		{soft, func(l Latency) float64 { return l.MaxMs }},
		{red, func(l Latency) float64 { return l.P999Ms }},
		{orange, func(l Latency) float64 { return l.P99Ms }},
		{lightBlue, func(l Latency) float64 { return l.P95Ms }},
		{blue, func(l Latency) float64 { return l.P50Ms }},
	} {
		d.through(runs, y, of.colour, func(r Result) float64 { return of.latency(r.Latency) })
	}
	d.runsAxis(runs, y.from)
	return d.writeTo(w)
}

// ThroughputSVG draws how many orders a second had their answer in each run.
func ThroughputSVG(w io.Writer, runs []Result) error {
	d := newDrawing("Throughput", summaryOf(runs))
	runs = answered(runs)
	if len(runs) == 0 {
		d.nothing()
		return d.writeTo(w)
	}
	most := 0.0
	for _, r := range runs {
		most = max(most, r.OrdersPerSecondOverall)
	}
	y := fromZero(most, 406, 100)
	d.yAxis(y, "orders/s")
	d.through(runs, y, blue, func(r Result) float64 { return r.OrdersPerSecondOverall })
	for i, r := range runs {
		v := r.OrdersPerSecondOverall
		text := number(round(v, 0))
		if v < 100 {
			text = number(round(v, 1))
		}
		d.text(place(i, len(runs)), y.at(v)-12, "middle", ink, text)
	}
	d.runsAxis(runs, y.from)
	return d.writeTo(w)
}

// answered are the runs in which an order came back.
func answered(runs []Result) []Result {
	var out []Result
	for _, r := range runs {
		if r.Done > 0 {
			out = append(out, r)
		}
	}
	return out
}

// tailScale is linear from 0, or logarithmic where the worst order would press everything else onto the axis.
func tailScale(runs []Result, from, to float64) (scale, string) {
	least, most := runs[0].Latency.P50Ms, 0.0
	for _, r := range runs {
		least, most = min(least, r.Latency.P50Ms), max(most, r.Latency.MaxMs)
	}
	if most > logFrom*least && least > 0 {
		return logarithmic(least, most, from, to), "ms, log"
	}
	return fromZero(most, from, to), "ms"
}

// place is where the i-th of n runs stands: at equal distances, since nobody chooses 5, 10, 20 and 50 for how far they are from each other.
func place(i, n int) float64 {
	return chartLeft + (float64(i)+0.5)*(chartRight-chartLeft)/float64(n)
}

// through draws a line through the runs' values and a dot for each.
func (d *drawing) through(runs []Result, y scale, colour string, of func(Result) float64) {
	points := make([]string, 0, len(runs))
	for i, r := range runs {
		points = append(points, px(place(i, len(runs)))+","+px(y.at(of(r))))
	}
	if len(points) > 1 {
		d.put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1.75" stroke-linejoin="round"/>`, strings.Join(points, " "), colour)
	}
	for i, r := range runs {
		d.put(`<circle cx="%s" cy="%s" r="3.5" fill="%s" stroke="#ffffff"/>`, px(place(i, len(runs))), px(y.at(of(r))), colour)
	}
}

// runsAxis draws the line below what is plotted and what each run was.
func (d *drawing) runsAxis(runs []Result, y float64) {
	d.line(chartLeft, crisp(y), chartRight, crisp(y), soft)
	for i, r := range runs {
		x := crisp(place(i, len(runs)))
		d.line(x, crisp(y), x, y+5, soft)
		label := number(float64(r.Concurrency))
		if r.Rate > 0 {
			label = number(r.Rate)
		}
		d.text(x, y+18, "middle", soft, label)
	}
	what := "orders at once, closed loop"
	if runs[0].Rate > 0 {
		what = "orders due a second, open loop"
	}
	d.text((chartLeft+chartRight)/2, y+38, "middle", soft, what)
}

// summaryOf is all runs in a line.
func summaryOf(runs []Result) string {
	switch len(runs) {
	case 0:
		return "no run"
	case 1:
		return runs[0].summary()
	}
	orders, errors := int64(0), int64(0)
	best := runs[0]
	for _, r := range runs {
		orders, errors = orders+r.Done, errors+r.Counts.Errors()
		if r.OrdersPerSecondOverall > best.OrdersPerSecondOverall {
			best = r
		}
	}
	text := fmt.Sprintf("%d runs, %s orders", len(runs), number(float64(orders)))
	if best.Concurrency > 0 && best.OrdersPerSecondOverall > 0 {
		text += fmt.Sprintf(", most with %s at once: %s orders/s", number(float64(best.Concurrency)), number(round(best.OrdersPerSecondOverall, 0)))
	}
	if errors > 0 {
		text += fmt.Sprintf(", %s errors", number(float64(errors)))
	}
	return text
}
