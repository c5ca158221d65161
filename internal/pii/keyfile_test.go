package pii

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A disk is a file in memory of which a crash keeps what was synced and any part of what was written since.
type disk struct {
	mu       sync.Mutex
	data     []byte
	synced   []byte
	syncs    int
	writeErr error
	syncErr  error
	gate     chan struct{} // Sync waits for it, if it is there
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writeErr != nil {
		return 0, d.writeErr
	}
	if end := int(off) + len(p); end > len(d.data) {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	return copy(d.data[off:], p), nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	now := bytes.Clone(d.data)
	err := d.syncErr
	d.mu.Unlock()
	if d.gate != nil {
		<-d.gate
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced, d.syncs = now, d.syncs+1
	return nil
}

func (d *disk) Truncate(size int64) error { d.data = d.data[:size]; return nil }
func (d *disk) Close() error              { return nil }

// openDisk opens the keys on a disk that holds the bytes.
func openDisk(t *testing.T, data []byte) (*KeyFile, *disk) {
	t.Helper()
	d := &disk{data: bytes.Clone(data)}
	k, err := openKeys(d)
	if err != nil {
		t.Fatalf("open %d bytes: %v", len(data), err)
	}
	return k, d
}

func mustKey(t *testing.T, k *KeyFile, subject string) []byte {
	t.Helper()
	key, err := k.Key(subject, true)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// expect compares the keys that k has with the wanted ones; nil stands for none.
func expect(t *testing.T, k *KeyFile, want map[string][]byte) {
	t.Helper()
	for subject, key := range want {
		got, err := k.Key(subject, false)
		if !bytes.Equal(got, key) || (key == nil) != errors.Is(err, ErrErased) {
			t.Errorf("%s has the key %x, %v; want %x", subject, got, err, key)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Run("keys and erasures survive closing, and only the owner may read the file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		k, err := OpenKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a, b := mustKey(t, k, "alice"), mustKey(t, k, "bob")
		if err := k.Erase("alice"); err != nil {
			t.Fatal(err)
		}
		expect(t, k, map[string][]byte{"alice": nil, "bob": b, "carol": nil})
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		k, err = OpenKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		expect(t, k, map[string][]byte{"alice": nil, "bob": b})
		if again := mustKey(t, k, "alice"); bytes.Equal(again, a) {
			t.Error("the erased key came back")
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", fi.Mode(), err)
		}
		if raw, _ := os.ReadFile(path); bytes.Contains(raw, a) || bytes.Contains(raw, []byte("bob")) {
			t.Error("the file shows an erased key or a subject")
		}
	})
	t.Run("another file is refused and left alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		text := bytes.Repeat([]byte("this is somebody's letter "), 10)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path); err == nil {
			t.Error("no error")
		}
		if now, _ := os.ReadFile(path); !bytes.Equal(now, text) {
			t.Error("it was changed")
		}
		if _, err := OpenKeyFile(filepath.Join(path, "below")); err == nil {
			t.Error("a path that cannot be: no error")
		}
	})
	t.Run("many at once get one key for each subject", func(t *testing.T) {
		k, d := openDisk(t, nil)
		var wg sync.WaitGroup
		got := make([][]byte, 64)
		for i := range got {
			wg.Go(func() { got[i], _ = k.Key(fmt.Sprint("s-", i%8), true) })
		}
		wg.Wait()
		for i := range got {
			if len(got[i]) != KeySize || !bytes.Equal(got[i], got[i%8]) {
				t.Fatalf("caller %d has another key", i)
			}
		}
		if want := recordSize * 9; len(d.data) != want {
			t.Errorf("%d bytes, want %d", len(d.data), want)
		}
	})
}

func TestACrashTearsTheLastRecord(t *testing.T) {
	k, d := openDisk(t, nil)
	a := mustKey(t, k, "alice")
	one := bytes.Clone(d.data)
	b := mustKey(t, k, "bob")
	two := bytes.Clone(d.data)

	check := func(t *testing.T, data []byte, what string) {
		t.Helper()
		k, d := openDisk(t, data)
		expect(t, k, map[string][]byte{"alice": a, "bob": nil})
		b2 := mustKey(t, k, "bob")
		if bytes.Equal(b, b2) {
			t.Errorf("%s: the torn key was used", what)
		}
		k, _ = openDisk(t, d.synced)
		expect(t, k, map[string][]byte{"alice": a, "bob": b2})
		if k.Damaged() != 0 {
			t.Errorf("%s: damage was left", what)
		}
	}
	t.Run("the file ends at any of its bytes", func(t *testing.T) {
		for n := len(one); n < len(two); n++ {
			check(t, two[:n], fmt.Sprint("cut at ", n))
		}
	})
	t.Run("the length survived and the bytes from any on did not", func(t *testing.T) {
		for n := len(one); n < len(two); n++ {
			data := append(bytes.Clone(two[:n]), make([]byte, len(two)-n)...)
			if !bytes.Equal(data, two) {
				check(t, data, fmt.Sprint("zeros from ", n))
			}
		}
	})
	t.Run("a new file ends anywhere in its header", func(t *testing.T) {
		for n := range recordSize + 1 {
			k, d := openDisk(t, one[:n])
			key := mustKey(t, k, "alice")
			k, _ = openDisk(t, d.synced)
			expect(t, k, map[string][]byte{"alice": key})
		}
	})
	t.Run("an erasure stops at any byte", func(t *testing.T) {
		for n := 1; n <= recordSize; n++ {
			for _, fromTheEnd := range []bool{false, true} {
				data := bytes.Clone(two)
				r := data[len(one)-recordSize : len(one)]
				if fromTheEnd {
					clear(r[recordSize-n:])
				} else {
					clear(r[:n])
				}
				if bytes.Equal(data, two) {
					continue // what was to be cleared was zero already: nothing is erased yet, and nobody was told so
				}
				k, d := openDisk(t, data)
				expect(t, k, map[string][]byte{"alice": nil, "bob": b})
				if !bytes.Equal(d.synced[len(one)-recordSize:len(one)], make([]byte, recordSize)) {
					t.Errorf("%d bytes: the rest of the key is still there", n)
				}
			}
		}
	})
	t.Run("the new record survived and the erasure before it did not", func(t *testing.T) {
		k, d := openDisk(t, one)
		if err := k.Erase("alice"); err != nil {
			t.Fatal(err)
		}
		young := mustKey(t, k, "alice")
		data := append(bytes.Clone(one), d.data[len(one):]...)
		k, d = openDisk(t, data)
		expect(t, k, map[string][]byte{"alice": young})
		if bytes.Contains(d.synced, a) {
			t.Error("the old key is still there")
		}
	})
}

func TestNothingIsUsedBeforeItsSync(t *testing.T) {
	t.Run("a key is not given out, not even to others, and one sync serves all who wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k, d := openDisk(t, nil)
			d.gate = make(chan struct{})
			var mu sync.Mutex
			given := 0
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					if _, err := k.Key(fmt.Sprint("s-", i/2), true); err != nil {
						t.Error(err)
					}
					mu.Lock()
					given++
					mu.Unlock()
				})
			}
			synctest.Wait()
			if given != 0 {
				t.Errorf("%d keys given before the sync returned", given)
			}
			before := d.syncs
			close(d.gate)
			wg.Wait()
			if n := d.syncs - before; n > 2 {
				t.Errorf("%d syncs for ten callers", n)
			}
			synced, _ := openDisk(t, d.synced)
			for i := range 5 {
				if _, err := synced.Key(fmt.Sprint("s-", i), false); err != nil {
					t.Error(err)
				}
			}
		})
	})
	t.Run("an erasure does not return, not even to one who repeats it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k, d := openDisk(t, nil)
			mustKey(t, k, "alice")
			d.gate = make(chan struct{})
			done := make(chan error, 2)
			for range 2 {
				go func() { done <- k.Erase("alice") }()
				synctest.Wait()
			}
			expect(t, k, map[string][]byte{"alice": nil})
			if len(done) != 0 {
				t.Error("it returned before the sync")
			}
			close(d.gate)
			if err := errors.Join(<-done, <-done); err != nil {
				t.Error(err)
			}
			k, _ = openDisk(t, d.synced)
			expect(t, k, map[string][]byte{"alice": nil})
		})
	})
}

