package instance

import (
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/operator"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// sagasOf are the orders' executions, as the HTTP API asks for them.
func sagasOf(a *app.App) operator.Sagas {
	return operator.Sagas{Orders: a.Orders, Engine: a.Engine, Running: a.Engine.Running}
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
