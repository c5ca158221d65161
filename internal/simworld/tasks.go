package simworld

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A call is one delivery of a task.
type call struct {
	name string
	in   saga.TaskInput
}

// task is a task of the saga as the world lets it work. Each call is remembered: it may be delivered again. One that was given up
// while it was on its way commits what it did, as a function would that runs on after its invocation has timed out.
//
// A task that is committed together with the one before it is staged before that one is durable, as no delivery ever is. So where steps
// are not apart, a call is remembered when its commit is done.
func (w *World) task(name string, h saga.Handler) saga.Handler {
	w.handlers[name] = h
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		if w.config.Apart {
			w.calls = append(w.calls, call{name, in})
		}
		if name == w.config.Failing {
			return store.Effect{}, fault.New(fault.Transient, "simulated: %s cannot be reached", name)
		}
		if w.broken(name) {
			w.note("a bug in a task")
			return store.Effect{}, fault.New(fault.Internal, "simulated: this build cannot do %s", name)
		}
		effect, err := h(ctx, in)
		if err == nil && ctx.Err() != nil {
			late := w.commitAlone(effect)
			w.tracef("given up, and done all the same: %s of %s: %v", name, in.Input.OrderID, late)
		}
		if committed := effect.Committed; !w.config.Apart {
			effect.Committed = func() {
				w.calls = append(w.calls, call{name, in})
				if committed != nil {
					committed()
				}
			}
		}
		return effect, err
	}
}

// duplicate delivers an earlier task once more, as a function is that was invoked long ago and only now runs: another attempt, with a
// commit of its own. Whatever it answers, nobody hears it.
func (w *World) duplicate() {
	if len(w.calls) == 0 {
		return
	}
	c := w.calls[w.rnd.IntN(len(w.calls))]
	c.in.Attempt += ".again"
	w.plan.enter(true)
	defer w.plan.enter(false)
	effect, err := w.handlers[c.name](context.Background(), c.in)
	if err == nil {
		err = w.commitAlone(effect)
	}
	w.tracef("again: %s of %s: %v", c.name, c.in.Input.OrderID, err)
}

// commitAlone makes an effect whose task was called by nobody that still waits for it.
func (w *World) commitAlone(e store.Effect) error {
	w.turns.take()
	defer w.turns.take()
	if w.disk.isFull() {
		return errDiskFull
	}
	_, err := store.Commit(context.Background(), w.ours, e)
	w.checkCommit()
	return err
}

// A Bug is of a build that is mended after a while: until then a task fails for good, and where nothing catches that, its order waits for a
// person.
type Bug struct {
	Task    string
	At, For time.Duration // since the world began
}

// broken reports whether a bug keeps the task from being done.
func (w *World) broken(task string) bool {
	for _, b := range w.config.Bugs {
		if since := time.Since(w.began) - b.At; b.Task == task && since >= 0 && since < b.For {
			return true
		}
	}
	return false
}
