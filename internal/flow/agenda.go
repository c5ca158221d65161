package flow

import (
	"container/heap"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A run is an open execution in memory. While it is being advanced it belongs to one goroutine, else to the agenda.
type run struct {
	name string

	// What the journal says; x is nil until it is read, and again when more may stand there: after a commit whose outcome is unknown.
	x       *asl.Execution
	machine *asl.Machine
	head    store.Item
	seq     int // journal entries
	last    time.Time
	open    []asl.Command // not answered yet, in the order of their IDs

	answer *answer // to one of them, not committed yet
	alone  bool    // the answer is to be committed without the tasks that follow: with them it was refused
	tries  int     // failures in a row that are not the execution's
	told   bool    // of the start once more, while it was here: guarded by the agenda's lock
	anew   bool    // it was redriven, while it was here: so, too

	// Of the tasks that run beside one another. What waits for a worker and what came back are guarded by the engine's lock.
	flight map[int64]*errand // begun, by the command's ID: its answer was neither taken nor cancelled
	todo   []*errand
	back   []delivery
	parked bool // it waits for what comes back, and for no time
	paused bool // it sleeps after a failure that is not its own: what comes back does not wake it

	calls calls

	follower Follower           // nil: nobody is told
	noted    []asl.HistoryEvent // for the follower, since it was last told
	heard    int                // how many events followers of this process were told

	at    time.Time // when it wakes
	order uint64    // of going to sleep: who wakes first of two with one time
	place int       // among the sleepers, from 1; 0: it does not sleep
}

// An answer is what is to be committed next for a run: to a command, or the end of a machine that ended without one.
type answer struct {
	kind         asl.EventKind
	id           int64
	effect       store.Effect // of TaskSucceeded
	name, cause  string       // of TaskFailed; of TaskTimedOut when it was the heartbeat's
	state        string
	attempt      string
	endedAtStart bool
}

// forget drops what is loaded; the next step reads the journal again.
func (r *run) forget() {
	r.x, r.machine, r.head, r.open, r.follower, r.noted = nil, nil, nil, nil, nil, nil
}

// command returns the open command of that ID.
func (r *run) command(id int64) (asl.Command, bool) {
	for _, c := range r.open {
		if c.ID == id {
			return c, true
		}
	}
	return asl.Command{}, false
}

// soleTask is the task that the execution waits for, if it waits for nothing else but its own deadline: most machines do at all times.
func soleTask(open []asl.Command) (sole asl.Command, ok bool) {
	for _, c := range open {
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

// timerOf is the open timer that is due first.
func timerOf(open []asl.Command) (first asl.Command, ok bool) {
	for _, c := range open {
		if c.Kind == asl.StartTimer && (!ok || c.At.Before(first.At)) {
			first, ok = c, true
		}
	}
	return first, ok
}

// answered removes the command that the event answered and adds those that followed.
func answered(open []asl.Command, id int64, followed []asl.Command) []asl.Command {
	open = without(open, id)
	for _, c := range followed {
		if c.Kind == asl.Cancel {
			open = without(open, c.ID)
		} else {
			open = append(open, c)
		}
	}
	return open
}

// moved are the open commands after an event: of those from before a redrive there is none left.
func moved(open []asl.Command, ev asl.Event, followed []asl.Command) []asl.Command {
	if ev.Kind == asl.Redriven {
		open = nil
	}
	return answered(open, ev.ID, followed)
}

func without(open []asl.Command, id int64) []asl.Command {
	for i, c := range open {
		if c.ID == id {
			return append(open[:i], open[i+1:]...)
		}
	}
	return open
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
}

// A place in the queue is a run's, or its tasks': however many there are, they have one.
type place struct {
	run   *run
	tasks bool
}

func newAgenda() agenda { return agenda{runs: make(map[string]*run)} }

// add makes a run that is ready, and reports false if there is one of that name, which then knows that it was told again.
func (a *agenda) add(name string) bool {
	if r, ok := a.runs[name]; ok {
		r.told = true
		return false
	}
	r := &run{name: name}
	a.runs[name] = r
	a.push(r)
	return true
}

func (a *agenda) remove(r *run) { delete(a.runs, r.name) }

func (a *agenda) push(r *run) { a.ready = append(a.ready, place{run: r}) }

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
			a.ready = append(a.ready, p)
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
		a.ready, a.first = a.ready[:0], 0
	case a.first >= 1024 && a.first*2 >= len(a.ready):
		n := copy(a.ready, a.ready[a.first:])
		clear(a.ready[n:]) // else what stood there is held until as many are ready again
		a.ready, a.first = a.ready[:n], 0
	}
	return r
}

// addTask queues a task of the run.
func (a *agenda) addTask(r *run, t *errand) {
	if r.todo = append(r.todo, t); len(r.todo) == 1 {
		a.ready = append(a.ready, place{r, true})
	}
}

func (a *agenda) pending() int { return len(a.ready) - a.first }

// sleep lets r sleep until r.at, and reports whether it is now the first to wake.
func (a *agenda) sleep(r *run) bool {
	a.slept++
	r.order = a.slept
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
