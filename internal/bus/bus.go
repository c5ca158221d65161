// Package bus is the port to a message queue: what a service needs of one, and what both adapters promise. storebus keeps
// the queue in the store (the single binary, tests, simulation); awsbus is Amazon SQS, on whose promises the port is
// shaped. bustest holds them for every adapter:
//
//   - A message that was sent is delivered at least once, or stands among the dead letters. The order is
//     roughly that of sending, and no more than that.
//   - Receiving hides a message for the visibility timeout. Unless it is deleted by then, it is delivered again.
//   - A message that was received MaxReceives times and never deleted becomes a dead letter: the attempt to receive it
//     once more moves it. Nothing but an operator's redrive takes a dead letter away.
//   - A receipt belongs to one receive. Once the message was delivered again, the old receipt deletes nothing.
//
// There is no port for publishing to many subscribers: what follows from an order is read from the store's change feed. On AWS a
// reader of that feed puts it on EventBridge (awsbus.Events), and the only topic of SNS belongs to the sender that uses it.
package bus

import (
	"context"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// The limits of the port, which are those of SQS where SQS has one
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const (
	MaxBodyBytes   = 256 << 10 // one message
	MaxReceives    = 3         // then it is a dead letter: one failure may be chance, three are not
	MaxReasonBytes = 1024      // of what is kept of an error beside a dead letter
	MaxIDBytes     = 256       // of a message's name
	MaxListed      = 100       // dead letters at a time: with bodies of the largest size an answer of 25 MB
)

// CheckBody refuses what is no body of a message: fault.PayloadTooLarge; fault.ValidationFailed for an empty one.
func CheckBody(body []byte) error {
	switch {
	case len(body) > MaxBodyBytes:
		return fault.New(fault.PayloadTooLarge, "a message of %d bytes, at most %d", len(body), MaxBodyBytes)
	case len(body) == 0:
		return fault.New(fault.ValidationFailed, "a message without a body").With("field", "body")
	}
	return nil
}

// CheckID refuses what cannot name a message in a key and in a log: fault.ValidationFailed.
func CheckID(id string) error {
	if id == "" || len(id) > MaxIDBytes || strings.IndexFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return fault.New(fault.ValidationFailed, "a message ID is 1 to %d visible ASCII characters", MaxIDBytes).With("field", "id")
	}
	return nil
}

// A Message is one delivery.
type Message struct {
	ID       string // the message's own name, the same at each delivery
	Receipt  string // of this delivery: what Delete and Defer take
	Body     []byte
	Receives int       // deliveries so far, this one included: 1 at first
	SentAt   time.Time // UTC; milliseconds at least
}

// Queue holds messages until they are deleted. Implementations are safe for concurrent use, and several receivers may
// work on one queue. Any method may fail with fault.Transient, after which the work may or may not have been done; each
// can be repeated: a repeated Send may send twice.
type Queue interface {
	// Send puts a message of 1 to MaxBodyBytes bytes into the queue. A larger one fails with fault.PayloadTooLarge.
	Send(ctx context.Context, body []byte) error
	// Receive takes up to max visible messages and hides them for the visibility timeout, at least a millisecond. It
	// returns at once, with fewer than max or none if no more are visible; an adapter may have a limit of its own below
	// max.
	Receive(ctx context.Context, max int, visibility time.Duration) ([]Message, error)
	// Delete removes the messages of these receipts: their work is done. A stale receipt removes nothing and is no error.
	Delete(ctx context.Context, receipts ...string) error
	// Defer hides the messages of these receipts for another length of time, counted from now: their work has failed
	// and is to be tried again then. The receipts are spent. Reason is kept beside the message where the adapter can
	// (not on SQS), for whoever reads the dead letter.
	Defer(ctx context.Context, delay time.Duration, reason string, receipts ...string) error
	// Wait returns nil when a Receive may find something, or ctx's error. It may wake for nothing.
	Wait(ctx context.Context) error
}

// A DeadLetter is a message that was received MaxReceives times and never deleted.
type DeadLetter struct {
	ID       string
	Body     []byte
	Receives int
	SentAt   time.Time
	DiedAt   time.Time // on SQS, which does not keep it, when it was first received
	Reason   string    // the last one that Defer was given; "" if none was
}

// DeadLetters is what an operator does with them.
type DeadLetters interface {
	// List returns up to limit (at most MaxListed) dead letters, the one that was sent first at the head, from the cursor's place on; "" is
	// the beginning. The next cursor is "" at the end. It takes nothing away.
	List(ctx context.Context, cursor string, limit int) (letters []DeadLetter, next string, err error)
	// Redrive puts the dead letters with these message IDs, or all that stand there when it begins, back into the queue
	// with no receives, and returns how many. An ID that is not there counts nothing.
	Redrive(ctx context.Context, ids ...string) (int, error)
}
