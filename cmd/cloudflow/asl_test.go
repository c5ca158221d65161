package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The files and the commands of docs/asl.md work as printed.
func TestASLPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "asl.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	files := regexp.MustCompile("(?s)`([^`\n]+)`:\n\n```json\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	for _, f := range files {
		put(t, f[1], f[2])
	}
	commands := consoleCommands(string(text))
	if len(files) != 4 || len(commands) != 3 {
		t.Fatalf("the page has %d files and %d commands", len(files), len(commands))
	}
	for _, c := range commands {
		if r := invoke(t, nil, strings.Fields(c.line)[1:]...); r.out != c.output {
			t.Errorf("%s\nprints %s\nwant   %s\nstderr %s", c.line, r.out, c.output, r.err)
		}
	}
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// aslFiles are the files of a run in a new directory.
type aslFiles struct{ dir, machine, input, mocks string }

const chargeMachine = `{"StartAt":"Charge","States":{
	"Charge":{"Type":"Task","Resource":"arn:aws:lambda:eu-west-1:123456789012:function:charge","Catch":[{"ErrorEquals":["E"],"Next":"Sorry"}],"Next":"Done"},
	"Done":{"Type":"Succeed"},"Sorry":{"Type":"Fail","Error":"Sorry"}}}`

func filesOf(t *testing.T) aslFiles {
	t.Helper()
	dir := t.TempDir()
	return aslFiles{
		dir, put(t, filepath.Join(dir, "charge.json"), chargeMachine), put(t, filepath.Join(dir, "input.json"), `{"order":"<o-1> & more"}`),
		put(t, filepath.Join(dir, "mocks.json"), `{"StateMachines":{"charge":{"TestCases":{"Paid":{"Charge":"paid"},"Late":{"Charge":"late"},"Sorry":{"Charge":"sorry"},"None":{}}}},
			"MockedResponses":{"paid":{"0":{"Return":{"id":"<p>"}}},"late":{"0":{"Return":null,"DelaySeconds":3600}},"sorry":{"0":{"Throw":{"Error":"E"}}}}}`),
	}
}

func (f aslFiles) run(t *testing.T, args ...string) result {
	t.Helper()
	return invoke(t, nil, append([]string{"asl", "run", f.machine, "--input", f.input}, args...)...)
}

func TestASLRun(t *testing.T) {
	t.Parallel()
	f := filesOf(t)
	test := func(name string, more ...string) []string {
		return append([]string{"--mocks", f.mocks, "--test-case", name}, more...)
	}
	t.Run("an execution that succeeds is exit 0", func(t *testing.T) {
		r := f.run(t, test("Paid", "--json")...).exits(0)
		if want := `{"status":"SUCCEEDED","output":{"id":"<p>"},"error":null,"cause":null,"states":["Charge","Done"]}` + "\n"; r.out != want || r.err != "" {
			t.Errorf("printed %s, and on stderr %s", r.out, r.err)
		}
		f.run(t, test("Paid")...).exits(0).prints("status  SUCCEEDED", "states  Charge, Done", `output  {"id":"<p>"}`)
	})
	t.Run("one that fails is exit 2", func(t *testing.T) {
		r := f.run(t, test("Sorry", "--json")...).exits(2).hints("the execution is FAILED")
		if want := `{"status":"FAILED","output":null,"error":"Sorry","cause":null,"states":["Charge","Sorry"]}` + "\n"; r.out != want {
			t.Errorf("printed %s", r.out)
		}
		f.run(t, test("Sorry")...).exits(2).prints("status  FAILED", "error   Sorry")
	})
	t.Run("the history is that of GetExecutionHistory, on the clock of the context", func(t *testing.T) {
		patch := put(t, filepath.Join(f.dir, "context.json"), `{"Execution":{"StartTime":"2025-01-01T00:00:00.000Z","RoleArn":"role"}}`)
		r := f.run(t, test("Late", "--json", "--history", "--context", patch)...).exits(0)
		for _, event := range []string{
			`{"executionStartedEventDetails":{"input":"{\"order\":\"<o-1> & more\"}","inputDetails":{"truncated":false},"roleArn":"role"},"id":1,"previousEventId":0,"timestamp":"2025-01-01T00:00:00.000Z","type":"ExecutionStarted"}`,
			`"lambdaFunctionScheduledEventDetails":{"input":"{\"order\":\"<o-1> & more\"}","inputDetails":{"truncated":false},"resource":"arn:aws:lambda:eu-west-1:123456789012:function:charge"},"previousEventId":2`,
			`{"id":4,"previousEventId":3,"timestamp":"2025-01-01T00:00:00.000Z","type":"LambdaFunctionStarted"}`,
			`"lambdaFunctionSucceededEventDetails":{"output":"null","outputDetails":{"truncated":false}},"previousEventId":4,"timestamp":"2025-01-01T01:00:00.000Z"`,
			`"stateExitedEventDetails":{"name":"Done","output":"null"`,
		} {
			r.prints(event)
		}
		f.run(t, test("Late", "--history", "--context", patch)...).exits(0).prints("2025-01-01T01:00:00.000Z", "LambdaFunctionSucceeded")
	})
	t.Run("the input may come on stdin", func(t *testing.T) {
		var out, errOut bytes.Buffer
		args := append([]string{"asl", "run", f.machine, "--input", "-"}, test("Paid", "--json")...)
		if code := run(t.Context(), args, strings.NewReader(` [1]`), &out, &errOut, nil); code != 0 || !strings.Contains(out.String(), "SUCCEEDED") {
			t.Errorf("exit %d, %s %s", code, out.String(), errOut.String())
		}
	})
}

