package asl

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// compute is the value of a field in a Pass state's Parameters over an input, or why the execution fails.
func compute(tb testing.TB, text, input string) string {
	tb.Helper()
	return passed(tb, fmt.Sprintf(`{"v.$":%s}`, AppendJSON(nil, text)), input, 1)
}

func passed(tb testing.TB, parameters, input string, seed uint64) string {
	tb.Helper()
	m, err := Parse([]byte(`{"StartAt":"P","States":{"P":{"Type":"Pass","End":true,"Parameters":` + parameters + `}}}`))
	if err != nil {
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			tb.Fatal(err)
		}
		return invalid.Problems[0].Message
	}
	x, _ := m.Start(Start{Input: mustDecode(tb, input), Time: time.Unix(0, 0), Seed: seed})
	if x.Status() == StatusFailed {
		name, cause := x.Failure()
		return name + ": " + cause
	}
	v := x.Output().(map[string]any)["v"]
	return string(AppendJSON(nil, v))
}

func TestIntrinsicFunctions(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for _, c := range []struct{ call, input, want string }{
		{`States.Array()`, `{}`, `[]`},
		{`States.Array('a', 1, -2.50, null, true, $.o, States.Array())`, `{"o":{"p":1}}`, `["a",1,-2.50,null,true,{"p":1},[]]`},
		{`States.ArrayContains($.a, 2)`, `{"a":[1,2]}`, `true`},
		{`States.ArrayContains($.a, $.b)`, `{"a":[{"x":[1]}],"b":{"x":[1]}}`, `true`},
		{`States.ArrayContains($.a, true)`, `{"a":["true"]}`, `true`},
		{`States.ArrayContains($.a, false)`, `{"a":[0]}`, `false`},
		{`States.ArrayGetItem($.a, 1)`, `{"a":[1,2]}`, `2`},
		{`States.ArrayGetItem($.a, 1.2)`, `{"a":[1,2]}`, `2`},
		{`States.ArrayGetItem($.a, 999)`, `{"a":[]}`, `null`},
		{`States.ArrayLength($.a[*].b)`, `{"a":[{"b":1},{},{"b":2}]}`, `2`},
		{`States.ArrayPartition($.a, 2.6)`, `{"a":[1,2,3]}`, `[[1,2],[3]]`},
		{`States.ArrayPartition($.a, 9)`, `{"a":[]}`, `[]`},
		{`States.ArrayRange(1, 9, 2)`, `{}`, `[1,3,5,7,9]`},
		{`States.ArrayRange(5.4, -0.6, -2.4)`, `{}`, `[5,3,1]`},
		{`States.ArrayRange(1, 5, -1)`, `{}`, `[]`},
		{`States.ArrayLength(States.ArrayRange(1, 1000, 1))`, `{}`, `1000`},
		{`States.ArrayUnique($.a)`, `{"a":[1,2,3,3,3,3,3,3,4]}`, `[1,2,3,4]`},
		{`States.ArrayUnique($.a)`, `{"a":[true,false,true,false]}`, `[false,true]`},
		{`States.ArrayUnique($.a)`, `{"a":[[1,2],[1,2],[2,1]]}`, `[[2,1],[1,2]]`},
		{`States.ArrayUnique($.a)`, `{"a":[1,"1",1,"01",null,null]}`, `[null,1,"1","01"]`},
		{`States.ArrayUnique($.a)`, `{"a":[{"a":1,"b":1.50},{"b":1.5,"a":1}]}`, `[{"a":1,"b":1.50}]`},
		{`States.Base64Encode('Data to encode')`, `{}`, `"RGF0YSB0byBlbmNvZGU="`},
		{`States.Base64Decode('RGF0YSB0byBlbmNvZGU=')`, `{}`, `"Data to encode"`},
		{`States.Base64Decode(' YWJjZA== ')`, `{}`, `"abcd"`},
		{`States.Base64Decode('YWI')`, `{}`, `"ab"`},
		{`States.Base64Decode('ab==cd')`, `{}`, `"i"`},
		{`States.Base64Decode('/w')`, `{}`, `"` + "\ufffd" + `"`},
		{`States.Format('{} and {}: {}', $.s, 1.50, null)`, `{"s":"x"}`, `"x and 1.50: null"`},
		{`States.Format('\'\{\}\\{}', $.s)`, `{"s":"x"}`, `"'{}\\x"`},
		{`States.Format($.t, 1)`, `{"t":"\\{{}"}`, `"{1"`},
		{`States.Format('{}', $.o)`, `{"o":{"Arg2":[1,"x",null],"Arg1":1}}`, `"{Arg1=1, Arg2=[1, x, null]}"`},
		{`States.Format('none')`, `{}`, `"none"`},
		{`States.Hash('input data', 'MD5')`, `{}`, `"812f45842bc6d66ee14572ce20db8e86"`},
		{`States.Hash('hello', 'SHA-1')`, `{}`, `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`},
		{`States.Hash('hello', 'SHA-256')`, `{}`, `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`},
		{`States.ArrayLength(States.Array(States.Hash(1, 'SHA-384'), States.Hash($, 'SHA-512')))`, `{}`, `2`},
		{`States.JsonMerge($.a, $.b, false)`, `{"a":{"x":{"y":1},"z":1},"b":{"x":2}}`, `{"x":2,"z":1}`},
		{`States.JsonToString($.a)`, `{"a":{"b":1.10,"c":"\""}}`, `"{\"b\":1.10,\"c\":\"\\\"\"}"`},
		{`States.MathAdd(-1.5, 0)`, `{}`, `-1`},
		{`States.MathAdd(1.5, 1.51)`, `{}`, `4`},
		{`States.MathAdd(2147483646, 1)`, `{}`, `2147483647`},
		{`States.MathRandom(1, 11, 42)`, `{}`, `1`}, // Java: new Random(42).nextInt(10) is 0
		{`States.MathRandom(0, 100, 1)`, `{}`, `85`},
		{`States.MathRandom(5.9, 6.1)`, `{}`, `5`},
		{`States.StringSplit('This.is+a,test=string', '.+,=')`, `{}`, `["This","is","a","test","string"]`},
		{`States.StringSplit(', , ,', ',')`, `{}`, `[" "," "]`},
		{`States.StringSplit('abc', '')`, `{}`, `["abc"]`},
		{`States.StringToJson(' {"a":1.0} ')`, `{}`, `{"a":1.0}`},
		{`States.StringToJson(' ')`, `{}`, `null`},
		{`States.Format( 'a,)(b {}' , $['x,)']  )`, `{"x,)":1}`, `"a,)(b 1"`},
		{`States.ArrayLength($.a[?(@.b == 'x,)' && !(@.c))])`, `{"a":[{"b":"x,)"},{"b":"x,)","c":1}]}`, `1`},
		{`States.ArrayGetItem($.a[0,1], 1)`, `{"a":[1,2]}`, `2`},
		{`States.Format('{}', $$.State.Name)`, `{}`, `"P"`},
		{`States.ArrayGetItem($.a, 2)`, `{"a":[1,2]}`, invalidCall(`States.ArrayGetItem($.a, 2)`, "Invalid arguments in States.ArrayGetItem")},
		{`States.ArrayGetItem($.a, -1)`, `{"a":[1,2]}`, invalidCall(`States.ArrayGetItem($.a, -1)`, "Invalid arguments in States.ArrayGetItem")},
		{`States.ArrayPartition($.a, 0.6)`, `{"a":[1,2]}`, invalidCall(`States.ArrayPartition($.a, 0.6)`, "Invalid arguments in States.ArrayPartition")},
		{`States.ArrayRange(1, 1001, 1)`, `{}`, invalidCall(`States.ArrayRange(1, 1001, 1)`, "Invalid arguments in States.ArrayRange")},
		{`States.ArrayRange(1, 10, 0.49)`, `{}`, invalidCall(`States.ArrayRange(1, 10, 0.49)`, "Invalid arguments in States.ArrayRange")},
		{`States.MathRandom(1.4, 1.6)`, `{}`, invalidCall(`States.MathRandom(1.4, 1.6)`, "Invalid arguments in States.MathRandom")},
		{`States.MathRandom(1, 2, $.s)`, `{"s":null}`, invalidCall(`States.MathRandom(1, 2, $.s)`, "Invalid arguments in States.MathRandom")},
		{`States.MathAdd(3000000000, 1)`, `{}`, invalidCall(`States.MathAdd(3000000000, 1)`, "Invalid arguments in States.MathAdd")},
		{`States.MathAdd($.a, 1)`, `{"a":"1"}`, invalidCall(`States.MathAdd($.a, 1)`, "Invalid arguments in States.MathAdd")},
		{`States.MathAdd(1)`, `{}`, invalidCall(`States.MathAdd(1)`, "Invalid arguments in States.MathAdd")},
		{`States.UUID(1)`, `{}`, invalidCall(`States.UUID(1)`, "Invalid arguments in States.UUID")},
		{`States.JsonMerge($, $, true)`, `{}`, invalidCall(`States.JsonMerge($, $, true)`, "Invalid arguments in States.JsonMerge")},
		{`States.Hash('x', 'sha-256')`, `{}`, invalidCall(`States.Hash('x', 'sha-256')`, "Invalid arguments in States.Hash")},
		{`States.Hash($, 'MD5')`, `"` + long + `"`, invalidCall(`States.Hash($, 'MD5')`, "Invalid arguments in States.Hash")},
		{`States.Base64Encode($)`, `"` + long + `"`, invalidCall(`States.Base64Encode($)`, "Invalid arguments in States.Base64Encode")},
		{`States.StringToJson($)`, `"{"`, invalidCall(`States.StringToJson($)`, "Invalid arguments in States.StringToJson")},
		{`States.Format('{} {}', 1)`, `{}`, invalidCall(`States.Format('{} {}', 1)`, "Invalid arguments in States.Format: number of arguments do not match the occurrences of {}.")},
		{`States.Format('Hello {', 1)`, `{}`, invalidCall(`States.Format('Hello {', 1)`, "Invalid template in States.Format: matching '}' not found for '{'.")},
		{`States.Format('}')`, `{}`, invalidCall(`States.Format('}')`, "Invalid template in States.Format: matching '{' not found for '}'.")},
		{`States.Array(States.Format('{}',$.nope))`, `{"other":1}`, invalidCall(`States.Array(States.Format('{}',$.nope))`, "The JsonPath argument for the field '$.nope' could not be found in the input '{\"other\":1}'")},
	} {
		if got := compute(t, c.call, c.input); got != c.want {
			t.Errorf("%s over %.60s: %s, want %s", c.call, c.input, got, c.want)
		}
	}
}

