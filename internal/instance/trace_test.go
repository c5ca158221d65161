package instance_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// traces has an instance export its spans to memory.
func traces(t testing.TB, sampler sdk.Sampler) (*tracetest.InMemoryExporter, func(*instance.Config)) {
	t.Helper()
	exported, tracer := newTracer(sampler)
	return exported, func(c *instance.Config) { c.Tracer = tracer }
}

func newTracer(sampler sdk.Sampler) (*tracetest.InMemoryExporter, *trace.Tracer) {
	exported := tracetest.NewInMemoryExporter()
	return exported, trace.New(trace.Config{Export: exported, Sync: true, Sampler: sampler})
}

// The trace that a caller is in, and its own span.
const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	traceparent  = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// A tree is the spans of one trace.
type tree struct {
	t     *testing.T
	spans tracetest.SpanStubs
	below map[otel.SpanID][]int
}

// treeOf are the spans of a trace, which must be one tree below the caller's span.
func treeOf(t *testing.T, spans tracetest.SpanStubs, id string) *tree {
	t.Helper()
	tr := &tree{t: t, below: map[otel.SpanID][]int{}}
	known := map[otel.SpanID]string{}
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != id {
			continue
		}
		if twin := known[s.SpanContext.SpanID()]; twin != "" {
			t.Errorf("%s and %s are one span", s.Name, twin)
		}
		known[s.SpanContext.SpanID()] = s.Name
		tr.spans = append(tr.spans, s)
	}
	slices.SortStableFunc(tr.spans, func(a, b tracetest.SpanStub) int { // a bubble's clock stands still while somebody works
		return cmp.Or(a.StartTime.Compare(b.StartTime), cmp.Compare(a.Name, b.Name))
	})
	for i, s := range tr.spans {
		parent := s.Parent.SpanID()
		if parent.String() != callersSpan && known[parent] == "" {
			t.Errorf("the parent of %s is not there", s.Name)
		}
		if s.EndTime.Before(s.StartTime) {
			t.Errorf("%s ends before it begins", s.Name)
		}
		tr.below[parent] = append(tr.below[parent], i)
	}
	return tr
}

// lines are the spans below one, each indented below its parent: in the order in which they were begun, without the second of the same.
func (tr *tree) lines(parent string, depth int) []string {
	id, err := otel.SpanIDFromHex(parent)
	if err != nil {
		tr.t.Fatal(err)
	}
	var out []string
	for _, i := range tr.below[id] {
		s := tr.spans[i]
		line := strings.Repeat("  ", depth) + nameOf(s)
		part := append([]string{line}, tr.lines(s.SpanContext.SpanID().String(), depth+1)...)
		if len(part) > 1 || len(out) == 0 || out[len(out)-1] != line {
			out = append(out, part...)
		}
	}
	return out
}

// nameOf is a span's name, and why it failed if it did.
func nameOf(s tracetest.SpanStub) string {
	if s.Status.Code == codes.Error {
		return s.Name + " !" + s.Status.Description
	}
	return s.Name
}

func (tr *tree) String() string { return strings.Join(tr.lines(callersSpan, 0), "\n") }

// happyTree is the trace of an order that is confirmed.
const happyTree = `POST /orders
  order-handler
    store.get_many
    store.get
    store.commit
      publish order events
    start execution
      cloudflow-saga
        Enter
        ReserveStock
          inventory-handler
            store.commit
        store.commit
          publish order events
        RecordReservation
          order-handler
            store.commit
        ChargePayment
          payment-handler
            store.get
            circuit-breaker acquire
            payment-provider open
            store.commit
            payment-provider capture
            circuit-breaker record success
            store.commit
        store.commit
          publish order events
        ConfirmOrder
          order-handler
            store.commit
        CommitReservation
          inventory-handler
            store.commit
        NotifyCustomer
          order-handler
            store.commit
            send notifications
              notification-handler
                store.commit
                send e-mail
                store.commit
        Done`

