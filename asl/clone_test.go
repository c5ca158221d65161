package asl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/asltest"
	"pgregory.net/rapid"
)

// branchy has in one machine what a scope holds: variables read from within, attempts of two Retriers, tokens, batches, queues of items, failures
// that are tolerated, and scopes of each kind within one another.
const branchy = `{"StartAt":"V","TimeoutSeconds":5000,"States":{
	"V":{"Type":"Pass","Assign":{"outer":0},"Next":"P"},
	"P":{"Type":"Parallel","ResultPath":"$.p","Assign":{"outer.$":"States.MathAdd($outer, 1)"},"Retry":[{"ErrorEquals":["E1"],"IntervalSeconds":1,"MaxAttempts":1,"JitterStrategy":"FULL"}],
		"Catch":[{"ErrorEquals":["States.ALL"],"Assign":{"outer.$":"$.Error"},"ResultPath":"$.e","Next":"W"}],"Next":"W","Branches":[
		{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":2,"ToleratedFailureCount":2,"ItemBatcher":{"MaxItemsPerBatch":2,"BatchInput":{"o.$":"$outer"}},
			"ItemSelector":{"i.$":"$$.Map.Item.Index","v.$":"$$.Map.Item.Value","items.$":"$.items"},"ResultPath":"$.m","End":true,
			"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},"StartAt":"A","States":{
				"A":{"Type":"Task","Resource":"r","Parameters":{"in.$":"$$.Execution.Input","n.$":"$$.State.RetryCount"},"Assign":{"got.$":"$"},"ResultPath":"$.a","Next":"Q",
					"Retry":[{"ErrorEquals":["E1"],"IntervalSeconds":1,"MaxAttempts":3},{"ErrorEquals":["E2"],"IntervalSeconds":2,"MaxAttempts":3}]},
				"Q":{"Type":"Parallel","End":true,"Branches":[
					{"StartAt":"N","States":{"N":{"Type":"Map","ItemsPath":"$.Items","MaxConcurrency":1,"End":true,"Catch":[{"ErrorEquals":["E2"],"ResultPath":"$.e","Next":"C"}],
						"ItemProcessor":{"StartAt":"T","States":{
							"T":{"Type":"Task","Resource":"r.waitForTaskToken","Parameters":{"t.$":"$$.Task.Token","got.$":"$got","x.$":"$$.Map.Item"},"Assign":{"mine.$":"$"},"Next":"U",
								"Retry":[{"ErrorEquals":["E1"],"IntervalSeconds":1,"MaxAttempts":1}]},
							"U":{"Type":"Pass","Parameters":{"mine.$":"$mine","got.$":"$got"},"End":true}}}},
						"C":{"Type":"Pass","Parameters":{"got.$":"$got","e.$":"$.e"},"End":true}}},
					{"StartAt":"B","States":{"B":{"Type":"Wait","Seconds":2,"End":true}}}]}}}}}},
		{"StartAt":"I","States":{"I":{"Type":"Task","Resource":"r","Parameters":{"outer.$":"$outer"},"Assign":{"inner.$":"$"},"Next":"J",
				"Retry":[{"ErrorEquals":["E1"],"IntervalSeconds":1,"MaxAttempts":3},{"ErrorEquals":["E2"],"IntervalSeconds":1,"MaxAttempts":3}]},
			"J":{"Type":"Task","Resource":"r","Parameters":{"inner.$":"$inner","outer.$":"$outer"},"End":true}}}]},
	"W":{"Type":"Wait","Seconds":1,"Next":"X"},
	"X":{"Type":"Task","Resource":"r","Parameters":{"outer.$":"$outer","in.$":"$"},"End":true}}}`

// A life is an execution among clones, with all that it has been told and has said.
type life struct {
	x       *Execution
	taken   []Event
	said    []string
	history []HistoryEvent
}

func (l *life) say(commands []Command) {
	l.said = append(l.said, fmt.Sprint(commands, slices.Collect(l.x.Open().After(0)), l.x.status, l.x.scopes))
}

// clone leaves with the clone what was so far.
func (l *life) clone() *life {
	return &life{l.x.Clone(), slices.Clone(l.taken), slices.Clone(l.said), slices.Clone(l.history)}
}

