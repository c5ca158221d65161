package asl

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// schedule asks for the task of the state, at its entry and at each retry: paths are evaluated anew, for $$.State.RetryCount
// may be among them.
func (x *Execution) schedule(sc *scope) outcome {
	in, _, f := x.effective(sc)
	if f != nil {
		return fails(f)
	}
	t := sc.state.task
	c := Command{Kind: RunTask, State: sc.state.name, Resource: t.resource, Input: in, Entered: sc.entered, Attempt: sc.attempt}
	if c.Timeout, f = x.seconds(sc, &t.timeout); f != nil {
		return fails(f)
	}
	if c.Heartbeat, f = x.seconds(sc, &t.heartbeat); f != nil {
		return fails(f)
	}
	if t.credentials != nil {
		if c.Credentials, _, f = x.evaluated(sc, t.credentials, sc.input, sc.inputSize); f != nil {
			return fails(f)
		}
	}
	x.taskEvent(sc, "Scheduled", HistoryEvent{Input: in})
	x.taskEvent(sc, "Started", HistoryEvent{})
	x.command(c, sc)
	return waits
}

// seconds is a timeout, which may stand in the input.
func (x *Execution) seconds(sc *scope, s *seconds) (time.Duration, *failure) {
	if s.query != nil {
		n, f := s.query.integer(&env{x: x, scope: sc, input: sc.input, bound: sc.inputSize}, 1, maxSeconds)
		return time.Duration(n) * time.Second, f
	}
	if s.path == nil {
		return s.fixed, nil
	}
	v, _, f := x.selected(sc, selection{path: s.path}, sc.input, sc.inputSize)
	if f != nil {
		return 0, f
	}
	number, _ := v.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || n < 1 || n > maxSeconds {
		return 0, runtimeFailure(fmt.Sprintf("The %s parameter does not reference a positive integer of at most %d: %s == %s", s.field, maxSeconds, s.path.text, AppendJSON(nil, v)))
	}
	return time.Duration(n) * time.Second, nil
}

// taskAnswered goes on with a task's answer.
func (x *Execution) taskAnswered(sc *scope, ev Event) {
	var o outcome
	switch ev.Kind {
	case TaskSucceeded:
		o = x.taskSucceeded(sc, ev.Output)
	case TaskTimedOut:
		f := &failure{err: text{errTimeout, true}, timedOut: true, heartbeat: ev.Error == errHeartbeatTimeout}
		x.taskEvent(sc, "TimedOut", HistoryEvent{Error: errTimeout})
		o = fails(f)
	default:
		f := &failure{err: text{ev.Error, !ev.NoError}, cause: text{ev.Cause, !ev.NoCause}}
		x.taskEvent(sc, "Failed", HistoryEvent{Error: ev.Error, Cause: ev.Cause})
		o = fails(f)
	}
	s, input, size := x.settle(sc, o)
	x.run(sc, s, input, size)
}

func (x *Execution) taskSucceeded(sc *scope, came any) outcome {
	size := sizeOf(came, maxPayload)
	if size > maxPayload {
		f := engineFailure(errDataLimit, "The state/task '"+sc.state.task.short+"' returned a result with a size exceeding the maximum number of bytes service limit.")
		x.taskEvent(sc, "Failed", HistoryEvent{Error: f.err.s, Cause: f.cause.s})
		return fails(f)
	}
	x.taskEvent(sc, "Succeeded", HistoryEvent{Output: came})
	return x.succeeded(sc, came, size)
}

// succeeded goes on with a result: ResultSelector, then ResultPath. Assign sees the result as it came.
func (x *Execution) succeeded(sc *scope, came any, size int) outcome {
	o, v := outcome{next: sc.state.next}, came
	if l := &sc.state.leaving; l.assign != nil || l.output != nil {
		o.result = &result{came, size}
	}
	if sc.state.selector != nil {
		var f *failure
		if v, size, f = x.evaluated(sc, sc.state.selector, came, size); f != nil {
			return fails(f)
		}
	}
	o.output, o.size, o.failure = place(sc.state.resultPath, sc.input, sc.inputSize, v, size)
	return o
}

// retrier is how long to wait for the next attempt; nil: there is none. The first Retrier that names the error
// decides: when its attempts are used up, no later one is asked.
func (x *Execution) retrier(sc *scope, f *failure) *time.Duration {
	t := sc.state.task
	for i := range t.retry {
		r := &t.retry[i]
		if !r.errors.match(f) {
			continue
		}
		if sc.retries == nil {
			sc.retries = make([]int, len(t.retry))
		}
		if sc.retries[i] >= r.maxAttempts {
			return nil
		}
		d := r.delay(sc.retries[i], x.seed)
		sc.retries[i]++
		sc.attempt++
		sc.context = nil
		return &d
	}
	return nil
}

// timerFired goes on after a Wait state or with a task's next attempt.
func (x *Execution) timerFired(sc *scope) {
	var o outcome
	if sc.state.kind == kindWait {
		o = x.waited(sc)
	} else if x.exhausted(sc) {
		return
	} else {
		o = x.schedule(sc)
	}
	s, input, size := x.settle(sc, o)
	x.run(sc, s, input, size)
}
