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
	Updated      time.Time // when its last answer was committed
	Ended        time.Time // zero while it runs
	Wakes        time.Time // when its timer is due: that of a Wait, or of the next attempt at a task; zero if it waits for none
	Awaits       []string  // the states whose tasks are handed out and wait for an answer
	Redrives     int64
	Redriven     time.Time // for the last time
	// NotRedrivable is why Redrive would refuse it, "" if it would not: DescribeExecution's redriveStatus and redriveStatusReason in one.
	NotRedrivable string
	History       []asl.HistoryEvent
}

// Status is how an execution stands: one read, where Describe replays. fault.NotFound: no such execution.
func (e *Engine) Status(ctx context.Context, name string) (asl.Status, error) {
	head, err := e.Head(ctx, name)
	return head.Status, err
}

// Describe renders an execution by replaying its journal; nothing of the history is stored. fault.NotFound: no such
// execution, or its journal was forgotten.
func (e *Engine) Describe(ctx context.Context, name string) (Execution, error) {
	var history []asl.HistoryEvent
	d, err := e.describe(ctx, name, func(h asl.HistoryEvent) { history = append(history, h) })
	d.History = history
	return d, err
}

// Summary is Describe without the history: for lists. fault.NotFound: no such execution.
func (e *Engine) Summary(ctx context.Context, name string) (Execution, error) {
	return e.describe(ctx, name, nil)
}

func (e *Engine) describe(ctx context.Context, name string, observe func(asl.HistoryEvent)) (Execution, error) {
	if checkName(name) != nil {
		return Execution{}, notFound(name)
	}
	r := run{name: name}
	if err := e.replay(ctx, &r, func(asl.Start) func(asl.HistoryEvent) { return observe }); err != nil {
		return Execution{}, err
	}
	if r.x == nil {
		return Execution{}, r.notFound()
	}
	start, err := startOf(name, r.head)
	if err != nil {
		return Execution{}, fault.Wrap(fault.Internal, err, "flow: the head of %s", name)
	}
	d := Execution{
		Name: name, Status: r.x.Status(), Input: start.Input, Definition: r.machine.Hash(),
		Started: start.Time, Updated: r.last, NotRedrivable: e.notRedrivable(&r),
	}
	head := storedOf(name, r.head)
	d.Redrives, d.Redriven = head.Redrives, head.Redriven
	d.State, d.StateInput = r.x.Current()
	d.Error, d.Cause = r.x.Failure()
	if d.Status == succeeded {
		d.Output = r.x.Output()
	}
	if timer, ticking := r.x.Open().Timer(); ticking && d.Status == running {
		d.Wakes = timer.At
	}
	if d.Status == running {
		d.Awaits = r.awaits()
	}
	if d.Status != running {
		if d.Ended = head.Ended; d.Ended.IsZero() { // it ended at its start, and that is not committed yet
			d.Ended = r.last
		}
	}
	return d, nil
}

// notFound says why nothing was replayed.
func (r *run) notFound() error {
	if r.head.Bool(attrForgotten) {
		return fault.New(fault.NotFound, "The history of %s was deleted when its time was over.", r.name)
	}
	return notFound(r.name)
}

func notFound(name string) error { return fault.New(fault.NotFound, "no execution %q", name) }

// Running returns up to limit names of open executions beyond after, in the order of the names.
func (e *Engine) Running(ctx context.Context, after string, limit int) ([]string, error) {
	page, _, err := store.Merge(e.o.Store, store.Query{Table: Table, After: after}, openPartitions[:]).Next(ctx, limit)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(page))
	for i, en := range page {
		names[i] = en.Key.SK
	}
	return names, nil
}
