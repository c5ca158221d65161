// Package memstore keeps the store port in memory: for tests and for simulation, where it stands in for a durable store
// because the process that owns it never dies. It refuses whatever DynamoDB refuses.
package memstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Options of a Store. The zero value feeds nothing and reads strongly everywhere.
type Options struct {
	// Feed selects the items whose changes the feed delivers; nil selects none.
	Feed func(store.Key) bool
	// FeedKeys selects items of whose changes the feed keeps the key alone; nil selects none.
	FeedKeys func(store.Key) bool
	// StaleReads makes Eventual reads answer from the state before the newest commit of the item's partition, which is
	// the worst that a caller has to live with.
	StaleReads bool
}

// Store is a store.Store, a store.Feed, a store.FeedReader and a store.Dumper. It is safe for concurrent use.
type Store struct {
	opts Options

	mu         sync.Mutex
	partitions map[partitionKey]*partition
	seq        uint64 // of the last commit
	changes    []store.Change
	forgotten  int // of the changes, from the first on
	cursors    map[string]int
	fed        chan struct{} // closed and replaced when changes grew
}

type partitionKey struct{ table, pk string }

// A partition keeps its items in the order of their sort keys.
type partition struct {
	rows    []row
	before  []row  // what rows was before the newest commit, for StaleReads
	changed uint64 // the commit that before is from
}

type row struct {
	sk      string
	item    store.Item
	version uint64
}

var (
	_ store.Store      = (*Store)(nil)
	_ store.Feed       = (*Store)(nil)
	_ store.FeedReader = (*Store)(nil)
	_ store.Dumper     = (*Store)(nil)
)

// New returns an empty store.
func New(opts Options) *Store {
	none := func(store.Key) bool { return false }
	if opts.Feed == nil {
		opts.Feed = none
	}
	if opts.FeedKeys == nil {
		opts.FeedKeys = none
	}
	return &Store{
		opts:       opts,
		partitions: make(map[partitionKey]*partition),
		cursors:    make(map[string]int),
		fed:        make(chan struct{}),
	}
}

// Get returns the item, or nil.
func (s *Store) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	if err := check(ctx, key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, _ := find(s.rows(key.Table, key.PK, c), key.SK)
	return it, nil
}

// GetMany returns the items in the order of their keys, nil for each that is absent.
func (s *Store) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	if len(keys) > store.MaxGetMany {
		return nil, fault.New(fault.Internal, "store: GetMany of %d keys, at most %d", len(keys), store.MaxGetMany)
	}
	items := make([]store.Item, len(keys))
	for i, key := range keys {
		it, err := s.Get(ctx, key, c)
		if err != nil {
			return nil, err
		}
		items[i] = it
	}
	return items, nil
}

// Range returns the items of one partition that q selects.
func (s *Store) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if err := check(ctx, store.Key{Table: q.Table, PK: q.PK}); err != nil {
		return nil, err
	}
	limit, err := q.Bound()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.rows(q.Table, q.PK, q.Consistency)
	var out []store.Entry
	for i := range rows {
		r := rows[i]
		if q.Reverse {
			r = rows[len(rows)-1-i]
		}
		if len(out) == limit {
			break
		}
		if q.Selects(r.sk) {
			out = append(out, store.Entry{Key: store.Key{Table: q.Table, PK: q.PK, SK: r.sk}, Item: r.item})
		}
	}
	return out, nil
}

