package asl

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestJSONataIsChecked(t *testing.T) {
	in := func(state string) string {
		return `{"StartAt":"X","States":{"X":{"QueryLanguage":"JSONata",` + state + `,"End":true}}}`
	}
	other := func(field string) string {
		return "The QueryLanguage is set to 'JSONata', but field '" + field + "' is only supported for the 'JSONPath' QueryLanguage"
	}
	const task = `"Type":"Task","Resource":"r"`
	for _, c := range []struct{ sentence, definition, want string }{
		{"a language is one of two", `{"QueryLanguage":"jsonata","StartAt":"X","States":{}}`, "/QueryLanguage: Value should be one of the following: [JSONPath, JSONata]"},
		{"a machine's JSONata is every state's", `{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"QueryLanguage":"JSONPath","Type":"Succeed","InputPath":"$"}}}`,
			"/States/X: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"},
		{"JSONata has no paths", in(task + `,"InputPath":"$","Parameters":{},"ResultSelector":{},"TimeoutSecondsPath":"$.a","Catch":[{"ErrorEquals":["E"],"ResultPath":null,"Next":"X"}]`),
			"/States/X: " + other("InputPath") + "\n/States/X: " + other("Parameters") + "\n/States/X: " + other("ResultSelector") + "\n/States/X: " + other("TimeoutSecondsPath") +
				"\n/States/X/Catch/0: " + other("ResultPath")},
		{"a rule of JSONata is a Condition", `{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"Type":"Choice","Choices":[
			{"Variable":"$.a","IsNull":true,"Next":"Y"},{"Condition":"true","Next":"Y"},{"Condition":true,"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`,
			"/States/X/Choices/0: " + other("Variable") + "\n/States/X/Choices/0/Condition: The field 'Condition' is required but was missing" +
				"\n/States/X/Choices/0/IsNull: Field is not supported\n/States/X/Choices/1/Condition: a JSONata expression is expected"},
		{"a Pass has no Arguments, a Succeed no Assign", in(`"Type":"Pass","Arguments":{}`), "/States/X/Arguments: Field is not supported"},
		{"JSONPath has no Output", `{"StartAt":"X","States":{"X":{"Type":"Pass","Output":1,"End":true}}}`,
			"/States/X: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage"},
		{"an expression that is none", in(`"Type":"Pass","Output":{"a":["{% $sum( %}"]}`), "/States/X/Output/a/0: Unexpected end of expression"},
		{"an expression is closed", in(`"Type":"Pass","Output":["{% 1"," {% 1 %} ","1 %}","{%1%}"]`), "/States/X/Output/0: A JSONata expression begins with '{%' and ends with '%}'\n/States/X/Output/2: A JSONata expression begins with '{%' and ends with '%}'"},
		{"there is no context", in(`"Type":"Pass","Output":["{% $ %}","{% $$ %}"]`),
			"/States/X/Output/0: Reference to '$' at the top level is not supported.\n/States/X/Output/1: Reference to '$$' is not supported."},
		{"a result is there at the end alone", in(task + `,"Arguments":"{% $states.result %}","Output":"{% $states.result %}"`), "/States/X/Arguments: Field '$states.result' does not exist."},
		{"a Pass has no result", in(`"Type":"Pass","Output":"{% $states.result.a %}"`), "/States/X/Output: Field '$states.result' does not exist."},
		{"an error output is there in a Catch alone", in(task + `,"Output":"{% $states.errorOutput %}","Catch":[{"ErrorEquals":["E"],"Output":"{% $states.errorOutput %}","Assign":{"a":"{% $states.result %}"},"Next":"X"}]`),
			"/States/X/Catch/0/Assign/a: Field '$states.result' does not exist.\n/States/X/Output: Field '$states.errorOutput' does not exist."},
		{"names of variables", in(`"Type":"Pass","Assign":{"states":1,"a.b":1,"_a":1,"é1_":1,"` + strings.Repeat("a", 81) + `":1}`),
			"+: 'a.b' is no name+: '_a' is no name+: '" + strings.Repeat("a", 81) + "' is no name+: The variable 'states' is reserved"},
		{"no scope assigns what one around it does", `{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"Type":"Parallel","Branches":[{"StartAt":"Y","States":{"Y":{"Type":"Map",
			"ItemProcessor":{"StartAt":"Z","States":{"Z":{"Type":"Pass","Assign":{"a":1,"b":1,"c":1},"End":true}}},"Assign":{"b":1},"End":true}}},
			{"StartAt":"W","States":{"W":{"Type":"Pass","Assign":{"c":1},"End":true}}}],"Assign":{"a":1},"Catch":[{"ErrorEquals":["E"],"Assign":{"c":1},"Next":"X"}],"End":true}}}`,
			"/States/X/Branches/0/States/Y/ItemProcessor/States/Z/Assign/a: The variable name 'a' was already defined in a parent scope." +
				"\n/States/X/Branches/0/States/Y/ItemProcessor/States/Z/Assign/b: The variable name 'b' was already defined in a parent scope."},
		{"inner states speak the machine's language", `{"StartAt":"X","States":{"X":{"QueryLanguage":"JSONata","Type":"Map","Items":[1],
			"ItemProcessor":{"StartAt":"Z","States":{"Z":{"Type":"Pass","Output":1,"End":true}}},"Output":1,"End":true}}}`,
			"/States/X/ItemProcessor/States/Z: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage"},
		{"an execution of its own may speak JSONPath", `{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"Type":"Map",
			"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"Z","States":{"Z":{"QueryLanguage":"JSONPath","Type":"Pass","InputPath":"$","End":true}}},"End":true}}}`, ""},
		{"a Map has items, not a path to them", in(`"Type":"Map","ItemsPath":"$.a","MaxConcurrencyPath":"$.a","Items":"all","ItemProcessor":{"StartAt":"Z","States":{"Z":{"Type":"Succeed"}}},
			"ItemBatcher":{"MaxItemsPerBatchPath":"$.a","MaxInputBytesPerBatch":"{% 5 %}"},"ItemReader":{"Resource":"r","Parameters":{}}`),
			"/States/X: " + other("ItemsPath") + "\n/States/X: " + other("MaxConcurrencyPath") + "\n/States/X/ItemBatcher: " + other("MaxItemsPerBatchPath") +
				"\n/States/X/ItemReader: " + other("Parameters") + "\n/States/X/Items: an array, an object or a JSONata expression is expected, not string"},
		{"what is assigned has names", in(`"Type":"Pass","Assign":"{% {} %}"`), "/States/X/Assign: an object is expected, not string"},
		{"a role's ARN", in(`"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Credentials":{}`), "/States/X/Credentials: The field 'RoleArn' is required but was missing"},
		{"a Timestamp that is no expression", in(`"Type":"Wait","Timestamp":"tomorrow"`), "/States/X/Timestamp: String does not match RFC3339 timestamp"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var got strings.Builder
			for i, p := range Validate([]byte(c.definition), WithEvaluator(testEvaluator{})) {
				if i > 0 {
					got.WriteByte('\n')
				}
				got.WriteString(p.Pointer + ": " + p.Message)
			}
			if parts := strings.Split(c.want, "+"); len(parts) > 1 { // each of the parts stands there
				for _, part := range parts {
					if !strings.Contains(got.String(), part) {
						t.Errorf("%s is missing in\n%s", part, got.String())
					}
				}
			} else if got.String() != c.want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", c.definition, got.String(), c.want)
			}
		})
	}
}

