package instance_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// BenchmarkFlood lets many callers place orders as fast as they are answered, and nobody waits for an outcome: more comes than is worked off. One
// operation is one call. With bounds what is refused costs little, and what is accepted does not wait for long; without, the queue is as long as
// the flood. The callers do not heed Retry-After, and the provider takes a second for each call.
func BenchmarkFlood(b *testing.B) {
	for _, c := range []struct {
		name string
		work limit.Bounds
	}{{"with bounds", limit.Bounds{Open: 250_000, Ready: 1_000, Wait: 10 * time.Second}}, {"without", limit.Bounds{}}} {
		b.Run(c.name, func(b *testing.B) {
			i, _, stop := serveBench(b, instance.Config{Dir: b.TempDir(), Log: observe.NewLogger(io.Discard, slog.LevelInfo, nil), Limits: &httpapi.Limits{Work: c.work}}, 100)
			<-i.App.Engine.Recovered()
			send(b, i.Handler, "PUT", "/admin/faults", `{"latency_ms":1000}`)
			var n, accepted, mostReady, oldest atomic.Int64
			b.SetParallelism(32)
			b.ResetTimer()
			began, burnt := time.Now(), cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					body := fmt.Sprintf(`{"customer_id":"cust-1","items":[{"product_id":"P-%03d","quantity":1}]}`, n.Add(1)%100)
					switch status := send(b, i.Handler, "POST", "/orders", body); status {
					case http.StatusAccepted:
						accepted.Add(1)
					case http.StatusServiceUnavailable:
					default:
						b.Errorf("answered %d", status)
					}
					l := i.App.Engine.Load()
					raise(&mostReady, int64(l.Ready))
					raise(&oldest, int64(l.Oldest))
				}
			})
			flooded, spent := time.Since(began), cpuTime(b)-burnt
			b.StopTimer()
			for i.App.Engine.Open() > 0 {
				<-time.After(time.Millisecond)
			}
			all := time.Since(began)
			b.ReportMetric(float64(accepted.Load())/float64(b.N)*100, "accepted-%")
			b.ReportMetric(float64(mostReady.Load()), "most-ready")
			b.ReportMetric(time.Duration(oldest.Load()).Seconds(), "longest-wait-s")
			b.ReportMetric(flooded.Seconds(), "flood-s")
			b.ReportMetric((all - flooded).Seconds(), "then-s")
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/call")
			stop()
		})
	}
}

// BenchmarkRecovery is how long a start takes to find 100,000 open executions, for which callers wait, and until all of them sleep again, for which
// new orders do. It is the engine's part of a start, on a store like an instance's.
func BenchmarkRecovery(b *testing.B) {
	const many, writers = 100_000, 256
	s, err := pebblestore.Open(b.TempDir(), pebblestore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	engine := func() *flow.Engine {
		e, err := flow.New(flow.Options{Store: s, Definition: []byte(`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":86400,"End":true}}}`)})
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	e := engine()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := w; n < many; n += writers {
				if err := s.Update(b.Context(), func(tx *store.Tx) error { return e.Stage(tx, fmt.Sprintf("ord-%026d", n), nil) }); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	var found, asleep time.Duration
	for b.Loop() {
		e := engine()
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- e.Run(ctx) }()
		<-e.Recovered()
		found += time.Since(began)
		for e.Load().Ready > 0 {
			<-time.After(time.Millisecond)
		}
		asleep += time.Since(began)
		if n := e.Load().Open; n != many {
			b.Errorf("%d were found", n)
		}
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(found.Seconds()/float64(b.N), "s-until-found")
	b.ReportMetric(asleep.Seconds()/float64(b.N), "s-until-asleep")
}

// BenchmarkRefusal is what it costs to refuse an order, and, under a key, to look whether there is an answer to it.
func BenchmarkRefusal(b *testing.B) {
	i, _, stop := serveBench(b, instance.Config{
		Dir: b.TempDir(), Log: observe.NewLogger(io.Discard, slog.LevelInfo, nil), Limits: &httpapi.Limits{Work: limit.Bounds{Open: 1}},
	}, 1)
	<-i.App.Engine.Recovered()
	send(b, i.Handler, "PUT", "/admin/faults", `{"hang":true}`)
	const body = `{"customer_id":"cust-1","items":[{"product_id":"P-000","quantity":1}]}`
	send(b, i.Handler, "POST", "/orders", body)
	for _, c := range []struct {
		name    string
		headers []string
	}{{"without a key", nil}, {"with a key", []string{"Idempotency-Key", "k"}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if status := send(b, i.Handler, "POST", "/orders", body, c.headers...); status != http.StatusServiceUnavailable {
					b.Fatalf("answered %d", status)
				}
			}
		})
	}
	send(b, i.Handler, "PUT", "/admin/faults", `{}`)
	stop()
}

func raise(most *atomic.Int64, n int64) {
	for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
	}
}

// send makes a call without a network.
func send(b *testing.B, h http.Handler, method, path, body string, headers ...string) int {
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code
}
