package flow_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// waitingBeside is a machine that asks somebody and starts another execution, and beside that fails after a minute.
var waitingBeside = fmt.Appendf(nil, `{"StartAt":"All","States":{"All":{"Type":"Parallel","End":true,"Branches":[
	{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":%q,"Parameters":{"token.$":"$$.Task.Token"},"End":true}}},
	{"StartAt":"Call","States":{"Call":{"Type":"Task","Resource":"%s.sync:2","Parameters":{"StateMachineArn":"arn:aws:states:eu-central-1:123456789012:stateMachine:check"},"End":true}}},
	{"StartAt":"Minute","States":{"Minute":{"Type":"Wait","Seconds":60,"Next":"Work"},"Work":{"Type":"Task","Resource":"mended","End":true}}}]}}}`, approval, startExecution)

// A waitingLife plays an execution of that machine through its failure, a redrive and the answer.
type waitingLife struct {
	s      *unreliable
	mended bool
	tokens map[string]bool // that were given to who asks
}

func (l *waitingLife) options() flow.Options {
	o := caller(l.s, waitingBeside)
	o.RedriveWithin, o.Seed = time.Hour, func() uint64 { return 7 }
	o.Tasks[approval] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
		l.tokens[c.Token] = true
		return counted(ctx, c)
	}
	o.Tasks["mended"] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
		if !l.mended {
			return store.Effect{}, fault.New(fault.OrderState, "no")
		}
		return counted(ctx, c)
	}
	o.OnFailed = func(tx *store.Tx, x flow.Ended) error {
		tx.Add(effectKey("failed", x.Execution), []store.Delta{store.Inc("n", 1)})
		return nil
	}
	return o
}

// live drives the execution from where it stands to its end. Who redrives it does so at once, even before what a crash has left was looked at.
func (l *waitingLife) live(t *testing.T, e *flow.Engine) {
	for range 9 {
		d, err := e.Head(t.Context(), "o-1")
		switch {
		case err != nil:
			t.Fatal(err)
		case d.Status == asl.StatusSucceeded:
			settle(t, e)
			return
		case d.Status == asl.StatusFailed:
			l.mended = true
			_, err := e.Redrive(t.Context(), "o-1", "once")
			if fault.Retryable(err) {
				_, err = e.Redrive(t.Context(), "o-1", "once")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		settle(t, e)
		if d, err := e.Head(t.Context(), "o-1"); err != nil || d.Open {
			l.answer(t, e)
		}
	}
	t.Fatal("it does not end")
}

// answer answers whoever asks in the second life. The token of the first is not taken any more.
func (l *waitingLife) answer(t *testing.T, e *flow.Engine) {
	task := handedOut(t, e, 1)[0]
	if len(l.tokens) != 2 || !l.tokens[task.Token] {
		t.Errorf("%s is handed out, of %v", task.Token, l.tokens)
	}
	for token := range l.tokens {
		if token != task.Token {
			refusedAs(t, sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "of the first life") }), fault.TaskTimedOut)
			refusedAs(t, e.SendTaskHeartbeat(t.Context(), token), fault.TaskTimedOut)
		}
	}
	err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, task.Token, "yes") })
	if err != nil && !fault.Retryable(err) {
		t.Error(err)
	}
}

// play lets the n-th Update have the fate, and looks at what has become of all.
func (l *waitingLife) play(t *testing.T, n int64, f fate) {
	synctest.Test(t, func(t *testing.T) {
		l.s = &unreliable{Store: newStore(), fate: func(i int64) fate {
			if i == n {
				return f
			}
			return commits
		}}
		l.mended, l.tokens = false, map[string]bool{}
		e := engine(t, l.options())
		if err := l.s.Store.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, "o-1", nil) }); err != nil {
			t.Fatal(err)
		}
		for !survives(func() { l.live(t, e) }) {
			e = engine(t, l.options())
		}
		d := describe(t, e, "o-1")
		out, _ := d.Output.([]any)
		if d.Status != asl.StatusSucceeded || d.Redrives != 1 || len(out) != 3 || out[0] != "yes" {
			t.Fatalf("%s after %d redrives: %v", d.Status, d.Redrives, out)
		}
		dumper, _ := l.s.Store.(store.Dumper)
		all, _, err := e.List(t.Context(), dumper, "", "", 10)
		ends := map[asl.Status]int{}
		for _, x := range all {
			ends[x.Status]++
		}
		if err != nil || len(all) != 3 || ends[asl.StatusAborted] != 1 || ends[asl.StatusSucceeded] != 2 {
			t.Errorf("the ends are %v, %v", ends, err)
		}
		if n := rowsLeft(t, l.s); n != 0 {
			t.Errorf("%d rows", n)
		}
		for _, x := range all {
			want := int64(0)
			if x.Name == "o-1" { // it has failed once; a child's failure is its parent's
				want = 1
			}
			if n := effects(t, l.s, "failed", x.Name); n != want {
				t.Errorf("OnFailed was asked of %s %d times", x.Name, n)
			}
		}
		if asked, worked := effects(t, l.s, "o-1", "Ask"), effects(t, l.s, "o-1", "Work"); asked != 2 || worked != 1 {
			t.Errorf("it asked %d times and worked %d times", asked, worked)
		}
	})
}

