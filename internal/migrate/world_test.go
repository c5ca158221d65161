package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A shop is the whole system over stores in memory, in a bubble of testing/synctest. Tasks can be made to stand still for an order, so that a
// shop that is stopped has orders open at every state.
type shop struct {
	*app.App
	t            *testing.T
	letter       string // tells one shop's keys from another's
	ours, theirs *memstore.Store
	sagaKeys     *saga.Keys
	contacts     pii.Keys
	chance       *rand.Rand
	requests     map[string]order.PlaceRequest // by order
	answers      map[string]string             // by order

	mu     sync.Mutex
	still  map[string]string // order -> task, with the event of order.record: it always answers "try again"
	broken map[string]string // order -> task: it fails for good
	mail   []string          // addresses that were written to
	mute   bool              // the relay refuses
}

func newShop(t *testing.T, letter string, contacts func(store.Store) pii.Keys) *shop {
	t.Helper()
	s := &shop{
		t: t, letter: letter, ours: memstore.New(memstore.Options{}), theirs: memstore.New(memstore.Options{}),
		still: map[string]string{}, broken: map[string]string{}, requests: map[string]order.PlaceRequest{}, answers: map[string]string{},
	}
	var err error
	if s.sagaKeys, err = saga.NewKeys("k"+letter, map[string][]byte{"k" + letter: []byte(strings.Repeat(letter, 32))}); err != nil {
		t.Fatal(err)
	}
	s.contacts, s.chance = contacts(s.ours), rand.New(rand.NewPCG(1, uint64(letter[0])))
	s.wire()
	return s
}

// wire is a new process over what is stored.
func (s *shop) wire() {
	s.t.Helper()
	var err error
	s.App, err = app.New(app.Config{
		Store: s.ours, Provider: s.theirs, SagaKeys: s.sagaKeys, ContactKeys: s.contacts, Sender: s, NoContact: s,
		Rand: rand.New(rand.NewPCG(s.chance.Uint64(), s.chance.Uint64())), Log: slog.New(slog.DiscardHandler), Task: s.task, BreakerFailures: 1 << 20,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func memoryKeys(store.Store) pii.Keys  { return pii.NewMemoryKeys() }
func storeKeys(s store.Store) pii.Keys { return pii.NewStoreKeys(s) }

func (*shop) Name() string { return "relay" }

func (s *shop) Send(_ context.Context, e notification.Email) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		return fault.New(fault.Transient, "the relay is away")
	}
	s.mail = append(s.mail, e.To)
	return nil
}

func (s *shop) task(name string, h saga.Handler) saga.Handler {
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		full := strings.TrimSpace(name + " " + in.Event)
		s.mu.Lock()
		still, broken := s.still[in.Input.OrderID], s.broken[in.Input.OrderID]
		s.mu.Unlock()
		switch full {
		case still:
			return store.Effect{}, fault.New(fault.Transient, "standing still")
		case broken:
			return store.Effect{}, fault.New(fault.Internal, "this build cannot do %s", name)
		}
		return h(ctx, in)
	}
}

func (s *shop) product(id string, stock int64) {
	s.t.Helper()
	if _, _, err := s.Inventory.Put(s.t.Context(), inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: 1000, Stock: &stock}); err != nil {
		s.t.Fatal(err)
	}
}

// place places an order under a key of its own, while nothing runs.
func (s *shop) place(method, product string, pieces int64) (id string) {
	s.t.Helper()
	n := len(s.requests)
	r := order.PlaceRequest{
		CustomerID: fmt.Sprintf("cust-%d", n%5), Lines: []order.RequestLine{{ProductID: product, Quantity: pieces}}, PaymentMethod: method,
		IdempotencyKey: fmt.Sprintf("key-%s-%d", s.letter, n), Principal: "p", CorrelationID: "corr-1", OpenLimit: 1000, Fingerprint: [32]byte{byte(n)},
	}
	if n%5 != 4 {
		r.Contact = &order.Contact{Email: r.CustomerID + "@example.com"}
	}
	p, err := s.Orders.Place(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.requests[p.OrderID], s.answers[p.OrderID] = r, string(p.Body)
	return p.OrderID
}

// stop lets an order stand still at a task; fail lets it fail there.
func (s *shop) stop(id, task string) string { s.still[id] = task; return id }
func (s *shop) fail(id, task string) string { s.broken[id] = task; return id }

// works runs the shop for as long, and leaves it stopped, with a new process wired over it.
func (s *shop) works(d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		s.t.Error(err)
	}
	s.wire()
}

