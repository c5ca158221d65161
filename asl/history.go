package asl

import "time"

// maxEvents is AWS's limit of a standard execution's history. It also ends a machine that loops without waiting.
const maxEvents = 25000

// HistoryEvent is one event as GetExecutionHistory shows it. Which members are set depends on the type: the input on
// ...Entered, ...Scheduled and ExecutionStarted, the output on ...Exited and ...Succeeded, the error on what fails.
type HistoryEvent struct {
	ID, PreviousID  int64 // from 1; a first state's predecessor is 0, as AWS has it
	Type            string
	Time            time.Time
	State, Resource string
	Input, Output   any
	Error, Cause    string
	Attempt         int            // of a task's events: 0-based retry count of this state entry
	Assigned        map[string]any // of ...Exited: the variables that the state has set
	Location        string         // of EvaluationFailed: the field
}

// event counts a history event and shows it to whoever observes. The count is always kept: the causes of AWS name it.
func (x *Execution) event(sc *scope, e HistoryEvent) int64 {
	x.events++
	if x.start.Observe != nil {
		e.ID, e.PreviousID, e.Time = x.events, sc.lastEvent, x.now
		x.start.Observe(e)
	}
	sc.lastEvent = x.events
	return x.events
}

// stateEvent is event for a state's entry and exit.
func (x *Execution) stateEvent(sc *scope, suffix string, e HistoryEvent) int64 {
	if x.start.Observe != nil {
		e.Type, e.State = string(sc.state.kind)+suffix, sc.state.name
	}
	return x.event(sc, e)
}

// taskEvent is event for the events between a task state's entry and its exit.
func (x *Execution) taskEvent(sc *scope, suffix string, e HistoryEvent) {
	if x.start.Observe == nil {
		x.events++
		sc.lastEvent = x.events
		return
	}
	t := sc.state.task
	e.Type, e.State, e.Resource, e.Attempt = t.prefix+suffix, sc.state.name, t.resource, sc.attempt
	x.event(sc, e)
}
