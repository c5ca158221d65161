package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// corpusVariable names the folder of recorded executions: cases/*.json of the corpus that is kept outside of this
// repository. Its README describes the files.
const corpusVariable = "CLOUDFLOW_ASL_CORPUS"

type corpusCase struct {
	ID         string
	Kind       string
	Features   []string
	Definition json.RawMessage
	Text       *string `json:"definition_text"`
	Input      json.RawMessage
	Mocks      map[string][]corpusMock `json:"task_mocks"`
	Machine    string                  `json:"machine_type"`
	Expected   struct {
		Status      string
		Output      json.RawMessage
		Error       *string
		Cause       *string
		CauseIsJSON bool     `json:"cause_is_json"`
		States      []string `json:"state_sequence"`
		Ordered     *bool    `json:"state_sequence_ordered"`
		Types       []string `json:"history_event_types"`
		Lossy       any      `json:"history_event_types_lossy"`
		Creation    string
	}
	Valid *bool
	File  string `json:"text"`
}

type corpusMock struct {
	Parameters json.RawMessage
	Result     json.RawMessage
	Error      *struct{ Error, Cause *string }
	Timeout    bool
}

// TestCorpus runs what was recorded on AWS. A definition that is refused for what is not supported yet, and for nothing
// else, counts as unsupported; everything else has to agree.
func TestCorpus(t *testing.T) {
	folder := os.Getenv(corpusVariable)
	if folder == "" {
		t.Skip(corpusVariable + " is not set: the recorded executions are not compared")
	}
	var tally corpusTally
	for _, sub := range []string{"cases", "cases_services", "validators"} {
		files, err := filepath.Glob(filepath.Join(folder, sub, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases in %s: %v", sub, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c corpusCase
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			tally.add(t, filepath.Base(file), corpusVerdict(&c))
		}
		t.Logf("%s: %d passed, %d failed, %d unsupported", sub, tally.passed, tally.failed, tally.unsupported)
		tally = corpusTally{}
	}
}

type corpusTally struct{ passed, failed, unsupported int }

var errUnsupported = errors.New("unsupported")

func (n *corpusTally) add(t *testing.T, name string, err error) {
	switch {
	case err == nil:
		n.passed++
	case errors.Is(err, errUnsupported):
		n.unsupported++
	default:
		n.failed++
		t.Errorf("%s: %v", name, err)
	}
}

func corpusVerdict(c *corpusCase) error {
	definition := []byte(c.Definition)
	if string(definition) == "null" || len(definition) == 0 {
		definition = []byte(c.File)
		if c.Text != nil {
			definition = []byte(*c.Text)
		}
	}
	definition = []byte(strings.ReplaceAll(string(definition), `"activity_arn"`, `"arn:aws:states:us-east-1:111111111111:activity:a"`))
	m, err := Parse(definition)
	valid := c.Kind == "execution" || c.Expected.Creation == "OK" || c.Valid != nil && *c.Valid
	var invalid *InvalidError
	switch {
	case errors.As(err, &invalid) && onlyUnsupported(invalid):
		return errUnsupported
	case !valid && c.Machine == "EXPRESS":
		return errUnsupported // there is no machine type
	case valid != (err == nil):
		return fmt.Errorf("valid is %t, but Parse says %w", valid, err)
	case c.Kind != "execution":
		return nil
	}
	return corpusExecution(c, m)
}

func onlyUnsupported(e *InvalidError) bool {
	return !slices.ContainsFunc(e.Problems, func(p Problem) bool {
		return !strings.Contains(p.Message, "not supported yet") && !strings.Contains(p.Message, "not supported without")
	})
}

func corpusExecution(c *corpusCase, m *Machine) error {
	input, err := DecodeJSON(c.Input)
	if err != nil {
		return err
	}
	var types, entered []string
	const account = "arn:aws:states:us-east-1:111111111111:"
	start := Start{
		Input: input, Name: "e", ID: account + "execution:m:e", RoleARN: "arn:aws:iam::111111111111:role/m",
		Machine: "m", MachineID: account + "stateMachine:m", Time: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		Token: func(int64) string { return "a_task_token" },
		Observe: func(e HistoryEvent) {
			types = append(types, e.Type)
			if strings.HasSuffix(e.Type, "StateEntered") {
				entered = append(entered, e.State)
			}
		},
	}
	if strings.Contains(c.ID, "retry_extended_input") { // recorded before AWS put RedriveCount into the context object
		start.Context = map[string]any{
			"Execution": map[string]any{
				"Id": start.ID, "Name": start.Name, "RoleArn": start.RoleARN, "Input": input, "StartTime": formatTimestamp(start.Time),
			},
			"StateMachine": map[string]any{"Id": start.MachineID, "Name": start.Machine},
		}
	}
	x, commands := m.Start(start)
	if err := c.drive(x, commands); err != nil {
		return err
	}
	return c.compare(x, entered, types)
}

// drive answers what is due first, of two at one time the older one.
func (c *corpusCase) drive(x *Execution, commands []Command) error {
	now, calls := x.start.Time, map[string]int{}
	var due []Event
	for {
		for _, command := range commands {
			ev := Event{Kind: TimerFired, ID: command.ID, Time: command.At}
			switch command.Kind {
			case Cancel:
				due = slices.DeleteFunc(due, func(e Event) bool { return e.ID == command.ID })
				continue
			case RunTask:
				ev.Time = now
				if err := c.answer(&ev, command, calls); err != nil {
					return err
				}
			case StartTimer:
			}
			due = append(due, ev)
		}
		if x.Status() != StatusRunning {
			return nil
		}
		slices.SortStableFunc(due, func(a, b Event) int { return a.Time.Compare(b.Time) })
		ev := due[0]
		due = due[1:]
		if ev.Time.After(now) {
			now = ev.Time
		}
		var err error
		if commands, err = x.Step(ev); err != nil {
			return err
		}
	}
}

// corpusPlaceholder is what the recorder put in place of a name: not always the same one for the same name.
var corpusPlaceholder = regexp.MustCompile(`<[^<>]*>`)

func (c *corpusCase) answer(ev *Event, command Command, calls map[string]int) error {
	n := calls[command.State]
	calls[command.State]++
	if n >= len(c.Mocks[command.State]) {
		return fmt.Errorf("call %d of %s has no mock", n, command.State)
	}
	mock := c.Mocks[command.State][n]
	if len(mock.Parameters) > 0 && string(mock.Parameters) != "null" {
		want, err := DecodeJSON(corpusPlaceholder.ReplaceAll(mock.Parameters, []byte("__ANY__")))
		if err != nil {
			return err
		}
		if !corpusEqual(want, command.Input) {
			return fmt.Errorf("the task's input is %s, want %s", AppendJSON(nil, command.Input), mock.Parameters)
		}
	}
	var err error
	switch {
	case mock.Timeout:
		after := command.Timeout
		if command.Heartbeat > 0 {
			after = command.Heartbeat
		}
		ev.Kind, ev.Time = TaskTimedOut, ev.Time.Add(after)
	case mock.Error != nil:
		ev.Kind = TaskFailed
		ev.Error, ev.NoError = deref(mock.Error.Error)
		ev.Cause, ev.NoCause = deref(mock.Error.Cause)
	default:
		ev.Kind = TaskSucceeded
		if ev.Output, err = DecodeJSON(mock.Result); err != nil {
			return err
		}
	}
	return nil
}

func deref(s *string) (string, bool) {
	if s == nil {
		return "", true
	}
	return *s, false
}

func (c *corpusCase) compare(x *Execution, entered, types []string) error {
	e := c.Expected
	if string(x.Status()) != e.Status {
		name, cause := x.Failure()
		return fmt.Errorf("status %s, want %s (%s: %s)", x.Status(), e.Status, name, cause)
	}
	if e.Ordered != nil && !*e.Ordered { // recorded without the order of what was concurrent
		slices.Sort(entered)
		slices.Sort(e.States)
	}
	if e.States != nil && !slices.Equal(entered, e.States) {
		return fmt.Errorf("states %v, want %v", entered, e.States)
	}
	if e.Types != nil && (e.Lossy == nil || e.Lossy == false) && !slices.Equal(types, e.Types) {
		return fmt.Errorf("events %v, want %v", types, e.Types)
	}
	if x.Status() == StatusSucceeded {
		want, err := DecodeJSON(e.Output)
		if err != nil {
			return err
		}
		if !corpusEqual(want, x.Output()) {
			return fmt.Errorf("output %s, want %s", AppendJSON(nil, x.Output()), e.Output)
		}
		return nil
	}
	name, cause := x.FailureJSON()
	if !corpusEqual(pointed(e.Error), name) {
		return fmt.Errorf("error %v, want %v", name, pointed(e.Error))
	}
	want := pointed(e.Cause)
	if e.CauseIsJSON {
		want, _ = DecodeJSON([]byte(*e.Cause))
		text, _ := cause.(string)
		cause, _ = DecodeJSON([]byte(text))
	}
	if !corpusEqual(want, cause) {
		return fmt.Errorf("cause %v, want %v", cause, want)
	}
	return nil
}

func pointed(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// corpusEqual compares with __ANY__ in want: it matches anything, and within a longer string any text.
func corpusEqual(want, got any) bool {
	switch want := want.(type) {
	case string:
		if want == "__ANY__" {
			return true
		}
		s, ok := got.(string)
		return ok && matchTexts(strings.Split(want, "__ANY__"), s)
	case json.Number:
		n, ok := got.(json.Number)
		return ok && compareNumbers(want, n) == 0
	case []any:
		a, ok := got.([]any)
		return ok && slices.EqualFunc(want, a, corpusEqual)
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok || len(m) != len(want) {
			return false
		}
		for name, v := range want {
			if w, ok := m[name]; !ok || !corpusEqual(v, w) {
				return false
			}
		}
		return true
	}
	return want == got
}
