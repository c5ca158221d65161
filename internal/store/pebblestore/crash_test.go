package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A ledger is what several writers do, so that a crash can be judged: commit number n of a writer makes marker n, moves its
// head to n, which the feed shows, and adds one to the total of all.
type ledger struct {
	acked []atomic.Int64 // by writer: how many commits were answered
}

func newLedger(writers int) *ledger { return &ledger{acked: make([]atomic.Int64, writers)} }

var total = key("total", "")

func head(writer int) store.Key { return key(fmt.Sprint("head", writer), "") }

func marker(writer int, n int64) store.Key {
	return key(fmt.Sprint("marker", writer), fmt.Sprintf("%06d", n))
}

func feedsHeads(k store.Key) bool { return k.SK == "" && k != total }

// next makes the writer's next commit.
func (l *ledger) next(ctx context.Context, s *Store, writer int) error {
	n := int64(0)
	err := s.Update(ctx, func(tx *store.Tx) error {
		it, err := tx.Get(head(writer))
		if err != nil {
			return err
		}
		n = it.Int("n") + 1
		tx.Put(head(writer), store.Item{store.N("n", n)})
		tx.Put(marker(writer, n), store.Item{store.S("fill", "something that takes a little room")}, store.Absent())
		tx.Add(total, []store.Delta{store.Inc("n", 1)})
		return nil
	})
	if err == nil {
		l.acked[writer].Store(n)
	}
	return err
}

func (l *ledger) snapshot() []int64 {
	out := make([]int64, len(l.acked))
	for i := range l.acked {
		out[i] = l.acked[i].Load()
	}
	return out
}

// audit opens what a crash has left, and fails the test unless every commit that was answered before is there, and
// every commit that is there is there wholly.
func audit(t *testing.T, fs vfs.FS, acked []int64) {
	t.Helper()
	s, err := tryOpen(t, fs, Options{Feed: feedsHeads})
	if err != nil {
		t.Fatalf("open after the crash: %v", err)
	}
	defer closeStore(t, s)
	sum := int64(0)
	for w, want := range acked {
		n := get(t, s, head(w)).Int("n")
		if n < want {
			t.Errorf("writer %d: %d commits were answered, %d are there", w, want, n)
		}
		entries, err := s.Range(context.Background(), store.Query{Table: "t", PK: marker(w, 0).PK})
		if err != nil || int64(len(entries)) != n || n > 0 && entries[n-1].Key != marker(w, n) {
			t.Errorf("writer %d: head %d, markers %v, %v", w, n, entries, err)
		}
		sum += n
	}
	if n := get(t, s, total).Int("n"); n != sum {
		t.Errorf("the total is %d, the heads add up to %d", n, sum)
	}
	auditFeed(t, s, sum)
	if err := newLedger(len(acked)).next(context.Background(), s, 0); err != nil {
		t.Errorf("the next commit: %v", err)
	}
}

// auditFeed checks that the feed has exactly the commits that are there, each once, and no number twice.
func auditFeed(t *testing.T, s *Store, commits int64) {
	t.Helper()
	seen := map[string]int64{}
	last, count := position{}, int64(0)
	for {
		changes, at, err := s.changesAfter(last, maxFeedChanges)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			break
		}
		for _, c := range changes {
			if n := c.Item.Int("n"); n != seen[c.Key.PK]+1 {
				t.Errorf("the feed has %s at %d after %d", c.Key, n, seen[c.Key.PK])
			}
			seen[c.Key.PK] = c.Item.Int("n")
			count++
		}
		last = at
	}
	v, err := s.acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer v.release()
	if count != commits || v.seq != uint64(commits) {
		t.Errorf("%d commits are there, %d in the feed, the last number is %d", commits, count, v.seq)
	}
}

func TestCrashUnderLoad(t *testing.T) {
	const writers, seeds = 6, 40
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			l := newLedger(writers)
			for range 3 { // crashes, each on what the one before has left
				fs = crashUnderLoad(t, fs, l, rng)
			}
		})
	}
}

