package simworld

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A Clock says how the clocks differ from the world's, which is the customers'. Of the zero Clock all are the same.
type Clock struct {
	Provider time.Duration // how far the provider's is ahead; below 0: behind
	Process  time.Duration // how far ahead that of the first process is
	Restart  time.Duration // that of each later process is off by up to this, either way
	Steps    []ClockStep   // in the order of their times
}

// A ClockStep sets the clock of the process that runs then.
type ClockStep struct {
	At time.Duration // since the world began
	By time.Duration
}

// A clock shows all the times of a world.
type clock struct {
	c     Clock
	began time.Time     // the bubble's
	date  time.Duration // by the seed, so that no test depends on a date

	mu    sync.Mutex
	ahead time.Duration // the process's, when it started, without the steps before
}

// world is the time of the world.
func (c *clock) world() time.Time { return time.Now().Add(c.date) }

func (c *clock) provider() time.Time { return c.world().Add(c.c.Provider) }

// process is the time by the clock of the process that runs.
func (c *clock) process() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.world().Add(c.ahead + c.stepped())
}

// slowest is no later than it is by any clock that a process of this world could have: what it says of the age of a hold is never too much.
func (c *clock) slowest() time.Time { return c.world().Add(-c.mayDiffer()) }

// mayDiffer is how far a process's clock may ever be from the world's.
func (c *clock) mayDiffer() time.Duration {
	off := max(c.c.Process.Abs(), c.c.Restart)
	for _, s := range c.c.Steps {
		off += s.By.Abs()
	}
	return off
}

// stepped is by how much the clock was set until now.
func (c *clock) stepped() (by time.Duration) {
	for _, s := range c.c.Steps {
		if time.Since(c.began) >= s.At {
			by += s.By
		}
	}
	return by
}

// restart gives the next process its clock, and says by how much it is ahead.
func (c *clock) restart(rnd *rand.Rand) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c.Restart > 0 {
		ahead := time.Duration(rnd.Int64N(int64(2*c.c.Restart))) - c.c.Restart
		c.ahead = ahead - c.stepped()
	}
	return c.ahead + c.stepped()
}

// untilSet is d, or less if the clock is set before: who sleeps by a clock that is set looks at it again, as the engine does.
func (c *clock) untilSet(d time.Duration) time.Duration {
	for _, s := range c.c.Steps {
		if left := s.At - time.Since(c.began); left > 0 {
			d = min(d, left)
		}
	}
	return d
}

// untilLastSet is how long it is until the clock is set for the last time; 0: that is over.
func (c *clock) untilLastSet() (left time.Duration) {
	for _, s := range c.c.Steps {
		left = max(left, s.At-time.Since(c.began))
	}
	return left
}

// sinceSet is how long ago the clock was set, or the world began.
func (c *clock) sinceSet() time.Duration {
	since := time.Since(c.began)
	for _, s := range c.c.Steps {
		if ago := time.Since(c.began) - s.At; ago >= 0 {
			since = min(since, ago)
		}
	}
	return since
}

// tell notes the steps that were made by now.
func (c *clock) tell(note func(what string)) {
	for _, s := range c.c.Steps {
		switch {
		case time.Since(c.began) < s.At:
		case s.By < 0:
			note("clock set back")
		default:
			note("clock set forth")
		}
	}
}

// turns is what the race detector knows of a bubble: in it one goroutine runs at a time, since each waits for an instant of its own, and what one did
// is done when the next one wakes.
type turns struct{ n atomic.Uint64 }

// take is called when a goroutine's turn begins or ends.
func (t *turns) take() { t.n.Add(1) }

// pause waits on the world's clock, which jumps there: nothing else is running, but a task that was given up.
func (w *World) pause(d time.Duration) {
	w.turns.take()
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
	w.turns.take()
}

// sleep is how the provider waits. Where the answer and the caller's deadline fall on the same instant a select would toss a coin
// that no seed decides; here the deadline wins.
func (w *World) sleep(ctx context.Context, d time.Duration) error {
	w.turns.take()
	defer w.turns.take()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		<-ctx.Done()
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
