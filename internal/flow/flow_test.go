package flow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestAnExecutionCostsOneCommitPerTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreliable{Store: newStore()}
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b", "c")), Tasks: map[string]flow.Task{
			arn("a"): counted, arn("b"): counted, arn("c"): counted,
		}})
		settle(t, e) // stores the definition
		start(t, e, s, "o-1", map[string]any{"order": "o-1"})
		settle(t, e)
		// Ops: the definition; head and index; then each task's own operation and the journal; with the last task head and index.
		if want := []int{1, 2, 2, 2, 4}; !slices.Equal(s.ops, want) {
			t.Errorf("operations of the commits = %v, want %v", s.ops, want)
		}
		d := describe(t, e, "o-1")
		if d.Status != "SUCCEEDED" || !reflect.DeepEqual(d.Output, map[string]any{"order": "o-1"}) {
			t.Errorf("ended %s with %v", d.Status, d.Output)
		}
		if e.Open() != 0 {
			t.Errorf("%d executions open", e.Open())
		}
		for _, state := range []string{"a", "b", "c"} {
			if n := effects(t, s, "o-1", state); n != 1 {
				t.Errorf("%s took effect %d times", state, n)
			}
		}
	})
}

func TestATaskSeesItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var calls []flow.Call
		e := engine(t, flow.Options{Store: s,
			Definition: []byte(one(`,"Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":1}]`)),
			Tasks: map[string]flow.Task{arn("undo"): counted,
				arn("work"): func(_ context.Context, c flow.Call) (store.Effect, error) {
					calls = append(calls, c)
					if len(calls) == 1 {
						return store.Effect{}, fault.New(fault.Transient, "not now")
					}
					return store.Effect{Result: struct {
						Cents int `json:"cents"`
					}{1250}}, nil
				}}})
		start(t, e, s, "o-1", map[string]any{"n": 1})
		settle(t, e)
		want := []flow.Call{
			{Execution: "o-1", State: "Work", Resource: arn("work"), Entered: 2, Attempt: "o-1/1.0", Input: map[string]any{"n": json.Number("1")}},
			{Execution: "o-1", State: "Work", Resource: arn("work"), Entered: 2, Retry: 1, Attempt: "o-1/3.1", Input: map[string]any{"n": json.Number("1")}},
		}
		if !reflect.DeepEqual(calls, want) {
			t.Errorf("calls = %+v\nwant    %+v", calls, want)
		}
		if out := describe(t, e, "o-1").Output; !reflect.DeepEqual(out, map[string]any{"cents": json.Number("1250")}) {
			t.Errorf("output = %v", out)
		}
	})
}

func TestATimerThatIsDueWithinAMillisecondFiresAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		definition := `{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Timestamp":"2000-01-01T00:00:05.000000001Z","End":true}}}`
		e := engine(t, flow.Options{Store: s, Definition: []byte(definition)})
		start(t, e, s, "o-1", nil)
		settle(t, e)
		want := time.Date(2000, 1, 1, 0, 0, 5, int(time.Millisecond), time.UTC)
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || !d.Ended.Equal(want) {
			t.Errorf("%s at %v, want %v", d.Status, d.Ended, want)
		}
	})
}

func TestRetryWaitsAsTheMachineSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var at []time.Duration
		begin := time.Now()
		e := engine(t, flow.Options{Store: s,
			Definition: []byte(one(`,"Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":1,"BackoffRate":2,"MaxAttempts":8}]`)),
			Tasks: map[string]flow.Task{arn("undo"): counted,
				arn("work"): func(context.Context, flow.Call) (store.Effect, error) {
					at = append(at, time.Since(begin))
					if len(at) < 9 {
						return store.Effect{}, fault.New(fault.Transient, "not now")
					}
					return store.Effect{}, nil
				}}})
		start(t, e, s, "o-1", nil)
		settle(t, e)
		const second = time.Second
		want := []time.Duration{0, second, 3 * second, 7 * second, 15 * second, 31 * second, 63 * second, 127 * second, 255 * second}
		if !slices.Equal(at, want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
			t.Errorf("ended %s", d.Status)
		}
	})
}

