package order

import (
	"context"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// sweepAge leaves young orders to those whose work it is: a feed may be some seconds late.
	sweepAge = 60 * time.Second
	// keyStep is how far an unfinished order's key is moved at a time. It is half of what a key lives, so that a sweeper that
	// was away for hours still comes in time, and a record is rewritten twice a day only.
	keyStep = KeyTTL / 2
)

// A SweepReport says what a sweep found and did.
type SweepReport struct {
	Open     int // orders older than 60 s whose saga has not come to its end
	Started  int // had no execution: it was started
	Reviewed int // their execution had failed without a word in the log: ORDER_REVIEW was appended
	Closed   int // their saga had come to its end: only the index did not know
	Stuck    int // their execution succeeded and yet they have not ended: a bug, which is logged
	Failed   int // could not be looked after: the error is the first of theirs
}

// Sweep looks after the open orders older than 60 s: it starts an execution that is missing, begins one that was stored while nobody heard
// of it, appends the ORDER_REVIEW that a failed one left out, and keeps the idempotency keys of orders that are not terminal from ending. It may run at any time and more than once
// at a time. One order's failure does not keep it from the others.
func (s *Service) Sweep(ctx context.Context) (SweepReport, error) {
	var report SweepReport
	var first error
	for n := range shards {
		q := store.Query{Table: Table, PK: openPartition(n)}
		for {
			page, err := s.store.Range(ctx, q)
			if err != nil {
				return report, err
			}
			for _, en := range page {
				if s.now().Sub(time.UnixMilli(en.Item.Int(attrSince))) < sweepAge {
					continue
				}
				report.Open++
				if err := s.sweepOne(ctx, en.Key.SK, &report); err != nil {
					if ctx.Err() != nil {
						return report, ctx.Err()
					}
					report.Failed++
					if first == nil {
						first = err
					}
				}
			}
			if len(page) < store.MaxRangeLimit {
				break
			}
			q.After = page[len(page)-1].Key.SK
		}
	}
	return report, first
}

func (s *Service) sweepOne(ctx context.Context, id string, report *SweepReport) error {
	st, found, err := s.state(ctx, id)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.Internal, "order %s stands in the index of open orders and nowhere else", id)
	}
	if !st.Terminal() && s.now().Sub(st.CreatedAt) >= keyStep {
		if err := s.extendKey(ctx, id); err != nil {
			return err
		}
	}
	if st.NeedsReview { // a person has it
		return nil
	}
	execution := ExecutionName(id, st.Redrives)
	failure, err := s.saga.Failure(ctx, execution)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.startMissing(ctx, id, st, report)
	case err != nil:
		return err
	case failure.failed():
		return s.reviewMissing(ctx, id, execution, failure, report)
	case failure.Status != "SUCCEEDED": // at work, or its start was committed and the reply lost
		s.saga.Begin(execution)
		return nil
	case st.Terminal():
		report.Closed++
		return s.store.Update(ctx, func(tx *store.Tx) error {
			return stageClosed(tx, id)
		})
	}
	report.Stuck++
	s.log.LogAttrs(ctx, slog.LevelError, "Order did not end with its saga", slog.String("order_id", id),
		slog.String("execution", execution), slog.String("status", st.Status))
	return nil
}

// StartOf is what the order's execution starts with after that many redrives: for the reader of a change feed, which sees ORDER_CREATED (none) or
// SAGA_REDRIVEN (its n). fault.NotFound: there is no such order, or not the execution that it goes on from.
func (s *Service) StartOf(ctx context.Context, id string, redrives int64) (Start, error) {
	if !validID(id) {
		return Start{}, notFound()
	}
	start, err := s.startOf(ctx, id, redrives)
	if err != nil || redrives == 0 {
		return start, err
	}
	failure, err := s.failureOf(ctx, id, redrives-1)
	if err != nil {
		return Start{}, err
	}
	start.Resume = &failure
	return start, nil
}

// startMissing starts the order's current execution, which was found not to exist.
func (s *Service) startMissing(ctx context.Context, id string, seen State, report *SweepReport) error {
	start, err := s.StartOf(ctx, id, seen.Redrives)
	if err != nil {
		return err
	}
	needed := false
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		needed = false
		st, err := s.read(tx, id)
		if err != nil || st.NeedsReview || st.Redrives != seen.Redrives {
			return err
		}
		needed = true
		return s.saga.Stage(tx, start)
	})
	if store.RefusalOf(err) != nil {
		return nil //nolint:nilerr // somebody else has just started it
	}
	if err == nil && needed && s.startNow != nil {
		err = s.startNow(ctx, start)
	}
	if err != nil || !needed {
		return err
	}
	report.Started++
	s.saga.Begin(start.Execution)
	s.log.LogAttrs(ctx, slog.LevelInfo, "SAGA execution started", slog.String("order_id", id),
		slog.String("correlation_id", start.CorrelationID), slog.String("execution", start.Execution))
	return nil
}

func (s *Service) reviewMissing(ctx context.Context, id, execution string, f Failure, report *SweepReport) error {
	appended := false
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		before := len(tx.Ops())
		err := s.StageReview(tx, id, execution, f.Status, f.Error, f.Cause)
		appended = len(tx.Ops()) > before
		return err
	})
	if err == nil && appended {
		report.Reviewed++
	}
	return err
}

// extendKey keeps the key of an order that is not terminal. The record's own end is moved, since the store's time to live asks nobody.
func (s *Service) extendKey(ctx context.Context, id string) error {
	c, _, err := s.created(ctx, id)
	if err != nil || c.KeyHash == "" {
		return err
	}
	until := s.now().Truncate(keyStep).Add(keyStep + KeyTTL)
	return s.store.Update(ctx, func(tx *store.Tx) error {
		return idempotency.Extend(tx, idempotency.ClientKeyOfHash(c.KeyHash), until)
	})
}
