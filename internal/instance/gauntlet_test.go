package instance_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A gauntlet is an instance that takes keys and is led through every way in which an order can end, and everything that can go wrong on it.
type gauntlet struct {
	*world
	t       *testing.T
	path    string
	book    *logbook // of log
	log     *slog.Logger
	contact apigen.Contact
	send    notification.Sender // nil: the log
	refuses func(bool)          // has send turn everything away, or take it; nil: it cannot
	ahead   time.Duration       // of the real clock
	calls   int                 // each has a correlation id of its own
	orders  map[string]string   // ids, by what they are
	panics  atomic.Bool         // the next call of GET /admin/verify does, once
}

// A mailman is a way for notifications to leave, and whether it can be made to refuse.
type mailman struct {
	name string
	make func(t *testing.T, g *gauntlet)
}

func mailmen() []mailman {
	return []mailman{
		{"the log", func(*testing.T, *gauntlet) {}},
		{"a relay that quotes the address", func(t *testing.T, g *gauntlet) {
			r := startRelay(t)
			g.send, g.refuses = r.smtp, r.goesAway
		}},
		{"a sender that quotes the address", func(_ *testing.T, g *gauntlet) {
			m := newMailbox()
			g.send = m
			g.refuses = func(on bool) {
				m.refusing(nil)
				if on {
					m.refusing(func(e notification.Email) error {
						return fault.Wrap(fault.Transient, fmt.Errorf("RCPT TO:<%s>", e.To), "450 4.2.1 <%s>: try later", e.To)
					})
				}
			}
		}},
		{"a sender that panics with the address", func(_ *testing.T, g *gauntlet) {
			m := newMailbox()
			g.send = m
			g.refuses = func(on bool) {
				m.refusing(nil)
				if on {
					m.refusing(func(e notification.Email) error { panic("no such mailbox: " + e.To) })
				}
			}
		}},
	}
}

// secretOfPanic is what a handler's panic says.
const secretOfPanic = "at 4111111111111111"

// starts starts the instance, so much later than it was stopped.
func (g *gauntlet) starts(later time.Duration) {
	g.t.Helper()
	if g.world != nil {
		g.end()
	}
	g.ahead += later
	ahead := g.ahead
	g.world = openWorld(g.t, g.path, func(c *instance.Config) {
		c.Sender, c.Log, c.Access.Keys, c.Limits = g.send, g.log, true, &httpapi.Limits{}
		c.Now = func() time.Time {
			if g.panics.Load() && handlerAsks() && g.panics.CompareAndSwap(true, false) {
				panic(secretOfPanic)
			}
			return time.Now().Add(ahead)
		}
	})
	g.who = g.key("ops", auth.ScopeAdmin)
}

// handlerAsks reports whether it is GET /admin/verify that wants to know the time, before it has read anything.
func handlerAsks() bool {
	pcs := make([]uintptr, 8)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for range pcs {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "instance.verifier.Verify") {
			return true
		}
		if !more {
			break
		}
	}
	return false
}

// does makes a call under a correlation id of its own.
func (g *gauntlet) does(method, path string, body any, headers ...string) answer {
	g.t.Helper()
	g.calls++
	return g.call(method, path, body, append(headers, "X-Correlation-Id", fmt.Sprintf("call-%03d", g.calls))...)
}

// wants is an order of a customer who can be reached.
func (g *gauntlet) wants(method string, products ...string) apigen.OrderRequest {
	r := request(method, products...)
	r.Contact = &g.contact
	return r
}

func (g *gauntlet) takes(what, method string) string {
	g.t.Helper()
	a := g.does("POST", "/orders", g.wants(method, "A"), "Idempotency-Key", strings.ReplaceAll(what, " ", "-")).is(http.StatusAccepted)
	id := into[apigen.OrderAccepted](a).OrderID
	g.orders[what] = id
	return id
}

func (g *gauntlet) ends(what, method, status string) {
	g.t.Helper()
	if o := g.outcome(g.takes(what, method)); string(o.Status) != status {
		g.t.Fatalf("%s: the order is %s", what, o.Status)
	}
}

func (g *gauntlet) outage(f provider.Fault) {
	g.t.Helper()
	if err := g.i.App.Provider.SetFault(f); err != nil {
		g.t.Fatal(err)
	}
}

// logged waits until there is another line with the message than so many.
func (g *gauntlet) logged(message string, more int) {
	g.t.Helper()
	eventually(g.t, message+" is logged", func() bool { return g.count(message) > more })
}

func (g *gauntlet) count(message string) int {
	g.book.mu.Lock()
	defer g.book.mu.Unlock()
	return bytes.Count(g.book.text.Bytes(), []byte(`"message":"`+message+`"`))
}

// run leads through it all. The instance still runs then.
func (g *gauntlet) run() {
	g.t.Helper()
	g.orders = map[string]string{}
	g.starts(0)
	g.product("A", 100)
	g.product("LAST", 1)
	g.decided()
	g.cancelled()
	g.reviewed()
	g.brokenCircuit()
	if g.refuses != nil {
		g.deadLetter()
	}
	g.panics.Store(true)
	p := g.does("GET", "/admin/verify", nil, "User-Agent", *g.contact.Email, "Referer", *g.contact.Phone).is(http.StatusInternalServerError)
	if p.problem("INTERNAL"); g.panics.Load() || bytes.Contains(p.body, []byte("1111")) {
		g.t.Errorf("a handler that panics answers %s", p.body)
	}
	g.rest()
}

