package flow

import (
	"sync/atomic"
	"time"
)

// A Load is how much an engine has to do, for whoever decides whether to give it more.
type Load struct {
	Open   int           // executions that have begun and not ended, those that sleep included: what takes memory
	Ready  int           // places in the queue: executions, and tasks of one that has several, that wait for a worker
	Oldest time.Duration // how long the first of the queue has waited; 0 if nothing waits
	Taken  uint64        // places that workers have taken so far: as fast as this rises the queue moves
}

// Load is how much there is to do now. It takes no lock, so that it can be asked for each order: its figures are each true, but may be of
// moments that lie some steps of the engine apart.
func (e *Engine) Load() Load {
	g := &e.agenda.gauge
	l := Load{Open: int(g.open.Load()), Ready: int(g.ready.Load()), Taken: g.taken.Load()}
	if l.Ready > 0 {
		l.Oldest = max(e.agenda.age()-time.Duration(g.since.Load()), 0)
	}
	return l
}

// A gauge is what an agenda shows without its lock. It is written under the lock, wherever the agenda changes.
type gauge struct {
	open, ready atomic.Int64
	since       atomic.Int64 // when what is ready first came to be so, as the agenda's age
	taken       atomic.Uint64
}

// queued shows the queue as it is after a change.
func (a *agenda) queued() {
	n := a.pending()
	a.gauge.ready.Store(int64(n))
	if n > 0 {
		a.gauge.since.Store(int64(a.ready[a.first].since))
	}
}
