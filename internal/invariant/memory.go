package invariant

import "github.com/utkarsh698/cloudflow/internal/store"

// A Memory is for who checks one store again and again, as the simulation does after every commit: a log whose items are the very
// ones of the check before is not read and verified once more. That is sound where an item is never changed in place, as in memstore. The zero
// Memory knows nothing yet; it is for one store and one goroutine.
type Memory struct{ logs map[string]knownLog }

type knownLog struct {
	items []*store.Attr // where each item of the log lies
	facts *orderFacts
}

// New returns an empty snapshot that remembers.
func (m *Memory) New() *Snapshot {
	s := New()
	s.memory = m
	return s
}

// recall returns what was read of a log when it was last the same, or nil.
func (m *Memory) recall(id string, log []store.Entry) *orderFacts {
	if m == nil {
		return nil
	}
	known := m.logs[id]
	if len(known.items) != len(log) {
		return nil
	}
	for i, e := range log {
		if known.items[i] != placeOf(e.Item) {
			return nil
		}
	}
	return known.facts
}

func (m *Memory) keep(log []store.Entry, o *orderFacts) {
	if m == nil {
		return
	}
	if m.logs == nil {
		m.logs = map[string]knownLog{}
	}
	items := make([]*store.Attr, len(log))
	for i, e := range log {
		items[i] = placeOf(e.Item)
	}
	m.logs[o.id] = knownLog{items, o}
}

// placeOf is where an item lies. An empty one lies nowhere twice.
func placeOf(it store.Item) *store.Attr {
	if len(it) == 0 {
		return new(store.Attr)
	}
	return &it[0]
}
