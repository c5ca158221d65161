package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/limit"
)

func TestTheGateTellsCallersWhenAndTheOperatorWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		counted := map[string]int{}
		c := Config{
			Bounds: limit.Bounds{Open: 100, Ready: 10, Wait: 5 * time.Second}, Now: time.Now, Log: slog.New(slog.NewJSONHandler(&lines, nil)),
			Counts: Counts{OrderRefused: func(reason string) { counted[reason]++ }},
		}
		load := flow.Load{Open: 40, Ready: 10, Oldest: 3 * time.Second}
		g := newGate(c, func() flow.Load { return load })
		refusedFor := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
				err := g.Enter()
				var f *fault.Error
				if !errors.As(err, &f) || !fault.Is(err, fault.Overloaded) || f.Kind.Status() != 503 || f.Kind.Code() != "OVERLOADED" {
					t.Fatalf("%v", err)
				}
				if s, ok := f.Details["retry_after_seconds"].(int64); !ok || s < 1 || s > 60 || len(f.Details) != 1 {
					t.Fatalf("details %v", f.Details)
				}
			}
		}
		refusedFor(150 * time.Second)
		load.Ready, load.Oldest = 1, 7*time.Second
		refusedFor(50 * time.Second)
		load = flow.Load{Open: 100}
		refusedFor(10 * time.Second)
		load.Open = 1
		if err := g.Enter(); err != nil {
			t.Error(err)
		}
		g.Leave()
		if counted["ready"] != 1500 || counted["wait"] != 500 || counted["open"] != 100 {
			t.Errorf("counted %v", counted)
		}
		type line struct {
			Level, Msg, Reason   string
			Refused, Open, Ready int
			Oldest               time.Duration
		}
		var told []line
		for _, text := range strings.Split(strings.TrimSpace(lines.String()), "\n") {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			if l.Level != "WARN" {
				t.Errorf("%s", text)
			}
			l.Level, l.Msg = "", ""
			told = append(told, l)
		}
		want := []line{ // the first, then one a minute of all since
			{Reason: "ready", Refused: 1, Open: 40, Ready: 10, Oldest: 3 * time.Second},
			{Reason: "ready", Refused: 600, Open: 40, Ready: 10, Oldest: 3 * time.Second},
			{Reason: "ready", Refused: 600, Open: 40, Ready: 10, Oldest: 3 * time.Second},
			{Reason: "wait", Refused: 600, Open: 40, Ready: 1, Oldest: 7 * time.Second},
		}
		if len(told) != len(want) {
			t.Fatalf("%d lines:\n%s", len(told), lines.String())
		}
		for n := range want {
			if told[n] != want[n] {
				t.Errorf("line %d: %+v, want %+v", n, told[n], want[n])
			}
		}
	})
}

func TestWithoutBoundsThereIsNoGate(t *testing.T) {
	g := newGate(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, func() flow.Load { return flow.Load{Open: 1 << 40, Ready: 1 << 40, Oldest: time.Hour} })
	for range 1000 {
		if err := g.Enter(); err != nil {
			t.Fatal(err)
		}
	}
}

// A clock that is set back an hour must not keep the operator in the dark for that hour.
func TestRefusalsAreToldOfWhenTheClockWasSetBack(t *testing.T) {
	var lines bytes.Buffer
	now := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	c := Config{Bounds: limit.Bounds{Open: 1}, Now: func() time.Time { return now }, Log: slog.New(slog.NewJSONHandler(&lines, nil))}
	g := newGate(c, func() flow.Load { return flow.Load{Open: 1} })
	for _, pass := range []time.Duration{0, time.Second, -time.Hour, time.Second, refusalsEvery, 0} {
		now = now.Add(pass)
		if g.Enter() == nil {
			t.Fatal("somebody was let in")
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != 3 { // the first, the one after the clock was set, and the one a minute later
		t.Errorf("%d lines:\n%s", n, lines.String())
	}
}
