package provider

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table is the simulator's book. An order is a partition of at most four items, each written once: its intent, the
// time at which a late capture is due, its outcome, its refund.
const Table = "provider-intents"

const (
	skIntent  = "intent"
	skDue     = "due"
	skOutcome = "outcome"
	skRefund  = "refund"
)

// The types of ledger entries, as payment.LedgerEntry has them.
const (
	typeOpen    = "open"
	typeCapture = "capture"
	typeDecline = "decline"
	typeCancel  = "cancel"
	typeRefund  = "refund"
)

func key(orderID, sk string) store.Key { return store.Key{Table: Table, PK: orderID, SK: sk} }

// An account is an order's page of the book, read.
type account struct {
	orderID     string
	amountCents int64
	currency    string
	method      string
	opened      time.Time
	due         time.Time // zero unless a late capture is scheduled
	outcome     store.Item
	refund      store.Item
}

func (a account) receipt(entry store.Item) payment.Receipt {
	return payment.Receipt{
		IntentID: intentID(a.orderID), AmountCents: entry.Int("amount_cents"), Currency: a.currency, At: entryTime(entry),
	}
}

// captureReceipt is the answer to a capture of an intent that has its outcome.
func (a account) captureReceipt() (payment.Receipt, error) {
	switch a.outcome.Str("type") {
	case typeCapture:
		return a.receipt(a.outcome), nil
	case typeCancel:
		return payment.Receipt{}, fault.New(fault.PaymentDeclined, "the payment was cancelled before it was captured")
	default:
		return payment.Receipt{}, fault.New(fault.PaymentDeclined, "the card was declined")
	}
}

func (a account) view() payment.LedgerView {
	v := payment.LedgerView{Entries: make([]payment.LedgerEntry, 0, 3)}
	v.Entries = append(v.Entries, payment.LedgerEntry{Type: typeOpen, AmountCents: a.amountCents, At: a.opened})
	for _, entry := range []store.Item{a.outcome, a.refund} {
		if entry == nil {
			continue
		}
		e := payment.LedgerEntry{Type: entry.Str("type"), AmountCents: entry.Int("amount_cents"), At: entryTime(entry)}
		v.Entries = append(v.Entries, e)
		switch e.Type {
		case typeCapture:
			v.CapturedCents += e.AmountCents
		case typeRefund:
			v.RefundedCents += e.AmountCents
		}
	}
	return v
}

func entryTime(entry store.Item) time.Time { return time.UnixMilli(entry.Int("at")).UTC() }

func entryItem(kind string, amountCents int64, at time.Time) store.Item {
	return store.Item{store.S("type", kind), store.N("amount_cents", amountCents), store.N("at", at.UnixMilli())}
}

// A decision stages an account's next entry, and changes the account as it then is.
type decision func(tx *store.Tx, a *account)

// maxRaces bounds how often a move is decided again because another call wrote the outcome first: an outcome and a refund
// can each be lost to once.
const maxRaces = 3

// move reads the order's page, lets decide stage the next entry, and commits it. first: this call wrote an outcome.
// What is read here is written once, so a stale read is caught by the entry's own condition, that it is absent.
func (s *Simulator) move(ctx context.Context, id string, decide decision) (a account, first bool, err error) {
	orderID, err := orderOf(id)
	if err != nil {
		return account{}, false, err
	}
	for range maxRaces {
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			var err error
			if a, err = read(tx, orderID); err != nil {
				return err
			}
			had := a.outcome != nil
			decide(tx, &a)
			first = !had && a.outcome != nil
			return nil
		})
		if store.RefusalOf(err) == nil {
			return a, first, err
		}
	}
	return account{}, false, fault.Wrap(fault.Transient, err, "the intent is being changed")
}

func read(tx *store.Tx, orderID string) (account, error) {
	it, err := tx.Peek(key(orderID, skIntent))
	if err != nil {
		return account{}, err
	}
	if it == nil {
		return account{}, fault.New(fault.NotFound, "no such intent")
	}
	a := openedAccount(orderID, it)
	if a.outcome, err = tx.Peek(key(orderID, skOutcome)); err != nil {
		return account{}, err
	}
	if a.outcome != nil {
		a.refund, err = tx.Peek(key(orderID, skRefund))
		return a, err
	}
	if a.method == Late {
		due, err := tx.Peek(key(orderID, skDue))
		if err != nil {
			return account{}, err
		}
		if due != nil {
			a.due = entryTime(due)
		}
	}
	return a, nil
}

func openedAccount(orderID string, it store.Item) account {
	return account{
		orderID: orderID, amountCents: it.Int("amount_cents"), currency: it.Str("currency"),
		method: it.Str("method"), opened: entryTime(it),
	}
}

func (s *Simulator) decideCapture(tx *store.Tx, a *account) {
	if s.decideLate(tx, a); a.outcome != nil {
		return
	}
	now := s.c.Now()
	switch a.method {
	case Visa, TimeoutCharged, Slow:
		a.conclude(tx, typeCapture, a.amountCents, now)
	case ChargeDeclined:
		a.conclude(tx, typeDecline, 0, now)
	case Late:
		if a.due.IsZero() {
			a.due = now.Add(s.c.LateAfter)
			tx.Put(key(a.orderID, skDue), store.Item{store.N("at", a.due.UnixMilli())}, store.Absent())
		}
	}
}

func (s *Simulator) decideCancel(tx *store.Tx, a *account) {
	if s.decideLate(tx, a); a.outcome == nil {
		a.conclude(tx, typeCancel, 0, s.c.Now())
	}
}

func (s *Simulator) decideRefund(tx *store.Tx, a *account) {
	if s.decideLate(tx, a); a.outcome.Str("type") != typeCapture || a.refund != nil {
		return
	}
	a.refund = entryItem(typeRefund, a.outcome.Int("amount_cents"), s.c.Now())
	tx.Put(key(a.orderID, skRefund), a.refund, store.Absent())
}

// decideLate enters a late capture whose time has come. It is dated when it was due: that is when the money moved.
func (s *Simulator) decideLate(tx *store.Tx, a *account) {
	if a.outcome == nil && !a.due.IsZero() && !s.c.Now().Before(a.due) {
		a.conclude(tx, typeCapture, a.amountCents, a.due)
	}
}

func (a *account) conclude(tx *store.Tx, kind string, amountCents int64, at time.Time) {
	a.outcome = entryItem(kind, amountCents, at)
	tx.Put(key(a.orderID, skOutcome), a.outcome, store.Absent())
}
