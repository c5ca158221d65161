package flow_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestLoad(t *testing.T) {
	t.Run("what runs is open, what waits for a worker is ready, and its first says for how long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, goOn := newStore(), make(chan struct{})
			e := engine(t, flow.Options{Store: s, Definition: []byte(one("")), Workers: 2, Tasks: map[string]flow.Task{
				arn("work"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
					<-goOn
					return counted(ctx, c)
				}}})
			want := func(l flow.Load) {
				t.Helper()
				synctest.Wait()
				if got := e.Load(); got != l {
					t.Errorf("%+v, want %+v", got, l)
				}
			}
			want(flow.Load{})
			stop := running(t, e)
			for i := range 5 {
				start(t, e, s, fmt.Sprintf("o-%d", i), nil)
				synctest.Wait()
				<-time.After(time.Second)
			}
			want(flow.Load{Open: 5, Ready: 3, Oldest: 3 * time.Second, Taken: 2})
			goOn <- struct{}{}
			want(flow.Load{Open: 4, Ready: 2, Oldest: 2 * time.Second, Taken: 3})
			close(goOn)
			want(flow.Load{Taken: 5})
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("who sleeps is open and not ready, and waits anew when it has woken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			definition := fmt.Sprintf(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":3600,"Next":"Work"},
				"Work":{"Type":"Task","Resource":%q,"End":true}}}`, arn("work"))
			e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Workers: 1, Tasks: map[string]flow.Task{arn("work"): slowly(time.Minute)}})
			stop := running(t, e)
			for i := range 3 {
				start(t, e, s, fmt.Sprintf("o-%d", i), nil)
			}
			<-time.After(time.Minute)
			if synctest.Wait(); e.Load() != (flow.Load{Open: 3, Taken: 3}) {
				t.Errorf("asleep: %+v", e.Load())
			}
			<-time.After(59*time.Minute + 30*time.Second)
			if synctest.Wait(); e.Load() != (flow.Load{Open: 3, Ready: 2, Oldest: 30 * time.Second, Taken: 4}) {
				t.Errorf("awake: %+v", e.Load())
			}
			if took := ended(t, e); took > 3*time.Minute {
				t.Errorf("they took %v more", took)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("tasks of one execution have one place, which waits anew after each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: mapped(""), Workers: 1, PerExecution: 8,
				Tasks: map[string]flow.Task{arn("each"): slowly(10 * time.Second)}})
			stop := running(t, e)
			start(t, e, s, "o-1", items(8))
			<-time.After(5 * time.Second)
			if synctest.Wait(); e.Load().Open != 1 || e.Load().Ready != 1 || e.Load().Oldest != 5*time.Second {
				t.Errorf("one of its tasks runs: %+v", e.Load())
			}
			<-time.After(10 * time.Second)
			if synctest.Wait(); e.Load().Open != 1 || e.Load().Ready == 0 || e.Load().Oldest > 15*time.Second {
				t.Errorf("the second runs: %+v", e.Load())
			}
			ended(t, e)
			if l := e.Load(); l.Open != 0 || l.Ready != 0 || l.Oldest != 0 {
				t.Errorf("at the end: %+v", l)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a clock that is set back makes nobody wait for less than nothing", func(t *testing.T) {
		s, skew := newStore(), time.Duration(0)
		e := engine(t, flow.Options{Store: s, Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted},
			Now: func() time.Time { return time.Now().Add(skew).Round(0) }})
		start(t, e, s, "o-1", nil)
		skew = -time.Hour
		if l := e.Load(); l.Ready != 1 || l.Oldest != 0 {
			t.Errorf("%+v", l)
		}
	})
}

// The goroutines of a flood ask while the engine works: what they see is never more than there can be.
func TestLoadIsSeenWhileTheEngineWorks(t *testing.T) {
	const many = 200
	s := newStore()
	e := engine(t, flow.Options{Store: s, Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted}})
	stop := running(t, e)
	<-e.Recovered() // else it may find one that is begun just now, and take it twice
	for i := range many {
		start(t, e, s, fmt.Sprintf("o-%d", i), nil)
		if l := e.Load(); l.Open < 0 || l.Open > i+1 || l.Ready < 0 || l.Ready > i+1 || l.Oldest < 0 || l.Taken > uint64(i+1) {
			t.Fatalf("after %d: %+v", i+1, l)
		}
	}
	for e.Load().Open > 0 {
		runtime.Gosched()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if l := e.Load(); l != (flow.Load{Taken: many}) {
		t.Errorf("at the end: %+v", l)
	}
}

// BenchmarkLoad is what it costs to ask, with others asking too.
func BenchmarkLoad(b *testing.B) {
	s := newStore()
	e := engine(b, flow.Options{Store: s, Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted}})
	start(b, e, s, "o-1", nil)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if e.Load().Open != 1 {
				b.Error("it is not open")
			}
		}
	})
}

// BenchmarkOpenExecutions is the memory that an open execution takes in the engine, beside the store, in bytes: one that waits for a worker, one
// that sleeps for less than a minute and so keeps what it has read, and one that sleeps for longer. One operation is 10,000 executions.
func BenchmarkOpenExecutions(b *testing.B) {
	const many = 10_000
	input := map[string]any{"order_id": strings.Repeat("o", 30), "customer_id": "cust-001", "total_cents": 8999, "currency": "USD",
		"lines": []any{map[string]any{"product_id": "KEYBD-01", "quantity": 1, "unit_price_cents": 8999}}, "signature": strings.Repeat("s", 88)}
	for _, c := range []struct {
		name    string
		seconds int // that they sleep; 0: nobody works on them
	}{{"ready", 0}, {"short sleep", 59}, {"long sleep", 3600}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := newStore()
				definition := fmt.Sprintf(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":%d,"End":true}}}`, c.seconds)
				e := engine(b, flow.Options{Store: s, Definition: []byte(definition)})
				for i := range many {
					if err := s.Update(b.Context(), func(tx *store.Tx) error { return e.Stage(tx, fmt.Sprintf("ord-%026d", i), input) }); err != nil {
						b.Fatal(err)
					}
				}
				before := heap()
				b.StartTimer()
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error, 1)
				if c.seconds == 0 {
					close(done)
				} else {
					go func() { done <- e.Run(ctx) }()
				}
				for i := range many {
					e.Begin(fmt.Sprintf("ord-%026d", i))
				}
				for c.seconds > 0 && (e.Load().Taken < many || e.Load().Ready > 0) {
					<-time.After(time.Millisecond)
				}
				b.StopTimer()
				b.ReportMetric(float64(heap()-before)/many, "heap-B/execution")
				if n := e.Load().Open; n != many {
					b.Fatalf("%d are open", n)
				}
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
