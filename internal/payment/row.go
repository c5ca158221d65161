package payment

import (
	"fmt"
	"strconv"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table holds one row an order.
const Table = "payments"

const sortKey = "payment"

// Key is the key of an order's row.
func Key(orderID string) store.Key { return store.Key{Table: Table, PK: orderID, SK: sortKey} }

// State of a payment.
type State string

// The states. CAPTURING, CANCELLING and REFUNDING are intents: what the provider did is not yet known here.
const (
	Capturing  State = "CAPTURING"
	Captured   State = "CAPTURED"
	Declined   State = "DECLINED" // the provider answered no
	Refused    State = "REFUSED"  // given up before there was an intent: a charge that comes late is refused
	Cancelling State = "CANCELLING"
	Cancelled  State = "CANCELLED" // given up, and the provider promised that no capture will follow
	Refunding  State = "REFUNDING"
	Refunded   State = "REFUNDED"
)

// A Row is an order's payment as it is stored. Times are Unix milliseconds, 0 for never. The zero Row stands for none.
type Row struct {
	OrderID       string
	PaymentID     string
	State         State
	Epoch         int64  // raised by each takeover; every write is conditional on it
	Attempt       string // who holds the row until LeaseUntil
	LeaseUntil    int64
	IntentID      string // the provider's
	AmountCents   int64
	Currency      string
	CapturedCents int64
	CapturedAt    int64
	RefundedCents int64
	RefundedAt    int64
	Reason        string // of a decline
	CorrelationID string
	CreatedAt     int64
	UpdatedAt     int64
}

// DecodeRow reads a row from its entry in the table.
func DecodeRow(e store.Entry) (Row, error) { return decodeRow(e.Key.PK, e.Item) }

func (s *Service) newRow(c Charge, state State) Row {
	now := s.c.Now().UnixMilli()
	return Row{
		OrderID: c.OrderID, PaymentID: idOf(c.OrderID), State: state, Epoch: 1, Attempt: c.Attempt,
		AmountCents: c.AmountCents, Currency: c.Currency, CorrelationID: c.CorrelationID, CreatedAt: now, UpdatedAt: now,
	}
}

// takenOver is the row in the hands of c's attempt.
func (s *Service) takenOver(r Row, c Charge, state State) Row {
	r.State, r.Attempt = state, c.Attempt
	r.Epoch++
	r.LeaseUntil = s.c.Now().Add(s.c.Lease).UnixMilli()
	return r
}

// captured is the row after the provider's receipt. fault.PaymentMismatch if it is over something else.
func (r Row) captured(receipt Receipt) (Row, error) {
	if err := r.matches(receipt, r.AmountCents); err != nil {
		return Row{}, err
	}
	r.State, r.LeaseUntil = Captured, 0
	r.CapturedCents, r.CapturedAt = receipt.AmountCents, receipt.At.UnixMilli()
	return r, nil
}

// refunded is the row after the provider's receipt of a refund. fault.PaymentMismatch if it is over something else.
func (r Row) refunded(receipt Receipt) (Row, error) {
	if err := r.matches(receipt, r.CapturedCents); err != nil {
		return Row{}, err
	}
	r.State, r.LeaseUntil = Refunded, 0
	r.RefundedCents, r.RefundedAt = receipt.AmountCents, receipt.At.UnixMilli()
	return r, nil
}

func (r Row) matches(receipt Receipt, amountCents int64) error {
	if receipt.IntentID == r.IntentID && receipt.AmountCents == amountCents && receipt.Currency == r.Currency {
		return nil
	}
	return fault.New(fault.PaymentMismatch, "the provider's receipt for intent %s is over %d %s, not over %d %s of intent %s",
		receipt.IntentID, receipt.AmountCents, receipt.Currency, amountCents, r.Currency, r.IntentID)
}

// agrees is fault.PaymentMismatch if the row is about other money than the charge.
func (r Row) agrees(c Charge) error {
	if r.AmountCents == c.AmountCents && r.Currency == c.Currency {
		return nil
	}
	return fault.New(fault.PaymentMismatch, "the payment is over %d %s, the order over %d %s", r.AmountCents, r.Currency, c.AmountCents, c.Currency)
}

// leasedToAnother reports whether an attempt other than c's holds the row. The same attempt again is one that crashed: it need not wait for itself.
// One that would hold it for more than two leases has seen the clock set back by more than the clocks of two machines differ, and may be dead. If it is
// not, its writes fail by their epoch, and the provider knows a call that is made twice.
func (s *Service) leasedToAnother(r Row, c Charge) bool {
	left := r.LeaseUntil - s.c.Now().UnixMilli()
	return left > 0 && left <= 2*s.c.Lease.Milliseconds() && (c.Attempt == "" || r.Attempt != c.Attempt)
}

// stands are the conditions under which the row is still the one that was read.
func (r Row) stands() []store.Cond {
	if r.State == "" {
		return []store.Cond{store.Absent()}
	}
	return []store.Cond{store.Equal(store.N("epoch", r.Epoch)), store.Equal(store.S("state", string(r.State)))}
}

func (r Row) item() store.Item {
	it := make(store.Item, 0, 16)
	it = append(it,
		store.S("payment_id", r.PaymentID),
		store.S("state", string(r.State)),
		store.N("epoch", r.Epoch),
		store.S("attempt", r.Attempt),
		store.N("lease_until", r.LeaseUntil),
		store.N("amount_cents", r.AmountCents),
		store.S("currency", r.Currency),
		store.S("correlation_id", r.CorrelationID),
		store.N("created_at", r.CreatedAt),
		store.N("updated_at", r.UpdatedAt),
	)
	if r.IntentID != "" {
		it = append(it, store.S("intent_id", r.IntentID))
	}
	if r.CapturedAt != 0 || r.CapturedCents != 0 { // a receipt may be dated 1970
		it = append(it, store.N("captured_cents", r.CapturedCents), store.N("captured_at", r.CapturedAt))
	}
	if r.RefundedAt != 0 || r.RefundedCents != 0 {
		it = append(it, store.N("refunded_cents", r.RefundedCents), store.N("refunded_at", r.RefundedAt))
	}
	if r.Reason != "" {
		it = append(it, store.S("reason", r.Reason))
	}
	return it
}

func decodeRow(orderID string, it store.Item) (Row, error) {
	if it == nil {
		return Row{}, nil
	}
	r := Row{OrderID: orderID}
	for _, a := range it {
		switch a.Name {
		case "payment_id":
			r.PaymentID = a.Value.Text()
		case "state":
			r.State = State(a.Value.Text())
		case "epoch":
			r.Epoch = a.Value.Int()
		case "attempt":
			r.Attempt = a.Value.Text()
		case "lease_until":
			r.LeaseUntil = a.Value.Int()
		case "intent_id":
			r.IntentID = a.Value.Text()
		case "amount_cents":
			r.AmountCents = a.Value.Int()
		case "currency":
			r.Currency = a.Value.Text()
		case "captured_cents":
			r.CapturedCents = a.Value.Int()
		case "captured_at":
			r.CapturedAt = a.Value.Int()
		case "refunded_cents":
			r.RefundedCents = a.Value.Int()
		case "refunded_at":
			r.RefundedAt = a.Value.Int()
		case "reason":
			r.Reason = a.Value.Text()
		case "correlation_id":
			r.CorrelationID = a.Value.Text()
		case "created_at":
			r.CreatedAt = a.Value.Int()
		case "updated_at":
			r.UpdatedAt = a.Value.Int()
		}
	}
	switch r.State {
	case Capturing, Captured, Declined, Refused, Cancelling, Cancelled, Refunding, Refunded:
		return r, nil
	}
	return Row{}, fmt.Errorf("payment: the row of order %s has the state %q, which is none of a payment's", orderID, r.State)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
