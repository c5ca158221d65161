// Package provider holds the adapters of payment.Gateway: the simulator, which plays a payment provider with a book of
// its own.
//
// It promises what a provider owes: an intent per order, at most one capture and one refund of it, a cancellation that
// is final, and that every entry is committed to the ledger before it is answered. Entries are written once and never
// changed, and an intent has one place for its outcome, so that capture and cancellation cannot both win. The ledger is
// the judge of the money: it is never told what CloudFlow believes.
//
// It misbehaves on request, in the ways that hurt: by payment method (lost answers, late captures, declines), so that
// a scenario can be driven through the API, and by Fault for the whole provider.
//
// It refuses an unknown method with fault.PaymentDeclined. Every answered entry survives a crash; the late capture of
// pm_sim_late comes true though nobody calls again, since its time is in the ledger.
package provider

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The payment methods, and what comes of them.
const (
	Visa           = "pm_card_visa"           // captured; also what "" means
	ChargeDeclined = "pm_card_chargeDeclined" // declined
	Timeout        = "pm_sim_timeout"         // never captured, never answered
	TimeoutCharged = "pm_sim_timeout_charged" // captured, but the answer is lost
	Late           = "pm_sim_late"            // captured LateAfter the call, when its caller has given up, unless cancelled first
	Error          = "pm_sim_error"           // answered with 500, never captured
	Slow           = "pm_sim_slow"            // captured, answered after 3 s
)

const (
	slowFor = 3 * time.Second
	// hangFor is how long a call without an answer is held: longer than any caller waits, and not for ever.
	hangFor = 2 * time.Minute
)

// Simulator is a payment.Gateway and a payment.Ledger. It is safe for concurrent use.
type Simulator struct {
	store store.Store
	c     Config

	fault    atomic.Pointer[Fault] // nil: none
	attempts [operations]atomic.Uint64

	mu sync.Mutex // guards c.Rand
}

var (
	_ payment.Gateway = (*Simulator)(nil)
	_ payment.Ledger  = (*Simulator)(nil)
)

