package asl

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// scope is one line of control with the frame of the state that it executes: the machine's own, that of a branch of a Parallel state, or that
// of an iteration of a Map state. The scopes of an execution are a tree: one whose state is a Parallel or a Map in progress has a fork.
type scope struct {
	flow   *flow
	parent *scope // nil: the machine's own
	index  int    // of the branch or the iteration
	closed bool   // it ended or was aborted: nothing answers it any more

	// home is the scope whose history this one's events stand in: nil is the execution's own. An iteration of a distributed Map is its own
	// home, for on AWS it is an execution of its own, with a history that nobody sees here; events counts it.
	home      *scope
	events    int64
	begun     any // of its home: the input that it began with
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
	context   map[string]any
	fork      *fork  // of a Parallel or a Map state in progress
	broken    *fork  // of one that was closed, or has failed: what a redrive goes on with. Nothing below it is changed any more, and clones share it
	twin      *scope // its copy, while a clone is made; only of one that may have a command
}

// variable is the value of a variable. Its size is kept with it, for a path into it asks for that each time.
type variable struct {
	value any
	size  int
}

// variable is a variable as the scope sees it: its own, or that of a scope around it. A distributed Map's iteration sees none from outside.
func (sc *scope) variable(name string) (v variable, ok bool) {
	for ; sc != nil; sc = sc.parent {
		if v, ok = sc.vars[name]; ok || sc.home == sc {
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
	started int64    // the event that all branches and iterations begin after
	running []*scope // by index
	waiting []*scope // of a redriven state: closed, by index, to go on before any other begins. Never changed in place
	ended   *ended   // the latest
	count   int      // of branches or iterations
	size    int      // a bound of their outputs
	run     *mapRun  // Map
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

func (f *fork) leave(sc *scope) {
	i, ok := slices.BinarySearchFunc(f.running, sc.index, func(s *scope, index int) int { return cmp.Compare(s.index, index) })
	if ok {
		f.running = slices.Delete(f.running, i, i+1)
	}
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
	sc := &scope{flow: flow, parent: p, index: index, home: p.home, item: p.item, lastEvent: p.fork.started}
	p.fork.running = append(p.fork.running, sc)
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
	p.fork.leave(sc)
	sc.closed = true
	x.scopes--
	if sc.home == p.home {
		p.lastEvent = sc.lastEvent
	}
	if p.state.mapping != nil {
		if f := x.iterate(p); f != nil {
			x.collapse(p, f)
			return
		}
	}
	if x.status == StatusRunning && len(p.fork.running) == 0 {
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
	if f.terminal && sc.home == nil || sc.parent == nil {
		x.end(StatusFailed, *f)
		return
	}
	if f.terminal {
		sc = sc.home
	}
	if sc.home == sc {
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
	if p.fork == nil {
		return
	}
	for _, sc := range p.fork.running {
		x.abort(sc)
	}
	x.scopes -= len(p.fork.running)
	p.broken, p.fork = p.fork, nil
}

// abort closes a scope and all below it, with AWS's events for what was going on there. They do not move the chain of previous IDs.
func (x *Execution) abort(sc *scope) {
	if !sc.closed { // else it is the one that failed
		x.iterationEvent(sc, "Aborted", HistoryEvent{})
		sc.closed = true
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

// cancel makes the open commands of closed scopes void. One that this step itself made is taken back: the driver never hears of it.
func (x *Execution) cancel() {
	var takenBack []int64
	open := x.open[:0]
	for _, o := range x.open {
		switch {
		case o.scope == nil || !o.scope.closed:
			open = append(open, o)
		case o.id > x.lastBefore:
			takenBack = append(takenBack, o.id)
		default:
			x.commands = append(x.commands, Command{Kind: Cancel, ID: o.id, State: o.scope.state.name})
		}
	}
	clear(x.open[len(open):])
	x.open = open
	if takenBack != nil {
		x.commands = slices.DeleteFunc(x.commands, func(c Command) bool {
			_, ok := slices.BinarySearch(takenBack, c.ID)
			return ok
		})
	}
}

// Clone is a copy that can be stepped on its own: a driver steps it to learn what a commit must hold, and keeps it when
// the commit succeeded. It shows its events to the same Observe.
func (x *Execution) Clone() *Execution {
	c := *x
	c.ready = turns{}
	c.open = append([]openCommand(nil), x.open...)
	slab := make([]scope, 0, x.scopes) // one piece of memory for all scopes below the root
	c.root = x.root.clone(&scope{}, nil, &slab)
	for i := range c.open {
		if sc := c.open[i].scope; sc != nil {
			c.open[i].scope, sc.twin = sc.twin, nil // else x would keep the clone's memory
		}
	}
	x.root.twin = nil // an execution that ended has no command
	return &c
}

// clone copies the tree below sc into c, and leaves with each scope that has a command its copy.
func (sc *scope) clone(c, parent *scope, slab *[]scope) *scope {
	*c = *sc
	c.parent = parent
	if sc.retries != nil {
		c.retries = slices.Clone(sc.retries)
	}
	switch {
	case sc.home == sc:
		c.home = c
	case sc.home != nil:
		c.home = parent.home
	}
	if sc.fork == nil { // it waits for the answer to a command, and has one: those of a fork are its branches' and iterations'
		sc.twin = c
		return c
	}
	f := *sc.fork
	c.fork = &f
	f.running = make([]*scope, len(sc.fork.running))
	for i, child := range sc.fork.running {
		*slab = append(*slab, scope{})
		f.running[i] = child.clone(&(*slab)[len(*slab)-1], c, slab)
	}
	if f.run != nil {
		run := *f.run
		f.run = &run
	}
	return c
}
