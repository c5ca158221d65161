package aslrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// maxDelaySeconds bounds DelaySeconds: some thirty years, more than any execution may take.
const maxDelaySeconds = 1e9

// Mocks are a MockConfigFile.json, as AWS has it (https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local-mock-cfg-file.html): what each
// machine's test cases answer for which state, and the answers by name.
type Mocks struct {
	machines  map[string]map[string]map[string]string // machine -> test case -> state -> response name
	responses map[string][]response                   // by name, in the order of their numbers
}

// A response answers the calls from the number low to the number high.
type response struct {
	low, high int
	delay     time.Duration
	event     asl.Event
}

// A TestCase answers the calls of one run and counts them. It is for one run: the count goes on.
type TestCase struct {
	name      string
	responses map[string][]response // by state
	calls     map[string]int
}

// mockReader gathers everything that is wrong with a mock file.
type mockReader struct{ wrong []error }

func (r *mockReader) problem(at, format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
}

// ParseMocks reads a mock file. The error names everything that is wrong with it, where: a name that is misspelled would else be a mock that never
// answers.
func ParseMocks(text []byte) (*Mocks, error) {
	v, err := asl.DecodeJSON(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "asl: "))
	}
	r := &mockReader{}
	m := &Mocks{machines: map[string]map[string]map[string]string{}, responses: map[string][]response{}}
	top := r.object("the file", v)
	r.known("the file", top, "StateMachines", "MockedResponses", "Comment")
	for name, machine := range r.objects("StateMachines", top["StateMachines"]) {
		at := "StateMachines." + name
		r.known(at, machine, "TestCases", "Comment")
		m.machines[name] = map[string]map[string]string{}
		for test, states := range r.objects(at+".TestCases", machine["TestCases"]) {
			m.machines[name][test] = r.names(at+".TestCases."+test, states)
		}
	}
	for name, numbers := range r.objects("MockedResponses", top["MockedResponses"]) {
		m.responses[name] = r.responses("MockedResponses."+name, numbers)
	}
	if len(r.wrong) > 0 {
		slices.SortFunc(r.wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(r.wrong...)
	}
	return m, nil
}

func (r *mockReader) object(at string, v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		r.problem(at, "an object is expected")
	}
	return m
}

// objects is an object whose members are objects.
func (r *mockReader) objects(at string, v any) map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, each := range r.object(at, v) {
		if m := r.object(at+"."+name, each); m != nil {
			out[name] = m
		}
	}
	return out
}

func (r *mockReader) known(at string, m map[string]any, names ...string) {
	for name := range m {
		if !slices.Contains(names, name) {
			r.problem(at, "%q is not known here, only %s", name, strings.Join(names, ", "))
		}
	}
}

// names are the response names of a test case, by state.
func (r *mockReader) names(at string, states map[string]any) map[string]string {
	out := make(map[string]string, len(states))
	for state, v := range states {
		name, ok := v.(string)
		if !ok {
			r.problem(at+"."+state, "the name of one of MockedResponses is expected")
		}
		out[state] = name
	}
	return out
}

func (r *mockReader) responses(at string, numbers map[string]any) []response {
	list := make([]response, 0, len(numbers))
	for key, v := range numbers {
		low, high, ok := callNumbers(key)
		if !ok {
			r.problem(at, "%q is neither the number of a call, from 0, nor a range such as \"1-3\"", key)
			continue
		}
		answer := r.response(at+"."+key, v)
		answer.low, answer.high = low, high
		list = append(list, answer)
	}
	slices.SortFunc(list, func(a, b response) int { return a.low - b.low })
	for i := 1; i < len(list); i++ {
		if list[i].low <= list[i-1].high {
			r.problem(at, "call %d has two responses", list[i].low)
		}
	}
	return list
}

// callNumbers reads "2" or "1-3".
func callNumbers(key string) (low, high int, ok bool) {
	from, to, isRange := strings.Cut(key, "-")
	low, ok = callNumber(from)
	if !isRange {
		return low, low, ok
	}
	high, ok2 := callNumber(to)
	return low, high, ok && ok2 && low <= high
}

func callNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

