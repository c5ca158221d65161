package breaker

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// This file is what passes between the record in memory and the record in the store.
//
// The rule that reconciles them: base is the stored generation that the memory goes on from. While the store still has it,
// what was decided here is written; once it has another, another process decided first and its record is adopted.

// mustRead reports whether the record is to be read before it is used. An open circuit is not: it stays open until
// open_until whatever the store says. mu is held.
func (b *Breaker) mustRead(now time.Time) bool {
	if b.loaded && (b.c.CacheFor == 0 || now.Sub(b.loadedAt) < b.c.CacheFor) {
		return false
	}
	if b.rec.State == Open && b.openLeft(b.rec, now.UnixMilli()) > 0 {
		return false
	}
	return !now.Before(b.retryAt)
}

// refresh reads the record. Who finds another call reading goes on with what is known, unless nothing is known yet.
func (b *Breaker) refresh(ctx context.Context) {
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	if !b.tryTurn() {
		if loaded || b.takeTurn(ctx) != nil {
			return
		}
	}
	defer b.endTurn()
	b.mu.Lock()
	must := b.mustRead(b.c.Now())
	b.mu.Unlock()
	if !must {
		return
	}
	stored, err := b.read(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.storeFailed(err)
		return
	}
	b.adopt(stored)
}

func (b *Breaker) read(ctx context.Context) (record, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	it, err := b.store.Get(ctx, b.key, store.Strong)
	if err != nil {
		return record{}, err
	}
	return decode(it)
}

// adopt takes in what was read. mu and the turn are held.
func (b *Breaker) adopt(stored record) {
	b.loaded, b.loadedAt, b.retryAt = true, b.c.Now(), time.Time{}
	if stored.Generation != b.base {
		b.install(stored, others)
		return
	}
	if b.ahead {
		return
	}
	if b.reset {
		stored.Failures = 0
	}
	stored.Failures += b.adds
	b.rec = stored
}

// Whose a change of state was.
const (
	ours   = true
	others = false
)

// install makes a stored record the one in memory. mu is held.
func (b *Breaker) install(r record, decidedHere bool) {
	from, changed := b.rec.State, b.rec.Generation != r.Generation
	b.rec, b.base = r, r.Generation
	b.adds, b.reset, b.ahead = 0, false, false
	b.loaded, b.loadedAt, b.retryAt = true, b.c.Now(), time.Time{}
	b.changed(from, changed, decidedHere)
}

// installHere makes a decision that is not stored yet the record in memory. mu is held.
func (b *Breaker) installHere(r record) {
	from, changed := b.rec.State, b.rec.Generation != r.Generation
	b.rec = r
	b.adds, b.reset, b.ahead = 0, false, true
	b.localSeq++
	b.changed(from, changed, ours)
}

func (b *Breaker) changed(from State, generation, decidedHere bool) {
	if generation {
		b.window.clear()
	}
	if from == b.rec.State {
		return
	}
	b.since = b.c.Now()
	b.c.Log.Warn("Circuit breaker changed", "breaker", b.name, "from", string(from), "to", string(b.rec.State), "generation", b.rec.Generation)
	if decidedHere && b.c.OnChange != nil {
		b.c.OnChange(from, b.rec.State)
	}
}

// tripHere opens the circuit at once: the next call is refused, whether or not the store is quick. mu is held.
func (b *Breaker) tripHere(now time.Time) {
	next := b.rec.opened(now.UnixMilli(), 1)
	next.OpenUntil += b.openTime(next.Attempt, b.c.Rand.Float64()).Milliseconds()
	b.installHere(next)
}

