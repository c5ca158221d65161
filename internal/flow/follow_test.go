package flow_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A listener is a follower that writes down what it is told.
type listener struct {
	replayed, happened []string
}

type listenerKey struct{}

func (l *listener) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, listenerKey{}, l)
}

func (l *listener) Replayed(history []asl.HistoryEvent) {
	l.replayed = append(l.replayed, texts(history)...)
}

func (l *listener) Happened(history []asl.HistoryEvent) {
	l.happened = append(l.happened, texts(history)...)
}

func texts(history []asl.HistoryEvent) []string {
	var out []string
	for _, h := range history {
		out = append(out, fmt.Sprint(h.ID, " ", h.Type, " ", h.State, " ", h.Error, " ", h.Attempt))
	}
	return out
}

// followed is a machine with all that a history can have: a retry, a failure that is caught, tasks that ride along, one of which is refused
// there and fails for itself, a wait.
const followed = `{"StartAt":"Work","States":{
	"Work":{"Type":"Task","Resource":"work","ResultPath":null,"Next":"Along","Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":1,"MaxAttempts":3}]},
	"Along":{"Type":"Task","Resource":"along","ResultPath":null,"Next":"Odd"},
	"Odd":{"Type":"Task","Resource":"odd","Next":"Never","Catch":[{"ErrorEquals":["OrderState"],"ResultPath":null,"Next":"Rest"}]},
	"Never":{"Type":"Succeed"},
	"Rest":{"Type":"Wait","Seconds":2,"Next":"Last"},
	"Last":{"Type":"Task","Resource":"last","ResultPath":null,"Next":"Done"},
	"Done":{"Type":"Succeed"}}}`

// playFollowed runs it against a store that has the fate at its n-th commit, with a new engine after each crash.
func playFollowed(t *testing.T, at int64, what fate) (told []*listener, history []string) {
	t.Helper()
	s := &unreliable{Store: newStore(), fate: func(n int64) fate {
		if n == at {
			return what
		}
		return commits
	}}
	failed := false
	options := flow.Options{
		Store: s, Definition: []byte(followed), StagedOnly: stagedOnly("Along", "Odd", "Last"),
		Follow: func(start asl.Start) flow.Follower {
			if start.Name != "o-1" {
				t.Errorf("asked about %s", start.Name)
			}
			l := &listener{}
			told = append(told, l)
			return l
		},
		Tasks: map[string]flow.Task{
			"work": func(ctx context.Context, c flow.Call) (store.Effect, error) {
				if ctx.Value(listenerKey{}) == nil {
					t.Error("the task has not the follower's context")
				}
				if !failed {
					failed = true
					return store.Effect{}, fault.New(fault.Transient, "once")
				}
				return counted(ctx, c)
			},
			"along": counted, "last": counted,
			"odd": func(context.Context, flow.Call) (store.Effect, error) {
				return store.Effect{Stage: takeOne, Refused: noState}, nil
			},
		},
	}
	e := engine(t, options)
	if !survives(func() { start(t, e, s, "o-1", map[string]any{}) }) {
		return nil, nil // what dies before it has begun is another test's
	}
	for range 10 {
		if survives(func() { settle(t, e) }) {
			break
		}
		e = engine(t, options)
	}
	return told, texts(describe(t, e, "o-1").History)
}

func TestAFollowerIsToldWhatTheHistorySays(t *testing.T) {
	const last = 11 // the commit of the end; the first two are the start's and the recovery's
	for _, what := range []fate{commits, replyLost, notSent, storeAway, crashBefore, crashAfter} {
		t.Run(what.String(), func(t *testing.T) {
			for at := int64(3); at <= last; at++ {
				synctest.Test(t, func(t *testing.T) {
					told, history := playFollowed(t, at, what)
					if len(told) == 0 || len(history) < 20 {
						t.Fatalf("%d followers, a history of %d", len(told), len(history))
					}
					newest := told[len(told)-1]
					all := append(slices.Clone(newest.replayed), newest.happened...)
					if what == crashAfter && at == last { // nobody comes back to what has ended
						all = append(all, history[len(all):]...)
					}
					if !slices.Equal(all, history) {
						t.Errorf("commit %d: the last follower was told\n%q\nthe history is\n%q", at, all, history)
					}
					if what == crashBefore || what == crashAfter {
						return
					}
					var happened []string
					for _, l := range told {
						happened = append(happened, l.happened...)
					}
					if !slices.Equal(happened, history) {
						t.Errorf("commit %d: as it happened they were told\n%q\nthe history is\n%q", at, happened, history)
					}
				})
			}
		})
	}
}

func TestWhoIsNotFollowedIsNotListenedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, asked := newStore(), 0
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a")), Tasks: map[string]flow.Task{arn("a"): counted},
			Follow: func(start asl.Start) flow.Follower {
				asked++
				if m, _ := start.Input.(map[string]any); m["order"] != "o-1" {
					t.Errorf("asked about the input %v", start.Input)
				}
				return nil
			}})
		start(t, e, s, "o-1", map[string]any{"order": "o-1"})
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || len(d.History) == 0 || asked != 1 {
			t.Errorf("ended %s, asked %d times", d.Status, asked)
		}
	})
}
