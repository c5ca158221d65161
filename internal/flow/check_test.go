package flow_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const checked = `{
  "Comment": "the first", "StartAt": "Reserve",
  "States": {
    "Reserve": {"Type": "Task", "Resource": "arn:aws:lambda:eu-central-1:000000000000:function:work", "TimeoutSeconds": 20,
      "Parameters": {"task": "reserve", "order.$": "$.order"},
      "Retry": [{"ErrorEquals": ["Transient"], "IntervalSeconds": 2, "MaxAttempts": 2}],
      "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Refused"}], "ResultPath": null, "Next": "Pause"},
    "Pause": {"Type": "Wait", "Seconds": 60, "Next": "Charge"},
    "Charge": {"Type": "Task", "Resource": "arn:aws:lambda:eu-central-1:000000000000:function:work",
      "Parameters": {"task": "charge", "order.$": "$.order"}, "ResultPath": null, "Next": "Done"},
    "Done": {"Type": "Succeed"},
    "Refused": {"Type": "Fail", "Error": "Refused"}
  }
}`

// recorded is a store with executions of the machine: done came to its end after one retry, refused failed, waiting waits for its timer.
func recorded(t *testing.T, definition string) (*flow.Engine, *memstore.Store) {
	t.Helper()
	s := newStore()
	work := func(_ context.Context, c flow.Call) (store.Effect, error) {
		switch {
		case c.Execution == "refused":
			return store.Effect{}, fault.New(fault.InsufficientStock, "none left")
		case c.State == "Reserve" && c.Retry == 0:
			return store.Effect{}, fault.New(fault.Transient, "once more")
		}
		return store.Effect{Result: "ok"}, nil
	}
	e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Tasks: map[string]flow.Task{arn("work"): work}})
	for _, name := range []string{"done", "refused"} {
		start(t, e, s, name, map[string]any{"order": name})
	}
	settle(t, e)
	start(t, e, s, "waiting", map[string]any{"order": "waiting"})
	settleUntil(t, e, "waiting", "Pause")
	return e, s
}

