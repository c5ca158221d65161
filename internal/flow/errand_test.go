package flow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// parallel is a machine of a Parallel state with a branch of one task for each name, and more members of that state.
func parallel(members string, names ...string) []byte {
	branches := make([]string, len(names))
	for i, n := range names {
		branches[i] = fmt.Sprintf(`{"StartAt":%q,"States":{%q:{"Type":"Task","Resource":%q,"ResultPath":null,"End":true}}}`, n, n, arn(n))
	}
	return fmt.Appendf(nil, `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[%s],"Next":"Done"%s},"Done":{"Type":"Succeed"}}}`,
		strings.Join(branches, ","), members)
}

// mapped is a machine of a Map state with a task "each" for each of the input's items.
func mapped(members string) []byte {
	return fmt.Appendf(nil, `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","ResultPath":null,"End":true,
		"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Each","States":{"Each":{"Type":"Task","Resource":%q,"End":true}}}%s}}}`,
		arn("each"), members)
}

func items(n int) map[string]any {
	list := make([]any, n)
	for i := range list {
		list[i] = i
	}
	return map[string]any{"items": list}
}

// slowly is a task that takes its time, heeding its context, and counts.
func slowly(d time.Duration) flow.Task {
	return func(ctx context.Context, c flow.Call) (store.Effect, error) {
		select {
		case <-time.After(d):
			return counted(ctx, c)
		case <-ctx.Done():
			return store.Effect{}, ctx.Err()
		}
	}
}

// ended waits until nothing is open, a second at a time, and returns how long that took.
func ended(t *testing.T, e *flow.Engine) time.Duration {
	t.Helper()
	begin := time.Now()
	for range 10_000 {
		if synctest.Wait(); e.Open() == 0 {
			return time.Since(begin)
		}
		<-time.After(time.Second)
	}
	t.Fatal("the executions do not end")
	return 0
}

