package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds are how much may have begun and not ended before nothing more is let in; 0: any amount.
type Bounds struct {
	Open  int           // what has begun and not ended: it takes memory, whether it waits or sleeps
	Ready int           // what waits for its turn
	Wait  time.Duration // how long the first of these may have waited
}

// A Work is how much there is at a moment.
type Work struct {
	Open, Ready int
	Oldest      time.Duration // how long the first that is ready has waited; 0 if none is
	Taken       uint64        // how many have had their turn since the start
}

// A Reason says which bound was reached.
type Reason string

// The reasons.
const (
	TooManyOpen  Reason = "open"
	TooManyReady Reason = "ready"
	TooLong      Reason = "wait"
)

// Reasons are all of them.
var Reasons = []Reason{TooManyOpen, TooManyReady, TooLong}

const (
	// paceTime is over how long the pace of the queue is measured at least: long enough for some turns even where each takes a second.
	paceTime = time.Second
	// stalePace is how long a measurement is one of the present. An idle night says nothing about the rush that follows it.
	stalePace = 10 * time.Second
	// Who is refused is asked to come back once the queue has been worked off, give or take a half of that: all who were refused in one
	// second must not come back in one. It is a minute at most, since nobody knows what the next minute is like.
	leastAway, mostAway = time.Second, 40 * time.Second
	// openAway is for who met the bound of what is open. Most of that sleeps, and when it ends the queue does not tell.
	openAway = 30 * time.Second
)

// A Gate keeps new work out while there is too much of it already. It never holds anybody: who does not get in is told when to try again.
// It is safe for concurrent use and takes no lock, but once a second to measure the pace. A nil Gate lets everybody in.
//
// Who has entered and not left yet counts as begun, so that however many come at once no bound is passed.
type Gate struct {
	bounds Bounds
	work   func() Work
	now    func() time.Time
	chance func() float64

	entered atomic.Int64 // and have not left

	measured atomic.Int64 // when the pace was, in nanoseconds since 1970
	mu       sync.Mutex   // guards what follows
	taken    uint64       // by then
	pace     float64      // turns a second; below 0: not known
}

// NewGate returns the gate of the bounds, nil if there are none. work is asked at each Enter, and is quick. chance is from 0 to below 1; nil: the runtime's.
func NewGate(b Bounds, work func() Work, now func() time.Time, chance func() float64) *Gate {
	if b == (Bounds{}) {
		return nil
	}
	if chance == nil {
		chance = rand.Float64
	}
	return &Gate{bounds: b, work: work, now: now, chance: chance, pace: -1}
}

// Enter lets one in, who is to Leave when its work has begun, or will not begin. Else it says why not, and after how long to try again.
func (g *Gate) Enter() (refused Reason, away time.Duration) {
	if g == nil {
		return "", 0
	}
	// In this order: who begins and leaves in between is then counted twice rather than not at all.
	entered := int(g.entered.Add(1))
	w := g.work()
	g.measurePace()
	switch b := g.bounds; {
	case b.Open > 0 && w.Open+entered > b.Open:
		refused = TooManyOpen
	case b.Ready > 0 && w.Ready+entered > b.Ready:
		refused = TooManyReady
	case b.Wait > 0 && w.Oldest >= b.Wait:
		refused = TooLong
	default:
		return "", 0
	}
	g.entered.Add(-1)
	return refused, g.away(refused, w)
}

// Leave is for who was let in.
func (g *Gate) Leave() {
	if g != nil {
		g.entered.Add(-1)
	}
}

// measurePace measures how fast the queue has moved, if the last time is long enough ago. It looks at the clock and at the queue once more when it has
// the lock: what a caller saw before may be older than a measurement that another has made since.
func (g *Gate) measurePace() {
	if _, due := g.sinceMeasured(g.now()); !due || !g.mu.TryLock() {
		return // or somebody does it just now
	}
	defer g.mu.Unlock()
	now, taken := g.now(), g.work().Taken
	since, due := g.sinceMeasured(now)
	if !due {
		return
	}
	g.pace = -1
	if since >= paceTime && since <= stalePace { // else it is the first time, or the clock was set
		g.pace = float64(taken-g.taken) / since.Seconds()
	}
	g.measured.Store(now.UnixNano())
	g.taken = taken
}

// sinceMeasured is how long ago the pace was measured, below 0 if the clock was set back since, and whether it is time to do so again.
func (g *Gate) sinceMeasured(now time.Time) (since time.Duration, due bool) {
	since = time.Duration(now.UnixNano() - g.measured.Load())
	return since, since < 0 || since >= paceTime
}

// away is how long the queue takes at its present pace, or, while that is not known, as long as its first has waited.
func (g *Gate) away(refused Reason, w Work) time.Duration {
	away := openAway
	if refused != TooManyOpen {
		away = w.Oldest
		g.mu.Lock()
		if g.pace >= 0 && w.Ready > 0 {
			away = mostAway
			if seconds := float64(w.Ready) / g.pace; seconds < mostAway.Seconds() { // it is infinite if nothing moves
				away = time.Duration(seconds * float64(time.Second))
			}
		}
		g.mu.Unlock()
		away = min(max(away, leastAway), mostAway)
	}
	return time.Duration((0.5 + g.chance()) * float64(away))
}