func TestASimulationCarriesOutBranchesOneAfterTheOther(t *testing.T) {
	branches := func(members string) []byte {
		return fmt.Appendf(nil, `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
			{"StartAt":"Slow","States":{"Slow":{"Type":"Task","Resource":%q,"ResultPath":null,"TimeoutSeconds":60,"End":true}}},
			{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":1,"Next":"Late"},"Late":{"Type":"Task","Resource":%q,"ResultPath":null,"End":true}}}]%s}}}`,
			arn("slow"), arn("late"), members)
	}
	slow := func(err error) flow.Task {
		return func(ctx context.Context, c flow.Call) (store.Effect, error) {
			<-time.After(5 * time.Second)
			if err != nil || ctx.Err() != nil {
				return store.Effect{}, err
			}
			return counted(ctx, c)
		}
	}
	t.Run("a task is not cut short by the timer of another branch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: branches(""), Tasks: map[string]flow.Task{arn("slow"): slow(nil), arn("late"): counted}})
			start(t, e, s, "o-1", 7)
			settle(t, e)
			want := []any{json.Number("7"), json.Number("7")}
			if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || !reflect.DeepEqual(d.Output, want) {
				t.Errorf("%s %v", d.Status, d.Output)
			}
			if effects(t, s, "o-1", "Slow") != 1 || effects(t, s, "o-1", "Late") != 1 {
				t.Error("each task takes effect once")
			}
		})
	})
	t.Run("what a failure cancels is not carried out any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: branches(`,"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Done"}]},"Done":{"Type":"Wait","Seconds":9,"End":true`),
				Tasks: map[string]flow.Task{arn("slow"): slow(fault.New(fault.InsufficientStock, "no")), arn("late"): counted}})
			start(t, e, s, "o-1", 7)
			settle(t, e)
			if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || effects(t, s, "o-1", "Late") != 0 {
				t.Errorf("%s, the late task took effect %d times", d.Status, effects(t, s, "o-1", "Late"))
			}
		})
	})
}