// event is an answer to one of the open commands, or that it was handed out. Most failures are such that some Retrier takes.
func (l *life) event(rng *rand.Rand, seed int) Event {
	open := slices.Collect(l.x.Open().After(0))
	c := open[rng.IntN(len(open))]
	if c.Deadline() && len(open) > 1 && rng.IntN(20) > 0 {
		c = open[1] // it is the first
	}
	ev := Event{Kind: TimerFired, ID: c.ID, Time: l.x.now.Add(time.Second), Seed: uint64(seed)}
	if c.Kind == StartTimer {
		return ev
	}
	ev.Output = map[string]any{"Items": []any{mustNumber(seed), mustNumber(1)}}
	switch n := rng.IntN(30); {
	case n == 0:
		ev.Kind = TaskTimedOut
	case n < 8:
		ev.Kind, ev.Error, ev.Cause = TaskFailed, [...]string{"E0", "E1", "E2", "E1", "E2", "E1", "E2"}[n-1], "c"
	case n < 16 && l.x.mayBeSubmitted(&c):
		ev.Kind = TaskSubmitted
	default:
		ev.Kind = TaskSucceeded
	}
	return ev
}

// refuses sends what changes nothing: the same event again, and answers of the wrong kind.
func (l *life) refuses(t *rapid.T, ev Event) {
	if _, err := l.x.Step(ev); err == nil || (ev.Kind != TaskSubmitted || l.x.Status() != StatusRunning) && !errors.Is(err, ErrStale) {
		t.Fatalf("%v is taken twice: %v", ev, err)
	}
	for c := range l.x.Open().After(0) {
		wrong := Event{Kind: TimerFired, ID: c.ID, Time: l.x.now.Add(time.Hour), Seed: ^ev.Seed}
		if c.Kind == StartTimer {
			wrong.Kind = []EventKind{TaskSucceeded, TaskFailed, TaskTimedOut, TaskSubmitted}[c.ID%4]
		} else if c.ID%2 == 0 && !l.x.mayBeSubmitted(&c) {
			wrong.Kind = TaskSubmitted
		}
		if _, err := l.x.Step(wrong); err == nil || errors.Is(err, ErrStale) {
			t.Fatalf("%v is taken for %v: %v", wrong, c, err)
		}
	}
}

// TestClonesLiveTheirOwnLives clones and steps at random: clones, clones of clones and what they were made of, each on a way of its own, in turns.
// Each is in the end what an execution is that nobody cloned, and said at each step what that one says.
func TestClonesLiveTheirOwnLives(t *testing.T) {
	machine := mustParse(t, branchy)
	steps := 0
	rapid.Check(t, func(t *rapid.T) {
		rng, m := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), machine
		if rapid.IntRange(0, 2).Draw(t, "machine") == 1 {
			var err error
			if m, err = Parse([]byte(asltest.Draw(t, 3, "E1", false))); err != nil {
				t.Fatal(err)
			}
		}
		items := []any{mustNumber(1), mustNumber(2), mustNumber(3), mustNumber(4), mustNumber(5)}
		first := &life{}
		now := first
		start := Start{Input: map[string]any{"items": items}, Time: time.Unix(1e9, 0), Observe: func(e HistoryEvent) { now.history = append(now.history, e) }}
		x, commands := m.Start(start)
		first.x = x
		first.say(commands)
		all := []*life{first}
		for turn := range 300 {
			now = all[rng.IntN(len(all))]
			if len(all) < 6 && rng.IntN(8) == 0 {
				all = append(all, now.clone())
			}
			if now.x.Status() != StatusRunning {
				continue
			}
			ev := now.event(rng, turn)
			commands, err := now.x.Step(ev)
			if err != nil {
				t.Fatal(err)
			}
			now.taken = append(now.taken, ev)
			now.say(commands)
			now.refuses(t, ev)
			steps++
		}
		for i, l := range all {
			l.check(t, i, m, start, &now)
		}
	})
	if steps < 200 { // of 20 machines with -short
		t.Errorf("all lives together have %d steps", steps)
	}
}

