package httpapi_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

var (
	_ httpapi.Orders   = (*order.Service)(nil)
	_ httpapi.Lists    = (*order.Service)(nil)
	_ httpapi.News     = (*order.Service)(nil)
	_ httpapi.Products = (*inventory.Service)(nil)
	_ httpapi.Payments = (*payment.Service)(nil)
	_ httpapi.Breaker  = (*breaker.Breaker)(nil)
)

// A shop is the real services over a store in memory. What the saga would do is done by hand.
type shop struct {
	*contract
	store    store.Store
	orders   *order.Service
	products *inventory.Service
	payments *payment.Service
	charge   *breaker.Breaker
}

type catalog struct{ *inventory.Service }

func (c catalog) Quote(ctx context.Context, ids []string) (map[string]order.Quote, error) {
	quotes, err := c.Service.Quote(ctx, ids)
	out := make(map[string]order.Quote, len(quotes))
	for id, q := range quotes {
		out[id] = order.Quote{UnitPriceCents: q.UnitPriceCents, Available: q.Available}
	}
	return out, err
}

// byHand is the saga of a shop: it starts nothing.
type byHand struct{}

func (byHand) Stage(*store.Tx, order.Start) error { return nil }
func (byHand) Begin(string)                       {}
func (byHand) Failure(context.Context, string) (order.Failure, error) {
	return order.Failure{}, fault.New(fault.NotFound, "no saga here")
}
func (byHand) Send(*store.Tx, order.Message) error { return nil }

func newShop(t *testing.T) *shop {
	now := func() time.Time { return start }
	rnd := rand.New(rand.NewPCG(1, 2)) // a test's chance is to be the same each time
	made := byte(0)
	newID := func(prefix string) string {
		id := ulid.ULID{15: made}
		made++
		return prefix + id.String()
	}
	s, book := memstore.New(memstore.Options{}), memstore.New(memstore.Options{})
	charge := breaker.New(s, "payment-charge", breaker.Config{Now: now, Rand: rnd})
	refund := breaker.New(s, "payment-refund", breaker.Config{Now: now, Rand: rnd})
	simulator := provider.New(provider.Config{Store: book, Now: now, Rand: rnd})
	products := inventory.New(inventory.Config{Store: s, Now: now})
	orders := order.New(order.Config{
		Store: s, Catalog: catalog{products}, Admission: charge, Saga: byHand{}, Outbox: byHand{}, Keys: pii.NewMemoryKeys(),
		Now: now, NewID: newID, Currency: "USD",
	})
	payments := payment.New(payment.Config{Store: s, Gateway: simulator, Ledger: simulator, ChargeBreaker: charge, RefundBreaker: refund, Now: now})
	w := newWorld()
	h := httpapi.New(httpapi.Config{
		Orders: orders, Lists: orders, News: orders, Principal: callerNamed, Products: products, Payments: payments, Breakers: []httpapi.Breaker{charge, refund},
		Sagas: fakeSagas{w}, DeadLetters: fakeLetters{w}, Tasks: fakeTasks{w}, Verifier: fakeVerifier{w}, NewID: newID,
	})
	return &shop{newContract(t, h), s, orders, products, payments, charge}
}

// place places an order and returns its id.
func (s *shop) place(body string, headers ...string) string {
	s.t.Helper()
	a := s.send("POST", "/orders", body, headers...)
	id, _ := a.problem(s.t)["order_id"].(string)
	if a.status != 202 || a.header.Get("Location") != "/orders/"+id {
		s.t.Fatalf("%d %s", a.status, a.body)
	}
	return id
}

