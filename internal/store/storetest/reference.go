package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// testReference runs the same random transactions on the store and on memstore, which is small enough to be right by
// inspection, and compares every answer.
func (c Config) testReference(t *testing.T) {
	for seed := range uint64(4 * c.Rounds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := seeded(t, seed)
			b := c.open(t, nil)
			ref := box{memstore.New(memstore.Options{}), t}
			for range int(250 * c.Rounds) {
				stage := randomTx(rng)
				got, want := b.try(stage), ref.try(stage)
				if r, w := store.RefusalOf(got), store.RefusalOf(want); r != nil && w != nil {
					if r.Key != w.Key || !r.Item.Equal(w.Item) {
						t.Fatalf("refusal of %s, which is %v, want %s, which is %v", r.Key, r.Item, w.Key, w.Item)
					}
				} else if got != nil || want != nil {
					t.Fatalf("error %v, want %v", got, want)
				}
				compareRange(t, b, ref, randomQuery(rng))
			}
			for p := range 3 {
				compareRange(t, b, ref, store.Query{Table: Table, PK: fmt.Sprint("p", p)})
			}
		})
	}
}

func compareRange(t *testing.T, b, ref box, q store.Query) {
	t.Helper()
	got, err := b.Range(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ref.Range(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%+v gives %v, want %v", q, got, want)
	}
	for i := range got {
		if got[i].Key != want[i].Key || !got[i].Item.Equal(want[i].Item) {
			t.Fatalf("%+v gives %v, want %v", q, got, want)
		}
	}
}

func randomKey(rng *rand.Rand) store.Key {
	return key(fmt.Sprint("p", rng.IntN(3)), []string{"", "a", "a1", "b"}[rng.IntN(4)])
}

func randomQuery(rng *rand.Rand) store.Query {
	sks := []string{"", "", "a", "a1", "b", "c"}
	return store.Query{
		Table: Table, PK: fmt.Sprint("p", rng.IntN(3)),
		Prefix: sks[rng.IntN(len(sks))], After: sks[rng.IntN(len(sks))],
		Reverse: rng.IntN(2) == 0, Limit: rng.IntN(4),
	}
}

// randomTx returns a function that stages the same operations whenever it is called.
func randomTx(rng *rand.Rand) func(tx *store.Tx) {
	var stages []func(tx *store.Tx)
	used := make(map[store.Key]bool)
	for range 1 + rng.IntN(4) {
		k := randomKey(rng)
		if used[k] {
			continue
		}
		used[k] = true
		conds, kind, n := randomConds(rng), rng.IntN(8), rng.Int64N(4)
		delta := []store.Delta{store.Inc("n", n-2), store.Take("n", n), {Name: "m", By: 1 - n, Floor: -2, HasFloor: true}, store.Inc("s", 1)}[rng.IntN(4)]
		stages = append(stages, func(tx *store.Tx) {
			switch kind {
			case 0, 1:
				tx.Delete(k, conds...)
			case 2:
				tx.Check(k, append(conds, store.NotEqual(store.N("n", n)))...)
			case 3, 4:
				tx.Add(k, []store.Delta{delta, store.Inc("k", 1)}, conds...)
			default:
				tx.Put(k, store.Item{store.N("n", n), store.S("s", fmt.Sprint(n)), store.N("m", 1)}, conds...)
			}
		})
	}
	return func(tx *store.Tx) {
		for _, stage := range stages {
			stage(tx)
		}
	}
}

func randomConds(rng *rand.Rand) []store.Cond {
	all := []store.Cond{
		store.Exists(), store.Absent(), store.Equal(store.N("n", 1)), store.NotEqual(store.S("s", "2")),
		store.AtLeast("n", 1), store.Below("n", 3), store.Below("k", 5),
	}
	switch rng.IntN(4) {
	case 0:
		return []store.Cond{all[rng.IntN(len(all))]}
	case 1:
		return []store.Cond{all[rng.IntN(len(all))], all[rng.IntN(len(all))]}
	default:
		return nil
	}
}
