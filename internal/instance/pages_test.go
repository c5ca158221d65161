package instance_test

import (
	"encoding/base64"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/dashboard"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// demo starts an instance in development mode with the demo's products.
func demo(t testing.TB, options ...func(*instance.Config)) *world {
	t.Helper()
	w := newWorld(t, options...)
	if err := w.i.SeedDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// status requires the status of an answer whose body is a page.
func pageOf(a answer, status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Errorf("answered %d %s, want %d", a.status, a.body, status)
	}
	wellFormed(a.t, a)
	return a
}

func TestPagesAreWholePages(t *testing.T) {
	w := demo(t)
	id := w.place(request(visa, "LAPTOP-01")).OrderID
	back := w.place(request(declined, "MOUSE-01")).OrderID
	w.rest()
	for _, c := range []struct {
		path  string
		shows []string
	}{
		{"/", []string{"<h1>See a saga work</h1>", "KEYBD-01", "payment-charge"}},
		{"/?run=1", []string{"Nothing has been played yet"}},
		{"/dashboard/orders", []string{id, back, "status-confirmed", "status-compensated"}},
		{"/dashboard/orders?status=CONFIRMED", []string{id}},
		{"/dashboard/orders?customer=nobody", []string{"No order is like that."}},
		{"/dashboard/orders/" + id, []string{"Confirmed in", "ORDER_CONFIRMED", "ChargePayment", "<svg", "unbroken", "captured 1,499.00"}},
		{"/dashboard/orders/" + back, []string{"Put back in", "the card was declined", "PaymentDeclined", "ReleaseStock"}},
		{"/dashboard/orders/" + id + "?version=1", []string{"As it was at version 1 of 4", "status-pending"}},
		{"/dashboard/operations", []string{"Orders created / min", "order-service", "payment provider", "None: every customer was told"}},
		{"/dashboard/operations?verify=1", []string{"Everything holds"}},
		{"/dashboard/load", []string{"No test yet"}},
		{"/dashboard/reset", []string{"Orders stay"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			a := w.call("GET", c.path, nil)
			a.t = t
			shows(t, pageOf(a, http.StatusOK), c.shows...)
		})
	}
	t.Run("they are one policy's, and the files are of it", func(t *testing.T) {
		for _, path := range []string{"style.css", "live.js", "feed.js", "play.js", "icon.svg"} {
			a := w.call("GET", "/dashboard/assets/"+path, nil).is(http.StatusOK)
			if a.header.Get("Content-Security-Policy") != dashboard.Policy || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s has %v", path, a.header)
			}
		}
		for _, forbidden := range []string{"unsafe-inline", "unsafe-eval", "*", "http:", "https:", "data:"} {
			if strings.Contains(dashboard.Policy, forbidden) {
				t.Errorf("the policy has %s", forbidden)
			}
		}
	})
	t.Run("the services' figures are those of what was done", func(t *testing.T) {
		a := w.call("GET", "/dashboard/operations", nil)
		spoken := regexp.MustCompile(`aria-label="(HTTP API: [^"]*)"`).FindStringSubmatch(string(a.body))
		if spoken == nil {
			t.Fatalf("there is no map: %s", a.body)
		}
		// Two orders: reserve and commit, reserve and release; record, confirm, notify twice over; a charge each, and a message each.
		for _, part := range []string{
			`inventory-service: Avg [<0-9.]+ ms  OK 100 %, 4 calls`, `notification-service: Avg [<0-9.]+ ms  OK 100 %, 2 calls`,
			`payment-service: Avg [<0-9.]+ ms  OK 100 %, 2 calls`, `payment provider: Avg [<0-9.]+ ms  OK 100 %, 4 calls`,
			`order-service: Avg [<0-9.]+ ms  OK 100 %, [0-9]+ calls`, `HTTP API: Avg [<0-9.]+ ms  OK 100 %, [0-9]+ calls`,
			`saga engine: P99 [0-9.]+ ms, 2 ended`, `store: Avg [<0-9.]+ ms a sync, [0-9]+ syncs`,
		} {
			if !regexp.MustCompile(part).MatchString(html.UnescapeString(spoken[1])) {
				t.Errorf("the map says %q, want %s", spoken[1], part)
			}
		}
	})
}

