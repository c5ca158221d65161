package monitoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

var client = &http.Client{Timeout: patience}

// A shop is an instance, served over loopback.
type shop struct {
	t    *testing.T
	addr string
	key  string // an operator's; "" in development mode
}

func keyed(c *instance.Config) { c.Access.Keys = true }

// newShop opens one on an empty directory. It is closed with the test.
func newShop(t *testing.T, options ...func(*instance.Config)) *shop {
	t.Helper()
	c := instance.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Version: "test"}
	for _, o := range options {
		o(&c)
	}
	i, err := instance.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- i.Serve(ctx, l) }()
	t.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-served, i.Close()); err != nil {
			t.Errorf("the instance did not stop well: %v", err)
		}
	})
	if c.Access.Keys {
		if _, s.key, err = i.Keys.Create(t.Context(), apikey.Request{Subject: "prometheus", Scopes: auth.ScopesOf(auth.ScopeAdmin)}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// trade has orders of all four outcomes, over a tenth of them COMPENSATED, and one that an open circuit refuses.
func (s *shop) trade() {
	s.t.Helper()
	s.product("A", 100)
	for range 10 {
		s.place("A", provider.Visa, "CONFIRMED")
		s.place("A", provider.ChargeDeclined, "COMPENSATED")
	}
	s.cancelled()
	s.failed()
	s.call(http.StatusOK, "POST", "/admin/breakers/payment-charge/trip", nil)
	s.call(http.StatusServiceUnavailable, "POST", "/orders", request("A", provider.Visa))
	s.call(http.StatusOK, "POST", "/admin/breakers/payment-charge/reset", nil)
}

func request(product, method string) apigen.OrderRequest {
	return apigen.OrderRequest{CustomerID: "ada", PaymentMethod: &method, Items: []apigen.OrderRequestItem{{ProductID: product, Quantity: 1}}}
}

func (s *shop) product(id string, stock int64) {
	s.t.Helper()
	s.call(http.StatusCreated, "PUT", "/products/"+id, apigen.ProductPut{Name: id, UnitPriceCents: 1000, Stock: &stock})
}

// place places an order that ends so.
func (s *shop) place(product, method string, want apigen.OrderStatus) {
	s.t.Helper()
	o := decoded[apigen.Order](s.t, s.call(http.StatusOK, "POST", "/orders", request(product, method), "Prefer", "wait=20"))
	if o.Status != want {
		s.t.Fatalf("an order with %s is %s, want %s", method, o.Status, want)
	}
}

// cancelled has an order that is cancelled while its card is being charged.
func (s *shop) cancelled() {
	s.t.Helper()
	only, latency := apigen.FaultsOnlyCapture, int64(300)
	s.call(http.StatusOK, "PUT", "/admin/faults", apigen.Faults{Only: &only, LatencyMs: &latency})
	id := decoded[apigen.OrderAccepted](s.t, s.call(http.StatusAccepted, "POST", "/orders", request("A", provider.Visa))).OrderID
	s.call(http.StatusAccepted, "POST", "/orders/"+id+"/cancel", nil)
	var o apigen.Order
	within(s.t, "the order is cancelled", func() bool {
		o = decoded[apigen.Order](s.t, s.call(http.StatusOK, "GET", "/orders/"+id, nil))
		return o.Status == "CANCELLED"
	}, func() any { return o.Status })
	s.call(http.StatusOK, "PUT", "/admin/faults", apigen.Faults{})
}

// failed has an order FAILED: there was a last piece when it was placed, and none when its saga came to reserve it. That takes a race, so there are rounds.
func (s *shop) failed() {
	s.t.Helper()
	const rounds, callers = 20, 8
	for n := range rounds {
		product := fmt.Sprintf("LAST-%d", n)
		s.product(product, 1)
		outcomes := make([]string, callers)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				status, text, err := s.try("POST", "/orders", request(product, provider.Visa), "Prefer", "wait=20")
				if err != nil {
					s.t.Error(err)
				}
				if status == http.StatusOK { // not 409: it was placed
					var o apigen.Order
					_ = json.Unmarshal(text, &o)
					outcomes[c] = string(o.Status)
				}
			})
		}
		wg.Wait()
		for _, o := range outcomes {
			if o == "FAILED" {
				return
			}
		}
	}
	s.t.Fatalf("in %d rounds of %d callers for a last piece no order failed", rounds, callers)
}

// call makes a call of the API and requires its status; headers are names and values in turn.
func (s *shop) call(want int, method, path string, body any, headers ...string) []byte {
	s.t.Helper()
	status, text, err := s.try(method, path, body, headers...)
	if err != nil || status != want {
		s.t.Fatalf("%s %s answered %d %s, want %d: %v", method, path, status, text, want, err)
	}
	return text
}

func (s *shop) try(method, path string, body any, headers ...string) (status int, text []byte, err error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, content)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

func decoded[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
