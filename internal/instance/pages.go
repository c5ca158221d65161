package instance

import (
	"context"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/internal/dashboard"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/sagagraph"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// pages are the dashboard over all routes of the API.
func (i *Instance) pages(all http.Handler, tail *observe.Tail) (*dashboard.Dashboard, error) {
	c := dashboard.Config{
		Graph: sagagraph.New(i.App.Engine.Machine()),
		API:   all, Development: i.access.Development(), Chain: i.chain, Notification: i.notification, Follow: i.follow, Now: i.now,
		Logger: i.log.With("service", "dashboard"),
	}
	c.Demo = map[string]apigen.ProductPut{}
	for _, p := range DemoProducts {
		c.Demo[p.ProductID] = apigen.ProductPut{Name: p.Name, UnitPriceCents: p.UnitPriceCents, Stock: p.Stock}
	}
	if tail != nil {
		c.Log = tail.Lines
	}
	c.LoadURL, c.Services = i.address, i.services
	return dashboard.New(c)
}

// address is where the instance is called, once it serves. It is "" over TLS: the certificate names somebody else than a loopback address.
func (i *Instance) address() string {
	url, _ := i.url.Load().(string)
	return url
}

// withPages answers the dashboard's paths from the pages and all others from the API.
func withPages(pages, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dashboard.Has(r.URL.Path) {
			pages.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// chain checks an order's log from its first event.
func (i *Instance) chain(ctx context.Context, orderID string) error {
	var all []eventlog.Event
	for {
		page, err := eventlog.Read(ctx, i.Dir.Store, order.Table, orderID, int64(len(all)), 0, store.Strong)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return eventlog.Verify(all)
		}
		all = append(all, page...)
	}
}

func (i *Instance) notification(ctx context.Context, orderID string, version int64) (dashboard.Notification, bool, error) {
	r, err := i.App.Notifications.Show(ctx, orderID, version)
	switch {
	case fault.Is(err, fault.NotFound):
		return dashboard.Notification{}, false, nil
	case err != nil:
		return dashboard.Notification{}, false, err
	}
	return dashboard.Notification{
		Kind: string(r.Kind), Status: string(r.Status), Channel: r.Channel, MessageID: r.MessageID, Attempts: r.Attempts, BegunAt: r.BegunAt, EndedAt: r.EndedAt,
	}, true, nil
}

// followPause is how long the board waits for a store that did not answer.
const followPause = time.Second

// follow tells of everything that happens to orders from now on. What it cannot read it leaves out and goes on: the board is for looking,
// and no reason to stop taking orders.
func (i *Instance) follow(ctx context.Context, each func(dashboard.Event)) error {
	for {
		err := i.tell(ctx, each)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, whatever that broke off
		}
		i.log.WarnContext(ctx, "The board misses events", "service", "dashboard", "error", err.Error())
		timer := time.NewTimer(followPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tell is follow until something cannot be read, or ctx ends.
func (i *Instance) tell(ctx context.Context, each func(dashboard.Event)) error {
	at, err := i.App.Orders.NewsEnd(ctx)
	if err != nil {
		return err
	}
	for {
		grow := i.App.Orders.NewsGrow()
		news, err := i.App.Orders.News(ctx, at)
		if err != nil {
			return err
		}
		for _, n := range news.Notices {
			each(dashboard.Event{OrderID: n.OrderID, Type: n.Type, Status: n.Status, Version: n.Version, At: n.Timestamp})
		}
		at = news.Last
		if news.More {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grow:
		}
	}
}
