package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// patience bounds every wait for something that should come at once: the machine may be busy, but not for ever.
const patience = 30 * time.Second

// A world is an instance on a directory of its own, served over loopback. What it is asked, it is asked over HTTP.
type world struct {
	t    testing.TB
	i    *instance.Instance
	dir  string
	url  string
	who  []string // the headers that every call has; more of a call's own come after them
	mail *mailbox
	http *http.Client
	end  func()

	families []string // of metrics, as scrape saw them
}

// newWorld starts an instance on an empty directory. It is stopped with the test.
func newWorld(t testing.TB, options ...func(*instance.Config)) *world {
	t.Helper()
	return openWorld(t, t.TempDir(), options...)
}

// openWorld starts an instance on a directory.
func openWorld(t testing.TB, dir string, options ...func(*instance.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: dir, mail: newMailbox()}
	c := instance.Config{Dir: dir, Sender: w.mail, Log: slog.New(slog.DiscardHandler)}
	for _, o := range options {
		o(&c)
	}
	var err error
	if w.i, err = instance.Open(c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + l.Addr().String()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	w.http = &http.Client{Transport: transport, Timeout: patience}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.i.Serve(ctx, l) }()
	w.end = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-served, w.i.Close()); err != nil {
			t.Errorf("the instance did not stop well: %v", err)
		}
	})
	t.Cleanup(w.end)
	return w
}

// key makes an API key and returns the header that a call takes with it.
func (w *world) key(subject string, scopes ...auth.Scope) []string {
	w.t.Helper()
	_, text, err := w.i.Keys.Create(w.t.Context(), apikey.Request{Subject: subject, Scopes: auth.ScopesOf(scopes...)})
	if err != nil {
		w.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + text}
}

// keyed starts an instance that takes API keys, and is called by an operator.
func keyed(t testing.TB, options ...func(*instance.Config)) *world {
	t.Helper()
	options = append([]func(*instance.Config){func(c *instance.Config) { c.Access.Keys = true }}, options...)
	w := newWorld(t, options...)
	w.who = w.key("ops", auth.ScopeAdmin)
	return w
}

// as is the world to somebody else: customer's key for its orders, unless other scopes are named.
func (w *world) as(subject string, scopes ...auth.Scope) *world {
	w.t.Helper()
	if len(scopes) == 0 {
		scopes = []auth.Scope{auth.ScopeOrdersRead, auth.ScopeOrdersWrite}
	}
	other := *w
	other.who = w.key(subject, scopes...)
	return &other
}

// An answer is what came back over HTTP.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// call makes one HTTP call; headers are names and values in turn. A connection that fails is the test's failure.
func (w *world) call(method, path string, body any, headers ...string) answer {
	w.t.Helper()
	a, err := w.try(method, path, body, headers...)
	if err != nil {
		w.t.Errorf("%s %s: %v", method, path, err)
	}
	return a
}

func (w *world) try(method, path string, body any, headers ...string) (answer, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, w.url+path, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	headers = append(slices.Clone(w.who), headers...)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" { // net/http sends this one
		r.Host = host
	}
	resp, err := w.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{w.t, resp.StatusCode, resp.Header, text}, err
}

// is requires the status.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("answered %d %s, want %d", a.status, a.body, status)
	}
	return a
}

