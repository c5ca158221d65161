package flow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/asltest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"pgregory.net/rapid"
)

// A mendedLife plays an execution of a drawn machine in which one task fails until somebody mends it; then the execution is redriven.
type mendedLife struct {
	definition string
	broken     string // the state and the input of the task, "" for none
	mended     bool
	s          *unreliable
	calls      map[string]int
	answers    int // of tasks that were handed out
}

func (l *mendedLife) task(_ context.Context, c flow.Call) (store.Effect, error) {
	in, err := json.Marshal(c.Input)
	if err != nil {
		return store.Effect{}, err
	}
	place := c.State + string(in)
	l.calls[place]++
	if place == l.broken && !l.mended {
		return store.Effect{}, fault.New(fault.OrderState, "no")
	}
	if c.Token != "" { // what is handed out when the execution fails is handed out again
		return store.Effect{}, nil
	}
	return store.Effect{Stage: func(tx *store.Tx) (any, error) {
		tx.Add(effectKey(c.Execution, c.Attempt), []store.Delta{store.Inc("n", 1)})
		return c.State, nil
	}}, nil
}

// rest drives the execution until it waits for nothing: what is handed out is answered, one task after the other.
func (l *mendedLife) rest(t *testing.T, e *flow.Engine) {
	for more := true; more; {
		settle(t, e)
		page, _, err := e.HandedOut(t.Context(), "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		more = len(page) > 0
		for _, task := range page {
			err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, task.Token, task.State) })
			if err != nil && !fault.Is(err, fault.TaskTimedOut) && !fault.Retryable(err) { // another's failure has closed it, or no reply came
				t.Fatalf("an answer: %v", err)
			}
			l.answers++
		}
	}
}

// play plays it to its end, through a redrive if it fails; the n-th Update has the fate. It returns how it ended, and by attempt how often it took effect.
func (l *mendedLife) play(t *testing.T, n int64, f fate) (d flow.Execution, took map[string]int64) {
	synctest.Test(t, func(t *testing.T) {
		l.mended, l.calls = false, map[string]int{}
		l.s = &unreliable{Store: newStore(), fate: func(i int64) fate {
			if i == n {
				return f
			}
			return commits
		}}
		o := flow.Options{Store: l.s, Definition: []byte(l.definition), Tasks: map[string]flow.Task{asltest.Resource: l.task, asltest.CallbackResource: l.task},
			Seed: func() uint64 { return 7 }, RedriveWithin: flow.RedrivePeriod}
		e := engine(t, o)
		if err := l.s.Store.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, "o-1", items(3)) }); err != nil {
			t.Fatal(err)
		}
		for !survives(func() { l.live(t, e) }) {
			e = engine(t, o)
		}
		d, took = describe(t, e, "o-1"), map[string]int64{}
		page, err := l.s.Range(t.Context(), store.Query{Table: "effects", PK: "o-1"})
		if err != nil {
			t.Fatal(err)
		}
		for _, en := range page {
			took[en.Key.SK] = en.Item.Int("n")
		}
		if n := rowsLeft(t, l.s); n > 0 {
			t.Errorf("%d tasks are still handed out", n)
		}
	})
	return d, took
}

// live drives the execution to rest, and when it has failed sees to what was wrong and redrives it, as often as it takes to have an answer.
func (l *mendedLife) live(t *testing.T, e *flow.Engine) {
	l.rest(t, e)
	for range 3 {
		d, err := e.Head(t.Context(), "o-1")
		if err != nil {
			t.Fatal(err)
		}
		if l.broken == "" || d.Status != asl.StatusFailed && !l.mended {
			return
		}
		l.mended = true
		if _, err = e.Redrive(t.Context(), "o-1", "once"); err == nil {
			l.rest(t, e)
			return
		} else if !fault.Retryable(err) {
			t.Fatal(err)
		}
	}
	t.Fatal("it is not redriven")
}

// tookAlike compares what took effect. Whoever had no reply tries later: side by side others may come before him, and have other numbers.
func tookAlike(got, want map[string]int64, f fate) bool {
	if f != replyLost {
		return maps.Equal(got, want)
	}
	return slices.Equal(slices.Collect(maps.Values(got)), slices.Collect(maps.Values(want))) // each once
}

