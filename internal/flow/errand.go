package flow

import (
	"context"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// An errand is one attempt at a task, on its way to a worker and back. While an execution waits for one task alone its own worker runs it, as
// that of an order does at all times. Tasks of branches and iterations are errands of any worker: they run beside one another, and their run
// commits what comes back, one answer after the other.
type errand struct {
	id     int64 // of its command: what comes back under another errand of that ID is dropped
	call   Call
	task   Task
	limit  time.Duration // how long it may take, 0 for ever
	late   answer        // if it takes longer
	ctx    context.Context
	cancel context.CancelFunc // when nobody waits for it any more
}

// A delivery is what an errand came back with; no answer means that it was not carried out, and is to be sent again.
type delivery struct {
	errand *errand
	answer *answer
}

// errandOf makes an errand of a task. A function sends no heartbeats, so silence is all that it can offer: the shorter limit counts.
func (e *Engine) errandOf(r *run, c asl.Command) (errand, error) {
	t := errand{id: c.ID, call: callOf(r.name, c), task: e.function(r, c), limit: c.Timeout}
	if t.task == nil { // of an older definition: this build is at fault, not the execution
		return errand{}, fault.New(fault.Internal, "flow: no task for %s", c.Resource)
	}
	t.late = answer{kind: asl.TaskTimedOut, id: c.ID, state: c.State, attempt: t.call.Attempt}
	if c.Heartbeat > 0 && (t.limit <= 0 || c.Heartbeat < t.limit) {
		t.limit, t.late.name = c.Heartbeat, heartbeatTimeout
	}
	if e.stagedOnly(t.call) {
		t.limit = 0
	} else {
		t.task = r.stoppable(t.task, lifeOf(r.head))
	}
	return t, nil
}

// heedDeadline lets the execution's own deadline, the only timer beside a sole task, end that task: its worker waits for nothing else.
func (e *Engine) heedDeadline(r *run, t *errand) {
	timer, ok := r.x.Open().Timer()
	if !ok || e.stagedOnly(t.call) {
		return
	}
	if left := max(timer.At.Sub(e.now()), time.Millisecond); t.limit <= 0 || left < t.limit {
		t.limit, t.late = left, answer{kind: asl.TimerFired, id: timer.ID, state: t.call.State}
	}
}

// tooManyAreLate reports whether the task has to wait until one that outlived its timeout has returned.
func (e *Engine) tooManyAreLate(ctx context.Context, t *errand) bool {
	n := e.late.Load()
	if t.limit <= 0 || n < int64(e.o.Workers) {
		return false
	}
	e.o.Log.LogAttrs(ctx, slog.LevelError, "flow: no task starts, too many outlived their timeout",
		slog.Int64("late", n), slog.String("execution", t.call.Execution))
	return true
}

// send queues the tasks that nobody runs yet, as many as one execution may have out at a time. If it can not send one now it says when to
// try again.
func (e *Engine) send(ctx context.Context, r *run) (until time.Time, err error) {
	for c := range r.x.Open().After(r.sent) {
		if len(r.flight) >= e.o.PerExecution {
			break
		}
		if c.Kind != asl.RunTask || r.flight[c.ID] != nil || r.handed[c.ID] != nil {
			r.sent = c.ID
			continue
		}
		made, err := e.errandOf(r, c)
		if err != nil {
			return time.Time{}, err
		}
		t := &made
		if e.tooManyAreLate(ctx, t) {
			return e.now().Add(lateBackoff), nil
		}
		// Its context ends with its command, or when its worker is to stop; not with that of the step which happens to send it.
		t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(r.context(ctx)))
		if r.flight == nil {
			r.flight = make(map[int64]*errand)
		}
		r.flight[c.ID], r.sent = t, c.ID
		e.mu.Lock()
		e.agenda.addTask(r, t)
		e.spawn()
		e.mu.Unlock()
	}
	return time.Time{}, nil
}

// do carries out an errand and brings its answer to its run. If that waits for it, do reports true and the run is the caller's.
func (e *Engine) do(ctx context.Context, w *worker, t turn) bool {
	defer context.AfterFunc(ctx, t.errand.cancel)()
	d := delivery{errand: t.errand}
	if t.errand.ctx.Err() == nil && !e.tooManyAreLate(ctx, t.errand) {
		d.answer = e.call(t.errand.ctx, w, t.errand)
	}
	t.errand.cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	t.run.back = append(t.run.back, d)
	return e.agenda.rouse(t.run)
}

// collect takes the first answer that came back, or was called back, and is still waited for.
func (e *Engine) collect(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r.answer == nil && len(r.back) > 0 {
		d := r.back[0]
		if r.back = r.back[1:]; len(r.back) == 0 {
			r.back = nil
		}
		if r.flight[d.errand.id] == d.errand {
			delete(r.flight, d.errand.id)
			if r.answer = d.answer; r.answer == nil {
				r.sent = min(r.sent, d.errand.id-1)
			}
		}
	}
	if r.answer == nil && r.called.Load() {
		r.answer = e.callback(r)
	}
}

// cancel ends the context of a task whose command is void, and forgets it: what it returns is dropped.
func (r *run) cancel(id int64) {
	if t := r.flight[id]; t != nil {
		t.cancel()
		delete(r.flight, id)
	}
}

func (r *run) cancelAll() {
	for id := range r.flight {
		r.cancel(id)
	}
}

// recall cancels what runs for commands that are not open any more, as the journal says that was read anew.
func (r *run) recall() {
	for id := range r.flight {
		if _, ok := r.x.Open().Command(id); !ok || r.handed[id] != nil {
			r.cancel(id)
		}
	}
}
