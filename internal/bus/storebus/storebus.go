// Package storebus keeps a message queue in the store, so that a message can be sent in the very commit that it reports on:
// nothing committed goes unsent, nothing uncommitted is sent.
//
// A queue is three partitions of one table. A message moves through them, each move one commit:
//
//	        Stage                Receive                    Delete
//	sender -------> <name>#ready -------> <name>#flight ----------> gone
//	                   ^                   |   ^  | visibility over: Receive
//	                   |                   |   +--+ again, receives + 1
//	                   |    Redrive        v
//	                   +--------- <name>#dead   (instead of the fourth receive)
//
// ready is sorted by the moment of sending and everything in it is visible. flight is sorted by the moment at which a
// message becomes visible again. So Receive reads the heads of two short ranges and never scans what is hidden. A
// message's key in flight is its receipt: a message that was received again stands under another key, and the stale
// receipt names nothing.
//
// What survives a crash: everything, since every state is in the store. What is kept in memory only saves work: how far
// ready and flight are known to be empty (the store would otherwise step over the tombstones of all that was ever
// sent), and when to wake. It can be lost, and a sweep from the beginning repairs it should it ever be wrong.
//
// Limits: bodies of 256 KiB, 45 messages a Receive (two operations each, of 100 in a commit), 3.5 MB a Receive. One
// Queue is meant to stand for a name in a process. A second one on the same store is safe, but may notice what the
// first has sent or left up to five minutes late.
package storebus