// declinedTree is the trace of an order whose card is declined.
const declinedTree = `POST /orders
  order-handler
    store.get_many
    store.get
    store.commit
      publish order events
    start execution
      cloudflow-saga
        Enter
        ReserveStock
          inventory-handler
            store.commit
        store.commit
          publish order events
        RecordReservation
          order-handler
            store.commit
        ChargePayment !PaymentDeclined
          payment-handler !PaymentDeclined
            store.get
            circuit-breaker acquire
            payment-provider open
            store.commit
            payment-provider capture !PaymentDeclined
            circuit-breaker record success
            store.commit
        store.commit
          publish order events
        RecordPaymentFailure
          order-handler
            store.commit
        ReleaseStock
          inventory-handler
            store.commit
        CompensateOrder
          order-handler
            store.commit
        NotifyCustomer
          order-handler
            store.commit
            send notifications
              notification-handler
                store.commit
                send e-mail
                store.commit
        Done`

// aTrace is the trace of one order, with the key that it was placed under. headers tell the instance of the caller's trace.
func aTrace(t *testing.T, method string, headers ...string) *tree {
	t.Helper()
	exported, traced := traces(t, nil)
	w := newWorld(t, traced)
	w.product("A", 5)
	r := request(method, "A")
	r.Contact = &contact
	w.accepted(r, append([]string{"Idempotency-Key", "once"}, headers...)...)
	w.rest()
	w.end()
	return treeOf(t, exported.GetSpans(), callersTrace)
}

func TestAnOrdersTraceIsOneTree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, want string }{
		"of one that is confirmed":         {visa, happyTree},
		"of one whose payment is declined": {provider.ChargeDeclined, declinedTree},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := aTrace(t, c.method, "Traceparent", traceparent).String(); got != c.want {
				t.Errorf("the spans are\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	t.Run("whose caller is traced by AWS X-Ray", func(t *testing.T) {
		t.Parallel()
		header := "Root=1-" + callersTrace[:8] + "-" + callersTrace[8:] + ";Parent=" + callersSpan + ";Sampled=1"
		if got := aTrace(t, visa, "X-Amzn-Trace-Id", header).String(); got != happyTree {
			t.Errorf("the spans are\n%s", got)
		}
	})
	t.Run("that a client's span is above, when it sends both headers", func(t *testing.T) {
		t.Parallel()
		other := "Root=1-11111111-222222222222222222222222;Parent=3333333333333333;Sampled=1"
		if got := aTrace(t, visa, "X-Amzn-Trace-Id", other, "Traceparent", traceparent).String(); got != happyTree {
			t.Errorf("the spans are\n%s", got)
		}
	})
}

// TestTheTraceHasWhatTheSpecificationShows holds docs/tracing.md's table, which names a span for each segment of the specification's X-Ray
// traces, against the spans of two orders.
func TestTheTraceHasWhatTheSpecificationShows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "tracing.md"))
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, one := range []string{happyTree, declinedTree} {
		var above []string
		for _, line := range strings.Split(one, "\n") {
			name := strings.TrimLeft(line, " ")
			above = append(above[:(len(line)-len(name))/2], name)
			paths[strings.Join(above, " > ")] = true
		}
	}
	rows := 0
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.Contains(cells[2], "`") {
			continue
		}
		rows++
		path := strings.Trim(strings.TrimSpace(cells[2]), "`")
		found := false
		for p := range paths {
			found = found || strings.HasSuffix(p, path)
		}
		if !found {
			t.Errorf("%s: no trace has %q", strings.TrimSpace(cells[1]), path)
		}
	}
	if rows != 21 { // 13 segments of the happy path, 8 of the compensated one
		t.Errorf("the table has %d rows", rows)
	}
}

