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

// TestAMapOfTenThousandCostsTenTimesThatOfAThousand: what a commit costs does not depend on how many tasks are open beside its own.
func TestAMapOfTenThousandCostsTenTimesThatOfAThousand(t *testing.T) {
	each := func(n int) (took, bytes float64) {
		best, least := mapOf(t, n)
		for range 2 { // others use the machine, too
			d, b := mapOf(t, n)
			best, least = min(best, d), min(least, b)
		}
		return float64(best.Nanoseconds()) / float64(n), float64(least) / float64(n)
	}
	took, bytes := each(1_000)
	tookMany, bytesMany := each(10_000)
	t.Logf("an item of 1,000: %.1f µs, %.0f bytes; of 10,000: %.1f µs, %.0f bytes", took/1000, bytes, tookMany/1000, bytesMany)
	if tookMany > 4*took { // ten times it would be if a commit copied or looked through what is open
		t.Errorf("an item of 10,000 takes %.1f times what one of 1,000 does", tookMany/took)
	}
	if bytesMany > 2*bytes {
		t.Errorf("an item of 10,000 allocates %.1f times what one of 1,000 does", bytesMany/bytes)
	}
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