func TestPagesPlayTheScenarios(t *testing.T) {
	w := demo(t)
	for n, c := range []struct {
		name    string
		outcome string
		shows   []string
	}{
		{"happy-path", "status-confirmed", []string{"Confirmed in", "ORDER_CONFIRMED"}},
		{"payment-failure", "status-compensated", []string{"Put back in", "the card was declined", "STOCK_RELEASED"}},
		{"circuit-breaker", "PAYMENT_PROVIDER_UNAVAILABLE", []string{"Refused in", "Opened the circuit", "breaker-open"}},
		{"oversell", "INSUFFICIENT_STOCK", []string{"Refused in", "Closed the circuit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pageOf(w.post("/dashboard/scenarios/"+c.name, nil), http.StatusOK)
			path := fmt.Sprintf("/?run=%d", n+1)
			var a answer
			eventually(t, "the scenario ends in "+c.outcome, func() bool {
				a = w.call("GET", path, nil)
				return strings.Contains(string(a.body), c.outcome+`">`) || strings.Contains(string(a.body), ">"+c.outcome+"<")
			})
			shows(t, pageOf(a, http.StatusOK), c.shows...)
		})
	}
	w.rest()
	w.stock("LAPTOP-01", 9, 0, 1)
	w.stock("MOUSE-01", 25, 0, 0)
	w.stock("KEYBD-01", 8, 0, 0)
	t.Run("a scenario that there is not is 404", func(t *testing.T) {
		pageOf(w.post("/dashboard/scenarios/none", nil), http.StatusNotFound)
	})
	t.Run("they can be played more often than there is stock", func(t *testing.T) {
		for range 12 {
			pageOf(w.post("/dashboard/scenarios/happy-path", nil), http.StatusOK)
		}
		w.rest()
	})
	t.Run("a reset puts the shelf and the circuits back", func(t *testing.T) {
		w.post("/dashboard/scenarios/circuit-breaker", nil)
		pageOf(w.post("/dashboard/reset", nil), http.StatusOK)
		if p := into[apigen.Product](w.call("GET", "/products/LAPTOP-01", nil)); p.Available < 10 {
			t.Errorf("%+v", p)
		}
		w.place(request(visa, "LAPTOP-01")) // which an open circuit would refuse
	})
}

