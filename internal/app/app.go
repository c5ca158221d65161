// Package app wires the services, the saga and the engine over the ports. It holds no rule of its own.
//
// The services are wired once, for both shapes (Services). New puts the engine, the queue and the loops of one process on top of them: the
// single binary, tests and simulation. Functions is the other shape: on AWS, Step Functions, SQS and a clock do what these do.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/limit"
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
	Provider    store.Store      // the simulated provider's own; nil: there is no provider, and every charge says so
	SagaKeys    *saga.Keys
	ContactKeys pii.Keys
	Sender      notification.Sender // to customers who gave an address
	NoContact   notification.Sender // for those who gave none: the log
	Sends       int                 // notifications being sent at once; 0: one
	Currency    string              // "USD" if empty

	BreakerFailures int                                   // 0: the breaker's default
	Simulator       provider.Config                       // Store is set here, and Now to that of the services if it is nil
	Gateway         func(payment.Gateway) payment.Gateway // wraps the provider, for simulation; nil: as it is

	Task func(name string, h saga.Handler) saga.Handler // wraps each task of the saga, to count them or for simulation; nil: as it is

	Counts Counts // are told of what happens

	Tracer *trace.Tracer // nil: nothing is traced

	Parse func(definition []byte) (*asl.Machine, error) // compiles a machine, for simulation, which starts often; nil: aslrun.Parse

	Saga []byte // the order saga's machine, with saga.LocalResources in place, that new orders run; nil: the one that is built in

	Bounds limit.Bounds // of what the engine has to do, before new orders are refused; the zero value: they never are

	Apart   bool // commit each step of the saga on its own, as on AWS: for simulation
	Workers int  // executions being advanced at once; 0: flow's default
	Now     func() time.Time
	Rand    *rand.Rand // of everything that is chance; used under a lock; nil: the runtime's
	Log     *slog.Logger
}

// App is the wired system in one process.
type App struct {
	*Services
	Queue  *storebus.Queue
	Engine *flow.Engine
}

// New wires an App. It neither reads nor writes a store.
func New(c Config) (*App, error) {
	c, t := c.ready()
	a := &App{Queue: storebus.Open(c.Store, "notifications", storebus.Config{Now: c.Now})}
	sagas := &sagas{keys: c.SagaKeys}
	var chance *chance
	a.Services, chance = c.services(t, shape{
		saga: sagas, outbox: outbox{a.Queue}, queue: a.Queue, gate: newGate(c, func() flow.Load { return a.Engine.Load() }),
	})

	resources := saga.LocalResources()
	table := a.table(c, t, a.thenWake)
	task := t.task(func(ctx context.Context, call flow.Call) (store.Effect, error) {
		return table.Do(ctx, call.Input, call.Attempt)
	})
	if c.Parse == nil {
		c.Parse = aslrun.Parse
	}
	if c.Saga == nil {
		c.Saga = saga.Definition(resources)
	}
	engine, err := flow.New(flow.Options{
		Store:      c.Store,
		Definition: c.Saga,
		Parse:      c.Parse,
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
