package inventory_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
)

const old = 15*time.Minute + time.Millisecond

// aged has one hold of one piece for each order, all of them past their age.
func aged(t *testing.T, orders map[string]string) *world {
	t.Helper()
	w := newWorld()
	w.create(t, "a", 10_000)
	for id, status := range orders {
		w.must(t, w.Reserve, id, line("a", 1))
		if status != "" {
			w.outcomes[id] = status
		}
	}
	w.now = w.now.Add(old)
	return w
}

func TestExpire(t *testing.T) {
	t.Run("age never releases a hold, the order's outcome does", func(t *testing.T) {
		w := aged(t, map[string]string{
			"ord-pending": "PENDING", "ord-review": "REVIEW", "ord-confirmed": "CONFIRMED", "ord-later": "SOMETHING_NEW",
			"ord-failed": "FAILED", "ord-compensated": "COMPENSATED", "ord-cancelled": "CANCELLED", "ord-absent": "",
		})
		report, err := w.Expire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(report.Kept)
		want := inventory.ExpireReport{Released: 4, Kept: []string{"ord-confirmed", "ord-later", "ord-pending", "ord-review"}}
		if !reflect.DeepEqual(report, want) {
			t.Errorf("report = %+v", report)
		}
		w.expect(t, "a", 10_000-4, 4, 0)
		w.refused(t, fault.HoldReleased, w.Commit, "ord-failed")
		w.must(t, w.Commit, "ord-confirmed")
		if n := w.logged("Old holds kept"); n != 1 {
			t.Errorf("kept holds were logged %d times", n)
		}
	})
	t.Run("a younger hold is not asked about", func(t *testing.T) {
		w := aged(t, map[string]string{"ord-1": "FAILED"})
		w.now = w.now.Add(-2 * time.Millisecond)
		if report, err := w.Expire(ctx); err != nil || report.Released != 0 {
			t.Errorf("%+v, %v", report, err)
		}
		w.expect(t, "a", 9_999, 1, 0)
	})
	t.Run("a hold that has ended is no longer found", func(t *testing.T) {
		w := aged(t, map[string]string{"ord-1": "FAILED", "ord-2": "CONFIRMED"})
		w.must(t, w.Release, "ord-1")
		w.must(t, w.Commit, "ord-2")
		if report, err := w.Expire(ctx); err != nil || !reflect.DeepEqual(report, inventory.ExpireReport{}) {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("one that cannot be decided does not stop the others, and is asked about again", func(t *testing.T) {
		w := aged(t, map[string]string{"ord-1": "error", "ord-2": "FAILED", "ord-3": "FAILED"})
		report, err := w.Expire(ctx)
		if !fault.Is(err, fault.Unavailable) || report.Failed != 1 || report.Released != 2 {
			t.Errorf("%+v, %v", report, err)
		}
		w.outcomes["ord-1"] = "FAILED"
		if report, err := w.Expire(ctx); err != nil || report.Released != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		w.expect(t, "a", 10_000, 0, 0)
	})
	t.Run("many kept holds do not hide those behind them", func(t *testing.T) {
		orders := map[string]string{}
		for i := range 5000 {
			orders[fmt.Sprintf("ord-%05d", i)] = "REVIEW"
		}
		w := aged(t, orders)
		w.must(t, w.Reserve, "ord-behind", line("a", 1))
		w.now = w.now.Add(old)
		report, err := w.Expire(ctx)
		if err != nil || report.Released != 1 || len(report.Kept) != 5000 {
			t.Errorf("released %d, kept %d, %v", report.Released, len(report.Kept), err)
		}
	})
	t.Run("a crash at any of its writes leaves whole holds, and the next one ends the work", func(t *testing.T) {
		for _, replyLost := range []bool{false, true} {
			for n := int64(1); ; n++ {
				w := aged(t, map[string]string{"ord-1": "FAILED", "ord-2": "CANCELLED", "ord-3": ""})
				w.store.failNext(n, replyLost)
				_, err := w.Expire(ctx)
				if err == nil {
					break // it ended before write n
				}
				if err := w.check(); err != nil {
					t.Fatal(err)
				}
				w.restart(nil)
				if _, err := w.Expire(ctx); err != nil {
					t.Fatal(err)
				}
				w.expect(t, "a", 10_000, 0, 0)
			}
		}
	})
}
