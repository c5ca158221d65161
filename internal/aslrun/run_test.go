package aslrun

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// A trial is a run whose files are written down in a test.
type trial struct {
	definition, input, mocks, context string
}

var startTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// task is the states of a machine with one task.
func task(fields string) string {
	return `{"StartAt":"Charge","States":{"Charge":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke",` + fields + `"End":true}}}`
}

// answers is a mock file of one test case, in which the responses are those of the state Charge.
func answers(responses string) string {
	return `{"StateMachines":{"order":{"TestCases":{"T":{"Charge":"charge"}}}},"MockedResponses":{"charge":` + responses + `}}`
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	v, err := asl.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func (c trial) run(t *testing.T) (Result, error) {
	t.Helper()
	m, err := Parse([]byte(c.definition))
	if err != nil {
		t.Fatal(err)
	}
	r := Run{Machine: m, Name: "order", History: true, Execution: "e-1", Now: startTime}
	if c.input != "" {
		r.Input = decoded(t, c.input)
	}
	if c.context != "" {
		r.Context = decoded(t, c.context)
	}
	if c.mocks != "" {
		mocks, err := ParseMocks([]byte(c.mocks))
		if err != nil {
			t.Fatal(err)
		}
		if r.Mocks, err = mocks.TestCase("order", "T"); err != nil {
			t.Fatal(err)
		}
	}
	return r.Do(t.Context())
}

// ended requires a result, and is it as JSON without its history, and how long the run took in virtual time.
func (c trial) ended(t *testing.T) (text string, took time.Duration) {
	t.Helper()
	r, err := c.run(t)
	if err != nil {
		t.Fatal(err)
	}
	took = r.History[len(r.History)-1].Time.Sub(r.History[0].Time)
	r.History = nil
	return strings.TrimSuffix(written(t, r), "\n"), took
}

func written(t *testing.T, r Result) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheClockMovesWithWhatIsWaitedForAlone(t *testing.T) {
	const succeeded = `{"status":"SUCCEEDED","output":{"ok":true},"error":null,"cause":null,"states":["Charge"]}`
	const timedOut = `{"status":"FAILED","output":null,"error":"States.Timeout","cause":null,"states":["Charge"]}`
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		sentence string
		trial    trial
		want     string
		took     time.Duration
	}{
		{"a task without a delay takes no time", trial{definition: task(``), mocks: answers(`{"0":{"Return":{"ok":true}}}`)}, succeeded, 0},
		{"a delay does, even of a year", trial{definition: task(``), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":31536000}}`)}, succeeded, year},
		{"and it may have a fraction", trial{definition: task(``), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":0.25}}`)}, succeeded, 250 * time.Millisecond},
		{"a shorter TimeoutSeconds ends the call", trial{definition: task(`"TimeoutSeconds":5,`), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":6}}`)}, timedOut, 5 * time.Second},
		{"an answer at the very moment is in time", trial{definition: task(`"TimeoutSeconds":5,`), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":5}}`)}, succeeded, 5 * time.Second},
		{"a shorter HeartbeatSeconds too", trial{definition: task(`"TimeoutSeconds":60,"HeartbeatSeconds":3,`), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":6}}`)}, timedOut, 3 * time.Second},
		{"and one in the input", trial{definition: task(`"TimeoutSecondsPath":"$.limit",`), input: `{"limit":2}`, mocks: answers(`{"0":{"Throw":{"Error":"E"},"DelaySeconds":6}}`)}, timedOut, 2 * time.Second},
		{"a retry waits for its interval", trial{definition: task(`"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":10,"BackoffRate":3}],`), mocks: answers(`{"0-1":{"Throw":{"Error":"E","Cause":"c"}},"2":{"Return":{"ok":true}}}`)}, succeeded, 40 * time.Second},
		{"a heartbeat that does not come may be retried by its own name", trial{definition: task(`"HeartbeatSeconds":3,"Retry":[{"ErrorEquals":["States.HeartbeatTimeout"],"IntervalSeconds":1}],`),
			mocks: answers(`{"0":{"Return":{},"DelaySeconds":9},"1":{"Return":{"ok":true}}}`)}, succeeded, 4 * time.Second},
		{"the machine's own TimeoutSeconds end it", trial{definition: strings.Replace(task(``), `{`, `{"TimeoutSeconds":7,`, 1), mocks: answers(`{"0":{"Return":{},"DelaySeconds":8}}`)},
			`{"status":"TIMED_OUT","output":null,"error":"States.Timeout","cause":null,"states":["Charge"]}`, 7 * time.Second},
		{"but not what comes at that moment", trial{definition: strings.Replace(task(``), `{`, `{"TimeoutSeconds":7,`, 1), mocks: answers(`{"0":{"Return":{"ok":true},"DelaySeconds":7}}`)}, succeeded, 7 * time.Second},
		{"a Timestamp in the past waits for nothing", trial{definition: `{"StartAt":"W","States":{"W":{"Type":"Wait","Timestamp":"2001-01-01T00:00:00Z","End":true}}}`, input: `{}`},
			`{"status":"SUCCEEDED","output":{},"error":null,"cause":null,"states":["W"]}`, 0},
		{"one in the future until then", trial{definition: `{"StartAt":"W","States":{"W":{"Type":"Wait","Timestamp":"2026-01-01T00:00:00Z","End":true}}}`, input: `{}`},
			`{"status":"SUCCEEDED","output":{},"error":null,"cause":null,"states":["W"]}`, year},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got, took := c.trial.ended(t); got != c.want || took != c.took {
				t.Errorf("after %s %s\nwant %s %s", took, got, c.took, c.want)
			}
		})
	}
}

func TestCallsAreCountedOverTheWholeRun(t *testing.T) {
	loop := `{"StartAt":"Charge","States":{
		"Charge":{"Type":"Task","Resource":"r","TimeoutSecondsPath":"$.limit","ResultPath":"$.n","Retry":[{"ErrorEquals":["E"]}],"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.error","Next":"Repair"}],"Next":"Enough"},
		"Enough":{"Type":"Choice","Choices":[{"Variable":"$.n","NumericEquals":3,"Next":"Done"}],"Default":"Charge"},
		"Repair":{"Type":"Pass","Result":5,"ResultPath":"$.limit","Next":"Charge"},
		"Done":{"Type":"Succeed","OutputPath":"$.n"}}}`
	got, _ := trial{definition: loop, input: `{"limit":5}`, mocks: answers(`{"0":{"Return":1},"1":{"Throw":{"Error":"E"}},"2":{"Return":2},"3":{"Return":3}}`)}.ended(t)
	if want := `{"status":"SUCCEEDED","output":3,"error":null,"cause":null,"states":["Charge","Enough","Charge","Enough","Charge","Enough","Done"]}`; got != want {
		t.Errorf("retries and loops: %s", got)
	}
	t.Run("a call that is not made uses up none", func(t *testing.T) {
		got, _ := trial{definition: loop, input: `{"limit":"soon"}`, mocks: answers(`{"0":{"Return":3}}`)}.ended(t)
		if !strings.HasPrefix(got, `{"status":"FAILED","output":null,"error":"States.Runtime"`) {
			t.Error(got)
		}
	})
}

func TestARunWithoutAMockStops(t *testing.T) {
	for _, c := range []struct{ sentence, definition, mocks, want string }{
		{"there are no mocks", task(``), ``, `state "Charge" is called (call 0), and there are no mocks: --mocks FILE --test-case NAME`},
		{"none for the state", strings.ReplaceAll(task(``), "Charge", "Refund"), answers(`{"0":{"Return":1}}`), `state "Refund" is called (call 0), and test case "T" has no mock for it`},
		{"none of that number", task(`"Retry":[{"ErrorEquals":["E"]}],`), answers(`{"0":{"Throw":{"Error":"E"}},"2":{"Return":1}}`), `state "Charge" is called (call 1), and its mock in test case "T" has no response 1`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if r, err := (trial{definition: c.definition, mocks: c.mocks}).run(t); err == nil || err.Error() != c.want {
				t.Errorf("%v, %s", err, written(t, r))
			}
		})
	}
}

func TestTheErrorOfAMockIsWhatACatchSees(t *testing.T) {
	catch := task(`"TimeoutSeconds":1,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],`)
	catch = strings.Replace(catch, `"States":{`, `"States":{"Caught":{"Type":"Succeed"},`, 1)
	for thrown, want := range map[string]string{
		`{"Throw":{"Error":"E","Cause":"c"}}`:  `{"Cause":"c","Error":"E"}`,
		`{"Throw":{"Error":"E"}}`:              `{"Cause":null,"Error":"E"}`,
		`{"Throw":{}}`:                         `{"Cause":null,"Error":null}`,
		`{"Throw":{"Cause":null,"Error":""}}`:  `{"Cause":null,"Error":""}`,
		`{"Return":1,"DelaySeconds":31536000}`: `{"Cause":"","Error":"States.Timeout"}`,
	} {
		r, err := trial{definition: catch, mocks: answers(`{"0":` + thrown + `}`)}.run(t)
		if got := string(asl.AppendJSON(nil, r.Output)); err != nil || got != want {
			t.Errorf("%s: %v, the Catch saw %s, want %s", thrown, err, got, want)
		}
	}
}

func TestTheContextObjectIsPatched(t *testing.T) {
	const whole = `{"StartAt":"P","States":{"P":{"Type":"Pass","Parameters":{"c.$":"$$"},"OutputPath":"$.c","End":true}}}`
	const machine = `"StateMachine":{"Id":"arn:aws:states:us-east-1:123456789012:stateMachine:order","Name":"order"}`
	const execution = `"Id":"arn:aws:states:us-east-1:123456789012:execution:order:e-1","Input":{"a":1},"Name":"e-1"`
	for patch, want := range map[string]string{
		``: `{"Execution":{` + execution + `,"RedriveCount":0,"RoleArn":"arn:aws:iam::123456789012:role/order","StartTime":"2025-01-01T00:00:00.000Z"},"State":{"EnteredTime":"2025-01-01T00:00:00.000Z","Name":"P"},` + machine + `}`,
		`{"Execution":{"RedriveCount":null,"StartTime":"2024-02-29T12:00:00+01:00","RoleArn":"r"}}`: `{"Execution":{` + execution + `,"RoleArn":"r","StartTime":"2024-02-29T12:00:00+01:00"},"State":{"EnteredTime":"2024-02-29T11:00:00.000Z","Name":"P"},` + machine + `}`,
		`{"Execution":null,"State":{"Name":"Q"},"Map":1,"Task":1}`:                                  `{"State":{"EnteredTime":"2025-01-01T00:00:00.000Z","Name":"P"},` + machine + `}`,
		`{"Execution":null,"StateMachine":{"Name":{"x":null,"y":1},"Id":null}}`:                     `{"State":{"EnteredTime":"2025-01-01T00:00:00.000Z","Name":"P"},"StateMachine":{"Name":{"y":1}}}`,
	} {
		r, err := trial{definition: whole, input: `{"a":1}`, context: patch}.run(t)
		if got := string(asl.AppendJSON(nil, r.Output)); err != nil || got != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", patch, err, got, want)
		}
	}
	for patch, want := range map[string]string{
		`[]`:                                  "the context is no JSON object",
		`{"execution":{}}`:                    `the context has a member "execution"; only Execution and StateMachine can be given`,
		`{"Execution":{"StartTime":"today"}}`: `the context's Execution.StartTime is no RFC 3339 timestamp: "today"`,
	} {
		if _, err := (trial{definition: whole, context: patch}).run(t); err == nil || err.Error() != want {
			t.Errorf("%s: %v", patch, err)
		}
	}
}

func TestAWSsQuotasHold(t *testing.T) {
	t.Run("an input that StartExecution does not take is no execution", func(t *testing.T) {
		text := `"` + strings.Repeat("x", MaxInput-2) + `"`
		pass := `{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`
		if r, err := (trial{definition: pass, input: text}).run(t); err != nil || r.Status != asl.StatusSucceeded {
			t.Errorf("%v %s", err, r.Status)
		}
		if _, err := (trial{definition: pass, input: `"x` + text[1:]}).run(t); err == nil {
			t.Error("a byte more is taken")
		}
	})
	t.Run("a machine that loops ends with its 25,000th event", func(t *testing.T) {
		r, err := trial{definition: `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","IsPresent":true,"Next":"B"}],"Default":"A"},"B":{"Type":"Succeed"}}}`, input: `{}`}.run(t)
		if err != nil || r.Status != asl.StatusFailed || len(r.History) != 25000 {
			t.Errorf("%v, %s after %d events", err, r.Status, len(r.History))
		}
	})
}

func TestARunEndsWithItsContext(t *testing.T) {
	m, err := Parse([]byte(`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"W2"},"W2":{"Type":"Wait","Seconds":1,"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Run{Machine: m}).Do(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	c := trial{definition: task(`"Retry":[{"ErrorEquals":["E"],"IntervalSeconds":100,"JitterStrategy":"FULL","MaxAttempts":9}],`),
		mocks: answers(`{"0-8":{"Throw":{"Error":"E"}},"9":{"Return":1}}`)}
	first, err := c.run(t)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.run(t)
	if err != nil || written(t, first) != written(t, second) {
		t.Errorf("%v\n%s\n%s", err, written(t, first), written(t, second))
	}
}

// What is ready at the same time goes on in the order of branches, whenever it was asked for.
func TestBranchesGoOnInTheirOrder(t *testing.T) {
	parallel := `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"Next":"A1"},"A1":{"Type":"Wait","Seconds":1,"Next":"A2"},"A2":{"Type":"Wait","Seconds":1,"Next":"A3"},"A3":{"Type":"Pass","End":true}}},
		{"StartAt":"B","States":{"B":{"Type":"Wait","Seconds":2,"Next":"B1"},"B1":{"Type":"Wait","Seconds":1,"Next":"B2"},"B2":{"Type":"Pass","End":true}}}]}}}`
	got, took := trial{definition: parallel, input: `1`}.ended(t)
	if want := `{"status":"SUCCEEDED","output":[1,1],"error":null,"cause":null,"states":["P","A","B","A1","A2","B1","A3","B2"]}`; got != want || took != 3*time.Second {
		t.Errorf("%s after %s", got, took)
	}
	t.Run("and of iterations, which share the count of their calls", func(t *testing.T) {
		each := `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"Retry":[{"ErrorEquals":["E"]}],"ItemProcessor":{"StartAt":"Charge","States":{"Charge":{"Type":"Task","Resource":"r","End":true}}}}}}`
		got, _ := trial{definition: each, input: `["a","b","c"]`,
			mocks: answers(`{"0":{"Return":0,"DelaySeconds":2},"1":{"Throw":{"Error":"E"},"DelaySeconds":1},"2":{"Return":2,"DelaySeconds":3},"3":{"Return":3,"DelaySeconds":9},"4-5":{"Return":"x"}}`)}.ended(t)
		if want := `{"status":"SUCCEEDED","output":[3,"x","x"],"error":null,"cause":null,"states":["M","Charge","Charge","Charge","Charge","Charge","Charge"]}`; got != want {
			t.Error(got)
		}
	})
}
