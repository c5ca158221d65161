package flow

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An outcome says what becomes of a run after a step.
type outcome uint8

const (
	again   outcome = iota // there is more to do now
	asleep                 // until r.at, or until a task comes back
	parked                 // until a task comes back
	gone                   // ended, or never there
	stopped                // the engine is stopping: the next start goes on
	away                   // it is somebody else's: the worker had one of its tasks
)

const (
	minBackoff  = 20 * time.Millisecond
	maxBackoff  = 10 * time.Second
	shortSleep  = time.Minute // who sleeps longer is forgotten and read again
	fewHanded   = 16          // tasks: who has handed out more is kept, since each answer would have its journal read
	lateBackoff = time.Second // until a task that outlived its timeout may have returned
)

// step does one thing for a run: it reads the journal if it must, carries out one command, and commits the answer.
func (e *Engine) step(ctx context.Context, w *worker, r *run) outcome {
	if crash := e.crashed.Load(); crash != nil {
		panic(*crash)
	}
	r.wake()
	r.paused = false
	if r.x == nil {
		stopped := r.calls.stoppedLife()
		if err := e.replay(ctx, r, func(s asl.Start) func(asl.HistoryEvent) { return e.follow(r, s) }); err != nil {
			return e.tryLater(ctx, r, "read", err)
		}
		r.loaded()
		e.beginChildren(r) // the reply to their start may have been lost
		open := r.x != nil && r.head.Str("status") == string(running)
		if r.answer != nil && (!open || !r.expects(r.answer)) { // it was committed after all, or another engine's was
			r.answer.hear(fault.New(fault.Transient, "Whether the answer was taken is not known."))
			r.answer = nil
		}
		if !open {
			return e.leave(ctx, r)
		}
		if stopped >= lifeOf(r.head) { // and yet it is open: it is another, under the name of the one that was stopped
			r.calls.anew()
		}
		r.lookAgain()
		r.recall()
		if err := e.lookAround(ctx, r); err != nil {
			r.forget()
			return e.tryLater(ctx, r, "read", err)
		}
	}
	if r.answer == nil && (len(r.flight) > 0 || r.called.Load()) {
		e.collect(r)
		if r.answer != nil && r.answer.child {
			if err := e.hearChild(ctx, r); err != nil {
				return e.tryLater(ctx, r, "read the end of a child", err)
			}
		}
	}
	if r.answer == nil {
		if out := e.carryOut(ctx, w, r); r.answer == nil {
			return out
		}
	}
	if ctx.Err() != nil {
		return stopped
	}
	return e.commit(ctx, r)
}

// leave lets go of an execution whose journal says that it has ended. Whoever committed the end may not know it, as when the reply was lost: what follows
// from an end is done here, again if need be.
func (e *Engine) leave(ctx context.Context, r *run) outcome {
	if r.x == nil {
		return gone
	}
	if r.handsOut {
		if err := e.forgetRows(ctx, r.name); err != nil {
			r.forget()
			return e.tryLater(ctx, r, "read", err)
		}
	}
	e.toParent(r.head)
	return gone
}

// expects reports whether the execution still waits for the answer.
func (r *run) expects(a *answer) bool {
	if a.endedAtStart {
		return true // else the head would say so
	}
	_, ok := r.x.Open().Command(a.id)
	return ok && (a.kind != asl.TaskSubmitted || r.handed[a.id] == nil)
}

// carryOut does what the machine wants next, and leaves the answer in r; without one the outcome says why.
func (e *Engine) carryOut(ctx context.Context, w *worker, r *run) outcome {
	if r.x.Status() != running {
		r.answer = &answer{endedAtStart: true}
		return again
	}
	if e.draining.Load() {
		return parked
	}
	now := e.now()
	next, at, ticking := r.due()
	if ticking && !at.After(now) {
		r.answer = &next
		return again
	}
	if c, ok := soleTask(r.x.Open()); ok && len(r.flight) == 0 && r.handed[c.ID] == nil {
		return e.runTask(r.context(ctx), w, r, c)
	}
	if until, err := e.send(ctx, r); err != nil {
		return e.tryLater(ctx, r, "run", err)
	} else if !until.IsZero() && (!ticking || until.Before(at)) {
		r.at = until
		return asleep
	}
	switch {
	case ticking:
		if r.at = at; r.at.Sub(now) > shortSleep {
			r.unload()
		}
		return asleep
	case len(r.flight) > 0:
		return parked
	case len(r.handed) > 0: // for as long as it takes
		r.unload()
		return parked
	}
	return e.tryLater(ctx, r, "step", fault.New(fault.Internal, "flow: the machine waits for nothing"))
}

