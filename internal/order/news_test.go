package order

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A follower reads the news from a place of its own.
type follower struct {
	w    *world
	at   store.Position
	lost bool
}

func (w *world) follow() *follower {
	w.t.Helper()
	at, err := w.NewsEnd(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return &follower{w: w, at: at}
}

// read returns all the news that there is.
func (f *follower) read() (all []Notice) {
	f.w.t.Helper()
	for range 10_000 {
		news, err := f.w.News(f.w.t.Context(), f.at)
		if err != nil {
			f.w.t.Fatal(err)
		}
		f.lost = f.lost || news.Lost
		for _, n := range news.Notices {
			if n.At <= f.at {
				f.w.t.Fatalf("%+v does not stand behind %q", n, f.at)
			}
			f.at = n.At
		}
		all, f.at = append(all, news.Notices...), news.Last
		if !news.More {
			return all
		}
	}
	f.w.t.Fatal("the news does not end")
	return nil
}

func lines(all []Notice) (out []string) {
	for _, n := range all {
		out = append(out, fmt.Sprintf("%s %d %s %s %s", n.OrderID, n.Version, n.Type, n.Status, n.CustomerID))
	}
	return out
}

func TestNews(t *testing.T) {
	fed := memstore.Options{FeedKeys: IsEvent}
	t.Run("each event, with the order's status after it and its customer, in the order of the log", func(t *testing.T) {
		w := newWorld(t, fed)
		before := w.place()
		f := w.follow()
		id := w.placeFor("cust-2")
		w.do(before, review)
		w.do(id, reserve, confirm)
		want := []string{
			id + " 1 ORDER_CREATED PENDING cust-2",
			before + " 2 ORDER_REVIEW REVIEW cust-1",
			id + " 2 STOCK_RESERVED PENDING cust-2",
			id + " 3 PAYMENT_CHARGED PENDING cust-2",
			id + " 4 ORDER_CONFIRMED CONFIRMED cust-2",
		}
		if got := lines(f.read()); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if got := f.read(); len(got) != 0 {
			t.Errorf("and then %v", got)
		}
	})
	t.Run("the same for one who keeps up, one who comes late and one who was away", func(t *testing.T) {
		w := newWorld(t, fed)
		keepsUp, away := w.follow(), w.follow()
		var seen []string
		var ids []string
		for range 3 * newsBatch {
			ids = append(ids, w.place())
			seen = append(seen, lines(keepsUp.read())...)
		}
		late := w.follow()
		for _, id := range ids {
			w.do(id, reserve, decline, compensate)
		}
		rest := lines(keepsUp.read())
		if got := lines(late.read()); !slices.Equal(got, rest) || len(rest) != 4*len(ids) {
			t.Errorf("who came late got %d notices of %d", len(got), len(rest))
		}
		if got := lines(away.read()); !slices.Equal(got, append(seen, rest...)) {
			t.Errorf("who was away got %d notices of %d", len(got), len(seen)+len(rest))
		}
	})
	t.Run("all of it, though the tail that is shared has let the oldest go", func(t *testing.T) {
		w := newWorld(t, fed)
		away, keepsUp := w.follow(), w.follow()
		w.tail.notices = make([]Notice, 2*tailNotices) // as if so much had been read before: the next batch makes it let go
		w.tail.known, w.tail.from, w.tail.to = true, "", keepsUp.at
		for range newsBatch + 10 {
			w.place()
		}
		if got := len(keepsUp.read()); got != newsBatch+10 {
			t.Errorf("who keeps up got %d", got)
		}
		if n := len(w.tail.notices); n > 2*tailNotices {
			t.Errorf("the tail keeps %d notices", n)
		}
		if got := len(away.read()); got != newsBatch+10 {
			t.Errorf("who was away got %d", got)
		}
	})
	t.Run("what is too old is lost, and said to be", func(t *testing.T) {
		w := newWorld(t, fed)
		f := w.follow()
		w.place()
		w.mem.ForgetFeed()
		id := w.place()
		if got := f.read(); !f.lost || len(got) != 1 || got[0].OrderID != id {
			t.Errorf("lost: %v, %v", f.lost, got)
		}
		f.lost = false
		w.place()
		if got := f.read(); f.lost || len(got) != 1 {
			t.Errorf("after that, lost: %v, %v", f.lost, got)
		}
	})
	t.Run("a damaged log keeps nobody from the news of the other orders", func(t *testing.T) {
		w := newWorld(t, fed)
		f := w.follow()
		bad, good := w.place(), w.place()
		err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(eventlog.Key(Table, bad, 1), store.Item{store.S("event", "{}")})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.read(); len(got) != 1 || got[0].OrderID != good || !strings.Contains(w.logged.String(), bad) {
			t.Errorf("%v, logged %s", got, w.logged)
		}
	})
	t.Run("an event that was deleted since is no news", func(t *testing.T) {
		w := newWorld(t, fed)
		f := w.follow()
		id := w.place()
		err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
			tx.Delete(eventlog.Key(Table, id, 1))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.read(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
	t.Run("a store without a feed has none: fault.Unavailable", func(t *testing.T) {
		w := newWorld(t, fed)
		w.feed = nil
		_, err := w.NewsEnd(t.Context())
		wantKind(t, err, fault.Unavailable)
		_, err = w.News(t.Context(), "")
		wantKind(t, err, fault.Unavailable)
	})
	t.Run("a position that is none is refused", func(t *testing.T) {
		w := newWorld(t, fed)
		_, err := w.News(t.Context(), "somewhere")
		wantKind(t, err, fault.BadRequest)
		if w.tail.known {
			t.Errorf("the tail begins at %q", w.tail.from)
		}
	})
}

// Who comes back from far behind reads the feed again; many of them at once must not take the machine.
func TestNewsWaits(t *testing.T) {
	w := newWorld(t, memstore.Options{FeedKeys: IsEvent})
	f := w.follow()
	waits := func(rule string, want time.Time) {
		t.Helper()
		if since, err := w.NewsWaits(t.Context(), f.at); err != nil || !since.Equal(want) {
			t.Errorf("%s: since %v, %v, want %v", rule, since, err, want)
		}
	}
	waits("nothing has happened", time.Time{})
	id := w.place()
	w.pass(time.Minute)
	w.do(id, reserve)
	w.pass(time.Minute)
	waits("two events", t0)
	waits("looking moves nothing", t0)
	if err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
		tx.Delete(eventlog.Key(Table, id, 1))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	waits("the first was deleted since", t0.Add(time.Minute))
	f.read()
	if err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
		tx.Put(store.Key{Table: Table, PK: "other"}, store.Item{})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	waits("all was read, and what is no event came since", time.Time{})
	if _, err := w.NewsWaits(t.Context(), "no position"); !fault.Is(err, fault.BadRequest) {
		t.Error(err)
	}
	w.feed = nil
	if _, err := w.NewsWaits(t.Context(), f.at); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func TestThoseWhoAreBehindTakeTurns(t *testing.T) {
	w := newWorld(t, memstore.Options{FeedKeys: IsEvent})
	behind := make([]*follower, 8)
	for i := range behind {
		behind[i] = w.follow()
	}
	for range 3 * newsBatch {
		w.place()
	}
	w.follow().read() // the tail begins here
	counted := &rangingStore{Store: w.mem}
	w.store = counted
	var wg sync.WaitGroup
	for _, f := range behind {
		wg.Go(func() {
			if got := f.read(); len(got) != 3*newsBatch {
				t.Errorf("%d notices", len(got))
			}
		})
	}
	wg.Wait()
	if counted.most != 1 {
		t.Errorf("%d read at once", counted.most)
	}
	t.Run("and who gives up waiting is let go", func(t *testing.T) {
		w.behind <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.News(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("News: %v", err)
		}
	})
}

// An event is read once for all who follow: the store's work must not grow with their number.
func TestFollowersShareWhatIsRead(t *testing.T) {
	const orders, followers = 50, 20
	w := newWorld(t, memstore.Options{FeedKeys: IsEvent})
	counted := &rangingStore{Store: w.mem}
	w.store = counted
	all := make([]*follower, followers)
	for i := range all {
		all[i] = w.follow()
	}
	for range orders {
		w.place()
		var wg sync.WaitGroup
		for _, f := range all {
			wg.Go(func() {
				if got := f.read(); len(got) != 1 {
					t.Errorf("%d notices of one event", len(got))
				}
			})
		}
		wg.Wait()
	}
	if n := counted.ranges(); n != orders {
		t.Errorf("%d logs were read for %d events", n, orders)
	}
}

// A rangingStore counts the logs that are read.
type rangingStore struct {
	store.Store
	mu           sync.Mutex
	n, now, most int // in all, at this moment, and at most at one moment
}

func (s *rangingStore) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	s.mu.Lock()
	s.n, s.now = s.n+1, s.now+1
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	runtime.Gosched()
	return s.Store.Range(ctx, q)
}

func (s *rangingStore) ranges() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
