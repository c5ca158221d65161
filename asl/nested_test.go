package asl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/asltest"
	"pgregory.net/rapid"
)

// driver keeps what an execution asks for as a driver does, and checks what it says.
type driver struct {
	t    *rapid.T
	x    *Execution
	open map[int64]Command
	last int64
}

func (d *driver) take(commands []Command) {
	for _, c := range commands {
		if c.Kind == Cancel {
			if _, ok := d.open[c.ID]; !ok {
				d.t.Fatalf("command %d is cancelled, which is not open", c.ID)
			}
			delete(d.open, c.ID)
			continue
		}
		if c.ID <= d.last {
			d.t.Fatalf("command %d comes after %d", c.ID, d.last)
		}
		d.last, d.open[c.ID] = c.ID, c
	}
}

// check compares what the driver holds open with what the execution waits for, all of it in living scopes.
func (d *driver) check() {
	if d.x.Status() != StatusRunning {
		if d.x.open != (Open{}) || d.x.root.fork != nil {
			d.t.Fatal("an execution that has ended holds scopes or commands")
		}
		return
	}
	if len(d.open) == 0 {
		d.t.Fatal("a running execution waits for nothing")
	}
	living, waiting := map[*scope]bool{}, map[string]*scope{}
	d.walk(d.x.root, nil, living, waiting)
	ids := make([]int64, 0, d.x.open.Len())
	var first Command // of the timers
	for c := range d.x.open.After(0) {
		ids = append(ids, c.ID)
		if sc := waiting[fmt.Sprint(c.Index)]; sc == nil || sc.waitsFor != c.ID || sc.state.name != c.State {
			d.t.Fatalf("command %d is open, and no scope waits for it", c.ID)
		}
		if c.Kind == StartTimer && (first.ID == 0 || c.At.Before(first.At)) {
			first = c
		}
	}
	if timer, ok := d.x.open.Timer(); timer.ID != first.ID || ok != (first.ID != 0) {
		d.t.Fatalf("the first timer is %v, not %v", timer, first)
	}
	if len(living) != d.x.scopes+1 {
		d.t.Fatalf("%d scopes are counted, there are %d", d.x.scopes+1, len(living))
	}
	if len(waiting) != len(ids) {
		d.t.Fatalf("%d scopes wait for %d commands", len(waiting), len(ids))
	}
	if want := slices.Sorted(maps.Keys(d.open)); !slices.Equal(ids, want) {
		d.t.Fatalf("open are %v, the driver has %v", ids, want)
	}
}

// walk notes the scopes that there are, and those that wait for an answer, by their place.
func (d *driver) walk(sc *scope, path []int, living map[*scope]bool, waiting map[string]*scope) {
	if sc.closed || living[sc] {
		d.t.Fatal("a closed scope, or one twice, in the tree")
	}
	if sc.parent != nil {
		d.t.Fatal("a scope holds its parent between two steps")
	}
	living[sc] = true
	if sc.fork == nil {
		waiting[fmt.Sprint(path)] = sc
		return
	}
	if sc.fork.running.size == 0 {
		d.t.Fatal("a state waits for no scope")
	}
	for child := range sc.fork.running.all() {
		d.walk(child, append(path[:len(path):len(path)], child.index), living, waiting)
	}
}

// TestNestedMachines answers a random machine at random, and one that was parsed from what that one prints. The same events give the same commands, to a clone too; what a scope waits for is open as
// long as the scope lives and no longer; and each execution ends.
func TestNestedMachines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		definition := asltest.Draw(t, rapid.IntRange(1, 3).Draw(t, "depth"), "E0", rapid.Bool().Draw(t, "children"))
		m, err := Parse([]byte(definition))
		if err != nil {
			t.Fatalf("%s: %v", definition, err)
		}
		start := Start{Input: map[string]any{"items": []any{mustNumber(1), mustNumber(2), mustNumber(3)}}, Time: time.Unix(1e9, 0)}
		twin, twinCommands := printedAgain(t, m).Start(start)
		x, commands := m.Start(start)
		d := driver{t: t, x: x, open: map[int64]Command{}}
		var taken []Event
		var kept []earlier
		for step := 0; ; step++ {
			if fmt.Sprint(commands) != fmt.Sprint(twinCommands) {
				t.Fatalf("%s: step %d gives %v, then %v", definition, step, commands, twinCommands)
			}
			d.take(commands)
			d.check()
			if x.Status() != StatusRunning {
				break
			}
			if step%3 == 0 {
				kept = append(kept, earlier{x.Clone(), len(taken), slices.Collect(x.Open().After(0))})
			}
			ev := d.draw(step)
			clone := x.Clone()
			cloneCommands, cloneErr := clone.Step(ev)
			if commands, err = x.Step(ev); err != nil || cloneErr != nil {
				t.Fatalf("event %v: %v, on a clone %v", ev, err, cloneErr)
			}
			if fmt.Sprint(commands) != fmt.Sprint(cloneCommands) || clone.status != x.status || clone.events != x.events || clone.childEvents != x.childEvents {
				t.Fatalf("%s: step %d gives %v, on a clone %v", definition, step, commands, cloneCommands)
			}
			delete(d.open, ev.ID)
			taken = append(taken, ev)
			if _, err := x.Step(ev); !errors.Is(err, ErrStale) {
				t.Fatalf("event %v is taken twice: %v", ev, err)
			}
			if step%2 == 0 { // the twin goes on as a clone of itself, as a driver's does
				twin = twin.Clone()
			}
			if twinCommands, err = twin.Step(ev); err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(x.Output()) != fmt.Sprint(twin.Output()) || x.events != twin.events {
			t.Fatalf("%s: two ends", definition)
		}
		for _, k := range kept {
			k.check(t, taken, x)
		}
		checkHistory(t, m, start, taken, x)
	})
}

