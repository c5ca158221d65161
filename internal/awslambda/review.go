package awslambda

import (
	"context"
	"slices"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A statusChange is EventBridge's event "Step Functions Execution Status Change"
// (https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html).
type statusChange struct {
	DetailType string `json:"detail-type"`
	Detail     struct {
		StateMachineARN string  `json:"stateMachineArn"`
		Name            string  `json:"name"`
		Status          string  `json:"status"`
		Error           *string `json:"error"`
		Cause           *string `json:"cause"`
	} `json:"detail"`
}

const statusChanged = "Step Functions Execution Status Change"

// A reviewer marks the order of a failed execution for a person.
type reviewer struct {
	machine string // its ARN
	stage   func(tx *store.Tx, orderID, execution, status, errName, cause string) error
	store   store.Store
	ended   func(status string) // counts the execution, once for each event that says so
}

// do appends ORDER_REVIEW if the execution is the order's current one and has none yet. The event may come twice, or late. fault.ValidationFailed: it
// is another kind of event, or of another machine.
func (r reviewer) do(ctx context.Context, e statusChange) (any, error) {
	if e.DetailType != statusChanged || e.Detail.StateMachineARN != r.machine || e.Detail.Name == "" {
		return nil, fault.New(fault.ValidationFailed, "not a change of status of an execution of %s", r.machine)
	}
	d := e.Detail
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		return r.stage(tx, order.OfExecution(d.Name), d.Name, d.Status, text(d.Error), text(d.Cause))
	})
	if err == nil && slices.Contains(metrics.ExecutionStatuses, d.Status) {
		r.ended(d.Status)
	}
	return nil, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
