package instance_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// What must be found nowhere: how a customer is reached, and what it pays with. The card's number is a network's published test number, as
// people write it; the secret is one of a payment, as a provider gives it to a browser.
const (
	leakEmail  = "jane.canary-7f3a@example.test"
	leakPhone  = "+4915155500777"
	leakCard   = "4111111111111111"
	leakSpaced = "4111 1111 1111 1111"
	leakDashed = "4111-1111-1111-1111"
	leakSecret = "pi_3Canary7f3a_secret_Qx9dLmW2"
)

func leakCanaries() (all []canary) {
	for name, text := range map[string]string{
		"the address": leakEmail, "the phone number": leakPhone, "the card": leakCard, "the card with spaces": leakSpaced, "the card with dashes": leakDashed,
		"the payment's secret": leakSecret,
	} {
		all = append(all, newCanary(name, []byte(text)))
	}
	return all
}

// Whatever an order comes to, and whatever callers send and where, nothing of how a customer is reached and what it pays with stands in a line of the
// log at DEBUG, in an event, a queued message, a dead letter, a saga's journal, the provider's books or any other item or file, in /metrics,
// or in an answer to somebody else.
func TestNothingOfACustomerLeaks(t *testing.T) {
	t.Parallel()
	for _, by := range mailmen() {
		t.Run("notifications leave by "+by.name, func(t *testing.T) {
			t.Parallel()
			book := &logbook{}
			g := newGauntlet(t, observe.NewLogger(book, slog.LevelDebug, nil), book, by)
			g.contact = apigen.Contact{Email: ptr(leakEmail), Phone: ptr(leakPhone)}
			g.run()
			g.hears(leakyRequests())
			g.isSilent()
			g.does("POST", "/admin/customers/cust-1/erase", nil).is(http.StatusOK)
			if g.refuses != nil { // there is nobody to tell any more
				g.does("POST", "/admin/dlq/redrive", apigen.RedriveLetters{}).is(http.StatusOK)
			}
			g.rest()
			g.isSilent()
			copied := g.backup(t)
			g.end()
			g.tellsItsStory()
			for _, s := range append(scan(t, leakCanaries(), nil, g.path, copied), scanItems(t, leakCanaries(), g.path)...) {
				t.Errorf("%s in %s", s.canary, s.place)
			}
			for text := range strings.Lines(book.text.String()) {
				for _, c := range leakCanaries() {
					if c.in([]byte(text)) != nil {
						t.Errorf("%s in the line %s", c.name, text)
					}
				}
			}
		})
	}
}

// tellsItsStory requires that the log was written to by everybody who can.
func (g *gauntlet) tellsItsStory() {
	g.t.Helper()
	messages := []string{
		"Order created", "Inventory reserved", "Payment charged", "Order confirmed", "Payment declined", "Payment cancelled", "Inventory released",
		"Order compensated", "Order cancel requested", "Payment refunded", "Order cancelled", "flow: an execution failed", "SAGA redriven",
		"Order answered again", "Notification sent", "Handler panicked", "Request failed", "Credentials refused", "Contact erased",
	}
	if g.refuses != nil {
		messages = append(messages, "Notification failed", "Dead letters redriven by hand")
	}
	for _, m := range messages {
		if g.count(m) == 0 {
			g.t.Errorf("%q is not in the log", m)
		}
	}
}

// isSilent asks for everything that the instance answers to those who have sent nothing.
func (g *gauntlet) isSilent() {
	g.t.Helper()
	paths := []string{
		"/metrics", "/health", "/ready", "/products", "/orders", "/admin/sagas", "/admin/tasks", "/admin/dlq", "/admin/verify", "/admin/breakers", "/admin/keys",
		"/admin/retention", "/admin/export/orders", "/admin/export/events", "/admin/export/orders?format=csv", "/admin/export/events?format=csv",
		"/orders?customer_id=cust-1",
	}
	for _, id := range g.orders {
		paths = append(paths, "/orders/"+id, "/orders/"+id+"/events", "/admin/sagas/"+id, "/admin/payments/"+id)
	}
	canaries := leakCanaries()
	for _, path := range paths {
		a := g.call("GET", path, nil).is(http.StatusOK)
		for _, c := range canaries {
			if found := c.in(a.body); found != nil {
				g.t.Errorf("GET %s shows %s (%s): %s", path, c.name, found, a.body)
			}
		}
	}
}

// A leaky is a request with something in it that does not belong there.
type leaky struct {
	method, path, body string
	header             string // a line of it
	who                bool   // with credentials of ours
}

// hears sends the requests, each on a connection of its own: net/http's client would refuse to send some.
func (g *gauntlet) hears(all []leaky) {
	g.t.Helper()
	for _, l := range all {
		header := l.header
		if l.who {
			header += g.who[0] + ": " + g.who[1] + "\r\n"
		}
		g.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
			l.method, l.path, header, len(l.body), l.body))
	}
}

