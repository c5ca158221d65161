package metrics

import (
	"context"
	"io"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
)

// What an order costs: its request, its tasks, its commits, and that it was created and ended.
func BenchmarkOrder(b *testing.B) {
	m := New()
	route, created, ended, executed := m.Route("POST", "/orders"), m.Counter(OrdersCreated), m.Counter(OrdersEnded, "CONFIRMED"), m.Counter(SagaExecutions, "SUCCEEDED")
	task, commit := m.Histogram(TaskDuration, "payment.charge"), m.Histogram(StoreCommitDuration, "cloudflow")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			route.Answered(202, 3*time.Millisecond)
			created.Inc()
			for range 8 {
				task.Took(2 * time.Millisecond)
				commit.Took(time.Millisecond)
			}
			executed.Inc()
			ended.Inc()
		}
	})
}

func BenchmarkAnswered(b *testing.B) {
	route := New().Route("POST", "/orders")
	b.ReportAllocs()
	for b.Loop() {
		route.Answered(202, 3*time.Millisecond)
	}
}

func BenchmarkCounter(b *testing.B) {
	c := New().Counter(OrdersCreated)
	b.ReportAllocs()
	for b.Loop() {
		c.Inc()
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := New().Histogram(TaskDuration, "payment.charge")
	b.ReportAllocs()
	for b.Loop() {
		h.Took(2 * time.Millisecond)
	}
}

// What the SDK's own instruments would take, with their attributes made beforehand: docs/decisions/0028.
func BenchmarkSDK(b *testing.B) {
	for name, readers := range map[string]int{"readers=1": 1, "readers=2": 2} {
		options := []sdkmetric.Option{sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter)}
		for range readers {
			options = append(options, sdkmetric.WithReader(sdkmetric.NewManualReader()))
		}
		meter := sdkmetric.NewMeterProvider(options...).Meter(scope)
		with := metric.WithAttributeSet(TaskDuration.attributes([]string{"payment.charge"}))
		b.Run("histogram/"+name, func(b *testing.B) {
			h, err := meter.Float64Histogram("h", metric.WithExplicitBucketBoundaries(taskBounds...))
			if err != nil {
				b.Fatal(err)
			}
			option := []metric.RecordOption{with}
			b.ReportAllocs()
			for b.Loop() {
				h.Record(context.Background(), .002, option...)
			}
		})
		b.Run("counter/"+name, func(b *testing.B) {
			c, err := meter.Int64Counter("c")
			if err != nil {
				b.Fatal(err)
			}
			option := []metric.AddOption{with}
			b.ReportAllocs()
			for b.Loop() {
				c.Add(context.Background(), 1, option...)
			}
		})
	}
}

func BenchmarkScrape(b *testing.B) {
	m := New()
	for _, route := range []string{"/orders", "/orders/{order_id}", "/products", "/metrics"} {
		m.Route("GET", route)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
