package payment_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const (
	orderID = "ord-01J"
	total   = int64(4200)
)

// A world is the payment service, its store and a provider, with a trap at one of the steps that leave the process:
// each commit and each call of the provider.
type world struct {
	t       *testing.T
	rows    *memstore.Store
	book    *memstore.Store
	sim     *provider.Simulator
	trap    *trap
	circuit *breaker.Breaker
	svc     *payment.Service
	method  string
	behind  time.Duration // of our clock, behind the provider's
}

func newWorld(t *testing.T, method string) *world {
	w := &world{
		t: t, rows: memstore.New(memstore.Options{}), book: memstore.New(memstore.Options{}),
		trap: &trap{}, method: method,
	}
	w.sim = provider.New(provider.Config{Store: w.book})
	w.start()
	return w
}

// start is a process: it keeps nothing of the one before but the stores.
func (w *world) start() {
	circuits := memstore.New(memstore.Options{})
	w.circuit = breaker.New(circuits, "payment-charge", breaker.Config{})
	w.svc = payment.New(payment.Config{
		Store: w.store(), Gateway: trapGateway{w.sim, w.trap}, Ledger: w.sim,
		ChargeBreaker: w.circuit,
		RefundBreaker: breaker.New(circuits, "payment-refund", breaker.Config{}),
		Log:           slog.New(slog.DiscardHandler),
		Now:           func() time.Time { return time.Now().Add(-w.behind) },
	})
}

func (w *world) store() store.Store { return trapStore{w.rows, w.trap} }

func (w *world) charge(attempt string) payment.Charge {
	return payment.Charge{
		OrderID: orderID, AmountCents: total, Currency: "USD", Method: w.method,
		CorrelationID: "corr-1", Attempt: attempt,
	}
}

type task func(*payment.Service, context.Context, payment.Charge) (store.Effect, error)

var (
	charge  task = (*payment.Service).Charge
	resolve task = (*payment.Service).Resolve
	refund  task = (*payment.Service).Refund
)

type trapped struct{}

// do runs the task and its effect, and starts the process again, with the same attempt, if it fell into the trap.
func (w *world) do(f task, attempt string) (map[string]any, error) {
	ctx := context.WithValue(w.t.Context(), trapped{}, true)
	for {
		result, err := w.once(ctx, f, attempt)
		if !w.trap.crashed {
			return result, err
		}
		w.trap.crashed = false
		w.start()
	}
}

func (w *world) once(ctx context.Context, f task, attempt string) (map[string]any, error) {
	e, err := f(w.svc, ctx, w.charge(attempt))
	if err != nil {
		return nil, err
	}
	result, err := store.Commit(ctx, w.store(), e)
	if err != nil {
		return nil, err
	}
	return result.(map[string]any), nil
}

// retry runs the task as the saga does: again after the errors that it retries.
func (w *world) retry(f task, name string, times int, kinds ...fault.Kind) (map[string]any, error) {
	for i := 0; ; i++ {
		result, err := w.do(f, name+"."+strconv.Itoa(i))
		again := false
		for _, k := range kinds {
			again = again || fault.Is(err, k)
		}
		if !again || i == times {
			return result, err
		}
		time.Sleep(8 * time.Second)
	}
}

// pay is ChargePayment and ResolvePayment of the saga. It reports whether the order is confirmed.
func (w *world) pay() bool {
	w.t.Helper()
	result, err := w.retry(charge, "charge", 6, fault.Transient, fault.Throttled)
	switch fault.KindOf(err) {
	case "":
		return result["captured"] == true
	case fault.PaymentDeclined, fault.PaymentProviderUnavailable:
		return false
	}
	return w.resolve()
}

func (w *world) resolve() bool {
	w.t.Helper()
	result, err := w.retry(resolve, "resolve", 60, fault.Transient, fault.Throttled, fault.PaymentProviderUnavailable)
	if err != nil {
		w.t.Fatalf("resolve: %v", err)
	}
	return result["captured"] == true
}

func (w *world) refund() {
	w.t.Helper()
	result, err := w.retry(refund, "refund", 60, fault.Transient, fault.Throttled, fault.PaymentProviderUnavailable)
	if err != nil || result["refunded_cents"] != json.Number("4200") || result["captured"] != true {
		w.t.Fatalf("refund: %v, %v", result, err)
	}
}

