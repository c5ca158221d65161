package asl

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what happened into testdata/transcripts")

// TestTranscripts runs testdata/transcripts. A file states rules after '#', gives a definition, and after a line "----"
// what happens, each line after '>' with the engine's answer below it:
//
//	> start INPUT           the answer: its commands, one a line, and how it ended
//	> ok ID OUTPUT          TaskSucceeded
//	> fail ID ERROR CAUSE   TaskFailed; "-" is an absent ERROR or CAUSE
//	> timeout ID [ERROR]    TaskTimedOut
//	> fire ID               TimerFired, at the time that the timer was set to
//	> abort ERROR CAUSE     Aborted
//	> history, > current    what the execution shows
//
// "@90s" before the arguments is the event's time since the start, "seed=7" its seed. After each file the events are
// replayed, on a new execution and on clones: the commands have to be the same.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runTranscript(t, string(b))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(b) && !*update {
				t.Errorf("%s: want\n%s\ngot\n%s", file, b, got)
			}
		})
	}
}

func runTranscript(t *testing.T, text string) string {
	t.Helper()
	head, _, ok := strings.Cut(text, "----\n")
	if !ok {
		t.Fatal("the line ---- is missing")
	}
	var definition, out strings.Builder
	for line := range strings.Lines(head) {
		if !strings.HasPrefix(line, "#") {
			definition.WriteString(line)
		}
	}
	out.WriteString(head + "----\n")
	m, err := Parse([]byte(definition.String()), WithEvaluator(testEvaluator{}))
	if err != nil {
		t.Fatal(err)
	}
	p := player{t: t, machine: m}
	for line := range strings.Lines(text[len(head)+len("----\n"):]) {
		if strings.HasPrefix(line, ">") || strings.HasPrefix(line, "#") || line == "\n" {
			out.WriteString(line)
		}
		if rest, is := strings.CutPrefix(line, "> "); is {
			for _, answer := range p.play(strings.TrimSpace(rest)) {
				out.WriteString("  " + answer + "\n")
			}
		}
	}
	p.replay()
	return out.String()
}

// player plays the lines of a transcript; a start begins another execution.
type player struct {
	t        *testing.T
	machine  *Machine
	x        *Execution
	start    Start
	timers   map[int64]time.Time
	events   []Event
	answers  []string // of start and of the events that were taken, in order
	observed []HistoryEvent
}

func (p *player) play(line string) []string {
	verb, rest, _ := strings.Cut(line, " ")
	ev := Event{}
	for {
		word, after, _ := strings.Cut(rest, " ")
		if at, is := strings.CutPrefix(word, "@"); is {
			d, err := time.ParseDuration(at)
			p.must(err)
			ev.Time = p.start.Time.Add(d)
		} else if seed, is := strings.CutPrefix(word, "seed="); is {
			n, err := strconv.ParseUint(seed, 10, 64)
			p.must(err)
			ev.Seed = n
		} else {
			break
		}
		rest = after
	}
	switch verb {
	case "start":
		return p.begin(rest)
	case "history":
		return p.history()
	case "current":
		state, input := p.x.Current()
		return []string{state + " " + string(AppendJSON(nil, input))}
	}
	if verb != "abort" {
		var id string
		id, rest, _ = strings.Cut(rest, " ")
		n, err := strconv.ParseInt(id, 10, 64)
		p.must(err)
		ev.ID = n
	}
	p.fill(&ev, verb, rest)
	commands, err := p.x.Step(ev)
	if err != nil {
		if errors.Is(err, ErrStale) {
			return []string{"stale"}
		}
		return []string{err.Error()}
	}
	return p.answer(ev, commands)
}

func (p *player) fill(ev *Event, verb, rest string) {
	p.t.Helper()
	switch verb {
	case "ok", "submit":
		v, err := DecodeJSON([]byte(rest))
		p.must(err)
		ev.Kind, ev.Output = TaskSucceeded, v
		if verb == "submit" {
			ev.Kind = TaskSubmitted
		}
	case "fail", "abort":
		ev.Kind = TaskFailed
		if verb == "abort" {
			ev.Kind = Aborted
		}
		ev.Error, ev.Cause, _ = strings.Cut(rest, " ")
		if ev.NoError = ev.Error == "-"; ev.NoError {
			ev.Error = ""
		}
		if ev.NoCause = ev.Cause == "-"; ev.NoCause {
			ev.Cause = ""
		}
	case "timeout":
		ev.Kind, ev.Error = TaskTimedOut, rest
	case "fire":
		ev.Kind, ev.Time = TimerFired, p.timers[ev.ID]
	default:
		p.t.Fatalf("unknown line: %s %s", verb, rest)
	}
}

