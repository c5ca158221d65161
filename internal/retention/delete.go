package retention

import (
	"context"
	"errors"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// keysPerCommit records are deleted at once, each with a look at its order.
const keysPerCommit = 45

// deleteKeys deletes the clients' keys that are over. There is no index by their end, so all are looked through: each lives a day.
func (s *Service) deleteKeys(ctx context.Context, now time.Time, r *Report) error {
	after := ""
	return s.paced(ctx, func() (bool, error) {
		var found []store.Key
		seen := 0
		err := s.c.Dump.DumpTable(ctx, idempotency.Table, after, func(e store.Entry) error {
			if seen == 10*page || len(found) == keysPerCommit {
				return errEnough
			}
			seen++
			after = e.Key.PK + "\x01" // the least partition behind it
			if idempotency.Over(e, now) {
				found = append(found, e.Key)
			}
			return nil
		})
		more := errors.Is(err, errEnough)
		if err != nil && !more {
			return false, err
		}
		var deleted int64
		err = s.c.Store.Update(ctx, func(tx *store.Tx) error {
			deleted = 0
			for _, key := range found {
				gone, err := idempotency.StageForget(tx, key, now, order.KeepKey(tx.Get))
				if err != nil {
					return err
				}
				if gone {
					deleted++
				}
			}
			return nil
		})
		r.Keys += deleted
		return more, err
	})
}

// forgetExecutions deletes the journals of past orders' executions.
func (s *Service) forgetExecutions(ctx context.Context, now time.Time, r *Report) error {
	return s.walk(ctx, executionsWalk, now.Add(-s.c.KeepExecutions), r, func(ctx context.Context, id string) (bool, error) {
		p, ok, err := order.ReadPast(s.get(ctx), id)
		if err != nil {
			return false, err
		}
		if !ok {
			return s.absent(ctx, id)
		}
		for n := int64(0); n <= p.Redrives; n++ {
			if err := s.c.Engine.ForgetJournal(ctx, order.ExecutionName(id, n)); err != nil {
				return false, err
			}
			r.Executions++
		}
		return true, nil
	})
}

func (s *Service) get(ctx context.Context) func(store.Key) (store.Item, error) {
	return func(k store.Key) (store.Item, error) { return s.c.Store.Get(ctx, k, store.Strong) }
}

// absent reports whether the order is not there at all: then there is nothing to come back to.
func (s *Service) absent(ctx context.Context, id string) (bool, error) {
	it, err := s.c.Store.Get(ctx, order.HeadKey(id), store.Strong)
	return it == nil, err
}

// deleteOrders deletes past orders of which the time is over.
func (s *Service) deleteOrders(ctx context.Context, now time.Time, r *Report) error {
	cutoff := now.Add(-KeepOrders)
	raised := false
	return s.walk(ctx, ordersWalk, cutoff, r, func(ctx context.Context, id string) (bool, error) {
		if !raised { // before the first one goes
			if err := s.raise(ctx, cutoff); err != nil {
				return false, err
			}
			raised = true
		}
		ok, err := s.begin(ctx, id)
		if err != nil {
			return false, err
		}
		if !ok {
			return s.absent(ctx, id)
		}
		if err := s.deleteOrder(ctx, id); err != nil {
			return false, err
		}
		r.Orders++
		return true, nil
	})
}

// raise says that orders made before the time may be gone. It never goes back.
func (s *Service) raise(ctx context.Context, before time.Time) error {
	return s.c.Store.Update(ctx, func(tx *store.Tx) error {
		it, err := tx.Get(deletedKey())
		if err == nil && it.Int(attrBefore) < before.UnixMilli() {
			tx.Put(deletedKey(), store.Item{store.N(attrBefore, before.UnixMilli())})
		}
		return err
	})
}

// begin marks a past order as being deleted. ok is false if it is not past.
func (s *Service) begin(ctx context.Context, id string) (ok bool, err error) {
	err = s.c.Store.Update(ctx, func(tx *store.Tx) error {
		ok = false
		_, past, err := order.ReadPast(tx.Get, id)
		if err != nil || !past {
			return err
		}
		held, err := inventory.Holds(tx, id)
		if err != nil || held {
			return err
		}
		ok = true
		tx.Put(deletingKey(id), store.Item{})
		return nil
	})
	return ok, err
}

// finishDeletions goes on with the order that an earlier run was deleting when it ended.
func (s *Service) finishDeletions(ctx context.Context, _ time.Time, r *Report) error {
	rows, err := s.c.Store.Range(ctx, store.Query{Table: Table, PK: deletingPK})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.deleteOrder(ctx, row.Key.SK); err != nil {
			return err
		}
		r.Orders++
	}
	return nil
}

// deleteOrder deletes an order that is marked: each step may be repeated, and the last one takes what the others go by.
func (s *Service) deleteOrder(ctx context.Context, id string) error {
	p, ok, err := order.ReadPast(s.get(ctx), id)
	if err == nil && !ok {
		err = fault.New(fault.Internal, "retention: %s is being deleted, and is not past", id)
	}
	if err != nil {
		return err
	}
	for n := int64(0); n <= p.Redrives; n++ {
		if err := s.c.Engine.ForgetJournal(ctx, order.ExecutionName(id, n)); err != nil {
			return err
		}
	}
	err = s.c.Store.Update(ctx, func(tx *store.Tx) error { return inventory.StageArchive(tx, id) })
	if err != nil {
		return err
	}
	for left := p.Events(); left > order.ForgetTail; {
		next := left
		err := s.c.Store.Update(ctx, func(tx *store.Tx) error {
			next = p.StageTail(tx, left)
			return nil
		})
		if err != nil {
			return err
		}
		left = next
	}
	for n := p.Redrives; n > 0; n-- {
		err := s.c.Store.Update(ctx, func(tx *store.Tx) error {
			flow.StageForget(tx, order.ExecutionName(id, n))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return s.c.Store.Update(ctx, func(tx *store.Tx) error {
		flow.StageForget(tx, order.ExecutionName(id, 0))
		notification.StageForget(tx, id, p.TerminalVersion)
		tx.Delete(payment.Key(id))
		tx.Delete(deletingKey(id))
		return p.StageForget(tx)
	})
}
