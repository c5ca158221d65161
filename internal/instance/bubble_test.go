package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A bubble is the wired system over stores in memory, on the clock of testing/synctest: for what takes minutes, and for a store
// that fails. It is asked through the same HTTP handler, without the network.
type bubble struct {
	*app.App
	t            *testing.T
	ours, theirs *memstore.Store
	faults       *faultyStore
	mail         *mailbox
	handler      http.Handler
}

// inBubble runs fn in a bubble; nothing works there before start.
func inBubble(t *testing.T, fn func(t *testing.T, b *bubble), options ...func(*app.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, mail: newMailbox()}
		b.ours, b.theirs = memstore.New(memstore.Options{StaleReads: true}), memstore.New(memstore.Options{})
		b.faults = &faultyStore{Store: b.ours}
		keys, err := saga.NewKeys("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))})
		if err != nil {
			t.Fatal(err)
		}
		config := app.Config{
			Store: b.faults, Provider: b.theirs, SagaKeys: keys, ContactKeys: pii.NewMemoryKeys(),
			Sender: b.mail, NoContact: b.mail, Rand: rand.New(rand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler),
		}
		for _, o := range options {
			o(&config)
		}
		if b.App, err = app.New(config); err != nil {
			t.Fatal(err)
		}
		sagas, faults := instance.OperatorsView(b.App)
		b.handler = httpapi.New(httpapi.Config{
			Orders: instance.TracedOrders(b.Orders, config.Tracer), Tracer: config.Tracer, Products: b.Inventory, Payments: b.Payments, NewID: b.NewID, Sagas: sagas, Faults: faults,
			Tasks:       b.Engine,
			DeadLetters: notification.DeadLetters{Queue: b.DeadLetters()},
			Breakers:    []httpapi.Breaker{b.Breakers[app.ChargeBreaker], b.Breakers[app.RefundBreaker]},
		})
		fn(t, b)
	})
}

// start runs the system until the returned function is called.
func (b *bubble) start() (stop func()) { return b.running(b.Run) }

// running calls run until the returned function is called, which waits for its end.
func (b *bubble) running(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the system did not stop well: %v", err)
		}
	}
}

// call makes one HTTP call without a network.
func (b *bubble) call(method, path string, body any, headers ...string) answer {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, r)
	return answer{b.t, rec.Code, rec.Header(), rec.Body.Bytes()}
}

// accepted places an order and returns its id. As a client does, it repeats a call that was answered with "try again".
func (b *bubble) accepted(r apigen.OrderRequest, headers ...string) string {
	b.t.Helper()
	a := b.call("POST", "/orders", r, headers...)
	for range 20 {
		if a.status != http.StatusServiceUnavailable {
			break
		}
		wait(100 * time.Millisecond)
		a = b.call("POST", "/orders", r, headers...)
	}
	return into[apigen.OrderAccepted](a.is(http.StatusAccepted)).OrderID
}

// outcome waits until the order has ended, however long that takes in the bubble.
func (b *bubble) outcome(id string) apigen.Order {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 48*time.Hour)
	defer cancel()
	view, err := b.Orders.Wait(ctx, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.call("GET", "/orders/"+id+"?min_version="+strconv.FormatInt(view.Version, 10), nil).is(http.StatusOK).order()
}

// fault is what goes wrong with the provider from now on; the zero Fault: nothing.
func (b *bubble) fault(f provider.Fault) {
	b.t.Helper()
	if err := b.Provider.SetFault(f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) product(id string, stock int64) {
	b.t.Helper()
	_, _, err := b.Inventory.Put(b.t.Context(), inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: 1000, Stock: &stock})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) stock(id string, available, held, sold int64) {
	b.t.Helper()
	p, err := b.Inventory.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if p.Available != available || p.Held != held || p.Sold != sold {
		b.t.Fatalf("%s: available %d, held %d, sold %d; want %d, %d, %d", id, p.Available, p.Held, p.Sold, available, held, sold)
	}
}

// rest lets an hour pass and requires that nothing is under way any more, and every invariant holds.
func (b *bubble) rest() invariant.Report {
	b.t.Helper()
	wait(time.Hour)
	s := invariant.New()
	for _, book := range []struct {
		from *memstore.Store
		add  func(store.Entry) error
	}{{b.ours, s.Add}, {b.theirs, s.AddProvider}} {
		if err := book.from.Dump(b.t.Context(), book.add); err != nil {
			b.t.Fatal(err)
		}
	}
	r := s.Check(time.Now(), true)
	if len(r.Violations) > 0 || r.Open > 0 {
		b.t.Fatalf("at rest %d executions are open, and %v", r.Open, r.Violations)
	}
	return r
}

// keys are those of our items in a table.
func (b *bubble) keys(table string) []store.Key {
	b.t.Helper()
	var keys []store.Key
	err := b.ours.Dump(b.t.Context(), func(e store.Entry) error {
		if e.Key.Table == table {
			keys = append(keys, e.Key)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return keys
}

// A faultyStore fails one Update: it is not carried out, or it is and only its reply is lost.
type faultyStore struct {
	store.Store
	mu    sync.Mutex
	calls int
	at    int // which call, from 1; 0: none
	lost  bool
	fired bool
}

func (s *faultyStore) arm(at int, replyLost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.at, s.lost, s.fired = 0, at, replyLost, false
}

func (s *faultyStore) hit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.fired = s.fired || s.calls == s.at
	return s.calls == s.at
}

func (s *faultyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	hit := s.hit()
	if hit && !s.lost {
		return fault.New(fault.Transient, "simulated: not written")
	}
	err := s.Store.Update(ctx, fn)
	if hit && err == nil {
		return fault.New(fault.Transient, "simulated: written, and the reply lost")
	}
	return err
}
