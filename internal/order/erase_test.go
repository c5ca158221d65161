package order

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// reachable places an order with a contact and returns its id.
func (w *world) reachable(customerID string) string {
	w.t.Helper()
	r := request("")
	r.CustomerID, r.Contact = customerID, &Contact{Email: "ada@example.test"}
	p, err := w.Place(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.OrderID
}

// sealed is the order's sealed contact, nil if it has none.
func (w *world) sealed(id string) []byte {
	w.t.Helper()
	it, err := w.mem.Get(w.t.Context(), contactKey(id), store.Strong)
	if err != nil {
		w.t.Fatal(err)
	}
	return it.Bytes(attrSealed)
}

func TestErase(t *testing.T) {
	t.Run("takes every contact of the customer, more than one commit holds, and no other", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		other, ids := w.reachable("cust-2"), []string{}
		for range 2*erasePage + 1 {
			ids = append(ids, w.reachable("cust-1"))
		}
		copied := w.sealed(ids[0])
		w.pass(time.Second)
		e, err := w.Erase(t.Context(), "cust-1", "admin-1")
		if err != nil || e.CustomerID != "cust-1" || !e.ErasedAt.Equal(w.clock()) {
			t.Fatalf("%+v %v", e, err)
		}
		for _, id := range ids {
			if w.sealed(id) != nil {
				t.Errorf("%s has its contact still", id)
			}
			if v, err := w.Get(t.Context(), id, ViewQuery{}); err != nil || v.TotalCents != 129_900 || v.CustomerID != "cust-1" {
				t.Errorf("the order itself: %+v %v", v, err)
			}
		}
		if _, err := pii.Open(w.keys, "cust-1", copied); !errors.Is(err, pii.ErrErased) {
			t.Errorf("a copy of the contact opens: %v", err)
		}
		if _, err := pii.Open(w.keys, "cust-2", w.sealed(other)); err != nil {
			t.Errorf("another's contact: %v", err)
		}
		if log := w.logged.String(); !strings.Contains(log, `"Contact erased"`) || !strings.Contains(log, `"actor":"admin-1"`) {
			t.Errorf("the log: %s", log)
		}
	})
	t.Run("a contact that comes with a later order is kept under a new key", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		old := w.sealed(w.reachable("cust-1"))
		w.pass(time.Second)
		if _, err := w.Erase(t.Context(), "cust-1", ""); err != nil {
			t.Fatal(err)
		}
		later := w.sealed(w.reachable("cust-1"))
		if _, err := pii.Open(w.keys, "cust-1", later); err != nil {
			t.Errorf("the new one: %v", err)
		}
		if _, err := pii.Open(w.keys, "cust-1", old); !errors.Is(err, pii.ErrErased) {
			t.Errorf("the old one: %v", err)
		}
	})
	t.Run("answers alike for who was never heard of", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		if e, err := w.Erase(t.Context(), "nobody", ""); err != nil || e.CustomerID != "nobody" || e.ErasedAt.IsZero() {
			t.Errorf("%+v %v", e, err)
		}
	})
	t.Run("refuses what is no customer's id", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for _, id := range []string{"", "a b", "ada@example.test", strings.Repeat("x", 65)} {
			if _, err := w.Erase(t.Context(), id, ""); !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
	t.Run("tells nothing of keys that cannot be destroyed but that they are there", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.reachable("cust-1")
		w.Service.keys = stuckKeys{w.keys}
		if _, err := w.Erase(t.Context(), "cust-1", ""); !fault.Is(err, fault.Unavailable) || w.sealed(id) == nil {
			t.Errorf("%v, and the contact is gone: %v", err, w.sealed(id) == nil)
		}
	})
}

type stuckKeys struct{ pii.Keys }

func (stuckKeys) Erase(string) error { return fault.New(fault.Unavailable, "the disk failed") }

func TestEraseSurvivesACrashAtEveryWrite(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for n := 1; ; n++ {
			if n > 10 {
				t.Fatal("an erasure of three pages has ten writes")
			}
			w := newWorld(t, memstore.Options{})
			var ids []string
			for range 2*erasePage + 1 {
				ids = append(ids, w.reachable("cust-1"))
			}
			copied := w.sealed(ids[0])
			w.pass(time.Second)
			w.flaky.crashAt(n, replyLost)
			_, err := w.Erase(t.Context(), "cust-1", "")
			w.flaky.crashAt(0, false)
			if _, opened := pii.Open(w.keys, "cust-1", copied); !errors.Is(opened, pii.ErrErased) {
				t.Errorf("write %d: the contact opens: %v", n, opened)
			}
			crashed := err != nil
			if _, err := w.Erase(t.Context(), "cust-1", ""); err != nil {
				t.Errorf("write %d: the repeat: %v", n, err)
			}
			for _, id := range ids {
				if w.sealed(id) != nil {
					t.Errorf("write %d: %s has its contact still", n, id)
				}
			}
			if !crashed {
				break
			}
		}
	}
}
