package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	orderID = "ord-01JHZK5V3M8Q9T2W4X6Y8Z0A1B"
	stored  = `{"order_id":"ord-01JHZK5V3M8Q9T2W4X6Y8Z0A1B","status":"PENDING","total_cents":8999}`
)

var start = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// A world is the services as the handlers see them: each call is noted and answered as the test wants.
type world struct {
	mu sync.Mutex

	err     error // of every call; nil: it succeeds
	panic   any   // of every call
	placed  []order.PlaceRequest
	replays map[string]*order.Placed // by key; Replay and Place both look here
	view    order.View
	query   order.ViewQuery
	done    chan struct{} // Wait ends when it is closed; nil: at once
	waitErr error

	product   inventory.Product
	list      []inventory.Product
	listAfter string
	put       inventory.PutProduct
	restocked inventory.Restock
	execution flow.Execution
	sagas     []httpapi.SagaSummary
	which     httpapi.SagaStatus
	shown     string
	tasks     []flow.HandedOut
	answers   []string      // to tasks
	taken     chan struct{} // an answer is taken when it is closed; nil: at once
	letters   []notification.DeadLetter
	redriven  []string
	bounded   bool // the redrive had a deadline
	fault     httpapi.Fault
	reason    string
	report    httpapi.VerifyReport
	actor     string
	owner     string
	keyAsked  apikey.Request
	keys      []apikey.Key

	notices   []order.Notice // the feed; a place in it is how many stand before
	forgotten int            // of them, from the first on
	newsErr   error          // where the feed ends: a recorder has to be answered in the end
	grown     chan struct{}  // closed and replaced by tell

	verifyTime time.Duration
	verifying  atomic.Int32 // checks under way

	erased   []string // customers
	export   export.Options
	retained int
	streams  func(w io.Writer) error // what is written of an archive or an export; nil: streamedText

	drain *httpapi.Drain
	log   bytes.Buffer
}

func newWorld() *world {
	return &world{
		replays: map[string]*order.Placed{},
		view:    confirmed(),
		product: inventory.Product{ProductID: "KEYBD-01", Name: "Keyboard", UnitPriceCents: 8999, Available: 48, Held: 1, Sold: 1, Version: 3},
		drain:   httpapi.NewDrain(),
		newsErr: errors.New("the feed ends here"),
		grown:   make(chan struct{}),
	}
}

// serve is the handler over the world, checked against the contract.
func (w *world) serve(t testing.TB, change ...func(*httpapi.Config)) *contract {
	return newContract(t, w.handler(change...))
}

