package order

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestPlace(t *testing.T) {
	t.Run("one commit holds all that makes an order", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		r := request("k1")
		r.Lines = append(r.Lines, RequestLine{ProductID: "MOUSE-02", Quantity: 2})
		r.Contact = &Contact{Email: "ada@example.com"}
		p, err := w.Place(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if n := w.mem.Commits(); n != 1 {
			t.Fatalf("%d commits", n)
		}
		if want := `{"order_id":"` + p.OrderID + `","status":"PENDING","total_cents":134900}`; p.Status != 202 || string(p.Body) != want || p.Replayed {
			t.Fatalf("got %d %s", p.Status, p.Body)
		}
		w.wantLog(p.OrderID, "ORDER_CREATED")
		start := w.sagas.start(t, p.OrderID)
		if start.TotalCents != 134_900 || len(start.Lines) != 2 || start.Currency != "USD" || start.PaymentMethod != "pm_card_visa" || start.Resume != nil {
			t.Fatalf("got %+v", start)
		}
		if len(w.sagas.begun) != 1 || w.sagas.begun[0] != p.OrderID {
			t.Fatalf("begun: %v", w.sagas.begun)
		}
		for _, pk := range []string{"customer#cust-1", openKey(p.OrderID).PK, dayKey(t0, p.OrderID).PK} {
			if w.index(pk) != 1 {
				t.Errorf("%s lacks the order", pk)
			}
		}
		if dayKey(t0, p.OrderID).PK[:15] != "day#2026-03-01#" {
			t.Errorf("got %s", dayKey(t0, p.OrderID).PK)
		}
	})
	t.Run("ORDER_CREATED says what was ordered, at frozen prices, and holds the key's hash but no contact", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		r := request("k1")
		r.Contact = &Contact{Email: "ada@example.com"}
		p, err := w.Place(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		w.catalog.quotes["LAPTOP-01"] = Quote{1, 0}
		e := w.events(p.OrderID)[0]
		c, err := DecodeCreated(e)
		if err != nil || c.TotalCents != 129_900 || c.Lines[0] != (Line{"LAPTOP-01", 1, 129_900}) || c.KeyHash != clientKey("key-1", "k1").Hash() {
			t.Fatalf("got %+v, %v", c, err)
		}
		if e.Actor != "key-1" || e.CorrelationID != "corr-1" || len(e.Data) != 6 {
			t.Fatalf("got %+v", e)
		}
	})
	t.Run("without a key each call is a new order", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		if a, b := w.place(), w.place(); a == b {
			t.Fatal("one order for two calls")
		}
	})
	t.Run("without a correlation id one is made", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		r := request("")
		r.CorrelationID = ""
		p, err := w.Place(t.Context(), r)
		if got := w.events(p.OrderID)[0].CorrelationID; err != nil || !strings.HasPrefix(got, "corr-") {
			t.Fatalf("got %q, %v", got, err)
		}
	})
	t.Run("a contact without keys to seal it is refused, not kept open", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.Service.keys = nil
		r := request("")
		r.Contact = &Contact{Email: "ada@example.com"}
		_, err := w.Place(t.Context(), r)
		wantKind(t, err, fault.Internal)
	})
}

func TestWhoCountsIsToldOfEachOrderOnce(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	created, ended := 0, map[string]int{}
	w.onCreated = func() { created++ }
	w.onEnded = func(status string) { ended[status]++ }
	for range 2 { // the second is answered from the first's record
		if _, err := w.Place(t.Context(), request("k1")); err != nil {
			t.Fatal(err)
		}
	}
	r := request("")
	r.Lines = nil
	if _, err := w.Place(t.Context(), r); err == nil {
		t.Fatal("an empty order is taken")
	}
	w.flaky.crashAt(1, true) // stored, though the reply is lost: the next attempt finds it
	confirmed := w.place()
	if created != 2 {
		t.Errorf("told of %d orders, want 2", created)
	}
	w.do(confirmed, reserve, review, redrive)
	if len(ended) > 0 {
		t.Errorf("told of an end: %v", ended)
	}
	w.do(confirmed, confirm, confirm, notify)
	undone, cancelled, failed := w.place(), w.place(), w.place()
	w.do(undone, reserve, decline, compensate, compensate)
	w.do(cancelled, reserve, cancel, compensate)
	w.do(failed, fail, fail)
	want := map[string]int{Confirmed: 1, Compensated: 1, Cancelled: 1, Failed: 1}
	if created != 5 || !maps.Equal(ended, want) {
		t.Errorf("told of %d orders and the ends %v, want %v", created, ended, want)
	}
}

