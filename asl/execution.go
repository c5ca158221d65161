package asl

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxPayload is AWS's limit of a state's input, output and result, as JSON in bytes of UTF-8.
const maxPayload = 262144

// ErrStale answers an event whose command is not open: a late answer, a timer of a state that was left, anything after
// the end. The execution is unchanged.
var ErrStale = errors.New("asl: no open command of that ID")

// Status is the status of an execution.
type Status string

// The statuses, as AWS names them.
const (
	StatusRunning   Status = "RUNNING"
	StatusSucceeded Status = "SUCCEEDED"
	StatusFailed    Status = "FAILED"
	StatusTimedOut  Status = "TIMED_OUT" // the machine's own TimeoutSeconds
	StatusAborted   Status = "ABORTED"
)

// CommandKind says what a Command asks its driver for.
type CommandKind string

// The commands. The end of an execution makes all its open commands void.
const (
	RunTask    CommandKind = "RunTask"    // answered by TaskSucceeded, TaskFailed or TaskTimedOut
	StartTimer CommandKind = "StartTimer" // answered by TimerFired, not before At
	Cancel     CommandKind = "Cancel"     // the open command of this ID is void: nobody waits for its answer any more
)

// Command is what the driver is to do. IDs count 1, 2, 3...: the same events give the same commands.
type Command struct {
	Kind      CommandKind
	ID        int64
	State     string
	Resource  string        // RunTask
	Input     any           // RunTask: after InputPath and Parameters
	Entered   int64         // RunTask: the number of this state entry in the history
	Attempt   int           // RunTask: 0-based retry count of this state entry
	Token     string        // RunTask of a .waitForTaskToken or a .sync resource: the $$.Task.Token that its answer comes back with
	RoleARN   string        // RunTask: the role that its Credentials name; "" is the machine's own
	Timeout   time.Duration // RunTask: 0 is none. When it is over the driver answers TaskTimedOut
	Heartbeat time.Duration // RunTask: 0 is none. The longest time between two signs of life
	At        time.Time     // StartTimer
	Index     []int         // of the branches and iterations that the state stands in, outermost first, not to be changed; nil: the machine's own
}

// Deadline reports whether the command is the timer of the machine's own TimeoutSeconds: the one timer that is of no state.
func (c Command) Deadline() bool { return c.Kind == StartTimer && c.State == "" }

// EventKind says what happened.
type EventKind string

// The events.
const (
	TaskSucceeded EventKind = "TaskSucceeded" // Output is the result
	TaskFailed    EventKind = "TaskFailed"    // Error and Cause as the task gave them
	TaskTimedOut  EventKind = "TaskTimedOut"  // becomes States.Timeout. Error States.HeartbeatTimeout says that no heartbeat came
	TimerFired    EventKind = "TimerFired"
	Aborted       EventKind = "Aborted"  // ends the execution, whatever it waits for; ID is not looked at
	Redriven      EventKind = "Redriven" // lets one that has not succeeded go on; ID is not looked at
	// TaskSubmitted says that a task with a token was handed out, and Output what that returned. It answers nothing: the command stays open for the
	// answer, with which it may be left out. It comes once at most.
	TaskSubmitted EventKind = "TaskSubmitted"
)

// Event answers a command.
type Event struct {
	Kind         EventKind
	ID           int64     // of the command that it answers
	Time         time.Time // never before the previous event's: an earlier one counts as that
	Seed         uint64    // all chance of this step derives from it
	Output       any       // TaskSucceeded, TaskSubmitted
	Error, Cause string    // TaskFailed, Aborted
	// NoError and NoCause tell a missing member of a failure from an empty one: null in a Catch's error output.
	NoError, NoCause bool
}

