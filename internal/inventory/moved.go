package inventory

import (
	"strings"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// In a shop that moves to another store the expirer of the new place is awake: a hold that it finds before the hold's order has come would
// be given back. So the rows that it goes by come last, apart from all else.

// Aging is the order of a row of ReservationsTable by which the expirer finds an active hold. false: the item is no such row.
func Aging(k store.Key) (orderID string, ok bool) {
	if list, _, _ := strings.Cut(k.PK, "#"); list != "active" {
		return "", false
	}
	_, orderID, ok = strings.Cut(k.SK, "#")
	return orderID, ok
}

// StageAging stages the row of an order's hold among the active ones, if its hold is one here: it may have ended since the row was read.
func StageAging(tx *store.Tx, row store.Entry) error {
	orderID, ok := Aging(row.Key)
	if !ok {
		return nil
	}
	held, err := Holds(tx, orderID)
	if err == nil && held {
		tx.Put(row.Key, row.Item)
	}
	return err
}
