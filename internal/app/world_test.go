package app_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const priceCents = 1000

// A world is the wired system over stores in memory, inside a bubble of testing/synctest.
type world struct {
	*app.App
	t            *testing.T
	ours, theirs *memstore.Store
	keys         *saga.Keys
	contacts     pii.Keys
	stop         func()

	mu     sync.Mutex
	skew   time.Duration // of the system's clock, against the bubble's
	broken string        // the task that fails for good: its name, and for order.record its event behind a space
	lie    lie
}

// A lie is what the provider's receipts say in place of the truth.
type lie struct {
	capture, refund func(*payment.Receipt)
}

// inWorld runs fn in a world with ten pieces of A on the shelf.
func inWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, ours: memstore.New(memstore.Options{StaleReads: true}), theirs: memstore.New(memstore.Options{})}
		w.keys, w.contacts = signingKeys(t, "k1", "k"), pii.NewMemoryKeys()
		w.start()
		pieces := int64(10)
		if _, _, err := w.Inventory.Put(t.Context(), inventory.PutProduct{ProductID: "A", Name: "A", UnitPriceCents: priceCents, Stock: &pieces}); err != nil {
			t.Fatal(err)
		}
		defer func() { w.stop() }()
		fn(w)
	})
}

func signingKeys(t *testing.T, id, letter string) *saga.Keys {
	t.Helper()
	keys, err := saga.NewKeys(id, map[string][]byte{id: []byte(strings.Repeat(letter, 32))})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// start is a process over what is stored.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.App, err = app.New(app.Config{
		Store: checkedStore{w.ours, w}, Provider: w.theirs, SagaKeys: w.keys, ContactKeys: w.contacts,
		Sender: silentSender{}, NoContact: silentSender{}, Rand: rand.New(rand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler),
		Gateway: func(g payment.Gateway) payment.Gateway { return lyingGateway{g, w} },
		Task:    w.task, Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = func() {
		w.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// sets moves the system's clock.
func (w *world) sets(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += by
}

// breaks makes a task fail for good, or no task.
func (w *world) breaks(task string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = task
}

// lies makes the provider answer so.
func (w *world) lies(l lie) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lie = l
}

func (w *world) task(name string, h saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		w.mu.Lock()
		broken := w.broken != "" && (w.broken == name || w.broken == name+" "+in.Event)
		w.mu.Unlock()
		if broken {
			return store.Effect{}, fault.New(fault.Internal, "this build cannot do %s", name)
		}
		return h(ctx, in)
	}
}

// place places an order of two pieces of A.
func (w *world) place(method string) (id string) {
	w.t.Helper()
	p, err := w.Orders.Place(w.t.Context(), order.PlaceRequest{
		CustomerID: "cust-1", Lines: []order.RequestLine{{ProductID: "A", Quantity: 2}}, PaymentMethod: method,
		IdempotencyKey: "key-" + method, Principal: "p", CorrelationID: "corr-1",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.OrderID
}

func (w *world) view(id string) order.View {
	w.t.Helper()
	v, err := w.Orders.Get(w.t.Context(), id, order.ViewQuery{MinVersion: 1 << 40})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) stock(available, held, sold int64) {
	w.t.Helper()
	p, err := w.Inventory.Get(w.t.Context(), "A")
	if err != nil || p.Available != available || p.Held != held || p.Sold != sold {
		w.t.Errorf("%+v, %v; want %d available, %d held, %d sold", p, err, available, held, sold)
	}
}

// check holds the invariants; at rest nothing is open and no message waits.
func (w *world) check(atRest bool) invariant.Report {
	w.t.Helper()
	s := invariant.New()
	for _, book := range []struct {
		from *memstore.Store
		add  func(store.Entry) error
	}{{w.ours, s.Add}, {w.theirs, s.AddProvider}} {
		if err := book.from.Dump(context.Background(), book.add); err != nil {
			w.t.Error(err)
		}
	}
	r := s.Check(w.now(), atRest)
	for _, v := range r.Violations {
		w.t.Errorf("at rest %v: %s", atRest, v)
	}
	return r
}

// edit changes an item behind everybody's back.
func (w *world) edit(key store.Key, change func(store.Item) store.Item) (before store.Item) {
	w.t.Helper()
	err := w.ours.Update(w.t.Context(), func(tx *store.Tx) error {
		it, err := tx.Get(key)
		before = it
		tx.Put(key, change(it))
		return err
	})
	if err != nil || before == nil {
		w.t.Fatalf("%s: %v, %v", key, before, err)
	}
	return before
}

// pass lets time pass, in which everything happens that is due.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// checkedStore holds what must hold at every commit.
type checkedStore struct {
	*memstore.Store
	w *world
}

func (s checkedStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if err == nil {
		s.w.check(false)
	}
	return err
}

type lyingGateway struct {
	payment.Gateway
	w *world
}

func (g lyingGateway) tell(r *payment.Receipt, of func(lie) func(*payment.Receipt)) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	if bend := of(g.w.lie); bend != nil {
		bend(r)
	}
}

func ofCapture(l lie) func(*payment.Receipt) { return l.capture }
func ofRefund(l lie) func(*payment.Receipt)  { return l.refund }

func (g lyingGateway) Capture(ctx context.Context, id string) (payment.Receipt, error) {
	r, err := g.Gateway.Capture(ctx, id)
	g.tell(&r, ofCapture)
	return r, err
}

func (g lyingGateway) Cancel(ctx context.Context, id string) (payment.Cancellation, error) {
	c, err := g.Gateway.Cancel(ctx, id)
	g.tell(&c.Receipt, ofCapture)
	return c, err
}

func (g lyingGateway) Refund(ctx context.Context, id string) (payment.Receipt, error) {
	r, err := g.Gateway.Refund(ctx, id)
	g.tell(&r, ofRefund)
	return r, err
}

type silentSender struct{}

func (silentSender) Name() string                                   { return "silent" }
func (silentSender) Send(context.Context, notification.Email) error { return nil }

var (
	visa     = provider.Visa
	declined = provider.ChargeDeclined
)
