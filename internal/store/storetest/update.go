package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func (c Config) testAtomicity(t *testing.T) {
	t.Run("all operations of a commit are there together", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "old"), store.N("n", 1))
		b.put(key("p", "count"), store.N("n", 5))
		b.update(func(tx *store.Tx) {
			tx.Put(key("p", "new"), store.Item{store.N("n", 2)})
			tx.Delete(key("p", "old"))
			tx.Add(key("p", "count"), []store.Delta{store.Inc("n", 3), store.Inc("m", -1)})
			tx.Check(key("p", "nothing"), store.Absent())
		})
		b.is(key("p", "new"), store.Item{store.N("n", 2)})
		b.is(key("p", "old"), nil)
		b.is(key("p", "count"), store.Item{store.N("n", 8), store.N("m", -1)})
	})
	t.Run("one refused operation undoes all", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "count"), store.N("n", 5))
		err := b.try(func(tx *store.Tx) {
			tx.Put(key("p", "new"), store.Item{})
			tx.Add(key("p", "count"), []store.Delta{store.Inc("n", 1)})
			tx.Check(key("p", "nothing"), store.Exists())
			tx.Put(key("p", "newer"), store.Item{})
		})
		wantEqual(t, "the refused key", refused(t, err).Key, key("p", "nothing"))
		b.is(key("p", "new"), nil)
		b.is(key("p", "newer"), nil)
		b.is(key("p", "count"), store.Item{store.N("n", 5)})
	})
	t.Run("the function's own error is returned and nothing is written", func(t *testing.T) {
		b := c.open(t, nil)
		mine := errors.New("mine")
		err := b.Update(context.Background(), func(tx *store.Tx) error {
			tx.Put(key("p", "s"), store.Item{})
			return mine
		})
		wantEqual(t, "the error", err, mine)
		b.is(key("p", "s"), nil)
	})
	t.Run("a put replaces the whole item", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "s"), store.N("n", 1), store.S("old", "x"))
		b.put(key("p", "s"), store.N("n", 2))
		b.is(key("p", "s"), store.Item{store.N("n", 2)})
	})
	t.Run("deleting what is absent is no failure", func(t *testing.T) {
		b := c.open(t, nil)
		b.update(func(tx *store.Tx) { tx.Delete(key("p", "s")) })
		b.is(key("p", "s"), nil)
	})
	t.Run("a transaction does not see what it has staged", func(t *testing.T) {
		b := c.open(t, nil)
		b.update(func(tx *store.Tx) {
			tx.Put(key("p", "s"), store.Item{})
			if it := mustGet(t, tx, key("p", "s")); it != nil {
				t.Errorf("item %v", it)
			}
		})
	})
	t.Run("an add makes an absent item, and starts an absent attribute at zero", func(t *testing.T) {
		b := c.open(t, nil)
		b.update(func(tx *store.Tx) { tx.Add(key("p", "s"), []store.Delta{store.Inc("n", 7)}) })
		b.is(key("p", "s"), store.Item{store.N("n", 7)})
	})
	t.Run("an add leaves the other attributes alone", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "s"), store.S("name", "mug"), store.N("n", 1))
		b.update(func(tx *store.Tx) { tx.Add(key("p", "s"), []store.Delta{store.Take("n", 1)}) })
		b.is(key("p", "s"), store.Item{store.S("name", "mug"), store.N("n", 0)})
	})
}

