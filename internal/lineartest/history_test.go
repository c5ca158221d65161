package lineartest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTime is how long the checker may search. It needs milliseconds; one that needs longer has met a history that
// is too large, and says nothing, so that is a failure too.
const checkTime = 30 * time.Second

// An operation is one thing that a client did or saw, and is its own specification: step says whether it can take place in a
// state, and which state it leaves.
type operation[S comparable] interface {
	step(before S) (after S, possible bool)
}

// never is the end of an operation whose answer was lost.
const never = math.MaxInt64

// A recorder writes one history down. It is safe for concurrent use.
type recorder[S comparable] struct {
	name  string
	start S
	now   func() int64

	mu  sync.Mutex
	ops []porcupine.Operation
}

func newRecorder[S comparable](name string, start S, now func() int64) *recorder[S] {
	return &recorder[S]{name: name, start: start, now: now}
}

// add writes down an operation that took place between call and end, both included.
func (r *recorder[S]) add(client int, call, end int64, op operation[S]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: op, Call: call, Return: end})
}

// part is the history so far.
func (r *recorder[S]) part() part {
	r.mu.Lock()
	defer r.mu.Unlock()
	return part{r.name, slices.Clone(r.ops), porcupine.Model{
		Init: func() any { return r.start },
		Step: func(state, op, _ any) (bool, any) {
			after, possible := op.(operation[S]).step(state.(S))
			return possible, after
		},
	}}
}

// A part of a history is what concerns one object: a history is linearizable if each of its parts is.
type part struct {
	name    string
	history []porcupine.Operation
	model   porcupine.Model
}

// count adds up the operations by kind, and those whose answer was lost.
func (p part) count(kinds map[string]int) {
	for _, op := range p.history {
		_, kind, _ := strings.Cut(fmt.Sprintf("%T", op.Input), ".")
		kinds[kind]++
		if op.Return == never {
			kinds["lost"]++
		}
	}
}

// check returns "" if one order of the operations explains them all, else what is wrong.
func (p part) check() string {
	switch result := porcupine.CheckOperationsTimeout(p.model, p.history, checkTime); result {
	case porcupine.Ok:
		return ""
	case porcupine.Unknown:
		return fmt.Sprintf("%s: no answer after %s for %d operations: make the history smaller", p.name, checkTime, len(p.history))
	default:
		return fmt.Sprintf("%s: no order of these operations explains them\n%s", p.name, p)
	}
}

// String lists the operations by when they were called.
func (p part) String() string {
	slices.SortFunc(p.history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var out strings.Builder
	for _, op := range p.history {
		end := "     never"
		if op.Return != never {
			end = fmt.Sprintf("%10.3f", float64(op.Return)/1e6)
		}
		fmt.Fprintf(&out, "client %d  %10.3f to %s ms  %T%+v\n", op.ClientId, float64(op.Call)/1e6, end, op.Input, op.Input)
	}
	return out.String()
}
