package dashboard

import (
	"fmt"
	"math"
	"strings"
)

// The drawing of a chart, in the units of its viewBox.
const (
	chartWidth  = 300.0
	chartHeight = 84.0
)

// A chart is one of the board's: a value for each of the last minutes, the line at which an alarm begins, and the value of all of them.
type chart struct {
	Title  string
	Now    string // over all the minutes
	Says   string // what the alarm line is
	Alarm  bool   // the value is beyond it
	Top    string // the label of the upper edge
	Bottom string
	Lines  []string // the points of polylines: a minute without a value parts them
	Dots   []point  // values that stand alone
	LineY  float64  // of the alarm
	HasY   bool
	Spoken string // the values as a text, for who does not see the picture
}

type point struct{ X, Y float64 }

// chartsOf are the board's four charts.
func chartsOf(r reading) []chart {
	counts := func(values []float64) []ratio {
		out := make([]ratio, len(values))
		for i, v := range values {
			out[i] = ratio{v, true}
		}
		return out
	}
	return []chart{
		draw("Orders created / min", counts(r.Created), 0, niceTop(maxOf(counts(r.Created)), 10), chart{Now: thousands(int64(r.Total.Created)), Says: "in 15 minutes"}, math.NaN()),
		draw("Saga success rate", r.Success, 80, 100, chart{
			Now: percent(r.Total.Success), Says: fmt.Sprintf("alarm below %d %%", alarmSuccess), Alarm: r.Total.Ended >= alarmLeast && r.Total.Success.Value < alarmSuccess,
		}, alarmSuccess),
		draw("P99, from order to outcome", r.P99, 0, niceTop(maxOf(r.P99), 100), chart{
			Now: millis(r.Total.P99), Says: "alarm above " + thousands(alarmP99.Milliseconds()) + " ms", Alarm: r.Total.P99.Given && r.Total.P99.Value > float64(alarmP99.Milliseconds()),
		}, float64(alarmP99.Milliseconds())),
		draw("Compensated orders", r.Compensation, 0, niceTop(math.Max(maxOf(r.Compensation), 20), 20), chart{
			Now: percent(r.Total.Compensation), Says: fmt.Sprintf("alarm above %d %%", alarmCompensation),
			Alarm: r.Total.Ended >= alarmLeast && r.Total.Compensation.Value > alarmCompensation,
		}, alarmCompensation),
	}
}

// draw puts the values between bottom and top. What is beyond is drawn at the edge.
func draw(title string, values []ratio, bottom, top float64, c chart, alarm float64) chart {
	c.Title, c.Top, c.Bottom = title, label(top), label(bottom)
	y := func(v float64) float64 {
		return math.Round((1-(min(max(v, bottom), top)-bottom)/(top-bottom))*chartHeight*10) / 10
	}
	var line []point
	end := func() {
		switch len(line) {
		case 0:
		case 1:
			c.Dots = append(c.Dots, line[0])
		default:
			c.Lines = append(c.Lines, points(line))
		}
		line = nil
	}
	var spoken []string
	for i, v := range values {
		if !v.Given {
			end()
			spoken = append(spoken, "none")
			continue
		}
		line = append(line, point{math.Round(float64(i)*chartWidth/float64(len(values)-1)*10) / 10, y(v.Value)})
		spoken = append(spoken, label(v.Value))
	}
	end()
	if !math.IsNaN(alarm) && alarm <= top {
		c.LineY, c.HasY = y(alarm), true
	}
	c.Spoken = strings.Join(spoken, ", ")
	return c
}

func points(line []point) string {
	text := make([]string, len(line))
	for i, p := range line {
		text[i] = fmt.Sprintf("%g,%g", p.X, p.Y)
	}
	return strings.Join(text, " ")
}

// niceTop is the least of 1, 2, 5, 10, 20 ... that is not under the value, and at least least.
func niceTop(v, least float64) float64 {
	v = math.Max(v, least)
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5, 10} {
		if v <= step*unit {
			return step * unit
		}
	}
	return 10 * unit
}

func maxOf(values []ratio) float64 {
	most := 0.0
	for _, v := range values {
		most = math.Max(most, v.Value)
	}
	return most
}

func label(v float64) string {
	if v == math.Trunc(v) {
		return thousands(int64(v))
	}
	return fmt.Sprintf("%.1f", v)
}

func percent(r ratio) string {
	if !r.Given {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", r.Value)
}

func millis(r ratio) string {
	if !r.Given {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", r.Value)
}
