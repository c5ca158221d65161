package instance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// bounded lets an instance of four workers have so much to do, with a circuit that does not open: it is the other way to refuse orders.
func bounded(b limit.Bounds) func(*app.Config) {
	return func(c *app.Config) { c.Workers, c.Bounds, c.BreakerFailures = 4, b, 1_000_000 }
}

// closeCircuit closes what has opened all the same, over the share of calls that fail.
func (b *bubble) closeCircuit() {
	b.t.Helper()
	if err := b.Breakers[app.ChargeBreaker].Reset(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// overloaded requires the refusal of a new order.
func (a answer) overloaded() apigen.Problem {
	a.t.Helper()
	p := a.is(http.StatusServiceUnavailable).problem("OVERLOADED")
	after, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || after < 1 || after > 60 || p.RetryAfterSeconds == nil || *p.RetryAfterSeconds != int64(after) {
		a.t.Fatalf("Retry-After is %q in %s", a.header.Get("Retry-After"), a.body)
	}
	if p.Type != "urn:problem-type:cloudflow:overloaded" || p.Title == "" || p.Detail == "" || p.Instance != "/orders" || p.CorrelationID == "" ||
		a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("%v %s", a.header, a.body)
	}
	return p
}

// A rush is orders under keys of their own, and what became of each.
type rush struct {
	b        *bubble
	method   string
	mu       sync.Mutex
	accepted map[string]answer // by key
	refused  []string          // keys
}

func newRush(b *bubble) *rush { return &rush{b: b, method: visa, accepted: map[string]answer{}} }

func (r *rush) order(key string) answer {
	r.b.t.Helper()
	a := r.b.call("POST", "/orders", request(r.method, "A"), "Idempotency-Key", key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.status == http.StatusAccepted {
		r.accepted[key] = a
	} else {
		a.overloaded()
		r.refused = append(r.refused, key)
	}
	return a
}

// settle requires, at rest, that each order which was accepted has ended, and that there is no other.
func (r *rush) settle() {
	r.b.t.Helper()
	r.b.rest()
	for key, a := range r.accepted {
		if v := r.b.outcome(into[apigen.OrderAccepted](a).OrderID); v.Status != "CONFIRMED" && v.Status != "COMPENSATED" {
			r.b.t.Errorf("%s is %s", key, v.Status)
		}
	}
	stored := 0
	for _, k := range r.b.keys(order.Table) {
		if k.SK == "head" && strings.HasPrefix(k.PK, "ord-") {
			stored++
		}
	}
	if stored != len(r.accepted) {
		r.b.t.Errorf("%d orders were accepted, %d are stored", len(r.accepted), stored)
	}
}

// The provider hangs: four orders hold the workers, eight wait for one, and no more are taken until it answers again.
func TestNewOrdersAreRefusedWhileThereIsTooMuchToDo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 1000)
		b.fault(provider.Fault{Hang: true})
		r := newRush(b)
		for n := range 30 {
			a := r.order(fmt.Sprintf("k-%d", n))
			if synctest.Wait(); (a.status == http.StatusAccepted) != (n < 4+8) {
				t.Fatalf("order %d was answered %d", n, a.status)
			}
		}
		first := r.accepted["k-3"]
		again := b.call("POST", "/orders", request(visa, "A"), "Idempotency-Key", "k-3").is(http.StatusAccepted)
		if again.header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(first.body) {
			t.Errorf("a key that was accepted is answered %v %s", again.header, again.body)
		}
		b.call("POST", "/orders", request(declined, "A"), "Idempotency-Key", "k-3").is(http.StatusUnprocessableEntity).problem("IDEMPOTENCY_KEY_REUSED")
		b.call("POST", "/orders", request(visa, "A"), "Idempotency-Key", "k-20").overloaded()
		b.call("POST", "/orders", request(visa), "Idempotency-Key", "k-99").is(http.StatusUnprocessableEntity).problem("VALIDATION_FAILED")
		id := into[apigen.OrderAccepted](r.accepted["k-11"]).OrderID
		b.call("GET", "/orders/"+id, nil).is(http.StatusOK)
		b.call("GET", "/ready", nil).is(http.StatusOK)
		b.call("GET", "/health", nil).is(http.StatusOK)

		b.fault(provider.Fault{})
		wait(time.Minute) // what hung is given up, and the queue goes on
		for _, key := range []string{"k-20", "k-100"} {
			if a := r.order(key); a.status != http.StatusAccepted || a.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("%s is answered %d %s once there is room", key, a.status, a.body)
			}
		}
		r.settle()
	}, bounded(limit.Bounds{Ready: 8}))
}

