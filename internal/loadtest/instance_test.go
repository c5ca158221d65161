package loadtest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

// serve runs an instance with the products A, B and C, and NONE, of which there is no stock, until the test ends.
func serve(t *testing.T) (i *instance.Instance, url string) {
	t.Helper()
	log := observe.NewLogger(io.Discard, slog.LevelInfo, nil)
	i, err := instance.Open(instance.Config{Dir: t.TempDir(), Sender: sender.NewLog(log), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for id, stock := range map[string]int64{"A": 1000, "B": 1000, "C": 1000, "NONE": 0} {
		p := inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: 100, Stock: &stock}
		if _, _, err := i.App.Inventory.Put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- i.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, i.Close()); err != nil {
			t.Error(err)
		}
	})
	return i, "http://" + l.Addr().String()
}

func TestARealInstanceAnswersWhatTheMixAsksFor(t *testing.T) {
	i, url := serve(t)
	c := loadtest.Config{
		URL: url, Products: []string{"A", "B", "C"}, ShortProduct: "NONE", Orders: 300, Warmup: 10,
		Mix: loadtest.Mix{Happy: 50, Declined: 20, Short: 20, Cancel: 10},
	}
	for _, loop := range []struct {
		name string
		set  func(*loadtest.Config)
	}{
		{"closed loop", func(c *loadtest.Config) { c.Concurrency = 16 }},
		{"open loop", func(c *loadtest.Config) { c.Rate, c.MaxInFlight = 300, 64 }},
	} {
		t.Run(loop.name, func(t *testing.T) {
			c := c
			loop.set(&c)
			r := run(t, c)
			raced := r.Counts.Confirmed + r.Counts.Cancelled // a cancel may come too late
			if raced != 180 || r.Counts.Confirmed < 150 || r.Counts.Compensated != 60 || r.Counts.InsufficientStock != 60 {
				t.Errorf("counted %+v: %+v", r.Counts, r.Errors)
			}
			t.Logf("%+v %+v, %g orders/s", r.Counts, r.Latency, r.OrdersPerSecondOverall)
		})
	}
	report, err := instance.Verify(t.Context(), i.Dir, time.Now())
	if err != nil || len(report.Violations) > 0 {
		t.Errorf("verify: %v %v", err, report.Violations)
	}
}