// Config of a Simulator. A zero member means the default.
type Config struct {
	Store     store.Store   // its own book; it shares nothing with the services
	LateAfter time.Duration // of pm_sim_late; 9 s: beyond payment's 8 s
	Now       func() time.Time
	Rand      *rand.Rand // for faults with a probability; the simulator guards it
	// Sleep waits, and ends with the context's error if that ends first. The default waits on a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// New returns a simulator over its book.
func New(c Config) *Simulator {
	if c.LateAfter == 0 {
		c.LateAfter = 9 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(1, 1))
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	return &Simulator{store: c.Store, c: c}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Open creates the order's intent; a repeat answers the same one. fault.PaymentMismatch if the order has an intent with
// other terms, fault.PaymentDeclined if the method is unknown.
func (s *Simulator) Open(ctx context.Context, in payment.Intent) (string, error) {
	reply, err := s.arrive(ctx, opOpen)
	if err != nil {
		return "", err
	}
	if in.Method == "" {
		in.Method = Visa
	}
	if !known(in.Method) {
		return "", fault.New(fault.PaymentDeclined, "unknown payment method")
	}
	if in.AmountCents <= 0 {
		return "", fault.New(fault.PaymentDeclined, "the amount is not positive")
	}
	item := store.Item{
		store.N("amount_cents", in.AmountCents),
		store.S("currency", in.Currency),
		store.S("method", in.Method),
		store.N("at", s.c.Now().UnixMilli()),
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		tx.Put(key(in.OrderID, skIntent), item, store.Absent())
		return nil
	})
	if r := store.RefusalOf(err); r != nil {
		err = nil
		if r.Item.Int("amount_cents") != in.AmountCents || r.Item.Str("currency") != in.Currency || r.Item.Str("method") != in.Method {
			err = fault.New(fault.PaymentMismatch, "order %s has an intent with other terms", in.OrderID)
		}
	}
	if err != nil {
		return "", err
	}
	return intentID(in.OrderID), reply()
}

// Capture moves the money as the intent's method says.
func (s *Simulator) Capture(ctx context.Context, id string) (payment.Receipt, error) {
	reply, err := s.arrive(ctx, opCapture)
	if err != nil {
		return payment.Receipt{}, err
	}
	a, first, err := s.move(ctx, id, s.decideCapture)
	if err != nil {
		return payment.Receipt{}, err
	}
	if first || a.outcome == nil {
		if err := s.misbehave(ctx, a); err != nil {
			return payment.Receipt{}, err
		}
		if a.outcome == nil { // pm_sim_late, and its caller was patient
			if a, _, err = s.move(ctx, id, s.decideCapture); err != nil {
				return payment.Receipt{}, err
			}
		}
	}
	if err := reply(); err != nil {
		return payment.Receipt{}, err
	}
	if a.outcome == nil {
		return payment.Receipt{}, &StatusError{Status: 504}
	}
	return a.captureReceipt()
}

// misbehave is what the caller of a capture meets; the ledger has been written.
func (s *Simulator) misbehave(ctx context.Context, a account) error {
	switch a.method {
	case Timeout, TimeoutCharged:
		return s.hang(ctx)
	case Late:
		return s.c.Sleep(ctx, max(0, a.due.Sub(s.c.Now())))
	case Error:
		return &StatusError{Status: 500}
	case Slow:
		return s.c.Sleep(ctx, slowFor)
	}
	return nil
}

// hang never answers: the caller's time ends first.
func (s *Simulator) hang(ctx context.Context) error {
	if err := s.c.Sleep(ctx, hangFor); err != nil {
		return err
	}
	return &StatusError{Status: 504}
}

// Cancel ends the intent: with the receipt of its capture, or so that none will follow.
func (s *Simulator) Cancel(ctx context.Context, id string) (payment.Cancellation, error) {
	reply, err := s.arrive(ctx, opCancel)
	if err != nil {
		return payment.Cancellation{}, err
	}
	a, _, err := s.move(ctx, id, s.decideCancel)
	if err == nil {
		err = reply()
	}
	if err != nil || a.outcome.Str("type") != typeCapture {
		return payment.Cancellation{}, err
	}
	return payment.Cancellation{Captured: true, Receipt: a.receipt(a.outcome)}, nil
}

// Refund gives back what was captured.
func (s *Simulator) Refund(ctx context.Context, id string) (payment.Receipt, error) {
	reply, err := s.arrive(ctx, opRefund)
	if err != nil {
		return payment.Receipt{}, err
	}
	a, _, err := s.move(ctx, id, s.decideRefund)
	if err == nil && a.refund == nil {
		err = fault.New(fault.PaymentDeclined, "nothing was captured")
	}
	if err == nil {
		err = reply()
	}
	if err != nil {
		return payment.Receipt{}, err
	}
	return a.receipt(a.refund), nil
}

// Ledger is the order's page of the book. A late capture whose time has come is entered first.
func (s *Simulator) Ledger(ctx context.Context, orderID string) (payment.LedgerView, error) {
	a, _, err := s.move(ctx, intentID(orderID), s.decideLate)
	if fault.Is(err, fault.NotFound) {
		return payment.LedgerView{Entries: []payment.LedgerEntry{}}, nil
	}
	if err != nil {
		return payment.LedgerView{}, err
	}
	return a.view(), nil
}

func known(method string) bool {
	switch method {
	case Visa, ChargeDeclined, Timeout, TimeoutCharged, Late, Error, Slow:
		return true
	}
	return false
}

const intentPrefix = "pi-"

// intentID names the one intent of an order.
func intentID(orderID string) string { return intentPrefix + orderID }

func orderOf(id string) (string, error) {
	order, ok := strings.CutPrefix(id, intentPrefix)
	if !ok || order == "" {
		return "", fault.New(fault.NotFound, "no such intent")
	}
	return order, nil
}
