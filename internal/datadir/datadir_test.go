package datadir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

func TestOpen(t *testing.T) {
	t.Run("makes a directory, and opens it again", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "new", "data")
		used(t, path)
		d := open(t, path)
		if it, err := d.Store.Get(t.Context(), item, store.Strong); err != nil || it == nil {
			t.Errorf("%v %v", it, err)
		}
	})
	t.Run("refuses a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Open(path, datadir.Options{}); err == nil || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses a directory that is open, and leaves it alone", func(t *testing.T) {
		path := t.TempDir()
		d := open(t, path)
		if _, err := datadir.Open(path, datadir.Options{}); !errors.Is(err, pebblestore.ErrLocked) {
			t.Errorf("%v", err)
		}
		write(t, d)
	})
	for _, part := range []string{"provider", "saga-keys.json", "contacts.keys"} {
		t.Run("refuses a directory in use without its "+part+", and does not make another", func(t *testing.T) {
			path := t.TempDir()
			used(t, path)
			if err := os.RemoveAll(filepath.Join(path, part)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := datadir.Open(path, datadir.Options{})
				if !errors.Is(err, datadir.ErrIncomplete) || !strings.Contains(err.Error(), part) {
					t.Errorf("%v", err)
				}
			}
			if _, err := os.Stat(filepath.Join(path, part)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", part, err)
			}
		})
		t.Run("makes its "+part+" where the process died before it had, and so before its first commit", func(t *testing.T) {
			path := t.TempDir()
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(path, part)); err != nil {
				t.Fatal(err)
			}
			write(t, open(t, path))
		})
	}
	t.Run("refuses a directory without its store, and does not make another", func(t *testing.T) {
		path := t.TempDir()
		used(t, path)
		if err := os.RemoveAll(filepath.Join(path, "store")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := datadir.Open(path, datadir.Options{}); !errors.Is(err, datadir.ErrIncomplete) || !strings.Contains(err.Error(), "store") {
				t.Errorf("%v", err)
			}
		}
		if datadir.Exists(path) {
			t.Error("there is a store")
		}
	})
	t.Run("says what is wrong with a part", func(t *testing.T) {
		for part, text := range map[string]string{"saga-keys.json": "{", "contacts.keys": "no keys", "store/FORMAT": "other 1\n", "provider/FORMAT": "cloudflow-store 99\n"} {
			path := t.TempDir()
			used(t, path)
			if err := os.WriteFile(filepath.Join(path, part), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := datadir.Open(path, datadir.Options{}); err == nil || !strings.Contains(err.Error(), filepath.Dir(filepath.Join(path, part))) {
				t.Errorf("%s: %v", part, err)
			}
		}
	})
}

var item = store.Key{Table: "t", PK: "p", SK: "s"}

// used makes a directory with one commit, and closes it.
func used(t *testing.T, path string) {
	t.Helper()
	d := open(t, path)
	write(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func write(t *testing.T, d *datadir.Dir) {
	t.Helper()
	err := d.Store.Update(context.Background(), func(tx *store.Tx) error {
		tx.Put(item, store.Item{store.S("a", "b")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
