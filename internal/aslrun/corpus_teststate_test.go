package aslrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/corpustest"
)

// A testStateCase is a recorded call of TestState.
type testStateCase struct {
	*corpustest.Case
	DefinitionIs string `json:"definition_is"`
	Args         testStateArgs
}

// testStateArgs are the arguments of such a call.
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
func judgeTestState(ctx context.Context, recorded *corpustest.Case) error {
	c := &testStateCase{Case: recorded}
	if err := json.Unmarshal(recorded.File, c); err != nil {
		return err
	}
	name, state, machine, err := c.testedState()
	if err != nil {
		return err
	}
	if _, ok := c.Args.Context["State"]; c.Args.Context != nil && !ok {
		return corpustest.ErrNotApplicable // an engine always says which state it is in
	}
	definition := func() []byte { return alone(name, state, machine) }
	if c.Expected.Refused {
		if !strings.Contains(c.Expected.Message, "Invalid State Machine Definition") {
			return corpustest.ErrNotApplicable
		}
		_, err := corpustest.Parse(definition(), false)
		return err
	}
	test, err := c.testStateMocks(name, state)
	if err != nil {
		return err
	}
	m, err := corpustest.Parse(definition(), true)
	if err != nil {
		return err
	}
	input := c.Args.Input
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	result, err := c.Step(ctx, m, test, c.testStateContext(), input)
	if err != nil {
		return err
	}
	return c.compareTestState(result, name, state)
}

// testedState is the state, its name and the machine around it, which may be nil.
func (c *testStateCase) testedState() (name string, state, machine map[string]any, err error) {
	v, err := asl.DecodeJSON(c.DefinitionText())
	if err != nil {
		return "", nil, nil, err
	}
	all, _ := v.(map[string]any)
	if c.DefinitionIs == "machine" {
		if c.Args.StateName == nil {
			return "", nil, nil, corpustest.ErrNotApplicable
		}
		name = *c.Args.StateName
		state = find(all, name)
		if state == nil {
			return "", nil, nil, corpustest.ErrNotApplicable // of a name that is not there TestState complains itself
		}
		return name, state, all, nil
	}
	name = "StateName"
	if s, ok := c.Args.Context["State"].(map[string]any); ok {
		if given, _ := s["Name"].(string); given != "" {
			name = given
		}
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
func alone(name string, state, machine map[string]any) []byte {
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
	return asl.AppendJSON(nil, out)
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

// testStateMocks answers the state as the call's mock and configuration do. A task service that was really called, and the data of an ItemReader,
// have no counterpart here.
func (c *testStateCase) testStateMocks(name string, state map[string]any) (*aslrun.TestCase, error) {
	var tolerated bool
	for _, field := range []string{"ToleratedFailureCount", "ToleratedFailurePercentage"} {
		_, given := state[field]
		tolerated = tolerated || given
	}
	failures := string(c.Args.Configuration["mapIterationFailureCount"])
	_, reads := c.Args.Configuration["mapItemReaderData"]
	mock := c.Args.Mock
	switch {
	case mock == nil && state["Type"] == "Task", len(c.Args.Variables) > len("{}"), reads:
		return nil, corpustest.ErrNotApplicable
	case failures != "" && failures != "0" && !tolerated: // TestState tolerates all where the state tolerates none
		return nil, corpustest.ErrNotApplicable
	case mock == nil:
		return nil, nil
	case state["Type"] != "Task":
		return mockParts(state, mock.Result, failures)
	case mock.ErrorOutput != nil:
		thrown := corpustest.Mock{Error: mock.ErrorOutput}.Response()
		answers := map[string]any{"0": thrown, "1-99": thrown}
		if c.Expected.Status == "RETRIABLE" {
			answers["1-99"] = map[string]any{"Return": map[string]any{}}
		}
		return corpustest.TestCase(map[string]any{name: name}, map[string]any{name: answers})
	default:
		return corpustest.TestCase(map[string]any{name: name}, map[string]any{name: map[string]any{"0-99": map[string]any{"Return": mock.Result}}})
	}
}

// mockParts puts a task in place of each branch, or in place of what an iteration goes through, that returns its part of the mocked result; the last
// ones fail, as many as the configuration says.
func mockParts(state map[string]any, result json.RawMessage, failures string) (*aslrun.TestCase, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(result, &parts); err != nil {
		return nil, corpustest.ErrNotApplicable
	}
	fail, _ := strconv.Atoi(failures)
	states, responses := map[string]any{}, map[string]any{}
	part := func(name string) map[string]any {
		states[name] = name
		return map[string]any{"StartAt": name, "States": map[string]any{name: map[string]any{
			"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:111111111111:function:part", "End": true,
		}}}
	}
	answer := func(i int) any {
		if i >= len(parts)-fail {
			return map[string]any{"Throw": map[string]any{"Error": "Part"}}
		}
		return map[string]any{"Return": parts[i]}
	}
	if _, isParallel := state["Branches"]; isParallel {
		branches := make([]any, len(parts))
		for i := range parts {
			name := fmt.Sprintf("part %d", i)
			branches[i], responses[name] = part(name), map[string]any{"0": answer(i)}
		}
		state["Branches"] = branches
		return corpustest.TestCase(states, responses)
	}
	processor, _ := state["ItemProcessor"].(map[string]any)
	one := part("part")
	if config, ok := processor["ProcessorConfig"]; ok {
		one["ProcessorConfig"] = config
	}
	state["ItemProcessor"] = one
	calls := map[string]any{"99-999": map[string]any{"Return": 0}}
	for i := range parts {
		calls[strconv.Itoa(i)] = answer(i)
	}
	calls[fmt.Sprintf("%d-98", len(parts))] = map[string]any{"Return": 0} // of a retry
	responses["part"] = calls
	return corpustest.TestCase(states, responses)
}

// testStateContext makes the context object that of an Express execution, as TestState has it, or the one that was given, whole.
func (c *testStateCase) testStateContext() map[string]any {
	if c.Args.Context == nil {
		return (&corpustest.Case{Machine: "EXPRESS"}).Context()
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

var entered = regexp.MustCompile(`^An error occurred while executing the state '.*' \(entered at the event id #\d+\)\. `)

func (c *testStateCase) compareTestState(r aslrun.Result, name string, state map[string]any) error {
	e := c.Expected
	next := ""
	for _, each := range r.States[1:] {
		if slices.Contains(targets(state), each) {
			next = each
			break
		}
	}
	if cause, ok := r.Cause.(string); ok { // TestState has no history in which the state was entered
		r.Cause = entered.ReplaceAllString(cause, "")
	}
	if e.Next != next && (e.Next != "" || e.Status == "SUCCEEDED") {
		return fmt.Errorf("the next state is %q, want %q", next, e.Next)
	}
	switch e.Status {
	case "RETRIABLE":
		attempts := 0
		for _, each := range corpustest.Types(r.History) {
			if state["Type"] == "Task" && strings.HasSuffix(each, "Scheduled") || each == "MapStateStarted" {
				attempts++
			}
		}
		if attempts != 2 {
			return fmt.Errorf("there were %d attempts, want a retry; it is %s", attempts, r.Status)
		}
		return nil
	case "CAUGHT_ERROR":
		e.Status = "SUCCEEDED"
	}
	e.States, e.Types = nil, nil
	return e.Compare(r)
}
