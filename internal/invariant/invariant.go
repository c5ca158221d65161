// Package invariant says whether the books are in order. It reads one consistent state of our store and the payment
// provider's own ledger, and checks what must hold at every commit, and what must hold once an order is at rest. `cloudflow
// verify` runs it on a data directory or a running instance; the simulation runs it after every single commit.
//
// The rules carry the names I1 to I9 of the architecture. Some hold by construction only as long as nobody makes a mistake; so
// each is checked from the items themselves, by code that shares nothing with the code that wrote them but the decoding.
package invariant

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
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
	Open       int // orders whose execution is open: what holds at rest was not asked of them
	Reviews    int // orders that wait for a person: neither
	LateHolds  int // holds of orders that were refused: a late reserve made them, and the expirer will give them back
	Violations []Violation
	// Heads is the SHA-256 over all orders' ids, versions and chain hashes. The chain proves edits, not truncation: keep it
	// elsewhere, and a log that was cut off shows.
	Heads string
}

// expiry is when the expirer has looked at a hold: 15 minutes after it was made, and a run or two later.
const expiry = 18 * time.Minute

// A check collects violations.
type check struct {
	s          *Snapshot
	now        time.Time
	violations []Violation
	lateHolds  int
}

func (c *check) fail(rule, subject, format string, args ...any) {
	c.violations = append(c.violations, Violation{rule, subject, fmt.Sprintf(format, args...)})
}

// Check holds the snapshot against the invariants. With everything nothing may be open any more: it is for a world at rest, where an open
// execution or a waiting message is itself a violation. now is when the snapshot was begun: the provider's late captures fall due by
// it, and what the provider's dump has from a later time is no stranger.
func (s *Snapshot) Check(now time.Time, everything bool) Report {
	c := &check{s: s, now: now}
	r := Report{Orders: len(s.orders), Products: len(s.stock)}
	c.stock()
	c.executions()
	heads := sha256.New()
	for _, id := range sortedKeys(s.orders) {
		o := s.orders[id]
		fmt.Fprintf(heads, "%s %d %s\n", id, o.version, o.hash)
		c.log(o)
		c.hold(o)
		c.money(o)
		switch {
		case s.open[id]:
			r.Open++
		case o.needsReview:
			r.Reviews++
		default:
			c.atRest(o)
		}
	}
	c.strangers(now)
	if everything && len(s.queued) > 0 {
		c.fail("I9", "queue", "%d messages are still queued", len(s.queued))
	}
	r.Heads = hex.EncodeToString(heads.Sum(nil))
	r.Violations, r.LateHolds = c.violations, c.lateHolds
	return r
}

// stock checks I1: every piece is somewhere, and the counters agree with the holds.
func (c *check) stock() {
	held, sold := map[string]int64{}, map[string]int64{}
	for _, h := range c.s.holds {
		for product, n := range h.lines {
			switch h.state {
			case active:
				held[product] += n
			case committed:
				sold[product] += n
			}
		}
	}
	for _, id := range sortedKeys(c.s.stock) {
		st := c.s.stock[id]
		if st.available < 0 || st.held < 0 || st.sold < 0 {
			c.fail("I1", id, "a counter is negative: available %d, held %d, sold %d", st.available, st.held, st.sold)
		}
		if st.initial+st.restocked != st.available+st.held+st.sold {
			c.fail("I1", id, "initial %d + restocked %d != available %d + held %d + sold %d",
				st.initial, st.restocked, st.available, st.held, st.sold)
		}
		if st.held != held[id] {
			c.fail("I1", id, "held is %d, the active holds have %d", st.held, held[id])
		}
		if st.sold != sold[id] {
			c.fail("I1", id, "sold is %d, the committed holds have %d", st.sold, sold[id])
		}
	}
	for _, id := range sortedKeys(held) {
		if _, ok := c.s.stock[id]; !ok {
			c.fail("I1", id, "held by an order, and no such product")
		}
	}
}

// log checks I6: gapless, chained, folding to the head; and I7: the order has its execution.
func (c *check) log(o *orderFacts) {
	if o.version == 0 {
		c.fail("I6", o.id, "events without a head")
		return
	}
	if o.logError != "" {
		c.fail("I6", o.id, "%s", o.logError)
	}
	if !c.s.executions[o.execution] {
		c.fail("I7", o.id, "the execution %s does not exist", o.execution)
	}
}

