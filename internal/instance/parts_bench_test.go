package instance_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The parts of an order, each on the disk of the whole: what BenchmarkOrder spends, taken apart. 64 goroutines share the syncs.

// openBench opens an instance with one product that does not run out.
func openBench(b *testing.B) *instance.Instance {
	b.Helper()
	i, err := instance.Open(instance.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := i.Close(); err != nil {
			b.Error(err)
		}
	})
	stock := int64(100_000_000)
	_, _, err = i.App.Inventory.Put(b.Context(), inventory.PutProduct{ProductID: "P-000", Name: "P", UnitPriceCents: 100, Stock: &stock})
	if err != nil {
		b.Fatal(err)
	}
	return i
}

// parallel runs op b.N times on 64 goroutines and reports how the commits shared their syncs.
func parallel(b *testing.B, i *instance.Instance, op func(n int64) error) {
	b.Helper()
	before := i.Dir.Store.Stats()
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32) // times GOMAXPROCS
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := op(n.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	after := i.Dir.Store.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(after.Commits-before.Commits)/float64(max(after.Groups-before.Groups, 1)), "commits/sync")
	b.ReportMetric(float64(after.Bytes-before.Bytes)/float64(b.N), "bytes/op")
}

// BenchmarkReserve reserves on one hot product, durably.
func BenchmarkReserve(b *testing.B) {
	i := openBench(b)
	parallel(b, i, func(n int64) error {
		effect, err := i.App.Inventory.Reserve(context.Background(), inventory.Request{
			OrderID: fmt.Sprintf("ord-%026d", n), Lines: []inventory.Line{{ProductID: "P-000", Quantity: 1}},
		})
		if err == nil {
			_, err = store.Commit(context.Background(), i.Dir.Store, effect)
		}
		return err
	})
}

// BenchmarkAppend appends one event to a stream of its own, durably.
func BenchmarkAppend(b *testing.B) {
	i := openBench(b)
	parallel(b, i, func(n int64) error {
		stream := fmt.Sprintf("ord-%026d", n)
		return i.Dir.Store.Update(context.Background(), func(tx *store.Tx) error {
			eventlog.Stage(tx, "bench", stream, eventlog.Head{}, time.UnixMilli(1), eventlog.New{Type: order.StockReserved, CorrelationID: "corr-1", Actor: "saga"})
			return nil
		})
	})
}

// BenchmarkSaga places an order in process and waits until it is terminal: an order without HTTP.
func BenchmarkSaga(b *testing.B) {
	i := openBench(b)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.App.Run(ctx) }()
	parallel(b, i, func(n int64) error {
		placed, err := i.App.Orders.Place(context.Background(), order.PlaceRequest{
			CustomerID: "cust-1", Lines: []order.RequestLine{{ProductID: "P-000", Quantity: 1}}, Principal: "bench",
			CorrelationID: "corr-1",
		})
		if err != nil {
			return err
		}
		view, err := i.App.Orders.Wait(context.Background(), placed.OrderID)
		if err == nil && view.Status != order.Confirmed {
			err = fmt.Errorf("%s is %s", placed.OrderID, view.Status)
		}
		return err
	})
	stop()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
