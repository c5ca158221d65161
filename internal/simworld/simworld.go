// Package simworld runs the whole system (services, saga, engine, queue, the provider) in one single-threaded world with a
// seeded clock, and breaks it: the process dies before a write, after it, or the write's reply is lost, at the n-th write or call to
// the provider. After every commit the invariants of the house are checked, and once more when all is at rest.
//
// What is durable survives a crash: our store, the provider's ledger, the keys. What the process remembered is gone: a crash
// discards every object and wires new ones over the same stores. The client behaves as a client should: it repeats
// a call that got no answer, with the same idempotency key, and believes what it was told.
//
// Nothing runs in parallel and all chance has one seed, so the same world gives the same trace, and a failure
// is a test case. The clock is testing/synctest's: a wait of three days takes no time.
package simworld

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// The bounds of a world: a run that goes beyond them is a livelock, which is a failure of its own.
const (
	maxSteps = 20_000
	maxTime  = 14 * 24 * time.Hour // a state whose retries end in "execution fails" gives up after about a day
)

// Config of a World.
type Config struct {
	Seed   uint64
	Faults map[int]Fault // by point, from 1
	// Failing is a task that always answers "try again", as a function that cannot be reached.
	Failing string
	// LateAfter is when the provider makes a late capture; 0: its default.
	LateAfter time.Duration
	// Apart commits each step of the saga on its own, as on AWS, where the single binary commits several together.
	Apart bool
}

// World is the system and its surroundings. It is made inside a synctest bubble and used by one goroutine.
type World struct {
	t      testing.TB
	config Config
	plan   *plan
	rnd    *rand.Rand
	mail   *mailbox

	ours, theirs *memstore.Store // what survives
	sagaKeys     *saga.Keys
	contactKeys  pii.Keys

	app     *app.App // what does not
	crashes int
	steps   int

	handlers     map[string]saga.Handler // of the process that runs
	calls        []call                  // of tasks, for duplicates
	acknowledged map[string]string       // idempotency key -> the body that was answered

	mu         sync.Mutex // what follows is also written by tasks that were given up
	memory     invariant.Memory
	violations []string
	lines      []string // the trace
}

// New makes a world without products. Call it inside synctest.Test.
func New(t testing.TB, c Config) *World {
	t.Helper()
	keys, err := saga.NewKeys("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	w := &World{
		t: t, config: c, rnd: rand.New(rand.NewPCG(c.Seed, 1)),
		ours: memstore.New(memstore.Options{StaleReads: true}), theirs: memstore.New(memstore.Options{}),
		sagaKeys: keys, contactKeys: pii.NewMemoryKeys(), acknowledged: map[string]string{},
		handlers: map[string]saga.Handler{},
	}
	w.plan = &plan{faults: c.Faults, trace: w.tracef, again: w.duplicate}
	w.mail = &mailbox{plan: w.plan, sent: map[string]int{}}
	w.start()
	return w
}

// start wires a process over what survived.
func (w *World) start() {
	a, err := app.New(app.Config{
		Store:       &faultyStore{Store: w.ours, plan: w.plan, commit: w.checkCommit},
		Provider:    w.theirs,
		SagaKeys:    w.sagaKeys,
		ContactKeys: w.contactKeys,
		Sender:      w.mail,
		NoContact:   w.mail,
		Simulator:   provider.Config{LateAfter: w.config.LateAfter, Sleep: sleep},
		Gateway:     func(g payment.Gateway) payment.Gateway { return &faultyGateway{g, w.plan} },
		Task:        w.task,
		Parse:       parsed,
		Apart:       w.config.Apart,
		Now:         w.now,
		Rand:        rand.New(rand.NewPCG(w.rnd.Uint64(), w.rnd.Uint64())),
		Log:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = a
}

// machines are those that were parsed, by their definition: a process starts often here.
var machines sync.Map

func parsed(definition []byte) (*asl.Machine, error) {
	if m, ok := machines.Load(string(definition)); ok {
		return m.(*asl.Machine), nil
	}
	m, err := aslrun.Parse(definition)
	if err == nil {
		machines.Store(string(definition), m)
	}
	return m, err
}

// A call is one delivery of a task.
type call struct {
	name string
	in   saga.TaskInput
}

// task is a task of the saga as the world lets it work. Each call is remembered: it may be delivered again. One that was given up
// while it was on its way commits what it did, as a function would that runs on after its invocation has timed out.
//
// A task that is committed together with the one before it is staged before that one is durable, as no delivery ever is. So where steps
// are not apart, a call is remembered when its commit is done.
func (w *World) task(name string, h saga.Handler) saga.Handler {
	w.handlers[name] = h
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		if w.config.Apart {
			w.calls = append(w.calls, call{name, in})
		}
		if name == w.config.Failing {
			return store.Effect{}, fault.New(fault.Transient, "simulated: %s cannot be reached", name)
		}
		effect, err := h(ctx, in)
		if err == nil && ctx.Err() != nil {
			_, late := store.Commit(context.WithoutCancel(ctx), w.ours, effect)
			w.tracef("given up, and done all the same: %s of %s: %v", name, in.Input.OrderID, late)
			w.checkCommit()
		}
		if committed := effect.Committed; !w.config.Apart {
			effect.Committed = func() {
				w.calls = append(w.calls, call{name, in})
				if committed != nil {
					committed()
				}
			}
		}
		return effect, err
	}
}

// duplicate delivers an earlier task once more, as a function is that was invoked long ago and only now runs: another attempt, with a
// commit of its own. Whatever it answers, nobody hears it.
func (w *World) duplicate() {
	if len(w.calls) == 0 {
		return
	}
	c := w.calls[w.rnd.IntN(len(w.calls))]
	c.in.Attempt += ".again"
	w.plan.enter(true)
	defer w.plan.enter(false)
	effect, err := w.handlers[c.name](context.Background(), c.in)
	if err == nil {
		_, err = store.Commit(context.Background(), w.ours, effect)
	}
	w.tracef("again: %s of %s: %v", c.name, c.in.Input.OrderID, err)
	w.checkCommit()
}

// now is the bubble's clock, moved by the seed so that no test depends on a date.
func (w *World) now() time.Time {
	return time.Now().Add(time.Duration(w.config.Seed%1000) * time.Hour)
}

// survive calls fn; if the process dies in it, a new one is started and survive reports false.
func (w *World) survive(fn func()) (survived bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, ok := v.(crash); !ok {
			panic(v)
		}
		w.crashes++
		w.tracef("restart")
		w.start()
		survived = false
	}()
	fn()
	return true
}

