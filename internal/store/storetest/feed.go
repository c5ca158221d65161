package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// fed selects the partitions that the suite wants to see: all but those whose name begins with "quiet".
func fed(k store.Key) bool { return !strings.HasPrefix(k.PK, "quiet") }

// A listener runs the feed in the background and keeps what it delivered.
type listener struct {
	b    box
	stop context.CancelFunc
	done chan error

	mu   sync.Mutex
	all  []store.Change
	more chan struct{} // closed and replaced with each delivery
	fail int           // so many calls fail first
}

func (l *listener) handle(_ context.Context, changes []store.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		return errors.New("not now")
	}
	l.all = append(l.all, changes...)
	close(l.more)
	l.more = make(chan struct{})
	return nil
}

// listen starts a runner of that name and returns once it has begun: after it has delivered a probe.
func (b box) listen(name string, wrap func(store.FeedHandler) store.FeedHandler) *listener {
	b.t.Helper()
	l := b.resume(name, 0, wrap)
	for n := int64(1); ; n++ {
		b.put(key("probe", name), store.N("n", n))
		select {
		case <-l.next():
			return l
		case err := <-l.done:
			b.t.Fatalf("RunFeed: %v", err)
		default:
		}
	}
}

func (b box) resume(name string, fail int, wrap func(store.FeedHandler) store.FeedHandler) *listener {
	b.t.Helper()
	feed, ok := b.Store.(store.Feed)
	if !ok {
		b.t.Fatal("the store is no Feed; set NoFeed if it need not be")
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{b: b, stop: stop, done: make(chan error, 1), more: make(chan struct{}), fail: fail}
	handle := l.handle
	if wrap != nil {
		handle = wrap(handle)
	}
	go func() { l.done <- feed.RunFeed(ctx, name, handle) }()
	b.t.Cleanup(l.leave)
	return l
}

// next is closed at the next delivery, or already if there was one.
func (l *listener) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) > 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	return l.more
}

// leave ends the runner and waits for it.
func (l *listener) leave() {
	l.stop()
	if err, ok := <-l.done; ok {
		close(l.done)
		if !errors.Is(err, context.Canceled) {
			l.b.t.Errorf("RunFeed: %v, want the error of its context", err)
		}
	}
}

// until waits until enough says yes to what was delivered, and returns it.
func (l *listener) until(what string, enough func([]store.Change) bool) []store.Change {
	l.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		l.mu.Lock()
		all, more := l.all, l.more
		l.mu.Unlock()
		if enough(all) {
			return all
		}
		select {
		case <-more:
		case err := <-l.done:
			l.b.t.Fatalf("RunFeed: %v", err)
		case <-ctx.Done():
			l.b.t.Fatalf("the feed did not deliver %s; it delivered %v", what, all)
		}
	}
}

// has is for until: the change of this key was delivered, as an item with n.
func has(k store.Key, n int64) func([]store.Change) bool {
	return func(changes []store.Change) bool { return seenAt(changes, k, n) >= 0 }
}

func seenAt(changes []store.Change, k store.Key, n int64) int {
	for i, c := range changes {
		if c.Key == k && c.Item.Int("n") == n && !c.Deleted {
			return i
		}
	}
	return -1
}

func (c Config) testFeed(t *testing.T) {
	t.Run("puts, adds and deletes, as the commit left the item", c.testFeedImages)
	t.Run("only what is selected, and only what was committed", c.testFeedSelection)
	t.Run("to a new name from the next change on", func(t *testing.T) {
		b := c.open(t, fed)
		b.put(key("p", "before"), store.N("n", 1))
		l := b.listen("new", nil)
		b.put(key("p", "after"), store.N("n", 1))
		if all := l.until("the change after", has(key("p", "after"), 1)); seenAt(all, key("p", "before"), 1) >= 0 {
			t.Errorf("it delivered %v", all)
		}
	})
	t.Run("to a known name from where it stood", func(t *testing.T) {
		b := c.open(t, fed)
		l := b.listen("known", nil)
		b.put(key("p", "s"), store.N("n", 1))
		l.until("the first change", has(key("p", "s"), 1))
		l.leave()
		for n := range int64(5) {
			b.put(key("p", "s"), store.N("n", 2+n))
		}
		l = b.resume("known", 0, nil)
		all := l.until("the last change", has(key("p", "s"), 6))
		for n := range int64(5) {
			if seenAt(all, key("p", "s"), 2+n) < 0 {
				t.Errorf("change %d is missing in %v", 2+n, all)
			}
		}
	})
	t.Run("to each name for itself", func(t *testing.T) {
		b := c.open(t, fed)
		one, two := b.listen("one", nil), b.listen("two", nil)
		b.put(key("p", "s"), store.N("n", 1))
		one.until("to the first", has(key("p", "s"), 1))
		two.until("to the second", has(key("p", "s"), 1))
	})
	t.Run("again what the handler has not taken", func(t *testing.T) {
		b := c.open(t, fed)
		b.listen("stubborn", nil).leave()
		b.put(key("p", "s"), store.N("n", 1))
		b.put(key("p", "s"), store.N("n", 2))
		all := b.resume("stubborn", 3, nil).until("both changes", has(key("p", "s"), 2))
		if seenAt(all, key("p", "s"), 1) < 0 {
			t.Errorf("it delivered %v", all)
		}
	})
	t.Run("everything, in order within a partition", func(t *testing.T) { c.testFeedOrder(t, nil) })
	t.Run("everything, whatever order and repetition the port allows", func(t *testing.T) {
		rng := seeded(t, 1)
		c.testFeedOrder(t, func(h store.FeedHandler) store.FeedHandler { return Shuffle(h, rng) })
	})
}

