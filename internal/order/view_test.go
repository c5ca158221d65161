package order

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// told places an order and confirms it, a second between all events but the last two, which are one append.
func told(t *testing.T, opts memstore.Options) (*world, string) {
	w := newWorld(t, opts)
	id := w.place()
	for _, c := range []command{reserve, confirm} {
		w.pass(time.Second)
		w.do(id, c)
	}
	return w, id
}

func TestGet(t *testing.T) {
	t.Run("an order is shown as its log tells it", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		text, err := json.Marshal(w.get(id, ViewQuery{}))
		want := `{"order_id":"` + id + `","status":"CONFIRMED","customer_id":"cust-1",` +
			`"items":[{"product_id":"LAPTOP-01","quantity":1,"unit_price_cents":129900}],"total_cents":129900,"currency":"USD","events":[` +
			`{"version":1,"type":"ORDER_CREATED","timestamp":"2026-03-01T12:00:00.000Z"},` +
			`{"version":2,"type":"STOCK_RESERVED","timestamp":"2026-03-01T12:00:01.000Z"},` +
			`{"version":3,"type":"PAYMENT_CHARGED","timestamp":"2026-03-01T12:00:02.000Z","data":{"amount_cents":129900,"payment_id":"pay-7"}},` +
			`{"version":4,"type":"ORDER_CONFIRMED","timestamp":"2026-03-01T12:00:02.000Z"}],"version":4}`
		if err != nil || string(text) != want {
			t.Fatalf("got  %s, %v\nwant %s", text, err, want)
		}
	})
	t.Run("why it failed and that it needs a person is shown where it is so", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, fail, review)
		if v := w.get(id, ViewQuery{}); v.FailureReason != "UNKNOWN_PRODUCT" || !v.NeedsReview || v.Status != Failed {
			t.Fatalf("got %+v", v)
		}
	})
	t.Run("an unknown order is not found, nor is an index partition", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		for _, unknown := range []string{"ord-unknown", "", "customer#cust-1", openKey(id).PK} {
			_, err := w.Get(t.Context(), unknown, ViewQuery{})
			wantKind(t, err, fault.NotFound)
			_, err = w.Events(t.Context(), unknown, 0, 1)
			wantKind(t, err, fault.NotFound)
			_, err = w.Cancel(t.Context(), unknown, CancelRequest{})
			wantKind(t, err, fault.NotFound)
		}
	})
	t.Run("each version is the fold of the log up to it", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		events := w.events(id)
		for n := range events {
			st, err := Fold(events[:n+1])
			v := w.get(id, ViewQuery{Version: int64(n + 1)})
			if err != nil || v.Status != st.Status || v.Version != int64(n+1) || len(v.Events) != n+1 || v.Terminal() != st.Terminal() {
				t.Fatalf("version %d: %+v, %v", n+1, v, err)
			}
		}
	})
	t.Run("a version that is yet to come is not found, and a negative one is no version", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		_, err := w.Get(t.Context(), id, ViewQuery{Version: 5})
		wantKind(t, err, fault.NotFound)
		_, err = w.Get(t.Context(), id, ViewQuery{Version: -1})
		wantKind(t, err, fault.BadRequest)
		_, err = w.Get(t.Context(), id, ViewQuery{Version: 1, AsOf: t0})
		wantKind(t, err, fault.BadRequest)
	})
	for _, c := range []struct {
		asOf    time.Duration
		version int64
		status  string
	}{
		{0, 1, Pending},
		{time.Second - time.Nanosecond, 1, Pending},
		{time.Second, 2, Pending},
		{2*time.Second - time.Nanosecond, 2, Pending},
		{2 * time.Second, 4, Confirmed},
		{time.Hour, 4, Confirmed},
	} {
		t.Run(fmt.Sprintf("%v after its creation the order was %s at version %d", c.asOf, c.status, c.version), func(t *testing.T) {
			w, id := told(t, memstore.Options{StaleReads: true})
			if v := w.get(id, ViewQuery{AsOf: t0.Add(c.asOf)}); v.Version != c.version || v.Status != c.status {
				t.Fatalf("got %s at %d", v.Status, v.Version)
			}
		})
	}
	t.Run("before its creation there was no order", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		_, err := w.Get(t.Context(), id, ViewQuery{AsOf: t0.Add(-time.Millisecond)})
		wantKind(t, err, fault.NotFound)
	})
	t.Run("the log in full comes in pages", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		var all []eventlog.Event
		previous := ""
		for more := true; more; {
			page, err := w.Events(t.Context(), id, int64(len(all)), 3)
			if err != nil || len(page.Events) == 0 || page.CustomerID != "cust-1" || page.Previous != previous {
				t.Fatalf("after %d: %+v, %v, want the previous hash %s", len(all), page, err, previous)
			}
			all, more = append(all, page.Events...), page.More
			previous = all[len(all)-1].Hash
		}
		if err := eventlog.Verify(all); err != nil || len(all) != 4 {
			t.Fatalf("%d events, %v", len(all), err)
		}
		if page, err := w.Events(t.Context(), id, 4, 3); err != nil || len(page.Events) != 0 || page.More {
			t.Errorf("after the last: %+v, %v", page, err)
		}
	})
	t.Run("a log of more than a thousand events is shown whole", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		for range 510 {
			w.do(id, review, redrive)
		}
		if v := w.get(id, ViewQuery{}); v.Version != 1021 || v.Status != Pending {
			t.Fatalf("got %s at %d", v.Status, v.Version)
		}
	})
}

