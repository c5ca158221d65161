package asl

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

const limitMachine = `{"StartAt":"A","States":{
	"A":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke","Parameters":{"input.$":"$"},%s"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"B"}],"Next":"B"},
	"B":{"Type":"Succeed"}}}`

func mustParse(tb testing.TB, definition string) *Machine {
	tb.Helper()
	m, err := Parse([]byte(definition))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestPayloadLimit(t *testing.T) {
	ofSize := func(n int) any { return strings.Repeat("x", n-2) } // with its quotes
	m := mustParse(t, fmt.Sprintf(limitMachine, ""))

	t.Run("a result of exactly 262,144 bytes passes", func(t *testing.T) {
		x, _ := m.Start(Start{Input: map[string]any{}})
		if _, err := x.Step(Event{Kind: TaskSucceeded, ID: 1, Output: ofSize(maxPayload)}); err != nil || x.Status() != StatusSucceeded {
			t.Error(err, x.Status())
		}
	})
	t.Run("one byte more is the task's States.DataLimitExceeded, which a Catch sees", func(t *testing.T) {
		x, _ := m.Start(Start{Input: map[string]any{}})
		if _, err := x.Step(Event{Kind: TaskSucceeded, ID: 1, Output: ofSize(maxPayload + 1)}); err != nil {
			t.Fatal(err)
		}
		want := `{"e":{"Cause":"The state/task 'lambda' returned a result with a size exceeding the maximum number of bytes service limit.","Error":"States.DataLimitExceeded"}}`
		if got := string(AppendJSON(nil, x.Output())); got != want {
			t.Error(got)
		}
	})
	t.Run("what the state itself makes too large fails the execution, past every Catch", func(t *testing.T) {
		m := mustParse(t, fmt.Sprintf(limitMachine, `"ResultPath":"$.result",`))
		x, _ := m.Start(Start{Input: map[string]any{"keep": ofSize(maxPayload / 2)}})
		if _, err := x.Step(Event{Kind: TaskSucceeded, ID: 1, Output: ofSize(maxPayload / 2)}); err != nil {
			t.Fatal(err)
		}
		if name, cause := x.Failure(); x.Status() != StatusFailed || name != errDataLimit || !strings.Contains(cause, "(entered at the event id #2)") {
			t.Error(x.Status(), name, cause)
		}
	})
	t.Run("an input over the limit fails at the start", func(t *testing.T) {
		x, commands := m.Start(Start{Input: ofSize(maxPayload + 1)})
		if name, _ := x.Failure(); len(commands) > 0 || x.Status() != StatusFailed || name != errDataLimit {
			t.Error(commands, x.Status(), name)
		}
		if state, _ := x.Current(); state != "A" {
			t.Error(state)
		}
	})
	t.Run("a bound that has grown over the limit is counted again", func(t *testing.T) {
		m := mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","ResultPath":"$.same","Catch":[{"ErrorEquals":["End"],"Next":"B"}],"Next":"A"},"B":{"Type":"Succeed"}}}`)
		x, commands := m.Start(Start{Input: map[string]any{}})
		for range 50 { // the bound adds each result, the value replaces it
			var err error
			if commands, err = x.Step(Event{Kind: TaskSucceeded, ID: commands[0].ID, Output: ofSize(100_000)}); err != nil {
				t.Fatal(err)
			}
		}
		if x.Status() != StatusRunning {
			t.Error(x.Failure())
		}
	})
}

func TestAMachineThatLoopsEndsAtAWSsHistoryLimit(t *testing.T) {
	m := mustParse(t, `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.x","IsPresent":true,"Next":"B"}],"Default":"A"},"B":{"Type":"Succeed"}}}`)
	last := int64(0)
	x, _ := m.Start(Start{Input: map[string]any{}, Observe: func(e HistoryEvent) { last = e.ID }})
	if name, cause := x.Failure(); x.Status() != StatusFailed || name != errRuntime || !strings.Contains(cause, "25000") {
		t.Error(x.Status(), name, cause)
	}
	if last < maxEvents-1 || last > maxEvents {
		t.Errorf("the history has %d events", last)
	}
}

func TestFullJitterIsUniformFromZeroToTheDelay(t *testing.T) {
	r := retrier{interval: 10 * time.Second, backoff: 2, maxDelay: 30 * time.Second, fullJitter: true}
	plain := r
	plain.fullJitter = false
	for n, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second} {
		if got := plain.delay(n, 1); got != want {
			t.Errorf("without jitter retry %d waits %s, want %s", n, got, want)
		}
		var sum time.Duration
		least, most := want, time.Duration(0)
		const seeds = 10_000
		for seed := range uint64(seeds) {
			d := r.delay(n, seed)
			if d < 0 || d > want || d%time.Millisecond != 0 || d != r.delay(n, seed) {
				t.Fatalf("seed %d: retry %d waits %s of %s", seed, n, d, want)
			}
			sum, least, most = sum+d, min(least, d), max(most, d)
		}
		if mean := sum / seeds; mean < want*48/100 || mean > want*52/100 || least > want/100 || most < want*99/100 {
			t.Errorf("retry %d: from %s to %s, mean %s, of %s", n, least, most, mean, want)
		}
	}
	if d := (&retrier{interval: 1e8 * time.Second, backoff: 1e300}).delay(1000, 1); d != maxWait {
		t.Errorf("an overflowing delay is %s", d)
	}
}

