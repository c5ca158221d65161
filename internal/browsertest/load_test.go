package browsertest

import (
	"encoding/json"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// longTasks keeps what kept the page from answering: tasks of over 50 ms (https://www.w3.org/TR/longtasks-1/).
const longTasks = `(() => {
	window.longTasks = [];
	new PerformanceObserver((list) => list.getEntries().forEach((e) => window.longTasks.push(e.duration))).observe({ type: "longtask", buffered: false });
	return true;
})()`

const (
	// mostRows is what the list may have however much comes in.
	mostRows = 500
	// longestTask is what a page may take for itself before a click is felt to wait.
	longestTask = 200 * time.Millisecond
)

// load places so many orders a second for so long, and returns how many were accepted a second until the last one was.
func (s *shop) load(rate int, d time.Duration) float64 {
	s.t.Helper()
	text := apigen.OrderRequest{CustomerID: "load", PaymentMethod: ptr(provider.Visa), Items: []apigen.OrderRequestItem{{ProductID: "LOAD", Quantity: 1}}}
	due := make(chan struct{}, rate*int(d/time.Second+1))
	var accepted, refused atomic.Int64
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			for range due {
				status, _, err := s.try("POST", "/orders", text)
				if err != nil || status != http.StatusAccepted {
					refused.Add(1)
				} else {
					accepted.Add(1)
				}
			}
		})
	}
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 0; time.Since(began) < d; <-tick.C {
		for want := int(time.Since(began).Seconds() * float64(rate)); sent < want; sent++ {
			due <- struct{}{}
		}
	}
	close(due)
	clients.Wait()
	if n := refused.Load(); n > 0 {
		s.t.Errorf("%d of %d orders were refused", n, n+accepted.Load())
	}
	return float64(accepted.Load()) / time.Since(began).Seconds()
}

// settle waits until every order has ended.
func (s *shop) settle() {
	s.t.Helper()
	eventually(s.t, "all sagas end", func() bool { return s.i.App.Engine.Open() == 0 })
}

// responsive requires what a page under load has to keep.
func (tb *tab) responsive() {
	tb.t.Helper()
	if rows := tb.count("#list tbody tr"); rows == 0 || rows > mostRows {
		tb.t.Errorf("the list has %d rows, want at most %d", rows, mostRows)
	}
	tasks := read[[]float64](tb, `window.longTasks`)
	for _, ms := range tasks {
		if limit := longestTask * raceFactor; ms > float64(limit.Milliseconds()) {
			tb.t.Errorf("the page did not answer for %.0f ms, want at most %s", ms, limit)
		}
	}
	tb.t.Logf("tasks of over 50 ms: %.0f", tasks)
}

func TestTheListStaysResponsiveWhileOrdersComeIn(t *testing.T) {
	s := newShop(t)
	s.product("LOAD", "Load", 1_000_000)
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders")
	tb.awaitText("#feed-state", "live")
	read[bool](tb, longTasks)
	s.load(100, 4*time.Second)
	s.settle()
	tb.responsive()
	last := s.place("ada", "MOUSE-01", provider.Visa)
	tb.await("the newest order comes", row(last))
}

func TestAnOpenPageTakesNoOrdersFromConcurrentCustomers(t *testing.T) {
	if os.Getenv(longtest.Dir) == "" {
		t.Skip("rates are measured in a long run only: `make test-long`")
	}
	const rate, each = 500, 8 * time.Second
	began := time.Now()
	s := newShop(t)
	s.product("LOAD", "Load", 10_000_000)
	s.load(rate, 2*time.Second) // warm
	s.settle()
	var without, with []float64
	for range 2 {
		without = append(without, s.load(rate, each))
		s.settle()
		tb := newTab(t, s.url)
		tb.open("/dashboard/orders")
		tb.awaitText("#feed-state", "live")
		read[bool](tb, longTasks)
		with = append(with, s.load(rate, each))
		tb.responsive()
		s.settle()
		tb.open("/dashboard/reset") // nothing is live there
	}
	a, b := without[0]+without[1], with[0]+with[1]
	detail, _ := json.Marshal(map[string]any{"asked_per_second": rate, "without_page": without, "with_page": with, "ratio": b / a})
	if b/a < 0.9 {
		t.Errorf("with the page open it is %.2f of the orders a second: %s", b/a, detail)
	}
	longtest.Record(t, began, longtest.Result{What: "orders placed with a page open", Count: int(b * each.Seconds()), Detail: string(detail)})
}
