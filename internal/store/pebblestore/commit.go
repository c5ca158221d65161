package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// queueLength is how many transactions wait for the committer, beside those that it is writing. A caller waits until
	// it is answered, so the queue bounds nothing but the goroutines that wait here rather than at the entrance; it is
	// several groups long, so that the next group is complete when a sync ends.
	queueLength = 1024
	// A group is so long that it shares its sync among all who would wait for it, and so short that its first one does
	// not wait noticeably for the last: 512 small commits are decided and written in a few milliseconds.
	maxGroupCommits = 512
	// Large items end a group sooner: Pebble keeps the whole batch in memory, and again in the table.
	maxGroupBytes = 8 << 20
)

// errConflict answers a commit whose recorded read has changed: its function runs again.
var errConflict = errors.New("a read item has changed")

// A commit is one run of a transaction on its way through the committer.
type commit struct {
	ctx    context.Context
	reads  []store.Read
	ops    []store.Op
	answer chan error // takes one: the committer never waits for a caller that has left

	entered time.Time // the queue; only if somebody watches
}

// Update runs fn and commits what it staged. Each run reads one synced state. An fn that stages nothing does not
// go through the committer. If ctx ends before the transaction is in the queue, ctx's error is returned and
// nothing was written; if it ends later, fault.Transient: the outcome is unknown.
func (s *Store) Update(ctx context.Context, fn func(*store.Tx) error) error {
	for range store.MaxReruns + 1 {
		if err := s.attempt(ctx, fn); !errors.Is(err, errConflict) {
			return err
		}
		s.stats.conflicts.Add(1)
	}
	return fault.New(fault.Transient, "store: the transaction lost %d conflicts in a row", store.MaxReruns+1)
}

func (s *Store) attempt(ctx context.Context, fn func(*store.Tx) error) error {
	tx, err := s.run(ctx, fn)
	if err != nil {
		return err
	}
	if len(tx.Ops()) == 0 {
		err = s.verify(tx.Reads())
	} else {
		err = s.submit(ctx, tx)
	}
	if err == nil {
		tx.Reuse(nil) // lets go of the view, and of what was staged
		s.over.Put(tx)
	}
	return err
}

// submit gives the transaction to the committer and waits for the answer. After a success the committer has forgotten it; after an
// error it may still be at it.
func (s *Store) submit(ctx context.Context, tx *store.Tx) error {
	c := s.newCommit(ctx, tx)
	if s.opts.Watch.Committed != nil {
		c.entered = s.opts.Now()
	}
	if err := s.enter(c); err != nil {
		return err
	}
	select {
	case err := <-c.answer:
		return s.answered(c, err)
	case <-ctx.Done():
	}
	select {
	case err := <-c.answer: // both were ready
		return s.answered(c, err)
	default:
		return fault.Wrap(fault.Transient, ctx.Err(), "store: gave up waiting; the transaction may be applied or not")
	}
}

func (s *Store) newCommit(ctx context.Context, tx *store.Tx) *commit {
	c, ok := s.done.Get().(*commit)
	if !ok {
		c = &commit{answer: make(chan error, 1)}
	}
	c.ctx, c.reads, c.ops = ctx, tx.Reads(), tx.Ops()
	return c
}

// answered takes back a commit that was answered, which is the last that the committer does with it.
func (s *Store) answered(c *commit, err error) error {
	if err == nil && s.opts.Watch.Committed != nil {
		s.opts.Watch.Committed(s.opts.Now().Sub(c.entered))
	}
	c.ctx, c.reads, c.ops = nil, nil, nil
	s.done.Put(c)
	return err
}

// run is one run of fn, on the current view.
func (s *Store) run(ctx context.Context, fn func(*store.Tx) error) (*store.Tx, error) {
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	tx := s.newTx(func(key store.Key) (store.Item, uint64, error) {
		if err := check(ctx, key); err != nil {
			return nil, 0, err
		}
		return v.get(key)
	})
	if err := fn(tx); err != nil {
		return nil, err
	}
	if err := tx.Err(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a transaction that no store takes")
	}
	return tx, ctx.Err()
}

func (s *Store) newTx(read func(store.Key) (store.Item, uint64, error)) *store.Tx {
	tx, ok := s.over.Get().(*store.Tx)
	if !ok {
		return store.NewTx(read)
	}
	tx.Reuse(read)
	return tx
}

// verify is the commit of a transaction that writes nothing: what it read still stands, by what is synced now.
func (s *Store) verify(reads []store.Read) error {
	v, err := s.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	for _, r := range reads {
		exists, version, err := v.version(r.Key)
		if err != nil {
			return err
		}
		if exists != r.Exists || version != r.Version {
			return errConflict
		}
	}
	return nil
}

// enter puts the commit into the queue, unless ctx ends or the store is closed first.
func (s *Store) enter(c *commit) error {
	s.entrance.RLock()
	defer s.entrance.RUnlock()
	if s.closing || s.dead.Load() {
		return closedError()
	}
	select {
	case s.queue <- c:
		return nil
	default:
	}
	select {
	case s.queue <- c:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-s.life.Done(): // the store died; Close waits for this lock before it ends the store's life
		return closedError()
	}
}

