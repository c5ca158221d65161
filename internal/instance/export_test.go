package instance

import (
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// OperatorsView is what Open wires for operators, for a system that has no data directory.
func OperatorsView(a *app.App) (httpapi.Sagas, httpapi.Faults) { return sagasOf(a), faultsOf(a, true) }
