package corpustest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
)

// An Expectation is how a case ended, and what came before.
type Expectation struct {
	Status      string
	Output      json.RawMessage
	Error       *string
	Cause       *string
	CauseIsJSON bool     `json:"cause_is_json"`
	States      []string `json:"state_sequence"`
	Ordered     *bool    `json:"state_sequence_ordered"`
	Complete    *bool    `json:"state_sequence_complete"`
	Types       []string `json:"history_event_types"`
	Lossy       any      `json:"history_event_types_lossy"`
	Creation    string

	StateIO     []recordedIO         `json:"state_io"`
	Evaluations []recordedEvaluation `json:"evaluation_failed"`

	Refused bool
	Message string `json:"error_message"`
	Next    string `json:"nextState"`
}

// Compare compares an execution with what was recorded: how it ended, its history, and what its tasks were sent.
func (c *Case) Compare(r aslrun.Result) error {
	e := c.Expected
	if !c.knowsItsInput() {
		e.StateIO = nil
	}
	return errors.Join(e.Compare(r), c.compareSent(r))
}

// placeholder is what the recording has in place of a name that was generated.
var placeholder = regexp.MustCompile(`<[^<>]*>|a_task_token`)

// compareSent compares what the tasks were sent, call by call.
func (c *Case) compareSent(r aslrun.Result) error {
	calls := map[string]int{}
	for _, e := range r.History {
		if !strings.HasSuffix(e.Type, "Scheduled") {
			continue
		}
		n := calls[e.State]
		calls[e.State]++
		if n >= len(c.Mocks[e.State]) || len(c.Mocks[e.State][n].Parameters) == 0 {
			continue
		}
		want, err := asl.DecodeJSON(placeholder.ReplaceAll(c.Mocks[e.State][n].Parameters, []byte(anything)))
		if err != nil {
			return err
		}
		if want != nil && !matches(want, e.Input) {
			return fmt.Errorf("call %d of %s was sent %s, want %s", n, e.State, asl.AppendJSON(nil, e.Input), asl.AppendJSON(nil, want))
		}
	}
	return nil
}

// Concurrent reports whether states went on side by side: how AWS interleaved them says nothing.
func (e *Expectation) Concurrent() bool { return e.Ordered != nil && !*e.Ordered }

// Types are the types of a history's events.
func Types(history []aslrun.Event) []string {
	types := make([]string, len(history))
	for i, e := range history {
		types[i] = e.Type
	}
	return types
}

// Compare compares how an execution ended, and its history.
func (e *Expectation) Compare(r aslrun.Result) error {
	if string(r.Status) != e.Status {
		return fmt.Errorf("status %s, want %s (%v: %v)", r.Status, e.Status, r.Error, r.Cause)
	}
	want, got := slices.Clone(e.States), slices.Clone(r.States)
	wantTypes, gotTypes := slices.Clone(e.Types), Types(r.History)
	if e.Concurrent() {
		for _, list := range [][]string{want, got, wantTypes, gotTypes} {
			slices.Sort(list)
		}
	}
	if e.States != nil && (e.Complete == nil || *e.Complete) && !slices.Equal(got, want) {
		return fmt.Errorf("states %v, want %v", got, want)
	}
	if e.Types != nil && (e.Lossy == nil || e.Lossy == false) && !slices.Equal(gotTypes, wantTypes) {
		return fmt.Errorf("events %v, want %v", gotTypes, wantTypes)
	}
	if err := e.compareEvents(r); err != nil {
		return err
	}
	return e.compareEnd(r)
}

// compareEnd compares what the execution ended with.
func (e *Expectation) compareEnd(r aslrun.Result) error {
	if r.Status == asl.StatusSucceeded {
		want, err := asl.DecodeJSON(e.Output)
		if err != nil {
			return err
		}
		if !matches(want, r.Output) {
			return fmt.Errorf("output %s, want %s", asl.AppendJSON(nil, r.Output), asl.AppendJSON(nil, want))
		}
		return nil
	}
	if !matches(value(e.Error), r.Error) {
		return fmt.Errorf("error %v, want %v", r.Error, value(e.Error))
	}
	want, got := value(e.Cause), r.Cause
	if e.CauseIsJSON {
		want, got = decoded(want), decoded(got)
	}
	if !matches(want, got) {
		return fmt.Errorf("cause %v, want %v", got, want)
	}
	return nil
}

