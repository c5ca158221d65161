package asl

import "time"

// maxEvents is AWS's limit of a standard execution's history. It also ends a machine that loops without waiting.
// maxChildEvents is ours, for all iterations of distributed Maps of an execution together: each has a history of its own, and distributed Maps
// within one another would run for ever. The largest array that is a payload has three events for each of its items.
const (
	maxEvents      = 25000
	maxChildEvents = 500000
)

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
	Index           int            // of MapIteration...: 0-based; State is the Map
	Redrives        int            // of ExecutionRedriven and MapRunRedriven: how many there were, this one too
	Length          int            // of MapStateStarted: the items
	RoleARN         string         // of ExecutionStarted: the execution's; of a task's ...Scheduled: the one that its Credentials name
	Timeout         time.Duration  // of a task's ...Scheduled; 0: none
	Heartbeat       time.Duration  // of a task's ...Scheduled; 0: none
	Assigned        map[string]any // of ...Exited: the variables that the state has set
	Location        string         // of EvaluationFailed: the field
}

// event counts a history event and shows it to whoever observes. The count is always kept: the causes of AWS name it.
func (x *Execution) event(sc *scope, e HistoryEvent) int64 {
	if x.unseen(sc) {
		return x.count(sc)
	}
	e.ID, e.PreviousID, e.Time = x.events+1, sc.lastEvent, x.now
	x.start.Observe(e)
	return x.count(sc)
}

// unseen reports whether nobody sees what happens in the scope: then an event is a number and need not be made.
func (x *Execution) unseen(sc *scope) bool { return x.start.Observe == nil || sc.home() != nil }

func (x *Execution) count(sc *scope) int64 {
	if home := sc.home(); home != nil {
		home.events++
		x.childEvents++
		sc.lastEvent = home.events
	} else {
		x.events++
		sc.lastEvent = x.events
	}
	return sc.lastEvent
}

// stateEvent is event for a state's entry and exit.
func (x *Execution) stateEvent(sc *scope, suffix string, e HistoryEvent) int64 {
	if x.unseen(sc) {
		return x.count(sc)
	}
	e.Type, e.State = string(sc.state.kind)+suffix, sc.state.name
	return x.event(sc, e)
}

// sideEvent is an event that no later one has for its predecessor, as on AWS a state's success and what is aborted.
func (x *Execution) sideEvent(sc *scope, e HistoryEvent) {
	last := sc.lastEvent
	if e.State == "" && sc.state != nil {
		e.State = sc.state.name
	}
	x.event(sc, e)
	sc.lastEvent = last
}

// iterationEvent is an event of an iteration of a Map that is not distributed; of any other scope there is none.
func (x *Execution) iterationEvent(sc *scope, suffix string, e HistoryEvent) {
	if sc.parent.state.mapping == nil || sc.apart {
		return
	}
	e.Type, e.State, e.Index = "MapIteration"+suffix, sc.parent.state.name, sc.index
	if suffix == "Succeeded" {
		x.event(sc, e)
	} else {
		x.sideEvent(sc, e)
	}
}

// taskEvent is event for the events between a task state's entry and its exit.
func (x *Execution) taskEvent(sc *scope, suffix string, e HistoryEvent) {
	if x.unseen(sc) {
		x.count(sc)
		return
	}
	t := sc.state.task
	e.Type, e.State, e.Resource, e.Attempt = t.prefix+suffix, sc.state.name, t.resource, sc.attempt
	x.event(sc, e)
}
