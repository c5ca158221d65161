package loadtest

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lowest, highest, digits = 1, int64(10 * time.Minute / time.Microsecond), 3 // µs: 170 KB a histogram

	// maxErrors is how many texts of errors are told apart; a server can say whatever it wants to.
	maxErrors = 20
	// maxDots is what a scatter of a page's width still shows as single dots; as JSON they are 100 KB.
	maxDots = 2000
	// barsPerDecade are fine enough to show two humps and coarse enough for some hundred orders.
	barsPerDecade = 20
	// ticksPerHalf is how many percentiles stand between 50 and 75, between 75 and 87.5 and so on: about a hundred for a million orders.
	ticksPerHalf = 5
)

// A recorder counts what comes back.
type recorder struct {
	begin time.Time

	mu        sync.Mutex
	counts    Counts
	done      int64
	abandoned int64
	all       *hdrhistogram.Histogram
	by        map[Outcome]*hdrhistogram.Histogram
	errors    map[string]int64

	dots  []Dot
	every int64 // which of the orders are among the dots

	points    []Point
	this      second
	last      second // for a last piece of a second that is too short to stand alone
	mileposts []milepost
}

// second is what came back within one second.
type second struct {
	n, errors int64
	latency   *hdrhistogram.Histogram
}

// A milepost is how many orders had their answer at a time.
type milepost struct {
	at   time.Time
	good int64
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

func newRecorder(begin time.Time) *recorder {
	return &recorder{
		begin: begin, all: newHistogram(), by: map[Outcome]*hdrhistogram.Histogram{}, errors: map[string]int64{}, points: []Point{},
		dots: []Dot{}, every: 1,
		this: second{latency: newHistogram()}, last: second{latency: newHistogram()}, mileposts: []milepost{{at: begin}},
	}
}

// record counts one order that came back at now, after took.
func (r *recorder) record(a answer, took time.Duration, now time.Time) {
	micros := min(max(took.Microseconds(), lowest), highest)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	r.sample(a.outcome, micros, now)
	r.done++
	*r.counts.of(a.outcome)++
	if r.by[a.outcome] == nil {
		r.by[a.outcome] = newHistogram()
	}
	for _, h := range []*hdrhistogram.Histogram{r.all, r.by[a.outcome], r.this.latency} {
		_ = h.RecordValue(micros) // it is within the bounds
	}
	r.this.n++
	if a.outcome.IsError() {
		r.this.errors++
		if _, known := r.errors[a.detail]; !known && len(r.errors) >= maxErrors {
			a.detail = "others"
		}
		r.errors[a.detail]++
	}
}

// sample keeps every order as a dot, then every second, every fourth and so on: those kept are spread over the run evenly.
func (r *recorder) sample(o Outcome, micros int64, now time.Time) {
	if r.done%r.every != 0 {
		return
	}
	if len(r.dots) == maxDots {
		for i := range maxDots / 2 {
			r.dots[i] = r.dots[2*i]
		}
		r.dots = r.dots[:maxDots/2]
		r.every *= 2 // maxDots is even, so that the order at hand is one of those
	}
	r.dots = append(r.dots, Dot{Second: round(now.Sub(r.begin).Seconds(), 3), Ms: millis(micros), Outcome: o})
}

// abandon counts one order that was not waited for.
func (r *recorder) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned++
}

// advance closes the seconds that are over. It is called with the lock held, as are those below.
func (r *recorder) advance(now time.Time) {
	for len(r.points) < MaxPoints && now.Sub(r.begin) >= time.Duration(len(r.points)+1)*time.Second {
		r.points = append(r.points, r.this.point(len(r.points), 1))
		r.this, r.last = r.last, r.this
		r.this.n, r.this.errors = 0, 0
		r.this.latency.Reset()
	}
}

// point is the second as the i-th of the series, of which length seconds have passed.
func (s second) point(i int, length float64) Point {
	p := Point{Second: i, OrdersPerSecond: perSecond(s.n-s.errors, length), Errors: s.errors}
	if s.n > 0 {
		v := s.latency.ValueAtPercentilesSlice([]float64{50, 99})
		p50, p99 := millis(v[0]), millis(v[1])
		p.P50Ms, p.P99Ms = &p50, &p99
	}
	return p
}

