package inventory

import (
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// StageArchive stages the end of an order's hold, with its order. What it sold stays sold: the lines are added to each product's archived
// counter in the same commit, so sold = lines of committed holds + archived, before and after. It takes at most MaxLines + 1 operations.
// fault.OrderState: the hold is active. An order without a hold is no error.
func StageArchive(tx *store.Tx, orderID string) error {
	it, err := tx.Get(holdKey(orderID))
	if err != nil || it == nil {
		return err
	}
	h, err := DecodeHold(it)
	switch {
	case err != nil:
		return err
	case h.State == Active:
		return fault.New(fault.OrderState, "inventory: %s holds stock", orderID)
	}
	tx.Delete(holdKey(orderID))
	if h.State == Committed {
		for _, l := range h.Lines {
			tx.Add(stockKey(l.ProductID), []store.Delta{store.Inc(attrArchived, l.Quantity)}, store.Exists())
		}
	}
	return nil
}

// Holds reports whether the order has an active hold.
func Holds(tx *store.Tx, orderID string) (bool, error) {
	it, err := tx.Get(holdKey(orderID))
	return it.Str(attrState) == Active, err
}
