package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A survey is what a look at the whole source has found. It holds a line for each order and each customer, as verify does.
type survey struct {
	now      time.Time
	identity string          // a hash over everything that is taken
	orders   map[string]fact // by id
	rows     map[string][]store.Entry
	keys     []string // customers whose contacts open
	counts   map[string]*Count
	left     map[string]int // items that are not taken, by table
	expired  int            // idempotency records that are not taken, since nobody needs them any more
	pages    int            // of the ledger that are not taken, since retention has deleted their orders
	waiting  int            // messages
	dead     int            // dead letters
	aging    int            // rows of active holds
	resumes  []resume       // of the orders in rows, by id
}

// A fact is what is known of an order from its head.
type fact struct {
	version          int64
	hash, customer   string
	redrives         int64
	terminal, review bool
}

// A Count is how much of a table is taken.
type Count struct {
	Table string `json:"table"`
	Items int    `json:"items"`
	Bytes int64  `json:"bytes"`
	units int64  // write units of DynamoDB: one for each begun kilobyte, twice in a transaction
}

// add counts an item, once or, with -1, no more.
func (c *Count) add(e store.Entry, times int) {
	size := int64(len(e.Key.PK) + len(e.Key.SK) + e.Item.Size())
	c.Items += times
	c.Bytes += int64(times) * size
	c.units += int64(times) * 2 * ((size + 1023) / 1024)
}

// taken are the tables in the order in which they are copied. An order comes after all that belongs to it.
var taken = []string{
	inventory.Table, inventory.ReservationsTable, payment.Table, notification.Table, idempotency.Table, breaker.Table, order.ErasuresTable,
	provider.Table, pii.KeyTable, order.Table,
}

// leaves are the tables that stay: executions that have ended, and what belongs to the place. The queue's messages are sent, not copied.
var leaves = []string{flow.Table, storebus.Table, retention.Table, apikey.Table}

// look reads the whole source once, and says how each open order goes on.
func look(ctx context.Context, source Source, now time.Time) (survey, error) {
	s := survey{now: now, orders: map[string]fact{}, rows: map[string][]store.Entry{}, counts: map[string]*Count{}, left: map[string]int{}}
	for _, table := range taken {
		s.counts[table] = &Count{Table: table}
	}
	sum := sha256.New()
	var records []store.Entry // idempotency records whose time is over: whether they are taken depends on their orders, which come later
	err := source.Ours.Dump(ctx, func(e store.Entry) error {
		if e.Key.Table == idempotency.Table && idempotency.Over(e, now) {
			records = append(records, e)
		}
		return s.read(e, sum)
	})
	if err != nil {
		return s, err
	}
	for _, e := range records {
		if _, ok := s.take(e); !ok {
			s.expired++
			s.counts[idempotency.Table].add(e, -1)
		}
	}
	err = source.Provider.Dump(ctx, func(e store.Entry) error {
		digest(sum, e.Key, e.Item)
		if _, ok := s.take(e); ok {
			s.counts[provider.Table].add(e, 1)
		} else {
			s.pages++
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	if err := s.contacts(source.Contacts, sum); err != nil {
		return s, err
	}
	s.identity = hex.EncodeToString(sum.Sum(nil))
	s.resumes, err = s.plan(ctx, source)
	return s, err
}

// read takes an entry of our store into the survey.
func (s *survey) read(e store.Entry, sum hash.Hash) error {
	table := e.Key.Table
	switch {
	case table == storebus.Table:
		m, ok := storebus.Decode(e)
		switch {
		case !ok:
			return fmt.Errorf("%w: %s is no message", ErrSource, e.Key)
		case m.Place == storebus.Dead:
			s.dead++
		default:
			s.waiting++
		}
	case table == retention.Table:
		if id, ok := retention.Deleting(e); ok {
			return fmt.Errorf("%w: retention is deleting %s; `cloudflow retention --run --data DIR` ends that", ErrSource, id)
		}
		s.left[table]++
		return nil
	case slices.Contains(leaves, table):
		s.left[table]++
		return nil
	case !slices.Contains(taken, table):
		return fmt.Errorf("%w: this cloudflow does not know what the table %q is", ErrSource, table)
	case table == order.Table:
		if err := s.order(e); err != nil {
			return err
		}
	}
	digest(sum, e.Key, e.Item)
	if _, aging := inventory.ActiveHold(e.Key); aging && table == inventory.ReservationsTable {
		s.aging++
	}
	if table != storebus.Table {
		s.counts[table].add(e, 1)
	}
	return nil
}

func (s *survey) order(e store.Entry) error {
	if id, ok := order.ActedOn(e.Key); ok {
		s.rows[id] = append(s.rows[id], e)
	}
	if !order.IsHead(e.Key) {
		return nil
	}
	st, err := order.DecodeHead(e.Item)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	s.orders[e.Key.PK] = fact{st.Version, st.Hash, st.CustomerID, st.Redrives, st.Terminal(), st.NeedsReview}
	return nil
}

// contacts finds the customers whose contacts open: those who were erased, or never gave one, have no key.
func (s *survey) contacts(keys pii.Keys, sum hash.Hash) error {
	customers := map[string]bool{}
	for _, f := range s.orders {
		customers[f.customer] = true
	}
	for _, customer := range slices.Sorted(maps.Keys(customers)) {
		key, ok, err := contact(keys, customer)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		e := contactEntry(customer, key)
		digest(sum, e.Key, e.Item)
		s.counts[pii.KeyTable].add(e, 1)
		s.keys = append(s.keys, customer)
	}
	return nil
}

// contact is the customer's key, if there is one.
func contact(keys pii.Keys, customer string) (key []byte, ok bool, err error) {
	key, err = keys.Key(customer, false)
	if errors.Is(err, pii.ErrErased) {
		return nil, false, nil
	}
	return key, err == nil, err
}

// contactEntry is a customer's key on its way, as if it stood in the source's store. How the target keeps it is pii's matter.
func contactEntry(customer string, key []byte) store.Entry {
	return store.Entry{Key: store.Key{Table: pii.KeyTable, PK: customer}, Item: store.Item{store.B("key", key)}}
}

// digest adds an item to a hash, so that no two lists of items have the same bytes.
func digest(sum hash.Hash, k store.Key, it store.Item) {
	buf := make([]byte, 0, 512)
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	text(k.Table)
	text(k.PK)
	text(k.SK)
	buf = binary.AppendUvarint(buf, uint64(len(it)))
	for _, a := range it {
		text(a.Name)
		buf = append(buf, byte(a.Value.Kind()))
		buf = binary.AppendVarint(buf, a.Value.Int())
		text(a.Value.Text())
	}
	_, _ = sum.Write(buf) // never fails
}

// heads is the hash over all orders' heads, as verify prints it.
func (s *survey) heads() string {
	heads := order.NewHeads()
	for _, id := range slices.Sorted(maps.Keys(s.orders)) {
		heads.Add(id, s.orders[id].version, s.orders[id].hash)
	}
	return heads.String()
}
