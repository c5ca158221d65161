package instance

import (
	"context"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// sagas are the orders' executions, as the HTTP API asks for them.
type sagas struct{ a *app.App }

// List has an index for each of the three lists, and replays the journals of what it shows, which is a page: nothing is scanned.
func (s sagas) List(ctx context.Context, which httpapi.SagaStatus, after string, limit int) ([]httpapi.SagaSummary, string, error) {
	page, next, err := s.page(ctx, which, after, limit)
	if err != nil {
		return nil, "", err
	}
	list := make([]httpapi.SagaSummary, 0, len(page))
	for _, p := range page {
		execution, err := s.a.Engine.Summary(ctx, p.Execution)
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
func (s sagas) page(ctx context.Context, which httpapi.SagaStatus, after string, limit int) (page []order.Standing, next string, err error) {
	place := func(p order.Standing) string { return p.OrderID }
	switch which {
	case httpapi.SagasRunning:
		names, err := s.a.Engine.Running(ctx, after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, name := range names {
			page = append(page, order.Standing{OrderID: order.OfExecution(name), Execution: name})
		}
		place = func(p order.Standing) string { return p.Execution }
	case httpapi.SagasFailed:
		page, err = s.a.Orders.InReview(ctx, after, limit)
	case httpapi.SagasUnfinished:
		page, err = s.a.Orders.Unfinished(ctx, after, limit)
	}
	if err != nil {
		return nil, "", err
	}
	if len(page) == limit {
		next = place(page[limit-1])
	}
	if which == httpapi.SagasFailed { // one that was redriven since its place was read
		page = slices.DeleteFunc(page, func(p order.Standing) bool { return !p.NeedsReview })
	}
	return page, next, nil
}

func (s sagas) Show(ctx context.Context, orderID, execution string) (flow.Execution, []string, error) {
	all, err := s.a.Orders.Executions(ctx, orderID)
	if err != nil {
		return flow.Execution{}, nil, err
	}
	if execution == "" {
		execution = all[len(all)-1]
	}
	if !slices.Contains(all, execution) {
		return flow.Execution{}, nil, fault.New(fault.NotFound, "The order %s has no execution of that name.", orderID)
	}
	shown, err := s.a.Engine.Describe(ctx, execution)
	return shown, all, err
}

func (s sagas) Redrive(ctx context.Context, orderID, reason, actor, correlationID string) (string, error) {
	return s.a.Orders.Redrive(ctx, orderID, reason, actor, correlationID)
}

// faults is the simulator, as the HTTP API asks for it.
type faults struct{ simulator *provider.Simulator }

// faultsOf is nil outside development mode.
func faultsOf(a *app.App, development bool) httpapi.Faults {
	if !development {
		return nil
	}
	return faults{a.Provider}
}

func (f faults) Fault() httpapi.Fault {
	is := f.simulator.Fault()
	return httpapi.Fault{
		Only: is.Only, Rate: is.Rate, Down: is.Down, Status: is.Status, Hang: is.Hang,
		LatencyMS: is.Latency.Milliseconds(), LoseReplies: is.LoseReplies,
	}
}

func (f faults) SetFault(is httpapi.Fault) error {
	return f.simulator.SetFault(provider.Fault{
		Only: is.Only, Rate: is.Rate, Down: is.Down, Status: is.Status, Hang: is.Hang,
		Latency: time.Duration(is.LatencyMS) * time.Millisecond, LoseReplies: is.LoseReplies,
	})
}
