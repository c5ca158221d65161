package pebblestore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T, feed func(store.Key) bool) store.Store {
			return open(t, vfs.NewMem(), Options{Feed: feed})
		},
	})
}

func TestStoreOnDisk(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T, feed func(store.Key) bool) store.Store {
			s, err := Open(t.TempDir(), Options{Feed: feed, Logger: quiet(), Fatal: func(err error) { t.Error(err) }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closeStore(t, s) })
			return s
		},
		Rounds: 0.3,
	})
}
