package invariant

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A page is all that was read of one order.
type page struct {
	id                string
	own, ours, theirs []store.Entry // its own partition, what else we keep of it, the provider's
	head              store.Item
	customer, keyHash string
	terminalVersion   int64
	rows              rows // after all that was read
	moved             bool // its head changed meanwhile
}

// readOrders reads the orders, then the rest of ours, then what the provider has, who is asked before we write down what it did; and looks at last whether the
// orders are still as they were.
func (k *walker) readOrders(ctx context.Context, ids []string) ([]*page, error) {
	pages := make([]*page, len(ids))
	var belongings, marks []store.Key
	for i, id := range ids {
		p := &page{id: id}
		pages[i] = p
		err := store.Each(ctx, k.Ours, order.Query(id), p.add)
		if err != nil {
			return nil, err
		}
		belongings = append(belongings, p.belongings()...)
		marks = append(marks, order.HeadKey(id), order.OpenKey(id), order.ReviewKey(id))
	}
	items, err := k.Ours.GetMany(ctx, belongings, store.Strong)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		n := len(p.belongings())
		p.ours = present(belongings[:n], items[:n])
		belongings, items = belongings[n:], items[n:]
		if k.Provider == nil {
			continue
		}
		err := store.Each(ctx, k.Provider, provider.PageQuery(p.id), func(e store.Entry) error {
			p.theirs = append(p.theirs, e)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	after, err := k.Ours.GetMany(ctx, marks, store.Strong)
	if err != nil {
		return nil, err
	}
	for i, p := range pages {
		p.moved = !p.head.Equal(after[3*i])
		p.rows = rows{open: after[3*i+1] != nil, review: after[3*i+2] != nil}
	}
	return pages, nil
}

// add takes an entry of the order's own partition. What of it cannot be read leads nowhere, and is for the rules to judge.
func (p *page) add(e store.Entry) error {
	p.own = append(p.own, e)
	switch {
	case order.IsHead(e.Key):
		p.head = e.Item
		if st, err := order.DecodeHead(e.Item); err == nil {
			p.customer, p.terminalVersion = st.CustomerID, st.TerminalVersion
		}
	case e.Key == eventlog.Key(order.Table, p.id, 1):
		if ev, err := eventlog.Decode(e); err == nil {
			if created, err := order.DecodeCreated(ev); err == nil {
				p.customer, p.keyHash = created.CustomerID, created.KeyHash
			}
		}
	}
	return nil
}

// belongings are the keys of what else there may be of the order, four at most.
func (p *page) belongings() []store.Key {
	keys := append(make([]store.Key, 0, 4), inventory.HoldKey(p.id), payment.Key(p.id))
	if p.terminalVersion != 0 {
		keys = append(keys, notification.RecordKey(p.id, p.terminalVersion))
	}
	if p.keyHash != "" {
		keys = append(keys, idempotency.ClientKeyOfHash(p.keyHash).Item())
	}
	return keys
}
