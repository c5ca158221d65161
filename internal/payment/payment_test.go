package payment_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestCharge(t *testing.T) {
	inBubble(t, "one commit of its own beside the effect, one each at the provider", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		e, err := w.svc.Charge(t.Context(), w.charge("a"))
		if err != nil {
			t.Fatal(err)
		}
		if w.rows.Commits() != 1 || w.row().State != payment.Capturing {
			t.Fatalf("%d commits, %s", w.rows.Commits(), w.row().State)
		}
		result, err := store.Commit(t.Context(), w.rows, e)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(result)
		if want := `{"captured":true,"payment_id":"pay-01J","refunded_cents":0}`; string(got) != want {
			t.Fatalf("result %s, want %s", got, want)
		}
		if w.rows.Commits() != 2 || w.book.Commits() != 2 || w.row().State != payment.Captured {
			t.Fatalf("%d and %d commits, %s", w.rows.Commits(), w.book.Commits(), w.row().State)
		}
	})
	inBubble(t, "each method comes out as it should", func(t *testing.T) {
		for method, want := range map[string]struct {
			captured bool
			state    payment.State
		}{
			provider.Visa:           {true, payment.Captured},
			provider.ChargeDeclined: {false, payment.Declined},
			provider.Timeout:        {false, payment.Cancelled},
			provider.TimeoutCharged: {true, payment.Captured},
			provider.Late:           {false, payment.Cancelled},
			provider.Error:          {false, payment.Cancelled},
			provider.Slow:           {true, payment.Captured},
			"pm_unknown":            {false, payment.Declined},
		} {
			w := newWorld(t, method)
			start := time.Now()
			if got := w.pay(); got != want.captured || w.row().State != want.state {
				t.Fatalf("%s: captured %v, %s", method, got, w.row().State)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Fatalf("%s was settled after %v", method, d)
			}
			w.check(want.captured, false)
		}
	})
	inBubble(t, "a live lease keeps another attempt away, its own attempt takes over at once", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if _, err := w.svc.Charge(t.Context(), w.charge("a")); err != nil { // the effect is never committed
			t.Fatal(err)
		}
		_, err := w.do(charge, "b")
		wantKind(t, err, fault.Transient)
		if _, err := w.do(charge, "a"); err != nil {
			t.Fatal(err)
		}
		if row := w.row(); row.Epoch != 2 || row.State != payment.Captured {
			t.Fatalf("%+v", row)
		}
		w.check(true, false)
	})
	inBubble(t, "a lease that is over is taken over, and the old attempt's effect is refused", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		old, err := w.svc.Charge(t.Context(), w.charge("a"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		taken, err := w.svc.Charge(t.Context(), w.charge("b"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), w.rows, old)
		wantKind(t, err, fault.Transient)
		if _, err := store.Commit(t.Context(), w.rows, taken); err != nil {
			t.Fatal(err)
		}
		w.check(true, false)
	})
	inBubble(t, "a lease keeps another attempt away, unless it would for much longer than it was taken for: the clock was set back", func(t *testing.T) {
		for _, c := range []struct {
			task task
			paid bool // before
		}{{charge, false}, {refund, true}} {
			w := newWorld(t, provider.Visa)
			if c.paid {
				w.pay()
			}
			if _, err := c.task(w.svc, t.Context(), w.charge("a")); err != nil { // the process dies before its effect is committed
				t.Fatal(err)
			}
			for _, w.behind = range []time.Duration{0, time.Second} { // as the clocks of two machines differ
				_, err := w.do(c.task, "b")
				wantKind(t, err, fault.Transient)
			}
			w.behind = time.Hour
			if _, err := w.do(c.task, "b"); err != nil {
				t.Fatal(err)
			}
			w.check(true, c.paid)
		}
	})
	inBubble(t, "an effect is made once: the row has moved on", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		e, err := w.svc.Charge(t.Context(), w.charge("a"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Commit(t.Context(), w.rows, e); err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), w.rows, e)
		wantKind(t, err, fault.Transient)
	})
	inBubble(t, "an intent that lost against a resolve is no failure of the provider", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.trap.at, w.trap.mode = 2, paused // the commit of the intent
		w.trap.pause = func() { w.resolve() }
		_, err := w.do(charge, "a")
		wantKind(t, err, fault.Transient)
		if s, _ := w.circuit.State(t.Context()); s.Failures != 0 {
			t.Fatalf("%d failures", s.Failures)
		}
		w.check(false, false)
	})
	inBubble(t, "concurrent charges of one order capture once", func(t *testing.T) {
		w := newWorld(t, provider.Slow)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { _, _ = w.once(t.Context(), charge, string(rune('a'+i))) })
		}
		wg.Wait()
		w.check(w.pay(), false)
		if w.sim.Attempts().Capture != 1 {
			t.Fatalf("%d captures were asked for", w.sim.Attempts().Capture)
		}
	})
	inBubble(t, "a provider that certainly did nothing leaves no lease behind", func(t *testing.T) {
		for _, f := range []provider.Fault{{Only: "capture", Down: true}, {Only: "capture", Status: 429}} {
			w := newWorld(t, provider.Visa)
			if err := w.sim.SetFault(f); err != nil {
				t.Fatal(err)
			}
			_, err := w.do(charge, "a")
			want := fault.Transient
			if f.Status == 429 {
				want = fault.Throttled
			}
			wantKind(t, err, want)
			if err := w.sim.SetFault(provider.Fault{}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.do(charge, "b"); err != nil {
				t.Fatal(err)
			}
			w.check(true, false)
		}
	})
	inBubble(t, "an order whose total differs from the row's is a mismatch", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.pay()
		c := w.charge("b")
		c.AmountCents++
		_, err := w.svc.Charge(t.Context(), c)
		wantKind(t, err, fault.PaymentMismatch)
		_, err = w.svc.Resolve(t.Context(), c)
		wantKind(t, err, fault.PaymentMismatch)
	})
}