// A commit is one attempt to commit a run's answer, and with it the tasks that may follow in the same commit. Its fields are of the latest
// run of its function.
type commit struct {
	e   *Engine
	r   *run
	ctx context.Context // of the tasks that follow

	x         *asl.Execution // as it will be
	seq       int
	at        time.Time
	taskErr   error // of the task's Stage: nothing was committed
	hookErr   error
	taskOps   []store.Op   // of the answer's task
	void      []int64      // commands that are cancelled
	linked    []link       // the tasks that follow
	submitted []submission // tasks that are handed out
	beat      time.Time    // with errBeat: the task's last sign of life
}

var errStale = errors.New("flow: this command was answered already")

// isStale reports whether a commit was refused because the execution's journal or head is not what it was. A task's own writes may be to the
// table, too: they start other executions.
func isStale(name string, err error) bool {
	refusal := store.RefusalOf(err)
	return errors.Is(err, errStale) || refusal != nil && refusal.Key.Table == Table && refusal.Key.PK == name
}

// commit makes the task's writes, the journal entry and, if the machine ended, the end: all at once.
func (e *Engine) commit(ctx context.Context, r *run) outcome {
	ctx = r.context(ctx)
	c := commit{e: e, r: r, ctx: ctx}
	err := e.o.Store.Update(ctx, c.stage)
	if err == nil {
		return c.committed()
	}
	a, refusal := r.answer, store.RefusalOf(err)
	switch {
	case ctx.Err() != nil:
		r.forget()
		return stopped
	case len(c.linked) > 0 && !fault.Retryable(err): // whichever of them it was, each is to be heard for itself
		r.alone = true
		return again
	case c.taskErr != nil:
		r.answer = e.failure(ctx, r.name, *a, c.taskErr)
		return again
	case errors.Is(err, errBeat):
		r.handed[a.id].beat, r.answer = c.beat, nil
		r.limit(a.id)
		return again
	case isStale(r.name, err):
		r.forget() // another engine was faster, or this one: an answer whose outcome was unknown
		return again
	case refusal != nil && c.ofTask(refusal.Key):
		r.answer = e.failure(ctx, r.name, *a, refused(a.effect, err))
		return again
	case refusal == nil && c.hookErr == nil && a.effect.Stage != nil && !fault.Retryable(err):
		r.answer = e.failure(ctx, r.name, *a, err) // such as a transaction that no store takes
		return again
	}
	// The outcome may be unknown. The journal is read before the same answer is tried again: if it is in there, the command
	// is no longer open.
	r.forget()
	return e.tryLater(ctx, r, "commit", err)
}

// stage is the function of the commit. The store may run it again, and a task's result may then be another, so each run
// steps a copy: the execution moves when the commit has succeeded, with the result of the run that was committed.
func (c *commit) stage(tx *store.Tx) error {
	r, a := c.r, c.r.answer
	c.x, c.seq, c.taskErr, c.hookErr, c.taskOps, c.linked = r.x, r.seq, nil, nil, nil, c.linked[:0]
	c.void, c.submitted = c.void[:0], c.submitted[:0]
	r.noted, r.begun = r.noted[:0], r.begun[:0]
	c.at = c.e.now()
	if c.at.Before(r.last) {
		c.at = r.last // the clock was set back; the journal's does not
	}
	if !a.endedAtStart {
		if silent, err := c.stillSilent(tx, a); err != nil || !silent {
			return cmp.Or(err, errBeat)
		}
		ev := asl.Event{Kind: a.kind, ID: a.id, Time: c.at, Seed: c.e.o.Seed(), Error: a.name, Cause: a.cause, NoError: a.noName, NoCause: a.noCause}
		var output []byte
		if a.kind == asl.TaskSucceeded || a.kind == asl.TaskSubmitted {
			if ev.Output, output, c.taskErr = stageTask(tx, a.effect); c.taskErr != nil {
				return c.taskErr
			}
			c.taskOps = tx.Ops()
		}
		c.x = r.x.Clone()
		c.stageEntry(tx, ev, output)
		if err := c.step(ev); err != nil {
			return err
		}
		if !r.alone && tx.Err() == nil {
			c.stageLinks(tx)
		}
	}
	if c.x.Status() == running {
		return nil
	}
	return c.stageEnd(tx)
}

func (c *commit) stageEntry(tx *store.Tx, ev asl.Event, output []byte) {
	tx.Put(entryKey(c.r.name, c.seq+1), entry(ev, output), store.Absent())
	c.stageRow(tx, ev)
}

// step moves the copy by the event of the entry that was staged last.
func (c *commit) step(ev asl.Event) error {
	followed, err := c.x.Step(ev)
	switch {
	case errors.Is(err, asl.ErrStale):
		return errStale
	case err != nil:
		return fault.Wrap(fault.Internal, err, "flow: step")
	}
	c.moved(ev, followed)
	return nil
}

