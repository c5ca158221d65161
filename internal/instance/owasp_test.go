package instance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-jose/go-jose/v4"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/auth/token"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// The OWASP API Security Top 10 of 2023 (https://owasp.org/API-Security/editions/2023/en/0x11-t10/), an attack of each kind on a running
// instance with authentication.
func TestOWASPTop10(t *testing.T) {
	t.Parallel()
	for _, item := range []struct {
		name   string
		attack func(*testing.T)
	}{
		{"API1 broken object level authorization", anotherCustomersOrder},
		{"API2 broken authentication", guessedCredentials},
		{"API3 broken object property level authorization", propertiesThatAreNotTheirs},
		{"API4 unrestricted resource consumption", moreThanTheirShare},
		{"API5 broken function level authorization", operatorsFunctions},
		{"API6 unrestricted access to sensitive business flows", hoardedStock},
		{"API7 server side request forgery", addressesInEveryField},
		{"API8 security misconfiguration", whatAnswersGiveAway},
		{"API9 improper inventory management", forgottenPaths},
		{"API10 unsafe consumption of APIs", liesOfOthers},
	} {
		t.Run(item.name, item.attack)
	}
}

func anotherCustomersOrder(t *testing.T) {
	t.Parallel()
	w := keyed(t)
	w.product("A", 10)
	id := w.as("ada").place(orderOf("ada")).OrderID
	mallory := w.as("mallory")
	for _, call := range [][2]string{
		{"GET", "/orders/" + id}, {"GET", "/orders/" + id + "/events"}, {"POST", "/orders/" + id + "/cancel"},
	} {
		mallory.call(call[0], call[1], nil).is(http.StatusNotFound).problem("NOT_FOUND")
	}
	if list := into[apigen.OrderList](mallory.call("GET", "/orders?customer_id=ada", nil)); len(list.Orders) != 0 {
		t.Errorf("she is shown %+v", list)
	}
	mallory.call("POST", "/orders", orderOf("ada")).is(http.StatusForbidden)
	ended(t, w.call("GET", "/orders/"+id, nil).order(), "CONFIRMED", confirmedLog)
	w.rest()
}

func guessedCredentials(t *testing.T) {
	t.Parallel()
	w := keyed(t, func(c *instance.Config) {
		c.Limits = &httpapi.Limits{PerAddress: limit.Rate{PerSecond: 1, Burst: 60}}
	})
	good := strings.TrimPrefix(w.who[1], "Bearer ")
	ops := w.who
	w.who = nil
	ada := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x","aud":"x","sub":"ada","scope":"admin","exp":99999999999}`))
	for name, headers := range map[string][]string{
		"none":                         nil,
		"another scheme":               {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+good))},
		"no scheme":                    {"Authorization", good},
		"an empty one":                 {"Authorization", "Bearer "},
		"a secret that is near":        {"Authorization", "Bearer " + good[:len(good)-1] + string(rune(good[len(good)-1]^1))},
		"a secret cut short":           {"Authorization", "Bearer " + good[:len(good)-1]},
		"a key's id alone":             {"Authorization", "Bearer " + good[:len("cfk_12345678_")]},
		"a cookie":                     {"Cookie", "token=" + good},
		"a token that nobody signed":   {"Authorization", "Bearer eyJhbGciOiJub25lIn0." + ada + "."},
		"a token where keys are taken": {"Authorization", "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ." + ada + ".AAAA"},
	} {
		if a := w.call("GET", "/orders", nil, headers...); a.status != http.StatusUnauthorized || a.header.Get("Www-Authenticate") == "" {
			t.Errorf("%s: answered %d %s", name, a.status, a.body)
		}
	}
	for _, query := range []string{"?token=", "?access_token=", "?api_key="} { // it would stand in logs and histories
		w.call("GET", "/orders"+query+good, nil).is(http.StatusUnauthorized)
	}
	refused := 0
	for range 100 { // who guesses is slowed down, with wrong keys as without
		if w.call("GET", "/orders", nil, "Authorization", "Bearer cfk_00000000_guess").status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 30 {
		t.Errorf("%d of 100 guesses were refused unseen", refused)
	}
	slowed := false
	for range 5 { // and so is who calls from the same address; one call a second is let through
		slowed = slowed || w.call("GET", "/orders", nil, ops...).status == http.StatusTooManyRequests
	}
	if !slowed {
		t.Error("the address is not slowed down")
	}
}

