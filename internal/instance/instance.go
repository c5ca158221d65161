// Package instance is the single binary's inside: a data directory, the wired services and the HTTP server over them.
// `cloudflow serve` runs one, `cloudflow demo` a private one, the benchmarks one in their own process.
//
// It starts by recovering what was open, and stops by draining: it accepts no more, finishes the requests and the tasks under
// way, and leaves open executions to the next start. A crash at any moment is a stop without the drain: nothing that was
// acknowledged is lost by it.
package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

// drainTime bounds the stop: a request that waits for an order's outcome is answered at once when the drain begins, and a task
// under way takes at most its 20 s.
const drainTime = 25 * time.Second

// sends is how many notifications are under way at once: a relay answers in tens of milliseconds, and eight connections
// are what a small one bears.
const sends = 8

// Config of an Instance. Dir is required.
type Config struct {
	Dir             string
	Sender          notification.Sender // nil: the log
	Currency        string
	BreakerFailures int
	Workers         int
	Access          Access
	Log             *slog.Logger
}

// Instance is an open data directory with everything wired over it.
type Instance struct {
	Dir     *datadir.Dir
	App     *app.App
	Handler http.Handler // of all routes, or of those for customers
	Admin   http.Handler // of those for operators; nil: Handler has them
	Keys    *apikey.Keys

	access Access
	drain  *httpapi.Drain
	log    *slog.Logger
}

// Open opens the directory and wires the services. Nothing runs before Run.
func Open(c Config) (*Instance, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Sender == nil {
		c.Sender = sender.NewLog(c.Log)
	}
	dir, err := datadir.Open(c.Dir, datadir.Options{Log: c.Log.With("service", "store")})
	if err != nil {
		return nil, err
	}
	a, err := app.New(app.Config{
		Store: dir.Store, Provider: dir.Provider, SagaKeys: dir.SagaKeys, ContactKeys: dir.ContactKeys,
		Sender: c.Sender, NoContact: sender.NewLog(c.Log), Sends: sends, Currency: c.Currency, BreakerFailures: c.BreakerFailures, Workers: c.Workers, Log: c.Log,
	})
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	i := &Instance{Dir: dir, App: a, Keys: apikey.New(apikey.Config{Store: dir.Store}), access: c.Access, drain: httpapi.NewDrain(), log: c.Log}
	principal, err := c.Access.principal(i.Keys)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	routes := httpapi.Config{
		Orders: a.Orders, Products: a.Inventory, Payments: a.Payments, Sagas: sagas{a},
		Breakers: []httpapi.Breaker{a.Breakers[app.ChargeBreaker], a.Breakers[app.RefundBreaker]},
		Verifier: verifier{i}, Keys: i.Keys, Principal: principal, CORS: c.Access.CORS,
		Drain: i.drain, NewID: a.NewID, Log: c.Log,
	}
	if c.Access.Split {
		i.Handler, i.Admin = httpapi.Split(routes)
	} else {
		i.Handler = httpapi.New(routes)
	}
	return i, nil
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
	// The services outlive the requests: a request that is being finished may still start a saga.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, failed := errgroup.WithContext(work)
	g.Go(func() error { return i.App.Run(work) })
	g.Go(func() error { return i.access.run(work) })
	for server, l := range servers {
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
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

// shutdown finishes the requests of all servers, at the same time.
func shutdown(ctx context.Context, servers map[*http.Server]net.Listener) error {
	var g errgroup.Group
	for server := range servers {
		g.Go(func() error { return server.Shutdown(ctx) })
	}
	return g.Wait()
}

// Close closes the directory. Serve must have returned.
func (i *Instance) Close() error { return i.Dir.Close() }

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
	report, err := Verify(ctx, v.i.Dir, time.Now())
	if err != nil {
		return httpapi.VerifyReport{}, err
	}
	out := httpapi.VerifyReport{Orders: int64(report.Orders), Skipped: int64(report.Open)}
	for _, x := range report.Violations {
		out.Violations = append(out.Violations, httpapi.Violation{Invariant: x.Rule, Subject: x.Subject, Detail: x.Detail})
	}
	return out, nil
}

// sagas are an order's executions, as the HTTP API asks for them.
type sagas struct{ a *app.App }

func (s sagas) Current(ctx context.Context, orderID string) (flow.Execution, error) {
	view, err := s.a.Orders.Get(ctx, orderID, order.ViewQuery{})
	if err != nil {
		return flow.Execution{}, err
	}
	redrives := int64(0)
	for _, e := range view.Events {
		if e.Type == order.SagaRedriven {
			redrives++
		}
	}
	return s.a.Engine.Describe(ctx, order.ExecutionName(orderID, redrives))
}

func (s sagas) Redrive(ctx context.Context, orderID, reason, actor, correlationID string) (string, error) {
	return s.a.Orders.Redrive(ctx, orderID, reason, actor, correlationID)
}
