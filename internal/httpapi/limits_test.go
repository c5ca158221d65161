package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/limit"
)

// limited has callers told apart by their Authorization, which names them, and the limits.
func limited(l httpapi.Limits, now *time.Time) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		c.Limits, c.Now = l, func() time.Time { return *now }
		c.Principal = func(r *http.Request) (auth.Principal, error) {
			switch who := r.Header.Get("Authorization"); who {
			case "":
				return auth.Principal{}, fault.New(fault.Unauthorized, "Who are you?")
			case "ops":
				return auth.Principal{Subject: who, Scopes: auth.ScopesOf(auth.ScopeAdmin)}, nil
			case "reader":
				return auth.Principal{Subject: who, Scopes: auth.ScopesOf(auth.ScopeOrdersRead)}, nil
			default:
				return auth.Principal{Subject: who, Scopes: auth.ScopesOf(auth.ScopeOrdersRead, auth.ScopeOrdersWrite)}, nil
			}
		}
	}
}

func from(addr, method, path, body, who string) *http.Request {
	r := request(method, path, body)
	r.RemoteAddr = addr
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	return r
}

// status is that of an answer which need not be in the contract.
func status(c *contract, r *http.Request) int {
	w := &sink{header: http.Header{}}
	c.handler.ServeHTTP(w, r)
	return w.status
}

const here, there = "192.0.2.1:1000", "192.0.2.2:1000"

