package order

import (
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The attributes of a head. It is rewritten with every append, so what is not set is not written, and the lines stay in
// ORDER_CREATED.
const (
	attrStatus          = "status"
	attrVersion         = "version"
	attrHash            = "hash"
	attrCreated         = "created_ms"
	attrUpdated         = "updated_ms"
	attrCustomer        = "customer_id"
	attrTotal           = "total_cents"
	attrCurrency        = "currency"
	attrMethod          = "payment_method"
	attrCorrelation     = "correlation_id"
	attrReserved        = "reserved"
	attrRejected        = "stock_rejected"
	attrCharged         = "charged"
	attrPaymentFailed   = "payment_failed"
	attrRefunded        = "refunded"
	attrReleased        = "released"
	attrCancelRequested = "cancel_requested"
	attrNeedsReview     = "needs_review"
	attrRedrives        = "redrives"
	attrTerminal        = "terminal_version"
)

// item is the head that projects the state.
func (s *State) item() store.Item {
	it := make(store.Item, 0, 16)
	it = append(it,
		store.S(attrStatus, s.Status),
		store.N(attrVersion, s.Version),
		store.S(attrHash, s.Hash),
		store.N(attrCreated, s.CreatedAt.UnixMilli()),
		store.N(attrUpdated, s.UpdatedAt.UnixMilli()),
		store.S(attrCustomer, s.CustomerID),
		store.N(attrTotal, s.TotalCents),
		store.S(attrCurrency, s.Currency),
		store.S(attrMethod, s.PaymentMethod),
		store.S(attrCorrelation, s.CorrelationID))
	flag := func(name string, set bool) {
		if set {
			it = append(it, store.Bool(name, true))
		}
	}
	text := func(name, v string) {
		if v != "" {
			it = append(it, store.S(name, v))
		}
	}
	count := func(name string, n int64) {
		if n != 0 {
			it = append(it, store.N(name, n))
		}
	}
	flag(attrReserved, s.Reserved)
	text(attrRejected, s.StockRejected)
	flag(attrCharged, s.Charged)
	text(attrPaymentFailed, s.PaymentFailed)
	flag(attrRefunded, s.Refunded)
	flag(attrReleased, s.Released)
	flag(attrCancelRequested, s.CancelRequested)
	flag(attrNeedsReview, s.NeedsReview)
	count(attrRedrives, s.Redrives)
	count(attrTerminal, s.TerminalVersion)
	return it
}

// DecodeHead reads an order's head. It must equal the fold of the order's log: verify compares the two.
func DecodeHead(it store.Item) (State, error) {
	var s State
	for i := range it {
		v := it[i].Value
		switch it[i].Name {
		case attrStatus:
			s.Status = v.Text()
		case attrVersion:
			s.Version = v.Int()
		case attrHash:
			s.Hash = v.Text()
		case attrCreated:
			s.CreatedAt = time.UnixMilli(v.Int()).UTC()
		case attrUpdated:
			s.UpdatedAt = time.UnixMilli(v.Int()).UTC()
		case attrCustomer:
			s.CustomerID = v.Text()
		case attrTotal:
			s.TotalCents = v.Int()
		case attrCurrency:
			s.Currency = v.Text()
		case attrMethod:
			s.PaymentMethod = v.Text()
		case attrCorrelation:
			s.CorrelationID = v.Text()
		case attrReserved:
			s.Reserved = v.Int() == 1
		case attrRejected:
			s.StockRejected = v.Text()
		case attrCharged:
			s.Charged = v.Int() == 1
		case attrPaymentFailed:
			s.PaymentFailed = v.Text()
		case attrRefunded:
			s.Refunded = v.Int() == 1
		case attrReleased:
			s.Released = v.Int() == 1
		case attrCancelRequested:
			s.CancelRequested = v.Int() == 1
		case attrNeedsReview:
			s.NeedsReview = v.Int() == 1
		case attrRedrives:
			s.Redrives = v.Int()
		case attrTerminal:
			s.TerminalVersion = v.Int()
		}
	}
	if s.Version < 1 || s.Status == "" || len(s.Hash) != 64 {
		return State{}, fault.New(fault.Internal, "an order's head without a version, a status or a hash")
	}
	return s, nil
}
