package invariant

import (
	"fmt"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Snapshot is what the rules look at, read from one dump of our store and one of the provider's. Where both are dumped while
// orders are under way, ours has to be first: the provider is asked before we write down what it did.
type Snapshot struct {
	orders     map[string]*orderFacts
	stock      map[string]stockFacts
	holds      map[string]holdFacts
	payments   map[string]paymentFacts
	executions map[string]bool // by name
	running    map[string]bool // by name
	indexed    map[string]bool // by name: recovery will find it
	open       map[string]bool // by order: it has an open execution
	notified   map[string]bool // by order: the record says that its notification was sent, or needs none
	queued     map[string]bool // by order: a message waits
	dead       map[string]bool // by order: a message is a dead letter

	pages    []store.Entry // of the provider's book; they are judged by the time of the check
	accounts map[time.Time]map[string]provider.Account

	events  []eventlog.Event // of the order that is being read
	current string
}

type orderFacts struct {
	id, status, hash, execution string
	version, totalCents         int64
	terminal, needsReview       bool
	lines                       map[string]int64
	logError                    string
	head                        order.State
}

type stockFacts struct{ initial, restocked, available, held, sold int64 }

type holdFacts struct {
	state     string
	lines     map[string]int64
	createdAt time.Time
}

type paymentFacts uint8

const (
	paymentNone paymentFacts = iota
	paymentUnknown
	paymentFinal
)

const (
	confirmed = order.Confirmed
	failed    = order.Failed
	active    = inventory.Active
	released  = inventory.Released
	committed = inventory.Committed
	tombstone = inventory.Tombstone
)

// New returns an empty snapshot.
func New() *Snapshot {
	return &Snapshot{
		orders: map[string]*orderFacts{}, stock: map[string]stockFacts{}, holds: map[string]holdFacts{},
		payments: map[string]paymentFacts{}, executions: map[string]bool{}, running: map[string]bool{}, indexed: map[string]bool{}, open: map[string]bool{},
		notified: map[string]bool{}, queued: map[string]bool{}, dead: map[string]bool{},
		accounts: map[time.Time]map[string]provider.Account{},
	}
}

// Add takes the next entry of our store's dump, in the dump's order. An item that cannot be decoded is an error: nothing can be
// said of such a book.
func (s *Snapshot) Add(e store.Entry) error {
	var err error
	switch e.Key.Table {
	case order.Table:
		err = s.addOrder(e)
	case inventory.Table:
		err = s.addStock(e)
	case inventory.ReservationsTable:
		err = s.addHold(e)
	case payment.Table:
		err = s.addPayment(e)
	case flow.Table:
		s.addExecution(e)
	case storebus.Table:
		s.addMessage(e)
	case notification.Table:
		s.addRecord(e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	return nil
}

// AddProvider takes the next entry of the provider's dump.
func (s *Snapshot) AddProvider(e store.Entry) error {
	s.pages = append(s.pages, e)
	return nil
}

func (s *Snapshot) addOrder(e store.Entry) error {
	id := e.Key.PK
	if strings.Contains(id, "#") {
		return nil // an index
	}
	if id != s.current {
		s.current, s.events = id, s.events[:0]
	}
	o := s.orders[id]
	if o == nil {
		o = &orderFacts{id: id}
		s.orders[id] = o
	}
	switch {
	case strings.HasPrefix(e.Key.SK, "event#"):
		if ev, err := eventlog.Decode(e); err == nil {
			s.events = append(s.events, ev)
		} else {
			o.logError = err.Error() // a violation of this order, not the end of the check
		}
	case e.Key.SK == "head": // behind the events, in the order of the dump
		head, err := order.DecodeHead(e.Item)
		if err != nil {
			return err
		}
		s.fold(o, head)
	}
	return nil
}

// fold holds the log of an order against its head.
func (s *Snapshot) fold(o *orderFacts, head order.State) {
	o.head = head
	o.status, o.hash, o.version = head.Status, head.Hash, head.Version
	o.terminal, o.needsReview, o.totalCents = head.Terminal(), head.NeedsReview, head.TotalCents
	o.execution = o.id
	if head.Redrives > 0 {
		o.execution = fmt.Sprintf("%s-r%d", o.id, head.Redrives)
	}
	o.lines = map[string]int64{}
	if o.logError != "" {
		return
	}
	if err := eventlog.Verify(s.events); err != nil {
		o.logError = err.Error()
		return
	}
	folded, err := order.Fold(s.events)
	if err != nil {
		o.logError = err.Error()
		return
	}
	if folded != head {
		o.logError = fmt.Sprintf("the head says %+v, the log %+v", head, folded)
		return
	}
	created, err := order.DecodeCreated(s.events[0])
	if err != nil {
		o.logError = err.Error()
		return
	}
	var total int64
	for _, l := range created.Lines {
		o.lines[l.ProductID] += l.Quantity
		total += l.Quantity * l.UnitPriceCents
	}
	if total != created.TotalCents {
		o.logError = fmt.Sprintf("the lines cost %d, the total is %d", total, created.TotalCents)
	}
}

func (s *Snapshot) addStock(e store.Entry) error {
	if e.Key.SK != "stock" || strings.Contains(e.Key.PK, "#") {
		return nil
	}
	st, err := inventory.DecodeStock(e.Item)
	if err != nil {
		return err
	}
	s.stock[e.Key.PK] = stockFacts{st.Initial, st.Restocked, st.Available, st.Held, st.Sold}
	return nil
}

func (s *Snapshot) addHold(e store.Entry) error {
	if e.Key.SK != "hold" {
		return nil
	}
	h, err := inventory.DecodeHold(e.Item)
	if err != nil {
		return err
	}
	facts := holdFacts{state: h.State, lines: map[string]int64{}, createdAt: h.CreatedAt}
	for _, l := range h.Lines {
		facts.lines[l.ProductID] += l.Quantity
	}
	s.holds[e.Key.PK] = facts
	return nil
}

func (s *Snapshot) addPayment(e store.Entry) error {
	row, err := payment.DecodeRow(e)
	if err != nil {
		return err
	}
	switch row.State {
	case payment.Capturing, payment.Cancelling, payment.Refunding:
		s.payments[e.Key.PK] = paymentUnknown
	default:
		s.payments[e.Key.PK] = paymentFinal
	}
	return nil
}

func (s *Snapshot) addExecution(e store.Entry) {
	if strings.HasPrefix(e.Key.PK, "open#") {
		s.indexed[e.Key.SK] = true
		return
	}
	if e.Key.SK != "head" {
		return
	}
	s.executions[e.Key.PK] = true
	if e.Item.Str("status") == "RUNNING" {
		s.running[e.Key.PK] = true
		id, _, _ := strings.Cut(e.Key.PK, "-r") // an order id is ord-<ULID>: no -r in it
		s.open[id] = true
	}
}

func (s *Snapshot) addMessage(e store.Entry) {
	id, _, _ := strings.Cut(e.Item.Str("id"), ".")
	if strings.HasSuffix(e.Key.PK, "#dead") {
		s.dead[id] = true
		return
	}
	s.queued[id] = true
}

func (s *Snapshot) addRecord(e store.Entry) {
	if notification.DecodeRecord(e).Delivered() {
		s.notified[e.Key.PK] = true
	}
}

// A ledger is what the provider's book says of an order at some time.
type ledger struct {
	captures           int
	captured, refunded int64
}

// ledger reads the provider's book as of a time: a late capture that is due by then counts.
func (s *Snapshot) ledger(orderID string, now time.Time) ledger {
	a := s.book(now)[orderID]
	return ledger{captures: a.Captures, captured: a.CapturedCents, refunded: a.RefundedCents}
}

func (s *Snapshot) book(now time.Time) map[string]provider.Account {
	if book, ok := s.accounts[now]; ok {
		return book
	}
	book := map[string]provider.Account{}
	reader := provider.Books{Now: now, Each: func(a provider.Account) error {
		book[a.OrderID] = a
		return nil
	}}
	for _, e := range s.pages {
		if err := reader.Add(e); err != nil {
			book[e.Key.PK] = provider.Account{OrderID: e.Key.PK, Captures: -1}
		}
	}
	_ = reader.Close() // Each never fails, and an account without an intent is the provider's own error, counted above
	s.accounts[now] = book
	return book
}

// forever is after every late capture: at rest, even those that have not come yet count.
func (s *Snapshot) forever() time.Time { return time.Unix(1<<40, 0).UTC() }

// charged are the orders that the provider has captured money for, without those whose payment was begun since the snapshot was taken:
// the provider's dump is the later one, and what was ordered between the two is not in ours.
func (s *Snapshot) charged(taken time.Time) []string {
	book := s.book(s.forever())
	var ids []string
	for _, id := range sortedKeys(book) {
		a := book[id]
		since := len(a.Entries) > 0 && a.Entries[0].At.UnixMilli() >= taken.UnixMilli()
		if a.Captures > 0 && !since {
			ids = append(ids, id)
		}
	}
	return ids
}
