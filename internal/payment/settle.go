package payment

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Resolve makes the outcome of a charge final and answers it: captured, or never. It takes the row over whatever its lease,
// and is not behind the circuit: an open order waits for it. Errors: fault.Transient and fault.Throttled, call again;
// fault.PaymentMismatch.
//
// It asks the provider to cancel, and never merely whether there was a capture: "not yet" is no answer.
func (s *Service) Resolve(ctx context.Context, c Charge) (store.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.HandlerTimeout)
	defer cancel()
	row, err := s.read(ctx, c.OrderID)
	if err != nil {
		return store.Effect{}, err
	}
	switch row.State {
	case "":
		return s.refuse(ctx, c), nil
	case Capturing, Cancelling:
		from, to, err := s.cancel(ctx, c, row)
		if err != nil {
			return store.Effect{}, err
		}
		return s.effect(ctx, from, to, settledText(to)), nil
	case Captured:
		return found(row, c)
	case Refunding:
		return store.Effect{}, fault.New(fault.Transient, "the payment is being refunded")
	case Refunded:
		// Only a resolve that comes late gets here. What was given back does not confirm an order.
		result := row.result()
		result["captured"] = false
		return store.Effect{Result: result}, nil
	default:
		return store.Effect{Result: row.result()}, nil
	}
}

// Refund gives back what was captured, if anything was, and answers it. It makes an open outcome final first. Errors:
// fault.PaymentProviderUnavailable while the refund circuit is open, fault.Transient and fault.Throttled: call again, all
// are safe to repeat; fault.PaymentMismatch.
func (s *Service) Refund(ctx context.Context, c Charge) (store.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.HandlerTimeout)
	defer cancel()
	row, err := s.read(ctx, c.OrderID)
	if err != nil {
		return store.Effect{}, err
	}
	if row.State == Capturing || row.State == Cancelling {
		from, to, err := s.cancel(ctx, c, row)
		if err != nil {
			return store.Effect{}, err
		}
		if to.State != Captured {
			return s.effect(ctx, from, to, settledText(to)), nil
		}
		if err := s.advance(ctx, from, to); err != nil {
			return store.Effect{}, err
		}
		row = to
	}
	switch row.State {
	case "":
		return s.refuse(ctx, c), nil
	case Captured, Refunding:
		return s.refund(ctx, c, row)
	default:
		return store.Effect{Result: row.result()}, nil
	}
}

// refund calls the provider for a row that was captured.
func (s *Service) refund(ctx context.Context, c Charge, row Row) (store.Effect, error) {
	if row.State == Refunding && s.leasedToAnother(row, c) {
		return store.Effect{}, fault.New(fault.Transient, "another attempt is at this refund")
	}
	permit, err := s.c.RefundBreaker.Acquire(ctx)
	if err != nil {
		return store.Effect{}, err
	}
	held := s.takenOver(row, c, Refunding)
	if err := s.advance(ctx, row, held); err != nil {
		permit.Abandon(ctx)
		return store.Effect{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, s.c.SettleTimeout)
	receipt, err := s.c.Gateway.Refund(callCtx, held.IntentID)
	cancel()
	report(ctx, permit, err)
	switch fault.KindOf(err) {
	case "":
	case fault.PaymentDeclined:
		return store.Effect{}, fault.Wrap(fault.PaymentMismatch, err, "the provider refuses to refund what it captured")
	case fault.PaymentMismatch:
		return store.Effect{}, err
	default:
		return store.Effect{}, s.letGo(ctx, held, err) // whatever became of it, a repeat is safe
	}
	next, err := held.refunded(receipt)
	if err != nil {
		return store.Effect{}, err
	}
	return s.effect(ctx, held, next, "Payment refunded"), nil
}

// refuse writes the row that refuses every later charge. There is no intent, so there is nothing to ask the provider.
func (s *Service) refuse(ctx context.Context, c Charge) store.Effect {
	row := s.newRow(c, Refused)
	return s.effect(ctx, Row{}, row, settledText(row))
}

// cancel takes the row over and has the provider end the intent. It returns the row as it now is stored, and what is to follow it.
func (s *Service) cancel(ctx context.Context, c Charge, row Row) (held, final Row, err error) {
	if err := row.agrees(c); err != nil {
		return Row{}, Row{}, err
	}
	held = s.takenOver(row, c, Cancelling)
	if err := s.advance(ctx, row, held); err != nil {
		return Row{}, Row{}, err
	}
	callCtx, stop := context.WithTimeout(ctx, s.c.SettleTimeout)
	answer, err := s.c.Gateway.Cancel(callCtx, held.IntentID)
	stop()
	switch fault.KindOf(err) {
	case "":
	case fault.Throttled, fault.PaymentMismatch:
		return Row{}, Row{}, err
	default:
		return Row{}, Row{}, fault.Wrap(fault.Transient, err, "the payment provider did not say what became of the payment")
	}
	if answer.Captured {
		final, err = held.captured(answer.Receipt)
		return held, final, err
	}
	final = held
	final.State, final.LeaseUntil = Cancelled, 0
	return held, final, nil
}

func settledText(row Row) string {
	switch row.State {
	case Captured:
		return "Payment charged"
	case Cancelled:
		return "Payment cancelled"
	default:
		return "Payment refused"
	}
}
