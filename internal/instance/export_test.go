package instance

import (
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
)

// OperatorsView is what Open wires for operators, for a system that has no data directory.
func OperatorsView(a *app.App) (httpapi.Sagas, httpapi.Faults) { return sagasOf(a), faultsOf(a, true) }

// TracedOrders is what Open puts around the orders.
func TracedOrders(orders httpapi.Orders, t *trace.Tracer) httpapi.Orders {
	return tracedOrders(orders, t)
}

// Uncounted has an instance count nothing.
func Uncounted(c *Config) { c.uncounted = true }
