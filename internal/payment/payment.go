// Package payment charges an order once, or not at all, through a provider that may die, be late or lose its answers.
//
//	(no row) ─▶ CAPTURING ─▶ CAPTURED ─▶ REFUNDING ─▶ REFUNDED
//	   │  │         ├──────▶ DECLINED
//	   │  └─▶ DECLINED       ▲
//	   │            ▼        │
//	   ▼        CANCELLING ──┴─▶ CANCELLED, or CAPTURED if the capture won
//	REFUSED
//
// It promises that the provider's intent is stored before its capture is called; that a charge is captured at most once,
// whoever repeats it; that Resolve makes the outcome final, and no charge follows it: one that comes late is refused by
// our row, its capture by the provider. Every write is conditional on the row's epoch, which each takeover raises.
//
// It refuses to call an outcome what it does not know: a timeout, a lost reply, a 5xx and a strange answer are
// fault.PaymentOutcomeUnknown, and Resolve decides. fault.PaymentDeclined and fault.PaymentProviderUnavailable are certain:
// nothing was captured, and nothing will be. A receipt over another amount is fault.PaymentMismatch: a person is needed.
//
// A crash leaves the row as its last commit left it, and any of the three tasks goes on from there. The row is never deleted.
// No payment method is stored or logged.
package payment

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Service carries out the saga's payment tasks. It is safe for concurrent use.
type Service struct {
	c   Config
	log *slog.Logger
}

// Config of a Service. A zero duration means the default; the timeouts add up to less than the task's 20 s.
type Config struct {
	Store         store.Store
	Gateway       Gateway
	Ledger        Ledger
	ChargeBreaker *breaker.Breaker // asked before a charge
	RefundBreaker *breaker.Breaker // asked before a refund
	Now           func() time.Time
	Log           *slog.Logger

	Lease          time.Duration // of an attempt: longer than HandlerTimeout; 15 s
	OpenTimeout    time.Duration // 3 s
	CaptureTimeout time.Duration // 8 s
	SettleTimeout  time.Duration // of Cancel and Refund; 8 s
	HandlerTimeout time.Duration // of a task as a whole; 12 s
}

