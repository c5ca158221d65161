package aslrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// corpusVariable names the folder of what was recorded on AWS, a corpus that is kept outside of this repository. Its README describes the files.
// With corpusVerbose set, too, the test names what it does not judge.
const (
	corpusVariable = "CLOUDFLOW_ASL_CORPUS"
	corpusVerbose  = "CLOUDFLOW_ASL_CORPUS_VERBOSE"
)

// A corpusCase is one file, of whichever kind.
type corpusCase struct {
	ID         string
	Kind       string
	Recorded   string
	Features   []string
	Definition json.RawMessage
	Text       *string `json:"text"`
	Malformed  *string `json:"definition_text"`
	Input      json.RawMessage
	Mocks      map[string][]corpusMock `json:"task_mocks"`
	Machine    string                  `json:"machine_type"`
	Expected   corpusExpectation
	Valid      *bool // of a validator's fixture

	DefinitionIs string        `json:"definition_is"` // of a TestState call
	Args         testStateArgs `json:"args"`
}

type corpusExpectation struct {
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

type corpusMock struct {
	Parameters json.RawMessage // that the engine must send
	Result     json.RawMessage
	Error      *struct{ Error, Cause *string }
	Timeout    bool
}

// errNotApplicable is for what this driver has no place for, and the contract does not ask for.
var errNotApplicable = errors.New("not applicable")

// errUnsupported is for a definition that is refused for what is not supported yet, and for nothing else.
var errUnsupported = errors.New("unsupported")

// TestCorpus feeds everything that was recorded on AWS to what the command line runs. Nothing looks at a case's name.
func TestCorpus(t *testing.T) {
	folder := os.Getenv(corpusVariable)
	if folder == "" {
		t.Skip(corpusVariable + " is not set: what was recorded on AWS is not compared")
	}
	for _, suite := range []struct {
		name  string
		judge func(context.Context, *corpusCase) error
	}{
		{"cases", judgeCase}, {"cases_services", judgeCase}, {"cases_teststate", judgeTestState}, {"validators", judgeFixture},
	} {
		files, err := filepath.Glob(filepath.Join(folder, suite.name, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases in %s: %v", suite.name, err)
		}
		tallies := map[string]*tally{}
		for _, file := range files {
			var c corpusCase
			text, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(text, &c)
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			tallyOf(tallies, c.mode()).add(t, suite.name+"/"+filepath.Base(file), suite.judge(t.Context(), &c))
		}
		for _, mode := range slices.Sorted(maps.Keys(tallies)) {
			t.Logf("%s, %s: %s", suite.name, mode, tallies[mode])
		}
	}
}

type tally struct{ passed, failed, unsupported, notApplicable int }

func tallyOf(all map[string]*tally, mode string) *tally {
	if all[mode] == nil {
		all[mode] = &tally{}
	}
	return all[mode]
}

func (n *tally) add(t *testing.T, name string, err error) {
	switch {
	case err == nil:
		n.passed++
	case errors.Is(err, errUnsupported):
		n.unsupported++
		if os.Getenv(corpusVerbose) != "" {
			t.Logf("%s: %v", name, err)
		}
	case errors.Is(err, errNotApplicable):
		n.notApplicable++
		if os.Getenv(corpusVerbose) != "" {
			t.Logf("%s: %v", name, err)
		}
	default:
		n.failed++
		t.Errorf("%s: %v", name, err)
	}
}

func (n *tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d unsupported, %d not applicable", n.passed, n.failed, n.unsupported, n.notApplicable)
}

// mode is the query language of a case.
func (c *corpusCase) mode() string {
	if slices.Contains(c.Features, "jsonata") || strings.Contains(string(c.Definition), `"JSONata"`) {
		return "JSONata"
	}
	return "JSONPath"
}

// definition is the text of the machine, with resources that are well formed where the recording has a placeholder: any name for a function does, but
// an activity is known by its ARN.
func (c *corpusCase) definition() []byte {
	switch {
	case c.Malformed != nil:
		return []byte(*c.Malformed)
	case len(c.Definition) > 0 && string(c.Definition) != "null":
		return []byte(wellFormed.Replace(string(c.Definition)))
	case c.Text != nil:
		return []byte(*c.Text)
	}
	return nil
}

var wellFormed = strings.NewReplacer(`"activity_arn"`, `"arn:aws:states:us-east-1:111111111111:activity:activity_arn"`)

// parsed compiles a definition and compares the verdict.
func parsed(definition []byte, valid bool) (*asl.Machine, error) {
	m, err := Parse(definition)
	var invalid *asl.InvalidError
	switch {
	case errors.As(err, &invalid) && !slices.ContainsFunc(invalid.Problems, saysMore):
		return nil, fmt.Errorf("%w: %s", errUnsupported, invalid.Problems[0].Message)
	case valid != (err == nil):
		return nil, fmt.Errorf("valid is %t, but Parse says %w", valid, err)
	}
	return m, nil
}

// saysMore reports whether a problem is another than that something is not supported yet.
func saysMore(p asl.Problem) bool {
	return !strings.Contains(p.Message, "not supported yet") && !strings.Contains(p.Message, "not supported without")
}

// judgeFixture compares the verdict on a validator's fixture.
func judgeFixture(_ context.Context, c *corpusCase) error {
	_, err := parsed(c.definition(), *c.Valid)
	return err
}

// judgeCase runs an execution, or compares the verdict on a definition.
func judgeCase(ctx context.Context, c *corpusCase) error {
	valid := c.Kind == "execution" || c.Expected.Creation == "OK"
	m, err := parsed(c.definition(), valid)
	switch {
	case !valid && c.Machine == "EXPRESS" && err != nil:
		return errNotApplicable // there is no machine type
	case err != nil || c.Kind != "execution":
		return err
	}
	test, err := c.mocks()
	if err != nil {
		return err
	}
	if !c.knowsItsInput() {
		c.Expected.StateIO = nil
	}
	result, types, err := c.run(ctx, m, test, c.context(), c.Input)
	if err != nil {
		return err
	}
	return errors.Join(c.Expected.compare(result, types), c.compareSent(result))
}

// placeholder is what the recording has in place of a name that was generated.
var placeholder = regexp.MustCompile(`<[^<>]*>|a_task_token`)

// compareSent compares what the tasks were sent, call by call.
func (c *corpusCase) compareSent(r Result) error {
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

// mocks makes a mock file of the recorded answers, in the order of the recording.
func (c *corpusCase) mocks() (*TestCase, error) {
	states, responses := map[string]any{}, map[string]any{}
	for state, calls := range c.Mocks {
		states[state] = state
		numbers := map[string]any{}
		for i, m := range calls {
			numbers[strconv.Itoa(i)] = m.response()
		}
		responses[state] = numbers
	}
	return testCaseOf(states, responses)
}

func testCaseOf(states, responses map[string]any) (*TestCase, error) {
	text, err := json.Marshal(map[string]any{
		"StateMachines":   map[string]any{"m": map[string]any{"TestCases": map[string]any{"recorded": states}}},
		"MockedResponses": responses,
	})
	if err != nil {
		return nil, err
	}
	mocks, err := ParseMocks(text)
	if err != nil {
		return nil, err
	}
	return mocks.TestCase("m", "recorded")
}

func (m corpusMock) response() map[string]any {
	switch {
	case m.Timeout:
		return map[string]any{"Return": map[string]any{}, "DelaySeconds": 31536000}
	case m.Error != nil:
		thrown := map[string]any{}
		if m.Error.Error != nil {
			thrown["Error"] = *m.Error.Error
		}
		if m.Error.Cause != nil {
			thrown["Cause"] = *m.Error.Cause
		}
		return map[string]any{"Throw": thrown}
	}
	return map[string]any{"Return": m.Result}
}

// redriveBegan is when AWS put RedriveCount into the context object.
var redriveBegan = time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC)

// context is that of the recording account at the time of the recording.
func (c *corpusCase) context() map[string]any {
	const account = "arn:aws:states:us-east-1:111111111111:"
	execution := map[string]any{
		"Id": account + "execution:m:e", "Name": "e", "RoleArn": "arn:aws:iam::111111111111:role/m", "StartTime": "2025-01-01T00:00:00.000Z",
	}
	if at, err := time.Parse("02-01-2006, 15:04:05", c.Recorded); err == nil && at.Before(redriveBegan) {
		execution["RedriveCount"] = nil
	}
	if c.Machine == "EXPRESS" {
		execution["Id"], execution["RedriveCount"] = account+"express:m:e:f", nil
	}
	return map[string]any{"Execution": execution, "StateMachine": map[string]any{"Id": account + "stateMachine:m", "Name": "m"}}
}

func (c *corpusCase) run(ctx context.Context, m *asl.Machine, test *TestCase, patch any, input json.RawMessage) (Result, []string, error) {
	in, err := asl.DecodeJSON(input)
	if err != nil {
		return Result{}, nil, err
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return Result{}, nil, err
	}
	onto, err := asl.DecodeJSON(text)
	if err != nil {
		return Result{}, nil, err
	}
	result, err := Run{
		Machine: m, Name: "m", Input: in, Mocks: test, Context: onto, History: true, Execution: "e", Now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	}.Do(ctx)
	var types []string
	for _, e := range result.History {
		types = append(types, e.Type)
	}
	return result, types, err
}

func (e *corpusExpectation) compare(r Result, types []string) error {
	if string(r.Status) != e.Status {
		return fmt.Errorf("status %s, want %s (%v: %v)", r.Status, e.Status, r.Error, r.Cause)
	}
	want, got := slices.Clone(e.States), slices.Clone(r.States)
	wantTypes, gotTypes := slices.Clone(e.Types), slices.Clone(types)
	if e.Ordered != nil && !*e.Ordered { // concurrent: how AWS interleaved it says nothing
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
func (e *corpusExpectation) compareEnd(r Result) error {
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
		want, _ = asl.DecodeJSON([]byte(text(want)))
		got, _ = asl.DecodeJSON([]byte(text(got)))
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