func (c Config) testFeedImages(t *testing.T) {
	b := c.open(t, fed)
	l := b.listen("images", nil)
	k := key("p", "s")
	b.put(k, store.S("name", "mug"), store.N("n", 1))
	b.add(k, 4)
	b.delete(k)
	b.delete(k) // nothing changes
	b.put(key("p", "end"), store.N("n", 1))
	all := l.until("the end", has(key("p", "end"), 1))
	var got []store.Change
	for _, change := range all {
		if change.Key == k {
			got = append(got, change)
		}
	}
	if len(got) < 3 {
		t.Fatalf("it delivered %v", got)
	}
	if !got[0].Item.Equal(store.Item{store.S("name", "mug"), store.N("n", 1)}) || got[0].Deleted {
		t.Errorf("the put is %v", got[0])
	}
	if !got[1].Item.Equal(store.Item{store.S("name", "mug"), store.N("n", 5)}) || got[1].Deleted {
		t.Errorf("the add is %v", got[1])
	}
	if got[2].Item != nil || !got[2].Deleted {
		t.Errorf("the delete is %v", got[2])
	}
	if got[0].Seq >= got[1].Seq || got[1].Seq >= got[2].Seq {
		t.Errorf("the numbers do not rise: %v", got)
	}
}

func (c Config) testFeedSelection(t *testing.T) {
	b := c.open(t, fed)
	l := b.listen("some", nil)
	b.put(key("quiet", "s"), store.N("n", 1))
	err := b.try(func(tx *store.Tx) {
		tx.Put(key("p", "refused"), store.Item{store.N("n", 1)})
		tx.Check(key("p", "none"), store.Exists())
	})
	wantEqual(t, "the refused key", refused(t, err).Key, key("p", "none"))
	b.update(func(tx *store.Tx) {
		tx.Check(key("p", "checked"), store.Absent())
		tx.Put(key("quiet", "t"), store.Item{store.N("n", 1)})
		tx.Put(key("p", "end"), store.Item{store.N("n", 1)})
	})
	for _, change := range l.until("the end", has(key("p", "end"), 1)) {
		if change.Key.PK != "probe" && change.Key != key("p", "end") {
			t.Errorf("it delivered %v", change)
		}
	}
}

// testFeedOrder has several writers count up in several partitions. Each partition must deliver every number, and no
// number for the first time before the one below it.
func (c Config) testFeedOrder(t *testing.T, wrap func(store.FeedHandler) store.FeedHandler) {
	b := c.open(t, fed)
	l := b.listen("order", wrap)
	const partitions = 4
	n := int64(25 * c.Rounds)
	together(workers, func(worker int, _ *rand.Rand) {
		for range n {
			// Two writers count in each partition; every commit touches two partitions.
			here, there := key(fmt.Sprint("p", worker%partitions), "count"), key(fmt.Sprint("q", worker), "count")
			err := b.try(func(tx *store.Tx) {
				tx.Add(here, []store.Delta{store.Inc("n", 1)})
				tx.Add(there, []store.Delta{store.Inc("n", 1)})
			})
			if err != nil {
				t.Errorf("worker %d: %v", worker, err)
			}
		}
	})
	last := map[string]int64{}
	for i := range partitions {
		last[fmt.Sprint("p", i)] = n * workers / partitions
	}
	for i := range workers {
		last[fmt.Sprint("q", i)] = n
	}
	all := l.until("every last change", func(changes []store.Change) bool {
		for pk, n := range last {
			if seenAt(changes, key(pk, "count"), n) < 0 {
				return false
			}
		}
		return true
	})
	reached := map[string]int64{}
	for _, change := range all {
		if change.Key.PK == "probe" {
			continue
		}
		if n := change.Item.Int("n"); n > reached[change.Key.PK]+1 {
			t.Fatalf("%s: change %d came right after %d", change.Key, n, reached[change.Key.PK])
		} else if n == reached[change.Key.PK]+1 {
			reached[change.Key.PK] = n
		}
	}
	wantEqual(t, "the last change of each partition", reached, last)
}