func TestFailures(t *testing.T) {
	const catchAll = `,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.error","Next":"Put back"}]`
	floor := func(_ context.Context, c flow.Call) (store.Effect, error) {
		return store.Effect{
			Stage: func(tx *store.Tx) (any, error) {
				tx.Add(effectKey(c.Execution, c.State), []store.Delta{store.Inc("n", 1)})
				tx.Add(store.Key{Table: "stock", PK: "p"}, []store.Delta{store.Take("available", 1)})
				return nil, nil
			},
			Refused: func(*store.Refusal) error { return fault.New(fault.InsufficientStock, "nothing left") },
		}, nil
	}
	cases := []struct {
		rule    string
		members string
		work    flow.Task
		status  string
		err     string // what Catch or the end sees
		cause   string
	}{
		{"a business error is caught by its name", `,"Catch":[{"ErrorEquals":["PaymentDeclined"],"ResultPath":"$.error","Next":"Put back"}]`,
			always(nil, fault.New(fault.PaymentDeclined, "no funds")), "SUCCEEDED", "PaymentDeclined", "no funds"},
		{"an error that nothing catches fails the execution", ``,
			always(nil, fault.New(fault.OrderState, "too late")), "FAILED", "OrderState", "too late"},
		{"a refused commit is the task's business error", catchAll, floor, "SUCCEEDED", "InsufficientStock", "nothing left"},
		{"a refused commit that the effect does not explain is internal", catchAll,
			func(ctx context.Context, c flow.Call) (store.Effect, error) {
				effect, err := floor(ctx, c)
				effect.Refused = nil
				return effect, err
			}, "SUCCEEDED", "Internal", "an internal error"},
		{"an error of Stage stages nothing", catchAll,
			func(_ context.Context, c flow.Call) (store.Effect, error) {
				return store.Effect{Stage: func(tx *store.Tx) (any, error) {
					tx.Add(effectKey(c.Execution, c.State), []store.Delta{store.Inc("n", 1)})
					return nil, fault.New(fault.OrderCancelled, "the customer came first")
				}}, nil
			}, "SUCCEEDED", "OrderCancelled", "came first"},
		{"an unknown error is Internal and keeps its text to the log", catchAll, always(nil, errBoom), "SUCCEEDED", "Internal", "an internal error"},
		{"a store that is away is Transient for the machine", catchAll,
			always(nil, fault.New(fault.Unavailable, "disk full")), "SUCCEEDED", "Transient", "disk full"},
		{"a panic of a task is Transient", catchAll,
			func(context.Context, flow.Call) (store.Effect, error) { panic("nil map") }, "SUCCEEDED", "Transient", "a panic"},
		{"a panic of Stage is Transient", catchAll,
			func(context.Context, flow.Call) (store.Effect, error) {
				return store.Effect{Stage: func(*store.Tx) (any, error) { panic("nil map") }}, nil
			}, "SUCCEEDED", "Transient", "a panic"},
		{"a panic of Refused is Transient", catchAll,
			func(ctx context.Context, c flow.Call) (store.Effect, error) {
				effect, err := floor(ctx, c)
				effect.Refused = func(*store.Refusal) error { panic("nil map") }
				return effect, err
			}, "SUCCEEDED", "Transient", "a panic"},
		{"a result that is no JSON fails the task", catchAll, always(func() {}, nil), "SUCCEEDED", "Internal", "no JSON"},
		{"a transaction that no store takes fails the task", catchAll,
			func(_ context.Context, c flow.Call) (store.Effect, error) {
				return store.Effect{Stage: func(tx *store.Tx) (any, error) {
					tx.Delete(effectKey(c.Execution, c.State))
					tx.Delete(effectKey(c.Execution, c.State))
					return nil, nil
				}}, nil
			}, "SUCCEEDED", "Internal", "no store takes"},
		{"an effect with a send after the commit is a mistake here", catchAll,
			func(context.Context, flow.Call) (store.Effect, error) {
				return store.Effect{After: func(context.Context) error { return nil }}, nil
			}, "SUCCEEDED", "Internal", "staged"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				e := engine(t, flow.Options{Store: s, Definition: []byte(one(c.members)),
					Tasks: map[string]flow.Task{arn("work"): c.work, arn("undo"): counted}})
				start(t, e, s, "o-1", map[string]any{})
				settle(t, e)
				d := describe(t, e, "o-1")
				if string(d.Status) != c.status {
					t.Fatalf("ended %s (%s: %s), want %s", d.Status, d.Error, d.Cause, c.status)
				}
				name, cause := d.Error, d.Cause
				if c.status == "SUCCEEDED" {
					out, _ := d.Output.(map[string]any)
					caught, _ := out["error"].(map[string]any)
					name, _ = caught["Error"].(string)
					cause, _ = caught["Cause"].(string)
				}
				var shape struct{ ErrorType, ErrorMessage string }
				if err := json.Unmarshal([]byte(cause), &shape); err != nil {
					t.Fatalf("cause %q: %v", cause, err)
				}
				if name != c.err || shape.ErrorType != c.err || !strings.Contains(shape.ErrorMessage, c.cause) {
					t.Errorf("failed with %s, cause %s; want %s, %s", name, cause, c.err, c.cause)
				}
				if strings.Contains(cause, "secret") {
					t.Error("the text of an internal error left the log")
				}
				if n := effects(t, s, "o-1", "Work"); n != 0 {
					t.Errorf("a failed task took effect %d times", n)
				}
			})
		})
	}
}

func TestTheLogHasWhatTheMachineMustNotSee(t *testing.T) {
	for rule, c := range map[string]struct {
		work flow.Task
		want []string
	}{
		"the text of an internal error": {always(nil, errBoom), []string{"o-1/1.0", "a secret"}},
		"the stack of a panic": {func(context.Context, flow.Call) (store.Effect, error) { panic("nil map") },
			[]string{"o-1/1.0", "nil map", "flow_test.go"}},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := newStore()
				e := engine(t, flow.Options{Store: s, Definition: []byte(one(``)), Log: slog.New(slog.NewTextHandler(&log, nil)),
					Tasks: map[string]flow.Task{arn("work"): c.work}})
				start(t, e, s, "o-1", nil)
				settle(t, e)
				for _, want := range c.want {
					if !strings.Contains(log.String(), want) {
						t.Errorf("the log lacks %q: %s", want, log.String())
					}
				}
			})
		})
	}
}

