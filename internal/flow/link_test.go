package flow_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// stagedOnly are the states whose task acts by its Effect's Stage alone.
func stagedOnly(states ...string) func(flow.Call) bool {
	return func(c flow.Call) bool { return slices.Contains(states, c.State) }
}

func TestTasksThatOnlyStageRideInTheCommitBeforeThem(t *testing.T) {
	three := map[string]flow.Task{arn("a"): counted, arn("b"): counted, arn("c"): counted}
	// play runs a, b, c and returns how many operations each commit after the definition's had.
	play := func(t *testing.T, o flow.Options) (*unreliable, *flow.Engine) {
		t.Helper()
		s := &unreliable{Store: newStore()}
		if o.Definition == nil {
			o.Definition = []byte(steps("a", "b", "c"))
		}
		o.Store = s
		e := engine(t, o)
		start(t, e, s, "o-1", map[string]any{"order": "o-1"})
		settle(t, e)
		return s, e
	}
	once := func(t *testing.T, s store.Store, states ...string) {
		t.Helper()
		for _, state := range states {
			if n := effects(t, s, "o-1", state); n != 1 {
				t.Errorf("%s took effect %d times", state, n)
			}
		}
	}

	for rule, c := range map[string]struct {
		staged []string
		want   []int // operations of each commit: start and definition, definition again by the recovery, the tasks'
	}{
		"none of them":        {nil, []int{3, 1, 2, 2, 4}},
		"the last two":        {[]string{"b", "c"}, []int{3, 1, 8}},
		"all":                 {[]string{"a", "b", "c"}, []int{3, 1, 8}},
		"the one in between":  {[]string{"b"}, []int{3, 1, 4, 4}},
		"the first, no other": {[]string{"a"}, []int{3, 1, 2, 2, 4}},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, e := play(t, flow.Options{Tasks: three, StagedOnly: stagedOnly(c.staged...)})
				if !slices.Equal(s.ops, c.want) {
					t.Errorf("operations of the commits = %v, want %v", s.ops, c.want)
				}
				once(t, s, "a", "b", "c")
				d := describe(t, e, "o-1")
				if d.Status != "SUCCEEDED" || !reflect.DeepEqual(d.Output, map[string]any{"order": "o-1"}) || e.Open() != 0 {
					t.Errorf("ended %s with %v, %d open", d.Status, d.Output, e.Open())
				}
			})
		})
	}
	t.Run("the history is the same as that of commits apart, but for the times", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var told [2][]string
			for i, staged := range [][]string{nil, {"a", "b", "c"}} {
				_, e := play(t, flow.Options{Tasks: three, StagedOnly: stagedOnly(staged...)})
				for _, h := range describe(t, e, "o-1").History {
					told[i] = append(told[i], fmt.Sprint(h.ID, h.Type, h.State))
				}
			}
			if !slices.Equal(told[0], told[1]) {
				t.Errorf("%v\n%v", told[0], told[1])
			}
		})
	})
	t.Run("they are told of the commit in their order, once it is durable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var told []string
			var s store.Store
			telling := func(ctx context.Context, c flow.Call) (store.Effect, error) {
				effect, err := counted(ctx, c)
				effect.Committed = func() {
					told = append(told, c.State)
					if it, _ := s.Get(t.Context(), effectKey("o-1", "c"), store.Strong); it == nil {
						t.Errorf("%s is told before the commit", c.State)
					}
				}
				return effect, err
			}
			s = newStore()
			e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b", "c")), StagedOnly: stagedOnly("a", "b", "c"),
				Tasks: map[string]flow.Task{arn("a"): telling, arn("b"): telling, arn("c"): telling}})
			start(t, e, s, "o-1", nil)
			settle(t, e)
			if !slices.Equal(told, []string{"a", "b", "c"}) {
				t.Errorf("told %v", told)
			}
		})
	})
	for rule, failing := range map[string]flow.Task{
		"whose function fails":  always(nil, fault.New(fault.OrderState, "no")),
		"whose function panics": func(context.Context, flow.Call) (store.Effect, error) { panic("nil map") },
		"whose Stage fails":     func(context.Context, flow.Call) (store.Effect, error) { return store.Effect{Stage: staleState}, nil },
		"whose write is refused": func(context.Context, flow.Call) (store.Effect, error) {
			return store.Effect{Stage: takeOne, Refused: noState}, nil
		},
	} {
		t.Run("one "+rule+" leaves those before it committed, and fails for itself", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, e := play(t, flow.Options{StagedOnly: stagedOnly("a", "b", "c"),
					Tasks: map[string]flow.Task{arn("a"): counted, arn("b"): counted, arn("c"): failing}})
				once(t, s, "a", "b")
				want := "OrderState"
				if rule == "whose function panics" {
					want = "Transient"
				}
				if d := describe(t, e, "o-1"); d.Status != "FAILED" || d.Error != want || d.State != "c" {
					t.Errorf("ended %s with %s in %s", d.Status, d.Error, d.State)
				}
			})
		})
	}
	t.Run("one that writes what was written before it is committed apart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			same := func(context.Context, flow.Call) (store.Effect, error) {
				return store.Effect{Stage: func(tx *store.Tx) (any, error) {
					tx.Add(effectKey("o-1", "both"), []store.Delta{store.Inc("n", 1)})
					return nil, nil
				}}, nil
			}
			s, _ := play(t, flow.Options{StagedOnly: stagedOnly("a", "b", "c"),
				Tasks: map[string]flow.Task{arn("a"): same, arn("b"): same, arn("c"): counted}})
			if n := effects(t, s, "o-1", "both"); n != 2 {
				t.Errorf("took effect %d times", n)
			}
			once(t, s, "c")
		})
	})
	t.Run("they follow a failure that is caught, too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, e := play(t, flow.Options{StagedOnly: stagedOnly("Put back"),
				Definition: []byte(one(`,"Catch":[{"ErrorEquals":["OrderState"],"ResultPath":"$.error","Next":"Put back"}]`)),
				Tasks:      map[string]flow.Task{arn("work"): always(nil, fault.New(fault.OrderState, "no")), arn("undo"): counted}})
			if want := []int{3, 1, 5}; !slices.Equal(s.ops, want) { // two entries, the effect, head and index
				t.Errorf("operations of the commits = %v, want %v", s.ops, want)
			}
			if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" {
				t.Errorf("ended %s", d.Status)
			}
		})
	})
	t.Run("a machine that loops through them is committed every nine tasks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			names := strings.Split("abcdefghijklmnopqrst", "")
			tasks := map[string]flow.Task{}
			for _, n := range names {
				tasks[arn(n)] = counted
			}
			s, _ := play(t, flow.Options{Definition: []byte(steps(names...)), Tasks: tasks, StagedOnly: stagedOnly(names...)})
			if want := []int{3, 1, 18, 18, 6}; !slices.Equal(s.ops, want) {
				t.Errorf("operations of the commits = %v, want %v", s.ops, want)
			}
			once(t, s, names...)
		})
	})
}

func staleState(*store.Tx) (any, error) { return nil, fault.New(fault.OrderState, "no") }

// takeOne takes a piece where there is none.
func takeOne(tx *store.Tx) (any, error) {
	tx.Add(store.Key{Table: "stock", PK: "p"}, []store.Delta{store.Take("available", 1)})
	return nil, nil
}

func noState(*store.Refusal) error { return fault.New(fault.OrderState, "none left") }
