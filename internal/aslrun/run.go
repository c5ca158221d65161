package aslrun

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// MaxInput is the most that StartExecution takes as input, in bytes of compact JSON.
const MaxInput = 262144

// A Run is one execution to be made.
type Run struct {
	Machine *asl.Machine
	Name    string // the machine's: what its context object and the default ARNs say
	Input   any
	Mocks   *TestCase // nil: no task may be called
	Context any       // a JSON merge patch on the default context object; nil: none
	History bool      // whether the Result has one

	Execution string    // the execution's name, a fresh one
	Now       time.Time // when it starts, unless the context says so
	Seed      uint64    // of all chance: jitter, UUIDs
}

// A Result is how an execution ended.
type Result struct {
	Status  asl.Status
	Output  any // nil unless SUCCEEDED
	Error   any // a string, or nil for what AWS leaves out
	Cause   any
	States  []string // one for each ...StateEntered
	History []Event  // nil unless asked for
}

// A driver answers the commands of one execution.
type driver struct {
	run    Run
	agenda agenda
	steps  uint64
	result Result
}

// Do runs the execution to its end. The error is for what is no execution: a context that does not fit, a task without a mock, or the end of ctx.
func (r Run) Do(ctx context.Context) (Result, error) {
	if n := len(asl.AppendJSON(nil, r.Input)); n > MaxInput {
		return Result{}, fmt.Errorf("the input has %d bytes, and StartExecution takes %d at most", n, MaxInput)
	}
	start, err := r.start()
	if err != nil {
		return Result{}, err
	}
	d := &driver{run: r, agenda: agenda{now: start.Time}}
	start.Seed = d.seed()
	start.Observe = func(e asl.HistoryEvent) {
		if strings.HasSuffix(e.Type, "StateEntered") {
			d.result.States = append(d.result.States, e.State)
		}
		if r.History {
			d.result.History = append(d.result.History, Event(e))
		}
	}
	x, commands := r.Machine.Start(start)
	if err := d.drive(ctx, x, commands); err != nil {
		return Result{}, err
	}
	d.result.Status, d.result.Output = x.Status(), x.Output()
	d.result.Error, d.result.Cause = x.FailureJSON()
	return d.result, nil
}

// drive lets what comes next happen, until the execution ends.
func (d *driver) drive(ctx context.Context, x *asl.Execution, commands []asl.Command) error {
	for {
		if err := d.take(x, commands); err != nil {
			return err
		}
		if x.Status() != asl.StatusRunning {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		next, ok := d.agenda.next()
		if !ok { // cannot be: an execution that waits has told for what
			return fmt.Errorf("the execution waits for nothing")
		}
		next.Seed = d.seed()
		var err error
		if commands, err = x.Step(next); err != nil {
			return err
		}
	}
}

// take puts on the agenda what is to come of each command. A call counts when it is made, even if the same step makes it void: the history has it as
// scheduled.
func (d *driver) take(x *asl.Execution, commands []asl.Command) error {
	void := map[int64]bool{}
	for _, c := range commands {
		if c.Kind == asl.Cancel {
			void[c.ID] = true
			d.agenda.remove(c.ID)
		}
	}
	for _, c := range commands {
		switch c.Kind {
		case asl.StartTimer:
			if !void[c.ID] {
				d.agenda.add(c, c.At, asl.Event{Kind: asl.TimerFired, ID: c.ID})
			}
		case asl.RunTask:
			n, response := d.run.Mocks.call(c.State)
			switch {
			case void[c.ID]:
			case response == nil:
				return d.run.Mocks.missing(c.State, n)
			default:
				if err := d.submit(x, c); err != nil {
					return err
				}
				after, ev := response.answer(c)
				d.agenda.add(c, d.agenda.now.Add(after), ev)
			}
		case asl.Cancel:
		}
	}
	return nil
}

// submit hands out a task that has a token: what is mocked is its answer.
func (d *driver) submit(x *asl.Execution, c asl.Command) error {
	if c.Token == "" {
		return nil
	}
	_, err := x.Step(asl.Event{Kind: asl.TaskSubmitted, ID: c.ID, Time: d.agenda.now, Seed: d.seed()})
	return err
}

// seed is another one for each step.
func (d *driver) seed() uint64 {
	d.steps++
	return d.run.Seed + d.steps*0x9e3779b97f4a7c15
}

// answer is what becomes of a call, and when: the mock's answer, or the timeout that is shorter. An answer that comes at the very moment is in time.
func (r *response) answer(c asl.Command) (time.Duration, asl.Event) {
	limit, timedOut := c.Timeout, asl.Event{Kind: asl.TaskTimedOut, ID: c.ID}
	if c.Heartbeat > 0 && (limit == 0 || c.Heartbeat < limit) {
		limit, timedOut.Error = c.Heartbeat, "States.HeartbeatTimeout"
	}
	if limit > 0 && limit < r.delay {
		return limit, timedOut
	}
	ev := r.event
	ev.ID = c.ID
	return r.delay, ev
}

// WriteJSON writes the result as one object and a newline, its members in the order in which a reader wants them. A history is written event by event:
// in memory its events share their values, and as text they may have gigabytes.
func (r Result) WriteJSON(to io.Writer) error {
	w := bufio.NewWriter(to)
	var line []byte
	for _, m := range []struct {
		before string
		value  any
	}{{`{"status":`, string(r.Status)}, {`,"output":`, r.Output}, {`,"error":`, r.Error}, {`,"cause":`, r.Cause}} {
		line = asl.AppendJSON(append(line, m.before...), m.value)
	}
	line = append(line, `,"states":[`...)
	for i, s := range r.States {
		if i > 0 {
			line = append(line, ',')
		}
		line = asl.AppendJSON(line, s)
	}
	_, _ = w.Write(append(line, ']')) // a bufio.Writer keeps its error for Flush
	if r.History != nil {
		_, _ = w.WriteString(`,"history":`)
		writeEvents(w, r.History)
	}
	_, _ = w.WriteString("}\n")
	return w.Flush()
}
