package flow_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A halting store lets who reads the journal of "o-1" first wait with what it has read.
type halting struct {
	store.Store
	halted     atomic.Bool
	read, goOn chan struct{}
}

func (h *halting) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	page, err := h.Store.Range(ctx, q)
	if q.PK == "o-1" && !h.halted.Swap(true) {
		close(h.read)
		<-h.goOn
	}
	return page, err
}

// TestAStopComesWhileTheJournalIsRead is seen by who has just read that the execution is open, and is about to let it sleep.
func TestAStopComesWhileTheJournalIsRead(t *testing.T) {
	for what, definition := range map[string]string{
		"it waits for a minute":   `{"StartAt":"Pause","States":{"Pause":{"Type":"Wait","Seconds":60,"End":true}}}`,
		"it waits for an hour":    `{"StartAt":"Pause","States":{"Pause":{"Type":"Wait","Seconds":3600,"End":true}}}`,
		"it waits for an answer":  `{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"` + approval + `","End":true}}}`,
		"it waits for two things": `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"` + approval + `","End":true}}},{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}]}}}`,
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				o := asker(s, []byte(definition))
				e := engine(t, o)
				start(t, e, s, "o-1", nil)
				for ran := true; ran; {
					ran, _, _ = e.RunOne(t.Context())
				}
				h := &halting{Store: s, read: make(chan struct{}), goOn: make(chan struct{})}
				o.Store = h
				e = engine(t, o) // another process
				stop := running(t, e)
				<-h.read
				if d, err := e.Stop(t.Context(), "o-1", "", ""); err != nil || d.Open {
					t.Errorf("%+v, %v", d, err)
				}
				close(h.goOn)
				synctest.Wait()
				if e.Open() != 0 {
					t.Error("it is still there")
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A forsaken store ends its caller's context when it has committed, and answers no read of it.
type forsaken struct {
	store.Store
	hangUp atomic.Pointer[context.CancelFunc]
}

func (f *forsaken) Update(ctx context.Context, fn func(*store.Tx) error) error {
	err := f.Store.Update(ctx, fn)
	if cancel := f.hangUp.Load(); cancel != nil {
		(*cancel)()
	}
	return err
}

func (f *forsaken) Get(ctx context.Context, k store.Key, c store.Consistency) (store.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Transient, err, "get")
	}
	return f.Store.Get(ctx, k, c)
}

func TestAStopWhoseCallerHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &forsaken{Store: newStore()}
		e := engine(t, flow.Options{Store: f, Definition: fmt.Appendf(nil, stoppable, ""), Tasks: map[string]flow.Task{"work": counted, "then": counted}})
		stop := running(t, e)
		start(t, e, f, "o-1", map[string]any{"pause": 3600})
		<-time.After(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		f.hangUp.Store(&cancel)
		_, err := e.Stop(ctx, "o-1", "", "")
		refusedAs(t, err, fault.Transient)
		f.hangUp.Store(nil)
		if d := describe(t, e, "o-1"); d.Status != asl.StatusAborted {
			t.Fatalf("it is %s: this test proves nothing", d.Status)
		}
		synctest.Wait()
		if e.Open() != 0 {
			t.Error("it is still there")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAnEarlyAnswerIsNotForgotten has the reply lost to the commit that hands the task out, for which an answer waits.
func TestAnEarlyAnswerIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lose atomic.Bool
		s := &unreliable{Store: newStore(), fate: func(int64) fate {
			if lose.Swap(false) {
				return replyLost
			}
			return commits
		}}
		o := asker(s, []byte(`{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
			{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"`+approval+`","End":true}}},
			{"StartAt":"Pause","States":{"Pause":{"Type":"Wait","Seconds":3600,"End":true}}}]}}}`))
		var e *flow.Engine
		heard := make(chan error, 1)
		o.Tasks[approval] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
			go func() { heard <- e.SendTaskSuccess(context.WithoutCancel(ctx), c.Token, "yes") }()
			<-time.After(time.Second)
			lose.Store(true)
			return counted(ctx, c)
		}
		e = engine(t, o)
		stop := running(t, e)
		start(t, e, s.Store, "o-1", nil)
		<-time.After(time.Minute)
		select {
		case err := <-heard:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("nobody takes the answer")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAChildBeginsThoughTheReplyToItsStartIsLost needs no restart for that.
func TestAChildBeginsThoughTheReplyToItsStartIsLost(t *testing.T) {
	for _, how := range []string{"", ".sync:2", ".waitForTaskToken"} {
		t.Run("startExecution"+how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &unreliable{Store: newStore()}
				e := engine(t, caller(s, calling(how, `,"Name":"child"`, "")))
				start(t, e, s.Store, "o-1", map[string]any{"n": 7})
				s.fate = func(n int64) fate {
					if n == 3 { // after the definitions'
						return replyLost
					}
					return commits
				}
				settle(t, e)
				if d := describe(t, e, "child"); d.Status != asl.StatusSucceeded || s.updates.Load() < 3 {
					t.Errorf("the child is %s", d.Status)
				}
			})
		})
	}
}

