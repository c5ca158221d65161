package storebus

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// Defer hides the messages of these receipts until delay from now, and keeps the reason beside them. 45 in a commit.
func (q *Queue) Defer(ctx context.Context, delay time.Duration, reason string, receipts ...string) error {
	if err := q.lock(ctx); err != nil {
		return err
	}
	defer q.unlock()
	for len(receipts) > 0 {
		n := min(len(receipts), maxDeferred)
		if err := q.deferSome(ctx, delay, clip(reason), receipts[:n]); err != nil {
			return err
		}
		receipts = receipts[n:]
	}
	return nil
}

// maxDeferred messages of the largest size fit into one commit.
const maxDeferred = 12

func (q *Queue) deferSome(ctx context.Context, delay time.Duration, reason string, receipts []string) error {
	q.mu.Lock()
	until := roundUp(q.clock().Add(max(delay, 0)))
	q.mu.Unlock()
	err := q.store.Update(ctx, func(tx *store.Tx) error {
		for i, r := range receipts {
			if r == "" || contains(receipts[:i], r) {
				continue
			}
			from := store.Key{Table: q.table, PK: q.flight, SK: r}
			it, err := tx.Get(from)
			if err != nil {
				return err
			}
			to := store.Key{Table: q.table, PK: q.flight, SK: receipt(until, q.origin(from), it.Int(attrReceives))}
			if it == nil {
				continue
			}
			it = it.With(store.S(attrError, reason))
			if to == from { // the same millisecond: it stays where it is, and so stays the receipt
				tx.Put(from, it)
				continue
			}
			tx.Delete(from)
			tx.Put(to, it)
		}
		return nil
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range receipts {
		if err == nil {
			delete(q.known.claims, r)
		}
	}
	// After an error too: they may have been moved.
	q.known.flightNext = earlier(q.known.flightNext, until)
	q.wake()
	return err
}