func TestCircuit(t *testing.T) {
	outage := func(t *testing.T, w *world, f provider.Fault) {
		t.Helper()
		if err := w.sim.SetFault(f); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, "five failures of the provider open it, and the sixth order does not ask", func(t *testing.T) {
		for _, f := range []provider.Fault{{Down: true}, {Status: 500}, {Status: 429}, {Hang: true}} {
			w := newWorld(t, provider.Visa)
			outage(t, w, f)
			for i := range 5 {
				c := w.charge("a")
				c.OrderID += string(rune('a' + i))
				_, err := w.svc.Charge(t.Context(), c)
				if !fault.Is(err, fault.Transient) && !fault.Is(err, fault.Throttled) {
					t.Fatal(err)
				}
			}
			before := w.sim.Attempts()
			_, err := w.svc.Charge(t.Context(), w.charge("a"))
			wantKind(t, err, fault.PaymentProviderUnavailable)
			if w.sim.Attempts() != before {
				t.Fatal("the provider was asked")
			}
			if w.row().State != payment.Refused {
				t.Fatalf("the row is %q: an earlier delivery of the charge would find the way free", w.row().State)
			}
		}
	})
	inBubble(t, "what an open circuit refused is refused for good: a charge that comes late captures nothing", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if err := w.circuit.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := w.do(charge, "a") // the saga compensates on this answer
		wantKind(t, err, fault.PaymentProviderUnavailable)
		if err := w.circuit.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = w.do(charge, "late")
		wantKind(t, err, fault.PaymentProviderUnavailable)
		w.check(false, false)
	})
	inBubble(t, "an open circuit refuses nothing that another attempt has begun", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if err := w.circuit.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.trap.at, w.trap.mode, w.trap.pause = 1, paused, func() { // between the refusal and its row
			if err := w.circuit.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.once(t.Context(), charge, "other"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.do(charge, "a")
		wantKind(t, err, fault.Transient)
		if !w.resolve() {
			t.Fatal("the capture was lost")
		}
		w.check(true, false)
	})
	inBubble(t, "declines do not open it", func(t *testing.T) {
		w := newWorld(t, provider.ChargeDeclined)
		for i := range 30 {
			c := w.charge("a")
			c.OrderID += string(rune('a' + i))
			_, err := w.svc.Charge(t.Context(), c)
			wantKind(t, err, fault.PaymentDeclined)
		}
	})
	inBubble(t, "a caller who takes its call back says nothing of the provider", func(t *testing.T) {
		w := newWorld(t, provider.Timeout)
		for i := range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			c := w.charge("a")
			c.OrderID += string(rune('a' + i))
			_, err := w.svc.Charge(ctx, c)
			wantKind(t, err, fault.PaymentOutcomeUnknown)
		}
		if err := w.circuit.Admit(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	inBubble(t, "an open circuit does not make a begun charge certain: resolve decides, and is not behind it", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if _, err := w.svc.Charge(t.Context(), w.charge("a")); err != nil { // captured, but the process died
			t.Fatal(err)
		}
		if err := w.circuit.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := w.do(charge, "a")
		wantKind(t, err, fault.PaymentOutcomeUnknown)
		if !w.resolve() {
			t.Fatal("the capture was lost")
		}
		w.check(true, false)
	})
	inBubble(t, "the refund waits for its own circuit", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.pay()
		outage(t, w, provider.Fault{Only: "refund", Status: 500})
		for range 5 {
			_, err := w.do(refund, "a")
			wantKind(t, err, fault.Transient)
		}
		_, err := w.do(refund, "a")
		wantKind(t, err, fault.PaymentProviderUnavailable)
		if err := w.circuit.Admit(t.Context()); err != nil {
			t.Fatal("the charge circuit opened too")
		}
		outage(t, w, provider.Fault{})
		w.refund()
		w.check(true, true)
	})
}

