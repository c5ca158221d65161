package storebus

import (
	"context"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// bury stages the message's place among the dead letters. Nothing here ever deletes one but Redrive: a reader that took
// away what it had reported would lose the only copy.
func (q *Queue) bury(tx *store.Tx, from store.Key, it store.Item, now time.Time) {
	tx.Put(store.Key{Table: q.table, PK: q.dead, SK: q.origin(from)}, it.With(store.N(attrDied, now.UnixMilli())))
}

// List returns up to limit dead letters, at most 100, in the order in which they were sent.
func (q *Queue) List(ctx context.Context, cursor string, limit int) (letters []bus.DeadLetter, next string, err error) {
	if limit <= 0 || limit > bus.MaxListed {
		limit = bus.MaxListed
	}
	rows, err := q.store.Range(ctx, store.Query{Table: q.table, PK: q.dead, After: cursor, Limit: limit})
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		letters = append(letters, bus.DeadLetter{
			ID:       row.Item.Str(attrID),
			Body:     row.Item.Bytes(attrBody),
			Receives: int(row.Item.Int(attrReceives)),
			SentAt:   time.UnixMilli(row.Item.Int(attrSent)).UTC(),
			DiedAt:   time.UnixMilli(row.Item.Int(attrDied)).UTC(),
			Reason:   row.Item.Str(attrError),
		})
	}
	if len(rows) == limit {
		next = rows[limit-1].Key.SK
	}
	return letters, next, nil
}

// Redrive puts dead letters back into the queue, up to 45 in a commit. After an error those of earlier commits are
// back, and a repeated call goes on with the rest.
func (q *Queue) Redrive(ctx context.Context, ids ...string) (int, error) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	defer q.Notify()
	moved, cursor, started := 0, "", q.time()
	for {
		rows, err := q.store.Range(ctx, store.Query{Table: q.table, PK: q.dead, After: cursor, Limit: maxBatch})
		if err != nil {
			return moved, err
		}
		var chosen []store.Key
		size := 0
		for _, row := range rows {
			it := row.Item
			if size += it.Size() + len(row.Key.SK); size > maxBatchSize {
				break
			}
			cursor = row.Key.SK
			// What dies again while this runs is left alone, or one call could go round for ever.
			if (len(ids) == 0 || wanted[it.Str(attrID)]) && it.Int(attrDied) <= started.UnixMilli() {
				chosen = append(chosen, row.Key)
			}
		}
		n, err := q.raise(ctx, chosen)
		moved += n
		if err != nil || len(rows) == 0 {
			return moved, err
		}
	}
}

// raise moves these dead letters to ready, as if they had just been sent, in one commit.
func (q *Queue) raise(ctx context.Context, keys []store.Key) (moved int, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	err = q.store.Update(ctx, func(tx *store.Tx) error {
		moved = 0
		for _, from := range keys {
			it, err := tx.Get(from)
			if err != nil {
				return err
			}
			if it == nil { // another operator was faster
				continue
			}
			sk, _ := q.place(it.Str(attrID))
			tx.Delete(from)
			tx.Put(store.Key{Table: q.table, PK: q.ready, SK: sk}, it.With(store.N(attrReceives, 0)).Without(attrDied))
			moved++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return moved, nil
}

func (q *Queue) time() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.clock()
}

// clip cuts a reason to its limit, between characters, and makes it text.
func clip(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= bus.MaxReasonBytes {
		return reason
	}
	n := bus.MaxReasonBytes
	for n > 0 && reason[n]&0xC0 == 0x80 {
		n--
	}
	return reason[:n]
}
