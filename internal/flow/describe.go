package flow

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An Execution is what an operator sees of one: DescribeExecution and GetExecutionHistory in one
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html).
type Execution struct {
	Name         string
	Status       asl.Status
	Input        any
	Output       any    // of SUCCEEDED
	State        string // being executed, or in which it ended
	StateInput   any    // its input, before InputPath and Parameters: what a resume starts with
	Error, Cause string // of an end that is not SUCCEEDED
	Definition   string // hash of the definition that it runs
	Started      time.Time
	Ended        time.Time // zero while it runs
	History      []asl.HistoryEvent
}

// Status is how an execution stands: one read, where Describe replays. fault.NotFound: no such execution.
func (e *Engine) Status(ctx context.Context, name string) (asl.Status, error) {
	if checkName(name) != nil {
		return "", fault.New(fault.NotFound, "no execution %q", name)
	}
	it, err := e.o.Store.Get(ctx, headKey(name), store.Strong)
	if err != nil {
		return "", err
	}
	if it == nil {
		return "", fault.New(fault.NotFound, "no execution %q", name)
	}
	return asl.Status(it.Str("status")), nil
}

// Describe renders an execution by replaying its journal; nothing of the history is stored. fault.NotFound: no such
// execution, or its journal was forgotten.
func (e *Engine) Describe(ctx context.Context, name string) (Execution, error) {
	if checkName(name) != nil {
		return Execution{}, fault.New(fault.NotFound, "no execution %q", name)
	}
	var history []asl.HistoryEvent
	r := run{name: name}
	if err := e.replay(ctx, &r, func(h asl.HistoryEvent) { history = append(history, h) }); err != nil {
		return Execution{}, err
	}
	switch {
	case r.x == nil && r.head.Bool(attrForgotten):
		return Execution{}, fault.New(fault.NotFound, "The history of %s was deleted when its time was over.", name)
	case r.x == nil:
		return Execution{}, fault.New(fault.NotFound, "no execution %q", name)
	}
	start, err := startOf(name, r.head, nil)
	if err != nil {
		return Execution{}, fault.Wrap(fault.Internal, err, "flow: the head of %s", name)
	}
	d := Execution{
		Name: name, Status: r.x.Status(), Input: start.Input, Definition: r.machine.Hash(),
		Started: start.Time, History: history,
	}
	d.State, d.StateInput = r.x.Current()
	d.Error, d.Cause = r.x.Failure()
	if d.Status == succeeded {
		d.Output = r.x.Output()
	}
	if d.Status != running {
		d.Ended = r.last
		if ms := r.head.Int("ended_ms"); ms != 0 {
			d.Ended = time.UnixMilli(ms).UTC()
		}
	}
	return d, nil
}