// moved notes what followed from the entry's event.
func (c *commit) moved(ev asl.Event, followed []asl.Command) {
	c.seq++
	if ev.Kind == asl.TaskSubmitted {
		cmd, _ := c.x.Open().Command(ev.ID)
		c.submitted = append(c.submitted, submission{cmd, childIn(cmd, ev.Output)})
		return
	}
	for i := range followed {
		if followed[i].Kind == asl.Cancel {
			c.void = append(c.void, followed[i].ID)
		}
	}
}

func (c *commit) stageEnd(tx *store.Tx) error {
	r, status := c.r, c.x.Status()
	tx.Put(headKey(r.name), r.head.With(
		store.S("status", string(status)),
		store.N("ended_ms", c.at.UnixMilli()),
	), store.Equal(store.S("status", string(running))))
	tx.Delete(openKey(r.name))
	return c.stageFailure(tx)
}

// stageFailure stages what has to be committed together with an end that is not SUCCEEDED. A child's is its parent's affair.
func (c *commit) stageFailure(tx *store.Tx) error {
	if c.x.Status() == succeeded || c.e.o.OnFailed == nil || c.r.head.Str(attrParent) != "" {
		return nil
	}
	c.hookErr = guard(func() error { return c.e.o.OnFailed(tx, c.ended()) })
	return c.hookErr
}

// ended is how the execution will have ended.
func (c *commit) ended() Ended {
	ended := Ended{Execution: c.r.name, Machine: c.r.head.Str("machine"), Status: c.x.Status(), At: c.at}
	ended.Error, ended.Cause = c.x.Failure()
	ended.State, _ = c.x.Current()
	return ended
}

// ofTask reports whether the task itself staged an operation on the key.
func (c *commit) ofTask(key store.Key) bool {
	for i := range c.taskOps {
		if c.taskOps[i].Key == key {
			return true
		}
	}
	return false
}

func (c *commit) committed() outcome {
	r, a := c.r, c.r.answer
	a.hear(nil)
	r.answer, r.tries, r.alone = nil, 0, false
	if a.kind == asl.TaskSucceeded || a.kind == asl.TaskSubmitted {
		c.e.report(r.name, a.state, a.effect)
	}
	for _, l := range c.linked {
		c.e.report(r.name, l.state, l.effect)
	}
	c.e.beginChildren(r)
	r.happened()
	c.e.closeTasks(c.ctx, c.handouts(a))
	if c.x.Status() != running {
		c.tellEnd()
		return gone
	}
	r.x, r.seq, r.last = c.x, c.seq, c.at
	for _, id := range c.void {
		r.cancel(id)
	}
	r.lookAgain()
	return again
}

// tellEnd tells of an end that has become durable.
func (c *commit) tellEnd() {
	c.logFailure()
	c.e.toParent(c.r.head)
	if c.e.o.OnEnded != nil {
		c.e.afterwards(c.r.name, "", func() { c.e.o.OnEnded(c.ended()) })
	}
}

// report tells the task that its effect is durable.
func (e *Engine) report(execution, state string, effect store.Effect) {
	if effect.Committed != nil {
		e.afterwards(execution, state, effect.Committed)
	}
}

// afterwards calls who wants to know of a commit. What goes wrong there is theirs.
func (e *Engine) afterwards(execution, state string, fn func()) {
	if err := guard(func() error { fn(); return nil }); err != nil {
		e.o.Log.LogAttrs(context.Background(), slog.LevelError, "flow: after a commit", slog.String("execution", execution),
			slog.String("state", state), slog.Any("error", err))
	}
}

// tryLater lets a run sleep after a failure that is not the execution's: capped exponential backoff, half of it by chance.
func (e *Engine) tryLater(ctx context.Context, r *run, what string, err error) outcome {
	if ctx.Err() != nil {
		return stopped
	}
	delay := backoff(r.tries, e.o.Seed())
	if r.tries++; r.tries == 1 || !fault.Retryable(err) {
		e.o.Log.LogAttrs(ctx, levelOf(err), "flow: an execution waits", attrs(r.name, what, delay, err)...)
	}
	r.at, r.paused = e.now().Add(delay), true
	return asleep
}

// backoff is the pause after the n-th failure in a row, n from 0.
func backoff(n int, chance uint64) time.Duration {
	d := maxBackoff
	if n < 9 { // 20 ms << 9 is over the cap
		d = min(minBackoff<<n, maxBackoff)
	}
	return d/2 + time.Duration(chance%uint64(d/2)) + time.Millisecond // below 10 s
}

// logFailure tells of an end that is not SUCCEEDED: somebody has to look at it. Its cause stays with the execution.
func (c *commit) logFailure() {
	status := c.x.Status()
	if status == running || status == succeeded {
		return
	}
	name, _ := c.x.Failure()
	state, _ := c.x.Current()
	c.e.o.Log.LogAttrs(context.Background(), slog.LevelError, "flow: an execution failed", slog.String("execution", c.r.name),
		slog.String("status", string(status)), slog.String("state", state), slog.String("error", name))
}
