// Package inventory keeps the catalogue and its stock, and holds stock for orders.
//
// It promises: per product, what came in is what is available, held or sold; nothing is held that is not there; an order holds all of
// its lines or none. Each order has one hold item, and the item's state is what makes a repeated, reordered or late
// task harmless:
//
//	          reserve            commit
//	(absent) ---------> ACTIVE ----------> COMMITTED   the stock is sold
//	   |                   |
//	   | release           | release
//	   v                   v
//	TOMBSTONE           RELEASED                       refuse every later reserve and commit
//
// It refuses, with a kind of its own: to hold what is short (fault.InsufficientStock) or unknown (fault.UnknownProduct), to hold or sell for
// an order whose stock was given back (fault.HoldReleased), to take back what is sold (fault.OrderState).
//
// Counters move by Add with a floor only, and no task reads the stock item: any number of orders for one product commit
// without a conflict. Name and price are another item. A crash leaves whole commits: hold, index and every counter of an order move
// together. A hold's age never releases it; Expire asks for the order's outcome.
package inventory

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Config of a Service. Store and Now are required; Outcomes for Expire only.
type Config struct {
	Store    store.Store
	Outcomes Outcomes
	Now      func() time.Time
	Log      *slog.Logger
}

// A Service is the inventory service. It is safe for concurrent use and starts no goroutine.
type Service struct {
	store    store.Store
	outcomes Outcomes
	now      func() time.Time
	log      *slog.Logger

	mu     sync.Mutex
	resume [activeShards]string // where the next Expire goes on in each shard; "" at its beginning
}

// New returns the service. It neither reads nor writes the store.
func New(c Config) *Service {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store:    c.Store,
		outcomes: c.Outcomes,
		now:      c.Now,
		log:      c.Log.With("service", "inventory_service.handler"),
	}
}

// The tables. In Table a product's partition is its id, with the items "product" and "stock"; in ReservationsTable a hold's
// partition is its order's id, with the item "hold". The partitions of the indexes have a '#' in their names, which no id has: a product may
// be called "products".
const (
	Table             = "inventory"
	ReservationsTable = "reservations"
)

const (
	productSK = "product"
	stockSK   = "stock"
	holdSK    = "hold"

	productsPK   = "products#" // the list of all products, SK product id
	activePrefix = "active#"   // the active holds by age, SK "<created, ms>#<order id>"
	activeShards = 16          // one partition of a distributed store would be hot
)

// The bounds of what is asked for. They are the API's; the sums of a product stay far below what JSON numbers carry (2^53).
const (
	MaxLines          = 50
	MaxQuantity       = 10_000 // of a line
	MaxUnitPriceCents = 99_999_999
	MaxStock          = 100_000_000       // at creation, and of one restock
	MaxTotalStock     = 1_000_000_000_000 // of a product, all that ever came in
	MaxNameLength     = 200               // characters
	maxIDLength       = 64
)

func productKey(id string) store.Key { return store.Key{Table: Table, PK: id, SK: productSK} }
func stockKey(id string) store.Key   { return store.Key{Table: Table, PK: id, SK: stockSK} }
func listKey(id string) store.Key    { return store.Key{Table: Table, PK: productsPK, SK: id} }

func holdKey(orderID string) store.Key {
	return store.Key{Table: ReservationsTable, PK: orderID, SK: holdSK}
}

// activeKey is the hold's place among the active ones of its shard, the oldest first.
func activeKey(orderID string, createdMilli int64) store.Key {
	return store.Key{Table: ReservationsTable, PK: activePartition(shard(orderID)), SK: ageKey(createdMilli) + "#" + orderID}
}

func activePartition(n int) string {
	return activePrefix + string([]byte{byte('0' + n/10), byte('0' + n%10)})
}

// ageKey is a time as 13 digits, which sort as the times do until the year 2286.
func ageKey(milli int64) string {
	const digits = "0000000000000"
	s := strconv.FormatInt(max(milli, 0), 10)
	return digits[:max(len(digits)-len(s), 0)] + s
}

func shard(id string) int {
	h := uint32(2166136261) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % activeShards)
}

// reservationID is the reservation's id: the order's ULID under another prefix, since an order has one reservation.
func reservationID(orderID string) string { return "res-" + strings.TrimPrefix(orderID, "ord-") }

// validID reports whether the text may be an id: 1 to 64 of [A-Za-z0-9._-].
func validID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return id != "" && len(id) <= maxIDLength
}

// invalid is fault.ValidationFailed of the field; rule ends the sentence that the field begins.
func invalid(field, rule string) error {
	return fault.New(fault.ValidationFailed, "%s %s.", field, rule).With("field", field)
}

// info reports what a task has committed.
func (s *Service) info(ctx context.Context, message string, r Request, id string) {
	s.log.LogAttrs(ctx, slog.LevelInfo, message,
		slog.String("order_id", r.OrderID),
		slog.String("reservation_id", id),
		slog.String("correlation_id", r.CorrelationID))
}