// What waits too long is too much, however little it is.
func TestNewOrdersAreRefusedWhileTheFirstHasWaitedForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 1000)
		b.fault(provider.Fault{Hang: true})
		r := newRush(b)
		for n := range 6 {
			r.order(fmt.Sprintf("k-%d", n))
		}
		wait(1999 * time.Millisecond)
		if a := r.order("in-time"); a.status != http.StatusAccepted {
			t.Errorf("answered %d", a.status)
		}
		wait(time.Millisecond)
		if a := r.order("late"); a.status != http.StatusServiceUnavailable {
			t.Errorf("answered %d", a.status)
		}
		b.fault(provider.Fault{})
		r.settle()
	}, bounded(limit.Bounds{Ready: 1000, Wait: 2 * time.Second}))
}

// Orders whose provider is away for long sleep. They take memory, and nobody's turn: new ones are taken until the memory is used up.
func TestOrdersThatSleepDoNotBlockNewOnes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 1000)
		// A charge without an answer, and no way to take it back: the saga asks again and again, with longer and longer pauses.
		b.fault(provider.Fault{Only: "cancel", Down: true})
		r := newRush(b)
		r.method = provider.Timeout
		for n := range 40 { // five times what may be ready
			b.closeCircuit()
			if a := r.order(fmt.Sprintf("k-%d", n)); a.status != http.StatusAccepted {
				t.Fatalf("order %d was answered %d while %+v", n, a.status, b.Engine.Load())
			}
			wait(3 * time.Second)
		}
		if l := b.Engine.Load(); l.Open != 40 || l.Ready > 4 {
			t.Fatalf("after 40 orders: %+v", l)
		}
		b.closeCircuit()
		for n := range 5 {
			if a := r.order(fmt.Sprintf("beyond-%d", n)); a.status != http.StatusServiceUnavailable {
				t.Errorf("an order beyond the bound was answered %d", a.status)
			}
		}
		b.fault(provider.Fault{})
		wait(10 * time.Minute)
		if a := r.order("at-the-end"); a.status != http.StatusAccepted {
			t.Errorf("answered %d while %+v", a.status, b.Engine.Load())
		}
		r.settle()
	}, bounded(limit.Bounds{Open: 40, Ready: 8, Wait: 10 * time.Second}))
}

// A flood: far more callers at once than there is room for. However many come, the engine never has more than it may, and when it is over
// each that was accepted has ended.
func TestAFloodFillsTheQueueAndNoMore(t *testing.T) {
	const callers, each = 100, 30
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 100_000)
		b.fault(provider.Fault{Hang: true})
		r := newRush(b)
		var most atomic.Int64
		var flood sync.WaitGroup
		for c := range callers {
			flood.Go(func() {
				for n := range each {
					r.order(fmt.Sprintf("k-%d-%d", c, n))
					raise(&most, int64(b.Engine.Load().Open))
				}
			})
		}
		flood.Wait()
		if n := len(r.accepted); most.Load() > 4+8 || n > 4+8 || n < 8 || len(r.refused) != callers*each-n {
			t.Errorf("%d accepted and %d refused of %d; at most %d were open", n, len(r.refused), callers*each, most.Load())
		}
		b.fault(provider.Fault{})
		r.settle()
	}, bounded(limit.Bounds{Ready: 8}))
}

