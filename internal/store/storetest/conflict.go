package storetest

import (
	"context"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// meanwhile runs an Update whose first run calls other between its reads and its commit. It returns how often the
// function ran.
func (b box) meanwhile(read func(tx *store.Tx), other func(), stage func(tx *store.Tx)) (runs int, err error) {
	err = b.try(func(tx *store.Tx) {
		runs++
		read(tx)
		if runs == 1 {
			other()
		}
		stage(tx)
	})
	return runs, err
}

func (c Config) testConflicts(t *testing.T) {
	k, out := key("p", "s"), key("p", "out")
	var b box
	var seen store.Item
	get := func(tx *store.Tx) { seen = mustGet(b.t, tx, k) }
	peek := func(tx *store.Tx) { seen, _ = tx.Peek(k) }
	write := func(tx *store.Tx) { tx.Put(out, store.Item{store.N("n", seen.Int("n"))}) }
	nothing := func(*store.Tx) {}
	cases := []struct {
		rule  string
		read  func(*store.Tx)
		setup func()
		other func()
		stage func(*store.Tx)
		runs  int
		saw   int64
	}{
		{"after a put", get, func() { b.put(k, store.N("n", 1)) }, func() { b.put(k, store.N("n", 2)) }, write, 2, 2},
		{"after a put of the same item", get, func() { b.put(k, store.N("n", 1)) }, func() { b.put(k, store.N("n", 1)) }, write, 2, 1},
		{"after a delete", get, func() { b.put(k, store.N("n", 1)) }, func() { b.delete(k) }, write, 2, 0},
		{"after an absent item came", get, func() {}, func() { b.put(k, store.N("n", 3)) }, write, 2, 3},
		{"after an add brought an absent item", get, func() {}, func() { b.add(k, 3) }, write, 2, 3},
		{"after it was deleted and put again as it was", get, func() { b.put(k, store.N("n", 1)) },
			func() { b.delete(k); b.put(k, store.N("n", 1)) }, write, 2, 1},
		{"after it was deleted and added again as it was", get, func() { b.add(k, 1) },
			func() { b.delete(k); b.add(k, 1) }, write, 2, 1},
		{"also if the function writes nothing", get, func() { b.put(k, store.N("n", 1)) }, func() { b.put(k, store.N("n", 2)) }, nothing, 2, 2},
		{"but not after an add", get, func() { b.put(k, store.N("n", 1)) }, func() { b.add(k, 1) }, write, 1, 1},
		{"but not after an add to what an add has made", get, func() { b.add(k, 1) }, func() { b.add(k, 1) }, write, 1, 1},
		{"but not if it was only peeked", peek, func() { b.put(k, store.N("n", 1)) }, func() { b.put(k, store.N("n", 2)) }, write, 1, 1},
		{"but not if an absent item came and went", get, func() {}, func() { b.put(k); b.delete(k) }, write, 1, 0},
		{"but not after a write to its neighbour", get, func() { b.put(k, store.N("n", 1)) }, func() { b.put(key("p", "t")) }, write, 1, 1},
	}
	for _, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			b = c.open(t, nil)
			tc.setup()
			runs, err := b.meanwhile(tc.read, tc.other, tc.stage)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "runs", runs, tc.runs)
			wantEqual(t, "the last run's view", seen.Int("n"), tc.saw)
		})
	}
	t.Run("and the second run sees what it lost to", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(k, store.N("n", 1))
		var views []int64
		_, err := b.meanwhile(func(tx *store.Tx) { views = append(views, mustGet(t, tx, k).Int("n")) },
			func() { b.put(k, store.N("n", 2)) },
			func(tx *store.Tx) { tx.Put(k, store.Item{store.N("n", views[len(views)-1]+10)}) })
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "the views", views, []int64{1, 2})
		b.is(k, store.Item{store.N("n", 12)})
	})
	t.Run("and is not a refusal, though a condition fails too", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(k, store.S("status", "OPEN"))
		var status string
		runs, err := b.meanwhile(func(tx *store.Tx) { status = mustGet(t, tx, k).Str("status") },
			func() { b.put(k, store.S("status", "HELD")) },
			func(tx *store.Tx) {
				tx.Put(k, store.Item{store.S("status", "DONE")}, store.Equal(store.S("status", status)))
			})
		if err != nil || runs != 2 {
			t.Errorf("%d runs, %v", runs, err)
		}
		b.is(k, store.Item{store.S("status", "DONE")})
	})
	t.Run("but a refusal whose reads still stand is an answer", func(t *testing.T) {
		b := c.open(t, nil)
		runs, err := b.meanwhile(func(tx *store.Tx) { mustGet(t, tx, k) },
			func() { b.put(out, store.N("n", 9)) },
			func(tx *store.Tx) { tx.Put(out, store.Item{}, store.Absent()) })
		if r := refused(t, err); r.Item.Int("n") != 9 || runs != 1 {
			t.Errorf("%d runs, refused with %v", runs, r.Item)
		}
	})
	t.Run("eight times, then the update is transient", func(t *testing.T) {
		b := c.open(t, nil)
		runs := 0
		err := b.try(func(tx *store.Tx) {
			mustGet(t, tx, k)
			runs++
			b.put(k, store.N("n", int64(runs)))
			tx.Put(out, store.Item{})
		})
		wantKind(t, err, fault.Transient)
		wantEqual(t, "runs", runs, 1+store.MaxReruns)
		b.is(out, nil)
	})
	t.Run("unless its context has ended", func(t *testing.T) {
		b := c.open(t, nil)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		runs := 0
		err := b.Update(ctx, func(tx *store.Tx) error {
			runs++
			cancel()
			tx.Put(out, store.Item{})
			return nil
		})
		wantKind(t, err, fault.Transient)
		wantEqual(t, "runs", runs, 1)
		b.is(out, nil)
	})
}

func (b box) delete(k store.Key) {
	b.t.Helper()
	b.update(func(tx *store.Tx) { tx.Delete(k) })
}

func (b box) add(k store.Key, n int64) {
	b.t.Helper()
	b.update(func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Inc("n", n)}) })
}
