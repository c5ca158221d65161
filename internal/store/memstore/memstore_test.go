package memstore_test

import (
	"context"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
	"github.com/utkarsh698/cloudflow/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open: func(_ *testing.T, feed func(store.Key) bool) store.Store {
			return memstore.New(memstore.Options{Feed: feed})
		},
	})
}

func TestStoreWithStaleReads(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open: func(_ *testing.T, feed func(store.Key) bool) store.Store {
			return memstore.New(memstore.Options{Feed: feed, StaleReads: true})
		},
		Lags: true,
	})
}

func TestStaleReads(t *testing.T) {
	ctx := context.Background()
	s := memstore.New(memstore.Options{StaleReads: true})
	a, b := store.Key{Table: "t", PK: "p", SK: "a"}, store.Key{Table: "t", PK: "p", SK: "b"}
	for n := range int64(2) {
		err := s.Update(ctx, func(tx *store.Tx) error {
			tx.Put(a, store.Item{store.N("n", n+1)})
			tx.Put(b, store.Item{store.N("n", n+1)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("an eventual read gives the state before the newest commit, and none of that commit", func(t *testing.T) {
		for _, k := range []store.Key{a, b} {
			it, err := s.Get(ctx, k, store.Eventual)
			if err != nil || it.Int("n") != 1 {
				t.Errorf("%s is %v, %v", k, it, err)
			}
		}
	})
	t.Run("a strong read gives the newest", func(t *testing.T) {
		it, err := s.Get(ctx, b, store.Strong)
		if err != nil || it.Int("n") != 2 {
			t.Errorf("%s is %v, %v", b, it, err)
		}
	})
}