// does carries out a task of the saga.
func (s *shop) does(e store.Effect, err error) {
	s.t.Helper()
	if err == nil {
		_, err = store.Commit(s.t.Context(), s.store, e)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

const keyboard = `{"name":"Keyboard","unit_price_cents":8999,"stock":5}`

func TestTheServicesAnswerAsTheContractSays(t *testing.T) {
	ctx := t.Context()
	t.Run("a product is created, shown, changed, restocked and listed", func(t *testing.T) {
		s := newShop(t)
		if a := s.send("PUT", "/products/KEYBD-01", keyboard); a.status != 201 || a.header.Get("ETag") != `"v1"` {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":9499}`, "If-Match", `"v1"`); a.status != 200 || a.header.Get("ETag") != `"v2"` {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":1}`, "If-Match", `"v1"`); a.status != 412 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":9499,"stock":7}`); a.status != 409 || a.problem(t)["error"] != "PRODUCT_EXISTS" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("PUT", "/products/NEW", `{"name":"New","unit_price_cents":1}`, "If-Match", `"v1"`); a.status != 412 {
			t.Errorf("%d %s", a.status, a.body)
		}
		first := s.send("POST", "/products/KEYBD-01/restock", `{"quantity":10}`, "Idempotency-Key", "k")
		again := s.send("POST", "/products/KEYBD-01/restock", `{"quantity":10}`, "Idempotency-Key", "k")
		if first.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" || first.problem(t)["available"] != 15.0 {
			t.Errorf("%d %s, %d %s", first.status, first.body, again.status, again.body)
		}
		if a := s.send("POST", "/products/KEYBD-01/restock", `{"quantity":11}`, "Idempotency-Key", "k"); a.problem(t)["error"] != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("GET", "/products", ""); !strings.Contains(a.body, `"product_id":"KEYBD-01"`) || !strings.Contains(a.body, `"available":15`) {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("bounds name their field", func(t *testing.T) {
		s := newShop(t)
		line := func(members string) string { return `{"customer_id":"c","items":[` + members + `]}` }
		for _, c := range []struct{ method, path, body, field string }{
			{"POST", "/orders", line(`{"product_id":"A","quantity":0}`), "items[0].quantity"},
			{"POST", "/orders", line(`{"product_id":"A","quantity":-1}`), "items[0].quantity"},
			{"POST", "/orders", line(`{"product_id":"A","quantity":10001}`), "items[0].quantity"},
			{"POST", "/orders", line(`{"product_id":"A","quantity":1},{"product_id":"a b","quantity":1}`), "items[1].product_id"},
			{"POST", "/orders", line(`{"product_id":"A","quantity":1,"unit_price_cents":0}`), "items[0].unit_price_cents"},
			{"POST", "/orders", line(`{"product_id":"A","quantity":1,"unit_price_cents":100000000}`), "items[0].unit_price_cents"},
			{"POST", "/orders", `{"customer_id":"Ada Lovelace","items":[{"product_id":"A","quantity":1}]}`, "customer_id"},
			{"POST", "/orders", `{"customer_id":"c","currency":"EUR","items":[{"product_id":"A","quantity":1}]}`, "currency"},
			{"POST", "/orders", `{"customer_id":"c","payment_method":"4242 4242","items":[{"product_id":"A","quantity":1}]}`, "payment_method"},
			{"POST", "/orders", `{"customer_id":"c","contact":{"email":"nobody"},"items":[{"product_id":"A","quantity":1}]}`, "contact.email"},
			{"POST", "/orders", `{"customer_id":"c","contact":{"phone":"call me"},"items":[{"product_id":"A","quantity":1}]}`, "contact.phone"},
			{"PUT", "/products/A", `{"name":"A","unit_price_cents":0}`, "unit_price_cents"},
			{"PUT", "/products/A", `{"name":"A","unit_price_cents":100000000}`, "unit_price_cents"},
			{"PUT", "/products/A", `{"name":"A","unit_price_cents":1,"stock":-1}`, "stock"},
			{"PUT", "/products/A", `{"name":"A","unit_price_cents":1,"stock":100000001}`, "stock"},
			{"PUT", "/products/A", `{"name":"` + strings.Repeat("a", 201) + `","unit_price_cents":1}`, "name"},
			{"POST", "/products/A/restock", `{"quantity":0}`, "quantity"},
			{"POST", "/products/A/restock", `{"quantity":100000001}`, "quantity"},
		} {
			a := s.send(c.method, c.path, c.body, "Idempotency-Key", "k")
			if p := a.problem(t); a.status != 422 || p["error"] != "VALIDATION_FAILED" || p["field"] != c.field {
				t.Errorf("%s: %d %s, want the field %s", c.body, a.status, a.body, c.field)
			}
		}
	})
	t.Run("what is certain to fail is refused and says why", func(t *testing.T) {
		s := newShop(t)
		s.send("PUT", "/products/KEYBD-01", keyboard)
		order := func(id string, quantity, price int) string {
			return `{"customer_id":"c","items":[{"product_id":"` + id + `","quantity":` + strconv.Itoa(quantity) + `,"unit_price_cents":` + strconv.Itoa(price) + `}]}`
		}
		for _, c := range []struct {
			body   string
			status int
			want   map[string]any
		}{
			{order("NOPE", 1, 1), 422, map[string]any{"error": "UNKNOWN_PRODUCT", "product_id": "NOPE"}},
			{order("KEYBD-01", 1, 1), 409, map[string]any{"error": "PRICE_CHANGED", "product_id": "KEYBD-01", "sent": 1.0, "current": 8999.0}},
			{order("KEYBD-01", 6, 8999), 409, map[string]any{"error": "INSUFFICIENT_STOCK", "product_id": "KEYBD-01", "requested": 6.0, "available": 5.0}},
		} {
			a := s.send("POST", "/orders", c.body)
			p := a.problem(t)
			for name, want := range c.want {
				if p[name] != want {
					t.Errorf("%s is %v, want %v: %s", name, p[name], want, a.body)
				}
			}
			if a.status != c.status {
				t.Errorf("%d, want %d", a.status, c.status)
			}
		}
	})
	t.Run("an open breaker refuses new orders and answers replays", func(t *testing.T) {
		s := newShop(t)
		s.send("PUT", "/products/KEYBD-01", keyboard)
		id := s.place(oneLine, "Idempotency-Key", "k")
		if a := s.send("POST", "/admin/breakers/payment-charge/trip", ""); a.status != 200 || a.problem(t)["state"] != "OPEN" {
			t.Errorf("%d %s", a.status, a.body)
		}
		a := s.send("POST", "/orders", oneLine, "Idempotency-Key", "new")
		if p := a.problem(t); a.status != 503 || p["error"] != "PAYMENT_PROVIDER_UNAVAILABLE" || p["retry_after_seconds"] == nil || a.header.Get("Retry-After") == "1" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		if again := s.place(oneLine, "Idempotency-Key", "k"); again != id {
			t.Errorf("%s became %s", id, again)
		}
		if a := s.send("POST", "/admin/breakers/payment-charge/reset", "{}"); a.problem(t)["state"] != "CLOSED" {
			t.Errorf("%s", a.body)
		}
		s.place(oneLine, "Idempotency-Key", "new")
	})
	t.Run("an order is shown as it is and as it was, and its payment in both books", func(t *testing.T) {
		s := newShop(t)
		s.send("PUT", "/products/KEYBD-01", keyboard)
		id := s.place(oneLine, "Idempotency-Key", "k")
		task := order.Task{OrderID: id, CorrelationID: "corr-1"}
		request := inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "KEYBD-01", Quantity: 1}}}
		s.does(s.products.Reserve(ctx, request))
		s.does(s.orders.Record(ctx, order.RecordTask{Task: task, Event: order.StockReserved}))
		s.does(s.payments.Charge(ctx, payment.Charge{OrderID: id, AmountCents: 8999, Currency: "USD", Method: "pm_card_visa", Attempt: "1"}))
		s.does(s.orders.Confirm(ctx, task))

		a := s.send("GET", "/orders/"+id, "")
		if p := a.problem(t); p["status"] != "CONFIRMED" || p["version"] != 4.0 || a.header.Get("ETag") != `"v4"` {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("GET", "/orders/"+id+"?version=1", ""); a.problem(t)["status"] != "PENDING" {
			t.Errorf("%s", a.body)
		}
		if a := s.send("GET", "/orders/"+id+"?version=9", ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("GET", "/orders/"+id+"?as_of=2020-01-01T00:00:00Z", ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("POST", "/orders", oneLine, "Idempotency-Key", "k", "Prefer", "wait=1"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("POST", "/orders/"+id+"/cancel", ""); a.problem(t)["error"] != "ORDER_FINAL" {
			t.Errorf("%d %s", a.status, a.body)
		}
		var paid struct {
			Status   string
			Captured int64 `json:"captured_cents"`
			Provider struct {
				Captured int64 `json:"captured_cents"`
			}
		}
		a = s.send("GET", "/admin/payments/"+id, "")
		if err := json.Unmarshal([]byte(a.body), &paid); err != nil || paid.Status != "CAPTURED" || paid.Captured != 8999 || paid.Provider.Captured != 8999 {
			t.Errorf("%s %v", a.body, err)
		}
	})
	t.Run("an order is cancelled while it is pending, once or twice", func(t *testing.T) {
		s := newShop(t)
		s.send("PUT", "/products/KEYBD-01", keyboard)
		id := s.place(oneLine)
		for range 2 {
			if a := s.send("POST", "/orders/"+id+"/cancel", ""); a.status != 202 || a.problem(t)["status"] != "PENDING" {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		s.does(s.orders.Compensate(ctx, order.Task{OrderID: id}))
		if p := s.send("GET", "/orders/"+id, "").problem(t); p["status"] != "CANCELLED" || p["failure_reason"] != "CANCELLED_BY_CUSTOMER" {
			t.Errorf("%v", p)
		}
	})
	t.Run("what is not there is 404", func(t *testing.T) {
		s := newShop(t)
		for _, path := range []string{"/orders/" + orderID, "/products/NOPE", "/admin/payments/" + orderID} {
			if a := s.send("GET", path, ""); a.status != 404 {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		if a := s.send("POST", "/products/NOPE/restock", `{"quantity":1}`, "Idempotency-Key", "k"); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := s.send("POST", "/orders/"+orderID+"/cancel", ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
