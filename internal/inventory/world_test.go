package inventory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

var ctx = context.Background()

// A world is the service over a store that can fail.
type world struct {
	*inventory.Service
	store    *faultyStore
	outcomes outcomes
	log      *bytes.Buffer
	now      time.Time
}

func newWorld() *world {
	w := &world{
		store:    &faultyStore{Store: memstore.New(memstore.Options{})},
		outcomes: outcomes{},
		log:      &bytes.Buffer{},
		now:      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	var mu sync.Mutex
	w.restart(slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: w.log}, nil)))
	return w
}

// restart is what a new process begins with: the store and nothing else.
func (w *world) restart(log *slog.Logger) {
	w.Service = inventory.New(inventory.Config{
		Store: w.store, Outcomes: w.outcomes, Now: func() time.Time { return w.now }, Log: log,
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (w *world) logged(message string) int {
	return strings.Count(w.log.String(), fmt.Sprintf("msg=%q", message))
}

// A faultyStore can lose one commit, or only the reply of one, and counts how often Update ran its function.
type faultyStore struct {
	*memstore.Store
	updates, runs atomic.Int64
	fails         atomic.Int64 // the number of the commit that fails, counted down; 0: none
	replyLost     bool         // it is applied, and only its reply is lost
}

var errLost = fault.New(fault.Transient, "the store went away")

func (s *faultyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	s.updates.Add(1)
	fails := s.fails.Load() > 0 && s.fails.Add(-1) == 0
	if fails && !s.replyLost {
		return errLost
	}
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		s.runs.Add(1)
		return fn(tx)
	})
	if fails && err == nil {
		return errLost
	}
	return err
}

// failNext makes the n-th commit from now fail.
func (s *faultyStore) failNext(n int64, replyLost bool) {
	s.replyLost = replyLost
	s.fails.Store(n)
}

type outcomes map[string]string

func (o outcomes) Outcome(_ context.Context, orderID string) (string, bool, error) {
	status, found := o[orderID]
	if status == "error" {
		return "", false, fault.New(fault.Unavailable, "away")
	}
	return status, found, nil
}

// A task is what all three have in common.
type task func(context.Context, inventory.Request) (store.Effect, error)

// do runs the task and makes its effect.
func (w *world) do(t task, orderID string, lines ...inventory.Line) (any, error) {
	effect, err := t(ctx, inventory.Request{OrderID: orderID, Lines: lines, CorrelationID: "corr-1"})
	if err != nil {
		return nil, err
	}
	return store.Commit(ctx, w.store, effect)
}

func (w *world) must(t *testing.T, task task, orderID string, lines ...inventory.Line) {
	t.Helper()
	if _, err := w.do(task, orderID, lines...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) refused(t *testing.T, kind fault.Kind, task task, orderID string, lines ...inventory.Line) *fault.Error {
	t.Helper()
	_, err := w.do(task, orderID, lines...)
	if !fault.Is(err, kind) {
		t.Fatalf("err = %v, want %s", err, kind)
	}
	var e *fault.Error
	errors.As(err, &e)
	return e
}

func (w *world) create(t *testing.T, id string, stock int64) {
	t.Helper()
	_, created, err := w.Put(ctx, inventory.PutProduct{ProductID: id, Name: "A " + id, UnitPriceCents: 999, Stock: &stock})
	if err != nil || !created {
		t.Fatalf("create %s: %v, %v", id, created, err)
	}
}

// expect compares a product's counters and then everything with the invariants.
func (w *world) expect(t *testing.T, id string, available, held, sold int64) {
	t.Helper()
	p, err := w.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if p.Available != available || p.Held != held || p.Sold != sold {
		t.Errorf("%s: available %d, held %d, sold %d; want %d, %d, %d", id, p.Available, p.Held, p.Sold, available, held, sold)
	}
	if err := w.check(); err != nil {
		t.Error(err)
	}
}

func (w *world) hold(t *testing.T, orderID string) inventory.Hold {
	t.Helper()
	it, err := w.store.Get(ctx, store.Key{Table: inventory.ReservationsTable, PK: orderID, SK: "hold"}, store.Strong)
	if err != nil || it == nil {
		t.Fatalf("the hold of %s: %v, %v", orderID, it, err)
	}
	h, err := inventory.DecodeHold(it)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// check holds the store against I1, and against the promise that the index has the active holds and no others.
func (w *world) check() error {
	held, sold := map[string]int64{}, map[string]int64{}
	stock := map[string]inventory.Stock{}
	active, indexed := map[string]bool{}, map[string]bool{}
	err := w.store.Dump(ctx, func(e store.Entry) error {
		switch {
		case e.Key.Table == inventory.ReservationsTable && strings.HasPrefix(e.Key.PK, "active#"):
			_, id, _ := strings.Cut(e.Key.SK, "#")
			indexed[id] = true
		case e.Key.Table == inventory.ReservationsTable:
			h, err := inventory.DecodeHold(e.Item)
			if err != nil {
				return err
			}
			for _, l := range h.Lines {
				switch h.State {
				case inventory.Active:
					held[l.ProductID] += l.Quantity
				case inventory.Committed:
					sold[l.ProductID] += l.Quantity
				}
			}
			if h.State == inventory.Active {
				active[e.Key.PK] = true
			}
		case e.Key.Table == inventory.Table && e.Key.SK == "stock" && !strings.Contains(e.Key.PK, "#"):
			st, err := inventory.DecodeStock(e.Item)
			if err != nil {
				return err
			}
			stock[e.Key.PK] = st
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, st := range stock {
		if st.Available < 0 || st.Initial+st.Restocked != st.Available+st.Held+st.Sold || st.Held != held[id] || st.Sold != sold[id] {
			return fmt.Errorf("I1: %s has %+v; the holds hold %d and sold %d", id, st, held[id], sold[id])
		}
	}
	if fmt.Sprint(active) != fmt.Sprint(indexed) {
		return fmt.Errorf("active are %v, the index has %v", active, indexed)
	}
	return nil
}

func line(id string, quantity int64) inventory.Line {
	return inventory.Line{ProductID: id, Quantity: quantity}
}
