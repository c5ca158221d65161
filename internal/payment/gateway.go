package payment

import (
	"context"
	"time"
)

// A Gateway is the payment provider. Its error kinds: fault.PaymentDeclined, it answered no, and nothing was captured;
// fault.PaymentProviderUnavailable and fault.Throttled, the call was certainly not carried out; any other error leaves
// open whether it was. All of it is safe to repeat.
type Gateway interface {
	// Open creates the intent to charge an order, once per order, and answers its id. No money moves.
	Open(ctx context.Context, in Intent) (intentID string, err error)
	// Capture moves the money, at most once per intent: a repeat answers the first receipt.
	Capture(ctx context.Context, intentID string) (Receipt, error)
	// Cancel is final: it answers the receipt of the capture that won, or promises that none will ever follow.
	Cancel(ctx context.Context, intentID string) (Cancellation, error)
	// Refund gives back what was captured, at most once per intent: a repeat answers the first receipt.
	// fault.PaymentDeclined if nothing was captured.
	Refund(ctx context.Context, intentID string) (Receipt, error)
}

// An Intent is what Open is asked for. The method is a name or a token, never a card's number.
type Intent struct {
	OrderID     string
	AmountCents int64
	Currency    string // ISO 4217, such as USD
	Method      string
}

// A Receipt is the provider's word that money moved.
type Receipt struct {
	IntentID    string
	AmountCents int64
	Currency    string
	At          time.Time
}

// A Cancellation is the answer of Cancel: Receipt is that of the capture, if there was one.
type Cancellation struct {
	Captured bool
	Receipt  Receipt
}

// A Ledger is the provider's own book: the judge of what moved.
type Ledger interface {
	// Ledger answers an order's entries, oldest first; none if the provider does not know the order.
	Ledger(ctx context.Context, orderID string) (LedgerView, error)
}

// A LedgerView is an order's page in the provider's book.
type LedgerView struct {
	CapturedCents int64         `json:"captured_cents"`
	RefundedCents int64         `json:"refunded_cents"`
	Entries       []LedgerEntry `json:"entries"`
}

// A LedgerEntry is one line of it. Types are open, capture, decline, cancel and refund; only capture and refund move money.
type LedgerEntry struct {
	Type        string    `json:"type"`
	AmountCents int64     `json:"amount_cents"`
	At          time.Time `json:"at"`
}
