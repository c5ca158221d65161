package flow

import (
	"container/heap"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A run is an open execution in memory. While it is being advanced it belongs to one goroutine, else to the agenda.
type run struct {
	name   string
	*awake // nil before the first step, and while it sleeps for long

	told bool // of the start once more, while it was here: guarded by the agenda's lock
	anew bool // it was redriven, while it was here: so, too
	cut  bool // it was stopped while it neither slept nor was parked: so, too

	// Of the tasks that run beside one another. What waits for a worker and what came back are guarded by the engine's lock.
	flight map[int64]*errand // begun, by the command's ID: its answer was neither taken nor cancelled
	sent   int64             // the last command that was looked at for a task to begin
	todo   []*errand
	back   []delivery
	parked bool // it waits for what comes back, and for no time
	paused bool // it sleeps after a failure that is not its own: what comes back does not wake it

	calls  calls
	heard  int         // how many events followers of this process were told
	called atomic.Bool // a callback is to be looked at

	at    time.Time // when it wakes
	order uint64    // of going to sleep: who wakes first of two with one time
	place int       // among the sleepers, from 1; 0: it does not sleep
}

// awake is what a run has beside that while it is advanced, or soon will be: of a million that wait for days, each has none.
type awake struct {
	// What the journal says; x is nil until it is read, and again when more may stand there: after a commit whose outcome is unknown.
	x       *asl.Execution
	machine *asl.Machine
	head    store.Item
	seq     int // journal entries
	last    time.Time

	answer *answer // to one of the open commands, not committed yet
	alone  bool    // the answer is to be committed without the tasks that follow: with them it was refused
	tries  int     // failures in a row that are not the execution's

	handed   map[int64]*handout // the tasks that are handed out, by their command's ID
	expiries expiries           // when their times are over
	handsOut bool               // the journal that was read tells of one
	early    bool               // callbacks wait for the next commit: of a task whose function still runs, or behind another

	begun []string // the executions that the latest commit starts

	follower Follower           // nil: nobody is told
	noted    []asl.HistoryEvent // for the follower, since it was last told
}

// An answer is what is to be committed next for a run: to a command, or the end of a machine that ended without one.
type answer struct {
	kind         asl.EventKind
	id           int64
	effect       store.Effect // of TaskSucceeded
	name, cause  string       // of TaskFailed; of TaskTimedOut when it was the heartbeat's
	noName       bool         // of TaskFailed: it has none, as against an empty one
	noCause      bool
	state        string
	attempt      string
	resource     string
	endedAtStart bool
	heard        chan<- error // of a callback: takes what becomes of it
	token        string       // of a callback: what its sender has
	child        bool         // of the end of a child; without a kind as long as that is not known
}

// forget drops what is loaded; the next step reads the journal again.
func (r *run) forget() {
	r.wake()
	r.x, r.machine, r.head, r.handed, r.expiries, r.follower, r.noted, r.sent = nil, nil, nil, nil, nil, nil, nil, 0
}

// unload forgets a run that will wait for long, unless it will be asked for often.
func (r *run) unload() {
	if len(r.flight) == 0 && len(r.handed) <= fewHanded {
		r.forget()
	}
}

func (r *run) wake() {
	if r.awake == nil {
		r.awake = new(awake)
	}
}

// soleTask is the task that the execution waits for, if it waits for nothing else but its own deadline: most machines do at all times.
func soleTask(open asl.Open) (sole asl.Command, ok bool) {
	if open.Len() > 2 {
		return asl.Command{}, false
	}
	for c := range open.After(0) {
		switch {
		case c.Deadline():
		case ok || c.Kind != asl.RunTask:
			return asl.Command{}, false
		default:
			sole, ok = c, true
		}
	}
	return sole, ok
}

// due is what happens to the run by itself if nothing comes before, and when: a timer fires, or a task that is handed out has no more time.
func (r *run) due() (a answer, at time.Time, ok bool) {
	if timer, ticking := r.x.Open().Timer(); ticking {
		a, at, ok = answer{kind: asl.TimerFired, id: timer.ID, state: timer.State}, timer.At, true
	}
	if first, limited := r.firstExpiry(); limited && (!ok || first.at.Before(at)) {
		c, _ := r.x.Open().Command(first.id)
		a, at, ok = answer{kind: asl.TaskTimedOut, id: c.ID, state: c.State, attempt: attemptName(r.name, c)}, first.at, true
		if first.silent {
			a.name = heartbeatTimeout
		}
	}
	return a, at, ok
}

// A turn is what one worker takes from the agenda: a run to be advanced or, if errand is not nil, one of its tasks.
type turn struct {
	run    *run
	errand *errand
}

// An agenda knows all open executions: those that are ready, in order, and those that sleep. It is not safe for concurrent use.
type agenda struct {
	runs   map[string]*run
	ready  []place // from first on
	first  int
	asleep sleepers
	slept  uint64

	age   func() time.Duration // since it was made
	gauge gauge                // what of it is seen without a lock
}

// A place in the queue is a run's, or its tasks': however many there are, they have one.
type place struct {
	run   *run
	tasks bool
	since time.Duration // the agenda's age at which it was taken
}

func newAgenda(now func() time.Time) *agenda {
	made := now()
	return &agenda{runs: make(map[string]*run), age: func() time.Duration { return now().Sub(made) }}
}

// add makes a run that is ready, and reports false if there is one of that name, which then knows that it was told again.
func (a *agenda) add(name string) bool {
	if r, ok := a.runs[name]; ok {
		r.told = true
		return false
	}
	r := &run{name: name}
	a.runs[name] = r
	a.gauge.open.Store(int64(len(a.runs)))
	a.push(r)
	return true
}

func (a *agenda) remove(r *run) {
	delete(a.runs, r.name)
	a.gauge.open.Store(int64(len(a.runs)))
}

func (a *agenda) push(r *run) { a.enqueue(place{run: r}) }

// enqueue puts the place at the end of the queue.
func (a *agenda) enqueue(p place) {
	p.since = a.age()
	a.ready = append(a.ready, p)
	a.queued()
}

// pop takes what is ready first, a zero turn if nothing is. Who has more tasks then goes to the end of the queue for the next: executions
// take turns, a task each, and one with ten thousand of them holds up nobody.
func (a *agenda) pop() turn {
	for {
		p := a.popPlace()
		if !p.tasks {
			return turn{run: p.run}
		}
		r := p.run
		for len(r.todo) > 0 && r.todo[0].ctx.Err() != nil {
			r.todo = r.todo[1:] // cancelled before it began
		}
		if len(r.todo) == 0 {
			r.todo = nil
			continue
		}
		t := turn{r, r.todo[0]}
		if r.todo = r.todo[1:]; len(r.todo) > 0 {
			a.enqueue(p)
		}
		return t
	}
}

func (a *agenda) popPlace() place {
	if a.first == len(a.ready) {
		return place{}
	}
	r := a.ready[a.first]
	a.ready[a.first] = place{}
	a.first++
	switch {
	case a.first == len(a.ready):
		if a.ready, a.first = a.ready[:0], 0; cap(a.ready) > 1024 {
			a.ready = nil // so many are ready once, after the start
		}
	case a.first >= 1024 && a.first*2 >= len(a.ready):
		n := copy(a.ready, a.ready[a.first:])
		clear(a.ready[n:]) // else what stood there is held until as many are ready again
		a.ready, a.first = a.ready[:n], 0
	}
	a.gauge.taken.Add(1)
	a.queued()
	return r
}

// addTask queues a task of the run.
func (a *agenda) addTask(r *run, t *errand) {
	if r.todo = append(r.todo, t); len(r.todo) == 1 {
		a.enqueue(place{run: r, tasks: true})
	}
}

func (a *agenda) pending() int { return len(a.ready) - a.first }

// sleep lets r sleep until r.at, and reports whether it is now the first to wake. The journal's clock has milliseconds, where a Wait's Timestamp may have
// nanoseconds: who woke at the very time would find that nothing is due yet.
func (a *agenda) sleep(r *run) bool {
	if at := r.at.Truncate(time.Millisecond); at.Before(r.at) {
		r.at = at.Add(time.Millisecond)
	}
	a.slept++
	r.order = a.slept
	if r.x == nil && !r.paused {
		r.awake = nil
	}
	heap.Push(&a.asleep, r)
	return a.asleep[0] == r
}

// rouse reports whether the run waits for what comes back, and takes it from where it waits.
func (a *agenda) rouse(r *run) bool {
	switch {
	case r.parked:
		r.parked = false
	case r.place > 0 && !r.paused:
		heap.Remove(&a.asleep, r.place-1)
	default:
		return false
	}
	return true
}

// wake moves the runs that are due to the ready ones and returns when the next wakes, zero if none sleeps.
func (a *agenda) wake(now time.Time) time.Time {
	for len(a.asleep) > 0 && !a.asleep[0].at.After(now) {
		r, _ := heap.Pop(&a.asleep).(*run)
		a.push(r)
	}
	if len(a.asleep) == 0 {
		return time.Time{}
	}
	return a.asleep[0].at
}

// sleepers is a heap of runs, the first to wake at its root.
type sleepers []*run

func (s sleepers) Len() int { return len(s) }
func (s sleepers) Less(i, j int) bool {
	if s[i].at.Equal(s[j].at) {
		return s[i].order < s[j].order
	}
	return s[i].at.Before(s[j].at)
}
func (s sleepers) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i+1, j+1
}

func (s *sleepers) Push(x any) {
	if r, ok := x.(*run); ok {
		*s = append(*s, r)
		r.place = len(*s)
	}
}

func (s *sleepers) Pop() any {
	last := len(*s) - 1
	r := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	r.place = 0
	return r
}
