package storebus

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// MaxCounted is how far Stats counts: it reads what it counts, and an operator acts on "ten thousand" as on a million.
const MaxCounted = 10_000

// Stats is how a queue stands. Each number stops at MaxCounted.
type Stats struct {
	Ready    int       // waiting for their first receive, or redriven
	InFlight int       // received and not deleted: hidden, or visible again
	Dead     int       // dead letters
	Oldest   time.Time // when the oldest of Ready and InFlight was sent; zero if there is none
}

// Stats counts the messages: three reads of up to MaxCounted items, for a metric that is scraped every few seconds and
// for an operator, not for each message.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	oldest := func(it store.Item) {
		s.Oldest = earlier(s.Oldest, time.UnixMilli(it.Int(attrSent)).UTC())
	}
	var err error
	if s.Ready, err = q.count(ctx, q.ready, oldest); err != nil {
		return Stats{}, err
	}
	if s.InFlight, err = q.count(ctx, q.flight, oldest); err != nil {
		return Stats{}, err
	}
	if s.Dead, err = q.count(ctx, q.dead, func(store.Item) {}); err != nil {
		return Stats{}, err
	}
	return s, nil
}

func (q *Queue) count(ctx context.Context, partition string, each func(store.Item)) (int, error) {
	n, after := 0, ""
	for n < MaxCounted {
		rows, err := q.store.Range(ctx, store.Query{
			Table: q.table, PK: partition, After: after,
			Limit: min(store.MaxRangeLimit, MaxCounted-n), Consistency: store.Eventual,
		})
		if err != nil {
			return 0, err
		}
		for _, row := range rows {
			each(row.Item)
		}
		n += len(rows)
		if len(rows) < store.MaxRangeLimit {
			break
		}
		after = rows[len(rows)-1].Key.SK
	}
	return n, nil
}
