package instance_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 10)
	t.Run("everything succeeds: CONFIRMED with its four events, captured once, sold", func(t *testing.T) {
		o := w.place(request(visa, "A"))
		ended(t, o, "CONFIRMED", confirmedLog)
		if o.TotalCents != 1000 || o.Version != 4 || o.FailureReason != nil || o.NeedsReview != nil {
			t.Errorf("the order is %+v", o)
		}
		for i, e := range o.Events {
			if e.Version != int64(i+1) || i > 0 && e.Timestamp.Before(o.Events[i-1].Timestamp) {
				t.Errorf("event %d is %+v", i+1, e)
			}
		}
		w.rest()
		w.stock("A", 9, 0, 1)
		w.ledger(o.OrderID, 1000, 0)
	})
	t.Run("the card is declined: COMPENSATED with its five events, the stock back, nothing paid", func(t *testing.T) {
		o := w.place(request(declined, "A"))
		ended(t, o, "COMPENSATED", compensatedLog)
		if o.FailureReason == nil || *o.FailureReason != "PAYMENT_DECLINED" {
			t.Errorf("the failure reason is %v", o.FailureReason)
		}
		w.rest()
		w.stock("A", 9, 0, 1)
		w.ledger(o.OrderID, 0, 0)
	})
	t.Run("the provider answers 500: COMPENSATED, since the charge is cancelled before it is given up", func(t *testing.T) {
		o := w.place(request(provider.Error, "A"))
		ended(t, o, "COMPENSATED", compensatedLog)
		if o.FailureReason == nil || *o.FailureReason != "PAYMENT_PROVIDER_UNAVAILABLE" {
			t.Errorf("the failure reason is %v", o.FailureReason)
		}
		w.rest()
		w.ledger(o.OrderID, 0, 0)
	})
	t.Run("not enough stock: 409 with the product, what was asked for and what there is", func(t *testing.T) {
		r := request(visa, "A")
		r.Items[0].Quantity = 11
		p := w.call("POST", "/orders", r).is(http.StatusConflict).problem("INSUFFICIENT_STOCK")
		if p.ProductID == nil || *p.ProductID != "A" || p.Requested == nil || *p.Requested != 11 || p.Available == nil || *p.Available != 9 {
			t.Errorf("the problem is %+v", p)
		}
	})
	t.Run("the circuit is open: 503 with retry_after_seconds, and nothing is stored", func(t *testing.T) {
		before := w.rest().Orders
		w.call("POST", "/admin/breakers/payment-charge/trip", nil).is(http.StatusOK)
		p := w.call("POST", "/orders", request(visa, "A")).is(http.StatusServiceUnavailable).problem("PAYMENT_PROVIDER_UNAVAILABLE")
		if p.RetryAfterSeconds == nil || *p.RetryAfterSeconds < 1 {
			t.Errorf("the problem is %+v", p)
		}
		w.call("POST", "/admin/breakers/payment-charge/reset", nil).is(http.StatusOK)
		if after := w.rest().Orders; after != before {
			t.Errorf("%d orders, before %d", after, before)
		}
	})
	t.Run("cancelled before it is decided: CANCELLED, the stock back, nothing paid", func(t *testing.T) {
		if err := w.i.App.Provider.SetFault(provider.Fault{Only: "capture", Latency: 200 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		id := w.accepted(request(visa, "A"))
		w.call("POST", "/orders/"+id+"/cancel", nil).is(http.StatusAccepted)
		o := w.outcome(id)
		if !cancelledLogs[types(o)] || o.Status != "CANCELLED" || o.FailureReason == nil || *o.FailureReason != "CANCELLED_BY_CUSTOMER" {
			t.Errorf("the order is %+v", o)
		}
		w.call("POST", "/orders/"+id+"/cancel", nil).is(http.StatusConflict).problem("ORDER_FINAL")
		w.rest()
		w.stock("A", 9, 0, 1)
		if err := w.i.App.Provider.SetFault(provider.Fault{}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a past version and a past time show the order as it was", func(t *testing.T) {
		o := w.place(request(visa, "A"))
		at := w.call("GET", "/orders/"+o.OrderID+"?version=2", nil).is(http.StatusOK).order()
		ended(t, at, "PENDING", "ORDER_CREATED STOCK_RESERVED")
		before := o.Events[0].Timestamp.Add(-time.Second).Format(time.RFC3339)
		w.call("GET", "/orders/"+o.OrderID+"?as_of="+before, nil).is(http.StatusNotFound)
		a := w.call("GET", "/orders/"+o.OrderID, nil, "If-None-Match", `"v4"`)
		if a.status != http.StatusNotModified || len(a.body) != 0 {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	})
}

// 200 callers want the last 10 pieces.
func TestConcurrentOrdersForTheLastPieces(t *testing.T) {
	t.Parallel()
	started := time.Now()
	const callers, pieces = 200, 10
	rounds := longtest.Count(1, 2, 20)
	w := newWorld(t)
	for n := range rounds {
		scarce(t, w, fmt.Sprintf("SCARCE-%d", n), callers, pieces)
	}
	longtest.Record(t, started, longtest.Result{What: "rounds of 200 orders for 10 pieces", Count: rounds})
}

func scarce(t *testing.T, w *world, product string, callers int, pieces int64) {
	t.Helper()
	w.product(product, pieces)
	ctx, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	looks := atomic.Int64{}
	watching.Go(func() { // never oversold while it runs
		for ctx.Err() == nil {
			p := into[apigen.Product](w.call("GET", "/products/"+product, nil))
			if p.Available < 0 || p.Held < 0 || p.Sold > pieces || p.Available+p.Held+p.Sold != pieces {
				t.Errorf("available %d + held %d + sold %d of %d", p.Available, p.Held, p.Sold, pieces)
			}
			looks.Add(1)
		}
	})
	watching.Go(func() {
		for ctx.Err() == nil {
			if r := into[apigen.VerifyReport](w.call("GET", "/admin/verify", nil)); !r.Ok {
				t.Errorf("while it runs: %+v", r)
			}
		}
	})
	var confirmed, refused, failed atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			a := w.call("POST", "/orders", request(visa, product), waiting...)
			switch {
			case a.status == http.StatusConflict:
				a.problem("INSUFFICIENT_STOCK")
				refused.Add(1)
			case a.status == http.StatusOK && a.order().Status == "CONFIRMED":
				confirmed.Add(1)
			case a.status == http.StatusOK && a.order().Status == "FAILED" && *a.order().FailureReason == "INSUFFICIENT_STOCK":
				failed.Add(1)
			default:
				t.Errorf("answered %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	stop()
	watching.Wait()
	t.Logf("%d confirmed, %d refused at once, %d by the saga; %d looks at the stock", confirmed.Load(), refused.Load(), failed.Load(), looks.Load())
	if confirmed.Load() != pieces {
		t.Errorf("%d orders were confirmed, there were %d pieces", confirmed.Load(), pieces)
	}
	w.rest()
	w.stock(product, 0, 0, pieces)
}

// One key, sent 64 times at once.
func TestTheSameKeySentSixtyFourTimesAtOnce(t *testing.T) {
	t.Parallel()
	started := time.Now()
	rounds := longtest.Count(1, 4, 50)
	for range rounds {
		w := newWorld(t)
		w.product("A", 100)
		answers := make([]answer, 64)
		var wg sync.WaitGroup
		ready := make(chan struct{})
		for i := range answers {
			wg.Go(func() {
				<-ready
				answers[i] = w.call("POST", "/orders", request(visa, "A"), "Idempotency-Key", "same")
			})
		}
		close(ready)
		wg.Wait()
		replayed := 0
		for _, a := range answers {
			a.is(http.StatusAccepted)
			if !bytes.Equal(a.body, answers[0].body) || a.header.Get("Location") != answers[0].header.Get("Location") {
				t.Fatalf("answered %s and %s", answers[0].body, a.body)
			}
			if a.header.Get("Idempotent-Replayed") == "true" {
				replayed++
			}
		}
		if replayed != 63 {
			t.Errorf("%d of 64 answers were replays", replayed)
		}
		w.outcome(into[apigen.OrderAccepted](answers[0]).OrderID)
		if r := w.rest(); r.Orders != 1 {
			t.Errorf("%d orders", r.Orders)
		}
		w.stock("A", 99, 0, 1)
		if a := w.i.App.Provider.Attempts(); a.Open != 1 || a.Capture != 1 {
			t.Errorf("the provider was asked %+v", a)
		}
		executions := 0
		err := w.i.Dir.Store.Dump(t.Context(), func(e store.Entry) error {
			if e.Key.Table == flow.Table && e.Key.SK == "head" {
				executions++
			}
			return nil
		})
		if err != nil || executions != 1 {
			t.Errorf("%d sagas, %v", executions, err)
		}
		w.end()
	}
	longtest.Record(t, started, longtest.Result{What: "keys sent 64 times at once", Count: rounds})
}

// What the provider did and did not say: charged once and CONFIRMED, or not charged and COMPENSATED, never between. It takes as long
// as the charge may take in the world.
func TestUnknownOutcomesSettle(t *testing.T) {
	if testing.Short() {
		t.Skip("ten seconds of real time; TestUnknownOutcomesSettleInABubble is the same in none")
	}
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	methods := []string{provider.TimeoutCharged, provider.Late, provider.Timeout}
	orders := make([]apigen.Order, len(methods))
	var wg sync.WaitGroup
	for i, method := range methods {
		wg.Go(func() {
			began := time.Now()
			orders[i] = w.place(request(method, "A"))
			t.Logf("%s: %s after %s", method, orders[i].Status, time.Since(began).Round(time.Millisecond))
		})
	}
	wg.Wait()
	w.rest()
	for i, o := range orders {
		settled(t, o, func(captured int64) { w.ledger(o.OrderID, captured, 0) })
		if methods[i] == provider.TimeoutCharged && o.Status != "CONFIRMED" {
			t.Errorf("%s was charged, and is %s", methods[i], o.Status)
		}
	}
}

func TestUnknownOutcomesSettleInABubble(t *testing.T) {
	for _, method := range []string{provider.TimeoutCharged, provider.Late, provider.Timeout, provider.Error, provider.Slow} {
		t.Run(method, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				defer b.start()()
				b.product("A", 5)
				began := time.Now()
				o := b.outcome(b.accepted(request(method, "A")))
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("it took %s", took)
				}
				b.rest() // a late capture has come by then, if it comes
				settled(t, o, func(captured int64) {
					l, err := b.Provider.Ledger(t.Context(), o.OrderID)
					if err != nil || l.CapturedCents != captured || l.RefundedCents != 0 {
						t.Errorf("the ledger is %+v, %v", l, err)
					}
				})
			})
		})
	}
}

// settled requires one of the two outcomes, and the ledger that goes with it.
func settled(t *testing.T, o apigen.Order, ledger func(captured int64)) {
	t.Helper()
	switch o.Status {
	case "CONFIRMED":
		ended(t, o, "CONFIRMED", confirmedLog)
		ledger(o.TotalCents)
	case "COMPENSATED":
		ended(t, o, "COMPENSATED", compensatedLog)
		ledger(0)
	default:
		t.Fatalf("the order is %s: %s", o.Status, types(o))
	}
}