func (g *gauntlet) decided() {
	g.t.Helper()
	g.ends("confirmed", visa, "CONFIRMED")
	short := g.wants(visa, "LAST")
	short.Items[0].Quantity = 2
	g.does("POST", "/orders", short).is(http.StatusConflict).problem("INSUFFICIENT_STOCK")
	g.ends("declined", declined, "COMPENSATED")
	g.ends("insufficient funds", "pm_card_chargeDeclinedInsufficientFunds", "COMPENSATED")
	g.ends("provider answers 500", provider.Error, "COMPENSATED")
	g.outage(provider.Fault{Down: true, Only: "capture"})
	g.ends("provider is away, after retries", visa, "COMPENSATED")
	g.outage(provider.Fault{})
	g.does("POST", "/admin/breakers/payment-charge/reset", nil).is(http.StatusOK)
	a := g.does("POST", "/orders", g.wants(visa, "A"), "Idempotency-Key", "confirmed").is(http.StatusAccepted)
	if a.header.Get("Idempotent-Replayed") != "true" {
		g.t.Errorf("a repeat is answered %s", a.body)
	}
}

// cancelled cancels an order that is being charged: the money goes back.
func (g *gauntlet) cancelled() {
	g.t.Helper()
	g.outage(provider.Fault{Only: "capture", Latency: 300 * time.Millisecond})
	before := g.i.App.Provider.Attempts().Capture
	id := g.takes("cancelled", visa)
	eventually(g.t, "the provider is asked to capture", func() bool { return g.i.App.Provider.Attempts().Capture > before })
	g.does("POST", "/orders/"+id+"/cancel", nil).is(http.StatusAccepted)
	o := g.outcome(id)
	if o.Status != "CANCELLED" || !strings.Contains(types(o), "PAYMENT_REFUNDED") {
		g.t.Fatalf("the cancelled order is %s: %s", o.Status, types(o))
	}
	g.outage(provider.Fault{})
}

// reviewed gives an order's stock back behind its back while it is charged, so that its saga fails; heals it, and has it go on.
func (g *gauntlet) reviewed() {
	g.t.Helper()
	g.outage(provider.Fault{Only: "capture", Latency: 300 * time.Millisecond})
	before, failed := g.i.App.Provider.Attempts().Capture, g.count("flow: an execution failed")
	id := g.takes("in review", visa)
	eventually(g.t, "the provider is asked to capture", func() bool { return g.i.App.Provider.Attempts().Capture > before })
	lines := inventory.Request{OrderID: id, CorrelationID: "behind-its-back", Lines: []inventory.Line{{ProductID: "A", Quantity: 1}}}
	g.commits(g.i.App.Inventory.Release(g.t.Context(), lines))
	g.logged("flow: an execution failed", failed)
	g.outage(provider.Fault{})
	if err := g.i.Dir.Store.Update(g.t.Context(), func(tx *store.Tx) error {
		tx.Delete(store.Key{Table: inventory.ReservationsTable, PK: id, SK: "hold"})
		return nil
	}); err != nil {
		g.t.Fatal(err)
	}
	g.commits(g.i.App.Inventory.Reserve(g.t.Context(), lines))
	g.does("POST", "/admin/sagas/"+id+"/redrive", apigen.RedriveRequest{Reason: "reserved again"}, "Idempotency-Key", "r").is(http.StatusAccepted)
	if o := g.outcome(id); o.Status != "CONFIRMED" || !strings.Contains(types(o), "ORDER_REVIEW") {
		g.t.Fatalf("the order that was reviewed is %s: %s", o.Status, types(o))
	}
}

// commits makes the last commit of a task that nobody asked for.
func (g *gauntlet) commits(e store.Effect, err error) {
	g.t.Helper()
	if err == nil {
		_, err = store.Commit(g.t.Context(), g.i.Dir.Store, e)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gauntlet) brokenCircuit() {
	g.t.Helper()
	g.does("POST", "/admin/breakers/payment-charge/trip", nil).is(http.StatusOK)
	g.does("POST", "/orders", g.wants(visa, "A")).is(http.StatusServiceUnavailable).problem("PAYMENT_PROVIDER_UNAVAILABLE")
	g.does("POST", "/admin/breakers/payment-charge/reset", nil).is(http.StatusOK)
}

// deadLetter has a notification turned away until it is a dead letter, which stays one.
func (g *gauntlet) deadLetter() {
	g.t.Helper()
	g.rest()
	g.refuses(true)
	tried := g.count("Notification failed")
	g.ends("never told", visa, "CONFIRMED")
	g.logged("Notification failed", tried)
	letters := func() int {
		found, _, err := g.i.App.DeadLetters().List(context.Background(), "", 10)
		if err != nil {
			g.t.Fatal(err)
		}
		return len(found)
	}
	for range 3 { // it is tried three times
		tried := g.count("Notification failed")
		g.starts(time.Hour)
		eventually(g.t, "it is tried again, or given up", func() bool { return letters() == 1 || g.count("Notification failed") > tried })
	}
	eventually(g.t, "it is given up", func() bool { return letters() == 1 })
	g.refuses(false)
}

// newGauntlet logs to the logger, which writes to the book.
func newGauntlet(t *testing.T, log *slog.Logger, book *logbook, by mailman) *gauntlet {
	g := &gauntlet{t: t, path: t.TempDir(), log: log, book: book, contact: contact}
	by.make(t, g)
	if g.send == nil {
		g.send = sender.NewLog(log)
	}
	return g
}
