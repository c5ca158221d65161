package asl

import (
	"fmt"
	"slices"
	"time"
)

// scope is one line of control with the frame of the state that it executes: the machine's own, that of a branch of a Parallel state, or that
// of an iteration of a Map state. The scopes of an execution are a tree: one whose state is a Parallel or a Map in progress has a fork.
//
// Clones share scopes: a step copies those that it changes, which are the one that goes on and those around it.
type scope struct {
	flow *flow
	// parent is the scope around, of one that the running step has in its hands. Between steps it is nil: a scope that nobody steps for long
	// would else hold its parent as it was, and with it all that ran beside it then.
	parent *scope
	made   int64 // in which step
	index  int   // of the branch or the iteration
	closed bool  // it ended or was aborted: nothing answers it any more

	// apart says of an iteration of a distributed Map that it is, on AWS, an execution of its own: with a history that nobody sees here, which
	// events counts, and the input that it began with.
	apart     bool
	events    int64
	begun     any
	begunSize int
	lastEvent int64

	item *mapItem // of the innermost iteration around
	// vars are the variables assigned in this scope. Never changed in place, for clones share them: who assigns makes a new map. They vanish
	// with the scope, as AWS has it.
	vars     map[string]variable
	varsSize int // of their values
	// heldAtMost bounds what held would find, so that held need not walk all scopes for each Assign. It is kept in the scope that around gives.
	heldAtMost int

	state     *state
	input     any
	inputSize int   // a bound of the input's size
	entered   int64 // the ...StateEntered event; 0: its turn has not come
	enteredAt time.Time
	attempt   int    // retries of this entry
	retries   []int  // of this entry, by retrier
	token     string // of this attempt, if the task has one: its $$.Task.Token, which it keeps when the task has answered
	submitted bool   // this attempt was handed out: TaskSubmitted
	waitsFor  int64  // the command of this attempt; it may have been answered
	context   map[string]any
	fork      *fork // of a Parallel or a Map state in progress
	broken    *fork // of one that was closed, or has failed: what a redrive goes on with. It and what is below it never change: clones share them
}

// home is the scope whose history this one's events stand in: nil is the execution's own.
func (sc *scope) home() *scope {
	for sc != nil && !sc.apart {
		sc = sc.parent
	}
	return sc
}

// variable is the value of a variable. Its size is kept with it, for a path into it asks for that each time.
type variable struct {
	value any
	size  int
}

// variable is a variable as the scope sees it: its own, or that of a scope around it. A distributed Map's iteration sees none from outside.
func (sc *scope) variable(name string) (v variable, ok bool) {
	for ; sc != nil; sc = sc.parent {
		if v, ok = sc.vars[name]; ok || sc.apart {
			return v, ok
		}
	}
	return variable{}, false
}

// path is the indexes of the branches and iterations around the scope, and its own, outermost first.
func (sc *scope) path() []int {
	var path []int
	for ; sc != nil && sc.parent != nil; sc = sc.parent {
		path = append(path, sc.index)
	}
	slices.Reverse(path)
	return path
}

// fork is what a Parallel or a Map state in progress waits for.
type fork struct {
	started int64 // the event that all branches and iterations begin after
	running tree[number, *scope]
	waiting []*scope // of a state that was closed or is redriven: what is closed there, to go on before any other begins. Never changed in place
	ended   *ended   // the latest
	count   int      // of branches or iterations
	size    int      // a bound of their outputs
	run     *mapRun  // Map
}

// copied is a copy that shares what is never changed in place.
func (f *fork) copied() *fork {
	c := *f
	if f.run != nil {
		run := *f.run
		c.run = &run
	}
	return &c
}

// ended is the output of a branch or an iteration. They are a list that only grows, so that clones share what they have in common: a driver
// that clones at each step of a Map of a thousand would else copy a thousand results each time.
type ended struct {
	index  int
	output any
	failed *scope // the iteration, if its failure was tolerated: a redrive goes on with it if the whole Map fails
	before *ended
}

func (f *fork) end(index int, output any, size int, failed *scope) {
	f.ended = &ended{index, output, failed, f.ended}
	f.size += size + len(",")
}

// results are the outputs by index.
func (f *fork) results() []any {
	list := make([]any, f.count)
	for e := f.ended; e != nil; e = e.before {
		list[e.index] = e.output
	}
	return list
}

