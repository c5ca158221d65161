package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A view is the store as of one synced commit. All reads go to one; the committer replaces the current view after each
// sync. It is counted, since Pebble wants its snapshots closed: one reference is the store's, as long as the view is
// the current one, and each reader has one.
type view struct {
	snapshot *pebble.Snapshot
	seq      uint64 // of the last commit that it shows
	refs     atomic.Int64
	closed   func()
}

// acquire returns the current view, to be released, or fault.Unavailable after Close.
func (s *Store) acquire() (*view, error) {
	for {
		v := s.current.Load()
		if v == nil {
			return nil, closedError()
		}
		for n := v.refs.Load(); n > 0; n = v.refs.Load() {
			if v.refs.CompareAndSwap(n, n+1) {
				return v, nil
			}
		}
		// The view was replaced, and its last reader left, since it was loaded: take the next one.
	}
}

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		v.closed()
	}
}

// publish makes the state as of now, which is synced, the one that readers see.
func (s *Store) publish(seq uint64) {
	next := &view{snapshot: s.db.NewSnapshot(), seq: seq}
	next.refs.Store(1)
	s.views.Add(1)
	next.closed = func() {
		defer s.views.Done()
		if err := next.snapshot.Close(); err != nil {
			s.log.Error("close a snapshot", "error", err)
		}
	}
	if last := s.current.Swap(next); last != nil {
		last.release()
	}
}

// A keyBuffer is for the key of one read. It is used again, since Pebble lets it escape, and an order makes some thirty reads.
type keyBuffer struct{ bytes []byte }

var keyBuffers = sync.Pool{New: func() any { return new(keyBuffer) }}

func newKeyBuffer() *keyBuffer { return keyBuffers.Get().(*keyBuffer) }

func (b *keyBuffer) of(key store.Key) []byte {
	b.bytes = appendItemKey(b.bytes[:0], key)
	return b.bytes
}

func (b *keyBuffer) free() { keyBuffers.Put(b) }

// get returns the item and its version; nil and 0 if it is absent.
func (v *view) get(key store.Key) (store.Item, uint64, error) {
	buf := newKeyBuffer()
	defer buf.free()
	b, closer, err := v.snapshot.Get(buf.of(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, readError(err, key)
	}
	it, version, err := decodeValue(b)
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, 0, readError(err, key)
	}
	return it, version, nil
}

// version is get without the item.
func (v *view) version(key store.Key) (exists bool, version uint64, err error) {
	buf := newKeyBuffer()
	defer buf.free()
	b, closer, err := v.snapshot.Get(buf.of(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, readError(err, key)
	}
	version, _, err = splitValue(b)
	if err = errors.Join(err, closer.Close()); err != nil {
		return false, 0, readError(err, key)
	}
	return true, version, nil
}

// Get returns the item, or nil. Both consistencies read the last synced state.
func (s *Store) Get(ctx context.Context, key store.Key, _ store.Consistency) (store.Item, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	it, _, err := v.get(key)
	return it, err
}

// GetMany returns the items in the order of their keys, nil for each that is absent; here all are of one state.
func (s *Store) GetMany(ctx context.Context, keys []store.Key, _ store.Consistency) ([]store.Item, error) {
	if len(keys) > store.MaxGetMany {
		return nil, fault.New(fault.Internal, "store: GetMany of %d keys, at most %d", len(keys), store.MaxGetMany)
	}
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	items := make([]store.Item, len(keys))
	for i, key := range keys {
		if err := check(ctx, key); err != nil {
			return nil, err
		}
		if items[i], _, err = v.get(key); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// Range returns the items of one partition that q selects, all of one state.
func (s *Store) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if err := check(ctx, store.Key{Table: q.Table, PK: q.PK}); err != nil {
		return nil, err
	}
	limit, err := q.Bound()
	if err != nil {
		return nil, err
	}
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	partition := appendItemKey(nil, store.Key{Table: q.Table, PK: q.PK})
	lower, upper := bounds(partition, q)
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil
	}
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, readError(err, store.Key{Table: q.Table, PK: q.PK})
	}
	var out []store.Entry
	first, step := it.First, it.Next
	if q.Reverse {
		first, step = it.Last, it.Prev
	}
	for ok := first(); ok && err == nil && len(out) < limit; ok = step() {
		key := store.Key{Table: q.Table, PK: q.PK, SK: string(it.Key()[len(partition):])}
		var item store.Item
		if item, _, err = decodeValue(it.Value()); err == nil {
			out = append(out, store.Entry{Key: key, Item: item})
		}
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return nil, readError(err, store.Key{Table: q.Table, PK: q.PK})
	}
	return out, ctx.Err()
}

// bounds is the run of keys that the query selects: from lower on, below upper.
func bounds(partition []byte, q store.Query) (lower, upper []byte) {
	lower = append(bytes.Clone(partition), q.Prefix...)
	upper = prefixEnd(lower)
	after := append(bytes.Clone(partition), q.After...)
	switch {
	case q.After == "":
	case q.Reverse && bytes.Compare(after, upper) < 0:
		upper = after
	case !q.Reverse:
		if after = append(after, 0); bytes.Compare(after, lower) > 0 { // the least key beyond it
			lower = after
		}
	}
	return lower, upper
}

// prefixEnd is the least key that is greater than all that begin with the prefix. There is one, since the prefix
// begins with the byte of its key space.
func prefixEnd(prefix []byte) []byte {
	out := bytes.Clone(prefix)
	for out[len(out)-1] == 0xff {
		out = out[:len(out)-1]
	}
	out[len(out)-1]++
	return out
}

// Dump calls fn for each item of one synced state, ordered by table, partition and sort key. The disk space of what is
// overwritten meanwhile is not given back until it ends.
func (s *Store) Dump(ctx context.Context, fn func(store.Entry) error) error {
	return s.dump(ctx, []byte{spaceItem}, []byte{spaceItem + 1}, fn)
}

// DumpTable is Dump of one table, from a partition on: "" is the first.
func (s *Store) DumpTable(ctx context.Context, table, from string, fn func(store.Entry) error) error {
	whole := append([]byte{spaceItem}, table...)
	whole = append(whole, 0)
	return s.dump(ctx, append(bytes.Clone(whole), from...), prefixEnd(whole), fn)
}

func (s *Store) dump(ctx context.Context, lower, upper []byte, fn func(store.Entry) error) (err error) {
	v, err := s.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fault.Wrap(fault.Internal, err, "dump")
	}
	defer func() {
		if closing := it.Close(); err == nil && closing != nil {
			err = fault.Wrap(fault.Internal, closing, "dump")
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.life.Err() != nil {
			return closedError()
		}
		key, err := parseItemKey(it.Key())
		if err != nil {
			return fault.Wrap(fault.Internal, err, "dump")
		}
		item, _, err := decodeValue(it.Value())
		if err != nil {
			return readError(err, key)
		}
		if err := fn(store.Entry{Key: key, Item: item}); err != nil {
			return err
		}
	}
	return nil // an error of the iterator is found at its Close
}

func check(ctx context.Context, key store.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := store.CheckKey(key); err != nil {
		return fault.Wrap(fault.Internal, err, "read")
	}
	return nil
}

func readError(err error, key store.Key) error {
	return fault.Wrap(fault.Internal, fmt.Errorf("pebblestore: %w", err), "read %s", key)
}

func closedError() error {
	return fault.New(fault.Unavailable, "the store is closed")
}
