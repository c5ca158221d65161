package inventory

import (
	"strings"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// For who reads the whole tables where nothing can be scanned: every product stands in the list of products, every active hold in a list by its age, and
// a hold where its order's id says.

// ProductsQuery reads the list of products, whose sort keys are their ids.
func ProductsQuery() store.Query { return store.Query{Table: Table, PK: productsPK} }

// ProductKey is where a product's name and price stand.
func ProductKey(id string) store.Key { return productKey(id) }

// StockKey is where a product's counters stand.
func StockKey(id string) store.Key { return stockKey(id) }

// HoldKey is where an order's hold stands.
func HoldKey(orderID string) store.Key { return holdKey(orderID) }

// ActiveQueries read the active holds, the oldest first in each partition.
func ActiveQueries() []store.Query {
	all := make([]store.Query, activeShards)
	for n := range all {
		all[n] = store.Query{Table: ReservationsTable, PK: activePartition(n)}
	}
	return all
}

// ActiveHold is the order whose active hold an entry of ReservationsTable lists.
func ActiveHold(k store.Key) (orderID string, ok bool) {
	if !strings.HasPrefix(k.PK, activePrefix) {
		return "", false
	}
	_, orderID, _ = strings.Cut(k.SK, "#")
	return orderID, true
}
