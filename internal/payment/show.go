package payment

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A View is a payment as an operator sees it: our row, and beside it the provider's own book.
type View struct {
	OrderID       string     `json:"order_id"`
	Status        string     `json:"status"` // of our row; NONE if there is none
	PaymentID     string     `json:"payment_id,omitempty"`
	CapturedCents int64      `json:"captured_cents"`
	RefundedCents int64      `json:"refunded_cents"`
	Provider      LedgerView `json:"provider"`
}

// Show is an order's payment. fault.NotFound if neither we nor the provider know of one; fault.Unavailable if the store or the
// provider's book cannot be read.
func (s *Service) Show(ctx context.Context, orderID string) (View, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.HandlerTimeout)
	defer cancel()
	row, err := s.read(ctx, orderID)
	if err != nil {
		return View{}, err
	}
	ledger, err := s.c.Ledger.Ledger(ctx, orderID)
	if err != nil {
		return View{}, fault.Wrap(fault.Unavailable, err, "the payment provider's book cannot be read")
	}
	if row.State == "" {
		if len(ledger.Entries) == 0 {
			return View{}, fault.New(fault.NotFound, "no payment of this order")
		}
		return View{OrderID: orderID, Status: "NONE", Provider: ledger}, nil
	}
	return View{
		OrderID: orderID, Status: string(row.State), PaymentID: row.PaymentID,
		CapturedCents: row.CapturedCents, RefundedCents: row.RefundedCents, Provider: ledger,
	}, nil
}
