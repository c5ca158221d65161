package invariant

import (
	"fmt"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Snapshot is what the rules look at, read from one dump of our store and one of the provider's. Where both are dumped while
// orders are under way, ours has to be first: the provider is asked before we write down what it did.
type Snapshot struct {
	orders     map[string]*orderFacts
	stock      map[string]stockFacts
	holds      map[string]holdFacts
	payments   map[string]payment.Row
	unread     []Violation       // items that cannot be decoded
	products   map[string]bool   // by id: it has a name and a price
	aging      map[string]bool   // by order: the expirer will find its hold
	places     map[place]bool    // where orders are listed
	dayOf      map[string]string // by order: the day under which it is listed
	days       map[string]bool   // the list of days
	counted    map[string]int64  // by caller: how many open orders its counter says
	holding    map[string]int64  // by caller: how many rows of open orders name it
	answers    map[string]string // by the hash of an idempotency key: the order that answers it
	executions map[string]bool   // by name
	running    map[string]bool   // by name
	indexed    map[string]bool   // by name: recovery will find it
	open       map[string]bool   // by order: it has an open execution
	notified   map[string]bool   // by message: the record says that it was sent, or needs not be
	queued     map[string]bool   // by message: it waits
	dead       map[string]bool   // by message: it is a dead letter
	deleting   map[string]bool   // by order: retention is taking it away, and parts of it may be gone

	deletedBefore time.Time // orders that were made before it may have been deleted

	pages     []store.Entry // of the provider's book; they are judged by the time of the check
	accounts  map[time.Time]map[string]provider.Account
	illegible map[string]error // by order: its page of the provider's book cannot be read

	log     []store.Entry // of the order that is being read: its events, then its head
	current string
	memory  *Memory // nil: nothing is remembered

	walked *walked // nil: all of it is of one moment
}

type orderFacts struct {
	id, status, hash, execution string
	version, totalCents         int64
	terminal, needsReview       bool
	lines                       map[string]int64 // nil if the log is broken
	keyHash                     string
	logError                    string
	state                       order.State
}

// A place is where an order stands in a list.
type place struct{ list, orderID string }

// The lists: all open ones, all in review and all days are one list each, since a shard or a day too many hides nothing.
const (
	openList   = "open"
	reviewList = "review"
	dayList    = "day"
	daysList   = "days"   // not of orders: where the lists by day are
	holderList = "holder" // not of orders: the counters of those who hold open ones
)

func customerList(customerID string) string { return "customer#" + customerID }

type stockFacts struct{ initial, restocked, available, held, sold, archived int64 }

type holdFacts struct {
	state     string
	lines     map[string]int64
	createdAt time.Time
}

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
		payments: map[string]payment.Row{}, products: map[string]bool{}, aging: map[string]bool{}, places: map[place]bool{},
		dayOf: map[string]string{}, days: map[string]bool{}, counted: map[string]int64{}, holding: map[string]int64{},
		answers: map[string]string{}, executions: map[string]bool{}, running: map[string]bool{}, indexed: map[string]bool{},
		open: map[string]bool{}, notified: map[string]bool{}, queued: map[string]bool{}, dead: map[string]bool{}, deleting: map[string]bool{},
		accounts: map[time.Time]map[string]provider.Account{}, illegible: map[string]error{},
	}
}

// Add takes the next entry of our store's dump, in the dump's order. An item that cannot be decoded is a violation like any
// other: there is no error.
func (s *Snapshot) Add(e store.Entry) error {
	switch e.Key.Table {
	case order.Table:
		s.addOrder(e)
	case inventory.Table:
		s.addStock(e)
	case inventory.ReservationsTable:
		s.addHold(e)
	case payment.Table:
		s.addPayment(e)
	case idempotency.Table:
		s.addAnswer(e)
	case flow.Table:
		s.addExecution(e)
	case storebus.Table:
		s.addMessage(e)
	case notification.Table:
		s.addRecord(e)
	case retention.Table:
		s.addRetention(e)
	}
	return nil
}

