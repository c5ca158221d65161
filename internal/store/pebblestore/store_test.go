package pebblestore

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func versionOf(t *testing.T, s *Store, k store.Key) uint64 {
	t.Helper()
	v, err := s.acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer v.release()
	_, version, err := v.get(k)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	s, err := tryOpen(t, fs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := key("p", "s")
	put(t, s, k, store.S("name", "mug"), store.N("n", 1))
	put(t, s, key("p", "gone"))
	if err := s.Update(context.Background(), func(tx *store.Tx) error {
		tx.Delete(key("p", "gone"))
		tx.Add(k, []store.Delta{store.Inc("n", 4)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	before := versionOf(t, s, k)
	closeStore(t, s)
	s = open(t, fs, Options{})
	t.Run("what was committed is there", func(t *testing.T) {
		if it := get(t, s, k); it.Str("name") != "mug" || it.Int("n") != 5 {
			t.Errorf("the item is %v", it)
		}
		if get(t, s, key("p", "gone")) != nil {
			t.Error("a deleted item is back")
		}
	})
	t.Run("an add and a restart leave the version, a put raises it", func(t *testing.T) {
		if v := versionOf(t, s, k); v != before {
			t.Errorf("version %d, was %d", v, before)
		}
		put(t, s, k)
		if v := versionOf(t, s, k); v <= 3 {
			t.Errorf("version %d, after three commits", v)
		}
	})
}

func TestWALError(t *testing.T) {
	var broken atomic.Bool
	fs := beforeWrites(vfs.NewMem(), func(int64) error {
		if broken.Load() {
			return errDisk
		}
		return nil
	})
	fatal := make(chan error, 1)
	s, err := tryOpen(t, fs, Options{Fatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, key("p", "s"), store.N("n", 1))
	broken.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	answer := startWith(ctx, s, func(tx *store.Tx) { tx.Put(key("p", "s"), store.Item{store.N("n", 2)}) })
	t.Run("ends the process", func(t *testing.T) {
		if err := <-fatal; !errors.Is(err, errDisk) {
			t.Errorf("Fatal: %v", err)
		}
	})
	t.Run("without an answer", func(t *testing.T) {
		<-s.committed
		unanswered(t, "the commit", answer)
		cancel()
		if err := <-answer; !fault.Is(err, fault.Transient) {
			t.Errorf("%v, want the context's end", err)
		}
	})
	t.Run("and nothing is read of what failed", func(t *testing.T) {
		if it := get(t, s, key("p", "s")); it.Int("n") != 1 {
			t.Errorf("the item is %v", it)
		}
	})
	t.Run("and nothing more is taken, should the process linger", func(t *testing.T) {
		if err := tryPut(context.Background(), s, key("p", "t")); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		if err := s.Close(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestDiskNearlyFull(t *testing.T) {
	var free atomic.Uint64
	free.Store(defaultMinFree)
	var offset atomic.Int64
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var looks atomic.Int64
	var failing atomic.Bool
	s := open(t, vfs.NewMem(), Options{
		Now: func() time.Time { return began.Add(time.Duration(offset.Load())) },
		FreeBytes: func() (uint64, error) {
			looks.Add(1)
			if failing.Load() {
				return 0, errors.New("no answer")
			}
			return free.Load(), nil
		},
	})
	k := key("p", "s")
	put(t, s, k, store.N("n", 1))
	refusedNow := func(t *testing.T) {
		t.Helper()
		if err := tryPut(context.Background(), s, k, store.N("n", 2)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a commit: %v", err)
		}
	}
	t.Run("it is looked at once a second, however much is committed", func(t *testing.T) {
		for range 10 {
			put(t, s, k, store.N("n", 1))
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
	})
	t.Run("below the mark commits are unavailable, and reads go on", func(t *testing.T) {
		free.Store(defaultMinFree - 1)
		offset.Add(int64(spaceEvery))
		refusedNow(t)
		refusedNow(t)
		if it := get(t, s, k); it.Int("n") != 1 {
			t.Errorf("the item is %v", it)
		}
		if !s.Stats().Low {
			t.Error("Stats do not say so")
		}
	})
	t.Run("above it they resume", func(t *testing.T) {
		free.Store(defaultMinFree)
		refusedNow(t) // the second is not over
		offset.Add(int64(spaceEvery))
		put(t, s, k, store.N("n", 3))
		if s.Stats().Low {
			t.Error("Stats still say that it is low")
		}
	})
	t.Run("a full disk that a flush meets counts until the next look", func(t *testing.T) {
		s.space.full()
		refusedNow(t)
		offset.Add(int64(spaceEvery))
		put(t, s, k, store.N("n", 4))
	})
	t.Run("not to know is no reason to stop", func(t *testing.T) {
		failing.Store(true)
		offset.Add(int64(spaceEvery))
		put(t, s, k, store.N("n", 5))
	})
	t.Run("the default asks the file system", func(t *testing.T) {
		fs := vfs.NewMem()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 2000, UsedBytes: 1000})
		s := open(t, fs, Options{})
		if err := tryPut(context.Background(), s, k); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		fs = vfs.NewMem()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000, TotalBytes: 2000, UsedBytes: 1000})
		put(t, open(t, fs, Options{MinFreeBytes: 1000}), k)
	})
	t.Run("and can be told not to care", func(t *testing.T) {
		fs := vfs.NewMem()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1, TotalBytes: 2, UsedBytes: 1})
		s := open(t, fs, Options{MinFreeBytes: NoMinFree, Now: func() time.Time { return began.Add(time.Duration(offset.Load())) }})
		put(t, s, k)
		s.space.full()
		refused := tryPut(context.Background(), s, k)
		if !fault.Is(refused, fault.Unavailable) {
			t.Errorf("a commit after a flush has met a full disk: %v", refused)
		}
		offset.Add(int64(spaceEvery))
		put(t, s, k) // the next look says that it may try again
	})
}

func TestCheckpoint(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs, Options{})
	put(t, s, key("p", "s"), store.N("n", 1))
	const backup = "/backup"
	if err := s.Checkpoint(backup); err != nil {
		t.Fatal(err)
	}
	put(t, s, key("p", "s"), store.N("n", 2))
	opts := Options{FS: fs, tune: small, Logger: s.log}
	t.Run("is a store of its own, as of its moment", func(t *testing.T) {
		c, err := Open(backup, opts)
		if err != nil {
			t.Fatal(err)
		}
		if it := get(t, c, key("p", "s")); it.Int("n") != 1 {
			t.Errorf("the item is %v", it)
		}
		put(t, c, key("p", "s"), store.N("n", 10))
		closeStore(t, c)
		if it := get(t, s, key("p", "s")); it.Int("n") != 2 {
			t.Errorf("the item of the first is %v", it)
		}
	})
	t.Run("overwrites nothing", func(t *testing.T) {
		if err := s.Checkpoint(backup); err == nil {
			t.Error("no error")
		}
	})
	t.Run("that was not finished is refused", func(t *testing.T) {
		if err := s.db.Checkpoint("/half"); err != nil {
			t.Fatal(err)
		}
		if _, err := Open("/half", opts); !errors.Is(err, ErrFormat) {
			t.Errorf("Open: %v", err)
		}
	})
}

func TestStill(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{})
	put(t, s, key("p", "s"), store.N("n", 1))
	committed := make(chan error, 1)
	err := s.Still(func() error {
		go func() { committed <- tryPut(context.Background(), s, key("p", "s"), store.N("n", 2)) }()
		// The commit is waiting now, or will be: in neither case is it seen, or in the copy.
		if err := s.Checkpoint("/copy"); err != nil {
			return err
		}
		select {
		case err := <-committed:
			t.Errorf("a commit was answered meanwhile: %v", err)
		default:
		}
		if it := get(t, s, key("p", "s")); it.Int("n") != 1 {
			t.Errorf("the item is %v", it)
		}
		return nil
	})
	if err = errors.Join(err, <-committed); err != nil {
		t.Fatal(err)
	}
	if it := get(t, s, key("p", "s")); it.Int("n") != 2 {
		t.Errorf("afterwards the item is %v", it)
	}
}

func TestDamage(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{})
	bad, good := key("p", "bad"), key("p", "good")
	if err := s.db.Set(appendItemKey(nil, bad), []byte{1, 0xff, 0xff}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	put(t, s, good, store.N("n", 1)) // and the view shows the damage
	ctx := context.Background()
	calls := map[string]func() error{
		"Get":   func() error { _, err := s.Get(ctx, bad, store.Strong); return err },
		"Range": func() error { _, err := s.Range(ctx, store.Query{Table: "t", PK: "p"}); return err },
		"Dump":  func() error { return s.Dump(ctx, func(store.Entry) error { return nil }) },
		"Update": func() error {
			return s.Update(ctx, func(tx *store.Tx) error { tx.Put(bad, nil, store.Exists()); return nil })
		},
	}
	for name, call := range calls {
		t.Run(name+" of a damaged item is an internal error", func(t *testing.T) {
			if err := call(); !fault.Is(err, fault.Internal) {
				t.Error(err)
			}
		})
	}
	t.Run("the other items are well", func(t *testing.T) {
		put(t, s, good, store.N("n", 2))
		if it := get(t, s, good); it.Int("n") != 2 {
			t.Errorf("the item is %v", it)
		}
	})
	t.Run("a put that looks at nothing repairs it", func(t *testing.T) {
		put(t, s, bad, store.N("n", 3))
		if it := get(t, s, bad); it.Int("n") != 3 {
			t.Errorf("the item is %v", it)
		}
	})
}

func TestStats(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{})
	put(t, s, key("p", "s"), store.N("n", 1))
	put(t, s, key("p", "t"))
	err := s.Update(context.Background(), func(tx *store.Tx) error {
		tx.Check(key("p", "s"), store.Absent())
		return nil
	})
	if store.RefusalOf(err) == nil {
		t.Fatal(err)
	}
	got := s.Stats()
	if got.Commits != 2 || got.Groups != 2 || got.Refusals != 1 || got.Conflicts != 0 || got.Bytes == 0 || got.DiskBytes == 0 {
		t.Errorf("%+v", got)
	}
}

func TestAWatchIsToldOfWhatWasApplied(t *testing.T) {
	var mu sync.Mutex
	clock, commits, groups := time.Unix(0, 0), 0, 0
	s := open(t, vfs.NewMem(), Options{
		Now: func() time.Time { // each look takes a second
			mu.Lock()
			defer mu.Unlock()
			clock = clock.Add(time.Second)
			return clock
		},
		Watch: Watch{
			Committed: func(took time.Duration) {
				if mu.Lock(); took < time.Second {
					t.Errorf("a commit took %s", took)
				}
				commits++
				mu.Unlock()
			},
			Synced: func(took time.Duration, n int) {
				if mu.Lock(); took < time.Second || n < 1 {
					t.Errorf("a group of %d took %s", n, took)
				}
				groups += n
				mu.Unlock()
			},
		},
	})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() { put(t, s, key("p", strconv.Itoa(n))) })
	}
	all.Wait()
	if err := s.Update(context.Background(), func(tx *store.Tx) error { // refused
		tx.Put(key("p", "0"), store.Item{}, store.Absent())
		return nil
	}); store.RefusalOf(err) == nil {
		t.Fatal(err)
	}
	if err := s.Update(context.Background(), func(tx *store.Tx) error { // writes nothing
		_, err := tx.Get(key("p", "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // the last group's is told after its answer
		t.Fatal(err)
	}
	if commits != 20 || groups != 20 {
		t.Errorf("told of %d commits, and of groups with %d", commits, groups)
	}
}

func TestKeys(t *testing.T) {
	t.Run("a partition ends where it ends, whatever its bytes", func(t *testing.T) {
		s := open(t, vfs.NewMem(), Options{})
		sks := []string{"", "\x01", "a", "\xfe", "\xff", "\xff\x01", "\xff\xff"}
		for _, sk := range sks {
			put(t, s, key("p", sk))
			put(t, s, key("p\x01", sk))
			put(t, s, key("o\xff", sk))
		}
		for prefix, want := range map[string]int{"": 7, "\xff": 3, "\xff\xff": 1, "a": 1, "\xfe": 1} {
			for _, reverse := range []bool{false, true} {
				entries, err := s.Range(context.Background(), store.Query{Table: "t", PK: "p", Prefix: prefix, Reverse: reverse})
				if err != nil || len(entries) != want {
					t.Errorf("prefix %q: %v, %v", prefix, entries, err)
				}
			}
		}
	})
	t.Run("a key on the disk is read back", func(t *testing.T) {
		for _, k := range []store.Key{key("p", ""), key("p", "s"), {Table: "a/b", PK: "\xff", SK: "\x01"}} {
			if got, err := parseItemKey(appendItemKey(nil, k)); err != nil || got != k {
				t.Errorf("%v is %v, %v", k, got, err)
			}
		}
		for _, b := range []string{"", "i", "it", "it\x00p", "ft\x00p\x00s"} {
			if k, err := parseItemKey([]byte(b)); err == nil {
				t.Errorf("%q is %v", b, k)
			}
		}
	})
}
