package flow_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const startExecution = "arn:aws:states:::states:startExecution"

// calling is a machine of one task that starts the machine "check", with more members of its Parameters and of its state.
func calling(how, parameters, members string) []byte {
	return fmt.Appendf(nil, `{"StartAt":"Call","States":{
		"Call":{"Type":"Task","Resource":"%s%s","Parameters":{"StateMachineArn":"arn:aws:states:eu-central-1:123456789012:stateMachine:check","Input":{"n.$":"$.n"}%s},
			"ResultPath":"$.called","Next":"Done"%s},
		"Done":{"Type":"Succeed"}}}`, startExecution, how, parameters, members)
}

// checking is the machine that is started: it works, waits and works.
const checking = `{"StartAt":"Look","States":{"Look":{"Type":"Task","Resource":"work","ResultPath":null,"Next":"Think"},
	"Think":{"Type":"Wait","Seconds":300,"Next":"Judge"},"Judge":{"Type":"Task","Resource":"judge","End":true}}}`

func caller(s store.Store, definition []byte) flow.Options {
	return flow.Options{Store: s, Definition: definition, Children: map[string][]byte{"check": []byte(checking)},
		Tasks: map[string]flow.Task{"work": counted, "judge": always(map[string]any{"fraud": false}, nil)}}
}

// called is what the task's result was, and the child's name.
func called(t *testing.T, d flow.Execution) (result map[string]any, child string) {
	t.Helper()
	out, _ := d.Output.(map[string]any)
	result, _ = out["called"].(map[string]any)
	arn, _ := result["ExecutionArn"].(string)
	return result, arn[strings.LastIndexByte(arn, ':')+1:]
}

func TestAnExecutionStartsAnother(t *testing.T) {
	for _, c := range []struct {
		how, want string
		took      time.Duration
	}{
		{"", `{"ExecutionArn":"ARN","StartDate":946684800000}`, 0},
		{".sync", `{"ExecutionArn":"ARN","Input":"{\"n\":7}","InputDetails":{"Included":true},"Name":"NAME","Output":"{\"fraud\":false}","OutputDetails":{"Included":true},` +
			`"StartDate":946684800000,"StateMachineArn":"arn:aws:states:local:000000000000:stateMachine:check","Status":"SUCCEEDED","StopDate":946685100000}`, 5 * time.Minute},
		{".sync:2", `{"ExecutionArn":"ARN","Input":{"n":7},"InputDetails":{"Included":true},"Name":"NAME","Output":{"fraud":false},"OutputDetails":{"Included":true},` +
			`"StartDate":946684800000,"StateMachineArn":"arn:aws:states:local:000000000000:stateMachine:check","Status":"SUCCEEDED","StopDate":946685100000}`, 5 * time.Minute},
	} {
		t.Run("startExecution"+c.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				e := engine(t, caller(s, calling(c.how, "", "")))
				start(t, e, s, "o-1", map[string]any{"n": 7})
				settle(t, e)
				d := describe(t, e, "o-1")
				result, child := called(t, d)
				got := strings.ReplaceAll(string(asl.AppendJSON(nil, result)), "arn:aws:states:local:000000000000:execution:check:"+child, "ARN")
				if got = strings.ReplaceAll(got, child, "NAME"); got != c.want || d.Ended.Sub(d.Started) != c.took {
					t.Errorf("%s after %s\n%s\nwant\n%s", d.Status, d.Ended.Sub(d.Started), got, c.want)
				}
				x := describe(t, e, child)
				if x.Status != asl.StatusSucceeded || x.Ended.Sub(x.Started) != 5*time.Minute {
					t.Errorf("the child: %+v", x)
				}
				handedOut(t, e, 0)
				if n := rowsLeft(t, s); n != 0 {
					t.Errorf("%d rows", n)
				}
			})
		})
	}
}

func TestAChildThatWaitsForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, caller(s, calling(".waitForTaskToken", `,"Name":"the-child","TraceHeader.$":"$$.Task.Token"`, "")))
		start(t, e, s, "o-1", map[string]any{"n": 7})
		settle(t, e)
		if d := describe(t, e, "the-child"); d.Status != asl.StatusSucceeded {
			t.Errorf("%+v", d)
		}
		token := handedOut(t, e, 1)[0].Token
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "done") }); err != nil {
			t.Fatal(err)
		}
		if out := string(asl.AppendJSON(nil, describe(t, e, "o-1").Output)); out != `{"called":"done","n":7}` {
			t.Error(out)
		}
	})
}

func TestAChildThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := caller(s, calling(".sync:2", "", `,"Retry":[{"ErrorEquals":["States.TaskFailed"],"IntervalSeconds":60,"MaxAttempts":1}],
			"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Done"}]`))
		o.Tasks["judge"] = always(nil, fault.New(fault.OrderState, "no"))
		var failed []flow.Ended
		o.OnFailed = func(_ *store.Tx, x flow.Ended) error { failed = append(failed, x); return nil }
		e := engine(t, o)
		start(t, e, s, "o-1", map[string]any{"n": 7})
		settle(t, e)
		d := describe(t, e, "o-1")
		out, _ := d.Output.(map[string]any)
		failure, _ := out["e"].(map[string]any)
		cause, _ := failure["Cause"].(string)
		if failure["Error"] != "States.TaskFailed" || !strings.Contains(cause, `"Error":"OrderState"`) || !strings.Contains(cause, `"Status":"FAILED"`) || strings.Contains(cause, "Output") {
			t.Errorf("%v", failure)
		}
		if took := d.Ended.Sub(d.Started); took != 11*time.Minute {
			t.Errorf("it took %s", took)
		}
		all, _, err := e.List(t.Context(), s, "", "", 10)
		if err != nil || len(all) != 3 { // a child for each attempt
			t.Errorf("%+v, %v", all, err)
		}
		if len(failed) != 0 {
			t.Errorf("OnFailed was told of %+v", failed)
		}
	})
}

// TestTheEndOfAChildFitsIntoACause has a child fail whose input is larger than a cause may be: what the machine is told stays JSON.
func TestTheEndOfAChildFitsIntoACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := caller(s, fmt.Appendf(nil, `{"StartAt":"Call","States":{"Call":{"Type":"Task","Resource":"%s.sync:2","Parameters":{"StateMachineArn":"check","Input.$":"$"},"End":true}}}`, startExecution))
		o.Tasks["judge"] = always(nil, fault.New(fault.OrderState, "no"))
		e := engine(t, o)
		start(t, e, s, "o-1", map[string]any{"large": strings.Repeat("x", 40_000)})
		settle(t, e)
		cause, err := asl.DecodeJSON([]byte(describe(t, e, "o-1").Cause))
		told, _ := cause.(map[string]any)
		if err != nil || told["Error"] != "OrderState" || told["Input"] != nil || string(asl.AppendJSON(nil, told["InputDetails"])) != `{"Included":false}` {
			t.Errorf("%v, %v", told, err)
		}
	})
}

func TestWhatCannotBeStarted(t *testing.T) {
	for _, c := range []struct{ what, parameters, error, cause string }{
		{"a machine that is not there", `{"StateMachineArn":"arn:aws:states:eu-central-1:123456789012:stateMachine:other"}`,
			"StepFunctions.StateMachineDoesNotExistException", "stateMachine:other"},
		{"no machine", `{}`, "StepFunctions.StateMachineDoesNotExistException", "''"},
		{"an impossible name", `{"StateMachineArn":"check","Name":"a b"}`, "StepFunctions.InvalidNameException", "'a b'"},
		{"a name that is no text", `{"StateMachineArn":"check","Name":7}`, "StepFunctions.InvalidNameException", "''"},
		{"a name that is taken", `{"StateMachineArn":"check","Name":"o-1"}`, "StepFunctions.ExecutionAlreadyExistsException", "'o-1'"},
		{"an input that is too large", `{"StateMachineArn":"check","Input":{"a.$":"$.large","b.$":"$.large"}}`, "States.DataLimitExceeded", ""},
	} {
		for _, how := range []string{"", ".sync:2"} {
			t.Run(c.what+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore()
					e := engine(t, caller(s, fmt.Appendf(nil, `{"StartAt":"Call","States":{"Call":{"Type":"Task","Resource":"%s%s","Parameters":%s,"End":true}}}`, startExecution, how, c.parameters)))
					start(t, e, s, "o-1", map[string]any{"large": strings.Repeat("x", 200_000)})
					settle(t, e)
					if d := describe(t, e, "o-1"); d.Status != asl.StatusFailed || d.Error != c.error && d.Error != "PayloadTooLarge" || !strings.Contains(d.Cause, c.cause) {
						t.Errorf("%s %s %s", d.Status, d.Error, d.Cause)
					}
					if n := rowsLeft(t, s); n != 0 {
						t.Errorf("%d rows", n)
					}
				})
			})
		}
	}
}

// TestAMachineThatStartsItself comes to an end.
func TestAMachineThatStartsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := caller(s, calling(".sync", "", ""))
		o.Children["check"] = calling(".sync", "", "")
		e := engine(t, o)
		start(t, e, s, "o-1", map[string]any{"n": 7})
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != asl.StatusFailed || d.Error != "States.TaskFailed" {
			t.Errorf("%s %s", d.Status, d.Error)
		}
		if all, _, err := e.List(t.Context(), s, "", "", 100); err != nil || len(all) != 33 {
			t.Errorf("%d executions, %v", len(all), err)
		}
	})
}

