package jsonata

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// scopeOf has the members of a JSON object as variables.
func scopeOf(tb testing.TB, variables string) asl.ExpressionScope {
	tb.Helper()
	v, err := asl.DecodeJSON([]byte(variables))
	if err != nil {
		tb.Fatal(err)
	}
	m := v.(map[string]any)
	return asl.ExpressionScope{
		Variable: func(name string) (any, bool) { v, ok := m[name]; return v, ok },
		Now:      time.Date(2026, 7, 1, 12, 0, 0, 5e6, time.UTC), Seed: 7,
	}
}

func mustCompile(tb testing.TB, expression string) asl.Expression {
	tb.Helper()
	x, err := Evaluator{}.Compile(expression)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func evalWith(t *testing.T, expression, variables string) string {
	t.Helper()
	v, defined, err := mustCompile(t, expression).Eval(scopeOf(t, variables))
	if !defined && err == nil {
		v = undefined
	}
	return shown(v, err)
}

func TestStepFunctionsAdditions(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`$partition([1,2,3,4,5], 2)`, `[[1,2],[3,4],[5]]`},
		{`$partition([0], 4)`, `[[0]]`},
		{`$partition([], 4)`, `[]`},
		{`$partition([1], 0)`, `! U1007: The second argument of function "partition" is not valid: 0`},
		{`$partition([1])`, `! T0410: Argument 2 of function "partition" does not match function signature`},
		{`$range(0, 9, 3)`, `[0,3,6,9]`},
		{`$range(1, 9, 9)`, `1`}, // recorded on AWS
		{`$range(5, 1, -2)`, `[5,3,1]`},
		{`$range(1, 0, 1)`, `undefined`},
		{`$range(0, 1, 0)`, `! U1007: The third argument of function "range" is not valid: 0`},
		{`$range(0, 1e9, 1)`, `! D2014: The size of the sequence allocated by the range operator (..) must not exceed 1e6.  Attempted to allocate 1000000001.`},
		{`$hash("abc", "MD5")`, `"900150983cd24fb0d6963f7d28e17f72"`},
		{`$hash("abc", "SHA-1")`, `"a9993e364706816aba3e25717850c26c9cd0d89d"`},
		{`$hash("abc", "SHA-256")`, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{`$hash("abc", "SHA-384")`, `"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"`},
		{`$length($hash("abc", "SHA-512"))`, `128`},
		{`$hash("abc", "CRC32")`, `! U1007: The second argument of function "hash" is not valid: "CRC32"`},
		{`$parse('{"n":9007199254740993,"l":[1.50]}')`, `{"l":[1.50],"n":9007199254740993}`},
		{`$parse("{")`, `! U1007: The first argument of function "parse" is not valid: "{"`},
		{`$random(3) = $random(3)`, `true`},
		{`$random(3) = $random(4)`, `false`},
		{`$random() = $random()`, `false`},
		{`$match($uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/) ~> $count`, `1`},
		{`$eval("1")`, `! T1006: Attempted to invoke a non-function`},
	} {
		t.Run(c.expression, func(t *testing.T) {
			if got := evalWith(t, c.expression, `{}`); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestVariablesComeFromTheScope(t *testing.T) {
	for _, c := range []struct{ expression, variables, want string }{
		{`$states.input.name`, `{"states":{"input":{"name":"x"}}}`, `"x"`},
		{`$states.input.missing`, `{"states":{"input":{}}}`, `undefined`},
		{`$missing`, `{}`, `undefined`},
		{`$v`, `{"v":null}`, `null`},
		{`$states.input`, `{"states":{"input":[]}}`, `[]`},
		{`$states.input`, `{"states":{"input":[5]}}`, `[5]`},
		{`$states.input[$ > 1]`, `{"states":{"input":[1,2]}}`, `2`},
		{`$count($states.result[$ = 0])`, `{"states":{"result":[0,0,1]}}`, `2`},
		{`$`, `{}`, `undefined`},
		{`$$`, `{}`, `undefined`},
		{`name`, `{"name":1}`, `undefined`},
		{`$sum`, `{"sum":3}`, `3`}, // goes before the function
		{`$sum([1,2])`, `{}`, `3`},
		{`($x := 1; $x + $y)`, `{"x":5,"y":2}`, `3`},
		{`$now()`, `{}`, `"2026-07-01T12:00:00.005Z"`},
		{`$millis()`, `{}`, `1782907200005`},
		{`function(){1}`, `{}`, `undefined`},
	} {
		t.Run(c.expression, func(t *testing.T) {
			if got := evalWith(t, c.expression, c.variables); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	const variables = `{"big":9007199254740993,"other":9007199254740992,"price":1.50,"list":[9007199254740993,9007199254740992]}`
	for _, c := range []struct{ expression, want string }{
		{`$big`, `9007199254740993`},
		{`$price`, `1.50`},
		{`$price + 0`, `1.5`},
		{`{"id": $big}`, `{"id":9007199254740993}`},
		{`$big = $other`, `false`},
		{`$big > $other`, `true`},
		{`$string($big)`, `"9007199254740993"`},
		{`"order-" & $big`, `"order-9007199254740993"`},
		{`$max($list)`, `9007199254740993`},
		{`$sort($list)`, `[9007199254740992,9007199254740993]`},
		{`$floor($big)`, `9007199254740993`},
		{`$big + 0`, `9007199254740992`}, // arithmetic is JavaScript's
		{`12345678901234567890`, `12345678901234567890`},
		{`1e21`, `1e+21`},
		{`0.1 + 0.2`, `0.30000000000000004`},
		{`-0`, `0`},
		{`1e-7`, `1e-7`},
		{`100000000000000000000`, `100000000000000000000`},
	} {
		t.Run(c.expression, func(t *testing.T) {
			if got := evalWith(t, c.expression, variables); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFreeVariables(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`$states.input.a + $order.total`, `order states`},
		{`$sum([1])`, ``},
		{`($x := $y; $x)`, `y`},
		{`$x + ($x := 1)`, `x`},
		{`(($x := 1); $x)`, `x`},
		{`function($a){$a + $b}`, `b`},
		{`$`, ` `},
		{`$$`, `$`},
		{`$states.input.items[$ > 1]`, `states`},
		{`$states.input.items.($ * 2)`, `states`},
		{`$map($l, function($v){$v & $})`, ` l`},
		{`$l@$v#$i[$v = $w].{"i": $i}`, `l w`},
		{`$l^(>$f).a`, `f l`},
		{`$l{$k: $v}`, `k l v`},
		{`$a ~> |$.b|{"c": $d}|`, `a d`},
		{`$c ? $t : $e`, `c e t`},
		{`foo.bar`, ``},
	} {
		t.Run(c.expression, func(t *testing.T) {
			got := mustCompile(t, c.expression).Variables()
			var want []string
			for name := range strings.SplitSeq(c.want, " ") {
				want = append(want, name)
			}
			if c.want == "" {
				want = nil
			}
			if c.want == " " {
				want = []string{""}
			}
			if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestRegularExpressionsThatRE2HasNotAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ pattern, why string }{
		{`/a(?=b)/`, "lookahead"}, {`/a(?!b)/`, "lookahead"}, {`/(?<=a)b/`, "lookbehind"}, {`/(?<!a)b/`, "lookbehind"}, {`/(a)\1/`, "backreference"},
		{`/(?<x>a)\k<x>/`, "backreference"}, {`/a**/`, "invalid nested repetition"}, {`/(a{100}){100}/`, "repe"},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			_, err := Evaluator{}.Compile(`$match("x", ` + c.pattern + `)`)
			var e *Error
			if !errors.As(err, &e) || e.Code != codeRegexp || !strings.Contains(e.Message, c.why) {
				t.Error(err)
			}
		})
	}
}

func TestAnErrorHasItsPositionInUTF16Units(t *testing.T) {
	_, err := Evaluator{}.Compile(`"𝒳é" & )`)
	var e *Error
	if !errors.As(err, &e) || e.Code != "S0211" || e.Position != 9 {
		t.Errorf("%+v", err)
	}
	_, _, err = mustCompile(t, `"𝒳é" & ("a" + 1)`).Eval(scopeOf(t, `{}`))
	if !errors.As(err, &e) || e.Code != "T2001" || e.Position != 14 {
		t.Errorf("%+v", e)
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct{ expression, code string }{
		"a function that calls itself without end, not as its last act": {`($f := function($n){1 + $f($n)}; $f(1))`, codeStack},
		"a function that ends with a call of itself, without end":       {`($f := function($n){$f($n)}; $f(1))`, codeWork},
		"functions joined to one, twice in each of the next":            {`($f := function($g, $n){$n = 0 ? $g : $f($g ~> $g, $n - 1)}; $h := $f($not, 60); $h(true))`, codeWork},
		"functions joined to one, on and on":                            {`($f := function($g, $n){$n = 0 ? $g : $f($g ~> $not, $n - 1)}; $h := $f($not, 10000); $h(true))`, codeStack},
		"a string that doubles":                                         {`$reduce([1..100], function($s, $i){$s & $s}, "0123456789012345678901234567890123456789")`, codeWork},
		"a replacement that repeats what it replaces":                   {`$replace($pad("", 20000, "a"), /a+/, $pad("", 20000, "$0"))`, codeWork},
		"a long string that is compared again and again":                {`($a := $pad("", 1e7, "a"); $b := $a & "b"; $c := $a & "c"; [1..1000][$b < $c])`, codeWork},
		"a long string that is searched again and again":                {`($a := $pad("", 1e7, "a"); [1..1000].$substringBefore($a, "b"))`, codeWork},
		"an array that doubles":                                         {`$reduce([1..100], function($a, $i){$append($a, $a)}, [1, 2])`, codeWork},
		"a range of ranges":                                             {`[1..1000].[1..1000000]`, codeWork},
		"a range over a million":                                        {`[1..1000001]`, "D2014"},
		"a pad of gigabytes":                                            {`$pad("", 1e9)`, codeWork},
		"a comparison of each with each":                                {`$distinct([1..100000].{"a": $})`, codeWork},
		"a result that is nested too deep":                              {`$reduce([1..1000], function($a, $i){[[$a]]}, 0)`, codeNesting},
		"an object that holds itself":                                   {`{"a": 1} ~> |$|{"b": $}|`, codeNesting},
		"a regular expression on a text that each match reads":          {`$count($match($join([1..20000].("a")), /a(.*b)?/))`, codeWork},
		"a regular expression with a thousand groups":                   {`$match($pad("", 20000, "a"), /` + strings.Repeat("(a)?", 1000) + `/)`, codeWork},
		"a copy of objects again and again":                             {`($o := [1..1000].{"a": $}; [1..1000].$clone($o))`, codeWork},
		"a year that no date has":                                       {`$toMillis("99999999999999999999", "[Y]")`, codeArgument},
		"a year in the far future":                                      {`$toMillis("999999999", "[Y]")`, codeArgument},
		"one million letters of a date":                                 {`$fromMillis(0, $pad("[Y]", 1000))`, codeArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := mustCompile(t, c.expression).Eval(scopeOf(t, `{}`))
			var e *Error
			if !errors.As(err, &e) || e.Code != c.code {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("a message shows the start of a value that has more parts than can be written", func(t *testing.T) {
		got := evalWith(t, `-$reduce([1..100], function($a, $i){{"x": $a, "y": $a}}, 1)`, `{}`)
		if !strings.HasPrefix(got, `! D1002: Cannot negate a non-numeric value: {"x":{"x":`) || !strings.HasSuffix(got, "...") || len(got) > 1100 {
			t.Error(got)
		}
	})
	t.Run("a thousand calls deep in the tail is no depth", func(t *testing.T) {
		if got := evalWith(t, `($f := function($n, $sum){$n = 0 ? $sum : $f($n - 1, $sum + $n)}; $f(100000, 0))`, `{}`); got != "5000050000" {
			t.Error(got)
		}
	})
	for name, expression := range map[string]string{
		"brackets": strings.Repeat("(", 300), "minuses": strings.Repeat("-", 300), "a sum": "1" + strings.Repeat("+1", 3000), "parents": "a" + strings.Repeat(".%", 200),
	} {
		t.Run("an expression nested too deep: "+name, func(t *testing.T) {
			_, err := Evaluator{}.Compile(expression)
			var e *Error
			if !errors.As(err, &e) || e.Code != codeDeep {
				t.Error(err)
			}
		})
	}
	t.Run("an expression over 256 KiB", func(t *testing.T) {
		_, err := Evaluator{}.Compile(strings.Repeat(" ", maxExpression+1))
		var e *Error
		if !errors.As(err, &e) || e.Code != codeLong {
			t.Error(err)
		}
	})
	t.Run("a payload of 256 KiB is well within", func(t *testing.T) {
		lines := `[` + strings.TrimSuffix(strings.Repeat(`{"sku":"abc","qty":2,"price":1.25},`, 7000), ",") + `]`
		got := evalWith(t, `$sum($lines.(qty * price)) & " " & $count($distinct($lines.sku)) & " " & $count($lines[qty > 1]^(>price))`, `{"lines":`+lines+`}`)
		if got != `"17500 1 7000"` {
			t.Error(got)
		}
	})
}

// TestTheSameScopeGivesTheSame holds that chance comes from the seed alone, and that a compiled expression keeps nothing of an evaluation.
func TestTheSameScopeGivesTheSame(t *testing.T) {
	x := mustCompile(t, `[$random(), $uuid(), $shuffle([1..20]), $now()]`)
	eval := func(seed uint64) string {
		s := scopeOf(t, `{}`)
		s.Seed = seed
		v, _, err := x.Eval(s)
		return shown(v, err)
	}
	first, again, other := eval(1), eval(1), eval(2)
	if first != again || first == other {
		t.Error(first, again, other)
	}
}

func TestATransformationChangesACopy(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`$order ~> |lines|{"qty": 2}, "x"|`, `{"lines":[{"qty":2}]}`},
		{`{"a": 1} ~> |$order.lines|{"qty": 2}, "qty"|`, `{"a":1}`}, // a pattern that leads out of the copy
		{`($clone := function($v){$v}; $order ~> |lines|{"qty": 2}|)`, `{"lines":[{"qty":2}]}`},
	} {
		t.Run(c.expression, func(t *testing.T) {
			s := scopeOf(t, `{"order":{"lines":[{"qty":1}]}}`)
			got, _, err := mustCompile(t, c.expression).Eval(s)
			if shown(got, err) != c.want {
				t.Errorf("got %s, want %s", shown(got, err), c.want)
			}
			v, _ := s.Variable("order")
			if left := shown(v, nil); left != `{"lines":[{"qty":1}]}` {
				t.Error("the variable became", left)
			}
		})
	}
}

func TestConcurrentEvaluations(t *testing.T) {
	x := mustCompile(t, `$n ~> $map(function($v){$contains($string($v), /1/) ? $v : 0}) ~> $sum`)
	done := make(chan string)
	for range 8 {
		go func() {
			v, _, err := x.Eval(asl.ExpressionScope{Variable: func(name string) (any, bool) {
				return []any{json.Number("1"), json.Number("21"), json.Number("3")}, name == "n"
			}})
			done <- shown(v, err)
		}()
	}
	for range 8 {
		if got := <-done; got != "22" {
			t.Error(got)
		}
	}
}

func ExampleEvaluator() {
	x, err := Evaluator{}.Compile(`{"total": $sum($states.input.lines.(qty * price)), "skus": $states.input.lines.sku[]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	states, _ := asl.DecodeJSON([]byte(`{"input":{"lines":[{"sku":"a","qty":2,"price":1.25}]}}`))
	v, _, err := x.Eval(asl.ExpressionScope{Variable: func(name string) (any, bool) { return states, name == "states" }})
	fmt.Println(string(asl.AppendJSON(nil, v)), err, x.Variables())
	// Output: {"skus":["a"],"total":2.5} <nil> [states]
}

func ExampleError() {
	x, _ := Evaluator{}.Compile(`"a" + 1`)
	_, _, err := x.Eval(asl.ExpressionScope{})
	fmt.Println(err)
	// Output: T2001: The left side of the "+" operator must evaluate to a number
}

const benchmarkExpression = `{"total": $sum($states.input.lines[qty > 0].(qty * price)), "id": "order-" & $states.input.id}`

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		mustCompile(b, benchmarkExpression)
	}
}

func BenchmarkEval(b *testing.B) {
	x := mustCompile(b, benchmarkExpression)
	s := scopeOf(b, `{"states":{"input":{"id":7,"lines":[{"qty":1,"price":2.5},{"qty":2,"price":3},{"qty":0,"price":1}]}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := x.Eval(s); err != nil {
			b.Fatal(err)
		}
	}
}
