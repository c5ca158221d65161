package order

import (
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A State is what an order's log says of it. It is comparable: the head's State equals the log's fold.
type State struct {
	Status    string
	Version   int64
	Hash      string // of the last event
	CreatedAt time.Time
	UpdatedAt time.Time // of the last event

	CustomerID    string
	TotalCents    int64
	Currency      string
	PaymentMethod string
	CorrelationID string // of the first event

	Reserved        bool   // STOCK_RESERVED
	StockRejected   string // the code of STOCK_REJECTED
	Charged         bool   // PAYMENT_CHARGED
	PaymentFailed   string // the code of PAYMENT_FAILED
	Refunded        bool   // PAYMENT_REFUNDED
	Released        bool   // STOCK_RELEASED
	CancelRequested bool   // CANCEL_REQUESTED
	NeedsReview     bool   // ORDER_REVIEW came after the last SAGA_REDRIVEN
	Redrives        int64  // how many SAGA_REDRIVEN
	TerminalVersion int64  // of the terminal event, 0 as long as there is none
}

// The states of an order.
const (
	Pending     = "PENDING"
	Review      = "REVIEW" // the saga's execution failed and a person is needed; not terminal
	Confirmed   = "CONFIRMED"
	Failed      = "FAILED"      // refused, nothing was done
	Compensated = "COMPENSATED" // done and undone
	Cancelled   = "CANCELLED"
)

// The types of events.
const (
	OrderCreated     = "ORDER_CREATED"
	StockReserved    = "STOCK_RESERVED"
	StockRejected    = "STOCK_REJECTED"
	PaymentCharged   = "PAYMENT_CHARGED"
	PaymentFailed    = "PAYMENT_FAILED"
	PaymentRefunded  = "PAYMENT_REFUNDED"
	StockReleased    = "STOCK_RELEASED"
	CancelRequested  = "CANCEL_REQUESTED"
	OrderConfirmed   = "ORDER_CONFIRMED"
	OrderFailed      = "ORDER_FAILED"
	OrderCompensated = "ORDER_COMPENSATED"
	OrderCancelled   = "ORDER_CANCELLED"
	OrderReview      = "ORDER_REVIEW"
	SagaRedriven     = "SAGA_REDRIVEN"
)

// The failure reasons.
const (
	reasonInsufficientStock    = "INSUFFICIENT_STOCK"
	reasonUnknownProduct       = "UNKNOWN_PRODUCT"
	reasonPaymentDeclined      = "PAYMENT_DECLINED"
	reasonProviderUnavailable  = "PAYMENT_PROVIDER_UNAVAILABLE"
	reasonInventoryUnavailable = "INVENTORY_UNAVAILABLE"
	reasonCancelled            = "CANCELLED_BY_CUSTOMER"
)

// Terminal reports whether a terminal event stands in the log: no other status will follow.
func (s State) Terminal() bool { return s.TerminalVersion != 0 }

// FailureReason says why the order did not end CONFIRMED; "" if it did, or has not ended.
func (s State) FailureReason() string {
	switch s.Status {
	case Failed:
		return s.StockRejected
	case Cancelled:
		return reasonCancelled
	case Compensated:
		if s.PaymentFailed != "" {
			return s.PaymentFailed
		}
		return reasonInventoryUnavailable
	}
	return ""
}

// foreign reports whether the order is not the owner's; "" owns every order.
func (s State) foreign(owner string) bool { return owner != "" && s.CustomerID != owner }

func (s State) head() eventlog.Head {
	return eventlog.Head{Version: s.Version, Hash: s.Hash, Timestamp: s.UpdatedAt}
}

// Fold replays a log, or the beginning of one. An event that may not follow, or one that is missing, is fault.OrderState; data that is
// not what its type holds is fault.Internal. The chain of hashes is eventlog.Verify's business.
func Fold(events []eventlog.Event) (State, error) {
	var s State
	if len(events) == 0 {
		return s, fault.New(fault.OrderState, "an order's log is never empty")
	}
	for i := range events {
		var err error
		if s, err = s.apply(&events[i]); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

// apply is the state after one more event.
func (s State) apply(e *eventlog.Event) (State, error) {
	if e.Version != s.Version+1 {
		return s, fault.New(fault.OrderState, "version %d of the log is missing: %d stands in its place", s.Version+1, e.Version)
	}
	if e.Timestamp.Before(s.UpdatedAt) {
		return s, fault.New(fault.OrderState, "version %d (%s) is older than the event before it", e.Version, e.Type)
	}
	if !s.allows(e.Type) {
		return s, fault.New(fault.OrderState, "%s may not be version %d of an order that is %s", e.Type, e.Version, s.describe())
	}
	s.Version, s.Hash, s.UpdatedAt = e.Version, e.Hash, e.Timestamp
	var err error
	switch e.Type {
	case OrderCreated:
		err = s.create(e)
	case StockReserved:
		s.Reserved = true
	case StockRejected:
		s.StockRejected, err = code(e, reasonInsufficientStock, reasonUnknownProduct)
	case PaymentCharged:
		s.Charged = true
	case PaymentFailed:
		s.PaymentFailed, err = code(e, reasonPaymentDeclined, reasonProviderUnavailable)
	case PaymentRefunded:
		s.Refunded = true
	case StockReleased:
		s.Released = true
	case CancelRequested:
		s.CancelRequested = true
	case OrderReview:
		s.NeedsReview = true
	case SagaRedriven:
		s.NeedsReview = false
		s.Redrives++
		if n, ok := integer(e.Data["n"]); !ok || n != s.Redrives {
			err = malformed(e, "n")
		}
	default:
		s.TerminalVersion = e.Version
	}
	s.Status = s.status(e.Type)
	return s, err
}

func (s *State) create(e *eventlog.Event) error {
	c, err := DecodeCreated(*e)
	if err != nil {
		return err
	}
	s.CreatedAt = e.Timestamp
	s.CustomerID, s.TotalCents, s.Currency, s.PaymentMethod = c.CustomerID, c.TotalCents, c.Currency, c.PaymentMethod
	s.CorrelationID = e.CorrelationID
	return nil
}

// allows reports whether an event of that type may follow. The logs that may occur, leaving out CANCEL_REQUESTED (at most one,
// before the terminal event) and pairs of ORDER_REVIEW and SAGA_REDRIVEN:
//
//	CREATED RESERVED CHARGED CONFIRMED                            without CANCEL_REQUESTED
//	CREATED REJECTED FAILED
//	CREATED [RESERVED] [PAYMENT_FAILED] RELEASED COMPENSATED      with CANCEL_REQUESTED only if PAYMENT_FAILED
//	CREATED [RESERVED] [CHARGED REFUNDED] RELEASED CANCELLED      with CANCEL_REQUESTED
func (s *State) allows(event string) bool {
	switch {
	case s.Version == 0 || event == OrderCreated:
		return s.Version == 0 && event == OrderCreated
	case event == OrderReview:
		return !s.NeedsReview
	case event == SagaRedriven:
		return s.NeedsReview
	case s.NeedsReview || s.Terminal():
		return false
	}
	rejected, failed := s.StockRejected != "", s.PaymentFailed != ""
	unpaid := !s.Charged && !failed && !s.Released && !rejected // the payment has neither succeeded nor failed, and the order goes on
	switch event {
	case StockReserved, StockRejected:
		return !s.Reserved && unpaid
	case PaymentCharged, PaymentFailed:
		return unpaid
	case PaymentRefunded:
		return s.Charged && !s.Refunded
	case StockReleased:
		return !rejected && !s.Released && s.Charged == s.Refunded
	case CancelRequested:
		return !s.CancelRequested
	case OrderConfirmed:
		return s.Reserved && s.Charged && !s.Refunded && !s.CancelRequested
	case OrderFailed:
		return rejected
	case OrderCompensated:
		return s.Released && !s.Charged && (failed || !s.CancelRequested)
	case OrderCancelled:
		return s.Released && !failed && s.CancelRequested
	}
	return false
}

// status is the status after an event of that type, all else being applied.
func (s *State) status(event string) string {
	switch event {
	case OrderConfirmed:
		return Confirmed
	case OrderFailed:
		return Failed
	case OrderCompensated:
		return Compensated
	case OrderCancelled:
		return Cancelled
	}
	switch {
	case s.Terminal():
		return s.Status
	case s.NeedsReview:
		return Review
	}
	return Pending
}

// describe says for a log how far the order has come.
func (s *State) describe() string {
	text := s.Status
	if text == "" {
		text = "not yet created"
	}
	for _, f := range []struct {
		set  bool
		name string
	}{
		{s.Reserved, "reserved"}, {s.StockRejected != "", "rejected"}, {s.Charged, "charged"}, {s.PaymentFailed != "", "unpaid"},
		{s.Refunded, "refunded"}, {s.Released, "released"}, {s.CancelRequested, "to be cancelled"}, {s.NeedsReview, "in review"},
	} {
		if f.set {
			text += ", " + f.name
		}
	}
	return text
}

// code reads the event's code, which is one of those given.
func code(e *eventlog.Event, known ...string) (string, error) {
	c, _ := e.Data["code"].(string)
	for _, k := range known {
		if c == k {
			return c, nil
		}
	}
	return "", malformed(e, "code")
}

func malformed(e *eventlog.Event, member string) error {
	return fault.New(fault.Internal, "version %d (%s) of the log has no well-formed %s", e.Version, e.Type, member)
}