// TestARedrivenMachineIsTheSameWhateverDies draws machines in which a task fails for good, and redrives them when it is mended. The output is that of a life in
// which nothing failed, with as many effects, and it is the same, with the same history, if the process dies before or after any write, or if the
// write's reply is lost.
func TestARedrivenMachineIsTheSameWhateverDies(t *testing.T) {
	redriven, answers := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		l := &mendedLife{definition: asltest.Draw(rt, rapid.IntRange(1, 2).Draw(rt, "depth"), "Transient", false)}
		clean, effects := l.play(t, 0, commits)
		var places []string // which are one task each
		for place, n := range l.calls {
			if n == 1 {
				places = append(places, place)
			}
		}
		if len(places) == 0 {
			return
		}
		slices.Sort(places)
		l.broken = rapid.SampledFrom(places).Draw(rt, "broken")
		want, wanted := l.play(t, 0, commits)
		if want.Redrives == 0 { // it was caught, or tolerated
			return
		}
		redriven, answers = redriven+1, answers+l.answers
		if want.Status != asl.StatusSucceeded || !reflect.DeepEqual(want.Output, clean.Output) || len(wanted) != len(effects) {
			rt.Fatalf("%s, %s fails\nended %s %v %v, want %v; %d effects, want %d", l.definition, l.broken, want.Status, want.Error, want.Output, clean.Output, len(wanted), len(effects))
		}
		for attempt, n := range wanted {
			if n != 1 {
				rt.Fatalf("%s took effect %d times", attempt, n)
			}
		}
		writes := l.s.updates.Load()
		for _, f := range []fate{crashBefore, crashAfter, replyLost} {
			for n := int64(1); n <= min(writes, 25); n++ {
				if f == replyLost && n == 1 { // the definition's: whoever recovers sees to that
					continue
				}
				got, took := l.play(t, n, f)
				if got.Status != want.Status || got.Redrives != 1 || !reflect.DeepEqual(got.Output, want.Output) || !tookAlike(took, wanted, f) {
					rt.Fatalf("%s\n%s %d: ended %s %v %v after %d redrives, took effect %v; want %v, %v", l.definition, f, n, got.Status, got.Error, got.Output, got.Redrives, took, want.Output, wanted)
				}
				if a, b := statesOf(got), statesOf(want); f != replyLost && !reflect.DeepEqual(a, b) {
					rt.Fatalf("%s\n%s %d: the history is\n%s\nwant\n%s", l.definition, f, n, strings.Join(a, "\n"), strings.Join(b, "\n"))
				}
			}
		}
	})
	if redriven == 0 || answers == 0 {
		t.Errorf("%d were redriven, %d tasks called back", redriven, answers)
	}
}

// A failing machine: what it did before Work is not done again.
const mendable = `{"StartAt":"First","States":{
	"First":{"Type":"Task","Resource":"first","ResultPath":null,"Next":"Work"},
	"Work":{"Type":"Task","Resource":"work","Retry":[{"ErrorEquals":["Transient"],"MaxAttempts":1}],"End":true}}}`

// mendedWorld is an engine whose task work fails until it is told otherwise, with an execution that has failed.
type mendedWorld struct {
	s     *unreliable
	e     *flow.Engine
	o     flow.Options
	fails error
	ended []flow.Ended
	last  flow.Call
}

func newMendedWorld(t *testing.T, within time.Duration) *mendedWorld {
	t.Helper()
	w := &mendedWorld{s: &unreliable{Store: newStore()}, fails: fault.New(fault.OrderState, "no")}
	w.o = flow.Options{Store: w.s, Definition: []byte(mendable), RedriveWithin: within, Tasks: map[string]flow.Task{
		"first": counted,
		"work": func(ctx context.Context, c flow.Call) (store.Effect, error) {
			if w.last = c; w.fails != nil {
				return store.Effect{}, w.fails
			}
			return counted(ctx, c)
		}},
		OnFailed: func(_ *store.Tx, x flow.Ended) error { w.ended = append(w.ended, x); return nil },
	}
	w.e = engine(t, w.o)
	if _, err := w.e.Start(t.Context(), "o-1", map[string]any{"a": 1}); err != nil {
		t.Fatal(err)
	}
	settle(t, w.e)
	return w
}

func (w *mendedWorld) refused(t *testing.T, why string) {
	t.Helper()
	if _, err := w.e.Redrive(t.Context(), "o-1", ""); !fault.Is(err, fault.NotFailed) || !strings.Contains(err.Error(), why) {
		t.Errorf("%v, want %s", err, why)
	}
	if d := describe(t, w.e, "o-1"); d.NotRedrivable != why {
		t.Errorf("described is %q, want %s", d.NotRedrivable, why)
	}
}

