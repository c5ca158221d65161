package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/pan"
)

// card is a network's published test number; spaced and dashed are how people write it.
const (
	card   = "4111111111111111"
	spaced = "4111 1111 1111 1111"
	dashed = "4111-1111-1111-1111"
)

func TestACardNumberIsRefusedInEveryText(t *testing.T) {
	order := func(members string) string {
		return `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],` + members + `}`
	}
	key := []string{"Idempotency-Key", "k"}
	const product, redrive = "/products/KEYBD-01", "/admin/sagas/" + orderID + "/redrive"
	const success, failure = "/admin/tasks/success", "/admin/tasks/failure"
	for _, c := range []refusal{
		{rule: "a customer", method: "POST", path: "/orders", body: `{"customer_id":"cust-` + card + `","items":[{"product_id":"A","quantity":1}]}`, field: "customer_id"},
		{rule: "a customer with dashes", method: "POST", path: "/orders", body: `{"customer_id":"` + dashed + `","items":[{"product_id":"A","quantity":1}]}`, field: "customer_id"},
		{rule: "a product of a line", method: "POST", path: "/orders", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1},{"product_id":"` + card + `","quantity":1}]}`, field: "items[1].product_id"},
		{rule: "a payment method", method: "POST", path: "/orders", body: order(`"payment_method":"` + card + `"`), field: "payment_method"},
		{rule: "a currency", method: "POST", path: "/orders", body: order(`"currency":"` + spaced + `"`), field: "currency"},
		{rule: "an address", method: "POST", path: "/orders", body: order(`"contact":{"email":"` + card + `@example.com"}`), field: "contact.email"},
		{rule: "escaped digits", method: "POST", path: "/orders", body: order(`"payment_method":"\u0034111111111111111"`), field: "payment_method"},
		{rule: "the key of an order", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", "order-" + card}, field: "Idempotency-Key"},
		{rule: "the key of a restock", method: "POST", path: product + "/restock", body: `{"quantity":1}`, headers: []string{"Idempotency-Key", dashed}, field: "Idempotency-Key"},
		{rule: "a product's name", method: "PUT", path: product, body: `{"name":"Card ` + spaced + `","unit_price_cents":1}`, field: "name"},
		{rule: "a product's id", method: "PUT", path: "/products/" + card, body: `{"name":"A","unit_price_cents":1}`, field: "product_id"},
		{rule: "a task's output", method: "POST", path: success, body: `{"token":"t","output":"` + spaced + `"}`, field: "output"},
		{rule: "a text deep in it", method: "POST", path: success, body: `{"token":"t","output":{"a":[1,{"b":"paid with ` + card + `"}]}}`, field: "output.a[1].b"},
		{rule: "a number in it", method: "POST", path: success, body: `{"token":"t","output":{"card":` + card + `}}`, field: "output.card"},
		{rule: "a name in it", method: "POST", path: success, body: `{"token":"t","output":{"a":{"` + dashed + `":1}}}`, field: "output.a"},
		{rule: "a task's error", method: "POST", path: failure, body: `{"token":"t","error":"` + card + `"}`, field: "error"},
		{rule: "a task's cause", method: "POST", path: failure, body: `{"token":"t","cause":"paid with ` + spaced + `"}`, field: "cause"},
		{rule: "a reason", method: "POST", path: redrive, body: `{"reason":"paid with ` + spaced + `"}`, headers: key, field: "reason"},
	} {
		c.status, c.code = 422, "VALIDATION_FAILED"
		t.Run(c.rule, c.run)
	}
	t.Run("the refusal does not repeat it", func(t *testing.T) {
		a := newWorld().serve(t).send("POST", "/orders", order(`"payment_method":"`+card+`"`), "Idempotency-Key", "k")
		if strings.Contains(a.body, card) || !strings.Contains(a.body, "card's number") {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("a phone number may look like one: its owner cannot help it", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", "/orders", order(`"contact":{"phone":"+4915112345678"}`)) // with a card's check digit
		if a.status != 202 || w.placed[0].Contact.Phone != "+4915112345678" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("the time in milliseconds is none, and a token is not kept", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", success, `{"token":"`+card+`","output":{"at":1764367269008}}`) // with a card's check digit
		if !pan.In("1764367269008") || a.status != 200 || len(w.answers) != 1 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a UUID is a key, whatever its digits", func(t *testing.T) {
		if a := newWorld().serve(t).send("POST", "/orders", oneLine, "Idempotency-Key", "41111111-1111-1111-9d6e-0f2f6f0d8c11"); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a correlation id with one is replaced", func(t *testing.T) {
		w := newWorld()
		for _, id := range []string{card, dashed, "x." + card} {
			a := w.serve(t).send("POST", "/orders", oneLine, "X-Correlation-Id", id)
			if got := a.header.Get("X-Correlation-Id"); !strings.HasPrefix(got, "corr-") {
				t.Errorf("%s became %s", id, got)
			}
		}
	})
}

func TestNoCardNumberIsLoggedThatStandsInAPathOrAnError(t *testing.T) {
	w := newWorld()
	h := w.handler(func(c *httpapi.Config) { c.Log = observe.NewLogger(&w.log, nil, nil) })
	send := func(path string) {
		h.ServeHTTP(&sink{header: http.Header{}}, request("GET", path, ""))
	}
	w.err = errors.New("no such card: " + spaced)
	send("/orders/" + card)
	send("/orders/%34111111111111111")
	w.err, w.panic = nil, "at "+dashed
	send("/products/" + card)
	log := w.log.String()
	if strings.Count(log, "\n") != 4 || strings.Contains(log, "1111") {
		t.Errorf("%s", log)
	}
}

func TestALineNamesTheRouteAndTheOrderAndNothingElseOfAPath(t *testing.T) {
	w := newWorld()
	w.err = errors.New("the disk is gone")
	h := w.handler(func(c *httpapi.Config) { c.Log = observe.NewLogger(&w.log, nil, nil) })
	for path, want := range map[string]string{
		"/orders/" + orderID:                          "/orders/" + orderID,
		"/orders/" + orderID + "?version=2":           "/orders/" + orderID,
		"/orders/pi_3Canary_secret_Qx9":               "/orders/{order_id}",
		"/orders/ord-4111111111111111":                "/orders/{order_id}",
		"/orders/ord-jane.doe":                        "/orders/{order_id}",
		"/products/4915155500777":                     "/products/{product_id}",
		"/admin/payments/" + orderID:                  "/admin/payments/" + orderID,
		"/admin/payments/" + orderID[:len(orderID)-1]: "/admin/payments/{order_id}",
		"/admin/payments/" + orderID + "A":            "/admin/payments/{order_id}",
	} {
		w.log.Reset()
		h.ServeHTTP(&sink{header: http.Header{}}, request("GET", path, ""))
		if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `"path":"`+want+`"`) {
			t.Errorf("%s is logged as %s", path, log)
		}
	}
}