// Start is what an execution begins with. Its fields but Seed and Observe are what the context object shows.
type Start struct {
	Input     any
	Name      string    // $$.Execution.Name
	ID        string    // $$.Execution.Id
	RoleARN   string    // $$.Execution.RoleArn
	Machine   string    // $$.StateMachine.Name
	MachineID string    // $$.StateMachine.Id
	Time      time.Time // $$.Execution.StartTime
	Seed      uint64    // chance of this step
	// Token, if not nil, makes the token of the task command with that ID, else the token is a hash of the execution's ID, its name and the
	// command's ID. It must give the same each time.
	Token func(command int64) string
	// Context, if not nil, is the context object but for its State, in place of what the fields above make.
	Context map[string]any
	// Observe, if not nil, is called for each history event in GetExecutionHistory's order. It must not call the Execution.
	Observe func(HistoryEvent)
}

// Execution is one run of a machine: a pure function of the definition, its Start and the Events so far. It is not safe
// for concurrent use.
type Execution struct {
	machine *Machine
	start   *Start // never changed: clones share it
	status  Status
	output  any
	failure failure

	now         time.Time
	seed        uint64 // of the running step
	chances     uint64 // drawn from the seeds of all steps: two steps of one seed do not draw the same
	events      int64  // of the history so far
	childEvents int64  // of the histories of distributed iterations so far
	lastID      int64  // of the last command
	lastBefore  int64  // of the last command of the steps before
	edition     edition
	root        *scope
	scopes      int // below the root
	open        Open
	ready       turns     // of the running step
	hands       []*scope  // of the running step: the scopes below the root that have a parent
	void        []int64   // of the running step: what aborted scopes wait for
	commands    []Command // of the running step
	redrives    int
	redriven    time.Time // for the last time

	outer     map[string]any // the context object's part that never changes
	outerSize int
}

// Start begins an execution. It may be over at once: look at its Status. The input is checked like any payload.
func (m *Machine) Start(s Start) (*Execution, []Command) {
	x := &Execution{machine: m, start: &s, status: StatusRunning, now: s.Time, seed: s.Seed, edition: edition{step: 1}}
	x.root = &scope{flow: m.flow, made: x.edition.step}
	x.event(x.root, HistoryEvent{Type: "ExecutionStarted", Input: s.Input, RoleARN: s.RoleARN})
	x.root.lastEvent = 0
	x.due(x.root, m.flow.start, s.Input, sizeOf(s.Input, maxPayload))
	x.begun()
	return x, x.take()
}

// begun goes on when the execution has begun, or begins again: a scope is ready.
func (x *Execution) begun() {
	if x.root.inputSize > maxPayload {
		x.end(StatusFailed, failure{err: text{errDataLimit, true}, cause: text{fmt.Sprintf("The execution's input is larger than the limit of %d bytes.", maxPayload), true}})
		return
	}
	if x.machine.timeout > 0 {
		x.command(Command{Kind: StartTimer, At: x.Deadline()}, nil)
	}
	x.run()
}

// Step goes on with what happened, as far as it goes without another answer. ErrStale leaves the execution unchanged, and
// so does the error for an event of a kind that does not answer its command.
func (x *Execution) Step(ev Event) ([]Command, error) {
	if ev.Kind == Redriven {
		return x.redrive(ev)
	}
	if x.status != StatusRunning {
		return nil, ErrStale
	}
	if ev.Kind == Aborted {
		x.begins(ev)
		x.end(StatusAborted, failure{err: text{ev.Error, ev.Error != ""}, cause: text{ev.Cause, ev.Cause != ""}})
		return x.take(), nil
	}
	c, ok := x.open.commands.get(number(ev.ID))
	if !ok {
		return nil, ErrStale
	}
	if !c.answeredBy(ev.Kind) || ev.Kind == TaskSubmitted && !x.mayBeSubmitted(c) {
		return nil, fmt.Errorf("asl: %s does not answer command %d, a %s", ev.Kind, c.ID, c.Kind)
	}
	x.begins(ev)
	if ev.Kind == TaskSubmitted {
		x.submitted(x.waiting(c), ev.Output)
		return x.take(), nil
	}
	x.open.remove(x.edition, c)
	switch {
	case c.Deadline():
		x.end(StatusTimedOut, failure{err: text{errTimeout, true}})
	case c.Kind == RunTask:
		x.taskAnswered(x.waiting(c), ev)
	default:
		x.timerFired(x.waiting(c))
	}
	x.run()
	return x.take(), nil
}

