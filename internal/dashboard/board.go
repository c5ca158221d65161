package dashboard

import (
	"slices"
	"sync"
	"time"
)

// What the board looks back on, as the specification's does.
const (
	boardMinutes = 15
	// maxOpen bounds the orders whose beginning is remembered until their end. What is over is not timed.
	maxOpen = 20_000
	// maxTimes bounds the durations that a minute keeps for its P99: beyond it every second, every fourth... is kept.
	maxTimes = 2048
)

// The alarm lines of the specification's board.
const (
	alarmSuccess      = 95 // percent, below it
	alarmCompensation = 10 // percent, above it
	alarmLeast        = 10 // orders: the share of fewer says nothing
	alarmP99          = 3000 * time.Millisecond
)

// A minute is what happened in one of them.
type minute struct {
	at                                                time.Time // its beginning
	created, confirmed, compensated, failed, canceled int
	times                                             []time.Duration // from ORDER_CREATED to the end of an order
	every, seen                                       int             // one of how many is in times
}

// A board is the last minutes of what happened to orders. It is safe for concurrent use.
type board struct {
	now func() time.Time

	mu      sync.Mutex
	minutes []minute // the oldest first
	open    map[string]time.Time
	queue   []string // of open, the oldest first
}

func newBoard(now func() time.Time) *board { return &board{now: now, open: map[string]time.Time{}} }

// add counts one event.
func (b *board) add(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.minute(e.At)
	if m == nil {
		return
	}
	switch e.Type {
	case "ORDER_CREATED":
		m.created++
		b.remember(e)
		return
	case "ORDER_CONFIRMED":
		m.confirmed++
	case "ORDER_COMPENSATED":
		m.compensated++
	case "ORDER_FAILED":
		m.failed++
	case "ORDER_CANCELLED":
		m.canceled++
	default:
		return
	}
	if began, ok := b.open[e.OrderID]; ok {
		delete(b.open, e.OrderID)
		m.time(e.At.Sub(began))
	}
}

// minute finds the minute of a moment, and makes it; nil if it is too old to be shown.
func (b *board) minute(at time.Time) *minute {
	begin := at.Truncate(time.Minute)
	b.forget()
	for i := len(b.minutes) - 1; i >= 0; i-- {
		if b.minutes[i].at.Equal(begin) {
			return &b.minutes[i]
		}
		if b.minutes[i].at.Before(begin) {
			b.minutes = slices.Insert(b.minutes, i+1, minute{at: begin, every: 1})
			return &b.minutes[i+1]
		}
	}
	if begin.Before(b.oldest()) {
		return nil
	}
	b.minutes = slices.Insert(b.minutes, 0, minute{at: begin, every: 1})
	return &b.minutes[0]
}

func (b *board) oldest() time.Time {
	return b.now().Truncate(time.Minute).Add(-(boardMinutes - 1) * time.Minute)
}

func (b *board) forget() {
	oldest := b.oldest()
	b.minutes = slices.DeleteFunc(b.minutes, func(m minute) bool { return m.at.Before(oldest) })
}

func (b *board) remember(e Event) {
	if len(b.queue) == maxOpen {
		delete(b.open, b.queue[0])
		b.queue = b.queue[1:]
	}
	b.open[e.OrderID] = e.At
	b.queue = append(b.queue, e.OrderID)
}

// time keeps a duration, or one of several.
func (m *minute) time(d time.Duration) {
	m.seen++
	if m.seen%m.every != 0 {
		return
	}
	if len(m.times) == maxTimes {
		for i := range maxTimes / 2 {
			m.times[i] = m.times[2*i]
		}
		m.times, m.every = m.times[:maxTimes/2], 2*m.every
	}
	m.times = append(m.times, d)
}

// A reading is the board at a moment: one value a minute, the oldest first, the running minute last. NaN-free: a minute without orders has
// no value in those that are ratios.
type reading struct {
	Begins                time.Time
	Created, Compensated  []float64 // a minute
	Success, Compensation []ratio   // percent
	P99                   []ratio   // milliseconds
	Total                 minuteTotal
}

// A ratio is a value that there is only if something was counted.
type ratio struct {
	Value float64
	Given bool
}

// minuteTotal is all minutes together.
type minuteTotal struct {
	Created, Ended, Confirmed, Compensated, Failed, Cancelled int
	Success, Compensation, P99                                ratio
}

func (b *board) read() reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	r := reading{Begins: b.oldest()}
	var all minute
	for n := range boardMinutes {
		at := r.Begins.Add(time.Duration(n) * time.Minute)
		var m minute
		if i := slices.IndexFunc(b.minutes, func(m minute) bool { return m.at.Equal(at) }); i >= 0 {
			m = b.minutes[i]
		}
		r.Created = append(r.Created, float64(m.created))
		r.Compensated = append(r.Compensated, float64(m.compensated))
		r.Success = append(r.Success, m.share(m.confirmed))
		r.Compensation = append(r.Compensation, m.share(m.compensated))
		r.P99 = append(r.P99, m.p99())
		all.created += m.created
		all.confirmed += m.confirmed
		all.compensated += m.compensated
		all.failed += m.failed
		all.canceled += m.canceled
		all.times = append(all.times, m.times...)
	}
	r.Total = minuteTotal{
		Created: all.created, Ended: all.ended(), Confirmed: all.confirmed, Compensated: all.compensated, Failed: all.failed, Cancelled: all.canceled,
		Success: all.share(all.confirmed), Compensation: all.share(all.compensated), P99: all.p99(),
	}
	return r
}

func (m *minute) ended() int { return m.confirmed + m.compensated + m.failed + m.canceled }

// share is a part of the orders that ended, in percent.
func (m *minute) share(part int) ratio {
	if m.ended() == 0 {
		return ratio{}
	}
	return ratio{100 * float64(part) / float64(m.ended()), true}
}

func (m *minute) p99() ratio {
	if len(m.times) == 0 {
		return ratio{}
	}
	times := slices.Clone(m.times)
	slices.Sort(times)
	return ratio{float64(times[(len(times)*99-1)/100].Microseconds()) / 1000, true}
}
