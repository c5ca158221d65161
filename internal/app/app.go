// Package app wires the services, the saga and the engine over the ports: once, for the single binary, for tests and for
// simulation. It holds no rule of its own.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The pace of what runs beside the orders.
const (
	// sweepEvery is how often open orders are looked through for one whose saga was lost or failed unseen. Both
	// are impossible in one process unless there is a bug, so it is rare.
	sweepEvery = time.Minute
	// expireEvery is how often old holds are asked about: their age is 15 minutes, so a minute is exact enough.
	expireEvery = time.Minute
)

// Config of an App. Store, Provider, SagaKeys, ContactKeys and Sender are required.
type Config struct {
	Store       store.Store
	Feed        store.FeedReader // of Store, with what order.IsEvent selects; nil: no live feed
	Provider    store.Store      // the simulated provider's own
	SagaKeys    *saga.Keys
	ContactKeys pii.Keys
	Sender      notification.Sender // to customers who gave an address
	NoContact   notification.Sender // for those who gave none: the log
	Sends       int                 // notifications being sent at once; 0: one
	Currency    string              // "USD" if empty

	BreakerFailures int                                   // 0: the breaker's default
	Simulator       provider.Config                       // Store and Now are set here
	Gateway         func(payment.Gateway) payment.Gateway // wraps the provider, for simulation; nil: as it is

	Task func(name string, h saga.Handler) saga.Handler // wraps each task of the saga, to count them or for simulation; nil: as it is

	Counts Counts // are told of what happens

	Tracer *trace.Tracer // nil: nothing is traced

	Apart   bool // commit each step of the saga on its own, as on AWS: for simulation
	Workers int  // executions being advanced at once; 0: flow's default
	Now     func() time.Time
	Rand    *rand.Rand // of everything that is chance; used under a lock; nil: the runtime's
	Log     *slog.Logger
}

// Counts are told of what happened, once it is durable, and are quick. Any may be nil.
type Counts struct {
	OrderCreated   func()
	OrderEnded     func(status string)
	ExecutionEnded func(status string)
	BreakerChanged func(name string, to breaker.State) // decided here
}

// App is the wired system.
type App struct {
	Orders        *order.Service
	Inventory     *inventory.Service
	Payments      *payment.Service
	Notifications *notification.Service
	Queue         *storebus.Queue
	Engine        *flow.Engine
	Provider      *provider.Simulator
	Breakers      map[string]*breaker.Breaker // by name
	NewID         func(prefix string) string  // prefix and a ULID

	log *slog.Logger
}

// The breakers' names.
const (
	ChargeBreaker = "payment-charge"
	RefundBreaker = "payment-refund"
)

