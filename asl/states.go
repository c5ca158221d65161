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
}

var waits = outcome{waiting: true}

func fails(f *failure) outcome { return outcome{failure: f} }

// run takes turns until all scopes wait or the execution ends. It is a loop, not a recursion: a machine may pass
// thousands of states without waiting.
func (x *Execution) run() {
	for t, ok := x.ready.pop(); ok; t, ok = x.ready.pop() {
		sc := t.scope
		if sc.closed || x.exhausted(sc) {
			continue
		}
		sc.state, sc.input, sc.inputSize = t.state, t.input, t.size
		sc.attempt, sc.retries, sc.context, sc.enteredAt = 0, nil, nil, x.now
		sc.entered = x.stateEvent(sc, "StateEntered", HistoryEvent{Input: t.input})
		x.settle(sc, x.enter(sc))
	}
}

// exhausted ends the execution in whose history sc is if that is full, and the whole one if too much went on in the histories below it.
func (x *Execution) exhausted(sc *scope) bool {
	events := x.events
	if sc.home != nil {
		events = sc.home.events
	}
	switch {
	case x.childEvents >= maxChildEvents:
		x.end(StatusFailed, *engineFailure(errRuntime, "The iterations of distributed Map states reached the maximum number of history events (500000)."))
	case events >= maxEvents-1: // the last event is the execution's end
		f := engineFailure(errRuntime, "The execution reached the maximum number of history events (25000).")
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
	if o.failure == nil && !o.waiting && !o.caught {
		o.output, o.size, o.failure = x.selected(sc, sc.state.outputPath, o.output, o.size)
		if o.failure == nil {
			o.size, o.failure = x.payloadSize(sc, o.output, o.size)
		}
	}
	if o.failure != nil {
		o = x.handle(sc, o.failure)
	}
	if o.waiting {
		return
	}
	x.stateEvent(sc, "StateExited", HistoryEvent{Output: o.output})
	if o.next == nil {
		x.finish(sc, o.output, o.size)
		return
	}
	x.ready.push(turn{sc, o.next, o.output, o.size})
}

// handle lets Retry and then Catch see a failure. A failure that neither takes fails the scope.
func (x *Execution) handle(sc *scope, f *failure) outcome {
	if !f.terminal {
		if r := x.retrier(sc, f); r != nil {
			x.command(Command{Kind: StartTimer, State: sc.state.name, At: x.now.Add(*r)}, sc)
			return waits
		}
		if sc.state.forks() {
			x.stateEvent(sc, "StateFailed", HistoryEvent{Error: f.err.s, Cause: f.cause.s})
		}
		for i := range sc.state.catch {
			if c := &sc.state.catch[i]; c.errors.match(f) {
				out, size := f.output()
				out, size, bad := place(c.resultPath, sc.input, sc.inputSize, out, size)
				if bad == nil {
					size, bad = x.payloadSize(sc, out, size)
				}
				if bad != nil {
					f = bad
					break
				}
				return outcome{output: out, size: size, next: c.next, caught: true}
			}
		}
	}
	x.fail(sc, f)
	return waits
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
	v, size, f := t.eval(&env{x, sc, input, bound})
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
	if s.path.context {
		v, size = x.context(sc)
	}
	if v == nil {
		return nil, 0, runtimeFailure("Unable to apply Path transformation to null or empty input.")
	}
	at, steps := s.path.get(v)
	if steps < len(s.path.steps) {
		return nil, 0, invalidPath(s.path, at, steps)
	}
	return at, size, nil
}

func invalidPath(p *path, at any, steps int) *failure {
	return runtimeFailure("Invalid path '" + p.text + "' : " + p.missing(at, steps))
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

// payloadSize makes of a bound a size that is within the limit. It walks the value only when the bound is over it.
func (x *Execution) payloadSize(sc *scope, v any, bound int) (int, *failure) {
	if bound <= maxPayload {
		return bound, nil
	}
	if bound = sizeOf(v, maxPayload); bound <= maxPayload {
		return bound, nil
	}
	f := engineFailure(errDataLimit, "The state/task '"+sc.state.name+"' returned a result with a size exceeding the maximum number of bytes service limit.")
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
	v, size, f = place(sc.state.resultPath, sc.input, sc.inputSize, v, size)
	return outcome{failure: f, output: v, size: size, next: sc.state.next}
}

func (x *Execution) choose(sc *scope) outcome {
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	if f != nil {
		return fails(f)
	}
	e, c := &env{x, sc, in, size}, sc.state.choice
	next := c.fallback
	for i := range c.rules {
		holds, f := c.rules[i].rule.holds(e)
		if f != nil {
			return fails(f)
		}
		if holds {
			next = c.rules[i].next
			break
		}
	}
	if next == nil {
		f := engineFailure(errNoChoiceMatched, "Failed to transition out of the state. The state does not point to a next state.")
		f.located = true
		return fails(f)
	}
	return outcome{output: in, size: size, next: next}
}

func (x *Execution) failState(sc *scope) *failure {
	s := sc.state.fail
	f := &failure{err: s.err, cause: s.cause}
	if bad := x.failText(sc, &f.err, "ErrorPath", s.errorAt); bad != nil {
		return bad
	}
	if bad := x.failText(sc, &f.cause, "CausePath", s.causeAt); bad != nil {
		return bad
	}
	return f
}

func (x *Execution) failText(sc *scope, to *text, field string, p *path) *failure {
	if p == nil {
		return nil
	}
	v, _, f := (&reference{field, p}).eval(&env{x, sc, sc.input, sc.inputSize})
	if f != nil {
		return f
	}
	s, ok := v.(string)
	if !ok {
		return runtimeFailure(fmt.Sprintf("The %s parameter does not reference a string: %s == %s", field, p.text, AppendJSON(nil, v)))
	}
	*to = text{s, true}
	return nil
}
