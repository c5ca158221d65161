package aslrun

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// An agenda is what is to come, the earliest first.
type agenda struct{ entries entries }

// An entry is an event that comes at a time, unless it is taken back.
type entry struct {
	at    time.Time
	last  bool  // behind all else of its time: the deadline of the execution, as what comes at the very moment is in time
	index []int // of the branches and iterations that the state stands in, outermost first
	event asl.Event
}

func (a *agenda) add(c asl.Command, at time.Time, ev asl.Event) {
	heap.Push(&a.entries, entry{at: at, last: c.Kind == asl.StartTimer && c.State == "", index: indexOf(c), event: ev})
}

// remove takes back what was to answer the command of that ID. A search in order will do: it happens when something failed.
func (a *agenda) remove(id int64) {
	if i := slices.IndexFunc(a.entries, func(e entry) bool { return e.event.ID == id }); i >= 0 {
		heap.Remove(&a.entries, i)
	}
}

func (a *agenda) next() (entry, bool) {
	if len(a.entries) == 0 {
		return entry{}, false
	}
	return heap.Pop(&a.entries).(entry), true
}

// indexOf is where the command's state stands. Today a machine has one line of control.
func indexOf(asl.Command) []int { return nil }

// entries is a heap: by time, then by index, then in the order in which they were asked for.
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
	return cmp.Or(slices.Compare(a.index, b.index), cmp.Compare(a.event.ID, b.event.ID)) < 0
}

func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

func (e *entries) Push(x any) { *e = append(*e, x.(entry)) }

func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