func value(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// decoded is the value of a JSON text; what is none is nil.
func decoded(text any) any {
	s, _ := text.(string)
	v, _ := asl.DecodeJSON([]byte(s))
	return v
}

// A recordedIO is what went into a state or came out of it, and what it assigned.
type recordedIO struct {
	Event, State            string
	Input, Output, Assigned json.RawMessage
}

// A recordedEvaluation is an EvaluationFailed event.
type recordedEvaluation struct{ State, Error, Cause, Location string }

// knowsItsInput reports whether the first state took what the case has for an input. In a few, account numbers and names were made unreadable in two
// ways, and neither can be compared with the other.
func (c *Case) knowsItsInput() bool {
	if len(c.Expected.StateIO) == 0 || c.Expected.StateIO[0].Input == nil {
		return true
	}
	want, err := asl.DecodeJSON(c.Expected.StateIO[0].Input)
	got, bad := asl.DecodeJSON(c.Input)
	return err == nil && bad == nil && matches(want, got)
}

// compareEvents compares what states took, gave and assigned, and which evaluations failed, with the events of the run. Where states went on side by
// side AWS's order says nothing, and each event has only to be there.
func (e *Expectation) compareEvents(r aslrun.Result) error {
	var states, evaluations []asl.HistoryEvent
	for _, event := range r.History {
		switch {
		case event.Type == "EvaluationFailed":
			evaluations = append(evaluations, asl.HistoryEvent(event))
		case strings.HasSuffix(event.Type, "StateEntered"), strings.HasSuffix(event.Type, "StateExited"):
			states = append(states, asl.HistoryEvent(event))
		}
	}
	for i, want := range e.StateIO {
		if e.Concurrent() {
			if !want.among(states) {
				return fmt.Errorf("no event like %s of %s", want.Event, want.State)
			}
			continue
		}
		if i >= len(states) {
			return fmt.Errorf("event %d is missing: %s of %s", i, want.Event, want.State)
		}
		if err := want.compare(states[i]); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	for i, want := range e.Evaluations {
		if i >= len(evaluations) {
			return fmt.Errorf("no failed evaluation like %v", want)
		}
		got := evaluations[i]
		if (recordedEvaluation{got.State, got.Error, got.Cause, got.Location}) != want {
			return fmt.Errorf("the failed evaluation is %s %s: %s at %s, want %v", got.State, got.Error, got.Cause, got.Location, want)
		}
	}
	return nil
}

func (w *recordedIO) among(events []asl.HistoryEvent) bool {
	for _, e := range events {
		if w.compare(e) == nil {
			return true
		}
	}
	return false
}

func (w *recordedIO) compare(e asl.HistoryEvent) error {
	if w.Event != e.Type || w.State != e.State {
		return fmt.Errorf("%s of %s, want %s of %s", e.Type, e.State, w.Event, w.State)
	}
	assigned := any(map[string]any{})
	if e.Assigned != nil {
		assigned = e.Assigned
	}
	for _, each := range []struct {
		what string
		want json.RawMessage
		got  any
	}{{"input", w.Input, e.Input}, {"output", w.Output, e.Output}, {"assigned", w.Assigned, assigned}} {
		if each.want == nil {
			continue
		}
		want, err := asl.DecodeJSON(each.want)
		if err != nil {
			return err
		}
		if !matches(want, each.got) {
			return fmt.Errorf("the %s of %s is %s, want %s", each.what, w.State, asl.AppendJSON(nil, each.got), each.want)
		}
	}
	return nil
}

const anything = "__ANY__"

// matches compares, with __ANY__ in want: it matches anything, and within a longer string any text. Numbers are compared by value.
func matches(want, got any) bool {
	switch want := want.(type) {
	case string:
		s, ok := got.(string)
		return want == anything || ok && matchesText(strings.Split(want, anything), s)
	case json.Number:
		n, ok := got.(json.Number)
		a, _ := want.Float64()
		b, _ := n.Float64()
		return ok && (want == n || a == b)
	case []any:
		a, ok := got.([]any)
		return ok && slices.EqualFunc(want, a, matches)
	case map[string]any:
		m, ok := got.(map[string]any)
		return ok && maps.EqualFunc(want, m, matches)
	}
	return want == got
}

// matchesText reports whether s is the parts with any text between them.
func matchesText(parts []string, s string) bool {
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