func into[T any](a answer) T {
	a.t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

func (a answer) order() apigen.Order { a.t.Helper(); return into[apigen.Order](a) }

// problem requires the code of a refusal.
func (a answer) problem(code string) apigen.Problem {
	a.t.Helper()
	p := into[apigen.Problem](a)
	if p.Error != code || p.Status != a.status || p.Message == "" {
		a.t.Fatalf("answered %d %s, want %s", a.status, a.body, code)
	}
	return p
}

// waiting is the header that waits for an order's outcome.
var waiting = []string{"Prefer", "wait=20"}

// product creates a product of 1,000 cents.
func (w *world) product(id string, stock int64) {
	w.t.Helper()
	w.call("PUT", "/products/"+id, apigen.ProductPut{Name: id, UnitPriceCents: 1000, Stock: &stock}).is(http.StatusCreated)
}

// stock requires a product's counters.
func (w *world) stock(id string, available, held, sold int64) {
	w.t.Helper()
	p := into[apigen.Product](w.call("GET", "/products/"+id, nil).is(http.StatusOK))
	if p.Available != available || p.Held != held || p.Sold != sold {
		w.t.Fatalf("%s: available %d, held %d, sold %d; want %d, %d, %d", id, p.Available, p.Held, p.Sold, available, held, sold)
	}
}

// request is an order of one piece of each product.
func request(method string, products ...string) apigen.OrderRequest {
	r := apigen.OrderRequest{CustomerID: "cust-1", PaymentMethod: &method}
	for _, p := range products {
		r.Items = append(r.Items, apigen.OrderRequestItem{ProductID: p, Quantity: 1})
	}
	return r
}

// place places an order and returns its outcome.
func (w *world) place(r apigen.OrderRequest) apigen.Order {
	w.t.Helper()
	return w.call("POST", "/orders", r, waiting...).is(http.StatusOK).order()
}

// accepted places an order and returns its id at once.
func (w *world) accepted(r apigen.OrderRequest, headers ...string) string {
	w.t.Helper()
	a := w.call("POST", "/orders", r, headers...).is(http.StatusAccepted)
	return into[apigen.OrderAccepted](a).OrderID
}

// outcome waits until the order has ended.
func (w *world) outcome(id string) apigen.Order {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.i.App.Orders.Wait(ctx, id); err != nil {
		w.t.Fatal(err)
	}
	return w.call("GET", "/orders/"+id, nil).is(http.StatusOK).order()
}

// ledger requires what the provider has captured and refunded for an order, in cents.
func (w *world) ledger(id string, captured, refunded int64) {
	w.t.Helper()
	p := into[apigen.Payment](w.call("GET", "/admin/payments/"+id, nil).is(http.StatusOK))
	if p.Provider.CapturedCents != captured || p.Provider.RefundedCents != refunded {
		w.t.Fatalf("the payment of %s is %+v, want captured %d, refunded %d by the provider's ledger", id, p, captured, refunded)
	}
}

// rest waits until no execution is open and no notification is queued, and requires that every invariant then holds.
func (w *world) rest() apigen.VerifyReport {
	w.t.Helper()
	return w.restWithin(patience)
}

func (w *world) restWithin(limit time.Duration) apigen.VerifyReport {
	w.t.Helper()
	within(w.t, limit, "all sagas end and all notifications leave", func() bool {
		// In this order: a saga that ends between the two looks leaves its message in the queue.
		if w.i.App.Engine.Open() > 0 {
			return false
		}
		stats, err := w.i.App.Queue.Stats(context.Background())
		return err == nil && stats.Ready+stats.InFlight == 0
	})
	report := into[apigen.VerifyReport](w.call("GET", "/admin/verify", nil).is(http.StatusOK))
	if !report.Ok || report.Skipped != 0 {
		w.t.Fatalf("verify: %+v", report)
	}
	return report
}

// eventually asks every few milliseconds until the answer is yes.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	within(t, patience, what, yes)
}

func within(t testing.TB, longest time.Duration, what string, yes func() bool) {
	t.Helper()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-limit.C:
			t.Fatalf("it does not happen that %s", what)
		case <-tick.C:
		}
	}
}

// wait lets d pass: where the pace of a load is the subject, and in a bubble, where the clock jumps.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func types(o apigen.Order) string {
	var names []string
	for _, e := range o.Events {
		names = append(names, string(e.Type))
	}
	return strings.Join(names, " ")
}

// The logs of an order, as the specification orders its events.
const (
	confirmedLog   = "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED"
	compensatedLog = "ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED"
)

// cancelledLogs are those of a CANCELLED order: the wish may come at any moment before the end.
var cancelledLogs = func() map[string]bool {
	logs := map[string]bool{}
	for _, log := range []string{
		"ORDER_CREATED STOCK_RELEASED ORDER_CANCELLED",
		"ORDER_CREATED STOCK_RESERVED STOCK_RELEASED ORDER_CANCELLED",
		"ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED PAYMENT_REFUNDED STOCK_RELEASED ORDER_CANCELLED",
	} {
		names := strings.Split(log, " ")
		for i := 1; i < len(names); i++ {
			logs[strings.Join(slices.Insert(slices.Clone(names), i, "CANCEL_REQUESTED"), " ")] = true
		}
	}
	return logs
}()

// ended requires an order's status and events.
func ended(t testing.TB, o apigen.Order, status, log string) {
	t.Helper()
	if string(o.Status) != status || types(o) != log {
		t.Fatalf("%s is %s: %s; want %s: %s", o.OrderID, o.Status, types(o), status, log)
	}
}

// A mailbox is the relay that notifications are sent to.
type mailbox struct {
	mu     sync.Mutex
	emails []notification.Email
	refuse func(notification.Email) error // nil: takes all
}

func newMailbox() *mailbox { return &mailbox{} }

func (*mailbox) Name() string { return "test" }

func (m *mailbox) Send(_ context.Context, e notification.Email) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		if err := m.refuse(e); err != nil {
			return err
		}
	}
	m.emails = append(m.emails, e)
	return nil
}

// refusing sets what the relay says to an e-mail; nil: it takes all.
func (m *mailbox) refusing(f func(notification.Email) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

// sent is how many e-mails of an order were taken.
func (m *mailbox) sent(orderID string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.emails {
		if e.OrderID == orderID {
			n++
		}
	}
	return n
}

func ptr[T any](v T) *T { return &v }

var (
	visa     = provider.Visa
	declined = provider.ChargeDeclined
	contact  = apigen.Contact{Email: ptr("ada@example.test"), Phone: ptr("+4915112345678")}
)
