// Package trace makes the spans of a trace (https://opentelemetry.io/docs/specs/otel/trace/api/): what was done for a request or an order,
// when, for how long, on whose behalf and with what result. It is the only room that knows OpenTelemetry's tracing libraries.
//
// It promises: a nil *Tracer is one that is off, and every method of it is cheap; a span is made only below a sampled one, so that what was
// not sampled at its beginning costs a look into a context; nothing here fails or blocks its caller. When spans cannot be exported as fast
// as they come, the newest are lost.
//
// A span that outlives its process has an ID that is made of what it is for (SpanID), not of chance. What happens below it names it as its
// parent before it has ended, in this process or in the next one, and whoever ends it writes it down under the same ID (Tracer.Record).
// That is how a saga's trace stays one tree over a crash, a retry and a queue.
//
// No span holds what a customer wrote: names and attributes are ids, kinds, counts and the names of tasks and states.
package trace

import (
	"context"
	"crypto/sha256"
	"time"

	"go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// An Attr is a span's attribute. Names follow https://opentelemetry.io/docs/specs/semconv/ where there is one, else begin with cloudflow.
type Attr = attribute.KeyValue

// What the spans of several rooms are found by: the ids that the log's lines have, too.
const (
	AttrOrder       = "cloudflow.order_id"
	AttrCorrelation = "cloudflow.correlation_id"
)

// String makes an attribute.
func String(name, value string) Attr { return attribute.String(name, value) }

// Int makes an attribute.
func Int(name string, value int64) Attr { return attribute.Int64(name, value) }

// Strings makes an attribute.
func Strings(name string, values []string) Attr { return attribute.StringSlice(name, values) }

// A Kind says what a span is in its relation to its parent.
type Kind = otel.SpanKind

// The kinds.
const (
	Internal = otel.SpanKindInternal
	Server   = otel.SpanKindServer   // answers a call from outside
	Client   = otel.SpanKindClient   // calls the outside, a store included
	Producer = otel.SpanKindProducer // gives something to be done later
	Consumer = otel.SpanKindConsumer // does what a producer gave
)

// A Tracer makes spans. nil is one that is off. It is safe for concurrent use.
type Tracer struct {
	provider   *sdk.TracerProvider
	tracer     otel.Tracer
	propagator propagation.TextMapPropagator
}

// Config of a Tracer.
type Config struct {
	Export     sdk.SpanExporter
	Sync       bool                          // export each span as it ends, on its own goroutine: for tests
	Sampler    sdk.Sampler                   // nil: everything but what its caller has not sampled
	Resource   *resource.Resource            // nil: an empty one
	Propagator propagation.TextMapPropagator // nil: W3C's and X-Ray's
}

// New returns a tracer that gives its spans to the exporter.
func New(c Config) *Tracer {
	options := []sdk.TracerProviderOption{sdk.WithIDGenerator(ids{})}
	if c.Sync {
		options = append(options, sdk.WithSyncer(c.Export))
	} else {
		options = append(options, sdk.WithBatcher(c.Export))
	}
	if c.Sampler == nil {
		c.Sampler = sdk.ParentBased(sdk.AlwaysSample())
	}
	if c.Resource == nil {
		c.Resource = resource.Empty()
	}
	if c.Propagator == nil {
		c.Propagator = defaultPropagator
	}
	options = append(options, sdk.WithSampler(c.Sampler), sdk.WithResource(c.Resource))
	provider := sdk.NewTracerProvider(options...)
	return &Tracer{
		provider: provider, tracer: provider.Tracer("github.com/utkarsh698/cloudflow"),
		propagator: c.Propagator,
	}
}

// defaultPropagator reads a W3C traceparent before an X-Ray header, and writes both.
var defaultPropagator = propagation.NewCompositeTextMapPropagator(xray.Propagator{}, propagation.TraceContext{})

// Close exports what has ended, until ctx ends, and makes no more spans. A collector that does not answer costs what it did not take.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Flush exports what has ended, until ctx ends: at the end of a Lambda invocation, after which the process may be frozen.
func (t *Tracer) Flush(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.ForceFlush(ctx)
}

// A Span is something that is being done. nil is one that nobody looks at.
type Span struct{ span otel.Span }

// Continue begins a span for what a caller asked for: below the caller's span, if get finds one in the headers, else as the first of a new
// trace. It is here that a trace is sampled. The context carries the span if it is, and is the given one otherwise.
func (t *Tracer) Continue(ctx context.Context, get func(name string) string, kind Kind, name string, attrs ...Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	within, span := t.tracer.Start(t.propagator.Extract(ctx, carrier{get: get}), name, otel.WithSpanKind(kind), otel.WithAttributes(attrs...))
	if !span.IsRecording() {
		return ctx, nil
	}
	return within, &Span{span}
}

// Start begins a span below the context's. Without a sampled one there it does nothing.
func (t *Tracer) Start(ctx context.Context, kind Kind, name string, attrs ...Attr) (context.Context, *Span) {
	if t == nil || !Sampled(ctx) {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, otel.WithSpanKind(kind), otel.WithAttributes(attrs...))
	return ctx, &Span{span}
}

// Set adds attributes.
func (s *Span) Set(attrs ...Attr) {
	if s != nil {
		s.span.SetAttributes(attrs...)
	}
}

// End ends the span. Its error is told by its kind alone: an error's text may quote what a customer wrote.
func (s *Span) End(err error) {
	if s != nil {
		setStatus(s.span, err)
		s.span.End()
	}
}

// Fail ends the span as failed, for a reason that is one of a few words.
func (s *Span) Fail(reason string) {
	if s != nil {
		s.span.SetStatus(codes.Error, reason)
		s.span.End()
	}
}

func setStatus(span otel.Span, err error) {
	if err != nil {
		kind := string(fault.KindOf(err))
		span.SetStatus(codes.Error, kind)
		span.SetAttributes(attribute.String("error.type", kind))
	}
}

// Sampled reports whether what happens in the context is looked at.
func Sampled(ctx context.Context) bool { return otel.SpanContextFromContext(ctx).IsSampled() }

// A Place is a span as others name it as their parent. The zero Place is nowhere.
type Place struct{ sc otel.SpanContext }

// PlaceOf is the context's span, if it is sampled.
func PlaceOf(ctx context.Context) Place {
	if sc := otel.SpanContextFromContext(ctx); sc.IsSampled() {
		return Place{sc}
	}
	return Place{}
}

// Parse reads what Place.String wrote. What is malformed or not sampled is nowhere.
func Parse(traceparent string) Place {
	if traceparent == "" {
		return Place{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier{get: func(name string) string {
		if name == "traceparent" {
			return traceparent
		}
		return ""
	}})
	return PlaceOf(ctx)
}

// String is the place as a W3C traceparent, "" for nowhere.
func (p Place) String() string {
	if !p.Known() {
		return ""
	}
	var text string
	propagation.TraceContext{}.Inject(p.In(context.Background()), carrier{set: func(name, value string) {
		if name == "traceparent" {
			text = value
		}
	}})
	return text
}

// Known reports whether the place is somewhere.
func (p Place) Known() bool { return p.sc.IsValid() }

// In is a context at the place: what is begun in it is begun below it. Nowhere leaves the context as it is.
func (p Place) In(ctx context.Context) context.Context {
	if !p.Known() {
		return ctx
	}
	return otel.ContextWithSpanContext(ctx, p.sc)
}

// Of is the place in the same trace of the span that has its ID of what it is for (Record.For).
func (p Place) Of(what string) Place {
	if !p.Known() {
		return p
	}
	return Place{p.sc.WithSpanID(spanID(p.sc.TraceID(), what))}
}

// spanID is the ID of the span for something: the same in every process.
func spanID(trace otel.TraceID, what string) (id otel.SpanID) {
	h := sha256.New()
	h.Write(trace[:])
	h.Write([]byte(what))
	copy(id[:], h.Sum(nil))
	return id
}

// A Record is a span that has ended.
type Record struct {
	Parent     Place
	For        string // what it is for, whose ID it has; "": one by chance
	Kind       Kind
	Name       string
	Begin, End time.Time
	Failed     string // the error's kind, if it failed
	Attrs      []Attr
}

// Record writes down a span that has ended. Below nowhere it does nothing.
func (t *Tracer) Record(r Record) {
	if t == nil || !r.Parent.Known() {
		return
	}
	ctx := r.Parent.In(context.Background())
	if r.For != "" {
		ctx = withID(ctx, r.Parent.Of(r.For).sc.SpanID())
	}
	_, span := t.tracer.Start(ctx, r.Name, otel.WithSpanKind(r.Kind), otel.WithTimestamp(r.Begin), otel.WithAttributes(r.Attrs...))
	if r.Failed != "" {
		span.SetStatus(codes.Error, r.Failed)
		span.SetAttributes(attribute.String("error.type", r.Failed))
	}
	if r.End.Before(r.Begin) {
		r.End = r.Begin // the clock was set back
	}
	span.End(otel.WithTimestamp(r.End))
}

// Headers gives the headers of a call to the outside that tell it where the context is: traceparent, and X-Amzn-Trace-Id, which is also
// what goes with a message to Amazon SQS (as AWSTraceHeader) and with the start of an execution (traceHeader).
func (t *Tracer) Headers(ctx context.Context, set func(name, value string)) {
	if t != nil && Sampled(ctx) {
		t.propagator.Inject(ctx, carrier{set: set})
	}
}

// A carrier is the headers of a call.
type carrier struct {
	get func(name string) string
	set func(name, value string)
}

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(name string) string {
	if c.get == nil {
		return ""
	}
	return c.get(name)
}

// Set implements propagation.TextMapCarrier.
func (c carrier) Set(name, value string) {
	if c.set != nil {
		c.set(name, value)
	}
}

// Keys implements propagation.TextMapCarrier. Nobody asks: it is for formats whose headers have names that are not known beforehand.
func (c carrier) Keys() []string { return nil }
