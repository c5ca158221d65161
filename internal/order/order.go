// Package order takes orders and keeps what becomes of them: an event-sourced aggregate per order, fed by the saga's tasks.
//
// It promises: an order that was acknowledged stands with its first event, its idempotency record, its indexes and the start of its
// saga, all from one commit; its log holds only the transitions that the saga allows (Fold refuses any other), and exactly one
// terminal event; the head item is a projection of the log, never a second truth. The prices of an order are the
// catalogue's at the moment it was placed, and do not move with it. A repeated task is recognised by what stands in the log, and
// answered as the first one was without appending anything.
//
// It refuses: what is out of bounds (fault.ValidationFailed with the field), what is certain to fail (Place's admission, which is
// advice: the saga decides), and any event that may not follow (fault.OrderState).
//
// A crash leaves whole commits: an order is there or is not, and a task's append is there or is not. What a crash can lose is the call
// that wakes somebody (Starter.Begin, a waiter): the engine's recovery, Wait's own look and Sweep make up for it.
package order

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Config of a Service. All of it is required, but Gate, Feed (then there is no news), Keys (then orders with a contact are refused), StartNow,
// Log and what counts.
type Config struct {
	Store     store.Store
	Feed      store.FeedReader // of the store, with what IsEvent selects
	Catalog   Catalog
	Admission Admission
	Gate      Gate // nil: however many orders come, they are taken
	Saga      Starter
	Outbox    Outbox
	Keys      pii.Keys
	// StartNow is what Sweep starts a missing execution with where a change feed starts executions; nil: Saga stages the start.
	StartNow func(ctx context.Context, s Start) error
	Now      func() time.Time
	NewID    func(prefix string) string // prefix and ULID: NewID("ord-") is "ord-01J..."
	Currency string                     // the only one that is taken, ISO 4217
	Log      *slog.Logger

	// Created and Ended are told of an order that was stored, and of one that has come to its end with its status, once that is durable. A
	// repeated call is told of nobody. They are for those who count: a crash, or a commit whose reply was lost, may leave one out. nil: none.
	Created func()
	Ended   func(status string)
}

// A Service is the order service. It is safe for concurrent use and starts no goroutine.
type Service struct {
	store     store.Store
	feed      store.FeedReader
	tail      tail
	behind    chan struct{} // holds one while a reader of the feed who is behind reads
	catalog   Catalog
	admission Admission
	gate      Gate
	saga      Starter
	startNow  func(ctx context.Context, s Start) error
	outbox    Outbox
	keys      pii.Keys
	now       func() time.Time
	newID     func(prefix string) string
	currency  string
	log       *slog.Logger
	notifyLog *slog.Logger
	onCreated func()
	onEnded   func(status string)
	waiters   waiters
	markedDay atomic.Pointer[string] // the last day that this process has put into the list of days
}

// New returns the service. It neither reads nor writes the store.
func New(c Config) *Service {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Created == nil {
		c.Created = func() {}
	}
	if c.Ended == nil {
		c.Ended = func(string) {}
	}
	if c.Gate == nil {
		c.Gate = openGate{}
	}
	return &Service{
		store:     c.Store,
		feed:      c.Feed,
		behind:    make(chan struct{}, 1),
		catalog:   c.Catalog,
		admission: c.Admission,
		gate:      c.Gate,
		saga:      c.Saga,
		startNow:  c.StartNow,
		outbox:    c.Outbox,
		keys:      c.Keys,
		now:       c.Now,
		newID:     c.NewID,
		currency:  c.Currency,
		log:       c.Log.With("service", "order_service.handler"),
		notifyLog: c.Log.With("service", "notification_service"),
		onCreated: c.Created,
		onEnded:   c.Ended,
		waiters:   waiters{byOrder: make(map[string]map[*waiter]struct{})},
	}
}

// A Catalog knows prices and stock.
type Catalog interface {
	// Quote returns the quotes of the products that exist. It may lag behind: the saga's reservation decides.
	Quote(ctx context.Context, productIDs []string) (map[string]Quote, error)
}

// A Quote is what a product costs and how much of it could be reserved.
type Quote struct{ UnitPriceCents, Available int64 }

// Admission says whether a charge has a chance now: fault.PaymentProviderUnavailable with retry_after_seconds if not.
type Admission interface {
	Admit(ctx context.Context) error
}

// A Gate keeps new orders out while there is too much to do. Those that are stored, and what an operator resumes, do not pass it again.
type Gate interface {
	// Enter lets an order in, or is fault.Overloaded with retry_after_seconds. It is quick: a refusal must cost less than an order.
	Enter() error
	// Leave is for who was let in, when the saga of the order has begun, or the order was not stored.
	Leave()
}

type openGate struct{}

func (openGate) Enter() error { return nil }
func (openGate) Leave()       {}

