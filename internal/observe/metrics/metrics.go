// Package metrics counts what the house does: once, through OpenTelemetry, for whoever asks. Prometheus reads GET /metrics (Write); a
// collector is sent OTLP if the environment names one (Environment); CloudWatch reads lines of its embedded metric format (EMF, Flush).
// catalog.go has every instrument with all its names.
//
// It promises: counting costs a few atomic additions, whoever is listening, and never fails or delays its caller; every label has a few
// values that are known beforehand, since a label made of what a caller sends (a path, an id) would be a way to fill the memory of whoever
// collects them; a value that is known beforehand is there from the start, at zero, since nobody sees a counter rise that appears with its
// first event.
//
// It keeps nothing: counters begin at zero with the process, as Prometheus expects, and a crash loses what was counted since the last look.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// ContentType is what Write writes.
var ContentType = string(expfmt.NewFormat(expfmt.TypeTextPlain))

// scope names the library to OpenTelemetry.
const scope = "github.com/utkarsh698/cloudflow"

// Config of Metrics. The zero value has /metrics alone.
type Config struct {
	Version string       // of the program
	OTLP    *OTLP        // where else they go, as Environment has read it; nil: nowhere
	EMF     *EMF         // what Flush writes to; nil: nothing
	Log     *slog.Logger // hears that a collector cannot be reached; nil: nobody does
}

// Metrics are what one process counts; nil counts nothing. Each is apart from all others, so that tests and instances do not count into each other.
type Metrics struct {
	registry *prometheus.Registry
	meter    metric.Meter
	observed [instruments]metric.Float64Observable // but for histograms
	all      []metric.Observable                   // the same

	mu     sync.RWMutex // guards series
	series [instruments]table

	scrape sync.Mutex            // one at a time: each reads the store
	unread atomic.Pointer[error] // what could not be read since the scrape began

	periodic *sdkmetric.PeriodicReader // sends OTLP; nil: nothing does
	emf      *emfReader                // nil: nothing is written
	watch    func(method, pattern string, status int, took time.Duration)
}

// New returns counters at zero, for /metrics alone.
func New() *Metrics {
	m, err := Open(Config{})
	if err != nil {
		panic(err) // the catalog is wrong, which every test would have said
	}
	return m
}

// Open returns counters at zero, among them those of the Go runtime and of the process, which are for Prometheus only. With OTLP it starts
// what sends them, until Close. An error says what is wrong with the settings of that; nobody is called before the first interval is over.
func Open(c Config) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
	)
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(m.registry),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		otelprometheus.WithProducer(&producer{m: m, temporality: metricdata.CumulativeTemporality, began: time.Now()}),
		// Our names and labels are the whole of it: nothing of the library, nothing of the target, which Prometheus knows.
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	options := []sdkmetric.Option{
		sdkmetric.WithReader(exporter),
		sdkmetric.WithResource(c.resource()),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // whatever the environment says: what is read later knows no trace
	}
	if c.EMF != nil {
		m.emf = newEMFReader(c.EMF, m)
		options = append(options, sdkmetric.WithReader(m.emf.ManualReader))
	}
	if c.OTLP != nil {
		if m.periodic, err = c.OTLP.reader(m, c.Log); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(m.periodic))
	}
	m.meter = sdkmetric.NewMeterProvider(options...).Meter(scope)
	if err := m.instruments(); err != nil {
		return nil, errors.Join(fmt.Errorf("metrics: %w", err), m.Close(context.Background()))
	}
	m.Observe(func(_ context.Context, o Observer) error {
		o.Set(BuildInfo, 1, c.Version)
		return nil
	})
	return m, nil
}

// resource is who counts, for OTLP.
func (c Config) resource() *resource.Resource {
	if c.OTLP == nil {
		return resource.Empty()
	}
	return resource.NewSchemaless(c.OTLP.resource...)
}