// change makes a move as a compare-and-swap on the stored record, and on the one in memory if the store fails. It reports
// whether f made a move. f may run several times and must give the same each time: then a commit whose reply was lost
// leaves the same record in both places. The turn is held.
func (b *Breaker) change(ctx context.Context, f func(record) (record, bool)) bool {
	b.mu.Lock()
	mine, base, pending := b.rec, b.base, b.pending()
	if b.c.Now().Before(b.retryAt) {
		defer b.mu.Unlock()
		return b.moveHere(f)
	}
	b.mu.Unlock()
	var next record
	var moved, usedMine bool
	ctx, cancel := storeContext(ctx)
	defer cancel()
	err := b.store.Update(ctx, func(tx *store.Tx) error {
		it, err := tx.Get(b.key)
		if err != nil {
			return err
		}
		cur, err := decode(it)
		if err != nil {
			return err
		}
		if usedMine = pending && cur.Generation == base; usedMine {
			cur = mine
		}
		if next, moved = f(cur); moved {
			tx.Put(b.key, next.item())
		}
		return nil
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.storeFailed(err)
		return b.moveHere(f)
	case moved:
		b.install(next, ours)
	case !usedMine:
		b.adopt(next)
	}
	return moved
}

// moveHere makes the move in memory. mu is held.
func (b *Breaker) moveHere(f func(record) (record, bool)) bool {
	next, moved := f(b.rec)
	if moved {
		b.installHere(next)
	}
	return moved
}

// pending reports whether something was decided here that is not stored. mu is held.
func (b *Breaker) pending() bool { return b.ahead || b.reset || b.adds > 0 }

// maxRounds bounds how much of what others count meanwhile one call writes for them: the rest is left to the next call.
const maxRounds = 4

// flush writes what was decided here. Nobody waits for another's flush: counts that come while one is under way are
// summed, and written by it or by the next call that has something to count. So a circuit that is half sick does not slow down
// the calls that succeed.
func (b *Breaker) flush(ctx context.Context) {
	for range maxRounds {
		if !b.tryTurn() {
			return
		}
		more := b.flushOnce(ctx)
		b.endTurn()
		if !more {
			return
		}
	}
}

// unstored is what flush takes along.
type unstored struct {
	rec   record
	base  int64
	adds  int64
	reset bool
	ahead bool
	seq   uint64
}

// flushOnce reports whether there is more to write. The turn is held.
func (b *Breaker) flushOnce(ctx context.Context) (more bool) {
	b.mu.Lock()
	if !b.pending() || b.c.Now().Before(b.retryAt) {
		b.mu.Unlock()
		return false
	}
	u := unstored{b.rec, b.base, b.adds, b.reset, b.ahead, b.localSeq}
	b.adds, b.reset = 0, false
	b.mu.Unlock()

	ctx, cancel := storeContext(ctx)
	defer cancel()
	stored, written, err := b.write(ctx, u)

	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.putBack(u)
		b.storeFailed(err)
		return false
	case !written:
		b.install(stored, others) // another process decided first
	case u.ahead:
		b.base = u.rec.Generation
		b.loaded, b.loadedAt, b.retryAt = true, b.c.Now(), time.Time{}
		b.ahead = b.localSeq != u.seq
	default:
		b.adopt(stored)
		if b.rec.State == Closed && !b.ahead && b.rec.Failures >= int64(b.c.Failures) {
			b.tripHere(b.c.Now()) // together with the failures of other processes it is enough
		}
	}
	return b.pending()
}

// putBack returns counts that could not be written, unless they were overtaken. mu is held.
func (b *Breaker) putBack(u unstored) {
	if b.rec.Generation == u.rec.Generation && !b.ahead && !b.reset {
		b.adds += u.adds
		b.reset = u.reset
	}
}

// write stores u if the store still has the generation that it goes on from, and returns the record that stands there
// afterwards. A failure whose reply was lost is added again: the circuit then trips early, which does less harm than late.
func (b *Breaker) write(ctx context.Context, u unstored) (after record, written bool, err error) {
	added := false
	err = b.store.Update(ctx, func(tx *store.Tx) error {
		written, added = false, false
		it, err := tx.Get(b.key)
		if err != nil {
			return err
		}
		if after, err = decode(it); err != nil || after.Generation != u.base {
			return err
		}
		written = true
		switch {
		case u.ahead:
			after = u.rec
			tx.Put(b.key, after.item())
		case u.reset || it == nil:
			after.Failures = u.adds
			tx.Put(b.key, after.item())
		default:
			added = true
			after.Failures += u.adds
			tx.Add(b.key, []store.Delta{store.Inc("failures", u.adds)}, store.Equal(store.N("generation", u.base)))
		}
		return nil
	})
	if r := store.RefusalOf(err); r != nil {
		after, err = decode(r.Item)
		return after, false, err
	}
	if err == nil && added && b.c.CacheFor > 0 {
		// Two processes that add at once have both read the count before: only a read after both sees the sum.
		if sum, err := b.read(ctx); err == nil {
			return sum, sum.Generation == u.base, nil
		}
	}
	return after, written, err
}

// storeFailed notes that the store is down. mu is held.
func (b *Breaker) storeFailed(err error) {
	b.retryAt = b.c.Now().Add(storePause)
	b.c.Log.Warn("Circuit breaker works on local state", "breaker", b.name, "error", err.Error())
}

// storeContext bounds a call of the store, and does not end with the caller's: a record that is half known would be worse
// than a second's wait.
func storeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

func (b *Breaker) tryTurn() bool {
	select {
	case b.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (b *Breaker) takeTurn(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Breaker) endTurn() { <-b.turn }
