// Package instance is the single binary's inside: a data directory, the wired services and the HTTP server over them.
// `cloudflow serve` runs one, `cloudflow demo` a private one, the benchmarks one in their own process.
//
// It starts by recovering what was open, and stops by draining: it accepts no more, finishes the requests and the tasks under
// way, and leaves open executions to the next start. A crash at any moment is a stop without the drain: nothing that was
// acknowledged is lost by it.
package instance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/dashboard"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

// drainTime bounds the stop: a request that waits for an order's outcome is answered at once when the drain begins, and a task
// under way takes at most its 20 s.
const drainTime = 25 * time.Second

// sends is how many notifications are under way at once: a relay answers in tens of milliseconds, and eight connections
// are what a small one bears.
const sends = 8

// recoveryTime is how long callers are kept waiting at the start until the engine has found what was open, so that new orders are refused if
// that is too much already. 100,000 executions were found in four to five seconds on two very busy cores. If the store cannot be read or written,
// callers are answered all the same.
const recoveryTime = 10 * time.Second

// Config of an Instance. Dir is required.
type Config struct {
	Dir             string
	Sender          notification.Sender // nil: the log
	Currency        string
	BreakerFailures int
	Workers         int
	Saga            []byte           // as app.Config has it; nil: the saga that is built in
	KeepExecutions  time.Duration    // 0: retention's default
	KeepFeed        time.Duration    // how far back the live feed can be resumed; 0: the store's default, 24 h
	Access          Access           // who may call; the zero Access is development mode, with outages of the provider over HTTP
	Limits          *httpapi.Limits  // nil: httpapi.DefaultLimits
	Version         string           // of the program, for its metrics
	OTLP            *metrics.OTLP    // where metrics are sent, beside what /metrics shows; nil: nowhere
	Now             func() time.Time // nil: time.Now
	Log             *slog.Logger
	Tracer          *trace.Tracer // nil: nothing is traced. It is the caller's to close
	Moved           bool          // open a directory whose shop has moved, too: to read it
	Tail            *observe.Tail // the last lines of Log, for the pages; nil: they show none

	uncounted bool // nothing is counted: for the benchmark that says what counting costs
}

// Instance is an open data directory with everything wired over it.
type Instance struct {
	Dir       *datadir.Dir
	App       *app.App
	Retention *retention.Service
	Handler   http.Handler // of all routes, or of those for customers
	Admin     http.Handler // of those for operators; nil: Handler has them
	Keys      *apikey.Keys

	dashboard *dashboard.Dashboard
	figures   *figures
	metrics   *metrics.Metrics
	url       atomic.Value // string: where it is served

	access Access
	limits httpapi.Limits
	drain  *httpapi.Drain
	now    func() time.Time
	log    *slog.Logger
}

// Open opens the directory and wires the services. Nothing runs before Run, but for what sends metrics.
func Open(c Config) (*Instance, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var m *metrics.Metrics
	if !c.uncounted {
		var err error
		if m, err = metrics.Open(metrics.Config{Version: c.Version, OTLP: c.OTLP, Log: c.Log.With("service", "metrics")}); err != nil {
			return nil, err
		}
	}
	i, err := open(c, m)
	if err != nil {
		nobody, cancel := context.WithCancel(context.Background())
		cancel() // nothing has happened that a collector should hear of
		return nil, errors.Join(err, m.Close(nobody))
	}
	return i, nil
}

