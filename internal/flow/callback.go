package flow

import (
	"context"
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// SendTaskSuccess answers the task of a token: it has succeeded, with a result that json.Marshal takes. When it returns the answer is durable. A
// task is answered after it was handed out: an answer that comes while its function runs waits for that, so that no function answers its own.
//
// fault.BadRequest: no token, or no JSON; fault.TaskDoesNotExist: none of this store's; fault.TaskTimedOut: the task is closed, as it also is for
// who repeats an answer; fault.PayloadTooLarge: a result over 256 KiB; fault.Unavailable: the engine stops; fault.Transient: ctx ended, or the
// store's reply was lost, and whether the answer was taken is not known.
func (e *Engine) SendTaskSuccess(ctx context.Context, token string, result any) error {
	value, text, err := encode(result)
	if err != nil {
		return fault.Wrap(fault.BadRequest, err, "The task's result is no JSON value.")
	}
	if len(text) > maxValueBytes {
		return fault.New(fault.PayloadTooLarge, "The task's result has %d bytes, at most %d.", len(text), maxValueBytes)
	}
	return e.callBack(ctx, token, answer{kind: asl.TaskSucceeded, effect: store.Effect{Result: value}})
}

// SendTaskFailure answers the task of a token: it has failed. Either text may be empty, which is as if there were none. Its errors are those of
// SendTaskSuccess; fault.BadRequest is also an error over 256 bytes or a cause over 32,768, Step Functions' limits.
func (e *Engine) SendTaskFailure(ctx context.Context, token, errorName, cause string) error {
	if err := checkFailure(errorName, cause); err != nil {
		return err
	}
	return e.callBack(ctx, token, answer{kind: asl.TaskFailed, name: errorName, cause: cause, noName: errorName == "", noCause: cause == ""})
}

// SendTaskHeartbeat says that somebody works at the task of a token: its HeartbeatSeconds begin anew. Its errors are those of SendTaskSuccess.
func (e *Engine) SendTaskHeartbeat(ctx context.Context, token string) error {
	name, id, _, err := e.taskOf(ctx, token)
	if err != nil {
		return err
	}
	return e.o.Store.Update(ctx, func(tx *store.Tx) error {
		head, err := tx.Get(headKey(name))
		if err != nil {
			return err
		}
		row, err := tx.Get(rowKey(name, id))
		if err != nil {
			return err
		}
		if row == nil || head.Str("status") != string(running) {
			return taskTimedOut()
		}
		tx.Put(rowKey(name, id), row.With(store.N("beat_ms", max(e.now().UnixMilli(), row.Int("beat_ms")))))
		return nil
	})
}

func taskTimedOut() error {
	return fault.New(fault.TaskTimedOut, "The task of this token is closed: it was answered, its time was over, or its execution went on without it.")
}

// callBack brings an answer from who has the token to the execution, whose worker commits it as any other, and waits for that.
func (e *Engine) callBack(ctx context.Context, token string, a answer) error {
	name, id, head, err := e.taskOf(ctx, token)
	if err != nil {
		return err
	}
	if head.Str("status") != string(running) {
		return taskTimedOut()
	}
	heard := make(chan error, 1)
	a.id, a.token, a.heard = id, token, heard
	e.deliver(name, a)
	select {
	case err := <-heard:
		return err
	case <-ctx.Done():
		e.withdraw(name, heard)
		return fault.Wrap(fault.Transient, ctx.Err(), "Whether the answer was taken is not known.")
	case <-e.returned:
		return fault.New(fault.Unavailable, "The engine has stopped, and whether the answer was taken is not known.")
	}
}

// deliver queues an answer for its execution, and wakes that if it waits.
func (e *Engine) deliver(name string, a answer) {
	e.Begin(name) // it is open, but may not be recovered yet
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.agenda.runs[name]
	if r == nil {
		a.hear(fault.New(fault.Unavailable, "The engine is stopping."))
		return
	}
	e.callbacks[r] = append(e.callbacks[r], a)
	r.called.Store(true)
	if e.agenda.rouse(r) {
		e.agenda.push(r)
		e.spawn()
	}
}

// tell queues an answer for a run that is being advanced.
func (e *Engine) tell(r *run, a answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.callbacks[r] = append(e.callbacks[r], a)
	r.called.Store(true)
}

// hear tells who waits for the answer what became of it, if anybody does.
func (a *answer) hear(err error) {
	if a.heard != nil {
		a.heard <- err
		a.heard = nil
	}
}

// withdraw takes back an answer that is still queued: who has gone may come again, and again.
func (e *Engine) withdraw(name string, heard chan<- error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.agenda.runs[name]; r != nil {
		e.keepCallbacks(r, slices.DeleteFunc(e.callbacks[r], func(a answer) bool { return a.heard == heard }))
	}
}

// callback takes the first answer that came to a task which is handed out. One whose function still runs keeps its answers, and those behind the
// first wait for the next commit: before it nothing more can be taken. The caller holds mu.
func (e *Engine) callback(r *run) (taken *answer) {
	list := e.callbacks[r]
	early, looked := 0, 0
	for ; taken == nil && looked < len(list); looked++ {
		a := list[looked]
		switch c, open := r.x.Open().Command(a.id); {
		case !open || a.token != "" && a.token != c.Token: // as of an execution that had the name before
			a.hear(taskTimedOut())
		case r.handed[a.id] == nil:
			list[early] = a
			early++
		default:
			taken = &a
		}
	}
	if early == 0 { // of ten thousand answers none is moved
		clear(list[:looked])
		list = list[looked:]
	} else {
		list = slices.Delete(list, early, looked)
	}
	e.keepCallbacks(r, list)
	r.early = len(list) > 0
	r.called.Store(false)
	return taken
}

// keepCallbacks is what is queued for a run from now on. The caller holds mu.
func (e *Engine) keepCallbacks(r *run, list []answer) {
	if e.callbacks[r] = list; len(list) == 0 {
		delete(e.callbacks, r)
	}
}

// lookAgain has the callbacks looked at that waited for the next commit.
func (r *run) lookAgain() {
	if r.early {
		r.early = false
		r.called.Store(true)
	}
}

// refuseCallbacks answers who is left when the execution has ended. The caller holds mu.
func (e *Engine) refuseCallbacks(r *run, err error) {
	for _, a := range e.callbacks[r] {
		a.hear(err)
	}
	delete(e.callbacks, r)
	r.early = false
	r.called.Store(false)
}