func propertiesThatAreNotTheirs(t *testing.T) {
	t.Parallel()
	w := keyed(t)
	w.product("A", 10)
	ada := w.as("ada")
	for member, value := range map[string]any{
		"status": "CONFIRMED", "total_cents": 1, "version": 9, "order_id": "ord-1", "principal": "ops", "admin": true, "created_at": "2026-01-01T00:00:00Z",
		"failure_reason": "none", "events": []any{}, "__proto__": map[string]any{"admin": true},
	} {
		body := map[string]any{"customer_id": "ada", "items": []any{map[string]any{"product_id": "A", "quantity": 1}}, member: value}
		ada.call("POST", "/orders", body).is(http.StatusBadRequest).problem("BAD_REQUEST")
	}
	line := map[string]any{"product_id": "A", "quantity": 1, "discount_cents": 999}
	ada.call("POST", "/orders", map[string]any{"customer_id": "ada", "items": []any{line}}).is(http.StatusBadRequest)
	w.call("PUT", "/products/A", map[string]any{"name": "A", "unit_price_cents": 1, "sold": 0}).is(http.StatusBadRequest)

	// And nobody is shown more than is meant: no contact and no card token in an order, no secret in a list of keys.
	r := orderOf("ada")
	r.Contact = &contact
	o := ada.place(r)
	for _, path := range []string{"/orders/" + o.OrderID, "/orders/" + o.OrderID + "/events", "/orders", "/admin/sagas/" + o.OrderID, "/admin/keys", "/admin/export/orders", "/admin/export/events"} {
		a := w.call("GET", path, nil).is(http.StatusOK)
		for _, secret := range []string{*contact.Email, *contact.Phone, strings.TrimPrefix(ada.who[1], "Bearer ")} {
			if strings.Contains(string(a.body), secret) {
				t.Errorf("%s shows %q: %s", path, secret, a.body)
			}
		}
	}
}

func moreThanTheirShare(t *testing.T) {
	t.Parallel()
	w := keyed(t, func(c *instance.Config) {
		c.Limits = &httpapi.Limits{PerKey: limit.Rate{PerSecond: 1, Burst: 30}, Connections: 64}
	})
	w.product("A", 100)
	ada := w.as("ada")
	huge := orderOf("ada")
	for range 51 {
		huge.Items = append(huge.Items, huge.Items[0])
	}
	ada.call("POST", "/orders", huge).is(http.StatusUnprocessableEntity)
	ada.call("POST", "/orders", map[string]any{"customer_id": strings.Repeat("x", 70_000)}).is(http.StatusRequestEntityTooLarge)
	ada.call("GET", "/orders?limit=1000000", nil).is(http.StatusBadRequest)
	many := orderOf("ada")
	many.Items[0].Quantity = 1 << 40
	ada.call("POST", "/orders", many).is(http.StatusUnprocessableEntity)
	deep := json.RawMessage(strings.Repeat("[", 2000) + strings.Repeat("]", 2000))
	ada.call("POST", "/orders", deep).is(http.StatusBadRequest)

	var last answer
	for range 40 {
		last = ada.call("GET", "/orders", nil)
	}
	if p := last.is(http.StatusTooManyRequests).problem("THROTTLED"); p.RetryAfterSeconds == nil || last.header.Get("Retry-After") == "" {
		t.Errorf("%s %v", last.body, last.header)
	}
	w.as("bob").call("GET", "/orders", nil).is(http.StatusOK) // who did nothing is not refused
}

// operatorsFunctions calls every operation of the document with the key of a customer: those that want another scope are 403, those that
// want none are answered.
func operatorsFunctions(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	w := keyed(t)
	ada := w.as("ada")
	refused := 0
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			concrete := strings.NewReplacer("{order_id}", "ord-00000000000000000000000000", "{product_id}", "A", "{name}", "payment-charge",
				"{customer_id}", "bob", "{key_id}", "00000000").Replace(path)
			own := strings.Contains(operation.Description, "Scope: `orders:")
			open := !strings.Contains(operation.Description, "Scope: `")
			if path == "/events" || own || open || strings.Contains(path, "/admin/faults") {
				continue
			}
			ada.call(method, concrete, nil).is(http.StatusForbidden).problem("FORBIDDEN")
			for _, disguise := range []string{"X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"} {
				ada.call(method, concrete, nil, disguise, "GET").is(http.StatusForbidden)
			}
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("only %d operations were tried", refused)
	}
	for _, written := range []string{"/ADMIN/keys", "/admin//keys", "/./admin/keys", "/orders/../admin/keys", "/admin/keys/", "/%61dmin/keys", "/admin%2fkeys"} {
		if a := ada.call("GET", written, nil); a.status < 300 {
			t.Errorf("%s: answered %d %s", written, a.status, a.body)
		}
	}
}

