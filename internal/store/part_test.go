package store_test

import (
	"reflect"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestTxParts(t *testing.T) {
	a, b := key("p", "a"), key("p", "b")
	n := func(n int64) store.Item { return store.Item{store.N("n", n)} }
	// on begins a run on a store in which b is 5, and stages a first part.
	on := func(first func(tx *store.Tx)) *store.Tx {
		tx := store.NewTx(func(k store.Key) (store.Item, uint64, error) {
			if k == b {
				return n(5), 7, nil
			}
			return nil, 0, nil
		})
		first(tx)
		return tx
	}
	read := func(t *testing.T, tx *store.Tx, k store.Key, want store.Item) {
		t.Helper()
		for name, get := range map[string]func(store.Key) (store.Item, error){"Get": tx.Get, "Peek": tx.Peek} {
			if it, err := get(k); err != nil || !reflect.DeepEqual(it, want) {
				t.Errorf("%s of %s gives %v, %v, want %v", name, k, it, err, want)
			}
		}
	}

	t.Run("a part reads what the parts before it have staged, and does not record it", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Put(a, n(1)); tx.Delete(b) })
		tx.Then()
		read(t, tx, a, n(1))
		read(t, tx, b, nil)
		if len(tx.Reads()) != 0 {
			t.Errorf("recorded %v", tx.Reads())
		}
	})
	t.Run("but not what it has staged itself", func(t *testing.T) {
		tx := on(func(*store.Tx) {})
		tx.Then()
		tx.Put(b, n(9))
		read(t, tx, b, n(5))
	})
	t.Run("what an earlier part only checks is read from the store", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Check(b, store.Exists()) })
		tx.Then()
		read(t, tx, b, n(5))
	})
	t.Run("what an earlier part adds to cannot be read", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Add(b, []store.Delta{store.Inc("n", 1)}) })
		tx.Then()
		if it, err := tx.Get(b); err == nil {
			t.Errorf("reads %v", it)
		}
	})
	t.Run("a put over an earlier part's put is one operation, with the first one's conditions and the last one's item", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Put(a, n(1), store.Absent()) })
		tx.Then()
		tx.Put(a, n(2), store.Equal(store.N("n", 1)))
		tx.Then()
		tx.Put(a, n(3))
		want := []store.Op{{Kind: store.OpPut, Key: a, Item: n(3), Conds: []store.Cond{store.Absent()}}}
		if tx.Err() != nil || !reflect.DeepEqual(tx.Ops(), want) {
			t.Errorf("%v, %v", tx.Ops(), tx.Err())
		}
	})
	for rule, second := range map[string]func(tx *store.Tx){
		"a condition that does not hold on an earlier part's item":     func(tx *store.Tx) { tx.Put(a, n(2), store.Absent()) },
		"a key that the part has put itself":                           func(tx *store.Tx) { tx.Put(b, n(1)); tx.Put(b, n(2)) },
		"a key that the part has put over itself":                      func(tx *store.Tx) { tx.Put(a, n(2)); tx.Put(a, n(3)) },
		"an earlier part's put by anything but a put":                  func(tx *store.Tx) { tx.Delete(a) },
		"what an earlier part put, by an add":                          func(tx *store.Tx) { tx.Add(a, []store.Delta{store.Inc("n", 1)}) },
		"an item too large over an earlier one":                        func(tx *store.Tx) { tx.Put(a, store.Item{store.S("_v", "")}) },
		"a key that is none":                                           func(tx *store.Tx) { tx.Put(key("", ""), nil) },
		"a condition on what an earlier part has put, by a check":      func(tx *store.Tx) { tx.Check(a, store.Exists()) },
		"a condition that an earlier part's item fails, second of two": func(tx *store.Tx) { tx.Put(a, n(2), store.Exists(), store.AtLeast("n", 2)) },
	} {
		t.Run("Undo takes back the refusal of "+rule, func(t *testing.T) {
			tx := on(func(tx *store.Tx) { tx.Put(a, n(1), store.Absent()) })
			_, _ = tx.Get(b)
			ops, reads := append([]store.Op(nil), tx.Ops()...), append([]store.Read(nil), tx.Reads()...)
			mark := tx.Then()
			_, _ = tx.Get(key("p", "c"))
			if second(tx); tx.Err() == nil {
				t.Error("it is taken")
			}
			tx.Undo(mark)
			if tx.Err() != nil || !reflect.DeepEqual(tx.Ops(), ops) || !reflect.DeepEqual(tx.Reads(), reads) {
				t.Errorf("left are %v, %v, %v", tx.Ops(), tx.Reads(), tx.Err())
			}
		})
	}
	t.Run("Undo puts back what several parts have put over", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Put(a, n(1)) })
		mark := tx.Then()
		tx.Put(a, n(2))
		tx.Then()
		tx.Put(a, n(3))
		tx.Undo(mark)
		if ops := tx.Ops(); len(ops) != 1 || !reflect.DeepEqual(ops[0].Item, n(1)) || tx.Err() != nil {
			t.Errorf("%v, %v", ops, tx.Err())
		}
	})
	t.Run("a Tx that is used again has no parts", func(t *testing.T) {
		tx := on(func(tx *store.Tx) { tx.Put(a, n(1)) })
		tx.Then()
		tx.Put(a, n(2))
		tx.Reuse(func(store.Key) (store.Item, uint64, error) { return nil, 0, nil })
		tx.Put(b, n(1))
		read(t, tx, a, nil)
		if tx.Put(b, n(2)); tx.Err() == nil {
			t.Error("a key is put twice")
		}
	})
}
