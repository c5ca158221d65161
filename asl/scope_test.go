package asl

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// nestedIn puts a machine of Parallel states around a state, so many deep.
func nestedIn(depth int, state string) string {
	for i := range depth {
		state = fmt.Sprintf(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"s%d","States":{"s%[1]d":%s}}]}`, i, state)
	}
	return `{"StartAt":"P","States":{"P":` + state + `}}`
}

func TestStatesNestAsDeepAsTheLimit(t *testing.T) {
	x, _ := mustParse(t, nestedIn(maxNesting, `{"Type":"Succeed"}`)).Start(Start{Input: "in"})
	want := strings.Repeat("[", maxNesting) + `"in"` + strings.Repeat("]", maxNesting)
	if got := string(AppendJSON(nil, x.Output())); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	problems := Validate([]byte(nestedIn(maxNesting+1, `{"Type":"Succeed"}`)))
	if len(problems) != 1 || problems[0].Message != "Parallel and Map states stand more than 25 deep within one another" {
		t.Error(problems)
	}
}

const itemsMap = `{"StartAt":"M","States":{"M":{"Type":"Map",%s"End":true,"ItemProcessor":{%s"StartAt":"T","States":{%s}}}}}`

func TestAMapStartsNoMoreIterationsThanAWSGrants(t *testing.T) {
	items := make([]any, 12_000)
	for mode, want := range map[string]int{"INLINE": 40, "DISTRIBUTED": 10_000} {
		m := mustParse(t, fmt.Sprintf(itemsMap, "", `"ProcessorConfig":{"Mode":"`+mode+`"},`, `"T":{"Type":"Task","Resource":"r","End":true}`))
		if _, commands := m.Start(Start{Input: items}); len(commands) != want {
			t.Errorf("%s: %d iterations at a time, want %d", mode, len(commands), want)
		}
	}
}

func TestAMapsResultIsAPayload(t *testing.T) {
	m := mustParse(t, fmt.Sprintf(itemsMap, `"Catch":[{"ErrorEquals":["States.ALL"],"Next":"M"}],`, "", `"T":{"Type":"Task","Resource":"r","End":true}`))
	x, commands := m.Start(Start{Input: []any{nil, nil, nil}})
	for _, c := range commands {
		if _, err := x.Step(Event{Kind: TaskSucceeded, ID: c.ID, Output: strings.Repeat("x", 100_000)}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "An error occurred while executing the state 'M' (entered at the event id #2). The state/task 'M' returned a result with a size exceeding the maximum number of bytes service limit."
	if name, cause := x.Failure(); name != errDataLimit || cause != want {
		t.Error(x.Status(), name, cause)
	}
}

func TestTheHistoryOfIterationsIsLimitedToo(t *testing.T) {
	items := make([]any, 20_000)
	const pass = `"T":{"Type":"Pass","End":true}`
	t.Run("those of an inline Map count in the execution's", func(t *testing.T) {
		x, _ := mustParse(t, fmt.Sprintf(itemsMap, "", "", pass)).Start(Start{Input: items})
		if name, cause := x.Failure(); name != errRuntime || cause != "The execution reached the maximum number of history events (25000)." {
			t.Error(x.Status(), name, cause)
		}
	})
	t.Run("those of a distributed Map have each their own", func(t *testing.T) {
		x, _ := mustParse(t, fmt.Sprintf(itemsMap, "", `"ProcessorConfig":{"Mode":"DISTRIBUTED"},`, pass)).Start(Start{Input: items})
		if x.Status() != StatusSucceeded || x.events != 8 {
			t.Error(x.Status(), x.events)
		}
	})
	t.Run("an iteration that fills its own has failed", func(t *testing.T) {
		loop := `"T":{"Type":"Choice","Choices":[{"Variable":"$.x","IsPresent":true,"Next":"End"}],"Default":"T"},"End":{"Type":"Succeed"}`
		x, _ := mustParse(t, fmt.Sprintf(itemsMap, `"ToleratedFailureCount":1,`, `"ProcessorConfig":{"Mode":"DISTRIBUTED"},`, loop)).
			Start(Start{Input: []any{map[string]any{}, map[string]any{"x": nil}}})
		want := `[{"Cause":"The execution reached the maximum number of history events (25000).","Error":"States.Runtime","Status":"FAILED"},{"x":null}]`
		if got := string(AppendJSON(nil, x.Output())); got != want {
			t.Error(x.Failure())
			t.Error(got)
		}
	})
	t.Run("all together they end an execution that would run for ever", func(t *testing.T) {
		states := pass
		for i := range 5 {
			states = fmt.Sprintf(`"T":{"Type":"Map","ItemsPath":"$$.Execution.Input","ItemSelector.$":"$","End":true,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"T%d","States":{%s}}}`,
				i, strings.Replace(states, `"T"`, fmt.Sprintf(`"T%d"`, i), 1))
		}
		states = strings.ReplaceAll(states, `"ItemSelector.$":"$"`, `"ItemSelector":`+string(AppendJSON(nil, items[:100])))
		x, _ := mustParse(t, `{"StartAt":"T","States":{`+states+`}}`).Start(Start{Input: items[:100]})
		if name, cause := x.Failure(); name != errRuntime || cause != "The iterations of distributed Map states reached the maximum number of history events (500000)." {
			t.Error(x.Status(), name, cause)
		}
	})
}

func TestBranchesAtATimeAreLimited(t *testing.T) {
	branches := make([]string, 4000)
	for i := range branches {
		branches[i] = fmt.Sprintf(`{"StartAt":"%d","States":{"%[1]d":{"Type":"Task","Resource":"r","End":true}}}`, i)
	}
	m := mustParse(t, fmt.Sprintf(itemsMap, "", "", `"T":{"Type":"Parallel","End":true,"Branches":[`+strings.Join(branches, ",")+`]}`))
	x, _ := m.Start(Start{Input: make([]any, 40)})
	if name, cause := x.Failure(); name != errRuntime || cause != "The execution has more than 100000 branches and iterations at a time." {
		t.Error(x.Status(), name, cause)
	}
}

func TestAFailingBranchDoesNotWakeAClosedOne(t *testing.T) {
	m := mustParse(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":1}],"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","Retry":[{"ErrorEquals":["Own"],"IntervalSeconds":50}],"End":true}}},
		{"StartAt":"B","States":{"B":{"Type":"Task","Resource":"r","End":true}}}]}}}`)
	x, commands := m.Start(Start{Input: map[string]any{}})
	own, err := x.Step(Event{Kind: TaskFailed, ID: commands[0].ID, Error: "Own"})
	if err != nil || len(own) != 1 {
		t.Fatal(own, err)
	}
	retry, err := x.Step(Event{Kind: TaskFailed, ID: commands[1].ID, Error: "E"})
	if err != nil || len(retry) != 2 || retry[0].Kind != Cancel || retry[0].ID != own[0].ID {
		t.Fatal("the retry of the first branch is not cancelled:", retry, err)
	}
	if _, err := x.Step(Event{Kind: TimerFired, ID: own[0].ID}); err != ErrStale { //nolint:errorlint // it is returned as it is
		t.Error(err)
	}
}

