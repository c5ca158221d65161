package simworld

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// snapshot is both books as of now; nobody writes meanwhile.
func (w *World) snapshot() *invariant.Snapshot {
	s := w.memory.New()
	for _, book := range []struct {
		from *memstore.Store
		add  func(store.Entry) error
	}{{w.ours, s.Add}, {w.theirs, s.AddProvider}} {
		if err := book.from.Dump(context.Background(), book.add); err != nil {
			w.violate("a book that cannot be read: %v", err)
		}
	}
	return s
}

// check holds both books against the invariants. A hold is judged as old as it is if the keepers come round and have a disk to write to, and by
// the slowest clock: one that was set forth makes it no older.
func (w *World) check(atRest bool) invariant.Report {
	now := w.clock.slowest().Add(-w.disk.mayBeFull())
	if !w.config.Keepers {
		now = now.Add(-maxTime)
	}
	return w.snapshot().CheckApart(now, w.clock.provider(), atRest)
}

func (w *World) checkCommit() {
	r := w.check(false)
	for _, v := range r.Violations {
		w.violate("after a commit: %s", v)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened[AtOnce] = max(w.happened[AtOnce], r.Open)
}

// AtOnce is what Happened has the greatest number of executions under that were open at one time.
const AtOnce = "executions at once"

func (w *World) checkRest() {
	report := w.check(true)
	for _, v := range report.Violations {
		w.violate("at rest: %s", v)
	}
	if report.Open > 0 {
		w.violate("at rest: %d executions are open", report.Open)
	}
	if report.LateHolds > 0 {
		w.violate("I5: %d orders have ended, the expirer has looked, and they still hold stock", report.LateHolds)
	}
	if report.Orders != len(w.acknowledged) {
		w.violate("I8: %d orders, and %d keys were acknowledged", report.Orders, len(w.acknowledged))
	}
	for _, key := range slices.Sorted(maps.Keys(w.acknowledged)) {
		w.checkAcknowledged(key)
	}
	w.checkMoney()
	w.checkJournals()
}

// openAtMost is longer than a circuit stays open, and than the permit of a call that never comes back lives.
const openAtMost = 6 * time.Minute

// checkRefusal holds that no circuit refuses orders for longer than that while nothing changes, wherever the clock was set before. It counts from the
// first refusal: a circuit that was opened by a clock which was ahead, and of which nobody has asked until now, may refuse as long as any other.
func (w *World) checkRefusal(err error) {
	if began := time.Now().Add(-w.clock.sinceSet()); w.refusing.Before(w.changed) || w.refusing.Before(began) {
		w.refusing = time.Now()
	}
	if since := time.Since(w.refusing); since > openAtMost {
		w.violate("a circuit has refused orders for %s, and has not changed: %v", since, err)
	}
}

// checkCircuits holds the same of both circuits when nobody has called the provider for a while: who is refused then is not when he asks once more.
func (w *World) checkCircuits() {
	w.pass(w.clock.untilLastSet() + openAtMost)
	for _, name := range []string{app.ChargeBreaker, app.RefundBreaker} {
		for range 2 {
			if err := w.app.Breakers[name].Admit(context.Background()); err != nil {
				w.checkRefusal(err)
				w.pass(openAtMost + time.Second)
			}
		}
	}
}

// checkAcknowledged holds I7: what a client was told is there.
func (w *World) checkAcknowledged(key string) {
	id := orderIn(w.acknowledged[key])
	it, err := w.ours.Get(context.Background(), order.HeadKey(id), store.Strong)
	if err != nil || it == nil {
		w.violate("I7: the order %s of key %s was acknowledged and is gone", id, key)
	}
}

// orderIn is the order's id in the answer to a placed one.
func orderIn(body string) string {
	_, rest, _ := strings.Cut(body, `"ord-`)
	id, _, _ := strings.Cut(rest, `"`)
	return "ord-" + id
}

// checkMoney holds the provider's whole book against what the customers see: they have paid what their confirmed orders cost, to the cent. An order
// that waits for a person is not settled.
func (w *World) checkMoney() {
	var owed, paid int64
	waits := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(w.acknowledged)) {
		id := orderIn(w.acknowledged[key])
		view, err := w.app.Orders.Get(context.Background(), id, order.ViewQuery{MinVersion: 1 << 40})
		switch {
		case err != nil:
			w.violate("the order %s cannot be read: %v", id, err)
		case view.NeedsReview:
			waits[id] = true
		case view.Status == order.Confirmed:
			owed += view.TotalCents
		case !view.Terminal():
			w.violate("at rest: the order %s is %s", id, view.Status)
		}
	}
	books := provider.Books{Now: w.clock.provider().Add(maxTime), Each: func(a provider.Account) error {
		if !waits[a.OrderID] {
			paid += a.CapturedCents - a.RefundedCents
		}
		return nil
	}}
	err := w.theirs.Dump(context.Background(), books.Add)
	if err == nil {
		err = books.Close()
	}
	if err != nil || owed != paid {
		w.violate("money: confirmed orders are over %d, and the provider has kept %d: %v", owed, paid, err)
	}
}

// checkJournals holds that no journal's time goes back, whatever the clocks did.
func (w *World) checkJournals() {
	execution, last := "", int64(0)
	err := w.ours.DumpTable(context.Background(), flow.Table, "", func(e store.Entry) error {
		if !strings.HasPrefix(e.Key.SK, "j#") {
			return nil
		}
		at := e.Item.Int("at_ms")
		if e.Key.PK == execution && at < last {
			w.violate("the journal of %s goes back at %s", execution, e.Key.SK)
		}
		execution, last = e.Key.PK, at
		return nil
	})
	if err != nil {
		w.violate("the journals cannot be read: %v", err)
	}
}
