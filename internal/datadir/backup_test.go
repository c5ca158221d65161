package datadir_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// archive is the backup of a directory in which one item stands and two contacts are sealed.
func archive(t *testing.T) (content []byte, sealed map[string][]byte) {
	t.Helper()
	path := t.TempDir()
	used(t, path)
	d := open(t, path)
	sealed = map[string][]byte{}
	for _, customer := range []string{"c-1", "c-2"} {
		var err error
		if sealed[customer], err = pii.Seal(d.ContactKeys, customer, []byte("of "+customer)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := d.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "backup.tmp")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copies are left behind: %v", err)
	}
	return out.Bytes(), sealed
}

func unpacked(t *testing.T, content []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := datadir.Unpack(bytes.NewReader(content), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBackup(t *testing.T) {
	content, sealed := archive(t)
	backup := unpacked(t, content)
	t.Run("is restored as a data directory with everything in it", func(t *testing.T) {
		data := filepath.Join(t.TempDir(), "data")
		if _, err := datadir.Restore(t.Context(), backup, data); err != nil {
			t.Fatal(err)
		}
		d := open(t, data)
		if it, err := d.Store.Get(t.Context(), item, store.Strong); err != nil || it == nil {
			t.Errorf("%v %v", it, err)
		}
		for customer, text := range sealed {
			if plain, err := pii.Open(d.ContactKeys, customer, text); err != nil || string(plain) != "of "+customer {
				t.Errorf("%q %v", plain, err)
			}
		}
	})
	t.Run("is for its owner alone", func(t *testing.T) {
		data := filepath.Join(t.TempDir(), "data")
		if _, err := datadir.Restore(t.Context(), backup, data); err != nil {
			t.Fatal(err)
		}
		for _, root := range []string{backup, data} {
			err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := e.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has the mode %s", path, info.Mode())
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("has a manifest that sha256sum can check", func(t *testing.T) {
		tool, err := exec.LookPath("sha256sum")
		if err != nil {
			t.Skip("no sha256sum here")
		}
		check := exec.CommandContext(t.Context(), tool, "-c", "manifest.sha256")
		check.Dir = backup
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("is neither unpacked nor restored over something", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := datadir.Unpack(bytes.NewReader(content), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("unpack: %v", err)
		}
		if _, err := datadir.Restore(t.Context(), backup, dir); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("restore: %v", err)
		}
	})
	t.Run("one is made at a time", func(t *testing.T) {
		d := open(t, t.TempDir())
		var inner error
		err := d.Backup(t.Context(), writerFunc(func(p []byte) (int, error) {
			if inner == nil {
				inner = d.Backup(t.Context(), io.Discard)
			}
			return len(p), nil
		}))
		if err != nil || !fault.Is(inner, fault.Unavailable) {
			t.Errorf("%v, the second: %v", err, inner)
		}
	})
	t.Run("what a crash has left of one is removed at the next start", func(t *testing.T) {
		path := t.TempDir()
		used(t, path)
		left := filepath.Join(path, "backup.tmp")
		if err := os.MkdirAll(filepath.Join(left, "store"), 0o700); err != nil {
			t.Fatal(err)
		}
		open(t, path)
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// refused requires that an archive is not unpacked, and leaves nothing behind.
func refused(t *testing.T, what string, content []byte) {
	t.Helper()
	above := t.TempDir()
	_, err := datadir.Unpack(bytes.NewReader(content), filepath.Join(above, "backup"))
	if !errors.Is(err, datadir.ErrBackup) {
		t.Errorf("%s: %v", what, err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("%s: left behind: %v %v", what, left, err)
	}
}

func TestArchiveThatIsNotWhole(t *testing.T) {
	content, _ := archive(t)
	rng := rand.New(rand.NewPCG(4, 1))
	t.Run("that ended early is refused, wherever it did", func(t *testing.T) {
		end := len(bytes.TrimRight(content, "\x00")) // behind it are a tar's closing zeros
		for range 30 {
			refused(t, "cut", content[:rng.IntN(end)])
		}
		refused(t, "empty", nil)
	})
	t.Run("of which a byte has changed is refused", func(t *testing.T) {
		offsets, r := []int64{}, bytes.NewReader(content)
		for archive := tar.NewReader(r); ; {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				begin, _ := r.Seek(0, io.SeekCurrent)
				offsets = append(offsets, begin, begin+h.Size-1, begin+rng.Int64N(h.Size))
			}
		}
		for _, i := range offsets {
			changed := bytes.Clone(content)
			changed[i] ^= 1
			refused(t, "changed", changed)
		}
	})
	for _, name := range []string{"../escape", "/etc/escape", "store/../../escape", "store/sub/escape", "other", "store/..", "provider\\x", ".", "manifest.json/x"} {
		t.Run("that holds "+name+" is refused", func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1, Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			refused(t, name, append(b.Bytes(), content...))
		})
	}
	t.Run("that holds a link is refused", func(t *testing.T) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "store/FORMAT", Linkname: "/etc/passwd"}); err != nil {
			t.Fatal(err)
		}
		refused(t, "link", append(b.Bytes(), content...))
	})
}

func TestBackupThatIsDamaged(t *testing.T) {
	content, _ := archive(t)
	files := []string{"manifest.json", "manifest.sha256", "saga-keys.json", "contacts.keys", "store/FORMAT", "provider/FORMAT"}
	for _, name := range files {
		t.Run("a byte of "+name+" has changed, or it is gone: refused, and nothing is made", func(t *testing.T) {
			backup := unpacked(t, content)
			path := filepath.Join(backup, filepath.FromSlash(name))
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			above := t.TempDir()
			for _, damage := range []func() error{
				func() error { return os.WriteFile(path, text, 0o600) },
				func() error { return os.Remove(path) },
			} {
				if err := damage(); err != nil {
					t.Fatal(err)
				}
				if _, err := datadir.Restore(t.Context(), backup, filepath.Join(above, "data")); !errors.Is(err, datadir.ErrBackup) {
					t.Errorf("%v", err)
				}
				if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v %v", left, err)
				}
			}
		})
	}
	t.Run("a data directory is no backup", func(t *testing.T) {
		path := t.TempDir()
		used(t, path)
		if _, err := datadir.Restore(t.Context(), path, filepath.Join(t.TempDir(), "data")); !errors.Is(err, datadir.ErrBackup) {
			t.Errorf("%v", err)
		}
	})
}

func TestEraseIn(t *testing.T) {
	content, sealed := archive(t)
	backup := unpacked(t, content)
	for range 2 { // a repeat is no error
		if err := datadir.EraseIn(backup, "c-1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := datadir.EraseIn(backup, "nobody"); err != nil {
		t.Errorf("a customer without a key: %v", err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if _, err := datadir.Restore(t.Context(), backup, data); err != nil {
		t.Fatalf("the backup is whole no more: %v", err)
	}
	d := open(t, data)
	if _, err := pii.Open(d.ContactKeys, "c-1", sealed["c-1"]); !errors.Is(err, pii.ErrErased) {
		t.Errorf("the erased contact: %v", err)
	}
	if _, err := pii.Open(d.ContactKeys, "c-2", sealed["c-2"]); err != nil {
		t.Errorf("another's contact: %v", err)
	}
	if err := datadir.EraseIn(t.TempDir(), "c-1"); !errors.Is(err, datadir.ErrBackup) {
		t.Errorf("in what is no backup: %v", err)
	}
}