func (c Config) testRefusals(t *testing.T) {
	active := store.S("status", "ACTIVE")
	there := store.Item{active, store.N("n", 5), store.S("text", "5"), store.Bool("flag", true)}
	cases := []struct {
		cond          string
		c             store.Cond
		there, absent bool // whether it holds on the item, and where there is none
	}{
		{"Exists", store.Exists(), true, false},
		{"Absent", store.Absent(), false, true},
		{"Equal", store.Equal(active), true, false},
		{"Equal to another value", store.Equal(store.S("status", "CLOSED")), false, false},
		{"Equal to another type", store.Equal(store.N("text", 5)), false, false},
		{"Equal on an absent attribute", store.Equal(store.S("none", "")), false, false},
		{"NotEqual", store.NotEqual(active), false, true},
		{"NotEqual to another value", store.NotEqual(store.S("status", "CLOSED")), true, true},
		{"NotEqual to another type", store.NotEqual(store.N("text", 5)), true, true},
		{"NotEqual on an absent attribute", store.NotEqual(store.S("none", "")), true, true},
		{"AtLeast the same", store.AtLeast("n", 5), true, false},
		{"AtLeast more", store.AtLeast("n", 6), false, false},
		{"AtLeast on a string", store.AtLeast("text", 1), false, false},
		{"AtLeast on an absent attribute", store.AtLeast("none", -1), false, false},
		{"Below more", store.Below("n", 6), true, false},
		{"Below the same", store.Below("n", 5), false, false},
		{"Below on an absent attribute", store.Below("none", 1), false, false},
		{"Equal on a boolean", store.Equal(store.Bool("flag", true)), true, false},
	}
	ops := map[string]func(tx *store.Tx, k store.Key, c store.Cond){
		"put":    func(tx *store.Tx, k store.Key, c store.Cond) { tx.Put(k, store.Item{store.S("by", "put")}, c) },
		"delete": func(tx *store.Tx, k store.Key, c store.Cond) { tx.Delete(k, c) },
		"check":  func(tx *store.Tx, k store.Key, c store.Cond) { tx.Check(k, c) },
		"add": func(tx *store.Tx, k store.Key, c store.Cond) {
			tx.Add(k, []store.Delta{store.Inc("n", 1)}, c)
		},
	}
	for name, op := range ops {
		t.Run("of a "+name, func(t *testing.T) {
			b := c.open(t, nil)
			for i, tc := range cases {
				t.Run(tc.cond, func(t *testing.T) {
					b := b.in(t)
					k, none := key(fmt.Sprint("p", i), "there"), key(fmt.Sprint("p", i), "absent")
					b.put(k, there...)
					judge(t, b, "on the item", b.try(func(tx *store.Tx) { op(tx, k, tc.c) }), tc.there, k, there)
					judge(t, b, "on nothing", b.try(func(tx *store.Tx) { op(tx, none, tc.c) }), tc.absent, none, nil)
				})
			}
		})
	}
	t.Run("every condition of an operation has to hold", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "s"), there...)
		err := b.try(func(tx *store.Tx) {
			tx.Delete(key("p", "s"), store.Exists(), store.Equal(active), store.AtLeast("n", 6))
		})
		wantEqual(t, "the refused key", refused(t, err).Key, key("p", "s"))
		b.is(key("p", "s"), there)
	})
	t.Run("the first of several is named", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "b"), there...)
		err := b.try(func(tx *store.Tx) {
			tx.Put(key("p", "c"), store.Item{})
			tx.Put(key("p", "b"), store.Item{}, store.Absent())
			tx.Check(key("p", "a"), store.Exists())
		})
		r := refused(t, err)
		if r.Key != key("p", "b") || !r.Item.Equal(there) {
			t.Errorf("refusal of %s, which is %v", r.Key, r.Item)
		}
	})
	t.Run("of a delta", c.testFloors)
}

// judge compares the outcome of one conditional operation with what its condition asks for.
func judge(t *testing.T, b box, where string, err error, holds bool, k store.Key, item store.Item) {
	t.Helper()
	if holds {
		if err != nil {
			t.Errorf("%s: %v, want it to hold", where, err)
		}
		return
	}
	r := store.RefusalOf(err)
	if r == nil {
		t.Errorf("%s: %v, want a refusal", where, err)
		return
	}
	if r.Key != k || !r.Item.Equal(item) {
		t.Errorf("%s: refusal of %s, which is %v, want %s, which is %v", where, r.Key, r.Item, k, item)
	}
	b.is(k, item)
}

func (c Config) testFloors(t *testing.T) {
	cases := []struct {
		rule  string
		item  store.Item
		delta store.Delta
		want  store.Item // nil: refused
	}{
		{"down to the floor", store.Item{store.N("n", 3)}, store.Take("n", 3), store.Item{store.N("n", 0)}},
		{"below the floor", store.Item{store.N("n", 3)}, store.Take("n", 4), nil},
		{"with a floor of its own", store.Item{store.N("n", 3)}, store.Delta{Name: "n", By: -1, Floor: 3, HasFloor: true}, nil},
		{"with a floor, on an absent attribute", store.Item{}, store.Take("n", 0), nil},
		{"without a floor, below zero", store.Item{store.N("n", 3)}, store.Inc("n", -4), store.Item{store.N("n", -1)}},
		{"on a string", store.Item{store.S("n", "3")}, store.Inc("n", 1), nil},
		{"beyond the greatest integer", store.Item{store.N("n", math.MaxInt64)}, store.Inc("n", 1), nil},
		{"beyond the least integer", store.Item{store.N("n", math.MinInt64)}, store.Inc("n", -1), nil},
		{"beyond the least integer, with a floor", store.Item{store.N("n", -2)}, store.Take("n", math.MaxInt64), nil},
	}
	b := c.open(t, nil)
	for i, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			b := b.in(t)
			k := key(fmt.Sprint("p", i), "s")
			b.put(k, tc.item...)
			err := b.try(func(tx *store.Tx) { tx.Add(k, []store.Delta{tc.delta}) })
			if tc.want == nil {
				r := refused(t, err)
				if r.Key != k || !r.Item.Equal(tc.item) {
					t.Errorf("refusal of %s, which is %v", r.Key, r.Item)
				}
				b.is(k, tc.item)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b.is(k, tc.want)
		})
	}
	t.Run("with a floor, on an absent item", func(t *testing.T) {
		b := b.in(t)
		r := refused(t, b.try(func(tx *store.Tx) { tx.Add(key("none", "s"), []store.Delta{store.Take("n", 1)}) }))
		if r.Item != nil {
			t.Errorf("the refusal's item is %v", r.Item)
		}
		b.is(key("none", "s"), nil)
	})
	t.Run("and the other deltas of the operation are not applied", func(t *testing.T) {
		b := b.in(t)
		b.put(key("two", "s"), store.N("available", 1), store.N("held", 0))
		err := b.try(func(tx *store.Tx) {
			tx.Add(key("two", "s"), []store.Delta{store.Inc("held", 2), store.Take("available", 2)})
		})
		wantEqual(t, "the refused key", refused(t, err).Key, key("two", "s"))
		b.is(key("two", "s"), store.Item{store.N("available", 1), store.N("held", 0)})
	})
}