// An earlier execution is a clone that was left as it was while the others went on.
type earlier struct {
	x    *Execution
	n    int // events until then
	open []Command
}

// check lets it go on with the events that followed: nothing of what the others did since has come to it.
func (k *earlier) check(t *rapid.T, taken []Event, x *Execution) {
	if open := slices.Collect(k.x.Open().After(0)); fmt.Sprint(open) != fmt.Sprint(k.open) {
		t.Fatalf("after %d events %v were open, now %v are", k.n, k.open, open)
	}
	for _, ev := range taken[k.n:] {
		if _, err := k.x.Step(ev); err != nil {
			t.Fatalf("after %d events, at %v: %v", k.n, ev, err)
		}
	}
	if k.x.Status() != x.Status() || k.x.events != x.events || fmt.Sprint(k.x.Output()) != fmt.Sprint(x.Output()) {
		t.Fatalf("after %d events it ends as %s %v, not as %s %v", k.n, k.x.Status(), k.x.Output(), x.Status(), x.Output())
	}
}

// checkHistory replays the events and looks at the history: it is numbered without a gap, each event follows an earlier one, and whatever began
// below the machine's own states has an end, unless the execution ended with it.
func checkHistory(t *rapid.T, m *Machine, start Start, taken []Event, x *Execution) {
	var last int64
	open, redriven := map[string]int{}, false
	start.Observe = func(e HistoryEvent) {
		if last++; e.ID != last || e.PreviousID >= e.ID {
			t.Fatalf("event %d after %d follows %d", e.ID, last, e.PreviousID)
		}
		switch e.Type {
		case "MapIterationStarted":
			open[fmt.Sprint(e.State, e.Index)]++
		case "MapIterationSucceeded", "MapIterationFailed", "MapIterationAborted":
			open[fmt.Sprint(e.State, e.Index)]--
		case "MapRunStarted":
			open[e.State]++
		case "MapRunSucceeded", "MapRunFailed", "MapRunAborted":
			open[e.State]--
		case "ExecutionRedriven":
			redriven = true
		}
	}
	y, _ := m.Start(start)
	for _, ev := range taken {
		if _, err := y.Step(ev); err != nil {
			t.Fatal(err)
		}
	}
	if last != x.events {
		t.Fatalf("the history has %d events, the execution counts %d", last, x.events)
	}
	for what, n := range open {
		if n != 0 && x.Status() == StatusSucceeded && (!redriven || m.states[what] == nil) { // a Map Run that is redriven may have ended, or not
			t.Fatalf("%s began %d times more than it ended", what, n)
		}
	}
}

// draw answers one of the open commands. Failures become rarer, so that retries and loops end.
func (d *driver) draw(step int) Event {
	ids := slices.Sorted(maps.Keys(d.open))
	c := d.open[rapid.SampledFrom(ids).Draw(d.t, "command")]
	ev := Event{Kind: TimerFired, ID: c.ID, Time: d.x.now.Add(time.Second), Seed: uint64(step)}
	if c.Kind == StartTimer {
		return ev
	}
	ev.Kind, ev.Output = TaskSucceeded, mustNumber(step)
	if rapid.IntRange(0, 4).Draw(d.t, "fails") == 0 {
		ev.Kind, ev.Error, ev.Cause = TaskFailed, rapid.SampledFrom([]string{"E0", "E1"}).Draw(d.t, "error"), "c"
	}
	return ev
}