func open(c Config, m *metrics.Metrics) (*Instance, error) {
	if c.Sender == nil {
		c.Sender = sender.NewLog(c.Log)
	}
	if c.Limits == nil {
		c.Limits = &httpapi.DefaultLimits
	}
	limits := *c.Limits
	if c.Access.Development() { // everybody is one caller there
		limits.PerKey, limits.PerAddress, limits.OpenOrders = limit.Rate{}, limit.Rate{}, 0
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	dir, err := datadir.Open(c.Dir, datadir.Options{
		FeedKeys: order.IsEvent, KeepFeed: c.KeepFeed, Now: c.Now, Log: c.Log.With("service", "store"), Moved: c.Moved,
		Watch: watch(m, ownStore), WatchProvider: watch(m, providerStore),
	})
	if err != nil {
		return nil, err
	}
	counted := newFigures(c.Now, m)
	a, err := app.New(app.Config{
		Store: dir.Store, Feed: dir.Store, Provider: dir.Provider, SagaKeys: dir.SagaKeys, ContactKeys: dir.ContactKeys,
		Sender: counted.sender(c.Sender), NoContact: counted.sender(sender.NewLog(c.Log)), Sends: sends,
		Gateway: counted.gateway, Task: counted.task, Counts: app.CountIn(m), Tracer: c.Tracer,
		Currency: c.Currency, BreakerFailures: c.BreakerFailures, Workers: c.Workers, Bounds: limits.Work, Saga: c.Saga,
		Now: c.Now, Log: c.Log,
	})
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	cursorKeys, err := dir.SagaKeys.Derive("cloudflow cursors 1")
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	i := &Instance{
		Dir: dir, App: a, Keys: apikey.New(apikey.Config{Store: dir.Store, Now: c.Now}), access: c.Access, limits: limits,
		drain: httpapi.NewDrain(), figures: counted, metrics: m, now: c.Now, log: c.Log,
	}
	m.Watch(counted.request)
	m.Observe(i.observe)
	principal, err := c.Access.principal(i.Keys)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	i.Retention = retention.New(retention.Config{
		Store: dir.Store, Dump: dir.Store, Engine: a.Engine, Now: c.Now, KeepExecutions: c.KeepExecutions, Log: c.Log,
	})
	routes := httpapi.Config{
		Orders: tracedOrders(a.Orders, c.Tracer), Lists: a.Orders, News: a.Orders, CursorKeys: cursorKeys,
		Products: a.Inventory, Payments: a.Payments, Sagas: sagasOf(a), Tasks: a.Engine,
		DeadLetters: notification.DeadLetters{Queue: a.DeadLetters()},
		Breakers:    []httpapi.Breaker{a.Breakers[app.ChargeBreaker], a.Breakers[app.RefundBreaker]},
		Verifier:    verifier{i}, Data: data{i}, Faults: faultsOf(a, c.Access.Development()), Limits: limits, Metrics: m, Tracer: c.Tracer,
		Keys: i.Keys, Principal: principal, CORS: c.Access.CORS, Drain: i.drain, Recovering: i.recovering, NewID: a.NewID, Log: c.Log, Debug: profiles(),
	}
	if err := i.handlers(routes, c.Tail); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return i, nil
}

// handlers are the routes for each listener. The pages are for operators.
func (i *Instance) handlers(routes httpapi.Config, tail *observe.Tail) (err error) {
	if !i.access.Split {
		all := httpapi.New(routes)
		if i.dashboard, err = i.pages(all, tail); err == nil {
			i.Handler = withPages(i.dashboard, all)
		}
		return err
	}
	customers, operators, all := httpapi.Split(routes)
	if i.dashboard, err = i.pages(all, tail); err == nil {
		i.Handler, i.Admin = customers, withPages(i.dashboard, operators)
	}
	return err
}

// Serve runs the instance on the listener until ctx ends, then drains. The listener is closed when it returns; the directory
// is not.
func (i *Instance) Serve(ctx context.Context, l net.Listener) error { return i.ServeSplit(ctx, l, nil) }

// ServeSplit is Serve for an instance whose routes for operators have a listener of their own (Access.Split); nil: they have not.
func (i *Instance) ServeSplit(ctx context.Context, l, admin net.Listener) error {
	servers := map[*http.Server]net.Listener{httpapi.NewServer(l.Addr().String(), i.Handler, i.log): l}
	if admin != nil {
		servers[httpapi.NewServer(admin.Addr().String(), i.Admin, i.log)] = admin
	}
	if i.access.TLS == nil {
		i.url.Store("http://" + l.Addr().String())
	}
	// The services outlive the requests: a request that is being finished may still start a saga.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, failed := errgroup.WithContext(work)
	g.Go(func() error { return i.App.Run(work) })
	g.Go(func() error { return i.Retention.Loop(work) })
	g.Go(func() error { return i.access.run(work) })
	pages, stopPages := context.WithCancel(work) // a load test ends when the drain begins: its orders are among the requests to be finished
	defer stopPages()
	g.Go(func() error { return i.dashboard.Run(pages) })
	for server, l := range servers {
		g.Go(func() error {
			i.awaitRecovery(work)
			if err := server.Serve(i.secured(i.bounded(l))); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-failed.Done():
		}
		i.drain.Start()
		stopPages()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err := shutdown(limit, servers)
		stopWork()
		if err != nil {
			return fmt.Errorf("stopped before all requests were answered: some took over %s: %w", drainTime, err)
		}
		return nil
	})
	return g.Wait()
}

// awaitRecovery waits until the engine has found what was open, but not for long. Who calls meanwhile waits at the listener.
func (i *Instance) awaitRecovery(ctx context.Context) {
	limit := time.NewTimer(recoveryTime)
	defer limit.Stop()
	select {
	case <-i.App.Engine.Recovered():
	case <-ctx.Done():
	case <-limit.C:
	}
}

// recovering reports whether there may be open executions that the engine has not found yet.
func (i *Instance) recovering() bool {
	select {
	case <-i.App.Engine.Recovered():
		return false
	default:
		return true
	}
}

// shutdown finishes the requests of all servers, at the same time.
func shutdown(ctx context.Context, servers map[*http.Server]net.Listener) error {
	var g errgroup.Group
	for server := range servers {
		g.Go(func() error { return server.Shutdown(ctx) })
	}
	return g.Wait()
}

// bounded is the listener within the limits of connections.
func (i *Instance) bounded(l net.Listener) net.Listener {
	if i.limits.Connections == 0 {
		return l
	}
	return limit.Listener(l, i.limits.Connections, i.limits.PerAddressConnections())
}

// secured is the listener with TLS, if there is to be any.
func (i *Instance) secured(l net.Listener) net.Listener {
	if i.access.TLS == nil {
		return l
	}
	return tls.NewListener(l, i.access.TLS)
}

// Close sends the last metrics, if they are sent anywhere, and closes the directory. Serve must have returned.
func (i *Instance) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTime)
	defer cancel()
	return errors.Join(i.metrics.Close(ctx), i.Dir.Close())
}