// settleUntil drives the engine until the execution stands in the state.
func settleUntil(t *testing.T, e *flow.Engine, name, state string) {
	t.Helper()
	for range 1000 {
		if describe(t, e, name).State == state {
			return
		}
		ran, wake, err := e.RunOne(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !ran && !wake.IsZero() {
			<-time.After(time.Until(wake))
		}
	}
	t.Fatalf("%s does not come to %s", name, state)
}

func TestCheckSaysWhichExecutionsDiverge(t *testing.T) {
	type at = map[string]flow.Divergence
	insert := `"Pause": {"Type": "Wait", "Seconds": 60, "Next": "Fraud"},
	  "Fraud": {"Type": "Task", "Resource": "arn:aws:lambda:eu-central-1:000000000000:function:fraud", "ResultPath": null, "Next": "Charge"},`
	for _, c := range []struct {
		rule     string
		from, to string
		want     at
	}{
		{"another comment diverges nowhere", "the first", "the second", at{}},
		{"another interval of a retry diverges nowhere", `"IntervalSeconds": 2`, `"IntervalSeconds": 7`, at{}},
		{"more attempts than were needed diverge nowhere", `"MaxAttempts": 2`, `"MaxAttempts": 9`, at{}},
		{"another timeout diverges nowhere", `"TimeoutSeconds": 20`, `"TimeoutSeconds": 30`, at{}},
		{"a timeout of the whole machine, which moves the numbers of all commands, diverges nowhere", `"StartAt"`, `"TimeoutSeconds": 9000, "StartAt"`, at{}},
		{"another time of a Wait diverges nowhere", `"Seconds": 60`, `"Seconds": 10`, at{}},
		{"a retry that is gone leads elsewhere", `"MaxAttempts": 2`, `"MaxAttempts": 0`, at{
			"done":    {Kind: flow.OtherState, State: "Reserve", Event: 5, Old: "waits in Reserve", New: "enters Refused"},
			"waiting": {Kind: flow.OtherState, State: "Reserve", Event: 5, Old: "waits in Reserve", New: "enters Refused"},
		}},
		{"a new state in the middle is one for whom came so far", `"Pause": {"Type": "Wait", "Seconds": 60, "Next": "Charge"},`, insert, at{
			"done": {Kind: flow.OtherState, State: "Charge", Event: 12, Old: "enters Charge", New: "enters Fraud"},
		}},
		{"a renamed state is another", "Reserve", "Hold", at{
			"done":    {Kind: flow.OtherState, State: "Reserve", Event: 2, Old: "enters Reserve", New: "enters Hold"},
			"refused": {Kind: flow.OtherState, State: "Reserve", Event: 2, Old: "enters Reserve", New: "enters Hold"},
			"waiting": {Kind: flow.OtherState, State: "Reserve", Event: 2, Old: "enters Reserve", New: "enters Hold"},
		}},
		{"a state of another type is another", `{"Type": "Wait", "Seconds": 60,`, `{"Type": "Pass",`, at{
			"done":    {Kind: flow.OtherState, State: "Pause", Event: 10, Old: "enters Pause, a Wait", New: "enters Pause, a Pass"},
			"waiting": {Kind: flow.OtherState, State: "Pause", Event: 10, Old: "enters Pause, a Wait", New: "enters Pause, a Pass"},
		}},
		{"other Parameters are another input", `"task": "charge"`, `"task": "charge", "twice": true`, at{
			"done": {Kind: flow.OtherInput, State: "Charge", Event: 13, Old: "input /twice is missing", New: "input /twice is true"},
		}},
		{"another value in Parameters is told by its place", `{"task": "charge", "order.$": "$.order"}`, `{"task": "charge", "order": ["a"]}`, at{
			"done": {Kind: flow.OtherInput, State: "Charge", Event: 13, Old: `input /order is "done"`, New: `input /order is ["a"]`},
		}},
		{"another resource is another task", `function:work", "TimeoutSeconds"`, `function:fraud", "TimeoutSeconds"`, at{
			"done":    {Kind: flow.OtherTask, State: "Reserve", Event: 3, Old: "calls " + arn("work") + " in Reserve", New: "calls " + arn("fraud") + " in Reserve"},
			"refused": {Kind: flow.OtherTask, State: "Reserve", Event: 3, Old: "calls " + arn("work") + " in Reserve", New: "calls " + arn("fraud") + " in Reserve"},
			"waiting": {Kind: flow.OtherTask, State: "Reserve", Event: 3, Old: "calls " + arn("work") + " in Reserve", New: "calls " + arn("fraud") + " in Reserve"},
		}},
		{"another error is another end", `"Error": "Refused"`, `"Error": "SoldOut"`, at{
			"refused": {Kind: flow.OtherEnd, State: "Refused", Event: 8, Old: "ends FAILED Refused", New: "ends FAILED SoldOut"},
		}},
		{"another output is another end", `{"Type": "Succeed"}`, `{"Type": "Succeed", "OutputPath": "$.order"}`, at{
			"done": {Kind: flow.OtherEnd, State: "Done", Event: 19, Old: `output is {"order":"done"}`, New: `output is "done"`},
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := recorded(t, checked)
				changed := strings.ReplaceAll(checked, c.from, c.to)
				if changed == checked {
					t.Fatal("nothing is changed")
				}
				m, err := asl.Parse([]byte(changed))
				if err != nil {
					t.Fatal(err)
				}
				found := at{}
				sum, err := e.Check(t.Context(), s, m, func(name string, d flow.Divergence) error { found[name] = d; return nil })
				if want := (flow.Checked{Replayed: 3, Open: 1, Diverging: len(c.want)}); err != nil || sum != want {
					t.Errorf("%+v, %v, want %+v", sum, err, want)
				}
				for _, name := range []string{"done", "refused", "waiting"} {
					if found[name] != c.want[name] {
						t.Errorf("%s: %+v\nwant %+v", name, found[name], c.want[name])
					}
				}
			})
		})
	}
}

func TestCheckOfADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timed = `{"TimeoutSeconds":5,"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"End":true}}}`
		s := newStore()
		e := engine(t, flow.Options{Store: s, Definition: []byte(timed)})
		start(t, e, s, "x", nil)
		settle(t, e)
		for text, want := range map[string]flow.Divergence{
			timed: {},
			strings.Replace(timed, `"TimeoutSeconds":5,`, `"TimeoutSeconds":7,`, 1): {},
			strings.Replace(timed, `"TimeoutSeconds":5,`, ``, 1): {
				Kind: flow.OtherCommand, State: "W", Event: 3, Old: "its TimeoutSeconds were over", New: "has no TimeoutSeconds",
			},
		} {
			m, err := asl.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			var found flow.Divergence
			if _, err := e.Check(t.Context(), s, m, func(_ string, d flow.Divergence) error { found = d; return nil }); err != nil || found != want {
				t.Errorf("%s: %+v, %v", text, found, err)
			}
		}
	})
}

