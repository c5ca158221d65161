package asl

import "fmt"

// outcome is what became of a state: it waits, it failed, or it has an output.
type outcome struct {
	waiting bool
	failure *failure
	output  any
	size    int    // a bound of the output's size
	next    *state // nil: the scope ends with this output
	caught  bool   // the output of a Catch: OutputPath does not see it

	way      *leaving // nil: the state's own
	result   *result  // what Assign sees as $; nil: the output
	assigned map[string]any
}

// result is a task's result as it came, and a bound of its size.
type result struct {
	value any
	size  int
}

var waits = outcome{waiting: true}

func fails(f *failure) outcome { return outcome{failure: f} }

// run takes turns until all scopes wait or the execution ends. It is a loop, not a recursion: a machine may pass
// thousands of states without waiting.
func (x *Execution) run() {
	for sc, ok := x.ready.pop(); ok; sc, ok = x.ready.pop() {
		if sc.closed || x.exhausted(sc) {
			continue
		}
		if sc.fork != nil { // a redrive has opened it again
			x.resumeFork(sc)
			continue
		}
		if sc.entered == 0 || sc.state.kind == kindFail { // else a redrive goes on in it
			sc.attempt, sc.retries, sc.context, sc.enteredAt = 0, nil, nil, x.now
			sc.entered = x.stateEvent(sc, "StateEntered", HistoryEvent{Input: sc.input})
		}
		x.settle(sc, x.enter(sc))
	}
}

// exhausted ends the execution in whose history sc is if that is full, and the whole one if too much went on in the histories below it.
func (x *Execution) exhausted(sc *scope) bool {
	events := x.events
	if home := sc.home(); home != nil {
		events = home.events
	}
	switch {
	case x.childEvents >= maxChildEvents:
		x.end(StatusFailed, *engineFailure(errRuntime, fmt.Sprintf("The iterations of distributed Map states reached the maximum number of history events (%d).", maxChildEvents)))
	case events >= maxEvents-1: // the last event is the execution's end
		f := engineFailure(errRuntime, fmt.Sprintf("The execution reached the maximum number of history events (%d).", maxEvents))
		f.terminal = true
		x.fail(sc, f)
	default:
		return false
	}
	return true
}

func (x *Execution) enter(sc *scope) outcome {
	switch sc.state.kind {
	case kindTask:
		return x.schedule(sc)
	case kindChoice:
		return x.choose(sc)
	case kindPass:
		return x.enterPass(sc)
	case kindWait:
		return x.enterWait(sc)
	case kindFail:
		return fails(x.failState(sc))
	case kindParallel:
		return x.enterParallel(sc)
	case kindMap:
		return x.enterMap(sc)
	case kindSucceed:
	}
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	return outcome{failure: f, output: in, size: size}
}

// settle makes of an outcome what comes next: the next state's turn, or the end of the scope.
func (x *Execution) settle(sc *scope, o outcome) {
	if o.failure == nil && !o.waiting {
		x.leave(sc, &o)
	}
	if o.failure != nil {
		o = x.handle(sc, o.failure)
	}
	if o.waiting {
		return
	}
	sc.broken = nil
	sc.set(o.assigned)
	x.stateEvent(sc, "StateExited", HistoryEvent{Output: o.output, Assigned: o.assigned})
	if o.next == nil {
		x.finish(sc, o.output, o.size)
		return
	}
	x.due(sc, o.next, o.output, o.size)
}

// leave makes of an outcome the state's output and what it assigns. Both see the variables as they were at its entry.
func (x *Execution) leave(sc *scope, o *outcome) {
	way := o.way
	if way == nil {
		way = &sc.state.leaving
	}
	if way.assign != nil || way.output != nil {
		if x.leaveBy(way, sc, o); o.failure != nil {
			return
		}
	}
	if !o.caught {
		o.output, o.size, o.failure = x.selected(sc, sc.state.outputPath, o.output, o.size)
	}
	if o.failure == nil {
		o.size, o.failure = x.payloadSize(sc, o.output, o.size)
	}
}

func (x *Execution) leaveBy(way *leaving, sc *scope, o *outcome) {
	e := &env{x: x, scope: sc, input: o.output, bound: o.size}
	if o.result != nil {
		e.input, e.bound = o.result.value, o.result.size
	}
	switch {
	case o.caught:
		e.ended = &ending{"errorOutput", e.input}
	case o.result != nil && sc.state.hasResult():
		e.ended = &ending{"result", e.input}
	}
	if o.assigned, o.failure = x.evaluateAssign(way, e); o.failure == nil && way.output != nil {
		o.output, o.size, o.failure = way.output.eval(e)
	}
}

// handle lets Retry and then Catch see a failure. A failure that neither takes fails the scope.
func (x *Execution) handle(sc *scope, f *failure) outcome {
	if !f.terminal {
		if r := x.retrier(sc, f); r != nil {
			sc.broken = nil // all of it runs again
			x.command(Command{Kind: StartTimer, State: sc.state.name, At: x.now.Add(*r)}, sc)
			return waits
		}
		if sc.state.forks() {
			x.stateEvent(sc, "StateFailed", HistoryEvent{Error: f.err.s, Cause: f.cause.s})
		}
		for i := range sc.state.catch {
			if c := &sc.state.catch[i]; c.errors.match(f) {
				o := x.caught(sc, c, f)
				if o.failure == nil {
					return o
				}
				f = o.failure
				break
			}
		}
	}
	x.fail(sc, f)
	return waits
}

