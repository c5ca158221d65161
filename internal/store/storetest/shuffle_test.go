package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestShuffle(t *testing.T) {
	const partitions, each = 3, 20
	var changes []store.Change
	for n := range int64(each) {
		for p := range partitions {
			changes = append(changes, store.Change{Seq: uint64(n), Key: key(fmt.Sprint("p", p), ""), Item: store.Item{store.N("n", n+1)}})
		}
	}
	var calls, repeats, across int
	reached := map[string]int64{}
	last := store.Change{}
	handle := Shuffle(func(_ context.Context, batch []store.Change) error {
		calls++
		for _, c := range batch {
			switch n := c.Item.Int("n"); {
			case n > reached[c.Key.PK]+1:
				t.Fatalf("%s at %d after %d", c.Key, n, reached[c.Key.PK])
			case n == reached[c.Key.PK]+1:
				reached[c.Key.PK] = n
			default:
				repeats++
			}
			if c.Seq < last.Seq {
				across++
			}
			last = c
		}
		return nil
	}, seeded(t, 3))
	for from := 0; from < len(changes); from += 12 {
		if err := handle(context.Background(), changes[from:from+12]); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("delivers everything, and a partition in order", func(t *testing.T) {
		for p := range partitions {
			wantEqual(t, "the last change", reached[fmt.Sprint("p", p)], each)
		}
	})
	t.Run("repeats, reorders across partitions and splits", func(t *testing.T) {
		if repeats == 0 || across == 0 || calls <= 5 {
			t.Errorf("%d repeats, %d out of order, %d calls", repeats, across, calls)
		}
	})
	t.Run("hands on the handler's error", func(t *testing.T) {
		mine := errors.New("mine")
		failing := Shuffle(func(context.Context, []store.Change) error { return mine }, seeded(t, 1))
		wantEqual(t, "the error", failing(context.Background(), changes[:1]), mine)
	})
}