// What was forgotten is counted and not judged, and a journal with a gap is told of, not taken for one that agrees.
func TestCheckOfWhatCannotBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := recorded(t, checked)
		m, err := asl.Parse([]byte(checked))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.ForgetJournal(t.Context(), "done"); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx *store.Tx) error {
			tx.Delete(store.Key{Table: flow.Table, PK: "waiting", SK: "j#0000000001"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		found := map[string]flow.Divergence{}
		sum, err := e.Check(t.Context(), s, m, func(name string, d flow.Divergence) error { found[name] = d; return nil })
		if want := (flow.Checked{Replayed: 2, Open: 1, Diverging: 1, Forgotten: 1}); err != nil || sum != want {
			t.Errorf("%+v, %v", sum, err)
		}
		if found["waiting"].Kind != flow.Unreadable {
			t.Errorf("%+v", found)
		}
	})
}

// Branches and iterations, of a distributed Map too, of which no event is seen: what they call is compared all the same.
func TestCheckLooksIntoBranchesAndIterations(t *testing.T) {
	const nested = `{"StartAt":"Both","States":{
		"Both":{"Type":"Parallel","ResultPath":null,"Next":"Each","Branches":[
			{"StartAt":"Left","States":{"Left":{"Type":"Task","Resource":"work","Parameters":{"side":"left"},"End":true}}},
			{"StartAt":"Right","States":{"Right":{"Type":"Wait","Seconds":5,"End":true}}}]},
		"Each":{"Type":"Map","ItemsPath":"$.items","ResultPath":null,"Next":"Far","ItemProcessor":{"StartAt":"Item","States":{
			"Item":{"Type":"Task","Resource":"work","Parameters":{"item.$":"$"},"End":true}}}},
		"Far":{"Type":"Map","ItemsPath":"$.items","ResultPath":null,"End":true,"ItemProcessor":{
			"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Child","States":{
			"Child":{"Type":"Task","Resource":"work","Parameters":{"child.$":"$"},"End":true}}}}}}`
	for _, c := range []struct{ rule, from, to, kind, state, changed string }{
		{"nothing is changed", "", "", "", "", ""},
		{"a branch's input", `"side":"left"`, `"side":"both"`, flow.OtherInput, "Left", `input /side is "both"`},
		{"a branch's state", "Right", "Wrong", flow.OtherState, "Right", "enters Wrong"},
		{"an iteration's input", `{"item.$":"$"}`, `{"item":1}`, flow.OtherInput, "Item", "input /item is 1"},
		{"more iterations at a time are more tasks", `"Type":"Map","ItemsPath":"$.items","ResultPath":null,"Next"`,
			`"Type":"Map","MaxConcurrency":1,"ItemsPath":"$.items","ResultPath":null,"Next"`, flow.OtherState, "Item", "calls work in Item"},
		{"a distributed iteration's input", `{"child.$":"$"}`, `{"child":"x"}`, flow.OtherInput, "Child", `input /child is "x"`},
		{"a distributed iteration's state", "Child", "Kid", flow.OtherTask, "Child", "calls work in Kid"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				e := engine(t, flow.Options{Store: s, Definition: []byte(nested), Tasks: map[string]flow.Task{"work": always("ok", nil)}})
				start(t, e, s, "x", map[string]any{"items": []string{"a", "b", "c"}})
				settle(t, e)
				if d := describe(t, e, "x"); d.Status != asl.StatusSucceeded {
					t.Fatalf("%+v", d)
				}
				m, err := asl.Parse([]byte(strings.ReplaceAll(nested, c.from, c.to)))
				if c.from == "" {
					m, err = asl.Parse([]byte(nested))
				}
				if err != nil {
					t.Fatal(err)
				}
				var found flow.Divergence
				if _, err := e.Check(t.Context(), s, m, func(_ string, d flow.Divergence) error { found = d; return nil }); err != nil {
					t.Fatal(err)
				}
				if found.Kind != c.kind || found.State != c.state || found.New != c.changed || c.kind != "" && found.Event == 0 {
					t.Errorf("%+v", found)
				}
			})
		})
	}
}
