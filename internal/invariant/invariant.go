// Package invariant says whether the books are in order. It reads one consistent state of our store and the payment
// provider's own ledger, and checks what must hold at every commit, and what must hold once an order is at rest. `cloudflow
// verify` runs it on a data directory or a running instance; the simulation runs it after every single commit. Where there is no such state
// to be had, on AWS, a Walk reads one item after the other, and Live asks of them what can be asked then.
//
// The rules carry the names I1 to I9 of the architecture; what follows from one of them carries its name too, such as that an order stands
// in the lists that were written with it (I7). Some hold by construction only as long as nobody makes a mistake; so
// each is checked from the items themselves, by code that shares nothing with the code that wrote them but the decoding.
package invariant

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/order"
)

// A Violation is one broken rule.
type Violation struct {
	Rule    string // I1 ... I9
	Subject string // an order's or a product's id
	Detail  string
}

func (v Violation) String() string { return v.Rule + " " + v.Subject + ": " + v.Detail }

// A Report is what a check found.
type Report struct {
	Orders     int
	Products   int
	Open       int // orders whose execution is open, or that moved while they were read: what holds at rest was not asked of them
	Reviews    int // orders that wait for a person: neither
	LateHolds  int // holds of orders that were refused: a late reserve made them, and the expirer will give them back
	Violations []Violation

	// Of a walk only (Live); of a dump they are 0.
	MovedProducts int // products that orders under way have lines of, or whose stock moved: held and sold were not held against the holds
	MayWait       int // orders at rest whose notification may be among messages that nobody can list: whether it is was not asked

	Heads string // order.Heads
}

// expiry is when the expirer has looked at a hold: 15 minutes after it was made, and a run or two later.
const expiry = 18 * time.Minute

// A check collects violations.
type check struct {
	s          *Snapshot
	now        time.Time // by our clock
	bookAt     time.Time // by the provider's
	violations []Violation

	lateHolds, movedProducts, mayWait int
}

func (c *check) fail(rule, subject, format string, args ...any) {
	c.violations = append(c.violations, Violation{rule, subject, fmt.Sprintf(format, args...)})
}

// Check holds the snapshot against the invariants. With everything nothing may be open any more: it is for a world at rest, where an open
// execution or a waiting message is itself a violation. now is when the snapshot was begun: the provider's late captures fall due by
// it, and what the provider's dump has from a later time is no stranger.
func (s *Snapshot) Check(now time.Time, everything bool) Report {
	return s.CheckApart(now, now, everything)
}

// CheckApart is Check where the provider's clock is not ours: then it was now here and bookAt there.
func (s *Snapshot) CheckApart(now, bookAt time.Time, everything bool) Report {
	c := &check{s: s, now: now, bookAt: bookAt, violations: slices.Clone(s.unread)}
	r := Report{Orders: len(s.orders), Products: len(s.stock)}
	c.stock()
	c.aging()
	c.executions()
	c.holders()
	c.ledgers()
	heads := order.NewHeads()
	for _, id := range sortedKeys(s.orders) {
		o := s.orders[id]
		if s.deleting[id] {
			continue // what belongs to it is being taken away; the books of stock and money count it as long as it is there
		}
		heads.Add(id, o.version, o.hash)
		if s.moved(id) {
			r.Open++
			continue // its items are of several moments
		}
		c.log(o)
		if o.version == 0 {
			continue // nothing is known of it
		}
		c.listed(o)
		if !s.unsettled(id) {
			c.hold(o)
			c.money(o)
		}
		switch {
		case s.open[id]:
			r.Open++
		case o.needsReview:
			r.Reviews++
		default:
			c.atRest(o)
		}
	}
	c.strangers()
	if everything && len(s.queued) > 0 {
		c.fail("I9", "queue", "%d messages are still queued", len(s.queued))
	}
	if everything && r.Open > 0 {
		c.fail("I5", "orders", "%d have an open execution", r.Open)
	}
	r.Heads = heads.String()
	slices.SortFunc(c.violations, func(a, b Violation) int { return cmp.Compare(a.String(), b.String()) })
	r.Violations, r.LateHolds, r.MovedProducts, r.MayWait = c.violations, c.lateHolds, c.movedProducts, c.mayWait
	return r
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

func equal(a, b map[string]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for k, n := range a {
		if b[k] != n {
			return false
		}
	}
	return true
}