func TestAFailingDisk(t *testing.T) {
	t.Run("a write that fails is tried anew by the next call", func(t *testing.T) {
		k, d := openDisk(t, nil)
		a := mustKey(t, k, "alice")
		d.writeErr = io.ErrShortWrite
		if _, err := k.Key("bob", true); !fault.Is(err, fault.Unavailable) {
			t.Errorf("err = %v", err)
		}
		if err := k.Erase("alice"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("erase: err = %v", err)
		}
		d.writeErr = nil
		b := mustKey(t, k, "bob")
		expect(t, k, map[string][]byte{"alice": a, "bob": b})
		if err := k.Erase("alice"); err != nil {
			t.Error(err)
		}
		k, _ = openDisk(t, d.synced)
		expect(t, k, map[string][]byte{"alice": nil, "bob": b})
	})
	t.Run("after a failed sync it changes nothing more, and gives out what was durable", func(t *testing.T) {
		k, d := openDisk(t, nil)
		a := mustKey(t, k, "alice")
		d.syncErr = errors.New("input/output error")
		for range 2 {
			if _, err := k.Key("bob", true); !fault.Is(err, fault.Unavailable) {
				t.Errorf("err = %v", err)
			}
			d.syncErr = nil // the next sync of a kernel may well succeed without having written anything
		}
		if _, err := k.Key("carol", true); !fault.Is(err, fault.Unavailable) {
			t.Errorf("err = %v", err)
		}
		for _, subject := range []string{"alice", "nobody"} {
			if err := k.Erase(subject); !fault.Is(err, fault.Unavailable) {
				t.Errorf("erase %s: err = %v", subject, err)
			}
		}
		expect(t, k, map[string][]byte{"alice": a})
	})
}
