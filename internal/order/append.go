package order

import (
	"context"
	"log/slog"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// sagaActor is who appends what the saga's tasks bring.
const sagaActor = "saga"

// read returns the order's state as of the transaction: if another append comes first, the function that called runs again and
// decides on the state after it. fault.NotFound: no such order.
func (s *Service) read(tx *store.Tx, id string) (State, error) {
	it, err := tx.Get(headKey(id))
	if err != nil {
		return State{}, err
	}
	if it == nil {
		return State{}, notFound()
	}
	return DecodeHead(it)
}

// append stages events after the state, the head that goes with them, and the order's place among those in review. It stages nothing if
// there are none, or if one of them may not follow (fault.OrderState).
func (s *Service) append(tx *store.Tx, id string, st State, events ...eventlog.New) (State, error) {
	if len(events) == 0 {
		return st, nil
	}
	before := st.NeedsReview
	_, staged := eventlog.Stage(tx, Table, id, st.head(), s.now(), events...)
	for i := range staged {
		var err error
		if st, err = st.apply(&staged[i]); err != nil {
			return State{}, err
		}
	}
	tx.Put(headKey(id), st.item())
	switch {
	case st.NeedsReview && !before:
		tx.Put(reviewKey(id), store.Item{store.N(attrSince, st.UpdatedAt.UnixMilli())})
	case !st.NeedsReview && before:
		tx.Delete(reviewKey(id))
	}
	return st, nil
}

// A decision says which events follow from a command in a state. None, without an error, means that the command was carried out
// before. It may be asked again, about another state, if a commit was lost.
type decision func(State) ([]eventlog.New, error)

// effect is the append that a task makes last. Once it is durable, an order that it has ended is logged and its waiters are
// woken.
func (s *Service) effect(ctx context.Context, t Task, decide decision) store.Effect {
	var before, after State
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			st, err := s.read(tx, t.OrderID)
			if err != nil {
				return nil, err
			}
			events, err := decide(st)
			if err != nil {
				return nil, err
			}
			before = st
			after, err = s.append(tx, t.OrderID, st, events...)
			return nil, err
		},
		Committed: func() {
			if !after.Terminal() || before.Terminal() {
				return
			}
			s.onEnded(after.Status)
			s.logEnd(ctx, t, after)
			s.waiters.wake(t.OrderID)
		},
	}
}

// endings are the messages of the log, by status.
var endings = map[string]string{
	Confirmed:   "Order confirmed",
	Failed:      "Order failed",
	Compensated: "Order compensated",
	Cancelled:   "Order cancelled",
}

func (s *Service) logEnd(ctx context.Context, t Task, st State) {
	attrs := make([]slog.Attr, 0, 3)
	attrs = append(attrs, slog.String("order_id", t.OrderID), slog.String("correlation_id", t.CorrelationID))
	if reason := st.FailureReason(); reason != "" {
		attrs = append(attrs, slog.String("failure_reason", reason))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, endings[st.Status], attrs...)
}

// notFound does not name the order: the same words stand for one that is unknown and for one that is another customer's.
func notFound() error { return fault.New(fault.NotFound, "There is no such order.") }