// crashUnderLoad lets the writers run, and returns what the disk holds after a crash at a random moment.
func crashUnderLoad(t *testing.T, fs *vfs.MemFS, l *ledger, rng *rand.Rand) *vfs.MemFS {
	s, err := tryOpen(t, fs, Options{Feed: feedsHeads})
	if err != nil {
		t.Fatal(err)
	}
	crashAt, percent := int64(rng.IntN(250)), []int{0, 0, 50, 100, rng.IntN(101)}[rng.IntN(5)]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	for w := range l.acked {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := l.next(ctx, s, w); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				done.Add(1)
			}
		})
	}
	until(func() bool { return done.Load() >= crashAt })
	acked := l.snapshot() // before the crash: what is answered during it may be lost or not
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	cancel()
	wg.Wait()
	closeStore(t, s)
	// The survivor is looked at on a copy of its own, so that the looking leaves it as the crash did.
	audit(t, after.CrashClone(vfs.CrashCloneCfg{}), acked)
	for w, n := range acked {
		l.acked[w].Store(n)
	}
	return after
}

// A file system calls before each of its writes.
func beforeWrites(fs vfs.FS, before func(n int64) error) vfs.FS {
	var n atomic.Int64
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		return before(n.Add(1))
	}))
}

func TestCrashBeforeEveryWrite(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := newLedger(2)
	type crash struct {
		fs    *vfs.MemFS
		acked []int64
	}
	var mu sync.Mutex
	var crashes []crash
	rng := rand.New(rand.NewPCG(1, 1))
	watched := beforeWrites(fs, func(int64) error {
		mu.Lock()
		defer mu.Unlock()
		acked := l.snapshot()
		for _, percent := range []int{0, 30, 60, 90} { // of what was not synced is there nevertheless
			crashes = append(crashes, crash{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), acked})
		}
		return nil
	})
	for range 3 { // lives of the process: the first makes the store, the others find it
		live(t, watched, l)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d crashes", len(crashes))
	for i, c := range crashes {
		t.Run(fmt.Sprint("crash ", i), func(t *testing.T) { audit(t, c.fs, c.acked) })
	}
}

// live opens the store, makes some commits, with a flush among them and all the files that it makes and removes, and
// closes it.
func live(t *testing.T, fs vfs.FS, l *ledger) {
	t.Helper()
	const commits = 10
	s, err := tryOpen(t, fs, Options{Feed: feedsHeads})
	if err != nil {
		t.Fatal(err)
	}
	for i := range commits {
		for w := range l.acked {
			if err := l.next(context.Background(), s, w); err != nil {
				t.Fatal(err)
			}
		}
		if i == commits/2 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeStore(t, s)
}

var errDisk = errors.New("the disk failed")

// TestEveryWriteFails lets the n-th write fail, until a run ends before it comes to its n-th. It does not come to the
// change from one log to the next: if that fails, Pebble takes the process down itself, at once. TestCrashBeforeEveryWrite
// has those points.
func TestEveryWriteFails(t *testing.T) {
	const commits = 12
	var failed atomic.Bool
	failed.Store(true)
	for n := int64(1); failed.Load(); n++ {
		t.Run(fmt.Sprint("write ", n), func(t *testing.T) {
			failed.Store(false)
			fs := vfs.NewCrashableMem()
			l := newLedger(1)
			failing := beforeWrites(fs, func(i int64) error {
				if i == n {
					failed.Store(true)
					return errDisk
				}
				return nil
			})
			dead := make(chan struct{})
			ended := make(chan struct{})
			go func() { // the process
				defer close(ended)
				work(t, failing, l, commits, func(error) {
					close(dead)
					select {} // nothing goes on behind it, and it lets go of nothing
				})
			}()
			select {
			case <-ended: // the failure was of a kind that Pebble or the caller tries again
			case <-dead:
			}
			audit(t, fs.CrashClone(vfs.CrashCloneCfg{}), l.snapshot())
		})
	}
}

// work is a process that opens the store, makes commits and closes it. Fatal does not return, so neither does a call
// that meets it.
func work(t *testing.T, fs vfs.FS, l *ledger, commits int, fatal func(error)) {
	s, err := tryOpen(t, fs, Options{Feed: feedsHeads, Fatal: fatal})
	if err != nil {
		return
	}
	for i := range commits {
		if err := l.next(context.Background(), s, 0); err != nil {
			t.Errorf("commit %d: %v, though the process goes on", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Logf("Close: %v", err)
	}
}
