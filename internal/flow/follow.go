package flow

import (
	"context"

	"github.com/utkarsh698/cloudflow/asl"
)

// A Follower is told of one execution while this process advances it, such as to make spans of it. It belongs to the execution as it is in
// memory: after a restart, or when the journal has to be read again, another one is made, and is told what has been. Its methods are
// called one at a time; they neither wait nor panic, and nothing depends on them.
type Follower interface {
	// Context is of what flow does for the execution by itself: its commits. Tasks get it too.
	Context(ctx context.Context) context.Context
	// Replayed tells what the journal says and another follower was told: one of this process, or, if the execution was begun before the
	// start of this process, one of an earlier process.
	Replayed(history []asl.HistoryEvent)
	// Happened tells what has just become durable. The slice is used again.
	Happened(history []asl.HistoryEvent)
}

// follow asks whether the execution is to be followed, when its journal is read. What the machine says of itself is then noted in the run.
func (e *Engine) follow(r *run, start asl.Start) (note func(asl.HistoryEvent)) {
	if e.o.Follow == nil {
		return nil
	}
	if r.follower = e.o.Follow(start); r.follower == nil {
		return nil
	}
	return func(h asl.HistoryEvent) { r.noted = append(r.noted, h) }
}

// loaded tells the follower what the journal says. Before its first entry nobody has been told of anything. What follows what was told here
// is of a commit that was made, though nobody could say so.
func (r *run) loaded() {
	if r.follower == nil {
		return
	}
	before := min(r.heard, len(r.noted))
	if r.heard == 0 && r.seq > 0 {
		before = len(r.noted)
	}
	if before > 0 {
		r.follower.Replayed(r.noted[:before])
	}
	if rest := r.noted[before:]; len(rest) > 0 {
		r.follower.Happened(rest)
	}
	r.heard, r.noted = len(r.noted), r.noted[:0]
}

// happened tells the follower what a commit has made durable.
func (r *run) happened() {
	if r.follower != nil {
		r.follower.Happened(r.noted)
		r.heard, r.noted = r.heard+len(r.noted), r.noted[:0]
	}
}

// context is that of what flow does for the run.
func (r *run) context(ctx context.Context) context.Context {
	if r.follower == nil {
		return ctx
	}
	return r.follower.Context(ctx)
}
