package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func (c Config) testConcurrency(t *testing.T) {
	t.Run("adds from everywhere are exact", c.testAdds)
	t.Run("a floor is never crossed, and nothing is left above it", c.testLastUnits)
	t.Run("read, change and write is exact", c.testIncrements)
	t.Run("money that moves is neither made nor lost, at any moment", c.testTransfers)
	t.Run("one of many that create an item wins", c.testCreators)
}

const workers = 8

// together runs fn in several goroutines, with a number and a chance of their own, and waits.
func together(n int, fn func(worker int, rng *rand.Rand)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	wg.Wait()
}

// persist repeats the update while it is transient. fn must be safe to repeat.
func (b box) persist(fn func(tx *store.Tx) error) error {
	for {
		if err := b.Update(context.Background(), fn); !fault.Is(err, fault.Transient) {
			return err
		}
	}
}

func (c Config) testAdds(t *testing.T) {
	b := c.open(t, nil)
	n := int(40 * c.Rounds)
	together(workers, func(worker int, _ *rand.Rand) {
		for i := range n {
			err := b.try(func(tx *store.Tx) {
				tx.Add(key("p", "sum"), []store.Delta{store.Inc("n", 1), store.Inc("w", int64(worker))})
				tx.Put(key(fmt.Sprint("w", worker), fmt.Sprint(i)), store.Item{}, store.Absent())
			})
			if err != nil {
				t.Errorf("worker %d: %v", worker, err)
			}
		}
	})
	b.is(key("p", "sum"), store.Item{store.N("n", int64(workers*n)), store.N("w", int64(n*workers*(workers-1)/2))})
}

func (c Config) testLastUnits(t *testing.T) {
	b := c.open(t, nil)
	units := int64(100 * c.Rounds)
	b.put(key("p", "stock"), store.N("available", units), store.N("held", 0))
	var mu sync.Mutex
	var taken, refusals int64
	together(workers, func(worker int, rng *rand.Rand) {
		for refusedHere := false; !refusedHere; {
			n := 1 + rng.Int64N(3)
			err := b.try(func(tx *store.Tx) {
				tx.Add(key("p", "stock"), []store.Delta{store.Take("available", n), store.Inc("held", n)})
			})
			r := store.RefusalOf(err)
			if err != nil && r == nil {
				t.Errorf("worker %d: %v", worker, err)
				return
			}
			mu.Lock()
			if r == nil {
				taken += n
			} else {
				refusals++
				if r.Item.Int("available") >= n {
					t.Errorf("%d units were refused while there were %d", n, r.Item.Int("available"))
				}
				refusedHere = n == 1 // the last unit is gone
			}
			mu.Unlock()
		}
	})
	wantEqual(t, "the units taken", taken, units)
	b.is(key("p", "stock"), store.Item{store.N("available", 0), store.N("held", units)})
}

func (c Config) testIncrements(t *testing.T) {
	b := c.open(t, nil)
	n := int(10 * c.Rounds)
	counter := key("p", "counter")
	together(workers, func(worker int, _ *rand.Rand) {
		for i := range n {
			marker := key(fmt.Sprint("w", worker), fmt.Sprint(i))
			err := b.persist(func(tx *store.Tx) error {
				it, err := tx.Get(counter)
				if err != nil {
					return err
				}
				tx.Put(counter, store.Item{store.N("n", it.Int("n")+1)})
				tx.Put(marker, store.Item{}, store.Absent())
				return nil
			})
			if r := store.RefusalOf(err); err != nil && (r == nil || r.Key != marker) { // a repeat finds its marker
				t.Errorf("worker %d: %v", worker, err)
			}
		}
	})
	b.is(counter, store.Item{store.N("n", int64(workers*n))})
}

const accounts = 5

func account(i int) store.Key { return key("account", fmt.Sprint(i)) }

func (c Config) testTransfers(t *testing.T) {
	b := c.open(t, nil)
	for i := range accounts {
		b.put(account(i), store.N("cents", 1000))
	}
	n := int(15 * c.Rounds)
	together(workers, func(worker int, rng *rand.Rand) {
		for range n {
			if worker%4 == 0 {
				b.audit()
				continue
			}
			from, to, cents := rng.IntN(accounts), rng.IntN(accounts), 1+rng.Int64N(400)
			if from == to {
				continue
			}
			err := b.persist(func(tx *store.Tx) error {
				a, err := tx.Get(account(from))
				if err != nil {
					return err
				}
				z, err := tx.Get(account(to))
				if err != nil || a.Int("cents") < cents {
					return err
				}
				tx.Put(account(from), store.Item{store.N("cents", a.Int("cents")-cents)})
				tx.Put(account(to), store.Item{store.N("cents", z.Int("cents")+cents)})
				return nil
			})
			if err != nil {
				t.Errorf("worker %d: %v", worker, err)
			}
		}
	})
	b.audit()
}

// audit reads all accounts in one transaction, and fails the test unless they hold what they held at first.
func (b box) audit() {
	sum := int64(0)
	err := b.persist(func(tx *store.Tx) error {
		sum = 0
		for i := range accounts {
			it, err := tx.Get(account(i))
			if err != nil {
				return err
			}
			if it.Int("cents") < 0 {
				b.t.Errorf("account %d holds %d", i, it.Int("cents"))
			}
			sum += it.Int("cents")
		}
		return nil
	})
	if err != nil || sum != 1000*accounts {
		b.t.Errorf("the accounts hold %d, %v", sum, err)
	}
}

func (c Config) testCreators(t *testing.T) {
	b := c.open(t, nil)
	for i := range int(5 * c.Rounds) {
		k := key("name", fmt.Sprint(i))
		var mu sync.Mutex
		winners := 0
		together(workers, func(worker int, _ *rand.Rand) {
			err := b.try(func(tx *store.Tx) { tx.Put(k, store.Item{store.N("by", int64(worker))}, store.Absent()) })
			mu.Lock()
			defer mu.Unlock()
			switch r := store.RefusalOf(err); {
			case err == nil:
				winners++
			case r == nil:
				t.Errorf("worker %d: %v", worker, err)
			case r.Item == nil:
				t.Errorf("worker %d was refused by nobody", worker)
			}
		})
		wantEqual(t, "the winners", winners, 1)
	}
}
