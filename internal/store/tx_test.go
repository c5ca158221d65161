package store_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func key(pk, sk string) store.Key { return store.Key{Table: "t", PK: pk, SK: sk} }

// newTx begins a run on a store that holds nothing.
func newTx() *store.Tx {
	return store.NewTx(func(store.Key) (store.Item, uint64, error) { return nil, 0, nil })
}

func TestTxLimits(t *testing.T) {
	puts := func(tx *store.Tx, n int) {
		for i := range n {
			tx.Put(key("p", fmt.Sprint(i)), nil)
		}
	}
	gets := func(tx *store.Tx, n int) {
		for i := range n {
			_, _ = tx.Get(key("p", fmt.Sprint("r", i)))
		}
	}
	sized := func(n int) store.Item { return store.Item{store.S("v", strings.Repeat("x", n-1))} }
	ten := make([]store.Delta, 10)
	for i := range ten {
		ten[i] = store.Inc(fmt.Sprint("n", i), 1)
	}
	one := store.Inc("n", 1)
	cases := []struct {
		rule  string
		taken bool
		stage func(tx *store.Tx)
	}{
		{"nothing", true, func(*store.Tx) {}},
		{"a hundred operations", true, func(tx *store.Tx) { puts(tx, 100) }},
		{"a hundred and one operations", false, func(tx *store.Tx) { puts(tx, 101) }},
		{"a hundred reads", true, func(tx *store.Tx) { gets(tx, 100) }},
		{"a hundred and one reads", false, func(tx *store.Tx) { gets(tx, 101) }},
		{"the same read a thousand times", true, func(tx *store.Tx) {
			for range 1000 {
				gets(tx, 1)
			}
		}},
		{"operations and reads over a hundred together", false, func(tx *store.Tx) { puts(tx, 50); gets(tx, 51) }},
		{"a read of what is written counts once", true, func(tx *store.Tx) { puts(tx, 100); _, _ = tx.Get(key("p", "7")) }},
		{"400 KB in an item", true, func(tx *store.Tx) { tx.Put(key("p", ""), sized(store.MaxItemBytes)) }},
		{"a byte more", false, func(tx *store.Tx) { tx.Put(key("p", ""), sized(store.MaxItemBytes+1)) }},
		{"4 MB in all", true, func(tx *store.Tx) {
			for i := range 10 {
				tx.Put(key("p", fmt.Sprint(i)), sized(399_000))
			}
		}},
		{"more than 4 MB in all", false, func(tx *store.Tx) {
			for i := range 11 {
				tx.Put(key("p", fmt.Sprint(i)), sized(399_000))
			}
		}},
		{"a key twice", false, func(tx *store.Tx) { puts(tx, 1); puts(tx, 1) }},
		{"a key twice, in different operations", false, func(tx *store.Tx) { puts(tx, 1); tx.Check(key("p", "0"), store.Absent()) }},
		{"a check without a condition", false, func(tx *store.Tx) { tx.Check(key("p", "")) }},
		{"an add of ten attributes", true, func(tx *store.Tx) { tx.Add(key("p", ""), ten) }},
		{"an add of eleven attributes", false, func(tx *store.Tx) { tx.Add(key("p", ""), append(ten, store.Inc("more", 1))) }},
		{"an add of none", false, func(tx *store.Tx) { tx.Add(key("p", ""), nil) }},
		{"an add of one attribute twice", false, func(tx *store.Tx) { tx.Add(key("p", ""), []store.Delta{one, one}) }},
		{"an add of a reserved attribute", false, func(tx *store.Tx) { tx.Add(key("p", ""), []store.Delta{store.Inc("_v", 1)}) }},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			tx := newTx()
			c.stage(tx)
			if err := tx.Err(); (err == nil) != c.taken {
				t.Errorf("Err is %v", err)
			}
		})
	}
	t.Run("the first mistake is the one that is told", func(t *testing.T) {
		tx := newTx()
		tx.Put(key("", ""), nil)
		tx.Put(key("p", "a\x00b"), nil)
		if err := tx.Err(); err == nil || !strings.Contains(err.Error(), "no table or partition") {
			t.Errorf("Err is %v", err)
		}
	})
}

