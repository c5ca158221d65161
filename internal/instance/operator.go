package instance

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/operator"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// sagasOf are the orders' executions, as the HTTP API asks for them.
func sagasOf(a *app.App) operator.Sagas {
	return operator.Sagas{Orders: a.Orders, Engine: a.Engine, Running: a.Engine.Running}
}

// Saga is an execution of an order with its history, the current one if the name is "": for who opens the directory of a stopped instance.
// fault.NotFound.
func (i *Instance) Saga(ctx context.Context, orderID, execution string) (flow.Execution, error) {
	x, _, err := sagasOf(i.App).Show(ctx, orderID, execution)
	return x, err
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