func TestTimeouts(t *testing.T) {
	const limited = `,"TimeoutSeconds":5,"Retry":[{"ErrorEquals":["States.Timeout"],"IntervalSeconds":1,"MaxAttempts":1}],
		"Catch":[{"ErrorEquals":["States.Timeout"],"ResultPath":"$.error","Next":"Put back"}]`
	cases := []struct {
		rule string
		work func(hang <-chan struct{}) flow.Task
	}{
		{"a task that heeds its context times out", func(<-chan struct{}) flow.Task {
			return func(ctx context.Context, c flow.Call) (store.Effect, error) {
				<-ctx.Done()
				return store.Effect{}, ctx.Err()
			}
		}},
		{"a task that ignores its context does not block the execution", func(hang <-chan struct{}) flow.Task {
			return func(ctx context.Context, c flow.Call) (store.Effect, error) {
				<-hang
				return counted(ctx, c)
			}
		}},
		{"a success after the deadline is dropped", func(<-chan struct{}) flow.Task {
			return func(ctx context.Context, c flow.Call) (store.Effect, error) {
				<-ctx.Done()
				return counted(ctx, c)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, hang, begin := newStore(), make(chan struct{}), time.Now()
				defer close(hang)
				e := engine(t, flow.Options{Store: s, Definition: []byte(one(limited)),
					Tasks: map[string]flow.Task{arn("work"): c.work(hang), arn("undo"): counted}})
				start(t, e, s, "o-1", map[string]any{})
				settle(t, e)
				if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
					t.Fatalf("ended %s", d.Status)
				}
				if took := time.Since(begin); took.Round(time.Second) != 11*time.Second {
					t.Errorf("two attempts of 5 s and a pause of 1 s took %v", took)
				}
				if n := effects(t, s, "o-1", "Work"); n != 0 {
					t.Errorf("late results took effect %d times", n)
				}
				if n := effects(t, s, "o-1", "Put back"); n != 1 {
					t.Errorf("Catch ran %d times", n)
				}
			})
		})
	}
	t.Run("a task within its timeout is as any other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: []byte(one(limited)),
				Tasks: map[string]flow.Task{arn("work"): counted, arn("undo"): counted}})
			start(t, e, s, "o-1", map[string]any{})
			settle(t, e)
			if n := effects(t, s, "o-1", "Work"); n != 1 {
				t.Errorf("took effect %d times", n)
			}
		})
	})
	t.Run("when too many tasks hang no other starts until one returns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, hang := newStore(), make(chan struct{})
			var called atomic.Int64
			e := engine(t, flow.Options{Store: s, Workers: 1, Definition: []byte(one(`,"TimeoutSeconds":5`)),
				Tasks: map[string]flow.Task{arn("undo"): counted, arn("work"): func(context.Context, flow.Call) (store.Effect, error) {
					called.Add(1)
					<-hang
					return store.Effect{}, nil
				}}})
			start(t, e, s, "o-1", nil)
			start(t, e, s, "o-2", nil)
			for range 10 {
				ran, wake, err := e.RunOne(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !ran {
					<-time.After(time.Until(wake))
				}
			}
			if d := describe(t, e, "o-2"); called.Load() != 1 || d.Status != "RUNNING" {
				t.Errorf("%d calls, o-2 is %s", called.Load(), d.Status)
			}
			close(hang)
			settle(t, e)
			if d := describe(t, e, "o-2"); called.Load() != 2 || d.Status != "SUCCEEDED" {
				t.Errorf("%d calls, o-2 is %s", called.Load(), d.Status)
			}
		})
	})
}

