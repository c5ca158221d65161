package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A gate is a file system whose log can be kept from being synced.
type gate struct {
	vfs.FS
	entered chan struct{} // gets one for each sync that waits

	mu   sync.Mutex
	pass chan struct{} // a waiting sync takes one from it; nil: the gate is open
}

func newGate(fs vfs.FS) *gate { return &gate{FS: fs, entered: make(chan struct{}, 1000)} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pass != nil {
		close(g.pass)
	}
	g.pass = nil
}

func (g *gate) letOnePass() {
	g.mu.Lock()
	pass := g.pass
	g.mu.Unlock()
	pass <- struct{}{}
}

func (g *gate) wait() {
	g.mu.Lock()
	pass := g.pass
	g.mu.Unlock()
	if pass != nil {
		g.entered <- struct{}{}
		<-pass
	}
}

type gatedFile struct {
	vfs.File
	g *gate
}

func (g *gate) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return gatedFile{f, g}, nil
}

func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, c)
	return g.wrap(name, f, err)
}

func (g *gate) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(from, to, c)
	return g.wrap(to, f, err)
}

func (f gatedFile) Sync() error     { f.g.wait(); return f.File.Sync() }
func (f gatedFile) SyncData() error { f.g.wait(); return f.File.SyncData() }
func (f gatedFile) SyncTo(n int64) (bool, error) {
	f.g.wait()
	return f.File.SyncTo(n)
}

// start calls Update in the background.
func start(s *Store, fn func(tx *store.Tx)) chan error {
	return startWith(context.Background(), s, fn)
}

func startWith(ctx context.Context, s *Store, fn func(tx *store.Tx)) chan error {
	answer := make(chan error, 1)
	go func() {
		answer <- s.Update(ctx, func(tx *store.Tx) error { fn(tx); return nil })
	}()
	return answer
}

func unanswered(t *testing.T, what string, answer chan error) {
	t.Helper()
	select {
	case err := <-answer:
		t.Fatalf("%s was answered before the sync: %v", what, err)
	default:
	}
}

// until waits until the condition holds, without a clock: another goroutine is about to make it so.
func until(cond func() bool) {
	for !cond() {
		runtime.Gosched()
	}
}