func TestResolve(t *testing.T) {
	inBubble(t, "without a row it refuses the charge that comes late, and asks nobody", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if w.resolve() || w.row().State != payment.Refused {
			t.Fatalf("%+v", w.row())
		}
		_, err := w.do(charge, "late")
		wantKind(t, err, fault.PaymentProviderUnavailable)
		if w.sim.Attempts() != (provider.Attempts{}) {
			t.Fatalf("%+v", w.sim.Attempts())
		}
		w.check(false, false)
	})
	inBubble(t, "it takes over a live lease", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		e, err := w.svc.Charge(t.Context(), w.charge("a"))
		if err != nil {
			t.Fatal(err)
		}
		if !w.resolve() {
			t.Fatal("the capture was lost")
		}
		_, err = store.Commit(t.Context(), w.rows, e)
		wantKind(t, err, fault.Transient)
		w.check(true, false)
	})
	inBubble(t, "while the provider is away it is tried again, never guessed", func(t *testing.T) {
		w := newWorld(t, provider.TimeoutCharged)
		_, err := w.do(charge, "a")
		wantKind(t, err, fault.PaymentOutcomeUnknown)
		for _, f := range []provider.Fault{{Down: true}, {Status: 503}, {Hang: true}, {LoseReplies: 1}} {
			if err := w.sim.SetFault(f); err != nil {
				t.Fatal(err)
			}
			_, err := w.do(resolve, "r")
			wantKind(t, err, fault.Transient)
			if w.row().State != payment.Cancelling {
				t.Fatalf("%s", w.row().State)
			}
		}
		_, err = w.do(charge, "late")
		wantKind(t, err, fault.PaymentOutcomeUnknown)
		if err := w.sim.SetFault(provider.Fault{}); err != nil {
			t.Fatal(err)
		}
		if !w.resolve() {
			t.Fatal("the capture was lost")
		}
		w.check(true, false)
	})
}