// instruments makes those of the catalog that OpenTelemetry reads from us, with all that counts here already.
func (m *Metrics) instruments() error {
	for i := range instruments {
		row := &catalog[i]
		m.series[i].index = map[string]int{}
		switch row.Kind {
		case KindHistogram:
			continue
		case KindCounter:
			c, err := m.meter.Float64ObservableCounter(row.Name, metric.WithDescription(row.Help), metric.WithUnit(row.Unit))
			if err != nil {
				return err
			}
			m.observed[i] = c
		case KindGauge:
			g, err := m.meter.Float64ObservableGauge(row.Name, metric.WithDescription(row.Help), metric.WithUnit(row.Unit))
			if err != nil {
				return err
			}
			m.observed[i] = g
		}
		m.all = append(m.all, m.observed[i])
		for _, value := range row.values {
			m.Counter(i, value)
		}
	}
	m.Counter(OrdersCreated)
	m.Observe(func(_ context.Context, o Observer) error {
		m.mu.RLock()
		defer m.mu.RUnlock()
		for i := range m.series {
			for _, s := range m.series[i].all {
				if s.counter != nil {
					o.to.ObserveFloat64(m.observed[i], float64(s.counter.n.Load()), s.option)
				}
			}
		}
		return nil
	})
	return nil
}

// An Observer takes what somebody counts or knows anyway, when it is asked for.
type Observer struct {
	m  *Metrics
	to metric.Observer
}

// Set gives the value of a gauge, or of a counter since the start of the process, with the row's labels in order. It panics if that is no
// such instrument, or has other labels.
func (o Observer) Set(i Instrument, value float64, labels ...string) {
	option := metric.WithAttributeSet(i.attributes(labels))
	if o.m.observed[i] == nil {
		panic(fmt.Sprintf("metrics: %s is a %s, which nobody can set", catalog[i].Name, catalog[i].Kind))
	}
	o.to.ObserveFloat64(o.m.observed[i], value, option)
}

// attributes are the labels by their names.
func (i Instrument) attributes(labels []string) attribute.Set {
	row := &catalog[i]
	if len(labels) != len(row.Labels) {
		panic(fmt.Sprintf("metrics: %s has the labels %q, not %q", row.Name, row.Labels, labels))
	}
	list := make([]attribute.KeyValue, len(labels))
	for n, value := range labels {
		list[n] = attribute.String(row.Labels[n], value)
	}
	return attribute.NewSet(list...)
}

// Observe has read called whenever somebody looks, from several goroutines at once; ctx ends when nobody waits any more. It sets always the
// same values and must not take long. An error, or a panic, is one of Write.
func (m *Metrics) Observe(read func(ctx context.Context, o Observer) error) {
	if m == nil {
		return
	}
	_, err := m.meter.RegisterCallback(func(ctx context.Context, to metric.Observer) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v", cause)
			}
			if failed := err; failed != nil {
				m.unread.Store(&failed)
				err = nil // OpenTelemetry would only print it, and send a collector nothing
			}
		}()
		return read(ctx, Observer{m, to})
	}, m.all...)
	if err != nil {
		panic(err) // of another meter, which they are not
	}
}

// Write writes all metrics in the text format of Prometheus. With an error, which says what could not be read, it has written nothing: half
// a scrape looks like counters that went away.
func (m *Metrics) Write(w io.Writer) error {
	if m == nil {
		return errors.New("metrics: nothing is counted")
	}
	m.scrape.Lock()
	defer m.scrape.Unlock()
	m.unread.Store(nil)
	families, err := m.registry.Gather()
	// What a collector's look at the same moment could not read counts as ours: it fails for the same cause.
	if unread := m.unread.Load(); err == nil && unread != nil {
		err = *unread
	}
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

// Flush sends what has been counted since the last one: to the collector, and as EMF. It is for the end of an invocation on Lambda, where
// the process may be frozen before the next interval is over.
func (m *Metrics) Flush(ctx context.Context) error {
	if m == nil {
		return nil
	}
	var errs []error
	if m.emf != nil {
		errs = append(errs, m.emf.flush(ctx))
	}
	if m.periodic != nil {
		errs = append(errs, m.periodic.ForceFlush(ctx))
	}
	return errors.Join(errs...)
}

// Close sends what is left and stops sending, within ctx. What cannot be sent by then is lost, and is no error: the collector was told of as
// missing when it was. Counting and Write go on as before.
func (m *Metrics) Close(ctx context.Context) error {
	if m == nil {
		return nil
	}
	var errs []error
	if m.emf != nil {
		errs = append(errs, m.emf.flush(ctx))
	}
	if m.periodic != nil {
		if err := m.periodic.Shutdown(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, sdkmetric.ErrReaderShutdown) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
