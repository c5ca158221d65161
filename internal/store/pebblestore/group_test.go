package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// run decides a function's transaction within the group, without writing it. reads are as the function claims.
func (g *group) run(fn func(tx *store.Tx), seq uint64, reads ...store.Read) error {
	tx := store.NewTx(nil)
	fn(tx)
	return g.apply(reads, tx.Ops(), seq)
}

func TestGroup(t *testing.T) {
	k := key("p", "s")
	n := func(v int64) store.Item { return store.Item{store.N("n", v)} }
	putN := func(v int64, conds ...store.Cond) func(*store.Tx) {
		return func(tx *store.Tx) { tx.Put(k, n(v), conds...) }
	}
	begin := func(t *testing.T) *group {
		s := open(t, vfs.NewMem(), Options{})
		put(t, s, k, store.N("n", 1))
		g := newGroup(s.db, feedsNone, feedsNone)
		t.Cleanup(func() {
			if err := g.decided(); err != nil {
				t.Error(err)
			}
		})
		return &g
	}
	t.Run("a transaction sees what those before it have left", func(t *testing.T) {
		g := begin(t)
		steps := []struct {
			fn      func(tx *store.Tx)
			refused bool
		}{
			{putN(2, store.Equal(store.N("n", 1))), false},
			{putN(3, store.Equal(store.N("n", 1))), true},
			{func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Take("n", 2)}) }, false},
			{func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Take("n", 1)}) }, true},
			{func(tx *store.Tx) { tx.Delete(k, store.Equal(store.N("n", 0))) }, false},
			{putN(9, store.Exists()), true},
			{putN(9, store.Absent()), false},
		}
		for i, step := range steps {
			if err := g.run(step.fn, uint64(i+10)); (store.RefusalOf(err) != nil) != step.refused || err != nil && !step.refused {
				t.Errorf("step %d: %v", i, err)
			}
		}
	})
	t.Run("a refused transaction leaves no trace, not even of what it would have overwritten unseen", func(t *testing.T) {
		g := begin(t)
		err := g.run(func(tx *store.Tx) {
			tx.Put(k, n(5)) // nobody has looked at it
			tx.Check(key("p", "none"), store.Exists())
		}, 10)
		if store.RefusalOf(err) == nil {
			t.Fatal(err)
		}
		if err := g.run(putN(2, store.Equal(store.N("n", 1))), 10); err != nil {
			t.Error(err)
		}
	})
	t.Run("a read that the group has made void is a conflict, before any refusal", func(t *testing.T) {
		g := begin(t)
		read := store.Read{Key: k, Exists: true, Version: 1}
		if err := g.run(putN(2), 10, read); err != nil {
			t.Fatal(err)
		}
		if err := g.run(putN(3, store.Absent()), 11, read); !errors.Is(err, errConflict) {
			t.Errorf("%v, want a conflict", err)
		}
		if err := g.run(putN(3), 11, store.Read{Key: k, Exists: true, Version: 10}); err != nil {
			t.Error(err)
		}
	})
	t.Run("an add does not", func(t *testing.T) {
		g := begin(t)
		add := func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Inc("n", 1)}) }
		for seq := range uint64(3) {
			if err := g.run(add, 10+seq, store.Read{Key: k, Exists: true, Version: 1}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("an item that many move is written once", func(t *testing.T) {
		g := begin(t)
		for seq := range uint64(100) {
			if err := g.run(func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Inc("n", 1)}) }, 10+seq); err != nil {
				t.Fatal(err)
			}
		}
		batch, _, err := g.flush(109)
		if err != nil || batch.Count() != 2 { // the item, and the number
			t.Errorf("%d entries, %v", batch.Count(), err)
		}
		if err := batch.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGroupsAreTheReference decides random transactions in groups of random length, and compares each decision and
// each state with memstore's, which takes them one by one.
func TestGroupsAreTheReference(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			ref := memstore.New(memstore.Options{})
			s := open(t, vfs.NewMem(), Options{})
			g := newGroup(s.db, func(k store.Key) bool { return k.PK == "p0" }, feedsNone)
			seq := uint64(0)
			for range 60 {
				for range 1 + rng.IntN(12) {
					stage := randomStage(rng)
					got := g.run(stage, seq+1)
					want := ref.Update(context.Background(), func(tx *store.Tx) error { stage(tx); return nil })
					compareOutcome(t, got, want)
					if got == nil {
						seq++
					}
				}
				writeGroup(t, s, &g, seq)
				if rng.IntN(5) == 0 { // forgets, as after many other items
					g.cells = newCells()
				}
			}
			s.publish(seq)
			for pk := range 2 {
				q := store.Query{Table: "t", PK: fmt.Sprint("p", pk)}
				got, err := s.Range(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				want, err := ref.Range(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%v, want %v", got, want)
				}
			}
		})
	}
}