func TestCheckKeyAndItem(t *testing.T) {
	long := strings.Repeat("k", store.MaxKeyBytes)
	keys := map[store.Key]bool{
		{Table: "t", PK: "p"}:                      true,
		{Table: "t", PK: long, SK: long}:           true,
		{PK: "p"}:                                  false,
		{Table: "t"}:                               false,
		{Table: "t", PK: long + "k"}:               false,
		{Table: "t", PK: "p", SK: long + "k"}:      false,
		{Table: "t\x00", PK: "p"}:                  false,
		{Table: "t", PK: "\x00"}:                   false,
		{Table: "t", PK: "p", SK: "a\x00"}:         false,
		{Table: "t", PK: "p", SK: "\x01\xff/ü€\n"}: true,
	}
	for k, ok := range keys {
		if err := store.CheckKey(k); (err == nil) != ok {
			t.Errorf("CheckKey(%q) is %v", k, err)
		}
	}
	for _, name := range []string{"", "pk", "sk", "_v", "_"} {
		if store.CheckItem(store.Item{store.S(name, "x")}) == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	if store.CheckItem(store.Item{store.S("a", ""), store.S("b", ""), store.N("a", 1)}) == nil {
		t.Error("a name twice is taken")
	}
	if err := store.CheckItem(store.Item{store.S("pkg", ""), store.S("s_k", ""), store.N("expires_at", 1)}); err != nil {
		t.Error(err)
	}
}

func TestTxReads(t *testing.T) {
	versions := map[store.Key]uint64{key("p", "a"): 3}
	tx := store.NewTx(func(k store.Key) (store.Item, uint64, error) {
		if v, ok := versions[k]; ok {
			return store.Item{}, v, nil
		}
		if k.SK == "broken" {
			return nil, 0, errors.New("broken")
		}
		return nil, 0, nil
	})
	for _, sk := range []string{"a", "absent", "a"} {
		if _, err := tx.Get(key("p", sk)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Peek(key("p", "peeked")); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Get(key("p", "broken")); err == nil {
		t.Error("the error of a read is lost")
	}
	want := []store.Read{{Key: key("p", "a"), Exists: true, Version: 3}, {Key: key("p", "absent")}}
	got := tx.Reads()
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the reads are %v, want %v: each once, without what was peeked", got, want)
	}
}

func TestTxReuse(t *testing.T) {
	tx := newTx()
	for i := range 9 { // more than a Tx has room for by itself
		_, _ = tx.Get(key("r", fmt.Sprint(i)))
		tx.Put(key("p", fmt.Sprint(i)), store.Item{store.N("n", 1)}, store.Absent())
	}
	tx.Put(key("", ""), nil)
	if tx.Err() == nil {
		t.Fatal("a key without a partition is taken")
	}
	tx.Reuse(func(store.Key) (store.Item, uint64, error) { return store.Item{}, 7, nil })
	if tx.Err() != nil || len(tx.Reads()) > 0 || len(tx.Ops()) > 0 {
		t.Errorf("it begins with %v, %v, %v", tx.Err(), tx.Reads(), tx.Ops())
	}
	if it, err := tx.Get(key("p", "0")); it == nil || err != nil || tx.Reads()[0].Version != 7 {
		t.Errorf("it reads %v, %v as the run before did", it, err)
	}
	tx.Delete(key("p", "0"))
	if ops := tx.Ops(); len(ops) != 1 || len(ops[0].Conds) > 0 || ops[0].Item != nil || tx.Err() != nil {
		t.Errorf("it holds %v, %v", ops, tx.Err())
	}
}

func TestApply(t *testing.T) {
	item := store.Item{store.S("s", "x"), store.N("n", 5)}
	op := func(stage func(tx *store.Tx)) store.Op {
		tx := newTx()
		stage(tx)
		return tx.Ops()[0]
	}
	k := key("p", "")
	add := func(deltas ...store.Delta) store.Op { return op(func(tx *store.Tx) { tx.Add(k, deltas) }) }
	cases := []struct {
		rule string
		op   store.Op
		on   store.Item
		want store.Item
		ok   bool
	}{
		{"a put replaces", op(func(tx *store.Tx) { tx.Put(k, store.Item{store.N("m", 1)}) }), item, store.Item{store.N("m", 1)}, true},
		{"a put of nil is an empty item", op(func(tx *store.Tx) { tx.Put(k, nil) }), nil, store.Item{}, true},
		{"a delete removes", op(func(tx *store.Tx) { tx.Delete(k) }), item, nil, true},
		{"a check leaves the item", op(func(tx *store.Tx) { tx.Check(k, store.Exists()) }), item, item, true},
		{"a condition refuses", op(func(tx *store.Tx) { tx.Put(k, nil, store.Exists(), store.Below("n", 5)) }), item, nil, false},
		{"an add moves", add(store.Inc("n", -7)), item, store.Item{store.S("s", "x"), store.N("n", -2)}, true},
		{"an add to nothing begins at zero", add(store.Inc("n", 7)), nil, store.Item{store.N("n", 7)}, true},
		{"a take to the floor", add(store.Take("n", 5)), item, store.Item{store.S("s", "x"), store.N("n", 0)}, true},
		{"a take below the floor", add(store.Take("n", 6)), item, nil, false},
		{"a take of what is absent", add(store.Take("m", 0)), item, nil, false},
		{"an add to a text", add(store.Inc("s", 1)), item, nil, false},
		{"an add up to the greatest integer", add(store.Inc("n", math.MaxInt64-5)), item, store.Item{store.S("s", "x"), store.N("n", math.MaxInt64)}, true},
		{"an add beyond the greatest integer", add(store.Inc("n", math.MaxInt64-4)), item, nil, false},
		{"an add beyond the least integer", add(store.Inc("n", math.MinInt64)), store.Item{store.N("n", -1)}, nil, false},
		{"an add of nothing at the end of the integers", add(store.Inc("n", 0)), store.Item{store.N("n", math.MinInt64)}, store.Item{store.N("n", math.MinInt64)}, true},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got, ok := c.op.Apply(c.on)
			if ok != c.ok {
				t.Fatalf("applied: %v", ok)
			}
			if ok {
				wantSame(t, got, c.want)
			}
		})
	}
	t.Run("the item that stood there is not changed in place", func(t *testing.T) {
		o := add(store.Inc("n", 1))
		if _, ok := o.Apply(item); !ok || item.Int("n") != 5 {
			t.Errorf("the item is %v", item)
		}
	})
}

