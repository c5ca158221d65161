package pebblestore

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A group is what one batch will write: each item that its transactions have touched, as it will be. A later
// transaction of the group sees what the earlier ones did; an item that many of them move is written once.
type group struct {
	db   *pebble.DB
	feed func(store.Key) bool // whose changes it keeps with the item
	keys func(store.Key) bool // and whose without

	batch  *pebble.Batch // the feed's entries; flush adds the items
	fed    bool          // there are such entries
	err    error         // the batch did not take one: it must not be written
	cells  cells
	writes []*cell // the cells that are dirty

	reader *pebble.Iterator

	// Scratch space.
	touched []*cell
	after   []store.Item
	buf     []byte
}

func newGroup(db *pebble.DB, feed, keys func(store.Key) bool) group {
	return group{db: db, feed: feed, keys: keys, cells: newCells()}
}

// selects reports whether the feed has the item's changes, and whether only its key.
func (g *group) selects(key store.Key) (feeds, keyOnly bool) {
	keyOnly = g.keys(key)
	return keyOnly || g.feed(key), keyOnly
}

// apply adds a transaction to the group as commit number seq. errConflict says that a read was void; a refusal is
// looked for only after that. If it returns an error, the group is as before.
func (g *group) apply(reads []store.Read, ops []store.Op, seq uint64) error {
	for _, r := range reads {
		c, err := g.load(r.Key)
		if err != nil {
			return err
		}
		if c.exists != r.Exists || c.version != r.Version {
			return errConflict
		}
	}
	g.touched, g.after = g.touched[:0], g.after[:0]
	for i := range ops {
		c, after, err := g.evaluate(&ops[i])
		if err != nil {
			return err
		}
		g.touched, g.after = append(g.touched, c), append(g.after, after)
	}
	for i := range ops {
		if ops[i].Kind != store.OpCheck {
			g.set(g.touched[i], &ops[i], g.after[i], position{seq, uint8(i)})
		}
	}
	return nil
}

// evaluate returns the cell of the operation's item, or nil if nobody needs to know what stands there, and the item as
// the operation leaves it.
func (g *group) evaluate(op *store.Op) (*cell, store.Item, error) {
	// A bare Put needs not know what it replaces. A bare Delete does, if the feed has to say whether it removed anything.
	if len(op.Conds) == 0 && op.Kind == store.OpPut {
		return nil, op.Item, nil
	}
	if len(op.Conds) == 0 && op.Kind == store.OpDelete {
		if feeds, _ := g.selects(op.Key); !feeds {
			return nil, nil, nil
		}
	}
	c, err := g.load(op.Key)
	if err != nil {
		return nil, nil, err
	}
	if err := c.decode(); err != nil {
		return nil, nil, readError(err, op.Key)
	}
	after, ok := op.Apply(c.item)
	if !ok {
		return nil, nil, &store.Refusal{Key: op.Key, Item: c.item}
	}
	return c, after, nil
}

// set makes the item what the operation left, and feeds the change.
func (g *group) set(c *cell, op *store.Op, after store.Item, at position) {
	if c == nil {
		c = g.cells.blind(op.Key)
	}
	feeds, keyOnly := g.selects(op.Key)
	if feeds && after == nil && !c.exists {
		return
	}
	if !c.exists || op.Kind != store.OpAdd {
		c.version = at.seq
	}
	c.item, c.raw, c.exists = after, nil, after != nil
	g.cells.bytes += after.Size()
	if after == nil {
		c.version = 0
	}
	if !c.dirty {
		c.dirty = true
		g.writes = append(g.writes, c)
	}
	if !feeds {
		return
	}
	g.fed = true
	g.buf = appendChange(g.buf[:0], op.Key, after, keyOnly)
	if err := g.writing().Set(at.feedKey(), g.buf, nil); err != nil {
		g.err = fmt.Errorf("pebblestore: feed %s: %w", op.Key, err)
	}
}

// load returns the item's cell, and reads the item if it is not in one.
func (g *group) load(key store.Key) (*cell, error) {
	if c := g.cells.find(key); c != nil {
		return c, nil
	}
	c, err := g.read(key)
	if err != nil {
		return nil, readError(err, key)
	}
	return g.cells.add(c), nil
}

// read goes to the database. The committer alone writes items, so what the database shows is what the groups before
// this one have left. A group has one iterator for all its reads: unlike Pebble's Get, it can be told to ask the
// filters of the last level, and most reads that come this far are for an item that is not there.
func (g *group) read(key store.Key) (*cell, error) {
	if g.reader == nil {
		it, err := g.db.NewIter(&pebble.IterOptions{UseL6Filters: true})
		if err != nil {
			return nil, err
		}
		g.reader = it
	}
	g.buf = appendItemKey(g.buf[:0], key)
	c := &cell{key: key}
	if !g.reader.SeekPrefixGE(g.buf) {
		err := g.reader.Error()
		if err != nil {
			_ = g.decided() // says the same once more; left to the group's end, it would count as the group's failure
		}
		return c, err
	}
	version, rest, err := splitValue(g.reader.Value())
	if err != nil {
		return nil, err
	}
	c.exists, c.version, c.raw = true, version, append([]byte(nil), rest...)
	return c, nil
}

// decided ends the reading.
func (g *group) decided() error {
	if g.reader == nil {
		return nil
	}
	err := g.reader.Close()
	g.reader = nil
	return err
}

func (g *group) writing() *pebble.Batch {
	if g.batch == nil {
		g.batch = g.db.NewBatch()
	}
	return g.batch
}

// flush adds the items to the batch, and the number of the last commit, gives the batch away and empties the group.
func (g *group) flush(seq uint64) (batch *pebble.Batch, fed bool, err error) {
	batch, fed, err = g.writing(), g.fed, g.err
	g.batch, g.fed = nil, false
	var key [128]byte
	for _, c := range g.writes {
		c.dirty = false
		if err != nil {
			continue
		}
		if k := appendItemKey(key[:0], c.key); c.exists {
			g.buf = appendValue(g.buf[:0], c.version, c.item)
			err = batch.Set(k, g.buf, nil)
		} else {
			err = batch.Delete(k, nil)
		}
	}
	if err == nil {
		err = batch.Set([]byte(keySequence), binary.BigEndian.AppendUint64(nil, seq), nil)
	}
	clear(g.writes)
	g.writes = g.writes[:0]
	return batch, fed, err
}