func TestPagesButtonsCallTheInterface(t *testing.T) {
	w := demo(t)
	t.Run("an order of one's own, once however often it is sent", func(t *testing.T) {
		form := url.Values{"customer": {"ada"}, "product": {"MOUSE-01"}, "quantity": {"2"}, "method": {visa}, "key": {"k-1"}, "email": {"ada@example.test"}}
		first, again := pageOf(w.post("/dashboard/orders", form), http.StatusOK), pageOf(w.post("/dashboard/orders", form), http.StatusOK)
		at := first.header.Get("X-Test-At")
		if at != again.header.Get("X-Test-At") || !strings.HasPrefix(at, "/dashboard/orders/ord-") {
			t.Errorf("they are %s and %s", at, again.header.Get("X-Test-At"))
		}
		w.rest()
		a := pageOf(w.call("GET", at, nil), http.StatusOK)
		shows(t, a, "captured 59.98", "SENT by test")
		for _, secret := range []string{"ada@example", "example.test"} {
			if strings.Contains(string(a.body), secret) {
				t.Errorf("the page shows the contact: %s", a.body)
			}
		}
	})
	t.Run("a contact is not shown, wherever it stands", func(t *testing.T) {
		r := request(declined, "MOUSE-01")
		r.Contact = &contact
		id := w.place(r).OrderID
		w.rest()
		for _, path := range []string{"/dashboard/orders/" + id, "/dashboard/orders/" + id + "?version=1", "/dashboard/orders", "/dashboard/operations", "/"} {
			for _, secret := range []string{*contact.Email, *contact.Phone} {
				if a := w.call("GET", path, nil).is(http.StatusOK); strings.Contains(string(a.body), secret) {
					t.Errorf("%s shows %s", path, secret)
				}
			}
		}
	})
	t.Run("restock, trip and reset", func(t *testing.T) {
		a := pageOf(w.post("/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {" 5 "}}), http.StatusOK)
		shows(t, a, `data-available="KEYBD-01">13<`)
		shows(t, pageOf(w.post("/dashboard/breakers/payment-charge/trip", nil), http.StatusOK), "breaker-open")
		a = pageOf(w.post("/dashboard/breakers/payment-charge/reset", url.Values{"back": {"home"}}), http.StatusOK)
		if strings.Contains(string(a.body), "breaker-open") || a.header.Get("X-Test-At") != "/" {
			t.Errorf("after the reset, at %s: %s", a.header.Get("X-Test-At"), a.body)
		}
	})
	t.Run("what cannot be done is a page that says why", func(t *testing.T) {
		id := w.place(request(visa, "LAPTOP-01")).OrderID
		for _, c := range []struct {
			path   string
			form   url.Values
			status int
			says   string
		}{
			{"/dashboard/orders/" + id + "/cancel", nil, http.StatusConflict, "ORDER_FINAL"},
			{"/dashboard/orders/none/cancel", nil, http.StatusNotFound, "NOT_FOUND"},
			{"/dashboard/sagas/" + id + "/redrive", url.Values{"reason": {"why not"}}, http.StatusConflict, "NOT_FAILED"},
			{"/dashboard/sagas/" + id + "/redrive", url.Values{"reason": {"  "}}, http.StatusUnprocessableEntity, "reason"},
			{"/dashboard/sagas/" + id + "/redrive", url.Values{"reason": {strings.Repeat("x", 5000)}}, http.StatusUnprocessableEntity, "reason"},
			{"/dashboard/breakers/none/trip", nil, http.StatusNotFound, "NOT_FOUND"},
			{"/dashboard/breakers/payment-charge/shake", nil, http.StatusNotFound, "tripped and reset"},
			{"/dashboard/products/none/restock", url.Values{"quantity": {"1"}}, http.StatusNotFound, "NOT_FOUND"},
			{"/dashboard/products/KEYBD-01/restock", nil, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {"-1"}}, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {"0"}}, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {"100000001"}}, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {"99999999999999999999"}}, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/products/KEYBD-01/restock", url.Values{"quantity": {"<b>5</b>"}}, http.StatusUnprocessableEntity, "quantity"},
			{"/dashboard/dlq/redrive", url.Values{"id": {"none"}}, http.StatusOK, "None: every customer"},
			{"/dashboard/dlq/redrive", url.Values{"id": {strings.Repeat("x", 5000)}}, http.StatusUnprocessableEntity, "ids"},
		} {
			t.Run(c.path+"?"+shortened(c.form.Encode()), func(t *testing.T) {
				a := w.post(c.path, c.form)
				a.t = t
				shows(t, pageOf(a, c.status), c.says)
			})
		}
	})
	t.Run("a form that is wrong names the field", func(t *testing.T) {
		whole := func(changes ...string) url.Values {
			form := url.Values{"customer": {"ada"}, "product": {"MOUSE-01"}, "quantity": {"1"}, "method": {visa}}
			for i := 0; i+1 < len(changes); i += 2 {
				form.Set(changes[i], changes[i+1])
			}
			return form
		}
		for _, c := range []struct {
			form   url.Values
			status int
			naming string
		}{
			{nil, http.StatusUnprocessableEntity, "quantity"},
			{url.Values{"quantity": {"1"}}, http.StatusUnprocessableEntity, "customer_id"},
			{whole("customer", ""), http.StatusUnprocessableEntity, "customer_id"},
			{whole("customer", "<i>"), http.StatusUnprocessableEntity, "customer_id"},
			{whole("product", ""), http.StatusUnprocessableEntity, "product_id"},
			{whole("product", "none"), http.StatusUnprocessableEntity, "none"},
			{whole("quantity", ""), http.StatusUnprocessableEntity, "quantity"},
			{whole("quantity", "-1"), http.StatusUnprocessableEntity, "quantity"},
			{whole("quantity", "0"), http.StatusUnprocessableEntity, "quantity"},
			{whole("quantity", "10001"), http.StatusUnprocessableEntity, "quantity"},
			{whole("quantity", "1e3"), http.StatusUnprocessableEntity, "quantity"},
			{whole("quantity", "99999999999999999999"), http.StatusUnprocessableEntity, "quantity"},
			{whole("method", ""), http.StatusUnprocessableEntity, "payment_method"},
			{whole("method", "4242 4242 4242 4242"), http.StatusUnprocessableEntity, "payment_method"},
			{whole("email", "no address"), http.StatusUnprocessableEntity, "email"},
			{whole("key", strings.Repeat("k", 1000)), http.StatusBadRequest, "Idempotency-Key"},
			{whole("key", "a\r\nX-Evil: 1"), http.StatusBadRequest, "Idempotency-Key"},
		} {
			t.Run(shortened(c.form.Encode()), func(t *testing.T) {
				a := w.post("/dashboard/orders", c.form)
				a.t = t
				shows(t, pageOf(a, c.status), c.naming)
			})
		}
	})
	t.Run("a body over 64 KiB is refused before anything is done", func(t *testing.T) {
		large := url.Values{"quantity": {"1"}, "more": {strings.Repeat("x", 64<<10)}}
		before := into[apigen.Product](w.call("GET", "/products/KEYBD-01", nil)).Available
		for _, path := range everyPost("none") {
			pageOf(w.post(path, large), http.StatusRequestEntityTooLarge)
		}
		w.stock("KEYBD-01", before, 0, 0)
	})
	t.Run("a body that is no form is refused", func(t *testing.T) {
		a := w.post("/dashboard/products/KEYBD-01/restock", nil, "Content-Type", "a/b/c; =")
		pageOf(a, http.StatusUnprocessableEntity)
	})
}

