package inventory_test

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestReserve(t *testing.T) {
	t.Run("it holds every line", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.create(t, "b", 10)
		result, err := w.do(w.Reserve, "ord-1", line("b", 2), line("a", 3))
		if err != nil || !reflect.DeepEqual(result, map[string]any{"reservation_id": "res-1"}) {
			t.Fatalf("result %v, %v", result, err)
		}
		w.expect(t, "a", 7, 3, 0)
		w.expect(t, "b", 8, 2, 0)
		h := w.hold(t, "ord-1")
		want := inventory.Hold{
			State: inventory.Active, ReservationID: "res-1", CreatedAt: w.now, CorrelationID: "corr-1",
			Lines: []inventory.Line{line("a", 3), line("b", 2)},
		}
		if !reflect.DeepEqual(h, want) {
			t.Errorf("hold = %+v", h)
		}
	})
	t.Run("lines of one product count as one", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.create(t, "b", 10)
		w.refused(t, fault.InsufficientStock, w.Reserve, "ord-0", line("a", 6), line("b", 1), line("a", 6))
		given := []inventory.Line{line("a", 4), line("b", 1), line("a", 6)}
		w.must(t, w.Reserve, "ord-1", given...)
		w.expect(t, "a", 0, 10, 0)
		if given[0] != line("a", 4) || given[1] != line("b", 1) {
			t.Errorf("the caller's lines were changed: %v", given)
		}
	})
	t.Run("an order that is short of one line keeps none", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.create(t, "b", 1)
		e := w.refused(t, fault.InsufficientStock, w.Reserve, "ord-1", line("a", 3), line("b", 2))
		if want := map[string]any{"product_id": "b", "requested": int64(2), "available": int64(1)}; !reflect.DeepEqual(e.Details, want) {
			t.Errorf("details = %v", e.Details)
		}
		w.expect(t, "a", 10, 0, 0)
		w.expect(t, "b", 1, 0, 0)
	})
	t.Run("an unknown product is named, and nothing is held", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		e := w.refused(t, fault.UnknownProduct, w.Reserve, "ord-1", line("a", 3), line("nope", 1))
		if e.Details["product_id"] != "nope" {
			t.Errorf("details = %v", e.Details)
		}
		w.expect(t, "a", 10, 0, 0)
	})
	t.Run("a repeat answers the same and writes nothing, even after the commit", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Reserve, "ord-1", line("a", 1), line("a", 2))
		w.expect(t, "a", 7, 3, 0)
		w.must(t, w.Commit, "ord-1")
		result, err := w.do(w.Reserve, "ord-1", line("a", 3))
		if err != nil || !reflect.DeepEqual(result, map[string]any{"reservation_id": "res-1"}) {
			t.Errorf("result %v, %v", result, err)
		}
		w.expect(t, "a", 7, 0, 3)
		if n := w.logged("Inventory reserved"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
	t.Run("a repeat with other lines is no repeat", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.refused(t, fault.Internal, w.Reserve, "ord-1", line("a", 4))
		w.expect(t, "a", 7, 3, 0)
	})
	t.Run("what is out of bounds is refused", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		for _, lines := range [][]inventory.Line{
			nil, {line("a", 0)}, {line("a", -1)}, {line("a", inventory.MaxQuantity+1)}, {line("", 1)}, {line("a#", 1)},
			make([]inventory.Line, inventory.MaxLines+1),
		} {
			w.refused(t, fault.ValidationFailed, w.Reserve, "ord-1", lines...)
		}
	})
	t.Run("the most lines of an order fit into a transaction", func(t *testing.T) {
		w := newWorld()
		lines := make([]inventory.Line, inventory.MaxLines)
		for i := range lines {
			id := fmt.Sprintf("p-%02d", i)
			w.create(t, id, 1)
			lines[i] = line(id, 1)
		}
		w.must(t, w.Reserve, "ord-1", lines...)
		w.must(t, w.Release, "ord-1")
		w.expect(t, "p-49", 1, 0, 0)
	})
}

func TestRelease(t *testing.T) {
	t.Run("delivered twice it restocks once", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Release, "ord-1")
		w.expect(t, "a", 10, 0, 0)
		w.must(t, w.Release, "ord-1")
		w.expect(t, "a", 10, 0, 0)
		if n := w.logged("Inventory released"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
	t.Run("before its reserve it leaves a tombstone that refuses the late reserve", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Release, "ord-1")
		w.must(t, w.Release, "ord-1")
		if h := w.hold(t, "ord-1"); h.State != inventory.Tombstone || h.Lines != nil {
			t.Errorf("hold = %+v", h)
		}
		w.refused(t, fault.HoldReleased, w.Reserve, "ord-1", line("a", 3))
		w.expect(t, "a", 10, 0, 0)
	})
	t.Run("after it a repeated reserve holds nothing", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Release, "ord-1")
		w.refused(t, fault.HoldReleased, w.Reserve, "ord-1", line("a", 3))
		w.expect(t, "a", 10, 0, 0)
	})
	t.Run("what is sold is not taken back", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Commit, "ord-1")
		w.refused(t, fault.OrderState, w.Release, "ord-1")
		w.expect(t, "a", 7, 0, 3)
	})
	t.Run("it gives back what the hold says, whatever the request says", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Release, "ord-1", line("a", 9))
		w.expect(t, "a", 10, 0, 0)
	})
}

