package order

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestReplay(t *testing.T) {
	placed := func(t *testing.T) (*world, Placed) {
		w := newWorld(t, memstore.Options{})
		p, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		return w, p
	}
	same := func(t *testing.T, first, again Placed) {
		t.Helper()
		if !again.Replayed || again.OrderID != first.OrderID || again.Status != first.Status || !bytes.Equal(again.Body, first.Body) {
			t.Fatalf("got %+v, want %+v replayed", again, first)
		}
	}
	t.Run("the same key and body answer the same bytes, and nothing happens", func(t *testing.T) {
		w, first := placed(t)
		again, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, first, again)
		if w.index("customer#cust-1") != 1 || len(w.sagas.begun) != 1 {
			t.Fatal("something happened")
		}
		before, err := w.Replay(t.Context(), "key-1", "k1", [32]byte{1})
		if err != nil || before == nil {
			t.Fatalf("got %v, %v", before, err)
		}
		same(t, first, *before)
	})
	for name, spoil := range map[string]func(w *world, r *PlaceRequest){
		"the breaker is open":       func(w *world, _ *PlaceRequest) { w.breaker.err = fault.New(fault.PaymentProviderUnavailable, "open") },
		"the product is sold out":   func(w *world, _ *PlaceRequest) { w.catalog.quotes["LAPTOP-01"] = Quote{129_900, 0} },
		"the product is gone":       func(w *world, _ *PlaceRequest) { delete(w.catalog.quotes, "LAPTOP-01") },
		"prices cannot be read":     func(w *world, _ *PlaceRequest) { w.catalog.err = errors.New("no route") },
		"the rules have been drawn": func(_ *world, r *PlaceRequest) { r.Currency = "EUR" },
	} {
		t.Run("a replay is answered while "+name, func(t *testing.T) {
			w, first := placed(t)
			r := request("k1")
			spoil(w, &r)
			again, err := w.Place(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			same(t, first, again)
		})
	}
	t.Run("the same key with another body is refused, even if that body would be refused as well", func(t *testing.T) {
		w, _ := placed(t)
		r := request("k1")
		r.Fingerprint = [32]byte{2}
		_, err := w.Place(t.Context(), r)
		wantKind(t, err, fault.IdempotencyKeyReused)
		r.Lines = nil
		_, err = w.Place(t.Context(), r)
		wantKind(t, err, fault.IdempotencyKeyReused)
		_, err = w.Replay(t.Context(), "key-1", "k1", [32]byte{2})
		wantKind(t, err, fault.IdempotencyKeyReused)
	})
	t.Run("another principal's key is another key", func(t *testing.T) {
		w, first := placed(t)
		r := request("k1")
		r.Principal = "key-2"
		other, err := w.Place(t.Context(), r)
		if err != nil || other.Replayed || other.OrderID == first.OrderID {
			t.Fatalf("got %+v, %v", other, err)
		}
	})
	t.Run("an unknown key has no replay", func(t *testing.T) {
		w, _ := placed(t)
		if p, err := w.Replay(t.Context(), "key-1", "k2", [32]byte{1}); p != nil || err != nil {
			t.Fatalf("got %v, %v", p, err)
		}
	})
	t.Run("a malformed key is refused before anything else", func(t *testing.T) {
		w, _ := placed(t)
		for _, key := range []string{strings.Repeat("k", 256), "a b", "schlüssel", "\x7f", "a\n"} {
			r := request(key)
			r.Lines = nil
			_, err := w.Place(t.Context(), r)
			wantKind(t, err, fault.BadRequest)
			_, err = w.Replay(t.Context(), "key-1", key, [32]byte{1})
			wantKind(t, err, fault.BadRequest)
		}
		if _, err := w.Place(t.Context(), request(strings.Repeat("~", 255))); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a key whose time is over still answers while its order is not terminal, and is free afterwards", func(t *testing.T) {
		w, first := placed(t)
		w.pass(KeyTTL + time.Hour)
		again, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, first, again)
		if p, err := w.Replay(t.Context(), "key-1", "k1", [32]byte{1}); err != nil || p == nil {
			t.Fatalf("got %v, %v", p, err)
		}
		w.do(first.OrderID, fail)
		if p, err := w.Replay(t.Context(), "key-1", "k1", [32]byte{1}); err != nil || p != nil {
			t.Fatalf("got %v, %v", p, err)
		}
		fresh, err := w.Place(t.Context(), request("k1"))
		if err != nil || fresh.Replayed || fresh.OrderID == first.OrderID {
			t.Fatalf("got %+v, %v", fresh, err)
		}
	})
	t.Run("a terminal order's key answers for its 24 hours", func(t *testing.T) {
		w, first := placed(t)
		w.do(first.OrderID, fail)
		w.pass(KeyTTL - time.Second)
		again, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, first, again)
	})
}