// What a page tells of the log it finds by its texts, so that a line that is worded anew shows here.
func TestPagesTellWhatWasLoggedOfAnOrder(t *testing.T) {
	t.Parallel()
	tail := observe.NewTail()
	w := demo(t, func(c *instance.Config) { c.Tail, c.Log = tail, observe.NewLogger(tail, slog.LevelInfo, nil) })
	id := w.accepted(request(visa, "MOUSE-01"), "Idempotency-Key", "k")
	w.outcome(id)
	for range 2 {
		w.call("POST", "/orders", request(visa, "MOUSE-01"), "Idempotency-Key", "k").is(http.StatusAccepted)
	}
	w.rest()
	page := pageOf(w.call("GET", "/dashboard/orders/"+id, nil), http.StatusOK)
	shows(t, page, "2×, as far as the last log lines go back", "Inventory reserved", "Payment charged", "log lines of that service, then", "unbroken")
}

func shortened(text string) string { return text[:min(60, len(text))] }

// everyPost are the paths of all buttons and forms.
func everyPost(id string) []string {
	return []string{
		"/dashboard/scenarios/happy-path", "/dashboard/orders", "/dashboard/reset", "/dashboard/orders/" + id + "/cancel",
		"/dashboard/breakers/payment-charge/trip", "/dashboard/products/KEYBD-01/restock", "/dashboard/sagas/" + id + "/redrive",
		"/dashboard/dlq/redrive", "/dashboard/load", "/dashboard/load/stop",
	}
}