// unreadable notes an item that cannot be decoded, under the rule that it was to be held against.
func (s *Snapshot) unreadable(rule string, e store.Entry, err error) {
	s.unread = append(s.unread, Violation{rule, e.Key.PK, e.Key.SK + " cannot be read: " + err.Error()})
}

// AddProvider takes the next entry of the provider's dump.
func (s *Snapshot) AddProvider(e store.Entry) error {
	s.pages = append(s.pages, e)
	return nil
}

func (s *Snapshot) addOrder(e store.Entry) {
	id := e.Key.PK
	if id == order.MigrationPK { // notes of who brought the orders here
		return
	}
	if list, rest, listed := strings.Cut(id, "#"); listed {
		s.addPlace(list, rest, e)
		return
	}
	if id != s.current {
		s.current, s.log = id, s.log[:0]
	}
	o := s.orders[id]
	if o == nil {
		o = &orderFacts{id: id}
		s.orders[id] = o
	}
	switch {
	case strings.HasPrefix(e.Key.SK, eventlog.Prefix):
		s.log = append(s.log, e)
	case e.Key.SK == "head": // behind the events, in the order of the dump
		s.log = append(s.log, e)
		if known := s.memory.recall(id, s.log); known != nil {
			s.orders[id] = known
			return
		}
		o.readLog(s.log)
		s.memory.keep(s.log, o)
	}
}

// addPlace reads an item of a list. A day too many hides nothing, so nothing is asked of one.
func (s *Snapshot) addPlace(list, rest string, e store.Entry) {
	switch list {
	case daysList:
		s.days[e.Key.SK] = true
		return
	case dayList:
		s.dayOf[e.Key.SK], _, _ = strings.Cut(rest, "#")
	case holderList:
		s.counted[rest] = order.OpenCount(e.Item)
		return
	case openList:
		if holder := order.DecodeOpenRow(e.Item).Holder; holder != "" {
			s.holding[holder]++
		}
	case reviewList:
	default:
		list = e.Key.PK
	}
	s.places[place{list, e.Key.SK}] = true
}

// readLog reads an order's events and, behind them, its head. What cannot be decoded is a violation of this order, not the end of the check.
func (o *orderFacts) readLog(log []store.Entry) {
	events := make([]eventlog.Event, 0, len(log)-1)
	for _, e := range log[:len(log)-1] {
		ev, err := eventlog.DecodeExact(e)
		if err != nil {
			o.logError = err.Error()
			continue
		}
		events = append(events, ev)
	}
	head, err := order.DecodeHead(log[len(log)-1].Item)
	if err != nil {
		o.logError = err.Error()
		return
	}
	o.fold(events, head)
}

// fold holds the log of an order against its head. If the two differ the log is believed, of which the head is a projection; a log that
// is broken leaves the head.
func (o *orderFacts) fold(events []eventlog.Event, head order.State) {
	believed := head
	defer func() { o.believe(believed) }()
	if o.logError != "" {
		return
	}
	if err := eventlog.Verify(events); err != nil {
		o.logError = err.Error()
		return
	}
	folded, err := order.Fold(events)
	if err != nil {
		o.logError = err.Error()
		return
	}
	created, err := order.DecodeCreated(events[0])
	if err != nil {
		o.logError = err.Error()
		return
	}
	if folded != head {
		o.logError = fmt.Sprintf("the head says %+v, the log %+v", head, folded)
	}
	if folded.Version >= head.Version { // else the log was cut off, and the head knows more
		believed = folded
	}
	o.keyHash, o.lines = created.KeyHash, map[string]int64{}
	var total int64
	for _, l := range created.Lines {
		o.lines[l.ProductID] += l.Quantity
		total += l.Quantity * l.UnitPriceCents
	}
	if total != created.TotalCents {
		o.logError = fmt.Sprintf("the lines cost %d, the total is %d", total, created.TotalCents)
	}
}

func (o *orderFacts) believe(st order.State) {
	o.state = st
	o.status, o.hash, o.version = st.Status, st.Hash, st.Version
	o.terminal, o.needsReview, o.totalCents = st.Terminal(), st.NeedsReview, st.TotalCents
	o.execution = order.ExecutionName(o.id, st.Redrives)
}
