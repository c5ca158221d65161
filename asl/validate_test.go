package asl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// problemsOf writes the problems of a definition, one a line.
func problemsOf(definition string) string {
	lines := []string(nil)
	for _, p := range Validate([]byte(definition)) {
		lines = append(lines, p.Pointer+": "+p.Message)
	}
	return strings.Join(lines, "\n")
}

// inState puts fields into a Task state.
func inState(fields string) string {
	return `{"StartAt":"X","States":{"X":{"Type":"Task","Resource":"r","End":true,` + fields + `}}}`
}

func TestValidateNamesEachProblem(t *testing.T) {
	for _, c := range []struct{ sentence, definition, want string }{
		{"a text that is not JSON", `not a definition`, `/: invalid JSON at byte 0: a value is expected`},
		{"an empty text", ``, `/: invalid JSON at byte 0: the text ends where a value is expected`},
		{"a value that is no object", `[]`, `/: an object is expected, not array`},
		{"an empty object", `{}`, "/StartAt: The field 'StartAt' is required but was missing\n/States: The field 'States' is required but was missing"},
		{"no states", `{"StartAt":"X","States":{}}`, "/StartAt: Missing 'StartAt' target: X\n/States: Value cannot be empty"},
		{"an unknown version and a field that the machine has not", `{"Version":"2.0","StartAt":"X","Foo":1,"States":{"X":{"Type":"Succeed"}}}`,
			"/Foo: Field is not supported\n/Version: only version 1.0 is known"},
		{"a target that is missing", `{"StartAt":"X","States":{"X":{"Type":"Pass","Next":"Y"}}}`, "/States/X/Next: Missing 'Next' target: Y"},
		{"a state that nothing leads to", `{"StartAt":"X","States":{"X":{"Type":"Succeed"},"a/b~":{"Type":"Succeed"}}}`, `/States/a~1b~0: State "a/b~" is not reachable.`},
		{"no end", `{"StartAt":"X","States":{"X":{"Type":"Pass","Next":"X"}}}`, "/States: no state ends the execution"},
		{"Next and End", `{"StartAt":"X","States":{"X":{"Type":"Pass","Next":"X","End":true}}}`, "/States/X/Next: Next does not go with End"},
		{"neither Next nor End", `{"StartAt":"X","States":{"X":{"Type":"Pass"}}}`, "/States/X: Next or End is required"},
		{"an unknown type", `{"StartAt":"X","States":{"X":{"Type":"Task "}}}`, "/States/X/Type: the type is not known: Task "},
		{"no type", `{"StartAt":"X","States":{"X":{}}}`, "/States/X/Type: The field 'Type' is required but was missing"},
		{"a name that is too long", fmt.Sprintf(`{"StartAt":%[1]q,"States":{%[1]q:{"Type":"Succeed"}}}`, strings.Repeat("é", 81)),
			"/States/" + strings.Repeat("é", 81) + ": a state's name has from 1 to 80 characters, this one has 81"},
		{"a member given twice, deep inside", inState(`"Parameters":{"a":[{"b":1,"b":2}]}`), "/States/X/Parameters/a/0/b: the field is given twice"},
		{"a field of another type", inState(`"Choices":[]`), "/States/X/Choices: Field is not supported"},
		{"a mistyped field", inState(`"TimeoutSeconds":"20","Comment":1`), "/States/X/Comment: a string is expected, not number\n/States/X/TimeoutSeconds: an integer from 1 to 99999999 is expected"},
		{"a field and its Path", inState(`"TimeoutSeconds":20,"TimeoutSecondsPath":"$.t"`), "/States/X/TimeoutSecondsPath: only one of TimeoutSeconds, TimeoutSecondsPath may be given"},
		{"a heartbeat that is no shorter than the timeout", inState(`"TimeoutSeconds":5,"HeartbeatSeconds":5`), "/States/X/HeartbeatSeconds: HeartbeatSeconds must be smaller than TimeoutSeconds"},
		{"ranges of a Retrier", inState(`"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":0,"BackoffRate":0.9,"MaxAttempts":-1,"MaxDelaySeconds":31622400,"JitterStrategy":"SOME"}]`),
			"/States/X/Retry/0/BackoffRate: a number of at least 1 is expected\n/States/X/Retry/0/IntervalSeconds: an integer from 1 to 99999999 is expected\n" +
				"/States/X/Retry/0/JitterStrategy: FULL or NONE is expected\n/States/X/Retry/0/MaxAttempts: an integer from 0 to 99999999 is expected\n/States/X/Retry/0/MaxDelaySeconds: an integer from 1 to 31622399 is expected"},
		{"a longest delay that is no longer than the first", inState(`"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":2,"MaxDelaySeconds":2}]`), "/States/X/Retry/0/MaxDelaySeconds: MaxDelaySeconds must be greater than IntervalSeconds"},
		{"States.ALL beside another", inState(`"Retry":[{"ErrorEquals":["E","States.ALL"]}]`), "/States/X/Retry/0/ErrorEquals: States.ALL must appear alone"},
		{"States.ALL before another", inState(`"Retry":[{"ErrorEquals":["States.ALL"]},{"ErrorEquals":["E"]}]`), "/States/X/Retry/0/ErrorEquals: States.ALL must appear in the last Retrier or Catcher"},
		{"no error names", inState(`"Catch":[{"Next":"X"},{"ErrorEquals":[],"Next":"X"},{"ErrorEquals":[1],"Next":"X"}]`),
			"/States/X/Catch/0/ErrorEquals: The field 'ErrorEquals' is required but was missing\n/States/X/Catch/1/ErrorEquals: Value cannot be empty\n/States/X/Catch/2/ErrorEquals: element 0: a string is expected, not number"},
		{"a template's member with and without its path", inState(`"Parameters":{"a":1,"a.$":"$.a"}`), "/States/X/Parameters/a.$: the field 'a' is given twice: with and without '.$'"},
		{"a template's path that is none", inState(`"Parameters":{"a.$":"ipsum","b.$":1}`),
			"/States/X/Parameters/a.$: The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call: it must begin with '$' or with 'States.'\n/States/X/Parameters/b.$: The value for the field 'b.$' must be a STRING that contains a JSONPath but was number"},
		{"a result put into the context", inState(`"ResultPath":"$$.a"`), "/States/X/ResultPath: a result cannot be put into the context object"},
		{"a result put into a variable", inState(`"ResultPath":"$a"`), "/States/X/ResultPath: a result cannot be put into a variable: Assign does that"},
		{"a result put to many places", inState(`"ResultPath":"$.a[*]"`), "/States/X/ResultPath: Value is not a Reference Path: $.a[*] may name more than one node"},
		{"a path that is none", inState(`"InputPath":"a","TimeoutSecondsPath":"States.MathAdd(1, 2)"`),
			"/States/X/InputPath: Value must be a valid JSONPath. a JSONPath must begin with '$'\n/States/X/TimeoutSecondsPath: Value is not a Reference Path: Reference path didn't start with '$'"},
		{"an error that is no string", `{"StartAt":"X","States":{"X":{"Type":"Fail","ErrorPath":"States.UUID()","CausePath":"States.MathAdd(1, 2)"}}}`, "/States/X/CausePath: States.MathAdd does not give a string"},
		{"calls that are none", inState(`"Parameters":{"a.$":"States.Nope()","b.$":"States.MathAdd(1, '2')","c.$":"States.UUID() "}`),
			"/States/X/Parameters/a.$: The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call: the intrinsic function \"States.Nope\" is not known\n" +
				"/States/X/Parameters/b.$: The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call: argument 2 of States.MathAdd cannot be a string\n" +
				"/States/X/Parameters/c.$: The value for the field 'c.$' must be a valid JSONPath or a valid intrinsic function call: nothing is expected after the call, not \" \""},
		{"a rule with two operators", `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"IsString":true,"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`,
			"/States/X/Choices/0: exactly one comparison operator is required, there are 2: [IsNull IsString]"},
		{"a rule's constant of another type", `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[{"Variable":"$.a","TimestampEquals":"today","Next":"Y"}]},"Y":{"Type":"Succeed"}}}`,
			"/States/X/Choices/0/TimestampEquals: String does not match RFC3339 timestamp"},
		{"a Next inside a condition", `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[{"And":[{"Variable":"$.a","IsNull":true,"Next":"Y"}],"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`,
			"/States/X/Choices/0/And/0: exactly one comparison operator is required, there are 2: [IsNull Next]"},
		{"a Choice without choices", `{"StartAt":"X","States":{"X":{"Type":"Choice","Choices":[],"Default":"Y"},"Y":{"Type":"Succeed"}}}`, "/States/X/Choices: Value cannot be empty"},
		{"a Wait that says nothing, and one that says two things", `{"StartAt":"X","States":{"X":{"Type":"Wait","Next":"Y"},"Y":{"Type":"Wait","Seconds":1,"SecondsPath":"$.s","End":true}}}`,
			"/States/X: one of Seconds, SecondsPath, Timestamp, TimestampPath is required\n/States/Y/SecondsPath: only one of Seconds, SecondsPath, Timestamp, TimestampPath may be given"},
		{"a Fail with a cause and its path", `{"StartAt":"X","States":{"X":{"Type":"Fail","Cause":"c","CausePath":"$.c","Next":"X"}}}`,
			"/States/X/CausePath: only one of Cause, CausePath may be given\n/States/X/Next: Field is not supported"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := problemsOf(c.definition); got != c.want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", c.definition, got, c.want)
			}
		})
	}
}

