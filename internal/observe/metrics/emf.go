package metrics

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Namespace is where CloudWatch keeps our metrics.
const Namespace = "CloudFlow"

// The limits of a line, of
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
const (
	maxLineMetrics = 100
	maxLineValues  = 100
)

// restate is how often a gauge that stays as it is is said again: CloudWatch keeps a minute's value for that minute alone, and an alarm on
// what is not said any more goes off by itself.
const restate = time.Minute

// EMF is an exporter of OpenTelemetry's SDK that writes lines of CloudWatch's embedded metric format: on Lambda, what stands on stdout
// becomes metrics without a call. It writes the metrics of the catalog that have a name there, and of them only what has changed.
//
// Each value belongs to the dimension "service" and to labels of its instrument, as docs/metrics.md lists them: every combination is a
// metric that is paid for. A value that CloudWatch does not take, which is one that is no number or beyond 2^360, is left out.
type EMF struct {
	o EMFOptions

	mu   sync.Mutex // guards the rest, and that lines are whole
	w    io.Writer
	said map[string]saying // of gauges, by metric and dimensions
}

// EMFOptions of an EMF.
type EMFOptions struct {
	Service string // the dimension "service", such as order-handler; "" is cloudflow
	Stage   string // the dimension "Stage" in the place of the service: an alarm is about what all functions of a stage say. "": none
	// Lambda leaves out what AWS/Lambda has of each function, LambdaDuration, and says every gauge at each flush: that is an invocation, and the one
	// that counts comes once a minute.
	Lambda bool
	Now    func() time.Time // nil: time.Now
}

// A saying is a gauge's value as it was written last.
type saying struct {
	value float64
	at    time.Time
}

// NewEMF returns an exporter that writes to w, each line in one Write.
func NewEMF(w io.Writer, o EMFOptions) *EMF {
	if o.Service == "" {
		o.Service = "cloudflow"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &EMF{w: w, o: o, said: map[string]saying{}}
}

// Temporality implements the SDK's Exporter: CloudWatch adds up, so it is told what has come since the last time.
func (*EMF) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.DeltaTemporality
}

// Aggregation implements the SDK's Exporter.
func (*EMF) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

// ForceFlush implements the SDK's Exporter. Nothing is held back.
func (*EMF) ForceFlush(ctx context.Context) error { return ctx.Err() }

// Shutdown implements the SDK's Exporter. The writer is its owner's to close.
func (*EMF) Shutdown(ctx context.Context) error { return ctx.Err() }

// Export writes a line for each combination of dimensions that has something to say, or none at all. What cannot be written is lost.
func (e *EMF) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Now()
	batch := batch{index: map[string]int{}}
	for _, s := range rm.ScopeMetrics {
		for i := range s.Metrics {
			e.add(&batch, &s.Metrics[i], now)
		}
	}
	batch.tidy()
	for _, g := range batch.groups {
		for len(g.metrics) > 0 {
			line, rest := g.line(now)
			if _, err := e.w.Write(line); err != nil {
				return fmt.Errorf("metrics: write a line of EMF: %w", err)
			}
			g.metrics = rest
		}
	}
	return nil
}

// A batch is what is to be written, by dimensions.
type batch struct {
	groups []*group
	index  map[string]int
}

// A group is what shares its dimensions, and so its lines.
type group struct {
	sets    [][]string // names of dimensions
	values  []pair     // what they are, service first
	metrics []*emfMetric
}

// An emfMetric is one metric with its values, each as often as it came.
type emfMetric struct {
	name, unit string
	values     []counted
	gauge      bool // one value, which is to be said only if it is news
}

type counted struct {
	value float64
	times uint64
}

// add sorts the points of an instrument into the batch.
func (e *EMF) add(b *batch, m *metricdata.Metrics, now time.Time) {
	at := slices.IndexFunc(catalog[:], func(r Row) bool { return r.Name == m.Name })
	if at < 0 {
		return
	}
	row := &catalog[at]
	list := row.cloudWatch
	if e.o.Stage != "" && row.stage != nil {
		list = row.stage
	}
	for i := range list {
		c := &list[i]
		if c.notLambda && e.o.Lambda {
			continue
		}
		var own []*emfMetric // of this metric, for gauges are looked at when all their points are added up
		var keys []string
		take := func(labels attribute.Set, values ...counted) {
			g := b.group(e.dimensions(row, c, labels))
			x := g.metric(c)
			if x.gauge = row.Kind == KindGauge; x.gauge && len(x.values) > 0 && len(values) > 0 {
				x.values[0].value += values[0].value
				return
			}
			x.values = append(x.values, values...)
			if x.gauge {
				own, keys = append(own, x), append(keys, c.name+"\x00"+g.key())
			}
		}
		c.points(m.Data, take)
		for n, x := range own {
			x.values = e.news(keys[n], x.values, now)
		}
	}
}

