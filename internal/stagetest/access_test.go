package stagetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// audience is what the tokens of the stage are for.
const audience = "cloudflow"

// An issuer makes tokens, and publishes its key beside the emulator, over TLS.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, e *awstest.Emulator) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Use: "sig", Algorithm: string(jose.ES256)}}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(set) // who asked may have gone
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{e.Certificate(t)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{url: "https://localhost:" + at.Port() + "/", key: key}
}

// token is for the subject, with the scopes, until the time.
func (i *issuer) token(t *testing.T, subject string, until time.Time, scopes ...auth.Scope) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key},
		&jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": "k1", "typ": "JWT"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, scope := range scopes {
		names = append(names, string(scope))
	}
	text, err := jwt.Signed(s).Claims(map[string]any{
		"iss": i.url, "aud": audience, "sub": subject, "scope": strings.Join(names, " "), "iat": until.Add(-time.Hour).Unix(), "exp": until.Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A guarded stage asks callers who they are, and its functions may do what their roles say.
type guarded struct {
	*stage
	issuer *issuer
	apiKey string
}

// caller is what a caller sends to be known.
func (g *guarded) caller(t *testing.T, subject string, scopes ...auth.Scope) map[string]string {
	t.Helper()
	return map[string]string{"X-Api-Key": g.apiKey, "Authorization": "Bearer " + g.issuer.token(t, subject, time.Now().Add(time.Hour), scopes...)}
}

// TestLeastPrivilege is of a stage on an emulator that enforces IAM, over TLS: each function has the role that it is deployed with, and nothing else. The
// scenarios go through every function and every call that it makes in its life.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	var tokens *issuer
	s := deploy(t, deployment{iam: true, beside: func(e *awstest.Emulator) []string {
		tokens = newIssuer(t, e)
		return []string{"auth=jwt", "jwt_issuer=" + tokens.url, "jwt_audience=" + audience, "jwt_keys=" + tokens.url + "keys"}
	}})
	g := &guarded{stage: s, issuer: tokens, apiKey: s.keyOf(t, s.outputs["ApiKeyId"])}
	g.shop = g.as(g.caller(t, "keeper", auth.ScopeOrdersRead, auth.ScopeOrdersWrite, auth.ScopeProductsWrite, auth.ScopeAdmin))
	for _, c := range []struct {
		rule string
		run  func(t *testing.T, g *guarded)
	}{
		{"who is not known is refused", strangers},
		{"a customer sees no other's order", foreign},
		{"an order is confirmed", func(t *testing.T, g *guarded) { confirmed(t, g.stage) }},
		{"an order whose card is declined is put back", func(t *testing.T, g *guarded) { compensated(t, g.stage) }},
		{"an order whose outcome is unknown is resolved", resolved},
		{"an order is cancelled while its money is captured", func(t *testing.T, g *guarded) { cancelledLate(t, g.stage) }},
		{"an order whose product is sold out fails", soldOut},
		{"an execution that is stopped waits for a person, and goes on", stopped},
		{"operators' and shopkeepers' calls", operators},
		{"the clock wakes who looks for what was lost", clockwork},
	} {
		t.Run(c.rule, func(t *testing.T) {
			c.run(t, g)
			g.quiet(t)
			g.verify(t)
		})
	}
	t.Run("no function was refused anything", func(t *testing.T) { g.nothingDenied(t) })
}

// keyOf asks API Gateway for the value of an API key.
func (s *stage) keyOf(t *testing.T, id string) string {
	t.Helper()
	var key struct {
		Value string `json:"value"`
	}
	if s.account(t, "apigateway", http.MethodGet, "/apikeys/"+id+"?includeValue=true", "", &key); key.Value == "" {
		t.Fatal("the API key has no value")
	}
	return key.Value
}

// strangers are those whom the interface does not know.
func strangers(t *testing.T, g *guarded) {
	good := g.caller(t, "cust-1", auth.ScopeOrdersRead, auth.ScopeOrdersWrite)
	with := func(name, value string) map[string]string {
		changed := map[string]string{}
		for n, v := range good {
			changed[n] = v
		}
		changed[name] = value
		return changed
	}
	bearer := func(token string) map[string]string { return with("Authorization", "Bearer "+token) }
	other := newIssuer(t, g.emulator)
	other.url = g.issuer.url
	expired := g.issuer.token(t, "cust-1", time.Now().Add(-time.Hour), auth.ScopeOrdersRead)
	forged := other.token(t, "cust-1", time.Now().Add(time.Hour), auth.ScopeOrdersRead)
	// What API Gateway refuses by itself it says as a problem, in its gateway responses. The emulator uses none of those: infra's rules look at them.
	for _, c := range []struct {
		rule   string
		who    map[string]string
		status int
	}{
		{"nobody", nil, http.StatusUnauthorized},
		{"an expired token", bearer(expired), http.StatusUnauthorized},
		{"a token of somebody else's key", bearer(forged), http.StatusUnauthorized},
		{"no token at all", bearer("x"), http.StatusUnauthorized},
		{"no API key", with("X-Api-Key", ""), http.StatusForbidden},
		{"another API key", with("X-Api-Key", "none"), http.StatusForbidden},
	} {
		t.Run(c.rule, func(t *testing.T) {
			g.as(c.who).call(t, "GET", "/orders", nil).is(c.status)
		})
	}
	g.as(nil).call(t, "GET", "/health", nil).is(http.StatusOK)
	reader := g.as(g.caller(t, "cust-1", auth.ScopeOrdersRead))
	reader.call(t, "PUT", "/products/"+unique("P"), map[string]any{"name": "X", "unit_price_cents": 1}).is(http.StatusForbidden).problem("FORBIDDEN")
}

// foreign is of two customers: what belongs to the one does not exist for the other.
func foreign(t *testing.T, g *guarded) {
	p := g.product(t, 5)
	scopes := []auth.Scope{auth.ScopeOrdersRead, auth.ScopeOrdersWrite}
	r := basket(provider.Visa, p)
	owner, stranger := g.as(g.caller(t, r.CustomerID, scopes...)), g.as(g.caller(t, unique("cust"), scopes...))
	o := owner.placed(t, r)
	g.ended(t, o, end{status: order.Confirmed})
	for _, path := range []string{"/orders/" + o.OrderID, "/orders/" + o.OrderID + "/events"} {
		owner.call(t, "GET", path, nil).is(http.StatusOK)
		stranger.call(t, "GET", path, nil).is(http.StatusNotFound).problem("NOT_FOUND")
	}
	stranger.call(t, "POST", "/orders/"+o.OrderID+"/cancel", nil).is(http.StatusNotFound).problem("NOT_FOUND")
	stranger.call(t, "POST", "/orders", r, "Idempotency-Key", unique("key")).is(http.StatusForbidden).problem("FORBIDDEN")
	if list := stranger.call(t, "GET", "/orders?customer_id="+r.CustomerID, nil).is(http.StatusOK); strings.Contains(string(list.body), o.OrderID) {
		t.Errorf("a stranger lists it: %s", list.body)
	}
}

// resolved has the payment handler ask what became of a capture that was never answered.
func resolved(t *testing.T, g *guarded) {
	p := g.product(t, 2)
	o := g.placed(t, basket(provider.TimeoutCharged, p))
	g.ended(t, o, end{status: order.Confirmed, log: confirmedLog, paid: payment.Captured})
	g.ledger(t, o.OrderID, 999, 0)
}

// soldOut is a race of several for one piece: who loses it is FAILED.
func soldOut(t *testing.T, g *guarded) {
	for range 10 { // until two were admitted before one had reserved
		p := g.product(t, 1)
		first := g.accepted(t, basket(provider.Visa, p))
		second := g.call(t, "POST", "/orders", basket(provider.Visa, p), "Idempotency-Key", unique("key"))
		one := g.outcome(t, first.OrderID)
		if second.status == http.StatusConflict {
			continue
		}
		two := g.outcome(t, second.is(http.StatusAccepted).order().OrderID)
		if one.Status == "FAILED" {
			one, two = two, one
		}
		g.ended(t, one, end{status: order.Confirmed, log: confirmedLog})
		g.ended(t, two, end{status: order.Failed, reason: "INSUFFICIENT_STOCK", log: failedLog})
		return
	}
	t.Error("ten times the second order came too late to be admitted")
}

// operators are calls that need functions to do what orders do not.
func operators(t *testing.T, g *guarded) {
	p := g.product(t, 2)
	g.call(t, "POST", "/products/"+p+"/restock", map[string]any{"quantity": 3}, "Idempotency-Key", unique("key")).is(http.StatusOK)
	g.call(t, "PUT", "/products/"+p, map[string]any{"name": "Dearer", "unit_price_cents": 1099}).is(http.StatusOK)
	g.stock(t, p, 5, 0, 0)
	r := basket(provider.Visa, p)
	email := "ada@example.com"
	r.Contact = &apigen.Contact{Email: &email}
	o := g.placed(t, r)
	g.told(t, o)
	for _, path := range []string{
		"/products", "/products/" + p, "/orders?customer_id=" + r.CustomerID, "/orders", "/orders/" + o.OrderID + "/events",
		"/admin/sagas?status=FAILED", "/admin/sagas/" + o.OrderID, "/admin/payments/" + o.OrderID, "/admin/dlq", "/admin/breakers",
	} {
		g.call(t, "GET", path, nil).is(http.StatusOK)
	}
	g.redriven(t, o)
	for _, change := range []string{"trip", "reset"} {
		g.call(t, "POST", "/admin/breakers/"+app.ChargeBreaker+"/"+change, nil).is(http.StatusOK)
	}
	g.call(t, "POST", "/admin/customers/"+r.CustomerID+"/erase", nil).is(http.StatusOK)
	if hold := g.item(t, inventory.ReservationsTable, o.OrderID, "hold"); hold == nil {
		t.Error("the order of an erased customer has lost its hold")
	}
}

// redriven puts the notification of an order among the dead letters, and has it sent again: it was sent, so that it is taken and sends nothing.
func (g *guarded) redriven(t *testing.T, o apigen.Order) {
	t.Helper()
	m := notification.Message{
		OrderID: o.OrderID, CustomerID: o.CustomerID, Kind: notification.OrderConfirmed, Version: o.Version, TotalCents: o.TotalCents, Currency: o.Currency,
	}
	body, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dead := awsbus.Open(g.aws, awsbus.Config{URL: g.outputs["NotificationDeadLetterQueueUrl"]})
	if err := dead.SendMessage(t.Context(), awsbus.Sent{ID: m.MessageID(), Body: body}); err != nil {
		t.Fatal(err)
	}
	if letters := g.letters(t); len(letters) != 1 || letters[0] != m.MessageID() {
		t.Errorf("the dead letters are %v, want %s", letters, m.MessageID())
	}
	var redriven struct {
		Redriven int `json:"redriven"`
	}
	if g.call(t, "POST", "/admin/dlq/redrive", map[string]any{}).is(http.StatusOK).as(&redriven); redriven.Redriven != 1 {
		t.Errorf("%d letters were sent again", redriven.Redriven)
	}
	if letters := g.letters(t); len(letters) != 0 {
		t.Errorf("there are still %v", letters)
	}
}
