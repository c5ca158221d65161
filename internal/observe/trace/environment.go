package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/propagators/aws/xray"
	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// FromEnvironment returns a tracer as OpenTelemetry's variables say
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), or nil, which is off, if they do not ask for one:
// neither OTEL_TRACES_EXPORTER nor an endpoint is set, the exporter is "none", or OTEL_SDK_DISABLED is true. What the libraries read by
// themselves (endpoints, headers, certificates, timeouts, batches, limits) is not repeated here.
//
// Its error names a variable that says what cannot be done, with what it could say. Nothing is sent yet: a collector that is away is found
// by the first export, and told of in the log at most once a minute.
func FromEnvironment(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	names, err := exporters()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if err := checkSampler(); err != nil {
		return nil, err
	}
	propagator, err := propagators()
	if err != nil {
		return nil, err
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "cloudflow"), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithHost())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w; write it as name=value,name=value", err)
	}
	exporter, err := exporterOf(ctx, names)
	if err != nil {
		return nil, err
	}
	global.SetErrorHandler(&complaints{log: log})
	return New(Config{Export: exporter, Resource: described, Propagator: propagator}), nil
}

// exporters are the names of OTEL_TRACES_EXPORTER. Without it an endpoint asks for otlp; the specification's default, otlp without an
// endpoint, would have every program look for a collector.
func exporters() ([]string, error) {
	if disabled, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); disabled {
		return nil, nil
	}
	text := os.Getenv("OTEL_TRACES_EXPORTER")
	if text == "" {
		if os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			return nil, nil
		}
		text = "otlp"
	}
	var names []string
	for _, name := range list(text) {
		switch name {
		case "none":
		case "otlp", "console":
			names = append(names, name)
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: there is no exporter %q; it is otlp, console or none", name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func list(text string) []string {
	var out []string
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// exporterOf makes what the names say.
func exporterOf(ctx context.Context, names []string) (sdk.SpanExporter, error) {
	var all tee
	for _, name := range names {
		var one sdk.SpanExporter
		var err error
		if name == "console" {
			one, err = stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
		} else {
			one, err = otlp(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: %w", name, err)
		}
		all = append(all, one)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// otlp is the exporter to a collector, by default over HTTP to port 4318 of this machine.
func otlp(ctx context.Context) (sdk.SpanExporter, error) {
	name, protocol := "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		name, protocol = "OTEL_EXPORTER_OTLP_PROTOCOL", os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		if err := checkEndpoints(); err != nil {
			return nil, err
		}
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("%s: %q is not spoken here; it is http/protobuf (port 4318) or grpc (port 4317)", name, protocol)
}

// checkEndpoints finds an address that the library would take for its default, and say so where nobody looks.
func checkEndpoints() error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%s: %q is no URL, such as http://127.0.0.1:4318", name, text)
		}
	}
	return nil
}

// checkSampler finds what the SDK would only complain about when it is too late. It is the SDK that makes the sampler.
func checkSampler() error {
	name := os.Getenv("OTEL_TRACES_SAMPLER")
	known := []string{
		"", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
	}
	if !slices.Contains(known, name) {
		return fmt.Errorf("OTEL_TRACES_SAMPLER: there is no sampler %q; it is %s", name, strings.Join(known[1:], ", "))
	}
	if arg := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); arg != "" && strings.HasSuffix(name, "traceidratio") {
		if share, err := strconv.ParseFloat(arg, 64); err != nil || !(share >= 0 && share <= 1) {
			return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is no share from 0 to 1, such as 0.01 for one trace in a hundred", arg)
		}
	}
	return nil
}

// propagators are those of OTEL_PROPAGATORS, by default tracecontext and xray. What is read last counts, so the list is gone through from
// its end: the first that a call has a header of is believed.
func propagators() (propagation.TextMapPropagator, error) {
	text := os.Getenv("OTEL_PROPAGATORS")
	if text == "" {
		return defaultPropagator, nil
	}
	var all []propagation.TextMapPropagator
	for _, name := range slices.Backward(list(text)) {
		switch name {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "xray":
			all = append(all, xray.Propagator{})
		case "baggage", "none": // nothing here reads a baggage, and what nobody reads is not passed on
		default:
			return nil, fmt.Errorf("OTEL_PROPAGATORS: there is no propagator %q; it is tracecontext, xray, baggage or none", name)
		}
	}
	return propagation.NewCompositeTextMapPropagator(all...), nil
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
