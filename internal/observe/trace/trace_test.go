package trace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func newTest() (*tracetest.InMemoryExporter, *Tracer) {
	exported := tracetest.NewInMemoryExporter()
	return exported, New(Config{Export: exported, Sync: true})
}

func TestATracerThatIsOffDoesNothing(t *testing.T) {
	var off *Tracer
	ctx, span := off.Continue(t.Context(), func(string) string { return parent }, Server, "a")
	if Sampled(ctx) || span != nil {
		t.Error("there is a span")
	}
	at := Parse(parent).In(t.Context())
	if ctx, span = off.Start(at, Client, "b"); span != nil || ctx != at {
		t.Error("there is a span below a sampled one")
	}
	span.Set(String("a", "b"))
	span.End(errors.New("no"))
	span.Fail("no")
	off.Record(Record{Parent: Parse(parent), Name: "c"})
	off.Headers(at, func(name, value string) { t.Errorf("header %s", name) })
	if err := errors.Join(off.Flush(t.Context()), off.Close(t.Context())); err != nil {
		t.Error(err)
	}
	ran := errors.New("ran")
	if err := off.Invocation(t.Context(), Server, "f", "", func(context.Context) error { return ran }); !errors.Is(err, ran) {
		t.Errorf("the invocation answered %v", err)
	}
}

func TestPlace(t *testing.T) {
	t.Run("what is written is read again", func(t *testing.T) {
		if got := Parse(parent).String(); got != parent {
			t.Errorf("%s became %s", parent, got)
		}
		if got := PlaceOf(Parse(parent).In(t.Context())).String(); got != parent {
			t.Errorf("in a context %s became %s", parent, got)
		}
	})
	for _, nowhere := range []string{
		"", "x", strings.Repeat("0", 55), parent[:54], parent + "0", strings.ToUpper(parent), "ff" + parent[2:],
		strings.TrimSuffix(parent, "01") + "00", // not sampled
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	} {
		if p := Parse(nowhere); p.Known() || p.String() != "" || p.Of("x").Known() || p.In(t.Context()) != t.Context() {
			t.Errorf("%q is somewhere", nowhere)
		}
	}
	t.Run("the place of something is the same in every process, and another for anything else", func(t *testing.T) {
		p, other := Parse(parent), Parse(strings.Replace(parent, "0af7", "0af8", 1))
		if got := p.Of("state/ord-1/3").String(); got != "00-0af7651916cd43dd8448eb211c80319c-c8c6e2e3369ce57f-01" {
			t.Errorf("it is %s", got)
		}
		seen := map[string]bool{p.Of("a").String()[36:52]: true, p.Of("b").String()[36:52]: true, other.Of("a").String()[36:52]: true}
		if len(seen) != 3 {
			t.Errorf("%v", seen)
		}
	})
}

func TestWhatIsContinuedIsBelowItsCaller(t *testing.T) {
	exported, tracer := newTest()
	ctx, span := tracer.Continue(t.Context(), func(name string) string {
		return map[string]string{"traceparent": parent}[name]
	}, Server, "POST /orders", String("http.route", "/orders"))
	within, child := tracer.Start(ctx, Client, "store.commit")
	tracer.Record(Record{
		Parent: PlaceOf(within), For: "it", Name: "recorded", Begin: time.Unix(5, 0), End: time.Unix(4, 0), Failed: "Transient", Attrs: []Attr{Int("n", 1)},
	})
	child.Set(Strings("s", []string{"a"}))
	child.End(fault.New(fault.PaymentDeclined, "card 4242"))
	span.Fail("503")
	spans := exported.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	recorded, commit, root := spans[0], spans[1], spans[2]
	if root.SpanContext.TraceID().String() != parent[3:35] || root.Parent.SpanID().String() != parent[36:52] || !root.Parent.IsRemote() ||
		root.SpanKind != Server || root.Status.Code != codes.Error || root.Status.Description != "503" {
		t.Errorf("the root is %+v", root)
	}
	if commit.Parent.SpanID() != root.SpanContext.SpanID() || commit.Status.Description != "PaymentDeclined" || strings.Contains(fmt.Sprint(commit), "4242") {
		t.Errorf("the child is %+v", commit)
	}
	if recorded.Parent.SpanID() != commit.SpanContext.SpanID() || recorded.SpanContext.SpanID().String() != PlaceOf(within).Of("it").String()[36:52] ||
		!recorded.StartTime.Equal(time.Unix(5, 0)) || !recorded.EndTime.Equal(time.Unix(5, 0)) || recorded.Status.Description != "Transient" {
		t.Errorf("what was recorded is %+v", recorded)
	}
}

