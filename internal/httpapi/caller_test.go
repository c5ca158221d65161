package httpapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/auth/caller"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// as lets everybody be the principal.
func as(subject string, scopes ...auth.Scope) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		c.Principal = func(*http.Request) (auth.Principal, error) {
			return auth.Principal{Subject: subject, Scopes: auth.ScopesOf(scopes...)}, nil
		}
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	refusing := func(err error) func(*httpapi.Config) {
		return func(c *httpapi.Config) {
			c.Principal = func(*http.Request) (auth.Principal, error) { return auth.Principal{}, err }
		}
	}
	t.Run("without credentials is told how to prove who it is, and nothing is logged", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t, refusing(auth.ErrMissing)).send("GET", "/products", "")
		if a.status != 401 || a.header.Get("WWW-Authenticate") != `Bearer realm="cloudflow"` || w.log.Len() != 0 {
			t.Errorf("%d %v, log %s", a.status, a.header, w.log.String())
		}
	})
	t.Run("with bad ones is told so and not why, which is for the log", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t, refusing(auth.Refused(errors.New("it was revoked on Monday")))).send("GET", "/products", "", "Authorization", "Bearer s3cret")
		if a.status != 401 || a.header.Get("WWW-Authenticate") != `Bearer realm="cloudflow", error="invalid_token"` || strings.Contains(a.body, "Monday") {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		if log := w.log.String(); !strings.Contains(log, "revoked on Monday") || !strings.Contains(log, a.header.Get("X-Correlation-Id")) || strings.Contains(log, "s3cret") {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("without the scope is told which", func(t *testing.T) {
		a := newWorld().serve(t, as("cust-001", auth.ScopeOrdersRead)).send("POST", "/orders", oneLine)
		if a.status != 403 || a.header.Get("WWW-Authenticate") != `Bearer realm="cloudflow", error="insufficient_scope", scope="orders:write"` {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("when nobody can say who it is, is asked to come again", func(t *testing.T) {
		a := newWorld().serve(t, refusing(fault.New(fault.Unavailable, "Credentials cannot be checked now."))).send("GET", "/orders/"+orderID, "")
		if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("with two credentials is told to send one", func(t *testing.T) {
		c := newWorld().serve(t, func(c *httpapi.Config) { c.Principal = caller.Credentials{}.Principal })
		if a := c.send("GET", "/products", "", "Authorization", "Bearer x", "X-Api-Key", "cfk_a_b"); a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestACustomer(t *testing.T) {
	t.Run("orders for itself", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t, as("cust-001", auth.ScopeOrdersWrite)).send("POST", "/orders", oneLine)
		if a.status != 202 || w.placed[0].Principal != "cust-001" || w.placed[0].Owner != "cust-001" {
			t.Errorf("%d %+v", a.status, w.placed)
		}
	})
	t.Run("orders for no other, and is not even answered what is stored under the key", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t, as("mallory", auth.ScopeOrdersWrite))
		for _, body := range []string{oneLine, `{"customer_id":"cust-001","items":[]}`} {
			a := c.send("POST", "/orders", body, "Idempotency-Key", "reused")
			if p := a.problem(t); a.status != 403 || p["field"] != "customer_id" || len(w.placed) != 0 {
				t.Errorf("%d %s, placed %v", a.status, a.body, w.placed)
			}
		}
	})
	t.Run("is answered for a customer_id that is missing like everybody", func(t *testing.T) {
		a := newWorld().serve(t, as("mallory", auth.ScopeOrdersWrite)).send("POST", "/orders", `{"items":[{"product_id":"A","quantity":1}]}`)
		if a.status != 422 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("is shown and cancels its own orders only, an admin all", func(t *testing.T) {
		for _, c := range []struct {
			who   func(*httpapi.Config)
			owner string
		}{
			{as("ada", auth.ScopeOrdersRead, auth.ScopeOrdersWrite), "ada"}, {as("ops", auth.ScopeAdmin), ""}, {as("", auth.ScopeOrdersRead, auth.ScopeOrdersWrite), "#"},
		} {
			w := newWorld()
			calls := w.serve(t, c.who)
			calls.send("GET", "/orders/"+orderID+"?version=2", "")
			calls.send("POST", "/orders/"+orderID+"/cancel", "")
			if w.query.Owner != c.owner || w.query.Version != 2 || w.owner != c.owner {
				t.Errorf("asked for those of %q and %q, want %q", w.query.Owner, w.owner, c.owner)
			}
		}
	})
	t.Run("learns nothing of another's order by what it has seen", func(t *testing.T) {
		w := newWorld()
		w.err = fault.New(fault.NotFound, "There is no such order.")
		for _, tag := range []string{`"v4"`, `*`, `W/"v4"`} {
			a := w.serve(t, as("mallory", auth.ScopeOrdersRead)).send("GET", "/orders/"+orderID, "", "If-None-Match", tag)
			if a.status != 404 || a.header.Get("ETag") != "" {
				t.Errorf("%s: %d %v", tag, a.status, a.header)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	t.Run("a key is shown when it is made, and is not logged", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", "/admin/keys", `{"subject":"cust-001","scopes":["orders:write","orders:read"],"label":"app","expires_at":"2026-02-01T00:00:00+01:00"}`)
		const want = `{"key":"cfk_3f9k2m7p_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx","key_id":"3f9k2m7p","subject":"cust-001",` +
			`"scopes":["orders:read","orders:write"],"label":"app","created_at":"2026-01-15T10:30:00Z","expires_at":"2026-01-31T23:00:00Z"}`
		if a.status != 201 || a.body != want || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if log := w.log.String(); !strings.Contains(log, `"actor":"anonymous"`) || !strings.Contains(log, `"key_id":"3f9k2m7p"`) || strings.Contains(log, "xxxx") {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("keys are listed page by page, without secrets", func(t *testing.T) {
		w := newWorld()
		for _, id := range []string{"00000001", "00000002", "00000003"} {
			w.keys = append(w.keys, apikey.Key{ID: id, Subject: "shop", Scopes: auth.ScopesOf(auth.ScopeAdmin), CreatedAt: start, RevokedAt: start.Add(time.Hour)})
		}
		c := w.serve(t)
		a := c.send("GET", "/admin/keys?limit=2", "")
		if !strings.Contains(a.body, `"revoked_at":"2026-01-15T11:30:00Z"`) || strings.Count(a.body, "key_id") != 2 {
			t.Errorf("%s", a.body)
		}
		_, rest, _ := strings.Cut(a.body, `"next_cursor":"`)
		cursor, _, _ := strings.Cut(rest, `"`)
		w.keys = w.keys[2:]
		if a := c.send("GET", "/admin/keys?limit=2&cursor="+cursor, ""); w.listAfter != "00000002" || strings.Contains(a.body, "next_cursor") {
			t.Errorf("after %q: %s", w.listAfter, a.body)
		}
		w.keys = nil
		if a := c.send("GET", "/admin/keys", ""); a.body != `{"keys":[]}` {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("a key is revoked, with or without an empty body, and an unknown one is 404", func(t *testing.T) {
		c := newWorld().serve(t)
		for _, body := range []string{"", "{}"} {
			if a := c.send("DELETE", "/admin/keys/3f9k2m7p", body); a.status != 200 || !strings.Contains(a.body, "revoked_at") {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		for _, id := range []string{"99999999", "a'b", strings.Repeat("k", 65)} {
			if a := c.send("DELETE", "/admin/keys/"+id, ""); a.status != 404 {
				t.Errorf("%s: %d %s", id, a.status, a.body)
			}
		}
	})
	for _, c := range []refusal{
		{rule: "without a subject", body: `{"scopes":["admin"]}`, status: 422, field: "subject"},
		{rule: "without scopes", body: `{"subject":"a"}`, status: 422, field: "scopes"},
		{rule: "with no scope in the list", body: `{"subject":"a","scopes":[]}`, status: 422, field: "scopes"},
		{rule: "with scopes in a text", body: `{"subject":"a","scopes":"admin"}`, status: 422, field: "scopes"},
		{rule: "with a scope that there is not", body: `{"subject":"a","scopes":["admin","orders"]}`, status: 422, field: "scopes[1]"},
		{rule: "with a scope that is a number", body: `{"subject":"a","scopes":[1]}`, status: 422, field: "scopes[0]"},
		{rule: "with an end that is no time", body: `{"subject":"a","scopes":["admin"],"expires_at":"tomorrow"}`, status: 422, field: "expires_at"},
		{rule: "with a member that nobody knows", body: `{"subject":"a","scopes":["admin"],"scope":"admin"}`, status: 400, field: "scope"},
		{rule: "with a secret of its own", body: `{"subject":"a","scopes":["admin"],"key":"cfk_a_b"}`, status: 400, field: "key"},
	} {
		c.method, c.path, c.code = "POST", "/admin/keys", map[int]string{400: "BAD_REQUEST", 422: "VALIDATION_FAILED"}[c.status]
		t.Run("a key is not made "+c.rule, c.run)
	}
}

func TestSplit(t *testing.T) {
	w := newWorld()
	var config httpapi.Config
	w.handler(func(c *httpapi.Config) { config = *c })
	customers, operators, _ := httpapi.Split(config)
	status := func(h http.Handler, method string, call refusal) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, request(method, call.path, call.body, call.headers...))
		return rec
	}
	w.execution = failedExecution()
	for name, call := range everyCall {
		method, path, _ := strings.Cut(name, " ")
		both := path == "/health" || path == "/ready" || path == "/openapi.yaml" || strings.HasPrefix(path, "/docs")
		admin := strings.HasPrefix(path, "/admin/") || path == "/metrics"
		call.path, _, _ = strings.Cut(call.path, "?")
		for _, side := range []struct {
			handler http.Handler
			there   bool
		}{{customers, both || !admin}, {operators, both || admin}} {
			rec := status(side.handler, method, call)
			if found := rec.Code < 300; found != side.there {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
			if side.there {
				continue
			}
			// What is on the other side is answered like what is nowhere, whatever the method and however it is written.
			unknown := status(side.handler, method, refusal{path: "/nowhere", body: call.body, headers: call.headers})
			for _, m := range []string{method, "PATCH", "OPTIONS"} {
				for _, path := range []string{call.path, strings.Replace(call.path, "d", "%64", 1)} {
					got := status(side.handler, m, refusal{path: path, headers: call.headers})
					if same := strings.ReplaceAll(got.Body.String(), path, "/nowhere"); got.Code != 404 || same != unknown.Body.String() || got.Header().Get("Allow") != "" {
						t.Errorf("%s %s: %d %s", m, path, got.Code, got.Body)
					}
				}
			}
		}
	}
}

func TestCORS(t *testing.T) {
	const page = "https://shop.example"
	list := func(c *httpapi.Config) { c.CORS = []string{page, "http://localhost:3000"} }
	ask := func(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, request(method, path, "", headers...))
		return rec
	}
	h := newWorld().handler(list)
	t.Run("a page on the list sees the answer, its headers and its errors", func(t *testing.T) {
		for path, status := range map[string]int{"/orders/" + orderID: 200, "/nowhere": 404} {
			a := ask(h, "GET", path, "Origin", page)
			if a.Code != status || a.Header().Get("Access-Control-Allow-Origin") != page || !strings.Contains(a.Header().Get("Access-Control-Expose-Headers"), "ETag") {
				t.Errorf("%d %v", a.Code, a.Header())
			}
			if a.Header().Get("Access-Control-Allow-Credentials") != "" || a.Header().Get("Vary") != "Origin" {
				t.Errorf("%v", a.Header())
			}
		}
	})
	t.Run("a page on the list may ask before it calls", func(t *testing.T) {
		a := ask(h, "OPTIONS", "/orders", "Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
		if a.Code != 204 || a.Header().Get("Access-Control-Allow-Origin") != page || a.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, POST" ||
			!strings.Contains(a.Header().Get("Access-Control-Allow-Headers"), "Authorization") || a.Header().Get("Access-Control-Max-Age") != "600" || a.Body.Len() != 0 {
			t.Errorf("%d %v %s", a.Code, a.Header(), a.Body)
		}
		if a := ask(h, "OPTIONS", "/products/A", "Origin", page, "Access-Control-Request-Method", "PUT"); a.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, PUT" {
			t.Errorf("%v", a.Header())
		}
	})
	t.Run("it asks without credentials, and calls with them", func(t *testing.T) {
		h := newWorld().handler(list, func(c *httpapi.Config) { c.Principal = caller.Credentials{}.Principal })
		if a := ask(h, "OPTIONS", "/orders", "Origin", page, "Access-Control-Request-Method", "POST"); a.Code != 204 {
			t.Errorf("%d", a.Code)
		}
		if a := ask(h, "GET", "/products", "Origin", page); a.Code != 401 || a.Header().Get("Access-Control-Allow-Origin") != page {
			t.Errorf("%d %v", a.Code, a.Header())
		}
	})
	t.Run("another page sees nothing and is not told that it might", func(t *testing.T) {
		for _, origin := range []string{"https://evil.example", "https://shop.example.evil.example", "https://SHOP.example", page + ":443", "http://shop.example", "null", "*", ""} {
			a := ask(h, "GET", "/products", "Origin", origin)
			if a.Header().Get("Access-Control-Allow-Origin") != "" || a.Header().Get("Vary") != "Origin" {
				t.Errorf("%q: %v", origin, a.Header())
			}
			if a := ask(h, "OPTIONS", "/orders", "Origin", origin, "Access-Control-Request-Method", "POST"); a.Code != 405 || a.Header().Get("Access-Control-Allow-Methods") != "" {
				t.Errorf("%q: %d %v", origin, a.Code, a.Header())
			}
		}
		if a := ask(h, "GET", "/products", "Origin", page, "Origin", "https://evil.example"); a.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("two origins: %v", a.Header())
		}
	})
	t.Run("OPTIONS without a question is 405, as ever, and 404 where nothing is", func(t *testing.T) {
		if a := ask(h, "OPTIONS", "/orders", "Origin", page); a.Code != 405 || a.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%d %v", a.Code, a.Header())
		}
		if a := ask(h, "OPTIONS", "/nowhere", "Origin", page, "Access-Control-Request-Method", "POST"); a.Code != 404 {
			t.Errorf("%d", a.Code)
		}
	})
	t.Run("without a list no header speaks of it", func(t *testing.T) {
		h := newWorld().handler()
		a, b := ask(h, "GET", "/products", "Origin", page), ask(h, "OPTIONS", "/orders", "Origin", page, "Access-Control-Request-Method", "POST")
		for _, name := range []string{"Access-Control-Allow-Origin", "Vary", "Access-Control-Allow-Methods"} {
			if a.Header().Get(name) != "" || b.Header().Get(name) != "" {
				t.Errorf("%s is there", name)
			}
		}
		if b.Code != 405 {
			t.Errorf("%d", b.Code)
		}
	})
}
