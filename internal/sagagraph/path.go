package sagagraph

import "strings"

// A Path is how far an execution came. The zero Path is no execution.
type Path struct {
	Visits  []Visit // in the order in which the states were entered; one that is entered again is there again
	Current string  // the state in which a running execution stands, "" if it has ended
}

// A Visit is one stay in a state.
type Visit struct {
	State string

	// Failed: the state's task failed for good, and was caught, or the execution failed with it. A task that
	// succeeds at a later try has not failed.
	Failed bool
}

// A Step is one event of an execution's history, as Step Functions has it.
type Step struct {
	Type  string // such as TaskStateEntered
	State string // "" of the execution's own events
}

// PathOf reads an execution's history. Events that it does not know change nothing.
func PathOf(history []Step) Path {
	var p Path
	for _, s := range history {
		switch {
		case s.State != "" && strings.HasSuffix(s.Type, "StateEntered"):
			p.Visits = append(p.Visits, Visit{State: s.State})
			p.Current = s.State
		case s.Type == "ExecutionSucceeded":
			p.Current = ""
		case strings.HasPrefix(s.Type, "Execution") && len(p.Visits) > 0 && s.Type != "ExecutionStarted": // failed, timed out, aborted
			p.Current = ""
			p.Visits[len(p.Visits)-1].Failed = true
		case len(p.Visits) == 0 || s.State != p.Visits[len(p.Visits)-1].State:
		case strings.HasSuffix(s.Type, "Failed"), strings.HasSuffix(s.Type, "TimedOut"):
			p.Visits[len(p.Visits)-1].Failed = true
		case strings.HasSuffix(s.Type, "Scheduled"), strings.HasSuffix(s.Type, "Succeeded"): // a try after one that failed
			p.Visits[len(p.Visits)-1].Failed = false
		}
	}
	return p
}

// A trace is a Path by state and edge, as the renderers want it.
type trace struct {
	steps   map[string][]int // state -> its places in the order, from 1
	failed  map[string]bool  // its last visit failed
	current string
	taken   map[move]bool
	any     bool
}

type move struct {
	from, to string
	kind     Kind
}

// traceOf finds the edges that were taken. From a state that failed the way on was a catcher's, else that of success.
func traceOf(p Path) trace {
	t := trace{steps: map[string][]int{}, failed: map[string]bool{}, taken: map[move]bool{}, current: p.Current, any: len(p.Visits) > 0}
	for i, v := range p.Visits {
		t.steps[v.State] = append(t.steps[v.State], i+1)
		t.failed[v.State] = v.Failed
		if i == 0 {
			continue
		}
		m := move{from: p.Visits[i-1].State, to: v.State, kind: Next}
		if p.Visits[i-1].Failed {
			m.kind = Catch
		}
		t.taken[m] = true
	}
	return t
}

func (t trace) took(e Edge) bool { return t.taken[move{e.From, e.To, e.Kind}] }
