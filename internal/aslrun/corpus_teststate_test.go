package aslrun

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
)

// testStateArgs are the arguments of a recorded call of TestState.
type testStateArgs struct {
	Input     json.RawMessage
	StateName *string `json:"stateName"`
	Context   map[string]any
	Variables json.RawMessage
	Mock      *struct {
		Result      json.RawMessage
		ErrorOutput *struct{ Error, Cause *string } `json:"errorOutput"`
	}
	Configuration map[string]json.RawMessage `json:"stateConfiguration"`
}

// judgeTestState runs the state that was tested as a machine of its own. What TestState refuses by its own rules of calling it, or answers from
// its configuration instead of running the state, has no counterpart here.
func judgeTestState(ctx context.Context, c *corpusCase) error {
	name, state, machine, err := c.testedState()
	if err != nil {
		return err
	}
	definition, err := alone(name, state, machine)
	if err != nil {
		return err
	}
	if _, ok := c.Args.Context["State"]; c.Args.Context != nil && !ok {
		return errNotApplicable // an engine always says which state it is in
	}
	if c.Expected.Refused {
		if !strings.Contains(c.Expected.Message, "Invalid State Machine Definition") {
			return errNotApplicable
		}
		_, err := parsed(definition, false)
		return err
	}
	test, err := c.testStateMocks(name, state)
	if err != nil {
		return err
	}
	m, err := parsed(definition, true)
	if err != nil {
		return err
	}
	input := c.Args.Input
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	result, types, err := c.run(ctx, m, test, c.testStateContext(), input)
	if err != nil {
		return err
	}
	return c.compareTestState(result, types, name, state)
}

// testedState is the state, its name and the machine around it, which may be nil.
func (c *corpusCase) testedState() (name string, state, machine map[string]any, err error) {
	v, err := asl.DecodeJSON(c.definition())
	if err != nil {
		return "", nil, nil, err
	}
	all, _ := v.(map[string]any)
	if c.DefinitionIs == "machine" {
		if c.Args.StateName == nil {
			return "", nil, nil, errNotApplicable
		}
		name = *c.Args.StateName
		state = find(all, name)
		if state == nil {
			return "", nil, nil, errNotApplicable // of a name that is not there TestState complains itself
		}
		return name, state, all, nil
	}
	name = "StateName"
	if s, ok := c.Args.Context["State"].(map[string]any); ok && text(s["Name"]) != "" {
		name = text(s["Name"])
	}
	return name, all, nil, nil
}

// find looks for a state in a machine and in all that is nested in it.
func find(in any, name string) map[string]any {
	switch in := in.(type) {
	case map[string]any:
		if states, ok := in["States"].(map[string]any); ok {
			if s, ok := states[name].(map[string]any); ok {
				return s
			}
		}
		for _, each := range in {
			if s := find(each, name); s != nil {
				return s
			}
		}
	case []any:
		for _, each := range in {
			if s := find(each, name); s != nil {
				return s
			}
		}
	}
	return nil
}

// alone is a machine of the one state, whose targets succeed.
func alone(name string, state, machine map[string]any) ([]byte, error) {
	states := map[string]any{name: state}
	for _, target := range targets(state) {
		if _, there := states[target]; !there {
			states[target] = map[string]any{"Type": "Succeed"}
		}
	}
	out := map[string]any{"StartAt": name, "States": states}
	if language, ok := machine["QueryLanguage"]; ok {
		out["QueryLanguage"] = language
	}
	return asl.AppendJSON(nil, out), nil
}

// targets are the states that a state goes to by itself.
func targets(state map[string]any) (names []string) {
	for _, field := range []string{"Next", "Default"} {
		if s, ok := state[field].(string); ok {
			names = append(names, s)
		}
	}
	for _, field := range []string{"Choices", "Catch"} {
		list, _ := state[field].([]any)
		for _, each := range list {
			if m, ok := each.(map[string]any); ok {
				if s, ok := m["Next"].(string); ok {
					names = append(names, s)
				}
			}
		}
	}
	return names
}

// testStateMocks answers the state as the call's mock does. A mock of a Map or a Parallel stands for the whole of it, which no mock file can say, and the
// configuration puts the state where no execution stands at its beginning.
func (c *corpusCase) testStateMocks(name string, state map[string]any) (*TestCase, error) {
	switch mock := c.Args.Mock; {
	case c.NeedsService, len(c.Args.Configuration) > 0, len(c.Args.Variables) > 2, mock != nil && state["Type"] != "Task":
		return nil, errNotApplicable
	case mock == nil:
		return nil, nil
	case mock.ErrorOutput != nil:
		answers := map[string]any{"0": corpusMock{Error: mock.ErrorOutput}.response()}
		if c.Expected.Status == "RETRIABLE" {
			answers["1"] = map[string]any{"Return": map[string]any{}}
		}
		return testCaseOf(map[string]any{name: name}, map[string]any{name: answers})
	default:
		return testCaseOf(map[string]any{name: name}, map[string]any{name: map[string]any{"0-99": map[string]any{"Return": mock.Result}}})
	}
}

// testStateContext makes the context object that of an Express execution, as TestState has it, or the one that was given, whole.
func (c *corpusCase) testStateContext() map[string]any {
	if c.Args.Context == nil {
		return (&corpusCase{Machine: "EXPRESS"}).context()
	}
	defaults := map[string]any{"StateMachine": map[string]any{"Id": "", "Name": ""}}
	var input any
	_ = json.Unmarshal(c.Args.Input, &input)
	defaults["Execution"] = map[string]any{"Id": "", "Name": "", "Input": input, "RoleArn": "", "StartTime": "", "RedriveCount": 0}
	wanted := map[string]any{}
	for name := range defaults {
		if v, ok := c.Args.Context[name]; ok {
			wanted[name] = v
		}
	}
	return patchOf(defaults, wanted)
}

// patchOf is the merge patch that makes one object of another: what is to go is null in it.
func patchOf(from, to map[string]any) map[string]any {
	patch := map[string]any{}
	for name := range from {
		patch[name] = nil
	}
	for name, v := range to {
		a, both := from[name].(map[string]any)
		b, ok := v.(map[string]any)
		if both && ok {
			v = patchOf(a, b)
		}
		patch[name] = v
	}
	return patch
}

func (c *corpusCase) compareTestState(r Result, types []string, name string, state map[string]any) error {
	e := c.Expected
	next := ""
	if len(r.States) > 1 {
		next = r.States[1]
	}
	if e.Next != next && (e.Next != "" || e.Status == "SUCCEEDED") {
		return fmt.Errorf("the next state is %q, want %q", next, e.Next)
	}
	switch e.Status {
	case "RETRIABLE":
		scheduled := 0
		for _, each := range types {
			if strings.HasSuffix(each, "Scheduled") {
				scheduled++
			}
		}
		if scheduled != 2 {
			return fmt.Errorf("the task was scheduled %d times, want a retry; it is %s", scheduled, r.Status)
		}
		return nil
	case "CAUGHT_ERROR":
		e.Status = "SUCCEEDED"
	}
	e.States, e.Types = nil, nil
	return e.compare(r, types)
}