// TestAChildForWhichNobodyWaits is stopped, whatever closed the task that waited for it, and also if the process dies before that is done.
func TestAChildForWhichNobodyWaits(t *testing.T) {
	parallel := `{"StartAt":"Both","States":{"Both":{"Type":"Parallel","ResultPath":null,"Next":"Rest","Branches":[
		{"StartAt":"Call","States":{"Call":{"Type":"Task","Resource":"` + startExecution + `.sync","Parameters":{"StateMachineArn":"check","Name":"child"},"End":true}}},
		{"StartAt":"Pause","States":{"Pause":{"Type":"Wait","Seconds":60,"Next":"Fall"},"Fall":{"Type":"Fail","Error":"Fallen"}}}],
		"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Rest"}]},
		"Rest":{"Type":"Wait","Seconds":7200,"End":true}}}`
	timeout := string(calling(".sync", `,"Name":"child"`, `,"TimeoutSeconds":60,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Done"}]`))
	for _, c := range []struct {
		what, definition string
		stop             bool
		ends             asl.Status // of the parent
	}{
		{"the failure of the branch beside it", parallel, false, asl.StatusSucceeded},
		{"a timeout of the task", timeout, false, asl.StatusSucceeded},
		{"the deadline of the machine", `{"TimeoutSeconds":60,` + string(calling(".sync", `,"Name":"child"`, "")[1:]), false, asl.StatusTimedOut},
		{"a Stop", string(calling(".sync", `,"Name":"child"`, "")), true, asl.StatusAborted},
	} {
		for _, dies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the process dies: %v", c.what, dies), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					armed := false
					s := &unreliable{Store: newStore(), fate: func(int64) fate {
						if armed {
							armed = false
							return crashAfter // of the commit that closes the task
						}
						return commits
					}}
					o := caller(s, []byte(c.definition))
					e := engine(t, o)
					start(t, e, s.Store, "o-1", map[string]any{"n": 7})
					for time.Since(describe(t, e, "o-1").Started) < 60*time.Second { // until the task is about to be closed
						ran, wake, err := e.RunOne(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						if !ran {
							<-time.After(min(time.Until(wake), time.Second))
						}
					}
					if d := describe(t, e, "o-1"); d.Awaits != nil {
						t.Errorf("%q wait for an answer, and nobody but a child can give it", d.Awaits)
					}
					armed = dies
					if c.stop && !survives(func() { _, _ = e.Stop(t.Context(), "o-1", "", "") }) {
						e = engine(t, o)
					}
					for !survives(func() { settle(t, e) }) {
						e = engine(t, o)
					}
					if armed {
						t.Error("it did not die")
					}
					parent, child := describe(t, e, "o-1"), describe(t, e, "child")
					if parent.Status != c.ends || child.Status != asl.StatusAborted || child.Ended.Sub(child.Started) > 2*time.Minute {
						t.Errorf("the parent is %s, the child %s after %s", parent.Status, child.Status, child.Ended.Sub(child.Started))
					}
					if n := rowsLeft(t, s); n != 0 {
						t.Errorf("%d rows", n)
					}
				})
			})
		}
	}
}

// TestAParentHearsWhatItMissed has the process die with the commit that ends the child, before anybody is told.
func TestAParentHearsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaths := 0
		s := &unreliable{Store: newStore()}
		s.fate = func(int64) fate {
			if time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) >= 5*time.Minute && deaths < 2 {
				deaths++
				return crashAfter // the child's timer, then its end
			}
			return commits
		}
		o := caller(s, calling(".sync:2", "", ""))
		e := engine(t, o)
		start(t, e, s.Store, "o-1", map[string]any{"n": 7})
		for !survives(func() { settle(t, e) }) {
			e = engine(t, o)
		}
		if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded || d.Ended.Sub(d.Started) != 5*time.Minute || deaths != 2 {
			t.Errorf("%s after %s and %d deaths", d.Status, d.Ended.Sub(d.Started), deaths)
		}
	})
}

// TestManyChildrenAtOnce runs a Map whose iterations each wait for a child.
func TestManyChildrenAtOnce(t *testing.T) {
	const n = 100
	s := newStore()
	o := caller(s, []byte(`{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemsPath":"$.items","End":true,"ItemProcessor":{
		"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Call","States":{
		"Call":{"Type":"Task","Resource":"`+startExecution+`.sync:2","Parameters":{"StateMachineArn":"check"},"End":true}}}}}}`))
	o.Children["check"] = []byte(`{"StartAt":"Look","States":{"Look":{"Type":"Task","Resource":"work","End":true}}}`)
	e := engine(t, o)
	stop := running(t, e)
	start(t, e, s, "o-1", items(n))
	deadline := time.Now().Add(time.Minute)
	for d, err := e.Head(t.Context(), "o-1"); d.Open && err == nil && time.Now().Before(deadline); d, err = e.Head(t.Context(), "o-1") {
		time.Sleep(time.Millisecond)
	}
	out, _ := describe(t, e, "o-1").Output.([]any)
	if all, _, err := e.List(t.Context(), s, asl.StatusSucceeded, "", 1000); err != nil || len(all) != n+1 || len(out) != n {
		t.Errorf("%d executions succeeded, %d results, %v", len(all), len(out), err)
	}
	if left := rowsLeft(t, s); left != 0 {
		t.Errorf("%d rows", left)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
