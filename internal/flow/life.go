package flow

import (
	"container/heap"
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// maxContended bounds how often Start and Stop look again after somebody else was faster. A Stop races with the execution's own commits,
// one for each task, and comes between two of them at once or soon.
const maxContended = 64

// maxHeadsRead bounds what one page of List looks through. A page of what is rare is then short, and says where to go on.
const maxHeadsRead = 10_000

// Start begins an execution in a commit of its own. Called again with the same name and input it returns the same execution, as it stands
// now, ended or not: who had no answer asks again. A name is taken as long as its head is kept, which ForgetJournal leaves, and a hash of the input
// with it.
//
// fault.IdempotencyKeyReused: the name is that of an execution with another input;
// fault.BadRequest, fault.PayloadTooLarge: as Stage has it.
func (e *Engine) Start(ctx context.Context, name string, input any) (Stored, error) {
	if err := checkName(name); err != nil {
		return Stored{}, err
	}
	for range maxContended {
		var head store.Item
		err := e.o.Store.Update(ctx, func(tx *store.Tx) (err error) {
			if head, err = tx.Get(headKey(name)); err != nil || head != nil {
				return err
			}
			return e.Stage(tx, name, input)
		})
		switch refusal := store.RefusalOf(err); {
		case refusal != nil && refusal.Key == headKey(name):
			continue // somebody has begun it meanwhile
		case err != nil:
			return Stored{}, err
		case head != nil:
			return e.again(name, head, input)
		}
		e.Begin(name)
		return e.Head(ctx, name)
	}
	return Stored{}, fault.New(fault.Transient, "flow: %s is begun by many at once", name)
}

// again answers a Start of an execution that there is.
func (e *Engine) again(name string, head store.Item, input any) (Stored, error) {
	if !sameInput(head, input) {
		return Stored{}, fault.New(fault.IdempotencyKeyReused, "There is an execution %s with another input.", name)
	}
	d := storedOf(name, head)
	if d.Open {
		e.Begin(name) // the first one's answer may have been lost together with its Begin
	}
	return d, nil
}

// sameInput compares values, not texts: the order of members is nobody's intent.
func sameInput(head store.Item, input any) bool {
	given, _, err := encode(input)
	if err != nil {
		return false
	}
	if head.Bool(attrForgotten) { // journals that an earlier build deleted left no hash: then no input is the same
		return hashOf(given) == head.Str(attrInputHash)
	}
	kept, err := inputOf(head)
	return err == nil && reflect.DeepEqual(given, kept)
}

// Head is an execution without what only its journal tells: one read. fault.NotFound.
func (e *Engine) Head(ctx context.Context, name string) (Stored, error) {
	if checkName(name) != nil {
		return Stored{}, notFound(name)
	}
	it, err := e.o.Store.Get(ctx, headKey(name), store.Strong)
	if err != nil {
		return Stored{}, err
	}
	if it == nil {
		return Stored{}, notFound(name)
	}
	return storedOf(name, it), nil
}

// Stop ends an open execution as ABORTED, with an error and a cause, either of which may be empty. When it returns the end is durable,
// OnFailed's writes with it, and the contexts of its tasks have ended; what they return is dropped, and none starts any more. It returns how the
// execution ended, which is another end if that came first, so that a repeat does no harm.
//
// fault.NotFound: no such execution; fault.BadRequest: an error over 256 bytes or a cause over 32,768, Step Functions' limits.
func (e *Engine) Stop(ctx context.Context, name, errorName, cause string) (Stored, error) {
	if err := checkFailure(errorName, cause); err != nil {
		return Stored{}, err
	}
	r := run{name: name, awake: new(awake)}
	for range maxContended {
		d, err := e.Head(ctx, name)
		if err != nil || !d.Open {
			if d.Status == asl.StatusAborted {
				e.interrupt(name, d.Redrives+1) // also for the repeat of a Stop whose reply was lost
			}
			return d, err
		}
		r.answer = &answer{kind: asl.Aborted, name: errorName, cause: cause}
		if err := e.abort(ctx, &r); err != nil {
			if isStale(name, err) {
				continue // the execution has moved
			}
			return Stored{}, err
		}
		e.interrupt(name, lifeOf(r.head)) // whether its caller is still there or not
	}
	return Stored{}, fault.New(fault.Transient, "flow: %s does not stand still", name)
}

// checkFailure bounds what comes from outside, as Step Functions does.
func checkFailure(errorName, cause string) error {
	if len(errorName) > MaxErrorBytes || len(cause) > MaxCauseBytes {
		return fault.New(fault.BadRequest, "an error has at most %d bytes, a cause %d", MaxErrorBytes, MaxCauseBytes)
	}
	return nil
}

// abort commits an execution's end from beside: on a run of its own, which has nothing in common with the one that is being advanced but the
// journal. Whoever comes second finds the number of his entry taken. It then reads no more than what is new: to read a long journal takes longer
// than the execution's next commit, and so would for ever.
func (e *Engine) abort(ctx context.Context, r *run) error {
	var err error
	if r.x != nil {
		err = e.catchUp(ctx, r)
	} else {
		// It has no follower: the one that is being advanced tells its own of the end, when it reads its journal.
		err = e.replay(ctx, r, nobody)
	}
	if err != nil {
		return err
	}
	if r.x == nil || r.x.Status() != running { // it ended at its start, or is ending: its own end comes
		return errStale
	}
	c := commit{e: e, r: r, ctx: ctx}
	if err := e.o.Store.Update(ctx, c.stage); err != nil {
		return err
	}
	c.committed()
	return nil
}

// interrupt ends the contexts of a stopped execution's tasks and wakes it if it sleeps, so that it looks at its journal and is gone. A redrive begins
// another life, whose tasks are not meant.
func (e *Engine) interrupt(name string, life int64) {
	e.mu.Lock()
	r := e.agenda.runs[name]
	if r != nil {
		r.calls.stop(life)
		switch {
		case r.place > 0:
			r.forget()
			r.at = time.Time{}
			heap.Fix(&e.agenda.asleep, r.place-1)
		case r.parked && len(r.flight) == 0: // nothing that runs will come back: it waits for a callback
			r.forget()
			r.parked = false
			e.agenda.push(r)
			e.spawn()
		case !r.parked: // it may have read its journal before the end was in it
			r.cut = true
		}
	}
	kick := e.kick
	e.mu.Unlock()
	if kick != nil {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
}

// calls are an execution's tasks that run, so that a Stop reaches them. They have a lock of their own: who stops an execution does not own its run.
type calls struct {
	mu      sync.Mutex
	running map[*context.CancelFunc]int64 // in which life
	stopped int64                         // the life that was: the run may not know of it yet, and starts nothing more of it. They count from 1
}

// stop ends the contexts of the tasks of that life and lets no more of it start.
func (c *calls) stop(life int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = max(c.stopped, life)
	for cancel, began := range c.running {
		if began <= life {
			(*cancel)()
		}
	}
}

// stoppedLife is the life that was stopped, which the journal then says; 0: none.
func (c *calls) stoppedLife() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// anew forgets a Stop: the name is that of another execution now.
func (c *calls) anew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = 0
}

// begin notes a task that starts. ok is false if its execution was stopped.
func (c *calls) begin(cancel *context.CancelFunc, life int64) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if life <= c.stopped {
		return false
	}
	if c.running == nil {
		c.running = make(map[*context.CancelFunc]int64, 1)
	}
	c.running[cancel] = life
	return true
}

