package order

import (
	"context"
	"log/slog"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A CancelRequest is who wants an order undone.
type CancelRequest struct {
	Owner         string // whose orders alone can be cancelled; "": everybody's
	Actor         string // of CANCEL_REQUESTED
	CorrelationID string
}

// Cancel asks for the order to be undone, and returns it as it is with the request; a second call while it is PENDING answers the
// same. The saga sees the request when it next records or confirms, whichever of the two commits first: then the order ends
// CANCELLED, or CONFIRMED if the confirmation came first.
//
// fault.OrderFinal: the order has ended; fault.InReview: it waits for a person; fault.NotFound: no such order, or none of the
// owner's.
func (s *Service) Cancel(ctx context.Context, id string, r CancelRequest) (View, error) {
	if !validID(id) {
		return View{}, notFound()
	}
	var before, after State
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		st, err := s.read(tx, id)
		if err != nil {
			return err
		}
		before, after = st, st
		switch {
		case st.foreign(r.Owner):
			return notFound()
		case st.Terminal():
			return fault.New(fault.OrderFinal, "order %s is %s", id, st.Status).With("status", st.Status)
		case st.NeedsReview:
			return fault.New(fault.InReview, "order %s is in review", id)
		case st.CancelRequested:
			return nil
		}
		after, err = s.append(tx, id, st, eventlog.New{Type: CancelRequested, CorrelationID: r.CorrelationID, Actor: r.Actor})
		return err
	})
	if err != nil {
		return View{}, err
	}
	if after.Version != before.Version {
		s.log.LogAttrs(ctx, slog.LevelInfo, "Order cancel requested",
			slog.String("order_id", id), slog.String("correlation_id", r.CorrelationID))
	}
	// As of the request: the saga may have seen it by now, and the answer to a repeat would be another.
	return s.strong(ctx, id, ViewQuery{Version: after.Version})
}
