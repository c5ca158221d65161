package jsonata

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// testInput is what the cases are evaluated on: their context, and $in.
const testInput = `{"a":[1,2,3],"o":{"x":1,"y":{"z":"s"}},"items":[{"id":3,"p":2.5,"q":2,"t":["u","v"]},{"id":1,"p":1,"q":4,"t":["w"]},{"id":2,"p":9,"q":1}],
	"s":"hello world","n":null,"b":true,"e":[],"nested":[[1,2],[3,[4,5]]],"one":[7],
	"orders":[{"oid":"A","lines":[{"sku":"x","qty":1},{"sku":"y","qty":2}]},{"oid":"B","lines":[{"sku":"x","qty":5}]}]}`

type testCase struct{ group, expression, want string }

// readCases reads testdata/cases.txt: a line with # names a group, the others are "expression  =>  JSON", "undefined" or "! code: message".
func readCases(tb testing.TB) []testCase {
	tb.Helper()
	b, err := os.ReadFile("testdata/cases.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var cases []testCase
	group := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "# "); ok {
			group = name
			continue
		}
		expression, want, ok := strings.Cut(line, "  =>  ")
		if ok {
			cases = append(cases, testCase{group, expression, want})
		}
	}
	if len(cases) < 400 {
		tb.Fatalf("%d cases only", len(cases))
	}
	return cases
}

// evalIn evaluates with a context, which Eval has not: the expression is compiled by itself, so that no path stands before it.
func evalIn(expression string, context any) (v any, err error) {
	defer recovered(expression, &err)
	root := compile(parse(expression))
	e := &evaluation{scope: asl.ExpressionScope{Now: time.UnixMilli(1700000000000), Seed: 1}}
	env := &frame{}
	env.bind("$", context)
	v = e.eval(root, context, env)
	if isUndefined(v) || isFunction(v) {
		return undefined, nil
	}
	return e.export(v), nil
}

// shown writes an outcome as the cases have it.
func shown(v any, err error) string {
	var e *Error
	switch {
	case errors.As(err, &e):
		return "! " + e.Error()
	case isUndefined(v):
		return "undefined"
	}
	return string(asl.AppendJSON(nil, v))
}

func TestCases(t *testing.T) {
	input, err := asl.DecodeJSON([]byte(testInput))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range readCases(t) {
		t.Run(c.group+"/"+c.expression, func(t *testing.T) {
			if got := shown(evalIn(c.expression, input)); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.expression, got, c.want)
			}
		})
	}
}