func TestATraceGoesOn(t *testing.T) {
	// within requires spans of a tree: as many of a name as it is named times, or more.
	within := func(t *testing.T, tr *tree, want ...string) {
		t.Helper()
		var names []string
		for _, s := range tr.spans {
			names = append(names, nameOf(s))
		}
		for _, name := range want {
			i := slices.Index(names, name)
			if i < 0 {
				t.Errorf("too few of %q in\n%s", name, tr)
				continue
			}
			names = slices.Delete(names, i, i+1)
		}
	}
	play := func(t *testing.T, fn func(t *testing.T, b *bubble) []string) {
		t.Helper()
		exported, tracer := newTracer(nil)
		inBubble(t, func(t *testing.T, b *bubble) {
			b.product("A", 5)
			stop := sync.OnceFunc(b.start())
			defer stop()
			want := fn(t, b)
			b.rest()
			stop()
			within(t, treeOf(t, exported.GetSpans(), callersTrace), want...)
		}, func(c *app.Config) { c.Tracer = tracer })
	}
	t.Run("over the retries of a task", func(t *testing.T) {
		play(t, func(t *testing.T, b *bubble) []string {
			b.call("PUT", "/admin/faults", apigen.Faults{Down: ptr(true), Only: ptr(apigen.FaultsOnlyOpen)}).is(http.StatusOK)
			b.accepted(request(visa, "A"), "Traceparent", traceparent)
			wait(2 * time.Second)
			b.call("PUT", "/admin/faults", apigen.Faults{}).is(http.StatusOK)
			return []string{
				"ChargePayment", "payment-handler !Transient", "payment-provider open !PaymentProviderUnavailable",
				"payment-handler !Transient", "payment-handler", "payment-provider capture", "ConfirmOrder", "Done",
			}
		})
	})
	t.Run("over an outcome that nobody knows", func(t *testing.T) {
		play(t, func(t *testing.T, b *bubble) []string {
			b.accepted(request(provider.Timeout, "A"), "Traceparent", traceparent)
			return []string{
				"ChargePayment !PaymentOutcomeUnknown", "payment-handler !PaymentOutcomeUnknown", "payment-provider capture !Transient",
				"circuit-breaker record failure", "ResolvePayment", "payment-handler", "payment-provider cancel", "ReleaseStock", "Done",
			}
		})
	})
	t.Run("over the receives of a message", func(t *testing.T) {
		play(t, func(t *testing.T, b *bubble) []string {
			sends := 0
			b.mail.refusing(func(notification.Email) error {
				if sends++; sends < 3 {
					return fault.New(fault.Transient, "busy")
				}
				return nil
			})
			b.accepted(request(visa, "A"), "Traceparent", traceparent)
			return []string{
				"send notifications", "notification-handler !Transient", "send e-mail !Transient", "notification-handler !Transient",
				"notification-handler", "send e-mail",
			}
		})
	})
	t.Run("over a redrive", func(t *testing.T) {
		play(t, func(t *testing.T, b *bubble) []string {
			failed, heal := b.failing("Traceparent", traceparent)
			b.call("PUT", "/admin/faults", apigen.Faults{}).is(http.StatusOK)
			wait(time.Minute)
			heal()
			b.call("POST", "/admin/sagas/"+failed+"/redrive", apigen.RedriveRequest{Reason: "reserved again"}).is(http.StatusAccepted)
			return []string{
				"start execution", "cloudflow-saga !HoldReleased", "CommitReservation !HoldReleased", "inventory-handler !HoldReleased",
				"cloudflow-saga", "Enter", "CommitReservation", "inventory-handler", "NotifyCustomer", "Done",
			}
		})
	})
	t.Run("over a cancel", func(t *testing.T) {
		play(t, func(t *testing.T, b *bubble) []string {
			b.call("PUT", "/admin/faults", apigen.Faults{LatencyMs: ptr[int64](1000)}).is(http.StatusOK)
			id := b.accepted(request(visa, "A"), "Traceparent", traceparent)
			wait(500 * time.Millisecond)
			b.call("POST", "/orders/"+id+"/cancel", struct{}{}, "Traceparent", traceparent).is(http.StatusAccepted)
			return []string{"cloudflow-saga", "ConfirmOrder !OrderCancelled", "payment-handler", "payment-provider refund", "Done", "POST /orders/{order_id}/cancel"}
		})
	})
	t.Run("over a commit whose reply was lost", func(t *testing.T) {
		for at := 1; at <= 4; at++ {
			play(t, func(t *testing.T, b *bubble) []string {
				b.faults.arm(at, true)
				b.accepted(request(visa, "A"), "Traceparent", traceparent)
				return []string{"cloudflow-saga", "ReserveStock", "ChargePayment", "NotifyCustomer", "Done"}
			})
		}
	})
	t.Run("over a restart", func(t *testing.T) {
		dir, id := t.TempDir(), ""
		var all tracetest.SpanStubs
		for run := range 2 {
			exported, traced := traces(t, nil)
			w := openWorld(t, dir, traced)
			if run == 0 {
				w.product("A", 5)
				w.call("PUT", "/admin/faults", apigen.Faults{Down: ptr(true), Only: ptr(apigen.FaultsOnlyOpen)}).is(http.StatusOK)
				id = w.accepted(request(visa, "A"), "Traceparent", traceparent)
				eventually(t, "the charge is tried", func() bool {
					return slices.ContainsFunc(exported.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name == "payment-handler" })
				})
			} else {
				w.outcome(id)
				w.rest()
			}
			w.end()
			all = append(all, exported.GetSpans()...)
		}
		within(t, treeOf(t, all, callersTrace), "POST /orders", "cloudflow-saga", "ReserveStock", "ChargePayment", "payment-handler !Transient",
			"payment-handler", "payment-provider capture", "Done")
	})
}

