package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestCommit(t *testing.T) {
	ctx := context.Background()
	k := key("p", "s")
	create := func(tx *store.Tx) (any, error) {
		tx.Put(k, store.Item{store.N("n", 1)}, store.Absent())
		return "created", nil
	}
	t.Run("writes what was staged, gives the result, and then sends", func(t *testing.T) {
		s, sent := memstore.New(memstore.Options{}), false
		result, err := store.Commit(ctx, s, store.Effect{Stage: create, After: func(ctx context.Context) error {
			it, err := s.Get(ctx, k, store.Strong)
			sent = it != nil
			return err
		}})
		if err != nil || result != "created" || !sent {
			t.Errorf("%v, %v, sent %v", result, err, sent)
		}
	})
	t.Run("writes nothing where nothing is staged", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		result, err := store.Commit(ctx, s, store.Effect{Result: "done before"})
		if err != nil || result != "done before" || s.Commits() != 0 {
			t.Errorf("%v, %v, %d commits", result, err, s.Commits())
		}
	})
	t.Run("makes a refusal the business error, and sends nothing", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		e := store.Effect{
			Stage:   create,
			Refused: func(r *store.Refusal) error { return fault.New(fault.ProductExists, "there is %s", r.Key) },
		}
		if _, err := store.Commit(ctx, s, e); err != nil {
			t.Fatal(err)
		}
		e.After = func(context.Context) error { t.Error("sent"); return nil }
		if _, err := store.Commit(ctx, s, e); !fault.Is(err, fault.ProductExists) {
			t.Error(err)
		}
	})
	t.Run("leaves a refusal that has no business meaning, and any other error, as it is", func(t *testing.T) {
		s, mine := memstore.New(memstore.Options{}), errors.New("mine")
		nothing := func(*store.Refusal) error { return nil }
		if _, err := store.Commit(ctx, s, store.Effect{Stage: create}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Commit(ctx, s, store.Effect{Stage: create, Refused: nothing}); store.RefusalOf(err) == nil {
			t.Error(err)
		}
		failing := func(*store.Tx) (any, error) { return nil, mine }
		if _, err := store.Commit(ctx, s, store.Effect{Stage: failing, Refused: nothing}); !errors.Is(err, mine) {
			t.Error(err)
		}
	})
	t.Run("hands on the error of the send", func(t *testing.T) {
		mine := errors.New("mine")
		_, err := store.Commit(ctx, memstore.New(memstore.Options{}), store.Effect{After: func(context.Context) error { return mine }})
		if !errors.Is(err, mine) {
			t.Error(err)
		}
	})
}