// response reads Return or Throw, and DelaySeconds.
func (r *mockReader) response(at string, v any) response {
	m := r.object(at, v)
	if m == nil {
		return response{}
	}
	r.known(at, m, "Return", "Throw", "DelaySeconds")
	result, returns := m["Return"]
	thrown, throws := m["Throw"]
	answer := response{event: asl.Event{Kind: asl.TaskSucceeded, Output: result}}
	switch {
	case returns == throws:
		r.problem(at, "one of Return and Throw is expected")
	case throws:
		answer.event = asl.Event{Kind: asl.TaskFailed}
		what := r.object(at+".Throw", thrown)
		r.known(at+".Throw", what, "Error", "Cause")
		answer.event.Error, answer.event.NoError = r.text(at+".Throw.Error", what["Error"])
		answer.event.Cause, answer.event.NoCause = r.text(at+".Throw.Cause", what["Cause"])
	}
	if delay, ok := m["DelaySeconds"]; ok {
		number, _ := delay.(json.Number)
		seconds, err := number.Float64()
		if err != nil || seconds < 0 || seconds > maxDelaySeconds {
			r.problem(at+".DelaySeconds", "a number of seconds is expected, from 0 to %d", int64(maxDelaySeconds))
		}
		answer.delay = time.Duration(seconds * float64(time.Second))
	}
	return answer
}

func (r *mockReader) text(at string, v any) (s string, absent bool) {
	if v == nil {
		return "", true
	}
	s, ok := v.(string)
	if !ok {
		r.problem(at, "a string is expected")
	}
	return s, false
}

// TestCase is the named test case of the machine: that of the given name, or the file's only one. An empty name of a test case is the only one, too.
func (m *Mocks) TestCase(machine, name string) (*TestCase, error) {
	tests, ok := m.machines[machine]
	if !ok && len(m.machines) == 1 {
		for machine, tests = range m.machines {
			ok = true
		}
	}
	if !ok {
		return nil, fmt.Errorf("StateMachines has no %q, only %s; a machine is called as its file, without the extension", machine, list(m.machines))
	}
	states, ok := tests[name]
	if !ok && name == "" && len(tests) == 1 {
		for name, states = range tests {
			ok = true
		}
	}
	if !ok {
		return nil, fmt.Errorf("StateMachines.%s has no test case %q, only %s", machine, name, list(tests))
	}
	t := &TestCase{name: name, responses: make(map[string][]response, len(states)), calls: map[string]int{}}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		responses, ok := m.responses[states[state]]
		if !ok {
			return nil, fmt.Errorf("StateMachines.%s.TestCases.%s.%s names %q, and MockedResponses has only %s", machine, name, state, states[state], list(m.responses))
		}
		t.responses[state] = responses
	}
	return t, nil
}

// list names what there is, for a message.
func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "nothing"
	}
	const most = 10
	names := slices.Sorted(maps.Keys(m))
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d others", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// call counts a call of the state, and is the number of that call and its response; nil: there is none.
func (t *TestCase) call(state string) (n int, answer *response) {
	if t == nil {
		return 0, nil
	}
	n = t.calls[state]
	t.calls[state]++
	return n, t.response(state, n)
}

func (t *TestCase) response(state string, n int) *response {
	for i := range t.responses[state] {
		if r := &t.responses[state][i]; r.low <= n && n <= r.high {
			return r
		}
	}
	return nil
}

// Answer is what the mocks say to the n-th call of the state, from 0, and how long that takes. It counts nothing: it is for who calls again what was
// called before. The event has neither an ID nor a time. The error says which mock is missing.
func (t *TestCase) Answer(state string, n int) (answer asl.Event, after time.Duration, err error) {
	r := t.response(state, n)
	if r == nil {
		return asl.Event{}, 0, t.missing(state, n)
	}
	return r.event, r.delay, nil
}

// missing is why a run stops at a call that nothing answers.
func (t *TestCase) missing(state string, n int) error {
	switch {
	case t == nil:
		return fmt.Errorf("state %q is called (call 0), and there are no mocks: --mocks FILE --test-case NAME", state)
	case t.responses[state] == nil:
		return fmt.Errorf("state %q is called (call %d), and test case %q has no mock for it", state, n, t.name)
	}
	return fmt.Errorf("state %q is called (call %d), and its mock in test case %q has no response %d", state, n, t.name, n)
}
