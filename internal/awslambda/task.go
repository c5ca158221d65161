package awslambda

import (
	"context"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// doTask does a task of the saga: the payload is the Parameters of the machine's state
// (https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html). The handler's last commit is made here, alone, and what follows it is
// done: what the commit holds answers a repeat. service is whose tasks they are, such as order: those of others are fault.Internal.
func doTask(ctx context.Context, table saga.Table, s store.Store, service, attempt string, payload []byte) (any, error) {
	value, _ := asl.DecodeJSON(payload)
	parameters, ok := value.(map[string]any)
	if !ok {
		return nil, fault.New(fault.BadSignature, "a task's input is no JSON object")
	}
	if name, _ := parameters["task"].(string); !strings.HasPrefix(name, service+".") {
		return nil, fault.New(fault.Internal, "the %s service has no task %q", service, fault.Clip(name, 64))
	}
	effect, err := table.Do(ctx, parameters, attempt)
	if err != nil {
		return nil, err
	}
	return store.Commit(ctx, s, effect)
}
