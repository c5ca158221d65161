package simworld_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/simworld"
)

// seedAlone is the environment variable that names the one seed that is to be lived.
const seedAlone = "CLOUDFLOW_SIM_SEED"

// floors are how often each thing has to happen in 200 lives at the least, about half of what was counted when they were drawn: what seeds no
// longer reach is noticed.
var floors = map[string]int{
	// orders, and what was asked about them
	"order CONFIRMED": 200, "order CANCELLED": 170, "order COMPENSATED": 80, "order FAILED": 30, "order REVIEW": 2, "resumed": 25,
	"place: InsufficientStock": 100, "place: PaymentProviderUnavailable": 20, "misuse: IdempotencyKeyReused": 200, "asked again under the key": 700,
	"cancel: ": 250, "cancel: OrderFinal": 150, "cancel: InReview": 3, "called again": 1000, "meddle": 500,
	// points
	"crash before": 60, "crash after": 60, "reply lost": 60, "not done": 60, "duplicate": 250, "stall": 60, "restart": 120,
	// clocks
	"restart with another clock": 70, "clock set back": 35, "clock set forth": 35,
	// the provider
	"outage failed a open": 35, "outage failed a capture": 7, "outage failed a cancel": 6, "outage failed a refund": 15,
	"answered too late to a capture": 12, "answered too late to a cancel": 2,
	"payment-charge OPEN": 12, "payment-charge HALF_OPEN": 8, "payment-charge CLOSED": 3, "payment-refund OPEN": 4, "payment-refund HALF_OPEN": 4,
	// the disk
	"write refused by a full disk": 2000, "read while the disk is full": 8, "died of a full disk, written": 6, "died of a full disk, not written": 6,
	// bugs
	"a bug in a task": 50,
}

// crowd is how many of 200 lives have to have at least so many executions at once.
var crowds = map[int]int{2: 75, 4: 30, 6: 10, 8: 2}

// Whole lives: several orders at once, clocks that differ, a provider that comes and goes, a disk that runs full, bugs, and all faults.
func TestLivesOfManySeeds(t *testing.T) {
	first, seeds := uint64(1), longtest.Count(20, 200, 2000)
	if text := os.Getenv(seedAlone); text != "" {
		var err error
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
		seeds = 1
	}
	started := time.Now()
	var mu sync.Mutex
	happened, atOnce, violations := map[string]int{}, map[int]int{}, 0
	t.Cleanup(func() {
		if seeds >= 200 && !t.Failed() {
			reached(t, happened, atOnce, seeds)
		}
		longtest.Record(t, started, longtest.Result{
			What: "seeds", Count: seeds, Seed: first, Violations: violations,
			Detail: fmt.Sprintf("orders %v, executions at once %v", endings(happened), atOnce),
		})
	})
	for seed := first; seed < first+uint64(seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := live(t, simworld.Draw(seed))
			mu.Lock()
			defer mu.Unlock()
			for what, n := range w.Happened() {
				if what == simworld.AtOnce {
					atOnce[n]++
				} else {
					happened[what] += n
				}
			}
			if v := w.Violations(); len(v) > 0 {
				violations += len(v)
				t.Errorf("%s\n\n%s\ntrace:\n%s\n\nagain: %s=%d go test -run TestLivesOfManySeeds ./internal/simworld",
					strings.Join(v[:min(len(v), 10)], "\n"), simworld.Draw(seed), w.Trace(), seedAlone, seed)
			}
		})
	}
}

// reached asserts that nothing passed because nothing happened.
func reached(t *testing.T, happened map[string]int, atOnce map[int]int, seeds int) {
	t.Helper()
	for what, least := range floors {
		if n := happened[what]; n < least*seeds/200 {
			t.Errorf("%s: %d times in %d lives, want %d at least", what, n, seeds, least*seeds/200)
		}
	}
	for many, least := range crowds {
		lives := 0
		for n, worlds := range atOnce {
			if n >= many {
				lives += worlds
			}
		}
		if lives < least*seeds/200 {
			t.Errorf("%d executions at once in %d of %d lives, want %d at least", many, lives, seeds, least*seeds/200)
		}
	}
	if t.Failed() {
		t.Logf("happened: %v", happened)
	}
}

// endings are how many orders ended in which way.
func endings(happened map[string]int) map[string]int {
	ends := map[string]int{}
	for what, n := range happened {
		if status, ok := strings.CutPrefix(what, "order "); ok {
			ends[status] = n
		}
	}
	return ends
}

func live(t *testing.T, c simworld.Config) (w *simworld.World) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = simworld.New(t, c)
		w.Live()
	})
	return w
}

// A life is a function of its seed.
func TestTheSameSeedGivesTheSameLife(t *testing.T) {
	for seed := uint64(1); seed <= uint64(longtest.Count(10, 40, 200)); seed++ {
		a, b := live(t, simworld.Draw(seed)), live(t, simworld.Draw(seed))
		if a.TraceHash() != b.TraceHash() {
			t.Fatalf("%s\n%s\n\nand again:\n%s", simworld.Draw(seed), a.Trace(), b.Trace())
		}
	}
}
