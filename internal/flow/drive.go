package flow

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	stuckWait  = 5 * time.Second // for tasks whose context was cancelled after the grace time
	timerCheck = time.Minute     // the longest sleep of the timers: the wall clock may be set
	// idleWorkers is how many workers wait for the next run instead of ending: a new one, and its hand, grow their stacks anew, which is
	// one part in twenty-five of an order. With some 16 KB each they hold 4 MB at most.
	idleWorkers = 128
)

// Run recovers the open executions and advances all of them until ctx ends. Then no task is started any more; those in flight have
// Options.Grace to finish and to be committed, then their context is cancelled. What is open stays open for the next start.
// It returns nil after a drain, and fault.Internal if tasks ignored their cancelled context: their results will be dropped.
func (e *Engine) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	kick := make(chan struct{}, 1)
	if !e.begin(work, kick) {
		return fault.New(fault.Internal, "flow: this engine is driven already")
	}
	defer close(e.returned)
	var keepers sync.WaitGroup
	keepers.Go(func() { e.keepTimers(ctx, kick) })
	keepers.Go(func() { e.keepRecovering(ctx) })
	if e.o.Keep > 0 {
		keepers.Go(func() { e.keepSweeping(ctx) })
	}
	<-ctx.Done()
	e.mu.Lock() // no worker starts after this
	e.draining.Store(true)
	for len(e.idle) > 0 {
		e.wakeOne()
	}
	e.mu.Unlock()
	keepers.Wait()
	drained := make(chan struct{})
	go func() {
		e.active.Wait()
		close(drained)
	}()
	if waitFor(drained, e.o.Grace) {
		return nil
	}
	cancel()
	if waitFor(drained, stuckWait) {
		return nil
	}
	return fault.New(fault.Internal, "flow: tasks ignore that their context was cancelled")
}

// begin lets workers start.
func (e *Engine) begin(work context.Context, kick chan struct{}) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.work != nil || e.recovered {
		return false
	}
	e.work, e.kick = work, kick
	for range e.agenda.pending() {
		e.spawn()
	}
	return true
}

// spawn finds a worker if one is needed: one that is idle, or a new one if that is allowed. The caller holds mu.
func (e *Engine) spawn() {
	if e.work == nil || e.draining.Load() || e.agenda.pending() == 0 {
		return
	}
	if len(e.idle) > 0 {
		e.wakeOne()
		return
	}
	if e.workers >= e.o.Workers {
		return
	}
	e.workers++
	e.active.Add(1)
	go e.advance(e.work)
}

// advance is a worker: it takes one ready run after another and advances each until it waits.
func (e *Engine) advance(ctx context.Context) {
	defer e.active.Done()
	w := worker{wake: make(chan struct{}, 1)}
	defer w.rest()
	for t := e.take(&w, nil, again); t.run != nil; {
		out := away
		if t.errand == nil || e.do(ctx, &w, t) {
			for out = again; out == again; {
				out = e.survive(ctx, &w, t.run)
			}
		}
		t = e.take(&w, t.run, out)
	}
}

// survive is a step whose panic, a bug of ours or of the store's, is the run's alone: it would come again at each start, and one
// execution must not keep all others from going on. RunOne lets it pass, since a simulation is there to show it.
func (e *Engine) survive(ctx context.Context, w *worker, r *run) (out outcome) {
	if err := guard(func() error { out = e.step(ctx, w, r); return nil }); err != nil {
		w.rest()
		r.forget()
		out = e.tryLater(ctx, r, "step", fault.Wrap(fault.Internal, err, "flow: a step"))
	}
	return out
}

// take puts down the run that a worker had, if any, and gives it the next turn, for which it may have to wait; a zero one ends the worker.
func (e *Engine) take(w *worker, had *run, out outcome) turn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if had != nil && e.settle(had, out) {
		return turn{run: had}
	}
	for !e.draining.Load() {
		if t := e.agenda.pop(); t.run != nil {
			if t.errand != nil {
				e.spawn() // its execution has gone to the end of the queue for the next
			}
			return t
		}
		if len(e.idle) >= idleWorkers {
			break
		}
		e.idle = append(e.idle, w)
		e.mu.Unlock()
		<-w.wake
		e.mu.Lock()
	}
	e.workers--
	return turn{}
}

// wakeOne wakes the worker that has idled last, whose stack and cache lines are the warmest. The caller holds mu.
func (e *Engine) wakeOne() {
	last := len(e.idle) - 1
	e.idle[last].wake <- struct{}{}
	e.idle[last], e.idle = nil, e.idle[:last]
}