// startJSONata is where a JSONata machine of one state ends or waits.
func startJSONata(t *testing.T, states string, seed uint64) (*Execution, []Command) {
	t.Helper()
	m, err := Parse([]byte(`{"QueryLanguage":"JSONata","StartAt":"X","States":{`+states+`}}`), WithEvaluator(testEvaluator{}))
	if err != nil {
		t.Fatal(err)
	}
	return m.Start(Start{Input: mustDecode(t, `{"text":"x","n":1.5,"at":"2025-01-01T00:01:00Z"}`), Time: time.Unix(0, 0), Seed: seed})
}

func TestAnExpressionThatFailsSaysWhere(t *testing.T) {
	for _, c := range []struct{ state, want string }{
		{`"Type":"Pass","Output":[1,{"a":"{% $no %}"}],"End":true`, "'$no' specified for the field 'Output[1]/a' returned nothing (undefined)."},
		{`"Type":"Pass","Assign":{"a":"{% $fail() %}"},"End":true`, "'$fail()' specified for the field 'Assign/a' threw an error during evaluation. T2001: it failed"},
		{`"Type":"Pass","Output":"{% $endless() %}","End":true`, "'$endless()' specified for the field 'Output' threw an error during evaluation: Expression evaluation timeout: Check for infinite loop"},
		{`"Type":"Succeed","Output":"{% $no %}"`, "'$no' specified for the field 'Output' returned nothing (undefined)."},
		{`"Type":"Choice","Choices":[{"Condition":"{% false %}","Next":"X"},{"Condition":"{% $states.input.text %}","Next":"X"}]`,
			"'$states.input.text' specified for the field 'Choices[1]/Condition' returned an unexpected result type. Expected 'boolean', but was 'string' for value: \"x\""},
		{`"Type":"Choice","Choices":[{"Condition":true,"Output":{"v":"{% $no %}"},"Next":"X"}]`, "'$no' specified for the field 'Choices[0]/Output/v' returned nothing (undefined)."},
		{`"Type":"Wait","Seconds":"{% $states.input.text %}","End":true`,
			"'$states.input.text' specified for the field 'Seconds' returned an unexpected result type. Expected 'number', but was 'string' for value: \"x\""},
		{`"Type":"Wait","Seconds":"{% $states.input.n %}","End":true`,
			"'$states.input.n' specified for the field 'Seconds' returned an unexpected result type. Expected 'integer', but was 'number' for value: 1.5"},
		{`"Type":"Fail","Error":"{% $no %}"`, "'$no' specified for the field 'Error' returned nothing (undefined)."},
		{`"Type":"Fail","Error":"E","Cause":"{% $states.input.n %}"`, "'$states.input.n' specified for the field 'Cause' returned an unexpected result type. Expected 'string', but was 'number' for value: 1.5"},
		{`"Type":"Task","Resource":"r","Credentials":{"RoleArn":"{% $no %}"},"End":true`, "'$no' specified for the field 'Credentials/RoleArn' returned nothing (undefined)."},
		{`"Type":"Parallel","Arguments":["{% $no %}"],"Branches":[{"StartAt":"B","States":{"B":{"Type":"Succeed"}}}],"End":true`, "'$no' specified for the field 'Arguments[0]' returned nothing (undefined)."},
		{`"Type":"Map","Items":"{% $states.input %}","ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"End":true`,
			"'$states.input' specified for the field 'Items' returned an unexpected result type. Expected 'array', but was 'object' for value: {\"at\":\"2025-01-01T00:01:00Z\",\"n\":1.5,\"text\":\"x\"}"},
		{`"Type":"Map","Items":[1,"{% $no %}"],"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"End":true`, "'$no' specified for the field 'Items[1]' returned nothing (undefined)."},
		{`"Type":"Map","Items":[1],"ItemSelector":{"a":"{% $no %}"},"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"End":true`, "'$no' specified for the field 'ItemSelector/a' returned nothing (undefined)."},
		{`"Type":"Map","Items":[1],"MaxConcurrency":"{% $states.input.text %}","ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Succeed"}}},"End":true`,
			"'$states.input.text' specified for the field 'MaxConcurrency' returned an unexpected result type. Expected 'number', but was 'string' for value: \"x\""},
	} {
		end := ""
		if strings.Contains(c.state, "Choice") {
			end = `,"Z":{"Type":"Succeed"}`
			c.state += `,"Default":"Z"`
		}
		x, _ := startJSONata(t, `"X":{`+c.state+`}`+end, 1)
		name, cause := x.Failure()
		want := "An error occurred while executing the state 'X' (entered at the event id #2). The JSONata expression " + c.want
		if name != errQuery || cause != want {
			t.Errorf("%s\ngot\n%s: %s\nwant\n%s", c.state, name, cause, want)
		}
	}
}