func writeGroup(t *testing.T, s *Store, g *group, seq uint64) {
	t.Helper()
	if err := g.decided(); err != nil {
		t.Fatal(err)
	}
	batch, _, err := g.flush(seq)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.db.Apply(batch, pebble.NoSync), batch.Close()); err != nil {
		t.Fatal(err)
	}
	g.cells.rotate()
}

func compareOutcome(t *testing.T, got, want error) {
	t.Helper()
	g, w := store.RefusalOf(got), store.RefusalOf(want)
	switch {
	case got == nil && want == nil:
	case g != nil && w != nil && g.Key == w.Key && fmt.Sprint(g.Item) == fmt.Sprint(w.Item):
	default:
		t.Fatalf("%v (%v), want %v (%v)", got, g, want, w)
	}
}

func randomStage(rng *rand.Rand) func(tx *store.Tx) {
	type step struct {
		k       store.Key
		kind    int
		n       int64
		guarded bool
	}
	var steps []step
	used := map[store.Key]bool{}
	for range 1 + rng.IntN(3) {
		k := key(fmt.Sprint("p", rng.IntN(2)), fmt.Sprint(rng.IntN(3)))
		if !used[k] {
			steps = append(steps, step{k, rng.IntN(5), rng.Int64N(3), rng.IntN(2) == 0})
		}
		used[k] = true
	}
	return func(tx *store.Tx) {
		for _, st := range steps {
			var conds []store.Cond
			if st.guarded {
				conds = append(conds, []store.Cond{store.Exists(), store.Absent(), store.AtLeast("n", 1)}[st.n])
			}
			switch st.kind {
			case 0:
				tx.Delete(st.k, conds...)
			case 1:
				tx.Check(st.k, append(conds, store.NotEqual(store.N("n", st.n)))...)
			case 2:
				tx.Add(st.k, []store.Delta{store.Take("n", st.n)}, conds...)
			case 3:
				tx.Add(st.k, []store.Delta{store.Inc("n", st.n)}, conds...)
			default:
				tx.Put(st.k, store.Item{store.N("n", st.n)}, conds...)
			}
		}
	}
}

func TestCells(t *testing.T) {
	t.Run("what is asked for in every generation stays, what is not is forgotten", func(t *testing.T) {
		m := newCells()
		hot := m.add(&cell{key: key("p", "hot")})
		m.add(&cell{key: key("p", "cold")})
		for i := range 3 * generationCells {
			m.add(&cell{key: key("p", fmt.Sprint(i))})
			m.rotate()
			if i%100 == 0 && m.find(key("p", "hot")) != hot {
				t.Fatalf("forgotten after %d others", i)
			}
		}
		if m.find(key("p", "cold")) != nil {
			t.Error("it remembers everything")
		}
		if n := len(m.recent) + len(m.former); n > 2*generationCells+2 {
			t.Errorf("it remembers %d items", n)
		}
	})
	t.Run("large items end a generation sooner", func(t *testing.T) {
		m := newCells()
		for i := range 1000 {
			m.add(&cell{key: key("p", fmt.Sprint(i)), raw: make([]byte, store.MaxItemBytes)})
			m.rotate()
		}
		if n := len(m.recent) + len(m.former); n > 2*generationBytes/store.MaxItemBytes+2 {
			t.Errorf("it remembers %d items", n)
		}
	})
	t.Run("also those that grew after they came", func(t *testing.T) {
		s := open(t, vfs.NewMem(), Options{})
		g := newGroup(s.db, feedsNone, feedsNone)
		large := store.Item{store.B("b", make([]byte, store.MaxItemBytes/2))}
		for i := range uint64(500) {
			if err := g.run(func(tx *store.Tx) { tx.Put(key("p", fmt.Sprint(i)), large, store.Absent()) }, i+1); err != nil {
				t.Fatal(err)
			}
			writeGroup(t, s, &g, i+1)
		}
		if n := len(g.cells.recent) + len(g.cells.former); n > 4*generationBytes/store.MaxItemBytes+2 {
			t.Errorf("it remembers %d items", n)
		}
	})
	t.Run("what was only overwritten is forgotten with its group", func(t *testing.T) {
		m := newCells()
		known := m.add(&cell{key: key("p", "known")})
		if m.blind(key("p", "known")) != known {
			t.Error("two cells for one item")
		}
		m.blind(key("p", "entry"))
		m.rotate()
		if m.find(key("p", "entry")) != nil || m.find(key("p", "known")) != known {
			t.Errorf("it remembers %v", m.recent)
		}
	})
}
