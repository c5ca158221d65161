package invariant

import (
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
)

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
	moved := c.s.movedProducts()
	for _, id := range sortedKeys(c.s.stock) {
		st := c.s.stock[id]
		if st.available < 0 || st.held < 0 || st.sold < 0 {
			c.fail("I1", id, "a counter is negative: available %d, held %d, sold %d", st.available, st.held, st.sold)
		}
		if st.initial+st.restocked != st.available+st.held+st.sold {
			c.fail("I1", id, "initial %d + restocked %d != available %d + held %d + sold %d",
				st.initial, st.restocked, st.available, st.held, st.sold)
		}
		if st.held != held[id] && !moved[id] {
			c.fail("I1", id, "held is %d, the active holds have %d", st.held, held[id])
		}
		if st.sold != sold[id]+st.archived && !moved[id] {
			c.fail("I1", id, "sold is %d, the committed holds have %d, and those that were deleted had %d", st.sold, sold[id], st.archived)
		}
		if !c.s.products[id] {
			c.fail("I1", id, "stock of no product")
		}
		delete(held, id)
		delete(sold, id)
	}
	for what, counts := range map[string]map[string]int64{"held": held, "sold": sold} {
		for _, id := range sortedKeys(counts) {
			if !moved[id] {
				c.fail("I1", id, "%d %s, and it has no stock", counts[id], what)
			}
		}
	}
	c.movedProducts = len(moved)
	for _, id := range sortedKeys(c.s.products) {
		if _, ok := c.s.stock[id]; !ok {
			c.fail("I1", id, "a product without stock")
		}
	}
}

// aging checks the list that the expirer goes by: it has to name exactly the active holds, or one of them is held for ever.
func (c *check) aging() {
	for _, id := range sortedKeys(c.s.holds) {
		if c.s.holds[id].state == active && !c.s.aging[id] && !c.s.unsettled(id) {
			c.fail("I2", id, "an active hold that no expirer would find")
		}
	}
	for _, id := range sortedKeys(c.s.aging) {
		if state := c.s.holds[id].state; state != active && !c.s.unsettled(id) {
			c.fail("I2", id, "listed as an active hold, and its state is %q", state)
		}
	}
}

// executions checks I7 for the recovery: it finds what is open by an index, so the index has to name exactly that. And an order
// has one saga at a time.
func (c *check) executions() {
	for _, name := range sortedKeys(c.s.running) {
		if !c.s.indexed[name] {
			c.fail("I7", name, "an open execution that no recovery would find")
		}
		if o := c.s.orders[order.OfExecution(name)]; o != nil && o.version != 0 && name != o.execution {
			c.fail("I7", name, "an open execution beside the order's current one, %s", o.execution)
		}
	}
	for _, name := range sortedKeys(c.s.indexed) {
		if !c.s.running[name] {
			c.fail("I7", name, "an execution that has ended is indexed as open")
		}
	}
}

// holders checks the counters of callers' open orders, which move in the commits that store and end an order (I7): one that is too high
// would shut its caller out for ever, one that is too low would let it hold more than it may.
func (c *check) holders() {
	for _, caller := range sortedKeys(c.s.counted) {
		if n, listed := c.s.counted[caller], c.s.holding[caller]; n != listed && !c.s.holderMoved(caller) {
			c.fail("I7", caller, "has %d open orders by its counter, and %d are listed", n, listed)
		}
	}
	for _, caller := range sortedKeys(c.s.holding) {
		if _, ok := c.s.counted[caller]; !ok && !c.s.holderMoved(caller) {
			c.fail("I7", caller, "has %d open orders listed, and no counter", c.s.holding[caller])
		}
	}
}

// ledgers are the pages of the provider's book that cannot be read.
func (c *check) ledgers() {
	c.s.book(c.bookAt)
	for _, id := range sortedKeys(c.s.illegible) {
		c.fail("I3", id, "the provider's ledger: %v", c.s.illegible[id])
	}
}