// DemoProducts are what --demo puts on the shelf.
var DemoProducts = []inventory.PutProduct{
	{ProductID: "LAPTOP-01", Name: "Laptop 14", UnitPriceCents: 149900, Stock: pieces(10)},
	{ProductID: "MOUSE-01", Name: "Mouse", UnitPriceCents: 2999, Stock: pieces(25)},
	{ProductID: "KEYBD-01", Name: "Keyboard", UnitPriceCents: 8999, Stock: pieces(8)},
}

func pieces(n int64) *int64 { return &n }

// SeedDemo creates the demo products that do not exist. Those that do keep their stock.
func (i *Instance) SeedDemo(ctx context.Context) error {
	for _, p := range DemoProducts {
		if _, err := i.App.Inventory.Get(ctx, p.ProductID); err == nil {
			continue
		}
		if _, _, err := i.App.Inventory.Put(ctx, p); err != nil {
			return fmt.Errorf("demo product %s: %w", p.ProductID, err)
		}
	}
	return nil
}

// Verify checks the invariants of an open directory.
func Verify(ctx context.Context, dir *datadir.Dir, now time.Time) (invariant.Report, error) {
	s := invariant.New()
	if err := dir.Dump(ctx, s.Add, s.AddProvider); err != nil {
		return invariant.Report{}, err
	}
	return s.Check(now, false), nil
}

// verifier is the check of a running instance, as the HTTP API asks for it.
type verifier struct{ i *Instance }

func (v verifier) Verify(ctx context.Context) (httpapi.VerifyReport, error) {
	report, err := Verify(ctx, v.i.Dir, v.i.now())
	if err != nil {
		return httpapi.VerifyReport{}, err
	}
	out := httpapi.VerifyReport{Orders: int64(report.Orders), Skipped: int64(report.Open)}
	for _, x := range report.Violations {
		out.Violations = append(out.Violations, httpapi.Violation{Invariant: x.Rule, Subject: x.Subject, Detail: x.Detail})
	}
	return out, nil
}