// leakyRequests have each text, as it is and encoded, in every place where a caller can write. What can be an id, or is an operator's own words, is
// not sent where there is to be one: nobody can tell it from those.
func leakyRequests() (all []leaky) {
	const product, redrive = "/products/A", "/admin/sagas/ord-01M8H685A8RF3VBSW3Q5FB2WYT/redrive"
	for _, plain := range []string{leakEmail, leakPhone, leakCard, leakSpaced, leakDashed, leakSecret} {
		id, card := plain != leakSecret, strings.HasPrefix(plain, "4111")
		for _, text := range []string{plain, jsonEscaped(plain), base64.StdEncoding.EncodeToString([]byte(plain)), percentEncoded(plain), url.QueryEscape(plain)} {
			all = append(all, leakyBodies(text, id)...)
			all = append(all, leakyHeaders(text, id)...)
			all = append(all, leakyPaths(text, plain == text)...)
			if card && (text == plain || text == jsonEscaped(plain)) {
				all = append(all,
					leaky{method: "PUT", path: "/products/B", body: `{"name":"Card ` + text + `","unit_price_cents":1}`, who: true},
					leaky{method: "POST", path: redrive, body: `{"reason":"` + text + `"}`, header: "Idempotency-Key: k\r\n", who: true})
			}
		}
		all = append(all, leaky{method: plain, path: "/orders", who: true}, leaky{method: "PUT", path: product, body: plain, who: true})
	}
	return all
}

func leakyBodies(text string, id bool) (all []leaky) {
	const good = `{"customer_id":"cust-1","items":[{"product_id":"A","quantity":1}]}`
	with := func(members string) string { return strings.TrimSuffix(good, "}") + "," + members + "}" }
	bodies := []string{
		with(`"card":{"number":"` + text + `","cvc":"` + text + `"}`), with(`"client_secret":"` + text + `"`), with(`"` + text + `":1`), with(`"contact":"` + text + `"`),
		with(`"contact":{"address":"` + text + `"}`), with(`"contact":{"email":["` + text + `"]}`), with(`"contact":{"email":"` + text + `","email":"` + text + `"}`),
		with(`"contact":{"email":"<` + text + `>"}`), with(`"contact":{"phone":"` + text + ` "}`), with(`"payment_method":["` + text + `"]`), with(`"currency":"` + text + `"`),
		strings.Replace(good, `"quantity":1`, `"quantity":"`+text+`"`, 1), strings.Replace(good, `"quantity":1`, `"quantity":`+text, 1),
		strings.Replace(good, `"quantity":1`, `"quantity":1,"unit_price_cents":"`+text+`"`, 1),
		text, `"` + text + `"`, `["` + text, `{"` + text, good + text, `{"customer_id":"` + text,
	}
	if id {
		bodies = append(bodies, strings.Replace(good, `"cust-1"`, `"`+text+`"`, 1), strings.Replace(good, `"A"`, `"`+text+`"`, 1), with(`"payment_method":"`+text+`"`))
	}
	for _, body := range bodies {
		all = append(all, leaky{method: "POST", path: "/orders", body: body, who: true})
	}
	for _, path := range []string{"/products/A/restock", "/admin/dlq/redrive", "/admin/tasks/success", "/admin/tasks/failure", "/admin/keys", "/orders/ord-01M8H685A8RF3VBSW3Q5FB2WYT/cancel"} {
		all = append(all, leaky{method: "POST", path: path, body: `{"` + text + `":"` + text + `"}`, header: "Idempotency-Key: k\r\n", who: true})
	}
	return all
}

func leakyHeaders(text string, id bool) (all []leaky) {
	names := []string{
		"Idempotency-Key", "User-Agent", "Referer", "Cookie", "Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match",
		"Prefer", "X-Forwarded-For", "Forwarded", "Origin", "Last-Event-ID", "Traceparent", "Tracestate", "Baggage", "X-Card", "Expect", "Transfer-Encoding",
	}
	if id {
		names = append(names, "X-Correlation-Id")
	}
	for _, name := range names {
		for _, path := range []string{"/orders", "/orders/ord-01M8H685A8RF3VBSW3Q5FB2WYT/cancel"} {
			all = append(all, leaky{method: "POST", path: path, body: `{"customer_id":"cust-1","items":[{"product_id":"NONE","quantity":1}]}`, header: name + ": " + text + "\r\n", who: true})
		}
	}
	for _, scheme := range []string{"", "Bearer ", "Basic ", "Bearer cfk_", "Bearer cfk_key-01M8H685A8RF3VBSW3Q5FB2WYT_"} {
		all = append(all, leaky{method: "GET", path: "/orders", header: "Authorization: " + scheme + text + "\r\n"})
	}
	return append(all, leaky{method: "GET", path: "/orders", header: "X-" + text + ": " + text + "\r\n", who: true})
}

// leakyPaths are paths that hold the text: with our credentials, and with none that are good, which is logged.
func leakyPaths(text string, plain bool) (all []leaky) {
	if plain {
		text = url.PathEscape(text)
	}
	for _, path := range []string{
		"/orders/" + text, "/orders/" + text + "/events", "/orders/" + text + "/cancel", "/products/" + text, "/products/" + text + "/restock", "/" + text,
		"/admin/breakers/" + text + "/trip", "/admin/sagas/" + text, "/admin/sagas/" + text + "/redrive", "/admin/payments/" + text, "/admin/keys/" + text,
		"/orders?cursor=" + text, "/orders?customer_id=" + text, "/orders?" + text + "=1", "/orders/x?as_of=" + text, "/admin/export/orders?since=" + text,
		"/metrics?token=" + text, "/orders/ord-" + text, "//" + text, "/orders/../" + text, "http://" + text + "/orders",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			all = append(all,
				leaky{method: method, path: path, body: "{}", header: "Idempotency-Key: k\r\n", who: true},
				leaky{method: method, path: path, body: "{}", header: "Authorization: Bearer cfk_bad\r\n"})
		}
	}
	return all
}