func TestATimestampIsComputed(t *testing.T) {
	_, commands := startJSONata(t, `"X":{"Type":"Wait","Timestamp":"{% $states.input.at %}","End":true}`, 1)
	if got := commands[0].At.UTC().Format(time.RFC3339); got != "2025-01-01T00:01:00Z" {
		t.Errorf("the timer is set to %s", got)
	}
	x, _ := startJSONata(t, `"X":{"Type":"Wait","Timestamp":"{% $states.input.text %}","End":true}`, 1)
	if _, cause := x.Failure(); !strings.HasSuffix(cause, "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: x") {
		t.Errorf("cause %s", cause)
	}
}

// A failed evaluation is like a task's failure to Retry and Catch, and each attempt evaluates anew.
func TestAFailedEvaluationIsRetriedAndCaught(t *testing.T) {
	x, commands := startJSONata(t, `"X":{"Type":"Task","Resource":"r","Output":"{% $states.result.ok %}",
		"Retry":[{"ErrorEquals":["States.QueryEvaluationError"],"MaxAttempts":1}],
		"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Y"}],"End":true},"Y":{"Type":"Succeed","Output":"{% $states.input.Error %}"}`, 1)
	for _, kind := range []EventKind{TaskSucceeded, TimerFired, TaskSucceeded} {
		var err error
		if commands, err = x.Step(Event{Kind: kind, ID: commands[0].ID, Output: map[string]any{}}); err != nil {
			t.Fatal(err)
		}
	}
	if x.Status() != StatusSucceeded || x.Output() != errQuery {
		t.Errorf("%s %v: the error is retried once and then caught", x.Status(), x.Output())
	}
}

