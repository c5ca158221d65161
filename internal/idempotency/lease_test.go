package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const minute = time.Minute

var work = idempotency.InternalKey("reserve#ord-1")

func begin(t *testing.T, s store.Store, owner string, now time.Time) *idempotency.Lease {
	t.Helper()
	l, r, err := idempotency.Begin(context.Background(), s, work, owner, one, minute, now)
	if err != nil || l == nil || r != nil {
		t.Fatalf("Begin by %s: %+v, %+v, %v", owner, l, r, err)
	}
	return l
}

func TestLeaseForm(t *testing.T) {
	ctx := context.Background()
	fresh := func() *memstore.Store { return memstore.New(memstore.Options{}) }

	t.Run("a completed key answers every repeat", func(t *testing.T) {
		s := fresh()
		l := begin(t, s, "a", start)
		if err := l.Complete(ctx, s, idempotency.Result{Body: []byte("done"), Ref: "res-1"}, start, 0); err != nil {
			t.Fatal(err)
		}
		l, r, err := idempotency.Begin(ctx, s, work, "b", one, minute, start.Add(1000*day))
		if err != nil || l != nil || r == nil || string(r.Result.Body) != "done" || r.Result.Ref != "res-1" {
			t.Errorf("lease %+v, record %+v, %v", l, r, err)
		}
	})
	t.Run("a final failure answers every repeat", func(t *testing.T) {
		s := fresh()
		if err := begin(t, s, "a", start).Fail(ctx, s, "InsufficientStock", start, 0); err != nil {
			t.Fatal(err)
		}
		_, r, err := idempotency.Begin(ctx, s, work, "b", one, minute, start)
		if err != nil || r == nil || r.State != idempotency.FailedFinal || r.Error != "InsufficientStock" {
			t.Errorf("record %+v, %v", r, err)
		}
	})
	t.Run("work in progress keeps another owner out until the lease is over", func(t *testing.T) {
		s := fresh()
		begin(t, s, "a", start)
		if _, _, err := idempotency.Begin(ctx, s, work, "b", one, minute, start.Add(minute-1)); !fault.Is(err, fault.Transient) {
			t.Errorf("err = %v", err)
		}
	})
	// A record that is IN_PROGRESS until its TTL would refuse every retry for a day; the lease ends with the worker.
	t.Run("a crash in mid-reserve that blocks its key for 24 h", func(t *testing.T) {
		s := fresh()
		dead := begin(t, s, "a", start)
		l := begin(t, s, "b", start.Add(minute+time.Millisecond))
		if l.Epoch != dead.Epoch+1 {
			t.Errorf("epoch %d after %d", l.Epoch, dead.Epoch)
		}
		if err := l.Complete(ctx, s, idempotency.Result{}, start, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("the same owner enters again at once", func(t *testing.T) {
		s := fresh()
		first := begin(t, s, "a", start)
		again := begin(t, s, "a", start)
		if err := first.Complete(ctx, s, idempotency.Result{}, start, 0); !errors.Is(err, idempotency.ErrStale) {
			t.Errorf("its earlier self completed: %v", err)
		}
		if err := again.Complete(ctx, s, idempotency.Result{}, start, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("known not to have been executed may be tried by anyone at once", func(t *testing.T) {
		s := fresh()
		if err := begin(t, s, "a", start).Retryable(ctx, s); err != nil {
			t.Fatal(err)
		}
		if l := begin(t, s, "b", start); l.Epoch != 2 {
			t.Errorf("epoch = %d", l.Epoch)
		}
	})
	t.Run("another request under the same key is refused in every state", func(t *testing.T) {
		ends := map[string]func(l *idempotency.Lease, s store.Store) error{
			idempotency.InProgress: func(*idempotency.Lease, store.Store) error { return nil },
			idempotency.Completed: func(l *idempotency.Lease, s store.Store) error {
				return l.Complete(ctx, s, idempotency.Result{}, start, 0)
			},
			idempotency.FailedFinal: func(l *idempotency.Lease, s store.Store) error { return l.Fail(ctx, s, "no", start, 0) },
			idempotency.Retryable:   func(l *idempotency.Lease, s store.Store) error { return l.Retryable(ctx, s) },
		}
		for state, end := range ends {
			s := fresh()
			if err := end(begin(t, s, "a", start), s); err != nil {
				t.Fatal(err)
			}
			if _, _, err := idempotency.Begin(ctx, s, work, "a", two, minute, start); !fault.Is(err, fault.IdempotencyKeyReused) {
				t.Errorf("%s: err = %v", state, err)
			}
		}
	})
	t.Run("an expired record is begun anew, with a later epoch", func(t *testing.T) {
		s := fresh()
		if err := begin(t, s, "a", start).Complete(ctx, s, idempotency.Result{}, start, day); err != nil {
			t.Fatal(err)
		}
		if l := begin(t, s, "a", start.Add(day+time.Second)); l.Epoch != 2 {
			t.Errorf("epoch = %d", l.Epoch)
		}
	})
}

func TestAStaleOwnerIsRefused(t *testing.T) {
	ctx := context.Background()
	ends := map[string]func(l *idempotency.Lease, s store.Store) error{
		"Complete": func(l *idempotency.Lease, s store.Store) error {
			return l.Complete(ctx, s, idempotency.Result{Body: []byte("stale")}, start, 0)
		},
		"Fail":      func(l *idempotency.Lease, s store.Store) error { return l.Fail(ctx, s, "stale", start, 0) },
		"Retryable": func(l *idempotency.Lease, s store.Store) error { return l.Retryable(ctx, s) },
	}
	for name, end := range ends {
		t.Run(name+" after a take-over changes nothing", func(t *testing.T) {
			s := memstore.New(memstore.Options{})
			stale := begin(t, s, "a", start)
			owner := begin(t, s, "b", start.Add(2*minute))
			if err := end(stale, s); !errors.Is(err, idempotency.ErrStale) || !fault.Retryable(err) {
				t.Errorf("err = %v", err)
			}
			if err := owner.Complete(ctx, s, idempotency.Result{Body: []byte("b's")}, start, 0); err != nil {
				t.Fatal(err)
			}
			if err := end(stale, s); !errors.Is(err, idempotency.ErrStale) {
				t.Errorf("after the end: err = %v", err)
			}
			_, r, err := idempotency.Begin(ctx, s, work, "c", one, minute, start)
			if err != nil || string(r.Result.Body) != "b's" {
				t.Errorf("record = %+v, %v", r, err)
			}
		})
	}
	t.Run("what it staged beside its completion is dropped", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		stale := begin(t, s, "a", start)
		begin(t, s, "b", start.Add(2*minute))
		effect := store.Key{Table: "work", PK: "x"}
		err := s.Update(ctx, func(tx *store.Tx) error {
			tx.Put(effect, store.Item{})
			return stale.StageComplete(tx, idempotency.Result{}, start, 0)
		})
		if !errors.Is(err, idempotency.ErrStale) {
			t.Errorf("err = %v", err)
		}
		if it, _ := s.Get(ctx, effect, store.Strong); it != nil {
			t.Error("the effect was committed")
		}
	})
	t.Run("a completion whose reply was lost is repeated without a second write, another end is not", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		l := begin(t, s, "a", start)
		for range 2 {
			if err := l.Complete(ctx, s, idempotency.Result{Body: []byte("x")}, start, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Fail(ctx, s, "no", start, 0); fault.KindOf(err) != fault.Internal {
			t.Errorf("err = %v", err)
		}
	})
}
