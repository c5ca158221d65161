package limit

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A house is what a gate stands before.
type house struct {
	*clock
	work   Work
	chance float64
}

func newGate(b Bounds) (*Gate, *house) {
	h := &house{clock: &clock{time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)}, chance: 0.5} // no more and no less than the wait
	return NewGate(b, func() Work { return h.work }, h.now, func() float64 { return h.chance }), h
}

// enters lets as many in as it can, who do not leave, and returns how many that were and why there was no more.
func enters(g *Gate) (n int, refused Reason) {
	for ; n < 10_000; n++ {
		if refused, _ = g.Enter(); refused != "" {
			return n, refused
		}
	}
	return n, ""
}

func TestGate(t *testing.T) {
	t.Run("without bounds everybody comes in", func(t *testing.T) {
		g, _ := newGate(Bounds{})
		if n, why := enters(g); g != nil || why != "" {
			t.Errorf("%d, then %s", n, why)
		}
		g.Leave()
	})
	t.Run("each bound is reached exactly, with those who are entering", func(t *testing.T) {
		for _, c := range []struct {
			bounds Bounds
			work   Work
			n      int
			why    Reason
		}{
			{Bounds{Open: 10}, Work{Open: 7, Ready: 100, Oldest: time.Hour}, 3, TooManyOpen},
			{Bounds{Open: 10}, Work{Open: 10}, 0, TooManyOpen},
			{Bounds{Open: 10}, Work{Open: 25}, 0, TooManyOpen}, // recovered, or resumed by an operator
			{Bounds{Ready: 10}, Work{Open: 100, Ready: 6, Oldest: time.Hour}, 4, TooManyReady},
			{Bounds{Open: 10, Ready: 5}, Work{Open: 1, Ready: 1}, 4, TooManyReady},
			{Bounds{Open: 10, Ready: 5}, Work{Open: 9, Ready: 1}, 1, TooManyOpen},
			{Bounds{Wait: time.Second}, Work{Ready: 1, Oldest: time.Second}, 0, TooLong},
			{Bounds{Wait: time.Second, Ready: 5}, Work{Ready: 1, Oldest: time.Second - 1}, 4, TooManyReady},
		} {
			g, h := newGate(c.bounds)
			h.work = c.work
			if n, why := enters(g); n != c.n || why != c.why {
				t.Errorf("%+v with %+v lets %d in, then %q; want %d, %q", c.bounds, c.work, n, why, c.n, c.why)
			}
		}
	})
	t.Run("who leaves makes room, who is refused takes none", func(t *testing.T) {
		g, _ := newGate(Bounds{Open: 3})
		for range 100 {
			enters(g)
		}
		g.Leave()
		if n, _ := enters(g); n != 1 {
			t.Errorf("one has left, %d came in", n)
		}
	})
	t.Run("it opens when there is less to do", func(t *testing.T) {
		g, h := newGate(Bounds{Ready: 3, Wait: time.Second})
		h.work = Work{Ready: 2, Oldest: time.Minute}
		if why, _ := g.Enter(); why != TooLong {
			t.Errorf("%q", why)
		}
		h.work = Work{Ready: 2, Oldest: time.Millisecond}
		if why, _ := g.Enter(); why != "" {
			t.Errorf("%q", why)
		}
	})
}

// An engine, many at once: whoever enters begins something and leaves. The bound is never passed.
func TestNoBoundIsPassedHoweverManyComeAtOnce(t *testing.T) {
	const bound, many = 7, 64
	var open, most, refused atomic.Int64
	g := NewGate(Bounds{Open: bound}, func() Work { return Work{Open: int(open.Load())} }, time.Now, nil)
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for range 500 {
				if why, _ := g.Enter(); why != "" {
					refused.Add(1)
					continue
				}
				n := open.Add(1) // it begins
				g.Leave()
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				open.Add(-1) // it ends
			}
		})
	}
	all.Wait()
	if most.Load() > bound || most.Load() == 0 {
		t.Errorf("%d at once, the bound is %d", most.Load(), bound)
	}
	if n, _ := enters(g); n != bound {
		t.Errorf("at the end there is room for %d", n)
	}
	t.Logf("%d of %d refused, %d at once", refused.Load(), many*500, most.Load())
}

