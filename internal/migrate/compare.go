package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// compare holds the target against the source in two ways. By what the target finds by itself: its lists lead to the same orders, with heads and logs as
// here, and to no others. And by key: each item that was taken is read back, and is the same.
//
// What differs is copied anew by the next run: somebody may have restocked a product there.
func (m *migration) compare(ctx context.Context) error {
	if err := m.compareHeads(ctx); err != nil {
		return m.anew(ctx, order.Table, err)
	}
	for _, table := range taken {
		if err := m.readBack(ctx, table); err != nil {
			return m.anew(ctx, table, fmt.Errorf("compare %s: %w", table, err))
		}
	}
	return nil
}

// anew lets the next run copy a table from its beginning, if it was found to differ.
func (m *migration) anew(ctx context.Context, table string, found error) error {
	if !errors.Is(found, ErrDiffers) {
		return found
	}
	return errors.Join(found, m.note(ctx, m.passOf(table).name, place{}))
}

// readBack reads what the pass of a table has written.
func (m *migration) readBack(ctx context.Context, table string) error {
	p := m.passOf(table)
	g, of := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var batch []store.Entry
	done := 0
	send := func() {
		some := batch
		g.Go(func() error { return m.same(of, p.to, some) })
		done += len(some)
		batch = nil
		m.Progress(Step{"compare " + table, done, p.total})
	}
	err := p.each(of, "", func(e store.Entry) error {
		if batch = append(batch, e); len(batch) == store.MaxGetMany {
			send()
		}
		return of.Err()
	})
	if err == nil && len(batch) > 0 {
		send()
	}
	// What was compared says more than that the rest was ended.
	if found := g.Wait(); found != nil {
		return found
	}
	return err
}

// same requires that the target has these items.
func (m *migration) same(ctx context.Context, s store.Store, batch []store.Entry) error {
	if batch[0].Key.Table == pii.KeyTable {
		return m.sameKeys(s, batch)
	}
	keys := make([]store.Key, len(batch))
	for i, e := range batch {
		keys[i] = e.Key
	}
	var items []store.Item
	err := m.try(ctx, func() (err error) {
		items, err = s.GetMany(ctx, keys, store.Strong)
		return err
	})
	if err != nil {
		return err
	}
	for i, e := range batch {
		switch {
		case items[i] == nil && e.Key.Table == idempotency.Table && idempotency.Over(e, m.Now()): // its time came meanwhile
		case items[i] == nil:
			return fmt.Errorf("%w: %s is not there", ErrDiffers, e.Key)
		case !e.Item.Without(store.AttrExpires).Equal(items[i].Without(store.AttrExpires)): // the run sets when its life ends
			return fmt.Errorf("%w: %s says something else", ErrDiffers, e.Key)
		}
	}
	return nil
}

func (m *migration) sameKeys(s store.Store, batch []store.Entry) error {
	keys := pii.NewStoreKeys(s)
	for _, e := range batch {
		key, ok, err := contact(keys, e.Key.PK)
		switch {
		case err != nil:
			return err
		case !ok || string(key) != string(e.Item.Bytes("key")):
			return fmt.Errorf("%w: the contact key of %s", ErrDiffers, e.Key.PK)
		}
	}
	return nil
}

// compareHeads holds the orders that the target finds by itself against ours.
func (m *migration) compareHeads(ctx context.Context) error {
	theirs, events := map[string]fact{}, map[string]int64{}
	err := m.Target.Walk(ctx, func(e store.Entry) error {
		switch {
		case e.Key.Table != order.Table:
		case order.IsEvent(e.Key):
			events[e.Key.PK]++
		case order.IsHead(e.Key):
			st, err := order.DecodeHead(e.Item)
			if err != nil {
				return fmt.Errorf("%s: %w", e.Key, err)
			}
			theirs[e.Key.PK] = fact{version: st.Version, hash: st.Hash}
			m.Progress(Step{"compare heads", len(theirs), len(m.orders)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		if _, known := m.orders[id]; !known {
			return fmt.Errorf("%w: %s; it was placed while this ran", ErrTaken, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.orders)) {
		ours, there := m.orders[id], theirs[id]
		switch {
		case there.version == 0:
			return fmt.Errorf("%w: the target's lists do not lead to %s", ErrDiffers, id)
		case ours.version != there.version || ours.hash != there.hash || events[id] != ours.version:
			return fmt.Errorf("%w: %s has version %d and %d events there, %d here", ErrDiffers, id, there.version, events[id], ours.version)
		}
	}
	return nil
}