// maxScopes bounds the branches and iterations of an execution that are in progress at a time, and with it the memory that one step takes: they
// are half a KB each. AWS grants 10,000 iterations of a distributed Map, each with its own branches.
const maxScopes = 100000

// crowded ends the execution if there is no room for so many more scopes.
func (x *Execution) crowded(more int) bool {
	if x.scopes+more <= maxScopes {
		return false
	}
	x.end(StatusFailed, *engineFailure(errRuntime, fmt.Sprintf("The execution has more than %d branches and iterations at a time.", maxScopes)))
	return true
}

// begin adds a scope to the fork of p. What it begins with is for the caller to say.
func (x *Execution) begin(p *scope, flow *flow, index int) *scope {
	sc := &scope{flow: flow, parent: p, made: x.edition.step, index: index, item: p.item, lastEvent: p.fork.started}
	p.fork.running = p.fork.running.with(x.edition, number(index), sc)
	if len(x.hands) == cap(x.hands) {
		x.letGo()
	}
	x.hands = append(x.hands, sc)
	x.scopes++
	return sc
}

// turns is a queue. Scopes take turns, a state each, in the order in which they became ready: branches and iterations advance side by side, as
// they do on AWS, and in the same order each time.
type turns struct {
	list  []*scope
	first int
}

// due gives the scope a turn, to enter the state.
func (x *Execution) due(sc *scope, s *state, input any, size int) {
	sc.state, sc.input, sc.inputSize, sc.entered = s, input, size, 0
	x.ready.push(sc)
}

func (q *turns) push(sc *scope) { q.list = append(q.list, sc) }

func (q *turns) pop() (*scope, bool) {
	if q.first == len(q.list) {
		return nil, false
	}
	sc := q.list[q.first]
	q.list[q.first] = nil
	q.first++
	switch {
	case q.first == len(q.list):
		q.list, q.first = q.list[:0], 0
	case q.first >= 1024 && q.first*2 >= len(q.list): // two scopes that never wait would let it grow with each state
		n := copy(q.list, q.list[q.first:])
		clear(q.list[n:])
		q.list, q.first = q.list[:n], 0
	}
	return sc, true
}

// finish ends a scope with its output: the execution, or a part of what the state around waits for.
func (x *Execution) finish(sc *scope, output any, size int) {
	p := sc.parent
	if p == nil {
		x.output = output
		x.end(StatusSucceeded, failure{})
		return
	}
	x.iterationEvent(sc, "Succeeded", HistoryEvent{})
	p.fork.end(sc.index, output, size, nil)
	x.left(sc)
}

// left goes on after a scope that ended, with the next iteration or behind the whole fork.
func (x *Execution) left(sc *scope) {
	p := sc.parent
	p.fork.running = p.fork.running.without(x.edition, number(sc.index))
	sc.closed = true
	x.scopes--
	if !sc.apart {
		p.lastEvent = sc.lastEvent
	}
	if p.state.mapping != nil {
		if f := x.iterate(p); f != nil {
			x.collapse(p, f)
			return
		}
	}
	if x.status == StatusRunning && p.fork.running.size == 0 {
		x.join(p)
	}
}

// join is the outcome of a Parallel or a Map state of which everything has succeeded or was tolerated.
func (x *Execution) join(p *scope) {
	results, size := p.fork.results(), p.fork.size+len("[]")
	m := p.state.mapping
	if m != nil && m.flatten {
		results = flattened(results)
	}
	var result any = results
	whole := p.fork
	p.fork = nil
	size, f := x.payloadSize(p, result, size)
	if f != nil { // a redrive does all of it again, as on AWS
		x.settle(p, fails(f))
		return
	}
	if m == nil || !m.distributed { // should the state make nothing of the result, a redrive does none of it again
		p.broken = whole
	}
	if m != nil && m.distributed {
		x.sideEvent(p, HistoryEvent{Type: "MapRunSucceeded"})
	}
	x.sideEvent(p, HistoryEvent{Type: string(p.state.kind) + "StateSucceeded"})
	x.settle(p, x.resulted(p, result, size))
}

// fail fails a scope with a failure that none of its states took: the state around it sees it next. What is terminal ends the execution in
// whose history it happened.
func (x *Execution) fail(sc *scope, f *failure) {
	f = f.at(sc)
	home := sc.home()
	if f.terminal && home == nil || sc.parent == nil {
		x.end(StatusFailed, *f)
		return
	}
	if f.terminal {
		sc = home
	}
	if sc.apart {
		x.childFailed(sc, f)
		return
	}
	x.iterationEvent(sc, "Failed", HistoryEvent{Error: f.err.s, Cause: f.cause.s})
	sc.closed = true
	sc.parent.lastEvent = sc.lastEvent
	x.collapse(sc.parent, f)
}

