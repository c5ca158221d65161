package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const day = 24 * time.Hour

// A world is the whole system over stores in memory, on a clock that a test sets forward while nothing runs.
type world struct {
	t            *testing.T
	ours, theirs *memstore.Store
	faults       *flakyStore
	sagaKeys     *saga.Keys
	contactKeys  pii.Keys
	app          *app.App // of the process that runs

	mu      sync.Mutex
	ahead   time.Duration
	failing bool // the saga's inventory.commit: a person is needed
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ours: memstore.New(memstore.Options{}), theirs: memstore.New(memstore.Options{})}
	w.faults = &flakyStore{Store: w.ours, committed: w.check}
	var err error
	if w.sagaKeys, err = saga.NewKeys("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))}); err != nil {
		t.Fatal(err)
	}
	w.contactKeys = pii.NewMemoryKeys()
	w.start()
	for _, id := range []string{"A", "B"} {
		stock := int64(100)
		if _, _, err := w.app.Inventory.Put(t.Context(), inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: 500, Stock: &stock}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// start wires a process over the stores.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.app, err = app.New(app.Config{
		Store: w.faults, Provider: w.theirs, SagaKeys: w.sagaKeys, ContactKeys: w.contactKeys,
		Sender: postbox{}, NoContact: postbox{}, Now: w.now, Log: slog.New(slog.DiscardHandler), Task: w.task,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) passes(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func (w *world) fails(failing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing = failing
}

func (w *world) task(name string, h saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		w.mu.Lock()
		failing := w.failing && name == "inventory.commit"
		w.mu.Unlock()
		if failing {
			return store.Effect{}, fault.New(fault.HoldReleased, "gone")
		}
		return h(ctx, in)
	}
}

type postbox struct{}

func (postbox) Name() string                                   { return "test" }
func (postbox) Send(context.Context, notification.Email) error { return nil }

// retention is a service as it is after a start.
func (w *world) retention() *retention.Service {
	return retention.New(retention.Config{
		Store: w.faults, Dump: w.ours, Engine: w.app.Engine, Now: w.now, Rest: func(context.Context, time.Duration) {},
	})
}

