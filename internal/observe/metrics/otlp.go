package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/utkarsh698/cloudflow/internal/observe/otlp"
)

// defaultInterval is how often metrics are sent, as OpenTelemetry's specification has it where the environment says nothing.
const defaultInterval = time.Minute

// OTLP is where metrics are sent to, and how often.
type OTLP struct {
	target      *otlp.Target
	interval    time.Duration
	temporality sdkmetric.TemporalitySelector
	resource    []attribute.KeyValue
}

// Environment reads OpenTelemetry's variables, as package otlp says. It returns nil if they ask for no OTLP. /metrics is there whatever they
// say.
func Environment(getenv func(string) string, version string) (*OTLP, error) {
	e := otlp.Read(getenv, otlp.Metrics)
	names := e.Exporters("prometheus (which is always there, at /metrics)")
	if e.Err() != nil || !slices.Contains(names, "otlp") {
		return nil, e.Err()
	}
	o := &OTLP{
		target: e.Target(), interval: e.Milliseconds(defaultInterval, "OTEL_METRIC_EXPORT_INTERVAL"), resource: e.Resource(version),
	}
	if limit := e.Milliseconds(o.target.Timeout, "OTEL_METRIC_EXPORT_TIMEOUT"); limit < o.target.Timeout {
		o.target.Timeout = limit
	}
	switch e.OneOf("cumulative", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "delta", "lowmemory") {
	case "delta":
		o.temporality = sdkmetric.DeltaTemporalitySelector
	case "lowmemory":
		o.temporality = sdkmetric.LowMemoryTemporalitySelector
	default:
		o.temporality = sdkmetric.CumulativeTemporalitySelector
	}
	e.OneOf("", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram") // there is no other here
	if e.Err() != nil {
		return nil, e.Err()
	}
	return o, nil
}

// reader starts what sends every interval. All of it happens on a goroutine of its own: a collector that hangs delays the next sending, and
// nothing else.
func (o *OTLP) reader(m *Metrics, log *slog.Logger) (*sdkmetric.PeriodicReader, error) {
	exporter, err := o.exporter()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	histograms := &producer{m: m, temporality: o.temporality(sdkmetric.InstrumentKindHistogram), began: time.Now()}
	return sdkmetric.NewPeriodicReader(&reported{Exporter: exporter, log: log},
		sdkmetric.WithInterval(o.interval), sdkmetric.WithTimeout(o.target.Timeout), sdkmetric.WithProducer(histograms)), nil
}

// exporter is told everything, since it would look into the environment for the rest, where it takes what Environment refuses.
func (o *OTLP) exporter() (sdkmetric.Exporter, error) {
	t := o.target
	if t.Protocol == otlp.GRPC {
		options := []otlpmetricgrpc.Option{
			otlpmetricgrpc.WithEndpoint(t.Endpoint), otlpmetricgrpc.WithHeaders(t.Headers), otlpmetricgrpc.WithTimeout(t.Timeout),
			otlpmetricgrpc.WithTemporalitySelector(o.temporality), otlpmetricgrpc.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
			otlpmetricgrpc.WithTLSCredentials(t.Credentials()),
		}
		if t.Gzip {
			options = append(options, otlpmetricgrpc.WithCompressor("gzip"))
		}
		return otlpmetricgrpc.New(context.Background(), options...) // it calls nobody
	}
	options := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpoint(t.Endpoint), otlpmetrichttp.WithURLPath(t.Path), otlpmetrichttp.WithHeaders(t.Headers),
		otlpmetrichttp.WithTimeout(t.Timeout), otlpmetrichttp.WithTLSClientConfig(t.TLS),
		otlpmetrichttp.WithTemporalitySelector(o.temporality), otlpmetrichttp.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
		otlpmetrichttp.WithCompression(otlpmetrichttp.NoCompression),
	}
	if t.Gzip {
		options = append(options, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	}
	if t.TLS == nil {
		options = append(options, otlpmetrichttp.WithInsecure())
	}
	return otlpmetrichttp.New(context.Background(), options...)
}

// maxComplaint bounds what of a collector's answer goes into the log: it may be a page.
const maxComplaint = 300

// A reported exporter says in our log when metrics cannot be sent, and when they can again: once each, not every minute. OpenTelemetry would
// print each failure to stderr as plain text, among lines of JSON.
type reported struct {
	sdkmetric.Exporter // called by one goroutine at a time

	log     *slog.Logger
	failing bool
}

// Export never fails: whom it could tell would only print it.
func (r *reported) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	err := r.Exporter.Export(ctx, rm)
	switch {
	case err == nil && r.failing:
		r.failing = false
		r.log.LogAttrs(ctx, slog.LevelInfo, "Metrics are sent again")
	case err != nil && !r.failing:
		r.failing = true
		r.log.LogAttrs(ctx, slog.LevelWarn, "Metrics cannot be sent; they stay at /metrics", slog.String("error", clip(fmt.Sprint(err))))
	}
	return nil
}

func clip(text string) string {
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + " ..."
	}
	return text
}