// New returns the service.
func New(c Config) *Service {
	for _, d := range []struct {
		v  *time.Duration
		to time.Duration
	}{
		{&c.Lease, 15 * time.Second},
		{&c.OpenTimeout, 3 * time.Second},
		{&c.CaptureTimeout, 8 * time.Second},
		{&c.SettleTimeout, 8 * time.Second},
		{&c.HandlerTimeout, 12 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{c: c, log: c.Log.With("service", "payment_service.handler")}
}

// A Charge is what the signed order says is to be paid. All three tasks take it.
type Charge struct {
	OrderID       string
	AmountCents   int64
	Currency      string
	Method        string
	CorrelationID string
	Attempt       string // names this attempt of the task; the same when it is run again after a crash
}

// Charge captures the order's total. Its effect records the capture and answers {payment_id, captured, refunded_cents}. A
// repeated call answers the same. Errors: fault.PaymentDeclined; fault.PaymentProviderUnavailable, nothing was attempted
// because the circuit is open, or the payment was given up before, and nothing will be; fault.Transient and fault.Throttled, call again;
// fault.PaymentOutcomeUnknown, call Resolve; fault.PaymentMismatch.
func (s *Service) Charge(ctx context.Context, c Charge) (store.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.HandlerTimeout)
	defer cancel()
	row, err := s.read(ctx, c.OrderID)
	if err != nil {
		return store.Effect{}, err
	}
	switch row.State {
	case "":
		return s.begin(ctx, c)
	case Capturing:
		return s.goOn(ctx, c, row)
	case Captured:
		return found(row, c)
	case Declined:
		return store.Effect{}, declinedError(row.Reason)
	case Cancelling:
		return store.Effect{}, fault.New(fault.PaymentOutcomeUnknown, "the payment is being cancelled")
	default:
		// Only a charge that comes late gets here: the saga goes back behind no resolve and no refund.
		return store.Effect{}, fault.New(fault.PaymentProviderUnavailable, "the payment was given up before this charge")
	}
}

// begin opens an intent and captures it.
func (s *Service) begin(ctx context.Context, c Charge) (store.Effect, error) {
	permit, err := s.c.ChargeBreaker.Acquire(ctx)
	if fault.Is(err, fault.PaymentProviderUnavailable) {
		return store.Effect{}, s.giveUp(ctx, c, err)
	}
	if err != nil {
		return store.Effect{}, err
	}
	id, err := s.open(ctx, c)
	if err != nil {
		report(ctx, permit, err)
		switch fault.KindOf(err) {
		case fault.PaymentDeclined:
			return s.decline(ctx, Row{}, s.newRow(c, Declined), err)
		case fault.PaymentMismatch, fault.Throttled:
			return store.Effect{}, err
		default:
			return store.Effect{}, fault.Wrap(fault.Transient, err, "the payment could not be opened; nothing was attempted")
		}
	}
	row := s.newRow(c, Capturing)
	row.IntentID, row.LeaseUntil = id, row.CreatedAt+s.c.Lease.Milliseconds()
	if err := s.advance(ctx, Row{}, row); err != nil {
		permit.Done(ctx, true) // the provider did answer
		return store.Effect{}, err
	}
	return s.capture(ctx, c, row, permit)
}

// giveUp makes an open circuit's no final, and says it: the saga puts the order back on this answer and asks nobody again, so an
// earlier delivery of the task that comes late must not find the way free once the circuit is closed.
func (s *Service) giveUp(ctx context.Context, c Charge, cause error) error {
	if err := s.advance(ctx, Row{}, s.newRow(c, Refused)); err != nil {
		return err // or another attempt was first: the next one sees what it began
	}
	return cause
}

// goOn takes over an attempt that did not come to its end: captures the stored intent, perhaps again.
func (s *Service) goOn(ctx context.Context, c Charge, row Row) (store.Effect, error) {
	if err := row.agrees(c); err != nil {
		return store.Effect{}, err
	}
	if s.leasedToAnother(row, c) {
		return store.Effect{}, fault.New(fault.Transient, "another attempt is at this payment")
	}
	permit, err := s.c.ChargeBreaker.Acquire(ctx)
	if fault.Is(err, fault.PaymentProviderUnavailable) {
		// The circuit is open, but the attempt before may have captured: "nothing was attempted" would be a lie.
		return store.Effect{}, fault.Wrap(fault.PaymentOutcomeUnknown, err, "the payment was begun")
	}
	if err != nil {
		return store.Effect{}, err
	}
	next := s.takenOver(row, c, Capturing)
	if err := s.advance(ctx, row, next); err != nil {
		permit.Abandon(ctx)
		return store.Effect{}, err
	}
	return s.capture(ctx, c, next, permit)
}

// capture calls the provider for a row that this attempt holds.
func (s *Service) capture(ctx context.Context, c Charge, row Row, permit *breaker.Permit) (store.Effect, error) {
	callCtx, cancel := context.WithTimeout(ctx, s.c.CaptureTimeout)
	receipt, err := s.c.Gateway.Capture(callCtx, row.IntentID)
	cancel()
	report(ctx, permit, err)
	switch fault.KindOf(err) {
	case "":
	case fault.PaymentDeclined:
		next := row
		next.State, next.LeaseUntil = Declined, 0
		return s.decline(ctx, row, next, err)
	case fault.PaymentProviderUnavailable, fault.Throttled:
		return store.Effect{}, s.letGo(ctx, row, err) // certainly not carried out: the next attempt need not wait
	default:
		return store.Effect{}, fault.Wrap(fault.PaymentOutcomeUnknown, err, "the payment was attempted, and no answer came that says what became of it")
	}
	next, err := row.captured(receipt)
	if err != nil {
		return store.Effect{}, err
	}
	return s.effect(ctx, row, next, "Payment charged"), nil
}

// decline commits that the provider said no, and says so.
func (s *Service) decline(ctx context.Context, from, to Row, cause error) (store.Effect, error) {
	to.Reason = message(cause)
	if err := s.advance(ctx, from, to); err != nil {
		return store.Effect{}, err
	}
	s.logRow(ctx, "Payment declined", to)
	return store.Effect{}, declinedError(to.Reason)
}

// letGo ends the attempt's lease and returns the error that makes the saga try again. If the row cannot be written, the lease ends by itself.
func (s *Service) letGo(ctx context.Context, row Row, cause error) error {
	next := row
	next.LeaseUntil = 0
	kind := fault.Transient
	if fault.Is(cause, fault.Throttled) {
		kind = fault.Throttled
	}
	cause = errors.Join(cause, s.advance(ctx, row, next))
	return fault.Wrap(kind, cause, "the payment provider did not carry out the call")
}

func (s *Service) open(ctx context.Context, c Charge) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.OpenTimeout)
	defer cancel()
	id, err := s.c.Gateway.Open(ctx, Intent{OrderID: c.OrderID, AmountCents: c.AmountCents, Currency: c.Currency, Method: c.Method})
	if err == nil && (id == "" || len(id) > maxIntentBytes) {
		err = fault.New(fault.PaymentOutcomeUnknown, "the provider's intent has an id of %d bytes", len(id))
	}
	return id, err
}