// Product puts a product on the shelf.
func (w *World) Product(id string, priceCents, stock int64) {
	w.t.Helper()
	err := w.call("product "+id, func(ctx context.Context) error {
		_, _, err := w.app.Inventory.Put(ctx, inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: priceCents, Stock: &stock})
		if fault.Is(err, fault.ProductExists) || fault.Is(err, fault.ValidationFailed) {
			return nil // the first call was done, and its reply lost
		}
		return err
	})
	if err != nil {
		w.violate("product %s: %v", id, err)
	}
}

// call does what a client does: it repeats a call that got no answer, or "try again", a bounded number of times.
func (w *World) call(what string, fn func(ctx context.Context) error) error {
	for range 50 {
		var err error
		if !w.survive(func() { err = fn(context.Background()) }) {
			continue
		}
		if err == nil || !fault.Retryable(err) {
			w.tracef("client: %s: %v", what, err)
			return err
		}
		pause(100 * time.Millisecond)
	}
	w.violate("client: %s got no answer in 50 tries", what)
	return errors.New("no answer")
}

// Place places an order under an idempotency key and returns its id; "" and the kind if it was refused.
func (w *World) Place(key, method string, lines ...order.RequestLine) (id string, refused fault.Kind) {
	w.t.Helper()
	var placed order.Placed
	request := order.PlaceRequest{
		CustomerID: "cust-1", Lines: lines, PaymentMethod: method, IdempotencyKey: key, Principal: "test", OpenLimit: 1000,
		CorrelationID: "corr-" + key, Contact: &order.Contact{Email: "customer@example.test"},
	}
	err := w.call("place "+key, func(ctx context.Context) (err error) {
		placed, err = w.app.Orders.Place(ctx, request)
		return err
	})
	if err != nil {
		return "", fault.KindOf(err)
	}
	if before, again := w.acknowledged[key]; again && before != string(placed.Body) {
		w.violate("I8: key %s was answered %s and then %s", key, before, placed.Body)
	}
	w.acknowledged[key] = string(placed.Body)
	return placed.OrderID, ""
}

// Cancel asks for an order's cancellation. That it comes too late is no failure.
func (w *World) Cancel(id string) {
	_ = w.call("cancel "+id, func(ctx context.Context) error {
		_, err := w.app.Orders.Cancel(ctx, id, order.CancelRequest{CorrelationID: "corr-cancel", Actor: "customer"})
		return err
	})
}

// Step does one due thing, or lets the clock jump to the next. It reports false when nothing will be due any more.
func (w *World) Step() bool {
	more := true
	if !w.survive(func() { more = w.step() }) {
		return true
	}
	return more
}

