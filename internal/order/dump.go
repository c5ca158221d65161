package order

import (
	"strings"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// In a dump of Table the orders stand together, in the order in which they were created: their ids are ULIDs behind one prefix. An order's
// contact comes first, then its events by version, perhaps a failure that it brought along, then its head. The lists stand before and behind them.

// IDPrefix begins the id of every order, and no name of a list.
const IDPrefix = "ord-"

// IsOrders reports whether an item of Table is a part of an order, and not of a list.
func IsOrders(k store.Key) bool { return strings.HasPrefix(k.PK, IDPrefix) }

// IsHead reports whether an item of Table is the head of an order.
func IsHead(k store.Key) bool { return k.SK == headSK && IsOrders(k) }

// HeadKey is where an order's head stands.
func HeadKey(id string) store.Key { return headKey(id) }