func TestRates(t *testing.T) {
	two := limit.Rate{PerSecond: 1, Burst: 2}
	throttled := func(a answer) bool { return a.status == http.StatusTooManyRequests }
	setup := func(t *testing.T, l httpapi.Limits) (*contract, *time.Time) {
		now := start
		return newWorld().serve(t, limited(l, &now)), &now
	}
	get := func(c *contract, addr, who string) answer {
		return c.do(from(addr, "GET", "/orders/"+orderID, "", who))
	}
	t.Run("a caller has its burst from wherever it calls, then 429 with the seconds to wait, then one more", func(t *testing.T) {
		c, now := setup(t, httpapi.Limits{PerKey: two})
		get(c, here, "ada")
		get(c, there, "ada")
		a := get(c, here, "ada")
		p := a.problem(t)
		if !throttled(a) || p["error"] != "THROTTLED" || a.header.Get("Retry-After") != "1" || p["retry_after_seconds"] != 1.0 {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		if a := get(c, here, "bob"); a.status != 200 {
			t.Errorf("another caller: %d", a.status)
		}
		*now = now.Add(time.Second)
		if a := get(c, here, "ada"); a.status != 200 {
			t.Errorf("after a second: %d", a.status)
		}
	})
	t.Run("an address has its burst whoever calls from it, and refused credentials count", func(t *testing.T) {
		c, _ := setup(t, httpapi.Limits{PerAddress: two})
		status(c, from(here, "GET", "/orders/"+orderID, "", ""))
		get(c, "192.0.2.1:2000", "ada")
		if a := get(c, here, "bob"); !throttled(a) {
			t.Errorf("%d", a.status)
		}
		if a := get(c, there, "bob"); a.status != 200 {
			t.Errorf("another address: %d", a.status)
		}
	})
	t.Run("the addresses of one /64 are one", func(t *testing.T) {
		c, _ := setup(t, httpapi.Limits{PerAddress: two})
		get(c, "[2001:db8::1]:1", "ada")
		get(c, "[2001:db8::2]:1", "ada")
		if a := get(c, "[2001:db8::3]:1", "ada"); !throttled(a) {
			t.Errorf("%d", a.status)
		}
	})
	t.Run("what a header says of the address is not believed", func(t *testing.T) {
		c, _ := setup(t, httpapi.Limits{PerAddress: two})
		for n, want := range []int{200, 200, 429} {
			r := from(here, "GET", "/orders/"+orderID, "", "ada")
			r.Header.Set("X-Forwarded-For", "198.51.100."+string(rune('1'+n)))
			r.Header.Set("Forwarded", "for=198.51.100."+string(rune('1'+n)))
			if a := c.do(r); a.status != want {
				t.Errorf("%d, want %d", a.status, want)
			}
		}
	})
	t.Run("the order of the checks: address, credentials, caller, scope, media types", func(t *testing.T) {
		one := limit.Rate{PerSecond: 1, Burst: 1}
		bad := func(addr, who string) *http.Request {
			r := from(addr, "POST", "/orders", "not JSON", who)
			r.Header.Set("Accept", "image/png")
			return r
		}
		c, _ := setup(t, httpapi.Limits{PerKey: one})
		for _, s := range []struct {
			who  string
			want int
		}{{"", 401}, {"", 401}, {"reader", 403}, {"reader", 429}, {"ada", 406}, {"ada", 429}} {
			if got := status(c, bad(here, s.who)); got != s.want {
				t.Errorf("%q: %d, want %d", s.who, got, s.want)
			}
		}
		c, _ = setup(t, httpapi.Limits{PerAddress: one})
		for _, want := range []int{401, 429} {
			if got := status(c, bad(here, "")); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
	})
	t.Run("every call, and what is no call, can be too many", func(t *testing.T) {
		for name, call := range everyCall {
			c, _ := setup(t, httpapi.Limits{PerAddress: limit.Rate{PerSecond: 1, Burst: 1}})
			method, _, _ := strings.Cut(name, " ")
			get(c, here, "ada")
			r := from(here, method, call.path, call.body, "ops")
			if a := c.do(r); !throttled(a) {
				t.Errorf("%s: %d", name, a.status)
			}
		}
		c, _ := setup(t, httpapi.Limits{PerAddress: limit.Rate{PerSecond: 1, Burst: 1}})
		get(c, here, "ada")
		if got := status(c, from(here, "GET", "/nothing/../here", "", "")); got != 429 {
			t.Errorf("%d", got)
		}
	})
	t.Run("development mode knows no rates", func(t *testing.T) {
		one := limit.Rate{PerSecond: 1, Burst: 1}
		c := newWorld().serve(t, func(c *httpapi.Config) { c.Limits = httpapi.Limits{PerKey: one, PerAddress: one} })
		for range 10 {
			if a := c.send("GET", "/orders/"+orderID, ""); a.status != 200 {
				t.Fatalf("%d", a.status)
			}
		}
	})
}

func TestTheLimitOfOpenOrders(t *testing.T) {
	limits, now := httpapi.Limits{OpenOrders: 7}, start
	t.Run("it goes with a caller's order, and not with an operator's", func(t *testing.T) {
		for who, want := range map[string]int{"ada": 7, "ops": 0} {
			w := newWorld()
			if a := w.serve(t, limited(limits, &now)).do(from(here, "POST", "/orders", strings.ReplaceAll(oneLine, "cust-001", who), who)); a.status != 202 || w.placed[0].OpenLimit != want {
				t.Errorf("%s: %d %+v", who, a.status, w.placed)
			}
		}
	})
	t.Run("development mode has none", func(t *testing.T) {
		w := newWorld()
		w.serve(t, func(c *httpapi.Config) { c.Limits = limits }).send("POST", "/orders", oneLine)
		if w.placed[0].OpenLimit != 0 {
			t.Errorf("%+v", w.placed[0])
		}
	})
	t.Run("too many are 429 with their own code and the limit", func(t *testing.T) {
		w := newWorld()
		w.err = fault.New(fault.TooManyOpenOrders, "Too many.").With("limit", int64(7))
		a := w.serve(t).send("POST", "/orders", oneLine)
		p := a.problem(t)
		if a.status != 429 || p["error"] != "TOO_MANY_OPEN_ORDERS" || p["limit"] != 7.0 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
	})
}