func TestManyCallsWithOneKeyMakeOneOrder(t *testing.T) {
	for range 20 {
		w := newWorld(t, memstore.Options{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		fresh, bodies := 0, map[string]int{}
		for range 64 {
			wg.Go(func() {
				p, err := w.Place(context.Background(), request("k1"))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if !p.Replayed {
					fresh++
				}
				bodies[string(p.Body)]++
			})
		}
		wg.Wait()
		if fresh != 1 || len(bodies) != 1 || w.index("customer#cust-1") != 1 || len(w.sagas.begun) != 1 {
			t.Fatalf("%d fresh, %d bodies, %d orders", fresh, len(bodies), w.index("customer#cust-1"))
		}
	}
}

func TestTheLoserOfAKeyRaceIsNeverRefusedWhatIsStored(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	var won Placed
	inner := w.admission
	w.admission = admitFunc(func(ctx context.Context) error {
		w.admission = inner
		var err error
		if won, err = w.Place(ctx, request("k1")); err != nil { // the winner is stored while the loser is being admitted
			t.Fatal(err)
		}
		return fault.New(fault.PaymentProviderUnavailable, "the breaker has just opened")
	})
	lost, err := w.Place(t.Context(), request("k1"))
	if err != nil || !lost.Replayed || !bytes.Equal(lost.Body, won.Body) {
		t.Fatalf("got %+v, %v", lost, err)
	}
}

type admitFunc func(context.Context) error

func (f admitFunc) Admit(ctx context.Context) error { return f(ctx) }

func TestPlaceSurvivesACrashAtEveryWrite(t *testing.T) {
	for _, key := range []string{"", "k1"} {
		for _, replyLost := range []bool{false, true} {
			for n := 1; ; n++ {
				w := newWorld(t, memstore.Options{})
				w.flaky.crashAt(n, replyLost)
				p, err := w.Place(t.Context(), request(key))
				if err != nil || p.Replayed {
					t.Fatalf("got %+v, %v", p, err)
				}
				w.wantLog(p.OrderID, "ORDER_CREATED")
				if w.index("customer#cust-1") != 1 || len(w.sagas.begun) != 1 {
					t.Fatal("not exactly one order")
				}
				if !w.flaky.failed {
					break
				}
			}
		}
	}
	t.Run("a store that stays away is an error, and the key finds the order later", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		down := &downStore{Store: w.mem}
		w.store = down
		_, err := w.Place(t.Context(), request("k1"))
		wantKind(t, err, fault.Transient)
		down.up = true
		p, err := w.Place(t.Context(), request("k1"))
		if err != nil || !p.Replayed || w.index("customer#cust-1") != 1 {
			t.Fatalf("got %+v, %v", p, err)
		}
	})
}

// downStore applies the first transaction and loses all replies until it is up; nothing is read meanwhile.
type downStore struct {
	store.Store
	applied, up bool
}

func (d *downStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if d.up {
		return d.Store.Update(ctx, fn)
	}
	if !d.applied {
		d.applied = true
		_ = d.Store.Update(ctx, fn)
	}
	return errCrash
}

func (d *downStore) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	if !d.up {
		return nil, errCrash
	}
	return d.Store.Get(ctx, key, c)
}

func TestKeyRecord(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	p, err := w.Place(t.Context(), request("k1"))
	if err != nil {
		t.Fatal(err)
	}
	it, err := w.mem.Get(t.Context(), clientKey("key-1", "k1").Item(), store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	r := idempotency.Decode(it)
	if r.State != idempotency.Completed || r.Result.Ref != p.OrderID || !r.ExpiresAt.Equal(t0.Add(KeyTTL)) {
		t.Fatalf("got %+v", r)
	}
}