func TestStage(t *testing.T) {
	s := newStore()
	e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a")), Tasks: map[string]flow.Task{arn("a"): counted}})
	stage := func(name string, input any) error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, name, input) })
	}
	t.Run("a second start of one name is refused", func(t *testing.T) {
		if err := stage("o-1", 1); err != nil {
			t.Fatal(err)
		}
		if err := stage("o-1", 2); store.RefusalOf(err) == nil {
			t.Errorf("err = %v, want a refusal", err)
		}
		if in := describe(t, e, "o-1").Input; in != json.Number("1") {
			t.Errorf("input = %v", in)
		}
	})
	t.Run("names that Step Functions refuses are refused", func(t *testing.T) {
		for _, name := range []string{"", "a b", "open#01", "a/b", "a\x00", "ä", strings.Repeat("x", 81)} {
			if err := stage(name, nil); !fault.Is(err, fault.BadRequest) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
	t.Run("an input over 256 KiB is refused", func(t *testing.T) {
		if err := stage("o-2", strings.Repeat("x", 256<<10)); !fault.Is(err, fault.PayloadTooLarge) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a start that was not committed leaves nothing", func(t *testing.T) {
		e.Begin("o-3")
		settle(t, e)
		if _, err := e.Describe(t.Context(), "o-3"); !fault.Is(err, fault.NotFound) || e.Open() != 0 {
			t.Errorf("err = %v, %d open", err, e.Open())
		}
	})
}

func TestNew(t *testing.T) {
	definition, tasks := []byte(steps("a")), map[string]flow.Task{arn("a"): counted}
	for rule, o := range map[string]flow.Options{
		"a store is required":                   {Definition: definition, Tasks: tasks},
		"a definition is required":              {Store: newStore(), Tasks: tasks},
		"each Task of the definition is served": {Store: newStore(), Definition: definition},
		"each Task of a branch is served":       {Store: newStore(), Definition: parallel("", "a", "b"), Tasks: tasks},
		"each Task of an iteration is served":   {Store: newStore(), Definition: mapped(""), Tasks: tasks},
	} {
		t.Run(rule, func(t *testing.T) {
			if _, err := flow.New(o); !fault.Is(err, fault.Internal) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		begin := time.Now().UTC()
		e := engine(t, flow.Options{Store: s,
			Definition: []byte(one(`,"ResultPath":"$.r","Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":60,"MaxAttempts":2}]`)),
			Tasks:      map[string]flow.Task{arn("undo"): counted, arn("work"): always(nil, fault.New(fault.Transient, "not now"))}})
		start(t, e, s, "o-1", map[string]any{"a": "b"})
		input := map[string]any{"a": "b"}
		if ran, _, err := e.RunOne(t.Context()); !ran || err != nil {
			t.Fatal(ran, err)
		}
		d := describe(t, e, "o-1")
		if d.Status != "RUNNING" || d.State != "Work" || !reflect.DeepEqual(d.StateInput, input) || !d.Ended.IsZero() || !d.Started.Equal(begin) {
			t.Errorf("while it runs: %+v", d)
		}
		if d.Wakes.Sub(begin) != time.Minute || !d.Updated.Equal(begin) {
			t.Errorf("its next attempt is at %v, its last answer at %v", d.Wakes, d.Updated)
		}
		start(t, e, s, "o-2", nil)
		start(t, e, s, "o-1-r1", nil)
		for after, want := range map[string]string{"": "[o-1 o-1-r1]", "o-1": "[o-1-r1 o-2]", "o-1-r1": "[o-2]", "o-2": "[]"} {
			if names, err := e.Running(t.Context(), after, 2); err != nil || fmt.Sprint(names) != want {
				t.Errorf("two that run, beyond %q: %v, %v, want %s", after, names, err, want)
			}
		}
		settle(t, e)
		if names, err := e.Running(t.Context(), "", 100); err != nil || len(names) != 0 {
			t.Errorf("at rest there run %v, %v", names, err)
		}
		d = describe(t, e, "o-1")
		if d.Status != "FAILED" || d.State != "Work" || d.Error != "Transient" || !strings.Contains(d.Cause, "not now") ||
			!reflect.DeepEqual(d.StateInput, input) || d.Ended.Sub(d.Started) != 180*time.Second {
			t.Errorf("failed: %+v", d)
		}
		summary, err := e.Summary(t.Context(), "o-1")
		if err != nil || len(summary.History) != 0 {
			t.Errorf("the summary is %+v, %v", summary, err)
		}
		if summary.History = d.History; !reflect.DeepEqual(summary, d) || !d.Updated.Equal(d.Ended) || !d.Wakes.IsZero() {
			t.Errorf("the summary is %+v, the description %+v", summary, d)
		}
		for _, name := range []string{"o-4", "no such#name"} {
			if _, err := e.Summary(t.Context(), name); !fault.Is(err, fault.NotFound) {
				t.Errorf("the summary of %q: %v", name, err)
			}
		}
		if len(d.History) < 5 {
			t.Fatalf("history: %+v", d.History)
		}
		first, last := d.History[0], d.History[len(d.History)-1]
		if first.Type != "ExecutionStarted" || last.Type != "ExecutionFailed" || !last.Time.Equal(d.Ended) {
			t.Errorf("history from %+v to %+v", first, last)
		}
	})
}