func TestReadsThatLagBehind(t *testing.T) {
	t.Run("an order that was acknowledged is found at once", func(t *testing.T) {
		w := newWorld(t, memstore.Options{StaleReads: true})
		if v := w.get(w.place(), ViewQuery{}); v.Version != 1 {
			t.Fatalf("got version %d", v.Version)
		}
	})
	t.Run("a view may lag behind, but not behind what the caller has seen", func(t *testing.T) {
		w, id := told(t, memstore.Options{StaleReads: true})
		if v := w.get(id, ViewQuery{}); v.Version != 2 {
			t.Fatalf("got version %d: the store did not lag behind", v.Version)
		}
		for least := range int64(5) {
			if v := w.get(id, ViewQuery{MinVersion: least}); v.Version < least {
				t.Fatalf("got version %d, want %d or more", v.Version, least)
			}
		}
		if v := w.get(id, ViewQuery{MinVersion: 99}); v.Version != 4 {
			t.Fatalf("got version %d, want the newest there is", v.Version)
		}
	})
	t.Run("a version that the replica lacks is read strongly", func(t *testing.T) {
		w, id := told(t, memstore.Options{StaleReads: true})
		if v := w.get(id, ViewQuery{Version: 4}); v.Version != 4 {
			t.Fatalf("got version %d", v.Version)
		}
	})
	t.Run("the outcome, the answer to a cancel and that to a waiter are as it is now", func(t *testing.T) {
		w := newWorld(t, memstore.Options{StaleReads: true})
		id := w.place()
		w.do(id, reserve)
		if v, err := w.Cancel(t.Context(), id, CancelRequest{CorrelationID: "corr-2", Actor: "key-1"}); err != nil || v.Version != 3 || v.Status != Pending {
			t.Fatalf("got %+v, %v", v, err)
		}
		w.do(id, refunded)
		if status, found, err := w.Outcome(t.Context(), id); status != Cancelled || !found || err != nil {
			t.Fatalf("got %s, %v, %v", status, found, err)
		}
		if v, err := w.Wait(t.Context(), id); err != nil || v.Status != Cancelled {
			t.Fatalf("got %+v, %v", v, err)
		}
	})
	t.Run("an order that does not exist has no outcome", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		if status, found, err := w.Outcome(t.Context(), "ord-unknown"); status != "" || found || err != nil {
			t.Fatalf("got %s, %v, %v", status, found, err)
		}
	})
}

// tornStore leaves an event out of what a strong range returns, as a read does that meets a commit half way.
type tornStore struct {
	store.Store
	torn int // how many more strong reads are torn
	gap  bool
}

func (s *tornStore) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	entries, err := s.Store.Range(ctx, q)
	if len(entries) > 2 && (s.gap && q.Consistency == store.Eventual || s.torn > 0 && q.Consistency == store.Strong) {
		if q.Consistency == store.Strong {
			s.torn--
		}
		entries = append(entries[:1:1], entries[2:]...)
	}
	return entries, err
}

