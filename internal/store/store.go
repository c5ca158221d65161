// Package store is the port through which every service keeps its data: items in tables, read by key or by range, and
// changed by transactions that commit at once or not at all.
//
// It is shaped on the stricter of its two worlds, DynamoDB, so that code which passes its tests on memstore runs there:
// at most 100 operations and 4 MB a transaction, one operation a key, 400 KB an item, no scan. The adapters
// are memstore (tests and simulation), pebblestore (the single binary) and dynamostore (AWS); storetest holds the promises that all
// of them keep:
//
//   - A transaction is atomic and durable before Update returns. Nothing that is not durable is ever read, answered
//     (a refusal included) or fed.
//   - What Tx.Get has read is still so at the commit, or the function runs again.
//   - A condition or floor that fails is a Refusal: an answer about the data as it is, never a silent success.
//   - An Update that returns fault.Transient may or may not have been applied: its caller repeats it, so what it does
//     must be safe to repeat.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The limits of the port, which are DynamoDB's
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html).
const (
	MaxOps        = 100        // operations in a transaction; a key that was only read with Tx.Get counts as one
	MaxTxBytes    = 4 << 20    // all items of a transaction
	MaxItemBytes  = 400 * 1000 // one item: names and values
	MaxGetMany    = 100        // keys of one GetMany
	MaxRangeLimit = 1000       // items of one Range
	MaxKeyBytes   = 1024       // a partition or sort key; DynamoDB allows a partition key 2,048
	MaxReruns     = 8          // how often a function that lost a conflict runs again before fault.Transient
)

// A Key names an item. Table and PK are never empty; SK orders the items of a partition and may be "".
type Key struct {
	Table string // such as "orders"
	PK    string // the partition: order of changes is kept within it, Range reads one of them
	SK    string // the place within the partition, compared bytewise
}

func (k Key) String() string { return k.Table + "/" + k.PK + "/" + k.SK }

// Consistency says how old an answer may be.
type Consistency uint8

const (
	Strong   Consistency = iota // sees every commit that was acknowledged before the read began
	Eventual                    // may lag behind, and may go back: for lists and status queries, half the price on DynamoDB
)

// A Query selects items of one partition in the order of their sort keys.
type Query struct {
	Table       string
	PK          string
	Prefix      string // only sort keys that begin so
	After       string // only sort keys beyond this one, in the direction of the read; "" begins at the end it comes from
	Reverse     bool   // from the last to the first
	Limit       int    // at most MaxRangeLimit; 0 means MaxRangeLimit
	Consistency Consistency
}

// Bound is the limit that holds for the query, or an error if it asks for more than the port gives.
func (q Query) Bound() (int, error) {
	switch {
	case q.Limit < 0 || q.Limit > MaxRangeLimit:
		return 0, fmt.Errorf("store: a range of %d items, at most %d", q.Limit, MaxRangeLimit)
	case q.Limit == 0:
		return MaxRangeLimit, nil
	default:
		return q.Limit, nil
	}
}

// Selects reports whether the query asks for items with this sort key.
func (q Query) Selects(sk string) bool {
	if !strings.HasPrefix(sk, q.Prefix) {
		return false
	}
	if q.After == "" {
		return true
	}
	if q.Reverse {
		return sk < q.After
	}
	return sk > q.After
}

// An Entry is an item with its key, as Range and Dump give it.
type Entry struct {
	Key  Key
	Item Item
}

// Store keeps items. Implementations are safe for concurrent use. An item that was returned belongs to
// the caller but may share memory with the store: it is not to be changed in place.
type Store interface {
	// Get returns the item, or nil if there is none.
	Get(ctx context.Context, key Key, c Consistency) (Item, error)
	// GetMany returns the items in the order of their keys, nil for each that is absent. It is no snapshot: each
	// item is read for itself.
	GetMany(ctx context.Context, keys []Key, c Consistency) ([]Item, error)
	// Range returns at most q.Limit items; fewer mean that the partition has no more.
	Range(ctx context.Context, q Query) ([]Entry, error)
	// Update runs fn and commits what it staged, at once. If an item that fn has read with Tx.Get was changed
	// meanwhile, fn runs again, after the commit that it lost to is durable, at most MaxReruns times; then
	// Update fails with fault.Transient. An error of fn is returned as it is, and nothing is committed. A
	// condition or a floor that does not hold is returned as *Refusal. fn stages nothing: nothing is
	// written, but what it read has still been checked. fn touches nothing but the Tx, since it may run several times.
	Update(ctx context.Context, fn func(tx *Tx) error) error
}

// A Dumper can give all its items as of one moment: for verify, export and retention, where there is a disk to read.
type Dumper interface {
	// Dump calls fn for each item of one consistent, durable state, ordered by table, partition and sort key. fn's error ends it and is
	// returned.
	Dump(ctx context.Context, fn func(Entry) error) error
	// DumpTable is Dump of one table, from the first partition that is not less than from on.
	DumpTable(ctx context.Context, table, from string, fn func(Entry) error) error
}

// A Refusal is the answer of a commit whose condition or floor did not hold: the transaction was not applied. The
// first operation that failed is named, in the order of staging.
type Refusal struct {
	Key  Key  // of the operation that was refused
	Item Item // what stands there now, nil if nothing
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s", r.Key) }

// RefusalOf returns the refusal in err's chain, or nil.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}