// New wires an App. It neither reads nor writes a store.
func New(c Config) (*App, error) {
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
	chance := newChance(c.Rand)
	a := &App{log: c.Log, Breakers: map[string]*breaker.Breaker{}, NewID: chance.newID(c.Now)}

	for _, name := range []string{ChargeBreaker, RefundBreaker} {
		a.Breakers[name] = breaker.New(c.Store, name, breaker.Config{
			Failures: c.BreakerFailures, Now: c.Now, Rand: chance.fork(), Log: c.Log, OnChange: c.Counts.breaker(name), Watch: t.breaker(name),
		})
	}
	sim := c.Simulator
	sim.Store, sim.Now = c.Provider, c.Now
	a.Provider = provider.New(sim)
	var gateway payment.Gateway = a.Provider
	if c.Gateway != nil {
		gateway = c.Gateway(gateway)
	}
	gateway = t.gateway(gateway)
	a.Payments = payment.New(payment.Config{
		Store: c.Store, Gateway: gateway, Ledger: a.Provider,
		ChargeBreaker: a.Breakers[ChargeBreaker], RefundBreaker: a.Breakers[RefundBreaker],
		Now: c.Now, Log: c.Log,
	})
	outcomes := &outcomes{}
	a.Inventory = inventory.New(inventory.Config{Store: c.Store, Outcomes: outcomes, Now: c.Now, Log: c.Log})
	a.Queue = storebus.Open(c.Store, "notifications", storebus.Config{Now: c.Now})
	a.Notifications = notification.New(notification.Config{
		Store: c.Store, Queue: a.Queue, Staged: a.Queue, Sender: t.sender(c.Sender), NoContact: t.sender(c.NoContact),
		Keys: c.ContactKeys, Now: c.Now, Log: c.Log, Concurrency: c.Sends, Received: t.received(),
	})
	sagas := &sagas{keys: c.SagaKeys}
	a.Orders = order.New(order.Config{
		Store: c.Store, Feed: c.Feed, Catalog: catalog{a.Inventory}, Admission: a.Breakers[ChargeBreaker],
		Saga: t.starter(sagas), Outbox: t.outbox(outbox{a.Queue}), Keys: c.ContactKeys,
		Now: c.Now, NewID: a.NewID, Currency: c.Currency, Log: c.Log,
		Created: c.Counts.OrderCreated, Ended: c.Counts.OrderEnded,
	})
	outcomes.orders = a.Orders

	resources := saga.LocalResources()
	table := saga.NewTable(c.SagaKeys, a.Orders, a.Inventory, a.Payments)
	table["order.notify"] = a.thenWake(table["order.notify"])
	if c.Task != nil {
		for name, h := range table {
			table[name] = c.Task(name, h)
		}
	}
	for name, h := range table {
		table[name] = t.handler(h)
	}
	task := t.task(func(ctx context.Context, call flow.Call) (store.Effect, error) {
		return table.Do(ctx, call.Input, call.Attempt)
	})
	engine, err := flow.New(flow.Options{
		Store:      c.Store,
		Definition: saga.Definition(resources),
		Tasks:      map[string]flow.Task{resources.Order: task, resources.Inventory: task, resources.Payment: task},
		StagedOnly: func(call flow.Call) bool { return !c.Apart && table.StagedOnly(call.Input) },
		Name:       "cloudflow-saga",
		Workers:    c.Workers,
		Now:        c.Now,
		Seed:       chance.seed,
		Log:        c.Log.With("service", "flow"),
		Follow:     t.follow(),
		OnFailed: func(tx *store.Tx, e flow.Ended) error {
			return a.Orders.StageReview(tx, order.OfExecution(e.Execution), e.Execution, string(e.Status), e.Error, e.Cause)
		},
		OnEnded: c.Counts.execution(),
	})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	a.Engine, sagas.engine = engine, engine
	return a, nil
}

func (c Counts) breaker(name string) func(_, to breaker.State) {
	if c.BreakerChanged == nil {
		return nil
	}
	return func(_, to breaker.State) { c.BreakerChanged(name, to) }
}

func (c Counts) execution() func(flow.Ended) {
	if c.ExecutionEnded == nil {
		return nil
	}
	return func(e flow.Ended) { c.ExecutionEnded(string(e.Status)) }
}

// thenWake tells the queue's consumer of a message once it is committed.
func (a *App) thenWake(notify saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		effect, err := notify(ctx, in)
		committed := effect.Committed
		effect.Committed = func() {
			if committed != nil {
				committed()
			}
			a.Queue.Notify()
		}
		return effect, err
	}
}

// Run recovers what was open and works until ctx ends; then it drains: tasks under way finish, open executions stay
// for the next start.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Engine.Run(ctx) })
	g.Go(func() error { return a.Notifications.Run(ctx) })
	g.Go(func() error { return a.every(ctx, sweepEvery, "sweep", a.sweep) })
	g.Go(func() error { return a.every(ctx, expireEvery, "expire", a.expire) })
	return g.Wait()
}

// every calls work at each tick until ctx ends. A failure is logged and tried again at the next tick: what was not done
// stays to be found.
func (a *App) every(ctx context.Context, pace time.Duration, what string, work func(context.Context) error) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := work(ctx); err != nil && ctx.Err() == nil {
			a.log.LogAttrs(ctx, slog.LevelError, "Background work failed", slog.String("service", "app"),
				slog.String("work", what), slog.Any("error", err))
		}
	}
}

func (a *App) sweep(ctx context.Context) error {
	_, err := a.Orders.Sweep(ctx)
	return err
}

func (a *App) expire(ctx context.Context) error {
	_, err := a.Inventory.Expire(ctx)
	return err
}

// DeadLetters are the notifications that nobody could deliver.
func (a *App) DeadLetters() bus.DeadLetters { return a.Queue }

// chance makes ids and seeds from one source, under a lock.
type chance struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newChance(r *rand.Rand) *chance {
	if r == nil {
		r = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &chance{rnd: r}
}

func (c *chance) seed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.Uint64()
}

// fork is a source of its own, for who locks for himself.
func (c *chance) fork() *rand.Rand { return rand.New(rand.NewPCG(c.seed(), c.seed())) }
