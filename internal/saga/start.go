package saga

import (
	"errors"
	"maps"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// entry is the machine's first state. It only finds the state to go on at, and cannot be that itself.
const entry = "Enter"

// TraceMember of an execution's input says where its start stands in a trace, as a W3C traceparent. It is not signed, and nothing goes by it but
// who draws the trace; a resumed execution has it from the one before.
const TraceMember = "trace"

// Start is the signed input that an execution of the order's saga begins with. A resume has all else from the state that failed; what is signed
// is made anew from the order's own log, so that an order whose execution was edited, or whose key is gone, can be resumed, and no
// edit comes along. An execution that ended before its first task goes on where it was to
// begin.
func (k *Keys) Start(start order.Start) (map[string]any, error) {
	lines := make([]Line, len(start.Lines))
	for i, l := range start.Lines {
		lines[i] = Line{ProductID: l.ProductID, Quantity: l.Quantity}
	}
	signed := k.Sign(Input{
		OrderID:       start.OrderID,
		Lines:         lines,
		TotalCents:    start.TotalCents,
		Currency:      start.Currency,
		PaymentMethod: start.PaymentMethod,
		CorrelationID: start.CorrelationID,
	}).Value()
	if start.Trace != "" {
		signed[TraceMember] = start.Trace
	}
	if start.Resume == nil {
		return signed, nil
	}
	value, err := asl.DecodeJSON(start.Resume.Input)
	if err != nil {
		return nil, err
	}
	input, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the failed state's input is no object")
	}
	maps.Copy(input, signed)
	if at := start.Resume.State; at != "" && at != entry {
		input["resume_at"] = at
	}
	return input, nil
}
