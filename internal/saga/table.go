package saga

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Handler does one task up to its last commit, which it returns. Calls to the outside happen in it, after their
// intent is committed.
type Handler func(ctx context.Context, in TaskInput) (store.Effect, error)

// A Table maps the name of a task, as the machine's Parameters give it, to what does it.
type Table map[string]Handler

// NewTable returns the table of the order saga. Whatever moves stock or money looks at the signature first.
func NewTable(keys *Keys, orders *order.Service, stock *inventory.Service, payments *payment.Service) Table {
	signed := func(h Handler) Handler {
		return func(ctx context.Context, in TaskInput) (store.Effect, error) {
			if err := keys.Verify(in.Input); err != nil {
				return store.Effect{}, err
			}
			return h(ctx, in)
		}
	}
	return Table{
		"inventory.reserve": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return stock.Reserve(ctx, in.hold())
		}),
		"inventory.commit": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return stock.Commit(ctx, in.hold())
		}),
		"inventory.release": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return stock.Release(ctx, in.hold())
		}),
		"payment.charge": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return payments.Charge(ctx, in.charge())
		}),
		"payment.resolve": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return payments.Resolve(ctx, in.charge())
		}),
		"payment.refund": signed(func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return payments.Refund(ctx, in.charge())
		}),
		"order.record": func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return orders.Record(ctx, order.RecordTask{Task: in.orderTask(), Event: in.Event, Error: in.Error})
		},
		"order.confirm": func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return orders.Confirm(ctx, in.orderTask())
		},
		"order.compensate": func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return orders.Compensate(ctx, in.orderTask())
		},
		"order.fail": func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return orders.Fail(ctx, in.orderTask())
		},
		"order.notify": func(ctx context.Context, in TaskInput) (store.Effect, error) {
			return orders.Notify(ctx, in.orderTask())
		},
	}
}

// outside are the tasks that call somebody. All others act by what they stage and by nothing else.
var outside = map[string]bool{"payment.charge": true, "payment.resolve": true, "payment.refund": true}

// StagedOnly reports whether the task of these Parameters acts by its Effect's Stage alone, so that it may be committed together with
// the task before it.
func (t Table) StagedOnly(parameters any) bool {
	members, _ := parameters.(map[string]any)
	name, _ := members["task"].(string)
	return t[name] != nil && !outside[name]
}

// Do decodes a task's Parameters and runs its handler. A task that is not in the table is fault.Internal: the machine and the
// program are of different versions, and a person is needed.
func (t Table) Do(ctx context.Context, parameters any, attempt string) (store.Effect, error) {
	in, err := DecodeTask(parameters, attempt)
	if err != nil {
		return store.Effect{}, err
	}
	h, ok := t[in.Task]
	if !ok {
		return store.Effect{}, fault.New(fault.Internal, "no handler for the task %q", in.Task)
	}
	return h(ctx, in)
}

func (in TaskInput) hold() inventory.Request {
	lines := make([]inventory.Line, len(in.Input.Lines))
	for i, l := range in.Input.Lines {
		lines[i] = inventory.Line{ProductID: l.ProductID, Quantity: l.Quantity}
	}
	return inventory.Request{OrderID: in.Input.OrderID, Lines: lines, CorrelationID: in.Input.CorrelationID}
}

func (in TaskInput) charge() payment.Charge {
	return payment.Charge{
		OrderID:       in.Input.OrderID,
		AmountCents:   in.Input.TotalCents,
		Currency:      in.Input.Currency,
		Method:        in.Input.PaymentMethod,
		CorrelationID: in.Input.CorrelationID,
		Attempt:       in.Attempt,
	}
}

func (in TaskInput) orderTask() order.Task {
	return order.Task{
		OrderID:       in.Input.OrderID,
		CorrelationID: in.Input.CorrelationID,
		Caught:        in.Caught,
		PaymentID:     in.PaymentID,
		RefundedCents: in.RefundedCents,
		Trace:         in.Trace,
	}
}