func TestQuery(t *testing.T) {
	for limit, want := range map[int]int{0: store.MaxRangeLimit, 1: 1, store.MaxRangeLimit: store.MaxRangeLimit} {
		if got, err := (store.Query{Limit: limit}).Bound(); err != nil || got != want {
			t.Errorf("the bound of %d is %d, %v", limit, got, err)
		}
	}
	for _, limit := range []int{-1, store.MaxRangeLimit + 1} {
		if _, err := (store.Query{Limit: limit}).Bound(); err == nil {
			t.Errorf("a limit of %d is taken", limit)
		}
	}
	cases := []struct {
		q    store.Query
		sk   string
		want bool
	}{
		{store.Query{}, "", true},
		{store.Query{}, "a", true},
		{store.Query{Prefix: "a"}, "ab", true},
		{store.Query{Prefix: "a"}, "b", false},
		{store.Query{After: "a"}, "a", false},
		{store.Query{After: "a"}, "a1", true},
		{store.Query{After: "a", Reverse: true}, "a1", false},
		{store.Query{After: "a", Reverse: true}, "", true},
		{store.Query{Prefix: "a", After: "a1", Reverse: true}, "a0", true},
	}
	for _, c := range cases {
		if got := c.q.Selects(c.sk); got != c.want {
			t.Errorf("%+v selects %q: %v", c.q, c.sk, got)
		}
	}
}
