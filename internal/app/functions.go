package app

import (
	"context"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// startNow is order.Config's StartNow.
type startNow = func(context.Context, order.Start) error

// breakerCache is how old a breaker's record may be where many processes share it.
const breakerCache = time.Second

// AWS is what the services are given there in the place of an engine and a queue in their own store. A function that has no use for a member
// leaves it nil.
type AWS struct {
	Saga     order.Starter                                           // stages nothing: the change feed starts executions
	StartNow func(context.Context, order.Start) error                // starts one that the feed has missed
	Send     func(ctx context.Context, m notification.Message) error // puts a message into the queue
	Phone    notification.Sender                                     // to customers who gave a phone number
}

// Functions are the services as the functions on AWS have them, with the table of the saga's tasks.
type Functions struct {
	*Services
	Table saga.Table // nil without Config.SagaKeys
}

// NewFunctions wires Functions. It neither reads nor writes a store. Of the Config a function gives what it uses: its store has the tables that
// it may use and no others, and what asks for another is fault.Internal.
func NewFunctions(c Config, on AWS) *Functions {
	c, t := c.ready()
	posted := &postedOutbox{send: on.Send, ended: c.Counts.ExecutionEnded}
	f := &Functions{}
	f.Services, _ = c.services(t, shape{
		saga: on.Saga, startNow: on.StartNow, outbox: posted, phone: on.Phone, cacheFor: breakerCache,
	})
	if c.SagaKeys != nil {
		f.Table = f.table(c, t, posted.after)
	}
	return f
}

// A postedOutbox is the outbox where the queue is no part of the store: what a commit stages in it is sent once that commit is durable, and
// again when its task is repeated. A crash between the two is a task without an answer, which Step Functions repeats.
type postedOutbox struct {
	send func(context.Context, notification.Message) error
	// ended is told that the execution has come to its end: the message is its last task, and what ends badly is heard from Step Functions. nil:
	// nobody counts.
	ended func(status string)

	mu     sync.Mutex
	staged map[*store.Tx]order.Message // from the outbox's Send until its Stage has returned
}

func (o *postedOutbox) Send(tx *store.Tx, m order.Message) error {
	if o.send == nil {
		return fault.New(fault.Internal, "there is no queue for the message of %s", m.OrderID)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.staged == nil {
		o.staged = map[*store.Tx]order.Message{}
	}
	o.staged[tx] = m
	return nil
}

func (o *postedOutbox) take(tx *store.Tx) (order.Message, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, ok := o.staged[tx]
	delete(o.staged, tx)
	return m, ok
}

// after sends what the handler's commit has staged, once that is durable.
func (o *postedOutbox) after(notify saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		effect, err := notify(ctx, in)
		if err != nil || effect.Stage == nil {
			return effect, err
		}
		var message order.Message
		var there bool
		stage, then := effect.Stage, effect.After
		effect.Stage = func(tx *store.Tx) (any, error) {
			result, err := stage(tx)
			message, there = o.take(tx) // of the last run, which is the one that was committed
			return result, err
		}
		effect.After = func(ctx context.Context) error {
			if there {
				if err := o.send(ctx, messageOf(message)); err != nil {
					return err
				}
			}
			if then != nil {
				if err := then(ctx); err != nil {
					return err
				}
			}
			if o.ended != nil {
				o.ended(string(asl.StatusSucceeded))
			}
			return nil
		}
		return effect, nil
	}
}

// noProvider is the payment provider of a stage that has none: every order fails, and says why.
type noProvider struct{}

var (
	_ payment.Gateway = noProvider{}
	_ payment.Ledger  = noProvider{}
)

var errNoProvider = fault.New(fault.PaymentProviderUnavailable, "There is no payment provider here.")

func (noProvider) Open(context.Context, payment.Intent) (string, error) { return "", errNoProvider }

func (noProvider) Capture(context.Context, string) (payment.Receipt, error) {
	return payment.Receipt{}, errNoProvider
}

func (noProvider) Cancel(context.Context, string) (payment.Cancellation, error) {
	return payment.Cancellation{}, errNoProvider
}

func (noProvider) Refund(context.Context, string) (payment.Receipt, error) {
	return payment.Receipt{}, errNoProvider
}

// Ledger is an empty page: nobody has moved money.
func (noProvider) Ledger(context.Context, string) (payment.LedgerView, error) {
	return payment.LedgerView{}, nil
}