// collapse fails a Parallel or a Map state in progress: what still runs below it is aborted.
func (x *Execution) collapse(p *scope, f *failure) {
	if f.terminal {
		x.fail(p, f)
		return
	}
	x.abortFork(p)
	x.cancel()
	x.settle(p, fails(f))
}

func (x *Execution) abortFork(p *scope) {
	f := p.fork
	if f == nil {
		return
	}
	all := append(make([]*scope, 0, len(f.waiting)+f.running.size), f.waiting...)
	for sc := range f.running.all() {
		sc = x.own(sc, p)
		x.abort(sc)
		all = append(all, sc)
	}
	x.scopes -= f.running.size
	f.waiting, f.running = all, tree[number, *scope]{}
	p.broken, p.fork = f, nil
}

// abort closes a scope and all below it, with AWS's events for what was going on there. They do not move the chain of previous IDs.
func (x *Execution) abort(sc *scope) {
	if !sc.closed { // else it is the one that failed
		x.iterationEvent(sc, "Aborted", HistoryEvent{})
		sc.closed = true
		if sc.waitsFor != 0 {
			x.void = append(x.void, sc.waitsFor)
		}
	}
	if s := sc.state; sc.entered != 0 && (s.forks() || s.kind == kindTask || s.kind == kindWait) {
		x.sideEvent(sc, HistoryEvent{Type: string(s.kind) + "StateAborted"})
	}
	runs := sc.fork != nil && sc.fork.run != nil && sc.state.mapping.distributed
	x.abortFork(sc)
	if runs {
		x.sideEvent(sc, HistoryEvent{Type: "MapRunAborted"})
	}
}

// cancel makes the commands of aborted scopes void. One that this step itself made is taken back: the driver never hears of it.
func (x *Execution) cancel() {
	slices.Sort(x.void)
	var takenBack []int64
	for _, id := range x.void {
		c, ok := x.open.commands.get(number(id))
		if !ok {
			continue // it was answered
		}
		x.open.remove(x.edition, c)
		if id > x.lastBefore {
			takenBack = append(takenBack, id)
		} else {
			x.commands = append(x.commands, Command{Kind: Cancel, ID: id, State: c.State})
		}
	}
	x.void = nil
	if takenBack != nil {
		x.commands = slices.DeleteFunc(x.commands, func(c Command) bool {
			_, ok := slices.BinarySearch(takenBack, c.ID)
			return ok
		})
	}
}

// Clone is a copy that can be stepped on its own: a driver steps it to learn what a commit must hold, and keeps it when
// the commit succeeded. It shows its events to the same Observe. It costs the same whatever is open, for the two share all that neither changes;
// two goroutines may step them at the same time.
func (x *Execution) Clone() *Execution {
	x.edition.shared = x.edition.step
	c := *x
	x.ready = turns{} // the memory of the queue goes to the clone, for more often than not x is dropped
	return &c
}

// own is the scope as the running step may change it, with its parent: itself, or a copy if clones may share it.
func (x *Execution) own(sc, parent *scope) *scope {
	if sc.made <= x.edition.shared {
		c := *sc
		c.made = x.edition.step
		c.retries = slices.Clone(sc.retries)
		if sc.fork != nil {
			c.fork = sc.fork.copied()
		}
		sc = &c
	}
	if parent != nil {
		sc.parent = parent
		x.hands = append(x.hands, sc)
	}
	return sc
}

// waiting is the scope that the command is of. It and those around it are the step's own.
func (x *Execution) waiting(c *Command) *scope {
	sc := x.root
	for _, index := range c.Index {
		child, _ := sc.fork.running.get(number(index))
		if mine := x.own(child, sc); mine != child {
			sc.fork.running = sc.fork.running.with(x.edition, number(index), mine)
			child = mine
		}
		sc = child
	}
	return sc
}

// mayBeSubmitted reports whether the command is of a task that has a token and was not handed out yet.
func (x *Execution) mayBeSubmitted(c *Command) bool {
	sc := x.root
	for _, index := range c.Index {
		sc, _ = sc.fork.running.get(number(index))
	}
	return c.Kind == RunTask && sc.state.task.callback && !sc.submitted
}
