package loadtest_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

// varied is a run with everything in it: all kinds, errors, a second without any answer, and a last piece of a second.
func varied(t *testing.T) loadtest.Result {
	t.Helper()
	var r loadtest.Result
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &shop{t: t, delay: func(n int) time.Duration {
			if at := time.Since(began); at >= 2*time.Second-ms(60) && at < 4*time.Second {
				return 4*time.Second - at + ms(n%50)
			}
			return ms(10 + n%50)
		}}
		s.reply = func(n int) (int, string) {
			if n%40 == 0 {
				return 503, `{"error":"<&\">","status":503}`
			}
			return 200, []string{`{"status":"CONFIRMED"}`, `{"status":"COMPENSATED"}`, `{"status":"FAILED"}`}[n%3]
		}
		c := config(s)
		c.Rate, c.Duration, c.MaxInFlight = 100, 5200*time.Millisecond, 50
		r = run(t, c)
	})
	return r
}

func TestThePointsOfASeriesAreSeconds(t *testing.T) {
	r := varied(t)
	if len(r.Series) != 5 {
		t.Fatalf("%d points: the last 200 ms belong to the second before them", len(r.Series))
	}
	orders, errors := 0.0, int64(0)
	for i, p := range r.Series {
		if p.Second != i {
			t.Errorf("point %d is of second %d", i, p.Second)
		}
		if none := i == 2 || i == 3; none != (p.P50Ms == nil) || none != (p.P99Ms == nil) || none && p.OrdersPerSecond != 0 {
			t.Errorf("second %d: %+v", i, p)
		}
		if p.P50Ms != nil && !(*p.P50Ms < *p.P99Ms) {
			t.Errorf("second %d: half took up to %g ms, 99 percent up to %g", i, *p.P50Ms, *p.P99Ms)
		}
		errors += p.Errors
		if i < 4 {
			orders += p.OrdersPerSecond
		}
	}
	orders += r.Series[4].OrdersPerSecond * (r.ElapsedSeconds - 4)
	if good := float64(r.Done - r.Counts.Errors()); math.Abs(orders-good) > 0.1 || errors != r.Counts.Errors() {
		t.Errorf("the points have %g orders and %d errors, the run %g and %d", orders, errors, good, r.Counts.Errors())
	}
}

func TestASeriesHasSixHundredPointsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(&shop{t: t, delay: func(n int) time.Duration {
			if n == 5990 {
				return 20 * time.Second // comes back in second 619
			}
			return ms(50)
		}})
		c.Rate, c.Duration = 10, 10*time.Minute
		r := run(t, c)
		if len(r.Series) != loadtest.MaxPoints || r.Done != 6000 || r.Latency.MaxMs < 20_000 {
			t.Errorf("%d points of %d orders", len(r.Series), r.Done)
		}
	})
}

func TestTheDistributionHoldsEveryOrder(t *testing.T) {
	r := varied(t)
	bars, last := int64(0), 0.0
	for i, b := range r.Distribution {
		bars += b.Count
		if b.FromMs >= b.ToMs || i > 0 && b.FromMs != last {
			t.Errorf("bar %d is %+v", i, b)
		}
		last = b.ToMs
	}
	if bars != r.Done || r.Distribution[0].Count == 0 || last < r.Latency.MaxMs {
		t.Errorf("%d of %d orders in bars up to %g ms", bars, r.Done, last)
	}
	end := r.Percentiles[len(r.Percentiles)-1]
	if end.Percent != 100 || end.Count != r.Done || end.Ms != r.Latency.MaxMs {
		t.Errorf("the last percentile is %+v", end)
	}
	if !slices.IsSortedFunc(r.Percentiles, func(a, b loadtest.Percentile) int { return int(a.Count - b.Count) }) {
		t.Error("the percentiles are not in order")
	}
}

func TestASampleIsSpreadOverTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(&shop{t: t, delay: func(int) time.Duration { return ms(10) }})
		c.Concurrency, c.Orders = 1, 9001
		r := run(t, c)
		// At orders 2,000, 4,000 and 8,000 every second one was dropped.
		if r.SampleEvery != 8 || len(r.Sample) != 1126 {
			t.Fatalf("%d orders, every %d", len(r.Sample), r.SampleEvery)
		}
		for i, d := range r.Sample {
			if want := float64(8*i+1) / 100; math.Abs(d.Second-want) > 0.001 || d.Outcome != loadtest.Confirmed || math.Abs(d.Ms-10) > 0.1 {
				t.Fatalf("the %d-th dot is %+v, want second %g", i, d, want)
			}
		}
	})
	r := varied(t)
	if r.SampleEvery != 1 || len(r.Sample) != int(r.Done) {
		t.Errorf("%d of %d orders, every %d", len(r.Sample), r.Done, r.SampleEvery)
	}
}

func TestACSVHasAHeaderAndARowASecond(t *testing.T) {
	r := varied(t)
	var b bytes.Buffer
	if err := r.CSV(&b); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+len(r.Series) || strings.Join(rows[0], ",") != "seconds,orders_per_second,p50_ms,p99_ms,errors" {
		t.Errorf("rows %q", rows)
	}
	if got := strings.Join(rows[3], ","); got != "2,0,,,0" {
		t.Errorf("a second in which nothing came back is %s", got)
	}
}

// The names are what a dashboard and a report read.
func TestJSONHasStableNamesAndComesBackAsItWas(t *testing.T) {
	r := varied(t)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again loadtest.Result
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, again) {
		t.Errorf("wrote %+v, read %+v", r, again)
	}
	const want = "phase concurrency rate elapsed_seconds started done in_flight behind counts orders_per_second orders_per_second_overall " +
		"latency series interrupted abandoned max_in_flight mix products warmup seed outcomes percentiles distribution errors sample_every sample"
	if got := strings.Join(members(t, text), " "); got != want {
		t.Errorf("members\n%s, want\n%s", got, want)
	}
	for name, want := range map[string]string{
		"counts":  "confirmed compensated failed cancelled insufficient_stock unavailable overloaded throttled pending error",
		"latency": "p50_ms p90_ms p95_ms p99_ms p99_9_ms max_ms",
		"mix":     "happy declined short cancel",
	} {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(members(t, all[name]), " "); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAListThatIsEmptyIsNotNull(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := config(&shop{t: t})
	c.Concurrency, c.Orders, c.Warmup = 1, 1, 1
	r, err := loadtest.Run(ctx, c, func(s loadtest.Snapshot) {
		if s.Series == nil {
			t.Errorf("a snapshot while %s has no series", s.Phase)
		}
	})
	text, failed := json.Marshal(r)
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("%s", text)
	}
}

// members are the names of an object's members, in their order.
func members(t *testing.T, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	var names []string
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err := errors.Join(err, d.Decode(&value)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
	}
	return names
}