// Update runs fn and commits what it staged.
func (s *Store) Update(ctx context.Context, fn func(*store.Tx) error) error {
	for range store.MaxReruns + 1 {
		tx := store.NewTx(func(key store.Key) (store.Item, uint64, error) {
			if err := check(ctx, key); err != nil {
				return nil, 0, err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			it, version := find(s.rows(key.Table, key.PK, store.Strong), key.SK)
			return it, version, nil
		})
		if err := fn(tx); err != nil {
			return err
		}
		if err := tx.Err(); err != nil {
			return fault.Wrap(fault.Internal, err, "a transaction that no store takes")
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if done, err := s.commit(tx); done {
			return err
		}
	}
	return fault.New(fault.Transient, "store: the transaction lost %d conflicts in a row", store.MaxReruns+1)
}

// commit applies the transaction. It reports false if a recorded read has changed, so that the function has to run again.
func (s *Store) commit(tx *store.Tx) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range tx.Reads() {
		it, version := find(s.rows(r.Key.Table, r.Key.PK, store.Strong), r.Key.SK)
		if (it != nil) != r.Exists || version != r.Version {
			return false, nil
		}
	}
	after := make([]store.Item, len(tx.Ops()))
	for i, op := range tx.Ops() {
		it, _ := find(s.rows(op.Key.Table, op.Key.PK, store.Strong), op.Key.SK)
		next, ok := op.Apply(it)
		if !ok {
			return true, &store.Refusal{Key: op.Key, Item: it}
		}
		after[i] = next
	}
	s.seq++
	for i, op := range tx.Ops() {
		if op.Kind != store.OpCheck {
			s.write(op, after[i])
		}
	}
	return true, nil
}

func (s *Store) write(op store.Op, it store.Item) {
	pk := partitionKey{op.Key.Table, op.Key.PK}
	p := s.partitions[pk]
	if p == nil {
		p = &partition{}
		s.partitions[pk] = p
	}
	if s.opts.StaleReads && p.changed != s.seq {
		p.before = append([]row(nil), p.rows...)
		p.changed = s.seq
	}
	i := sort.Search(len(p.rows), func(i int) bool { return p.rows[i].sk >= op.Key.SK })
	there := i < len(p.rows) && p.rows[i].sk == op.Key.SK
	switch {
	case it == nil && !there:
		return
	case it == nil:
		p.rows = append(p.rows[:i], p.rows[i+1:]...)
	case there:
		p.rows[i].item = it
		if op.Kind == store.OpPut {
			p.rows[i].version = s.seq
		}
	default:
		r := row{sk: op.Key.SK, item: it, version: s.seq}
		p.rows = append(p.rows, row{})
		copy(p.rows[i+1:], p.rows[i:])
		p.rows[i] = r
	}
	keyOnly := s.opts.FeedKeys(op.Key)
	if !keyOnly && !s.opts.Feed(op.Key) {
		return
	}
	change := store.Change{Seq: s.seq, At: position(len(s.changes) + 1), Key: op.Key, Deleted: it == nil}
	if !keyOnly {
		change.Item = it
	}
	s.changes = append(s.changes, change)
	close(s.fed)
	s.fed = make(chan struct{})
}

// position is behind that many changes.
func position(n int) store.Position {
	return store.Position(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// FeedEnd is the position behind all changes so far.
func (s *Store) FeedEnd(ctx context.Context) (store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return position(len(s.changes)), ctx.Err()
}

// ReadFeed returns the next changes behind a position.
func (s *Store) ReadFeed(ctx context.Context, after store.Position, limit int) (store.FeedPage, error) {
	if len(after) != 0 && len(after) != 8 {
		return store.FeedPage{}, fault.New(fault.BadRequest, "%q is no position of a feed", string(after))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := store.FeedPage{Last: after}
	from := s.forgotten
	if after != "" {
		n := binary.BigEndian.Uint64([]byte(after))
		if page.Lost = n < uint64(s.forgotten) || n > uint64(len(s.changes)); page.Lost {
			page.Last = position(len(s.changes))
		} else {
			from = int(n)
		}
	}
	page.Changes = slices.Clone(s.changes[from:min(from+limit, len(s.changes))])
	if n := len(page.Changes); n > 0 {
		page.Last = page.Changes[n-1].At
	}
	return page, ctx.Err()
}

// FeedGrows is closed with the next change.
func (s *Store) FeedGrows() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fed
}

// ForgetFeed lets go of all changes so far, as a store does with those that are too old.
func (s *Store) ForgetFeed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgotten = len(s.changes)
}

// RunFeed delivers the selected changes to handle until ctx ends. A handler that fails gets the same changes again.
func (s *Store) RunFeed(ctx context.Context, name string, handle store.FeedHandler) error {
	s.mu.Lock()
	if _, ok := s.cursors[name]; !ok {
		s.cursors[name] = len(s.changes)
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		from := s.cursors[name]
		batch := s.changes[from:len(s.changes):len(s.changes)]
		more := s.fed
		s.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-more:
			}
			continue
		}
		if err := store.Deliver(ctx, handle, batch); err != nil {
			return err
		}
		s.mu.Lock()
		s.cursors[name] = from + len(batch)
		s.mu.Unlock()
	}
}

// Dump calls fn for each item, ordered by table, partition and sort key, as of the moment of the call.
func (s *Store) Dump(ctx context.Context, fn func(store.Entry) error) error {
	return s.dump(ctx, func(partitionKey) bool { return true }, fn)
}

// DumpTable is Dump of one table, from a partition on.
func (s *Store) DumpTable(ctx context.Context, table, from string, fn func(store.Entry) error) error {
	return s.dump(ctx, func(p partitionKey) bool { return p.table == table && p.pk >= from }, fn)
}

func (s *Store) dump(ctx context.Context, wanted func(partitionKey) bool, fn func(store.Entry) error) error {
	s.mu.Lock()
	var keys []partitionKey
	items := 0
	for pk, p := range s.partitions {
		if wanted(pk) {
			keys = append(keys, pk)
			items += len(p.rows)
		}
	}
	slices.SortFunc(keys, func(a, b partitionKey) int {
		return cmp.Or(strings.Compare(a.table, b.table), strings.Compare(a.pk, b.pk))
	})
	all := make([]store.Entry, 0, items)
	for _, pk := range keys {
		for _, r := range s.partitions[pk].rows {
			all = append(all, store.Entry{Key: store.Key{Table: pk.table, PK: pk.pk, SK: r.sk}, Item: r.item})
		}
	}
	s.mu.Unlock()
	for _, e := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Settle lets what StaleReads sees catch up with every commit so far: replicas lag behind, but not for ever.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		p.before = append([]row(nil), p.rows...)
	}
}

// Commits is how many transactions were applied: tests compare it before and after.
func (s *Store) Commits() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

func (s *Store) rows(table, pk string, c store.Consistency) []row {
	p := s.partitions[partitionKey{table, pk}]
	switch {
	case p == nil:
		return nil
	case s.opts.StaleReads && c == store.Eventual:
		return p.before
	default:
		return p.rows
	}
}

func find(rows []row, sk string) (store.Item, uint64) {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].sk >= sk })
	if i < len(rows) && rows[i].sk == sk {
		return rows[i].item, rows[i].version
	}
	return nil, 0
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
