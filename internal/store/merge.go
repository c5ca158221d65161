package store

import "context"

// A Merger reads several partitions as if they were one, in the order of their sort keys. It is for an index that is sharded because one
// partition would be hot, so each sort key stands in one of them. It reads a little of each and more of those that are used up,
// one after the other, and is no snapshot of them. It is for one goroutine.
type Merger struct {
	s      Store
	q      Query
	pieces []piece
}

// A piece is what has been read of one partition and not yet given.
type piece struct {
	pk      string
	after   string // where to read on
	entries []Entry
	ended   bool // the partition has no more than entries
}

// pieceSize is how many items are read of a partition at a time: with 16 of them, little more than the page of a hundred that is asked for.
const pieceSize = 8

// Merge begins to read: q says what, but for the partition and the limit, which are not looked at.
func Merge(s Store, q Query, partitions []string) *Merger {
	m := &Merger{s: s, q: q, pieces: make([]piece, len(partitions))}
	for n, pk := range partitions {
		m.pieces[n] = piece{pk: pk, after: q.After}
	}
	m.q.Limit = pieceSize
	return m
}

// Next returns the next items, at most n, and whether there are more.
func (m *Merger) Next(ctx context.Context, n int) (entries []Entry, more bool, err error) {
	for {
		var first *piece
		for i := range m.pieces {
			p := &m.pieces[i]
			if err := m.fill(ctx, p); err != nil {
				return nil, false, err
			}
			if len(p.entries) > 0 && (first == nil || m.before(p, first)) {
				first = p
			}
		}
		if first == nil || len(entries) == n {
			return entries, first != nil, nil
		}
		entries, first.entries = append(entries, first.entries[0]), first.entries[1:]
	}
}

func (m *Merger) before(a, b *piece) bool {
	return a.entries[0].Key.SK < b.entries[0].Key.SK != m.q.Reverse
}

// fill reads on in a partition of which nothing is left.
func (m *Merger) fill(ctx context.Context, p *piece) error {
	if len(p.entries) > 0 || p.ended {
		return nil
	}
	q := m.q
	q.PK, q.After = p.pk, p.after
	var err error
	if p.entries, err = m.s.Range(ctx, q); err != nil {
		return err
	}
	if p.ended = len(p.entries) < pieceSize; len(p.entries) > 0 {
		p.after = p.entries[len(p.entries)-1].Key.SK
	}
	return nil
}
