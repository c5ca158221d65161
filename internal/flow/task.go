package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// What bounds an error's name and its cause, as on Step Functions. fault.OfTask bounds what a function's failure shows of itself.
const (
	MaxErrorBytes = 256
	MaxCauseBytes = 32768
)

// heartbeatTimeout is the name that Step Functions gives to a task that was silent for too long.
const heartbeatTimeout = "States.HeartbeatTimeout"

// heedTime is what a task gets to return when its context has ended. One that heeds it needs no more, and is over before its
// execution goes on: then nothing of it runs beside the next attempt, and a simulation stays deterministic.
const heedTime = time.Millisecond

var errTooLarge = errors.New("the task's result is over 256 KiB")

// runTask calls the function of the only task and leaves its answer in r.
func (e *Engine) runTask(ctx context.Context, w *worker, r *run, c asl.Command) outcome {
	t, err := e.errandOf(r, c)
	if err != nil {
		return e.tryLater(ctx, r, "run", err)
	}
	e.heedDeadline(r, &t)
	if e.tooManyAreLate(ctx, &t) {
		r.at = e.now().Add(lateBackoff)
		return asleep
	}
	if r.answer = e.call(ctx, w, &t); r.answer == nil {
		return stopped // what it says of its end may be ours; the next start runs this attempt again
	}
	return again
}

// call calls the task's function, within its time if it has one. There is no answer if its context has ended.
func (e *Engine) call(ctx context.Context, w *worker, t *errand) *answer {
	a := answer{kind: asl.TaskSucceeded, id: t.id, state: t.call.State, attempt: t.call.Attempt, resource: t.call.Resource}
	var err error
	if t.limit <= 0 {
		a.effect, err = invoke(ctx, t.task, t.call)
	} else {
		var timedOut bool
		if a.effect, timedOut, err = e.invokeWithin(ctx, w, t.limit, t.task, t.call); timedOut {
			e.o.Log.LogAttrs(ctx, slog.LevelWarn, "flow: a task timed out", slog.String("execution", t.call.Execution),
				slog.String("state", t.call.State), slog.String("attempt", t.call.Attempt), slog.Duration("after", t.limit))
			a = t.late
		}
	}
	if a.kind == asl.TaskSucceeded && e.submits(t.call) {
		a.kind = asl.TaskSubmitted
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return e.failure(ctx, t.call.Execution, a, err)
	case a.effect.After != nil:
		return e.failure(ctx, t.call.Execution, a, fault.New(fault.Internal, "an effect with After: here a send is staged"))
	}
	return &a
}

// submits reports whether the task is handed out when its function has returned.
func (e *Engine) submits(c Call) bool { return c.Token != "" || e.awaitsChild(c.Resource) }

func callOf(execution string, c asl.Command) Call {
	call := Call{
		Execution: execution, State: c.State, Resource: c.Resource, Entered: c.Entered, Retry: c.Attempt, Attempt: attemptName(execution, c), Input: c.Input,
	}
	if isHandedOut(c) {
		call.Token = c.Token
	}
	return call
}

// invoke calls the task. A panic of it is Transient: whatever broke, the attempt's outcome is unknown.
func invoke(ctx context.Context, task Task, c Call) (effect store.Effect, err error) {
	err = guard(func() error {
		effect, err = task(ctx, c)
		return err
	})
	return effect, err
}

// A result is what a task in a goroutine of its own came to.
type result struct {
	effect store.Effect
	err    error
	crash  any // a SimulatedCrash on its way to the driver's goroutine
}

// A hand runs the tasks of one worker, one after the other, on a goroutine of its own, so that the worker can stop waiting for one. A
// goroutine for each task would do as well, but would have to grow its stack for each.
type hand struct {
	todo chan handful
	done chan result // takes one: the hand does not wait for a worker that has given it up
}

// A handful is one task with its context.
type handful struct {
	ctx  context.Context
	task Task
	call Call
}

// newHand starts a hand. It ends when todo is closed and the task that it is at has returned.
func (e *Engine) newHand() *hand {
	h := &hand{todo: make(chan handful), done: make(chan result, 1)}
	e.active.Add(1)
	go func() {
		defer e.active.Done()
		for t := range h.todo {
			h.done <- t.run()
		}
	}()
	return h
}

func (t handful) run() (res result) {
	defer func() { res.crash = recover() }()
	res.effect, res.err = invoke(t.ctx, t.task, t.call)
	return res
}