// check holds the provider's book, an hour later, to what the saga was told, and our row to the book.
func (w *world) check(captured, refunded bool) {
	w.t.Helper()
	time.Sleep(time.Hour)
	books := provider.Books{Now: time.Now(), Each: func(a provider.Account) error {
		if a.Captures > 1 || a.RefundedCents > a.CapturedCents {
			w.t.Errorf("the book breaks its rules: %+v", a)
		}
		return nil
	}}
	if err := errors.Join(w.book.Dump(w.t.Context(), books.Add), books.Close()); err != nil {
		w.t.Fatal(err)
	}
	v, err := w.sim.Ledger(w.t.Context(), orderID)
	if err != nil {
		w.t.Fatal(err)
	}
	want := func(yes bool) int64 {
		if yes {
			return total
		}
		return 0
	}
	if v.CapturedCents != want(captured) || v.RefundedCents != want(refunded) {
		w.t.Fatalf("told captured %v, refunded %v; the provider's book: %+v", captured, refunded, v)
	}
	if row := w.row(); row.State != "" && (row.CapturedCents != v.CapturedCents || row.RefundedCents != v.RefundedCents) {
		w.t.Fatalf("our row %+v, the provider's book %+v", row, v)
	}
}

func (w *world) row() payment.Row {
	w.t.Helper()
	key := payment.Key(orderID)
	it, err := w.rows.Get(w.t.Context(), key, store.Strong)
	if err != nil {
		w.t.Fatal(err)
	}
	row, err := payment.DecodeRow(store.Entry{Key: key, Item: it})
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

// A trap is what happens at the n-th step.
type trap struct {
	mu      sync.Mutex
	at      int // 0: never
	mode    string
	pause   func()
	steps   int
	crashed bool
}

const (
	crashBefore = "a crash before it"
	crashAfter  = "a crash after it"
	fails       = "its failure"
	replyLost   = "its reply lost"
	paused      = "a long pause before it"
)

var errCrash = errors.New("the process died")

func (tr *trap) sprung() bool { return tr.at > 0 && tr.steps >= tr.at }

func (tr *trap) step(ctx context.Context, lost error, do func() error) error {
	if ctx.Value(trapped{}) == nil {
		return do()
	}
	tr.mu.Lock()
	if tr.crashed {
		tr.mu.Unlock()
		return errCrash
	}
	tr.steps++
	hit := tr.steps == tr.at
	if hit && (tr.mode == crashBefore || tr.mode == crashAfter) {
		tr.crashed = true
	}
	tr.mu.Unlock()
	if !hit {
		return do()
	}
	switch tr.mode {
	case crashBefore:
		return errCrash
	case crashAfter:
		_ = do()
		return errCrash
	case fails:
		return lost
	case replyLost:
		_ = do()
		return lost
	}
	tr.pause()
	return do()
}

type trapStore struct {
	store.Store
	trap *trap
}

func (s trapStore) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	s.trap.mu.Lock()
	crashed := s.trap.crashed && ctx.Value(trapped{}) != nil
	s.trap.mu.Unlock()
	if crashed {
		return nil, errCrash
	}
	return s.Store.Get(ctx, key, c)
}

func (s trapStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	return s.trap.step(ctx, fault.New(fault.Transient, "the store does not answer"), func() error { return s.Store.Update(ctx, fn) })
}

type trapGateway struct {
	payment.Gateway
	trap *trap
}

var errLost = errors.New("the connection broke")

func (g trapGateway) Open(ctx context.Context, in payment.Intent) (id string, err error) {
	err = g.trap.step(ctx, errLost, func() error { id, err = g.Gateway.Open(ctx, in); return err })
	return id, err
}

func (g trapGateway) Capture(ctx context.Context, id string) (r payment.Receipt, err error) {
	err = g.trap.step(ctx, errLost, func() error { r, err = g.Gateway.Capture(ctx, id); return err })
	return r, err
}

func (g trapGateway) Cancel(ctx context.Context, id string) (c payment.Cancellation, err error) {
	err = g.trap.step(ctx, errLost, func() error { c, err = g.Gateway.Cancel(ctx, id); return err })
	return c, err
}

func (g trapGateway) Refund(ctx context.Context, id string) (r payment.Receipt, err error) {
	err = g.trap.step(ctx, errLost, func() error { r, err = g.Gateway.Refund(ctx, id); return err })
	return r, err
}

var methods = []string{
	provider.Visa, provider.ChargeDeclined, provider.Timeout, provider.TimeoutCharged,
	provider.Late, provider.Error, provider.Slow, "pm_unknown",
}

func inBubble(t *testing.T, rule string, f func(t *testing.T)) {
	t.Helper()
	t.Run(rule, func(t *testing.T) { synctest.Test(t, f) })
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Fatalf("error %v, want the kind %q", err, want)
	}
}