// A Starter starts executions of the saga, and knows how they ended.
type Starter interface {
	// Stage stages the start in the commit that stores its cause. Where a change feed starts executions it stages nothing.
	Stage(tx *store.Tx, s Start) error
	// Begin follows that commit. It never blocks; a repeated call does nothing, nor does one for an execution that does not exist.
	Begin(execution string)
	// Failure says how an execution stands. fault.NotFound: there is none of that name.
	Failure(ctx context.Context, execution string) (Failure, error)
}

// A Start is what an execution is started with.
type Start struct {
	Execution     string // <order id>, or <order id>-r<n> for the n-th resume
	OrderID       string
	Lines         []Line
	TotalCents    int64
	Currency      string
	PaymentMethod string
	CorrelationID string
	Trace         string   // where what starts it stands, as a W3C traceparent; "": nobody looks
	Resume        *Failure // the failed execution that this one goes on from; nil for the first
}

// A Failure is how an execution stands: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
type Failure struct {
	Status string
	State  string          // the current one, or that in which it ended
	Input  json.RawMessage // of that state
	Error  string
	Cause  string
}

// failed reports whether the execution ended so that a person is needed.
func (f Failure) failed() bool { return endedBadly(f.Status) }

func endedBadly(status string) bool {
	return status == "FAILED" || status == "TIMED_OUT" || status == "ABORTED"
}

// An Outbox takes messages for the customer.
type Outbox interface {
	// Send stages the message. The same message may be sent twice: its order and version name it.
	Send(tx *store.Tx, m Message) error
}

// A Message tells a customer how an order ended.
type Message struct {
	OrderID       string
	CustomerID    string
	Kind          string // ORDER_CONFIRMED, ORDER_FAILED or ORDER_CANCELLED
	Version       int64  // of the terminal event
	TotalCents    int64
	Currency      string
	FailureReason string
	CorrelationID string
	Trace         string // where what sends it stands, as a W3C traceparent; "": nobody looks
	SealedContact []byte // JSON {"email","phone"}, sealed by pii under the customer's id; nil if none was given
}

// Table is where orders are kept. An order's partition is its id, and holds "head", its events and perhaps "contact"; beside
// these stand the index partitions, whose names no order id can have: '#' is not in its alphabet.
const Table = "orders"

const (
	headSK    = "head"
	contactSK = "contact"
	failureSK = "failure" // of an order that was in review when it was brought here (moved.go)
	shards    = 16        // of the indexes that every order is in: one partition on a distributed store would be hot
)

func headKey(id string) store.Key    { return store.Key{Table: Table, PK: id, SK: headSK} }
func contactKey(id string) store.Key { return store.Key{Table: Table, PK: id, SK: contactSK} }

// customerKey is the order's place in the list of its customer.
func customerKey(customerID, id string) store.Key {
	return store.Key{Table: Table, PK: "customer#" + customerID, SK: id}
}

// openKey is the order's place among those whose saga has not come to its end. Its row names who is counted for it (holder.go).
func openKey(id string) store.Key {
	return store.Key{Table: Table, PK: openPartition(shard(id)), SK: id}
}

func openPartition(n int) string { return "open#" + twoDigits(n) }

// reviewKey is the order's place among those that wait for a person. They stand among the open ones too, but in an outage those are very
// many, and the few that need somebody are what an operator looks for.
func reviewKey(id string) store.Key {
	return store.Key{Table: Table, PK: reviewPartition(shard(id)), SK: id}
}

func reviewPartition(n int) string { return "review#" + twoDigits(n) }

// dayKey is the order's place among all orders created on that day (UTC).
func dayKey(day time.Time, id string) store.Key {
	return store.Key{Table: Table, PK: dayPartition(dayOf(day), shard(id)), SK: id}
}

// daysPartition lists the days on which orders were created, as 2006-01-02: without it nobody could tell where to look, since the port
// has no scan.
const daysPartition = "days#all"

func dayMarkKey(day string) store.Key { return store.Key{Table: Table, PK: daysPartition, SK: day} }

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func dayPartition(day string, n int) string { return "day#" + day + "#" + twoDigits(n) }

// allShards are the partitions of an index.
func allShards(partition func(n int) string) []string {
	all := make([]string, shards)
	for n := range all {
		all[n] = partition(n)
	}
	return all
}

func shard(id string) int {
	h := uint32(2166136261) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % shards)
}

func twoDigits(n int) string { return string([]byte{byte('0' + n/10%10), byte('0' + n%10)}) }

// ExecutionName names the saga's execution for an order that was resumed n times: `<order_id>`, or `<order_id>-r<n>`.
func ExecutionName(id string, n int64) string {
	if n == 0 {
		return id
	}
	return id + resumed + decimal(n)
}

// OfExecution is the order whose saga an execution is.
func OfExecution(name string) string {
	id, _, _ := strings.Cut(name, resumed)
	return id
}

// resumed stands between the order's id and how often it was resumed. An order's id, ord- and a ULID, has no small letter behind its
// prefix.
const resumed = "-r"

// paymentID is the payment's id: the order's ULID under another prefix, since an order has one payment.
func paymentID(orderID string) string { return "pay-" + strings.TrimPrefix(orderID, "ord-") }