func (w *world) handler(change ...func(*httpapi.Config)) http.Handler {
	c := httpapi.Config{
		Orders: fakeOrders{w}, Lists: fakeLists{w}, News: fakeNews{w}, Products: fakeProducts{w}, Payments: fakePayments{w},
		Sagas: fakeSagas{w}, Verifier: fakeVerifier{w}, DeadLetters: fakeLetters{w}, Tasks: fakeTasks{w}, Faults: fakeFaults{w}, Data: fakeData{w},
		Keys:     fakeKeys{w},
		Breakers: []httpapi.Breaker{&fakeBreaker{w: w, name: "payment-charge", state: breaker.Closed}, &fakeBreaker{w: w, name: "payment-refund", state: breaker.Open}},
		Drain:    w.drain,
		Metrics:  metrics.New(),
		NewID:    func(prefix string) string { return prefix + "01JHZK5V3M8Q9T2W4X6Y8Z0A1C" },
		Log:      slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
	c.Metrics.Observe(func(_ context.Context, o metrics.Observer) error {
		o.Set(metrics.ExecutionsOpen, 3)
		return w.called()
	})
	for _, f := range change {
		f(&c)
	}
	return httpapi.New(c)
}

// called is what each fake does first.
func (w *world) called() error {
	if w.panic != nil {
		panic(w.panic)
	}
	return w.err
}

type fakeOrders struct{ *world }

func (f fakeOrders) Replay(_ context.Context, _, key string, fingerprint [32]byte) (*order.Placed, error) {
	if key == "reused" {
		return nil, fault.New(fault.IdempotencyKeyReused, "This Idempotency-Key was used with another body.")
	}
	return f.replays[key], f.called()
}

func (f fakeOrders) Place(ctx context.Context, r order.PlaceRequest) (order.Placed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, err := f.Replay(ctx, r.Principal, r.IdempotencyKey, r.Fingerprint); err != nil || p != nil {
		if p == nil {
			return order.Placed{}, err
		}
		return *p, err
	}
	f.placed = append(f.placed, r)
	return order.Placed{OrderID: orderID, Status: http.StatusAccepted, Body: []byte(stored)}, nil
}

func (f fakeOrders) Get(_ context.Context, _ string, q order.ViewQuery) (order.View, error) {
	f.query = q
	return f.view, f.called()
}

func (f fakeOrders) Wait(ctx context.Context, _ string) (order.View, error) {
	if f.waitErr != nil {
		return order.View{}, f.waitErr
	}
	if f.done == nil {
		return f.view, nil
	}
	select {
	case <-f.done:
		return f.view, nil
	case <-ctx.Done():
		return pending(), nil
	}
}

func (f fakeOrders) Cancel(_ context.Context, _ string, r order.CancelRequest) (order.View, error) {
	f.actor, f.owner = r.Actor, r.Owner
	return pending(), f.called()
}

type fakeLists struct{ *world }

func (f fakeLists) List(context.Context, order.ListQuery) (order.Page, error) {
	return order.Page{Orders: []order.Summary{{
		OrderID: orderID, Status: "CONFIRMED", CustomerID: "cust-001", TotalCents: 8999, Currency: "USD",
		CreatedAt: "2026-01-15T10:30:00.000Z", UpdatedAt: "2026-01-15T10:30:00.000Z", Version: 4,
	}}}, f.called()
}

func (f fakeLists) Events(context.Context, string, int64, int) (order.LogPage, error) {
	return order.LogPage{CustomerID: "cust-001"}, f.called()
}

// fakeNews is a feed whose notices tell adds.
type fakeNews struct{ *world }

func place(n int) store.Position { return store.Position(fmt.Sprintf("%08d", n)) }

func (f fakeNews) NewsEnd(context.Context) (store.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return place(len(f.notices)), f.called()
}

func (f fakeNews) News(ctx context.Context, after store.Position) (order.News, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := strconv.Atoi(string(after))
	if err != nil {
		return order.News{}, fault.New(fault.BadRequest, "no place: %q", after)
	}
	news := order.News{Lost: n < f.forgotten}
	n = max(n, f.forgotten)
	news.Notices = f.notices[n:min(n+100, len(f.notices))]
	news.Last, news.More = place(n+len(news.Notices)), len(news.Notices) > 0
	if !news.More && f.newsErr != nil {
		return order.News{}, f.newsErr
	}
	return news, ctx.Err()
}

func (f fakeNews) NewsWaits(_ context.Context, after store.Position) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err := strconv.Atoi(string(after)); err == nil && n < len(f.notices) {
		return f.notices[n].Timestamp, f.newsErr
	}
	return time.Time{}, f.newsErr
}

func (f fakeNews) NewsGrow() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grown
}

// tell adds a notice of a customer's order.
func (w *world) tell(customer, orderID string, version int64, event, status string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, order.Notice{
		At: place(len(w.notices) + 1), OrderID: orderID, CustomerID: customer, Version: version, Type: event, Timestamp: start, Status: status,
	})
	close(w.grown)
	w.grown = make(chan struct{})
}

// forget lets go of the first n notices.
func (w *world) forget(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgotten = n
}

// callerNamed is a caller by the name in Authorization; without one it is everybody, as in development.
func callerNamed(r *http.Request) (auth.Principal, error) {
	if name := r.Header.Get("Authorization"); name != "" {
		return auth.Principal{Subject: name, Scopes: auth.ScopesOf(auth.ScopeOrdersRead, auth.ScopeOrdersWrite)}, nil
	}
	return auth.Anonymous, nil
}

type fakeProducts struct{ *world }

func (f fakeProducts) Get(context.Context, string) (inventory.Product, error) {
	return f.product, f.called()
}

func (f fakeProducts) List(_ context.Context, after string, limit int) ([]inventory.Product, error) {
	f.listAfter = after
	return f.list[:min(limit, len(f.list))], f.called()
}

