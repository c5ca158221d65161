package asl

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/asltest"
	"pgregory.net/rapid"
)

// A redriver plays an execution whose tasks answer by where they stand, ends it in the middle, and lets it go on.
type redriver struct {
	t        testing.TB
	m        *Machine
	x        *Execution
	open     []Command
	start    Start
	taken    []Event
	fails    func(at string, c Command) string // the error of the task, "" for none
	answered map[string]int                    // successes, by state and index
	last     int64                             // command

	submitted map[int64]bool // by command
	history   []HistoryEvent
}

func redriverOf(t testing.TB, m *Machine, start Start) *redriver {
	r := &redriver{t: t, m: m, answered: map[string]int{}, submitted: map[int64]bool{}, fails: func(string, Command) string { return "" }}
	start.Observe = func(h HistoryEvent) { r.history = append(r.history, h) }
	x, commands := m.Start(start)
	r.x, r.start = x, start
	r.take(commands)
	return r
}

func (r *redriver) take(commands []Command) {
	for _, c := range commands {
		if c.Kind == Cancel {
			r.open = slices.DeleteFunc(r.open, func(o Command) bool { return o.ID == c.ID })
			continue
		}
		if c.ID <= r.last {
			r.t.Fatalf("command %d comes after %d", c.ID, r.last)
		}
		r.last, r.open = c.ID, append(r.open, c)
	}
}

// step takes the event on a clone, as a driver does, and leaves the original alone.
func (r *redriver) step(ev Event) {
	before := fmt.Sprint(r.x.status, r.x.events, r.x.scopes)
	next := r.x.Clone()
	shown := len(r.history)
	commands, err := next.Step(ev)
	if err != nil {
		r.t.Fatalf("%v: %v", ev, err)
	}
	if after := fmt.Sprint(r.x.status, r.x.events, r.x.scopes); after != before {
		r.t.Fatalf("the original moved with its clone: %s, then %s", before, after)
	}
	again := r.x.Clone() // another clone does the same, whatever the first one did to what they share
	kept := len(r.history)
	if twice, err := again.Step(ev); err != nil || fmt.Sprint(twice) != fmt.Sprint(commands) || fmt.Sprint(r.history[shown:kept]) != fmt.Sprint(r.history[kept:]) {
		r.t.Fatalf("%v on a second clone: %v, %v, want %v", ev, twice, err, commands)
	}
	r.history = r.history[:kept]
	r.x, r.taken = next, append(r.taken, ev)
	if r.x.Status() != StatusRunning {
		r.open = nil
	}
	r.take(commands)
}

func (r *redriver) event(kind EventKind) Event {
	return Event{Kind: kind, Time: r.x.now.Add(time.Second), Seed: uint64(len(r.taken))}
}

// submit says of the tasks that have a token, and of which it was not said, that they are handed out.
func (r *redriver) submit() {
	for _, c := range r.open {
		if c.Token != "" && !r.submitted[c.ID] {
			r.submitted[c.ID] = true
			ev := r.event(TaskSubmitted)
			ev.ID = c.ID
			r.step(ev)
		}
	}
}

// check looks at what the execution holds, as it stands.
func (r *redriver) check(t *rapid.T) {
	d := driver{t: t, x: r.x, open: map[int64]Command{}}
	for _, c := range r.open {
		d.open[c.ID] = c
	}
	d.check()
	d.alone(r.x.root)
}

// alone checks that no scope, closed or not, holds its parent.
func (d *driver) alone(sc *scope) {
	if sc.parent != nil {
		d.t.Fatal("a scope holds its parent between two steps")
	}
	for _, f := range []*fork{sc.fork, sc.broken} {
		if f == nil {
			continue
		}
		for e := f.ended; e != nil; e = e.before {
			if e.failed != nil {
				d.alone(e.failed)
			}
		}
		for _, below := range slices.AppendSeq(slices.Clone(f.waiting), f.running.all()) {
			d.alone(below)
		}
	}
}

// answer answers the n-th open command.
func (r *redriver) answer(n int) {
	c := r.open[n]
	r.open = slices.Delete(r.open, n, n+1)
	ev := r.event(TimerFired)
	ev.ID = c.ID
	if c.Kind == RunTask {
		at := fmt.Sprint(c.State, c.Index)
		if ev.Error = r.fails(at, c); ev.Error != "" {
			ev.Kind, ev.Cause = TaskFailed, "c"
		} else {
			r.answered[at]++
			ev.Kind, ev.Output = TaskSucceeded, map[string]any{"of": at}
		}
	}
	r.step(ev)
}