// One caller who gets no answer asks under the same key, many times at once: it is one order, whoever finds room, and none where there is no room.
func TestOneKeyManyTimesAtOnceWhileThereIsTooMuchToDo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 1000)
		b.fault(provider.Fault{Hang: true})
		r := newRush(b)
		for room := 1; room >= 0; room-- {
			before := len(r.accepted)
			key := fmt.Sprintf("same-%d", room)
			var all sync.WaitGroup
			bodies := map[string]bool{}
			for range 64 {
				all.Go(func() {
					if a := r.order(key); a.status == http.StatusAccepted {
						r.mu.Lock()
						defer r.mu.Unlock()
						bodies[string(a.body)] = true
					}
				})
			}
			all.Wait()
			if n := len(r.accepted) - before; n != room || len(bodies) != room {
				t.Errorf("with room for %d: %d accepted, with %d different answers", room, n, len(bodies))
			}
		}
		if l := b.Engine.Load(); l.Open != 1 {
			t.Errorf("%+v", l)
		}
		for range 64 { // what was accepted is answered, full or not
			r.order("same-1").is(http.StatusAccepted)
		}
		b.fault(provider.Fault{})
		r.settle()
	}, bounded(limit.Bounds{Open: 1}))
}

// An operator's redrive is let through, and what is open at a start is taken up, whatever the bounds say.
func TestWhatIsThereAlreadyIsNeverRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 1000)
		id, heal := b.failing()
		b.fault(provider.Fault{})
		wait(time.Minute)
		heal()
		b.fault(provider.Fault{Hang: true})
		r := newRush(b)
		for n := range 6 {
			r.order(fmt.Sprintf("k-%d", n))
			synctest.Wait()
		}
		if len(r.refused) == 0 {
			t.Fatal("there is still room")
		}
		b.call("POST", "/admin/sagas/"+id+"/redrive", apigen.RedriveRequest{Reason: "mended"}).is(http.StatusAccepted)
		if l := b.Engine.Load(); l.Open != len(r.accepted)+1 {
			t.Errorf("after the redrive: %+v", l)
		}
		b.fault(provider.Fault{})
		if v := b.outcome(id); v.Status != "CONFIRMED" {
			t.Errorf("it is %s", v.Status)
		}
		b.rest()
	}, bounded(limit.Bounds{Open: 5, Ready: 1}))
}

// What an operator sees of it: a real instance, over HTTP.
func TestRefusalsAreCountedAndShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *instance.Config) {
		c.Workers, c.Limits = 2, &httpapi.Limits{Work: limit.Bounds{Ready: 3}}
	})
	w.product("A", 1000)
	w.call("PUT", "/admin/faults", apigen.Faults{LatencyMs: ptr(int64(4000))}).is(http.StatusOK)
	accepted := 0
	eventually(t, "a new order is refused", func() bool {
		a := w.call("POST", "/orders", request(visa, "A"))
		if a.status == http.StatusAccepted {
			accepted++
			return false
		}
		a.overloaded()
		return true
	})
	text := string(w.call("GET", "/metrics", nil).is(http.StatusOK).body)
	for _, want := range []string{
		`cloudflow_orders_refused_total{reason="ready"} 1`, `cloudflow_orders_refused_total{reason="open"} 0`, `cloudflow_orders_refused_total{reason="wait"} 0`,
		"cloudflow_executions_ready ", "cloudflow_executions_oldest_seconds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	w.call("PUT", "/admin/faults", apigen.Faults{}).is(http.StatusOK)
	eventually(t, "there is room again", func() bool { return w.i.App.Engine.Load().Ready == 0 })
	if v := w.place(request(visa, "A")); v.Status != "CONFIRMED" {
		t.Errorf("it is %s", v.Status)
	}
	if report := w.rest(); report.Orders != int64(accepted+1) {
		t.Errorf("%d orders were accepted, %d are stored", accepted+1, report.Orders)
	}
}

// A server that does not know yet what was open says so.
func TestReadyOnceWhatWasOpenIsFound(t *testing.T) {
	t.Parallel()
	i, err := instance.Open(instance.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ready := func() int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ready", nil)
		r.Host = "localhost"
		rec := httptest.NewRecorder()
		i.Handler.ServeHTTP(rec, r)
		return rec.Code
	}
	if status := ready(); status != http.StatusServiceUnavailable {
		t.Errorf("before it works: %d", status)
	}
	ctx, stop := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- i.App.Run(ctx) }()
	<-i.App.Engine.Recovered()
	if status := ready(); status != http.StatusOK {
		t.Errorf("at work: %d", status)
	}
	stop()
	if err := errors.Join(<-worked, i.Close()); err != nil {
		t.Error(err)
	}
}
