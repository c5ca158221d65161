package order

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// IsEvent selects the items whose changes make the live feed, for the store's options: the events of orders. Their keys say
// enough, since an event never changes and its log is there to be read.
func IsEvent(k store.Key) bool { return k.Table == Table && strings.HasPrefix(k.SK, eventlog.Prefix) }

// A Notice is one event of an order as the live feed shows it.
type Notice struct {
	At         store.Position // behind it
	OrderID    string
	CustomerID string
	Version    int64
	Type       string
	Timestamp  time.Time
	Status     string // of the order after this event
}

// News are the next notices behind a position of the feed.
type News struct {
	Notices []Notice
	Last    store.Position // where to go on
	// Lost says that notices may be missing between the position and the first of these: whoever keeps a list has to read it anew.
	Lost bool
	More bool // there may be more behind Last already
}

// newsBatch is how many changes are read at a time: their logs are read in a few milliseconds, for which others may have to wait.
const newsBatch = 256

// NewsEnd is the position of the feed from which on everything is still to come. fault.Unavailable: there is no feed.
func (s *Service) NewsEnd(ctx context.Context) (store.Position, error) {
	if s.feed == nil {
		return "", errNoFeed
	}
	return s.feed.FeedEnd(ctx)
}

// NewsGrow is closed when there is more news. A reader takes it before it looks.
func (s *Service) NewsGrow() <-chan struct{} {
	if s.feed == nil {
		return nil
	}
	return s.feed.FeedGrows()
}

// News returns what happened to all orders since a position, in order for each order. It may be called from any number of goroutines:
// those that keep up share what is read, one that is behind reads for itself.
//
// fault.BadRequest: not a position of the feed; fault.Unavailable: there is no feed, or the store is closed.
func (s *Service) News(ctx context.Context, after store.Position) (News, error) {
	if s.feed == nil {
		return News{}, errNoFeed
	}
	if news, ok, err := s.tail.after(ctx, after, s.readNews); ok || err != nil {
		return news, err
	}
	// However many are behind, they take the time of one reader, by turns: what is far behind is slow to come, and nobody else pays.
	select {
	case s.behind <- struct{}{}:
		defer func() { <-s.behind }()
		return s.readNews(ctx, after)
	case <-ctx.Done():
		return News{}, ctx.Err()
	}
}

var errNoFeed = fault.New(fault.Unavailable, "There is no live feed here.")

// NewsWaits says since when the next event behind a position has been there; zero: there is none. It reads that one event and does not
// move what News has read. Its errors are those of News.
func (s *Service) NewsWaits(ctx context.Context, after store.Position) (time.Time, error) {
	if s.feed == nil {
		return time.Time{}, errNoFeed
	}
	for range newsBatch { // events that were deleted since wait for nobody; so many in a row are found by the next look
		page, err := s.feed.ReadFeed(ctx, after, 1)
		if err != nil || len(page.Changes) == 0 {
			return time.Time{}, err
		}
		key := page.Changes[0].Key
		it, err := s.store.Get(ctx, key, store.Eventual)
		if err != nil {
			return time.Time{}, err
		}
		if it != nil {
			if e, err := eventlog.Decode(store.Entry{Key: key, Item: it}); err == nil {
				return e.Timestamp, nil
			}
		}
		after = page.Last
	}
	return time.Time{}, nil
}

// readNews reads the feed, and of each order in it the log, once: only the fold of a log tells the customer and the status.
func (s *Service) readNews(ctx context.Context, after store.Position) (News, error) {
	page, err := s.feed.ReadFeed(ctx, after, newsBatch)
	if err != nil {
		return News{}, err
	}
	news := News{Last: page.Last, Lost: page.Lost, More: len(page.Changes) > 0, Notices: make([]Notice, 0, len(page.Changes))}
	logs := make(map[string][]Notice)
	for _, c := range page.Changes {
		id := c.Key.PK
		history, read := logs[id]
		if !read {
			if history, err = s.history(ctx, id); err != nil {
				return News{}, err
			}
			logs[id] = history
		}
		// An event that is not in its log was deleted since, or the log is damaged: that is verify's to say, and no reason to keep
		// everybody from the news of the other orders.
		i := slices.IndexFunc(history, func(n Notice) bool { return eventlog.Key(Table, id, n.Version) == c.Key })
		if i >= 0 && !c.Deleted {
			n := history[i]
			n.At = c.At
			news.Notices = append(news.Notices, n)
		}
	}
	return news, nil
}

// history is the order's log as notices, as far as it can be folded. Only a store that cannot be read is an error.
func (s *Service) history(ctx context.Context, id string) ([]Notice, error) {
	var history []Notice
	var st State
	q := store.Query{Table: Table, PK: id, Prefix: eventlog.Prefix}
	for {
		page, err := s.store.Range(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			e, err := eventlog.Decode(entry)
			if err == nil {
				st, err = st.apply(&e)
			}
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelError, "Order left out of the live feed",
					slog.String("order_id", id), slog.String("event", entry.Key.SK), slog.Any("error", err))
				return history, nil
			}
			history = append(history, Notice{
				OrderID: id, CustomerID: st.CustomerID, Version: st.Version, Type: e.Type, Timestamp: st.UpdatedAt, Status: st.Status,
			})
		}
		if len(page) < store.MaxRangeLimit {
			return history, nil
		}
		q.After = page[len(page)-1].Key.SK
	}
}

// A tail keeps the youngest news, so that an event is read once for all who follow the feed, however many they are. It is filled by
// those who ask, so it costs nothing while nobody does.
type tail struct {
	mu      sync.Mutex // held while the news is read: whoever else waits for it would read the same
	known   bool
	from    store.Position // the notices are all that is between the two
	to      store.Position
	notices []Notice
}

// tailNotices are kept at least, and at most twice as many: a second of full load, so that a reader who falls behind for a moment still
// finds its place. They take two megabytes.
const tailNotices = 8192

// after returns the news behind a position, having read on if the position is where the tail ends. It reports false if the
// position is not within the tail.
func (t *tail) after(
	ctx context.Context, at store.Position, read func(context.Context, store.Position) (News, error),
) (News, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known || at > t.to { // the first, or one who has read further on for himself: the tail begins where he stands
		t.known, t.from, t.to, t.notices = true, at, at, nil
	}
	if at < t.from {
		return News{}, false, nil
	}
	if at == t.to {
		news, err := read(ctx, at)
		if err != nil || news.Lost {
			t.known = t.known && len(t.notices) > 0 && !news.Lost // a tail that begins at no good place is none
			return news, true, err
		}
		t.extend(news)
		return news, true, nil
	}
	i, there := slices.BinarySearchFunc(t.notices, at, func(n Notice, at store.Position) int {
		return strings.Compare(string(n.At), string(at))
	})
	if there {
		i++
	}
	notices := t.notices[i:min(i+newsBatch, len(t.notices))]
	last := t.to
	if i+newsBatch < len(t.notices) {
		last = notices[len(notices)-1].At
	}
	return News{Notices: slices.Clone(notices), Last: last, More: true}, true, nil
}

// extend adds what was read at the end, and lets the oldest go.
func (t *tail) extend(news News) {
	t.notices, t.to = append(t.notices, news.Notices...), news.Last
	if len(t.notices) > 2*tailNotices {
		drop := len(t.notices) - tailNotices
		t.from = t.notices[drop-1].At
		t.notices = slices.Delete(t.notices, 0, drop)
	}
}