// maxIntentBytes is four times what a Stripe id may have: what is longer is no id, and would not fit into the row some day.
const maxIntentBytes = 1024

// report tells the circuit what came of the call. A decline is an answer, and so is a strange receipt. ctx is the task's: if its caller
// took it back, nothing is known of the provider.
func report(ctx context.Context, permit *breaker.Permit, err error) {
	switch {
	case err == nil || fault.Is(err, fault.PaymentDeclined) || fault.Is(err, fault.PaymentMismatch):
		permit.Done(ctx, true)
	case errors.Is(ctx.Err(), context.Canceled):
		permit.Abandon(ctx)
	default:
		permit.Done(ctx, false)
	}
}

// advance commits the row's next state if it still stands as from (the zero Row: not at all). A commit whose reply was
// lost is recognised by what stands there. fault.Transient if another was first, or the store is away.
func (s *Service) advance(ctx context.Context, from, to Row) error {
	to.UpdatedAt = s.c.Now().UnixMilli()
	err := s.c.Store.Update(ctx, func(tx *store.Tx) error {
		tx.Put(Key(to.OrderID), to.item(), from.stands()...)
		return nil
	})
	if err == nil {
		return nil
	}
	standing := Row{}
	if r := store.RefusalOf(err); r != nil {
		if standing, err = decodeRow(to.OrderID, r.Item); err != nil {
			return err
		}
		err = fault.New(fault.Transient, "another attempt was first at this payment")
	} else if again, readErr := s.read(ctx, to.OrderID); readErr == nil {
		standing = again
	}
	if standing == to {
		return nil
	}
	return storeError(err, "store the payment")
}

func (s *Service) read(ctx context.Context, orderID string) (Row, error) {
	it, err := s.c.Store.Get(ctx, Key(orderID), store.Strong)
	if err != nil {
		return Row{}, storeError(err, "read the payment")
	}
	return decodeRow(orderID, it)
}

// storeError makes a store that is away a reason to call again: saga's retries know Transient, not the store's own kinds.
func storeError(err error, doing string) error {
	if fault.Is(err, fault.Unavailable) {
		return fault.Wrap(fault.Transient, err, "%s", doing)
	}
	return err
}

// effect is the task's last commit: the row moves on if this attempt still holds it.
func (s *Service) effect(ctx context.Context, from, to Row, logged string) store.Effect {
	result := to.result()
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			to.UpdatedAt = s.c.Now().UnixMilli()
			tx.Put(Key(to.OrderID), to.item(), from.stands()...)
			return result, nil
		},
		Refused: func(*store.Refusal) error {
			return fault.New(fault.Transient, "another attempt took this payment over")
		},
		Committed: func() { s.logRow(ctx, logged, to) },
	}
}

// found is the effect of a task that finds its work done.
func found(row Row, c Charge) (store.Effect, error) {
	if err := row.agrees(c); err != nil {
		return store.Effect{}, err
	}
	return store.Effect{Result: row.result()}, nil
}

func (r Row) result() map[string]any {
	return map[string]any{
		"payment_id":     r.PaymentID,
		"captured":       r.State == Captured || r.State == Refunded,
		"refunded_cents": cents(r.RefundedCents),
	}
}

func (s *Service) logRow(ctx context.Context, text string, row Row) {
	s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, text,
		slog.String("payment_id", row.PaymentID), slog.String("order_id", row.OrderID),
		slog.String("correlation_id", row.CorrelationID))
}

func declinedError(reason string) error { return fault.New(fault.PaymentDeclined, "%s", reason) }

// message is what an error says to callers. The text of an error without a kind stays in the log.
func message(err error) string {
	var e *fault.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return "the payment was declined"
}

// idOf derives the payment's id from its order's: one payment an order, so nothing is to be made up or stored first.
func idOf(orderID string) string { return "pay-" + strings.TrimPrefix(orderID, "ord-") }

func cents(n int64) json.Number { return json.Number(formatInt(n)) }