func (f fakeProducts) Put(_ context.Context, p inventory.PutProduct) (inventory.Product, bool, error) {
	f.put = p
	return f.product, p.Stock != nil, f.called()
}

func (f fakeProducts) Restock(_ context.Context, r inventory.Restock) (int, []byte, bool, error) {
	f.restocked = r
	const body = `{"product_id":"KEYBD-01","name":"Keyboard","unit_price_cents":8999,"available":148,"held":1,"sold":1,"version":3}`
	return http.StatusOK, []byte(body), r.IdempotencyKey == "again", f.called()
}

type fakePayments struct{ *world }

type fakeSagas struct{ *world }

func (f fakeSagas) List(_ context.Context, which httpapi.SagaStatus, after string, limit int) ([]httpapi.SagaSummary, string, error) {
	f.which, f.listAfter = which, after
	list := f.sagas[:min(limit, len(f.sagas))]
	next := ""
	if len(list) == limit && limit > 0 {
		next = list[limit-1].OrderID
	}
	return list, next, f.called()
}

func (f fakeSagas) Show(_ context.Context, _, execution string) (flow.Execution, []string, error) {
	f.shown = execution
	return f.execution, []string{orderID, orderID + "-r1"}, f.called()
}

func (f fakeSagas) Redrive(_ context.Context, id, reason, actor, _ string) (string, error) {
	f.reason, f.actor = reason, actor
	return id + "-r1", f.called()
}

type fakeTasks struct{ *world }

func (f fakeTasks) HandedOut(_ context.Context, after string, limit int) ([]flow.HandedOut, string, error) {
	f.listAfter = after
	list, next := f.tasks[:min(limit, len(f.tasks))], ""
	if len(list) == limit && limit > 0 {
		next = list[limit-1].Execution + "/0000000007"
	}
	return list, next, f.called()
}

func (f fakeTasks) SendTaskSuccess(ctx context.Context, token string, result any) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return f.answer(ctx, fmt.Sprintf("success %s %s", token, text))
}

func (f fakeTasks) SendTaskFailure(ctx context.Context, token, errorName, cause string) error {
	return f.answer(ctx, fmt.Sprintf("failure %s %q %q", token, errorName, cause))
}

func (f fakeTasks) SendTaskHeartbeat(ctx context.Context, token string) error {
	return f.answer(ctx, "heartbeat "+token)
}

// answer is taken as the engine takes one: it waits for its commit.
func (f fakeTasks) answer(ctx context.Context, what string) error {
	f.mu.Lock()
	f.answers = append(f.answers, what)
	f.mu.Unlock()
	if f.taken != nil {
		select {
		case <-f.taken:
		case <-ctx.Done():
			return fault.Wrap(fault.Transient, ctx.Err(), "Whether the answer was taken is not known.")
		}
	}
	return f.called()
}

type fakeLetters struct{ *world }

func (f fakeLetters) List(_ context.Context, cursor string, limit int) ([]notification.DeadLetter, string, error) {
	f.listAfter = cursor
	list, next := f.letters[:min(limit, len(f.letters))], ""
	if len(list) == limit && limit > 0 {
		next = "0001768473000000." + list[limit-1].ID
	}
	return list, next, f.called()
}

func (f fakeLetters) Redrive(ctx context.Context, ids ...string) (int, error) {
	f.redriven = ids
	_, f.bounded = ctx.Deadline()
	return len(f.letters), f.called()
}

type fakeFaults struct{ *world }

func (f fakeFaults) Fault() httpapi.Fault { return f.fault }

func (f fakeFaults) SetFault(to httpapi.Fault) error {
	if err := f.called(); err != nil {
		return err
	}
	f.fault = to
	return nil
}

type fakeVerifier struct{ *world }

func (f fakeVerifier) Verify(ctx context.Context) (httpapi.VerifyReport, error) {
	if f.verifying.Add(1) > 1 {
		return httpapi.VerifyReport{}, errors.New("two checks at once")
	}
	defer f.verifying.Add(-1)
	select {
	case <-time.After(f.verifyTime):
		return f.report, f.called()
	case <-ctx.Done():
		return httpapi.VerifyReport{}, ctx.Err()
	}
}

type fakeData struct{ *world }

const streamedText = "what is streamed"

