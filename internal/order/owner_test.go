package order

import (
	"context"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A readingStore counts what is read.
type readingStore struct {
	store.Store
	gets, ranges, updates int
}

func (s *readingStore) Get(ctx context.Context, k store.Key, c store.Consistency) (store.Item, error) {
	s.gets++
	return s.Store.Get(ctx, k, c)
}

func (s *readingStore) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	s.ranges++
	return s.Store.Range(ctx, q)
}

func (s *readingStore) Update(ctx context.Context, fn func(tx *store.Tx) error) error {
	s.updates++
	return s.Store.Update(ctx, fn)
}

func TestAnOrderIsItsOwners(t *testing.T) {
	w, id := told(t, memstore.Options{}) // of cust-1
	const unknown = "ord-00000000000000000000000099"
	t.Run("its owner sees it, and so does who owns all", func(t *testing.T) {
		for _, owner := range []string{"cust-1", ""} {
			if v := w.get(id, ViewQuery{Owner: owner}); v.Version != 4 {
				t.Errorf("%q sees %+v", owner, v)
			}
		}
	})
	t.Run("in whatever way another asks, the answer is that for an unknown order, and costs the same reads", func(t *testing.T) {
		counting := &readingStore{Store: w.mem}
		before := w.store
		w.store = counting
		defer func() { w.store = before }()
		for name, ask := range map[string]func(id string) error{
			"now": func(id string) error {
				_, err := w.Get(t.Context(), id, ViewQuery{Owner: "cust-2"})
				return err
			},
			"a version that is there": func(id string) error {
				_, err := w.Get(t.Context(), id, ViewQuery{Owner: "cust-2", Version: 2})
				return err
			},
			"a version that is not there": func(id string) error {
				_, err := w.Get(t.Context(), id, ViewQuery{Owner: "cust-2", Version: 99})
				return err
			},
			"a version that was seen": func(id string) error {
				_, err := w.Get(t.Context(), id, ViewQuery{Owner: "cust-2", MinVersion: 4})
				return err
			},
			"then": func(id string) error {
				_, err := w.Get(t.Context(), id, ViewQuery{Owner: "cust-2", AsOf: t0.Add(-time.Hour)})
				return err
			},
			"cancel": func(id string) error {
				_, err := w.Cancel(t.Context(), id, CancelRequest{Owner: "cust-2", Actor: "cust-2"})
				return err
			},
			"by the name of nobody": func(id string) error { return w.CheckOwner(t.Context(), id, "#") },
		} {
			*counting = readingStore{Store: w.mem}
			foreign := ask(id)
			cost := *counting
			*counting = readingStore{Store: w.mem}
			absent := ask(unknown)
			wantKind(t, foreign, fault.NotFound)
			wantKind(t, absent, fault.NotFound)
			if foreign.Error() != absent.Error() {
				t.Errorf("%s: a foreign order is %q, an unknown one %q", name, foreign, absent)
			}
			if cost != *counting || cost.gets+cost.ranges+cost.updates != 1 {
				t.Errorf("%s: a foreign order costs %+v, an unknown one %+v", name, cost, *counting)
			}
		}
	})
	t.Run("another's cancel of an open order writes nothing", func(t *testing.T) {
		open := w.place()
		_, err := w.Cancel(t.Context(), open, CancelRequest{Owner: "cust-2", Actor: "cust-2"})
		wantKind(t, err, fault.NotFound)
		if v := w.get(open, ViewQuery{}); v.Version != 1 {
			t.Errorf("it has %d events", v.Version)
		}
		if _, err := w.Cancel(t.Context(), open, CancelRequest{Owner: "cust-1", Actor: "cust-1"}); err != nil {
			t.Errorf("its owner's: %v", err)
		}
	})
}

func TestACustomerOrdersForItself(t *testing.T) {
	order := func(owner, principal, key string) PlaceRequest {
		r := request(key)
		r.Owner, r.Principal = owner, principal
		return r
	}
	t.Run("for another it is forbidden, before anything else is looked at, and nothing is stored", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		r := order("cust-2", "cust-2", "k1")
		r.Lines = nil
		_, err := w.Place(t.Context(), r)
		wantKind(t, err, fault.Forbidden)
		if n := w.index(customerKey("cust-1", "").PK); n != 0 {
			t.Errorf("there are %d orders", n)
		}
	})
	t.Run("one key of two principals is two orders, and each is answered with its own", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		ids := map[string]string{}
		for range 2 { // the second time it is a replay
			for _, principal := range []string{"cust-1", "shop"} {
				r := order("", principal, "k1")
				p, err := w.Place(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				earlier, seen := ids[principal]
				if p.Replayed != seen || seen && p.OrderID != earlier {
					t.Errorf("%s: %+v, earlier %s", principal, p, earlier)
				}
				ids[principal] = p.OrderID
			}
		}
		if ids["cust-1"] == ids["shop"] {
			t.Error("two principals share an order")
		}
	})
	t.Run("the log says who did it", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		p, err := w.Place(t.Context(), order("cust-1", "cust-1", ""))
		if err != nil {
			t.Fatal(err)
		}
		if by := w.events(p.OrderID)[0].Actor; by != "cust-1" {
			t.Errorf("ORDER_CREATED is by %q", by)
		}
	})
}