func TestANewTraceHasAnIDThatXRayTakes(t *testing.T) {
	exported, tracer := newTest()
	seen := map[string]bool{}
	for range 100 {
		_, span := tracer.Continue(t.Context(), func(string) string { return "" }, Server, "a")
		span.End(nil)
	}
	for _, s := range exported.GetSpans() {
		id := s.SpanContext.TraceID()
		seen[id.String()[8:]], seen[s.SpanContext.SpanID().String()] = true, true
		begun := time.Unix(int64(id[0])<<24|int64(id[1])<<16|int64(id[2])<<8|int64(id[3]), 0)
		if age := time.Since(begun); age < -time.Second || age > time.Minute {
			t.Errorf("the trace %s was begun %s ago", id, age)
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d different IDs", len(seen))
	}
}

func TestHeadersTellWhereACallComesFrom(t *testing.T) {
	_, tracer := newTest()
	got := map[string]string{}
	tracer.Headers(Parse(parent).In(t.Context()), func(name, value string) { got[name] = value })
	if got["traceparent"] != parent || got["X-Amzn-Trace-Id"] != "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1" {
		t.Errorf("%v", got)
	}
	tracer.Headers(t.Context(), func(name, value string) { t.Errorf("header %s without a span", name) })
}

// A slowExporter counts what has reached it, and can be told to hang.
type slowExporter struct {
	mu    sync.Mutex
	names []string
	hangs chan struct{}
}

func (e *slowExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if e.hangs != nil {
		select {
		case <-e.hangs:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range spans {
		e.names = append(e.names, s.Name()+" "+s.Status().Description)
	}
	return nil
}

func (e *slowExporter) Shutdown(context.Context) error { return nil }

func (e *slowExporter) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.names, ", ")
}

func TestAnInvocationIsExportedBeforeItReturns(t *testing.T) {
	e := &slowExporter{}
	tracer := New(Config{Export: e})
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	t.Setenv("_X_AMZN_TRACE_ID", "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1")
	invoke := func(header string, do func(ctx context.Context) error) error {
		return tracer.Invocation(t.Context(), Server, "payment-handler", header, do)
	}
	err := invoke("", func(ctx context.Context) error {
		if got := PlaceOf(ctx).String(); got[3:35] != parent[3:35] {
			t.Errorf("it is in the trace %s", got)
		}
		_, span := tracer.Start(ctx, Client, "provider")
		span.End(nil)
		return fault.New(fault.PaymentDeclined, "no")
	})
	if got := e.String(); !fault.Is(err, fault.PaymentDeclined) || got != "provider , payment-handler PaymentDeclined" {
		t.Errorf("%v; exported: %s", err, got)
	}
	t.Run("the event's own header counts before the environment's", func(t *testing.T) {
		_ = invoke("Root=1-11111111-222222222222222222222222;Parent=3333333333333333;Sampled=1", func(ctx context.Context) error {
			if got := PlaceOf(ctx).String(); got[3:35] != "11111111222222222222222222222222" {
				t.Errorf("it is in the trace %s", got)
			}
			return nil
		})
	})
	t.Run("what X-Ray has not sampled is not exported", func(t *testing.T) {
		before := e.String()
		_ = invoke("Root=1-11111111-222222222222222222222222;Parent=3333333333333333;Sampled=0", func(ctx context.Context) error { return nil })
		if e.String() != before {
			t.Errorf("exported: %s", e)
		}
	})
	t.Run("a panic is exported and goes on", func(t *testing.T) {
		defer func() {
			if recover() == nil || !strings.HasSuffix(e.String(), "payment-handler panic") {
				t.Errorf("exported: %s", e)
			}
		}()
		_ = invoke("", func(context.Context) error { panic("boom") })
	})
}

func TestACollectorThatHangsKeepsNobodyWaiting(t *testing.T) {
	e := &slowExporter{hangs: make(chan struct{})}
	tracer := New(Config{Export: e})
	began := time.Now()
	for range 20_000 { // ten times what the queue holds
		_, span := tracer.Continue(t.Context(), func(string) string { return "" }, Server, "a")
		span.End(nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := tracer.Close(ctx); err == nil {
		t.Error("it was closed as if everything had been exported")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	close(e.hangs)
}

func BenchmarkOff(b *testing.B) {
	var off *Tracer
	b.ReportAllocs()
	for b.Loop() {
		_, span := off.Start(b.Context(), Client, "store.get")
		span.End(nil)
	}
}

func BenchmarkNotSampled(b *testing.B) {
	_, tracer := newTest()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(ctx, Client, "store.get")
		span.End(nil)
	}
}

func BenchmarkSampled(b *testing.B) {
	tracer := New(Config{Export: &slowExporter{}})
	ctx := Parse(parent).In(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(ctx, Client, "store.get", String("db.collection.name", "orders"))
		span.End(nil)
	}
	_ = tracer.Close(b.Context())
}
