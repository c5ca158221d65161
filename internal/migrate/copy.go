package migrate

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// maxBatchBytes leaves room in a transaction's 4 MB for what the adapter adds.
const maxBatchBytes = 3 << 20

// take is the item that stands for the entry at the target. false: it is not copied with its table.
func (s *survey) take(e store.Entry) (store.Item, bool) {
	switch e.Key.Table {
	case order.Table:
		if _, ok := order.ActedOn(e.Key); ok {
			return nil, false
		}
		if order.IsEvent(e.Key) {
			return eventlog.Moved(e.Item), true
		}
	case inventory.ReservationsTable:
		_, aging := inventory.ActiveHold(e.Key)
		return e.Item, !aging
	case provider.Table:
		_, known := s.orders[e.Key.PK]
		return e.Item, known
	case idempotency.Table:
		return s.takeRecord(e)
	}
	return e.Item, true
}

// takeRecord is the record of an idempotency key. One whose time is over stays, unless its order has not ended: then it counts, and lives as long as a
// new one, since the target's time to live asks nobody, and the sweeper comes to it only after the order is listed as open.
func (s *survey) takeRecord(e store.Entry) (store.Item, bool) {
	f, known := s.orders[idempotency.Decode(e.Item).Result.Ref]
	if !known || f.terminal {
		return e.Item, !idempotency.Over(e, s.now)
	}
	until := s.now.Add(order.KeyTTL).Unix()
	if _, ends := e.Item.Lookup(store.AttrExpires); ends && e.Item.Int(store.AttrExpires) < until {
		return e.Item.With(store.N(store.AttrExpires, until)), true
	}
	return e.Item, true
}

// A pass brings entries of one kind to the target, in their order.
type pass struct {
	name  string // of the note that says how far it is
	label string
	total int
	to    store.Store
	batch int // entries of a transaction
	// each gives the entries from a partition on.
	each  func(ctx context.Context, from string, fn func(store.Entry) error) error
	stage func(tx *store.Tx, e store.Entry) error
}

// copyAll copies each table.
func (m *migration) copyAll(ctx context.Context) error {
	for _, table := range taken {
		if err := m.carry(ctx, m.passOf(table)); err != nil {
			return fmt.Errorf("copy of %s: %w", table, err)
		}
	}
	return nil
}

// passOf copies a table.
func (m *migration) passOf(table string) pass {
	p := pass{name: "copied#" + table, label: "copy " + table, total: m.counts[table].Items, to: m.Target.Store, batch: m.batch}
	p.stage = func(tx *store.Tx, e store.Entry) error {
		tx.Put(e.Key, e.Item)
		return nil
	}
	from := m.Source.Ours
	switch table {
	case provider.Table:
		from, p.to = m.Source.Provider, m.Target.Provider
	case pii.KeyTable:
		p.each = m.eachContact
		p.stage = func(tx *store.Tx, e store.Entry) error {
			pii.StageKey(tx, e.Key.PK, e.Item.Bytes("key"))
			return nil
		}
		return p
	}
	p.each = func(ctx context.Context, start string, fn func(store.Entry) error) error {
		return from.DumpTable(ctx, table, start, func(e store.Entry) error {
			it, ok := m.take(e)
			if !ok {
				return nil
			}
			return fn(store.Entry{Key: e.Key, Item: it})
		})
	}
	return p
}

func (m *migration) eachContact(ctx context.Context, from string, fn func(store.Entry) error) error {
	for _, customer := range m.keys {
		if strings.Compare(customer, from) < 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		key, ok, err := contact(m.Source.Contacts, customer)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := fn(contactEntry(customer, key)); err != nil {
			return err
		}
	}
	return nil
}

// carry makes a pass, from where an earlier run has left it. What it writes is written atOnce transactions at a time; when all of these are durable, the
// note of how far it is follows. So a crash repeats a few transactions, which write the same again.
func (m *migration) carry(ctx context.Context, p pass) error {
	at, err := m.placeOf(ctx, p.name)
	if err != nil || at.done {
		return err
	}
	b := batcher{m: m, p: p, done: at.items}
	err = p.each(ctx, at.pk, func(e store.Entry) error {
		if e.Key.PK == at.pk && e.Key.SK <= at.sk && at.items > 0 {
			return nil
		}
		return b.add(ctx, e)
	})
	if err == nil {
		err = b.flush(ctx, true)
	}
	return err
}

// A batcher gathers entries until they fill atOnce transactions.
type batcher struct {
	m    *migration
	p    pass
	full [][]store.Entry
	cur  []store.Entry
	size int
	done int // entries that are durable
}

func (b *batcher) add(ctx context.Context, e store.Entry) error {
	size := len(e.Key.PK) + len(e.Key.SK) + e.Item.Size()
	if len(b.cur) == b.p.batch || b.size+size > maxBatchBytes {
		b.full, b.cur, b.size = append(b.full, b.cur), nil, 0
		if len(b.full) == atOnce {
			if err := b.flush(ctx, false); err != nil {
				return err
			}
		}
	}
	b.cur, b.size = append(b.cur, e), b.size+size
	return nil
}

// flush writes what was gathered, and then how far that is. The last one says that there is no more.
func (b *batcher) flush(ctx context.Context, last bool) error {
	if last && len(b.cur) > 0 {
		b.full = append(b.full, b.cur)
	}
	// Looked at before these are written, and not in each transaction: those would conflict with each other over the note.
	state, err := b.m.Target.Store.Get(ctx, noteKey(stateNote), store.Strong)
	if err == nil {
		err = b.m.overtaken(state, b.m.phase)
	}
	if err != nil {
		return err
	}
	g, of := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, batch := range b.full {
		b.done += len(batch)
		g.Go(func() error { return b.m.write(of, b.p, batch) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	at := place{items: b.done, done: last}
	if n := len(b.full); n > 0 {
		end := b.full[n-1]
		at.pk, at.sk = end[len(end)-1].Key.PK, end[len(end)-1].Key.SK
	}
	b.full = nil
	b.m.Progress(Step{b.p.label, b.done, b.p.total})
	return b.m.note(ctx, b.p.name, at)
}

// write puts some entries into the target, all in one transaction.
func (m *migration) write(ctx context.Context, p pass, batch []store.Entry) error {
	return m.try(ctx, func() error {
		return p.to.Update(ctx, func(tx *store.Tx) error {
			for _, e := range batch {
				if err := p.stage(tx, e); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