// Everything that is no execution is exit 1, with a line on stderr and nothing on stdout.
func TestASLRunRefuses(t *testing.T) {
	t.Parallel()
	f := filesOf(t)
	in := func(name, text string) string { return put(t, filepath.Join(f.dir, name), text) }
	for _, c := range []struct {
		sentence string
		args     []string
		hint     string
	}{
		{"no file", []string{"run"}, "the file of a state machine"},
		{"two files", []string{"run", "a", "b"}, "`cloudflow asl run --help`"},
		{"an unknown flag", []string{"run", f.machine, "--frobnicate"}, "unknown flag: --frobnicate"},
		{"an unknown command", []string{"frobnicate"}, "`cloudflow asl --help`"},
		{"no input", []string{"run", f.machine}, "--input is wanted"},
		{"a file that is not there", []string{"run", filepath.Join(f.dir, "none.json"), "--input", f.input}, "no such file"},
		{"a directory", []string{"run", f.dir, "--input", f.input}, "is a directory"},
		{"an input that is not there", []string{"run", f.machine, "--input", filepath.Join(f.dir, "none.json")}, "no such file"},
		{"an input that is empty", []string{"run", f.machine, "--input", in("empty.json", "")}, "empty.json: invalid JSON at byte 0"},
		{"an input with a byte order mark", []string{"run", f.machine, "--input", in("bom.json", "\ufeff{}")}, "byte order mark"},
		{"an input that is no UTF-8", []string{"run", f.machine, "--input", in("latin1.json", "\"\xe4\"")}, "not valid UTF-8"},
		{"an input that is nested too deep", []string{"run", f.machine, "--input", in("deep.json", strings.Repeat("[", 100_000))}, "nested deeper than 512"},
		{"an input over the limit", []string{"run", f.machine, "--input", in("large.json", `"`+strings.Repeat("x", 262144)+`"`)}, "StartExecution takes 262144"},
		{"a task without mocks", []string{"run", f.machine, "--input", f.input}, `state "Charge" is called (call 0)`},
		{"a task without a mock", []string{"run", f.machine, "--input", f.input, "--mocks", f.mocks, "--test-case", "None"}, `state "Charge" is called (call 0)`},
		{"a test case that is not there", []string{"run", f.machine, "--input", f.input, "--mocks", f.mocks, "--test-case", "Happy"}, "only Late, None, Paid, Sorry"},
		{"a test case of several that is not named", []string{"run", f.machine, "--input", f.input, "--mocks", f.mocks}, "only Late, None, Paid, Sorry"},
		{"a test case of nothing", []string{"run", f.machine, "--input", f.input, "--test-case", "Paid"}, "--mocks is wanted"},
		{"a mock file that is none", []string{"run", f.machine, "--input", f.input, "--mocks", f.input}, `"order" is not known here`},
		{"a context that is none", []string{"run", f.machine, "--input", f.input, "--context", in("context.json", "[]")}, "no JSON object"},
		{"a picture of another format", []string{"graph", f.machine, "--format", "png"}, "mermaid or svg"},
		{"an unreadable definition", []string{"validate", filepath.Join(f.dir, "none.json")}, "no such file"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for _, args := range [][]string{c.args, append(c.args, "--json")} {
				if r := invoke(t, nil, append([]string{"asl"}, args...)...).exits(1).hints(c.hint); r.out != "" {
					t.Errorf("printed %q", r.out)
				}
			}
		})
	}
}