func (c Config) testLimits(t *testing.T) {
	puts := func(tx *store.Tx, n int) {
		for i := range n {
			tx.Put(key("p", fmt.Sprint("w", i)), store.Item{})
		}
	}
	gets := func(t *testing.T, tx *store.Tx, n int) {
		for i := range n {
			mustGet(t, tx, key("p", fmt.Sprint("r", i)))
		}
	}
	large := func(n int) store.Item { return store.Item{store.S("v", strings.Repeat("x", n-1))} }
	cases := []struct {
		rule  string
		taken bool
		fn    func(t *testing.T, tx *store.Tx)
	}{
		{"a hundred operations", true, func(t *testing.T, tx *store.Tx) { puts(tx, 100) }},
		{"a hundred and one operations", false, func(t *testing.T, tx *store.Tx) { puts(tx, 101) }},
		{"reads count as operations", false, func(t *testing.T, tx *store.Tx) { puts(tx, 60); gets(t, tx, 41) }},
		{"a hundred with the reads", true, func(t *testing.T, tx *store.Tx) { puts(tx, 60); gets(t, tx, 40) }},
		{"a read of what is written counts once", true, func(t *testing.T, tx *store.Tx) { puts(tx, 100); mustGet(t, tx, key("p", "w7")) }},
		{"a peek counts for nothing", true, func(t *testing.T, tx *store.Tx) {
			puts(tx, 100)
			if _, err := tx.Peek(key("p", "x")); err != nil {
				t.Error(err)
			}
		}},
		{"an item of 400 KB", true, func(t *testing.T, tx *store.Tx) { tx.Put(key("p", "w0"), large(store.MaxItemBytes)) }},
		{"an item of more than 400 KB", false, func(t *testing.T, tx *store.Tx) { tx.Put(key("p", "w0"), large(store.MaxItemBytes+1)) }},
		{"more than 4 MB", false, func(t *testing.T, tx *store.Tx) {
			for i := range 11 {
				tx.Put(key("p", fmt.Sprint("w", i)), large(399_000))
			}
		}},
		{"two operations of one key", false, func(t *testing.T, tx *store.Tx) {
			tx.Check(key("p", "w0"), store.Absent())
			tx.Put(key("p", "w0"), store.Item{})
		}},
		{"a check without a condition", false, func(t *testing.T, tx *store.Tx) { tx.Check(key("p", "w0")) }},
		{"an add of nothing", false, func(t *testing.T, tx *store.Tx) { tx.Add(key("p", "w0"), nil) }},
		{"an add that moves an attribute twice", false, func(t *testing.T, tx *store.Tx) {
			tx.Add(key("p", "w0"), []store.Delta{store.Inc("n", 1), store.Inc("n", 1)})
		}},
		{"a reserved name", false, func(t *testing.T, tx *store.Tx) { tx.Put(key("p", "w0"), store.Item{store.S("pk", "x")}) }},
		{"a name twice", false, func(t *testing.T, tx *store.Tx) {
			tx.Put(key("p", "w0"), store.Item{store.N("n", 1), store.N("n", 1)})
		}},
		{"an empty partition key", false, func(t *testing.T, tx *store.Tx) { tx.Put(key("", "w0"), store.Item{}) }},
		{"a NUL in a key", false, func(t *testing.T, tx *store.Tx) { tx.Put(key("p", "w\x000"), store.Item{}) }},
		{"a sort key that is too long", false, func(t *testing.T, tx *store.Tx) {
			tx.Put(key("p", strings.Repeat("k", store.MaxKeyBytes+1)), store.Item{})
		}},
	}
	for _, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			b := c.open(t, nil)
			err := b.try(func(tx *store.Tx) { tc.fn(t, tx) })
			if tc.taken {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantKind(t, err, fault.Internal)
			b.is(key("p", "w0"), nil)
		})
	}
	t.Run("a read of a key that no store takes", func(t *testing.T) {
		_, err := c.open(t, nil).Get(context.Background(), key("", ""), store.Strong)
		wantKind(t, err, fault.Internal)
	})
}
