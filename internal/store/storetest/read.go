package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func (c Config) testReads(t *testing.T) {
	t.Run("an absent item is nil", func(t *testing.T) {
		c.open(t, nil).is(key("p", "s"), nil)
	})
	t.Run("every kind of attribute comes back as it was", func(t *testing.T) {
		b := c.open(t, nil)
		item := store.Item{
			store.S("text", "höhe\n\"€\""), store.S("empty", ""),
			store.N("n", 42), store.N("least", -1<<63), store.N("greatest", 1<<63-1), store.N("zero", 0),
			store.B("bytes", []byte{0, 1, 255}), store.Bool("yes", true), store.Bool("no", false),
		}
		b.put(key("p", "s"), item...)
		b.is(key("p", "s"), item)
	})
	t.Run("an item without attributes is there", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "s"))
		b.is(key("p", "s"), store.Item{})
	})
	t.Run("keys that look alike are different items", func(t *testing.T) {
		b := c.open(t, nil)
		keys := []store.Key{key("a", ""), key("a", "b"), key("ab", ""), key("a", "bc"), key("ab", "c"), key("a/b", "c"), key("a", "b/c")}
		for i, k := range keys {
			b.put(k, store.N("i", int64(i)))
		}
		for i, k := range keys {
			b.is(k, store.Item{store.N("i", int64(i))})
		}
	})
	t.Run("GetMany keeps the order of its keys and gives nil for what is absent", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("p", "1"), store.N("n", 1))
		b.put(key("q", "2"), store.N("n", 2))
		items, err := b.GetMany(context.Background(), []store.Key{key("q", "2"), key("p", "0"), key("p", "1")}, store.Strong)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) != 3 || items[0].Int("n") != 2 || items[1] != nil || items[2].Int("n") != 1 {
			t.Errorf("items are %v", items)
		}
	})
	t.Run("GetMany takes a hundred keys and no more", func(t *testing.T) {
		b := c.open(t, nil)
		keys := make([]store.Key, store.MaxGetMany+1)
		for i := range keys {
			keys[i] = key("p", fmt.Sprint(i))
		}
		items, err := b.GetMany(context.Background(), keys[:store.MaxGetMany], store.Strong)
		if err != nil || len(items) != store.MaxGetMany {
			t.Errorf("%d items, %v", len(items), err)
		}
		_, err = b.GetMany(context.Background(), keys, store.Strong)
		wantKind(t, err, fault.Internal)
	})
	if !c.Lags {
		t.Run("an eventual read has caught up once nothing is written any more", func(t *testing.T) {
			b := c.open(t, nil)
			b.put(key("p", "s"), store.N("n", 1))
			it, err := b.Get(context.Background(), key("p", "s"), store.Eventual)
			if err != nil || it.Int("n") != 1 {
				t.Errorf("item %v, %v", it, err)
			}
		})
	}
}

