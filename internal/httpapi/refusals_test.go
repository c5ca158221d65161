package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A refusal is a request and the problem that it is answered with.
type refusal struct {
	rule           string
	method, path   string
	body           string
	headers        []string // pairs
	status         int
	code, field    string // field: what the problem names; "" if there is nothing to name
	err            error  // of the service
	detailContains string
}

func (c refusal) run(t *testing.T) {
	t.Helper()
	w := newWorld()
	w.err = c.err
	a := w.serve(t).send(c.method, c.path, c.body, c.headers...)
	p := a.problem(t)
	field, _ := p["field"].(string)
	if a.status != c.status || p["error"] != c.code || field != c.field {
		t.Errorf("%d %v field %q, want %d %s field %q: %s", a.status, p["error"], field, c.status, c.code, c.field, a.body)
	}
	if detail, _ := p["detail"].(string); !strings.Contains(detail, c.detailContains) {
		t.Errorf("detail: %s", detail)
	}
	if len(w.placed) > 0 {
		t.Error("it reached the service")
	}
}

func TestABodyThatCannotBeRead(t *testing.T) {
	many := func(n int) string {
		return strings.Repeat(`{"product_id":"A","quantity":1},`, n-1) + `{"product_id":"A","quantity":1}`
	}
	line := func(members string) string { return `{"customer_id":"c","items":[{` + members + `}]}` }
	for _, c := range []refusal{
		{rule: "nothing", body: " ", status: 400},
		{rule: "not JSON", body: "customer_id=c", status: 400},
		{rule: "not an object", body: "[]", status: 400},
		{rule: "a text", body: `"x"`, status: 400},
		{rule: "cut short", body: oneLine[:30], status: 400},
		{rule: "something after it", body: oneLine + "x", status: 400},
		{rule: "a second value after it", body: oneLine + oneLine, status: 400},
		{rule: "a byte order mark", body: "\ufeff" + oneLine, status: 400},
		{rule: "bytes that are not UTF-8", body: "{\"customer_id\":\"\xff\",\"items\":[]}", status: 400},
		{rule: "half a surrogate pair", body: `{"customer_id":"\ud800"}`, status: 400, field: "customer_id"},
		{rule: "a raw control character", body: "{\"customer_id\":\"a\nb\"}", status: 400, field: "customer_id"},
		{rule: "an escape that JSON does not have", body: `{"customer_id":"\x41"}`, status: 400, field: "customer_id"},
		{rule: "a number with a leading zero", body: line(`"product_id":"A","quantity":01`), status: 400, field: "items[0]"},
		{rule: "a number with a leading plus", body: line(`"product_id":"A","quantity":+1`), status: 400, field: "items[0].quantity"},
		{rule: "NaN", body: line(`"product_id":"A","quantity":NaN`), status: 400, field: "items[0].quantity"},
		{rule: "a comma too many", body: `{"customer_id":"c",}`, status: 400},
		{rule: "an unknown member", body: `{"customer_id":"c","itmes":[]}`, status: 400, field: "itmes"},
		{rule: "a member in another case", body: `{"Customer_ID":"c"}`, status: 400, field: "Customer_ID"},
		{rule: "an unknown member of a line", body: line(`"product_id":"A","quantity":1,"price":3`), status: 400, field: "items[0].price"},
		{rule: "an unknown member of the contact", body: `{"customer_id":"c","items":[],"contact":{"fax":"1"}}`, status: 400, field: "contact.fax"},
		{rule: "a total: the server computes it", body: `{"customer_id":"c","items":[],"total_cents":1}`, status: 400, field: "total_cents"},
		{rule: "a member twice", body: `{"customer_id":"c","customer_id":"d","items":[]}`, status: 400, field: "customer_id"},
		{rule: "a member of a line twice", body: line(`"product_id":"A","quantity":1,"quantity":2`), status: 400, field: "items[0].quantity"},
		{rule: "a member twice, once escaped", body: line(`"product_id":"A","quantity":1,"qu\u0061ntity":2`), status: 400, field: "items[0].quantity"},
		{rule: "a member name of a thousand letters is not echoed in full", body: `{"` + strings.Repeat("a", 1000) + `":1}`, status: 400, field: strings.Repeat("a", 64) + "..."},
		{rule: "nested too deeply", body: strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), status: 400, field: strings.Repeat("a.", 16) + "a"},
		{rule: "more values than any order has", body: `{"items":[` + strings.Repeat("[],", 2000) + `[]]}`, status: 400, field: "items[1022]"},
		{rule: "over 64 KiB", body: oneLine + strings.Repeat(" ", 65536), status: 413},
		{rule: "over 64 KiB comes before what is in it", body: strings.Repeat("x", 65537), status: 413},

		{rule: "no customer", body: `{"items":[{"product_id":"A","quantity":1}]}`, status: 422, field: "customer_id"},
		{rule: "an empty customer", body: `{"customer_id":"","items":[{"product_id":"A","quantity":1}]}`, status: 422, field: "customer_id"},
		{rule: "a customer that is a number", body: `{"customer_id":7,"items":[{"product_id":"A","quantity":1}]}`, status: 422, field: "customer_id"},
		{rule: "a customer that is null", body: `{"customer_id":null,"items":[{"product_id":"A","quantity":1}]}`, status: 422, field: "customer_id"},
		{rule: "a customer that is an object", body: `{"customer_id":{"id":"c"},"items":[{"product_id":"A","quantity":1}]}`, status: 422, field: "customer_id"},
		{rule: "no items", body: `{"customer_id":"c"}`, status: 422, field: "items"},
		{rule: "an empty order", body: `{"customer_id":"c","items":[]}`, status: 422, field: "items"},
		{rule: "items that are an object", body: `{"customer_id":"c","items":{"product_id":"A"}}`, status: 422, field: "items"},
		{rule: "51 lines", body: `{"customer_id":"c","items":[` + many(51) + `]}`, status: 422, field: "items"},
		{rule: "a line that is no object", body: `{"customer_id":"c","items":["A"]}`, status: 422, field: "items[0]"},
		{rule: "a line without a product", body: line(`"quantity":1`), status: 422, field: "items[0].product_id"},
		{rule: "a line without a quantity", body: line(`"product_id":"A"`), status: 422, field: "items[0].quantity"},
		{rule: "a quantity that is a text", body: line(`"product_id":"A","quantity":"1"`), status: 422, field: "items[0].quantity"},
		{rule: "a quantity that is null", body: line(`"product_id":"A","quantity":null`), status: 422, field: "items[0].quantity"},
		{rule: "a quantity that is true", body: line(`"product_id":"A","quantity":true`), status: 422, field: "items[0].quantity"},
		{rule: "half a piece", body: line(`"product_id":"A","quantity":1.5`), status: 422, field: "items[0].quantity"},
		{rule: "an integer written as a fraction", body: line(`"product_id":"A","quantity":1.0`), status: 422, field: "items[0].quantity"},
		{rule: "an integer written with an exponent", body: line(`"product_id":"A","quantity":1e2`), status: 422, field: "items[0].quantity"},
		{rule: "an integer beyond 64 bits", body: line(`"product_id":"A","quantity":9223372036854775808`), status: 422, field: "items[0].quantity"},
		{rule: "a price that is a text", body: line(`"product_id":"A","quantity":1,"unit_price_cents":"8999"`), status: 422, field: "items[0].unit_price_cents"},
		{rule: "the second line names itself", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1},{"product_id":"B"}]}`, status: 422, field: "items[1].quantity"},
		{rule: "a payment method that is a number", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"payment_method":1}`, status: 422, field: "payment_method"},
		{rule: "a currency that is empty", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"currency":""}`, status: 422, field: "currency"},
		{rule: "a contact that is a text", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"contact":"ada@example.com"}`, status: 422, field: "contact"},
		{rule: "an address that is a list", body: `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"contact":{"email":["a"]}}`, status: 422, field: "contact.email"},
	} {
		c.method, c.path = "POST", "/orders"
		c.code = map[int]string{400: "BAD_REQUEST", 413: "PAYLOAD_TOO_LARGE", 422: "VALIDATION_FAILED"}[c.status]
		t.Run(c.rule, c.run)
	}
	t.Run("50 lines are an order", func(t *testing.T) {
		if a := newWorld().serve(t).send("POST", "/orders", `{"customer_id":"c","items":[`+many(50)+`]}`); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("64 KiB are a body", func(t *testing.T) {
		if a := newWorld().serve(t).send("POST", "/orders", oneLine+strings.Repeat(" ", 65536-len(oneLine))); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("no body at all is 400", func(t *testing.T) {
		a := newWorld().serve(t).send("POST", "/orders", "", "Content-Type", "application/json")
		if a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a body of unknown length is bounded just so", func(t *testing.T) {
		for n, want := range map[int]int{65536: 202, 65537: 413} {
			r := httptest.NewRequest(http.MethodPost, "/orders", struct{ *strings.Reader }{strings.NewReader(oneLine + strings.Repeat(" ", n-len(oneLine)))})
			r.Header.Set("Content-Type", "application/json")
			r.ContentLength = -1
			if a := newWorld().serve(t).do(r); a.status != want {
				t.Errorf("%d bytes: %d, want %d", n, a.status, want)
			}
		}
	})
	t.Run("a body that ends before its length is 400", func(t *testing.T) {
		r := request("POST", "/orders", oneLine)
		r.ContentLength++
		if a := newWorld().serve(t).do(r); a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestHeadersAndParametersThatCannotBeRead(t *testing.T) {
	const product, put = "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":8999}`
	long := strings.Repeat("k", 256)
	cases := []refusal{
		{rule: "a key that is empty", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", ""}, status: 400, field: "Idempotency-Key"},
		{rule: "a key of 256 characters", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", long}, status: 400, field: "Idempotency-Key"},
		{rule: "a key with a space", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", "a b"}, status: 400, field: "Idempotency-Key"},
		{rule: "a key that is not ASCII", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", "ключ"}, status: 400, field: "Idempotency-Key"},
		{rule: "two keys", method: "POST", path: "/orders", body: oneLine, headers: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, status: 400, field: "Idempotency-Key"},
		{rule: "a restock without a key", method: "POST", path: product + "/restock", body: `{"quantity":1}`, status: 400, field: "Idempotency-Key"},
		{rule: "a restock with an empty key", method: "POST", path: product + "/restock", body: `{"quantity":1}`, headers: []string{"Idempotency-Key", ""}, status: 400, field: "Idempotency-Key"},
		{rule: "the size comes before the key", method: "POST", path: product + "/restock", body: strings.Repeat(" ", 65537), status: 413},
		{rule: "If-Match without quotes", method: "PUT", path: product, body: put, headers: []string{"If-Match", "v1"}, status: 400, field: "If-Match"},
		{rule: "If-Match with a star", method: "PUT", path: product, body: put, headers: []string{"If-Match", "*"}, status: 400, field: "If-Match"},
		{rule: "If-Match with a list", method: "PUT", path: product, body: put, headers: []string{"If-Match", `"v1", "v2"`}, status: 400, field: "If-Match"},
		{rule: "as_of and version", method: "GET", path: "/orders/" + orderID + "?version=1&as_of=2026-01-15T10:30:00Z", status: 400, field: "as_of"},
		{rule: "as_of that is no time", method: "GET", path: "/orders/" + orderID + "?as_of=yesterday", status: 400, field: "as_of"},
		{rule: "as_of that is a day", method: "GET", path: "/orders/" + orderID + "?as_of=2026-01-15", status: 400, field: "as_of"},
		{rule: "as_of whose plus became a space", method: "GET", path: "/orders/" + orderID + "?as_of=2026-01-15T10:30:00+01:00", status: 400, field: "as_of"},
		{rule: "as_of that is empty", method: "GET", path: "/orders/" + orderID + "?as_of=", status: 400, field: "as_of"},
		{rule: "a version that is no number", method: "GET", path: "/orders/" + orderID + "?version=x", status: 400, field: "version"},
		{rule: "version 0", method: "GET", path: "/orders/" + orderID + "?version=0", status: 400, field: "version"},
		{rule: "a version that is empty", method: "GET", path: "/orders/" + orderID + "?version=", status: 400, field: "version"},
		{rule: "min_version -1", method: "GET", path: "/orders/" + orderID + "?min_version=-1", status: 400, field: "min_version"},
		{rule: "a parameter twice", method: "GET", path: "/orders/" + orderID + "?version=1&version=2", status: 400, field: "version"},
		{rule: "a misspelt parameter", method: "GET", path: "/orders/" + orderID + "?as-of=2026-01-15T10:30:00Z", status: 400, field: "as-of"},
		{rule: "a parameter where there is none", method: "POST", path: "/orders?dry_run=true", body: oneLine, status: 400, field: "dry_run"},
		{rule: "a query that cannot be read", method: "GET", path: "/products?limit=%zz", status: 400},
		{rule: "limit 0", method: "GET", path: "/products?limit=0", status: 400, field: "limit"},
		{rule: "limit 101", method: "GET", path: "/products?limit=101", status: 400, field: "limit"},
		{rule: "limit ten", method: "GET", path: "/products?limit=ten", status: 400, field: "limit"},
		{rule: "a cursor of one's own", method: "GET", path: "/products?cursor=KEYBD-01", status: 400, field: "cursor"},
		{rule: "a cursor of a later kind", method: "GET", path: "/products?cursor=MjpB", status: 400, field: "cursor"},
		{rule: "a cursor that is empty", method: "GET", path: "/products?cursor=", status: 400, field: "cursor"},
	}
	for _, accept := range []string{"text/html", "application/json;q=0", "application/problem+json", "json", "*/*;q=0", "application/json;q=0, */*"} {
		cases = append(cases, refusal{rule: "Accept: " + accept, method: "POST", path: "/orders", body: oneLine,
			headers: []string{"Accept", accept}, status: 406, field: "Accept"})
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/json-patch+json", ";;"} {
		cases = append(cases, refusal{rule: "Content-Type: " + contentType, method: "POST", path: "/orders", body: " ",
			headers: []string{"Content-Type", contentType}, status: 415, field: "Content-Type"})
	}
	cases = append(cases, refusal{rule: "a compressed body", method: "POST", path: "/orders", body: oneLine,
		headers: []string{"Content-Encoding", "gzip"}, status: 415, field: "Content-Encoding"})
	for _, c := range cases {
		c.code = map[int]string{400: "BAD_REQUEST", 406: "NOT_ACCEPTABLE", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}[c.status]
		t.Run(c.rule, func(t *testing.T) {
			if strings.HasPrefix(c.rule, "Content-Type") { // request sets the right one, which is to be replaced
				r := request(c.method, c.path, c.body)
				r.Header.Set("Content-Type", c.headers[1])
				if a := newWorld().serve(t).do(r); a.status != 415 || a.problem(t)["field"] != c.field {
					t.Errorf("%d %s", a.status, a.body)
				}
				return
			}
			c.run(t)
		})
	}
	for _, ok := range [][]string{
		{"Accept", "text/html, */*;q=0.1"}, {"Accept", "application/*"}, {"Accept", "application/json;q=0.5"}, {"Accept", "text/html", "Accept", "application/json"},
		{"Idempotency-Key", long[:255]}, {"Idempotency-Key", `!"#$%&'()*+,-./0:;<=>?@[\]^_{|}~`}, {"Content-Encoding", "identity"},
	} {
		t.Run("taken: "+strings.Join(ok, " "), func(t *testing.T) {
			if a := newWorld().serve(t).send("POST", "/orders", oneLine, ok...); a.status != 202 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("taken: a charset that is UTF-8", func(t *testing.T) {
		r := request("POST", "/orders", oneLine)
		r.Header.Set("Content-Type", `application/JSON; charset="UTF-8"`)
		if a := newWorld().serve(t).do(r); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestOtherBodies(t *testing.T) {
	const product, redrive = "/products/KEYBD-01", "/admin/sagas/" + orderID + "/redrive"
	key := []string{"Idempotency-Key", "k"}
	for _, c := range []refusal{
		{rule: "a product without a name", method: "PUT", path: product, body: `{"unit_price_cents":1}`, status: 422, field: "name"},
		{rule: "a product without a price", method: "PUT", path: product, body: `{"name":"A"}`, status: 422, field: "unit_price_cents"},
		{rule: "a price in dollars", method: "PUT", path: product, body: `{"name":"A","unit_price_cents":89.99}`, status: 422, field: "unit_price_cents"},
		{rule: "a stock that is a text", method: "PUT", path: product, body: `{"name":"A","unit_price_cents":1,"stock":"5"}`, status: 422, field: "stock"},
		{rule: "available is not to be set", method: "PUT", path: product, body: `{"name":"A","unit_price_cents":1,"available":5}`, status: 400, field: "available"},
		{rule: "a product id that is none", method: "PUT", path: "/products/a%20b", body: `{"name":"A","unit_price_cents":1}`, status: 422, field: "product_id"},
		{rule: "a product id of 65 characters", method: "PUT", path: "/products/" + strings.Repeat("a", 65), body: `{"name":"A","unit_price_cents":1}`, status: 422, field: "product_id"},
		{rule: "a restock without a quantity", method: "POST", path: product + "/restock", body: `{}`, headers: key, status: 422, field: "quantity"},
		{rule: "a restock of a text", method: "POST", path: product + "/restock", body: `{"quantity":"5"}`, headers: key, status: 422, field: "quantity"},
		{rule: "a restock with more", method: "POST", path: product + "/restock", body: `{"quantity":5,"price":1}`, headers: key, status: 400, field: "price"},
		{rule: "a redrive without a reason", method: "POST", path: redrive, body: `{}`, status: 422, field: "reason"},
		{rule: "a redrive with an empty reason", method: "POST", path: redrive, body: `{"reason":""}`, status: 422, field: "reason"},
		{rule: "a redrive with a novel", method: "POST", path: redrive, body: `{"reason":"` + strings.Repeat("é", 501) + `"}`, status: 422, field: "reason"},
		{rule: "a redrive with more", method: "POST", path: redrive, body: `{"reason":"x","state":"y"}`, status: 400, field: "state"},
		{rule: "a cancel with members", method: "POST", path: "/orders/" + orderID + "/cancel", body: `{"reason":"x"}`, status: 400, field: "reason"},
		{rule: "a trip with members", method: "POST", path: "/admin/breakers/payment-charge/trip", body: `{"for":"1h"}`, status: 400, field: "for"},
		{rule: "a reset that is no object", method: "POST", path: "/admin/breakers/payment-charge/reset", body: `[]`, status: 400},
	} {
		c.code = map[int]string{400: "BAD_REQUEST", 422: "VALIDATION_FAILED"}[c.status]
		t.Run(c.rule, c.run)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	key := []string{"Idempotency-Key", "k"}
	missing := fault.New(fault.NotFound, "There is no such order.")
	for _, c := range []refusal{
		{rule: "an order", method: "GET", path: "/orders/" + orderID, err: missing},
		{rule: "an order to cancel", method: "POST", path: "/orders/" + orderID + "/cancel", err: missing},
		{rule: "an order whose id cannot be one", method: "GET", path: "/orders/a%2Fb"},
		{rule: "an order to cancel whose id cannot be one", method: "POST", path: "/orders/a%20b/cancel"},
		{rule: "a product", method: "GET", path: "/products/A", err: missing},
		{rule: "a product whose id cannot be one", method: "GET", path: "/products/" + strings.Repeat("a", 65)},
		{rule: "a product to restock", method: "POST", path: "/products/A/restock", body: `{"quantity":1}`, headers: key, err: missing},
		{rule: "a product to restock whose id cannot be one", method: "POST", path: "/products/a%00/restock", body: `{"quantity":1}`, headers: key},
		{rule: "a breaker to trip", method: "POST", path: "/admin/breakers/nope/trip"},
		{rule: "a breaker to reset", method: "POST", path: "/admin/breakers/nope/reset"},
		{rule: "a saga", method: "GET", path: "/admin/sagas/" + orderID, err: missing},
		{rule: "a saga whose id cannot be one", method: "GET", path: "/admin/sagas/a%20b"},
		{rule: "a saga to redrive", method: "POST", path: "/admin/sagas/" + orderID + "/redrive", body: `{"reason":"x"}`, err: missing},
		{rule: "a saga to redrive whose id cannot be one", method: "POST", path: "/admin/sagas/a%20b/redrive", body: `{"reason":"x"}`},
		{rule: "a payment", method: "GET", path: "/admin/payments/" + orderID, err: missing},
		{rule: "a payment whose id cannot be one", method: "GET", path: "/admin/payments/a%20b"},
		{rule: "a path", method: "GET", path: "/basket"},
		{rule: "the root", method: "GET", path: "/"},
		{rule: "a path with a slash too many", method: "GET", path: "/orders//" + orderID},
		{rule: "a path with a slash at its end", method: "POST", path: "/orders/", body: oneLine},
		{rule: "a product whose path goes up when it is read", method: "PUT", path: "/products/%2e%2e", body: `{"name":"A","unit_price_cents":1}`},
		{rule: "a product whose path stands still when it is read", method: "PUT", path: "/products/%2e", body: `{"name":"A","unit_price_cents":1}`},
		{rule: "a path that goes up", method: "GET", path: "/products/../orders/" + orderID},
	} {
		c.status, c.code = 404, "NOT_FOUND"
		t.Run(c.rule, c.run)
	}
}

func TestConflictsOfTheServicesKeepTheirCode(t *testing.T) {
	key := []string{"Idempotency-Key", "k"}
	for _, c := range []refusal{
		{method: "POST", path: "/orders", body: oneLine, err: fault.New(fault.UnknownProduct, "x").With("product_id", "A"), status: 422, code: "UNKNOWN_PRODUCT"},
		{method: "POST", path: "/orders", body: oneLine, err: fault.New(fault.PriceChanged, "x").With("sent", 1).With("current", 2), status: 409, code: "PRICE_CHANGED"},
		{method: "POST", path: "/orders", body: oneLine, err: fault.New(fault.InsufficientStock, "x"), status: 409, code: "INSUFFICIENT_STOCK"},
		{method: "POST", path: "/orders", body: oneLine, err: fault.New(fault.ValidationFailed, "x").With("field", "items[0].quantity"), status: 422, code: "VALIDATION_FAILED", field: "items[0].quantity"},
		{method: "PUT", path: "/products/A", body: `{"name":"A","unit_price_cents":1}`, err: fault.New(fault.PreconditionFailed, "x"), status: 412, code: "PRECONDITION_FAILED"},
		{method: "PUT", path: "/products/A", body: `{"name":"A","unit_price_cents":1,"stock":1}`, err: fault.New(fault.ProductExists, "x"), status: 409, code: "PRODUCT_EXISTS"},
		{method: "PUT", path: "/products/A", body: `{"name":"A","unit_price_cents":1}`, err: fault.New(fault.ValidationFailed, "x").With("field", "name"), status: 422, code: "VALIDATION_FAILED", field: "name"},
		{method: "POST", path: "/products/A/restock", body: `{"quantity":1}`, headers: key, err: fault.New(fault.IdempotencyKeyReused, "x"), status: 422, code: "IDEMPOTENCY_KEY_REUSED"},
		{method: "POST", path: "/admin/sagas/" + orderID + "/redrive", body: `{"reason":"x"}`, err: fault.New(fault.NotFailed, "x"), status: 409, code: "NOT_FAILED"},
	} {
		t.Run(c.path+" "+c.code, c.run)
	}
}

// noTask is a token of no task.
const noTask = "t6w0Xk2pVqJ1uT3nM8sYzcg5vcmQtMDFKSFpLNVYzTThROVQyVzRYNlk4WjBBMUI"

// everyCall is one good request for each operation of the document, by "METHOD /path".
var everyCall = map[string]refusal{
	"GET /orders":                               {path: "/orders"},
	"POST /orders":                              {path: "/orders", body: oneLine},
	"GET /orders/{order_id}":                    {path: "/orders/" + orderID},
	"GET /orders/{order_id}/events":             {path: "/orders/" + orderID + "/events"},
	"GET /events":                               {path: "/events"},
	"POST /orders/{order_id}/cancel":            {path: "/orders/" + orderID + "/cancel"},
	"GET /products":                             {path: "/products"},
	"GET /products/{product_id}":                {path: "/products/A"},
	"PUT /products/{product_id}":                {path: "/products/A", body: `{"name":"A","unit_price_cents":1}`},
	"POST /products/{product_id}/restock":       {path: "/products/A/restock", body: `{"quantity":1}`, headers: []string{"Idempotency-Key", "k"}},
	"GET /admin/breakers":                       {path: "/admin/breakers"},
	"POST /admin/breakers/{name}/trip":          {path: "/admin/breakers/payment-charge/trip"},
	"POST /admin/breakers/{name}/reset":         {path: "/admin/breakers/payment-charge/reset"},
	"GET /admin/sagas/{order_id}":               {path: "/admin/sagas/" + orderID},
	"POST /admin/sagas/{order_id}/redrive":      {path: "/admin/sagas/" + orderID + "/redrive", body: `{"reason":"x"}`},
	"GET /admin/sagas":                          {path: "/admin/sagas"},
	"GET /admin/tasks":                          {path: "/admin/tasks"},
	"POST /admin/tasks/success":                 {path: "/admin/tasks/success", body: `{"token":"` + noTask + `","output":{"approved":true}}`},
	"POST /admin/tasks/failure":                 {path: "/admin/tasks/failure", body: `{"token":"` + noTask + `","error":"FraudSuspected"}`},
	"POST /admin/tasks/heartbeat":               {path: "/admin/tasks/heartbeat", body: `{"token":"` + noTask + `"}`},
	"GET /admin/dlq":                            {path: "/admin/dlq"},
	"POST /admin/dlq/redrive":                   {path: "/admin/dlq/redrive", body: "{}"},
	"GET /admin/faults":                         {path: "/admin/faults"},
	"PUT /admin/faults":                         {path: "/admin/faults", body: `{"down":true}`},
	"GET /admin/verify":                         {path: "/admin/verify"},
	"POST /admin/customers/{customer_id}/erase": {path: "/admin/customers/cust-001/erase"},
	"POST /admin/backup":                        {path: "/admin/backup"},
	"GET /admin/retention":                      {path: "/admin/retention"},
	"POST /admin/retention":                     {path: "/admin/retention"},
	"GET /admin/export/orders":                  {path: "/admin/export/orders?format=csv"},
	"GET /admin/export/events":                  {path: "/admin/export/events"},
	"GET /admin/payments/{order_id}":            {path: "/admin/payments/" + orderID},
	"GET /admin/keys":                           {path: "/admin/keys"},
	"POST /admin/keys":                          {path: "/admin/keys", body: `{"subject":"cust-001","scopes":["orders:read"]}`},
	"DELETE /admin/keys/{key_id}":               {path: "/admin/keys/3f9k2m7p"},
	"GET /health":                               {path: "/health"},
	"GET /ready":                                {path: "/ready"},
	"GET /metrics":                              {path: "/metrics"},
	"GET /openapi.yaml":                         {path: "/openapi.yaml"},
	"GET /docs":                                 {path: "/docs"},
	"GET /docs/style.css":                       {path: "/docs/style.css"},
}

func TestEveryCallOfTheDocument(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			declared++
			name := method + " " + path
			call, ok := everyCall[name]
			if !ok {
				t.Errorf("everyCall has no %s", name)
				continue
			}
			t.Run(name+" succeeds as declared", func(t *testing.T) {
				w := newWorld()
				w.execution = failedExecution()
				if a := w.serve(t).send(method, call.path, call.body, call.headers...); a.status >= 300 {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
			t.Run(name+" takes no other media type", func(t *testing.T) {
				if op.Responses.Value("406") == nil {
					t.Skip("probes look at the status only")
				}
				a := newWorld().serve(t).send(method, call.path, call.body, append(call.headers, "Accept", "image/png")...)
				if a.status != 406 || a.problem(t)["field"] != "Accept" {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
			t.Run(name+" does not tell what went wrong inside", func(t *testing.T) {
				if op.Responses.Value("500") == nil {
					t.Skip("it calls no service")
				}
				w := newWorld()
				w.err = fmt.Errorf("pebble: secret path /var/lib/cloudflow")
				a := w.serve(t).send(method, call.path, call.body, call.headers...)
				if a.status == 200 && path == "/admin/breakers" {
					return // it shows what this process goes by
				}
				p := a.problem(t)
				if a.status != 500 || p["error"] != "INTERNAL" || strings.Contains(a.body, "secret") {
					t.Errorf("%d %s", a.status, a.body)
				}
				if log := w.log.String(); !strings.Contains(log, "secret path") || !strings.Contains(log, p["correlation_id"].(string)) {
					t.Errorf("the log does not have it: %s", log)
				}
			})
			t.Run(name+" asks to try again when the store is away", func(t *testing.T) {
				if op.Responses.Value("503") == nil || path == "/ready" {
					t.Skip("it calls no service")
				}
				w := newWorld()
				w.err = fault.Wrap(fault.Transient, fmt.Errorf("conflict on head"), "orders: commit")
				a := w.serve(t).send(method, call.path, call.body, call.headers...)
				if a.status == 200 && path == "/admin/breakers" {
					return
				}
				if a.status != 503 || a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "head") || strings.Contains(a.body, "commit") {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
			t.Run(name+" survives a panic", func(t *testing.T) {
				if op.Responses.Value("500") == nil || path == "/admin/breakers" {
					t.Skip("it calls no service")
				}
				w := newWorld()
				w.panic = "index out of range"
				a := w.serve(t).send(method, call.path, call.body, call.headers...)
				if a.status != 500 || strings.Contains(a.body, "index") || !strings.Contains(w.log.String(), "index out of range") {
					t.Errorf("%d %s, log %s", a.status, a.body, w.log.String())
				}
			})
		}
		t.Run(path+" answers other methods with 405 and what is allowed", func(t *testing.T) {
			var allow []string
			for _, method := range []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"} {
				if item.GetOperation(method) != nil || method == "HEAD" && item.Get != nil {
					allow = append(allow, method)
					continue
				}
				a := newWorld().serve(t).send(method, strings.ReplaceAll(strings.ReplaceAll(path, "{", ""), "}", ""), "")
				if a.status != 405 || a.header.Get("Allow") == "" || a.problem(t)["error"] != "METHOD_NOT_ALLOWED" {
					t.Errorf("%s: %d %v", method, a.status, a.header)
				}
			}
			a := newWorld().serve(t).send("OPTIONS", strings.ReplaceAll(strings.ReplaceAll(path, "{", ""), "}", ""), "")
			if got, want := a.header.Get("Allow"), strings.Join(allow, ", "); got != want {
				t.Errorf("Allow: %s, want %s", got, want)
			}
		})
	}
	if declared != len(everyCall) {
		t.Errorf("the document has %d calls, everyCall %d", declared, len(everyCall))
	}
}

func TestAnAnswerThatHasBegunIsCutNotFinished(t *testing.T) {
	defer func() {
		if cause, _ := recover().(error); !errors.Is(cause, http.ErrAbortHandler) {
			t.Errorf("recovered %v", cause)
		}
	}()
	w := newWorld()
	w.handler().ServeHTTP(panickyWriter{httptest.NewRecorder()}, request("GET", "/health", ""))
	t.Error("the handler returned")
}

// A panickyWriter fails once the status is out.
type panickyWriter struct{ http.ResponseWriter }

func (panickyWriter) Write([]byte) (int, error) { panic("the connection is a bug") }
