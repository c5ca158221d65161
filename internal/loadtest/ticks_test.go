package loadtest

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestTicksAreOneTwoOrFiveTimesAPowerOfTen(t *testing.T) {
	for _, c := range []struct {
		name  string
		scale scale
		want  string
	}{
		{"from zero", fromZero(83, 100, 0), "0 20 40 60 80 100"},
		{"up to a tick", fromZero(80, 100, 0), "0 20 40 60 80"},
		{"small values", fromZero(0.0042, 100, 0), "0 0.001 0.002 0.003 0.004 0.005"},
		{"thousands", fromZero(12_345, 100, 0), "0 5,000 10,000 15,000"},
		{"whole numbers", scale{hi: 2, from: 100, whole: true}, "0 1 2"},
		{"along the width", scale{hi: 42, to: 800}, "0 5 10 15 20 25 30 35 40"},
		{"logarithmic", logarithmic(17, 990, 100, 0), "10 20 50 100 200 500 1,000"},
		{"logarithmic, from a tick to a tick", logarithmic(20, 500, 100, 0), "20 50 100 200 500"},
		{"logarithmic, over many decades", logarithmic(0.1, 20_000, 100, 0), "0.1 1 10 100 1,000 10,000"},
		{"logarithmic, one value", logarithmic(5, 5, 100, 0), "5 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, v := range c.scale.ticks() {
				got = append(got, number(v))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("ticks %s, want %s", s, c.want)
			}
		})
	}
}

func TestNiceValuesAreAroundEveryValue(t *testing.T) {
	for e := -3.0; e < 7; e += 0.01 {
		v := math.Pow(10, e)
		below, above := niceBelow(v), niceAbove(v)
		if below > v*(1+1e-6) || above < v*(1-1e-6) || above/below > 2.5*(1+1e-6) {
			t.Errorf("%g is between %g and %g", v, below, above)
		}
	}
}

func TestALatencyIsShownInThreeDigits(t *testing.T) {
	for ms, want := range map[float64]string{0: "0.00 ms", 0.451: "0.45 ms", 5.003: "5.00 ms", 18.36: "18.4 ms", 412.4: "412 ms", 1010: "1.01 s", 600_000: "600 s"} {
		if got := threeDigits(ms); got != want {
			t.Errorf("%g is %s, want %s", ms, got, want)
		}
	}
	if got := fmt.Sprint(number(1234567.5), number(999), number(0.25)); got != "1,234,567.59990.25" {
		t.Error(got)
	}
}
