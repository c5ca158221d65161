package pebblestore

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func writeFile(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	t.Run("is named in a file that a person can read", func(t *testing.T) {
		fs := vfs.NewMem()
		open(t, fs, Options{})
		if text, err := readSome(fs, fs.PathJoin(dir, formatFile)); err != nil || string(text) != "cloudflow-store 1\n" {
			t.Errorf("%q, %v", text, err)
		}
	})
	for rule, text := range map[string]string{
		"a later format is refused":             "cloudflow-store 2\n",
		"another program's file is refused":     "some-database 1\n",
		"an empty file is refused":              "",
		"a file without a version is refused":   "cloudflow-store\n",
		"a file that goes on and on is refused": "cloudflow-store 1" + strings.Repeat("0", 1000),
	} {
		t.Run(rule+", and the directory stays as it was", func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := tryOpen(t, fs, Options{})
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, key("p", "s"), store.N("n", 1))
			closeStore(t, s)
			writeFile(t, fs, fs.PathJoin(dir, formatFile), text)
			before := list(t, fs)
			if _, err := tryOpen(t, fs, Options{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open: %v", err)
			}
			if after := list(t, fs); !slices.Equal(before, after) {
				t.Errorf("the directory was %v, is %v", before, after)
			}
			writeFile(t, fs, fs.PathJoin(dir, formatFile), "cloudflow-store 1\n")
			if it := get(t, open(t, fs, Options{}), key("p", "s")); it.Int("n") != 1 {
				t.Errorf("the item is %v", it)
			}
		})
	}
	t.Run("a database that is not CloudFlow's is refused", func(t *testing.T) {
		fs := vfs.NewMem()
		db, err := pebble.Open(dir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(t, fs, Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("Open: %v", err)
		}
	})
	t.Run("a directory with other files in it is taken", func(t *testing.T) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, fs, fs.PathJoin(dir, "keys.json"), "{}")
		open(t, fs, Options{})
	})
	t.Run("a place that cannot be a directory is an error of the file system", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name, Options{}); err == nil || errors.Is(err, ErrFormat) || errors.Is(err, ErrLocked) {
			t.Errorf("Open: %v", err)
		}
	})
}

func list(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "LOCK" })
	slices.Sort(names)
	return names
}

// childDir tells a second process of this test to try to open that directory.
const childDir = "PEBBLESTORE_TEST_DIR"

func TestLock(t *testing.T) {
	if place := os.Getenv(childDir); place != "" {
		_, err := Open(place, Options{})
		if !errors.Is(err, ErrLocked) {
			t.Fatalf("in the second process: %v", err)
		}
		return
	}
	place := filepath.Join(t.TempDir(), "data")
	s, err := Open(place, Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T, place string) {
		t.Helper()
		if _, err := Open(place, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "choose another directory") {
			t.Errorf("Open: %v", err)
		}
	}
	t.Run("a second opening in this process is refused", func(t *testing.T) { refused(t, place) })
	t.Run("and under another name of the directory", func(t *testing.T) {
		refused(t, filepath.Dir(place)+"/../"+filepath.Base(filepath.Dir(place))+"/data/")
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(place, link); err != nil {
			t.Skip(err)
		}
		refused(t, link)
	})
	t.Run("and by another process", func(t *testing.T) {
		child := exec.Command(os.Args[0], "-test.run=^TestLock$")
		child.Env = append(os.Environ(), childDir+"="+place)
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("the store that is open is none the worse", func(t *testing.T) {
		put(t, s, key("p", "s"), store.N("n", 1))
	})
	closeStore(t, s)
	t.Run("after Close it can be opened again", func(t *testing.T) {
		s, err := Open(place, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if it := get(t, s, key("p", "s")); it.Int("n") != 1 {
			t.Errorf("the item is %v", it)
		}
		closeStore(t, s)
	})
	t.Run("on any file system", func(t *testing.T) {
		fs := vfs.NewMem()
		open(t, fs, Options{})
		if _, err := tryOpen(t, fs, Options{}); !errors.Is(err, ErrLocked) {
			t.Errorf("Open: %v", err)
		}
	})
}
