// Package operator shows operators the orders' executions and resumes them, whichever engine runs them: flow in the single binary, Step Functions
// on AWS.
package operator

import (
	"context"
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// An Engine runs executions.
type Engine interface {
	// Summary is an execution without its history: fault.NotFound.
	Summary(ctx context.Context, name string) (flow.Execution, error)
	// Describe is an execution with its history: fault.NotFound.
	Describe(ctx context.Context, name string) (flow.Execution, error)
}

// Sagas are the orders' executions, as the HTTP API asks for them.
type Sagas struct {
	Orders *order.Service
	Engine Engine
	// Running returns up to limit names of open executions beyond after, in the order of the names. nil: the engine has no such list, and those that
	// run are picked from the orders that have not come to their end, so that pages may be short.
	Running func(ctx context.Context, after string, limit int) ([]string, error)
}

var _ httpapi.Sagas = Sagas{}

// List reads an index, and asks the engine about what it shows, which is a page: nothing is scanned.
func (s Sagas) List(ctx context.Context, which httpapi.SagaStatus, after string, limit int) ([]httpapi.SagaSummary, string, error) {
	page, next, err := s.page(ctx, which, after, limit)
	if err != nil {
		return nil, "", err
	}
	list := make([]httpapi.SagaSummary, 0, len(page))
	for _, p := range page {
		execution, err := s.known(ctx, s.Engine.Summary, p.OrderID, p.Execution)
		switch {
		case fault.Is(err, fault.NotFound): // a start that was lost: the sweeper makes up for it
			continue
		case err != nil:
			return nil, "", err
		case which == httpapi.SagasRunning && execution.Status != asl.StatusRunning: // it ended meanwhile
			continue
		}
		list = append(list, httpapi.SagaSummary{OrderID: p.OrderID, Execution: execution, NeedsReview: p.NeedsReview})
	}
	return list, next, nil
}

// page is the standings of a page, and the place of its last one if there are more behind it.
func (s Sagas) page(ctx context.Context, which httpapi.SagaStatus, after string, limit int) (page []order.Standing, next string, err error) {
	place := func(p order.Standing) string { return p.OrderID }
	switch {
	case which == httpapi.SagasRunning && s.Running != nil:
		names, err := s.Running(ctx, after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, name := range names {
			page = append(page, order.Standing{OrderID: order.OfExecution(name), Execution: name})
		}
		place = func(p order.Standing) string { return p.Execution }
	case which == httpapi.SagasFailed:
		page, err = s.Orders.InReview(ctx, after, limit)
	default:
		page, err = s.Orders.Unfinished(ctx, after, limit)
	}
	if err != nil {
		return nil, "", err
	}
	if len(page) == limit {
		next = place(page[limit-1])
	}
	switch which {
	case httpapi.SagasFailed: // without one that was redriven since its place was read
		page = slices.DeleteFunc(page, func(p order.Standing) bool { return !p.NeedsReview })
	case httpapi.SagasRunning: // without those that nobody need ask about
		page = slices.DeleteFunc(page, func(p order.Standing) bool { return p.NeedsReview })
	case httpapi.SagasUnfinished:
	}
	return page, next, nil
}

// Show is an execution of the order with its history, the current one if the name is "", and the names of all: fault.NotFound.
func (s Sagas) Show(ctx context.Context, orderID, execution string) (flow.Execution, []string, error) {
	all, err := s.Orders.Executions(ctx, orderID)
	if err != nil {
		return flow.Execution{}, nil, err
	}
	if execution == "" {
		execution = all[len(all)-1]
	}
	if !slices.Contains(all, execution) {
		return flow.Execution{}, nil, fault.New(fault.NotFound, "The order %s has no execution of that name.", orderID)
	}
	shown, err := s.known(ctx, s.Engine.Describe, orderID, execution)
	return shown, all, err
}

// known is an execution as the engine has it, or as it failed where its order was before: of that there is no history. fault.NotFound: neither.
func (s Sagas) known(ctx context.Context, ask func(context.Context, string) (flow.Execution, error), orderID, execution string) (flow.Execution, error) {
	x, err := ask(ctx, execution)
	if !fault.Is(err, fault.NotFound) {
		return x, err
	}
	k, keptErr := s.Orders.Kept(ctx, orderID, execution)
	if fault.Is(keptErr, fault.NotFound) {
		return x, err // which may say more of why
	}
	if keptErr != nil {
		return x, keptErr
	}
	input, _ := asl.DecodeJSON(k.Input) // it is shown, and what is no JSON is shown as nothing
	return flow.Execution{
		Name: execution, Status: asl.Status(k.Status), State: k.State, StateInput: input, Error: k.Error, Cause: k.Cause,
		Started: k.Started, Updated: k.Ended, Ended: k.Ended,
	}, nil
}

// Redrive resumes a failed saga and returns the new execution's name: fault.NotFound, fault.NotFailed.
func (s Sagas) Redrive(ctx context.Context, orderID, reason, actor, correlationID string) (string, error) {
	return s.Orders.Redrive(ctx, orderID, reason, actor, correlationID)
}