func TestParseRefusesJSONataByNameWithoutAnEvaluator(t *testing.T) {
	for _, c := range []struct{ definition, want string }{
		{`{"QueryLanguage":"JSONata","StartAt":"X","States":{"X":{"Type":"Pass","Output":"{% 1 %}"}}}`, "/QueryLanguage: JSONata is not supported without an Evaluator"},
		{`{"StartAt":"X","States":{"X":{"QueryLanguage":"JSONata","Type":"Pass","End":true}}}`, "/States/X/QueryLanguage: JSONata is not supported without an Evaluator"},
	} {
		_, err := Parse([]byte(c.definition))
		var invalid *InvalidError
		if !errors.As(err, &invalid) || err.Error() != "asl: invalid definition: "+c.want {
			t.Errorf("Parse says %v, want %s", err, c.want)
		}
	}
}

func TestValidateReportsAtMostAHundredProblems(t *testing.T) {
	definition := `{"StartAt":"X","States":{"X":{"Type":"Succeed"` + strings.Repeat(`,"X":1`, 500) + `}}}`
	if n := len(Validate([]byte(definition))); n != maxProblems {
		t.Errorf("%d problems", n)
	}
	if n := len(Validate(make([]byte, maxDefinition+1))); n != 1 {
		t.Errorf("a definition over the limit has %d problems, want the one that says so", n)
	}
}