// news is the gauge's value if CloudWatch should hear it.
func (e *EMF) news(key string, values []counted, now time.Time) []counted {
	if len(values) == 0 {
		return nil
	}
	value := values[0].value
	if last, ok := e.said[key]; ok && !e.o.Lambda && last.value == value && now.Sub(last.at) < restate {
		return nil
	}
	e.said[key] = saying{value, now}
	return values
}

// points calls take for each point that counts, with what it says in the metric's unit.
func (c *cloudWatch) points(data metricdata.Aggregation, take func(labels attribute.Set, values ...counted)) {
	one := func(labels attribute.Set, value float64, times uint64) {
		if value, ok := c.scaled(value); ok && times > 0 {
			take(labels, counted{value, times})
		}
	}
	switch data := data.(type) {
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			switch {
			case !c.takes(p.Attributes) || !(p.Value > 0): // nothing new, or no number
			case c.one == "":
				one(p.Attributes, p.Value, 1)
			case p.Value < 1<<53:
				value := 0.0
				if is := label(p.Attributes, c.label); is == c.one || c.or != "" && is == c.or {
					value = 1
				}
				one(p.Attributes, value, uint64(p.Value))
			}
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			if c.takes(p.Attributes) {
				one(p.Attributes, p.Value, 1)
			}
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			if !c.takes(p.Attributes) {
				continue
			}
			for _, v := range spread(p) {
				one(p.Attributes, v.value, v.times)
			}
		}
	}
}

// maxMagnitude is what CloudWatch takes, https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html.
var maxMagnitude = math.Ldexp(1, 360)

// scaled is the value in the metric's unit, if CloudWatch takes it.
func (c *cloudWatch) scaled(v float64) (float64, bool) {
	if c.scale != 0 {
		v *= c.scale
	}
	if math.IsNaN(v) || math.Abs(v) > maxMagnitude {
		return 0, false
	}
	if math.Abs(v) < 1/maxMagnitude {
		v = 0
	}
	return v, true
}

// takes reports whether the point is one that the metric is about.
func (c *cloudWatch) takes(labels attribute.Set) bool {
	return c.only == nil || slices.Contains(c.only, label(labels, c.label))
}

func label(labels attribute.Set, name string) string {
	v, _ := labels.Value(attribute.Key(name))
	return v.AsString()
}

// spread makes values of a histogram: as many as were counted, each within its bucket, and of the same sum. So a value that came alone is
// exact, an average too, and what was beyond a bound stays beyond it.
func spread(p metricdata.HistogramDataPoint[float64]) []counted {
	if p.Count == 0 || len(p.BucketCounts) != len(p.Bounds)+1 || len(p.Bounds) == 0 {
		return nil
	}
	lower := func(n int) float64 {
		if n == 0 {
			return 0 // nothing here is negative
		}
		return p.Bounds[n-1]
	}
	last := len(p.Bounds)
	least, width := 0.0, 0.0 // of all values together, and what they may be above that; the last bucket has no end
	for n, times := range p.BucketCounts {
		least += lower(n) * float64(times)
		if n < last {
			width += (p.Bounds[n] - lower(n)) * float64(times)
		}
	}
	// How far into its bucket each value lies, so that they come to the sum. What is over is the last bucket's.
	part, over := 1.0, 0.0
	if p.BucketCounts[last] > 0 {
		part = .5
		over = max(0, p.Sum-least-width/2) / float64(p.BucketCounts[last])
	} else if width > 0 {
		part = min(1, max(0, (p.Sum-least)/width))
	}
	var values []counted
	for n, times := range p.BucketCounts {
		switch {
		case times == 0:
		case n == last:
			values = append(values, counted{lower(n) + over, times})
		default:
			values = append(values, counted{lower(n) + part*(p.Bounds[n]-lower(n)), times})
		}
	}
	return values
}

// A pair is a dimension and its value.
type pair struct{ name, value string }

// dimensions are the sets of names and what the names are for the point.
func (e *EMF) dimensions(row *Row, c *cloudWatch, labels attribute.Set) (sets [][]string, values []pair) {
	own := c.dimensions
	if own == nil {
		own = [][]string{row.Labels}
	}
	common := pair{serviceDimension, e.o.Service}
	if e.o.Stage != "" {
		common = pair{stageDimension, e.o.Stage}
	}
	values = []pair{common}
	for _, set := range own {
		names := []string{common.name}
		for _, of := range set {
			name := of
			if e.o.Stage != "" { // State beside Stage, as CloudWatch's own dimensions are written
				name = strings.ToUpper(of[:1]) + of[1:]
			}
			names = append(names, name)
			if !slices.ContainsFunc(values, func(p pair) bool { return p.name == name }) {
				values = append(values, pair{name, label(labels, of)})
			}
		}
		sets = append(sets, names)
	}
	return sets, values
}

const (
	serviceDimension = "service"
	stageDimension   = "Stage"
)

