package asl

// forks reports whether the state is made of other states.
func (s *state) forks() bool { return s.kind == kindParallel || s.kind == kindMap }

// hasResult reports whether there is a $states.result, which is not the state's output, and a $$.State.RetryCount.
func (s *state) hasResult() bool { return s.kind == kindTask || s.forks() }

// enterParallel starts all branches, at the state's entry and at each retry. Each begins with the same input.
func (x *Execution) enterParallel(sc *scope) outcome {
	in, size, f := x.effective(sc)
	if f != nil {
		return fails(f)
	}
	if x.crowded(len(sc.state.branches)) {
		return waits
	}
	started := x.stateEvent(sc, "StateStarted", HistoryEvent{})
	sc.fork = &fork{started: started, count: len(sc.state.branches)}
	for i, branch := range sc.state.branches {
		x.due(x.begin(sc, branch, i), branch.start, in, size)
	}
	return waits
}
