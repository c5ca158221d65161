package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A group is what one batch will write: each item that its transactions have touched so far, as it will be. A later
// transaction of the group sees what the earlier ones did; an item that many of them move is read once and written once.
type group struct {
	db      *pebble.DB
	selects func(store.Key) bool // for the feed

	batch *pebble.Batch // the feed's entries; flush adds the items
	fed   bool          // there are such entries
	err   error         // the batch did not take one: it must not be written
	index map[store.Key]int
	cells []cell

	// Scratch space.
	touched []int
	after   []store.Item
	buf     []byte
}

// A cell is one item within the group.
type cell struct {
	key     store.Key
	exists  bool
	version uint64
	item    store.Item // nil if there is none, and while raw is set
	raw     []byte     // the item's encoding as it was read: most checks need the version only
	dirty   bool       // to be written
}

func newGroup(db *pebble.DB, selects func(store.Key) bool) group {
	return group{db: db, selects: selects, index: make(map[store.Key]int)}
}

// begin empties the group.
func (g *group) begin() {
	clear(g.index)
	clear(g.cells) // lets go of the items
	g.cells, g.fed, g.err = g.cells[:0], false, nil
}

// apply adds a transaction to the group as commit number seq. errConflict says that a read was void; a refusal is
// looked for only after that. If it returns an error, the group is as before.
func (g *group) apply(reads []store.Read, ops []store.Op, seq uint64) error {
	for _, r := range reads {
		i, err := g.load(r.Key)
		if err != nil {
			return err
		}
		if c := &g.cells[i]; c.exists != r.Exists || c.version != r.Version {
			return errConflict
		}
	}
	g.touched, g.after = g.touched[:0], g.after[:0]
	for i := range ops {
		at, after, err := g.evaluate(&ops[i])
		if err != nil {
			return err
		}
		g.touched, g.after = append(g.touched, at), append(g.after, after)
	}
	for i := range ops {
		if ops[i].Kind == store.OpCheck {
			continue
		}
		at := g.touched[i]
		if at == unread {
			at = g.cell(ops[i].Key)
		}
		g.set(&g.cells[at], &ops[i], g.after[i], position{seq, uint8(i)})
	}
	return nil
}

// unread stands for the cell of an item that nobody has looked at: it gets one only if the transaction is applied.
const unread = -1

// evaluate returns the place of the item's cell, and the item as the operation leaves it.
func (g *group) evaluate(op *store.Op) (at int, after store.Item, err error) {
	// A bare Put needs not know what it replaces. A bare Delete does, if the feed has to say whether it removed anything.
	if len(op.Conds) == 0 && (op.Kind == store.OpPut || op.Kind == store.OpDelete && !g.selects(op.Key)) {
		return unread, op.Item, nil
	}
	if at, err = g.load(op.Key); err != nil {
		return 0, nil, err
	}
	c := &g.cells[at]
	if err := c.decode(); err != nil {
		return 0, nil, readError(err, op.Key)
	}
	after, ok := op.Apply(c.item)
	if !ok {
		return 0, nil, &store.Refusal{Key: op.Key, Item: c.item}
	}
	return at, after, nil
}

// set makes the item of the cell what the operation left, and feeds the change.
func (g *group) set(c *cell, op *store.Op, after store.Item, at position) {
	feeds := g.selects(op.Key)
	if feeds && after == nil && !c.exists {
		return
	}
	if !c.exists || op.Kind != store.OpAdd {
		c.version = at.seq
	}
	c.item, c.raw, c.exists, c.dirty = after, nil, after != nil, true
	if after == nil {
		c.version = 0
	}
	if !feeds {
		return
	}
	g.fed = true
	g.buf = appendChange(g.buf[:0], op.Key, after)
	if err := g.writing().Set(at.feedKey(), g.buf, nil); err != nil {
		g.err = fmt.Errorf("pebblestore: feed %s: %w", op.Key, err)
	}
}

// cell returns the place of the item's cell. A new one says that the item is absent: it is to be loaded or overwritten.
func (g *group) cell(key store.Key) int {
	i, ok := g.index[key]
	if !ok {
		i = len(g.cells)
		g.cells = append(g.cells, cell{key: key})
		g.index[key] = i
	}
	return i
}

// load returns the place of the item's cell, after reading the item if the group has not met it yet.
func (g *group) load(key store.Key) (int, error) {
	if i, ok := g.index[key]; ok {
		return i, nil
	}
	var buf [128]byte
	// The committer alone writes items, so what the database shows is what the groups before this one left.
	b, closer, err := g.db.Get(appendItemKey(buf[:0], key))
	if errors.Is(err, pebble.ErrNotFound) {
		return g.cell(key), nil
	}
	if err != nil {
		return 0, readError(err, key)
	}
	version, rest, err := splitValue(b)
	raw := append([]byte(nil), rest...)
	if err = errors.Join(err, closer.Close()); err != nil {
		return 0, readError(err, key)
	}
	i := g.cell(key)
	c := &g.cells[i]
	c.exists, c.version, c.raw = true, version, raw
	return i, nil
}

func (c *cell) decode() error {
	if c.raw == nil {
		return nil
	}
	it, err := store.DecodeItem(c.raw)
	if err != nil {
		return err
	}
	c.item, c.raw = it, nil
	return nil
}

func (g *group) writing() *pebble.Batch {
	if g.batch == nil {
		g.batch = g.db.NewBatch()
	}
	return g.batch
}

// flush adds the items to the batch, and the number of the last commit, and gives the batch away.
func (g *group) flush(seq uint64) (*pebble.Batch, error) {
	batch := g.writing()
	g.batch = nil
	if g.err != nil {
		return batch, g.err
	}
	var key [128]byte
	for i := range g.cells {
		c := &g.cells[i]
		if !c.dirty {
			continue
		}
		var err error
		if k := appendItemKey(key[:0], c.key); c.exists {
			g.buf = appendValue(g.buf[:0], c.version, c.item)
			err = batch.Set(k, g.buf, nil)
		} else {
			err = batch.Delete(k, nil)
		}
		if err != nil {
			return batch, fmt.Errorf("pebblestore: write %s: %w", c.key, err)
		}
	}
	if err := batch.Set([]byte(keySequence), binary.BigEndian.AppendUint64(nil, seq), nil); err != nil {
		return batch, fmt.Errorf("pebblestore: write the commit's number: %w", err)
	}
	return batch, nil
}
