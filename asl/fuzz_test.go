package asl

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// FuzzParse: a definition is refused with at least one problem or accepted with none, and never panics. Its seeds, and
// what fuzzing found, stand in testdata/fuzz/FuzzParse.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, definition []byte) {
		m, err := Parse(definition, WithEvaluator(testEvaluator{}))
		problems := Validate(definition, WithEvaluator(testEvaluator{}))
		var invalid *InvalidError
		switch {
		case err == nil && (m == nil || len(problems) > 0):
			t.Fatalf("accepted, with problems %v", problems)
		case err != nil && (!errors.As(err, &invalid) || len(problems) == 0):
			t.Fatalf("refused without a problem: %v", err)
		case err == nil && len(m.States()) == 0:
			t.Fatal("a machine without states")
		case err == nil:
			printedAgain(t, m)
		}
	})
}

// printedAgain parses what a machine prints, which prints the same.
func printedAgain(t interface{ Fatalf(string, ...any) }, m *Machine) *Machine {
	printed := m.Definition()
	if len(printed) > maxDefinition { // escapes have made it longer than what was read
		return m
	}
	again, err := Parse(printed, WithEvaluator(testEvaluator{}))
	if err != nil {
		t.Fatalf("%s: printed and not parsed again: %v", printed, err)
	}
	if twice := again.Definition(); string(twice) != string(printed) {
		t.Fatalf("%s is printed again as %s", printed, twice)
	}
	return again
}

// FuzzStep answers a fuzzed machine by a fuzzed script. Nothing panics, a clone and a replay stand where the original
// does, and each open command has one answer.
func FuzzStep(f *testing.F) {
	f.Fuzz(func(t *testing.T, definition, input, script []byte) {
		m, err := Parse(definition, WithEvaluator(testEvaluator{}))
		if err != nil {
			return
		}
		in, err := DecodeJSON(input)
		if err != nil || len(script) > 200 {
			return
		}
		start := Start{Input: in, Time: time.Unix(1e9, 0)}
		x, _ := m.Start(start)
		y, _ := m.Start(start)
		for i, b := range script {
			ev := Event{
				Kind: []EventKind{TaskSucceeded, TaskFailed, TaskTimedOut, TimerFired, Aborted, ""}[int(b)%6],
				ID:   x.lastID - int64(b>>6), Time: x.now.Add(time.Duration(i) * time.Second), Seed: uint64(b),
				Output: in, Error: []string{"E", "States.Timeout", "States.Runtime", ""}[int(b>>2)%4], Cause: "c",
			}
			if x.NotRedrivable() == "" { // it has ended: what else could come
				ev.Kind = Redriven
			}
			clone := y.Clone()
			_, err := x.Step(ev)
			_, again := y.Step(ev)
			_, onClone := clone.Step(ev)
			if (err == nil) != (again == nil) || (err == nil) != (onClone == nil) {
				t.Fatalf("event %d: %v, then %v, on a clone %v", i, err, again, onClone)
			}
			if ev.Kind != Redriven { // which is taken again by one that has failed again at once
				if _, twice := x.Step(ev); err == nil && !errors.Is(twice, ErrStale) {
					t.Fatalf("event %d is taken twice: %v", i, twice)
				}
			}
			if x.status != y.status || x.status != clone.status || x.events != y.events || x.lastID != clone.lastID {
				t.Fatalf("event %d: %s, then %s, on a clone %s", i, x.status, y.status, clone.status)
			}
		}
		if !bytes.Equal(AppendJSON(nil, x.Output()), AppendJSON(nil, y.Output())) {
			t.Fatal("two outputs")
		}
	})
}

// FuzzJSON: what is read and written again is the same, and its size is what was counted.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1.50,"\u00e9\n",null,true,{}],"b":-1e-7}`, `"\ud83d\ude00"`, `[[[[]]]]`, `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := DecodeJSON(text)
		if err != nil {
			return
		}
		once := AppendJSON(nil, v)
		again, err := DecodeJSON(once)
		if err != nil {
			t.Fatalf("%s is not read: %v", once, err)
		}
		if twice := AppendJSON(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%s, then %s", once, twice)
		}
		if n := sizeOf(v, len(once)); n != len(once) {
			t.Fatalf("the size of %s is %d, want %d", once, n, len(once))
		}
	})
}

// FuzzPath: a path compiles to one that is written and compiled to the same, and is evaluated within its bounds.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"$", "$$.Execution.Id", "$name.a[0]", "$['it\\'s']..*[1:-2][0,1]", "$.a[?(!(@.b =~ /x\\/.*/i) && @['c'] in [1,\"x\"] || $.d)].e", "$..['a','b']", "$[?(@.a[?(@.b)] size 1)]", "$.a.length()",
	} {
		f.Add(seed, `{"a":[{"b":"x/y","c":"x"},[1,[2]]],"d":null}`)
	}
	f.Fuzz(func(t *testing.T, text, input string) {
		p, err := compilePath(text, new(int))
		root, bad := DecodeJSON([]byte(input))
		if err != nil || bad != nil || len(input) > 1000 {
			return
		}
		again, err := compilePath(p.String(), new(int))
		if err != nil || again.String() != p.String() || again.shape != p.shape {
			t.Fatalf("%q is written %q, which is %v, %v", text, p, again, err)
		}
		if p.context || p.variable != "" {
			return
		}
		v, bound, found, fault := p.find(&env{input: root, bound: sizeOf(root, maxPayload)})
		if fault != nil || !found {
			if fault == nil && root != nil && p.missing(root) == "" {
				t.Fatal("a path is missing without a reason")
			}
			return
		}
		if size := sizeOf(v, maxPayload); size > bound && size <= maxPayload {
			t.Fatalf("%q has %d bytes, more than the bound %d", text, size, bound)
		}
	})
}

// FuzzIntrinsic: a call compiles or is refused, and what it gives is within its bound.
func FuzzIntrinsic(f *testing.F) {
	for _, seed := range []string{
		"States.UUID()", "States.Format('\\'{}\\{', States.Array($.a[?(@.b)], -1.5e2, null, true))", "States.MathRandom(1, 9, $$.State.RetryCount)", "States.ArrayUnique($..*)", "States.StringToJson('[1, \"x\"]')",
		"States.JsonMerge($, $.o, false)", "States.Base64Decode('aGk=')", "States.ArrayPartition($.a, 1)", "States.ArrayRange(1, 9, 2)", "States.StringSplit('a,b', ',')", "States.Hash('x', 'SHA-512')",
	} {
		f.Add(seed, `{"a":[{"b":1},[1,[2]]],"o":{"n":null}}`)
	}
	f.Fuzz(func(t *testing.T, text, input string) {
		c, err := compileIntrinsic(text, new(int))
		root, bad := DecodeJSON([]byte(input))
		if err != nil || bad != nil || len(input) > 1000 || strings.Contains(text, "$$") {
			return
		}
		s := &state{name: "S", kind: kindPass}
		v, bound, fault := c.eval(&env{x: &Execution{start: &Start{}}, scope: &scope{state: s}, input: root, bound: sizeOf(root, maxPayload)})
		if size := sizeOf(v, maxPayload); fault == nil && size > bound {
			t.Fatalf("%q has %d bytes, more than the bound %d", text, size, bound)
		}
	})
}