func TestRedrive(t *testing.T) {
	t.Run("an execution that failed goes on as itself, is open meanwhile, and ends anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newMendedWorld(t, flow.RedrivePeriod)
			before := describe(t, w.e, "o-1")
			if before.Status != asl.StatusFailed || before.NotRedrivable != "" || before.Redrives != 0 || len(w.ended) != 1 {
				t.Fatalf("%+v, %d ends", before, len(w.ended))
			}
			<-time.After(time.Hour)
			d, err := w.e.Redrive(t.Context(), "o-1", "")
			if err != nil || !d.Open || !d.Ended.IsZero() || d.Redrives != 1 || !d.Redriven.Equal(time.Now()) || !d.Started.Equal(before.Started) || d.Definition != before.Definition {
				t.Errorf("%+v, %v", d, err)
			}
			if names, err := w.e.Running(t.Context(), "", 9); err != nil || !slices.Equal(names, []string{"o-1"}) {
				t.Errorf("open are %v, %v", names, err)
			}
			first := w.last
			settle(t, w.e) // and it fails again
			if again := describe(t, w.e, "o-1"); again.Status != asl.StatusFailed || len(w.ended) != 2 || !w.ended[1].At.After(w.ended[0].At) || !again.Ended.Equal(w.ended[1].At) {
				t.Errorf("%+v, %+v", again, w.ended)
			}
			if w.last.Attempt == first.Attempt || w.last.Entered != first.Entered || w.last.Retry != 0 {
				t.Errorf("called again as %+v, before as %+v", w.last, first)
			}
			w.fails = nil
			if _, err := w.e.Redrive(t.Context(), "o-1", ""); err != nil {
				t.Fatal(err)
			}
			settle(t, w.e)
			after := describe(t, w.e, "o-1")
			if after.Status != asl.StatusSucceeded || after.Redrives != 2 || !reflect.DeepEqual(after.Input, before.Input) || len(w.ended) != 2 {
				t.Errorf("%+v", after)
			}
			if !reflect.DeepEqual(after.History[:len(before.History)], before.History) {
				t.Error("the history of the first life is another one")
			}
			if effects(t, w.s, "o-1", "First") != 1 || effects(t, w.s, "o-1", "Work") != 1 {
				t.Error("what had succeeded was done again")
			}
			if names, err := w.e.Running(t.Context(), "", 9); err != nil || len(names) > 0 {
				t.Errorf("open are %v, %v", names, err)
			}
		})
	})
	t.Run("it is refused as Step Functions refuses it, and says why", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			newMendedWorld(t, 0).refused(t, "Executions of this state machine are not redriven")
			w := newMendedWorld(t, flow.RedrivePeriod)
			<-time.After(flow.RedrivePeriod - time.Second)
			if _, err := w.e.Redrive(t.Context(), "o-1", ""); err != nil {
				t.Fatal(err)
			}
			w.refused(t, "Execution is RUNNING and cannot be redriven")
			settle(t, w.e)
			<-time.After(flow.RedrivePeriod + time.Second)
			w.refused(t, "Execution redrivable period exceeded")
			w = newMendedWorld(t, 1000*24*time.Hour)
			<-time.After(366 * 24 * time.Hour)
			w.refused(t, "Execution has exceeded the max execution time")
			w = newMendedWorld(t, flow.RedrivePeriod)
			w.fails = nil
			if _, err := w.e.Redrive(t.Context(), "o-1", ""); err != nil {
				t.Fatal(err)
			}
			settle(t, w.e)
			w.refused(t, "Execution is SUCCEEDED and cannot be redriven")
			if err := w.e.ForgetJournal(t.Context(), "o-1"); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"o-1", "o-2", "open#00", ""} {
				if _, err := w.e.Redrive(t.Context(), name, ""); !fault.Is(err, fault.NotFound) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, token := range []string{strings.Repeat("x", 65), "a\nb"} {
				if _, err := w.e.Redrive(t.Context(), "o-1", token); !fault.Is(err, fault.BadRequest) {
					t.Errorf("%q: %v", token, err)
				}
			}
		})
	})
	t.Run("a token makes a repeat harmless, whatever became of the first call", func(t *testing.T) {
		for _, what := range []fate{commits, crashBefore, crashAfter, replyLost, notSent} {
			synctest.Test(t, func(t *testing.T) {
				w, hit := newMendedWorld(t, flow.RedrivePeriod), false
				w.fails = nil
				w.s.fate = func(int64) fate {
					if hit {
						return commits
					}
					hit = true
					return what
				}
				if !survives(func() { _, _ = w.e.Redrive(t.Context(), "o-1", "t") }) {
					w.e = engine(t, w.o)
				}
				for _, status := range []asl.Status{asl.StatusRunning, asl.StatusSucceeded} {
					if d, err := w.e.Redrive(t.Context(), "o-1", "t"); err != nil || d.Status != status || d.Redrives != 1 {
						t.Errorf("%v: %+v, %v", what, d, err)
					}
					settle(t, w.e)
				}
				if effects(t, w.s, "o-1", "First") != 1 || effects(t, w.s, "o-1", "Work") != 1 {
					t.Errorf("%v: it was done twice", what)
				}
			})
		}
	})
	t.Run("the last ten tokens are known", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newMendedWorld(t, flow.RedrivePeriod)
			for i := range 12 {
				if d, err := w.e.Redrive(t.Context(), "o-1", fmt.Sprint(i)); err != nil || d.Redrives != int64(i+1) {
					t.Fatalf("%d: %+v, %v", i, d, err)
				}
				settle(t, w.e)
			}
			for i := 2; i < 12; i++ {
				if d, err := w.e.Redrive(t.Context(), "o-1", fmt.Sprint(i)); err != nil || d.Redrives != 12 || d.Open {
					t.Fatalf("%d: %+v, %v", i, d, err)
				}
			}
			if d, err := w.e.Redrive(t.Context(), "o-1", "1"); err != nil || d.Redrives != 13 {
				t.Errorf("%+v, %v", d, err)
			}
		})
	})
	t.Run("of many at once one redrives it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newMendedWorld(t, flow.RedrivePeriod)
			w.fails = nil
			var all sync.WaitGroup
			var done atomic.Int64
			for range 16 {
				all.Go(func() {
					switch d, err := w.e.Redrive(t.Context(), "o-1", ""); {
					case err == nil && d.Redrives == 1:
						done.Add(1)
					case !fault.Is(err, fault.NotFailed):
						t.Errorf("%+v, %v", d, err)
					}
				})
			}
			all.Wait()
			settle(t, w.e)
			if done.Load() != 1 || effects(t, w.s, "o-1", "Work") != 1 {
				t.Errorf("%d did", done.Load())
			}
		})
	})
	t.Run("not one whose journal is deleted meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newMendedWorld(t, flow.RedrivePeriod)
			o := w.o
			o.Store = w.s.Store
			other, forgotten := engine(t, o), false
			w.s.fate = func(int64) fate {
				if !forgotten { // between the replay and the commit
					forgotten = true
					if err := other.ForgetJournal(t.Context(), "o-1"); err != nil {
						t.Error(err)
					}
				}
				return commits
			}
			if d, err := w.e.Redrive(t.Context(), "o-1", ""); !forgotten || !fault.Is(err, fault.NotFound) {
				t.Errorf("%+v, %v", d, err)
			}
			left, err := w.s.Range(t.Context(), store.Query{Table: flow.Table, PK: "o-1"})
			if d, headErr := w.e.Head(t.Context(), "o-1"); err != nil || headErr != nil || len(left) != 1 || d.Open || d.Redrives != 0 {
				t.Errorf("%d rows are left, %+v, %v, %v", len(left), d, err, headErr)
			}
		})
	})
	t.Run("a Fail state fails again in the same commit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, ended := newStore(), 0
			e := engine(t, flow.Options{Store: s, Definition: []byte(`{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"No"}}}`), RedriveWithin: time.Hour,
				OnFailed: func(*store.Tx, flow.Ended) error { ended++; return nil }})
			if _, err := e.Start(t.Context(), "o-1", nil); err != nil {
				t.Fatal(err)
			}
			settle(t, e)
			<-time.After(time.Minute)
			if d, err := e.Redrive(t.Context(), "o-1", "t"); err != nil || d.Status != asl.StatusFailed || d.Redrives != 1 || !d.Ended.Equal(time.Now()) || ended != 2 || e.Open() != 0 {
				t.Errorf("%+v, %v, %d ends", d, err, ended)
			}
			if d := describe(t, e, "o-1"); d.Error != "No" || d.NotRedrivable != "" {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("a journal with a redrive in it diverges from no machine that does the same", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newMendedWorld(t, flow.RedrivePeriod)
			w.fails = nil
			if _, err := w.e.Redrive(t.Context(), "o-1", ""); err != nil {
				t.Fatal(err)
			}
			settle(t, w.e)
			dumper, _ := w.s.Store.(store.Dumper)
			for definition, diverging := range map[string]int{mendable: 0, strings.Replace(mendable, `"MaxAttempts":1`, `"MaxAttempts":9`, 1): 0, strings.Replace(mendable, `"ResultPath":null,`, ``, 1): 1} {
				m, err := asl.Parse([]byte(definition))
				if err != nil {
					t.Fatal(err)
				}
				if done, err := w.e.Check(t.Context(), dumper, m, func(string, flow.Divergence) error { return nil }); err != nil || done.Replayed != 1 || done.Diverging != diverging {
					t.Errorf("%s: %+v, %v", definition, done, err)
				}
			}
		})
	})
}

