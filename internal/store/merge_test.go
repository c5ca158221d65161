package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A countedStore counts the items that ranges read, and fails them on demand.
type countedStore struct {
	store.Store
	read int
	err  error
}

func (s *countedStore) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if s.err != nil {
		return nil, s.err
	}
	page, err := s.Store.Range(ctx, q)
	s.read += len(page)
	return page, err
}

func TestMerge(t *testing.T) {
	s := &countedStore{Store: memstore.New(memstore.Options{})}
	partitions := []string{"open#00", "open#01", "open#02", "open#03"} // the last has nothing
	var all []string
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 90 {
			sk := fmt.Sprintf("sk-%03d", i)
			all = append(all, sk)
			tx.Put(store.Key{Table: "orders", PK: partitions[i*i%3], SK: sk}, store.Item{store.N("n", int64(i))})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	for _, c := range []struct {
		rule string
		q    store.Query
		want []string
	}{
		{"all of them, in the order of their sort keys", store.Query{}, all},
		{"those behind a sort key", store.Query{After: "sk-040"}, all[41:]},
		{"backwards", store.Query{Reverse: true}, backwards},
		{"backwards from a sort key", store.Query{After: "sk-040", Reverse: true}, backwards[50:]},
		{"none behind the last", store.Query{After: "sk-089"}, nil},
	} {
		for _, n := range []int{1, 7, 8, 90, 1000} {
			t.Run(fmt.Sprintf("%s, %d at a time", c.rule, n), func(t *testing.T) {
				c.q.Table = "orders"
				m, got := store.Merge(s, c.q, partitions), []string(nil)
				for more := true; more; {
					var page []store.Entry
					var err error
					if page, more, err = m.Next(t.Context(), n); err != nil {
						t.Fatal(err)
					}
					if len(page) > n || more && len(page) < n {
						t.Fatalf("%d at once, and more is %v", len(page), more)
					}
					for _, e := range page {
						got = append(got, e.Key.SK)
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("read %s, want %s", strings.Join(got, " "), strings.Join(c.want, " "))
				}
			})
		}
	}
	t.Run("a page costs little more than itself, however many there are", func(t *testing.T) {
		s.read = 0
		if _, more, err := store.Merge(s, store.Query{Table: "orders"}, partitions).Next(t.Context(), 10); err != nil || !more || s.read > 10+3*8 {
			t.Errorf("read %d items, more %v, %v", s.read, more, err)
		}
	})
	t.Run("a range that fails is the answer", func(t *testing.T) {
		s.err = errors.New("no")
		if _, _, err := store.Merge(s, store.Query{Table: "orders"}, partitions).Next(t.Context(), 10); !errors.Is(err, s.err) {
			t.Errorf("answered %v", err)
		}
	})
}