func TestWhatIsNotSampledIsNotTraced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sampler sdk.Sampler
		header  string
	}{
		"as the caller has decided":  {nil, strings.TrimSuffix(traceparent, "01") + "00"},
		"as the sampler has decided": {sdk.TraceIDRatioBased(0), traceparent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exported, traced := traces(t, c.sampler)
			w := newWorld(t, traced)
			w.product("A", 5)
			exported.Reset()
			id := w.accepted(request(visa, "A"), "Traceparent", c.header)
			w.outcome(id)
			eventually(t, "the saga ends", func() bool { return w.i.App.Engine.Open() == 0 })
			for _, s := range exported.GetSpans() {
				if s.SpanContext.TraceID().String() == callersTrace {
					t.Errorf("there is a span %s", s.Name)
				}
			}
			x, err := w.i.App.Engine.Describe(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if input, _ := x.Input.(map[string]any); input["trace"] != nil || input["order_id"] != id {
				t.Errorf("the saga's input is %v", input)
			}
		})
	}
}

// TestASpanHoldsNothingOfACustomers: ids, kinds and counts alone.
func TestASpanHoldsNothingOfACustomers(t *testing.T) {
	exported, tracer := newTracer(nil)
	inBubble(t, func(t *testing.T, b *bubble) {
		b.product("A", 2)
		stop := b.start()
		b.mail.refusing(func(e notification.Email) error { return fault.New(fault.ValidationFailed, "no mailbox %s", e.To) })
		for _, method := range []string{visa, provider.ChargeDeclined, provider.Timeout, provider.Slow, "pm_garbage"} {
			r := request(method, "A")
			r.Contact = &contact
			b.call("POST", "/orders", r, "Idempotency-Key", "my-secret-key-"+method)
		}
		b.rest()
		stop()
	}, func(c *app.Config) { c.Tracer = tracer })
	spans := exported.GetSpans()
	text, err := json.Marshal(spans)
	if err != nil || len(spans) < 100 {
		t.Fatalf("%d spans, %v", len(spans), err)
	}
	for _, secret := range []string{*contact.Email, *contact.Phone, "pm_", "cust-1", "my-secret-key", "no mailbox"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q stands in a span", secret)
		}
	}
}
