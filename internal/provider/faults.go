package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Fault is an outage of the whole provider. The zero Fault is none. Down, Status and Hang befall the share Rate of the
// calls, and are tried in that order.
type Fault struct {
	Only        string        // the operation that it befalls: open, capture, cancel or refund; "" means all
	Rate        float64       // 0 to 1; 0 means every call
	Down        bool          // the connection is refused: certainly nothing happened
	Status      int           // answered instead of doing: 429 or 500 to 599
	Hang        bool          // nothing happens, and no answer comes
	Latency     time.Duration // before each call is carried out
	LoseReplies float64       // 0 to 1: the call is carried out, and the connection breaks before the answer
}

// SetFault begins an outage, or ends it with the zero Fault. fault.ValidationFailed names the field that is out of its bounds.
func (s *Simulator) SetFault(f Fault) error {
	bad, rule := "", ""
	switch {
	case f.Only != "" && operationOf(f.Only) < 0:
		bad, rule = "only", "open, capture, cancel or refund"
	case f.Rate < 0 || f.Rate > 1:
		bad, rule = "rate", "a number from 0 to 1"
	case f.Status != 0 && f.Status != 429 && (f.Status < 500 || f.Status > 599):
		bad, rule = "status", "429, or 500 to 599"
	case f.Latency < 0 || f.Latency > hangFor:
		bad, rule = "latency", "from 0 to "+hangFor.String()
	case f.LoseReplies < 0 || f.LoseReplies > 1:
		bad, rule = "lose_replies", "a number from 0 to 1"
	}
	if bad != "" {
		return fault.New(fault.ValidationFailed, "%s must be %s.", bad, rule).With("field", bad)
	}
	if f == (Fault{}) {
		s.fault.Store(nil)
	} else {
		s.fault.Store(&f)
	}
	return nil
}

// Fault is the outage that is on; the zero Fault if none is.
func (s *Simulator) Fault() Fault {
	if f := s.fault.Load(); f != nil {
		return *f
	}
	return Fault{}
}

// A StatusError is an HTTP answer that says nothing about what was done.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the payment provider answered %d", e.Status)
}

// errReplyLost is a connection that broke after the request was sent.
var errReplyLost = errors.New("the connection to the payment provider broke before its answer")

// Attempts are the calls that reached the provider, refused ones included.
type Attempts struct{ Open, Capture, Cancel, Refund uint64 }

// Attempts counts from the start of the process.
func (s *Simulator) Attempts() Attempts {
	return Attempts{
		Open: s.attempts[opOpen].Load(), Capture: s.attempts[opCapture].Load(),
		Cancel: s.attempts[opCancel].Load(), Refund: s.attempts[opRefund].Load(),
	}
}

type operation int

const (
	opOpen operation = iota
	opCapture
	opCancel
	opRefund
	operations
)

var operationNames = [operations]string{"open", "capture", "cancel", "refund"}

func operationOf(name string) operation {
	for i, n := range operationNames {
		if n == name {
			return operation(i)
		}
	}
	return -1
}

func noReplyLost() error { return nil }

// arrive counts a call and lets the outage have it. reply is to be called when the call was carried out: it says
// whether the answer gets through.
func (s *Simulator) arrive(ctx context.Context, op operation) (reply func() error, err error) {
	s.attempts[op].Add(1)
	f := s.fault.Load()
	if f == nil || f.Only != "" && f.Only != operationNames[op] {
		return noReplyLost, ctx.Err()
	}
	if f.Latency > 0 {
		if err := s.c.Sleep(ctx, f.Latency); err != nil {
			return nil, err
		}
	}
	if f.Rate == 0 || s.chance(f.Rate) {
		switch {
		case f.Down:
			return nil, fault.New(fault.PaymentProviderUnavailable, "the payment provider refuses connections")
		case f.Status == 429:
			return nil, fault.Wrap(fault.Throttled, &StatusError{f.Status}, "the payment provider is busy")
		case f.Status != 0:
			return nil, &StatusError{f.Status}
		case f.Hang:
			return nil, s.hang(ctx)
		}
	}
	return func() error {
		if s.chance(f.LoseReplies) {
			return errReplyLost
		}
		return nil
	}, nil
}

func (s *Simulator) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.Rand.Float64() < p
}