func TestASLValidate(t *testing.T) {
	t.Parallel()
	f := filesOf(t)
	if r := invoke(t, nil, "asl", "validate", f.machine, "--json").exits(0); r.out != `{"status":"VALID","problems":[]}`+"\n" {
		t.Errorf("printed %s", r.out)
	}
	invoke(t, nil, "asl", "validate", f.machine).exits(0).prints("VALID\n")
	in := func(text string) string { return put(t, filepath.Join(f.dir, "invalid.json"), text) }
	for _, c := range []struct{ sentence, definition, pointer, code string }{
		{"an empty file", ``, "/", "INVALID_JSON_DESCRIPTION"},
		{"what is not JSON", `StartAt: Charge`, "/", "INVALID_JSON_DESCRIPTION"},
		{"a byte order mark", "\ufeff" + chargeMachine, "/", "INVALID_JSON_DESCRIPTION"},
		{"no UTF-8", "{\"Comment\":\"\xe4\"}", "/", "INVALID_JSON_DESCRIPTION"},
		{"nested too deep", strings.Repeat(`{"States":`, 100_000), "/", "INVALID_JSON_DESCRIPTION"},
		{"over AWS's 1 MiB", chargeMachine + strings.Repeat(" ", 1<<20), "/", "SCHEMA_VALIDATION_FAILED"},
		{"no object", `[]`, "/", "SCHEMA_VALIDATION_FAILED"},
		{"a target that is not there", strings.Replace(chargeMachine, `"Next":"Done"`, `"Next":"Gone"`, 1), "/States/Charge/Next", "MISSING_TRANSITION_TARGET"},
		{"a name that would break its line", strings.Replace(chargeMachine, `"States":{`, `"States":{"a\nb\u001b[2J":{"Type":"Succeed"},`, 1), "/States/a\nb\x1b[2J", "MISSING_TRANSITION_TARGET"},
		{"a field that is not known", strings.Replace(chargeMachine, `"Resource"`, `"Ressource"`, 1), "/States/Charge/Resource", "SCHEMA_VALIDATION_FAILED"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			v := one[validation](invoke(t, nil, "asl", "validate", in(c.definition), "--json").exits(1))
			if v.Status != "INVALID" || len(v.Problems) == 0 || v.Problems[0].Pointer != c.pointer || v.Problems[0].Code != c.code {
				t.Errorf("said %+v, want first %s at %s", v, c.code, c.pointer)
			}
			for _, p := range v.Problems {
				if p.Message == "" || strings.Contains(p.Message, "\n") {
					t.Errorf("the message is no line: %q", p.Message)
				}
			}
			invoke(t, nil, "asl", "validate", in(c.definition)).exits(1).prints(oneLine(c.pointer) + ": " + c.code + ": ")
			if v := one[validation](invoke(t, nil, "asl", "run", in(c.definition), "--input", f.input, "--json").exits(1)); v.Status != "INVALID" || len(v.Problems) == 0 {
				t.Errorf("a run of it said %+v", v)
			}
			if r := invoke(t, nil, "asl", "run", in(c.definition), "--input", f.input).exits(1).hints(oneLine(c.pointer)); r.out != "" {
				t.Errorf("a run of it printed %s", r.out)
			}
		})
	}
}

func TestASLGraph(t *testing.T) {
	t.Parallel()
	f := filesOf(t)
	invoke(t, nil, "asl", "graph", f.machine).exits(0).prints("flowchart TD\n", `("Charge")`, "-. catch .->")
	wellFormed(t, invoke(t, nil, "asl", "graph", f.machine, "--format", "svg").exits(0).prints(`id="state-Charge"`).out)
	out := filepath.Join(f.dir, "charge.svg")
	invoke(t, nil, "asl", "graph", f.machine, "--format", "svg", "--out", out).exits(0).hints(out)
	if v := one[map[string]string](invoke(t, nil, "asl", "graph", f.machine, "--json").exits(0)); v["format"] != "mermaid" || v["text"] == "" {
		t.Errorf("printed %v", v)
	}
}

// Ctrl-C ends a run that waits for its input.
func TestASLRunIsInterrupted(t *testing.T) {
	t.Parallel()
	f := filesOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	never, end := io.Pipe()
	defer func() { _ = end.CloseWithError(errors.New("the test is over")) }()
	time.AfterFunc(10*time.Millisecond, cancel)
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"asl", "run", f.machine, "--input", "-"}, never, &out, &errOut, nil)
	if code != 1 || out.Len() > 0 || errOut.String() != "cloudflow: interrupted\n" {
		t.Errorf("exit %d, printed %q and %q", code, out.String(), errOut.String())
	}
}