func TestTheMachineDescribesItsStates(t *testing.T) {
	m, err := Parse([]byte(`{"StartAt":"B","States":{
		"A":{"Type":"Succeed"},
		"B":{"Type":"Choice","Choices":[{"Variable":"$.x","IsNull":true,"Next":"C"},{"Variable":"$.x","IsString":true,"Next":"C"}],"Default":"A"},
		"C":{"Type":"Task","Resource":"r","Catch":[{"ErrorEquals":["E"],"Next":"A"},{"ErrorEquals":["F"],"Next":"D"}],"End":true},
		"D":{"Type":"Fail"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.States()); got != "[B C A D]" {
		t.Errorf("states %s: the start comes first, then what is reached from it", got)
	}
	var got []string
	for _, name := range m.States() {
		s, _ := m.State(name)
		got = append(got, fmt.Sprintf("%+v", s))
	}
	want := "{Name:B Type:Choice Resource: Next:[C A] Catch:[] End:false Flows:[]}{Name:C Type:Task Resource:r Next:[] Catch:[A D] End:true Flows:[]}" +
		"{Name:A Type:Succeed Resource: Next:[] Catch:[] End:true Flows:[]}{Name:D Type:Fail Resource: Next:[] Catch:[] End:true Flows:[]}"
	if strings.Join(got, "") != want {
		t.Errorf("states %s", got)
	}
	if _, ok := m.State("Z"); ok {
		t.Error("a state that is not there is described")
	}
	if h := m.Hash(); len(h) != 64 {
		t.Errorf("hash %q", h)
	}
}
