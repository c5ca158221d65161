package order

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A merge reads the shards of one day as one list, the newest first. It reads a little of each and more of those that are used up.
type merge struct {
	s      *Service
	pieces []piece
}

// A piece is what has been read of one shard and not yet given.
type piece struct {
	partition string
	after     string // where to read on
	ids       []string
	ended     bool // the shard has no more than ids
}

// pieceSize is how many ids are read of a shard at a time: with 16 shards, little more than the page of a hundred that they are for.
const pieceSize = 8

// next returns the next ids, at most n, and whether there are more.
func (m *merge) next(ctx context.Context, n int) (ids []string, more bool, err error) {
	for {
		newest := -1
		for i := range m.pieces {
			p := &m.pieces[i]
			if err := m.fill(ctx, p); err != nil {
				return nil, false, err
			}
			if len(p.ids) > 0 && (newest < 0 || p.ids[0] > m.pieces[newest].ids[0]) {
				newest = i
			}
		}
		if newest < 0 || len(ids) == n {
			return ids, newest >= 0, nil
		}
		p := &m.pieces[newest]
		ids, p.ids = append(ids, p.ids[0]), p.ids[1:]
	}
}

// fill reads on in a shard of which nothing is left.
func (m *merge) fill(ctx context.Context, p *piece) error {
	if len(p.ids) > 0 || p.ended {
		return nil
	}
	entries, err := m.s.store.Range(ctx, store.Query{
		Table: Table, PK: p.partition, After: p.after, Reverse: true, Limit: pieceSize, Consistency: store.Eventual,
	})
	if err != nil {
		return err
	}
	p.ended = len(entries) < pieceSize
	for _, e := range entries {
		p.ids, p.after = append(p.ids, e.Key.SK), e.Key.SK
	}
	return nil
}