// settle puts a run where its last step left it, and reports whether it has to go on at once: a task came back in the meantime, or it was stopped.
// The caller holds mu.
func (e *Engine) settle(r *run, out outcome) (goesOn bool) {
	if out == away { // who has the run settles it
		return false
	}
	if len(r.flight) == 0 {
		r.back = nil // all of it was cancelled
	}
	if r.cut && (out == parked || out == asleep) {
		r.cut = false
		r.forget()
		return true
	}
	switch out {
	case away:
	case again, stopped:
		e.agenda.push(r)
	case gone:
		r.cancelAll()
		e.refuseCallbacks(r, taskTimedOut())
		early := r.x == nil && r.told // it was looked for before its start was committed, and has been told of since
		if early || r.anew {
			if early {
				r.calls.anew()
			}
			r.told, r.anew = false, false
			r.forget()
			e.agenda.push(r)
			break
		}
		e.agenda.remove(r)
	case parked:
		if len(r.back) > 0 || r.called.Load() {
			return true
		}
		if r.parked = true; r.x == nil { // it waits for a callback, for as long as that takes
			r.awake = nil
		}
	case asleep:
		if (len(r.back) > 0 || r.called.Load()) && !r.paused {
			return true
		}
		if e.agenda.sleep(r) && e.kick != nil {
			select {
			case e.kick <- struct{}{}:
			default:
			}
		}
	}
	return false
}

// keepTimers wakes the runs that sleep, until ctx ends. Executions that wait hold no goroutine: this is the only one.
func (e *Engine) keepTimers(ctx context.Context, kick <-chan struct{}) {
	timer := time.NewTimer(timerCheck)
	defer timer.Stop()
	for {
		e.mu.Lock()
		next := e.agenda.wake(e.o.Now())
		for range min(e.agenda.pending(), e.o.Workers) {
			e.spawn()
		}
		e.mu.Unlock()
		sleep := timerCheck
		if !next.IsZero() {
			sleep = min(max(next.Sub(e.o.Now()), time.Millisecond), timerCheck)
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-kick:
		}
	}
}

// keepRecovering reads the index of open executions once, however long the store is away.
func (e *Engine) keepRecovering(ctx context.Context) {
	for n := 0; ; n++ {
		found, err := e.recoverOpen(ctx)
		if err == nil {
			e.o.Log.LogAttrs(ctx, slog.LevelInfo, "flow: recovered", slog.Int("open", found))
			close(e.tookUp)
			return
		}
		if ctx.Err() != nil {
			return
		}
		e.o.Log.LogAttrs(ctx, slog.LevelError, "flow: cannot recover yet", slog.Any("error", err))
		timer := time.NewTimer(backoff(n, e.o.Seed()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Recovered is closed when Run has found all executions that were open at its start, so that Load has them.
func (e *Engine) Recovered() <-chan struct{} { return e.tookUp }

// recoverOpen stores the current definition and adds all executions of the index to the agenda.
func (e *Engine) recoverOpen(ctx context.Context) (found int, err error) {
	if err := e.storeDefinitions(ctx); err != nil {
		return 0, fmt.Errorf("flow: store the definitions: %w", err)
	}
	for _, pk := range openPartitions {
		err := store.Each(ctx, e.o.Store, store.Query{Table: Table, PK: pk}, func(en store.Entry) error {
			e.Begin(en.Key.SK)
			found++
			return nil
		})
		if err != nil {
			return found, fmt.Errorf("flow: read the open executions: %w", err)
		}
	}
	if err := e.closeEnded(ctx); err != nil {
		return found, fmt.Errorf("flow: read what is handed out: %w", err)
	}
	return found, nil
}

// RunOne drives the engine for a simulation: on its first call it recovers, then each call does one due thing (a task with its commit,
// or a timer) on the caller's goroutine, executions taking turns. ran is false if nothing is due before wake; a zero wake
// means that nothing will be due at all. A failure of the store is not an error here, it only lets the execution wait; err is the
// recovery's, or ctx's.
//
// A panic whose value has a method SimulatedCrash() passes through: see simulatedCrash. RunOne is neither used beside Run nor
// concurrently.
func (e *Engine) RunOne(ctx context.Context) (ran bool, wake time.Time, err error) {
	if !e.recovered {
		if _, err := e.recoverOpen(ctx); err != nil {
			return false, time.Time{}, err
		}
		e.recovered = true
	}
	e.mu.Lock()
	wake = e.agenda.wake(e.o.Now())
	t := e.agenda.pop()
	e.mu.Unlock()
	if t.run == nil {
		return false, wake, ctx.Err()
	}
	var w worker
	defer w.rest()
	out := away
	if t.errand == nil || e.do(ctx, &w, t) {
		out = e.step(ctx, &w, t.run)
	}
	e.mu.Lock()
	if e.settle(t.run, out) {
		e.agenda.push(t.run)
	}
	e.mu.Unlock()
	if out == stopped {
		return false, time.Time{}, ctx.Err()
	}
	return true, time.Time{}, nil
}

func waitFor(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func levelOf(err error) slog.Level {
	if fault.Retryable(err) {
		return slog.LevelWarn
	}
	return slog.LevelError
}

func attrs(execution, what string, delay time.Duration, err error) []slog.Attr {
	return []slog.Attr{
		slog.String("execution", execution), slog.String("during", what),
		slog.Duration("retry_in", delay), slog.Any("error", err),
	}
}