func (b *batch) group(sets [][]string, values []pair) *group {
	g := &group{sets: sets, values: values}
	key := g.key()
	n, ok := b.index[key]
	if !ok {
		n = len(b.groups)
		b.index[key], b.groups = n, append(b.groups, g)
	}
	return b.groups[n]
}

func (g *group) key() string { return fmt.Sprintf("%q %q", g.sets, g.values) }

func (g *group) metric(c *cloudWatch) *emfMetric {
	for _, x := range g.metrics {
		if x.name == c.name {
			return x
		}
	}
	x := &emfMetric{name: c.name, unit: c.unit}
	g.metrics = append(g.metrics, x)
	return x
}

// tidy lets go of what has nothing to say, and puts the rest into one order: the SDK knows none.
func (b *batch) tidy() {
	slices.SortFunc(b.groups, func(a, b *group) int { return strings.Compare(a.key(), b.key()) })
	for _, g := range b.groups {
		for _, x := range g.metrics {
			x.values = merged(x.values)
		}
		g.metrics = slices.DeleteFunc(g.metrics, func(x *emfMetric) bool { return len(x.values) == 0 })
		slices.SortFunc(g.metrics, func(a, b *emfMetric) int { return strings.Compare(a.name, b.name) })
	}
}

// merged are the values in their order, each once.
func merged(values []counted) []counted {
	slices.SortFunc(values, func(a, b counted) int { return cmp.Compare(a.value, b.value) })
	out := values[:0]
	for _, v := range values {
		if n := len(out); n > 0 && out[n-1].value == v.value {
			out[n-1].times += v.times
			continue
		}
		out = append(out, v)
	}
	return out
}

// The parts of a line. Its other members are the dimensions and the metrics.
type (
	emfMetadata struct {
		Timestamp         int64 // ms since 1970
		CloudWatchMetrics []emfDirective
	}
	emfDirective struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []emfDefinition
	}
	emfDefinition struct{ Name, Unit string }
	// Values that came often are written once, with how often. The format's page knows numbers and lists of numbers only; this is what
	// AWS's own collectors write in their place (awsemfexporter of OpenTelemetry's collector, and the CloudWatch agent with it), and what
	// PutMetricData takes. It is used where a list would be too long.
	emfDistribution struct {
		Values   []float64
		Counts   []uint64
		Max, Min float64
		Count    uint64
		Sum      float64
	}
)

// line is a line of the group, and what is left for the next.
func (g *group) line(now time.Time) (line []byte, rest []*emfMetric) {
	members := map[string]any{}
	for _, p := range g.values {
		members[p.name] = p.value
	}
	directive := emfDirective{Namespace: Namespace, Dimensions: g.sets}
	for n, x := range g.metrics {
		if n == maxLineMetrics {
			rest = append(rest, g.metrics[n:]...)
			break
		}
		now, later := x.values, []counted(nil)
		if len(now) > maxLineValues {
			now, later = now[:maxLineValues], now[maxLineValues:]
		}
		directive.Metrics = append(directive.Metrics, emfDefinition{x.name, x.unit})
		members[x.name] = target(now)
		if len(later) > 0 {
			rest = append(rest, &emfMetric{name: x.name, unit: x.unit, values: later})
		}
	}
	members["_aws"] = emfMetadata{Timestamp: now.UnixMilli(), CloudWatchMetrics: []emfDirective{directive}}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // ends the line
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(members); err != nil {
		panic(err) // of numbers that are none, which were left out
	}
	return text.Bytes(), rest
}

// target is how the values stand in the line: a number, a list, or a distribution.
func target(values []counted) any {
	d := emfDistribution{Max: values[0].value, Min: values[0].value}
	for _, v := range values {
		d.Values, d.Counts = append(d.Values, v.value), append(d.Counts, v.times)
		d.Max, d.Min = max(d.Max, v.value), min(d.Min, v.value)
		d.Count += v.times
		d.Sum += v.value * float64(v.times)
	}
	switch {
	case d.Count == 1:
		return values[0].value
	case d.Count > maxLineValues:
		return d
	}
	list := make([]float64, 0, d.Count)
	for _, v := range values {
		for range v.times {
			list = append(list, v.value)
		}
	}
	return list
}

// An emfReader is one look of ours at a time.
type emfReader struct {
	*sdkmetric.ManualReader
	emf *EMF
	mu  sync.Mutex
	rm  metricdata.ResourceMetrics
}

func newEMFReader(e *EMF, m *Metrics) *emfReader {
	histograms := &producer{m: m, temporality: metricdata.DeltaTemporality, began: time.Now()}
	return &emfReader{emf: e, ManualReader: sdkmetric.NewManualReader(
		sdkmetric.WithTemporalitySelector(e.Temporality), sdkmetric.WithProducer(histograms),
	)}
}

// flush writes what has come since the last one. It looks at all of it even if ctx has ended, since what is not written now may never be.
func (r *emfReader) flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	if err := r.Collect(ctx, &r.rm); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return r.emf.Export(ctx, &r.rm)
}
