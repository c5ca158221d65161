package order

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// placeFor places an order of a customer.
func (w *world) placeFor(customer string) string {
	w.t.Helper()
	r := request("")
	r.CustomerID = customer
	p, err := w.Place(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.OrderID
}

// listed pages through a list and returns the ids in its order; between is called after each page.
func (w *world) listed(q ListQuery, between func()) (ids []string) {
	w.t.Helper()
	for range 1000 {
		page, err := w.List(w.t.Context(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page.Orders) > q.Limit {
			w.t.Fatalf("a page of %d orders, at most %d", len(page.Orders), q.Limit)
		}
		for _, o := range page.Orders {
			ids = append(ids, o.OrderID)
		}
		if q.After = page.Next; q.After == "" {
			return ids
		}
		if between != nil {
			between()
		}
	}
	w.t.Fatal("the list does not end")
	return nil
}

func (w *world) wantList(what string, q ListQuery, want []string) {
	w.t.Helper()
	if got := w.listed(q, nil); !slices.Equal(got, want) {
		w.t.Errorf("%s: %d orders %v\nwant %d %v", what, len(got), got, len(want), want)
	}
}

// newestFirst turns ids around, which were placed in their order.
func newestFirst(ids []string) []string {
	out := slices.Clone(ids)
	slices.Reverse(out)
	return out
}

func TestLists(t *testing.T) {
	t.Run("each order comes once, the newest first, while new ones are placed", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		var all, mine []string
		for n := range 250 {
			customer := fmt.Sprint("cust-", n%5)
			all = append(all, w.placeFor(customer))
			if customer == "cust-2" {
				mine = append(mine, all[n])
			}
		}
		for _, limit := range []int{1, 7, 50, 100} {
			got := w.listed(ListQuery{Limit: limit}, func() { w.placeFor("cust-2") })
			got = got[max(0, len(got)-250):] // the first page has what was placed by the rounds before
			if !slices.Equal(got, newestFirst(all)) {
				t.Errorf("in pages of %d: %v", limit, got)
			}
			got = w.listed(ListQuery{CustomerID: "cust-2", Limit: limit}, func() { w.placeFor("cust-2") })
			got = got[max(0, len(got)-50):]
			if !slices.Equal(got, newestFirst(mine)) {
				t.Errorf("of a customer, in pages of %d: %v", limit, got)
			}
		}
	})
	t.Run("a list goes on across the days, and over days without an order", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.now = time.Date(2026, 2, 27, 23, 59, 59, 0, time.UTC)
		var all []string
		for n := range 60 {
			all = append(all, w.placeFor("cust-1"))
			if n%3 == 2 {
				w.pass(time.Duration(n) * 3 * time.Hour)
			}
		}
		for _, limit := range []int{1, 2, 3, 59, 60, 61} {
			w.wantList(fmt.Sprint("in pages of ", limit), ListQuery{Limit: limit}, newestFirst(all))
		}
	})
	t.Run("a page reads a month at most, and the list goes on", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		var all []string
		for range maxDays + 5 {
			all = append(all, w.placeFor("cust-1"))
			w.pass(24 * time.Hour)
		}
		page, err := w.List(t.Context(), ListQuery{Limit: 100})
		if err != nil || len(page.Orders) != maxDays || page.Next == "" {
			t.Errorf("%d orders, next %q, %v", len(page.Orders), page.Next, err)
		}
		w.wantList("all", ListQuery{Limit: 100}, newestFirst(all))
	})
	t.Run("the last page says so, also where it is full", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for range 20 {
			w.placeFor("cust-1")
		}
		for _, q := range []ListQuery{{Limit: 20}, {Limit: 20, CustomerID: "cust-1"}} {
			if page, err := w.List(t.Context(), q); err != nil || len(page.Orders) != 20 || page.Next != "" {
				t.Errorf("%+v: %d orders, next %q, %v", q, len(page.Orders), page.Next, err)
			}
		}
	})
	t.Run("a customer without orders, and a shop without any, has an empty list", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.wantList("of the shop", ListQuery{Limit: 10}, nil)
		w.placeFor("cust-1")
		w.wantList("of the customer", ListQuery{CustomerID: "cust-9", Limit: 10}, nil)
	})
	t.Run("what is not a place of the list is refused", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for _, q := range []ListQuery{
			{After: "yesterday"}, {After: "2026-02-30/"}, {After: "2026-02-20/a b"}, {After: "2026-02-20"}, {CustomerID: "cust-1", After: "2026-02-20/x"},
			{Status: "DONE"}, {Status: "pending"},
		} {
			q.Limit = 10
			_, err := w.List(t.Context(), q)
			wantKind(t, err, fault.BadRequest)
		}
	})
	t.Run("a replica that lags behind may miss the newest, and no more", func(t *testing.T) {
		w := newWorld(t, memstore.Options{StaleReads: true})
		first := w.placeFor("cust-1")
		w.mem.Settle()
		w.placeFor("cust-1")
		w.wantList("of all", ListQuery{Limit: 10}, []string{first})
		w.wantList("of the customer", ListQuery{CustomerID: "cust-1", Limit: 10}, []string{first})
	})
}