func TestValidation(t *testing.T) {
	cents := func(n int64) *int64 { return &n }
	lines := func(n int) []RequestLine {
		out := make([]RequestLine, n)
		for i := range out {
			out[i] = RequestLine{ProductID: "LAPTOP-01", Quantity: 1}
		}
		return out
	}
	for name, c := range map[string]struct {
		edit  func(r *PlaceRequest)
		field string // "" if it is taken
	}{
		"no customer":                      {func(r *PlaceRequest) { r.CustomerID = "" }, "customer_id"},
		"a customer with a hash":           {func(r *PlaceRequest) { r.CustomerID = "a#b" }, "customer_id"},
		"a customer of 64 characters":      {func(r *PlaceRequest) { r.CustomerID = strings.Repeat("a", 64) }, ""},
		"a customer of 65 characters":      {func(r *PlaceRequest) { r.CustomerID = strings.Repeat("a", 65) }, "customer_id"},
		"an empty order":                   {func(r *PlaceRequest) { r.Lines = nil }, "items"},
		"50 lines":                         {func(r *PlaceRequest) { r.Lines = lines(50) }, ""},
		"51 lines":                         {func(r *PlaceRequest) { r.Lines = lines(51) }, "items"},
		"a line without a product":         {func(r *PlaceRequest) { r.Lines = append(lines(2), RequestLine{Quantity: 1}) }, "items[2].product_id"},
		"a product with a blank":           {func(r *PlaceRequest) { r.Lines[0].ProductID = "A B" }, "items[0].product_id"},
		"a quantity of zero":               {func(r *PlaceRequest) { r.Lines[0].Quantity = 0 }, "items[0].quantity"},
		"a negative quantity":              {func(r *PlaceRequest) { r.Lines[0].Quantity = -1 }, "items[0].quantity"},
		"a quantity of 10,001":             {func(r *PlaceRequest) { r.Lines[0].Quantity = 10_001 }, "items[0].quantity"},
		"a price of zero":                  {func(r *PlaceRequest) { r.Lines[0].UnitPriceCents = cents(0) }, "items[0].unit_price_cents"},
		"a price above the bound":          {func(r *PlaceRequest) { r.Lines[0].UnitPriceCents = cents(100_000_000) }, "items[0].unit_price_cents"},
		"the price as it is":               {func(r *PlaceRequest) { r.Lines[0].UnitPriceCents = cents(129_900) }, ""},
		"another currency":                 {func(r *PlaceRequest) { r.Currency = "EUR" }, "currency"},
		"the configured currency":          {func(r *PlaceRequest) { r.Currency = "USD" }, ""},
		"a payment method with a quote":    {func(r *PlaceRequest) { r.PaymentMethod = `pm"` }, "payment_method"},
		"another payment method":           {func(r *PlaceRequest) { r.PaymentMethod = "pm_card_chargeDeclined" }, ""},
		"a contact without parts":          {func(r *PlaceRequest) { r.Contact = &Contact{} }, ""},
		"an address without an at":         {func(r *PlaceRequest) { r.Contact = &Contact{Email: "ada"} }, "contact.email"},
		"an address with a line break":     {func(r *PlaceRequest) { r.Contact = &Contact{Email: "a@b.c\r\nBcc: x@y.z"} }, "contact.email"},
		"an address of 255 bytes":          {func(r *PlaceRequest) { r.Contact = &Contact{Email: "a@" + strings.Repeat("b.", 126) + "c"} }, "contact.email"},
		"an address of 253 bytes":          {func(r *PlaceRequest) { r.Contact = &Contact{Email: "a@" + strings.Repeat("b.", 125) + "c"} }, ""},
		"an address at a bare host":        {func(r *PlaceRequest) { r.Contact = &Contact{Email: "a@localhost"} }, "contact.email"},
		"an address with two dots":         {func(r *PlaceRequest) { r.Contact = &Contact{Email: "a..b@example.com"} }, "contact.email"},
		"an address with a plus":           {func(r *PlaceRequest) { r.Contact = &Contact{Email: "ada+shop@mail.example.com"} }, ""},
		"a number without a plus":          {func(r *PlaceRequest) { r.Contact = &Contact{Phone: "004915112345678"} }, "contact.phone"},
		"a number of 16 digits":            {func(r *PlaceRequest) { r.Contact = &Contact{Phone: "+1234567890123456"} }, "contact.phone"},
		"a number with letters":            {func(r *PlaceRequest) { r.Contact = &Contact{Phone: "+49151HELLO"} }, "contact.phone"},
		"an E.164 number":                  {func(r *PlaceRequest) { r.Contact = &Contact{Phone: "+14155550100"} }, ""},
		"a total of 99,999,999 cents":      {func(r *PlaceRequest) { r.Lines[0].ProductID = "GOLD" }, ""},
		"a total of more":                  {func(r *PlaceRequest) { r.Lines = append(r.Lines, RequestLine{ProductID: "GOLD", Quantity: 1}) }, "items"},
		"a total far beyond":               {func(r *PlaceRequest) { r.Lines[0] = RequestLine{ProductID: "GOLD", Quantity: 10_000} }, "items"},
		"a total of more in equal lines":   {func(r *PlaceRequest) { r.Lines = lines(50); r.Lines[0].ProductID = "GOLD" }, "items"},
		"a replayable key is not required": {func(*PlaceRequest) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			r := request("")
			c.edit(&r)
			_, err := w.Place(t.Context(), r)
			if c.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := wantKind(t, err, fault.ValidationFailed)
			if e.Details["field"] != c.field || !strings.HasPrefix(e.Message, c.field+" must ") {
				t.Fatalf("got %v: %s", e.Details, e.Message)
			}
			if w.mem.Commits() != 0 {
				t.Fatal("something was stored")
			}
		})
	}
}

