package pebblestore

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestATableThatCannotBeRead(t *testing.T) {
	memory := vfs.NewMem()
	old := key("old", "s")
	s, err := tryOpen(t, memory, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, old, store.N("n", 1))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)

	var failing atomic.Bool
	s = open(t, errorfs.Wrap(memory, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	})), Options{})
	replace := func() error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			tx.Put(old, store.Item{store.N("n", 2)}, store.Exists())
			return nil
		})
	}
	failing.Store(true)
	t.Run("fails the commit that needs it", func(t *testing.T) {
		if err := replace(); !fault.Is(err, fault.Internal) {
			t.Errorf("Update: %v", err)
		}
	})
	t.Run("leaves the other commits alone, and the process alive", func(t *testing.T) {
		put(t, s, key("young", "s"), store.N("n", 1))
	})
	failing.Store(false)
	t.Run("is read again by the next that needs it", func(t *testing.T) {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if it := get(t, s, old); it.Int("n") != 2 {
			t.Errorf("the item is %v", it)
		}
	})
}