func TestReadsThatMeetACommitHalfWay(t *testing.T) {
	w, id := told(t, memstore.Options{})
	torn := &tornStore{Store: w.mem, gap: true}
	w.store = torn
	t.Run("a replica's log ends where an event is missing", func(t *testing.T) {
		if v := w.get(id, ViewQuery{}); v.Version != 1 {
			t.Fatalf("got version %d", v.Version)
		}
		if v := w.get(id, ViewQuery{MinVersion: 3}); v.Version != 4 {
			t.Fatalf("got version %d", v.Version)
		}
	})
	t.Run("a strong read is repeated until the log is whole", func(t *testing.T) {
		torn.torn = tornReads - 1
		if v := w.get(id, ViewQuery{MinVersion: 3}); v.Version != 4 {
			t.Fatalf("got version %d", v.Version)
		}
	})
	t.Run("a log that never is whole is an error, not a shorter log", func(t *testing.T) {
		torn.torn = 1000
		_, err := w.Get(t.Context(), id, ViewQuery{MinVersion: 3})
		wantKind(t, err, fault.Transient)
	})
}

func TestWait(t *testing.T) {
	t.Run("the commit that ends the order wakes its waiters at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			begin := time.Now()
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					v, err := w.Wait(t.Context(), id)
					if err != nil || v.Status != Confirmed || time.Since(begin) != 100*time.Millisecond {
						t.Errorf("got %s after %v, %v", v.Status, time.Since(begin), err)
					}
				})
			}
			<-time.After(100 * time.Millisecond)
			w.do(id, reserve, confirm)
			wg.Wait()
			if n := len(w.waiters.byOrder); n != 0 {
				t.Errorf("%d orders are still waited for", n)
			}
		})
	})
	t.Run("when the time is over the order is returned as it is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			time.AfterFunc(2*time.Second, func() { w.do(id, reserve) })
			begin := time.Now()
			v, err := w.Wait(ctx, id)
			if err != nil || v.Status != Pending || v.Version != 2 || v.Terminal() || time.Since(begin) != 5*time.Second {
				t.Fatalf("got %+v after %v, %v", v, time.Since(begin), err)
			}
		})
	})
	t.Run("an end that nobody told of is found within a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			other := newWorld(t, memstore.Options{}).Service // as another process would
			other.store = w.mem
			time.AfterFunc(100*time.Millisecond, func() {
				e, _ := other.Fail(t.Context(), task(id))
				_, _ = store.Commit(context.Background(), w.mem, e)
			})
			begin := time.Now()
			v, err := w.Wait(t.Context(), id)
			if err != nil || v.Status != Failed || time.Since(begin) > time.Second {
				t.Fatalf("got %+v after %v, %v", v, time.Since(begin), err)
			}
		})
	})
	t.Run("an order that has ended is not waited for, and an unknown one neither", func(t *testing.T) {
		w, id := told(t, memstore.Options{})
		if v, err := w.Wait(t.Context(), id); err != nil || v.Status != Confirmed {
			t.Fatalf("got %+v, %v", v, err)
		}
		_, err := w.Wait(t.Context(), "ord-unknown")
		wantKind(t, err, fault.NotFound)
	})
}

func TestCancel(t *testing.T) {
	t.Run("a second cancel answers as the first one did", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		first, err := w.Cancel(t.Context(), id, CancelRequest{CorrelationID: "corr-2", Actor: "key-1"})
		if err != nil || first.Status != Pending {
			t.Fatalf("got %+v, %v", first, err)
		}
		again, err := w.Cancel(t.Context(), id, CancelRequest{CorrelationID: "corr-9", Actor: "key-9"})
		if err != nil || again.Status != Pending || again.Version != 2 {
			t.Fatalf("got %+v, %v", again, err)
		}
		if e := w.events(id)[1]; e.Actor != "key-1" || e.CorrelationID != "corr-2" {
			t.Fatalf("got %+v", e)
		}
	})
	for status, path := range map[string][]command{
		Confirmed:   {reserve, confirm},
		Failed:      {fail},
		Compensated: {compensate},
		Cancelled:   {cancel, compensate},
	} {
		t.Run("an order that is "+status+" is final", func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			w.do(id, path...)
			wantKind(t, cancel.do(w, id), fault.OrderFinal)
			w.do(id, review) // an annotation: the order stays final
			wantKind(t, cancel.do(w, id), fault.OrderFinal)
		})
	}
	t.Run("an order in review is not cancelled until it is redriven", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, review)
		wantKind(t, cancel.do(w, id), fault.InReview)
		w.do(id, redrive, cancel)
	})
}
