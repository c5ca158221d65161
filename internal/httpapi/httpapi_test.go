package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestCorrelationID(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	made := "corr-01JHZK5V3M8Q9T2W4X6Y8Z0A1C"
	for _, c := range []struct {
		rule    string
		headers []string
		want    string
	}{
		{"none: one is made", nil, made},
		{"the caller's own is taken over", []string{"X-Correlation-Id", "order-7.a_B"}, "order-7.a_B"},
		{"one that could break a log line is replaced", []string{"X-Correlation-Id", "a b"}, made},
		{"one of 65 characters is replaced", []string{"X-Correlation-Id", strings.Repeat("a", 65)}, made},
		{"an empty one is replaced", []string{"X-Correlation-Id", ""}, made},
		{"dots that a path could not name are replaced", []string{"X-Correlation-Id", ".."}, made},
		{"a card's number gives way to the traceparent", []string{"X-Correlation-Id", card, "Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, trace},
		{"the trace id of a traceparent", []string{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, trace},
		{"of a later version of it", []string{"Traceparent", "01-" + trace + "-00f067aa0ba902b7-01-more"}, trace},
		{"the caller's own wins over its traceparent", []string{"X-Correlation-Id", "mine", "Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}, "mine"},
		{"a traceparent of zeros is none", []string{"Traceparent", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"}, made},
		{"one without a parent is none", []string{"Traceparent", "00-" + trace + "-0000000000000000-01"}, made},
		{"one in capitals is none", []string{"Traceparent", "00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01"}, made},
		{"version ff is none", []string{"Traceparent", "ff-" + trace + "-00f067aa0ba902b7-01"}, made},
		{"version 00 has nothing after the flags", []string{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01-more"}, made},
		{"one that is cut short is none", []string{"Traceparent", "00-" + trace}, made},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld()
			a := w.serve(t).send("POST", "/orders", oneLine, c.headers...)
			if got := a.header.Get("X-Correlation-Id"); got != c.want || w.placed[0].CorrelationID != c.want {
				t.Errorf("answered %s, passed on %s, want %s", got, w.placed[0].CorrelationID, c.want)
			}
		})
	}
	t.Run("by default it is corr- and a ULID", func(t *testing.T) {
		a := newWorld().serve(t, func(c *httpapi.Config) { c.NewID = nil }).send("GET", "/health", "")
		if got := a.header.Get("X-Correlation-Id"); !regexp.MustCompile(`^corr-[0-9A-HJKMNP-TV-Z]{26}$`).MatchString(got) {
			t.Errorf("%q", got)
		}
	})
}

func TestReady(t *testing.T) {
	recovering := true
	c := newWorld().serve(t, func(c *httpapi.Config) { c.Recovering = func() bool { return recovering } })
	t.Run("a server that recovers is alive and not ready", func(t *testing.T) {
		if a := c.send("GET", "/ready", ""); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := c.send("GET", "/health", ""); a.status != 200 || a.body != `{"status":"ok"}` {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("then it is", func(t *testing.T) {
		recovering = false
		if a := c.send("GET", "/ready", ""); a.status != 200 || a.body != `{"status":"ready"}` {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a probe may add what it likes, and takes what it gets", func(t *testing.T) {
		if a := c.send("GET", "/health?probe=1", "", "Accept", "text/html, */*"); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestThePrincipalIsAskedForEveryCallButProbes(t *testing.T) {
	w := newWorld()
	h := w.handler(func(c *httpapi.Config) {
		c.Principal = func(r *http.Request) (auth.Principal, error) {
			if r.Header.Get("Authorization") == "" {
				return auth.Principal{}, fault.New(fault.Unauthorized, "Who are you?")
			}
			return auth.Principal{Subject: "cust-001", Scopes: auth.ScopesOf(auth.ScopeOrdersWrite)}, nil
		}
	})
	for name, call := range everyCall {
		method, path, _ := strings.Cut(name, " ")
		open := path == "/health" || path == "/ready" || path == "/openapi.yaml" || strings.HasPrefix(path, "/docs")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, request(method, call.path, call.body, call.headers...))
		if refused := rec.Code == http.StatusUnauthorized; refused == open {
			t.Errorf("%s: %d", name, rec.Code)
		}
		if !open && rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, request("POST", "/orders", oneLine, "Authorization", "x"))
	if rec.Code != 202 || w.placed[0].Principal != "cust-001" || w.placed[0].Owner != "cust-001" {
		t.Errorf("%d %+v", rec.Code, w.placed)
	}
}

// A call wants one scope; whoever holds every other (but admin) is told 403, and that scope alone is enough.
func TestEveryCallWantsItsScope(t *testing.T) {
	wanted := func(method, path string) auth.Scope {
		switch {
		case strings.HasPrefix(path, "/admin/"), path == "/metrics":
			return auth.ScopeAdmin
		case strings.HasPrefix(path, "/orders") && method == "GET" || path == "/events":
			return auth.ScopeOrdersRead
		case strings.HasPrefix(path, "/orders"):
			return auth.ScopeOrdersWrite
		case strings.HasPrefix(path, "/products") && method != "GET":
			return auth.ScopeProductsWrite
		}
		return ""
	}
	as := func(call refusal, method string, scopes auth.Scopes) int {
		h := newWorld().handler(func(c *httpapi.Config) {
			c.Principal = func(*http.Request) (auth.Principal, error) {
				return auth.Principal{Subject: "cust-001", Scopes: scopes}, nil
			}
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, request(method, call.path, call.body, call.headers...))
		return rec.Code
	}
	for name, call := range everyCall {
		method, path, _ := strings.Cut(name, " ")
		scope := wanted(method, path)
		for _, held := range auth.AllScopes {
			want := scope != "" && held != scope && held != auth.ScopeAdmin
			if status := as(call, method, auth.ScopesOf(held)); (status == http.StatusForbidden) != want {
				t.Errorf("%s with the scope %s: %d", name, held, status)
			}
		}
		if status := as(call, method, 0); (status == http.StatusForbidden) != (scope != "") {
			t.Errorf("%s without any scope: %d", name, status)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	c := newWorld().serve(t)
	a := c.send("GET", "/openapi.yaml", "")
	if a.body != string(api.Spec) || a.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%v", a.header)
	}
	if again := c.send("GET", "/openapi.yaml", "", "If-None-Match", a.header.Get("ETag")); again.status != 304 {
		t.Errorf("%d", again.status)
	}
}

func TestTheGeneratedClient(t *testing.T) {
	w := newWorld()
	srv := httptest.NewServer(w.handler())
	defer srv.Close()
	client, err := apigen.NewClientWithResponses(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, key, prefer := context.Background(), "k", "wait=1"
	request := apigen.OrderRequest{CustomerID: "c", Items: []apigen.OrderRequestItem{{ProductID: "A", Quantity: 1}}}
	t.Run("places an order and reads its outcome", func(t *testing.T) {
		got, err := client.PlaceOrderWithResponse(ctx, &apigen.PlaceOrderParams{IdempotencyKey: &key, Prefer: &prefer}, request)
		if err != nil || got.JSON200 == nil || got.JSON200.Status != apigen.OrderStatusCONFIRMED || len(got.JSON200.Events) != 4 {
			t.Errorf("%+v %v", got, err)
		}
	})
	t.Run("reads a problem", func(t *testing.T) {
		w.err = fault.New(fault.InsufficientStock, "Short.").With("available", int64(1))
		got, err := client.PlaceOrderWithResponse(ctx, nil, request)
		if err != nil || got.ApplicationProblemJSON409 == nil || *got.ApplicationProblemJSON409.Available != 1 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestNewServerHasALimitForEverySlowCaller(t *testing.T) {
	srv := httpapi.NewServer(":0", http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Errorf("%+v", srv)
	}
	if srv.WriteTimeout < 20*time.Second {
		t.Errorf("WriteTimeout %s would cut a caller who waits for an outcome", srv.WriteTimeout)
	}
}
