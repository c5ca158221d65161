package storebus

import (
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Place is where a message of a queue stands.
type Place string

// The places. A message stands in one of them until it is deleted.
const (
	Ready    Place = "ready"  // visible, never received or redriven
	InFlight Place = "flight" // received and not deleted
	Dead     Place = "dead"   // a dead letter
)

// A Stored is a message as the table holds it.
type Stored struct {
	Queue    string
	Place    Place
	ID       string
	Body     []byte
	Receives int
	SentAt   time.Time
}

// Decode reads an entry of the queues' table: for verify, which finds each notification that was not delivered
// somewhere in a queue. false: the entry is no message.
func Decode(e store.Entry) (Stored, bool) {
	name, place, ok := strings.Cut(e.Key.PK, "#")
	p := Place(place)
	if !ok || p != Ready && p != InFlight && p != Dead {
		return Stored{}, false
	}
	return Stored{
		Queue:    name,
		Place:    p,
		ID:       e.Item.Str(attrID),
		Body:     e.Item.Bytes(attrBody),
		Receives: int(e.Item.Int(attrReceives)),
		SentAt:   time.UnixMilli(e.Item.Int(attrSent)).UTC(),
	}, true
}
