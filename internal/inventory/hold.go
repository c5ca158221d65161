package inventory

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Line asks for a quantity of a product, in pieces.
type Line struct {
	ProductID string `json:"product_id"`
	Quantity  int64  `json:"quantity"`
}

// A Request names an order, and for Reserve its lines: lines of one product count as one.
type Request struct {
	OrderID       string
	Lines         []Line
	CorrelationID string
}

// Reserve holds every line of the order, or none. The result is {"reservation_id"}; a repeated call returns the first one's
// and writes nothing. fault.InsufficientStock names the product that is short, what was requested and what is available;
// fault.UnknownProduct names the product; fault.HoldReleased: the order's stock was given back already, so a reserve that comes
// late holds nothing.
func (s *Service) Reserve(ctx context.Context, r Request) (store.Effect, error) {
	lines, err := merge(r.Lines)
	if err != nil {
		return store.Effect{}, err
	}
	created := s.now().UnixMilli()
	text, id := encodeLines(lines), reservationID(r.OrderID)
	wrote := false
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			wrote = false
			key := holdKey(r.OrderID)
			it, err := tx.Get(key)
			if err != nil {
				return nil, err
			}
			if it != nil {
				return reserved(it, r.OrderID, id, text)
			}
			wrote = true
			tx.Put(key, store.Item{
				store.S(attrState, Active),
				store.S(attrReservationID, id),
				store.S(attrLines, text),
				store.N(attrCreatedAt, created),
				store.S(attrCorrelationID, r.CorrelationID),
			}, store.Absent())
			tx.Put(activeKey(r.OrderID, created), store.Item{})
			for _, l := range lines {
				tx.Add(stockKey(l.ProductID), []store.Delta{store.Take(attrAvailable, l.Quantity), store.Inc(attrHeld, l.Quantity)})
			}
			return reservation(id), nil
		},
		Refused: func(refusal *store.Refusal) error { return short(lines, refusal) },
		Committed: func() {
			if wrote {
				s.info(ctx, "Inventory reserved", r, id)
			}
		},
	}, nil
}

// reserved answers a reserve whose order has a hold already.
func reserved(it store.Item, orderID, id, lines string) (any, error) {
	switch it.Str(attrState) {
	case Released, Tombstone:
		return nil, fault.New(fault.HoldReleased, "The stock of %s was given back.", orderID)
	}
	if it.Str(attrLines) != lines {
		return nil, fault.New(fault.Internal, "inventory: %s has reserved other lines: %s, now %s", orderID, it.Str(attrLines), lines)
	}
	return reservation(id), nil
}

func reservation(id string) any { return map[string]any{"reservation_id": id} }

// short says which line a refused reserve failed on, nil if it was none of them.
func short(lines []Line, r *store.Refusal) error {
	if r.Key.Table != Table || r.Key.SK != stockSK {
		return nil
	}
	for _, l := range lines {
		if l.ProductID != r.Key.PK {
			continue
		}
		if r.Item == nil {
			return fault.New(fault.UnknownProduct, "There is no product %s.", l.ProductID).With("product_id", l.ProductID)
		}
		if available := r.Item.Int(attrAvailable); available < l.Quantity {
			return fault.New(fault.InsufficientStock, "%s has %d left, %d were asked for.", l.ProductID, available, l.Quantity).
				With("product_id", l.ProductID).With("requested", l.Quantity).With("available", available)
		}
	}
	return nil
}

// Release gives the order's stock back: once, however often it is called. An order without a hold gets a tombstone, which refuses the
// reserve that may still be on its way. fault.OrderState: the stock is sold. The result is {"reservation_id"}.
func (s *Service) Release(ctx context.Context, r Request) (store.Effect, error) {
	if r.OrderID == "" {
		return store.Effect{}, invalid("order_id", "is absent")
	}
	now, id := s.now().UnixMilli(), reservationID(r.OrderID)
	wrote := false
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			wrote = false
			key := holdKey(r.OrderID)
			it, err := tx.Get(key)
			if err != nil {
				return nil, err
			}
			switch it.Str(attrState) {
			case Released, Tombstone:
				return reservation(id), nil
			case Committed:
				return nil, fault.New(fault.OrderState, "The stock of %s is sold and cannot be released.", r.OrderID)
			}
			wrote = true
			if it == nil {
				tx.Put(key, store.Item{
					store.S(attrState, Tombstone),
					store.S(attrReservationID, id),
					store.N(attrCreatedAt, now),
					store.S(attrCorrelationID, r.CorrelationID),
				}, store.Absent())
				return reservation(id), nil
			}
			return reservation(id), end(tx, r.OrderID, it, Released, attrAvailable, now)
		},
		Committed: func() {
			if wrote {
				s.info(ctx, "Inventory released", r, id)
			}
		},
	}, nil
}

// Commit sells what the order holds: once, however often it is called. fault.HoldReleased: there is nothing to sell, because the stock was
// given back or never held; the order is confirmed by then, so a person is needed. The result is {"reservation_id"}.
func (s *Service) Commit(ctx context.Context, r Request) (store.Effect, error) {
	if r.OrderID == "" {
		return store.Effect{}, invalid("order_id", "is absent")
	}
	now, id := s.now().UnixMilli(), reservationID(r.OrderID)
	wrote := false
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			wrote = false
			it, err := tx.Get(holdKey(r.OrderID))
			if err != nil {
				return nil, err
			}
			switch {
			case it == nil:
				return nil, fault.New(fault.HoldReleased, "%s holds no stock: it never reserved any.", r.OrderID)
			case it.Str(attrState) == Committed:
				return reservation(id), nil
			case it.Str(attrState) == Released, it.Str(attrState) == Tombstone:
				return nil, fault.New(fault.HoldReleased, "%s holds no stock: it was given back.", r.OrderID)
			}
			wrote = true
			return reservation(id), end(tx, r.OrderID, it, Committed, attrSold, now)
		},
		Committed: func() {
			if wrote {
				s.info(ctx, "Inventory committed", r, id)
			}
		},
	}, nil
}

// end moves an active hold to its last state, and what it holds to the counter. The hold's own lines count, not the request's.
func end(tx *store.Tx, orderID string, it store.Item, state, counter string, now int64) error {
	h, err := DecodeHold(it)
	if err != nil {
		return err
	}
	tx.Put(holdKey(orderID), it.With(store.S(attrState, state), store.N(attrEndedAt, now)))
	tx.Delete(activeKey(orderID, it.Int(attrCreatedAt)))
	for _, l := range h.Lines {
		tx.Add(stockKey(l.ProductID), []store.Delta{store.Take(attrHeld, l.Quantity), store.Inc(counter, l.Quantity)})
	}
	return nil
}
