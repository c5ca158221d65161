package stagetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// oldShop is set for a process that is no test, but a shop on one machine: the directory that it keeps everything in. A test kills it, and moves what is left.
const oldShop = "CLOUDFLOW_STAGETEST_SHOP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(oldShop); dir != "" {
		if err := serveOldShop(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Products of the old shop at which something stops, so that its orders are open in every state when the process is killed. Those that stop before a task
// have the task's name behind the prefix.
const (
	stopBefore = "STOP-"
	// The provider has captured the money, and its answer never comes. By the price it is known in the gateway, which sees no products.
	stopCapturing      = "STOP-capturing"
	stopCapturingPrice = 777
	// The capture's answer is lost, so that its outcome has to be resolved.
	lostAnswerPrice = 778
	// The task order.confirm fails for good: the order waits for a person.
	failConfirming = "FAIL-order.confirm"
)

// lateAddress is one that no e-mail leaves for: its notifications are waiting when the process is killed.
const lateAddress = "later@example.com"

// An old is the old shop's troubles.
type old struct{ orders *order.Service }

// serveOldShop serves orders and products on loopback until it is killed. It says on stdout where, and of each order that it has come to where it stops.
func serveOldShop(ctx context.Context, path string) error {
	quiet := slog.New(slog.DiscardHandler)
	dir, err := datadir.Open(path, datadir.Options{FeedKeys: order.IsEvent, Log: quiet})
	if err != nil {
		return err
	}
	trouble := &old{}
	a, err := app.New(app.Config{
		Store: dir.Store, Feed: dir.Store, Provider: dir.Provider, SagaKeys: dir.SagaKeys, ContactKeys: dir.ContactKeys,
		Sender: lateSender{sender.NewLog(quiet)}, NoContact: sender.NewLog(quiet), Sends: 64,
		Apart: true, // so that an order can be left in every state, and not only in those in which a shop commits
		// What stops holds its worker, and an outage that one order has is no reason to refuse the next.
		Workers: 512, BreakerFailures: 1_000_000, Task: trouble.task, Gateway: trouble.gateway, Log: quiet,
	})
	if err != nil {
		return err
	}
	trouble.orders = a.Orders
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := httpapi.New(httpapi.Config{Orders: a.Orders, Lists: a.Orders, Products: a.Inventory, NewID: a.NewID, Log: quiet})
	fmt.Println("http://" + l.Addr().String())
	ended := make(chan error, 2)
	go func() { ended <- a.Run(ctx) }()
	go func() { ended <- httpapi.NewServer(l.Addr().String(), handler, quiet).Serve(l) }()
	return errors.Join(<-ended, dir.Close())
}

// task is a task of the saga with the trouble that the order's first product asks for.
func (o *old) task(name string, h saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		product := in.Input.Lines[0].ProductID
		switch {
		case product == stopBefore+name:
			return store.Effect{}, o.stop(ctx, in.Input.OrderID, name)
		case name == "inventory.reserve" && product == stopBefore+"order.fail":
			return store.Effect{}, fault.New(fault.InsufficientStock, "somebody else was first")
		case name == "payment.charge" && product == stopBefore+"payment.refund":
			if _, err := o.orders.Cancel(ctx, in.Input.OrderID, order.CancelRequest{}); err != nil {
				return store.Effect{}, err
			}
		case name == "order.confirm" && product == failConfirming:
			return store.Effect{}, fault.New(fault.Internal, "it cannot be confirmed")
		}
		return h(ctx, in)
	}
}

// stop says that the order has come to where it stops, and waits for the end.
func (*old) stop(ctx context.Context, orderID, where string) error {
	fmt.Println("stopped", orderID, where)
	<-ctx.Done()
	return ctx.Err()
}

// A troubledGateway is the provider for which money moves and answers do not.
type troubledGateway struct {
	payment.Gateway
	old *old
}

func (o *old) gateway(g payment.Gateway) payment.Gateway { return troubledGateway{g, o} }

func (g troubledGateway) Capture(ctx context.Context, intentID string) (payment.Receipt, error) {
	r, err := g.Gateway.Capture(ctx, intentID)
	switch {
	case err != nil:
	case r.AmountCents == stopCapturingPrice:
		return payment.Receipt{}, g.old.stop(ctx, intentID, "capturing")
	case r.AmountCents == lostAnswerPrice:
		return payment.Receipt{}, errors.New("the answer is lost")
	}
	return r, err
}

// A lateSender keeps what is for the late address.
type lateSender struct{ notification.Sender }

func (s lateSender) Send(ctx context.Context, e notification.Email) error {
	if e.To == lateAddress {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Sender.Send(ctx, e)
}

// stops are the products at which orders stop, each with what has to become of them at the place that the shop moves to.
var stops = []struct {
	product, method string
	price           int64
	status          string
}{
	{product: stopBefore + "inventory.reserve", status: order.Confirmed},
	{product: stopBefore + "order.record", status: order.Confirmed},
	{product: stopBefore + "payment.charge", status: order.Confirmed},
	{product: stopCapturing, price: stopCapturingPrice, status: order.Confirmed},
	{product: stopBefore + "payment.resolve", price: lostAnswerPrice, status: order.Confirmed},
	{product: stopBefore + "order.confirm", status: order.Confirmed},
	{product: stopBefore + "inventory.commit", status: order.Confirmed},
	{product: stopBefore + "payment.refund", status: order.Cancelled},
	{product: stopBefore + "inventory.release", method: "pm_card_chargeDeclined", status: order.Compensated},
	{product: stopBefore + "order.compensate", method: "pm_card_chargeDeclined", status: order.Compensated},
	{product: stopBefore + "order.fail", status: order.Failed},
	{product: stopBefore + "order.notify", status: order.Confirmed},
}