// hoardedStock orders everything with a card that keeps the provider busy, as a bot does that wants nothing but that others have nothing.
func hoardedStock(t *testing.T) {
	t.Parallel()
	w := keyed(t, func(c *instance.Config) { c.Limits = &httpapi.Limits{OpenOrders: 5} })
	w.product("A", 10)
	bot := w.as("bot")
	slow := orderOf("bot")
	slow.PaymentMethod = ptr(provider.Slow)
	taken := 0
	for range 10 {
		switch a := bot.call("POST", "/orders", slow); a.status {
		case http.StatusAccepted:
			taken++
		default:
			if p := a.is(http.StatusTooManyRequests).problem("TOO_MANY_OPEN_ORDERS"); p.Limit == nil || *p.Limit != 5 {
				t.Errorf("%s", a.body)
			}
		}
	}
	if taken != 5 {
		t.Errorf("%d orders were taken, want 5", taken)
	}
	ended(t, w.as("ada").place(orderOf("ada")), "CONFIRMED", confirmedLog) // there is something left for others
	w.rest()
}

// addressesInEveryField names an address of ours wherever a text can stand, and nobody may come.
func addressesInEveryField(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var visits atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			c.Close()
		}
	}()
	defer func() {
		l.Close()
		<-done
		if n := visits.Load(); n > 0 {
			t.Errorf("%d connections were made to an address that a caller named", n)
		}
	}()
	host := l.Addr().String()
	url := "http://" + host + "/"

	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	published, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signer.Public(), KeyID: "1", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(keys, published, 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := token.Keys(keys, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.New(token.Config{Issuer: "i", Audience: "a", Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Keys: set})
	if err != nil {
		t.Fatal(err)
	}
	w := keyed(t, func(c *instance.Config) { c.Access.Tokens = tokens })
	w.product("A", 100)
	w.call("PUT", "/products/B", apigen.ProductPut{Name: url, UnitPriceCents: 1, Stock: ptr[int64](9)})
	for _, r := range []apigen.OrderRequest{
		{CustomerID: url, Items: orderOf("c").Items},
		{CustomerID: "c", Items: []apigen.OrderRequestItem{{ProductID: url, Quantity: 1}}},
		{CustomerID: "c", Items: orderOf("c").Items, PaymentMethod: &url},
		{CustomerID: "c", Items: orderOf("c").Items, Contact: &apigen.Contact{Email: ptr("ada@" + host)}},
		{CustomerID: "c", Items: orderOf("c").Items, Contact: &apigen.Contact{Email: ptr("ada@[127.0.0.1]")}},
		{CustomerID: "c", Items: orderOf("c").Items, Contact: &apigen.Contact{Phone: &url}},
	} {
		w.call("POST", "/orders", r, "X-Forwarded-Host", host, "Forwarded", "host="+host, "X-Correlation-Id", url, "Idempotency-Key", url,
			"Referer", url, "Origin", url, "Traceparent", url, "Host", host)
	}
	for _, header := range []string{
		`{"alg":"ES256","kid":"1","jku":"` + url + `"}`, `{"alg":"ES256","kid":"1","x5u":"` + url + `"}`, `{"alg":"ES256","kid":"` + url + `"}`,
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+url+`"}`)) + ".AAAA"
		w.call("GET", "/orders", nil, "Authorization", "Bearer "+text).is(http.StatusUnauthorized)
	}
	w.call("GET", "/docs", nil, "Host", host)
	w.rest()
}