// A committer is the one goroutine that writes items. Deciding the next group while the last one syncs was tried: a
// tenth to a fifth more commits at 64 callers, nothing at 256, where the processor is the limit, and the same
// processor time. It is not worth a second state between applied and visible.
type committer struct {
	s       *Store
	group   group
	trimmer trimmer
	seq     uint64 // of the last commit
}

func newCommitter(s *Store, seq uint64) *committer {
	return &committer{s: s, seq: seq, group: newGroup(s.db, s.opts.Feed, s.opts.FeedKeys), trimmer: trimmer{retention: s.opts.FeedRetention}}
}

// run decides and writes one group after the other until the queue is closed and empty.
func (c *committer) run() {
	defer close(c.s.committed)
	defer func() {
		// Pebble panics where it cannot write its log. No answer may leave after that, as after any other bug here.
		if r := recover(); r != nil {
			c.s.fatal(fmt.Errorf("pebblestore: the committer failed: %v\n%s", r, debug.Stack()))
		}
	}()
	var waiting []*commit
	for first := range c.s.queue {
		waiting = c.fill(append(waiting[:0], first))
		c.s.still.Lock()
		err := c.commit(waiting)
		c.s.still.Unlock()
		if err != nil {
			c.s.fatal(err)
		}
		if c.s.dead.Load() {
			return
		}
		clear(waiting)
	}
}

// fill takes what waits already, as far as a group goes. It waits for no clock: a commit that is alone is written at
// once. But when the queue is empty it lets the other goroutines run first, since the callers that were
// answered last are about to come back: that makes groups a third larger, and costs a lone commit nothing.
func (c *committer) fill(waiting []*commit) []*commit {
	bytes, yielded := 0, false
	for len(waiting) < maxGroupCommits && bytes < maxGroupBytes {
		select {
		case next, ok := <-c.s.queue:
			if !ok {
				return waiting
			}
			for i := range next.ops {
				bytes += next.ops[i].Item.Size()
			}
			waiting = append(waiting, next)
		default:
			if yielded {
				return waiting
			}
			yielded = true
			runtime.Gosched()
		}
	}
	return waiting
}

// commit decides the transactions in order, writes what they changed, syncs it, shows it to readers, and only then
// answers them. An error means that the disk's state is unknown, and none was answered.
func (c *committer) commit(waiting []*commit) error {
	s, now := c.s, c.s.opts.Now()
	answers := make([]error, len(waiting))
	if err := s.space.refuse(now); err != nil {
		for i := range answers {
			answers[i] = err
		}
		answer(waiting, answers)
		return nil
	}
	before := c.seq
	for i, w := range waiting {
		answers[i] = c.decide(w)
	}
	if err := c.group.decided(); err != nil {
		return fmt.Errorf("pebblestore: read: %w", err)
	}
	var took time.Duration
	if c.seq > before {
		fed, spent, err := c.write(before+1, now)
		if err != nil {
			return err
		}
		took = spent
		s.publish(c.seq)
		if fed {
			s.fed.wake()
		}
		s.stats.commits.Add(c.seq - before)
	}
	c.group.cells.rotate()
	answer(waiting, answers)
	if c.seq > before && s.opts.Watch.Synced != nil {
		s.opts.Watch.Synced(took, int(c.seq-before)) //nolint:gosec // at most maxGroupCommits
	}
	return nil
}

func answer(waiting []*commit, answers []error) {
	for i, w := range waiting {
		w.answer <- answers[i]
	}
}

// decide applies one transaction to the group, or says why not.
func (c *committer) decide(w *commit) error {
	if err := w.ctx.Err(); err != nil {
		return err // its caller has left
	}
	err := c.group.apply(w.reads, w.ops, c.seq+1)
	if err != nil {
		if store.RefusalOf(err) != nil {
			c.s.stats.refusals.Add(1)
		}
		return err
	}
	c.seq++
	return nil
}

// write puts the changes of the group, which begins with commit number first, into one batch and syncs it. It says
// whether there is something for the feed among them, and what the disk took.
func (c *committer) write(first uint64, now time.Time) (fed bool, took time.Duration, err error) {
	batch, fed, err := c.group.flush(c.seq)
	defer func() { err = errors.Join(err, batch.Close()) }()
	if fed && err == nil {
		err = c.trimmer.tidy(c.s.db, batch, first, now)
	}
	if err != nil {
		return false, 0, fmt.Errorf("pebblestore: build a batch: %w", err)
	}
	bytes, began := uint64(batch.Len()), c.s.opts.Now()
	if err := c.s.db.Apply(batch, pebble.Sync); err != nil {
		return false, 0, fmt.Errorf("pebblestore: commit: %w", err)
	}
	if c.s.dead.Load() {
		return false, 0, errors.New("pebblestore: commit failed") // Pebble has told its logger, not us
	}
	c.s.stats.groups.Add(1)
	c.s.stats.bytes.Add(bytes)
	took = c.s.opts.Now().Sub(began)
	c.s.stats.syncNanos.Add(uint64(took))
	return fed, took, nil
}