// log checks I6: gapless, chained, folding to the head; and I7: the order has its executions.
func (c *check) log(o *orderFacts) {
	switch {
	case o.logError != "":
		c.fail("I6", o.id, "%s", o.logError)
	case o.version == 0:
		c.fail("I6", o.id, "events without a head")
	}
	for n := int64(0); o.version != 0 && n <= o.state.Redrives; n++ {
		if name := order.ExecutionName(o.id, n); !c.s.exists(name) {
			c.fail("I7", o.id, "the execution %s does not exist", name)
		}
	}
}

// listed checks what was committed together with the order: its places in the lists (I7), and the record of its key, which does not end
// before the order (I8).
func (c *check) listed(o *orderFacts) {
	lists := []string{customerList(o.state.CustomerID), dayList, openList}
	if o.terminal {
		lists = lists[:2]
	}
	if o.needsReview {
		lists = append(lists, reviewList)
	}
	for _, list := range lists {
		if !c.s.places[place{list, o.id}] {
			c.fail("I7", o.id, "%s, and not in the list %s", o.status, list)
		}
	}
	if day, ok := c.s.dayOf[o.id]; ok && !c.s.days[day] {
		c.fail("I7", o.id, "in the list of the day %s, which is not in the list of days", day)
	}
	if !o.needsReview && c.s.places[place{reviewList, o.id}] {
		c.fail("I7", o.id, "%s, and in the list %s", o.status, reviewList)
	}
	if o.keyHash != "" && !o.terminal && c.s.answers[o.keyHash] != o.id {
		c.fail("I8", o.id, "%s, and its key is answered with %q", o.status, c.s.answers[o.keyHash])
	}
}

// hold checks I2: all lines or none; and what I5 says of a hold at every commit.
func (c *check) hold(o *orderFacts) {
	h, ok := c.s.holds[o.id]
	switch {
	case !ok && (o.state.Reserved || o.state.Released):
		c.fail("I2", o.id, "reserved: %v, released: %v, and there is no hold", o.state.Reserved, o.state.Released)
		return
	case !ok:
		return
	case h.state == tombstone && len(h.lines) != 0:
		c.fail("I2", o.id, "a tombstone holds %d lines", len(h.lines))
	case h.state == tombstone && o.state.Reserved:
		c.fail("I2", o.id, "STOCK_RESERVED, and its hold is a tombstone")
	case h.state != tombstone && o.lines != nil && !equal(h.lines, o.lines):
		c.fail("I2", o.id, "the hold has %v, the order %v", h.lines, o.lines)
	}
	switch {
	case o.state.Released && (h.state == active || h.state == committed):
		c.fail("I5", o.id, "STOCK_RELEASED, and its hold is %s", h.state)
	case h.state == committed && o.status != confirmed:
		c.fail("I5", o.id, "%s, and its stock is sold", o.status)
	}
}

// money checks I3 and I4, by the provider's own ledger.
func (c *check) money(o *orderFacts) {
	l := c.s.ledger(o.id, c.bookAt)
	if l.captures > 1 {
		c.fail("I3", o.id, "captured %d times", l.captures)
	}
	if l.captured != 0 && l.captured != o.totalCents {
		c.fail("I3", o.id, "captured %d, the order's total is %d", l.captured, o.totalCents)
	}
	if l.known && (l.amount != o.totalCents || l.currency != o.state.Currency) {
		c.fail("I3", o.id, "the provider's intent is over %d %s, the order over %d %s", l.amount, l.currency, o.totalCents, o.state.Currency)
	}
	if l.refunded > l.captured {
		c.fail("I3", o.id, "refunded %d of %d captured", l.refunded, l.captured)
	}
	if o.status == confirmed && (l.captured != o.totalCents || l.refunded != 0) {
		c.fail("I3", o.id, "CONFIRMED over %d, but captured %d and refunded %d", o.totalCents, l.captured, l.refunded)
	}
	c.row(o, l)
}

