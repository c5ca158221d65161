package saga

import (
	"encoding/json"
	"strconv"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
)

// Input is what an execution of the saga starts with. All of it but MAC is signed: an execution whose input was edited
// can neither charge another amount nor move other stock.
type Input struct {
	OrderID       string
	Lines         []Line
	TotalCents    int64
	Currency      string // ISO 4217
	PaymentMethod string
	CorrelationID string
	MAC           string // <key id>:<hex of HMAC-SHA256>
}

// A Line is one product of the order and how many pieces of it.
type Line struct {
	ProductID string
	Quantity  int64
}

// Value is the input as the JSON value that the machine starts with.
func (in Input) Value() map[string]any {
	v := in.signed()
	v["mac"] = in.MAC
	return v
}

func (in Input) signed() map[string]any {
	lines := make([]any, len(in.Lines))
	for i, l := range in.Lines {
		lines[i] = map[string]any{"product_id": l.ProductID, "quantity": number(l.Quantity)}
	}
	return map[string]any{
		"order_id":       in.OrderID,
		"lines":          lines,
		"total_cents":    number(in.TotalCents),
		"currency":       in.Currency,
		"payment_method": in.PaymentMethod,
		"correlation_id": in.CorrelationID,
	}
}

// canonical is what is signed: the members of signed in the form of RFC 8785, written out because every task of every
// order verifies it. A test holds it to jcs.Append.
func (in Input) canonical(dst []byte) []byte {
	dst = append(dst, `{"correlation_id":`...)
	dst = jcs.AppendString(dst, in.CorrelationID)
	dst = append(dst, `,"currency":`...)
	dst = jcs.AppendString(dst, in.Currency)
	dst = append(dst, `,"lines":[`...)
	for i, l := range in.Lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"product_id":`...)
		dst = jcs.AppendString(dst, l.ProductID)
		dst = append(dst, `,"quantity":`...)
		dst = strconv.AppendInt(dst, l.Quantity, 10)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"order_id":`...)
	dst = jcs.AppendString(dst, in.OrderID)
	dst = append(dst, `,"payment_method":`...)
	dst = jcs.AppendString(dst, in.PaymentMethod)
	dst = append(dst, `,"total_cents":`...)
	dst = strconv.AppendInt(dst, in.TotalCents, 10)
	return append(dst, '}')
}

// A TaskInput is what a task of the saga gets: the Parameters of its state.
type TaskInput struct {
	Task    string // such as "inventory.reserve"
	Event   string // of order.record: the event's type
	Error   string // of order.record: the error that was caught
	Attempt string // names this attempt; the same when it runs again after a crash
	Input   Input

	// What stands beside the signed members is for the log alone: nothing that moves money or stock is read from it.
	Caught        string // the last error that was caught: why order.fail fails the order
	PaymentID     string // of the last answer of payment.charge, resolve or refund
	RefundedCents int64

	Trace string // where this attempt stands, as a W3C traceparent; "": nobody looks
}

// DecodeTask reads the Parameters of a task, a JSON value with its numbers as json.Number. What is not of that shape was not
// made by this saga's machine: fault.BadSignature.
func DecodeTask(v any, attempt string) (TaskInput, error) {
	d := decoder{}
	top := d.object(v, "parameters")
	in := d.object(top["input"], "input")
	task := TaskInput{
		Task:    d.str(top, "task"),
		Event:   optional(top, "event"),
		Error:   optional(top, "error"),
		Attempt: attempt,
		Input: Input{
			OrderID:       d.str(in, "order_id"),
			TotalCents:    d.integer(in, "total_cents"),
			Currency:      d.str(in, "currency"),
			PaymentMethod: d.str(in, "payment_method"),
			CorrelationID: d.str(in, "correlation_id"),
			MAC:           d.str(in, "mac"),
		},
	}
	lines, ok := in["lines"].([]any)
	if !ok {
		d.fail("lines")
	}
	task.Input.Lines = make([]Line, len(lines))
	for i, l := range lines {
		line := d.object(l, "lines")
		task.Input.Lines[i] = Line{ProductID: d.str(line, "product_id"), Quantity: d.integer(line, "quantity")}
	}
	if caught, ok := in["error"].(map[string]any); ok {
		task.Caught = optional(caught, "Error")
	}
	if payment, ok := in["payment"].(map[string]any); ok {
		task.PaymentID = optional(payment, "payment_id")
		if n, ok := payment["refunded_cents"].(json.Number); ok {
			task.RefundedCents, _ = n.Int64()
		}
	}
	if d.bad != "" {
		return TaskInput{}, fault.New(fault.BadSignature, "the task's input has no well-formed %s", d.bad)
	}
	return task, nil
}

// A decoder remembers the first member that is missing or of another type.
type decoder struct{ bad string }

func (d *decoder) fail(name string) {
	if d.bad == "" {
		d.bad = name
	}
}

func (d *decoder) object(v any, name string) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		d.fail(name)
	}
	return m
}

func (d *decoder) str(m map[string]any, name string) string {
	s, ok := m[name].(string)
	if !ok {
		d.fail(name)
	}
	return s
}

func (d *decoder) integer(m map[string]any, name string) int64 {
	n, ok := m[name].(json.Number)
	if !ok {
		d.fail(name)
		return 0
	}
	i, err := n.Int64()
	if err != nil {
		d.fail(name)
	}
	return i
}

func optional(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