func whatAnswersGiveAway(t *testing.T) {
	t.Parallel()
	w := keyed(t)
	w.product("A", 1)
	o := w.place(orderOf("c"))
	for _, c := range [][2]string{
		{"GET", "/orders/" + o.OrderID}, {"GET", "/nowhere"}, {"GET", "/orders/%00"}, {"PATCH", "/orders"}, {"TRACE", "/orders"}, {"GET", "/docs"},
		{"GET", "/orders?limit=abc"}, {"GET", "/admin/sagas/" + o.OrderID}, {"OPTIONS", "/orders"}, {"GET", "/openapi.yaml"},
	} {
		a := w.call(c[0], c[1], nil, "Origin", "https://evil.example")
		if a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v: no nosniff", c)
		}
		for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Set-Cookie"} {
			if v := a.header.Get(name); v != "" {
				t.Errorf("%v: %s is %q", c, name, v)
			}
		}
		if a.status < 400 {
			continue
		}
		for _, inside := range []string{"goroutine", ".go:", "panic", "internal/", "pebble", w.dir} {
			if strings.Contains(string(a.body), inside) {
				t.Errorf("%v: it shows %q: %s", c, inside, a.body)
			}
		}
	}
	// A caller's own are cached by nobody on the way.
	for _, path := range []string{"/orders/" + o.OrderID, "/orders", "/admin/keys"} {
		if v := w.call("GET", path, nil).is(http.StatusOK).header.Get("Cache-Control"); !strings.Contains(v, "no-store") && !strings.Contains(v, "private") {
			t.Errorf("%s: Cache-Control is %q", path, v)
		}
	}
	// What anybody on this machine may do in development mode, its browser may not do for the pages that are open in it.
	development := newWorld(t)
	development.call("PUT", "/products/A", apigen.ProductPut{Name: "A", UnitPriceCents: 1}, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").is(http.StatusForbidden)
}

// forgottenPaths asks for what is often served and not meant to be, and for what was another version's.
func forgottenPaths(t *testing.T) {
	t.Parallel()
	w := keyed(t)
	for _, path := range []string{
		"/debug/pprof/", "/debug/vars", "/debug/requests", "/actuator", "/actuator/env", "/env", "/.env", "/.git/config", "/swagger.json", "/swagger-ui/", "/openapi.json",
		"/api/orders", "/v1/orders", "/v2/orders", "/orders.json", "/internal/orders", "/graphql", "/admin", "/admin/", "/admin/faults", "/admin/users", "/console",
		"/server-status", "/backup", "/backup.zip", "/test", "/health/details", "/metrics/json", "/.well-known/security.txt", "/robots.txt", "/wp-login.php",
	} {
		for _, method := range []string{"GET", "POST"} {
			w.call(method, path, nil).is(http.StatusNotFound).problem("NOT_FOUND")
		}
	}
}

// liesOfOthers has the two systems that are called say what is not so: the provider that a charge failed which it made, or was made which it
// cancelled; the relay texts that must not be kept.
func liesOfOthers(t *testing.T) {
	t.Parallel()
	book := &logbook{}
	w := keyed(t, func(c *instance.Config) {
		c.Log, c.BreakerFailures = observe.NewLogger(book, slog.LevelDebug, nil), 1000
	})
	w.product("A", 1000)
	const quoted = "canary-9b1d@example.test"
	w.mail.refusing(func(notification.Email) error {
		return fault.New(fault.Transient, "550 <%s> card 4111 1111 1111 1111 \r\nEvent: forged %s", quoted, strings.Repeat("x", 100_000))
	})
	w.i.App.Provider.SetFault(provider.Fault{LoseReplies: 0.3})
	ids := make([]string, 0, 20)
	for tries := 0; len(ids) < cap(ids); tries++ {
		r := orderOf("c")
		r.Contact = &apigen.Contact{Email: ptr(quoted)}
		switch a := w.call("POST", "/orders", r); {
		case a.status == http.StatusServiceUnavailable && tries < 200: // so many lies open the circuit, which is not the subject
			w.call("POST", "/admin/breakers/payment-charge/reset", nil).is(http.StatusOK)
		default:
			ids = append(ids, into[apigen.OrderAccepted](a.is(http.StatusAccepted)).OrderID)
		}
	}
	for _, id := range ids {
		switch o := w.outcome(id); o.Status {
		case "CONFIRMED":
			w.ledger(id, 1000, 0)
		case "COMPENSATED":
			p := into[apigen.Payment](w.call("GET", "/admin/payments/"+id, nil).is(http.StatusOK))
			if p.Provider.CapturedCents != p.Provider.RefundedCents {
				t.Errorf("%s was given back, and its money was not: %+v", id, p)
			}
		default:
			t.Errorf("%s is %s", id, o.Status)
		}
	}
	eventually(t, "the relay refuses", func() bool { return book.has("Notification failed") })
	letters := string(w.call("GET", "/admin/dlq", nil).is(http.StatusOK).body)
	book.mu.Lock()
	defer book.mu.Unlock()
	for text := range strings.Lines(book.text.String()) {
		if strings.Contains(text, quoted) || strings.Contains(text, "4111") || len(text) > 16<<10 {
			t.Errorf("it logs %.300s", text)
		}
	}
	if strings.Contains(letters, quoted) || strings.Contains(letters, "4111") {
		t.Errorf("a dead letter's reason is %.300s", letters)
	}
}