// TestWhatWasHandedOutIsHandedOutAnewByARedrive fails an execution while a task is handed out and a child runs, and redrives it: the token is closed
// and another one is given out, the child is stopped and another one is started. So it is if the process dies before or after any write, or if
// the write's reply is lost.
func TestWhatWasHandedOutIsHandedOutAnewByARedrive(t *testing.T) {
	l := &waitingLife{}
	l.play(t, 0, commits)
	writes := l.s.updates.Load()
	if writes < 10 {
		t.Fatalf("%d writes", writes)
	}
	for _, f := range []fate{crashBefore, crashAfter, replyLost} {
		for n := int64(1); n <= writes && !t.Failed(); n++ {
			if f == replyLost && n <= 2 { // the definitions': whoever recovers sees to those
				continue
			}
			if l.play(t, n, f); t.Failed() {
				t.Logf("%s %d", f, n)
			}
		}
	}
}

// TestAChildIsRedrivenOnItsOwn redrives a child whose parent has gone on without it, and has ended or has not: its second end is nobody's.
func TestAChildIsRedrivenOnItsOwn(t *testing.T) {
	for _, ended := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			o := caller(s, fmt.Appendf(nil, `{"StartAt":"Call","States":{
				"Call":{"Type":"Task","Resource":"%s.sync:2","Parameters":{"StateMachineArn":"arn:aws:states:eu-central-1:123456789012:stateMachine:check","Name":"the-child"},
					"Catch":[{"ErrorEquals":["States.TaskFailed"],"ResultPath":"$.e","Next":"Later"}],"ResultPath":null,"Next":"Later"},
				"Later":{"Type":"Wait","Seconds":7200,"Next":"Done"},"Done":{"Type":"Succeed"}}}`, startExecution))
			o.RedriveWithin = 24 * time.Hour
			o.OnFailed = func(_ *store.Tx, x flow.Ended) error { t.Errorf("OnFailed is asked: %+v", x); return nil }
			fails := 2
			o.Tasks["judge"] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
				if fails--; fails >= 0 {
					return store.Effect{}, fault.New(fault.OrderState, "no")
				}
				return counted(ctx, c)
			}
			e := engine(t, o)
			start(t, e, s, "o-1", map[string]any{})
			settleUntil(t, e, "o-1", "Later")
			if ended {
				settle(t, e)
			}
			before := describe(t, e, "o-1")
			for _, status := range []asl.Status{asl.StatusFailed, asl.StatusSucceeded} {
				if d, err := e.Redrive(t.Context(), "the-child", ""); err != nil || !d.Open {
					t.Fatalf("%+v, %v", d, err)
				}
				for range 1000 { // until it has ended, and its parent was told
					if ran, _, err := e.RunOne(t.Context()); err != nil {
						t.Fatal(err)
					} else if !ran {
						break
					}
				}
				if d := describe(t, e, "the-child"); d.Status != status {
					t.Errorf("the child has %s, want %s", d.Status, status)
				}
				if after := describe(t, e, "o-1"); after.Status != before.Status || len(after.History) != len(before.History) {
					t.Errorf("its parent went from %s to %s, with %d events more", before.Status, after.Status, len(after.History)-len(before.History))
				}
			}
			settle(t, e)
			after := describe(t, e, "o-1")
			out, _ := after.Output.(map[string]any)
			if after.Status != asl.StatusSucceeded || after.Ended.Sub(after.Started) != 2*time.Hour+5*time.Minute || out["e"] == nil {
				t.Errorf("its parent: %+v", after)
			}
			if e.Open() != 0 || rowsLeft(t, s) != 0 || effects(t, s, "the-child", "Judge") != 1 {
				t.Errorf("%d are open, %d rows", e.Open(), rowsLeft(t, s))
			}
		})
	}
}