func TestChanceIsTheStepsOwn(t *testing.T) {
	const states = `"X":{"Type":"Pass","Output":["{% $random() %}","{% $random() %}","{% $now() %}"],"Next":"Y"},"Y":{"Type":"Pass","Output":["{% $states.input %}","{% $random() %}"],"End":true}`
	draw := func(seed uint64) string {
		x, _ := startJSONata(t, states, seed)
		return string(AppendJSON(nil, x.Output()))
	}
	if first, again := draw(1), draw(1); first != again {
		t.Error("the same seed draws something else")
	}
	if draw(1) == draw(2) {
		t.Error("another seed draws the same")
	}
	x, _ := startJSONata(t, states, 1)
	all, _ := x.Output().([]any)
	first, _ := all[0].([]any)
	if first[0] == first[1] || first[0] == all[1] || first[2] != "1970-01-01T00:00:00.000Z" {
		t.Errorf("%v: each expression draws its own, at the step's time", x.Output())
	}
}

func TestVariablesHaveLimits(t *testing.T) {
	half := fmt.Sprintf(`"%s"`, strings.Repeat("a", maxPayload/2))
	m, err := Parse([]byte(`{"StartAt":"X","States":{"X":{"Type":"Pass","Assign":{"a.$":"$","b.$":"$"},"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if x, _ := m.Start(Start{Input: mustDecode(t, half)}); x.Status() != StatusFailed {
		t.Error("one Assign sets more than 256 KiB")
	} else if name, _ := x.Failure(); name != errDataLimit {
		t.Errorf("the failure is %s", name)
	}
	var states strings.Builder
	for i := range 81 {
		fmt.Fprintf(&states, `"S%d":{"Type":"Pass","Assign":{"v%d.$":"$"},"Next":"S%d"},`, i, i, i+1)
	}
	m, err = Parse([]byte(`{"StartAt":"S0","States":{` + states.String() + `"S81":{"Type":"Succeed"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x, _ := m.Start(Start{Input: mustDecode(t, half)})
	if state, _ := x.Current(); x.Status() != StatusFailed || state != "S79" {
		t.Errorf("%s in %s: 80 variables of 128 KiB and more are over 10 MiB", x.Status(), state)
	}

	m, err = Parse([]byte(`{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":1,"ItemProcessor":{"StartAt":"A","States":{
		"A":{"Type":"Pass","Assign":{"v.$":"$$.Execution.Input.text"},"Result":1,"End":true}}},"ItemsPath":"$.items","ResultPath":null,"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x, _ = m.Start(Start{Input: map[string]any{"items": make([]any, 100), "text": half}})
	if _, cause := x.Failure(); x.Status() != StatusSucceeded {
		t.Errorf("%s: the variables of an iteration vanish with it", cause)
	}
}
