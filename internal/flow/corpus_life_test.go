package flow_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/corpustest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A recordedLife is an execution of the corpus on flow, whose tasks answer as was recorded.
type recordedLife struct {
	c       *corpustest.Case
	machine *asl.Machine
	input   any
	mocks   *aslrun.TestCase
	ride    bool // tasks that wait for nothing ride in the commit of what comes before them
	s       *mortal
	numbers map[string]int  // of the calls of a state, by attempt: a repeated call of one attempt is no other call
	calls   map[string]int  // by state
	missing error           // a call that has no mock
	owed    map[string]owed // by token: what is to be answered to tasks that are handed out
	tokens  map[string]bool // that there were
	called  int             // tasks
	waited  bool            // a task's context ended
}

// An owed answer is what was recorded for a task that is handed out, and when it comes.
type owed struct {
	answer asl.Event
	at     time.Time
}

// A recordedEnd is what came of a life.
type recordedEnd struct {
	flow.Execution
	took map[string]int64 // how often an attempt's effect took place
}

// timeless is the same without the times.
func (e recordedEnd) timeless() recordedEnd {
	e.Updated, e.Ended = time.Time{}, time.Time{}
	history := make([]asl.HistoryEvent, len(e.History))
	for i, h := range e.History {
		history[i], history[i].Time = h, time.Time{}
	}
	e.History = history
	return e
}

func newRecordedLife(c *corpustest.Case, dies death, ride bool) (*recordedLife, error) {
	l := &recordedLife{c: c, ride: ride, s: &mortal{Store: newStore(), dies: dies}, numbers: map[string]int{}, calls: map[string]int{}, owed: map[string]owed{}, tokens: map[string]bool{}}
	var err error
	if l.machine, err = corpustest.Parse(c.DefinitionText(), true); err != nil {
		return nil, err
	}
	if l.input, err = asl.DecodeJSON(c.Input); err != nil {
		return nil, err
	}
	l.mocks, err = c.TestCase()
	return l, err
}

// task answers an attempt as the recording does. One that has a token is handed out: whoever has that answers in its time. The effect that it stages
// says that it took place.
func (l *recordedLife) task(ctx context.Context, c flow.Call) (store.Effect, error) {
	answer, err := l.answer(ctx, c)
	switch {
	case err != nil:
		return store.Effect{}, err
	case c.Token != "":
		answer.Output = nil
	case answer.Kind == asl.TaskFailed:
		return store.Effect{}, &flow.Failure{Name: answer.Error, NoName: answer.NoError, Cause: answer.Cause, NoCause: answer.NoCause}
	}
	return store.Effect{Stage: func(tx *store.Tx) (any, error) {
		tx.Add(effectKey(c.Execution, c.Attempt), []store.Delta{store.Inc("n", 1)})
		return answer.Output, nil
	}}, nil
}

// answer is what was recorded of the call, when its time has come.
func (l *recordedLife) answer(ctx context.Context, c flow.Call) (asl.Event, error) {
	l.called++
	answer, wait, err := l.mocks.Answer(c.State, l.number(c))
	if err != nil {
		l.missing = err
		return asl.Event{}, err
	}
	if c.Token != "" {
		l.tokens[c.Token] = true
		l.owed[c.Token] = owed{answer, time.Now().Add(wait)}
	} else if wait > 0 {
		select {
		case <-ctx.Done():
			l.waited = true
			return asl.Event{}, ctx.Err()
		case <-time.After(wait):
		}
	}
	return answer, nil
}

// number is the call's, among those of its state: an attempt that is called again keeps the one that it had.
func (l *recordedLife) number(c flow.Call) int {
	n, known := l.numbers[c.Attempt]
	if !known {
		n = l.calls[c.State]
		l.calls[c.State]++
		l.numbers[c.Attempt] = n
	}
	return n
}

const recordedName = "e"

