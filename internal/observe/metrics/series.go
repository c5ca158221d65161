package metrics

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A table is one instrument's series, in the order in which they were asked for.
type table struct {
	index map[string]int
	all   []series
}

// A series is what is counted under one set of labels: a counter or a histogram.
type series struct {
	labels    attribute.Set
	option    metric.ObserveOption // the same, ready for use
	counter   *Counter
	histogram *Histogram
}

// find returns the series, made by fill if it is new.
func (m *Metrics) find(i Instrument, kind Kind, labels []string, fill func(*series)) series {
	if catalog[i].Kind != kind {
		panic(fmt.Sprintf("metrics: %s is a %s", catalog[i].Name, catalog[i].Kind))
	}
	set, key := i.attributes(labels), strings.Join(labels, "\x00")
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.series[i]
	n, ok := t.index[key]
	if !ok {
		n = len(t.all)
		s := series{labels: set, option: metric.WithAttributeSet(set)}
		fill(&s)
		t.index[key], t.all = n, append(t.all, s)
	}
	return t.all[n]
}

// A Counter counts what has happened; nil counts nothing. It is safe for concurrent use.
type Counter struct{ n atomic.Uint64 }

// Counter returns the counter of an instrument with these labels, at zero if it is new. It is asked for once, when things are wired, and
// panics if there is no such one.
func (m *Metrics) Counter(i Instrument, labels ...string) *Counter {
	if m == nil {
		return nil
	}
	return m.find(i, KindCounter, labels, func(s *series) { s.counter = new(Counter) }).counter
}

// Inc counts one more.
func (c *Counter) Inc() {
	if c != nil {
		c.n.Add(1)
	}
}

// A Histogram counts durations, or how many there were of something at once, by their size; nil counts nothing. It is safe for
// concurrent use.
//
// It is ours and not OpenTelemetry's, whose histograms take twenty times as long, once for each reader, and do not exist before their first
// value (docs/decisions/0028). OpenTelemetry reads it as it reads whatever is counted elsewhere: from a Producer.
type Histogram struct {
	bounds []int64 // in units of scale
	scale  float64
	counts []atomic.Uint64 // one more than there are bounds
	sum    atomic.Uint64   // in units of scale: wraps after 584 years of durations, which Prometheus takes for a restart
}

// Histogram returns the histogram of an instrument with these labels, empty if it is new. It is asked for once, when things are wired, and
// panics if there is no such one.
func (m *Metrics) Histogram(i Instrument, labels ...string) *Histogram {
	if m == nil {
		return nil
	}
	return m.find(i, KindHistogram, labels, func(s *series) { s.histogram = newHistogram(&catalog[i]) }).histogram
}

func newHistogram(row *Row) *Histogram {
	h := &Histogram{scale: 1, counts: make([]atomic.Uint64, len(row.bounds)+1), bounds: make([]int64, len(row.bounds))}
	if row.Unit == "s" {
		h.scale = time.Second.Seconds() / float64(time.Second)
	}
	for n, bound := range row.bounds {
		h.bounds[n] = int64(bound/h.scale + .5)
	}
	return h
}

// Took counts a duration. One below zero, of a clock that was set back, counts as none.
func (h *Histogram) Took(d time.Duration) { h.add(int64(d)) }

// Held counts that so many were together.
func (h *Histogram) Held(n int) { h.add(int64(n)) }

func (h *Histogram) add(v int64) {
	if h == nil {
		return
	}
	v = max(v, 0)
	h.counts[sort.Search(len(h.bounds), func(n int) bool { return v <= h.bounds[n] })].Add(1)
	h.sum.Add(uint64(v))
}

// A reading is a histogram at one moment. What is counted at that moment may be in its counts and not yet in its sum.
type reading struct {
	counts []uint64
	sum    uint64
}

func (h *Histogram) read() reading {
	r := reading{sum: h.sum.Load(), counts: make([]uint64, len(h.counts))}
	for n := range h.counts {
		r.counts[n] = h.counts[n].Load()
	}
	return r
}

// since is what has come since an earlier one.
func (r reading) since(before reading) reading {
	if before.counts == nil {
		return r
	}
	out := reading{sum: r.sum - before.sum, counts: make([]uint64, len(r.counts))}
	for n := range r.counts {
		out.counts[n] = r.counts[n] - before.counts[n]
	}
	return out
}

// A producer gives one reader the histograms, as what they have come to or as what has come since its last look. Its reader asks for one
// look at a time.
type producer struct {
	m           *Metrics
	temporality metricdata.Temporality
	began       time.Time // or the last look, if it tells differences
	before      map[*Histogram]reading
}

// Produce implements the SDK's Producer. It never fails.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	p.m.mu.RLock()
	defer p.m.mu.RUnlock()
	now := time.Now()
	var list []metricdata.Metrics
	for i := range instruments {
		row := &catalog[i]
		if row.Kind != KindHistogram || len(p.m.series[i].all) == 0 {
			continue
		}
		data := metricdata.Histogram[float64]{Temporality: p.temporality}
		for _, s := range p.m.series[i].all {
			r := p.look(s.histogram)
			point := metricdata.HistogramDataPoint[float64]{
				Attributes: s.labels, StartTime: p.began, Time: now,
				Bounds: row.bounds, BucketCounts: r.counts, Sum: float64(r.sum) * s.histogram.scale,
			}
			for _, n := range r.counts {
				point.Count += n
			}
			data.DataPoints = append(data.DataPoints, point)
		}
		list = append(list, metricdata.Metrics{Name: row.Name, Description: row.Help, Unit: row.Unit, Data: data})
	}
	if p.temporality == metricdata.DeltaTemporality {
		p.began = now
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope}, Metrics: list}}, nil
}

func (p *producer) look(h *Histogram) reading {
	r := h.read()
	if p.temporality != metricdata.DeltaTemporality {
		return r
	}
	if p.before == nil {
		p.before = map[*Histogram]reading{}
	}
	out := r.since(p.before[h])
	p.before[h] = r
	return out
}
