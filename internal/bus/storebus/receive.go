package storebus

import (
	"context"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Receive takes up to max visible messages, at most 45 and 3.5 MB, in one commit: first those whose visibility has
// ended, then the new ones. The same commit moves those that have had all their receives to the dead letters.
func (q *Queue) Receive(ctx context.Context, limit int, visibility time.Duration) ([]bus.Message, error) {
	if err := q.lock(ctx); err != nil {
		return nil, err
	}
	defer q.unlock()
	for {
		l, err := q.look(ctx, min(limit, maxBatch))
		if err != nil {
			return nil, err
		}
		if len(l.found) == 0 {
			q.settle(l, nil)
			return nil, nil
		}
		messages, err := q.claim(ctx, l, visibility)
		// A batch of which nothing is left (all dead now, or taken by another Queue) is not the end of the queue.
		if err != nil || len(messages) > 0 {
			return messages, err
		}
	}
}

// A look is what a Receive has found.
type look struct {
	found []store.Entry // in flight and visible again, then ready
	now   time.Time
	sends uint64 // when it began
	limit int
	late  []expectation // as it began

	flightRead bool
	flightMore bool      // more may be visible beyond what was found
	flightNext time.Time // the first that is still hidden
	readyMore  bool
}

// look reads the heads of flight and ready, up to limit messages together. The caller holds moving.
func (q *Queue) look(ctx context.Context, limit int) (look, error) {
	q.mu.Lock()
	l := look{now: q.clock(), limit: limit}
	q.known.forget(l.now)
	q.known.sweep(l.now)
	q.known.looked = l.now
	l.sends, l.late = q.known.sends, q.known.late
	flightDue := q.known.flightDue(l.now)
	flightBound, readyBound := q.known.flightBound, q.known.readyBound
	q.mu.Unlock()
	if limit <= 0 {
		l.readyMore = true
		return l, nil
	}
	if flightDue {
		if err := q.lookInFlight(ctx, &l, flightBound); err != nil {
			return l, err
		}
	}
	if err := q.lookLate(ctx, &l, readyBound); err != nil {
		return l, err
	}
	room := limit - len(l.found)
	if room <= 0 {
		l.readyMore = true
		return l, nil
	}
	rows, err := q.store.Range(ctx, store.Query{Table: q.table, PK: q.ready, After: readyBound, Limit: room})
	if err != nil {
		return l, err
	}
	l.readyMore = len(rows) == room
	l.found = append(l.found, rows...)
	return l, nil
}

// lookInFlight finds what is visible again, and when the next will be.
func (q *Queue) lookInFlight(ctx context.Context, l *look, bound string) error {
	rows, err := q.store.Range(ctx, store.Query{Table: q.table, PK: q.flight, After: bound, Limit: l.limit})
	if err != nil {
		return err
	}
	l.flightRead = true
	l.flightMore = len(rows) == l.limit
	for _, row := range rows {
		if at := visibleAt(row.Key.SK); at.After(l.now) {
			l.flightMore, l.flightNext = false, at
			break
		}
		l.found = append(l.found, row)
	}
	return nil
}

// lookLate reads by name what the bound of ready has passed. After a sweep the bound is before them and the range finds
// them too.
func (q *Queue) lookLate(ctx context.Context, l *look, bound string) error {
	for late := l.late; len(late) > 0 && len(l.found) < l.limit; {
		keys := make([]store.Key, 0, min(len(late), l.limit-len(l.found)))
		for ; len(late) > 0 && len(keys) < cap(keys); late = late[1:] {
			if late[0].sk <= bound {
				keys = append(keys, store.Key{Table: q.table, PK: q.ready, SK: late[0].sk})
			}
		}
		if len(keys) == 0 {
			break
		}
		items, err := q.store.GetMany(ctx, keys, store.Strong)
		if err != nil {
			return err
		}
		for i, it := range items {
			if it != nil {
				l.found = append(l.found, store.Entry{Key: keys[i], Item: it})
			}
		}
	}
	return nil
}

// claim moves what was found, in one commit. What another Queue has taken meanwhile is no longer there, and is left out.
func (q *Queue) claim(ctx context.Context, l look, visibility time.Duration) ([]bus.Message, error) {
	until := roundUp(l.now.Add(max(visibility, time.Millisecond)))
	l.fit()
	var messages []bus.Message
	err := q.store.Update(ctx, func(tx *store.Tx) error {
		messages = make([]bus.Message, 0, len(l.found))
		for i := range l.found {
			from := l.found[i].Key
			it, err := tx.Get(from)
			if err != nil {
				return err
			}
			if it == nil {
				continue
			}
			tx.Delete(from)
			if it.Int(attrReceives) >= q.maxReceives {
				q.bury(tx, from, it, l.now)
				continue
			}
			to := store.Key{Table: q.table, PK: q.flight, SK: receipt(until, q.origin(from), it.Int(attrReceives)+1)}
			it = it.With(store.N(attrReceives, it.Int(attrReceives)+1))
			tx.Put(to, it)
			messages = append(messages, message(to.SK, it))
		}
		return nil
	})
	if err != nil {
		// Whether they were moved is not known: they may be in flight and not among the claims.
		q.mu.Lock()
		q.known.flightRead = false
		q.mu.Unlock()
		return nil, err
	}
	q.settle(l, messages)
	return messages, nil
}

// fit drops from the end what one commit cannot hold.
func (l *look) fit() {
	size := 0
	for i, e := range l.found {
		size += e.Item.Size() + len(e.Key.SK)
		if size > maxBatchSize && i > 0 {
			l.found = l.found[:i]
			l.readyMore, l.flightMore = true, true
			return
		}
	}
}

// settle brings what is known up to date with a look whose findings were moved.
func (q *Queue) settle(l look, claimed []bus.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := &q.known
	before := k.flightTime()
	k.settleReady(l.found, q.ready)
	if l.flightRead {
		k.settleFlight(l, q.flight)
	}
	for _, m := range claimed {
		k.claims[m.Receipt] = visibleAt(m.Receipt)
	}
	if l.readyMore || l.flightMore {
		k.sends++ // there may be more: to whoever waits that is as good as a new message
		q.wake()
		return
	}
	k.drained = l.sends
	if after := k.flightTime(); before.IsZero() || after.Before(before) {
		q.wake() // those who wait have to set their timers anew
	}
}

func message(receipt string, it store.Item) bus.Message {
	return bus.Message{
		ID:       it.Str(attrID),
		Receipt:  receipt,
		Body:     it.Bytes(attrBody),
		Receives: int(it.Int(attrReceives)),
		SentAt:   time.UnixMilli(it.Int(attrSent)).UTC(),
	}
}

// A sort key in flight is <moment of visibility>.<receives>.<sort key in ready>; among the dead it is the sort key in
// ready.
const (
	momentDigits   = 13 // ms, until the year 2286
	receivesDigits = 3
	originAt       = momentDigits + 1 + receivesDigits + 1
)

// moment is a time as flight's sort keys begin with it, to the millisecond below.
func moment(t time.Time) string { return string(appendPadded(nil, t.UnixMilli(), momentDigits)) }

// roundUp gives a moment that a sort key can hold: nothing is visible before its time.
func roundUp(t time.Time) time.Time {
	return time.UnixMilli(t.Add(time.Millisecond - 1).UnixMilli()).UTC()
}

// receipt is the sort key in flight.
func receipt(until time.Time, origin string, receives int64) string {
	b := make([]byte, 0, originAt+len(origin))
	b = appendPadded(b, until.UnixMilli(), momentDigits)
	b = append(b, '.')
	b = appendPadded(b, receives, receivesDigits)
	b = append(b, '.')
	return string(append(b, origin...))
}

// visibleAt is the moment that a sort key in flight begins with; long past, so that it is looked at, if it is no such key.
func visibleAt(sk string) time.Time {
	if len(sk) < momentDigits {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(sk[:momentDigits], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// origin is the sort key that the message had in ready. It is unique, so that no two messages ever meet under one key.
func (q *Queue) origin(k store.Key) string {
	if k.PK == q.ready || len(k.SK) < originAt {
		return k.SK
	}
	return k.SK[originAt:]
}

func (q *Queue) lock(ctx context.Context) error {
	select {
	case q.moving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue) unlock() { <-q.moving }
