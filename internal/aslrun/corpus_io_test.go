package aslrun

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
)

// A recordedIO is what went into a state or came out of it, and what it assigned.
type recordedIO struct {
	Event, State            string
	Input, Output, Assigned json.RawMessage
}

// A recordedEvaluation is an EvaluationFailed event.
type recordedEvaluation struct{ State, Error, Cause, Location string }

// knowsItsInput reports whether the first state took what the case has for an input. In a few, account numbers and names were made unreadable in two
// ways, and neither can be compared with the other.
func (c *corpusCase) knowsItsInput() bool {
	if len(c.Expected.StateIO) == 0 || c.Expected.StateIO[0].Input == nil {
		return true
	}
	want, err := asl.DecodeJSON(c.Expected.StateIO[0].Input)
	got, bad := asl.DecodeJSON(c.Input)
	return err == nil && bad == nil && matches(want, got)
}

// compareEvents compares what states took, gave and assigned, and which evaluations failed, with the events of the run. Where states went on side by
// side AWS's order says nothing, and each event has only to be there.
func (e *corpusExpectation) compareEvents(r Result) error {
	ordered := e.Ordered == nil || *e.Ordered
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
		if ordered && i < len(states) {
			if err := want.compare(states[i]); err != nil {
				return fmt.Errorf("event %d: %w", i, err)
			}
			continue
		}
		if !want.among(states) {
			return fmt.Errorf("no event like %s of %s", want.Event, want.State)
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