func TestAScopeSeesTheVariablesAroundIt(t *testing.T) {
	root := &scope{vars: map[string]variable{"a": {value: "root"}, "b": {value: "root"}}}
	branch := &scope{parent: root, vars: map[string]variable{"b": {value: "branch"}}}
	inner := &scope{parent: branch}
	child := &scope{parent: branch, apart: true}
	within := &scope{parent: child}
	for _, c := range []struct {
		sc         *scope
		name, want string
	}{
		{root, "a", "root"}, {inner, "a", "root"}, {inner, "b", "branch"}, {root, "b", "root"}, {inner, "c", ""}, {child, "a", ""}, {within, "b", ""},
	} {
		v, ok := c.sc.variable(c.name)
		if got, _ := v.value.(string); got != c.want || ok != (c.want != "") {
			t.Errorf("%s is %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTheDefinitionsOfParallelAndMapAreChecked(t *testing.T) {
	const processor = `"ItemProcessor":{"StartAt":"Y","States":{"Y":{"Type":"Succeed"}}}`
	for fields, want := range map[string]string{
		`"Type":"Parallel"`:                              "/Branches: The field 'Branches' is required but was missing",
		`"Type":"Parallel","Branches":[]`:                "/Branches: Value cannot be empty",
		`"Type":"Parallel","Branches":[[]]`:              "/Branches/0: an object is expected, not array",
		`"Type":"Parallel","Branches":[{"StartAt":"Y"}]`: "/Branches/0/States: The field 'States' is required but was missing",
		`"Type":"Parallel","Branches":[{"StartAt":"Y","States":{"Y":{"Type":"Pass","Next":"X"}}}]`: "/Branches/0/States/Y/Next: Missing 'Next' target: X",
		`"Type":"Parallel","Branches":[{"StartAt":"X","States":{"X":{"Type":"Succeed"}}}]`:         "/Branches/0/States/X: Duplicate State name: X",
		`"Type":"Map"`: "/ItemProcessor: The field 'ItemProcessor' is required but was missing",
		`"Type":"Map","Iterator":{},` + processor:                                                                           "/Iterator: only one of ItemProcessor, Iterator may be given",
		`"Type":"Map","ItemSelector":{},"Parameters":{},` + processor:                                                       "/Parameters: only one of ItemSelector, Parameters may be given",
		`"Type":"Map","MaxConcurrency":-1,` + processor:                                                                     "/MaxConcurrency: an integer from 0 to 99999999 is expected",
		`"Type":"Map","ToleratedFailurePercentage":100.5,` + processor:                                                      "/ToleratedFailurePercentage: a number of at most 100 is expected",
		`"Type":"Map","ToleratedFailureCount":1,"ToleratedFailureCountPath":"$",` + processor:                               "/ToleratedFailureCountPath: only one of ToleratedFailureCount, ToleratedFailureCountPath may be given",
		`"Type":"Map","Label":"a b",` + processor:                                                                           "/Label: a Label has none of the characters ? * < > { } [ ] : ; , \\ | ^ ~ $ # % & ` \" and no space",
		`"Type":"Map","Label":"` + strings.Repeat("l", 41) + `",` + processor:                                               "/Label: a Label has from 1 to 40 characters",
		`"Type":"Map","ItemBatcher":{"MaxItemsPerBatch":0},` + processor:                                                    "/ItemBatcher/MaxItemsPerBatch: an integer from 1 to 99999999 is expected",
		`"Type":"Map","ItemsPath":null,` + processor:                                                                        "/ItemsPath: a JSONPath is expected, not null",
		`"Type":"Map","ItemReader":{},` + processor:                                                                         "/ItemReader/Resource: The field 'Resource' is required but was missing",
		`"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"LOCAL"},"StartAt":"Y","States":{"Y":{"Type":"Succeed"}}}`: "/ItemProcessor/ProcessorConfig/Mode: INLINE or DISTRIBUTED is expected",
	} {
		if got := problemsOf(`{"StartAt":"X","States":{"X":{` + fields + `,"End":true}}}`); got != "/States/X"+want {
			t.Errorf("%s\n%s\nwant\n/States/X%s", fields, got, want)
		}
	}
}

func TestWhatNeedsS3IsRefusedByNameWhenItRuns(t *testing.T) {
	const processor = `"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"Y","States":{"Y":{"Type":"Pass","End":true}}}`
	for fields, want := range map[string]string{
		`"ItemReader":{"Resource":"arn:aws:states:::s3:getObject","ReaderConfig":{"InputType":"JSON"}}`: "FAILED States.ItemReaderFailed",
		`"ResultWriter":{"Resource":"arn:aws:states:::s3:putObject","Parameters":{"Bucket":"b"}}`:       "FAILED States.ResultWriterFailed",
		`"ResultWriter":{"WriterConfig":{"Transformation":"NONE","OutputType":"JSON"}}`:                 "FAILED States.ResultWriterFailed",
		`"ResultWriter":{"WriterConfig":{"Transformation":"COMPACT","OutputType":"JSON"}}`:              `SUCCEEDED [[1],2]`,
		`"ResultWriter":{"WriterConfig":{"Transformation":"FLATTEN","OutputType":"JSON"}}`:              `SUCCEEDED [1,2]`,
	} {
		m := mustParse(t, `{"StartAt":"X","States":{"X":{"Type":"Map",`+fields+`,`+processor+`,"End":true}}}`)
		x, _ := m.Start(Start{Input: []any{[]any{mustNumber(1)}, mustNumber(2)}})
		got := string(x.Status()) + " "
		if name, _ := x.Failure(); name != "" {
			got += name
		} else {
			got += string(AppendJSON(nil, x.Output()))
		}
		if got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
	}
}

func TestTheMachineDescribesItsBranches(t *testing.T) {
	m := mustParse(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","Next":"M","Catch":[{"ErrorEquals":["E"],"Next":"M"}],"Branches":[
		{"StartAt":"B","States":{"A":{"Type":"Succeed"},"B":{"Type":"Pass","Next":"A"}}},{"StartAt":"C","States":{"C":{"Type":"Fail"}}}]},
		"M":{"Type":"Map","End":true,"Iterator":{"StartAt":"D","States":{"D":{"Type":"Task","Resource":"r","End":true}}}}}}`)
	if got := m.States(); !slices.Equal(got, []string{"P", "M"}) {
		t.Error(got)
	}
	p, _ := m.State("P")
	if got := fmt.Sprintf("%v %v %v", p.Flows, p.Next, p.Catch); got != "[[B A] [C]] [M] [M]" {
		t.Error(got)
	}
	if d, ok := m.State("D"); !ok || d.Resource != "r" || !d.End {
		t.Error(d, ok)
	}
}

func TestATokenIsTheSameInEachReplayAndTheDriversIfItHasOne(t *testing.T) {
	m := mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"t.$":"$$.Task.Token"},"End":true}}}`)
	tokenOf := func(s Start) string {
		s.Time = time.Unix(0, 0)
		_, commands := m.Start(s)
		if in, _ := commands[0].Input.(map[string]any); in["t"] != commands[0].Token {
			t.Errorf("the context object has %v, the command %s", in["t"], commands[0].Token)
		}
		return commands[0].Token
	}
	if a, b := tokenOf(Start{ID: "e1"}), tokenOf(Start{ID: "e1"}); a != b || a == tokenOf(Start{ID: "e2"}) {
		t.Error("a token belongs to one execution, and does not change")
	}
	if got := tokenOf(Start{Token: func(command int64) string { return fmt.Sprintf("t%d", command) }}); got != "t1" {
		t.Error(got)
	}
}

func TestACommandSaysInWhichBranchesAndIterationsItsStateStands(t *testing.T) {
	m := mustParse(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","End":true}}},
		{"StartAt":"M","States":{"M":{"Type":"Map","ItemProcessor":{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"End":true}}},"End":true}}}]}},"TimeoutSeconds":9}`)
	_, commands := m.Start(Start{Input: []any{nil, nil}})
	var got []string
	for _, c := range commands {
		got = append(got, fmt.Sprint(c.State, c.Index))
	}
	if text := strings.Join(got, " "); text != "[] A[0] W[1 0] W[1 1]" {
		t.Error(text)
	}
}