// caught is what the Catcher makes of a failure.
func (x *Execution) caught(sc *scope, c *catcher, f *failure) outcome {
	errorOutput, size := f.output()
	o := outcome{next: c.next, caught: true, way: &c.leaving, result: &result{errorOutput, size}}
	if o.output, o.size, o.failure = place(c.resultPath, sc.input, sc.inputSize, errorOutput, size); o.failure == nil {
		x.leave(sc, &o)
	}
	return o
}

// effective is the state's input after InputPath and Parameters.
func (x *Execution) effective(sc *scope) (any, int, *failure) {
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	if f != nil || sc.state.parameters == nil {
		return in, size, f
	}
	return x.evaluated(sc, sc.state.parameters, in, size)
}

func (x *Execution) evaluated(sc *scope, t expr, input any, bound int) (any, int, *failure) {
	v, size, f := t.eval(&env{x: x, scope: sc, input: input, bound: bound})
	if f == nil {
		size, f = x.payloadSize(sc, v, size)
	}
	return v, size, f
}

// selected applies InputPath or OutputPath.
func (x *Execution) selected(sc *scope, s selection, v any, size int) (any, int, *failure) {
	if s.none {
		return map[string]any{}, len("{}"), nil
	}
	if s.path == nil {
		return v, size, nil
	}
	e := &env{x: x, scope: sc, input: v, bound: size}
	at, size, found, f := s.path.find(e)
	if f != nil || found {
		return at, size, f
	}
	root, _, f := e.root(s.path)
	switch {
	case f != nil:
		return nil, 0, f
	case root == nil:
		return nil, 0, nullInput()
	}
	return nil, 0, runtimeFailure("Invalid path '" + s.path.text + "' : " + s.path.missing(root))
}

func nullInput() *failure {
	return runtimeFailure("Unable to apply Path transformation to null or empty input.")
}

// place applies ResultPath to the raw input.
func place(p placement, raw any, rawSize int, result any, size int) (any, int, *failure) {
	switch {
	case p.discard:
		return raw, rawSize, nil
	case p.path == nil:
		return result, size, nil
	}
	out, ok := p.path.set(raw, result)
	if !ok {
		f := engineFailure(errResultPath, fmt.Sprintf("Unable to apply ReferencePath %s to input %s", p.path.text, AppendJSON(nil, raw)))
		f.located = true
		return nil, 0, f
	}
	return out, rawSize + size + p.path.names, nil
}

// ResultTooLarge is how a machine fails a result of a task of that resource that is over the limit: for a driver that does not keep such a result.
func ResultTooLarge(resource string) (errorName, cause string) {
	f := resultTooLarge(shortOf(resource))
	return f.err.s, f.cause.s
}

func resultTooLarge(short string) *failure {
	return tooLarge("The state/task '" + short + "' returned a result")
}

// tooLarge is the failure over what is larger than a payload may be.
func tooLarge(what string) *failure {
	return engineFailure(errDataLimit, what+" with a size exceeding the maximum number of bytes service limit.")
}

// payloadSize makes of a bound a size that is within the limit. It walks the value only when the bound is over it.
func (x *Execution) payloadSize(sc *scope, v any, bound int) (int, *failure) {
	if bound <= maxPayload {
		return bound, nil
	}
	if bound = sizeOf(v, maxPayload); bound <= maxPayload {
		return bound, nil
	}
	f := resultTooLarge(sc.state.name)
	f.terminal, f.located = true, true
	return 0, f
}

func (x *Execution) enterPass(sc *scope) outcome {
	p := sc.state.pass
	v, size, f := x.effective(sc)
	if f != nil {
		return fails(f)
	}
	if p.hasResult {
		v, size = p.result.value, p.result.size
	}
	o := outcome{next: sc.state.next}
	if sc.state.leaving.assign != nil {
		o.result = &result{v, size}
	}
	o.output, o.size, o.failure = place(sc.state.resultPath, sc.input, sc.inputSize, v, size)
	return o
}

func (x *Execution) choose(sc *scope) outcome {
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	if f != nil {
		return fails(f)
	}
	e, c := &env{x: x, scope: sc, input: in, bound: size}, sc.state.choice
	next, way := c.fallback, &sc.state.leaving
	for i := range c.rules {
		holds, f := c.rules[i].rule.holds(e)
		if f != nil {
			return fails(f)
		}
		if holds {
			next, way = c.rules[i].next, &c.rules[i].leaving
			break
		}
	}
	if next == nil {
		f := engineFailure(errNoChoiceMatched, "Failed to transition out of the state. The state does not point to a next state.")
		f.located = true
		return fails(f)
	}
	return outcome{output: in, size: size, next: next, way: way}
}

func (x *Execution) failState(sc *scope) *failure {
	f := &failure{}
	var bad *failure
	if f.err, bad = x.failText(sc, &sc.state.fail.err); bad != nil {
		return bad
	}
	if f.cause, bad = x.failText(sc, &sc.state.fail.cause); bad != nil {
		return bad
	}
	return f
}

func (x *Execution) failText(sc *scope, t *failText) (text, *failure) {
	var v any
	var f *failure
	switch {
	case t.query != nil:
		v, f = t.query.as(&env{x: x, scope: sc, input: sc.input, bound: sc.inputSize}, "string")
	case t.at.expr != nil:
		v, _, f = x.evaluated(sc, t.at.expr, sc.input, sc.inputSize)
	default:
		return t.fixed, nil
	}
	if f != nil {
		return text{}, f
	}
	s, ok := v.(string)
	if !ok {
		return text{}, runtimeFailure(fmt.Sprintf("The %s parameter does not reference a string: %s == %s", t.at.field, t.at.text, AppendJSON(nil, v)))
	}
	return text{s, true}, nil
}
