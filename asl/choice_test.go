package asl

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// decideChoice runs a Choice state with one rule over an input and says where it went.
func decideChoice(t *testing.T, rule, input string) string {
	t.Helper()
	m, err := Parse([]byte(`{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{` + rule + `,"Next":"yes"}],"Default":"no"},
		"yes":{"Type":"Succeed"},"no":{"Type":"Succeed"}}}`))
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	x, _ := m.Start(Start{Input: mustDecode(t, input), Time: time.Unix(0, 0)})
	if x.Status() == StatusFailed {
		name, cause := x.Failure()
		return name + ": " + cause
	}
	state, _ := x.Current()
	return state
}

func TestChoiceComparesWithinOneType(t *testing.T) {
	operators := []struct{ name, lower, higher string }{
		{"String", `"a"`, `"b"`}, {"Numeric", `1`, `1.5`}, {"Timestamp", `"2025-01-01T00:00:00Z"`, `"2025-01-01T00:00:00.001Z"`},
	}
	orders := []struct {
		name              string
		less, equal, more string
	}{
		{"Equals", "no", "yes", "no"}, {"LessThan", "yes", "no", "no"}, {"LessThanEquals", "yes", "yes", "no"},
		{"GreaterThan", "no", "no", "yes"}, {"GreaterThanEquals", "no", "yes", "yes"},
	}
	for _, op := range operators {
		for _, order := range orders {
			for _, c := range []struct{ left, right, want string }{
				{op.lower, op.higher, order.less}, {op.lower, op.lower, order.equal}, {op.higher, op.lower, order.more},
				{`true`, op.lower, "no"}, {`null`, op.lower, "no"}, {`[]`, op.lower, "no"}, {`{}`, op.lower, "no"},
			} {
				for _, form := range []string{fmt.Sprintf(`%q:%s`, op.name+order.name, c.right), fmt.Sprintf(`%q:"$.right"`, op.name+order.name+"Path")} {
					input := fmt.Sprintf(`{"left":%s,"right":%s}`, c.left, c.right)
					if got := decideChoice(t, `"Variable":"$.left",`+form, input); got != c.want {
						t.Errorf("%s with %s: %s, want %s", input, form, got, c.want)
					}
				}
			}
		}
	}
}

