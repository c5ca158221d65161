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
	x.begins(ev)
	x.status, x.failure = StatusRunning, failure{}
	x.redrives, x.redriven = x.redrives+1, x.now
	x.outer, x.outerSize = nil, 0
	x.scopes = 0
	x.resume(x.root, x.event(x.root, HistoryEvent{Type: "ExecutionRedriven", Redrives: x.redrives}))
	x.begun()
	return x.take(), nil
}

// resume gives a scope that was closed a turn to go on, after the event. Its attempts are counted anew.
func (x *Execution) resume(sc *scope, after int64) {
	sc.closed, sc.lastEvent = false, after
	sc.attempt, sc.retries, sc.context = 0, nil, nil
	if sc.broken != nil { // else its fork, if it has one, was in progress when the execution ended
		sc.fork, sc.broken = sc.broken.copied(), nil
	}
	x.ready.push(sc)
}

// resumeFork goes on with the branches and iterations of a Parallel or a Map state that did not succeed.
func (x *Execution) resumeFork(p *scope) {
	f := p.fork
	f.waiting = slices.AppendSeq(slices.Clone(f.waiting), f.running.all())
	f.running = tree[number, *scope]{}
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
	if x.status == StatusRunning && f.running.size == 0 {
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
	sc := x.own(f.waiting[0], p)
	f.waiting = f.waiting[1:]
	f.running = f.running.with(x.edition, number(sc.index), sc)
	x.scopes++
	after := p.lastEvent
	switch {
	case sc.apart:
		after = x.event(sc, HistoryEvent{Type: "ExecutionRedriven"})
	case f.run != nil && sc.closed: // its end was told
		sc.lastEvent = p.lastEvent
		after = x.event(sc, HistoryEvent{Type: "MapIterationStarted", State: p.state.name, Index: sc.index})
	}
	x.resume(sc, after)
}