// series is all points, the piece of a second that the run ended with among them. A piece under half a second is counted to the second
// before: a few orders in a few milliseconds make a rate and a percentile that mean nothing, and stand last in a chart.
func (r *recorder) series(now time.Time) []Point {
	whole := len(r.points)
	piece := now.Sub(r.begin).Seconds() - float64(whole)
	switch long := piece >= 0.5 || whole == 0; {
	case r.this.n == 0, long && whole == MaxPoints:
		return r.points
	case long:
		return append(slices.Clone(r.points), r.this.point(whole, piece))
	}
	both := second{n: r.this.n + r.last.n, errors: r.this.errors + r.last.errors, latency: r.last.latency.Clone()}
	both.latency.Merge(r.this.latency)
	return append(slices.Clone(r.points[:whole-1]), both.point(whole-1, 1+piece))
}

// snapshot is the run as it stands at now. The pace is asked for while no order can be recorded: else one that was started and came back
// in between would make the orders in flight less than none.
func (r *recorder) snapshot(now time.Time, read func() pace) Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := read()
	r.advance(now)
	good := r.done - r.counts.Errors()
	elapsed := now.Sub(r.begin).Seconds()
	s := Snapshot{
		Phase: Running, ElapsedSeconds: round(elapsed, 3), Started: int64(p.started), Done: r.done,
		InFlight: int64(p.started) - r.done - r.abandoned, Behind: int64(p.behind), Counts: r.counts,
		OrdersPerSecond: r.pass(now, good), OrdersPerSecondOverall: perSecond(good, elapsed),
		Latency: latency(r.all), Series: r.points[:len(r.points):len(r.points)],
	}
	if p.over {
		s.Phase = Draining
	}
	return s
}

// pass sets a milepost and returns the rate since the one that is a second back.
func (r *recorder) pass(now time.Time, good int64) float64 {
	for len(r.mileposts) > 1 && now.Sub(r.mileposts[1].at) >= time.Second {
		r.mileposts = r.mileposts[1:]
	}
	r.mileposts = append(r.mileposts, milepost{now, good})
	return perSecond(good-r.mileposts[0].good, now.Sub(r.mileposts[0].at).Seconds())
}

// result is the run at its end.
func (r *recorder) result(now time.Time, read func() pace) Result {
	s := r.snapshot(now, read)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Phase, s.Series = Done, r.series(now)
	out := Result{
		Snapshot: s, Abandoned: r.abandoned, Outcomes: []OutcomeLatency{}, Percentiles: percentiles(r.all), Distribution: bars(r.all),
		Errors: []ErrorCount{}, SampleEvery: r.every, Sample: r.dots,
	}
	for _, o := range Outcomes {
		if h := r.by[o]; h != nil {
			out.Outcomes = append(out.Outcomes, OutcomeLatency{Outcome: o, Count: h.TotalCount(), Latency: latency(h)})
		}
	}
	for text, n := range r.errors {
		out.Errors = append(out.Errors, ErrorCount{Text: text, Count: n})
	}
	slices.SortFunc(out.Errors, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return out
}

func latency(h *hdrhistogram.Histogram) Latency {
	v := h.ValueAtPercentilesSlice([]float64{50, 90, 95, 99, 99.9, 100})
	return Latency{P50Ms: millis(v[0]), P90Ms: millis(v[1]), P95Ms: millis(v[2]), P99Ms: millis(v[3]), P999Ms: millis(v[4]), MaxMs: millis(v[5])}
}

func percentiles(h *hdrhistogram.Histogram) []Percentile {
	out := []Percentile{}
	if h.TotalCount() == 0 {
		return out
	}
	for _, b := range h.CumulativeDistributionWithTicks(ticksPerHalf) {
		out = append(out, Percentile{Percent: b.Quantile, Ms: millis(b.ValueAt), Count: b.Count})
	}
	return out
}

// bars are what a histogram holds in bars of equal width on a logarithmic axis, from the first that is not empty to the last.
func bars(h *hdrhistogram.Histogram) []Bar {
	out := []Bar{}
	edge := func(i int) float64 { return round(math.Pow(10, float64(i)/barsPerDecade)/1000, 6) }
	first := 0
	for _, b := range h.Distribution() {
		if b.Count == 0 {
			continue
		}
		at := int(math.Floor(math.Log10(float64(b.From)) * barsPerDecade))
		if len(out) == 0 {
			first = at
		}
		for i := first + len(out); i <= at; i++ {
			out = append(out, Bar{FromMs: edge(i), ToMs: edge(i + 1)})
		}
		out[at-first].Count += b.Count
	}
	return out
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

func perSecond(n int64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return round(float64(n)/seconds, 2)
}

func round(v float64, places int) float64 {
	f := math.Pow(10, float64(places))
	return math.Round(v*f) / f
}
