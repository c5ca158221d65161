package stagetest

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A local is the saga on flow, in a bubble of testing/synctest: there its pauses take no time.
type local struct {
	t            *testing.T
	p            *parity
	ours, theirs *memstore.Store
	keys         *saga.Keys
	contacts     pii.Keys
	products     []string
	living       sync.WaitGroup // of the processes
	cancel       func()

	mu       sync.Mutex
	app      *app.App      // of the process that lives
	dead     chan struct{} // closed when it does no more
	first    string        // the name of the attempt that the trouble is for
	happened bool
	deaths   int
}

// theOrder is the correlation id of the scenario's order.
const theOrder = "corr-1"

// runOnFlow brings an order through the scenario in this process.
func (p *parity) runOnFlow(t *testing.T) (went passage) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, p)
		defer l.stop()
		id := l.place(order.PlaceRequest{PaymentMethod: p.method, CorrelationID: theOrder, Lines: l.lines()})
		if l.executed(id) != asl.StatusSucceeded {
			execution, err := l.now().Orders.Redrive(t.Context(), id, "it works now", "ops", "corr-2")
			if err != nil {
				t.Fatal(err)
			}
			l.executed(execution)
		}
		books := library{l.ours, l.theirs, l.now().Engine.Describe}
		went = books.passage(t, id, l.products, p.meanwhile.state)
		went.deaths = l.deaths
	})
	return went
}

func newLocal(t *testing.T, p *parity) *local {
	t.Helper()
	l := &local{t: t, p: p, ours: memstore.New(memstore.Options{}), theirs: memstore.New(memstore.Options{}), contacts: pii.NewMemoryKeys()}
	var err error
	if l.keys, err = saga.NewKeys("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))}); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(t.Context())
	l.start(ctx)
	pieces := int64(inStock)
	for range p.products() {
		id := unique("P")
		l.products = append(l.products, id)
		if _, _, err := l.app.Inventory.Put(ctx, inventory.PutProduct{ProductID: id, Name: "Of a test", UnitPriceCents: 999, Stock: &pieces}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// start is a process over what is stored.
func (l *local) start(ctx context.Context) {
	log := slog.New(slog.DiscardHandler)
	l.dead = make(chan struct{})
	a, err := app.New(app.Config{
		Store: mortal{l.ours, l.dead}, Provider: l.theirs, SagaKeys: l.keys, ContactKeys: l.contacts, Sender: sender.NewLog(log), NoContact: sender.NewLog(log),
		Task:  func(name string, do saga.Handler) saga.Handler { return l.task(ctx, name, do) },
		Apart: l.p.apart(), Rand: rand.New(rand.NewPCG(retriesSeed, 1)), Log: log,
	})
	if err != nil {
		l.t.Error(err)
		return
	}
	l.app = a
	l.living.Go(func() {
		if err := a.Run(ctx); err != nil {
			l.t.Error(err)
		}
	})
}

func (l *local) stop() {
	l.cancel()
	l.living.Wait()
}

// now is the process that lives.
func (l *local) now() *app.App {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.app
}

// kill ends the process and starts another, which comes to the same attempt again: that one lives.
func (l *local) kill(ctx context.Context) (died bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaths > 0 {
		return false
	}
	l.deaths++
	close(l.dead)
	l.start(ctx)
	return true
}

// A mortal is the store as a process knows it: what it asks when it is dead has no answer.
type mortal struct {
	store.Store
	dead <-chan struct{}
}

func (m mortal) died(ctx context.Context) bool {
	select {
	case <-m.dead:
		<-ctx.Done()
		return true
	default:
		return false
	}
}

func (m mortal) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	if m.died(ctx) {
		return nil, ctx.Err()
	}
	return m.Store.Get(ctx, key, c)
}

func (m mortal) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	if m.died(ctx) {
		return nil, ctx.Err()
	}
	return m.Store.GetMany(ctx, keys, c)
}

func (m mortal) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if m.died(ctx) {
		return nil, ctx.Err()
	}
	return m.Store.Range(ctx, q)
}

func (m mortal) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if m.died(ctx) {
		return ctx.Err()
	}
	return m.Store.Update(ctx, fn)
}

// retriesSeed makes the pauses between seven attempts to charge shorter than the lease of the first, 15 s in all. By chance they are as often longer: then the
// charge is taken over, and neither way is wrong. The emulator makes no pauses.
const retriesSeed = 4