// answeredBy reports whether an event of the kind may come for the command.
func (c *Command) answeredBy(k EventKind) bool {
	if c.Kind == StartTimer {
		return k == TimerFired
	}
	return k == TaskSucceeded || k == TaskFailed || k == TaskTimedOut || k == TaskSubmitted
}

// begins begins a step.
func (x *Execution) begins(ev Event) {
	x.edition.step++
	x.lastBefore = x.lastID
	x.root = x.own(x.root, nil)
	x.seed = ev.Seed
	if ev.Time.After(x.now) {
		x.now = ev.Time
	}
}

// command opens a command for the scope; nil: the execution's own deadline.
func (x *Execution) command(c Command, sc *scope) {
	x.lastID++
	c.ID = x.lastID
	if sc != nil {
		c.Index, sc.waitsFor = sc.path(), c.ID
	}
	x.commands = append(x.commands, c)
	x.open.add(x.edition, &c)
}

// letGo makes room in the running step's hands: scopes that have ended leave them, for a step may go through thousands of iterations, each with a
// payload. Whoever calls it is done with these.
func (x *Execution) letGo() {
	x.hands = slices.DeleteFunc(x.hands, func(sc *scope) bool {
		if sc.closed {
			sc.parent = nil
		}
		return sc.closed
	})
	x.hands = slices.Grow(x.hands, len(x.hands)+1) // as much again, so that it is seldom done
}

// take ends a step.
func (x *Execution) take() []Command {
	for _, sc := range x.hands {
		sc.parent = nil
	}
	c := x.commands
	x.hands, x.commands = nil, nil
	return c
}

// end ends the execution.
func (x *Execution) end(s Status, f failure) {
	x.status, x.failure = s, f
	x.open, x.commands, x.ready, x.void = Open{}, nil, turns{}, nil
	x.root.context = nil
	if x.root.fork != nil { // it did not succeed
		x.root.broken, x.root.fork = x.root.fork, nil
	}
	e := HistoryEvent{Error: f.err.s, Cause: f.cause.s}
	switch s {
	case StatusFailed:
		e.Type = "ExecutionFailed"
	case StatusTimedOut:
		e.Type = "ExecutionTimedOut"
	case StatusAborted:
		e.Type = "ExecutionAborted"
	default:
		e.Type, e.Output = "ExecutionSucceeded", x.output
	}
	x.event(x.root, e)
}

// Status is RUNNING until the execution ends.
func (x *Execution) Status() Status { return x.status }

// Output is the output of a SUCCEEDED execution, else nil.
func (x *Execution) Output() any { return x.output }

// Failure is why an execution did not succeed. Either is empty where AWS has none; FailureJSON tells absent from empty.
func (x *Execution) Failure() (err, cause string) { return x.failure.err.s, x.failure.cause.s }

// FailureJSON is Failure as JSON values: a string, or nil for what is absent.
func (x *Execution) FailureJSON() (err, cause any) {
	return x.failure.err.value(), x.failure.cause.value()
}

// Current is the machine's own state being executed, or the last one, in which the execution ended, and its input before InputPath. While
// branches or iterations run it is the Parallel or the Map state around them.
func (x *Execution) Current() (state string, input any) { return x.root.state.name, x.root.input }

// Open is what a running execution waits for. It stays as it is when the execution goes on.
func (x *Execution) Open() Open { return x.open }

// Deadline is when the machine's TimeoutSeconds, which a redrive begins anew, end the execution; zero: never. A StartTimer says the same.
func (x *Execution) Deadline() time.Time {
	if x.machine.timeout == 0 {
		return time.Time{}
	}
	from := x.start.Time
	if x.redrives > 0 {
		from = x.redriven
	}
	return from.Add(x.machine.timeout)
}