// TestASimulationOfAFamilyIsTheSameEachTime compares whom a parent hears first, and whom it stops.
func TestASimulationOfAFamilyIsTheSameEachTime(t *testing.T) {
	const n = 12
	o := caller(nil, []byte(`{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemsPath":"$.items","End":true,"ItemProcessor":{
		"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Call","States":{
		"Call":{"Type":"Task","Resource":"`+startExecution+`.sync:2","Parameters":{"StateMachineArn":"check"},"End":true}}}}}}`))
	// play has the parent stopped or, if its children are, hear of that.
	play := func(t *testing.T, children bool) (told string) {
		synctest.Test(t, func(t *testing.T) {
			o.Store = newStore()
			o.Seed = func() uint64 { return 7 }
			var ends []string
			o.OnEnded = func(x flow.Ended) { ends = append(ends, x.Execution) }
			e := engine(t, o)
			start(t, e, o.Store, "o-1", items(n))
			for ran := true; ran; {
				ran, _, _ = e.RunOne(t.Context())
			}
			names, err := e.Running(t.Context(), "", 100)
			if err != nil || len(names) != n+1 {
				t.Fatalf("%v, %v", names, err)
			}
			for _, name := range names {
				if children == (name == "o-1") {
					continue
				}
				if _, err := e.Stop(t.Context(), name, "", ""); err != nil {
					t.Fatal(err)
				}
			}
			e = engine(t, o) // another process: the parent reads of all at once
			settle(t, e)
			told = describe(t, e, "o-1").Cause + strings.Join(ends, " ")
		})
		return told
	}
	for _, children := range []bool{false, true} {
		for want, i := play(t, children), 0; i < 5; i++ {
			if got := play(t, children); got != want {
				t.Fatalf("the children are stopped: %v\n%s\nand once more\n%s", children, want, got)
			}
		}
	}
}

// TestATaskThatStartsWhatThereIs has its effect refused: that is the task's failure, and not a stale journal.
func TestATaskThatStartsWhatThereIs(t *testing.T) {
	for _, named := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			var e *flow.Engine
			e = engine(t, flow.Options{Store: s, Definition: []byte(one("")), Tasks: map[string]flow.Task{
				arn("work"): func(context.Context, flow.Call) (store.Effect, error) {
					effect := store.Effect{Stage: func(tx *store.Tx) (any, error) { return nil, e.Stage(tx, "taken", nil) }}
					if named {
						effect.Refused = func(*store.Refusal) error { return &flow.Failure{Name: "Taken"} }
					}
					return effect, nil
				}}})
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, "taken", 7) }); err != nil { // and it never begins
				t.Fatal(err)
			}
			start(t, e, s, "o-1", nil)
			settle(t, e)
			if d := describe(t, e, "o-1"); d.Status != asl.StatusFailed || named && d.Error != "Taken" {
				t.Errorf("%s %s", d.Status, d.Error)
			}
		})
	}
}

// TestATaskIsHandedOutWithALargeInput, up to the largest that the machine lets through: the row of the task has room for it.
func TestATaskIsHandedOutWithALargeInput(t *testing.T) {
	for what, text := range map[string]string{"letters": strings.Repeat("x", 130_000), "what JSON escapes": strings.Repeat("\x01", 21_000)} {
		for _, times := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%d times %s", times, what), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore()
					members := make([]string, times)
					for i := range members {
						members[i] = fmt.Sprintf(`"a%d.$":"$.large"`, i)
					}
					o := asker(s, fmt.Appendf(nil, `{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":%q,"Parameters":{%s},"End":true}}}`, approval, strings.Join(members, ",")))
					e := engine(t, o)
					start(t, e, s, "o-1", map[string]any{"large": text})
					settle(t, e)
					d := describe(t, e, "o-1")
					page, _, err := e.HandedOut(t.Context(), "", 10)
					if err != nil || (len(page) == 1) == (d.Status == asl.StatusFailed) {
						t.Errorf("%s %s %.100s, %d handed out, %v", d.Status, d.Error, d.Cause, len(page), err)
					}
				})
			})
		}
	}
}