func TestNothingUnsyncedIsSeen(t *testing.T) {
	ctx := context.Background()
	g := newGate(vfs.NewMem())
	s := open(t, g, Options{Feed: func(store.Key) bool { return true }})
	t.Cleanup(g.open)
	k := key("p", "s")
	put(t, s, k, store.N("n", 1))

	delivered := make(chan store.Change, 10)
	feedCtx, stop := context.WithCancel(ctx)
	feedEnd := make(chan error, 1)
	go func() {
		feedEnd <- s.RunFeed(feedCtx, "f", func(_ context.Context, changes []store.Change) error {
			for _, c := range changes {
				delivered <- c
			}
			return nil
		})
	}()
	for n := int64(1); len(delivered) == 0; n++ {
		put(t, s, key("probe", ""), store.N("n", n))
	}
	stopDraining(delivered, s, t)

	g.shut()
	first := start(s, func(tx *store.Tx) {
		tx.Put(k, store.Item{store.N("n", 2)})
		tx.Put(key("p", "new"), store.Item{})
	})
	<-g.entered
	// Pebble begins the sync of a batch before the batch is in its memtable or after, as its goroutines run. A write that
	// Pebble itself never showed would prove nothing here.
	until(func() bool {
		_, closer, err := s.db.Get(appendItemKey(nil, key("p", "new")))
		return err == nil && closer.Close() == nil
	})

	t.Run("no read shows the write", func(t *testing.T) {
		if it := get(t, s, k); it.Int("n") != 1 {
			t.Errorf("Get: %v", it)
		}
		items, err := s.GetMany(ctx, []store.Key{k, key("p", "new")}, store.Strong)
		if err != nil || items[0].Int("n") != 1 || items[1] != nil {
			t.Errorf("GetMany: %v, %v", items, err)
		}
		entries, err := s.Range(ctx, store.Query{Table: "t", PK: "p"})
		if err != nil || len(entries) != 1 || entries[0].Item.Int("n") != 1 {
			t.Errorf("Range: %v, %v", entries, err)
		}
		err = s.Update(ctx, func(tx *store.Tx) error {
			it, err := tx.Get(k)
			if it.Int("n") != 1 {
				t.Errorf("Tx.Get: %v", it)
			}
			return err
		})
		if err != nil {
			t.Errorf("Update that only reads: %v", err)
		}
		err = s.Dump(ctx, func(e store.Entry) error {
			if e.Key == key("p", "new") || e.Item.Int("n") == 2 && e.Key == k {
				t.Errorf("Dump: %v", e)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	second := start(s, func(tx *store.Tx) { tx.Put(k, store.Item{store.N("n", 3)}) })
	until(func() bool { return len(s.queue) == 1 })
	// It is refused by the second, which is in its group, and not by what stands in the store before.
	third := start(s, func(tx *store.Tx) { tx.Check(k, store.Below("n", 3)) })
	until(func() bool { return len(s.queue) == 2 })
	unanswered(t, "the first", first)
	g.letOnePass()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-g.entered
	t.Run("what is synced is seen, and what is not is not", func(t *testing.T) {
		if it := get(t, s, k); it.Int("n") != 2 {
			t.Errorf("Get: %v", it)
		}
		for _, want := range []store.Key{k, key("p", "new")} {
			if c := <-delivered; c.Key != want || c.Key == k && c.Item.Int("n") != 2 {
				t.Errorf("the feed delivered %v", c)
			}
		}
		if len(delivered) > 0 {
			t.Errorf("the feed delivered %v", <-delivered)
		}
	})
	t.Run("a refusal waits for the sync of the write that it rests on", func(t *testing.T) {
		unanswered(t, "the second", second)
		unanswered(t, "the refusal", third)
		g.open()
		if err := <-second; err != nil {
			t.Error(err)
		}
		if r := store.RefusalOf(<-third); r == nil || r.Item.Int("n") != 3 {
			t.Errorf("refusal %v", r)
		}
		if c := <-delivered; c.Item.Int("n") != 3 {
			t.Errorf("the feed delivered %v", c)
		}
	})
	stop()
	if err := <-feedEnd; !errors.Is(err, context.Canceled) {
		t.Errorf("RunFeed: %v", err)
	}
}

// stopDraining waits until the feed has delivered all that was committed so far, and forgets it.
func stopDraining(delivered chan store.Change, s *Store, t *testing.T) {
	put(t, s, key("probe", "last"))
	for c := range delivered {
		if c.Key == key("probe", "last") {
			return
		}
	}
}

func TestAConflictRunsAgainAfterTheSync(t *testing.T) {
	g := newGate(vfs.NewMem())
	s := open(t, g, Options{})
	t.Cleanup(g.open)
	k := key("p", "s")
	put(t, s, k, store.N("n", 1))
	g.shut()
	first := start(s, func(tx *store.Tx) { tx.Put(k, store.Item{store.N("n", 2)}) })
	<-g.entered
	views := make(chan int64, 10)
	second := start(s, func(tx *store.Tx) {
		it, err := tx.Get(k)
		if err != nil {
			t.Error(err)
		}
		views <- it.Int("n")
		tx.Put(k, store.Item{store.N("n", it.Int("n")+10)})
	})
	if n := <-views; n != 1 {
		t.Errorf("the first run saw %d, which is not synced", n)
	}
	g.open()
	for _, answer := range []chan error{first, second} {
		if err := <-answer; err != nil {
			t.Error(err)
		}
	}
	if n := <-views; n != 2 {
		t.Errorf("the second run saw %d", n)
	}
	if n := get(t, s, k).Int("n"); n != 12 {
		t.Errorf("the item is %d", n)
	}
	if got := s.Stats().Conflicts; got != 1 {
		t.Errorf("%d conflicts", got)
	}
}

func TestContextWhileWaiting(t *testing.T) {
	g := newGate(vfs.NewMem())
	s := open(t, g, Options{})
	t.Cleanup(g.open)
	g.shut()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	writing := startWith(ctx, s, func(tx *store.Tx) { tx.Put(key("p", "writing"), nil) })
	<-g.entered
	queued := startWith(ctx, s, func(tx *store.Tx) { tx.Put(key("p", "queued"), nil) })
	until(func() bool { return len(s.queue) == 1 })
	cancel()
	t.Run("a caller that leaves during the sync is told that the outcome is unknown", func(t *testing.T) {
		var e *fault.Error
		if err := <-writing; !errors.As(err, &e) || e.Kind != fault.Transient {
			t.Errorf("%v", err)
		}
	})
	t.Run("and so is one that leaves the queue", func(t *testing.T) {
		if err := <-queued; !fault.Is(err, fault.Transient) {
			t.Errorf("%v", err)
		}
	})
	t.Run("one that never got into the queue has its context's error", func(t *testing.T) {
		var rest []chan error
		for i := range queueLength - 1 {
			rest = append(rest, start(s, func(tx *store.Tx) { tx.Put(key("rest", fmt.Sprint(i)), nil) }))
		}
		until(func() bool { return len(s.queue) == queueLength })
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan struct{})
		outside := startWith(ctx, s, func(tx *store.Tx) { tx.Put(key("p", "outside"), nil); close(ran) })
		<-ran
		cancel()
		var e *fault.Error
		if err := <-outside; !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("%v", err)
		}
		g.open()
		for _, answer := range rest {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
	})
	if get(t, s, key("p", "writing")) == nil {
		t.Error("the write that was under way is not there")
	}
	if get(t, s, key("p", "queued")) != nil || get(t, s, key("p", "outside")) != nil {
		t.Error("a write whose caller had left was applied")
	}
	if groups := s.Stats().Groups; groups > 4 {
		t.Errorf("%d syncs for what waited together", groups)
	}
}

func TestClose(t *testing.T) {
	ctx := context.Background()
	g := newGate(vfs.NewMem())
	s, err := tryOpen(t, g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.beginFeed("f"); err != nil { // so that the runner syncs nothing
		t.Fatal(err)
	}
	runner := make(chan error, 1)
	go func() {
		runner <- s.RunFeed(ctx, "f", func(context.Context, []store.Change) error { return nil })
	}()
	g.shut()
	writing := start(s, func(tx *store.Tx) { tx.Put(key("p", "writing"), nil) })
	<-g.entered
	queued := start(s, func(tx *store.Tx) { tx.Put(key("p", "queued"), nil) })
	until(func() bool { return len(s.queue) == 1 })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-s.life.Done()
	t.Run("it waits for what was accepted", func(t *testing.T) {
		unanswered(t, "Close", closed)
		g.open()
		for _, answer := range []chan error{writing, queued, closed} {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a runner of the feed ends with it", func(t *testing.T) {
		if err := <-runner; !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	})
	calls := map[string]func() error{
		"Get":     func() error { _, err := s.Get(ctx, key("p", "s"), store.Strong); return err },
		"GetMany": func() error { _, err := s.GetMany(ctx, nil, store.Strong); return err },
		"Range":   func() error { _, err := s.Range(ctx, store.Query{Table: "t", PK: "p"}); return err },
		"Update":  func() error { return tryPut(ctx, s, key("p", "s")) },
		"RunFeed": func() error { return s.RunFeed(ctx, "f", nil) },
		"Dump":    func() error { return s.Dump(ctx, nil) },
		"Checkpoint": func() error {
			return s.Checkpoint("/elsewhere")
		},
	}
	for name, call := range calls {
		t.Run(name+" after it is unavailable", func(t *testing.T) {
			if err := call(); !fault.Is(err, fault.Unavailable) {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	s = open(t, g, Options{})
	if get(t, s, key("p", "writing")) == nil || get(t, s, key("p", "queued")) == nil {
		t.Error("a write that was answered is gone")
	}
}
