package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func feedsAll(store.Key) bool  { return true }
func feedsNone(store.Key) bool { return false }

// begin registers the name, so that its runner begins with the next change.
func begin(t *testing.T, s *Store, name string) {
	t.Helper()
	if _, err := s.beginFeed(name); err != nil {
		t.Fatal(err)
	}
}

// deliver runs the feed until it has delivered the last change that is wanted, and returns the numbers delivered.
func deliver(t *testing.T, s *Store, name string, last int64) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var got []int64
	err := s.RunFeed(ctx, name, func(_ context.Context, changes []store.Change) error {
		for _, c := range changes {
			got = append(got, c.Item.Int("n"))
		}
		if got[len(got)-1] == last {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("RunFeed: %v, after %v", err, got)
	}
	return got
}

func TestFeedSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	opts := Options{Feed: feedsAll}
	s, err := tryOpen(t, fs, opts)
	if err != nil {
		t.Fatal(err)
	}
	k := key("p", "s")
	put(t, s, k, store.N("n", 1))
	begin(t, s, "f")
	crashed := func() *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }
	t.Run("a crash right after a new name has begun: it misses nothing that follows", func(t *testing.T) {
		put(t, s, k, store.N("n", 2))
		if got := deliver(t, open(t, crashed(), opts), "f", 2); len(got) != 1 {
			t.Errorf("delivered %v", got)
		}
	})
	t.Run("a crash after a delivery: the next runner goes on no later than there", func(t *testing.T) {
		if got := deliver(t, s, "f", 2); len(got) != 1 {
			t.Errorf("delivered %v", got)
		}
		put(t, s, k, store.N("n", 3)) // syncs the cursor along
		got := deliver(t, open(t, crashed(), opts), "f", 3)
		if got[0] != 2 && got[0] != 3 {
			t.Errorf("delivered %v", got)
		}
	})
	closeStore(t, s)
	t.Run("a clean end: the next runner goes on exactly there", func(t *testing.T) {
		s := open(t, fs, opts)
		put(t, s, k, store.N("n", 4))
		got := deliver(t, s, "f", 4)
		if len(got) != 2 || got[0] != 3 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestFeedBatches(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{Feed: feedsAll})
	begin(t, s, "f")
	const n = 3*maxFeedChanges + 10
	for from := int64(0); from < n; from += 97 {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			for i := from; i < min(from+97, n); i++ {
				tx.Put(key("p", fmt.Sprint(i)), store.Item{store.N("n", i)})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var next int64
	err := s.RunFeed(ctx, "f", func(_ context.Context, changes []store.Change) error {
		if len(changes) > maxFeedChanges {
			t.Errorf("a batch of %d", len(changes))
		}
		for _, c := range changes {
			if c.Item.Int("n") != next {
				t.Errorf("change %d where %d comes", c.Item.Int("n"), next)
			}
			next++
		}
		if next == n {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || next != n {
		t.Errorf("%d changes, %v", next, err)
	}
}

func TestFeedIsTrimmed(t *testing.T) {
	var offset atomic.Int64
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fs := vfs.NewMem()
	opts := Options{
		Feed: feedsAll, FeedRetention: time.Hour,
		Now: func() time.Time { return began.Add(time.Duration(offset.Load())) },
	}
	s := open(t, fs, opts)
	begin(t, s, "f")
	n := int64(0)
	for range 3 * 60 { // one change a minute
		n++
		put(t, s, key("p", "s"), store.N("n", n))
		offset.Add(int64(time.Minute))
	}
	entries, _, err := s.changesAfter(position{}, maxFeedChanges)
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	t.Run("what is younger than the retention is there", func(t *testing.T) {
		if first := entries[0].Item.Int("n"); first > n-60 {
			t.Errorf("the first entry is %d of %d", first, n)
		}
	})
	t.Run("what is older than it by more than the interval of trimming is not", func(t *testing.T) {
		if first := entries[0].Item.Int("n"); first < n-60-int64(trimEvery/time.Minute)-1 {
			t.Errorf("the first entry is %d of %d", first, n)
		}
	})
	t.Run("a runner that was away longer goes on with the first that is left", func(t *testing.T) {
		if got := deliver(t, s, "f", n); got[0] != entries[0].Item.Int("n") || len(got) != len(entries) {
			t.Errorf("delivered %v", got)
		}
	})
	t.Run("a reader whose position was trimmed is told so, and begins with the first that is left", func(t *testing.T) {
		page, err := s.ReadFeed(t.Context(), position{seq: entries[0].Seq - 2}.public(), maxFeedChanges)
		if err != nil || !page.Lost || len(page.Changes) == 0 || page.Changes[0].Seq != entries[0].Seq {
			t.Errorf("%v, %v", page, err)
		}
	})
	t.Run("a reader who has seen all that was trimmed has lost nothing", func(t *testing.T) {
		page, err := s.ReadFeed(t.Context(), end(entries[0].Seq-1).public(), maxFeedChanges)
		if err != nil || page.Lost || len(page.Changes) == 0 || page.Changes[0].Seq != entries[0].Seq {
			t.Errorf("%v, %v", page, err)
		}
	})
	t.Run("the marks are trimmed too", func(t *testing.T) {
		it, err := s.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		marks := 0
		for ok := it.SeekGE([]byte{spaceMark}); ok && it.Key()[0] == spaceMark; ok = it.Next() {
			marks++
		}
		if err := it.Close(); err != nil || marks > 60+int(trimEvery/time.Minute)+2 {
			t.Errorf("%d marks, %v", marks, err)
		}
	})
}

func TestAReadersPositionSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	opts := Options{FeedKeys: feedsAll}
	s := open(t, fs, opts)
	put(t, s, key("p", "s"), store.N("n", 1))
	at, err := s.FeedEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, key("p", "next"), store.N("n", 2))
	t.Run("a crash: what follows it is read from it", func(t *testing.T) {
		page, err := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), opts).ReadFeed(t.Context(), at, 10)
		if err != nil || page.Lost || len(page.Changes) != 1 || page.Changes[0].Key != key("p", "next") {
			t.Errorf("%v, %v", page, err)
		}
	})
	t.Run("not the store: one of another life of it is lost", func(t *testing.T) {
		page, err := open(t, vfs.NewMem(), opts).ReadFeed(t.Context(), at, 10)
		if err != nil || !page.Lost || page.Last != (position{place: 0xff}).public() {
			t.Errorf("%v, %v", page, err)
		}
	})
	t.Run("but the reader is woken when the store closes, and told so", func(t *testing.T) {
		s := open(t, vfs.NewMem(), opts)
		more := s.FeedGrows()
		closeStore(t, s)
		select {
		case <-more:
		default:
			t.Error("it is not woken")
		}
		if _, err := s.ReadFeed(t.Context(), "", 10); !fault.Is(err, fault.Unavailable) {
			t.Errorf("ReadFeed: %v", err)
		}
	})
}

func TestAFeedOfKeysKeepsNoItem(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{FeedKeys: feedsAll})
	k := key("p", "s")
	put(t, s, k, store.S("text", strings.Repeat("x", 10_000)))
	before := s.Stats().Bytes
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		tx.Delete(k)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if before > 11_000 {
		t.Errorf("an item of 10,000 bytes took %d", before)
	}
	changes, _, err := s.changesAfter(position{}, maxFeedChanges)
	if err != nil || len(changes) != 2 || changes[0].Key != k || changes[0].Item != nil || changes[0].Deleted || !changes[1].Deleted {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestFeedEntryThatIsDamaged(t *testing.T) {
	s := open(t, vfs.NewMem(), Options{Feed: feedsAll})
	begin(t, s, "f")
	put(t, s, key("p", "s"), store.N("n", 1))
	good := appendChange(nil, key("p", "s"), store.Item{store.N("n", 1)}, false)
	for i := range good {
		if c, err := decodeChange(position{seq: 1}, good[:i]); err == nil {
			t.Errorf("the first %d bytes are %v", i, c)
		}
	}
	for _, text := range []string{"\x03\x00\x00\x00", string(appendChange(nil, key("p", "s"), nil, true)) + "x"} {
		if c, err := decodeChange(position{seq: 1}, []byte(text)); err == nil {
			t.Errorf("%q is %v", text, c)
		}
	}
	if err := s.db.Set(position{seq: 1}.feedKey(), good[:len(good)-1], nil); err != nil {
		t.Fatal(err)
	}
	put(t, s, key("p", "t"))
	err := s.RunFeed(context.Background(), "f", func(context.Context, []store.Change) error { return nil })
	if !fault.Is(err, fault.Internal) {
		t.Errorf("RunFeed: %v", err)
	}
}
