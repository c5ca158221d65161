package order

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// limited asks for an order of a caller that may have so many open.
func limited(caller, key string, limit int) PlaceRequest {
	r := request(key)
	r.Principal, r.OpenLimit = caller, limit
	return r
}

func (w *world) placeAs(caller string, limit int) (string, error) {
	p, err := w.Place(context.Background(), limited(caller, "", limit))
	return p.OrderID, err
}

func (w *world) mustPlaceAs(caller string, limit int) string {
	w.t.Helper()
	id, err := w.placeAs(caller, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// open is the caller's counter, which must agree with the rows that name it.
func (w *world) open(caller string) int64 {
	w.t.Helper()
	it, err := w.mem.Get(context.Background(), holderKey(caller), store.Strong)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := int64(0)
	for n := range shards {
		entries, err := w.mem.Range(context.Background(), store.Query{Table: Table, PK: openPartition(n)})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			if DecodeOpenRow(e.Item).Holder == caller {
				rows++
			}
		}
	}
	if n := OpenCount(it); n != rows {
		w.t.Fatalf("the counter of %s says %d, the rows %d", caller, n, rows)
	}
	return rows
}

func TestACallersOpenOrdersAreLimited(t *testing.T) {
	t.Run("one too many is refused with the limit, stores nothing, and is no other caller's matter", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for range 3 {
			w.mustPlaceAs("ada", 3)
		}
		before := w.mem.Commits()
		_, err := w.placeAs("ada", 3)
		if e := wantKind(t, err, fault.TooManyOpenOrders); e.Details["limit"] != int64(3) {
			t.Errorf("details %v", e.Details)
		}
		if w.mem.Commits() != before || w.open("ada") != 3 {
			t.Errorf("%d commits, %d open", w.mem.Commits()-before, w.open("ada"))
		}
		w.mustPlaceAs("bob", 3)
	})
	t.Run("whoever has no limit is not counted", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for range 5 {
			w.mustPlaceAs("ops", 0)
		}
		if n := w.open("ops"); n != 0 {
			t.Errorf("%d", n)
		}
	})
	t.Run("an order whose saga has ended gives its place back, once however often its end is told", func(t *testing.T) {
		for name, commands := range map[string][]command{
			"refused":     {fail, notify, notify},
			"confirmed":   {reserve, confirm, notify, notify},
			"compensated": {reserve, decline, compensate, notify, notify, notify},
			"cancelled":   {cancel, compensate, notify},
			"redriven":    {reserve, review, redrive, confirm, notify, notify},
		} {
			w := newWorld(t, memstore.Options{})
			id := w.mustPlaceAs("ada", 2)
			w.mustPlaceAs("ada", 2)
			if w.do(id, commands...); w.open("ada") != 1 {
				t.Errorf("%s: %d open", name, w.open("ada"))
			}
			w.mustPlaceAs("ada", 2)
		}
	})
	t.Run("an order that waits for a person keeps its place: its stock is held", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.do(w.mustPlaceAs("ada", 1), reserve, review)
		_, err := w.placeAs("ada", 1)
		wantKind(t, err, fault.TooManyOpenOrders)
	})
	t.Run("a place that was given back is not taken again by a resume after the end", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.mustPlaceAs("ada", 1)
		w.do(id, reserve, confirm, notify, review, redrive)
		if n := w.open("ada"); n != 0 {
			t.Errorf("%d open", n)
		}
		if w.do(id, notify); w.open("ada") != 0 {
			t.Errorf("%d open", w.open("ada"))
		}
	})
	t.Run("the sweeper gives back what the saga's end left", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.mustPlaceAs("ada", 1)
		w.do(id, fail)
		w.sagas.end(id, "SUCCEEDED", "Done")
		w.pass(sweepAge)
		if w.sweep(); w.open("ada") != 0 {
			t.Errorf("%d open", w.open("ada"))
		}
	})
	t.Run("a replay is answered though all places are taken, and takes none", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		first, err := w.Place(t.Context(), limited("ada", "k", 1))
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.Place(t.Context(), limited("ada", "k", 1))
		if err != nil || !again.Replayed || again.OrderID != first.OrderID || w.open("ada") != 1 {
			t.Errorf("%+v, %v", again, err)
		}
	})
	t.Run("a limit that is lowered refuses until enough have ended", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		ids := []string{w.mustPlaceAs("ada", 9), w.mustPlaceAs("ada", 9), w.mustPlaceAs("ada", 9)}
		for _, id := range ids[:2] {
			_, err := w.placeAs("ada", 2)
			wantKind(t, err, fault.TooManyOpenOrders)
			w.do(id, fail, notify)
		}
		w.mustPlaceAs("ada", 2)
	})
	t.Run("callers who come at once get exactly as many as there are places, the first of all too", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		var placed, refused atomic.Int64
		var all sync.WaitGroup
		for n := range 64 {
			all.Go(func() {
				for range 100 { // a lost race is tried again
					_, err := w.Place(context.Background(), limited("ada", "k"+strconv.Itoa(n), 10))
					switch {
					case err == nil:
						placed.Add(1)
					case fault.Is(err, fault.TooManyOpenOrders):
						refused.Add(1)
					case fault.Is(err, fault.Transient):
						continue
					default:
						t.Error(err)
					}
					return
				}
			})
		}
		all.Wait()
		if placed.Load() != 10 || refused.Load() != 54 || w.open("ada") != 10 {
			t.Errorf("%d placed, %d refused, %d open", placed.Load(), refused.Load(), w.open("ada"))
		}
	})
	t.Run("a crash before or after the commit leaves row and counter in agreement", func(t *testing.T) {
		for _, replyLost := range []bool{false, true} {
			w := newWorld(t, memstore.Options{})
			w.mustPlaceAs("ada", 2)
			w.flaky.crashAt(1, replyLost)
			id := w.mustPlaceAs("ada", 2)
			if n := w.open("ada"); n != 2 {
				t.Errorf("reply lost %v: %d open", replyLost, n)
			}
			w.do(id, fail)
			w.flaky.crashAt(1, replyLost)
			if err := notify.do(w, id); err == nil {
				t.Error("no crash")
			}
			if w.do(id, notify); w.open("ada") != 1 {
				t.Errorf("reply lost %v: %d open", replyLost, w.open("ada"))
			}
		}
	})
}
