package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A batch of the feed: so many changes that one call of a handler is worth its cost, and so few that what is delivered
// again after a crash or an error is little. Large items end it sooner.
const (
	maxFeedChanges = 256
	maxFeedBytes   = 1 << 20
)

// RunFeed delivers the changes of the selected items, from where the runner of that name last stood, until ctx
// ends (then its error is returned) or the store is closed (fault.Unavailable). The position is written after each batch but
// not synced, so that a crash may repeat batches; the first one of a name is synced, so that a runner which
// has begun misses nothing.
func (s *Store) RunFeed(ctx context.Context, name string, handle store.FeedHandler) error {
	s.entrance.RLock()
	if s.closing {
		s.entrance.RUnlock()
		return closedError()
	}
	s.feeds.Add(1)
	s.entrance.RUnlock()
	defer s.feeds.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.onClose(cancel)()
	err := s.deliverAll(ctx, name, func(ctx context.Context, changes []store.Change) error {
		err := handle(ctx, changes)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("a handler of the feed failed; the changes are delivered again", "feed", name, "changes", len(changes), "error", err)
		}
		return err
	})
	if s.life.Err() != nil {
		return closedError()
	}
	return err
}

// onClose calls fn when Close begins, unless the function that it returns was called before.
func (s *Store) onClose(fn func()) (stop func() bool) { return context.AfterFunc(s.life, fn) }

func (s *Store) deliverAll(ctx context.Context, name string, handle store.FeedHandler) error {
	at, err := s.beginFeed(name)
	if err != nil {
		return err
	}
	for {
		more := s.fed.next() // before the look, so that what comes after the look wakes us
		changes, last, err := s.changesAfter(at, maxFeedChanges)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-more:
			}
			continue
		}
		if err := store.Deliver(ctx, handle, changes); err != nil {
			return err
		}
		at = last
		if err := s.setCursor(name, at, pebble.NoSync); err != nil {
			return err
		}
	}
}

// beginFeed returns where the runner of that name stands; a new one stands at the end.
func (s *Store) beginFeed(name string) (position, error) {
	v, err := s.acquire()
	if err != nil {
		return position{}, err
	}
	defer v.release()
	b, closer, err := s.db.Get(cursorKey(name))
	if errors.Is(err, pebble.ErrNotFound) {
		at := end(v.seq)
		return at, s.setCursor(name, at, pebble.Sync)
	}
	if err != nil {
		return position{}, fault.Wrap(fault.Internal, err, "read the position of feed %s", name)
	}
	at, err := parsePosition(b)
	if err = errors.Join(err, closer.Close()); err != nil {
		return position{}, fault.Wrap(fault.Internal, err, "read the position of feed %s", name)
	}
	return at, nil
}

func (s *Store) setCursor(name string, at position, sync *pebble.WriteOptions) (err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics where it cannot write its log
			err = fmt.Errorf("pebblestore: write the position of feed %s: %v", name, r)
			s.fatal(err)
		}
	}()
	if err := s.db.Set(cursorKey(name), at.append(nil), sync); err != nil {
		return fault.Wrap(fault.Internal, err, "write the position of feed %s", name)
	}
	return nil
}

// changesAfter returns the next changes that are synced, at most limit, and the position of the last one.
func (s *Store) changesAfter(at position, limit int) (changes []store.Change, last position, err error) {
	v, err := s.acquire()
	if err != nil {
		return nil, at, err
	}
	defer v.release()
	return v.changesAfter(at, limit)
}

func (v *view) changesAfter(at position, limit int) (changes []store.Change, last position, err error) {
	it, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: append(at.feedKey(), 0),
		UpperBound: []byte{spaceFeed + 1},
	})
	if err != nil {
		return nil, at, fault.Wrap(fault.Internal, err, "read the feed")
	}
	last = at
	bytes := 0
	for ok := it.First(); ok && err == nil && len(changes) < limit && bytes < maxFeedBytes; ok = it.Next() {
		var c store.Change
		if last, err = parsePosition(it.Key()[1:]); err == nil {
			c, err = decodeChange(last, it.Value())
		}
		changes = append(changes, c)
		bytes += len(it.Value())
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return nil, at, fault.Wrap(fault.Internal, err, "read the feed")
	}
	return changes, last, nil
}

