package dashboard

import (
	"math"
	"slices"
	"testing"
	"time"
)

func given(values ...float64) []ratio {
	var all []ratio
	for _, v := range values {
		all = append(all, ratio{v, !math.IsNaN(v)})
	}
	return all
}

var none = math.NaN()

func TestCharts(t *testing.T) {
	t.Run("a minute without a value parts the line, and one alone is a dot", func(t *testing.T) {
		c := draw("x", given(0, 50, none, 100, none, 20, 40), 0, 100, chart{}, 50)
		if !slices.Equal(c.Lines, []string{"0,84 50,42", "250,67.2 300,50.4"}) || !slices.Equal(c.Dots, []point{{150, 0}}) {
			t.Errorf("lines %q, dots %v", c.Lines, c.Dots)
		}
		if !c.HasY || c.LineY != 42 || c.Spoken != "0, 50, none, 100, none, 20, 40" || c.Top != "100" || c.Bottom != "0" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("what is beyond is drawn at the edge, and an alarm line that is not", func(t *testing.T) {
		c := draw("x", given(-5, 500), 80, 100, chart{}, 3000)
		if !slices.Equal(c.Lines, []string{"0,84 300,0"}) || c.HasY {
			t.Errorf("%+v", c)
		}
	})
	t.Run("the upper edge is 1, 2 or 5 times a power of ten, and not under the value", func(t *testing.T) {
		for v, want := range map[float64]float64{0: 10, 10: 10, 10.1: 20, 20: 20, 21: 50, 99: 100, 100: 100, 1234: 2000, 6000: 10000} {
			if got := niceTop(v, 10); got != want {
				t.Errorf("above %g it is %g, want %g", v, got, want)
			}
		}
	})
	t.Run("an alarm is one beyond its line, and none where nothing was counted", func(t *testing.T) {
		quiet := chartsOf(newBoard(func() time.Time { return noon }).read())
		for _, c := range quiet {
			if c.Alarm {
				t.Errorf("%s alarms though nothing was counted", c.Title)
			}
		}
		if len(quiet) != 4 || quiet[1].Now != "–" || quiet[0].Now != "0" {
			t.Errorf("%+v", quiet)
		}
		for _, c := range []struct {
			total minuteTotal
			want  []bool
		}{
			{minuteTotal{Ended: 10, Success: ratio{95, true}, P99: ratio{3000, true}, Compensation: ratio{10, true}}, []bool{false, false, false, false}},
			{minuteTotal{Ended: 10, Success: ratio{94.9, true}, P99: ratio{3001, true}, Compensation: ratio{10.1, true}}, []bool{false, true, true, true}},
			// Of fewer than ten orders a share says nothing.
			{minuteTotal{Ended: 9, Success: ratio{0, true}, P99: ratio{1, true}, Compensation: ratio{100, true}}, []bool{false, false, false, false}},
		} {
			var got []bool
			for _, drawn := range chartsOf(reading{Created: make([]float64, boardMinutes), Total: c.total}) {
				got = append(got, drawn.Alarm)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%+v alarms %v, want %v", c.total, got, c.want)
			}
		}
	})
}