func (c Config) testRange(t *testing.T) {
	b := c.open(t, nil)
	sks := []string{"", "a", "a#1", "a#10", "a#2", "b", "b#", "z~", "é"}
	for _, sk := range []string{"b", "a#2", "", "z~", "a", "é", "a#10", "b#", "a#1"} {
		b.put(key("p", sk), store.S("at", sk))
	}
	b.put(key("o", "z"), store.S("at", "another partition, before"))
	b.put(key("p2", ""), store.S("at", "another partition, behind"))
	q := store.Query{Table: Table, PK: "p"}
	with := func(change func(*store.Query)) store.Query {
		q := q
		change(&q)
		return q
	}
	backward := slices.Clone(sks)
	slices.Reverse(backward)
	cases := []struct {
		rule string
		q    store.Query
		want []string
	}{
		{"all, in the order of their bytes", q, sks},
		{"all, backward", with(func(q *store.Query) { q.Reverse = true }), backward},
		{"the first ones", with(func(q *store.Query) { q.Limit = 3 }), []string{"", "a", "a#1"}},
		{"the last ones", with(func(q *store.Query) { q.Limit, q.Reverse = 2, true }), backward[:2]},
		{"what begins with a prefix", with(func(q *store.Query) { q.Prefix = "a#" }), []string{"a#1", "a#10", "a#2"}},
		{"a prefix, backward", with(func(q *store.Query) { q.Prefix, q.Reverse = "a#", true }), []string{"a#2", "a#10", "a#1"}},
		{"a prefix that nothing begins with", with(func(q *store.Query) { q.Prefix = "c" }), nil},
		{"what comes after an item", with(func(q *store.Query) { q.After, q.Limit = "a#1", 2 }), []string{"a#10", "a#2"}},
		{"what comes after a place where nothing is", with(func(q *store.Query) { q.After, q.Limit = "a#11", 1 }), []string{"a#2"}},
		{"what comes before an item, backward", with(func(q *store.Query) { q.After, q.Reverse = "a#10", true }), []string{"a#1", "a", ""}},
		{"a prefix, after one of it", with(func(q *store.Query) { q.Prefix, q.After = "a#", "a#1" }), []string{"a#10", "a#2"}},
		{"a prefix, before one of it", with(func(q *store.Query) { q.Prefix, q.After, q.Reverse = "a#", "a#2", true }), []string{"a#10", "a#1"}},
		{"a prefix, after all of it", with(func(q *store.Query) { q.Prefix, q.After = "a#", "b" }), nil},
		{"a prefix, beyond something before all of it", with(func(q *store.Query) { q.Prefix, q.After = "a#", "a" }), []string{"a#1", "a#10", "a#2"}},
		{"a prefix, backward from behind all of it", with(func(q *store.Query) { q.Prefix, q.After, q.Reverse = "a#", "c", true }), []string{"a#2", "a#10", "a#1"}},
		{"a prefix, backward from before all of it", with(func(q *store.Query) { q.Prefix, q.After, q.Reverse = "a#", "a", true }), nil},
		{"an empty partition", store.Query{Table: Table, PK: "nobody"}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.rule, func(t *testing.T) {
			entries, err := b.Range(context.Background(), tc.q)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, len(entries))
			for i, e := range entries {
				got[i] = e.Key.SK
				if e.Key.Table != Table || e.Key.PK != "p" || e.Item.Str("at") != e.Key.SK {
					t.Errorf("entry %d is %v", i, e)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("sort keys are %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("a limit that is over the port's, or negative, is an error", func(t *testing.T) {
		for _, limit := range []int{-1, store.MaxRangeLimit + 1} {
			_, err := b.Range(context.Background(), with(func(q *store.Query) { q.Limit = limit }))
			if err == nil {
				t.Errorf("no error for a limit of %d", limit)
			}
		}
	})
	t.Run("no more than the port's limit, and the rest behind the last", c.testLongRange)
}

func (c Config) testLongRange(t *testing.T) {
	b := c.open(t, nil)
	const n = store.MaxRangeLimit + 50
	for from := 0; from < n; from += 75 {
		b.update(func(tx *store.Tx) {
			for i := from; i < from+75 && i < n; i++ {
				tx.Put(key("p", fmt.Sprintf("%05d", i)), store.Item{store.S("fill", strings.Repeat("x", 10))})
			}
		})
	}
	first, err := b.Range(context.Background(), store.Query{Table: Table, PK: "p"})
	if err != nil || len(first) != store.MaxRangeLimit {
		t.Fatalf("%d items, %v", len(first), err)
	}
	rest, err := b.Range(context.Background(), store.Query{Table: Table, PK: "p", After: first[len(first)-1].Key.SK})
	if err != nil || len(rest) != n-store.MaxRangeLimit || rest[0].Key.SK != fmt.Sprintf("%05d", store.MaxRangeLimit) {
		t.Errorf("%d items, %v", len(rest), err)
	}
}

func (c Config) testContext(t *testing.T) {
	b := c.open(t, nil)
	b.put(key("p", "s"), store.N("n", 1))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	calls := map[string]func() error{
		"Get":     func() error { _, err := b.Get(ctx, key("p", "s"), store.Strong); return err },
		"GetMany": func() error { _, err := b.GetMany(ctx, []store.Key{key("p", "s")}, store.Strong); return err },
		"Range":   func() error { _, err := b.Range(ctx, store.Query{Table: Table, PK: "p"}); return err },
		"Update": func() error {
			return b.Update(ctx, func(tx *store.Tx) error {
				tx.Put(key("p", "s"), store.Item{store.N("n", 2)})
				return nil
			})
		},
		"Tx.Get": func() error {
			return b.Update(ctx, func(tx *store.Tx) error { _, err := tx.Get(key("p", "s")); return err })
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { wantKind(t, call(), fault.Transient) })
	}
	b.is(key("p", "s"), store.Item{store.N("n", 1)})
}

func (c Config) testDump(t *testing.T) {
	dump := func(t *testing.T, b box) store.Dumper {
		d, ok := b.Store.(store.Dumper)
		if !ok {
			t.Fatal("the store is no Dumper; set NoDump if it need not be")
		}
		return d
	}
	t.Run("each item comes once, by table, partition and sort key", func(t *testing.T) {
		b := c.open(t, nil)
		keys := []store.Key{key("a", ""), key("a", "1"), key("a", "2"), key("aa", ""), key("b", "0")}
		for _, i := range []int{3, 0, 4, 2, 1} {
			b.put(keys[i], store.N("i", int64(i)))
		}
		b.put(key("gone", ""))
		b.update(func(tx *store.Tx) { tx.Delete(key("gone", "")) })
		var got []store.Key
		err := dump(t, b).Dump(context.Background(), func(e store.Entry) error {
			if e.Item.Int("i") != int64(len(got)) {
				t.Errorf("%s is %v", e.Key, e.Item)
			}
			got = append(got, e.Key)
			return nil
		})
		if err != nil || !slices.Equal(got, keys) {
			t.Errorf("keys are %v, %v", got, err)
		}
	})
	t.Run("the function's error ends it and is returned", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("a", ""))
		b.put(key("b", ""))
		enough, calls := errors.New("enough"), 0
		err := dump(t, b).Dump(context.Background(), func(store.Entry) error { calls++; return enough })
		wantEqual(t, "the error", err, enough)
		wantEqual(t, "the calls", calls, 1)
	})
	t.Run("of one table it gives that table alone, from the partition on", func(t *testing.T) {
		b := c.open(t, nil)
		for _, k := range []store.Key{key("a", "1"), key("b", "1"), key("b", "2"), key("c", ""), {Table: "t1", PK: "c"}, {Table: "s", PK: "c"}} {
			b.put(k)
		}
		for from, want := range map[string][]store.Key{
			"":   {key("a", "1"), key("b", "1"), key("b", "2"), key("c", "")},
			"b":  {key("b", "1"), key("b", "2"), key("c", "")},
			"b0": {key("c", "")},
			"d":  nil,
		} {
			var got []store.Key
			err := dump(t, b).DumpTable(context.Background(), key("a", "").Table, from, func(e store.Entry) error {
				got = append(got, e.Key)
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("from %q the keys are %v, %v", from, got, err)
			}
		}
	})
	t.Run("what is committed while it runs is not in it", func(t *testing.T) {
		b := c.open(t, nil)
		b.put(key("a", ""), store.N("n", 1))
		b.put(key("b", ""), store.N("n", 1))
		err := dump(t, b).Dump(context.Background(), func(e store.Entry) error {
			b.put(key("b", ""), store.N("n", 2))
			b.put(key("c", ""), store.N("n", 2))
			if e.Item.Int("n") != 1 {
				t.Errorf("%s is %v", e.Key, e.Item)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
