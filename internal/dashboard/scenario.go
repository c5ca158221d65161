package dashboard

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A scenario is one of the stories that can be played with a click.
type scenario struct {
	Name, Title, Says string
	Product, Method   string
	Quantity          int64 // 0: one more than there is
	Trips             bool  // the circuit is opened first
}

// The four scenarios of the specification.
var scenarios = []scenario{
	{Name: "happy-path", Title: "Happy path", Says: "One laptop, a good card. Stock is reserved, the card is charged, the order is confirmed.", Product: "LAPTOP-01", Method: "pm_card_visa", Quantity: 1},
	{Name: "payment-failure", Title: "Payment failure", Says: "Two mice, and the card is declined. What was reserved goes back to the shelf.", Product: "MOUSE-01", Method: "pm_card_chargeDeclined", Quantity: 2},
	{Name: "circuit-breaker", Title: "Circuit breaker open", Says: "The payment provider is failing and the circuit is open. The order is refused at once.", Product: "KEYBD-01", Method: "pm_card_visa", Quantity: 1, Trips: true},
	{Name: "oversell", Title: "Oversell", Says: "One keyboard more than there is. The order is refused, and no stock moves.", Product: "KEYBD-01", Method: "pm_card_visa"},
}

const (
	chargeBreaker = "payment-charge"
	demoCustomer  = "cust-demo"
	maxRuns       = 100
)

// A run is a scenario as it was played.
type run struct {
	ID       int
	Scenario scenario
	Prepared []string // what had to be done first
	Quantity int64
	Before   int64 // available
	OrderID  string
	Refused  *refusal
	Answered time.Duration // until the answer to POST /orders
	At       time.Time
}

// runs are the last ones. They are safe for concurrent use.
type runs struct {
	mu   sync.Mutex
	last int
	all  []run
}

func (rs *runs) add(r run) int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.last++
	r.ID = rs.last
	if len(rs.all) == maxRuns {
		rs.all = rs.all[1:]
	}
	rs.all = append(rs.all, r)
	return r.ID
}

func (rs *runs) get(id string) (run, bool) {
	n, err := strconv.Atoi(id)
	if err != nil {
		return run{}, false
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.all {
		if r.ID == n {
			return r, true
		}
	}
	return run{}, false
}

var errNotHere = &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "Scenarios are played in development mode only: they order, and turn circuit breakers."}

func (d *server) playScenario(v *visit, w http.ResponseWriter) error {
	if !d.c.Development {
		return errNotHere
	}
	for _, s := range scenarios {
		if s.Name != v.r.PathValue("name") {
			continue
		}
		r, err := v.play(s)
		if err != nil {
			return err
		}
		return see(w, v.r, "/?run=%d#run", d.runs.add(r))
	}
	return &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "There is no such scenario."}
}

// play prepares what the scenario wants, and places its order. It does not wait for the outcome: that is shown as it comes.
func (v *visit) play(s scenario) (run, error) {
	r := run{Scenario: s, At: v.d.c.Now(), Quantity: s.Quantity}
	if err := v.prepare(&r); err != nil {
		return r, err
	}
	order := apigen.OrderRequest{
		CustomerID: demoCustomer, PaymentMethod: &s.Method, Items: []apigen.OrderRequestItem{{ProductID: s.Product, Quantity: r.Quantity}},
	}
	began := time.Now()
	var accepted apigen.OrderAccepted
	err := v.call(&accepted, func(api *apigen.Client) (*http.Response, error) {
		return api.PlaceOrder(v.r.Context(), &apigen.PlaceOrderParams{IdempotencyKey: ptr(newKey())}, order)
	})
	r.Answered, r.OrderID = time.Since(began), accepted.OrderID
	if errors.As(err, &r.Refused) {
		return r, nil
	}
	return r, err
}

