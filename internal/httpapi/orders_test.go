package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
)

const oneLine = `{"customer_id":"cust-001","items":[{"product_id":"KEYBD-01","quantity":1,"unit_price_cents":8999}]}`

func TestPlaceOrder(t *testing.T) {
	t.Run("an order is answered 202 with the stored bytes and where to look", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", "/orders", oneLine)
		if a.status != http.StatusAccepted || a.body != stored {
			t.Errorf("%d %s", a.status, a.body)
		}
		for name, want := range map[string]string{
			"Location": "/orders/" + orderID, "Retry-After": "1", "Cache-Control": "no-store", "Idempotent-Replayed": "", "Content-Type": "application/json",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
	t.Run("every member reaches the service", func(t *testing.T) {
		w := newWorld()
		w.serve(t).send("POST", "/orders", `{"customer_id":"cust-001","items":[{"product_id":"A","quantity":2},{"product_id":"B","quantity":1,"unit_price_cents":5}],
			"payment_method":"pm_card_visa","currency":"USD","contact":{"email":"ada@example.com","phone":"+4412345"}}`,
			"Idempotency-Key", "a%20b", "X-Correlation-Id", "corr-mine")
		if len(w.placed) != 1 {
			t.Fatalf("%d orders placed", len(w.placed))
		}
		r := w.placed[0]
		if r.CustomerID != "cust-001" || r.PaymentMethod != "pm_card_visa" || r.Currency != "USD" || r.Principal != "anonymous" ||
			r.IdempotencyKey != "a%20b" || r.CorrelationID != "corr-mine" || *r.Contact != (order.Contact{Email: "ada@example.com", Phone: "+4412345"}) {
			t.Errorf("%+v", r)
		}
		if len(r.Lines) != 2 || r.Lines[0].ProductID != "A" || r.Lines[0].Quantity != 2 || r.Lines[0].UnitPriceCents != nil || *r.Lines[1].UnitPriceCents != 5 {
			t.Errorf("%+v", r.Lines)
		}
	})
	t.Run("a replay is answered with the stored status and bytes, and says so", func(t *testing.T) {
		w := newWorld()
		w.replays["k"] = &order.Placed{OrderID: orderID, Status: http.StatusAccepted, Body: []byte(stored + " "), Replayed: true}
		a := w.serve(t).send("POST", "/orders", oneLine, "Idempotency-Key", "k")
		if a.body != stored+" " || a.header.Get("Idempotent-Replayed") != "true" || len(w.placed) != 0 {
			t.Errorf("%q %v", a.body, a.header)
		}
	})
	t.Run("a replay comes before validation", func(t *testing.T) {
		w := newWorld()
		w.replays["k"] = &order.Placed{OrderID: orderID, Status: http.StatusAccepted, Body: []byte(stored), Replayed: true}
		a := w.handlerAnswer("POST", "/orders", `{"customer_id":7,"items":[]}`, "Idempotency-Key", "k") // what the document forbids, so unchecked
		if a.status != http.StatusAccepted || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %s", a.status, a.body)
		}
		a = w.serve(t).send("POST", "/orders", `{"customer_id":7,"items":[]}`, "Idempotency-Key", "reused")
		if a.problem(t)["error"] != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("the fingerprint is of the canonical body", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		for _, body := range []string{
			oneLine,
			` { "items" : [ { "unit_price_cents":8999, "quantity":1, "product_id":"KEYBD\u002d01" } ] , "customer_id":"cust-001" } `,
			strings.Replace(oneLine, "8999", "9000", 1),
			strings.Replace(oneLine, `"items"`, `"contact":{"email":"a@b.c"},"items"`, 1),
		} {
			c.send("POST", "/orders", body, "Idempotency-Key", "k")
		}
		p := w.placed
		if p[0].Fingerprint != p[1].Fingerprint {
			t.Error("spaces, escapes or the order of members make another request")
		}
		if p[0].Fingerprint == p[2].Fingerprint || p[0].Fingerprint == p[3].Fingerprint || p[0].Fingerprint == [32]byte{} {
			t.Error("another body has the same fingerprint")
		}
	})
	t.Run("a refusal tells what a program needs to go on", func(t *testing.T) {
		w := newWorld()
		w.err = fault.New(fault.PaymentProviderUnavailable, "The circuit breaker is open.").With("retry_after_seconds", int64(57))
		a := w.serve(t).send("POST", "/orders", oneLine)
		p := a.problem(t)
		if a.status != 503 || a.header.Get("Retry-After") != "57" || p["retry_after_seconds"] != 57.0 ||
			p["error"] != "PAYMENT_PROVIDER_UNAVAILABLE" || p["message"] != "The circuit breaker is open." {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		w.err = fault.New(fault.Overloaded, "There is too much to do.").With("retry_after_seconds", int64(4))
		a = w.serve(t).send("POST", "/orders", oneLine)
		p = a.problem(t)
		if a.status != 503 || a.header.Get("Retry-After") != "4" || p["retry_after_seconds"] != 4.0 || p["error"] != "OVERLOADED" ||
			p["type"] != "urn:problem-type:cloudflow:overloaded" || p["title"] != "Too much to do now" || p["instance"] != "/orders" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		w.err = fault.New(fault.InsufficientStock, "Short.").With("product_id", "KEYBD-01").With("requested", int64(2)).With("available", int64(1))
		if p := w.serve(t).send("POST", "/orders", oneLine).problem(t); p["product_id"] != "KEYBD-01" || p["requested"] != 2.0 || p["available"] != 1.0 {
			t.Errorf("%v", p)
		}
	})
}

// handlerAnswer is for requests that the document forbids and the server answers all the same.
func (w *world) handlerAnswer(method, path, body string, headers ...string) answer {
	rec := httptest.NewRecorder()
	w.handler().ServeHTTP(rec, request(method, path, body, headers...))
	return answer{rec.Code, rec.Header(), rec.Body.String()}
}

func TestPreferWait(t *testing.T) {
	const wait5 = "wait=5"
	t.Run("the outcome is answered 200 as GET shows it", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", wait5)
		got := w.serve(t).send("GET", "/orders/"+orderID, "")
		if a.status != 200 || a.body != got.body || a.header.Get("Preference-Applied") != wait5 || a.header.Get("ETag") != `"v4"` {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
	})
	t.Run("a replay waits anew and says that it is one", func(t *testing.T) {
		w := newWorld()
		w.replays["k"] = &order.Placed{OrderID: orderID, Status: http.StatusAccepted, Body: []byte(stored), Replayed: true}
		a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", wait5, "Idempotency-Key", "k")
		if a.status != 200 || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("without an outcome in time the answer is the 202 that is stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.done = make(chan struct{})
			from := time.Now()
			a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", "wait=7")
			if a.status != 202 || a.body != stored || a.header.Get("Preference-Applied") != "" || time.Since(from) != 7*time.Second {
				t.Errorf("%d %s after %s", a.status, a.body, time.Since(from))
			}
		})
	})
	t.Run("more than 20 seconds count as 20", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.done = make(chan struct{})
			from := time.Now()
			w.serve(t).send("POST", "/orders", oneLine, "Prefer", "wait=9999999999999999999")
			if time.Since(from) != 20*time.Second {
				t.Errorf("it waited %s", time.Since(from))
			}
			close(w.done)
			if a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", "wait=21"); a.header.Get("Preference-Applied") != "wait=20" {
				t.Errorf("applied: %s", a.header.Get("Preference-Applied"))
			}
		})
	})
	t.Run("a drain answers those who wait with the 202 at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.done = make(chan struct{})
			c, from := w.serve(t), time.Now()
			answered := make(chan answer)
			go func() { answered <- c.send("POST", "/orders", oneLine, "Prefer", "wait=20") }()
			synctest.Wait()
			w.drain.Start()
			if a := <-answered; a.status != 202 || a.body != stored || time.Since(from) != 0 {
				t.Errorf("%d %s after %s", a.status, a.body, time.Since(from))
			}
		})
	})
	t.Run("a stored order is never answered with an error", func(t *testing.T) {
		w := newWorld()
		w.waitErr = errors.New("the store is on fire")
		a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", wait5)
		if a.status != 202 || a.body != stored || !strings.Contains(w.log.String(), "on fire") {
			t.Errorf("%d %s, log %s", a.status, a.body, w.log.String())
		}
	})
	for _, prefer := range []string{"wait=0", "wait", "wait=-1", "wait=x", "wait=1.5", "respond-async", "", ";;=,,"} {
		t.Run("ignored: "+prefer, func(t *testing.T) {
			w := newWorld()
			if a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", prefer); a.status != 202 {
				t.Errorf("%d", a.status)
			}
		})
	}
	for _, prefer := range []string{`wait="5"`, "respond-async, wait=5", "WAIT = 5 ; x=y", "wait=5, wait=9"} {
		t.Run("read as RFC 7240 has it: "+prefer, func(t *testing.T) {
			w := newWorld()
			if a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", prefer); a.header.Get("Preference-Applied") != wait5 {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
	t.Run("several lines of the header are one list", func(t *testing.T) {
		w := newWorld()
		if a := w.serve(t).send("POST", "/orders", oneLine, "Prefer", "respond-async", "Prefer", wait5); a.status != 200 {
			t.Errorf("%d", a.status)
		}
	})
}

func TestDraining(t *testing.T) {
	w := newWorld()
	w.replays["k"] = &order.Placed{OrderID: orderID, Status: http.StatusAccepted, Body: []byte(stored), Replayed: true}
	w.drain.Start()
	c := w.serve(t)
	t.Run("a new order is turned away with 503 and Retry-After", func(t *testing.T) {
		a := c.send("POST", "/orders", oneLine, "Idempotency-Key", "new")
		if a.status != 503 || a.header.Get("Retry-After") != "1" || a.problem(t)["error"] != "UNAVAILABLE" || len(w.placed) != 0 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a replay is answered", func(t *testing.T) {
		if a := c.send("POST", "/orders", oneLine, "Idempotency-Key", "k"); a.status != 202 || a.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/orders/" + orderID + "/cancel", ""},
		{"PUT", "/products/A", `{"name":"A","unit_price_cents":1}`},
		{"POST", "/products/A/restock", `{"quantity":1}`},
		{"POST", "/admin/breakers/payment-charge/trip", ""},
		{"POST", "/admin/breakers/payment-charge/reset", ""},
		{"POST", "/admin/sagas/" + orderID + "/redrive", `{"reason":"x"}`},
	} {
		t.Run("nothing else is written either: "+call.method+" "+call.path, func(t *testing.T) {
			if a := c.send(call.method, call.path, call.body, "Idempotency-Key", "new"); a.status != 503 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("reading goes on, and the process is alive but not ready", func(t *testing.T) {
		for path, want := range map[string]int{"/orders/" + orderID: 200, "/products/A": 200, "/health": 200, "/ready": 503} {
			if a := c.send("GET", path, ""); a.status != want {
				t.Errorf("%s: %d, want %d", path, a.status, want)
			}
		}
	})
}

func TestGetOrder(t *testing.T) {
	t.Run("the order carries its version as a strong ETag and is revalidated", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("GET", "/orders/"+orderID, "")
		if a.status != 200 || a.header.Get("ETag") != `"v4"` || a.header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	for _, tag := range []string{`"v4"`, `W/"v4"`, `"v1", "v4"`, `*`} {
		t.Run("304 for "+tag, func(t *testing.T) {
			w := newWorld()
			a := w.serve(t).send("GET", "/orders/"+orderID, "", "If-None-Match", tag)
			if a.status != 304 || a.header.Get("ETag") != `"v4"` {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
	t.Run("what the caller has seen is the least that it gets", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		for _, test := range []struct {
			path, tag string
			want      order.ViewQuery
		}{
			{"", `"v3", W/"v2", "x", "v-9"`, order.ViewQuery{MinVersion: 3}},
			{"?min_version=7", `"v3"`, order.ViewQuery{MinVersion: 7}},
			{"?min_version=2", `"v3"`, order.ViewQuery{MinVersion: 3}},
			{"?version=2", `"v3"`, order.ViewQuery{Version: 2}},
			{"?as_of=2026-01-15T10:30:00Z", `"v3"`, order.ViewQuery{AsOf: start}},
			{"?as_of=2026-01-15T11:30:00.5%2B01:00", "", order.ViewQuery{AsOf: start.Add(500 * time.Millisecond)}},
		} {
			a := c.send("GET", "/orders/"+orderID+test.path, "", "If-None-Match", test.tag)
			if a.status != 200 || !w.query.AsOf.Equal(test.want.AsOf) || w.query.Version != test.want.Version || w.query.MinVersion != test.want.MinVersion {
				t.Errorf("%s with %s: %d, asked %+v, want %+v", test.path, test.tag, a.status, w.query, test.want)
			}
		}
	})
	t.Run("HEAD answers as GET does, without the body", func(t *testing.T) {
		w := newWorld()
		srv := httptest.NewServer(w.handler())
		defer srv.Close()
		res, err := http.Head(srv.URL + "/orders/" + orderID)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Header.Get("ETag") != `"v4"` || res.ContentLength <= 0 {
			t.Errorf("%d %v, length %d", res.StatusCode, res.Header, res.ContentLength)
		}
	})
}

func TestCancelOrder(t *testing.T) {
	for _, body := range []string{"", "{}", " { } "} {
		t.Run("the wish is stored, with the body "+body, func(t *testing.T) {
			w := newWorld()
			a := w.serve(t).send("POST", "/orders/"+orderID+"/cancel", body)
			if a.status != 202 || a.body != `{"order_id":"`+orderID+`","status":"PENDING"}` || a.header.Get("Location") != "/orders/"+orderID {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("a body in chunks of which there are none is none", func(t *testing.T) {
		r := request("POST", "/orders/"+orderID+"/cancel", "")
		r.ContentLength = -1
		if a := newWorld().serve(t).do(r); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a detail does not take the place of a problem's own member", func(t *testing.T) {
		w := newWorld()
		w.err = fault.New(fault.OrderFinal, "The order is CONFIRMED.").With("status", "CONFIRMED").With("a", 1)
		if a := w.serve(t).send("POST", "/orders/"+orderID+"/cancel", ""); strings.Count(a.body, `"status":`) != 1 || !strings.Contains(a.body, `"a":1`) {
			t.Errorf("%s", a.body)
		}
	})
	for _, kind := range []fault.Kind{fault.OrderFinal, fault.InReview} {
		t.Run("409 "+kind.Code(), func(t *testing.T) {
			w := newWorld()
			w.err = fault.New(kind, "The order is CONFIRMED.")
			if a := w.serve(t).send("POST", "/orders/"+orderID+"/cancel", ""); a.status != 409 || a.problem(t)["error"] != kind.Code() {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestAGoneCallerIsNotLogged(t *testing.T) {
	w := newWorld()
	w.err = fault.Wrap(fault.Transient, context.Canceled, "get")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.serve(t).do(request("GET", "/orders/"+orderID, "").WithContext(ctx))
	if w.log.Len() > 0 {
		t.Errorf("log: %s", w.log.String())
	}
}