// stands are the states at which orders stand still, by the task that does it and the card that brings an order there.
var stands = []struct{ state, task, method string }{
	{"ReserveStock", "inventory.reserve", provider.Visa},
	{"RecordReservation", "order.record STOCK_RESERVED", provider.Visa},
	{"ChargePayment", "payment.charge", provider.Visa},
	{"ResolvePayment", "payment.resolve", provider.Visa},
	{"ConfirmOrder", "order.confirm", provider.Visa},
	{"CommitReservation", "inventory.commit", provider.Visa},
	{"NotifyCustomer", "order.notify", provider.Visa},
	{"RecordPaymentFailure", "order.record PAYMENT_FAILED", provider.ChargeDeclined},
	{"ReleaseStock", "inventory.release", provider.ChargeDeclined},
	{"CompensateOrder", "order.compensate", provider.ChargeDeclined},
}

// outgrown is a stopped shop with orders of all kinds: ended in each way, open at each state, not begun, in review before and after its end, resumed,
// with dead letters, messages that wait, and a customer who was erased.
func outgrown(t *testing.T) *shop {
	s := newShop(t, "a", memoryKeys)
	s.product("A", 1000)
	s.product("LAST", 1)
	s.mute = true
	s.place(provider.Visa, "A", 1)
	s.place(provider.ChargeDeclined, "A", 2)
	s.works(4 * time.Hour) // their messages die
	s.mute = false
	cancelled := s.stop(s.place(provider.Visa, "A", 1), "order.confirm")
	s.works(2 * time.Second)
	if _, err := s.Orders.Cancel(t.Context(), cancelled, order.CancelRequest{Actor: "p", CorrelationID: "corr-3"}); err != nil {
		t.Fatal(err)
	}
	s.stop(cancelled, "payment.refund")
	s.works(20 * time.Second)
	for range 2 { // one of them loses the last piece
		s.stop(s.place(provider.Visa, "LAST", 1), "order.fail")
	}
	for _, at := range stands {
		if at.state == "ChargePayment" {
			continue // later: its six retries may be over in six seconds, if chance wants it
		}
		id := s.stop(s.place(at.method, "A", 1), at.task)
		if at.state == "ResolvePayment" {
			s.fail(id, "payment.charge")
		}
	}
	s.fail(s.place(provider.Visa, "A", 1), "order.confirm")
	s.fail(s.place(provider.Visa, "A", 1), "inventory.commit")
	redriven := map[string]string{ // by the task at which its second execution stands still
		s.fail(s.place(provider.Visa, "A", 1), "order.confirm"): "order.confirm",
		s.fail(s.place(provider.Visa, "A", 1), "order.confirm"): "inventory.commit",
	}
	s.works(2 * time.Second)
	for id, task := range redriven {
		s.broken[id] = ""
		s.stop(id, task)
		if _, err := s.Orders.Redrive(t.Context(), id, "repaired", "op", "corr-2"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Orders.Erase(t.Context(), "cust-1", "op"); err != nil {
		t.Fatal(err)
	}
	s.works(2 * time.Second)
	s.mute = true
	s.stop(s.place(provider.Visa, "A", 1), "payment.charge")
	s.place(provider.Visa, "A", 1)
	s.works(2 * time.Second) // its message waits
	s.mute = false
	s.place(provider.Visa, "A", 3) // not begun
	s.still, s.broken = map[string]string{}, map[string]string{}
	return s
}

// A stage is where the shop moves to: its stores, what plays Step Functions, and what it was told.
type stage struct {
	*shop
	point  func() (before, after error) // of each write, send and start; nil: none fails
	then   func() error                 // follows each that was done, and is its reply; nil: point's
	left   bool                         // the source is
	inputs map[string]any               // by execution: what it began with
	starts int
	sends  int  // messages and dead letters
	runs   bool // executions are run by the stage's engine
}

func newStage(t *testing.T) *stage {
	return &stage{shop: newShop(t, "b", storeKeys), inputs: map[string]any{}}
}

// A flakyStore is the stage's store, whose writes may fail.
type flakyStore struct {
	store.Store
	s *stage
}

func (f flakyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	return f.s.at(func() error { return f.Store.Update(ctx, fn) })
}

func (s *stage) at(do func() error) error {
	var before, after error
	if s.point != nil {
		before, after = s.point()
	}
	if before != nil {
		return before
	}
	if err := do(); err != nil {
		return err
	}
	if s.then != nil {
		return s.then()
	}
	return after
}

// begin is Step Functions' StartExecution: once for a name, with one input.
func (s *stage) begin(ctx context.Context, start order.Start) error {
	return s.at(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.left {
			return errors.New("a start before the source was left")
		}
		input, err := s.sagaKeys.Start(start)
		if err != nil {
			return err
		}
		if there, ok := s.inputs[start.Execution]; ok {
			if !reflect.DeepEqual(there, any(input)) {
				return fmt.Errorf("%s was started with another input", start.Execution)
			}
			return nil
		}
		if s.runs {
			if err := s.ours.Update(ctx, func(tx *store.Tx) error { return s.Engine.Stage(tx, start.Execution, input) }); err != nil {
				return err
			}
			s.Engine.Begin(start.Execution)
		}
		s.inputs[start.Execution] = any(input)
		s.starts++
		return nil
	})
}

func (s *stage) sent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends++
}

