package loadtest

import (
	"io"
	"math"
	"strings"
)

// LatencySVG draws the median and the 99th percentile of each second, and below them how many orders came back in it. Where none came
// back the lines have a gap.
func (s Snapshot) LatencySVG(w io.Writer) error {
	d := newDrawing("Latency over time", s.summary())
	legend := [][2]string{{"p50", blue}, {"p99", orange}, {"orders/s", green}}
	if s.Counts.Errors() > 0 {
		legend = append(legend, [2]string{"errors/s", red})
	}
	d.legend(legend)
	if s.Done == 0 || len(s.Series) == 0 {
		d.nothing()
		return d.writeTo(w)
	}
	x := scale{lo: 0, hi: float64(s.Series[len(s.Series)-1].Second + 1), from: chartLeft, to: chartRight, whole: true}
	y, label := latencyScale(s.Series, 288, 92)
	d.yAxis(y, label)
	for _, part := range unbroken(s.Series) {
		d.band(part, x, y)
		d.curve(part, x, y, orange, 6, func(p Point) float64 { return *p.P99Ms })
		d.curve(part, x, y, blue, 3, func(p Point) float64 { return *p.P50Ms })
	}
	d.line(chartLeft, crisp(y.from), chartRight, crisp(y.from), soft)
	d.throughput(s.Series, x, 406, 328)
	d.xAxis(x, 406, "seconds since the first order")
	return d.writeTo(w)
}

// latencyScale is linear from 0, or logarithmic where a stall would press everything else onto the axis.
func latencyScale(series []Point, from, to float64) (scale, string) {
	least, most := 0.0, 0.0
	for _, p := range series {
		if p.P50Ms != nil {
			if least == 0 || *p.P50Ms < least {
				least = *p.P50Ms
			}
			most = max(most, *p.P99Ms)
		}
	}
	if most > logFrom*least {
		return logarithmic(least, most, from, to), "ms, log"
	}
	return fromZero(most, from, to), "ms"
}

// unbroken are the longest parts of the series in which each second has a latency.
func unbroken(series []Point) [][]Point {
	var out [][]Point
	begin := 0
	for i, p := range series {
		if p.P50Ms != nil {
			continue
		}
		if i > begin {
			out = append(out, series[begin:i])
		}
		begin = i + 1
	}
	if begin < len(series) {
		out = append(out, series[begin:])
	}
	return out
}

// middle is where a second's values stand.
func middle(p Point) float64 { return float64(p.Second) + 0.5 }

// band fills what lies between the median and the 99th percentile.
func (d *drawing) band(part []Point, x, y scale) {
	if len(part) < 2 {
		return
	}
	var points []string
	for _, p := range part {
		points = append(points, px(x.at(middle(p)))+","+px(y.at(*p.P99Ms)))
	}
	for i := len(part) - 1; i >= 0; i-- {
		points = append(points, px(x.at(middle(part[i])))+","+px(y.at(*part[i].P50Ms)))
	}
	d.put(`<polygon points="%s" fill="%s" fill-opacity="0.1"/>`, strings.Join(points, " "), orange)
}

// curve draws a line through the seconds, or a ring around one that stands alone.
func (d *drawing) curve(part []Point, x, y scale, colour string, ring float64, of func(Point) float64) {
	if len(part) == 1 {
		d.put(`<circle cx="%s" cy="%s" r="%s" fill="none" stroke="%s" stroke-width="1.75"/>`,
			px(x.at(middle(part[0]))), px(y.at(of(part[0]))), px(ring), colour)
		return
	}
	var points []string
	for _, p := range part {
		points = append(points, px(x.at(middle(p)))+","+px(y.at(of(p))))
	}
	d.put(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1.75" stroke-linejoin="round" stroke-linecap="round"/>`,
		strings.Join(points, " "), colour)
}

// throughput draws a block for each second: the orders that had their answer, and on top of them the errors.
func (d *drawing) throughput(series []Point, x scale, from, to float64) {
	most := 0.0
	for _, p := range series {
		most = max(most, p.OrdersPerSecond+float64(p.Errors))
	}
	step := niceStep(most, 2) // it is low: two ticks
	y := scale{lo: 0, hi: max(1, math.Ceil(most/step-1e-9)) * step, from: from, to: to}
	for v := 0.0; v <= y.hi; v += step {
		d.line(chartLeft, crisp(y.at(v)), chartRight, crisp(y.at(v)), grid)
		d.text(chartLeft-8, crisp(y.at(v))+4, "end", soft, number(v))
	}
	d.text(chartLeft-8, to-14, "end", soft, "orders/s")
	var path strings.Builder
	path.WriteString("M" + px(x.from) + " " + px(from))
	for _, p := range series {
		path.WriteString("V" + px(y.at(p.OrdersPerSecond)) + "H" + px(x.at(float64(p.Second+1))))
	}
	d.put(`<path d="%sV%sZ" fill="%s"/>`, path.String(), px(from), green)
	for _, p := range series {
		if p.Errors > 0 {
			top := y.at(p.OrdersPerSecond + float64(p.Errors))
			height := max(2, y.at(p.OrdersPerSecond)-top) // one error in thousands is what one looks for
			d.rect(x.at(float64(p.Second)), y.at(p.OrdersPerSecond)-height, max(1, x.at(1)-x.at(0)), height, red)
		}
	}
}
