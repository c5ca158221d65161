package datadir_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/datadir"
)

var moved = datadir.Moved{To: "aws", Stage: "prod", Account: "000000000000", Region: "eu-west-1", At: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}

// left makes a directory whose shop has moved, and closes it.
func left(t *testing.T) (path string) {
	t.Helper()
	path = t.TempDir()
	used(t, path)
	d := open(t, path)
	if err := errors.Join(d.Leave(moved), d.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func reading(t *testing.T, path string) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(path, datadir.Options{Moved: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestADirectoryWhoseShopHasMoved(t *testing.T) {
	t.Run("is refused to who would serve it, with where the shop is and why", func(t *testing.T) {
		_, err := datadir.Open(left(t), datadir.Options{})
		if !errors.Is(err, datadir.ErrMoved) || !strings.Contains(err.Error(), "stage prod, account 000000000000, eu-west-1") || !strings.Contains(err.Error(), "second time") {
			t.Errorf("%v", err)
		}
	})
	t.Run("is read by who says so", func(t *testing.T) { reading(t, left(t)) })
	t.Run("has moved once: a repeat changes nothing, another place is refused", func(t *testing.T) {
		path := left(t)
		d := reading(t, path)
		before, err := os.ReadFile(filepath.Join(path, "MOVED.json"))
		if err != nil {
			t.Fatal(err)
		}
		again, elsewhere := moved, moved
		again.At = again.At.Add(time.Hour)
		elsewhere.Stage = "dev"
		if err := d.Leave(again); err != nil {
			t.Error(err)
		}
		if err := d.Leave(elsewhere); !errors.Is(err, datadir.ErrMoved) || !strings.Contains(err.Error(), "stage prod") {
			t.Errorf("%v", err)
		}
		if after, err := os.ReadFile(filepath.Join(path, "MOVED.json")); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s %v", after, err)
		}
	})
	t.Run("what a crash has left of the mark is no mark, and in nobody's way", func(t *testing.T) {
		path := t.TempDir()
		used(t, path)
		if err := os.WriteFile(filepath.Join(path, "MOVED.json.partial"), []byte(`{"to":`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path).Leave(moved); err != nil {
			t.Error(err)
		}
	})
	t.Run("a mark that cannot be read is one", func(t *testing.T) {
		path := left(t)
		if err := os.WriteFile(filepath.Join(path, "MOVED.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Open(path, datadir.Options{}); !errors.Is(err, datadir.ErrMoved) {
			t.Errorf("%v", err)
		}
	})
	t.Run("its backup has moved, too, wherever it is restored", func(t *testing.T) {
		var archive bytes.Buffer
		if err := reading(t, left(t)).Backup(t.Context(), &archive); err != nil {
			t.Fatal(err)
		}
		backup, restored := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
		if _, err := datadir.Unpack(&archive, backup); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Restore(t.Context(), backup, restored); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Open(restored, datadir.Options{}); !errors.Is(err, datadir.ErrMoved) {
			t.Errorf("%v", err)
		}
	})
}
