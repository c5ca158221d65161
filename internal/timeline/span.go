// Package timeline lays an execution's history out in time: the states that were entered, the attempts of their tasks, and what an order's
// whole way from the call to its outcome took. It is what the dashboard's waterfall and `cloudflow trace` have in common.
//
// It knows an order by the interface alone, and says nothing that the interface has not said: a time that is not stored is not made up. The
// journal's times are milliseconds, so what took less has no length.
package timeline

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A Span is one state of an execution, or one attempt of its task. Times are since the execution's start.
type Span struct {
	State    string
	Attempt  int // 0: the state itself
	Begin    time.Duration
	End      time.Duration
	Open     bool          // it has not ended
	Asks     bool          // its task was handed out, and waits for who has the token
	Waits    time.Duration // before this attempt, after the one before it
	Resource string
	Input    string
	Output   string
	Error    string
	Cause    string
	Undoes   bool // a state of the compensation
}

// ByHand is who does a task that is handed out under a token: somebody whom no resource names.
const ByHand = "by hand"

const callbackSuffix = ".waitForTaskToken"

// Handler is who does a task: the function's name in its ARN without what all have, such as inventory-handler; ByHand. "" for no task.
func Handler(resource string) string {
	if strings.HasSuffix(resource, callbackSuffix) {
		return ByHand
	}
	return strings.TrimPrefix(resource[strings.LastIndex(resource, ":")+1:], "cloudflow-")
}

// Took is how long it was.
func (s Span) Took() time.Duration { return s.End - s.Begin }

// Of makes the rows of a timeline from an execution's history: each state that was entered, and under a task that was tried more than once its
// attempts. now closes what is open.
func Of(s apigen.Saga, undoes func(state string) bool, now time.Time) []Span {
	b := spanBuilder{start: s.StartedAt, undoes: undoes}
	for _, e := range s.History {
		b.take(e)
	}
	end := now.Sub(s.StartedAt)
	if s.EndedAt != nil {
		end = s.EndedAt.Sub(s.StartedAt)
	}
	return b.rows(max(0, end))
}

type spanBuilder struct {
	start  time.Time
	undoes func(string) bool
	states []stateSpan
}

type stateSpan struct {
	Span
	attempts []Span
}

func (b *spanBuilder) take(e apigen.SagaEvent) {
	at := max(0, e.Timestamp.Sub(b.start))
	switch {
	case strings.HasSuffix(e.Type, "StateEntered"):
		name := deref(e.State)
		b.states = append(b.states, stateSpan{Span: Span{State: name, Begin: at, Open: true, Input: pretty(e.Input), Undoes: b.undoes != nil && b.undoes(name)}})
		return
	case len(b.states) == 0:
		return
	}
	s := &b.states[len(b.states)-1]
	switch {
	case strings.HasPrefix(e.Type, "Execution"): // its end: a Fail state is not exited, and neither is one whose task failed uncaught
		if s.Open {
			s.End, s.Open = at, false
			s.fail(e)
		}
	case strings.HasSuffix(e.Type, "StateExited"):
		s.End, s.Open, s.Output = at, false, pretty(e.Output)
	case strings.HasSuffix(e.Type, "Scheduled"):
		next := Span{State: s.State, Attempt: len(s.attempts) + 1, Begin: at, Open: true, Resource: deref(e.Resource), Input: pretty(e.Input), Undoes: s.Undoes}
		if n := len(s.attempts); n > 0 {
			next.Waits = max(0, at-s.attempts[n-1].End)
		}
		s.attempts = append(s.attempts, next)
	case len(s.attempts) == 0:
		s.fail(e)
	case strings.HasSuffix(e.Type, "Submitted"):
		s.Asks = Handler(s.attempts[len(s.attempts)-1].Resource) == ByHand // what is not is a job that runs elsewhere
	case strings.HasSuffix(e.Type, "Succeeded"):
		a := &s.attempts[len(s.attempts)-1]
		a.End, a.Open, a.Output = at, false, pretty(e.Output)
		s.Asks = false
	case strings.HasSuffix(e.Type, "Failed"), strings.HasSuffix(e.Type, "TimedOut"):
		a := &s.attempts[len(s.attempts)-1]
		a.End, a.Open = at, false
		s.Asks = false
		a.fail(e)
		s.fail(e)
	}
}

func (s *Span) fail(e apigen.SagaEvent) {
	if e.Error != nil {
		s.Error, s.Cause = *e.Error, deref(e.Cause)
	}
}

// rows are the states, each with its attempts under it if there were several. A task's resource is that of its attempts.
func (b *spanBuilder) rows(end time.Duration) []Span {
	var rows []Span
	for i := range b.states {
		s := &b.states[i]
		if s.Open {
			s.End = end
			if i+1 < len(b.states) { // it was left by a catcher, which the history says only by the next one's beginning
				s.End, s.Open = b.states[i+1].Begin, false
			}
		}
		if n := len(s.attempts); n > 0 {
			s.Resource = s.attempts[n-1].Resource
			if s.attempts[n-1].Error == "" {
				s.Error, s.Cause = "", "" // a later attempt did it
			}
		}
		s.Asks = s.Asks && s.Open
		rows = append(rows, s.Span)
		for _, a := range s.attempts {
			if a.Open {
				a.End, a.Asks = s.End, s.Asks
			}
			if len(s.attempts) > 1 {
				rows = append(rows, a)
			}
		}
	}
	return rows
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// pretty is a JSON value for reading; "" for none.
func pretty(v any) string {
	if v == nil {
		return ""
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "(cannot be shown)"
	}
	return string(text)
}