func (s *stage) target() Target {
	return Target{
		Store: flakyStore{s.ours, s}, Provider: flakyStore{s.theirs, s}, Start: s.begin, Walk: ByLists(s.ours),
		Send: func(ctx context.Context, id string, body []byte) error {
			return s.at(func() error {
				if !s.left {
					return errors.New("a message before the source was left")
				}
				s.sent()
				return s.ours.Update(ctx, func(tx *store.Tx) error { return s.Queue.Stage(tx, id, body) })
			})
		},
		SendDead: func(ctx context.Context, l bus.DeadLetter) error {
			return s.at(func() error {
				s.sent()
				return s.ours.Update(ctx, func(tx *store.Tx) error {
					tx.Put(store.Key{Table: storebus.Table, PK: "notifications#dead", SK: l.ID}, store.Item{store.S("id", l.ID), store.B("body", l.Body)})
					return nil
				})
			})
		},
	}
}

// migrate moves the shop to the stage.
func (s *shop) migrate(to *stage, change ...func(*Config)) (Report, error) {
	c := Config{
		Source: Source{
			Ours: s.ours, Provider: s.theirs, Contacts: s.contacts, StartOf: s.Orders.StartOf, Describe: s.Engine.Describe, Left: to.left,
			Leave: func(context.Context) error { to.left = true; return nil },
		},
		Target: to.target(), Now: time.Now, Rest: func(context.Context, time.Duration) {}, batch: 20,
	}
	for _, fn := range change {
		fn(&c)
	}
	return Run(s.t.Context(), c)
}

// dump is a store's items as text, without those of a table and without the notes of a migration.
func dump(t *testing.T, s *memstore.Store, without ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := s.Dump(t.Context(), func(e store.Entry) error {
		for _, table := range without {
			if e.Key.Table == table {
				return nil
			}
		}
		if e.Key.PK != order.MigrationPK {
			all[e.Key.String()] = fmt.Sprint(e.Item)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// check holds the stage against the invariants, at rest. Executions that ended before the move were never there.
func (s *stage) check(from *shop, atRest bool) invariant.Report {
	s.t.Helper()
	books := invariant.New()
	here := map[string]bool{}
	err := s.ours.Dump(s.t.Context(), func(e store.Entry) error {
		here[e.Key.String()] = true
		return books.Add(e)
	})
	err = errors.Join(err, from.ours.DumpTable(s.t.Context(), flow.Table, "", func(e store.Entry) error {
		if _, head := flow.Decode(e); head && !here[e.Key.String()] {
			return books.Add(store.Entry{Key: e.Key, Item: e.Item.With(store.S("status", "SUCCEEDED"))})
		}
		return nil
	}), s.theirs.Dump(s.t.Context(), books.AddProvider))
	if err != nil {
		s.t.Fatal(err)
	}
	r := books.Check(time.Now(), atRest)
	for _, v := range r.Violations {
		s.t.Errorf("%s", v)
	}
	return r
}