import (
	"context"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table is where queues stand unless the configuration names another table.
const Table = "queues"

const (
	maxBatch     = 45        // messages moved in one commit: two operations each, of 100
	maxBatchSize = 3_500_000 // bytes moved in one commit; the port takes 4 MB
)

// The attributes of a message, wherever it stands.
const (
	attrID       = "id"
	attrSent     = "sent"     // ms
	attrReceives = "receives" // deliveries so far
	attrBody     = "body"
	attrError    = "error" // the reason of the last Defer
	attrDied     = "died"  // ms; of a dead letter
)

// Config of a Queue. The zero value is complete.
type Config struct {
	Table       string           // default Table
	MaxReceives int              // default bus.MaxReceives
	Now         func() time.Time // default time.Now
}

// A Queue is a bus.Queue and its bus.DeadLetters in a store. It is safe for concurrent use.
type Queue struct {
	store       store.Store
	table       string
	maxReceives int64
	now         func() time.Time

	ready, flight, dead string // partitions

	// moving is held by whoever moves messages in or into flight. In one process a claim so never loses a race, and
	// nothing lands behind a bound that is just being moved. A channel, so that waiting for it ends with the context.
	moving chan struct{}

	mu      sync.Mutex
	asked   time.Time     // the clock's last answer
	ahead   time.Duration // how far the time here is ahead of it
	stamp   int64         // the last moment of sending that was given out, µs; strictly rising
	known   knowledge
	waits   chan struct{} // closed and replaced to wake those who wait
	waiting int
}

var (
	_ bus.Queue       = (*Queue)(nil)
	_ bus.DeadLetters = (*Queue)(nil)
)

// Open returns the queue of that name. The name is of [A-Za-z0-9._-] and belongs to this queue alone in its table.
func Open(s store.Store, name string, c Config) *Queue {
	if c.Table == "" {
		c.Table = Table
	}
	if c.MaxReceives <= 0 {
		c.MaxReceives = bus.MaxReceives
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Queue{
		store:       s,
		table:       c.Table,
		maxReceives: int64(c.MaxReceives),
		now:         c.Now,
		ready:       name + "#" + string(Ready),
		flight:      name + "#" + string(InFlight),
		dead:        name + "#" + string(Dead),
		moving:      make(chan struct{}, 1),
		known:       newKnowledge(),
		waits:       make(chan struct{}),
	}
}

// Send puts the message into the queue in a commit of its own. Its ID is made of the moment of sending.
func (q *Queue) Send(ctx context.Context, body []byte) error {
	// After an error too: a commit whose reply was lost has sent the message.
	defer q.Notify()
	for {
		err := q.store.Update(ctx, func(tx *store.Tx) error {
			// Another Queue on this store, or this one before its clock was set back, may have given the same moment.
			return q.stage(tx, "", body, store.Absent())
		})
		if store.RefusalOf(err) == nil {
			return err
		}
	}
}

// Stage puts the message into the queue in the caller's commit: one operation. The ID, 1 to 256 visible ASCII
// characters, names the message in logs and among dead letters. Once the commit is durable the caller calls Notify, from
// store.Effect.Committed for instance; a message whose commit nobody reported is found about a second later.
//
// fault.PayloadTooLarge; fault.ValidationFailed for an empty body or an ID that cannot stand in a key.
func (q *Queue) Stage(tx *store.Tx, id string, body []byte) error {
	if err := bus.CheckID(id); err != nil {
		return err
	}
	return q.stage(tx, id, body)
}

func (q *Queue) stage(tx *store.Tx, id string, body []byte, conds ...store.Cond) error {
	if err := bus.CheckBody(body); err != nil {
		return err
	}
	sk, now := q.place(id)
	if id == "" {
		id = sk
	}
	tx.Put(store.Key{Table: q.table, PK: q.ready, SK: sk}, store.Item{
		store.S(attrID, id),
		store.N(attrSent, now.UnixMilli()),
		store.N(attrReceives, 0),
		store.B(attrBody, body),
	}, conds...)
	return nil
}

// Notify wakes those who wait: something was sent. It is cheap and never blocks.
func (q *Queue) Notify() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known.sends++
	q.wake()
}

// Delete removes the messages of these receipts, 100 in a commit.
func (q *Queue) Delete(ctx context.Context, receipts ...string) error {
	for len(receipts) > 0 {
		n := min(len(receipts), store.MaxOps)
		batch := receipts[:n]
		err := q.store.Update(ctx, func(tx *store.Tx) error {
			for i, r := range batch {
				if !contains(batch[:i], r) {
					q.StageDelete(tx, r)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		q.Deleted(batch...)
		receipts = receipts[n:]
	}
	return nil
}

// StageDelete removes the message of the receipt in the caller's commit: one operation, which no state of the queue can
// refuse. A stale receipt removes nothing. Once the commit is durable the caller calls Deleted.
func (q *Queue) StageDelete(tx *store.Tx, receipt string) {
	if receipt == "" { // else it would name no place in the partition
		return
	}
	tx.Delete(store.Key{Table: q.table, PK: q.flight, SK: receipt})
}

// Deleted tells the queue that a commit with these StageDeletes is durable. Forgotten, it costs a needless wake when
// the receipts' visibility ends.
func (q *Queue) Deleted(receipts ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range receipts {
		delete(q.known.claims, r)
	}
}

// place gives the next place in ready, and remembers that something may soon stand there.
func (q *Queue) place(id string) (sk string, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now = q.clock()
	q.stamp = max(q.stamp+1, now.UnixMicro())
	b := make([]byte, 0, 17+len(id))
	b = appendPadded(b, q.stamp, 16)
	if id != "" {
		b = append(b, '.')
		b = append(b, id...)
	}
	sk = string(b)
	if _, known := q.known.staged(); !known {
		// Who sleeps without an end has to look in a while, or a message whose Notify was lost with the reply to its
		// commit would wait for the next one's.
		q.wake()
	}
	q.known.expect(sk, now)
	return sk, now
}

// clock is the time, which here never goes back: a message that was hidden until a moment that has come stays visible. Nor does it stand still until a
// clock that was set back has caught up: it goes at half the pace meanwhile, so that nothing is hidden for more than twice its time. The caller holds mu.
func (q *Queue) clock() time.Time {
	now := q.now().Round(0) // drops the monotonic reading: sort keys hold the time on the wall
	if passed := now.Sub(q.asked); passed < 0 {
		q.ahead -= passed
	} else {
		q.ahead -= min(q.ahead, passed/2)
	}
	q.asked = now
	return now.Add(q.ahead)
}

// appendPadded appends n in decimal with at least width digits, so that texts sort as numbers do.
func appendPadded(b []byte, n int64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for n = max(n, 0); n > 0 || len(digits)-i < width; n /= 10 {
		i--
		digits[i] = byte('0' + n%10)
	}
	return append(b, digits[i:]...)
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