// invalidCall is how AWS fails the state P for a call.
func invalidCall(call, why string) string {
	return "States.Runtime: An error occurred while executing the state 'P' (entered at the event id #2). The function '" + call + "' had the following error: " + why
}

func TestIntrinsicFunctionsAreRefusedWhereTheyAreMalformed(t *testing.T) {
	for call, want := range map[string]string{
		"States.Nope()": `"States.Nope" is not known`, "Nope()": "must begin with '$' or with 'States.'", "States.UUID": "is not known", "States.UUID(": "the text ends",
		"States.Array(1": "',' or ')'", "States.Array(1 2)": "',' or ')'", "States.Array(1,)": "an argument is expected", "States.Array(,1)": "an argument is expected", "States.Array(1, )": "an argument is expected",
		"States.Array('a)": "closing quote", `States.Array('a\nb')`: "a backslash must stand before", `States.Array('a\`: "a backslash must stand before",
		`States.Array("a")`: "an argument is expected", "States.Array({})": "an argument is expected", "States.Array([])": "an argument is expected", "States.Array(nul)": "an argument is expected", "States.Array(-)": "an argument is expected",
		"States.Array($.a b)": "',' or ')'", "States.Array($.)": "a name is expected", "States.UUID() ": "nothing is expected", "States.Array(States.Nope())": "is not known", "States.Array($.a.max(1))": "no functions with arguments",
		"States.MathAdd('1', 2)": "argument 1 of States.MathAdd cannot be a string", "States.Format(1)": "cannot be a number", "States.ArrayLength(null)": "cannot be a null", "States.JsonMerge(true, $, false)": "cannot be a boolean",
		"States.Array(" + strings.Repeat("States.UUID(),", 10) + "1)": "at most 10", strings.Repeat("States.Array(", 10000): "at most 10",
	} {
		if got := compute(t, call, `{}`); !strings.Contains(got, want) || !strings.Contains(got, "must be a valid JSONPath or a valid intrinsic function call") {
			t.Errorf("%.60s: %.200s, want %q", call, got, want)
		}
	}
	if got := compute(t, "States.ArrayLength(States.Array("+strings.Repeat("States.UUID(),", 8)+"1))", `{}`); got != "9" {
		t.Errorf("ten calls: %s", got)
	}
}

func TestChanceIsNewAtEachCallAndTheSameAtAReplay(t *testing.T) {
	const two = `{"v":{"a.$":"States.UUID()","b.$":"States.UUID()","n.$":"States.MathRandom(0, 1000000)","m.$":"States.MathRandom(0, 1000000)"}}`
	once := passed(t, two, `{}`, 7)
	if again := passed(t, two, `{}`, 7); once != again {
		t.Errorf("one seed gives %s, then %s", once, again)
	}
	if other := passed(t, two, `{}`, 8); once == other {
		t.Errorf("two seeds give %s", once)
	}
	shape := `{"a":"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})","b":"([^"]*)","m":(\d+),"n":(\d+)}`
	parts := regexp.MustCompile("^" + shape + "$").FindStringSubmatch(once)
	if parts == nil || parts[1] == parts[2] || parts[3] == parts[4] {
		t.Errorf("the draws are %s", once)
	}
	seen := map[string]bool{}
	for seed := range uint64(300) {
		v := passed(t, `{"v.$":"States.MathRandom(-2, 3)"}`, `{}`, seed)
		seen[v] = true
	}
	if fmt.Sprint(len(seen)) != "5" || !seen["-2"] || !seen["2"] {
		t.Errorf("MathRandom(-2, 3) gives %v", seen)
	}
}

