package flow_test

import (
	"context"
	"fmt"
	"strings"
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