func TestPagesTakeNothingFromAnotherOrigin(t *testing.T) {
	w := demo(t)
	everything := aLoad("quantity", "1", "customer", "ada", "product", "KEYBD-01", "method", visa, "reason", "x")
	for _, path := range everyPost("none") {
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "", "Origin", "http://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			a := w.post(path, everything, headers...)
			if a.status != http.StatusForbidden || a.header.Get("Content-Security-Policy") != dashboard.Policy {
				t.Errorf("POST %s with %q answers %d %s", path, headers, a.status, a.body)
			}
		}
	}
	w.stock("KEYBD-01", 8, 0, 0)
	if list := into[apigen.OrderList](w.call("GET", "/orders", nil)); len(list.Orders) != 0 {
		t.Errorf("orders were placed: %+v", list)
	}
	shows(t, w.call("GET", "/dashboard/load", nil), "No test yet")
	t.Run("nor is anything shown to a name that is not this machine's", func(t *testing.T) {
		for _, path := range []string{"/", "/dashboard/orders", "/dashboard/operations", "/dashboard/load", "/dashboard/load/series.csv", "/dashboard/reset"} {
			pageOf(w.call("GET", path, nil, "Host", "rebound.example"), http.StatusForbidden)
		}
		w.call("GET", "/dashboard/api/orders", nil, "Host", "rebound.example").is(http.StatusForbidden)
		pageOf(w.post("/dashboard/load/stop", nil, "Host", "rebound.example", "Origin", "http://rebound.example"), http.StatusForbidden)
	})
}

func TestPagesScriptReadsTheInterfaceAndWritesNothing(t *testing.T) {
	w := demo(t)
	if list := into[apigen.ProductList](w.call("GET", "/dashboard/api/products", nil).is(http.StatusOK)); len(list.Products) != 3 {
		t.Errorf("%+v", list)
	}
	w.call("GET", "/dashboard/api/none", nil).is(http.StatusNotFound).problem("NOT_FOUND")
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"/orders", "/products/KEYBD-01/restock", "/products/NEW", "/admin/breakers/payment-charge/trip", "/admin/keys/x"} {
			a := w.call(method, "/dashboard/api"+path, map[string]any{"quantity": 5, "name": "x", "unit_price_cents": 1}, "Idempotency-Key", "k")
			if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s answers %d %s", method, path, a.status, a.body)
			}
		}
	}
	w.stock("KEYBD-01", 8, 0, 0)
	w.call("GET", "/products/NEW", nil).is(http.StatusNotFound)
	if b := into[apigen.BreakerList](w.call("GET", "/admin/breakers", nil)); b.Breakers[0].State != apigen.BreakerStateCLOSED {
		t.Errorf("%+v", b)
	}
	for _, path := range []string{"/", "/dashboard/operations", "/dashboard/assets/style.css", "/dashboard/none"} {
		if a := w.call("PUT", path, nil); a.status/100 != 4 {
			t.Errorf("PUT %s answers %d", path, a.status)
		}
	}
}

