// Package corpustest reads what was recorded of executions on AWS, a corpus that is kept outside of this repository, and compares with it what an
// engine makes of the same executions. Its README describes the files. Nothing in here looks at a case's name.
package corpustest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
)

// The environment variable Folder names where the corpus lies. With Verbose set, too, a tally names what it does not judge.
const (
	folderVariable  = "CLOUDFLOW_ASL_CORPUS"
	verboseVariable = "CLOUDFLOW_ASL_CORPUS_VERBOSE"
)

// A Case is one file, of whichever kind.
type Case struct {
	ID         string
	Kind       string
	Recorded   string
	Features   []string
	Definition json.RawMessage
	Text       *string `json:"text"`
	Malformed  *string `json:"definition_text"`
	Input      json.RawMessage
	Mocks      map[string][]Mock `json:"task_mocks"`
	Machine    string            `json:"machine_type"`
	Expected   Expectation
	Valid      *bool // of a validator's fixture

	Name string          `json:"-"` // the folder and the file's name
	File json.RawMessage `json:"-"` // all of it, for who knows more of its kind
}

// A Mock is what was recorded of one call of a task.
type Mock struct {
	Parameters json.RawMessage // that the engine must send
	Result     json.RawMessage
	Error      *struct{ Error, Cause *string }
	Timeout    bool
}

// ErrNotApplicable is for what an engine has no place for, and is not asked for. ErrUnsupported is for a definition that is refused for what is not
// supported yet, and for nothing else.
var (
	ErrNotApplicable = errors.New("not applicable")
	ErrUnsupported   = errors.New("unsupported")
)

// Folder is where the corpus lies. A test that has none says so and is skipped.
func Folder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv(folderVariable)
	if folder == "" {
		t.Skip(folderVariable + " is not set: what was recorded on AWS is not compared")
	}
	return folder
}

// Read reads the cases of one folder of the corpus, at least one, in the order of their names.
func Read(t *testing.T, folder, suite string) []*Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, suite, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s: %v", suite, err)
	}
	cases := make([]*Case, len(files))
	for i, file := range files {
		c := &Case{Name: suite + "/" + filepath.Base(file)}
		if c.File, err = os.ReadFile(file); err == nil {
			err = json.Unmarshal(c.File, c)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases[i] = c
	}
	return cases
}

// Judge has each case of a suite judged, and logs and returns how many agree, by query language.
func Judge(t *testing.T, folder, suite string, judge func(context.Context, *Case) error) map[string]*Tally {
	t.Helper()
	tallies := map[string]*Tally{}
	for _, c := range Read(t, folder, suite) {
		mode := c.Mode()
		if tallies[mode] == nil {
			tallies[mode] = &Tally{}
		}
		tallies[mode].add(t, c.Name, judge(t.Context(), c))
	}
	for _, mode := range slices.Sorted(maps.Keys(tallies)) {
		t.Logf("%s, %s: %s", suite, mode, tallies[mode])
	}
	return tallies
}

// A Tally is how many cases agree, and how many are not judged.
type Tally struct{ Passed, Failed, Unsupported, NotApplicable int }

func (n *Tally) add(t *testing.T, name string, err error) {
	t.Helper()
	switch {
	case err == nil:
		n.Passed++
		return
	case errors.Is(err, ErrUnsupported):
		n.Unsupported++
	case errors.Is(err, ErrNotApplicable):
		n.NotApplicable++
	default:
		n.Failed++
		t.Errorf("%s: %v", name, err)
		return
	}
	if os.Getenv(verboseVariable) != "" {
		t.Logf("%s: %v", name, err)
	}
}

func (n *Tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d unsupported, %d not applicable", n.Passed, n.Failed, n.Unsupported, n.NotApplicable)
}

// Mode is the query language of a case.
func (c *Case) Mode() string {
	if slices.Contains(c.Features, "jsonata") || strings.Contains(string(c.Definition), `"JSONata"`) {
		return "JSONata"
	}
	return "JSONPath"
}