func TestCommit(t *testing.T) {
	t.Run("held becomes sold, once", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 3))
		w.must(t, w.Commit, "ord-1")
		w.must(t, w.Commit, "ord-1")
		w.expect(t, "a", 7, 0, 3)
		if n := w.logged("Inventory committed"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
	t.Run("without a hold it is never a silent success", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.refused(t, fault.HoldReleased, w.Commit, "ord-none")
		w.must(t, w.Release, "ord-tombstone")
		w.refused(t, fault.HoldReleased, w.Commit, "ord-tombstone")
		w.must(t, w.Reserve, "ord-released", line("a", 1))
		w.must(t, w.Release, "ord-released")
		w.refused(t, fault.HoldReleased, w.Commit, "ord-released")
		w.expect(t, "a", 10, 0, 0)
	})
}

func TestAnOrderIdIsNeeded(t *testing.T) {
	w := newWorld()
	w.refused(t, fault.ValidationFailed, w.Release, "")
	w.refused(t, fault.ValidationFailed, w.Commit, "")
}

func TestTheLastTenOfAProduct(t *testing.T) {
	w := newWorld()
	w.create(t, "a", 10)
	var got, short atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_, err := w.do(w.Reserve, fmt.Sprintf("ord-%d", i), line("a", 1))
			switch {
			case err == nil:
				got.Add(1)
			case fault.Is(err, fault.InsufficientStock):
				short.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 10 || short.Load() != 190 {
		t.Errorf("%d got one, %d were refused", got.Load(), short.Load())
	}
	w.expect(t, "a", 0, 10, 0)
}

func TestAHotProductNeverConflicts(t *testing.T) {
	w := newWorld()
	const orders = 300
	w.create(t, "a", 1_000_000)
	updates, runs := w.store.updates.Load(), w.store.runs.Load()
	var wg sync.WaitGroup
	for i := range orders {
		wg.Go(func() {
			id := fmt.Sprintf("ord-%d", i)
			end := w.Commit
			if i%2 == 1 {
				end = w.Release
			}
			for _, task := range []task{w.Reserve, end} {
				if _, err := w.do(task, id, line("a", 2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	updates, runs = w.store.updates.Load()-updates, w.store.runs.Load()-runs
	if updates != 2*orders || runs != updates {
		t.Errorf("%d commits ran their functions %d times", updates, runs)
	}
	w.expect(t, "a", 1_000_000-orders, 0, orders)
}

// Each task is repeated after a commit that was lost, or of which only the reply was: the end is the same.
func TestTasksSurviveACrashAtTheirWrite(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for name, end := range map[string]func(w *world) task{
			"release": func(w *world) task { return w.Release },
			"commit":  func(w *world) task { return w.Commit },
		} {
			t.Run(fmt.Sprintf("reserve and %s, reply lost: %v", name, replyLost), func(t *testing.T) {
				w := newWorld()
				w.create(t, "a", 10)
				w.create(t, "b", 10)
				lines := []inventory.Line{line("a", 3), line("b", 1)}
				for _, task := range []task{w.Reserve, end(w)} {
					w.store.failNext(1, replyLost)
					w.refused(t, fault.Transient, task, "ord-1", lines...)
					if err := w.check(); err != nil {
						t.Fatal(err)
					}
					w.restart(nil)
					w.must(t, task, "ord-1", lines...)
				}
				if name == "commit" {
					w.expect(t, "a", 7, 0, 3)
				} else {
					w.expect(t, "a", 10, 0, 0)
				}
			})
		}
	}
}

func TestDecodeRefusesWhatItDidNotWrite(t *testing.T) {
	for _, it := range []store.Item{{}, {store.S("state", "HELD")}, {store.S("state", inventory.Active)}, {store.S("state", inventory.Active), store.S("lines", "{")}} {
		if _, err := inventory.DecodeHold(it); !fault.Is(err, fault.Internal) {
			t.Errorf("hold %v: err = %v", it, err)
		}
	}
	if _, err := inventory.DecodeStock(store.Item{store.N("available", 1)}); !fault.Is(err, fault.Internal) {
		t.Errorf("stock: err = %v", err)
	}
}

func BenchmarkReserveHotProduct(b *testing.B) {
	w := newWorld()
	w.restart(nil)
	stock := int64(inventory.MaxStock)
	if _, _, err := w.Put(ctx, inventory.PutProduct{ProductID: "hot", Name: "Hot", UnitPriceCents: 1, Stock: &stock}); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprintf("ord-%026d", n.Add(1))
			effect, err := w.Reserve(ctx, inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "hot", Quantity: 1}}})
			if err == nil {
				_, err = store.Commit(ctx, w.store.Store, effect)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
