package inventory

import "github.com/utkarsh698/cloudflow/internal/store"

// In a shop that moves to another store the expirer of the new place is awake: a hold that it finds before the hold's order has come would
// be given back. So the rows that it goes by come last, apart from all else.

// StageAging stages the row of an order's hold among the active ones, if its hold is one here: it may have ended since the row was read.
func StageAging(tx *store.Tx, row store.Entry) error {
	orderID, ok := ActiveHold(row.Key)
	if !ok {
		return nil
	}
	held, err := Holds(tx, orderID)
	if err == nil && held {
		tx.Put(row.Key, row.Item)
	}
	return err
}