func (c *calls) end(cancel *context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, cancel)
}

// stoppable is the task with a context that a Stop ends. One that only stages waits for nothing, and needs none.
func (r *run) stoppable(task Task, life int64) Task {
	return func(ctx context.Context, c Call) (store.Effect, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if !r.calls.begin(&cancel, life) {
			return store.Effect{}, fault.New(fault.Transient, "flow: the execution was stopped")
		}
		defer r.calls.end(&cancel)
		return task(ctx, c)
	}
}

// List returns up to limit executions of a status, "" for all, beyond the name after, in the order of the names, and where to go on, "" at the
// end. Open ones have an index. Others are looked for among all heads in d, a dump of the engine's store, so that a page may be short and even
// empty while there is more.
func (e *Engine) List(ctx context.Context, d store.Dumper, status asl.Status, after string, limit int) (page []Stored, next string, err error) {
	if limit <= 0 {
		return nil, "", fault.New(fault.BadRequest, "a page has at least one execution")
	}
	if status == running {
		return e.listOpen(ctx, after, limit)
	}
	from, looked := "", 0
	if after != "" {
		from = after + "\x01" // the least partition behind it: names have no such byte
	}
	err = d.DumpTable(ctx, Table, from, func(en store.Entry) error {
		s, ok := Decode(en)
		if !ok {
			return nil
		}
		if len(page) == limit || looked == maxHeadsRead {
			return errPageFull
		}
		looked, next = looked+1, s.Name
		if status == "" || s.Status == status {
			page = append(page, s)
		}
		return nil
	})
	if errors.Is(err, errPageFull) {
		return page, next, nil
	}
	return page, "", err
}

var errPageFull = errors.New("the page is full")

func (e *Engine) listOpen(ctx context.Context, after string, limit int) (page []Stored, next string, err error) {
	names, err := e.Running(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names {
		s, err := e.Head(ctx, name)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, "", err
		}
		if s.Open { // else it ended meanwhile
			page = append(page, s)
		}
	}
	if len(names) == limit {
		next = names[limit-1]
	}
	return page, next, nil
}
