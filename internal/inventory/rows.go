package inventory

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Hold is what an order's hold item says.
type Hold struct {
	State         string // Active, Released, Committed or Tombstone
	ReservationID string
	Lines         []Line // merged, by product id; none of a tombstone
	CreatedAt     time.Time
	CorrelationID string
}

// The states of a hold.
const (
	Active    = "ACTIVE"    // its lines are held
	Released  = "RELEASED"  // its lines were given back
	Committed = "COMMITTED" // its lines are sold
	Tombstone = "TOMBSTONE" // released before it was reserved: it never held anything
)

// The attributes of a hold.
const (
	attrState         = "state"
	attrReservationID = "reservation_id"
	attrLines         = "lines" // JSON: [{"product_id","quantity"}], by product id
	attrCreatedAt     = "created_at_ms"
	attrEndedAt       = "ended_at_ms"
	attrCorrelationID = "correlation_id"
)

// DecodeHold reads a hold from its item, which is not nil. An item that no version of this package wrote is fault.Internal.
func DecodeHold(it store.Item) (Hold, error) {
	h := Hold{
		State:         it.Str(attrState),
		ReservationID: it.Str(attrReservationID),
		CreatedAt:     time.UnixMilli(it.Int(attrCreatedAt)).UTC(),
		CorrelationID: it.Str(attrCorrelationID),
	}
	switch h.State {
	case Active, Released, Committed:
	case Tombstone:
		return h, nil
	default:
		return Hold{}, fault.New(fault.Internal, "inventory: a hold in the state %q", h.State)
	}
	if err := json.Unmarshal([]byte(it.Str(attrLines)), &h.Lines); err != nil || len(h.Lines) == 0 {
		return Hold{}, fault.Wrap(fault.Internal, err, "inventory: the lines of a hold, %q", it.Str(attrLines))
	}
	return h, nil
}

// encodeLines writes lines as a hold item keeps them: equal lines have equal texts.
func encodeLines(lines []Line) string {
	text := make([]byte, 0, 48*len(lines)+2)
	text = append(text, '[')
	for i, l := range lines {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, `{"product_id":`...)
		text = jcs.AppendString(text, l.ProductID)
		text = append(text, `,"quantity":`...)
		text = strconv.AppendInt(text, l.Quantity, 10)
		text = append(text, '}')
	}
	return string(append(text, ']'))
}

// merge checks the lines and returns them by product id, one for each product.
func merge(lines []Line) ([]Line, error) {
	if len(lines) == 0 || len(lines) > MaxLines {
		return nil, invalid("lines", "must be 1 to "+strconv.Itoa(MaxLines))
	}
	merged := true
	for i, l := range lines {
		if !validID(l.ProductID) {
			return nil, invalid("product_id", "must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"")
		}
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			return nil, invalid("quantity", "must be from 1 to "+strconv.Itoa(MaxQuantity))
		}
		merged = merged && (i == 0 || lines[i-1].ProductID < l.ProductID)
	}
	if merged {
		return lines, nil
	}
	sorted := slices.Clone(lines)
	slices.SortFunc(sorted, func(a, b Line) int { return strings.Compare(a.ProductID, b.ProductID) })
	out := sorted[:1]
	for _, l := range sorted[1:] {
		if last := &out[len(out)-1]; last.ProductID == l.ProductID {
			last.Quantity += l.Quantity
		} else {
			out = append(out, l)
		}
	}
	return out, nil
}

// A Stock is what a product's stock item says, in pieces: Initial + Restocked = Available + Held + Sold.
type Stock struct {
	Initial   int64 // at creation
	Restocked int64 // since
	Available int64
	Held      int64
	Sold      int64
	Archived  int64 // of Sold: the lines of holds that were deleted with their orders
}

// The attributes of a stock item.
const (
	attrInitial   = "initial"
	attrRestocked = "restocked"
	attrAvailable = "available"
	attrHeld      = "held"
	attrSold      = "sold"
	attrArchived  = "archived" // absent until there is something
)

// DecodeStock reads a stock item, which is not nil. An item that lacks a counter is fault.Internal.
func DecodeStock(it store.Item) (Stock, error) {
	var st Stock
	for _, c := range []struct {
		name string
		to   *int64
	}{
		{attrInitial, &st.Initial}, {attrRestocked, &st.Restocked},
		{attrAvailable, &st.Available}, {attrHeld, &st.Held}, {attrSold, &st.Sold},
	} {
		v, ok := it.Lookup(c.name)
		if !ok || v.Kind() != store.KindInt {
			return Stock{}, fault.New(fault.Internal, "inventory: a stock item without the counter %s", c.name)
		}
		*c.to = v.Int()
	}
	st.Archived = it.Int(attrArchived)
	return st, nil
}

func newStock(initial int64) store.Item {
	return store.Item{
		store.N(attrInitial, initial),
		store.N(attrRestocked, 0),
		store.N(attrAvailable, initial),
		store.N(attrHeld, 0),
		store.N(attrSold, 0),
	}
}
