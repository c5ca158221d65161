package stagetest

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// crowdSize is as many orders at once as the emulator bears: each execution is a process or two.
const crowdSize = 50

// Fifty customers order at once, of three products of which there is not enough. Nothing is sold twice, and nobody pays for nothing.
func crowd(t *testing.T, s *stage) {
	stock := []int64{12, 12, 40}
	products := make([]string, len(stock))
	for i, n := range stock {
		products[i] = s.product(t, n)
	}
	methods := []string{provider.Visa, provider.Visa, provider.ChargeDeclined, provider.Visa, provider.Slow}
	var mu sync.Mutex
	placed, refused := []apigen.Order{}, 0
	var wg sync.WaitGroup
	for n := range crowdSize {
		wg.Go(func() {
			r := basket(methods[n%len(methods)], products[n%3], products[(n+1)%3])
			a, err := s.try(t, "POST", "/orders", r, "Idempotency-Key", fmt.Sprint(r.CustomerID, "-", n))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case a.status == http.StatusAccepted:
				placed = append(placed, a.order())
			case a.status == http.StatusConflict: // by then there was not enough
				refused++
			default:
				t.Errorf("answered %d: %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	sold := map[string]int64{}
	outcomes := map[apigen.OrderStatus]int{}
	for _, o := range placed {
		got := s.outcome(t, o.OrderID)
		outcomes[got.Status]++
		paid := int64(0)
		if got.Status == "CONFIRMED" {
			paid = got.TotalCents
			for _, line := range got.Items {
				sold[line.ProductID] += line.Quantity
			}
		}
		if got.Status == "FAILED" { // its money was never asked for
			s.call(t, "GET", "/admin/payments/"+o.OrderID, nil).is(http.StatusNotFound)
			continue
		}
		s.ledger(t, o.OrderID, paid, 0)
	}
	for i, p := range products {
		if sold[p] > stock[i] {
			t.Errorf("%d of %d pieces were sold", sold[p], stock[i])
		}
		s.stock(t, p, stock[i]-sold[p], 0, sold[p])
	}
	t.Logf("%d orders at once: %v, %d refused at once", crowdSize, outcomes, refused)
}