func TestTheChartsAreDocumentsThatStandAlone(t *testing.T) {
	full, empty := varied(t), loadtest.Result{}
	runs := severalRuns(full)
	of := func(draw func(io.Writer, []loadtest.Result) error, runs ...loadtest.Result) func(io.Writer) error {
		return func(w io.Writer) error { return draw(w, runs) }
	}
	live := full.Snapshot // as a dashboard has it
	single := full
	single.Series = full.Series[:1]
	for _, c := range []struct {
		name string
		draw func(io.Writer) error
		says []string
	}{
		{"latency", full.LatencySVG, []string{"Latency over time", "p50", "p99", "errors/s", "orders/s", "seconds since the first order", "ms, log", "1,000"}},
		{"latency of a snapshot", live.LatencySVG, []string{"open loop, 100 orders a second due"}},
		{"latency of one second", single.LatencySVG, []string{"p50"}},
		{"latency of nothing", empty.LatencySVG, []string{"No order came back."}},
		{"scatter", full.ScatterSVG, []string{"Single orders", "every order", "p50 ", "p99 ", "ms, log", "seconds since the first order"}},
		{"scatter of nothing", empty.ScatterSVG, []string{"No order came back."}},
		{"distribution", full.DistributionSVG, []string{"Distribution of the latency", "orders", "p50 ", "max ", "from when an order was due"}},
		{"distribution of nothing", empty.DistributionSVG, []string{"No order came back."}},
		{"tail", of(loadtest.TailSVG, runs...), []string{"Tail latency", "3 runs", "p99.9", "ms, log", "orders at once", "5", "10", "1,000"}},
		{"tail of an open loop", of(loadtest.TailSVG, full), []string{"open loop, 100 orders a second due", "orders due a second"}},
		{"tail of a run of nothing", of(loadtest.TailSVG, empty), []string{"No order came back."}},
		{"tail of no run", of(loadtest.TailSVG), []string{"no run", "No order came back."}},
		{"throughput", of(loadtest.ThroughputSVG, runs...), []string{"Throughput", "orders/s", "400", "most with 10 at once", "errors"}},
		{"throughput of one run", of(loadtest.ThroughputSVG, full), []string{"orders/s"}},
		{"throughput of errors alone", of(loadtest.ThroughputSVG, loadtest.Result{Snapshot: loadtest.Snapshot{Done: 1}}), []string{"0"}},
		{"throughput of nothing", of(loadtest.ThroughputSVG, empty), []string{"No order came back."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.draw(&b); err != nil {
				t.Fatal(err)
			}
			texts := parse(t, b.Bytes())
			for _, s := range c.says {
				if !strings.Contains(texts, s) {
					t.Errorf("does not say %q: %s", s, texts)
				}
			}
			if bad := regexp.MustCompile(`NaN|Inf|style=|<style|<script|%!`).Find(b.Bytes()); bad != nil {
				t.Errorf("contains %s", bad)
			}
		})
	}
}

// severalRuns are three runs of a closed loop.
func severalRuns(r loadtest.Result) []loadtest.Result {
	run := func(concurrency int, rate float64) loadtest.Result {
		r := r
		r.Rate, r.Concurrency, r.OrdersPerSecondOverall = 0, concurrency, rate
		return r
	}
	return []loadtest.Result{run(5, 123.4), run(10, 400.2), run(1000, 380)}
}

func TestARunWithoutAnswersIsLeftOutOfTheCurves(t *testing.T) {
	runs := severalRuns(varied(t))
	empty := loadtest.Result{Snapshot: loadtest.Snapshot{Concurrency: 777}}
	for name, draw := range map[string]func(io.Writer, []loadtest.Result) error{"tail": loadtest.TailSVG, "throughput": loadtest.ThroughputSVG} {
		var b bytes.Buffer
		if err := draw(&b, append(slices.Clone(runs), empty)); err != nil {
			t.Fatal(err)
		}
		if texts := parse(t, b.Bytes()); strings.Contains(texts, "777") || !strings.Contains(texts, "4 runs") {
			t.Errorf("%s: %s", name, texts)
		}
	}
}

// parse reads an SVG document and returns its texts.
func parse(t *testing.T, svg []byte) string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var texts strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts.String()
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Space != "http://www.w3.org/2000/svg" {
				t.Errorf("%s is of %s", token.Name.Local, token.Name.Space)
			}
		case xml.CharData:
			texts.Write(token)
			texts.WriteByte('\n')
		}
	}
}

func TestAWriterThatFailsIsAnError(t *testing.T) {
	r := varied(t)
	for _, write := range []func(io.Writer) error{
		r.LatencySVG, r.DistributionSVG, r.ScatterSVG, r.CSV,
		func(w io.Writer) error { return loadtest.TailSVG(w, []loadtest.Result{r}) },
		func(w io.Writer) error { return loadtest.ThroughputSVG(w, []loadtest.Result{r}) },
	} {
		if err := write(full{}); !errors.Is(err, errFull) {
			t.Errorf("returned %v", err)
		}
	}
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