// FeedEnd is the position behind all that is synced.
func (s *Store) FeedEnd(ctx context.Context) (store.Position, error) {
	v, err := s.acquire()
	if err != nil {
		return "", err
	}
	defer v.release()
	return end(v.seq).public(), ctx.Err()
}

// ReadFeed returns the next changes behind a position: at most limit, 256 or a megabyte of them, whichever is reached first.
func (s *Store) ReadFeed(ctx context.Context, after store.Position, limit int) (store.FeedPage, error) {
	at := position{}
	if after != "" {
		var err error
		if at, err = parsePosition([]byte(after)); err != nil {
			return store.FeedPage{}, fault.Wrap(fault.BadRequest, err, "no position of the feed")
		}
	}
	v, err := s.acquire()
	if err != nil {
		return store.FeedPage{}, err
	}
	defer v.release()
	page := store.FeedPage{Last: after}
	if after != "" {
		if page.Lost, err = v.lost(at); err != nil {
			return store.FeedPage{}, err
		}
	}
	if page.Lost {
		at, page.Last = position{}, end(v.seq).public()
	}
	changes, last, err := v.changesAfter(at, min(limit, maxFeedChanges))
	if err != nil {
		return store.FeedPage{}, err
	}
	if page.Changes = changes; len(changes) > 0 {
		page.Last = last.public()
	}
	return page, ctx.Err()
}

// lost reports whether changes behind the position may have been trimmed, or the position is none that this store has reached.
func (v *view) lost(at position) (bool, error) {
	if at.seq > v.seq {
		return true, nil
	}
	b, closer, err := v.snapshot.Get([]byte(keyOldest))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap(fault.Internal, err, "read where the feed begins")
	}
	if len(b) != 8 {
		return false, errors.Join(fault.New(fault.Internal, "the feed begins at a number of %d bytes", len(b)), closer.Close())
	}
	oldest := binary.BigEndian.Uint64(b)
	return oldest > 0 && at.before(end(oldest-1)), closer.Close()
}

// FeedGrows is closed with the next change that is synced, or when the store closes.
func (s *Store) FeedGrows() <-chan struct{} { return s.fed.next() }

// A broadcast wakes everyone who waits for the next event.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// trimEvery is how often old entries are removed: with one range tombstone, whatever their number.
const trimEvery = 10 * time.Minute

// A trimmer keeps the feed short. It adds to the batches that feed something, since only those make it longer: a mark
// per minute, which says with what commit the minute began, and now and then the removal of all before an old mark.
type trimmer struct {
	retention time.Duration
	marked    uint64    // the last minute with a mark
	trimmed   time.Time // the last time
}

// tidy is called with each batch that feeds something; first is its first commit.
func (t *trimmer) tidy(db *pebble.DB, batch *pebble.Batch, first uint64, now time.Time) error {
	minute := uint64(max(0, now.Unix()/60))
	if minute > t.marked {
		t.marked = minute
		if err := batch.Set(markKey(minute), binary.BigEndian.AppendUint64(nil, first), nil); err != nil {
			return fmt.Errorf("pebblestore: mark the feed: %w", err)
		}
	}
	if now.Sub(t.trimmed) < trimEvery {
		return nil
	}
	t.trimmed = now
	return trim(db, batch, uint64(max(0, now.Add(-t.retention).Unix()/60)))
}

// trim removes the entries from before the minute, by the last mark that is not younger.
func trim(db *pebble.DB, batch *pebble.Batch, minute uint64) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceMark}, UpperBound: markKey(minute + 1)})
	if err != nil {
		return fmt.Errorf("pebblestore: trim the feed: %w", err)
	}
	defer func() {
		if err = errors.Join(err, it.Close()); err != nil {
			err = fmt.Errorf("pebblestore: trim the feed: %w", err)
		}
	}()
	if !it.Last() {
		return nil
	}
	if len(it.Value()) != 8 {
		return fmt.Errorf("a mark of %d bytes", len(it.Value()))
	}
	until := position{seq: binary.BigEndian.Uint64(it.Value())}
	// What comes before the mark's commit was written before its minute began.
	if err := batch.DeleteRange([]byte{spaceFeed}, until.feedKey(), nil); err != nil {
		return err
	}
	if err := batch.Set([]byte(keyOldest), it.Value(), nil); err != nil {
		return err
	}
	return batch.DeleteRange([]byte{spaceMark}, it.Key(), nil)
}