func TestTheWaitIsWhatTheQueueTakes(t *testing.T) {
	// away is what is said to who is refused after the queue has moved at a pace for some seconds.
	away := func(perSecond, ready int, oldest time.Duration, chance float64) time.Duration {
		g, h := newGate(Bounds{Ready: 1})
		h.work, h.chance = Work{Ready: ready, Oldest: oldest}, chance
		for range 5 {
			g.Enter()
			h.pass(time.Second)
			h.work.Taken += uint64(perSecond)
		}
		why, away := g.Enter()
		if why != TooManyReady {
			t.Fatalf("%q", why)
		}
		return away.Round(time.Millisecond)
	}
	for _, c := range []struct {
		rule      string
		perSecond int
		ready     int
		oldest    time.Duration
		chance    float64
		want      time.Duration
	}{
		{"a queue of 10,000 at 1,000 a second takes ten", 1000, 10_000, time.Minute, 0.5, 10 * time.Second},
		{"and half of that at the least", 1000, 10_000, 0, 0, 5 * time.Second},
		{"and half more at the most", 1000, 10_000, 0, 1, 15 * time.Second},
		{"one that is through in a moment takes a second", 4000, 10, 0, 0.5, time.Second},
		{"one that stands still takes as long as there is", 0, 10, time.Minute, 0.5, mostAway},
		{"and so does one that hardly moves", 1, 10_000, time.Minute, 0.5, mostAway},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := away(c.perSecond, c.ready, c.oldest, c.chance); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	t.Run("while the pace is not known it is how long the first has waited", func(t *testing.T) {
		g, h := newGate(Bounds{Wait: 5 * time.Second})
		h.work = Work{Ready: 3, Oldest: 7 * time.Second}
		if _, away := g.Enter(); away != 7*time.Second {
			t.Errorf("%s", away)
		}
	})
	t.Run("a pace of long ago is none", func(t *testing.T) {
		g, h := newGate(Bounds{Ready: 100})
		for range 3 { // nothing moves: nobody is there
			g.Enter()
			h.pass(time.Second)
		}
		h.pass(time.Hour)
		h.work = Work{Ready: 100, Oldest: 3 * time.Second, Taken: 50}
		if _, away := g.Enter(); away != 3*time.Second {
			t.Errorf("%s", away)
		}
	})
	t.Run("what is open and sleeps tells nothing of its end", func(t *testing.T) {
		g, h := newGate(Bounds{Open: 1})
		h.work = Work{Open: 1}
		if _, away := g.Enter(); away != openAway {
			t.Errorf("%s", away)
		}
	})
	t.Run("a crowd is not asked to come back at once, nor later than in a minute, and in whole seconds", func(t *testing.T) {
		g := NewGate(Bounds{Ready: 1}, func() Work { return Work{Ready: 1000, Oldest: time.Hour} }, time.Now, nil)
		var seconds []int64
		for range 1000 {
			_, away := g.Enter()
			seconds = append(seconds, Seconds(away))
		}
		slices.Sort(seconds)
		if seconds[0] < 20 || seconds[999] > 60 || len(slices.Compact(slices.Clone(seconds))) < 30 {
			t.Errorf("from %d to %d s, %d different", seconds[0], seconds[999], len(slices.Compact(seconds)))
		}
	})
	t.Run("a clock that is set back is measured anew", func(t *testing.T) {
		g, h := newGate(Bounds{Ready: 1})
		h.work = Work{Ready: 100, Oldest: 2 * time.Second}
		var aways []time.Duration
		for _, pass := range []time.Duration{0, time.Second, -time.Hour, time.Second} {
			h.pass(pass)
			h.work.Taken += 20
			_, away := g.Enter()
			aways = append(aways, away)
		}
		if want := []time.Duration{2 * time.Second, 5 * time.Second, 2 * time.Second, 5 * time.Second}; !slices.Equal(aways, want) {
			t.Errorf("%s, want %s", aways, want)
		}
	})
	t.Run("who is overtaken between its look at the clock and the measurement spoils nothing", func(t *testing.T) {
		g, h := newGate(Bounds{Ready: 1})
		h.work = Work{Ready: 100, Oldest: 2 * time.Second}
		g.Enter()
		h.pass(time.Second)
		h.work.Taken = 20
		g.now = func() time.Time { // of the first caller, which then has to wait for a processor
			at := h.now()
			g.now = h.now
			h.pass(time.Millisecond)
			g.Enter()
			return at
		}
		_, away := g.Enter()
		if away = away.Round(time.Second); away != 5*time.Second {
			t.Errorf("%s, for 100 at 20 a second", away)
		}
	})
	if math.Ceil(1.5*mostAway.Seconds()) != 60 {
		t.Error("the longest wait is not a minute")
	}
}

func ExampleSeconds() {
	fmt.Println(Seconds(0), Seconds(time.Second), Seconds(1001*time.Millisecond))
	// Output: 1 1 2
}

// BenchmarkGate is what the gate costs each order that comes in.
func BenchmarkGate(b *testing.B) {
	g := NewGate(Bounds{Open: 1000, Ready: 1000, Wait: time.Second}, func() Work { return Work{Open: 1} }, time.Now, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if why, _ := g.Enter(); why == "" {
				g.Leave()
			}
		}
	})
}