// end answers in the order of asking until the execution ends.
func (r *redriver) end() Status {
	for n := 0; r.x.Status() == StatusRunning; n++ {
		if n > 10_000 || len(r.open) == 0 {
			r.t.Fatalf("it waits for nothing, after %d answers", n)
		}
		r.answer(0)
	}
	return r.x.Status()
}

// types are the types of the history from the last redrive on.
func (r *redriver) types() string {
	var types []string
	for _, h := range r.history {
		if h.Type == "ExecutionRedriven" {
			types = types[:0]
		}
		types = append(types, h.Type)
	}
	return strings.Join(types, " ")
}

// TestARedriveEndsAsIfNothingHadFailed draws machines, in each of which one task fails for good, and ends executions from outside wherever they stand.
// Redriven as often as that happens they have the output of the one in which nothing went wrong, and no task that succeeded was asked for again.
// Clones that were left behind come to the same.
func TestARedriveEndsAsIfNothingHadFailed(t *testing.T) {
	redriven := map[Status]int{}
	rapid.Check(t, func(rt *rapid.T) {
		definition := asltest.Draw(rt, rapid.IntRange(1, 3).Draw(rt, "depth"), "E0", rapid.Bool().Draw(rt, "children"))
		m := mustParse(t, definition)
		start := Start{Input: map[string]any{"items": []any{mustNumber(1), mustNumber(2), mustNumber(3)}}, Time: time.Unix(1e9, 0)}
		clean := redriverOf(t, m, start)
		if clean.end() != StatusSucceeded {
			rt.Fatalf("%s: %v", definition, clean.x.failure)
		}
		broken := uncaught(t, rt, m, start, slices.Sorted(maps.Keys(clean.answered)))

		r := redriverOf(t, m, start)
		r.fails = failing(&broken)
		var kept []earlier
		for ends := 0; r.x.Status() != StatusSucceeded; {
			r.check(rt)
			if rapid.IntRange(0, 3).Draw(rt, "keep") == 0 {
				kept = append(kept, earlier{r.x.Clone(), len(r.taken), slices.Collect(r.x.Open().After(0))})
			}
			switch status := r.x.Status(); {
			case status == StatusRunning && ends < 4 && rapid.IntRange(0, 9).Draw(rt, "abort") == 0:
				r.step(r.event(Aborted))
			case status == StatusRunning:
				if rapid.Bool().Draw(rt, "submit") {
					r.submit()
				}
				r.answer(rapid.IntRange(0, len(r.open)-1).Draw(rt, "command"))
			default:
				redriven[status]++
				if ends++; ends > 4 || status == StatusFailed && rapid.Bool().Draw(rt, "mended") {
					broken = ""
				}
				r.step(r.event(Redriven))
			}
		}
		if got, want := string(AppendJSON(nil, r.x.Output())), string(AppendJSON(nil, clean.x.Output())); got != want {
			rt.Fatalf("%s\nafter %d redrives: %s\nwant %s", definition, r.x.Redrives(), got, want)
		}
		if !maps.Equal(r.answered, clean.answered) {
			rt.Fatalf("%s\nafter %d redrives answered were %v\nwant %v", definition, r.x.Redrives(), r.answered, clean.answered)
		}
		shown := r.history
		for _, k := range kept {
			k.check(rt, r.taken, r.x)
		}
		r.history = shown
		checkHistory(rt, m, start, r.taken, r.x)
	})
	if redriven[StatusFailed] == 0 || redriven[StatusAborted] == 0 {
		t.Errorf("redriven were %v", redriven)
	}
}

// uncaught draws a place at which a failure ends the execution, "" if that of the first one drawn is caught or tolerated.
func uncaught(t testing.TB, rt *rapid.T, m *Machine, start Start, places []string) string {
	if len(places) == 0 {
		return ""
	}
	place := rapid.SampledFrom(places).Draw(rt, "broken")
	r := redriverOf(t, m, start)
	if r.fails = failing(&place); r.end() == StatusFailed {
		return place
	}
	return ""
}

// failing fails the task at the place with an error that no Retry is for.
func failing(place *string) func(string, Command) string {
	return func(at string, _ Command) string {
		if at == *place {
			return "E1"
		}
		return ""
	}
}