func (w *World) step() bool {
	ctx := context.Background()
	var next time.Time
	for _, one := range []func(context.Context) (bool, time.Time, error){w.app.Engine.RunOne, w.app.Notifications.RunOne} {
		ran, wake, err := one(ctx)
		if ran {
			return true
		}
		if err != nil { // a fault at a read of the queue, or of the index: it is tried again
			wake = w.now().Add(100 * time.Millisecond)
		}
		if !wake.IsZero() && (next.IsZero() || wake.Before(next)) {
			next = wake
		}
	}
	if next.IsZero() {
		return false
	}
	pause(max(next.Sub(w.now()), time.Millisecond))
	return true
}

// RunUntilIdle works until nothing will be due any more, then looks after what only the sweeper and the expirer would find, and
// checks the invariants at rest.
func (w *World) RunUntilIdle() {
	w.t.Helper()
	began := w.now()
	for w.Step() {
		if w.steps++; w.steps > maxSteps || w.now().Sub(began) > maxTime {
			w.violate("livelock: %d steps and %s, and still not at rest", w.steps, w.now().Sub(began))
			return
		}
	}
	if late := w.snapshot().Check(w.now(), true).LateHolds; late > 0 && !w.plan.late {
		w.violate("I5: %d orders have ended and still hold stock", late)
	}
	w.ours.Settle()         // replicas lag behind for seconds, not for ever
	pause(16 * time.Minute) // past the age at which holds are asked about
	for _, work := range []struct {
		what string
		fn   func(context.Context) error
	}{
		{"sweep", func(ctx context.Context) error { _, err := w.app.Orders.Sweep(ctx); return err }},
		{"expire", func(ctx context.Context) error { _, err := w.app.Inventory.Expire(ctx); return err }},
	} {
		if err := w.call(work.what, work.fn); err != nil {
			w.violate("%s: %v", work.what, err)
		}
	}
	for w.Step() {
		if w.steps++; w.steps > maxSteps {
			w.violate("livelock after the sweep")
			return
		}
	}
	w.checkRest()
}

// Status is what a client sees of an order.
func (w *World) Status(id string) string {
	w.t.Helper()
	var view order.View
	err := w.call("get "+id, func(ctx context.Context) (err error) {
		view, err = w.app.Orders.Get(ctx, id, order.ViewQuery{})
		return err
	})
	if err != nil {
		w.violate("I12: GET of the acknowledged order %s: %v", id, err)
	}
	return view.Status
}

// Crashed reports whether any planned fault has happened.
func (w *World) Crashed() bool { return w.plan.fired > 0 }

// Points is how many points the world has passed.
func (w *World) Points() int { return w.plan.points }

// Sent is how many times the relay got each message.
func (w *World) Sent() map[string]int { return w.mail.sent }

// Violations are what was found, with the trace that led there behind the first.
func (w *World) Violations() []string { return w.violations }

// Trace is what happened, a line an event.
func (w *World) Trace() string { return strings.Join(w.lines, "\n") }

// TraceHash is a short name for the trace, to compare two worlds by.
func (w *World) TraceHash() uint64 {
	h := fnv.New64a()
	for _, line := range w.lines {
		_, _ = h.Write([]byte(line))
	}
	return h.Sum64()
}

func (w *World) tracef(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%s ", w.now().UTC().Format("15:04:05.000"))+fmt.Sprintf(format, args...))
}

func (w *World) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tracef("VIOLATION %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, text)
}

// snapshot is both books as of now; nobody writes meanwhile.
func (w *World) snapshot() *invariant.Snapshot {
	s := w.memory.New()
	for _, book := range []struct {
		from *memstore.Store
		add  func(store.Entry) error
	}{{w.ours, s.Add}, {w.theirs, s.AddProvider}} {
		if err := book.from.Dump(context.Background(), book.add); err != nil {
			w.violate("a book that cannot be read: %v", err)
		}
	}
	return s
}

func (w *World) checkCommit() {
	for _, v := range w.snapshot().Check(w.now(), false).Violations {
		w.violate("after a commit: %s", v)
	}
}

func (w *World) checkRest() {
	report := w.snapshot().Check(w.now(), true)
	for _, v := range report.Violations {
		w.violate("at rest: %s", v)
	}
	if report.Open > 0 {
		w.violate("at rest: %d executions are open", report.Open)
	}
	for key, body := range w.acknowledged {
		w.checkAcknowledged(key, body)
	}
	for id, n := range w.mail.sent {
		if n == 0 {
			w.violate("I9: message %s", id)
		}
	}
}

// checkAcknowledged holds I7: what a client was told is there.
func (w *World) checkAcknowledged(key, body string) {
	id, _, _ := strings.Cut(strings.TrimPrefix(body[strings.Index(body, "ord-"):], ""), `"`)
	it, err := w.ours.Get(context.Background(), store.Key{Table: order.Table, PK: id, SK: "head"}, store.Strong)
	if err != nil || it == nil {
		w.violate("I7: the order %s of key %s was acknowledged and is gone", id, key)
	}
}
