package asl

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestResource(t *testing.T) {
	of := func(resource string) string {
		return `{"StartAt":"X","States":{"X":{"Type":"Task","Resource":` + resource + `,"End":true}}}`
	}
	for _, c := range []struct{ sentence, resource, event string }{
		{"any text will do", `"inventory"`, "TaskScheduled"},
		{"a substitution too", `"${OrderHandlerArn}"`, "TaskScheduled"},
		{"a CloudFormation function too", `{"Fn::GetAtt":["F","Arn"]}`, "TaskScheduled"},
		{"an integration has Task events", `"arn:aws:states:::dynamodb:putItem"`, "TaskScheduled"},
		{"a function has events of its own", `"arn:aws:lambda:eu-west-1:123456789012:function:f"`, "LambdaFunctionScheduled"},
		{"a version or an alias may follow it", `"arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST"`, "LambdaFunctionScheduled"},
		{"and so has an activity", `"arn:aws:states:eu-west-1:123456789012:activity:a"`, "ActivityScheduled"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			var events []string
			_, commands := mustParse(t, of(c.resource)).Start(Start{Observe: func(e HistoryEvent) { events = append(events, e.Type) }})
			if len(commands) != 1 || len(events) != 4 || events[2] != c.event {
				t.Errorf("%v, events %v", commands, events)
			}
		})
	}
	for resource, want := range map[string]string{
		`"${open"`: "a substitution ${...} is not closed",
		`""`:       "the value cannot be empty",
		`{"a":1}`:  "a string is expected, not object",
		`"arn:aws:lambda:eu-west-1:123456789012:function:f:"`:    "the function's version or alias is not valid: ",
		`"arn:aws:lambda:eu-west-1:123456789012:function:f:$*#"`: "the function's version or alias is not valid: $*#",
		`"arn:aws:states:::sqs:sendMessage.sync"`:                "The resource provided arn:aws:states:::sqs:sendMessage.sync is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.",
		`"arn:aws:states:::dynamodb:query"`:                      "The resource provided arn:aws:states:::dynamodb:query is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.",
	} {
		if got := problemsOf(of(resource)); got != "/States/X/Resource: "+want {
			t.Errorf("%s: %s", resource, got)
		}
	}
}

func TestChoiceRulesAreRefusedWithWhatIsExpected(t *testing.T) {
	for rule, want := range map[string]string{
		`"Variable":"$.a","StringEquals":1`:                        "/StringEquals: a string is expected",
		`"Variable":"$.a","NumericEquals":"1"`:                     "/NumericEquals: a number is expected",
		`"Variable":"$.a","BooleanEquals":null`:                    "/BooleanEquals: a boolean is expected",
		`"Variable":"$.a","IsNull":"yes"`:                          "/IsNull: a boolean is expected, not string",
		`"Variable":"$.a","StringEqualsPath":1`:                    "/StringEqualsPath: a JSONPath is expected, not number",
		`"Variable":"$.a","StringIs":"x"`:                          "/StringIs: the comparison operator is not known",
		`"Variable":"States.Hash($.a)","IsNull":true`:              "/Variable: Value is not a Reference Path: Reference path didn't start with '$'",
		`"IsNull":true`:                                            "/Variable: The field 'Variable' is required but was missing",
		`"Variable":"$.a","Not":{"Variable":"$.a","IsNull":true}`:  "/Variable: does not go with Not",
		`"Variable":"$.a","Or":[{"Variable":"$.a","IsNull":true}]`: "/Variable: does not go with Or",
		`"Not":[]`:  "/Not: an object is expected, not array",
		`"And":{}`:  "/And: an array is expected, not object",
		`"And":[1]`: "/And/0: an object is expected, not number",
	} {
		got := problemsOf(`{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`)
		if got != "/States/X/Choices/0"+want {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

func TestAMachineKnowsItsDeadline(t *testing.T) {
	const states = `"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"End":true}}}`
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	if x, _ := mustParse(t, `{`+states).Start(Start{Time: at}); !x.Deadline().IsZero() {
		t.Error("a machine without TimeoutSeconds has a deadline")
	}
	if x, _ := mustParse(t, `{"TimeoutSeconds":60,`+states).Start(Start{Time: at}); !x.Deadline().Equal(at.Add(time.Minute)) {
		t.Error(x.Deadline())
	}
}

// A definition made to hurt costs no more than its size: here one long name stands above many fields, each with a path.
func TestParseIsBoundedByTheDefinitionsSize(t *testing.T) {
	var fields strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&fields, `%s"f%d.$":"$.a"`, map[bool]string{true: ","}[i > 0], i)
	}
	m := mustParse(t, inState(`"Parameters":{"`+strings.Repeat("n", 400_000)+`":{`+fields.String()+`}}`))
	if _, commands := m.Start(Start{Input: map[string]any{"a": nil}}); commands != nil {
		t.Error("a payload over the limit was sent")
	}
	states := make([]string, 20_000)
	for i := range states {
		states[i] = fmt.Sprintf(`"s%d":{"Type":"Pass","Next":"s%d"}`, i, i+1)
	}
	chain := `{"StartAt":"s0","States":{` + strings.Join(states, ",") + `,"s20000":{"Type":"Succeed"}}}`
	if x, _ := mustParse(t, chain).Start(Start{}); x.Status() != StatusFailed {
		t.Error("40,000 events are more than AWS's limit of 25,000", x.Status())
	}
}
