package loadtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

// A shop answers orders as CloudFlow does, by what they ask for, and keeps nothing but counts.
type shop struct {
	t     *testing.T
	delay func(n int) time.Duration // of the n-th order, from 0; nil: none
	reply func(n int) (status int, body string)

	mu                   sync.Mutex
	orders, cancels      int
	confirmed, declined  int
	short                int
	keys                 map[string]int
	products, customers  map[string]int
	inFlight, mostAtOnce int
	arrivals             []time.Time
	asked                []string // payment method and product of each order
	unknown              int      // requests without credentials
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/cancel") {
		s.mu.Lock()
		s.cancels++
		s.mu.Unlock()
		answer(w, http.StatusAccepted, `{"order_id":"ord-1","status":"PENDING"}`)
		return
	}
	var body apigen.OrderRequest
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost || r.URL.Path != "/orders" {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	n := s.arrive(r, body)
	defer s.leave()
	if s.delay != nil {
		select {
		case <-time.After(s.delay(n)):
		case <-r.Context().Done():
			return
		}
	}
	if s.reply != nil {
		status, text := s.reply(n)
		answer(w, status, text)
		return
	}
	s.decide(w, r, body)
}

func (s *shop) arrive(r *http.Request, body apigen.OrderRequest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys, s.products, s.customers = map[string]int{}, map[string]int{}, map[string]int{}
	}
	n := s.orders
	s.orders++
	s.inFlight++
	s.mostAtOnce = max(s.mostAtOnce, s.inFlight)
	s.arrivals = append(s.arrivals, time.Now())
	s.products[body.Items[0].ProductID]++
	s.customers[body.CustomerID]++
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		s.keys[key]++
	}
	method := ""
	if body.PaymentMethod != nil {
		method = *body.PaymentMethod
	}
	s.asked = append(s.asked, method+" "+body.Items[0].ProductID)
	if r.Header.Get("Authorization") != "Bearer key" {
		s.unknown++
	}
	return n
}

func (s *shop) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

func (s *shop) decide(w http.ResponseWriter, r *http.Request, body apigen.OrderRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keyed, waits := r.Header.Get("Idempotency-Key") != "", r.Header.Get("Prefer") == "wait=20"
	switch {
	case body.Items[0].ProductID == "NONE":
		s.short++
		answer(w, http.StatusConflict, `{"error":"INSUFFICIENT_STOCK","status":409}`)
	case keyed && waits:
		answer(w, http.StatusOK, `{"order_id":"ord-1","status":"CANCELLED"}`)
	case keyed:
		answer(w, http.StatusAccepted, `{"order_id":"ord-1","status":"PENDING"}`)
	case !waits:
		s.t.Error("an order that is not waited for")
	case body.PaymentMethod != nil && *body.PaymentMethod == "pm_card_chargeDeclined":
		s.declined++
		answer(w, http.StatusOK, `{"order_id":"ord-1","status":"COMPENSATED"}`)
	default:
		s.confirmed++
		answer(w, http.StatusOK, `{"order_id":"ord-1","status":"CONFIRMED"}`)
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

// direct calls a handler without a network, for a bubble of testing/synctest: its clock stands still while somebody waits for a socket.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// config is a run against a handler without a network.
func config(h http.Handler) loadtest.Config {
	return loadtest.Config{URL: "http://shop.example", HTTP: direct{h}, Products: []string{"A", "B", "C"}, ShortProduct: "NONE"}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
