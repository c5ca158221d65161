package pebblestore

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

const dir = "/data"

// small makes Pebble flush and compact within a test's few kilobytes, and hold little memory.
func small(o *pebble.Options) {
	o.MemTableSize = 64 << 10
	o.CacheSize = 1 << 20
	o.L0CompactionThreshold = 2
	o.LBaseMaxBytes = 64 << 10
}

// open opens the store of the file system, quiet and small, and closes it after the test.
func open(t testing.TB, fs vfs.FS, opts Options) *Store {
	t.Helper()
	s, err := tryOpen(t, fs, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func tryOpen(t testing.TB, fs vfs.FS, opts Options) (*Store, error) {
	opts.FS = fs
	if opts.tune == nil {
		opts.tune = small
	}
	if opts.Logger == nil {
		opts.Logger = quiet()
	}
	if opts.Fatal == nil {
		opts.Fatal = func(err error) { t.Errorf("Fatal: %v", err) }
	}
	return Open(dir, opts)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func key(pk, sk string) store.Key { return store.Key{Table: "t", PK: pk, SK: sk} }

func put(t testing.TB, s *Store, k store.Key, attrs ...store.Attr) {
	t.Helper()
	if err := tryPut(context.Background(), s, k, attrs...); err != nil {
		t.Fatal(err)
	}
}

func tryPut(ctx context.Context, s *Store, k store.Key, attrs ...store.Attr) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		tx.Put(k, store.Item(attrs))
		return nil
	})
}

func get(t testing.TB, s *Store, k store.Key) store.Item {
	t.Helper()
	it, err := s.Get(context.Background(), k, store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	return it
}
