package store_test

import (
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestMerge(t *testing.T) {
	s := memstore.New(memstore.Options{})
	partitions := []string{"open#00", "open#01", "open#02"}
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, sk := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			tx.Put(store.Key{Table: "orders", PK: partitions[i*i%3], SK: sk}, store.Item{store.N("n", int64(i))})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule string
		q    store.Query
		want string
	}{
		{"all of them, in the order of their sort keys", store.Query{}, "a b c d e f g"},
		{"as many as the limit says", store.Query{Limit: 3}, "a b c"},
		{"those behind a sort key", store.Query{After: "c", Limit: 3}, "d e f"},
		{"backwards", store.Query{After: "f", Limit: 2, Reverse: true}, "e d"},
		{"none behind the last", store.Query{After: "g"}, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			c.q.Table = "orders"
			page, err := store.Merge(t.Context(), s, c.q, partitions)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range page {
				got = append(got, e.Key.SK)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("read %v, want %s", got, c.want)
			}
		})
	}
	t.Run("a limit that the port does not give is refused", func(t *testing.T) {
		if _, err := store.Merge(t.Context(), s, store.Query{Table: "orders", Limit: store.MaxRangeLimit + 1}, partitions); err == nil {
			t.Error("it was read")
		}
	})
}
