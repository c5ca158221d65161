package instance_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
)

// A customer cancels while the saga is at work: at whatever moment, the order ends in one of two ways, and the books agree with it.
func TestCancelRacesWithConfirm(t *testing.T) {
	t.Parallel()
	started := time.Now()
	const seed = 20260122
	orders := longtest.Count(20, 100, 500)
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	w.product("A", int64(orders))

	delays := make([]time.Duration, orders)
	for i := range delays {
		delays[i] = time.Duration(rnd.Int64N(int64(12 * time.Millisecond))) // a saga takes a few milliseconds, beside three others
	}
	ids := make([]string, orders)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := worker; i < orders; i += 4 {
				ids[i] = w.accepted(request(visa, "A"), "Idempotency-Key", fmt.Sprintf("race-%d", i))
				wait(delays[i])
				a := w.call("POST", "/orders/"+ids[i]+"/cancel", nil)
				if a.status != http.StatusAccepted {
					a.is(http.StatusConflict).problem("ORDER_FINAL")
				}
			}
		})
	}
	wg.Wait()

	confirmed, cancelled, refunded := 0, 0, 0
	for _, id := range ids {
		switch o := w.outcome(id); {
		case o.Status == "CONFIRMED" && types(o) == confirmedLog:
			confirmed++
		case o.Status == "CANCELLED" && cancelledLogs[types(o)]:
			cancelled++
		default:
			t.Errorf("%s is %s: %s", id, o.Status, types(o))
		}
	}
	w.rest()
	for _, id := range ids {
		if w.books(id) {
			refunded++
		}
	}
	w.stock("A", int64(orders-confirmed), 0, int64(confirmed))
	longtest.Record(t, started, longtest.Result{What: "cancels that race with the confirmation", Count: orders, Seed: seed,
		Detail: fmt.Sprintf("%d confirmed, %d cancelled, %d of these refunded", confirmed, cancelled, refunded)})
}

// books requires that the provider's ledger says what the order's status says. It reports whether money was given back.
func (w *world) books(id string) (refunded bool) {
	w.t.Helper()
	o := w.call("GET", "/orders/"+id, nil).is(http.StatusOK).order()
	a := w.call("GET", "/admin/payments/"+id, nil)
	if a.status == http.StatusNotFound { // cancelled before the charge
		if o.Status != "CANCELLED" {
			w.t.Errorf("%s is %s without a payment", id, o.Status)
		}
		return false
	}
	l := into[apigen.Payment](a.is(http.StatusOK)).Provider
	net := l.CapturedCents - l.RefundedCents
	if o.Status == "CONFIRMED" && (net != o.TotalCents || l.RefundedCents != 0) || o.Status != "CONFIRMED" && net != 0 {
		w.t.Errorf("%s is %s, and the ledger says captured %d, refunded %d", id, o.Status, l.CapturedCents, l.RefundedCents)
	}
	return l.RefundedCents > 0
}
