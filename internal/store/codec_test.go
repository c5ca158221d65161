package store_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestItemCodec(t *testing.T) {
	cases := map[string]store.Item{
		"no attribute":         {},
		"every kind":           {store.S("s", "text"), store.N("n", -5), store.B("b", []byte{0, 255}), store.Bool("t", true), store.Bool("f", false)},
		"empty values":         {store.S("s", ""), store.B("b", nil), store.N("n", 0)},
		"the ends of integers": {store.N("least", math.MinInt64), store.N("greatest", math.MaxInt64)},
		"a long text":          {store.S("s", strings.Repeat("ü", 70_000))},
		"many attributes":      make(store.Item, 300),
	}
	for rule, it := range cases {
		t.Run(rule+" comes back as it was, and in its order", func(t *testing.T) {
			b := store.AppendItem([]byte("prefix"), it)
			if !bytes.HasPrefix(b, []byte("prefix")) {
				t.Fatal("what was there is gone")
			}
			got, err := store.DecodeItem(b[len("prefix"):])
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, it)
		})
	}
	t.Run("a nil item is encoded as an empty one", func(t *testing.T) {
		got, err := store.DecodeItem(store.AppendItem(nil, nil))
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestDecodeItemRefusesGarbage(t *testing.T) {
	good := store.AppendItem(nil, store.Item{store.S("name", "mug"), store.N("n", 300), store.Bool("b", true)})
	t.Run("every truncation", func(t *testing.T) {
		for n := range good {
			if it, err := store.DecodeItem(good[:n]); err == nil {
				t.Errorf("the first %d bytes are %v", n, it)
			}
		}
	})
	cases := map[string][]byte{
		"nothing":                                {},
		"something behind the item":              append(bytes.Clone(good), 0),
		"a count that the bytes cannot hold":     {0xff, 0xff, 0xff, 0xff, 0x0f},
		"a count beyond 64 bits":                 bytes.Repeat([]byte{0xff}, 11),
		"an unknown tag":                         {1, 9, 1, 'n'},
		"a name longer than the bytes":           {1, 0, 200, 'n', 0},
		"a value longer than the bytes":          {1, 0, 1, 'n', 200},
		"a length near the end of the integers":  {1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'n'},
		"a number that is longer than it has to": {1, 0, 1, 'n', 0x80, 0},
	}
	for rule, b := range cases {
		t.Run(rule, func(t *testing.T) {
			if it, err := store.DecodeItem(b); err == nil {
				t.Errorf("%x is %v", b, it)
			}
		})
	}
}

// FuzzItemCodec decodes arbitrary bytes: what decodes at all has exactly these bytes as its encoding.
func FuzzItemCodec(f *testing.F) {
	f.Add([]byte{})
	f.Add(store.AppendItem(nil, store.Item{store.S("name", "mug"), store.N("n", -300)}))
	f.Add(store.AppendItem(nil, store.Item{store.B("b", []byte{0}), store.Bool("t", true), store.Bool("f", false)}))
	f.Add([]byte{2, 0, 1, 'n', 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := store.DecodeItem(b)
		if err != nil {
			return
		}
		if again := store.AppendItem(nil, it); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %v, which is encoded as %x", b, it, again)
		}
	})
}

func BenchmarkItemCodec(b *testing.B) {
	it := store.Item{
		store.S("status", "CONFIRMED"), store.S("customer_id", "cus_01J8ZV"), store.N("version", 7), store.N("total_cents", 129_900),
		store.S("currency", "EUR"), store.N("created_at", 1_760_000_000_000), store.S("body", strings.Repeat("x", 300)),
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = store.AppendItem(buf[:0], it)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		buf := store.AppendItem(nil, it)
		for b.Loop() {
			if _, err := store.DecodeItem(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func wantSame(t *testing.T, got, want store.Item) {
	t.Helper()
	if (got == nil) != (want == nil) || len(got) != len(want) {
		t.Fatalf("item %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("attribute %d is %v, want %v", i, got[i], want[i])
		}
	}
}