// A value given a thousand times to calls within calls has a size that no memory holds.
func TestWhatCallsMakeIsBounded(t *testing.T) {
	thousand := "$" + strings.Repeat(",$", 999)
	nested := thousand
	for range 4 {
		nested = "States.Array(" + nested + strings.Repeat(","+thousand, 1) + ")"
	}
	input := `"` + strings.Repeat("x", 100_000) + `"`
	for _, call := range []string{
		"States.Array(" + thousand + ")", "States.JsonToString(" + nested + ")", "States.Format('" + strings.Repeat("{}", 1000) + "', " + thousand + ")",
	} {
		if got := compute(t, call, input); !strings.HasPrefix(got, "States.DataLimitExceeded") && !strings.Contains(got, "takes more than") {
			t.Errorf("%.60s: %.200s", call, got)
		}
	}
	// Formats write 100,000 bytes each; a split of nothing but separators looks at as many, and gives nothing.
	for _, call := range []string{"States.Format('{}', $)", "States.StringSplit($, $)"} {
		fields := strings.Repeat(`"a%d.$":"`+call+`",`, 2000)
		fields = fmt.Sprintf(fields, numbers(2000)...)
		if got := passed(t, "{"+fields+`"v":1}`, input, 1); !strings.Contains(got, "takes more than") {
			t.Errorf("2000 times %s of 100,000 bytes: %.200s", call, got)
		}
	}
}

