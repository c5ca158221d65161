package flow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/utkarsh698/cloudflow/internal/asltest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"pgregory.net/rapid"
)

// A nestedLife plays an execution of a drawn machine. What a task answers depends on its state, its input and its retries alone.
type nestedLife struct {
	definition string
	child      string // what some of its tasks start
	salt       uint32
	well       bool // no task fails
	s          *unreliable
}

func (l *nestedLife) task(_ context.Context, c flow.Call) (store.Effect, error) {
	in, err := json.Marshal(c.Input)
	if err != nil {
		return store.Effect{}, err
	}
	switch n := l.chance(c.State, c.Retry, string(in)); n {
	case 0:
		return store.Effect{}, fault.New(fault.Transient, "not now")
	case 1:
		return store.Effect{}, fault.New(fault.OrderState, "no")
	default:
		return store.Effect{Stage: func(tx *store.Tx) (any, error) {
			tx.Add(effectKey("all", c.Attempt), []store.Delta{store.Inc("n", 1)})
			return n, nil
		}}, nil
	}
}

func (l *nestedLife) chance(of ...any) uint32 {
	h := fnv.New32a()
	fmt.Fprint(h, append([]any{l.salt}, of...)...)
	if l.well {
		return 2 + h.Sum32()%8
	}
	return h.Sum32() % 10
}

// answer calls back each task that is handed out, one after the other, and reports whether there was one.
func (l *nestedLife) answer(t *testing.T, e *flow.Engine) bool {
	page, _, err := e.HandedOut(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range page {
		err := sent(t, e, func(ctx context.Context) error {
			switch n := l.chance(task.Token); n {
			case 0:
				return e.SendTaskFailure(ctx, task.Token, "Transient", "not now")
			case 1:
				return e.SendTaskFailure(ctx, task.Token, "OrderState", "no")
			default:
				return e.SendTaskSuccess(ctx, task.Token, n)
			}
		})
		if err != nil && !fault.Is(err, fault.TaskTimedOut) && !fault.Retryable(err) { // another's failure has closed it, or the reply was lost
			t.Fatalf("an answer: %v", err)
		}
	}
	return len(page) > 0
}

// play runs the execution to its end; the n-th Update has the fate. It returns how it ended and how many effects took place how often.
func (l *nestedLife) play(t *testing.T, n int64, f fate, staged bool) (d flow.Execution, took map[string]int64) {
	synctest.Test(t, func(t *testing.T) {
		l.s = &unreliable{Store: newStore(), fate: func(i int64) fate {
			if i == n {
				return f
			}
			return commits
		}}
		o := flow.Options{Store: l.s, Definition: []byte(l.definition), Children: map[string][]byte{"child": []byte(l.child)}, Seed: func() uint64 { return 7 },
			Tasks:      map[string]flow.Task{asltest.Resource: l.task, asltest.CallbackResource: l.task},
			StagedOnly: func(flow.Call) bool { return staged }}
		e := engine(t, o)
		if err := l.s.Store.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, "o-1", items(3)) }); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			if !survives(func() {
				settle(t, e)
				more = l.answer(t, e)
			}) {
				e = engine(t, o)
			}
		}
		d, took = describe(t, e, "o-1"), map[string]int64{}
		if open, err := e.Running(t.Context(), "", 10); err != nil || len(open) > 0 {
			t.Errorf("still open: %v, %v", open, err)
		}
		if n := rowsLeft(t, l.s); n > 0 {
			t.Errorf("%d tasks are still handed out", n)
		}
		page, err := l.s.Range(t.Context(), store.Query{Table: "effects", PK: "all"})
		if err != nil {
			t.Fatal(err)
		}
		for _, en := range page {
			took[en.Key.SK] = en.Item.Int("n")
		}
	})
	return d, took
}

// statesOf are the entries and exits of the history, with what went in and out.
func statesOf(d flow.Execution) []string {
	var out []string
	for _, h := range d.History {
		out = append(out, fmt.Sprint(h.ID, h.PreviousID, h.Type, h.State, h.Index, h.Attempt, h.Error, h.Input, h.Output))
	}
	return out
}

