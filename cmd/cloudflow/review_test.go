package main

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A saga that fails: its stock is taken away behind its back while the card is charged, so that what was sold cannot leave.
func TestSagaInReview(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	i, err := instance.Open(instance.Config{Dir: t.TempDir(), Sender: sender.NewLog(log), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- i.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &service{t: t, url: "http://" + l.Addr().String()}
	s.cli("product", "put", "A", "--name", "A", "--price", "1000", "--stock", "5").exits(0)
	if err := i.App.Provider.SetFault(provider.Fault{Only: "capture", Latency: 500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	id := one[apigen.OrderAccepted](s.cli("order", "place", "--customer", "c", "--item", "A=1", "--json").exits(0)).OrderID
	eventually(t, "the card is charged", func() bool { return i.App.Provider.Attempts().Capture == 1 })
	effect, err := i.App.Inventory.Release(ctx, inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "A", Quantity: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Commit(ctx, i.Dir.Store, effect); err != nil {
		t.Fatal(err)
	}

	inReview := func(execution string) {
		t.Helper()
		var saga apigen.Saga
		eventually(t, "the saga fails", func() bool {
			saga = one[apigen.Saga](s.cli("saga", "show", id, "--json").exits(0))
			return saga.Execution == execution && saga.Status == apigen.SagaStatusFAILED
		})
		if saga.State == nil || *saga.State != "CommitReservation" || saga.Error == nil || *saga.Error != "HoldReleased" {
			t.Errorf("the saga is %+v", saga)
		}
		o := one[apigen.Order](s.cli("order", "get", id, "--json").exits(0))
		last := o.Events[len(o.Events)-1]
		if o.Status != "CONFIRMED" || o.NeedsReview == nil || !*o.NeedsReview || last.Type != "ORDER_REVIEW" {
			t.Errorf("the order is %+v", o)
		}
	}
	inReview(id)
	s.cli("saga", "show", id).exits(0).prints("FAILED at CommitReservation: HoldReleased")
	s.cli("saga", "list", "--status", "failed").exits(0).prints(id, "FAILED, needs review", "CommitReservation", "HoldReleased")
	if running := one[apigen.SagaList](s.cli("saga", "list", "--status", "RUNNING", "--json").exits(0)); len(running.Sagas) > 0 {
		t.Errorf("under way are %+v", running.Sagas)
	}
	s.cli("saga", "redrive", id, "--reason", "let us see").exits(0).prints("started " + id + "-r1")
	inReview(id + "-r1") // it fails where it failed before, and a person is needed again
	r := one[apigen.RedriveAccepted](s.cli("saga", "redrive", id, "--reason", "once more", "--json").exits(0))
	if r.Execution != id+"-r2" {
		t.Errorf("started %s", r.Execution)
	}
	inReview(id + "-r2")
	s.cli("saga", "show", id, "--execution", id+"-r1").exits(0).prints(id+"-r1  ", "FAILED at CommitReservation", id+", "+id+"-r1, "+id+"-r2")
	s.cli("saga", "show", id, "--execution", id+"-r3").exits(1).hints("NOT_FOUND (404)")
	s.cli("verify").exits(0).hints("0 violations")
}
