package storebus

import (
	"context"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// expectFor is how long a staged message is looked for by name: commits take milliseconds, and one that runs again
	// after conflicts takes a few of them.
	expectFor = 10 * time.Second
	// recheckAfter is when to look for staged messages whose commit nobody reported.
	recheckAfter = time.Second
	// maxExpected bounds the memory while nobody receives; maxLate the work of a Receive after many commits have failed.
	maxExpected = 50_000
	maxLate     = 1_000
	// sweepAfter is the least time between two sweeps because of a staged message that was never seen (its commit failed,
	// or it came too late to be looked for by name); sweepAlways that between sweeps for no reason.
	sweepAfter  = time.Minute
	sweepAlways = 5 * time.Minute
)

// knowledge is what a Queue remembers to save work. All of it may be lost; the zero bounds and an unread flight are
// always right.
type knowledge struct {
	// Nothing stands in ready up to this sort key, except perhaps what is late.
	readyBound string
	// Staged in this process and not seen yet: expected beyond the bound, late at or before it, because the bound passed
	// while their commit was under way. Both in the order of their sort keys.
	expected []expectation
	late     []expectation
	unseen   bool // one was given up: a sweep has to look for it
	swept    time.Time

	// Nothing stands in flight that is visible before this moment's key.
	flightBound string
	flightRead  bool                 // false: flight has to be read, since nothing is known about it
	flightNext  time.Time            // what others hid, or Defer, is visible from here on at the earliest; zero: nothing is
	claims      map[string]time.Time // what this Queue has received: the receipts, and when they end

	sends   uint64 // calls of Notify
	drained uint64 // sends when a Receive last began that left nothing visible behind
	looked  time.Time
}

type expectation struct {
	sk string
	at time.Time // when it was staged
}

func newKnowledge() knowledge {
	// One send more than was drained: there may be messages from before.
	return knowledge{claims: make(map[string]time.Time), sends: 1}
}

// expect notes that sk is about to stand in ready. Sort keys come rising.
func (k *knowledge) expect(sk string, now time.Time) {
	k.forget(now)
	k.expected = append(k.expected, expectation{sk, now})
}

// forget gives up what was staged too long ago, or is too much to remember.
func (k *knowledge) forget(now time.Time) {
	old := func(list []expectation, limit int) []expectation {
		n := max(0, len(list)-limit)
		for n < len(list) && now.Sub(list[n].at) >= expectFor {
			n++
		}
		k.unseen = k.unseen || n > 0
		return list[n:]
	}
	k.expected = old(k.expected, maxExpected)
	k.late = old(k.late, maxLate)
}

// settleReady moves ready's bound behind what was found there. What was expected up to the bound and not found is late.
func (k *knowledge) settleReady(found []store.Entry, ready string) {
	bound, seen := "", make(map[string]bool, len(found))
	for _, e := range found {
		if e.Key.PK == ready {
			seen[e.Key.SK] = true
			bound = max(bound, e.Key.SK)
		}
	}
	if len(k.late) > 0 {
		k.late = slices.DeleteFunc(k.late, func(e expectation) bool { return seen[e.sk] })
	}
	n := 0
	for ; n < len(k.expected) && k.expected[n].sk <= bound; n++ {
		if !seen[k.expected[n].sk] {
			k.late = append(k.late, k.expected[n])
		}
	}
	k.expected = k.expected[n:]
	k.readyBound = max(k.readyBound, bound)
}

// settleFlight moves flight's bound behind what was found there. The bound is a bare moment, so that a message that is
// deferred to this very millisecond lands behind it.
func (k *knowledge) settleFlight(l look, flight string) {
	k.flightRead, k.flightNext = true, l.flightNext
	for _, e := range l.found {
		if e.Key.PK == flight && len(e.Key.SK) >= momentDigits {
			k.flightBound = e.Key.SK[:momentDigits]
			delete(k.claims, e.Key.SK)
		}
	}
	if l.flightMore {
		k.flightNext = l.now
		return
	}
	k.flightBound = moment(l.now)
	for receipt, at := range k.claims { // one that has ended and was not found was deleted without a word
		if !at.After(l.now) {
			delete(k.claims, receipt)
		}
	}
}

// sweep forgets the bounds if it is time for that.
func (k *knowledge) sweep(now time.Time) {
	if k.swept.IsZero() {
		k.swept = now // the bounds are fresh
	}
	if age := now.Sub(k.swept); age >= sweepAlways || k.unseen && age >= sweepAfter {
		k.readyBound, k.flightBound, k.flightRead = "", "", false
		k.unseen, k.swept = false, now
	}
}

// flightDue says whether something in flight may be visible again.
func (k *knowledge) flightDue(now time.Time) bool {
	if !k.flightRead {
		return true
	}
	next := k.flightTime()
	return !next.IsZero() && !next.After(now)
}

// flightTime is the earliest moment at which something in flight may be visible again, zero if nothing is there.
func (k *knowledge) flightTime() time.Time {
	next := k.flightNext
	for _, at := range k.claims {
		next = earlier(next, at)
	}
	return next
}

// next is the earliest moment at which a Receive may find something; now if it may at once, zero if nothing is in sight.
func (k *knowledge) next(now time.Time) time.Time {
	if k.sends != k.drained || !k.flightRead {
		return now
	}
	next := k.flightTime()
	if at, ok := k.staged(); ok {
		if at.Before(k.looked) {
			at = k.looked
		}
		next = earlier(next, at.Add(recheckAfter))
	}
	if k.unseen {
		next = earlier(next, k.swept.Add(sweepAfter))
	}
	return next
}

// staged is when the first of what is not seen yet was staged.
func (k *knowledge) staged() (at time.Time, ok bool) {
	for _, list := range [][]expectation{k.expected, k.late} {
		if len(list) > 0 {
			at, ok = earlier(at, list[0].at), true
		}
	}
	return at, ok
}

// earlier is the earlier of two moments, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Next is the earliest moment at which a Receive may find something, not after now if it may at once, zero if nothing is in
// sight but a new message. It serves a consumer that is driven step by step, under a clock of its own.
func (q *Queue) Next() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.known.next(q.clock())
	if next.IsZero() {
		return next
	}
	return next.Add(-q.ahead)
}

// Wait returns nil once a Receive may find something: after a Notify, when a visibility timeout ends, when a staged message
// has to be looked for. In between it sleeps.
func (q *Queue) Wait(ctx context.Context) error {
	for {
		q.mu.Lock()
		now := q.clock()
		next, woken := q.known.next(now), q.waits
		if !next.IsZero() && !next.After(now) {
			q.mu.Unlock()
			return ctx.Err()
		}
		q.waiting++
		q.mu.Unlock()
		err := sleep(ctx, next, now, woken)
		q.mu.Lock()
		q.waiting--
		q.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// sleep waits until the time is next (zero: never), until woken is closed, or until ctx ends, which is its only error.
func sleep(ctx context.Context, next, now time.Time, woken <-chan struct{}) error {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(next.Sub(now))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-due:
	case <-woken:
	}
	return nil
}

// wake lets each Wait look again. The caller holds mu.
func (q *Queue) wake() {
	if q.waiting > 0 {
		close(q.waits)
		q.waits = make(chan struct{})
	}
}
