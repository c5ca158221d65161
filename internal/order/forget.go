package order

import (
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Past is an order of which nothing is to come any more: it has its terminal event, its saga came to its end, and nobody is asked to
// look at it.
type Past struct {
	OrderID         string
	Redrives        int64 // its executions are ExecutionName(OrderID, 0) to ExecutionName(OrderID, Redrives)
	TerminalVersion int64

	state   State
	keyHash string
}

// ReadPast reads an order by get, which is a Tx's Get where the answer has to hold. ok is false if the order is not past, or not there.
func ReadPast(get func(store.Key) (store.Item, error), id string) (p Past, ok bool, err error) {
	head, err := get(headKey(id))
	if err != nil || head == nil {
		return Past{}, false, err
	}
	st, err := DecodeHead(head)
	if err != nil || !st.Terminal() || st.NeedsReview {
		return Past{}, false, err
	}
	open, err := get(openKey(id))
	if err != nil || open != nil {
		return Past{}, false, err
	}
	first, err := get(eventlog.Key(Table, id, 1))
	if err != nil {
		return Past{}, false, err
	}
	ev, err := eventlog.Decode(store.Entry{Key: eventlog.Key(Table, id, 1), Item: first})
	if err != nil {
		return Past{}, false, err
	}
	created, err := DecodeCreated(ev)
	if err != nil {
		return Past{}, false, err
	}
	return Past{OrderID: id, Redrives: st.Redrives, TerminalVersion: st.TerminalVersion, state: st, keyHash: created.KeyHash}, true, nil
}

// MadeAt is when an order's id was made, by its ULID (https://github.com/ulid/spec); zero if it is none.
func MadeAt(id string) time.Time {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	text, ok := strings.CutPrefix(id, IDPrefix)
	if !ok || len(text) < 10 {
		return time.Time{}
	}
	ms := int64(0)
	for i := range 10 {
		digit := strings.IndexByte(crockford, text[i])
		if digit < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(digit)
	}
	return time.UnixMilli(ms).UTC()
}

// ForgetTail is how many events StageForget deletes: with all else that it stages they are far fewer than a commit takes.
const ForgetTail = 60

// StageTail stages the end of the events of a past order that are too many for StageForget, at most 90 of them, the last ones first. done: they
// are no more than it takes.
// StageTail stages the end of those events of a past order that are too many for StageForget, the last ones first: left is how many there
// are still. It returns how many there are then.
func (p Past) StageTail(tx *store.Tx, left int64) (remaining int64) {
	for n := 0; left > ForgetTail && n < 90; n++ {
		tx.Delete(eventlog.Key(Table, p.OrderID, left))
		left--
	}
	return left
}

// StageForget stages the end of a past order: its log, its head, its contact, its places in the lists, and the answer of its key.
func (p Past) StageForget(tx *store.Tx) error {
	for v := int64(1); v <= min(p.state.Version, ForgetTail); v++ {
		tx.Delete(eventlog.Key(Table, p.OrderID, v))
	}
	tx.Delete(headKey(p.OrderID))
	tx.Delete(contactKey(p.OrderID))
	tx.Delete(failureKey(p.OrderID))
	tx.Delete(customerKey(p.state.CustomerID, p.OrderID))
	tx.Delete(dayKey(p.state.CreatedAt, p.OrderID))
	if p.keyHash == "" {
		return nil
	}
	key := idempotency.ClientKeyOfHash(p.keyHash).Item()
	it, err := tx.Get(key)
	if err != nil || it == nil {
		return err
	}
	if idempotency.Decode(it).Result.Ref == p.OrderID { // else the key was used again since
		tx.Delete(key)
	}
	return nil
}

// Events is how many events the order's log has.
func (p Past) Events() int64 { return p.state.Version }

// KeepKey says whether the record of an order's key still counts though its time is over: as long as its order is not terminal.
func KeepKey(get func(store.Key) (store.Item, error)) idempotency.Keep {
	return func(r *idempotency.Record) (bool, error) {
		if !strings.HasPrefix(r.Result.Ref, IDPrefix) {
			return false, nil // what it made is no order
		}
		it, err := get(headKey(r.Result.Ref))
		return unfinished(it, err)
	}
}
