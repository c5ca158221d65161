package aslrun

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// An agenda is what is to come, the earliest first. What comes at the same time goes on in rounds: all that is due, in the order of branches and
// iterations, then what became due by that, so that they advance side by side.
type agenda struct {
	entries entries
	now     time.Time
	round   int // at this time
}

// An entry is an event that comes at a time, unless it is taken back.
type entry struct {
	at    time.Time
	last  bool // behind all else of its time: the deadline of the execution, as what comes at the very moment is in time
	round int
	index []int // of the branches and iterations that the state stands in
	event asl.Event
}

// add puts what answers the command on the agenda. What would be due in the past is due now.
func (a *agenda) add(c asl.Command, at time.Time, ev asl.Event) {
	e := entry{at: at, last: c.Deadline(), index: c.Index, event: ev}
	if !at.After(a.now) {
		e.at, e.round = a.now, a.round+1
	}
	heap.Push(&a.entries, e)
}

// remove takes back what was to answer the command of that ID. A search in order will do: it happens when something failed.
func (a *agenda) remove(id int64) {
	if i := slices.IndexFunc(a.entries, func(e entry) bool { return e.event.ID == id }); i >= 0 {
		heap.Remove(&a.entries, i)
	}
}

// next is what comes next, and it is that time then.
func (a *agenda) next() (asl.Event, bool) {
	if len(a.entries) == 0 {
		return asl.Event{}, false
	}
	e := heap.Pop(&a.entries).(entry)
	a.now, a.round = e.at, e.round
	e.event.Time = e.at
	return e.event, true
}

// entries is a heap: by time, then by round, then by index, then in the order in which they were asked for.
type entries []entry

func (e entries) Len() int { return len(e) }

func (e entries) Less(i, j int) bool {
	a, b := &e[i], &e[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	if a.last != b.last {
		return b.last
	}
	return cmp.Or(cmp.Compare(a.round, b.round), slices.Compare(a.index, b.index), cmp.Compare(a.event.ID, b.event.ID)) < 0
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries) Push(x any) { *e = append(*e, x.(entry)) }

func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
