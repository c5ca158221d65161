package retention

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table holds what retention remembers: how far each of its walks has come, which orders it has passed and has to come back to, which one
// it is deleting, and up to when orders were deleted.
const Table = "retention"

// The partitions.
const (
	walksPK    = "walks"    // sort key: the walk; the last order that it has passed
	deletingPK = "deleting" // sort key: the order
	deletedPK  = "deleted"  // one item, sort key ""
	leftPrefix = "left#"    // and the walk; sort key: an order that was not past
)

// The walks.
const (
	executionsWalk = "executions"
	ordersWalk     = "orders"
)

const (
	attrPassed = "passed"
	attrBefore = "before_ms"
)

func walkKey(walk string) store.Key { return store.Key{Table: Table, PK: walksPK, SK: walk} }
func leftKey(walk, id string) store.Key {
	return store.Key{Table: Table, PK: leftPrefix + walk, SK: id}
}
func deletingKey(id string) store.Key { return store.Key{Table: Table, PK: deletingPK, SK: id} }
func deletedKey() store.Key           { return store.Key{Table: Table, PK: deletedPK} }

// Deleting is the order that an entry of Table says is being deleted: parts of it may be gone. For verify.
func Deleting(e store.Entry) (id string, ok bool) { return e.Key.SK, e.Key.PK == deletingPK }

// DeletedBefore is the time that an entry of Table says: orders that were made before it may have been deleted. For verify.
func DeletedBefore(e store.Entry) (t time.Time, ok bool) {
	return time.UnixMilli(e.Item.Int(attrBefore)).UTC(), e.Key.PK == deletedPK
}

// passed is the last order that a walk has passed, "" before the first.
func (s *Service) passed(ctx context.Context, walk string) (string, error) {
	it, err := s.c.Store.Get(ctx, walkKey(walk), store.Strong)
	return it.Str(attrPassed), err
}

// A walk goes once over the orders made before a time, in the order of their creation, and comes back to those that were not past then.
// visit says whether it is done with an order; who is not is noted.
func (s *Service) walk(ctx context.Context, walk string, cutoff time.Time, r *Report, visit func(ctx context.Context, id string) (done bool, err error)) error {
	if err := s.comeBack(ctx, walk, r, visit); err != nil {
		return err
	}
	at, err := s.passed(ctx, walk)
	if err != nil {
		return err
	}
	return s.paced(ctx, func() (bool, error) {
		var ids []string
		err := s.heads(ctx, at, cutoff, func(id string, _ store.Item) error {
			if ids = append(ids, id); len(ids) == page {
				return errEnough
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return false, err
		}
		var left []string
		for _, id := range ids {
			done, err := visit(ctx, id)
			if err != nil {
				return false, err
			}
			if !done {
				left = append(left, id)
			}
		}
		r.Waiting += int64(len(left))
		at = ids[len(ids)-1]
		return len(ids) == page, s.move(ctx, walk, at, left)
	})
}

// move notes that a walk has passed an order, and whom it has left behind: a page at most, in as many commits as that takes.
func (s *Service) move(ctx context.Context, walk, at string, left []string) error {
	const perCommit = 90
	for {
		some := left[:min(perCommit, len(left))]
		left = left[len(some):]
		err := s.c.Store.Update(ctx, func(tx *store.Tx) error {
			for _, id := range some {
				tx.Put(leftKey(walk, id), store.Item{})
			}
			if len(left) == 0 {
				tx.Put(walkKey(walk), store.Item{store.S(attrPassed, at)})
			}
			return nil
		})
		if err != nil || len(left) == 0 {
			return err
		}
	}
}

// comeBack visits those whom the walk has left behind.
func (s *Service) comeBack(ctx context.Context, walk string, r *Report, visit func(ctx context.Context, id string) (done bool, err error)) error {
	q := store.Query{Table: Table, PK: leftPrefix + walk, Limit: page}
	return s.paced(ctx, func() (bool, error) {
		rows, err := s.c.Store.Range(ctx, q)
		if err != nil {
			return false, err
		}
		for _, row := range rows {
			q.After = row.Key.SK
			done, err := visit(ctx, row.Key.SK)
			if err != nil {
				return false, err
			}
			if !done {
				r.Waiting++
				continue
			}
			err = s.c.Store.Update(ctx, func(tx *store.Tx) error {
				tx.Delete(row.Key)
				return nil
			})
			if err != nil {
				return false, err
			}
		}
		return len(rows) == page, nil
	})
}
