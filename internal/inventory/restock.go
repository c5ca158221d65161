package inventory

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Restock adds stock to a product, once for each key.
type Restock struct {
	ProductID      string
	Quantity       int64 // pieces, 1 to MaxStock
	IdempotencyKey string
	Principal      string
	Fingerprint    [32]byte // of the product and the canonical body
	CorrelationID  string
}

// The scope of a restock's key, and how long its answer is kept.
const (
	restockMethod = "POST"
	restockRoute  = "/products/{product_id}/restock"
	restockTTL    = 24 * time.Hour
)

// statusOK is HTTP's 200: services do not know net/http.
const statusOK = 200

// Restock adds to what is available and returns the product as it was right after, as the JSON that is stored under the key: a repeat
// answers the same bytes (replayed) and adds nothing. fault.IdempotencyKeyReused: the key was used for another request;
// fault.NotFound: no such product; fault.ValidationFailed: the quantity is out of bounds, or the product's total would be over
// MaxTotalStock. The counters in the answer may leave out orders that commit in the same moment.
func (s *Service) Restock(ctx context.Context, r Restock) (status int, body []byte, replayed bool, err error) {
	if r.IdempotencyKey == "" {
		return 0, nil, false, fault.New(fault.BadRequest, "Idempotency-Key is absent.").With("field", "Idempotency-Key")
	}
	key := idempotency.ClientKey(r.Principal, restockMethod, restockRoute, r.IdempotencyKey)
	now := s.now()
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		record, err := idempotency.LookupTx(tx, key, r.Fingerprint, now, nil)
		if err != nil {
			return err
		}
		if replayed = record != nil; replayed {
			status, body = record.Result.Status, record.Result.Body
			return nil
		}
		status = statusOK
		if body, err = r.stage(tx); err != nil {
			return err
		}
		idempotency.Complete(tx, key, r.Fingerprint, idempotency.Result{Status: status, Body: body, Ref: r.ProductID}, now, restockTTL)
		return nil
	})
	if refusal := store.RefusalOf(err); refusal != nil && refusal.Key == stockKey(r.ProductID) {
		err = invalid("quantity", "would bring the product's total stock over "+strconv.FormatInt(MaxTotalStock, 10))
	}
	if err != nil {
		return 0, nil, false, err
	}
	if !replayed {
		s.log.LogAttrs(ctx, slog.LevelInfo, "Inventory restocked", slog.String("product_id", r.ProductID),
			slog.Int64("quantity", r.Quantity), slog.String("correlation_id", r.CorrelationID))
	}
	return status, body, replayed, nil
}

// stage adds to the counters and returns the answer. It reads the stock without recording it: a restock never waits for orders.
func (r *Restock) stage(tx *store.Tx) ([]byte, error) {
	if r.Quantity < 1 || r.Quantity > MaxStock {
		return nil, invalid("quantity", "must be from 1 to "+strconv.Itoa(MaxStock))
	}
	if !validID(r.ProductID) {
		return nil, fault.New(fault.NotFound, "There is no such product.")
	}
	product, err := tx.Peek(productKey(r.ProductID))
	if err != nil {
		return nil, err
	}
	stock, err := tx.Peek(stockKey(r.ProductID))
	if err != nil {
		return nil, err
	}
	if product == nil || stock == nil {
		return nil, fault.New(fault.NotFound, "There is no such product.")
	}
	answer, err := show(r.ProductID, product, stock)
	if err != nil {
		return nil, err
	}
	answer.Available += r.Quantity
	tx.Add(stockKey(r.ProductID),
		[]store.Delta{store.Inc(attrAvailable, r.Quantity), store.Inc(attrRestocked, r.Quantity)},
		store.Below(attrRestocked, MaxTotalStock-stock.Int(attrInitial)-r.Quantity+1))
	return json.Marshal(answer)
}
