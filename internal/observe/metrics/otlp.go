package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

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
		sdkmetric.WithInterval(o.interval), sdkmetric.WithTimeout(o.timeout), sdkmetric.WithProducer(histograms)), nil
}

// exporter is told everything, since it would look into the environment for the rest, where it takes what Environment refuses.
func (o *OTLP) exporter() (sdkmetric.Exporter, error) {
	if o.protocol == protocolGRPC {
		options := []otlpmetricgrpc.Option{
			otlpmetricgrpc.WithEndpoint(o.endpoint), otlpmetricgrpc.WithHeaders(o.headers), otlpmetricgrpc.WithTimeout(o.timeout),
			otlpmetricgrpc.WithTemporalitySelector(o.temporality), otlpmetricgrpc.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
			otlpmetricgrpc.WithTLSCredentials(o.credentials()),
		}
		if o.gzip {
			options = append(options, otlpmetricgrpc.WithCompressor("gzip"))
		}
		return otlpmetricgrpc.New(context.Background(), options...) // it calls nobody
	}
	options := []otlpmetrichttp.Option{
		otlpmetrichttp.WithEndpoint(o.endpoint), otlpmetrichttp.WithURLPath(o.path), otlpmetrichttp.WithHeaders(o.headers),
		otlpmetrichttp.WithTimeout(o.timeout), otlpmetrichttp.WithTLSClientConfig(o.tls),
		otlpmetrichttp.WithTemporalitySelector(o.temporality), otlpmetrichttp.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
		otlpmetrichttp.WithCompression(otlpmetrichttp.NoCompression),
	}
	if o.gzip {
		options = append(options, otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	}
	if o.plain {
		options = append(options, otlpmetrichttp.WithInsecure())
	}
	return otlpmetrichttp.New(context.Background(), options...)
}

func (o *OTLP) credentials() credentials.TransportCredentials {
	if o.plain {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(o.tls)
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