func (p *player) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) begin(input string) []string {
	if p.x != nil {
		p.replay()
	}
	v, err := DecodeJSON([]byte(input))
	p.must(err)
	p.start = Start{
		Input: v, Name: "e1", ID: "arn:e1", RoleARN: "arn:role", Machine: "m", MachineID: "arn:m",
		Time:    time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
		Observe: func(e HistoryEvent) { p.observed = append(p.observed, e) },
	}
	p.timers, p.events, p.answers, p.observed = map[int64]time.Time{}, nil, nil, nil
	var commands []Command
	p.x, commands = p.machine.Start(p.start)
	answers := p.lines(p.x, commands)
	p.answers = append(p.answers, strings.Join(answers, "\n"))
	return answers
}

func (p *player) answer(ev Event, commands []Command) []string {
	answers := p.lines(p.x, commands)
	p.events = append(p.events, ev)
	p.answers = append(p.answers, strings.Join(answers, "\n"))
	return answers
}

func (p *player) lines(x *Execution, commands []Command) (lines []string) {
	for _, c := range commands {
		line := fmt.Sprintf("%s %d %s", c.Kind, c.ID, c.State)
		switch c.Kind {
		case RunTask:
			line += fmt.Sprintf(" %s %s", c.Resource, AppendJSON(nil, c.Input))
		case StartTimer:
			p.timers[c.ID] = c.At
			line += " at " + c.At.Sub(p.start.Time).String()
		case Cancel:
		}
		if c.Attempt > 0 {
			line += fmt.Sprintf(" attempt=%d", c.Attempt)
		}
		if c.Timeout > 0 {
			line += " timeout=" + c.Timeout.String()
		}
		if c.Heartbeat > 0 {
			line += " heartbeat=" + c.Heartbeat.String()
		}
		if c.RoleARN != "" {
			line += " role=" + c.RoleARN
		}
		lines = append(lines, line)
	}
	switch err, cause := x.FailureJSON(); x.Status() {
	case StatusRunning:
	case StatusSucceeded:
		lines = append(lines, fmt.Sprintf("SUCCEEDED %s", AppendJSON(nil, x.Output())))
	default:
		lines = append(lines, fmt.Sprintf("%s %s %s", x.Status(), AppendJSON(nil, err), AppendJSON(nil, cause)))
	}
	return lines
}

func (p *player) history() (lines []string) {
	for _, e := range p.observed {
		line := fmt.Sprintf("%d<-%d %s %s", e.ID, e.PreviousID, e.Time.Sub(p.start.Time), e.Type)
		if e.State != "" {
			line += " " + e.State
		}
		if strings.HasPrefix(e.Type, "MapIteration") {
			line += fmt.Sprintf(" index=%d", e.Index)
		}
		if e.Type == "MapStateStarted" {
			line += fmt.Sprintf(" length=%d", e.Length)
		}
		if e.Input != nil {
			line += fmt.Sprintf(" input=%s", AppendJSON(nil, e.Input))
		}
		if e.Output != nil {
			line += fmt.Sprintf(" output=%s", AppendJSON(nil, e.Output))
		}
		if e.Assigned != nil {
			line += fmt.Sprintf(" assigned=%s", AppendJSON(nil, e.Assigned))
		}
		if e.Location != "" {
			line += " at " + e.Location
		}
		if e.Error != "" || e.Cause != "" {
			line += fmt.Sprintf(" error=%q cause=%q", e.Error, e.Cause)
		}
		lines = append(lines, line)
	}
	return lines
}

// replay steps the same events again: a new execution, and each time a clone beside an original that stays as it was.
func (p *player) replay() {
	p.t.Helper()
	start := p.start
	start.Observe = nil
	x, commands := p.machine.Start(start)
	for i := 0; ; i++ {
		if got := strings.Join(p.lines(x, commands), "\n"); got != p.answers[i] {
			p.t.Errorf("the replay of event %d answers %s, at first it was %s", i, got, p.answers[i])
		}
		if i == len(p.events) {
			return
		}
		clone := x.Clone()
		if _, err := clone.Step(p.events[i]); err != nil {
			p.t.Errorf("event %d on a clone: %v", i, err)
		}
		var err error
		if commands, err = x.Step(p.events[i]); err != nil {
			p.t.Fatalf("event %d on a replay: %v", i, err)
		}
		if x.status != clone.status || x.lastID != clone.lastID || x.events != clone.events {
			p.t.Errorf("after event %d the clone stands elsewhere than its original", i)
		}
	}
}