// TestAnAnswerWhoseSenderHasGone is not kept: while the store is away a sender that tries again would fill the memory.
func TestAnAnswerWhoseSenderHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := asker(s, asking(``))
		e := engine(t, o)
		token := ask(t, e, s, "o-1").Token // and nobody drives it any more
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			refusedAs(t, e.SendTaskSuccess(ctx, token, i), fault.Transient)
			cancel()
		}
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "yes") }); err != nil {
			t.Error(err)
		}
		if out, _ := describe(t, e, "o-1").Output.(map[string]any); out["answer"] != "yes" {
			t.Errorf("%v", out)
		}
	})
}

// A laggard store gives back the head of "o-1" as it was, after what happens meanwhile.
type laggard struct {
	store.Store
	meanwhile func()
}

func (l *laggard) Get(ctx context.Context, k store.Key, c store.Consistency) (store.Item, error) {
	it, err := l.Store.Get(ctx, k, c)
	if do := l.meanwhile; do != nil {
		l.meanwhile = nil
		do()
	}
	return it, err
}

// TestAnAnswerToAnEarlierLifeOfTheName is on its way while the execution is stopped, deleted, and begun anew under its name.
func TestAnAnswerToAnEarlierLifeOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &laggard{Store: newStore()}
		e := engine(t, asker(s, asking(``)))
		token := ask(t, e, s, "o-1").Token
		s.meanwhile = func() {
			if _, err := e.Stop(t.Context(), "o-1", "", ""); err != nil {
				t.Error(err)
			}
			settle(t, e)
			if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
				t.Error(err)
			}
			if err := s.Update(t.Context(), func(tx *store.Tx) error { flow.StageForget(tx, "o-1"); return nil }); err != nil {
				t.Error(err)
			}
			if anew := ask(t, e, s, "o-1").Token; anew == token {
				t.Error("the tokens are the same: this test proves nothing")
			}
		}
		refusedAs(t, sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "yes") }), fault.TaskTimedOut)
		handedOut(t, e, 1)
	})
}

// TestANameIsBegunAnewBeforeItsStopIsSeen, by who sleeps: the Stop was of an execution that is no more.
func TestANameIsBegunAnewBeforeItsStopIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, flow.Options{Store: s, Definition: fmt.Appendf(nil, stoppable, ""), Tasks: map[string]flow.Task{"work": counted, "then": counted}})
		start(t, e, s, "o-1", map[string]any{"pause": 3600})
		for ran := true; ran; {
			ran, _, _ = e.RunOne(t.Context())
		}
		if _, err := e.Stop(t.Context(), "o-1", "", ""); err != nil {
			t.Fatal(err)
		}
		if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx *store.Tx) error { flow.StageForget(tx, "o-1"); return nil }); err != nil {
			t.Fatal(err)
		}
		start(t, e, s, "o-1", map[string]any{"pause": 0})
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded || len(d.History) > 16 {
			t.Errorf("%s after %d events", d.Status, len(d.History))
		}
	})
}

// TestOneWorkerIsEnough for a family: neither a parent nor who waits for an answer holds a worker, and to stop a child takes none.
func TestOneWorkerIsEnough(t *testing.T) {
	for _, stops := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			o := caller(s, calling(".sync:2", `,"Name.$":"States.Format('{}-c', $$.Execution.Name)"`, ""))
			o.Children["check"] = []byte(strings.Replace(string(calling(".sync:2", `,"Name.$":"States.Format('{}-c', $$.Execution.Name)"`, "")), "stateMachine:check", "stateMachine:leaf", 1))
			o.Children["leaf"] = []byte(`{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"` + approval + `","End":true}}}`)
			o.Workers = 1
			e := engine(t, o)
			stop := running(t, e)
			for i := range 20 {
				start(t, e, s, fmt.Sprintf("o-%02d", i), map[string]any{"n": i})
			}
			<-time.After(time.Hour)
			tasks := handedOut(t, e, 20)
			var all sync.WaitGroup
			for i, task := range tasks {
				all.Go(func() {
					var err error
					if stops && i%2 == 0 {
						_, err = e.Stop(t.Context(), strings.TrimSuffix(task.Execution, "-c-c"), "", "")
					} else {
						err = e.SendTaskSuccess(t.Context(), task.Token, i)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			synctest.Wait()
			ends := map[asl.Status]int{}
			list, _, err := e.List(t.Context(), s, "", "", 100)
			for _, x := range list {
				ends[x.Status]++
			}
			if want := 30; err != nil || len(list) != 60 || stops && (ends[asl.StatusAborted] != want || ends[asl.StatusSucceeded] != want) || e.Open() != 0 || rowsLeft(t, s) != 0 {
				t.Errorf("%v, %v, %d open, %d rows", ends, err, e.Open(), rowsLeft(t, s))
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