// TestEveryReplayGivesTheSameCommands answers a machine at random, sometimes stale, and replays what was taken.
func TestEveryReplayGivesTheSameCommands(t *testing.T) {
	m := mustParse(t, `{"StartAt":"A","TimeoutSeconds":500,"States":{
		"A":{"Type":"Task","Resource":"r","Parameters":{"in.$":"$","n.$":"$$.State.RetryCount"},"ResultPath":"$.a",
			"Retry":[{"ErrorEquals":["E1","States.Timeout"],"JitterStrategy":"FULL","MaxAttempts":5}],"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"W"}],"Next":"C"},
		"C":{"Type":"Choice","Choices":[{"Variable":"$.a","NumericGreaterThan":90,"Next":"Done"}],"Default":"A"},
		"W":{"Type":"Wait","Seconds":3,"Next":"P"},"P":{"Type":"Pass","Parameters":{"at.$":"$$.State.EnteredTime"},"Next":"A"},"Done":{"Type":"Succeed"}}}`)
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		start := Start{Input: map[string]any{}, Time: time.Unix(1e9, 0), Seed: seed}
		x, commands := m.Start(start)
		open, trace := map[int64]Command{}, fmt.Sprint(commands)
		var taken []Event
		for range 300 {
			for _, c := range commands {
				open[c.ID] = c
			}
			ev := randomAnswer(rng, x, open)
			var err error
			if commands, err = x.Step(ev); err == nil {
				delete(open, ev.ID)
				taken, trace = append(taken, ev), trace+fmt.Sprint(commands)
			}
		}
		y, commands := m.Start(start)
		replay := fmt.Sprint(commands)
		for _, ev := range taken {
			c, err := y.Step(ev)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			replay += fmt.Sprint(c)
		}
		if trace != replay || x.Status() != y.Status() || x.events != y.events || fmt.Sprint(x.Output()) != fmt.Sprint(y.Output()) {
			t.Fatalf("seed %d: the replay differs:\n%s\n%s", seed, trace, replay)
		}
	}
}

func randomAnswer(rng *rand.Rand, x *Execution, open map[int64]Command) Event {
	ev := Event{ID: rng.Int64N(x.lastID + 2), Time: x.now.Add(time.Duration(rng.IntN(2000)-500) * time.Millisecond), Seed: rng.Uint64()}
	kinds := []EventKind{TaskSucceeded, TaskFailed, TaskTimedOut, TimerFired}
	ev.Kind = kinds[rng.IntN(len(kinds))]
	if c, ok := open[ev.ID]; ok && c.Kind == StartTimer && c.State != "" {
		ev.Kind, ev.Time = TimerFired, c.At
	}
	switch ev.Kind {
	case TaskSucceeded:
		ev.Output = mustNumber(rng.IntN(100))
	case TaskFailed:
		ev.Error, ev.Cause = fmt.Sprintf("E%d", rng.IntN(3)), "x"
	}
	return ev
}

func mustNumber(n int) any { return json.Number(strconv.Itoa(n)) }
