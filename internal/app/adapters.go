package app

import (
	"context"
	"encoding/json"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// No service knows another. What one needs of another it names as an interface of its own, and here each is given.

// catalog is inventory as order sees it.
type catalog struct{ stock *inventory.Service }

func (c catalog) Quote(ctx context.Context, productIDs []string) (map[string]order.Quote, error) {
	quotes, err := c.stock.Quote(ctx, productIDs)
	if err != nil {
		return nil, err
	}
	out := make(map[string]order.Quote, len(quotes))
	for id, q := range quotes {
		out[id] = order.Quote{UnitPriceCents: q.UnitPriceCents, Available: q.Available}
	}
	return out, nil
}

// outcomes is order as inventory's expirer sees it.
type outcomes struct{ orders *order.Service }

func (o *outcomes) Outcome(ctx context.Context, orderID string) (status string, found bool, err error) {
	return o.orders.Outcome(ctx, orderID)
}

// outbox puts an order's message into the notification queue, in the order's own commit.
type outbox struct{ queue *storebus.Queue }

func (o outbox) Send(tx *store.Tx, m order.Message) error {
	n := messageOf(m)
	body, err := n.Encode()
	if err != nil {
		return err
	}
	return o.queue.Stage(tx, n.MessageID(), body)
}

// messageOf is an order's message as notification knows it.
func messageOf(m order.Message) notification.Message {
	return notification.Message{
		OrderID: m.OrderID, CustomerID: m.CustomerID, Kind: notification.Kind(m.Kind), Version: m.Version,
		TotalCents: m.TotalCents, Currency: m.Currency, FailureReason: m.FailureReason,
		CorrelationID: m.CorrelationID, Trace: m.Trace, SealedContact: m.SealedContact,
	}
}

// sagas is flow as order sees it: the saga's executions, started with a signed input.
type sagas struct {
	keys   *saga.Keys
	engine *flow.Engine
}

func (s *sagas) Stage(tx *store.Tx, start order.Start) error {
	input, err := s.keys.Start(start)
	if err != nil {
		return err
	}
	return s.engine.Stage(tx, start.Execution, input)
}

func (s *sagas) Begin(execution string) { s.engine.Begin(execution) }

func (s *sagas) Failure(ctx context.Context, execution string) (order.Failure, error) {
	// The sweeper asks this of every order that is open for a minute, and in an outage that is all of them: only those that have
	// ended are worth a replay.
	status, err := s.engine.Status(ctx, execution)
	if err != nil || status == asl.StatusRunning {
		return order.Failure{Status: string(status)}, err
	}
	x, err := s.engine.Describe(ctx, execution)
	if err != nil {
		return order.Failure{}, err
	}
	input, err := json.Marshal(x.StateInput)
	if err != nil {
		return order.Failure{}, err
	}
	return order.Failure{Status: string(x.Status), State: x.State, Input: input, Error: x.Error, Cause: x.Cause}, nil
}