// play lives in a bubble, on a clock that goes on when all wait.
func (l *recordedLife) play(t *testing.T) (end recordedEnd, err error) {
	synctest.Test(t, func(t *testing.T) {
		end.Execution = l.live(t)
		page, rangeErr := l.s.Range(t.Context(), store.Query{Table: "effects", PK: recordedName})
		err = errors.Join(l.missing, rangeErr)
		end.took = map[string]int64{}
		for _, en := range page {
			if end.took[en.Key.SK] = en.Item.Int("n"); en.Item.Int("n") != 1 {
				err = errors.Join(err, fmt.Errorf("%s took effect %d times", en.Key.SK, en.Item.Int("n")))
			}
		}
	})
	return end, err
}

// live plays the execution to its end, through as many lives of the process as that takes.
func (l *recordedLife) live(t *testing.T) flow.Execution {
	started := false
	for range 10_000 {
		e := l.engine(t)
		if survives(func() {
			if !started { // who had no answer asks again
				if _, err := e.Start(t.Context(), recordedName, l.input); err != nil {
					t.Fatalf("%s: Start: %v", l.c.Name, err)
				}
				started = true
			}
			l.settle(t, e)
		}) {
			return describe(t, e, recordedName)
		}
	}
	t.Fatalf("%s: it dies and dies", l.c.Name)
	return flow.Execution{}
}

// settle drives the engine until nothing is due any more, and sends the answers that are owed when their time has come: one that comes at the very
// moment at which something is due is in time.
func (l *recordedLife) settle(t *testing.T, e *flow.Engine) {
	for range 100_000 {
		ran, wake, err := e.RunOne(t.Context())
		if err != nil {
			t.Fatalf("%s: RunOne: %v", l.c.Name, err)
		}
		token, at := l.nextOwed()
		switch {
		case ran:
		case token != "" && e.Open() > 0 && (wake.IsZero() || !at.After(wake)):
			<-time.After(time.Until(at))
			l.send(t, e, token)
		case wake.IsZero():
			return
		default:
			<-time.After(time.Until(wake))
		}
	}
	t.Fatalf("%s: the engine does not come to rest", l.c.Name)
}

// nextOwed is the token of the answer that comes first, "" if none is owed.
func (l *recordedLife) nextOwed() (token string, at time.Time) {
	for next, o := range l.owed {
		if token == "" || o.at.Before(at) || o.at.Equal(at) && next < token {
			token, at = next, o.at
		}
	}
	return token, at
}

// send answers a task. It is owed until somebody has said that it was taken, or came too late.
func (l *recordedLife) send(t *testing.T, e *flow.Engine, token string) {
	answer := l.owed[token].answer
	err := taken(t, e, func(ctx context.Context) error {
		if answer.Kind == asl.TaskFailed {
			return e.SendTaskFailure(ctx, token, answer.Error, answer.Cause)
		}
		return e.SendTaskSuccess(ctx, token, answer.Output)
	})
	if err != nil && !fault.Is(err, fault.TaskTimedOut) {
		t.Fatalf("%s: an answer: %v", l.c.Name, err)
	}
	delete(l.owed, token)
}

// engine is a process. Once the execution has begun it is one of a later build, whose machine is another: the execution's own is that of the store.
func (l *recordedLife) engine(t *testing.T) *flow.Engine {
	tasks := map[string]flow.Task{}
	for _, resource := range resources(l.machine) {
		tasks[resource] = l.task
	}
	definition := l.c.DefinitionText()
	if l.s.writes > 0 {
		definition = []byte(`{"StartAt":"Later","States":{"Later":{"Type":"Succeed"}}}`)
	}
	return engine(t, flow.Options{
		Store: l.s, Definition: definition, Parse: aslrun.Parse, Tasks: tasks,
		Name: "m", Region: corpustest.Region, Account: corpustest.Account, Seed: l.s.seed,
		StagedOnly: func(c flow.Call) bool {
			_, wait, _ := l.mocks.Answer(c.State, l.number(c))
			return l.ride && (wait == 0 || c.Token != "")
		},
	})
}

// resources are those of all tasks of a machine.
func resources(m *asl.Machine) (found []string) {
	var look func(states []string)
	look = func(states []string) {
		for _, name := range states {
			s, _ := m.State(name)
			if s.Type == "Task" {
				found = append(found, s.Resource)
			}
			for _, inside := range s.Flows {
				look(inside)
			}
		}
	}
	look(m.States())
	return found
}

