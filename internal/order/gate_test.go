package order

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A fakeGate is shut, or counts who is within.
type fakeGate struct {
	shut   bool
	within atomic.Int64
	passed int
}

func (g *fakeGate) Enter() error {
	if g.shut {
		return fault.New(fault.Overloaded, "later").With("retry_after_seconds", int64(7))
	}
	g.within.Add(1)
	g.passed++
	return nil
}

func (g *fakeGate) Leave() { g.within.Add(-1) }

// A watchedSagas calls when a saga begins.
type watchedSagas struct {
	*fakeSagas
	begins func()
}

func (s watchedSagas) Begin(execution string) {
	s.begins()
	s.fakeSagas.Begin(execution)
}

// An awayStore takes nothing.
type awayStore struct{ store.Store }

func (awayStore) Update(context.Context, func(*store.Tx) error) error {
	return fault.New(fault.Unavailable, "down")
}

func gated(t *testing.T) (*world, *fakeGate) {
	w, g := newWorld(t, memstore.Options{}), &fakeGate{}
	w.gate = g
	return w, g
}

func TestTheGate(t *testing.T) {
	t.Run("a new order is refused before anything is read or stored", func(t *testing.T) {
		w, g := gated(t)
		g.shut = true
		w.catalog.err = errors.New("it was asked for prices")
		for _, key := range []string{"", "k1"} {
			_, err := w.Place(t.Context(), request(key))
			if e := wantKind(t, err, fault.Overloaded); e.Details["retry_after_seconds"] != int64(7) {
				t.Errorf("%v", e.Details)
			}
		}
		if w.mem.Commits() != 0 || len(w.sagas.begun) != 0 {
			t.Error("something was stored")
		}
	})
	t.Run("a key that was accepted before has its stored answer, and another body under it is refused as such", func(t *testing.T) {
		w, g := gated(t)
		first, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		g.shut = true
		again, err := w.Place(t.Context(), request("k1"))
		if err != nil || !again.Replayed || again.OrderID != first.OrderID || string(again.Body) != string(first.Body) {
			t.Errorf("%+v %v", again, err)
		}
		other := request("k1")
		other.Fingerprint[0]++
		_, err = w.Place(t.Context(), other)
		wantKind(t, err, fault.IdempotencyKeyReused)
	})
	t.Run("a key that was refused is free: it makes an order when there is room", func(t *testing.T) {
		w, g := gated(t)
		g.shut = true
		_, err := w.Place(t.Context(), request("k1"))
		wantKind(t, err, fault.Overloaded)
		g.shut = false
		if p, err := w.Place(t.Context(), request("k1")); err != nil || p.Replayed {
			t.Errorf("%+v %v", p, err)
		}
	})
	t.Run("what cannot be an order is told so, full or not", func(t *testing.T) {
		w, g := gated(t)
		g.shut = true
		r := request("")
		r.Lines[0].Quantity = 0
		_, err := w.Place(t.Context(), r)
		wantKind(t, err, fault.ValidationFailed)
	})
	t.Run("who was let in leaves, whatever became of it, and not before its saga has begun", func(t *testing.T) {
		w, g := gated(t)
		during := int64(-1)
		w.saga = watchedSagas{w.sagas, func() { during = g.within.Load() }}
		w.place()
		if during != 1 {
			t.Errorf("%d were within when the saga began", during)
		}
		for n, spoil := range []func(){
			func() { w.catalog.err = errors.New("no route") },
			func() { w.catalog.err = nil; w.breaker.err = fault.New(fault.PaymentProviderUnavailable, "open") },
			func() { w.breaker.err = nil; w.flaky.Store = awayStore{w.mem} },
		} {
			spoil()
			if _, err := w.Place(t.Context(), request(fmt.Sprint("k", n))); err == nil {
				t.Errorf("%d is stored", n)
			}
		}
		if g.passed != 4 || g.within.Load() != 0 {
			t.Errorf("%d were let in, %d have not left", g.passed, g.within.Load())
		}
	})
	t.Run("nor does it matter how it ended: by a panic, or with its caller's patience", func(t *testing.T) {
		w, g := gated(t)
		w.catalog.asked = func() { panic("a bug") }
		func() {
			defer func() { _ = recover() }()
			_, _ = w.Place(t.Context(), request(""))
		}()
		ctx, leave := context.WithCancel(t.Context())
		w.catalog.asked = leave
		if _, err := w.Place(ctx, request("")); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if g.passed != 2 || g.within.Load() != 0 {
			t.Errorf("%d were let in, %d have not left", g.passed, g.within.Load())
		}
	})
	t.Run("an operator's redrive does not pass it", func(t *testing.T) {
		w, g := gated(t)
		id := w.place()
		w.sagas.end(id, "FAILED", "ConfirmOrder")
		w.stageReview(id, id, "FAILED")
		g.shut = true
		if _, err := w.Redrive(t.Context(), id, "repaired", "key-admin", "corr-3"); err != nil {
			t.Error(err)
		}
	})
}