// TestWhatARedriveDoesAgain fails each task that is named as often as is said, redrives once, and looks at what was asked for since.
func TestWhatARedriveDoesAgain(t *testing.T) {
	const tasks = `{"StartAt":"%[1]s","States":{"%[1]s":{"Type":"Task","Resource":"r","Next":"%[2]s"},"%[2]s":{"Type":"Task","Resource":"r","End":true}}}`
	branches := fmt.Sprintf(tasks, "A1", "A2") + "," + fmt.Sprintf(tasks, "B1", "B2")
	parallel := func(more string) string {
		return `"P":{"Type":"Parallel",` + more + `"Branches":[` + branches + `],"End":true}`
	}
	mapped := func(more, config string) string {
		return `"M":{"Type":"Map",` + more + `"ItemProcessor":{` + config + `"StartAt":"T","States":{"T":{"Type":"Task","Resource":"r","Next":"U"},"U":{"Type":"Task","Resource":"r","End":true}}},"End":true}`
	}
	const distributed = `"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},`
	items := []any{mustNumber(0), mustNumber(1), mustNumber(2), mustNumber(3)}
	for _, c := range []struct {
		name, states string
		input        any
		fails        map[string]int // times
		asked, types string         // since the redrive
		status       Status         // "" is SUCCEEDED
	}{
		{name: "a task, and nothing before it",
			states: `"A":{"Type":"Task","Resource":"r","Next":"B"},"B":{"Type":"Task","Resource":"r","Next":"C"},"C":{"Type":"Succeed"}`,
			fails:  map[string]int{"B[]": 1}, asked: "B[]",
			types: "ExecutionRedriven TaskScheduled TaskStarted TaskSucceeded TaskStateExited SucceedStateEntered SucceedStateExited ExecutionSucceeded"},
		{name: "a task with all its attempts",
			states: `"A":{"Type":"Task","Resource":"r","Retry":[{"ErrorEquals":["E"],"MaxAttempts":2}],"End":true}`,
			fails:  map[string]int{"A[]": 5}, asked: "A[] A[] A[]"},
		{name: "a task whose result fitted nowhere",
			states: `"A":{"Type":"Task","Resource":"r","ResultPath":"$.x.y","End":true}`,
			input:  map[string]any{"x": "no object"}, asked: "A[]", status: StatusFailed},
		{name: "a Fail state, which fails again",
			states: `"A":{"Type":"Task","Resource":"r","Next":"F"},"F":{"Type":"Fail","Error":"No"}`,
			types:  "ExecutionRedriven FailStateEntered ExecutionFailed", status: StatusFailed},
		{name: "a Choice, which fails again",
			states: `"C":{"Type":"Choice","Choices":[{"Variable":"$.x","IsPresent":true,"Next":"D"}]},"D":{"Type":"Succeed"}`,
			input:  map[string]any{}, types: "ExecutionRedriven ExecutionFailed", status: StatusFailed},
		{name: "of branches the one that failed and the one that was aborted, where they stood",
			states: parallel(""), fails: map[string]int{"A2[0]": 1}, asked: "A2[0] B2[1]"},
		{name: "of branches not the one that had ended",
			states: parallel(""), fails: map[string]int{"B2[1]": 1}, asked: "B2[1]",
			types: "ExecutionRedriven TaskScheduled TaskStarted TaskSucceeded TaskStateExited ParallelStateSucceeded ParallelStateExited ExecutionSucceeded"},
		{name: "all branches, with all the attempts of the state",
			states: parallel(`"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1}],`), fails: map[string]int{"A1[0]": 3},
			asked: "A1[0] A1[0] B1[1] A2[0] B2[1]"},
		{name: "no branch if the state made nothing of what they returned",
			states: parallel(`"ResultSelector":{"x.$":"$[0].missing"},`), status: StatusFailed,
			types: "ExecutionRedriven ParallelStateSucceeded ExecutionFailed"},
		{name: "of iterations those that failed, were aborted or had not begun",
			states: mapped(`"MaxConcurrency":2,`, ""), input: items, fails: map[string]int{"U[1]": 1},
			asked: "U[1] T[2] T[3] U[2] U[3]",
			types: "ExecutionRedriven MapIterationStarted MapIterationStarted TaskScheduled TaskStarted TaskScheduled TaskStarted" + // U of 1, T of 2
				" TaskSucceeded TaskStateExited MapIterationSucceeded MapIterationStarted TaskStateEntered TaskScheduled TaskStarted" + // T of 3
				strings.Repeat(" TaskSucceeded TaskStateExited TaskStateEntered TaskScheduled TaskStarted", 2) + // U of both
				strings.Repeat(" TaskSucceeded TaskStateExited MapIterationSucceeded", 2) + " MapStateSucceeded MapStateExited ExecutionSucceeded"},
		{name: "of a Map Run its children that failed, also those whose failure would have been tolerated",
			states: mapped(`"ToleratedFailureCount":1,`, distributed), input: items, fails: map[string]int{"T[0]": 1, "U[2]": 1}, asked: "T[0] U[2] U[3] U[0]",
			types: "ExecutionRedriven MapRunRedriven MapRunSucceeded MapStateSucceeded MapStateExited ExecutionSucceeded"},
		{name: "of a Map Run no more children at a time than it may run",
			states: mapped(`"ToleratedFailureCount":2,"MaxConcurrency":1,`, distributed), input: items, fails: map[string]int{"T[0]": 1, "U[1]": 1, "T[2]": 1},
			asked: "T[0] U[0] U[1] T[2] U[2] T[3] U[3]"},
		{name: "of a Map Run over batches the batches that failed",
			states: mapped(`"ItemBatcher":{"MaxItemsPerBatch":3},`, distributed), input: items, fails: map[string]int{"U[1]": 1}, asked: "U[1]"},
		{name: "a Map Run whose batches could not be made",
			states: mapped(`"ItemBatcher":{"MaxItemsPerBatchPath":"$.none"},"ItemsPath":"$.items",`, distributed), input: map[string]any{"items": items, "none": mustNumber(0)},
			types: "ExecutionRedriven MapStateStarted MapRunStarted ExecutionFailed", status: StatusFailed},
		{name: "of a Map Run no child whose history is full",
			states: `"M":{"Type":"Map","ToleratedFailureCount":1,"ItemProcessor":{` + distributed + `"StartAt":"C","States":{
				"C":{"Type":"Choice","Choices":[{"Variable":"$","NumericEquals":1,"Next":"C"}],"Default":"T"},"T":{"Type":"Task","Resource":"r","End":true}}},"End":true}`,
			input: items[:3], fails: map[string]int{"T[0]": 1}, asked: "T[0] T[2]"},
		{name: "a branch in a branch, and the iteration beside it that was aborted",
			states: `"O":{"Type":"Parallel","Branches":[{"StartAt":"P","States":{` + parallel("") + `}},{"StartAt":"M","States":{` + mapped("", "") + `}}],"End":true}`,
			input:  items[:1], fails: map[string]int{"B2[0 1]": 1}, asked: "B2[0 1] U[1 0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := c.states[1 : strings.Index(c.states[1:], `"`)+1]
			r := redriverOf(t, mustParse(t, `{"StartAt":"`+first+`","States":{`+c.states+`}}`), Start{Input: c.input})
			var asked []string
			r.fails = func(at string, _ Command) string {
				if asked = append(asked, at); c.fails[at] > 0 {
					c.fails[at]--
					return "E"
				}
				return ""
			}
			if status := r.end(); status != StatusFailed || r.x.NotRedrivable() != "" {
				t.Fatal(status, r.x.NotRedrivable())
			}
			asked = nil
			r.step(r.event(Redriven))
			status := r.end()
			if want := cmp.Or(c.status, StatusSucceeded); status != want {
				t.Error(status, r.x.failure)
			}
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked for were\n%s, want\n%s", got, c.asked)
			}
			if got := r.types(); c.types != "" && got != c.types {
				t.Errorf("\n%s, want\n%s", got, c.types)
			}
		})
	}
}

func TestARedrivenExecution(t *testing.T) {
	began := time.Unix(1e9, 0).UTC()
	t.Run("shows its redrives, keeps its variables and its entry, and numbers events and commands on", func(t *testing.T) {
		r := redriverOf(t, mustParse(t, `{"StartAt":"A","States":{
			"A":{"Type":"Pass","Assign":{"kept":7},"Next":"B"},
			"B":{"Type":"Task","Resource":"r","Parameters":{"n.$":"$$.Execution.RedriveCount","at.$":"$$.Execution","kept.$":"$kept","try.$":"$$.State.RetryCount"},
				"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1}],"End":true}}}`), Start{Input: map[string]any{}, Time: began, Name: "x"})
		inputs := ""
		r.fails = func(_ string, c Command) string {
			in, _ := c.Input.(map[string]any)
			at, _ := in["at"].(map[string]any)
			inputs += fmt.Sprintln(c.ID, c.Entered, c.Attempt, in["n"], in["kept"], in["try"], at["RedriveTime"])
			return "E"
		}
		r.end()
		r.step(r.event(Redriven))
		r.end()
		r.step(r.event(Redriven))
		r.fails = func(string, Command) string { return "" }
		r.end()
		if want := "1 4 0 0 7 0 <nil>\n3 4 1 0 7 1 <nil>\n4 4 0 1 7 0 2001-09-09T01:46:44.000Z\n6 4 1 1 7 1 2001-09-09T01:46:44.000Z\n"; inputs != want {
			t.Errorf("%s, want\n%s", inputs, want)
		}
		var redrives []string
		for i, h := range r.history {
			if h.ID != int64(i+1) {
				t.Errorf("event %d is numbered %d", i+1, h.ID)
			}
			if h.Type == "ExecutionRedriven" {
				redrives = append(redrives, fmt.Sprint(h.Redrives, h.ID-h.PreviousID))
			}
		}
		if fmt.Sprint(redrives) != "[1 1 2 1]" || r.x.Redrives() != 2 || r.x.Status() != StatusSucceeded {
			t.Errorf("%v, %s", redrives, r.x.Status())
		}
	})
	t.Run("has the whole of its TimeoutSeconds again", func(t *testing.T) {
		r := redriverOf(t, mustParse(t, `{"StartAt":"W","TimeoutSeconds":60,"States":{"W":{"Type":"Wait","Seconds":100,"End":true}}}`), Start{Time: began})
		deadline := r.open[0]
		ev := Event{Kind: TimerFired, ID: deadline.ID, Time: deadline.At}
		r.step(ev)
		if r.x.Status() != StatusTimedOut {
			t.Fatal(r.x.Status())
		}
		ev = r.event(Redriven)
		r.step(ev)
		if want := ev.Time.Add(time.Minute); !r.x.Deadline().Equal(want) || !r.open[0].Deadline() || !r.open[0].At.Equal(want) || !r.open[1].At.Equal(ev.Time.Add(100*time.Second)) {
			t.Errorf("%v, %+v", r.x.Deadline(), r.open)
		}
	})
	t.Run("waits no longer for a time that is past", func(t *testing.T) {
		r := redriverOf(t, mustParse(t, `{"StartAt":"W","States":{"W":{"Type":"Wait","TimestampPath":"$","End":true}}}`), Start{Input: "2001-09-09T01:46:41Z", Time: began})
		r.step(r.event(Aborted))
		ev := r.event(Redriven)
		ev.Time = began.Add(time.Hour)
		r.step(ev)
		if len(r.open) != 1 || r.open[0].At.After(ev.Time) {
			t.Errorf("%+v", r.open)
		}
	})
	t.Run("does all branches again if what they returned was too large together", func(t *testing.T) {
		r := redriverOf(t, mustParse(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","Branches":[
			{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","End":true}}},{"StartAt":"B","States":{"B":{"Type":"Task","Resource":"r","End":true}}}],"End":true}}}`), Start{})
		for range 2 {
			ev := r.event(TaskSucceeded)
			ev.ID, ev.Output = r.open[0].ID, strings.Repeat("x", maxPayload/2)
			r.open = r.open[1:]
			r.step(ev)
		}
		if name, _ := r.x.Failure(); name != errDataLimit {
			t.Fatal(r.x.Status(), name)
		}
		if r.step(r.event(Redriven)); len(r.open) != 2 || r.open[0].State != "A" || r.open[1].State != "B" {
			t.Errorf("%+v", r.open)
		}
	})
	t.Run("is one that has ended without success and has room in its history", func(t *testing.T) {
		m := mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","End":true}}}`)
		refused := func(x *Execution, want string) {
			t.Helper()
			before := x.events
			if _, err := x.Step(Event{Kind: Redriven}); !errors.Is(err, ErrNotRedrivable) || x.NotRedrivable() != want || x.events != before {
				t.Errorf("%v, %q, want %q", err, x.NotRedrivable(), want)
			}
		}
		x, _ := m.Start(Start{})
		refused(x, "Execution is RUNNING and cannot be redriven")
		if _, err := x.Step(Event{Kind: TaskSucceeded, ID: 1}); err != nil {
			t.Fatal(err)
		}
		refused(x, "Execution is SUCCEEDED and cannot be redriven")
		x, _ = mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","IsPresent":true,"Next":"B"}],"Default":"A"},"B":{"Type":"Succeed"}}}`).
			Start(Start{Input: map[string]any{}})
		refused(x, "Execution history event limit exceeded")
	})
	t.Run("whose input was too large fails again", func(t *testing.T) {
		r := redriverOf(t, mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","End":true}}}`), Start{Input: strings.Repeat("x", maxPayload)})
		r.step(r.event(Redriven))
		if name, _ := r.x.Failure(); r.x.Status() != StatusFailed || name != errDataLimit || len(r.open) > 0 {
			t.Error(r.x.Status(), name, r.open)
		}
	})
}