// apart reports whether the scenario is about a commit that a task makes alone. flow makes several tasks' together, as long as nothing
// is said against it.
func (p *parity) apart() bool {
	return p.meanwhile.what != nothing || slices.Contains([]kind{replyLost, messageUnsent, killedBefore}, p.trouble.kind)
}

func (l *local) lines() (lines []order.RequestLine) {
	for _, of := range l.p.basket() {
		lines = append(lines, order.RequestLine{ProductID: l.products[of.product], Quantity: int64(of.pieces)})
	}
	return lines
}

func (l *local) place(r order.PlaceRequest) (id string) {
	r.CustomerID, r.Principal = "cust-1", "p"
	placed, err := l.now().Orders.Place(context.Background(), r)
	if err != nil {
		l.t.Error(err)
	}
	return placed.OrderID
}

// task makes the scenario's trouble, and has happen what happens meanwhile. life is the process's.
func (l *local) task(life context.Context, name string, do saga.Handler) saga.Handler {
	is := func(state string, in saga.TaskInput) bool {
		return in.Input.CorrelationID == theOrder && steps[state].task == name && steps[state].event == in.Event
	}
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		if is(l.p.meanwhile.state, in) && l.once() {
			l.happens(ctx, in.Input.OrderID)
		}
		if !is(l.p.trouble.state, in) || !l.troubled(in.Attempt) {
			return do(ctx, in)
		}
		return l.trouble(life, ctx, in, do)
	}
}

// trouble is an attempt that the trouble is for.
func (l *local) trouble(life, ctx context.Context, in saga.TaskInput, do saga.Handler) (store.Effect, error) {
	kind := l.p.trouble.kind
	switch kind {
	case storeAway:
		return store.Effect{}, fault.New(fault.Transient, "the store is away")
	case commitRefused:
		return store.Effect{}, fault.New(fault.Internal, "the store will not take it")
	case killedBefore:
		if l.kill(life) {
			<-life.Done()
			return store.Effect{}, life.Err()
		}
	}
	effect, err := do(ctx, in)
	if err != nil {
		return effect, err
	}
	switch kind {
	case replyRecovered, killedBefore:
		return effect, nil
	case killedAfter:
		effect.Committed = func() { l.kill(life) }
		return effect, nil
	case replyLost, messageUnsent:
		if _, err := store.Commit(ctx, l.ours, effect); err != nil {
			return store.Effect{}, err
		}
	}
	return store.Effect{}, fault.New(fault.Transient, "nobody knows what became of it")
}

func (l *local) once() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.happened
	l.happened = true
	return first
}

// troubled reports whether the trouble is for the attempt. flow may call one twice: first to commit it with the task before it.
func (l *local) troubled(attempt string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = attempt
	}
	return l.p.trouble.every || attempt == l.first
}

// happens does what happens meanwhile.
func (l *local) happens(ctx context.Context, orderID string) {
	var err error
	switch l.p.meanwhile.what {
	case nothing:
	case customerCancels:
		_, err = l.now().Orders.Cancel(ctx, orderID, order.CancelRequest{Actor: "cust-1"})
	case otherBuysAll:
		other := l.place(order.PlaceRequest{PaymentMethod: provider.Visa, Lines: []order.RequestLine{{ProductID: l.products[0], Quantity: inStock}}})
		_, err = l.now().Orders.Wait(ctx, other)
	case circuitOpens:
		err = l.now().Breakers[app.ChargeBreaker].Trip(ctx)
	case captureComesLate:
		captured := time.NewTimer(2 * time.Second) // nine after the call, which was given up after eight
		defer captured.Stop()
		<-captured.C
	}
	if err != nil {
		l.t.Error(err)
	}
}

// executed waits for the end of an execution.
func (l *local) executed(execution string) asl.Status {
	l.t.Helper()
	status := asl.StatusRunning
	eventually(l.t, "the execution "+execution+" has ended", func() bool {
		ctx, cancel := context.WithTimeout(l.t.Context(), time.Second) // of a process that dies meanwhile
		defer cancel()
		if now, err := l.now().Engine.Status(ctx, execution); err == nil {
			status = now
		}
		return status != asl.StatusRunning
	})
	return status
}

// TestTheScenariosOnFlow is the half that needs no emulator.
func TestTheScenariosOnFlow(t *testing.T) {
	for i := range parities {
		p := &parities[i]
		t.Run(p.rule, func(t *testing.T) {
			went, want := p.runOnFlow(t), cmp.Or(p.onFlow, p.want)
			if went.order() != want {
				t.Errorf("it ends %s, want %s, by %v", went.order(), want, went.states)
			}
		})
	}
}
