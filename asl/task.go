package asl

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// schedule asks for the task of the state, at its entry and at each retry: paths are evaluated anew, for $$.State.RetryCount
// may be among them.
func (x *Execution) schedule(sc *scope) outcome {
	t := sc.state.task
	if t.callback {
		sc.token, sc.submitted = x.token(), false
	}
	in, _, f := x.effective(sc)
	if f != nil {
		return fails(f)
	}
	c := Command{Kind: RunTask, State: sc.state.name, Resource: t.resource, Input: in, Entered: sc.entered, Attempt: sc.attempt}
	if c.Timeout, f = x.seconds(sc, &t.timeout); f != nil {
		return fails(f)
	}
	if c.Heartbeat, f = x.seconds(sc, &t.heartbeat); f != nil {
		return fails(f)
	}
	if sc.state.credentials != nil {
		if c.RoleARN, f = x.role(sc); f != nil {
			return fails(f)
		}
	}
	x.taskEvent(sc, "Scheduled", HistoryEvent{Input: in, RoleARN: c.RoleARN, Timeout: c.Timeout, Heartbeat: c.Heartbeat})
	x.taskEvent(sc, "Started", HistoryEvent{})
	if t.callback {
		c.Token = sc.token
	}
	x.command(c, sc)
	return waits
}

// role is the RoleArn of the state's Credentials.
func (x *Execution) role(sc *scope) (string, *failure) {
	v, _, f := x.evaluated(sc, sc.state.credentials, sc.input, sc.inputSize)
	if f != nil {
		return "", f
	}
	m, _ := v.(map[string]any)
	if m["RoleArn"] == nil {
		return "", nil
	}
	role, ok := m["RoleArn"].(string)
	if !ok {
		return "", x.unfit(sc, "Credentials/RoleArn", fmt.Sprintf("The field 'RoleArn' must be a STRING but was: %s", AppendJSON(nil, m["RoleArn"])))
	}
	return role, nil
}

// token is the $$.Task.Token of the command that is made next: the same in each replay, and another at each attempt.
func (x *Execution) token() string {
	if x.start.Token != nil {
		return x.start.Token(x.lastID + 1)
	}
	sum := sha256.Sum256([]byte(x.start.ID + "\x00" + x.start.Name + "\x00" + strconv.FormatInt(x.lastID+1, 10)))
	return base64.StdEncoding.EncodeToString(sum[:])
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

// submitted notes that the task was handed out.
func (x *Execution) submitted(sc *scope, response any) {
	sc.submitted = true
	x.taskEvent(sc, "Submitted", HistoryEvent{Output: response})
}

// taskAnswered goes on with a task's answer. What succeeds was handed out, said or not, as was a job that is over. A callback that fails before it
// was said failed at that.
func (x *Execution) taskAnswered(sc *scope, ev Event) {
	var o outcome
	failed := "Failed"
	switch t := sc.state.task; {
	case !t.callback || sc.submitted:
	case t.job || ev.Kind == TaskSucceeded:
		x.submitted(sc, nil)
	default:
		failed = "SubmitFailed"
	}
	switch ev.Kind {
	case TaskSucceeded:
		o = x.taskSucceeded(sc, ev.Output)
	case TaskTimedOut:
		f := &failure{err: text{errTimeout, true}, timedOut: true, heartbeat: ev.Error == errHeartbeatTimeout}
		x.taskEvent(sc, "TimedOut", HistoryEvent{Error: errTimeout})
		o = fails(f)
	default:
		f := &failure{err: text{ev.Error, !ev.NoError}, cause: text{ev.Cause, !ev.NoCause}}
		x.taskEvent(sc, failed, HistoryEvent{Error: ev.Error, Cause: ev.Cause})
		o = fails(f)
	}
	x.settle(sc, o)
}

func (x *Execution) taskSucceeded(sc *scope, came any) outcome {
	size := sizeOf(came, maxPayload)
	if size > maxPayload {
		f := resultTooLarge(sc.state.task.short)
		x.taskEvent(sc, "Failed", HistoryEvent{Error: f.err.s, Cause: f.cause.s})
		return fails(f)
	}
	x.taskEvent(sc, "Succeeded", HistoryEvent{Output: came})
	return x.resulted(sc, came, size)
}

// resulted is the outcome of a state that has a result: ResultSelector, then ResultPath. Assign sees the result as it came.
func (x *Execution) resulted(sc *scope, came any, size int) outcome {
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
	list := sc.state.retry
	for i := range list {
		r := &list[i]
		if !r.errors.match(f) {
			continue
		}
		if sc.retries == nil {
			sc.retries = make([]int, len(list))
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

// timerFired goes on after a Wait state or with a state's next attempt.
func (x *Execution) timerFired(sc *scope) {
	var o outcome
	if sc.state.kind == kindWait {
		o = x.waited(sc)
	} else if x.exhausted(sc) {
		return
	} else {
		o = x.enter(sc)
	}
	x.settle(sc, o)
}
