package instance

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/dashboard"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// figureMinutes is how far the service map looks back, as the operations board does.
const figureMinutes = 15

// figures count and time what the services do, for the service map. A count takes an uncontended lock, some twenty nanoseconds of the
// hundreds of microseconds that an order costs.
//
// What an answer is, is an answer: a declined card and missing stock are no failures. As over HTTP, a failure is what would be a 5xx.
type figures struct {
	now   func() time.Time
	of    map[string]*figure // only read
	tasks *metrics.Metrics   // have the durations of tasks
}

// The services that are counted. The store counts for itself.
const (
	figureHTTP         = "http"
	figureOrder        = "order"
	figureInventory    = "inventory"
	figurePayment      = "payment"
	figureNotification = "notification"
	figureProvider     = "provider"
	figureStore        = "store"
)

func newFigures(now func() time.Time, m *metrics.Metrics) *figures {
	f := &figures{now: now, of: map[string]*figure{}, tasks: m}
	for _, name := range []string{figureHTTP, figureOrder, figureInventory, figurePayment, figureNotification, figureProvider} {
		f.of[name] = &figure{}
	}
	return f
}

// A figure is one service's, by the minute.
type figure struct {
	mu      sync.Mutex
	minutes [figureMinutes]figureMinute
}

type figureMinute struct {
	minute        int64 // since 1970; another one than is looked for: it is over
	calls, failed int64
	took          time.Duration
}

func (f *figures) add(name string, took time.Duration, failed bool) {
	minute := f.now().Unix() / 60
	s := f.of[name]
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.minutes[minute%figureMinutes]
	if m.minute != minute {
		*m = figureMinute{minute: minute}
	}
	m.calls++
	m.took += took
	if failed {
		m.failed++
	}
}

func (f *figures) addError(name string, began time.Time, err error) {
	f.add(name, time.Since(began), fault.KindOf(err).Status() >= 500 && err != nil)
}

// read is what each service did in the last minutes.
func (f *figures) read() []dashboard.ServiceFigure {
	minute := f.now().Unix() / 60
	var all []dashboard.ServiceFigure
	for name, s := range f.of {
		out := dashboard.ServiceFigure{Name: name}
		s.mu.Lock()
		for _, m := range s.minutes {
			if m.minute > minute-figureMinutes && m.minute <= minute {
				out.Calls += m.calls
				out.Failed += m.failed
				out.Took += m.took
			}
		}
		s.mu.Unlock()
		all = append(all, out)
	}
	return all
}

// services are the figures with those of the store, which counts since the start.
func (i *Instance) services() []dashboard.ServiceFigure {
	s := i.Dir.Store.Stats()
	return append(i.figures.read(), dashboard.ServiceFigure{Name: figureStore, Calls: int64(s.Groups), Took: s.SyncTime}) //nolint:gosec // under 2^63
}

// request counts a request over HTTP. A stream lasts as long as somebody looks, which says nothing.
func (f *figures) request(_, pattern string, status int, took time.Duration) {
	if pattern != "/events" {
		f.add(figureHTTP, took, status < 100 || status >= 500)
	}
}

// task counts a task of the saga under its service, and times it under its name: from its beginning until what it wrote is durable.
func (f *figures) task(name string, h saga.Handler) saga.Handler {
	service, _, _ := strings.Cut(name, ".")
	if f.of[service] == nil {
		return h
	}
	duration := f.tasks.Histogram(metrics.TaskDuration, name)
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		began := time.Now()
		ended := func(err error) {
			duration.Took(time.Since(began))
			f.addError(service, began, err)
		}
		effect, err := h(ctx, in)
		if err != nil {
			ended(err)
			return effect, err
		}
		committed, refused := effect.Committed, effect.Refused
		effect.Committed = func() {
			ended(nil)
			if committed != nil {
				committed()
			}
		}
		if refused != nil {
			effect.Refused = func(r *store.Refusal) error {
				err := refused(r)
				if err != nil {
					ended(err)
				}
				return err
			}
		}
		return effect, nil
	}
}

// gateway counts the calls of the payment provider.
func (f *figures) gateway(g payment.Gateway) payment.Gateway { return countedGateway{g, f} }

type countedGateway struct {
	payment.Gateway
	f *figures
}

func (g countedGateway) Open(ctx context.Context, in payment.Intent) (id string, err error) {
	defer func(began time.Time) { g.f.addError(figureProvider, began, err) }(time.Now())
	return g.Gateway.Open(ctx, in)
}

func (g countedGateway) Capture(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	defer func(began time.Time) { g.f.addError(figureProvider, began, err) }(time.Now())
	return g.Gateway.Capture(ctx, intentID)
}

func (g countedGateway) Cancel(ctx context.Context, intentID string) (c payment.Cancellation, err error) {
	defer func(began time.Time) { g.f.addError(figureProvider, began, err) }(time.Now())
	return g.Gateway.Cancel(ctx, intentID)
}

func (g countedGateway) Refund(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	defer func(began time.Time) { g.f.addError(figureProvider, began, err) }(time.Now())
	return g.Gateway.Refund(ctx, intentID)
}

// sender counts the sends of notifications.
func (f *figures) sender(s notification.Sender) notification.Sender { return countedSender{s, f} }

type countedSender struct {
	notification.Sender
	f *figures
}

func (s countedSender) Send(ctx context.Context, e notification.Email) (err error) {
	defer func(began time.Time) { s.f.addError(figureNotification, began, err) }(time.Now())
	return s.Sender.Send(ctx, e)
}
