package order

import (
	"context"
	"log/slog"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// MaxReason bounds what an operator writes about a redrive, in characters: it is kept in the log for as long as the order.
const MaxReason = 500

// StageReview stages ORDER_REVIEW if the execution is the order's current one, ended FAILED, TIMED_OUT or ABORTED, and has none yet; else
// it stages nothing. It is called in the commit that ends the execution, on a status change, or by Sweep, so that it may come
// several times and late. An execution that belongs to no order is no error: its end must not be held up.
//
// The cause is not kept: the log is shown to the customer, and a cause is the text of an internal error. Operators find it with
// the execution.
func (s *Service) StageReview(tx *store.Tx, orderID, execution, status, errName, _ string) error {
	if !endedBadly(status) || !validID(orderID) {
		return nil
	}
	it, err := tx.Get(headKey(orderID))
	if err != nil || it == nil {
		return err
	}
	st, err := DecodeHead(it)
	if err != nil {
		return err
	}
	if st.NeedsReview || ExecutionName(orderID, st.Redrives) != execution {
		return nil
	}
	_, err = s.append(tx, orderID, st, eventlog.New{
		Type:          OrderReview,
		Data:          map[string]any{"execution": execution, "status": status, "error": errName},
		CorrelationID: st.CorrelationID,
		Actor:         sagaActor,
	})
	return err
}

// Redrive starts the saga again at the state in which it failed, as a new execution, and returns its name. What the saga
// had done stays done: every task knows its own repeat.
//
// fault.NotFailed: the order does not need review, or another operator was first; fault.ValidationFailed: no reason, or one of more
// than MaxReason characters; fault.NotFound.
func (s *Service) Redrive(ctx context.Context, id, reason, actor, correlationID string) (execution string, err error) {
	if reason == "" || utf8.RuneCountInString(reason) > MaxReason {
		return "", invalid("reason", "must be 1 to %d characters", MaxReason)
	}
	if !validID(id) {
		return "", notFound()
	}
	st, found, err := s.state(ctx, id)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", notFound()
	case !st.NeedsReview:
		return "", notFailed(id, st)
	}
	failure, err := s.failureOf(ctx, id, st.Redrives)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	if err != nil || !failure.failed() {
		return "", fault.New(fault.NotFailed, "the execution %s has not failed", ExecutionName(id, st.Redrives))
	}
	start, err := s.startOf(ctx, id, st.Redrives+1)
	if err != nil {
		return "", err
	}
	start.Resume = &failure
	redriven := eventlog.New{
		Type:          SagaRedriven,
		Data:          map[string]any{"n": number(st.Redrives + 1), "resume_at": failure.State, "reason": reason, "actor": actor},
		CorrelationID: correlationID,
		Actor:         actor,
	}
	if err := s.commitRedrive(ctx, id, st, start, redriven); err != nil {
		if fault.Is(err, fault.Transient) {
			s.saga.Begin(start.Execution) // in case it was applied
		}
		return "", err
	}
	s.saga.Begin(start.Execution)
	s.log.LogAttrs(ctx, slog.LevelInfo, "SAGA redriven", slog.String("order_id", id), slog.String("execution", start.Execution),
		slog.String("resume_at", failure.State), slog.String("correlation_id", correlationID))
	return start.Execution, nil
}

// commitRedrive appends the event and stages the start. Transient means that the commit may have been applied: then it is tried again, and
// an event that stands there already is told from another operator's by its content.
func (s *Service) commitRedrive(ctx context.Context, id string, seen State, start Start, redriven eventlog.New) error {
	err := ctx.Err()
	if err != nil {
		return err
	}
	// As in Place: the commit does not end with its caller, or nobody would begin what it started.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	for attempt := range placeAttempts {
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			st, err := s.read(tx, id)
			if err != nil {
				return err
			}
			if attempt > 0 && st.Redrives > seen.Redrives {
				return s.sameEvent(tx, id, seen.Version+1, redriven)
			}
			if !st.NeedsReview || st.Redrives != seen.Redrives {
				return notFailed(id, st)
			}
			after, err := s.append(tx, id, st, redriven)
			if err != nil {
				return err
			}
			if err := stageReopened(tx, id, store.N(attrSince, after.UpdatedAt.UnixMilli())); err != nil {
				return err
			}
			return s.saga.Stage(tx, start)
		})
		if !fault.Is(err, fault.Transient) || ctx.Err() != nil {
			break
		}
	}
	return err
}

// sameEvent is nil if the event of that version is the one that the caller tried to append. While an order needs review nothing but
// SAGA_REDRIVEN follows, so that it can stand nowhere else.
func (s *Service) sameEvent(tx *store.Tx, id string, version int64, n eventlog.New) error {
	key := eventlog.Key(Table, id, version)
	it, err := tx.Get(key)
	if err != nil {
		return err
	}
	e, err := eventlog.Decode(store.Entry{Key: key, Item: it})
	if err != nil {
		return err
	}
	if e.Type != n.Type || e.CorrelationID != n.CorrelationID || e.Actor != n.Actor || e.Data["reason"] != n.Data["reason"] {
		return fault.New(fault.NotFailed, "order %s was redriven by %s", id, e.Actor)
	}
	return nil
}

// startOf is what the order's execution starts with after that many redrives.
func (s *Service) startOf(ctx context.Context, id string, redrives int64) (Start, error) {
	c, correlationID, err := s.created(ctx, id)
	if err != nil {
		return Start{}, err
	}
	return c.start(id, redrives, correlationID), nil
}

// created reads the order's first event and its correlation id.
func (s *Service) created(ctx context.Context, id string) (Created, string, error) {
	key := eventlog.Key(Table, id, 1)
	it, err := s.store.Get(ctx, key, store.Strong)
	if err != nil {
		return Created{}, "", err
	}
	if it == nil {
		return Created{}, "", notFound()
	}
	e, err := eventlog.Decode(store.Entry{Key: key, Item: it})
	if err != nil {
		return Created{}, "", err
	}
	c, err := DecodeCreated(e)
	return c, e.CorrelationID, err
}

func notFailed(id string, st State) error {
	return fault.New(fault.NotFailed, "order %s is %s and needs no review", id, st.Status)
}
