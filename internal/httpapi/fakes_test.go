package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
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
	reason    string
	report    httpapi.VerifyReport
	actor     string
	owner     string
	keyAsked  apikey.Request
	keys      []apikey.Key

	verifyTime time.Duration
	verifying  atomic.Int32 // checks under way

	drain *httpapi.Drain
	log   bytes.Buffer
}

func newWorld() *world {
	return &world{
		replays: map[string]*order.Placed{},
		view:    confirmed(),
		product: inventory.Product{ProductID: "KEYBD-01", Name: "Keyboard", UnitPriceCents: 8999, Available: 48, Held: 1, Sold: 1, Version: 3},
		drain:   httpapi.NewDrain(),
	}
}

// serve is the handler over the world, checked against the contract.
func (w *world) serve(t testing.TB, change ...func(*httpapi.Config)) *contract {
	return newContract(t, w.handler(change...))
}

func (w *world) handler(change ...func(*httpapi.Config)) http.Handler {
	c := httpapi.Config{
		Orders: fakeOrders{w}, Products: fakeProducts{w}, Payments: fakePayments{w}, Sagas: fakeSagas{w}, Verifier: fakeVerifier{w}, Keys: fakeKeys{w},
		Breakers: []httpapi.Breaker{&fakeBreaker{w: w, name: "payment-charge", state: breaker.Closed}, &fakeBreaker{w: w, name: "payment-refund", state: breaker.Open}},
		Drain:    w.drain,
		NewID:    func(prefix string) string { return prefix + "01JHZK5V3M8Q9T2W4X6Y8Z0A1C" },
		Log:      slog.New(slog.NewJSONHandler(&w.log, nil)),
	}
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

func (f fakeSagas) Current(context.Context, string) (flow.Execution, error) {
	return f.execution, f.called()
}

func (f fakeSagas) Redrive(_ context.Context, id, reason, actor, _ string) (string, error) {
	f.reason, f.actor = reason, actor
	return id + "-r1", f.called()
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