// prepare sees to the product, its stock and the circuit, and says what it has done.
func (v *visit) prepare(r *run) error {
	s := r.Scenario
	p, err := v.demoProduct(s.Product)
	if err != nil {
		return err
	}
	if r.Quantity == 0 {
		r.Quantity = p.Available + 1
	} else if p.Available < r.Quantity {
		missing := *v.d.c.Demo[s.Product].Stock
		if p, err = v.restock(s.Product, missing); err != nil {
			return err
		}
		r.Prepared = append(r.Prepared, fmt.Sprintf("Restocked %d of %s, of which too few were left.", missing, s.Product))
	}
	r.Before = p.Available
	var breakers apigen.BreakerList
	if err := v.call(&breakers, func(api *apigen.Client) (*http.Response, error) { return api.ListBreakers(v.r.Context()) }); err != nil {
		return err
	}
	for _, b := range breakers.Breakers {
		asWanted := b.State == apigen.BreakerStateCLOSED
		if s.Trips {
			asWanted = b.State == apigen.BreakerStateOPEN
		}
		if b.Name != chargeBreaker || asWanted {
			continue
		}
		move, done := (*apigen.Client).ResetBreaker, "Closed the circuit to the payment provider, which an earlier run had left open."
		if s.Trips {
			move, done = (*apigen.Client).TripBreaker, "Opened the circuit to the payment provider by hand, as five failed calls in a row would have."
		}
		if err := v.call(nil, func(api *apigen.Client) (*http.Response, error) { return move(api, v.r.Context(), chargeBreaker) }); err != nil {
			return err
		}
		r.Prepared = append(r.Prepared, done)
	}
	return nil
}

// demoProduct is one of the demo's products, made if it is not there.
func (v *visit) demoProduct(id string) (apigen.Product, error) {
	return v.product(id, v.d.c.Demo[id])
}

// product is a product, made if it is not there.
func (v *visit) product(id string, put apigen.ProductPut) (p apigen.Product, err error) {
	err = v.call(&p, func(api *apigen.Client) (*http.Response, error) { return api.GetProduct(v.r.Context(), id) })
	var no *refusal
	if !errors.As(err, &no) || no.Status != http.StatusNotFound {
		return p, err
	}
	err = v.call(&p, func(api *apigen.Client) (*http.Response, error) {
		return api.PutProduct(v.r.Context(), id, nil, put)
	})
	return p, err
}

func (v *visit) restock(id string, quantity int64) (p apigen.Product, err error) {
	err = v.call(&p, func(api *apigen.Client) (*http.Response, error) {
		return api.RestockProduct(v.r.Context(), id, &apigen.RestockProductParams{IdempotencyKey: newKey()}, apigen.RestockRequest{Quantity: quantity})
	})
	return p, err
}

// newKey is an idempotency key for what was clicked once.
func newKey() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "page-" + hex.EncodeToString(b)
}

// askReset shows what a reset does before it is done.
func (d *server) askReset(v *visit, w http.ResponseWriter) error {
	if !d.c.Development {
		return errNotHere
	}
	if err := v.allowed(); err != nil {
		return err
	}
	return d.show(w, http.StatusOK, "reset", &page{Title: "Reset the demo's data"})
}

// reset puts the demo's shelf and the circuits back to where they began. Orders stay: a log is not taken back.
func (d *server) reset(v *visit, w http.ResponseWriter) error {
	if !d.c.Development {
		return errNotHere
	}
	for id, put := range d.c.Demo {
		p, err := v.demoProduct(id)
		if err != nil {
			return err
		}
		if missing := *put.Stock - p.Available; missing > 0 {
			if _, err := v.restock(id, missing); err != nil {
				return err
			}
		}
	}
	var breakers apigen.BreakerList
	if err := v.call(&breakers, func(api *apigen.Client) (*http.Response, error) { return api.ListBreakers(v.r.Context()) }); err != nil {
		return err
	}
	for _, b := range breakers.Breakers {
		if b.State == apigen.BreakerStateCLOSED {
			continue
		}
		if err := v.call(nil, func(api *apigen.Client) (*http.Response, error) { return api.ResetBreaker(v.r.Context(), b.Name) }); err != nil {
			return err
		}
	}
	if err := v.call(nil, func(api *apigen.Client) (*http.Response, error) { return api.PutFaults(v.r.Context(), apigen.Faults{}) }); err != nil {
		return err
	}
	return see(w, v.r, "/")
}