// resultOf is what the corpus compares. What is absent in an execution's end is empty in flow's description of it.
func resultOf(d flow.Execution) aslrun.Result {
	r := aslrun.Result{Status: d.Status, Output: d.Output}
	if d.Error != "" {
		r.Error = d.Error
	}
	if d.Cause != "" {
		r.Cause = d.Cause
	}
	for _, h := range d.History {
		if strings.HasSuffix(h.Type, "StateEntered") {
			r.States = append(r.States, h.State)
		}
		r.History = append(r.History, aslrun.Event(h))
	}
	return r
}

// sameToken is the value with the other's text where it has one of flow's tokens: the stepper makes others.
func (l *recordedLife) sameToken(v, other any) any {
	switch v := v.(type) {
	case string:
		if text, ok := other.(string); ok && l.tokens[v] && text != "" {
			return text
		}
	case map[string]any:
		with, _ := other.(map[string]any)
		out := make(map[string]any, len(v))
		for name, m := range v {
			out[name] = l.sameToken(m, with[name])
		}
		return out
	}
	return v
}

// sameResult compares the ends and the histories. A time of flow's may be the next millisecond: its journal has no more of it.
func (l *recordedLife) sameResult(got, want aslrun.Result) error {
	if len(got.History) != len(want.History) {
		return fmt.Errorf("the events are %v, want %v", corpustest.Types(got.History), corpustest.Types(want.History))
	}
	for i, g := range got.History {
		w := want.History[i]
		if late := g.Time.Sub(w.Time); late < 0 || late >= time.Millisecond {
			return fmt.Errorf("event %d is at %v, want %v", i, g.Time, w.Time)
		}
		g.Input, g.Output = l.sameToken(g.Input, w.Input), l.sameToken(g.Output, w.Output)
		if g.Time = w.Time; !reflect.DeepEqual(g, w) {
			return fmt.Errorf("event %d is\n%+v\nwant\n%+v", i, g, w)
		}
	}
	got.History, want.History = nil, nil
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("it ended\n%+v\nwant\n%+v", got, want)
	}
	return nil
}

// A death says when the process dies of the writes of an execution: its start, each entry of its journal, and its end.
type death int

const (
	never  death = iota
	before       // before each is made, at the first try
	after        // when it is made, before anybody is told
)

func (d death) String() string { return [...]string{"never", "before", "after"}[d] }

// A mortal store lets the process die.
type mortal struct {
	store.Store
	dies   death
	writes int // that were made
	steps  int // of the execution that are in them
	step   int // that is being made
	died   int // the number of the last write before which it died
	deaths int
}

var errDied = errors.New("died")

func (s *mortal) Update(ctx context.Context, fn func(*store.Tx) error) error {
	writes, dies := false, false
	entries := 0
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		s.step = s.steps
		if err := fn(tx); err != nil {
			return err
		}
		writes, entries = writesExecution(tx.Ops())
		if writes && s.dies == before && s.died <= s.writes {
			dies, s.died = true, s.writes+1
			return errDied
		}
		return nil
	})
	if err == nil && writes {
		s.steps += entries
		if s.writes++; s.writes == 1 {
			s.steps++ // the start
		}
		dies = s.dies == after
	}
	if dies {
		s.deaths++
		panic(crash{})
	}
	return err
}

// writesExecution reports whether the commit is one of an execution's, whose head or journal all of them write, and how many entries it has.
func writesExecution(ops []store.Op) (writes bool, entries int) {
	for _, op := range ops {
		if op.Key.Table == flow.Table && op.Key.PK == recordedName {
			writes = true
			if op.Key.SK != "head" {
				entries++
			}
		}
	}
	return writes, entries
}

// seed is the chance that the stepper has, another one for each step: the same for a step that is made again.
func (s *mortal) seed() uint64 {
	s.step++
	return uint64(s.step) * 0x9e3779b97f4a7c15
}