// check holds a life against one without clones.
func (l *life) check(t *rapid.T, i int, m *Machine, start Start, now **life) {
	alone := &life{}
	*now = alone
	x, commands := m.Start(start)
	alone.x = x
	alone.say(commands)
	for _, ev := range l.taken {
		commands, err := x.Step(ev)
		if err != nil {
			t.Fatalf("clone %d, alone: %v", i, err)
		}
		alone.say(commands)
	}
	for n := range alone.said {
		if n >= len(l.said) || l.said[n] != alone.said[n] {
			t.Fatalf("clone %d says at step %d\n%v\nalone it says\n%s", i, n, l.said[n:], alone.said[n])
		}
	}
	if !reflect.DeepEqual(l.history, alone.history) {
		t.Fatalf("clone %d has the history\n%v\nalone it has\n%v", i, l.history, alone.history)
	}
	if !reflect.DeepEqual(l.x.Output(), x.Output()) || l.x.failure != x.failure || l.x.childEvents != x.childEvents {
		t.Fatalf("clone %d ends with %v %v, alone with %v %v", i, l.x.Output(), l.x.failure, x.Output(), x.failure)
	}
}

// TestClonesMayBeSteppedAtTheSameTime is for the race detector, too.
func TestClonesMayBeSteppedAtTheSameTime(t *testing.T) {
	m := mustParse(t, branchy)
	x, commands := m.Start(Start{Input: map[string]any{"items": []any{mustNumber(1), mustNumber(2), mustNumber(3)}}, Time: time.Unix(1e9, 0)})
	open := commands
	for step := range 4 {
		var err error
		if commands, err = x.Step(Event{Kind: TaskSucceeded, ID: open[len(open)-1-step%2].ID, Output: map[string]any{}}); err != nil {
			break
		}
		open = append(open, commands...)
	}
	ended := func(x *Execution) string {
		for step := 0; x.Status() == StatusRunning; step++ {
			for c := range x.Open().After(0) {
				if c.Deadline() {
					continue
				}
				ev := Event{Kind: TaskSucceeded, ID: c.ID, Output: mustNumber(step)}
				if c.Kind == StartTimer {
					ev.Kind = TimerFired
				}
				if _, err := x.Step(ev); err != nil {
					return err.Error()
				}
				break
			}
		}
		return string(AppendJSON([]byte(x.Status()+" "), x.Output()))
	}
	want := ended(x.Clone())
	if !strings.HasPrefix(want, string(StatusSucceeded)) {
		t.Fatalf("it ends with %s", want)
	}
	for range 20 {
		got := make([]string, 4)
		clones := []*Execution{x, x.Clone(), x.Clone(), x.Clone()}
		x = x.Clone()
		var all sync.WaitGroup
		for i, c := range clones {
			all.Go(func() { got[i] = ended(c) })
		}
		all.Wait()
		for i := range got {
			if got[i] != want {
				t.Fatalf("clone %d of four at a time ends with %s, want %s", i, got[i], want)
			}
		}
	}
}

func TestWhatWasOpenStaysAsItWas(t *testing.T) {
	x, commands := mapOfTasks(t, 100, "50")
	var before []Open
	var want [][]Command
	for i := range 80 {
		before = append(before, x.Open())
		want = append(want, slices.Collect(x.Open().After(0)))
		more, err := x.Step(Event{Kind: TaskSucceeded, ID: commands[i].ID})
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, more...)
	}
	for i, o := range before {
		if got := slices.Collect(o.After(0)); !reflect.DeepEqual(got, want[i]) || o.Len() != len(want[i]) {
			t.Fatalf("before step %d %d commands were open, now %d are", i, len(want[i]), len(got))
		}
	}
}

// TestAnIterationThatEndsInTheStepInWhichItBeganIsForgotten: such a step may go through thousands of them, each with a payload.
func TestAnIterationThatEndsInTheStepInWhichItBeganIsForgotten(t *testing.T) {
	m := mustParse(t, `{"StartAt":"M","States":{"M":{"Type":"Map","ItemSelector":{"text.$":"States.Format('{}{}', $$.Execution.Name, $$.Map.Item.Value)"},"End":true,
		"ItemProcessor":{"StartAt":"A","States":{"A":{"Type":"Pass","Result":1,"End":true}}}}}}`)
	const size, items = 100_000, 2000
	var held uint64
	ended := 0
	_, _ = m.Start(Start{Name: strings.Repeat("x", size), Input: make([]any, items), Observe: func(e HistoryEvent) {
		if e.Type != "MapIterationSucceeded" {
			return
		}
		if ended++; ended == items {
			var s runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&s)
			held = s.HeapAlloc
		}
	}})
	if ended != items {
		t.Fatalf("%d of %d iterations have ended", ended, items)
	}
	if held > items*size/2 { // 40 are in progress at a time
		t.Errorf("when the last of %d iterations has ended %d MB are held", items, held>>20)
	}
}
