package notification

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table holds one record for each (order, version of its terminal event), for as long as the order lives: partition
// order id, sort key n#<version, ten digits>.
const Table = "notifications"

// A Status is where a notification stands.
type Status string

// The statuses. All but Sending are final: nothing is sent again.
const (
	Sending       Status = "SENDING"        // a send was begun; whether it happened is not known
	Sent          Status = "SENT"           // the sender took it over
	NoContact     Status = "NO_CONTACT"     // nothing was given that a sender could use: it went to the log
	ContactErased Status = "CONTACT_ERASED" // the customer's key is gone: it went to the log
)

func (s Status) final() bool { return s == Sent || s == NoContact || s == ContactErased }

// A Record is what is known of one notification.
type Record struct {
	OrderID       string
	Version       int64
	Kind          Kind
	Status        Status
	Channel       string // the name of the sender that took it; "" while Sending
	MessageID     string
	Attempts      int64 // sends begun
	CorrelationID string
	BegunAt       time.Time // the last attempt
	EndedAt       time.Time // zero while Sending
}

// RecordKey is where the record of an order's terminal event stands, by that event's version.
func RecordKey(orderID string, version int64) store.Key { return recordKey(orderID, version) }

func recordKey(orderID string, version int64) store.Key {
	const zeros = "n#0000000000"
	digits := strconv.FormatInt(version, 10)
	return store.Key{Table: Table, PK: orderID, SK: zeros[:max(2, len(zeros)-len(digits))] + digits}
}

func (r Record) item() store.Item {
	it := store.Item{
		store.S("status", string(r.Status)),
		store.S("kind", string(r.Kind)),
		store.S("message_id", r.MessageID),
		store.N("version", r.Version),
		store.N("attempts", r.Attempts),
		store.S("correlation_id", r.CorrelationID),
		store.N("begun_at", r.BegunAt.UnixMilli()),
	}
	if r.Status.final() {
		it = append(it, store.S("channel", r.Channel), store.N("ended_at", r.EndedAt.UnixMilli()))
	}
	return it
}

// DecodeRecord reads a record as the table holds it.
func DecodeRecord(e store.Entry) Record {
	it := e.Item
	r := Record{
		OrderID:       e.Key.PK,
		Version:       it.Int("version"),
		Kind:          Kind(it.Str("kind")),
		Status:        Status(it.Str("status")),
		Channel:       it.Str("channel"),
		MessageID:     it.Str("message_id"),
		Attempts:      it.Int("attempts"),
		CorrelationID: it.Str("correlation_id"),
		BegunAt:       time.UnixMilli(it.Int("begun_at")).UTC(),
	}
	if r.Status.final() {
		r.EndedAt = time.UnixMilli(it.Int("ended_at")).UTC()
	}
	return r
}

// Delivered reports whether nothing is left to send: for verify.
func (r Record) Delivered() bool { return r.Status.final() }

// Show returns the record of an order's terminal event, fault.NotFound if no send was begun.
func (s *Service) Show(ctx context.Context, orderID string, version int64) (Record, error) {
	key := recordKey(orderID, version)
	it, err := s.c.Store.Get(ctx, key, store.Strong)
	if err != nil {
		return Record{}, fmt.Errorf("notification: show: %w", err)
	}
	if it == nil {
		return Record{}, fault.New(fault.NotFound, "no notification of order %s, version %d", orderID, version)
	}
	return DecodeRecord(store.Entry{Key: key, Item: it}), nil
}
