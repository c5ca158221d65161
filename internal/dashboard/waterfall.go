package dashboard

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A span is one state of an execution, or one attempt of its task.
type span struct {
	State    string
	Attempt  int // 0: the state itself
	Begin    time.Duration
	End      time.Duration
	Open     bool          // it has not ended
	Waits    time.Duration // before this attempt, after the one before it
	Resource string
	Input    string
	Output   string
	Error    string
	Cause    string
	Undoes   bool // a state of the compensation
	Lines    []string
}

// addLines gives each row the log lines of who did it, from the time that it took. Lines have milliseconds, so one may stand under two rows.
func addLines(rows []span, lines []string, start time.Time) {
	for _, line := range lines {
		l := logLine(line)
		at, err := time.Parse(time.RFC3339Nano, l.Stamp)
		if err != nil {
			continue
		}
		offset := at.Sub(start)
		for i := range rows {
			r := &rows[i]
			if r.Resource != "" && strings.HasPrefix(l.Service, service(r.Resource)+"_service") &&
				offset >= r.Begin.Truncate(time.Millisecond) && offset <= r.End+time.Millisecond {
				r.Lines = append(r.Lines, line)
			}
		}
	}
}

// told is the row behind the saga: the message in its queue, and its last try.
func told(n *Notification, ended, start time.Time, now time.Time) span {
	end := n.EndedAt
	if end.IsZero() {
		end = now
	}
	s := span{
		State: "customer told", Begin: n.BegunAt.Sub(start), End: max(end.Sub(start), n.BegunAt.Sub(start)), Open: n.EndedAt.IsZero(),
		Waits: max(0, n.BegunAt.Sub(ended)), Resource: "notification", Output: n.Status,
	}
	if s.Open {
		s.Cause = "It is not known yet whether the last try arrived."
	}
	return s
}

// Took is how long it was.
func (s span) Took() time.Duration { return s.End - s.Begin }

// spansOf makes the rows of a waterfall from an execution's history: each state that was entered, and under a task that was tried more than once its
// attempts. now closes what is open.
func spansOf(s apigen.Saga, undoes func(state string) bool, now time.Time) []span {
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
	span
	attempts []span
}

func (b *spanBuilder) take(e apigen.SagaEvent) {
	at := max(0, e.Timestamp.Sub(b.start))
	switch {
	case strings.HasSuffix(e.Type, "StateEntered"):
		name := deref(e.State)
		b.states = append(b.states, stateSpan{span: span{State: name, Begin: at, Open: true, Input: pretty(e.Input), Undoes: b.undoes != nil && b.undoes(name)}})
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
		next := span{State: s.State, Attempt: len(s.attempts) + 1, Begin: at, Open: true, Resource: deref(e.Resource), Input: pretty(e.Input), Undoes: s.Undoes}
		if n := len(s.attempts); n > 0 {
			next.Waits = max(0, at-s.attempts[n-1].End)
		}
		s.attempts = append(s.attempts, next)
	case len(s.attempts) == 0:
		s.fail(e)
	case strings.HasSuffix(e.Type, "Succeeded"):
		a := &s.attempts[len(s.attempts)-1]
		a.End, a.Open, a.Output = at, false, pretty(e.Output)
	case strings.HasSuffix(e.Type, "Failed"), strings.HasSuffix(e.Type, "TimedOut"):
		a := &s.attempts[len(s.attempts)-1]
		a.End, a.Open = at, false
		a.fail(e)
		s.fail(e)
	}
}

func (s *span) fail(e apigen.SagaEvent) {
	if e.Error != nil {
		s.Error, s.Cause = *e.Error, deref(e.Cause)
	}
}

// rows are the states, each with its attempts under it if there were several. A task's resource is that of its attempts.
func (b *spanBuilder) rows(end time.Duration) []span {
	var rows []span
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
		rows = append(rows, s.span)
		for _, a := range s.attempts {
			if a.Open {
				a.End = s.End
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