func numbers(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// The bound of what a call gives is never less than its size.
func TestIntrinsicFunctionsBoundTheirValues(t *testing.T) {
	calls := []string{
		"States.Array($, $, 'x')", "States.ArrayPartition($.a, 1)", "States.ArrayPartition($.a, 2)", "States.ArrayUnique($.a)", "States.ArrayGetItem($.a, 0)", "States.JsonMerge($.o, $.o, false)", "States.JsonToString($)",
		"States.Format('{}\\{', $)", "States.StringSplit($.s, ' ')", "States.StringToJson(States.JsonToString($))", "States.UUID()", "States.Base64Encode($.s)", "States.ArrayRange(-5, 5, 3)",
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, _ := genJSON(rt, 3).([]any)
		o, _ := genJSON(rt, 3).(map[string]any)
		root := map[string]any{"a": append([]any{}, a...), "o": map[string]any{"n": o}, "s": "a \"b\"\n"}
		c, err := compileIntrinsic(rapid.SampledFrom(calls).Draw(rt, "call"), new(int))
		if err != nil {
			rt.Fatal(err)
		}
		sc := &scope{state: &state{}}
		v, bound, f := c.eval(&env{x: &Execution{}, scope: sc, input: root, bound: sizeOf(root, maxPayload)})
		if size := len(AppendJSON(nil, v)); f == nil && size > bound {
			rt.Fatalf("%s gives %s of %d bytes, more than the bound %d", c.text, AppendJSON(nil, v), size, bound)
		}
	})
}