// executions checks I7 for the recovery: it finds what is open by an index, so the index has to name exactly that.
func (c *check) executions() {
	for _, name := range sortedKeys(c.s.running) {
		if !c.s.indexed[name] {
			c.fail("I7", name, "an open execution that no recovery would find")
		}
	}
	for _, name := range sortedKeys(c.s.indexed) {
		if !c.s.running[name] {
			c.fail("I7", name, "an execution that has ended is indexed as open")
		}
	}
}

// hold checks I2: all lines or none.
func (c *check) hold(o *orderFacts) {
	h, ok := c.s.holds[o.id]
	if !ok {
		return
	}
	switch h.state {
	case tombstone:
		if len(h.lines) != 0 {
			c.fail("I2", o.id, "a tombstone holds %d lines", len(h.lines))
		}
	case active, committed, released:
		if !equal(h.lines, o.lines) {
			c.fail("I2", o.id, "the hold has %v, the order %v", h.lines, o.lines)
		}
	default:
		c.fail("I2", o.id, "a hold in the state %q", h.state)
	}
}

// money checks I3 and I4, by the provider's own ledger.
func (c *check) money(o *orderFacts) {
	l := c.s.ledger(o.id, c.now)
	if l.captures > 1 {
		c.fail("I3", o.id, "captured %d times", l.captures)
	}
	if l.captured != 0 && l.captured != o.totalCents {
		c.fail("I3", o.id, "captured %d, the order's total is %d", l.captured, o.totalCents)
	}
	if l.refunded > l.captured {
		c.fail("I3", o.id, "refunded %d of %d captured", l.refunded, l.captured)
	}
	if o.status == confirmed && (l.captured != o.totalCents || l.refunded != 0) {
		c.fail("I3", o.id, "CONFIRMED over %d, but captured %d and refunded %d", o.totalCents, l.captured, l.refunded)
	}
	if o.terminal && c.s.payments[o.id] == paymentUnknown {
		c.fail("I4", o.id, "%s, and the outcome of its charge is unknown", o.status)
	}
}

// atRest checks I3', I5 and I9 of an order whose execution has ended.
func (c *check) atRest(o *orderFacts) {
	if !o.terminal {
		c.fail("I5", o.id, "no open execution, and the status is %s", o.status)
		return
	}
	l := c.s.ledger(o.id, c.s.forever())
	if net := l.captured - l.refunded; o.status != confirmed && net != 0 {
		c.fail("I3'", o.id, "%s, and the customer has paid %d", o.status, net)
	}
	h := c.s.holds[o.id]
	switch {
	case o.status == failed && h.state == active && c.now.Sub(h.createdAt) < expiry:
		// A reserve was delivered again after it had been refused: a refusal leaves no tombstone, so it found stock that came back
		// meanwhile. The expirer asks for the order's outcome and gives it back.
		c.lateHolds++
	case o.status == confirmed && h.state != committed:
		c.fail("I5", o.id, "CONFIRMED, and its hold is %q", h.state)
	case o.status != confirmed && (h.state == active || h.state == committed):
		c.fail("I5", o.id, "%s, and its hold is %s", o.status, h.state)
	}
	if !c.s.notified[o.id] && !c.s.queued[o.id] && !c.s.dead[o.id] {
		c.fail("I9", o.id, "%s, and its notification is neither delivered nor queued nor dead", o.status)
	}
}

// strangers are holds, payments and captures of orders that do not exist. A release of stock for an unknown order is none: that is
// what a tombstone is for.
func (c *check) strangers(now time.Time) {
	for _, id := range sortedKeys(c.s.holds) {
		if c.s.orders[id] == nil && c.s.holds[id].state != tombstone && c.s.holds[id].state != released {
			c.fail("I2", id, "a hold in the state %s of an order that does not exist", c.s.holds[id].state)
		}
	}
	for _, id := range c.s.charged(now) {
		if c.s.orders[id] == nil {
			c.fail("I3", id, "the provider has captured money for an order that does not exist")
		}
	}
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
