package pebblestore

import "github.com/utkarsh698/cloudflow/internal/store"

// A cell is one item as the committer knows it: as of the last transaction that it has applied, synced or not.
type cell struct {
	key     store.Key
	exists  bool
	version uint64
	item    store.Item // nil if there is none, and while raw is set
	raw     []byte     // the item's encoding as it was read: most checks need the version only
	dirty   bool       // to be written with the group
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

// A generation of cells ends at so many items, or so many bytes of them. It is a second of full load, and an order is
// worked on for less; together the two generations take little beside the block cache.
const (
	generationCells = 16 << 10
	generationBytes = 16 << 20
)

// Cells remember the items that the committer has met, beyond the group: an order's head is checked by each of its
// commits, a counter by every order, and the committer, which alone writes items, knows what it has left there. What
// was not asked for in a whole generation is forgotten.
type cells struct {
	recent, former map[store.Key]*cell
	blinds         []store.Key // written in this group without anyone asking what stood there
	bytes          int         // that came into recent, what was replaced since included
}

func newCells() cells {
	return cells{recent: make(map[store.Key]*cell), former: make(map[store.Key]*cell)}
}

// find returns the item's cell, or nil if the committer does not know the item.
func (m *cells) find(key store.Key) *cell {
	if c := m.recent[key]; c != nil {
		return c
	}
	if c := m.former[key]; c != nil {
		delete(m.former, key)
		return m.add(c)
	}
	return nil
}

func (m *cells) add(c *cell) *cell {
	m.recent[c.key] = c
	m.bytes += len(c.key.PK) + len(c.key.SK) + len(c.raw) + c.item.Size()
	return c
}

// blind returns a cell for an item that is going to be overwritten whatever it is. It is forgotten after the
// group: most such items are journal entries and the like, which nobody reads soon.
func (m *cells) blind(key store.Key) *cell {
	if c := m.find(key); c != nil {
		return c
	}
	m.blinds = append(m.blinds, key)
	return m.add(&cell{key: key})
}

// rotate ends the group, in which no cell is dirty any more.
func (m *cells) rotate() {
	for _, key := range m.blinds {
		delete(m.recent, key)
	}
	m.blinds = m.blinds[:0]
	if len(m.recent) >= generationCells || m.bytes >= generationBytes {
		m.recent, m.former = m.former, m.recent
		clear(m.recent)
		m.bytes = 0
	}
}