// run makes a run that ends well.
func (w *world) run() retention.Report {
	w.t.Helper()
	r, err := w.retention().Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// place places an order under its key.
func (w *world) place(key, method string) string {
	w.t.Helper()
	p, err := w.app.Orders.Place(w.t.Context(), order.PlaceRequest{
		CustomerID: "cust-1", PaymentMethod: method, IdempotencyKey: key, Principal: "p", Fingerprint: [32]byte{1},
		Lines:   []order.RequestLine{{ProductID: "A", Quantity: 2}, {ProductID: "B", Quantity: 1}},
		Contact: &order.Contact{Email: "ada@example.test"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.OrderID
}

// works lets a new process run until nothing is left to do.
func (w *world) works() {
	w.t.Helper()
	w.start()
	ctx, cancel := context.WithCancel(w.t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.app.Run(ctx) }()
	limit, tick := time.NewTimer(30*time.Second), time.NewTicker(time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for idle := false; !idle; {
		select {
		case <-limit.C:
			w.t.Fatal("the system does not come to rest")
		case <-tick.C:
		}
		// By what is stored: a process that has just started knows of nothing yet.
		if w.running() == 0 {
			stats, err := w.app.Queue.Stats(ctx)
			idle = err == nil && stats.Ready+stats.InFlight == 0
		}
	}
	cancel()
	if err := <-ran; err != nil {
		w.t.Fatal(err)
	}
}

// running is how many executions are open.
func (w *world) running() (n int) {
	w.t.Helper()
	err := w.ours.DumpTable(w.t.Context(), flow.Table, "open#", func(e store.Entry) error {
		if strings.HasPrefix(e.Key.PK, "open#") {
			n++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// check holds the stores against the invariants.
func (w *world) check() {
	w.t.Helper()
	s := invariant.New()
	if err := errors.Join(w.ours.Dump(context.Background(), s.Add), w.theirs.Dump(context.Background(), s.AddProvider)); err != nil {
		w.t.Fatal(err)
	}
	for _, v := range s.Check(w.now(), false).Violations {
		w.t.Errorf("verify: %s", v)
	}
}

// traces are the items in which an order's id, or its ULID, stands.
func (w *world) traces(id string) (found []string) {
	w.t.Helper()
	ulid := strings.TrimPrefix(id, "ord-")
	err := w.ours.Dump(w.t.Context(), func(e store.Entry) error {
		for _, a := range e.Item {
			if strings.Contains(a.Value.Text(), ulid) && e.Key.PK != "walks" {
				found = append(found, e.Key.String())
			}
		}
		if strings.Contains(e.Key.String(), ulid) {
			found = append(found, e.Key.String())
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// A flakyStore dies at its n-th commit, before it or after it, and checks the books after each.
type flakyStore struct {
	store.Store
	committed func()
	countdown int // 0: it never dies
	replyLost bool
	watched   bool // the books are checked
}

var errCrash = errors.New("the process died")

func (f *flakyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if !f.watched {
		return f.Store.Update(ctx, fn)
	}
	if f.countdown--; f.countdown == 0 && !f.replyLost {
		return errCrash
	}
	if err := f.Store.Update(ctx, fn); err != nil {
		return err
	}
	f.committed()
	if f.countdown == 0 {
		return errCrash
	}
	return nil
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	past := w.place("k1", provider.Visa)
	w.works()
	w.passes(23 * time.Hour)
	if r := w.run(); r != (retention.Report{}) {
		t.Errorf("after 23 hours: %+v", r)
	}
	open := w.place("k2", provider.Visa) // nothing works: it stays open
	w.passes(25 * time.Hour)
	if r := w.run(); r.Keys != 1 {
		t.Errorf("after two days: %+v", r)
	}
	keys := map[string]bool{}
	err := w.ours.DumpTable(t.Context(), idempotency.Table, "", func(e store.Entry) error {
		keys[idempotency.Decode(e.Item).Result.Ref] = true
		return nil
	})
	if err != nil || keys[past] || !keys[open] {
		t.Errorf("%v, the answers left are of %v", err, keys)
	}
	w.works()
	w.check()
}

func TestExecutions(t *testing.T) {
	w := newWorld(t)
	id := w.place("k1", provider.Visa)
	w.works()
	w.passes(91 * day)
	view, err := w.app.Orders.Get(t.Context(), id, order.ViewQuery{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("of past orders lose their journals, and the orders nothing", func(t *testing.T) {
		before := len(w.traces(id))
		if r := w.run(); r.Executions != 1 || r.Orders != 0 {
			t.Errorf("%+v", r)
		}
		if _, err := w.app.Engine.Describe(t.Context(), id); !fault.Is(err, fault.NotFound) {
			t.Errorf("its history: %v", err)
		}
		if status, err := w.app.Engine.Status(t.Context(), id); err != nil || status != "SUCCEEDED" {
			t.Errorf("its end: %s %v", status, err)
		}
		again, err := w.app.Orders.Get(t.Context(), id, order.ViewQuery{})
		if err != nil || fmt.Sprint(again) != fmt.Sprint(view) {
			t.Errorf("%+v %v, it was %+v", again, err, view)
		}
		if after := len(w.traces(id)); after >= before {
			t.Errorf("%d items, there were %d", after, before)
		}
		w.check()
	})
	t.Run("that are looked at again are not deleted again", func(t *testing.T) {
		if r := w.run(); r.Executions != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// inReview places an order whose saga fails, so that a person is asked to look at it.
func (w *world) inReview(key string) string {
	w.t.Helper()
	w.fails(true)
	id := w.place(key, provider.Visa)
	w.works()
	w.fails(false)
	if v, err := w.app.Orders.Get(w.t.Context(), id, order.ViewQuery{}); err != nil || !v.NeedsReview {
		w.t.Fatalf("%+v %v", v, err)
	}
	return id
}

func TestAnOrderThatWaitsForAPerson(t *testing.T) {
	w := newWorld(t)
	review := w.inReview("k1")
	other := w.place("k2", provider.Visa)
	w.works()
	w.passes(8 * 365 * day)
	traces := len(w.traces(review))
	if r := w.run(); r.Orders != 1 || r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
	if len(w.traces(other)) != 0 || len(w.traces(review)) < traces {
		t.Errorf("left of the past one: %v, of the one in review: %d of %d items", w.traces(other), len(w.traces(review)), traces)
	}
	if r, err := w.retention().Look(t.Context()); err != nil || r.Waiting != 1 || r.Orders+r.Executions != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := w.app.Orders.Redrive(t.Context(), review, "it is back", "ada", "corr-1"); err != nil {
		t.Fatal(err)
	}
	w.works()
	w.check()
	if r := w.run(); r.Orders != 1 || r.Waiting != 0 {
		t.Errorf("after the redrive: %+v", r)
	}
	if left := w.traces(review); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.check()
}

// An order that was resumed very often has more events than one commit deletes.
func TestAnOrderWithALongLog(t *testing.T) {
	w := newWorld(t)
	id := w.inReview("k1")
	for n := range 40 {
		w.fails(n < 39)
		if _, err := w.app.Orders.Redrive(t.Context(), id, "again", "ada", "corr-1"); err != nil {
			t.Fatal(err)
		}
		w.works()
	}
	w.fails(false)
	w.passes(8 * 365 * day)
	w.faults.watched = true
	if r := w.run(); r.Orders != 1 {
		t.Errorf("%+v", r)
	}
	if left := w.traces(id); len(left) > 0 {
		t.Errorf("left: %d items", len(left))
	}
}

// outcomes places orders of every kind, and lets eight years pass.
func (w *world) outcomes() (ids []string) {
	w.t.Helper()
	for i, method := range []string{provider.Visa, provider.ChargeDeclined, provider.Visa} {
		ids = append(ids, w.place(fmt.Sprint("k", i), method))
	}
	if _, err := w.app.Orders.Cancel(w.t.Context(), ids[2], order.CancelRequest{Actor: "ada", CorrelationID: "corr-1"}); err != nil {
		w.t.Fatal(err)
	}
	ids = append(ids, w.place("", provider.Visa))
	w.works()
	w.passes(8 * 365 * day)
	return ids
}

// stock is a product's counters.
func (w *world) stock(id string) inventory.Product {
	w.t.Helper()
	p, err := w.app.Inventory.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestOrders(t *testing.T) {
	w := newWorld(t)
	ids := w.outcomes()
	young := w.place("k9", provider.Visa)
	w.works()
	stock := w.stock("A")
	looked, err := w.retention().Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commits := w.ours.Commits()
	t.Run("a dry run writes nothing", func(t *testing.T) {
		if _, err := w.retention().Look(t.Context()); err != nil || w.ours.Commits() != commits {
			t.Errorf("%v, %d commits", err, w.ours.Commits()-commits)
		}
	})
	w.faults.watched = true
	done := w.run()
	w.faults.watched = false
	t.Run("are deleted with all that belongs to them, and the books agree after every commit", func(t *testing.T) {
		if done.Orders != int64(len(ids)) || done.Waiting != 0 {
			t.Errorf("%+v", done)
		}
		for _, id := range ids {
			if left := w.traces(id); len(left) > 0 {
				t.Errorf("left of %s: %v", id, left)
			}
			if _, err := w.app.Orders.Get(t.Context(), id, order.ViewQuery{}); !fault.Is(err, fault.NotFound) {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("were counted so before", func(t *testing.T) {
		if looked.Orders != done.Orders || looked.Keys != done.Keys {
			t.Errorf("looked at %+v, done %+v", looked, done)
		}
	})
	t.Run("leave the stock as it is, and what was sold is sold", func(t *testing.T) {
		if after := w.stock("A"); after != stock || stock.Sold != 6 {
			t.Errorf("%+v, it was %+v", after, stock)
		}
	})
	t.Run("leave a younger order alone", func(t *testing.T) {
		if v, err := w.app.Orders.Get(t.Context(), young, order.ViewQuery{}); err != nil || v.Status != order.Confirmed {
			t.Errorf("%+v %v", v, err)
		}
	})
	t.Run("stay in the provider's book, which knows captures of orders that are no more", func(t *testing.T) {
		found := 0
		err := w.theirs.Dump(t.Context(), func(e store.Entry) error {
			if e.Key.PK == ids[0] {
				found++
			}
			return nil
		})
		if err != nil || found == 0 {
			t.Errorf("%d items, %v", found, err)
		}
	})
	t.Run("are no excuse for a younger capture of nobody's order", func(t *testing.T) {
		err := w.ours.Update(t.Context(), func(tx *store.Tx) error { tx.Delete(order.HeadKey(young)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		s := invariant.New()
		if err := errors.Join(w.ours.Dump(t.Context(), s.Add), w.theirs.Dump(t.Context(), s.AddProvider)); err != nil {
			t.Fatal(err)
		}
		if len(s.Check(w.now(), false).Violations) == 0 {
			t.Error("verify is silent")
		}
	})
}

func TestRetentionSurvivesACrashAtEveryWrite(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for n := 1; ; n++ {
			if n > 200 {
				t.Fatal("it has no end")
			}
			w := newWorld(t)
			ids := w.outcomes()
			w.faults.watched, w.faults.countdown, w.faults.replyLost = true, n, replyLost
			_, err := w.retention().Run(t.Context())
			crashed := errors.Is(err, errCrash)
			if err != nil && !crashed {
				t.Fatal(err)
			}
			w.faults.countdown = 0
			w.run() // another process
			for _, id := range ids {
				if left := w.traces(id); len(left) > 0 {
					t.Errorf("write %d: left of %s: %v", n, id, left)
				}
			}
			if !crashed {
				break
			}
		}
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.outcomes()
	t.Run("is made once at a time", func(t *testing.T) {
		var s *retention.Service
		var second error
		s = retention.New(retention.Config{
			Store: w.faults, Dump: hooked{w.ours, func() { _, second = s.Run(t.Context()) }}, Engine: w.app.Engine, Now: w.now,
			Rest: func(context.Context, time.Duration) {},
		})
		if _, err := s.Run(t.Context()); err != nil || !fault.Is(second, fault.Unavailable) {
			t.Errorf("%v, the second: %v", err, second)
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.retention().Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// hooked calls a function at each dump.
type hooked struct {
	store.Dumper
	call func()
}

func (h hooked) DumpTable(ctx context.Context, table, from string, fn func(store.Entry) error) error {
	h.call()
	return h.Dumper.DumpTable(ctx, table, from, fn)
}