// A worker advances one run after another. The zero worker is ready; let it rest when it is done.
type worker struct {
	hand *hand
	wake chan struct{} // of a worker that may idle: takes one
}

func (w *worker) rest() {
	if w.hand != nil {
		close(w.hand.todo)
		w.hand = nil
	}
}

// invokeWithin has the worker's hand call the task and waits for it no longer than limit: what comes later is dropped, and so is
// the hand, which ends when the task returns. A task that returns after its deadline has timed out, whatever it says.
func (e *Engine) invokeWithin(ctx context.Context, w *worker, limit time.Duration, task Task, c Call) (store.Effect, bool, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if w.hand == nil {
		w.hand = e.newHand()
	}
	done := w.hand.done
	w.hand.todo <- handful{within, task, c}
	var res result
	select {
	case res = <-done:
	case <-within.Done():
		heeded := time.NewTimer(heedTime)
		defer heeded.Stop()
		select {
		case res = <-done:
		case <-heeded.C:
			w.rest()
			e.leaveBehind(done)
		}
	}
	if res.crash != nil {
		panic(res.crash)
	}
	if errors.Is(within.Err(), context.DeadlineExceeded) {
		return store.Effect{}, true, nil
	}
	return res.effect, false, res.err
}

// leaveBehind waits for a task that ignores its context, so that it is counted until it returns.
func (e *Engine) leaveBehind(done <-chan result) {
	e.late.Add(1)
	e.active.Add(1)
	go func() {
		defer e.active.Done()
		if res := <-done; res.crash != nil {
			e.crashed.Store(&res.crash)
		}
		e.late.Add(-1)
	}()
}

// stageTask stages the effect's writes and returns its result, as a value and as JSON.
func stageTask(tx *store.Tx, effect store.Effect) (value any, text []byte, err error) {
	result := effect.Result
	if effect.Stage != nil {
		if err = guard(func() error {
			result, err = effect.Stage(tx)
			return err
		}); err != nil {
			return nil, nil, err
		}
	}
	if value, text, err = encode(result); err != nil {
		return nil, nil, fault.Wrap(fault.Internal, err, "the task's result is no JSON value")
	}
	if len(text) > maxValueBytes {
		return nil, nil, errTooLarge
	}
	return value, text, nil
}

// refused is the business error that the effect makes of a refusal.
func refused(effect store.Effect, err error) error {
	business := err
	if panicked := guard(func() error {
		business = effect.Refusal(err)
		return nil
	}); panicked != nil {
		return panicked
	}
	return business
}

// failure is the answer that the task failed, as Lambda would report it: the kind as the error, the kind and the message as
// its cause. The text of an internal error stays in the log.
func (e *Engine) failure(ctx context.Context, execution string, of answer, err error) *answer {
	var own *Failure
	if errors.As(err, &own) {
		return own.answer(of)
	}
	kind, message := fault.OfTask(err)
	if kind == fault.Internal || errors.As(err, new(panicError)) {
		e.o.Log.LogAttrs(ctx, slog.LevelError, "flow: a task failed", slog.String("execution", execution),
			slog.String("state", of.state), slog.String("attempt", of.attempt), slog.Any("error", err))
		if message == "" {
			message = "an internal error; the log has its text under this attempt: " + of.attempt
		}
	}
	if errors.Is(err, errTooLarge) { // what the machine itself would say of it
		own = &Failure{}
		own.Name, own.Cause = asl.ResultTooLarge(of.resource)
		return own.answer(of)
	}
	cause := asl.AppendJSON(nil, map[string]any{"errorType": string(kind), "errorMessage": message})
	return &answer{
		kind: asl.TaskFailed, id: of.id, state: of.state, attempt: of.attempt,
		name: fault.Clip(string(kind), MaxErrorBytes), cause: string(cause),
	}
}

// A simulated crash is the one panic that flow does not recover: where a simulation's store or task panics with a value of this
// kind, the "process" dies there, on the goroutine that called RunOne. The engine is discarded and a new one made on the same store.
type simulatedCrash interface{ SimulatedCrash() }

// guard runs code that is not ours. Its panic becomes Transient.
func guard(fn func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if crash, ok := v.(simulatedCrash); ok {
			panic(crash)
		}
		err = fault.Wrap(fault.Transient, panicError{v, debug.Stack()}, "a panic")
	}()
	return fn()
}

// A panicError is what guard recovered: for the log.
type panicError struct {
	value any
	stack []byte
}

func (p panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }
