package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestDeliver(t *testing.T) {
	changes := []store.Change{{Seq: 1, Key: key("p", "s")}}
	t.Run("the same changes again until the handler takes them, with pauses that grow to five seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, calls := time.Now(), 0
			var pauses []time.Duration
			last := began
			err := store.Deliver(context.Background(), func(_ context.Context, got []store.Change) error {
				pauses = append(pauses, time.Since(last))
				last = time.Now()
				if calls++; len(got) != 1 || got[0].Seq != 1 {
					t.Errorf("call %d got %v", calls, got)
				}
				if calls < 15 {
					return errors.New("not now")
				}
				return nil
			}, changes)
			if err != nil || calls != 15 {
				t.Fatalf("%d calls, %v", calls, err)
			}
			if pauses[1] != 10*time.Millisecond || pauses[2] != 20*time.Millisecond || pauses[14] != 5*time.Second {
				t.Errorf("the pauses are %v", pauses)
			}
		})
	})
	t.Run("a context that ends during a pause ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			began := time.Now()
			err := store.Deliver(ctx, func(context.Context, []store.Change) error { return errors.New("never") }, changes)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
	t.Run("a context that has ended delivers nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err := store.Deliver(ctx, func(context.Context, []store.Change) error { t.Error("delivered"); return nil }, changes)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