func TestPagesOfHostileAddresses(t *testing.T) {
	w := demo(t)
	id := w.place(request(visa, "LAPTOP-01")).OrderID
	script := "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
	for path, status := range map[string]int{
		"/dashboard/orders/" + script: http.StatusNotFound, "/dashboard/orders/%00": http.StatusNotFound,
		"/dashboard/orders/%2e%2e%2fadmin": http.StatusNotFound, "/dashboard/orders/..%2F..%2Fadmin%2Fkeys": http.StatusNotFound,
		"/dashboard/orders/a%2Fb": http.StatusNotFound, "/dashboard/orders/%FF%FE": http.StatusNotFound, "/dashboard/orders/%3F": http.StatusNotFound,
		"/dashboard/orders/" + strings.Repeat("x", 5000): http.StatusNotFound, "/dashboard/orders/ord-none": http.StatusNotFound,
		"/dashboard/orders/" + id + "?version=abc": http.StatusOK, "/dashboard/orders/" + id + "?version=-1": http.StatusOK,
		"/dashboard/orders/" + id + "?version=99999": http.StatusNotFound, "/dashboard/orders/" + id + "?version=": http.StatusOK,
		"/dashboard/orders/" + id + "?version=99999999999999999999": http.StatusNotFound, "/dashboard/orders/" + id + "?version=" + script: http.StatusOK,
		"/dashboard/orders?status=" + script: http.StatusBadRequest, "/dashboard/orders?status=%00": http.StatusBadRequest,
		"/dashboard/orders?customer=" + script: http.StatusBadRequest, "/dashboard/orders?customer=" + strings.Repeat("x", 5000): http.StatusBadRequest,
		"/dashboard/orders?cursor=torn": http.StatusBadRequest, "/dashboard/orders?cursor=" + script: http.StatusBadRequest,
		"/dashboard/orders?id=" + script: http.StatusNotFound, "/dashboard/orders?id=..": http.StatusOK, "/dashboard/orders?id=%2F%2Fevil.example": http.StatusNotFound,
		"/dashboard/orders?%zz=1;a": http.StatusOK, "/?run=x": http.StatusOK, "/?run=" + script: http.StatusOK, "/?run=-1": http.StatusOK, "/?run=99999999999999999999": http.StatusOK,
		"/dashboard/" + script: http.StatusNotFound, "/dashboard/none": http.StatusNotFound, "/dashboard/load/none": http.StatusNotFound,
		"/dashboard/load?n=" + script: http.StatusOK, "/dashboard/operations?verify=" + script: http.StatusOK,
	} {
		t.Run(shortened(path), func(t *testing.T) {
			a := w.call("GET", path, nil)
			a.t = t
			pageOf(a, status)
			if strings.Contains(string(a.body), "<script>") || strings.Contains(string(a.body), "alert(1)</script") {
				t.Errorf("the page holds what came from the address: %s", a.body)
			}
		})
	}
	t.Run("a name that no URL takes is a host like others", func(t *testing.T) {
		for _, host := range []string{"%zz", "a,b"} {
			if a := w.call("GET", "/dashboard/orders", nil, "Host", host); a.status/100 != 4 {
				t.Errorf("%q is answered %d %s", host, a.status, a.body)
			}
		}
	})
	t.Run("files that are none are 404, and none of another place", func(t *testing.T) {
		for _, path := range []string{"none.js", "..%2ftemplates%2fhome.html", "%2e%2e/templates/home.html", "%00"} {
			a := w.call("GET", "/dashboard/assets/"+path, nil)
			if a.status == http.StatusOK && strings.Contains(string(a.body), "define") || a.status >= 500 {
				t.Errorf("%s is %d %s", path, a.status, a.body)
			}
		}
	})
	t.Run("data that looks like a page is text", func(t *testing.T) {
		name := `<img src=x onerror="alert(1)">&'`
		w.call("PUT", "/products/HTML", apigen.ProductPut{Name: name, UnitPriceCents: 100, Stock: ptr(int64(1))}).is(http.StatusCreated)
		for _, path := range []string{"/", "/dashboard/operations"} {
			a := pageOf(w.call("GET", path, nil), http.StatusOK)
			if strings.Contains(string(a.body), "<img src=x") {
				t.Errorf("%s: %s", path, a.body)
			}
		}
	})
}

// basic is a key as browsers send it.
func basic(bearer []string) []string {
	key := strings.TrimPrefix(bearer[1], "Bearer ")
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("any name:"+key))}
}

