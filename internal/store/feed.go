package store

import (
	"context"
	"time"
)

// A Change is one committed write, as the feed delivers it: the item as the commit left it.
type Change struct {
	Seq     uint64 // of the commit, rising; changes of one commit share it
	Key     Key
	Item    Item // nil if the item was deleted
	Deleted bool
}

// A FeedHandler takes changes: at least once, in order within one partition key; a batch may be split anywhere. An error
// makes the runner deliver the same changes again, later.
type FeedHandler func(ctx context.Context, changes []Change) error

// A Feed delivers the changes of a store that its options select. Entries live 24 hours; what is older is found by a
// sweeper, never by the feed.
type Feed interface {
	// RunFeed delivers to the handler until ctx ends, from where the runner of that name last stood (a new name
	// begins with the next change). The runner keeps the cursor: it moves after the handler has returned nil. Two
	// runners of one name at the same time each deliver everything.
	RunFeed(ctx context.Context, name string, handle FeedHandler) error
}

// The pauses before changes are delivered again: short at first, since most failures are a conflict or a lease; never
// longer than the time in which an operator expects a repaired consumer to go on by itself.
const (
	firstRedelivery = 10 * time.Millisecond
	lastRedelivery  = 5 * time.Second
)

// Deliver calls the handler with the changes, again and again with growing pauses, until it takes them. Runners within
// the process share it. It returns ctx's error if ctx ends first: then the changes are not delivered.
func Deliver(ctx context.Context, handle FeedHandler, changes []Change) error {
	for pause := firstRedelivery; ; pause = min(2*pause, lastRedelivery) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if handle(ctx, changes) == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
