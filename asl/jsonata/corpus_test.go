package jsonata

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
)

// corpusVariable names the folder of executions that were recorded on AWS: cases/*.json of the corpus that is kept outside of this repository.
const corpusVariable = "CLOUDFLOW_ASL_CORPUS"

type corpusCase struct {
	ID         string
	Kind       string
	Features   []string
	Definition any
	Mocks      map[string][]struct{ Result any } `json:"task_mocks"`
	Expected   struct {
		Next     string       `json:"nextState"`
		IO       []corpusStep `json:"state_io"`
		Sequence []string     `json:"top_level_state_sequence"`
	}
}

// corpusStep is a state that was entered, with its input, or left, with its output and the variables that it assigned.
type corpusStep struct {
	Event, State string
	Input        any
	Output       any
	Assigned     map[string]any
}

// TestCorpus compiles every expression of the recorded executions, and evaluates those whose result can be read off the recording: the fields Output and
// Assign of states, and the conditions of choices, by where they led.
func TestCorpus(t *testing.T) {
	folder := os.Getenv(corpusVariable)
	if folder == "" {
		t.Skip(corpusVariable + " is not set: the recorded expressions are not compared")
	}
	var c corpusRun
	for _, sub := range []string{"cases", "cases_services", "cases_teststate"} {
		files, err := filepath.Glob(filepath.Join(folder, sub, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases in %s: %v", sub, err)
		}
		for _, file := range files {
			c.file(t, file)
		}
	}
	t.Logf("%d expressions compiled; of %d with a recorded result %d agree", c.compiled, c.compared, c.agreed)
	if c.compiled < 100 || c.compared < 50 {
		t.Errorf("%d expressions, %d results: too few", c.compiled, c.compared)
	}
}

type corpusRun struct{ compiled, compared, agreed int }

func (r *corpusRun) file(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c corpusCase
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if !slices.Contains(c.Features, "jsonata") {
		return
	}
	expressions(c.Definition, nil, func(_ []any, text string) {
		r.compiled++
		if _, err := (Evaluator{}).Compile(text); err != nil {
			t.Errorf("%s: %s: %v", c.ID, text, err)
		}
	})
	r.replay(t, &c)
}

// expressions calls f for each {% %} in v, with where it stands.
func expressions(v any, at []any, f func(at []any, text string)) {
	switch v := v.(type) {
	case string:
		if inner, ok := strings.CutPrefix(v, "{%"); ok && strings.HasSuffix(inner, "%}") {
			f(slices.Clone(at), strings.TrimSpace(strings.TrimSuffix(inner, "%}")))
		}
	case []any:
		for i, e := range v {
			expressions(e, append(at, i), f)
		}
	case map[string]any:
		for name, e := range v {
			expressions(e, append(at, name), f)
		}
	}
}

// replay follows the states as they were recorded, with the variables that they assigned.
func (r *corpusRun) replay(t *testing.T, c *corpusCase) {
	states := map[string]map[string]any{}
	collectStates(c.Definition, states)
	variables := map[string]any{}
	inputs := map[string][]any{}
	results := map[string][]any{}
	for name, mocks := range c.Mocks {
		for _, mock := range mocks {
			if mock.Result != nil {
				results[name] = append(results[name], mock.Result)
			}
		}
	}
	for i, step := range c.Expected.IO {
		if strings.HasSuffix(step.Event, "Entered") {
			inputs[step.State] = append(inputs[step.State], step.Input)
			continue
		}
		state := states[step.State]
		reserved := map[string]any{}
		if queue := inputs[step.State]; len(queue) > 0 {
			reserved["input"], inputs[step.State] = queue[0], queue[1:]
		}
		if queue := results[step.State]; len(queue) > 0 {
			reserved["result"], results[step.State] = queue[0], queue[1:]
		}
		scope := scopeOf(t, `{}`)
		scope.Variable = func(name string) (any, bool) {
			if name == "states" {
				return reserved, true
			}
			v, ok := variables[name]
			return v, ok
		}
		r.field(t, c, state["Output"], step.Output, scope)
		if step.Assigned != nil {
			r.field(t, c, state["Assign"], any(step.Assigned), scope)
		}
		if i+1 < len(c.Expected.IO) {
			r.choices(t, c, state, c.Expected.IO[i+1].State, scope)
		}
		for name, v := range step.Assigned {
			variables[name] = v
		}
	}
}

func collectStates(v any, into map[string]map[string]any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			collectStates(e, into)
		}
	case map[string]any:
		if states, ok := v["States"].(map[string]any); ok {
			for name, s := range states {
				into[name], _ = s.(map[string]any)
			}
		}
		for _, e := range v {
			collectStates(e, into)
		}
	}
}

// field compares the expressions of a field with what the recording has in their places.
func (r *corpusRun) field(t *testing.T, c *corpusCase, field, recorded any, scope asl.ExpressionScope) {
	expressions(field, nil, func(at []any, text string) {
		want, ok := lookUp(recorded, at)
		if !ok || strings.Contains(string(asl.AppendJSON(nil, want)), "__ANY__") {
			return
		}
		for _, unknown := range []string{"$states.context", "$states.errorOutput"} { // not recorded as a whole
			if text == "$states" || strings.Contains(text, unknown) {
				return
			}
		}
		got, defined, err := mustCompile(t, text).Eval(scope)
		r.compared++
		if err != nil || !defined || !sameJSON(got, want) {
			t.Errorf("%s: %s\n got %s\nwant %s", c.ID, text, shown(got, err), asl.AppendJSON(nil, want))
			return
		}
		r.agreed++
	})
}

// choices holds that the first condition that is true led to where the execution went.
func (r *corpusRun) choices(t *testing.T, c *corpusCase, state map[string]any, next string, scope asl.ExpressionScope) {
	rules, _ := state["Choices"].([]any)
	for _, rule := range rules {
		rule, _ := rule.(map[string]any)
		text, _ := rule["Condition"].(string)
		inner, ok := strings.CutPrefix(text, "{%")
		if !ok {
			return
		}
		got, _, err := mustCompile(t, strings.TrimSuffix(inner, "%}")).Eval(scope)
		r.compared++
		if holds, isBool := got.(bool); err != nil || !isBool || holds != (rule["Next"] == next) {
			t.Errorf("%s: %s gave %s, and then came %s", c.ID, text, shown(got, err), next)
			return
		}
		r.agreed++
		if got == true {
			return
		}
	}
}

func lookUp(v any, at []any) (any, bool) {
	for _, step := range at {
		switch step := step.(type) {
		case int:
			list, ok := v.([]any)
			if !ok || step >= len(list) {
				return nil, false
			}
			v = list[step]
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			if v, ok = m[step]; !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// sameJSON compares numbers by value.
func sameJSON(a, b any) bool {
	var x, y any
	return json.Unmarshal(asl.AppendJSON(nil, a), &x) == nil && json.Unmarshal(asl.AppendJSON(nil, b), &y) == nil && reflect.DeepEqual(x, y)
}
