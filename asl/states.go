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

// run enters s and goes on until a state waits or the scope ends. It is a loop, not a recursion: a machine may pass
// thousands of states without waiting.
func (x *Execution) run(sc *scope, s *state, input any, size int) {
	for s != nil {
		if x.exhausted(sc) {
			return
		}
		sc.state, sc.input, sc.inputSize = s, input, size
		sc.attempt, sc.retries, sc.context, sc.enteredAt = 0, nil, nil, x.now
		sc.entered = x.stateEvent(sc, "StateEntered", HistoryEvent{Input: input})
		s, input, size = x.settle(sc, x.enter(sc))
	}
}

// exhausted ends the execution if its history is full.
func (x *Execution) exhausted(sc *scope) bool {
	if x.events < maxEvents-1 { // the last event is the execution's end
		return false
	}
	x.fail(sc, engineFailure(errRuntime, "The execution reached the maximum number of history events (25000)."))
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
	case kindSucceed:
	}
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	return outcome{failure: f, output: in, size: size}
}

// settle makes of an outcome the state to enter next, or nil: the scope waits or has ended.
func (x *Execution) settle(sc *scope, o outcome) (next *state, input any, size int) {
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
		return nil, nil, 0
	}
	x.stateEvent(sc, "StateExited", HistoryEvent{Output: o.output})
	if o.next == nil {
		x.output = o.output
		x.end(StatusSucceeded, failure{})
	}
	return o.next, o.output, o.size
}

// handle lets Retry and then Catch see a failure. A failure that neither takes fails the scope.
func (x *Execution) handle(sc *scope, f *failure) outcome {
	if t := sc.state.task; t != nil && !f.terminal {
		if r := x.retrier(sc, f); r != nil {
			x.command(Command{Kind: StartTimer, State: sc.state.name, At: x.now.Add(*r)}, sc)
			return waits
		}
		for i := range t.catch {
			if c := &t.catch[i]; c.errors.match(f) {
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

// fail ends the execution with a failure that no state took.
func (x *Execution) fail(sc *scope, f *failure) {
	out := *f
	if f.located {
		out.cause.s = fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %s", sc.state.name, sc.entered, f.cause.s)
	}
	x.end(StatusFailed, out)
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
	e, c := &env{x: x, scope: sc, input: in, bound: size}, sc.state.choice
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
	f := &failure{err: s.err, cause: s.cause, terminal: true}
	if bad := x.failText(sc, &f.err, s.errorAt); bad != nil {
		return bad
	}
	if bad := x.failText(sc, &f.cause, s.causeAt); bad != nil {
		return bad
	}
	return f
}

func (x *Execution) failText(sc *scope, to *text, at dynamic) *failure {
	if at.expr == nil {
		return nil
	}
	v, _, f := x.evaluated(sc, at.expr, sc.input, sc.inputSize)
	if f != nil {
		return f
	}
	s, ok := v.(string)
	if !ok {
		return runtimeFailure(fmt.Sprintf("The %s parameter does not reference a string: %s == %s", at.field, at.text, AppendJSON(nil, v)))
	}
	*to = text{s, true}
	return nil
}
