package store_test

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestItemsAreEqualInWhateverOrder(t *testing.T) {
	it := store.Item{store.S("a", "1"), store.N("b", 2)}
	for name, c := range map[string]struct {
		other store.Item
		want  bool
	}{
		"the same":                      {store.Item{store.S("a", "1"), store.N("b", 2)}, true},
		"another order":                 {store.Item{store.N("b", 2), store.S("a", "1")}, true},
		"another value":                 {store.Item{store.S("a", "1"), store.N("b", 3)}, false},
		"another type":                  {store.Item{store.B("a", []byte("1")), store.N("b", 2)}, false},
		"another name":                  {store.Item{store.S("c", "1"), store.N("b", 2)}, false},
		"an attribute less":             {store.Item{store.S("a", "1")}, false},
		"an attribute more":             {store.Item{store.S("a", "1"), store.N("b", 2), store.Bool("c", false)}, false},
		"no item":                       {nil, false},
		"an item that has no attribute": {store.Item{}, false},
	} {
		if it.Equal(c.other) != c.want || c.other.Equal(it) != c.want {
			t.Errorf("%s: equal is %v", name, !c.want)
		}
	}
	if (store.Item{}).Equal(nil) || !store.Item(nil).Equal(nil) {
		t.Error("an item that is there is none that is not")
	}
}
