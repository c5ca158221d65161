package asl

import (
	"cmp"
	"errors"
	"slices"
)

// ErrNotRedrivable answers Redriven where NotRedrivable has a reason. The execution is unchanged.
var ErrNotRedrivable = errors.New("asl: the execution cannot be redriven")

// NotRedrivable is why the execution takes no Redriven, in the words of DescribeExecution's redriveStatusReason, "" if it does. How long ago it
// ended is for the driver to judge.
//
// https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
func (x *Execution) NotRedrivable() string {
	switch {
	case x.status == StatusRunning || x.status == StatusSucceeded:
		return "Execution is " + string(x.status) + " and cannot be redriven"
	case x.events >= maxEvents-1 || x.childEvents >= maxChildEvents:
		return "Execution history event limit exceeded"
	}
	return ""
}

// Redrives is how often the execution has been redriven.
func (x *Execution) Redrives() int { return x.redrives }

// redrive lets the execution go on in every state that was entered and not left when it ended. IDs of commands and numbers of events go on
// counting, so that no attempt has the name of an earlier one.
func (x *Execution) redrive(ev Event) ([]Command, error) {
	if x.NotRedrivable() != "" {
		return nil, ErrNotRedrivable
	}
	x.clock(ev)
	x.status, x.failure = StatusRunning, failure{}
	x.redrives, x.redriven = x.redrives+1, x.now
	x.outer, x.outerSize = nil, 0
	x.scopes, x.lastBefore = 0, x.lastID
	x.root = x.root.copied(nil)
	x.resume(x.root, x.event(x.root, HistoryEvent{Type: "ExecutionRedriven", Redrives: x.redrives}))
	x.begun()
	return x.take(), nil
}

// resume gives a scope that was closed a turn to go on, after the event. Its attempts are counted anew.
func (x *Execution) resume(sc *scope, after int64) {
	sc.closed, sc.lastEvent = false, after
	sc.attempt, sc.retries, sc.context = 0, nil, nil
	sc.fork, sc.broken = sc.broken, nil
	x.ready.push(sc)
}

// resumeFork goes on with the branches and iterations of a Parallel or a Map state that did not succeed.
func (x *Execution) resumeFork(p *scope) {
	f := p.fork
	f.waiting, f.running = slices.Concat(f.waiting, f.running), nil
	distributed := f.run != nil && p.state.mapping.distributed
	if distributed {
		f.run.redrives++
		f.started = x.event(p, HistoryEvent{Type: "MapRunRedriven", State: p.state.name, Redrives: f.run.redrives})
		f.reopen()
	}
	slices.SortFunc(f.waiting, func(a, b *scope) int { return cmp.Compare(a.index, b.index) })
	switch {
	case f.run == nil:
		for len(f.waiting) > 0 && !x.crowded(1) {
			x.resumeNext(p)
		}
	case distributed && f.run.exceeds():
		x.mapRunFailed(p)
		return
	default:
		if bad := x.iterate(p); bad != nil {
			x.collapse(p, bad)
			return
		}
	}
	if x.status == StatusRunning && len(f.running) == 0 {
		x.join(p)
	}
}

// reopen takes back that iterations of a distributed Map have failed: they wait to go on. As on AWS the failure of one whose own history is
// full stands, and counts.
func (f *fork) reopen() {
	var stands []*ended
	f.run.failed = 0
	for e := f.ended; e != nil; e = e.before {
		if e.failed != nil && e.failed.events < maxEvents-1 {
			f.waiting = append(f.waiting, e.failed)
			continue
		}
		if e.failed != nil {
			f.run.failed += f.run.weight(e.index)
		}
		stands = append(stands, e)
	}
	f.ended = nil
	for _, e := range slices.Backward(stands) {
		f.ended = &ended{e.index, e.output, e.failed, f.ended}
	}
}

// resumeNext goes on with the first of the scopes that wait for it.
func (x *Execution) resumeNext(p *scope) {
	f := p.fork
	was := f.waiting[0]
	f.waiting = f.waiting[1:]
	sc := was.copied(p)
	f.running = append(f.running, sc)
	x.scopes++
	after := p.lastEvent
	switch {
	case sc.home == sc:
		after = x.event(sc, HistoryEvent{Type: "ExecutionRedriven"})
	case f.run != nil && was.closed: // its end was told
		sc.lastEvent = p.lastEvent
		after = x.event(sc, HistoryEvent{Type: "MapIterationStarted", State: p.state.name, Index: sc.index})
	}
	x.resume(sc, after)
}

// copied is a copy of a scope that was closed, below another parent. What is below it is shared.
func (sc *scope) copied(parent *scope) *scope {
	c := *sc
	c.parent, c.twin = parent, nil
	switch {
	case sc.home == sc:
		c.home = &c
	case parent != nil:
		c.home = parent.home
	}
	if c.fork != nil { // it was in progress when the execution ended
		c.broken, c.fork = c.fork, nil
	}
	if c.broken != nil {
		f := *c.broken
		if f.run != nil {
			run := *f.run
			f.run = &run
		}
		c.broken = &f
	}
	return &c
}

// kept is a copy of a closed scope and all below it, in memory of its own: it outlives the clone in whose memory it stood.
func (sc *scope) kept(parent *scope) *scope {
	c := sc.copied(parent)
	if f := c.broken; f != nil {
		f.running, f.waiting = keptAll(f.running, c), keptAll(f.waiting, c)
	}
	return c
}

func keptAll(list []*scope, parent *scope) []*scope {
	all := make([]*scope, len(list))
	for i, sc := range list {
		all[i] = sc.kept(parent)
	}
	return all
}