func TestAdmission(t *testing.T) {
	cents := int64(100)
	for name, c := range map[string]struct {
		edit    func(w *world, r *PlaceRequest)
		kind    fault.Kind
		details map[string]any
	}{
		"an unknown product": {
			func(_ *world, r *PlaceRequest) { r.Lines[0].ProductID = "NONE" },
			fault.UnknownProduct, map[string]any{"product_id": "NONE"},
		},
		"a price that has changed": {
			func(_ *world, r *PlaceRequest) { r.Lines[0].UnitPriceCents = &cents },
			fault.PriceChanged, map[string]any{"product_id": "LAPTOP-01", "sent": int64(100), "current": int64(129_900)},
		},
		"more than is available": {
			func(_ *world, r *PlaceRequest) { r.Lines[0] = RequestLine{ProductID: "MOUSE-02", Quantity: 11} },
			fault.InsufficientStock, map[string]any{"product_id": "MOUSE-02", "requested": int64(11), "available": int64(10)},
		},
		"more than is available in two lines": {
			func(_ *world, r *PlaceRequest) {
				r.Lines = []RequestLine{{ProductID: "MOUSE-02", Quantity: 6}, {ProductID: "LAPTOP-01", Quantity: 1}, {ProductID: "MOUSE-02", Quantity: 5}}
			},
			fault.InsufficientStock, map[string]any{"product_id": "MOUSE-02", "requested": int64(11), "available": int64(10)},
		},
		"an unknown product before a changed price": {
			func(_ *world, r *PlaceRequest) {
				r.Lines[0].UnitPriceCents = &cents
				r.Lines = append(r.Lines, RequestLine{ProductID: "NONE", Quantity: 1})
			},
			fault.UnknownProduct, map[string]any{"product_id": "NONE"},
		},
		"a changed price before a shortage": {
			func(_ *world, r *PlaceRequest) {
				r.Lines = []RequestLine{{ProductID: "MOUSE-02", Quantity: 11}, {ProductID: "LAPTOP-01", Quantity: 1, UnitPriceCents: &cents}}
			},
			fault.PriceChanged, map[string]any{"product_id": "LAPTOP-01"},
		},
		"a shortage before an open breaker": {
			func(w *world, r *PlaceRequest) {
				w.breaker.err = fault.New(fault.PaymentProviderUnavailable, "open")
				r.Lines[0].Quantity = 101
			},
			fault.InsufficientStock, map[string]any{"available": int64(100)},
		},
		"an open breaker": {
			func(w *world, _ *PlaceRequest) {
				w.breaker.err = fault.New(fault.PaymentProviderUnavailable, "open").With("retry_after_seconds", int64(57))
			},
			fault.PaymentProviderUnavailable, map[string]any{"retry_after_seconds": int64(57)},
		},
		"prices that cannot be read": {
			func(w *world, _ *PlaceRequest) { w.catalog.err = errors.New("no route") },
			fault.Unavailable, nil,
		},
		"a price that the catalogue should not have": {
			func(w *world, _ *PlaceRequest) { w.catalog.quotes["LAPTOP-01"] = Quote{0, 10} },
			fault.Internal, nil,
		},
	} {
		t.Run(name+" is refused, and nothing is stored", func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			r := request("k1")
			c.edit(w, &r)
			_, err := w.Place(t.Context(), r)
			e := wantKind(t, err, c.kind)
			for name, want := range c.details {
				if e.Details[name] != want {
					t.Errorf("%s is %v, want %v", name, e.Details[name], want)
				}
			}
			if w.mem.Commits() != 0 || len(w.sagas.begun) != 0 {
				t.Fatal("something was stored")
			}
		})
	}
}

