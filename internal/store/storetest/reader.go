package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A reader reads the feed of a box from a position of its own.
type reader struct {
	store.FeedReader
	t  *testing.T
	at store.Position
}

// reader begins at the end of the feed.
func (b box) reader() *reader {
	b.t.Helper()
	feed, ok := b.Store.(store.FeedReader)
	if !ok {
		b.t.Fatal("the store is no FeedReader; set NoFeed if it need not be")
	}
	at, err := feed.FeedEnd(b.t.Context())
	if err != nil {
		b.t.Fatalf("FeedEnd: %v", err)
	}
	return &reader{feed, b.t, at}
}

// page reads from the position and moves it.
func (r *reader) page(limit int) store.FeedPage {
	r.t.Helper()
	p, err := r.ReadFeed(r.t.Context(), r.at, limit)
	if err != nil {
		r.t.Fatalf("ReadFeed: %v", err)
	}
	if len(p.Changes) > limit {
		r.t.Fatalf("ReadFeed of at most %d gives %d changes", limit, len(p.Changes))
	}
	for _, c := range p.Changes {
		if !p.Lost && c.At <= r.at {
			r.t.Fatalf("the change %v does not stand behind the position %q", c, r.at)
		}
		r.at = c.At
	}
	if n := len(p.Changes); n > 0 && p.Last != r.at || n == 0 && !p.Lost && p.Last != r.at {
		r.t.Fatalf("the page ends at %q, its last change at %q", p.Last, r.at)
	}
	r.at = p.Last
	return p
}

func (c Config) testFeedReader(t *testing.T) {
	t.Run("which gives what comes behind it, in the order of the commits, as the commit left the item", c.testFeedPages)
	t.Run("again and again: the store keeps no cursor for it", func(t *testing.T) {
		b := c.open(t, fed)
		r := b.reader()
		b.put(key("p", "s"), store.N("n", 1))
		again := *r
		wantEqual(t, "the second reading", again.page(10), r.page(10))
	})
	t.Run("from its end: only what follows, and nothing if nothing does", func(t *testing.T) {
		b := c.open(t, fed)
		b.put(key("p", "before"), store.N("n", 1))
		r := b.reader()
		wantEqual(t, "changes", len(r.page(10).Changes), 0)
		b.put(key("quiet", "s"), store.N("n", 1))
		b.put(key("p", "after"), store.N("n", 1))
		if p := r.page(10); len(p.Changes) != 1 || p.Changes[0].Key != key("p", "after") {
			t.Errorf("it gives %v", p)
		}
	})
	t.Run("from the beginning where there is no position", func(t *testing.T) {
		b := c.open(t, fed)
		b.put(key("p", "first"), store.N("n", 1))
		r := b.reader()
		r.at = ""
		if p := r.page(10); p.Lost || len(p.Changes) != 1 || p.Changes[0].Key != key("p", "first") {
			t.Errorf("it gives %v", p)
		}
	})
	t.Run("who waits is woken by what comes after the look", c.testFeedGrows)
	t.Run("that the store has not reached: it is lost", func(t *testing.T) {
		other := c.open(t, fed)
		for n := range int64(5) {
			other.put(key("p", "s"), store.N("n", n))
		}
		b := c.open(t, fed)
		b.put(key("p", "s"), store.N("n", 1))
		r := b.reader()
		r.at = other.reader().at
		if p := r.page(10); !p.Lost || len(p.Changes) != 1 {
			t.Errorf("it gives %v", p)
		}
		if p := r.page(10); p.Lost || len(p.Changes) != 0 {
			t.Errorf("and then %v", p)
		}
	})
	t.Run("that is none: fault.BadRequest", func(t *testing.T) {
		r := c.open(t, fed).reader()
		for _, text := range []store.Position{"x", r.at + "x", r.at[1:]} {
			_, err := r.ReadFeed(t.Context(), text, 10)
			wantKind(t, err, fault.BadRequest)
		}
	})
}

// testFeedPages has several writers count up in several partitions, and reads meanwhile, in small pages.
func (c Config) testFeedPages(t *testing.T) {
	b := c.open(t, fed)
	r := b.reader()
	n := int64(25 * c.Rounds)
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(workers, func(worker int, _ *rand.Rand) {
			for range n {
				if err := b.try(func(tx *store.Tx) {
					tx.Add(key(fmt.Sprint("p", worker), "count"), []store.Delta{store.Inc("n", 1)})
					tx.Add(key(fmt.Sprint("q", worker), "count"), []store.Delta{store.Inc("n", 1)})
				}); err != nil {
					t.Errorf("worker %d: %v", worker, err)
				}
			}
		})
	}()
	reached, seq, total := map[string]int64{}, uint64(0), 0
	for writing := true; writing || total < 2*workers*int(n); {
		more := r.FeedGrows()
		p := r.page(3)
		for _, change := range p.Changes {
			if change.Seq < seq || change.Item.Int("n") != reached[change.Key.PK]+1 {
				t.Fatalf("%v came after commit %d, and after change %d of its item", change, seq, reached[change.Key.PK])
			}
			seq, reached[change.Key.PK] = change.Seq, change.Item.Int("n")
			total++
		}
		if len(p.Changes) > 0 {
			continue
		}
		if !writing {
			t.Fatalf("it ends after %d changes of %d", total, 2*workers*int(n))
		}
		select {
		case <-more:
		case <-done:
			writing = false
		}
	}
}

func (c Config) testFeedGrows(t *testing.T) {
	b := c.open(t, fed)
	r := b.reader()
	more := r.FeedGrows()
	b.put(key("quiet", "s"), store.N("n", 1))
	select {
	case <-more:
		t.Error("woken by what the feed does not select")
	default:
	}
	b.put(key("p", "s"), store.N("n", 1))
	select {
	case <-more:
	default:
		t.Error("not woken by a change that is committed")
	}
	wantEqual(t, "changes", len(r.page(10).Changes), 1)
}