func TestPagesWantAKey(t *testing.T) {
	w := keyed(t)
	w.product("KEYBD-01", 8)
	operator := *w
	operator.who = basic(w.who)
	nobody := *w
	nobody.who = nil
	customer := *w
	customer.who = basic(w.key("cust-1", auth.ScopeOrdersRead, auth.ScopeOrdersWrite))
	wrong := *w
	wrong.who = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("any:cfk_wrong"))}
	id := w.place(request(visa, "KEYBD-01")).OrderID
	pages := []string{"/", "/dashboard/orders", "/dashboard/orders/" + id, "/dashboard/operations", "/dashboard/operations?verify=1"}
	for _, path := range pages {
		t.Run(path, func(t *testing.T) {
			for _, other := range []*world{&nobody, &wrong} {
				a := pageOf(other.call("GET", path, nil), http.StatusUnauthorized)
				if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
					t.Errorf("nobody is asked for a key: %v", a.header)
				}
			}
			if path != "/dashboard/orders" { // where a customer sees its own, as it does through the interface
				pageOf(customer.call("GET", path, nil), http.StatusForbidden)
			}
			pageOf(operator.call("GET", path, nil), http.StatusOK)
		})
	}
	t.Run("what is for development is not there", func(t *testing.T) {
		for _, path := range []string{"/dashboard/reset", "/dashboard/load", "/dashboard/load/latency.svg", "/dashboard/load/series.csv"} {
			pageOf(operator.call("GET", path, nil), http.StatusNotFound)
		}
		for _, path := range []string{"/dashboard/scenarios/happy-path", "/dashboard/orders", "/dashboard/reset", "/dashboard/load", "/dashboard/load/stop"} {
			pageOf(operator.post(path, aLoad()), http.StatusNotFound)
		}
		a := operator.call("GET", "/", nil)
		for _, link := range []string{`href="/dashboard/load"`, "See it work", "Development mode"} {
			if strings.Contains(string(a.body), link) {
				t.Errorf("the page has %s", link)
			}
		}
	})
	t.Run("a list is of whose key it is", func(t *testing.T) {
		other := *w
		other.who = basic(w.key("cust-2", auth.ScopeOrdersRead))
		shows(t, pageOf(customer.call("GET", "/dashboard/orders", nil), http.StatusOK), id)
		shows(t, pageOf(other.call("GET", "/dashboard/orders", nil), http.StatusOK), "No order is like that.")
		shows(t, pageOf(other.call("GET", "/dashboard/orders?customer=cust-1", nil), http.StatusOK), "No order is like that.")
		pageOf(other.call("GET", "/dashboard/orders/"+id, nil), http.StatusNotFound)
	})
	t.Run("the first page is the operations", func(t *testing.T) {
		shows(t, operator.call("GET", "/", nil), "<h1>Operations</h1>")
	})
	t.Run("buttons are pressed as who is there", func(t *testing.T) {
		restock := url.Values{"quantity": {"5"}}
		pageOf(nobody.post("/dashboard/products/KEYBD-01/restock", restock), http.StatusUnauthorized)
		pageOf(customer.post("/dashboard/products/KEYBD-01/restock", restock), http.StatusForbidden)
		pageOf(customer.post("/dashboard/breakers/payment-charge/trip", nil), http.StatusForbidden)
		w.stock("KEYBD-01", 7, 0, 1)
		pageOf(operator.post("/dashboard/products/KEYBD-01/restock", restock), http.StatusOK)
		w.stock("KEYBD-01", 12, 0, 1)
	})
	t.Run("the script reads as who is there", func(t *testing.T) {
		nobody.call("GET", "/dashboard/api/orders", nil).is(http.StatusUnauthorized)
		customer.call("GET", "/dashboard/api/admin/breakers", nil).is(http.StatusForbidden)
		operator.call("GET", "/dashboard/api/admin/breakers", nil).is(http.StatusOK)
	})
}

func TestPagesAreOnTheOperatorsListener(t *testing.T) {
	w := newWorld(t, func(c *instance.Config) { c.Access.Split = true })
	for _, path := range []string{"/", "/dashboard", "/dashboard/orders", "/dashboard/operations", "/dashboard/load", "/dashboard/assets/style.css", "/dashboard/api/orders"} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
		customers, operators := httptest.NewRecorder(), httptest.NewRecorder()
		w.i.Handler.ServeHTTP(customers, r)
		w.i.Admin.ServeHTTP(operators, r)
		if customers.Code != http.StatusNotFound || operators.Code >= 400 {
			t.Errorf("%s is %d for customers, %d for operators", path, customers.Code, operators.Code)
		}
	}
}
