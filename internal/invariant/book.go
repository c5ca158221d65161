package invariant

import (
	"time"

	"github.com/utkarsh698/cloudflow/internal/provider"
)

// A ledger is what the provider's book says of an order at some time.
type ledger struct {
	known              bool // the order has an intent
	captures           int
	captured, refunded int64
	since              bool  // the capture came after the snapshot was begun
	amount             int64 // of the intent
	currency           string
}

// ledger reads the provider's book as of a time: a late capture that is due by then counts.
func (s *Snapshot) ledger(orderID string, now time.Time) ledger {
	if s.bookless() {
		return s.ownLedger(orderID)
	}
	a, known := s.book(now)[orderID]
	return ledger{
		known: known, captures: a.Captures, captured: a.CapturedCents, refunded: a.RefundedCents,
		since: capturedSince(a, now), amount: a.AmountCents, currency: a.Currency,
	}
}

// ownLedger is what our own row says of an order whose provider cannot be asked.
func (s *Snapshot) ownLedger(orderID string) ledger {
	row, known := s.payments[orderID]
	l := ledger{known: known, captured: row.CapturedCents, refunded: row.RefundedCents, amount: row.AmountCents, currency: row.Currency}
	if l.captured != 0 {
		l.captures = 1
	}
	return l
}

func (s *Snapshot) book(now time.Time) map[string]provider.Account {
	if book, ok := s.accounts[now]; ok {
		return book
	}
	book := map[string]provider.Account{}
	reader := provider.Books{
		Now:        now,
		Each:       func(a provider.Account) error { book[a.OrderID] = a; return nil },
		Unreadable: func(orderID string, err error) { s.illegible[orderID] = err },
	}
	for _, e := range s.pages {
		_ = reader.Add(e) // Each never fails, and Unreadable has heard of the rest
	}
	_ = reader.Close()
	s.accounts[now] = book
	return book
}

// forever is after every late capture: at rest, even those that have not come yet count.
func (s *Snapshot) forever() time.Time { return time.Unix(1<<40, 0).UTC() }

// charged are the orders that the provider has captured money for before the snapshot was begun.
func (s *Snapshot) charged(taken time.Time) []string {
	book := s.book(s.forever())
	var ids []string
	for _, id := range sortedKeys(book) {
		if a := book[id]; a.Captures > 0 && !capturedSince(a, taken) {
			ids = append(ids, id)
		}
	}
	return ids
}

// capturedSince tells a capture that came after the snapshot was begun: the provider's dump is the later one, and what was written
// between the two is not in ours. Times are in milliseconds.
func capturedSince(a provider.Account, taken time.Time) bool {
	for _, e := range a.Entries {
		if e.Type == "capture" && e.At.UnixMilli() >= taken.UnixMilli() {
			return true
		}
	}
	return false
}
