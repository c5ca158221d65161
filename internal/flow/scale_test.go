package flow_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// mapOf runs one execution of a distributed Map with a task for each of n items, all of them open at once, on memstore, and returns how long
// it took from the start to the end and how many bytes were allocated.
func mapOf(t testing.TB, n int) (took time.Duration, bytes uint64) {
	t.Helper()
	s, ended := newStore(), make(chan flow.Ended, 1)
	e := engine(t, flow.Options{Store: s, Definition: mapped(""), OnEnded: func(e flow.Ended) { ended <- e }, Tasks: map[string]flow.Task{
		arn("each"): func(_ context.Context, c flow.Call) (store.Effect, error) { return store.Effect{Result: c.Input}, nil }}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	start(t, e, s, "o-1", items(n))
	if end := <-ended; end.Status != "SUCCEEDED" {
		t.Fatalf("%d items: %s %s %s", n, end.Status, end.Error, end.Cause)
	}
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return took, after.TotalAlloc - before.TotalAlloc
}

// TestAMapOfTenThousandCostsTenTimesThatOfAThousand: what a commit costs does not depend on how many tasks are open beside its own. Others use the
// machine, too, so that one of several rounds has to show it: if a commit copied or looked through what is open, none would.
func TestAMapOfTenThousandCostsTenTimesThatOfAThousand(t *testing.T) {
	const few, many, rounds = 1_000, 10_000, 6
	each := func(n int) (took, bytes float64) {
		d, b := mapOf(t, n)
		return float64(d.Nanoseconds()) / float64(n), float64(b) / float64(n)
	}
	least := 0.0
	for round := range rounds {
		took, bytes := each(few)
		tookMany, bytesMany := each(many)
		t.Logf("an item of %d: %.1f µs, %.0f bytes; of %d: %.1f µs, %.0f bytes", few, took/1000, bytes, many, tookMany/1000, bytesMany)
		if bytesMany > 2*bytes {
			t.Errorf("an item of %d allocates %.1f times what one of %d does", many, bytesMany/bytes, few)
		}
		if ratio := tookMany / took; round == 0 || ratio < least {
			least = ratio
		}
		if least <= 4 {
			return
		}
	}
	t.Errorf("an item of %d takes %.1f times what one of %d does, in the best of %d rounds", many, least, few, rounds)
}

// BenchmarkMap is an execution of a Map whose tasks are all open at once. One operation is one execution: a commit for each item, and one more.
func BenchmarkMap(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			var took time.Duration
			var bytes uint64
			for range b.N {
				t, n := mapOf(b, n)
				took, bytes = took+t, bytes+n
			}
			b.ReportMetric(0, "ns/op") // the engine's and the store's beginning are no part of it
			each := float64(b.N) * float64(n)
			b.ReportMetric(float64(took.Nanoseconds())/1000/each, "µs/item")
			b.ReportMetric(float64(bytes)/each, "bytes/item")
			b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms/map")
		})
	}
}
