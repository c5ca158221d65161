package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

// follow is flow.Options': an execution whose start was traced goes on being traced.
func (t traced) follow() func(asl.Start) flow.Follower {
	if t.tracer == nil {
		return nil
	}
	return func(s asl.Start) flow.Follower {
		input, _ := s.Input.(map[string]any)
		from, _ := input[saga.TraceMember].(string)
		start := trace.Parse(from)
		if !start.Known() {
			return nil
		}
		f := &follower{
			traced: t, parent: start, execution: s.Name, machine: s.Machine, began: s.Time,
			order: order.OfExecution(s.Name), attempts: map[attempt]*noted{},
		}
		f.correlation, _ = input["correlation_id"].(string)
		f.place = start.Of(f.what())
		return f
	}
}

// A follower makes the spans of one execution: its own, those of its states, and those of the attempts at their tasks. Each has an ID that is
// made of what it is for, and is written down when it has ended. What is below it may have ended before, or may have been done by a process
// that has died since.
type follower struct {
	traced
	parent, place trace.Place
	execution     string
	machine       string
	order         string
	correlation   string
	began         time.Time

	state *stateEntry // the current one

	mu       sync.Mutex // the task that notes may be one that has outlived its timeout
	attempts map[attempt]*noted
}

// A stateEntry is a state that was entered, with the attempt at its task that was begun last.
type stateEntry struct {
	id     int64 // of the event in the history
	name   string
	began  time.Time
	failed string // with which error, if nothing has made it good

	task  string // such as inventory.reserve
	retry int
	tried time.Time
}

// An attempt is one at the task of a state that was entered.
type attempt struct {
	entered int64
	retry   int
}

// noted is what an attempt's task told while it was at it.
type noted struct{ began, staged time.Time }

// what the spans are for, from which their IDs are made.
func (f *follower) what() string { return "execution/" + f.execution }

func (f *follower) whatState(entered int64) string {
	return fmt.Sprintf("state/%s/%d", f.execution, entered)
}

func (a attempt) what(execution string) string {
	return fmt.Sprintf("attempt/%s/%d/%d", execution, a.entered, a.retry)
}

type followerKey struct{}

func followerOf(ctx context.Context) *follower {
	f, _ := ctx.Value(followerKey{}).(*follower)
	return f
}

// Context implements flow.Follower.
func (f *follower) Context(ctx context.Context) context.Context {
	return f.place.In(context.WithValue(ctx, followerKey{}, f))
}

func (f *follower) note(a attempt, set func(*noted)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.attempts[a]
	if n == nil {
		n = &noted{}
		f.attempts[a] = n
	}
	set(n)
}

// take is what an attempt's task has noted; nothing if it was done by another process.
func (f *follower) take(a attempt) noted {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.attempts[a]
	delete(f.attempts, a)
	if n == nil {
		return noted{}
	}
	return *n
}

// Replayed implements flow.Follower.
func (f *follower) Replayed(history []asl.HistoryEvent) {
	for i := range history {
		f.event(&history[i], history[i].Time, func(trace.Record) {})
	}
}

// Happened implements flow.Follower. What a start does by itself was done at the time of the start; all else is done now that it is durable,
// since the history's times are those of the commit's beginning, in milliseconds.
func (f *follower) Happened(history []asl.HistoryEvent) {
	now := f.now()
	for i := range history {
		at := now
		if history[0].Type == "ExecutionStarted" {
			at = history[i].Time
		}
		f.event(&history[i], at, f.tracer.Record)
	}
}

// event follows the history, and gives what has ended to end.
func (f *follower) event(h *asl.HistoryEvent, at time.Time, end func(trace.Record)) {
	switch {
	case strings.HasPrefix(h.Type, "Execution"):
		if h.Type != "ExecutionStarted" {
			f.ended(h, at, end)
		}
	case strings.HasSuffix(h.Type, "StateEntered"):
		f.state = &stateEntry{id: h.ID, name: h.State, began: at}
	case f.state == nil: // no history is like that
	case strings.HasSuffix(h.Type, "StateExited"):
		f.left(at, end)
	case strings.HasSuffix(h.Type, "Scheduled"):
		parameters, _ := h.Input.(map[string]any)
		f.state.task, _ = parameters["task"].(string)
		f.state.retry, f.state.tried = h.Attempt, at
	case strings.HasSuffix(h.Type, "Succeeded"), strings.HasSuffix(h.Type, "Failed"), strings.HasSuffix(h.Type, "TimedOut"):
		f.answered(h, at, end)
	}
}

// answered ends an attempt: from when its task was called until its answer was durable. What it staged was written from then on.
func (f *follower) answered(h *asl.HistoryEvent, at time.Time, end func(trace.Record)) {
	s := f.state
	a := attempt{s.id, s.retry}
	n := f.take(a)
	if n.began.IsZero() {
		n.began = s.tried
	}
	if n.began.Before(s.began) { // it was staged with what came before it, and so was its state entered
		s.began = n.began
	}
	s.failed = h.Error
	if h.Error == "" && !n.staged.IsZero() {
		end(trace.Record{
			Parent: f.place.Of(a.what(f.execution)), Kind: trace.Client, Name: "store.commit", Begin: n.staged, End: at,
		})
	}
	end(trace.Record{
		Parent: f.place.Of(f.whatState(s.id)), For: a.what(f.execution), Name: handlerName(s.task), Begin: n.began, End: at, Failed: h.Error,
		Attrs: []trace.Attr{
			trace.String(attrTask, s.task), trace.String(attrState, s.name), trace.Int(attrRetry, int64(s.retry)), trace.String(trace.AttrOrder, f.order),
		},
	})
}

// left ends the state.
func (f *follower) left(at time.Time, end func(trace.Record)) {
	s := f.state
	end(trace.Record{
		Parent: f.place, For: f.whatState(s.id), Name: s.name, Begin: s.began, End: at, Failed: s.failed,
		Attrs: []trace.Attr{trace.String(attrState, s.name), trace.String(trace.AttrOrder, f.order)},
	})
	f.state = nil
}

// ended ends the execution, and the state in which it failed, which is not left.
func (f *follower) ended(h *asl.HistoryEvent, at time.Time, end func(trace.Record)) {
	failed := h.Error
	if h.Type != "ExecutionSucceeded" && failed == "" {
		failed = strings.TrimPrefix(h.Type, "Execution") // such as Aborted, without a word why
	}
	if f.state != nil {
		f.state.failed = failed
		f.left(at, end)
	}
	end(trace.Record{
		Parent: f.parent, For: f.what(), Name: f.machine, Begin: f.began, End: at, Failed: failed,
		Attrs: []trace.Attr{
			trace.String(attrExecution, f.execution), trace.String(trace.AttrOrder, f.order), trace.String(trace.AttrCorrelation, f.correlation),
		},
	})
}
