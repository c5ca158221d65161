package store

import "context"

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
	// begins with the next change). The runner keeps the cursor: it moves after the handler has returned nil.
	RunFeed(ctx context.Context, name string, handle FeedHandler) error
}