func (f fakeData) Erase(_ context.Context, customerID, actor string) (order.Erasure, error) {
	f.erased, f.actor = append(f.erased, customerID), actor
	return order.Erasure{CustomerID: customerID, ErasedAt: start}, f.called()
}

func (f fakeData) Backup(_ context.Context, w io.Writer) error {
	if err := f.called(); err != nil {
		return err
	}
	if f.streams != nil {
		return f.streams(w)
	}
	_, err := io.WriteString(w, streamedText)
	return err
}

func (f fakeData) ExportOrders(ctx context.Context, w io.Writer, o export.Options) error {
	f.export = o
	return f.Backup(ctx, w)
}

func (f fakeData) ExportEvents(ctx context.Context, w io.Writer, o export.Options) error {
	return f.ExportOrders(ctx, w, o)
}

func (f fakeData) LookAtRetention(context.Context) (retention.Report, error) {
	return retention.Report{Keys: 3, Executions: 2, Orders: 1, Waiting: 1, More: true}, f.called()
}

func (f fakeData) Retain(context.Context) (retention.Report, error) {
	f.retained++
	return retention.Report{Keys: 3}, f.called()
}

type fakeKeys struct{ *world }

func (f fakeKeys) Create(_ context.Context, r apikey.Request) (apikey.Key, string, error) {
	f.keyAsked = r
	key := apikey.Key{ID: "3f9k2m7p", Subject: r.Subject, Scopes: r.Scopes, Label: r.Label, CreatedAt: start, ExpiresAt: r.ExpiresAt}
	return key, "cfk_3f9k2m7p_" + strings.Repeat("x", 43), f.called()
}

func (f fakeKeys) List(_ context.Context, after string, limit int) ([]apikey.Key, error) {
	f.listAfter = after
	return f.keys[:min(limit, len(f.keys))], f.called()
}

func (f fakeKeys) Revoke(_ context.Context, id string) (apikey.Key, error) {
	if id != "3f9k2m7p" {
		return apikey.Key{}, fault.New(fault.NotFound, "There is no such key.")
	}
	return apikey.Key{ID: id, Subject: "shop", Scopes: auth.ScopesOf(auth.ScopeAdmin), CreatedAt: start, RevokedAt: start.Add(time.Hour)}, f.called()
}

type fakeBreaker struct {
	w     *world
	name  string
	state breaker.State
}

func (b *fakeBreaker) Name() string { return b.name }

func (b *fakeBreaker) State(context.Context) (breaker.Snapshot, error) {
	s := breaker.Snapshot{Name: b.name, State: b.state, Generation: 4}
	if b.state == breaker.Open {
		s.OpenUntil = start.Add(time.Minute)
	}
	return s, b.w.err
}

func (b *fakeBreaker) Trip(context.Context) error {
	b.state = breaker.Open
	return b.w.called()
}

func (b *fakeBreaker) Reset(context.Context) error {
	b.state = breaker.Closed
	return b.w.called()
}

func (f fakePayments) Show(_ context.Context, id string) (payment.View, error) {
	return payment.View{OrderID: id, Status: "CAPTURED", PaymentID: "pay-1", CapturedCents: 8999, Provider: payment.LedgerView{
		CapturedCents: 8999, Entries: []payment.LedgerEntry{{Type: "capture", AmountCents: 8999, At: start}},
	}}, f.called()
}

func pending() order.View {
	return order.View{
		OrderID: orderID, Status: "PENDING", CustomerID: "cust-001", TotalCents: 8999, Currency: "USD", Version: 1,
		Items:  []order.Line{{ProductID: "KEYBD-01", Quantity: 1, UnitPriceCents: 8999}},
		Events: []order.EventView{{Version: 1, Type: "ORDER_CREATED", Timestamp: "2026-01-15T10:30:00.000Z"}},
	}
}

func confirmed() order.View {
	v := pending()
	v.Status, v.Version = "CONFIRMED", 4
	for i, name := range []string{"STOCK_RESERVED", "PAYMENT_CHARGED", "ORDER_CONFIRMED"} {
		v.Events = append(v.Events, order.EventView{
			Version: int64(i + 2), Type: name, Timestamp: "2026-01-15T10:30:00.000Z", Data: map[string]any{"amount_cents": json.Number("8999")},
		})
	}
	return v
}
