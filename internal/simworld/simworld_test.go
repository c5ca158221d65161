package simworld_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/simworld"
)

var methods = []string{
	provider.Visa, provider.ChargeDeclined, provider.Timeout, provider.TimeoutCharged, provider.Late, provider.Error, provider.Slow,
}

// A case is one order: how it pays, whether there is enough stock, and after how many steps of the saga it is cancelled.
type scenario struct {
	method  string
	short   bool
	cancel  int           // steps before the cancel; -1: none
	late    time.Duration // when the provider makes a late capture
	failing string        // a task that cannot be reached
}

func (s scenario) String() string {
	cancel := "no cancel"
	if s.cancel >= 0 {
		cancel = fmt.Sprintf("cancel after %d steps", s.cancel)
	}
	stock := "enough stock"
	if s.short {
		stock = "short"
	}
	if s.failing != "" {
		stock += ", " + s.failing + " fails"
	}
	return fmt.Sprintf("%s, %s, %s", s.method, cancel, stock)
}

// play runs the scenario in a world of its own and returns it, at rest and checked.
func (s scenario) play(t *testing.T, c simworld.Config) (w *simworld.World) {
	c.LateAfter, c.Failing = s.late, s.failing
	synctest.Test(t, func(t *testing.T) {
		w = simworld.New(t, c)
		w.Product("LAPTOP-01", 149900, 5)
		w.Product("MOUSE-01", 2999, 5)
		lines := []order.RequestLine{{ProductID: "LAPTOP-01", Quantity: 1}, {ProductID: "MOUSE-01", Quantity: 2}}
		if s.short { // admission of both sees enough, and the other one's saga reserves first
			w.Place("key-other", provider.Visa, order.RequestLine{ProductID: "MOUSE-01", Quantity: 4})
		}
		s.place(w, lines)
		w.RunUntilIdle()
		s.place(w, lines) // I8: the same key, long after
		w.RunUntilIdle()
	})
	return w
}

func (s scenario) place(w *simworld.World, lines []order.RequestLine) {
	id, refused := w.Place("key-1", s.method, lines...)
	if refused != "" || s.cancel < 0 {
		return
	}
	for range s.cancel {
		w.Step()
	}
	w.Cancel(id)
}

// scenarios are every payment method x {no cancel, cancel at each early step} x {enough stock, short}.
func scenarios() []scenario {
	var all []scenario
	for _, method := range methods {
		for _, short := range []bool{false, true} {
			for _, cancel := range []int{-1, 0, 2, 4} {
				late := time.Duration(0)
				if method == provider.Late && cancel == 2 {
					late = 4 * time.Second // the late capture comes before the caller gives up
				}
				all = append(all, scenario{method: method, short: short, cancel: cancel, late: late})
			}
		}
	}
	// Reserving or charging that never succeeds: the release finds no hold and leaves a tombstone, the charge is resolved without one.
	for _, failing := range []string{"inventory.reserve", "payment.charge"} {
		for _, cancel := range []int{-1, 0, 2} {
			all = append(all, scenario{method: provider.Visa, cancel: cancel, failing: failing})
		}
	}
	return all
}

// Every single crash point of every scenario: the process dies before the n-th write or provider call, after it, its reply is
// lost, or it is not done, for each n until there is none left.
func TestSagaSurvivesACrashAtEveryPoint(t *testing.T) {
	var runs, violations atomic.Int64
	started := time.Now()
	t.Cleanup(func() {
		longtest.Record(t, started, longtest.Result{What: "runs, one fault each", Count: int(runs.Load()), Seed: 1, Violations: int(violations.Load())})
	})
	all := scenarios()
	step := longtest.Count(8, 2, 1)
	for i := 0; i < len(all); i += step {
		s := all[i]
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				reached := false
				for _, f := range simworld.Faults {
					for _, apart := range []bool{false, true} {
						w := s.play(t, simworld.Config{Seed: uint64(n), Faults: map[int]simworld.Fault{n: f}, Apart: apart})
						runs.Add(1)
						reached = reached || w.Crashed()
						if v := w.Violations(); len(v) > 0 {
							violations.Add(int64(len(v)))
							t.Fatalf("point %d, %s, steps apart: %t:\n%s\n\ntrace:\n%s", n, f, apart, strings.Join(v, "\n"), w.Trace())
						}
					}
				}
				if !reached {
					return // the run ended before point n: every point is covered
				}
			}
		})
	}
}

// Several orders, several faults, all by chance.
func TestRandomSeedsWithSeveralFaults(t *testing.T) {
	started, violations := time.Now(), 0
	seeds := longtest.Count(20, 200, 20_000)
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		w := randomWorld(t, seed)
		if v := w.Violations(); len(v) > 0 {
			violations += len(v)
			t.Fatalf("seed %d:\n%s\n\ntrace:\n%s", seed, strings.Join(v, "\n"), w.Trace())
		}
	}
	longtest.Record(t, started, longtest.Result{What: "seeds", Count: seeds, Seed: 1, Violations: violations})
}

func randomWorld(t *testing.T, seed uint64) (w *simworld.World) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	faults := map[int]simworld.Fault{}
	for range 1 + rnd.IntN(6) {
		faults[3+rnd.IntN(80)] = simworld.Faults[rnd.IntN(len(simworld.Faults))]
	}
	for range rnd.IntN(12) { // cheap, and there are many tasks to choose from
		faults[3+rnd.IntN(120)] = simworld.Duplicate
	}
	synctest.Test(t, func(t *testing.T) {
		w = simworld.New(t, simworld.Config{
			Seed: seed, Faults: faults, LateAfter: time.Duration(rnd.IntN(20)) * time.Second, Apart: rnd.IntN(2) == 0,
		})
		w.Product("A", 100, int64(1+rnd.IntN(4)))
		w.Product("B", 250, int64(1+rnd.IntN(4)))
		for n := range 2 + rnd.IntN(4) {
			lines := []order.RequestLine{{ProductID: "A", Quantity: int64(1 + rnd.IntN(2))}}
			if rnd.IntN(2) == 0 {
				lines = append(lines, order.RequestLine{ProductID: "B", Quantity: 1})
			}
			id, refused := w.Place(fmt.Sprintf("key-%d", n), methods[rnd.IntN(len(methods))], lines...)
			for range rnd.IntN(8) {
				w.Step()
			}
			if refused == "" && rnd.IntN(3) == 0 {
				w.Cancel(id)
			}
		}
		w.RunUntilIdle()
	})
	return w
}

// The world is a function of its seed.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= uint64(longtest.Count(3, 10, 50)); seed++ {
		a, b := randomWorld(t, seed), randomWorld(t, seed)
		if a.TraceHash() != b.TraceHash() {
			t.Fatalf("seed %d:\n%s\n\nand again:\n%s", seed, a.Trace(), b.Trace())
		}
	}
}
