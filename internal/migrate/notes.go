package migrate

import (
	"context"
	"fmt"
	"slices"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The notes stand in the target, in a partition of the orders' table that no order and no list can have: what is there says of itself where it
// comes from, and a second machine could go on.
const stateNote = "state"

const (
	attrPhase    = "phase"
	attrIdentity = "identity"
	attrHeads    = "heads"
	attrSince    = "since_ms" // of the phase

	attrPK    = "at_pk"
	attrSK    = "at_sk"
	attrItems = "items"
	attrDone  = "done"
)

func noteKey(name string) store.Key {
	return store.Key{Table: order.Table, PK: order.MigrationPK, SK: name}
}

// admit looks whether the target takes this shop, and how far an earlier run has come.
func (m *migration) admit(ctx context.Context) error {
	if ledger := m.counts[provider.Table]; m.Target.Provider == nil && ledger.Items > 0 {
		return fmt.Errorf("%w: its payments were simulated, and the target has no simulator: without the ledger nobody could refund them; deploy the stage with -c simulator=1",
			ErrSource)
	}
	state, err := m.Target.Store.Get(ctx, noteKey(stateNote), store.Strong)
	if err != nil {
		return err
	}
	if state != nil {
		if m.phase = Phase(state.Str(attrPhase)); !slices.Contains(phases, m.phase) {
			return fmt.Errorf("the target is in the phase %q, which this cloudflow does not know", m.phase)
		}
		return m.sameSource(state)
	}
	any, err := order.Any(ctx, m.Target.Store)
	if err == nil && any {
		err = fmt.Errorf("%w; migrate into a stage that has never taken an order", ErrTaken)
	}
	return err
}

// sameSource refuses another source than that of the first run. Once the source is left all of it was copied, and its orders cannot change any more; a
// customer may still be erased there, and that is no reason to leave the orders half started.
func (m *migration) sameSource(state store.Item) error {
	same := state.Str(attrHeads) == m.heads()
	phase := Phase(state.Str(attrPhase))
	if left := m.Source.Left || phase == Starting || phase == Done; same && left || state.Str(attrIdentity) == m.identity {
		return nil
	}
	if !same {
		return fmt.Errorf("%w: the target has begun to take orders with the heads %s, and these are %s; go on from the directory as it was then, or begin anew with an empty stage",
			ErrChanged, state.Str(attrHeads), m.heads())
	}
	return fmt.Errorf("%w: it has the same orders, and something beside them was changed since: a product, a key, a contact; begin anew with an empty stage", ErrChanged)
}

// claim makes the target ours.
func (m *migration) claim(ctx context.Context) error {
	return m.putState(ctx, Copying, func(it store.Item) error {
		if it != nil {
			return m.sameSource(it)
		}
		return nil
	})
}

// enter notes that a phase has begun.
func (m *migration) enter(ctx context.Context, p Phase) error {
	return m.putState(ctx, p, m.sameSource)
}

func (m *migration) putState(ctx context.Context, p Phase, check func(store.Item) error) error {
	err := m.try(ctx, func() error {
		return m.Target.Store.Update(ctx, func(tx *store.Tx) error {
			it, err := tx.Get(noteKey(stateNote))
			if err == nil {
				err = check(it)
			}
			if err == nil && it != nil {
				err = m.overtaken(it, p)
			}
			if err != nil {
				return err
			}
			tx.Put(noteKey(stateNote), store.Item{
				store.S(attrPhase, string(p)), store.S(attrIdentity, m.identity), store.S(attrHeads, m.heads()), store.N(attrSince, m.Now().UnixMilli()),
			})
			return nil
		})
	})
	if err == nil {
		m.phase = p
	}
	return err
}

// overtaken refuses to go on where another run has come further than this one, to p at most: a copy of the source, such as a restored backup, is the same
// source, and somebody may move it at the same time. What stands in the target from then on is a shop at work, and no copy.
func (m *migration) overtaken(state store.Item, p Phase) error {
	if there := Phase(state.Str(attrPhase)); there != m.phase && there != p {
		return fmt.Errorf("another run, of a copy of this directory, has brought the target to the phase %s; nothing more is copied from here, and the same command marks this directory as moved, too", there)
	}
	return nil
}

// A place is how far a pass has come: the last entry that is durable with all before it.
type place struct {
	pk, sk string
	items  int
	done   bool
}

func (m *migration) placeOf(ctx context.Context, pass string) (place, error) {
	it, err := m.Target.Store.Get(ctx, noteKey(pass), store.Strong)
	return place{it.Str(attrPK), it.Str(attrSK), int(it.Int(attrItems)), it.Bool(attrDone)}, err
}

func (m *migration) note(ctx context.Context, pass string, at place) error {
	return m.put(ctx, noteKey(pass), store.Item{
		store.S(attrPK, at.pk), store.S(attrSK, at.sk), store.N(attrItems, int64(at.items)), store.Bool(attrDone, at.done),
	})
}

// put writes an item by itself.
func (m *migration) put(ctx context.Context, k store.Key, it store.Item) error {
	return m.try(ctx, func() error {
		return m.Target.Store.Update(ctx, func(tx *store.Tx) error {
			tx.Put(k, it)
			return nil
		})
	})
}