func BenchmarkPlace(b *testing.B) {
	w := newWorld(b, memstore.Options{})
	w.catalog.quotes["LAPTOP-01"] = Quote{129_900, 1 << 60}
	w.log = discard
	r := request("")
	b.ReportAllocs()
	for b.Loop() {
		r.IdempotencyKey = w.newID("k-")
		if _, err := w.Place(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOrder is all that an order costs this service: Place, the tasks of a happy path, and a status query.
func BenchmarkOrder(b *testing.B) {
	w := newWorld(b, memstore.Options{})
	w.catalog.quotes["LAPTOP-01"] = Quote{129_900, 1 << 60}
	w.log, w.notifyLog = discard, discard
	r := request("")
	b.ReportAllocs()
	for b.Loop() {
		r.IdempotencyKey = w.newID("k-")
		r.CustomerID = w.newID("c-") // memstore copies a partition's rows
		p, err := w.Place(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []command{reserve, confirm, notify} {
			if err := c.do(w, p.OrderID); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Get(b.Context(), p.OrderID, ViewQuery{}); err != nil {
			b.Fatal(err)
		}
	}
}

// leavingStore is a store whose caller goes away in the middle of the commit, which is applied all the same, as pebblestore does it.
type leavingStore struct {
	store.Store
	leave func()
}

func (s leavingStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	s.leave()
	if err := s.Store.Update(context.WithoutCancel(ctx), fn); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Transient, ctx.Err(), "gave up waiting; the transaction may be applied or not")
	}
	return nil
}

func TestAStoredOrderBegins(t *testing.T) {
	t.Run("though its caller goes away while it is stored", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		ctx, leave := context.WithCancel(t.Context())
		w.store = leavingStore{w.mem, leave}
		p, err := w.Place(ctx, request("k"))
		if err != nil || len(w.sagas.begun) != 1 || w.sagas.begun[0] != p.OrderID {
			t.Fatalf("%+v, %v; begun: %v", p, err, w.sagas.begun)
		}
	})
	t.Run("though the store does not say that it was stored", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.store = silentStore{w.mem}
		p, err := w.Place(t.Context(), request("k")) // found by its key, and so acknowledged
		if err != nil || !p.Replayed || len(w.sagas.begun) == 0 || w.sagas.begun[0] != p.OrderID {
			t.Fatalf("%+v, %v; begun: %v", p, err, w.sagas.begun)
		}
	})
	t.Run("not if its caller has gone before", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if p, err := w.Place(ctx, request("k")); err == nil || w.mem.Commits() != 0 {
			t.Fatalf("%+v, %d commits", p, w.mem.Commits())
		}
	})
}

// silentStore applies what it is asked, and never says so.
type silentStore struct{ store.Store }

func (s silentStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	return errCrash
}