func TestRefund(t *testing.T) {
	inBubble(t, "it gives back nothing where nothing was captured, and no capture follows", func(t *testing.T) {
		for _, method := range []string{provider.ChargeDeclined, provider.Timeout, provider.Late, ""} {
			w := newWorld(t, method)
			if method != "" {
				_, _ = w.do(charge, "a")
			}
			result, err := w.retry(refund, "r", 3, fault.Transient)
			if err != nil || result["captured"] != false || result["refunded_cents"] != json.Number("0") {
				t.Fatalf("%s: %v, %v", method, result, err)
			}
			w.check(false, false)
		}
	})
	inBubble(t, "it settles an open capture first", func(t *testing.T) {
		w := newWorld(t, provider.TimeoutCharged)
		_, _ = w.do(charge, "a")
		w.refund()
		w.check(true, true)
	})
	inBubble(t, "a live lease keeps another refund away", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.pay()
		e, err := w.svc.Refund(t.Context(), w.charge("a"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.do(refund, "b")
		wantKind(t, err, fault.Transient)
		if _, err := store.Commit(t.Context(), w.rows, e); err != nil {
			t.Fatal(err)
		}
		w.refund()
		w.check(true, true)
	})
	inBubble(t, "a provider that denies the capture is a mismatch", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.pay()
		w.sim = provider.New(provider.Config{Store: memstore.New(memstore.Options{})})
		if _, err := w.sim.Open(t.Context(), payment.Intent{OrderID: orderID, AmountCents: total, Currency: "USD"}); err != nil {
			t.Fatal(err)
		}
		w.start()
		_, err := w.do(refund, "a")
		wantKind(t, err, fault.PaymentMismatch)
	})
}

// crooked answers receipts over other money.
type crooked struct {
	payment.Gateway
	change func(*payment.Receipt)
}

func (g crooked) Capture(ctx context.Context, id string) (payment.Receipt, error) {
	r, err := g.Gateway.Capture(ctx, id)
	g.change(&r)
	return r, err
}

func (g crooked) Cancel(ctx context.Context, id string) (payment.Cancellation, error) {
	c, err := g.Gateway.Cancel(ctx, id)
	g.change(&c.Receipt)
	return c, err
}

func (g crooked) Refund(ctx context.Context, id string) (payment.Receipt, error) {
	r, err := g.Gateway.Refund(ctx, id)
	g.change(&r)
	return r, err
}

func TestMismatch(t *testing.T) {
	for name, change := range map[string]func(*payment.Receipt){
		"amount":   func(r *payment.Receipt) { r.AmountCents++ },
		"currency": func(r *payment.Receipt) { r.Currency = "EUR" },
		"intent":   func(r *payment.Receipt) { r.IntentID = "pi-other" },
	} {
		inBubble(t, "a receipt over another "+name+" is never taken for the order's", func(t *testing.T) {
			w := newWorld(t, provider.Visa)
			bent := w.through(crooked{w.sim, change})
			straight := w.svc
			w.svc = bent
			_, err := w.do(charge, "a")
			wantKind(t, err, fault.PaymentMismatch)
			_, err = w.do(resolve, "a")
			wantKind(t, err, fault.PaymentMismatch)
			if s := w.row().State; s != payment.Cancelling {
				t.Fatalf("the row is %s", s)
			}
			w.svc = straight // a person has set it right
			if !w.resolve() {
				t.Fatal("the capture was lost")
			}
			w.svc = bent
			_, err = w.do(refund, "a")
			wantKind(t, err, fault.PaymentMismatch)
		})
	}
}

