package order

import (
	"context"
	"log/slog"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Task is what the saga tells the order service. What is not among the signed members of the saga's input stands here for the log
// alone: no decision is taken on it but the code of a rejection.
type Task struct {
	OrderID       string
	CorrelationID string
	Caught        string // of order.fail: the error that the saga caught; "" counts as InsufficientStock
	PaymentID     string // as payment.charge, resolve or refund answered; "" or what is no id: the one derived from the order
	RefundedCents int64  // as payment.refund answered: above 0 if a capture was refunded
	Trace         string // where the attempt stands, as a W3C traceparent; "": nobody looks
}

// A RecordTask is order.record: one event that says how far the saga has come.
type RecordTask struct {
	Task
	Event string // STOCK_RESERVED or PAYMENT_FAILED
	Error string // of PAYMENT_FAILED: the error that the saga caught
}

// Record appends STOCK_RESERVED or PAYMENT_FAILED; once it stands in the log, nothing more. STOCK_RESERVED of an order that is to be
// cancelled is fault.OrderCancelled, also when it had been recorded before: then the card is not charged at all.
func (s *Service) Record(ctx context.Context, t RecordTask) (store.Effect, error) {
	switch t.Event {
	case StockReserved:
		return s.effect(ctx, t.Task, func(st State) ([]eventlog.New, error) {
			switch {
			case st.CancelRequested:
				return nil, orderCancelled(t.OrderID)
			case st.Reserved:
				return nil, nil
			}
			return []eventlog.New{t.event(StockReserved, nil)}, nil
		}), nil
	case PaymentFailed:
		reason := reasonProviderUnavailable
		if t.Error == string(fault.PaymentDeclined) {
			reason = reasonPaymentDeclined
		}
		return s.effect(ctx, t.Task, func(st State) ([]eventlog.New, error) {
			if st.PaymentFailed != "" {
				return nil, nil
			}
			return []eventlog.New{t.event(PaymentFailed, map[string]any{"code": reason})}, nil
		}), nil
	}
	return store.Effect{}, fault.New(fault.Internal, "order.record of the event %q", t.Event)
}

// Confirm appends PAYMENT_CHARGED and ORDER_CONFIRMED: the point of no return. fault.OrderCancelled: the cancel came first, and what
// was captured has to be refunded.
func (s *Service) Confirm(ctx context.Context, t Task) (store.Effect, error) {
	return s.effect(ctx, t, func(st State) ([]eventlog.New, error) {
		switch {
		case st.CancelRequested:
			return nil, orderCancelled(t.OrderID)
		case st.Status == Confirmed:
			return nil, nil
		}
		return []eventlog.New{t.event(PaymentCharged, t.payment(st.TotalCents)), t.event(OrderConfirmed, nil)}, nil
	}), nil
}

// Compensate appends what happened and is not yet in the log, STOCK_RELEASED and the terminal event: ORDER_CANCELLED if a cancel was
// requested and no payment has failed, else ORDER_COMPENSATED.
func (s *Service) Compensate(ctx context.Context, t Task) (store.Effect, error) {
	return s.effect(ctx, t, func(st State) ([]eventlog.New, error) {
		if st.Status == Compensated || st.Status == Cancelled {
			return nil, nil
		}
		var events []eventlog.New
		cancelled := st.CancelRequested && st.PaymentFailed == ""
		// Only a cancel undoes a charge, and an order whose payment failed has none: whatever else the unsigned answer says is
		// not believed, or the log would tell what cannot have happened.
		if t.RefundedCents > 0 && cancelled && !st.Charged {
			events = append(events,
				t.event(PaymentCharged, t.payment(st.TotalCents)),
				t.event(PaymentRefunded, t.payment(min(t.RefundedCents, st.TotalCents))))
		}
		if !st.Released {
			events = append(events, t.event(StockReleased, nil))
		}
		if cancelled {
			return append(events, t.event(OrderCancelled, nil)), nil
		}
		return append(events, t.event(OrderCompensated, nil)), nil
	}), nil
}

// Fail appends STOCK_REJECTED and ORDER_FAILED: nothing was held, nothing is to be undone.
func (s *Service) Fail(ctx context.Context, t Task) (store.Effect, error) {
	reason := reasonInsufficientStock
	if t.Caught == string(fault.UnknownProduct) {
		reason = reasonUnknownProduct
	}
	return s.effect(ctx, t, func(st State) ([]eventlog.New, error) {
		if st.Status == Failed {
			return nil, nil
		}
		return []eventlog.New{t.event(StockRejected, map[string]any{"code": reason}), t.event(OrderFailed, nil)}, nil
	}), nil
}

// Notify sends the customer the message of the terminal event, and takes the order from the index of the open ones: its saga has
// come to its end. A repeat sends the same message again, since the first may have been lost on its way; whoever consumes it knows it by
// order and version. fault.OrderState: the order has not ended.
func (s *Service) Notify(ctx context.Context, t Task) (store.Effect, error) {
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			st, err := s.read(tx, t.OrderID)
			if err != nil {
				return nil, err
			}
			if !st.Terminal() {
				return nil, fault.New(fault.OrderState, "nothing to tell of an order that is %s", st.describe())
			}
			contact, err := tx.Peek(contactKey(t.OrderID))
			if err != nil {
				return nil, err
			}
			if err := stageClosed(tx, t.OrderID); err != nil {
				return nil, err
			}
			return nil, s.outbox.Send(tx, Message{
				OrderID:       t.OrderID,
				CustomerID:    st.CustomerID,
				Kind:          messageKinds[st.Status],
				Version:       st.TerminalVersion,
				TotalCents:    st.TotalCents,
				Currency:      st.Currency,
				FailureReason: st.FailureReason(),
				CorrelationID: t.CorrelationID,
				Trace:         t.Trace,
				SealedContact: contact.Bytes(attrSealed),
			})
		},
		Committed: func() {
			s.notifyLog.LogAttrs(ctx, slog.LevelInfo, "Notification queued",
				slog.String("order_id", t.OrderID), slog.String("correlation_id", t.CorrelationID))
		},
	}, nil
}

// messageKinds are the messages' kinds by status: for a customer, an order that was undone has failed.
var messageKinds = map[string]string{
	Confirmed:   "ORDER_CONFIRMED",
	Failed:      "ORDER_FAILED",
	Compensated: "ORDER_FAILED",
	Cancelled:   "ORDER_CANCELLED",
}

func (t Task) event(typ string, data map[string]any) eventlog.New {
	return eventlog.New{Type: typ, Data: data, CorrelationID: t.CorrelationID, Actor: sagaActor}
}

func (t Task) payment(amountCents int64) map[string]any {
	id := t.PaymentID
	if !validID(id) {
		id = paymentID(t.OrderID)
	}
	return map[string]any{"payment_id": id, "amount_cents": number(amountCents)}
}

func orderCancelled(id string) error {
	return fault.New(fault.OrderCancelled, "the customer cancelled order %s", id)
}
