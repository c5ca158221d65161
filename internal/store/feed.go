package store

import (
	"context"
	"time"
)

// A Change is one committed write, as the feed delivers it: the item as the commit left it.
type Change struct {
	Seq     uint64   // of the commit, rising; changes of one commit share it
	At      Position // behind this change
	Key     Key
	Item    Item // nil if the item was deleted, or if the feed keeps no more than the key
	Deleted bool
}

// A Position is a place in a store's feed: behind one of its changes, or where it ended. It is valid for as long as the store is, across
// restarts too. Positions of one store compare as their bytes do; the empty one is before everything.
type Position string

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

// A FeedReader is a feed that can be read from any place, by any number of readers who keep their own position. On DynamoDB that is what the
// stream is to its runner alone, so only a store within the process has it.
type FeedReader interface {
	// FeedEnd is the position behind all that is durable: a reader who begins there sees what comes from now on.
	FeedEnd(ctx context.Context) (Position, error)
	// ReadFeed returns the next changes behind a position, at most limit of them, in the order of their commits.
	// fault.BadRequest: that is no position of this kind of store.
	ReadFeed(ctx context.Context, after Position, limit int) (FeedPage, error)
	// FeedGrows is closed with the next change, or when the store closes. A reader takes it before it looks, so that what comes after
	// the look wakes it.
	FeedGrows() <-chan struct{}
}

// A FeedPage is what ReadFeed has found.
type FeedPage struct {
	Changes []Change
	Last    Position // of the last change; without any, the position that was asked for, or the end if that was lost
	// Lost says that changes behind the position may be gone, because they are older than what is kept, or because the position is from
	// another life of the store, such as before a backup was put back. The page then begins with the oldest change that there is.
	Lost bool
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