func TestTasksOfBranchesRunBesideOneAnother(t *testing.T) {
	t.Run("three tasks take as long as the longest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: parallel("", "a", "b", "c"), Tasks: map[string]flow.Task{
				arn("a"): slowly(5 * time.Second), arn("b"): slowly(3 * time.Second), arn("c"): slowly(4 * time.Second)}})
			stop := running(t, e)
			start(t, e, s, "o-1", 7)
			if took := ended(t, e); took != 5*time.Second {
				t.Errorf("took %v", took)
			}
			want := []any{json.Number("7"), json.Number("7"), json.Number("7")}
			if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || !reflect.DeepEqual(d.Output, want) {
				t.Errorf("%s %v", d.Status, d.Output)
			}
			for _, state := range []string{"a", "b", "c"} {
				if n := effects(t, s, "o-1", state); n != 1 {
					t.Errorf("%s took effect %d times", state, n)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a timer does not wait for the task of another branch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, begin := newStore(), time.Now()
			var at time.Duration
			definition := fmt.Appendf(nil, `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
				{"StartAt":"Slow","States":{"Slow":{"Type":"Task","Resource":%q,"End":true}}},
				{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":1,"Next":"Then"},"Then":{"Type":"Task","Resource":%q,"End":true}}}]}}}`,
				arn("slow"), arn("then"))
			e := engine(t, flow.Options{Store: s, Definition: definition, Tasks: map[string]flow.Task{arn("slow"): slowly(5 * time.Second),
				arn("then"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
					at = time.Since(begin)
					return counted(ctx, c)
				}}})
			stop := running(t, e)
			start(t, e, s, "o-1", nil)
			if took := ended(t, e); took != 5*time.Second || at.Round(time.Second) != time.Second {
				t.Errorf("took %v, the other branch went on after %v", took, at)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("each has its own attempts and its own timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			var mu sync.Mutex
			attempts := map[string]int{}
			definition := strings.ReplaceAll(string(parallel("", "a", "b")), `"ResultPath":null`,
				`"ResultPath":null,"TimeoutSeconds":2,"Retry":[{"ErrorEquals":["States.Timeout"],"IntervalSeconds":1,"MaxAttempts":3}]`)
			task := func(ctx context.Context, c flow.Call) (store.Effect, error) {
				mu.Lock()
				n := attempts[c.State]
				attempts[c.State]++
				mu.Unlock()
				if n < 1 || c.State == "b" && n < 2 {
					return slowly(4*time.Second)(ctx, c)
				}
				return counted(ctx, c)
			}
			e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Tasks: map[string]flow.Task{arn("a"): task, arn("b"): task}})
			stop := running(t, e)
			start(t, e, s, "o-1", nil)
			ended(t, e)
			if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || attempts["a"] != 2 || attempts["b"] != 3 {
				t.Errorf("%s, attempts %v", d.Status, attempts)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestATaskThatIsCancelledIsNotCommitted(t *testing.T) {
	for rule, slow := range map[string]flow.Task{
		"one that heeds its context": slowly(time.Minute),
		"one that succeeds all the same": func(ctx context.Context, c flow.Call) (store.Effect, error) {
			<-ctx.Done()
			return counted(ctx, c)
		},
		"one that does not heed it": func(ctx context.Context, c flow.Call) (store.Effect, error) {
			<-time.After(10 * time.Second)
			if ctx.Err() == nil {
				return store.Effect{}, fault.New(fault.Internal, "the context goes on")
			}
			return counted(ctx, c)
		},
	} {
		for _, limit := range []string{``, `"TimeoutSeconds":600,`} {
			t.Run(rule+limit, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore()
					definition := strings.ReplaceAll(string(parallel(`,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"Rest"}]`, "fails", "slow")),
						`"Done":`, `"Rest":{"Type":"Wait","Seconds":30,"Next":"Done"},"Done":`)
					definition = strings.ReplaceAll(definition, `"ResultPath":null,"End"`, limit+`"ResultPath":null,"End"`)
					var heard atomic.Int64 // when the context of the slow one ended
					begin := time.Now()
					e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Tasks: map[string]flow.Task{
						arn("slow"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
							context.AfterFunc(ctx, func() { heard.Store(int64(time.Since(begin))) })
							return slow(ctx, c)
						},
						arn("fails"): func(context.Context, flow.Call) (store.Effect, error) {
							<-time.After(time.Second)
							return store.Effect{}, fault.New(fault.OrderState, "no")
						}}})
					stop := running(t, e)
					start(t, e, s, "o-1", nil)
					if took := ended(t, e); took != 31*time.Second {
						t.Errorf("took %v", took)
					}
					if at := time.Duration(heard.Load()); at < time.Second || at > time.Second+time.Millisecond {
						t.Errorf("the branch beside it failed after a second, its context ended after %v", at)
					}
					if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
						t.Errorf("%s %s %s", d.Status, d.Error, d.Cause)
					}
					if n := effects(t, s, "o-1", "slow"); n != 0 {
						t.Errorf("took effect %d times", n)
					}
					if err := stop(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// The failure of the branch is committed and its reply lost: that it made the others void is read from the journal.
func TestTheContextOfATaskEndsThoughTheCommitThatCancelledItHadNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreliable{Store: newStore(), fate: func(n int64) fate {
			if n == 3 { // after the definition and the start
				return replyLost
			}
			return commits
		}}
		var heard atomic.Int64
		begin := time.Now()
		definition := strings.ReplaceAll(string(parallel(`,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"Rest"}]`, "fails", "slow")),
			`"Done":`, `"Rest":{"Type":"Wait","Seconds":30,"Next":"Done"},"Done":`)
		e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Tasks: map[string]flow.Task{
			arn("slow"): func(ctx context.Context, _ flow.Call) (store.Effect, error) {
				<-ctx.Done()
				heard.Store(int64(time.Since(begin)))
				return store.Effect{}, ctx.Err()
			},
			arn("fails"): func(context.Context, flow.Call) (store.Effect, error) {
				<-time.After(time.Second)
				return store.Effect{}, fault.New(fault.OrderState, "no")
			}}})
		stop := running(t, e)
		start(t, e, s, "o-1", nil)
		ended(t, e)
		if at := time.Duration(heard.Load()); at < time.Second || at > 2*time.Second {
			t.Errorf("its context ended after %v", at)
		}
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
			t.Errorf("%s %s", d.Status, d.Cause)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A cancelled task that does not heed it holds its worker, but no place among the tasks of its execution.
func TestATaskThatIsCancelledTakesNoPlaceOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		both := string(parallel("", "a", "b"))
		definition := strings.Replace(string(parallel(`,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"Then"}]`, "fails", "deaf")),
			`"Done":`, `"Then":`+both[strings.Index(both, `{"Type":"Parallel"`):strings.Index(both, `,"Done":`)]+`,"Done":`, 1)
		e := engine(t, flow.Options{Store: s, Definition: []byte(definition), Workers: 8, PerExecution: 2, Tasks: map[string]flow.Task{
			arn("a"): slowly(time.Second), arn("b"): slowly(time.Second),
			arn("deaf"): func(context.Context, flow.Call) (store.Effect, error) {
				<-time.After(10 * time.Second)
				return store.Effect{}, nil
			},
			arn("fails"): always(nil, fault.New(fault.OrderState, "no"))}})
		stop := running(t, e)
		start(t, e, s, "o-1", nil)
		if took := ended(t, e); took != time.Second {
			t.Errorf("two tasks of a second, side by side, took %v", took)
		}
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
			t.Errorf("%s %s %s", d.Status, d.Error, d.Cause)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOneExecutionOfManyTasksHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var now, most, all, mostOfAll atomic.Int64
		e := engine(t, flow.Options{Store: s, Definition: mapped(""), Workers: 16, Tasks: map[string]flow.Task{
			arn("each"): func(_ context.Context, c flow.Call) (store.Effect, error) {
				mostOfAll.Store(max(mostOfAll.Load(), all.Add(1)))
				defer all.Add(-1)
				if strings.HasPrefix(c.Execution, "many") {
					most.Store(max(most.Load(), now.Add(1)))
					defer now.Add(-1)
				}
				<-time.After(time.Second)
				return store.Effect{}, nil
			}}})
		stop := running(t, e)
		start(t, e, s, "many", items(10_000))
		<-time.After(time.Second / 2)
		for i := range 6 {
			start(t, e, s, fmt.Sprintf("few-%d", i), items(2))
		}
		begin := time.Now()
		for e.Open() > 1 {
			<-time.After(time.Second / 4)
			synctest.Wait()
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("the others took %v", took)
		}
		if took := ended(t, e); took < 2490*time.Second || took > 2502*time.Second {
			t.Errorf("10,000 tasks of a second, four at a time, took %v", took)
		}
		if most.Load() != 4 || mostOfAll.Load() > 16 {
			t.Errorf("at most %d of one execution and %d of all ran at once, want 4 and 16", most.Load(), mostOfAll.Load())
		}
		for _, name := range []string{"many", "few-0", "few-5"} {
			if d := describe(t, e, name); d.Status != "SUCCEEDED" {
				t.Errorf("%s is %s %s", name, d.Status, d.Cause)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// With one worker the order in which tasks are called is the order of the queue.
func TestExecutionsTakeTurnsATaskEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var called []string
		e := engine(t, flow.Options{Store: s, Definition: mapped(""), Workers: 1, PerExecution: 1000, Tasks: map[string]flow.Task{
			arn("each"): func(_ context.Context, c flow.Call) (store.Effect, error) {
				called = append(called, c.Execution)
				<-time.After(time.Second)
				return store.Effect{}, nil
			}}})
		stop := running(t, e)
		start(t, e, s, "many", items(60))
		<-time.After(1500 * time.Millisecond)
		for i := range 4 {
			start(t, e, s, fmt.Sprintf("few-%d", i), items(5))
		}
		came := 2 // many has had two turns
		ended(t, e)
		if len(called) != 60+4*5 {
			t.Fatalf("%d tasks were called", len(called))
		}
		for i := range 4 {
			name, waited := fmt.Sprintf("few-%d", i), map[string]int{}
			most := 2 // one before it is read, and one before its first task
			for n, left := came, 5; left > 0; n++ {
				if called[n] != name {
					if waited[called[n]]++; waited[called[n]] > most {
						t.Fatalf("%s waits for more than %d tasks of %s: %v", name, most, called[n], called[:n+1])
					}
					continue
				}
				left--
				most = 1
				clear(waited)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTasksBesideOneAnotherAreDrained(t *testing.T) {
	for rule, c := range map[string]struct {
		takes   time.Duration
		effects int64
	}{
		"what returns in time is committed":            {5 * time.Second, 1},
		"what takes longer runs again after the start": {time.Minute, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, names := newStore(), []string{"a", "b", "c"}
				tasks, again := map[string]flow.Task{}, map[string]flow.Task{}
				for i, n := range names {
					tasks[arn(n)], again[arn(n)] = slowly(c.takes+time.Duration(i)), counted
				}
				e := engine(t, flow.Options{Store: s, Definition: parallel("", names...), Tasks: tasks})
				stop := running(t, e)
				start(t, e, s, "o-1", nil)
				<-time.After(time.Second)
				if err := stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
				for _, n := range names {
					if got := effects(t, s, "o-1", n); got != c.effects {
						t.Errorf("%s took effect %d times, want %d", n, got, c.effects)
					}
				}
				e = engine(t, flow.Options{Store: s, Definition: parallel("", names...), Tasks: again})
				settle(t, e)
				for _, n := range names {
					if got := effects(t, s, "o-1", n); got != 1 {
						t.Errorf("after the next start %s took effect %d times", n, got)
					}
				}
			})
		})
	}
}

// A store that loses replies makes the run read its journal while its other tasks are on their way.
func TestTasksBesideOneAnotherSurviveLostReplies(t *testing.T) {
	for _, f := range []fate{replyLost, notSent, storeAway} {
		t.Run(f.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &unreliable{Store: newStore(), fate: func(n int64) fate {
					if n > 2 && n%2 == 1 {
						return f
					}
					return commits
				}}
				e := engine(t, flow.Options{Store: s, Definition: mapped(`,"MaxConcurrency":20`), Tasks: map[string]flow.Task{
					arn("each"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
						<-time.After(time.Second)
						return store.Effect{Stage: func(tx *store.Tx) (any, error) {
							tx.Add(effectKey(c.Execution, c.State), []store.Delta{store.Inc("n", 1)})
							return nil, nil
						}}, nil
					}}})
				stop := running(t, e)
				start(t, e, s, "o-1", items(50))
				ended(t, e)
				if n := effects(t, s, "o-1", "Each"); n != 50 {
					t.Errorf("50 tasks took effect %d times", n)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
