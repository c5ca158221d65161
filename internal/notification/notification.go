// Package notification tells customers how their orders ended. It takes messages from a queue, writes a record, sends,
// and writes the record again:
//
//	queue --receive--> [record SENDING] --> sender --> [record SENT, message deleted]
//
// It promises: each message reaches the sender at least once, or becomes a dead letter of the queue after three
// receives. One e-mail has one Message-ID, made of the order and the version of its terminal event, so that whatever is
// sent twice can be told to be the same. What the record calls sent is not sent again, however often the message is
// delivered.
//
// A crash between the sender's answer and the second record sends the same message a second time: no order of these
// steps avoids that, and the other order would lose messages. A message that cannot be read, or whose send fails, holds
// up no other.
//
// It refuses to know contacts: the address is sealed in the message, opened for the send, and stands in no record,
// log line or error. Once the customer's key is erased, or where no address was given, the log sender takes the message
// and the record says so.
package notification

import (
	"context"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Sender hands an e-mail to whatever carries it on. A send that may have happened is repeated with the same MessageID.
type Sender interface {
	// Name is the channel that the record names, such as "smtp".
	Name() string
	// Send returns nil once the e-mail is taken over for delivery. The error's text holds no contact data. Transient:
	// another try may succeed.
	Send(ctx context.Context, e Email) error
}

// A StagedQueue is a queue in the service's own store: a batch's deletes stand in the commit that records its sends.
type StagedQueue interface {
	bus.Queue
	StageDelete(tx *store.Tx, receipt string)
	Deleted(receipts ...string)
	// Next is when a Receive may find something, zero if nothing is in sight.
	Next() time.Time
}

// The defaults of a Config, and the limit of its Batch.
const (
	DefaultBatch       = 32 // messages a receive
	MaxBatch           = 45 // a record and a delete each, in a commit of at most 100 operations
	DefaultSendTimeout = 10 * time.Second
	DefaultVisibility  = time.Minute
)

// Config of a Service. Queue may be nil if only Handle is called.
type Config struct {
	Queue  bus.Queue   // where Run and RunOne take messages from
	Staged StagedQueue // the same queue if it is kept in Store, else nil
	Store  store.Store
	Keys   pii.Keys
	Sender Sender // for those who gave an e-mail address
	Phone  Sender // for those who gave a phone number, before Sender; nil: numbers do not count
	Log    *slog.Logger
	Now    func() time.Time
	// NoContact takes the messages of those who gave nothing that counts, or whose key is erased.
	NoContact Sender

	Batch       int           // messages a receive, default DefaultBatch, at most MaxBatch
	Concurrency int           // sends at once, default 1; in a simulation 1
	SendTimeout time.Duration // of one send, default DefaultSendTimeout
	// Visibility is how long a batch stays hidden, default DefaultVisibility. It should be longer than a batch takes in
	// which every send runs into its timeout; sends for which the time does not suffice any more are left to the next
	// receive.
	Visibility time.Duration

	// Received, if not nil, is told of each message that is about to be handled, and how often it was received, this time included. What it
	// returns is told what came of that, unless it is nil, and the context is the send's. A message that cannot be read is a zero Message.
	Received func(ctx context.Context, m Message, receives int) (context.Context, func(err error))
}

// A Service is the consumer of the notification queue. It is safe for concurrent use.
type Service struct {
	c   Config
	log *slog.Logger
}

// New returns a Service.
func New(c Config) *Service {
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	c.Batch = min(c.Batch, MaxBatch)
	c.Concurrency = max(c.Concurrency, 1)
	if c.SendTimeout <= 0 {
		c.SendTimeout = DefaultSendTimeout
	}
	if c.Visibility <= 0 {
		c.Visibility = DefaultVisibility
	}
	if c.Staged != nil {
		c.Queue = c.Staged
	}
	return &Service{c: c, log: c.Log.With("service", "notification_service")}
}

// RetryAfter is how long a message waits after its n-th receive has failed. The pauses are long enough for a relay to
// restart; after the last receive there is nothing to wait for, and the next one moves it to the dead letters.
func RetryAfter(receives int) time.Duration {
	switch receives {
	case 1:
		return 30 * time.Second
	case 2:
		return 5 * time.Minute
	default:
		return 0
	}
}
