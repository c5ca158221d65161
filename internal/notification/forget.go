package notification

import "github.com/utkarsh698/cloudflow/internal/store"

// StageForget stages the end of the record of an order's terminal event, with its order.
func StageForget(tx *store.Tx, orderID string, version int64) { tx.Delete(recordKey(orderID, version)) }
