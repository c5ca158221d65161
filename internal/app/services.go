package app

import (
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

// The breakers' names.
const (
	ChargeBreaker = "payment-charge"
	RefundBreaker = "payment-refund"
)

// Services are the four services over the ports, the same in both shapes.
type Services struct {
	Orders        *order.Service
	Inventory     *inventory.Service
	Payments      *payment.Service
	Notifications *notification.Service
	Provider      *provider.Simulator         // nil: there is no provider
	Breakers      map[string]*breaker.Breaker // by name
	NewID         func(prefix string) string  // prefix and a ULID

	log *slog.Logger
}

// A shape is what the services are given differently in one process and on AWS.
type shape struct {
	saga     order.Starter
	startNow startNow // nil: saga stages the starts
	outbox   order.Outbox
	gate     order.Gate               // nil: whoever runs the saga has bounds of its own
	queue    notification.StagedQueue // nil: the notifications' queue is not in the store
	phone    notification.Sender      // nil: phone numbers do not count
	cacheFor time.Duration            // of the breakers
}

// ready is the config with its defaults, over a store that makes spans.
func (c Config) ready() (Config, traced) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	t := traced{c.Tracer, c.Now}
	c.Store = t.store(c.Store)
	return c, t
}

// services wires the services, and returns with them the source of all else that is chance.
func (c Config) services(t traced, on shape) (*Services, *chance) {
	chance := newChance(c.Rand)
	s := &Services{log: c.Log, Breakers: map[string]*breaker.Breaker{}, NewID: chance.newID(c.Now)}
	for _, name := range []string{ChargeBreaker, RefundBreaker} {
		s.Breakers[name] = breaker.New(c.Store, name, breaker.Config{
			Failures: c.BreakerFailures, CacheFor: on.cacheFor, Now: c.Now, Rand: chance.fork(), Log: c.Log,
			OnChange: c.Counts.breaker(name), Watch: t.breaker(name),
		})
	}
	var gateway payment.Gateway = noProvider{}
	var ledger payment.Ledger = noProvider{}
	if c.Provider != nil {
		sim := c.Simulator
		sim.Store = c.Provider
		if sim.Now == nil {
			sim.Now = c.Now
		}
		s.Provider = provider.New(sim)
		gateway, ledger = s.Provider, s.Provider
	}
	if c.Gateway != nil {
		gateway = c.Gateway(gateway)
	}
	s.Payments = payment.New(payment.Config{
		Store: c.Store, Gateway: t.gateway(gateway), Ledger: ledger,
		ChargeBreaker: s.Breakers[ChargeBreaker], RefundBreaker: s.Breakers[RefundBreaker],
		Now: c.Now, Log: c.Log,
	})
	outcomes := &outcomes{}
	s.Inventory = inventory.New(inventory.Config{Store: c.Store, Outcomes: outcomes, Now: c.Now, Log: c.Log})
	s.Notifications = notification.New(notification.Config{
		Store: c.Store, Staged: on.queue, Sender: t.sender(c.Sender), Phone: t.sender(on.phone), NoContact: t.sender(c.NoContact),
		Keys: c.ContactKeys, Now: c.Now, Log: c.Log, Concurrency: c.Sends, Received: t.received(),
	})
	s.Orders = order.New(order.Config{
		Store: c.Store, Feed: c.Feed, Catalog: catalog{s.Inventory}, Admission: s.Breakers[ChargeBreaker], Gate: on.gate,
		Saga: t.starter(on.saga), StartNow: on.startNow, Outbox: t.outbox(on.outbox), Keys: c.ContactKeys,
		Now: c.Now, NewID: s.NewID, Currency: c.Currency, Log: c.Log,
		Created: c.Counts.OrderCreated, Ended: c.Counts.OrderEnded,
	})
	outcomes.orders = s.Orders
	return s, chance
}

// table is the saga's table over the services, each task within what the config and the tracer put around it. notify wraps the task that
// sends the customer's message.
func (s *Services) table(c Config, t traced, notify func(saga.Handler) saga.Handler) saga.Table {
	table := saga.NewTable(c.SagaKeys, s.Orders, s.Inventory, s.Payments)
	table["order.notify"] = notify(table["order.notify"])
	if c.Task != nil {
		for name, h := range table {
			table[name] = c.Task(name, h)
		}
	}
	for name, h := range table {
		table[name] = t.handler(h)
	}
	return table
}
