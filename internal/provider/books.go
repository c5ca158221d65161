package provider

import (
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An Account is what the book says of one order: what the invariants on money are judged by.
type Account struct {
	OrderID       string
	Method        string
	AmountCents   int64 // of the intent
	Currency      string
	Captures      int // how many captures the ledger holds
	CapturedCents int64
	RefundedCents int64
	Cancelled     bool
	Pending       bool // a late capture is scheduled and its time has not come
	Entries       []payment.LedgerEntry
}

// PageQuery reads what the book has of one order.
func PageQuery(orderID string) store.Query { return store.Query{Table: Table, PK: orderID} }

// Books reads the accounts out of a consistent dump of the store: give Add every entry in the order of the dump (those
// of other tables are passed over), then call Close.
type Books struct {
	Now  time.Time // late captures that are due by then count, entered or not
	Each func(Account) error
	// Unreadable is told of a page that is none of ours: entries without an intent, an entry of an unknown name or type. nil: it is
	// the error of the Add, or the Close, that comes after the page.
	Unreadable func(orderID string, err error)

	orderID string
	items   map[string]store.Item
}

// Add takes the dump's next entry. An error is of the page before it, or of Each; the entry itself is kept.
func (b *Books) Add(e store.Entry) error {
	if e.Key.Table != Table {
		return nil
	}
	var err error
	if e.Key.PK != b.orderID {
		err = b.Close()
		b.orderID = e.Key.PK
	}
	if b.items == nil {
		b.items = make(map[string]store.Item, 4)
	}
	b.items[e.Key.SK] = e.Item
	return err
}

// Close hands on the last account.
func (b *Books) Close() error {
	if len(b.items) == 0 {
		return nil
	}
	account, err := foldAccount(b.orderID, b.items, b.Now)
	clear(b.items)
	switch {
	case err == nil:
		return b.Each(account)
	case b.Unreadable != nil:
		b.Unreadable(b.orderID, err)
		return nil
	}
	return err
}

// wellFormed reports whether the page holds what an order's page may hold.
func wellFormed(orderID string, items map[string]store.Item) error {
	if items[skIntent] == nil {
		return fmt.Errorf("provider: order %s has entries without an intent", orderID)
	}
	for sk, it := range items {
		kind, ok := it.Str("type"), false
		switch sk {
		case skIntent, skDue:
			ok = true
		case skOutcome:
			ok = kind == typeCapture || kind == typeDecline || kind == typeCancel
		case skRefund:
			ok = kind == typeRefund
		}
		if !ok {
			return fmt.Errorf("provider: order %s has an entry %q of the type %q", orderID, sk, kind)
		}
	}
	return nil
}

func foldAccount(orderID string, items map[string]store.Item, now time.Time) (Account, error) {
	if err := wellFormed(orderID, items); err != nil {
		return Account{}, err
	}
	a := openedAccount(orderID, items[skIntent])
	a.outcome, a.refund = items[skOutcome], items[skRefund]
	pending := false
	if due := items[skDue]; due != nil && a.outcome == nil {
		if pending = now.Before(entryTime(due)); !pending {
			a.outcome = entryItem(typeCapture, a.amountCents, entryTime(due))
		}
	}
	view := a.view()
	out := Account{
		OrderID: orderID, Method: a.method, AmountCents: a.amountCents, Currency: a.currency,
		CapturedCents: view.CapturedCents, RefundedCents: view.RefundedCents,
		Cancelled: a.outcome.Str("type") == typeCancel, Pending: pending, Entries: view.Entries,
	}
	for _, e := range view.Entries {
		if e.Type == typeCapture {
			out.Captures++
		}
	}
	return out, nil
}
