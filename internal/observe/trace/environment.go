package trace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/propagators/aws/xray"
	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/utkarsh698/cloudflow/internal/observe/otlp"
)

// Settings are what the environment says of tracing.
type Settings struct {
	exporters  []string
	target     *otlp.Target // nil: none of them is otlp
	sampler    sdk.Sampler
	propagator propagation.TextMapPropagator
	resource   *resource.Resource
}

// Environment reads OpenTelemetry's variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), as package
// otlp says. It returns nil, which is off, if they ask for no traces. OTEL_BSP_* and OTEL_SPAN_* the library reads by itself.
func Environment(getenv func(string) string, version string) (*Settings, error) {
	e := otlp.Read(getenv, otlp.Traces)
	s := &Settings{exporters: e.Exporters("console (JSON to stderr)")}
	if e.Err() != nil || len(s.exporters) == 0 {
		return nil, e.Err()
	}
	if slices.Contains(s.exporters, "otlp") {
		s.target = e.Target()
	}
	s.sampler, s.propagator = sampler(e), propagator(e)
	s.resource = resource.NewSchemaless(e.Resource(version)...)
	if e.Err() != nil {
		return nil, e.Err()
	}
	return s, nil
}

// Open returns the tracer of the settings; of nil one that is off. Nothing is sent yet: a collector that is away is found by the first
// export, and told of in the log at most once a minute.
func Open(s *Settings, log *slog.Logger) (*Tracer, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // a nil Tracer is one that is off
	}
	var all tee
	for _, name := range s.exporters {
		one, err := s.exporter(name)
		if err != nil {
			return nil, fmt.Errorf("trace: %s: %w", name, err)
		}
		all = append(all, one)
	}
	global.SetErrorHandler(&complaints{log: log})
	return New(Config{Export: all, Sampler: s.sampler, Resource: s.resource, Propagator: s.propagator}), nil
}

// exporter is told everything, since it would look into the environment for the rest, where it takes what Environment refuses.
func (s *Settings) exporter(name string) (sdk.SpanExporter, error) {
	if name == "console" {
		return stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	}
	t := s.target
	if t.Protocol == otlp.GRPC {
		options := []otlptracegrpc.Option{
			otlptracegrpc.WithEndpoint(t.Endpoint), otlptracegrpc.WithHeaders(t.Headers), otlptracegrpc.WithTimeout(t.Timeout),
			otlptracegrpc.WithTLSCredentials(t.Credentials()),
		}
		if t.Gzip {
			options = append(options, otlptracegrpc.WithCompressor("gzip"))
		}
		return otlptracegrpc.New(context.Background(), options...) // it calls nobody
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpoint(t.Endpoint), otlptracehttp.WithURLPath(t.Path), otlptracehttp.WithHeaders(t.Headers),
		otlptracehttp.WithTimeout(t.Timeout), otlptracehttp.WithTLSClientConfig(t.TLS), otlptracehttp.WithCompression(otlptracehttp.NoCompression),
	}
	if t.Gzip {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if t.TLS == nil {
		options = append(options, otlptracehttp.WithInsecure())
	}
	return otlptracehttp.New(context.Background(), options...)
}

// sampler is that of OTEL_TRACES_SAMPLER, by default parentbased_always_on.
func sampler(e *otlp.Environment) sdk.Sampler {
	switch e.OneOf("parentbased_always_on", "OTEL_TRACES_SAMPLER",
		"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio") {
	case "always_on":
		return sdk.AlwaysSample()
	case "always_off":
		return sdk.NeverSample()
	case "traceidratio":
		return sdk.TraceIDRatioBased(share(e))
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample())
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(share(e)))
	}
	return sdk.ParentBased(sdk.AlwaysSample())
}

func share(e *otlp.Environment) float64 {
	const name = "OTEL_TRACES_SAMPLER_ARG"
	text := e.Get(name)
	if text == "" {
		return 1
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		e.Wrong(name, "%q is no share from 0 to 1, such as 0.01 for one trace in a hundred", text)
	}
	return n
}

// propagator is what OTEL_PROPAGATORS lists, by default tracecontext and xray. What is read last counts, so the list is gone through from
// its end: the first that a call has a header of is believed.
func propagator(e *otlp.Environment) propagation.TextMapPropagator {
	const name = "OTEL_PROPAGATORS"
	text := e.Get(name)
	if text == "" {
		return defaultPropagator
	}
	var all []propagation.TextMapPropagator
	for _, one := range slices.Backward(strings.Split(text, ",")) {
		switch strings.TrimSpace(one) {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "xray":
			all = append(all, xray.Propagator{})
		case "baggage", "none", "": // nothing here reads a baggage, and what nobody reads is not passed on
		default:
			e.Wrong(name, "%q is not of tracecontext, xray, baggage and none", text)
		}
	}
	return propagation.NewCompositeTextMapPropagator(all...)
}

// A tee exports to several.
type tee []sdk.SpanExporter

// ExportSpans implements sdk.SpanExporter. One that fails does not keep spans from the others.
func (t tee) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) (err error) {
	for _, one := range t {
		if e := one.ExportSpans(ctx, spans); e != nil {
			err = e
		}
	}
	return err
}

// Shutdown implements sdk.SpanExporter.
func (t tee) Shutdown(ctx context.Context) (err error) {
	for _, one := range t {
		if e := one.Shutdown(ctx); e != nil {
			err = e
		}
	}
	return err
}

// complaints are what the libraries have to say: into the log, at most one a minute. A collector that is away would fill it.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // unix nanoseconds
}

const complainEvery = time.Minute

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	now, last := time.Now().UnixNano(), c.last.Load()
	if last != 0 && now-last < int64(complainEvery) || !c.last.CompareAndSwap(last, now) {
		return
	}
	c.log.LogAttrs(context.Background(), slog.LevelWarn, "Telemetry is not exported",
		slog.String("service", "cloudflow"), slog.Any("error", err))
}
