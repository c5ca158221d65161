package invariant

import (
	"context"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Walk reads by the indexes what a dump reads by scanning, for stores that cannot be scanned: the list of days, the orders of each day, and from each order what
// was written for it; then the lists of its customer, the open orders, those in review, the active holds, the counters of callers, the products.
//
// It gives the orders, their holds, payments, notifications and answered keys, the products, every list of these, and the provider's pages. It does not
// give what no order leads to: an item of an order of which no list knows, the counter of a caller who has no open order and is no customer, the
// keys of calls that made no order. Nor does it give the tables of circuits, of erased customers and of their keys.
//
// It is no snapshot: each read is of its own moment, and strong. What has changed while it was read is said at the end.
type Walk struct {
	Ours     store.Store
	Provider store.Store // the simulated provider's book; nil: there is none, or none to be read
	// Each is given every entry once: those of an order one after the other, its events before its head, and what belongs to it behind that. Lists come a
	// page at a time, in any order. It is called by one goroutine; its error ends the walk and is returned.
	Each func(store.Entry) error
	// Orders is told how many orders have been read; nil: nobody is.
	Orders func(read int)
	// Begun is when the walk begins: an order that was placed since is under way.
	Begun time.Time
	// Also are orders to be read beside those that are listed.
	Also []string
}

// Moved is what changed while it was read, so that its items may be of several moments.
type Moved struct {
	Orders   map[string]bool // their head, or a place among the open ones or in review; and those that were placed since
	Products map[string]bool // their stock
	Holders  map[string]bool // callers of whose open orders one came or went
}

// Run walks. It makes up to 16 reads at once.
func (w Walk) Run(ctx context.Context) (Moved, error) {
	k := &walker{
		Walk: w, known: map[string]bool{}, customers: map[string]bool{}, products: map[string]bool{}, stock: map[string]store.Item{},
		rows: map[string]rows{}, moved: Moved{map[string]bool{}, map[string]bool{}, map[string]bool{}},
	}
	for _, step := range []func(context.Context) error{k.firstStock, k.days, k.also, k.ofCustomers, k.unfinished, k.ofCustomers, k.holders, k.catalogue} {
		if err := step(ctx); err != nil {
			return Moved{}, err
		}
	}
	return k.moved, nil
}

const (
	// atOnce keeps the connections of one process busy, and is little beside what a table takes.
	atOnce = 16
	// perRead is how many orders one reader reads: what belongs to each of them is four keys, and a GetMany takes a hundred.
	perRead = store.MaxGetMany / 4
	// clockSkew is how far the clock of who names an order may be from ours.
	clockSkew = time.Minute
)

// A walker is one walk.
type walker struct {
	Walk
	read int // orders

	known     map[string]bool       // orders that are read, or to be
	customers map[string]bool       // of orders that were read: whether their list was read
	products  map[string]bool       // that holds name
	stock     map[string]store.Item // of each product, as it was at the beginning
	rows      map[string]rows       // of each order that stood among the open ones or in review when it was read
	holding   map[string]string     // by open order: who is counted for it
	moved     Moved
}

// rows say in which lists an order stands that it may leave.
type rows struct{ open, review bool }

// days reads all orders, those of the newest day first: a key that was used again after its time is given with the order that has it now.
func (k *walker) days(ctx context.Context) error {
	var days []string
	err := k.lists(ctx, []store.Query{order.DaysQuery()}, func(e store.Entry) string {
		days = append(days, e.Key.SK)
		return ""
	})
	if err != nil {
		return err
	}
	slices.Reverse(days)
	for _, day := range days {
		if err := k.lists(ctx, order.DayQueries(day), func(e store.Entry) string { return e.Key.SK }); err != nil {
			return err
		}
	}
	return nil
}

func (k *walker) also(ctx context.Context) error { return k.orders(ctx, k.unknown(k.Also)) }

// ofCustomers reads the lists of those whose orders were read, and the orders that only these know.
func (k *walker) ofCustomers(ctx context.Context) error {
	for {
		var queries []store.Query
		for _, id := range sortedKeys(k.customers) {
			if !k.customers[id] {
				k.customers[id] = true
				queries = append(queries, order.CustomerQuery(id))
			}
		}
		if len(queries) == 0 {
			return nil
		}
		if err := k.lists(ctx, queries, k.listed); err != nil {
			return err
		}
	}
}

// listed is the order that stands in a list other than that of its day. One that was placed since the days were read is under way.
func (k *walker) listed(e store.Entry) string {
	id := e.Key.SK
	if active, ok := inventory.ActiveHold(e.Key); ok {
		id = active
	}
	if !k.known[id] && order.MadeAt(id).After(k.Begun.Add(-clockSkew)) {
		k.moved.Orders[id] = true
	}
	return id
}

// unfinished reads the lists that an order leaves, after the orders: one that has come or gone since it was read has moved.
func (k *walker) unfinished(ctx context.Context) error {
	if err := k.lists(ctx, inventory.ActiveQueries(), k.listed); err != nil {
		return err
	}
	lists := map[string]rows{}
	err := k.lists(ctx, order.ReviewQueries(), func(e store.Entry) string {
		if e.Key == order.ReviewKey(e.Key.SK) { // else it is a stray, for the rules to judge
			lists[e.Key.SK] = rows{review: true}
		}
		return k.listed(e)
	})
	if err != nil {
		return err
	}
	k.holding = map[string]string{}
	err = k.lists(ctx, order.OpenQueries(), func(e store.Entry) string {
		if e.Key == order.OpenKey(e.Key.SK) {
			lists[e.Key.SK] = rows{review: lists[e.Key.SK].review, open: true}
		}
		k.holding[e.Key.SK] = order.DecodeOpenRow(e.Item).Holder
		return k.listed(e)
	})
	if err != nil {
		return err
	}
	for _, these := range []map[string]rows{lists, k.rows} {
		for id := range these {
			if lists[id] != k.rows[id] {
				k.moved.Orders[id] = true
			}
		}
	}
	return nil
}

// holders reads the counters of who has open orders, or may have had some, between two looks at those orders.
func (k *walker) holders(ctx context.Context) error {
	callers := map[string]bool{}
	for _, holder := range k.holding {
		callers[holder] = true
	}
	for customer := range k.customers { // who calls for himself
		callers[customer] = true
	}
	delete(callers, "")
	var keys []store.Key
	for _, caller := range sortedKeys(callers) {
		keys = append(keys, order.HolderKey(caller))
	}
	if err := k.items(ctx, keys, k.Each); err != nil {
		return err
	}
	now := map[string]string{}
	err := k.all(ctx, order.OpenQueries(), func(e store.Entry) error {
		now[e.Key.SK] = order.DecodeOpenRow(e.Item).Holder
		return nil
	})
	for _, look := range [][2]map[string]string{{k.holding, now}, {now, k.holding}} {
		for id, holder := range look[0] {
			if other, there := look[1][id]; !there || other != holder {
				k.moved.Holders[holder] = true
			}
		}
	}
	return err
}

// firstStock reads the stock of all products, to be compared with what it is at the end.
func (k *walker) firstStock(ctx context.Context) error {
	var keys []store.Key
	err := k.all(ctx, []store.Query{inventory.ProductsQuery()}, func(e store.Entry) error {
		keys = append(keys, inventory.StockKey(e.Key.SK))
		return nil
	})
	if err != nil {
		return err
	}
	return k.items(ctx, keys, func(e store.Entry) error {
		k.stock[e.Key.PK] = e.Item
		return nil
	})
}

// catalogue reads the products that are listed, and those that a hold names.
func (k *walker) catalogue(ctx context.Context) error {
	err := k.all(ctx, []store.Query{inventory.ProductsQuery()}, func(e store.Entry) error {
		k.products[e.Key.SK] = true
		return k.Each(e)
	})
	if err != nil {
		return err
	}
	var keys []store.Key
	for _, id := range sortedKeys(k.products) {
		keys = append(keys, inventory.ProductKey(id), inventory.StockKey(id))
	}
	return k.items(ctx, keys, func(e store.Entry) error {
		if before := k.stock[e.Key.PK]; e.Key == inventory.StockKey(e.Key.PK) && !before.Equal(e.Item) {
			k.moved.Products[e.Key.PK] = true
		}
		return k.Each(e)
	})
}

// lists gives the entries of the partitions, and reads the orders that of says stand there and that are not known yet; "" is none.
func (k *walker) lists(ctx context.Context, queries []store.Query, of func(store.Entry) string) error {
	for len(queries) > 0 {
		var ids []string
		rest, err := k.pages(ctx, queries, func(e store.Entry) error {
			if id := of(e); id != "" {
				ids = append(ids, id)
			}
			return k.Each(e)
		})
		if err != nil {
			return err
		}
		if err := k.orders(ctx, k.unknown(ids)); err != nil {
			return err
		}
		queries = rest
	}
	return nil
}

// unknown are those orders that are not known yet, which they are then.
func (k *walker) unknown(ids []string) []string {
	var fresh []string
	for _, id := range ids {
		if !k.known[id] {
			k.known[id] = true
			fresh = append(fresh, id)
		}
	}
	return fresh
}

// orders reads orders with all that belongs to them.
func (k *walker) orders(ctx context.Context, ids []string) error {
	return inTurn(ctx, slices.Collect(slices.Chunk(ids, perRead)), k.readOrders, func(pages []*page) error {
		for _, p := range pages {
			if err := k.give(p); err != nil {
				return err
			}
		}
		if k.read += len(pages); k.Orders != nil {
			k.Orders(k.read)
		}
		return nil
	})
}

// give hands on what was read of an order, and keeps what it leads to.
func (k *walker) give(p *page) error {
	if p.customer != "" && !k.customers[p.customer] {
		k.customers[p.customer] = false
	}
	if p.rows != (rows{}) {
		k.rows[p.id] = p.rows
	}
	if p.moved {
		k.moved.Orders[p.id] = true
	}
	for _, entries := range [][]store.Entry{p.own, p.ours, p.theirs} {
		for _, e := range entries {
			switch e.Key.Table {
			case inventory.ReservationsTable:
				if hold, err := inventory.DecodeHold(e.Item); err == nil {
					for _, line := range hold.Lines {
						k.products[line.ProductID] = true
					}
				}
			case idempotency.Table:
				ref := idempotency.Decode(e.Item).Result.Ref
				if p.terminalVersion != 0 && ref != p.id && k.known[ref] {
					continue // the key was used again since
				}
			}
			if err := k.Each(e); err != nil {
				return err
			}
		}
	}
	return nil
}