// TestAnExecutionIsRedrivenOnItsWayOut redrives an execution when its end is durable and its worker has not yet let go of it.
func TestAnExecutionIsRedrivenOnItsWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := flow.Options{Store: newStore(), Definition: []byte(mendable), RedriveWithin: time.Hour}
		calls := 0
		o.Tasks = map[string]flow.Task{"first": counted, "work": func(ctx context.Context, c flow.Call) (store.Effect, error) {
			if calls++; calls == 1 {
				return store.Effect{}, fault.New(fault.OrderState, "no")
			}
			return counted(ctx, c)
		}}
		var e *flow.Engine
		o.OnEnded = func(x flow.Ended) {
			if x.Status == asl.StatusSucceeded {
				return
			}
			if d, err := e.Redrive(t.Context(), x.Execution, ""); err != nil || !d.Open {
				t.Errorf("%+v, %v", d, err)
			}
		}
		e = engine(t, o)
		stop := running(t, e)
		start(t, e, o.Store, "o-1", nil)
		<-time.After(time.Minute)
		if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded || calls != 2 || e.Open() != 0 {
			t.Errorf("%s after %d calls, %d open", d.Status, calls, e.Open())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAStoppedExecutionIsRedrivenAtOnce redrives an execution before the tasks of its first life have come back. They are not heard any more, and those of its
// second life run.
func TestAStoppedExecutionIsRedrivenAtOnce(t *testing.T) {
	for _, branches := range []int{1, 3} { // one task alone, and errands
		synctest.Test(t, func(t *testing.T) {
			var life, calls, returned atomic.Int64
			o := flow.Options{Store: newStore(), Definition: mapped(""), RedriveWithin: time.Hour, Tasks: map[string]flow.Task{
				arn("each"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
					calls.Add(1)
					if life.Load() == 0 {
						<-ctx.Done()
						<-time.After(time.Minute) // it heeds nothing for a while
						returned.Add(1)
					}
					return counted(ctx, c)
				}}}
			e := engine(t, o)
			stop := running(t, e)
			start(t, e, o.Store, "o-1", items(branches))
			<-time.After(time.Second)
			if d, err := e.Stop(t.Context(), "o-1", "", ""); err != nil || d.Status != asl.StatusAborted {
				t.Fatalf("%+v, %v", d, err)
			}
			life.Store(1)
			if d, err := e.Redrive(t.Context(), "o-1", ""); err != nil || !d.Open {
				t.Fatalf("%+v, %v", d, err)
			}
			<-time.After(time.Second)
			if d := describe(t, e, "o-1"); branches > 1 && d.Status != asl.StatusSucceeded { // a worker is at a task alone until that returns
				t.Error("it waits for the tasks of its first life")
			}
			<-time.After(time.Hour)
			if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded || d.Redrives != 1 || e.Open() != 0 {
				t.Errorf("%s %s, %d open", d.Status, d.Error, e.Open())
			}
			if n := effects(t, o.Store, "o-1", "Each"); n != int64(branches) || calls.Load() != 2*int64(branches) || returned.Load() != int64(branches) {
				t.Errorf("of %d took effect %d, called were %d, returned had %d", branches, n, calls.Load(), returned.Load())
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