// DefinitionText is the text of the machine, with resources that are well formed where the recording has a placeholder: any name for a function does,
// but an activity is known by its ARN.
func (c *Case) DefinitionText() []byte {
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

// Parse compiles a definition and compares the verdict.
func Parse(definition []byte, valid bool) (*asl.Machine, error) {
	m, err := aslrun.Parse(definition)
	var invalid *asl.InvalidError
	switch {
	case errors.As(err, &invalid) && !slices.ContainsFunc(invalid.Problems, saysMore):
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, invalid.Problems[0].Message)
	case valid != (err == nil):
		return nil, fmt.Errorf("valid is %t, but Parse says %w", valid, err)
	}
	return m, nil
}

// saysMore reports whether a problem is another than that something is not supported yet.
func saysMore(p asl.Problem) bool {
	return !strings.Contains(p.Message, "not supported yet") && !strings.Contains(p.Message, "not supported without")
}

// TestCase makes a mock file of the recorded answers, in the order of the recording.
func (c *Case) TestCase() (*aslrun.TestCase, error) {
	states, responses := map[string]any{}, map[string]any{}
	for state, calls := range c.Mocks {
		states[state] = state
		numbers := map[string]any{}
		for i, m := range calls {
			numbers[fmt.Sprint(i)] = m.Response()
		}
		responses[state] = numbers
	}
	return TestCase(states, responses)
}

// TestCase reads mocks as they stand in a mock file: the names of responses by state, and the responses by name.
func TestCase(states, responses map[string]any) (*aslrun.TestCase, error) {
	text, err := json.Marshal(map[string]any{
		"StateMachines":   map[string]any{"m": map[string]any{"TestCases": map[string]any{"recorded": states}}},
		"MockedResponses": responses,
	})
	if err != nil {
		return nil, err
	}
	mocks, err := aslrun.ParseMocks(text)
	if err != nil {
		return nil, err
	}
	return mocks.TestCase("m", "recorded")
}

// Response is the recorded answer as a mock file has it.
func (m Mock) Response() map[string]any {
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

// Where the corpus was recorded.
const (
	Region  = "us-east-1"
	Account = "111111111111"
)

// redriveBegan is when AWS put RedriveCount into the context object.
var redriveBegan = time.Date(2023, 11, 15, 0, 0, 0, 0, time.UTC)

// recordedAt is when each execution starts: the recording has no times.
var recordedAt = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// BeforeRedrive reports whether the case was recorded when the context object had no RedriveCount.
func (c *Case) BeforeRedrive() bool {
	at, err := time.Parse("02-01-2006, 15:04:05", c.Recorded)
	return err == nil && at.Before(redriveBegan)
}

// Express reports whether the machine is of the type EXPRESS.
func (c *Case) Express() bool { return c.Machine == "EXPRESS" }

// Context is the context object of the recording account at the time of the recording, as a merge patch of aslrun.
func (c *Case) Context() map[string]any {
	const arn = "arn:aws:states:" + Region + ":" + Account + ":"
	execution := map[string]any{
		"Id": arn + "execution:m:e", "Name": "e", "RoleArn": "arn:aws:iam::" + Account + ":role/m", "StartTime": recordedAt.Format("2006-01-02T15:04:05.000Z"),
	}
	if c.BeforeRedrive() {
		execution["RedriveCount"] = nil
	}
	if c.Express() {
		execution["Id"], execution["RedriveCount"] = arn+"express:m:e:f", nil
	}
	return map[string]any{"Execution": execution, "StateMachine": map[string]any{"Id": arn + "stateMachine:m", "Name": "m"}}
}

// Step runs the case through the pure stepper, with that patch upon the context object.
func (c *Case) Step(ctx context.Context, m *asl.Machine, test *aslrun.TestCase, patch any, input json.RawMessage) (aslrun.Result, error) {
	in, err := asl.DecodeJSON(input)
	if err != nil {
		return aslrun.Result{}, err
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return aslrun.Result{}, err
	}
	onto, err := asl.DecodeJSON(text)
	if err != nil {
		return aslrun.Result{}, err
	}
	return aslrun.Run{Machine: m, Name: "m", Input: in, Mocks: test, Context: onto, History: true, Execution: "e", Now: recordedAt}.Do(ctx)
}