func TestNonsense(t *testing.T) {
	inBubble(t, "a receipt dated 1970 is a receipt: what was captured is refunded", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		w.svc = w.through(crooked{w.sim, func(r *payment.Receipt) { r.At = time.Unix(0, 0) }})
		if !w.pay() || w.row().CapturedCents != total {
			t.Fatalf("%+v", w.row())
		}
		w.refund()
		w.check(true, true)
	})
	for name, id := range map[string]string{"no id": "", "an id that is none": strings.Repeat("x", 1025)} {
		inBubble(t, "an intent with "+name+" is not captured", func(t *testing.T) {
			w := newWorld(t, provider.Visa)
			w.svc = w.through(misnamed{w.sim, id})
			_, err := w.do(charge, "a")
			wantKind(t, err, fault.Transient)
			if w.row().State != "" || w.sim.Attempts().Capture != 0 {
				t.Fatalf("%+v, %+v", w.row(), w.sim.Attempts())
			}
		})
	}
}

// through is the service over another gateway.
func (w *world) through(g payment.Gateway) *payment.Service {
	circuits := memstore.New(memstore.Options{})
	return payment.New(payment.Config{
		Store: w.rows, Gateway: g, Ledger: w.sim,
		ChargeBreaker: breaker.New(circuits, "c", breaker.Config{}), RefundBreaker: breaker.New(circuits, "r", breaker.Config{}),
	})
}

// misnamed answers Open with another id.
type misnamed struct {
	payment.Gateway
	id string
}

func (g misnamed) Open(ctx context.Context, in payment.Intent) (string, error) {
	_, err := g.Gateway.Open(ctx, in)
	return g.id, err
}

func TestShow(t *testing.T) {
	inBubble(t, "our row stands beside the provider's book", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		_, err := w.svc.Show(t.Context(), orderID)
		wantKind(t, err, fault.NotFound)
		w.pay()
		w.refund()
		v, err := w.svc.Show(t.Context(), orderID)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(v)
		at := `"2000-01-01T00:00:00Z"`
		want := `{"order_id":"ord-01J","status":"REFUNDED","payment_id":"pay-01J","captured_cents":4200,"refunded_cents":4200,` +
			`"provider":{"captured_cents":4200,"refunded_cents":4200,"entries":[{"type":"open","amount_cents":4200,"at":` + at +
			`},{"type":"capture","amount_cents":4200,"at":` + at + `},{"type":"refund","amount_cents":4200,"at":` + at + `}]}}`
		if string(got) != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	})
	inBubble(t, "an intent that only the provider knows is shown", func(t *testing.T) {
		w := newWorld(t, provider.Visa)
		if _, err := w.sim.Open(t.Context(), payment.Intent{OrderID: orderID, AmountCents: 1, Currency: "USD"}); err != nil {
			t.Fatal(err)
		}
		if v, err := w.svc.Show(t.Context(), orderID); err != nil || v.Status != "NONE" || len(v.Provider.Entries) != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
	})
}

func TestLog(t *testing.T) {
	inBubble(t, "what was committed is logged once, with its ids and without the method", func(t *testing.T) {
		for method, want := range map[string]string{
			provider.Visa:           "Payment charged",
			provider.ChargeDeclined: "Payment declined",
		} {
			var out bytes.Buffer
			w := newWorld(t, method)
			circuits := memstore.New(memstore.Options{})
			w.svc = payment.New(payment.Config{
				Store: w.rows, Gateway: w.sim, Ledger: w.sim, Log: slog.New(slog.NewJSONHandler(&out, nil)),
				ChargeBreaker: breaker.New(circuits, "c", breaker.Config{}), RefundBreaker: breaker.New(circuits, "r", breaker.Config{}),
			})
			captured := w.pay()
			if captured {
				w.refund()
			}
			text := out.String()
			if strings.Count(text, want) != 1 || strings.Contains(text, "pm_") {
				t.Fatal(text)
			}
			if captured && strings.Count(text, "Payment refunded") != 1 {
				t.Fatal(text)
			}
			for _, part := range []string{`"service":"payment_service.handler"`, `"payment_id":"pay-01J"`, `"order_id":"ord-01J"`, `"correlation_id":"corr-1"`} {
				if !strings.Contains(text, part) {
					t.Fatalf("%s is not in %s", part, text)
				}
			}
		}
	})
}
