package order

import (
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A caller with a limit (PlaceRequest.OpenLimit) has a counter of its open orders: those whose saga has not come to its end, and which so
// hold stock or may do so. It moves with the row in the index of open orders and in the same commit, so that it is neither lost nor counted
// twice: the row names its holder, and whoever deletes the row gives the place back. It only moves by Add, so that a caller's orders never
// conflict with each other. It is never deleted: an Add cannot know that it leaves nothing, and a caller is a few bytes.

const (
	attrHolder = "holder" // of an open order's row: who is counted for it; absent if nobody is
	attrOpen   = "open"   // of a holder's counter
)

func holderKey(caller string) store.Key {
	return store.Key{Table: Table, PK: "holder#" + caller, SK: "open"}
}

// stageOpen stages the order's row among the open ones, and takes one of its caller's places if these are limited:
// fault.TooManyOpenOrders. The look is advice that saves a commit; the condition on the Add decides, and its refusal is read by outOfPlaces.
func stageOpen(tx *store.Tx, n newOrder, since store.Attr) error {
	row := store.Item{since}
	if limit := int64(n.request.OpenLimit); limit > 0 {
		key := holderKey(n.request.Principal)
		counter, err := tx.Peek(key)
		if err != nil {
			return err
		}
		fits := store.Below(attrOpen, limit)
		switch {
		case counter == nil:
			fits = store.Absent()
		case counter.Int(attrOpen) >= limit:
			return tooManyOpen(limit)
		}
		tx.Add(key, []store.Delta{store.Inc(attrOpen, 1)}, fits)
		row = append(row, store.S(attrHolder, n.request.Principal))
	}
	tx.Put(openKey(n.id), row)
	return nil
}

// outOfPlaces is what a refused commit of a new order means: fault.TooManyOpenOrders if the caller's places are taken, fault.Transient if
// its counter was made between the look and the commit, so that it has to be looked at again; else the error as it is.
func outOfPlaces(err error, n newOrder) error {
	refusal := store.RefusalOf(err)
	limit := int64(n.request.OpenLimit)
	switch {
	case refusal == nil || limit == 0 || refusal.Key != holderKey(n.request.Principal):
		return err
	case refusal.Item.Int(attrOpen) >= limit:
		return tooManyOpen(limit)
	}
	return fault.Wrap(fault.Transient, err, "the first open order of the caller was stored at the same moment")
}

// stageClosed deletes the order's row among the open ones, and gives its holder the place back. If the row is gone already it stages
// nothing: its task was repeated.
func stageClosed(tx *store.Tx, id string) error {
	row, err := tx.Get(openKey(id))
	if err != nil || row == nil {
		return err
	}
	tx.Delete(openKey(id))
	if holder := row.Str(attrHolder); holder != "" {
		tx.Add(holderKey(holder), []store.Delta{store.Inc(attrOpen, -1)})
	}
	return nil
}

// stageReopened puts the row of a resumed order back if its saga had come to its end before it failed; else it stands there, and its
// holder is counted.
func stageReopened(tx *store.Tx, id string, since store.Attr) error {
	row, err := tx.Get(openKey(id))
	if err != nil {
		return err
	}
	tx.Put(openKey(id), row.With(since))
	return nil
}

// An OpenRow is an order's row among the open ones, for who checks the books.
type OpenRow struct{ Holder string } // "" if nobody is counted for it

// DecodeOpenRow reads such a row.
func DecodeOpenRow(it store.Item) OpenRow { return OpenRow{Holder: it.Str(attrHolder)} }

// OpenCount is how many open orders a holder's counter says.
func OpenCount(it store.Item) int64 { return it.Int(attrOpen) }

func tooManyOpen(limit int64) error {
	return fault.New(fault.TooManyOpenOrders, "This caller has %d open orders, as many as it may have. Try again when one has ended.", limit).
		With("limit", limit)
}