const nothing = `{"StartAt":"Nothing","States":{"Nothing":{"Type":"Succeed"}}}`

// TestARandomFamilyComesToItsEnd draws machines that start others, and lets the process die before and after each write, or loses its reply. Executions take turns, in another
// order after a crash, so that branches which wait for children may end in another order, too. What holds in each life: all come to their ends, each
// effect takes place once at most, nothing is left behind; and where no task fails the end and the number of effects are those of the life in which
// nothing dies.
func TestARandomFamilyComesToItsEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &nestedLife{
			definition: asltest.Draw(rt, rapid.IntRange(1, 2).Draw(rt, "depth"), "Transient", true),
			child:      asltest.Draw(rt, rapid.IntRange(0, 1).Draw(rt, "depth of the child"), "Transient", false),
			salt:       rapid.Uint32().Draw(rt, "salt"), well: rapid.Bool().Draw(rt, "well"),
		}
		want, effects := l.play(t, 0, commits, false)
		writes := l.s.updates.Load()
		for _, f := range []fate{crashBefore, crashAfter, replyLost} {
			for n := int64(1); n <= min(writes, 15); n++ {
				if f == replyLost && n <= 2 { // the definitions': whoever recovers sees to those
					continue
				}
				got, took := l.play(t, n, f, false)
				switch {
				case got.Status == "RUNNING":
					rt.Fatalf("%s\n%s\n%s %d: it does not end", l.definition, l.child, f, n)
				case l.well && (got.Status != want.Status || got.Error != want.Error || len(took) != len(effects)):
					rt.Fatalf("%s\n%s\n%s %d: ended %s %s after %d effects, want %s %s after %d", l.definition, l.child, f, n,
						got.Status, got.Error, len(took), want.Status, want.Error, len(effects))
				}
				for attempt, n := range took {
					if n != 1 {
						rt.Fatalf("%s took effect %d times", attempt, n)
					}
				}
			}
		}
	})
}

// TestARandomMachineIsTheSameWhateverDies draws machines and lets the process die before and after each journal write, one life for each place: the
// history, the output and what took effect are those of the life in which nothing dies, each effect once.
func TestARandomMachineIsTheSameWhateverDies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &nestedLife{
			definition: asltest.Draw(rt, rapid.IntRange(1, 2).Draw(rt, "depth"), "Transient", false), child: nothing,
			salt: rapid.Uint32().Draw(rt, "salt"),
		}
		staged := rapid.IntRange(0, 3).Draw(rt, "staged only") == 0
		want, effects := l.play(t, 0, commits, staged)
		writes := l.s.updates.Load()
		if want.Status == "RUNNING" {
			rt.Fatalf("%s: it does not end", l.definition)
		}
		for _, f := range []fate{crashBefore, crashAfter} {
			for n := int64(1); n <= min(writes, 40); n++ {
				got, took := l.play(t, n, f, staged)
				if got.Status != want.Status || got.Error != want.Error || !reflect.DeepEqual(got.Output, want.Output) {
					rt.Fatalf("%s\n%s %d: ended %s %v %v, want %s %v %v", l.definition, f, n, got.Status, got.Error, got.Output, want.Status, want.Error, want.Output)
				}
				if a, b := statesOf(got), statesOf(want); !reflect.DeepEqual(a, b) {
					rt.Fatalf("%s\n%s %d: the history is\n%s\nwant\n%s", l.definition, f, n, strings.Join(a, "\n"), strings.Join(b, "\n"))
				}
				if !reflect.DeepEqual(took, effects) {
					rt.Fatalf("%s\n%s %d: took effect %v, want %v", l.definition, f, n, took, effects)
				}
			}
		}
		for attempt, n := range effects {
			if n != 1 {
				rt.Fatalf("%s took effect %d times", attempt, n)
			}
		}
	})
}