func TestListsByStatus(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	byStatus := map[string][]string{}
	for n := range 60 {
		id := w.placeFor(fmt.Sprint("cust-", n%2))
		status := []string{Pending, Confirmed, Failed, Compensated, Cancelled, Review}[n%6]
		switch status {
		case Confirmed:
			w.do(id, reserve, confirm)
		case Failed:
			w.do(id, fail)
		case Compensated:
			w.do(id, reserve, decline, compensate)
		case Cancelled:
			w.do(id, cancel, compensate)
		case Review:
			w.do(id, review)
		}
		byStatus[status] = append(byStatus[status], id)
	}
	t.Run("only those that are in it", func(t *testing.T) {
		for _, status := range Statuses {
			for _, limit := range []int{1, 3, 100} {
				w.wantList(status, ListQuery{Status: status, Limit: limit}, newestFirst(byStatus[status]))
			}
		}
		// Each sixth order is COMPENSATED, each of those an odd customer's.
		w.wantList("of a customer", ListQuery{Status: Compensated, CustomerID: "cust-1", Limit: 2}, newestFirst(byStatus[Compensated]))
		w.wantList("of another", ListQuery{Status: Compensated, CustomerID: "cust-0", Limit: 2}, nil)
	})
	t.Run("a row is the order's head", func(t *testing.T) {
		page, err := w.List(t.Context(), ListQuery{Status: Compensated, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		at := t0.Format("2006-01-02T15:04:05.000Z")
		want := Summary{
			OrderID: byStatus[Compensated][9], Status: Compensated, CustomerID: "cust-1", TotalCents: 129_900, Currency: "USD",
			CreatedAt: at, UpdatedAt: at, Version: 5, FailureReason: "PAYMENT_DECLINED",
		}
		if got := page.Orders[0]; got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if page, _ := w.List(t.Context(), ListQuery{Status: Review, Limit: 1}); !page.Orders[0].NeedsReview {
			t.Errorf("got %+v", page.Orders)
		}
	})
}

func TestAListByStatusDoesBoundedWork(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	var wanted string
	for n := range maxLooked + 200 {
		id := w.placeFor("cust-1")
		if n == 100 {
			w.do(id, fail)
			wanted = id
		}
	}
	for _, q := range []ListQuery{{Status: Failed, Limit: 5}, {Status: Failed, Limit: 5, CustomerID: "cust-1"}} {
		counted := &countingStore{Store: w.flaky}
		w.store = counted
		page, err := w.List(t.Context(), q)
		if err != nil || len(page.Orders) != 0 || page.Next == "" || counted.heads != maxLooked {
			t.Errorf("%+v: %d orders, next %q, %d heads read, %v", q, len(page.Orders), page.Next, counted.heads, err)
		}
		w.wantList("of what was found in the end", q, []string{wanted})
	}
}

// A countingStore counts the items that lists read.
type countingStore struct {
	store.Store
	heads int
}

func (s *countingStore) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	s.heads += len(keys)
	return s.Store.GetMany(ctx, keys, c)
}

func TestTheDayOfAnOrderIsMarkedOnce(t *testing.T) {
	w := newWorld(t, memstore.Options{FeedKeys: func(k store.Key) bool { return k.PK == daysPartition }})
	marks := func() (days []string) {
		page, err := w.mem.ReadFeed(t.Context(), "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			days = append(days, c.Key.SK)
		}
		return days
	}
	w.now = time.Date(2026, 2, 27, 23, 0, 0, 0, time.UTC)
	w.place()
	w.place()
	w.pass(time.Hour)
	w.place()
	w.place()
	if got := marks(); !slices.Equal(got, []string{"2026-02-27", "2026-02-28"}) {
		t.Errorf("marked %v", got)
	}
	t.Run("and again by the next process, which does not know", func(t *testing.T) {
		w.markedDay.Store(nil)
		w.place()
		if got := marks(); len(got) != 3 {
			t.Errorf("marked %v", got)
		}
	})
	t.Run("a commit that failed has not marked it: the next try does", func(t *testing.T) {
		w.pass(24 * time.Hour)
		w.flaky.crashAt(1, false)
		w.place()
		if got := marks(); got[len(got)-1] != "2026-03-01" {
			t.Errorf("marked %v", got)
		}
	})
}