// row checks what we wrote down of a payment. The provider is asked before, so its ledger is never behind a row that is final.
func (c *check) row(o *orderFacts, l ledger) {
	row, ok := c.s.payments[o.id]
	if !ok {
		if o.status == confirmed || l.captured != 0 && !l.since {
			c.fail("I3", o.id, "%s, captured %d, and there is no payment", o.status, l.captured)
		}
		return
	}
	if row.AmountCents != o.totalCents || row.Currency != o.state.Currency {
		c.fail("I3", o.id, "the payment is over %d %s, the order over %d %s", row.AmountCents, row.Currency, o.totalCents, o.state.Currency)
	}
	switch row.State {
	case payment.Capturing, payment.Cancelling, payment.Refunding:
		if o.terminal {
			c.fail("I4", o.id, "%s, and its payment is %s: the outcome is unknown", o.status, row.State)
		}
		return
	case payment.Declined, payment.Refused, payment.Cancelled:
		if late := c.s.ledger(o.id, c.s.forever()); late.captured != 0 {
			c.fail("I3", o.id, "the payment is %s, and the provider captures %d", row.State, late.captured)
		}
	case payment.Captured, payment.Refunded:
		if row.CapturedCents != l.captured || row.State == payment.Refunded && row.RefundedCents != l.refunded {
			c.fail("I3", o.id, "the payment is %s: captured %d, refunded %d; the provider's ledger: captured %d, refunded %d",
				row.State, row.CapturedCents, row.RefundedCents, l.captured, l.refunded)
		}
	}
	if o.status == confirmed && row.State != payment.Captured {
		c.fail("I3", o.id, "CONFIRMED, and its payment is %s", row.State)
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
	h, ok := c.s.holds[o.id]
	switch {
	case o.status == failed && h.state == active && c.now.Sub(h.createdAt) < expiry:
		// A reserve was delivered again after it had been refused: a refusal leaves no tombstone, so it found stock that came back
		// meanwhile. The expirer asks for the order's outcome and gives it back.
		c.lateHolds++
	case o.status == failed && h.state == active:
		c.fail("I5", o.id, "FAILED, and its hold is still active")
	case o.status == confirmed && ok && h.state != committed:
		c.fail("I5", o.id, "CONFIRMED, and its hold is %s", h.state)
	}
	message := o.message()
	switch {
	case c.s.notified[message] || c.s.queued[message] || c.s.dead[message]:
	case c.s.mayWait(o, c.now):
		c.mayWait++
	default:
		c.fail("I9", o.id, "%s, and its notification is neither delivered nor queued nor dead", o.status)
	}
}

// strangers are holds, payments, captures, executions, answers and places in lists of orders that do not exist. A release of stock for
// an unknown order is none: that is what a tombstone is for.
func (c *check) strangers() {
	unknown := func(id string) bool { return c.s.orders[id] == nil }
	for _, id := range sortedKeys(c.s.holds) {
		if state := c.s.holds[id].state; unknown(id) && state != tombstone && state != released {
			c.fail("I2", id, "a hold in the state %s of an order that does not exist", state)
		}
	}
	for _, id := range sortedKeys(c.s.payments) {
		if unknown(id) {
			c.fail("I3", id, "a payment of an order that does not exist")
		}
	}
	for _, id := range c.s.charged(c.bookAt) {
		// The provider's book is another company's and is not deleted with our orders.
		if unknown(id) && !order.MadeAt(id).Before(c.s.deletedBefore) {
			c.fail("I3", id, "the provider has captured money for an order that does not exist")
		}
	}
	for _, name := range sortedKeys(c.s.executions) {
		if unknown(order.OfExecution(name)) {
			c.fail("I7", name, "an execution of an order that does not exist")
		}
	}
	for _, hash := range sortedKeys(c.s.answers) {
		if id := c.s.answers[hash]; unknown(id) {
			c.fail("I7", id, "a key is answered with this order, which does not exist")
		}
	}
	for at := range c.s.places {
		if unknown(at.orderID) {
			c.fail("I7", at.orderID, "in the list %s, and does not exist", at.list)
		}
	}
}