func TestChoice(t *testing.T) {
	const invalid = "States.Runtime: An error occurred while executing the state 'C' (entered at the event id #2). Invalid path '%s': The choice state's condition path references an invalid value."
	for _, c := range []struct{ rule, input, sentence, want string }{
		{`"Variable":"$.a","BooleanEquals":true`, `{"a":true}`, "booleans are compared", "yes"},
		{`"Variable":"$.a","BooleanEqualsPath":"$.b"`, `{"a":false,"b":true}`, "booleans differ", "no"},
		{`"Variable":"$.a","BooleanEqualsPath":"$.b"`, `{"a":false,"b":"false"}`, "a path to another type is no match", "no"},
		{`"Variable":"$.a","NumericEquals":1`, `{"a":1.0}`, "1 is 1.0", "yes"},
		{`"Variable":"$.a","NumericEquals":100`, `{"a":1e2}`, "100 is 1e2", "yes"},
		{`"Variable":"$.a","NumericEquals":9007199254740993`, `{"a":9007199254740992}`, "integers beyond 2^53 are told apart", "no"},
		{`"Variable":"$.a","NumericLessThan":-99999999999999999998`, `{"a":-99999999999999999999}`, "and beyond 2^64, below zero too", "yes"},
		{`"Variable":"$.a","NumericEquals":0`, `{"a":-0}`, "0 is -0", "yes"},
		{`"Variable":"$.a","NumericGreaterThan":1`, `{"a":"2"}`, "a numeric string is no number", "no"},
		{`"Variable":"$.a","TimestampEquals":"2025-01-01T00:00:00Z"`, `{"a":"2025-01-01T01:00:00+01:00"}`, "timestamps are instants", "yes"},
		{`"Variable":"$.a","StringMatches":"*.zip"`, `{"a":"x.zip"}`, "an asterisk matches any text", "yes"},
		{`"Variable":"$.a","StringMatches":"a*b*c"`, `{"a":"abc"}`, "and the empty one", "yes"},
		{`"Variable":"$.a","StringMatches":"a*a"`, `{"a":"a"}`, "but no text twice", "no"},
		{`"Variable":"$.a","StringMatches":"a\\*b\\\\*"`, `{"a":"a*b\\x"}`, "a backslash escapes the asterisk and itself", "yes"},
		{`"Variable":"$.a","StringMatches":"a\\*"`, `{"a":"ab"}`, "an escaped asterisk is only itself", "no"},
		{`"Variable":"$.a","StringMatches":"*"`, `{"a":1}`, "a number does not match", "no"},
		{`"Variable":"$.a","IsPresent":true`, `{"a":null}`, "null is present", "yes"},
		{`"Variable":"$.a.b","IsPresent":false`, `{"a":1}`, "what stands below a number is absent", "yes"},
		{`"Variable":"$.a[1]","IsPresent":true`, `{"a":[1]}`, "what stands beyond an array is absent", "no"},
		{`"Variable":"$$.Execution.Input.a","IsPresent":true`, `{"a":1}`, "the context object has variables too", "yes"},
		{`"Variable":"$.a","IsNull":true`, `{}`, "only IsPresent may name what is absent", fmt.Sprintf(invalid, "$.a")},
		{`"Variable":"$.a","StringEqualsPath":"$.b"`, `{"a":"x"}`, "nor may the other path", fmt.Sprintf(invalid, "$.b")},
		{`"Variable":"$.a","IsTimestamp":true`, `{"a":"2025-01-01T00:00:00.5+05:30"}`, "a timestamp has an offset", "yes"},
		{`"Variable":"$.a","IsTimestamp":true`, `{"a":"2025-01-01T00:00:00"}`, "without one it is none", "no"},
		{`"Variable":"$.a","IsTimestamp":false`, `{"a":"2025-01-01t00:00:00z"}`, "T and Z are upper case", "yes"},
		{`"Variable":"$.a","IsTimestamp":true`, `{"a":"2025-01-01T00:00:00,5Z"}`, "a comma is no decimal point", "no"},
		{`"Variable":"$.a","IsTimestamp":true`, `{"a":"2025-02-29T00:00:00Z"}`, "2025 is no leap year", "no"},
		{`"Variable":"$.a","IsString":true`, `{"a":""}`, "a string may be empty", "yes"},
		{`"Variable":"$.a","IsNumeric":false`, `{"a":"1"}`, "digits in quotes are no number", "yes"},
		{`"And":[{"Variable":"$.a","IsPresent":true},{"Variable":"$.a","IsNull":true}]`, `{}`, "And asks no further than the first no", "no"},
		{`"Or":[{"Variable":"$.a","IsPresent":false},{"Variable":"$.a","IsNull":true}]`, `{}`, "Or asks no further than the first yes", "yes"},
		{`"Not":{"And":[{"Variable":"$.a","NumericEquals":1},{"Not":{"Variable":"$.b","NumericEquals":1}}]}`, `{"a":1,"b":2}`, "conditions nest", "no"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := decideChoice(t, c.rule, c.input); got != c.want {
				t.Errorf("%s over %s: %s, want %s", c.rule, c.input, got, c.want)
			}
		})
	}
}

func TestNumbersAreOrderedAsNumbers(t *testing.T) {
	ordered := strings.Fields("-1e400 -100000000000000000001 -100000000000000000000 -12 -2 -1.5 0 0.5 1 2 12 9007199254740992 9007199254740993 1e300 1e400")
	for i, a := range ordered {
		for j, b := range ordered {
			if got := CompareNumbers(json.Number(a), json.Number(b)); got != compareInts(i, j) {
				t.Errorf("compare %s with %s is %d", a, b, got)
			}
		}
	}
}

func compareInts(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}
