// Package metrics counts what the house does, for GET /metrics in the text format of Prometheus.
//
// It promises: counting costs a few atomic additions and never fails its caller; every label has a few values that are known beforehand,
// since a label made of what a caller sends (a path, an id) would be a way to fill the memory of whoever collects them; names follow
// https://prometheus.io/docs/practices/naming/ with the prefix cloudflow_.
//
// It keeps nothing: counters begin at zero with the process, as Prometheus expects.
package metrics

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// ContentType is what Write writes.
var ContentType = string(expfmt.NewFormat(expfmt.TypeTextPlain))

// Metrics are the counters of one process. Each has a registry of its own, so that tests and instances do not count into each other.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	watch    func(method, pattern string, status int, took time.Duration)
}

// Buckets of a request's duration, in seconds: an order is stored in 2 ms and decided in 25, a wait for an outcome ends after 20 s.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}

// New returns counters at zero, among them those of the Go runtime and of the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cloudflow_http_requests_total", Help: "Requests that were answered, by route and class of status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cloudflow_http_request_duration_seconds", Help: "From a request's header to the end of its answer.", Buckets: buckets,
		}, []string{"method", "route"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
		m.requests, m.seconds,
	)
	return m
}

// classes are the values of the label status.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// A Route counts the requests of one method and route.
type Route struct {
	requests [len(classes)]prometheus.Counter
	seconds  prometheus.Observer
	watch    func(status int, took time.Duration)
}

// Watch calls each for every request that is counted, at the end of its answer, from any goroutine. It is for routes that are asked for
// after it.
func (m *Metrics) Watch(each func(method, pattern string, status int, took time.Duration)) {
	m.watch = each
}

// Route returns the counter of a route's pattern, such as /orders/{order_id}. It is asked for once a route, when the routes are made.
func (m *Metrics) Route(method, pattern string) *Route {
	r := &Route{seconds: m.seconds.WithLabelValues(method, pattern), watch: func(int, time.Duration) {}}
	if each := m.watch; each != nil {
		r.watch = func(status int, took time.Duration) { each(method, pattern, status, took) }
	}
	for i, class := range classes {
		r.requests[i] = m.requests.WithLabelValues(method, pattern, class)
	}
	return r
}

// Answered counts a request that was answered with the status after that time. A status that is none counts as 5xx: the handler went away.
func (r *Route) Answered(status int, took time.Duration) {
	class := status/100 - 1
	if class < 0 || class >= len(classes) {
		class = len(classes) - 1
	}
	r.requests[class].Inc()
	r.seconds.Observe(took.Seconds())
	r.watch(status, took)
}

// A Sample is a value that is read when somebody asks, from what the process counts anyway.
type Sample struct {
	Name    string // without cloudflow_; a counter's ends in _total
	Help    string
	Labels  []string // names and values in turn
	Value   float64
	Counter bool
}

// Collect has read called for each scrape. It gives its samples to add, always the same names, and must not take long.
func (m *Metrics) Collect(read func(add func(Sample))) { m.registry.MustRegister(reader(read)) }

// A reader is a collector that says only when it is read what it has: its labels come from what is wired.
type reader func(add func(Sample))

// Describe implements prometheus.Collector: nothing is known beforehand.
func (reader) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It runs in a goroutine of the registry's, where a panic would end the process.
func (r reader) Collect(ch chan<- prometheus.Metric) {
	defer func() {
		if cause := recover(); cause != nil {
			err := fmt.Errorf("panic: %v", cause)
			ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
	}()
	r(func(s Sample) {
		kind := prometheus.GaugeValue
		if s.Counter {
			kind = prometheus.CounterValue
		}
		var names, values []string
		for i := 0; i+1 < len(s.Labels); i += 2 {
			names, values = append(names, s.Labels[i]), append(values, s.Labels[i+1])
		}
		metric, err := prometheus.NewConstMetric(prometheus.NewDesc("cloudflow_"+s.Name, s.Help, names, nil), kind, s.Value, values...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
		ch <- metric
	})
}

// Write writes all metrics. With an error, which says what could not be read, it has written nothing: half a scrape looks like counters that
// went away.
func (m *Metrics) Write(w io.Writer) error {
	families, err := m.registry.Gather()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	var text strings.Builder
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	_, _ = io.WriteString(w, text.String()) // a caller that has gone cannot be told
	return nil
}
