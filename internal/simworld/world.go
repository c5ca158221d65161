// Package simworld runs the whole system (services, saga, engine, queue, the provider) in one single-threaded world with a
// seeded clock, and breaks it. After every commit the invariants of the house are checked, and once more when all is at rest.
//
// What can go wrong, each by the seed or as a test asks for it:
//
//   - At the n-th write or call to the provider (faults.go): the process dies before it, after it, its reply is lost, it is not done, it arrives
//     too late, an old task is delivered again in its midst, or somebody calls us in its midst.
//   - Customers and an operator (clients.go) order scarce goods, cancel, repeat and resume between any two steps.
//   - The process's clock (clock.go) is not the provider's; it is set while it runs, and is another after a restart.
//   - The provider (outages.go) is down, slow or loses its answers for a while, on and off.
//   - The disk (disk.go) is full for a while: writes are refused, or the process dies of it and cannot start.
//   - A build has a bug (tasks.go): a task fails for good until that is mended, and its orders wait for a person.
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
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// The bounds of a world: a run that goes beyond them is a livelock, which is a failure of its own.
const (
	maxSteps = 20_000
	maxTime  = 14 * 24 * time.Hour // a state whose retries end in "execution fails" gives up after about a day
	// maxRounds is how often the expirer comes round before what is still held is held for ever.
	maxRounds = 10
	// keepEvery is the pace of the keepers, as in package app.
	keepEvery = time.Minute
)

// Config of a World. Of the zero Config nothing goes wrong, and nobody comes.
type Config struct {
	Seed   uint64
	Faults map[int]Fault // by point, from 1
	// Failing is a task that always answers "try again", as a function that cannot be reached.
	Failing string
	// LateAfter is when the provider makes a late capture; 0: its default.
	LateAfter time.Duration
	// Apart commits each step of the saga on its own, as on AWS, where the single binary commits several together.
	Apart bool

	Goods   []Good // on the shelf when Live begins
	Wishes  []Wish // the orders that customers want
	Visits  []Visit
	Clock   Clock
	Outages []Outage
	Disk    []FullDisk
	Bugs    []Bug
	// Keepers has the sweeper and the expirer come round every minute, as in the single binary. Without them an execution that nobody goes on
	// with is a violation at once.
	Keepers bool
	// Abandon leaves the orders that wait for a person to wait.
	Abandon bool
}

// World is the system and its surroundings. It is made inside a synctest bubble and used by one goroutine.
type World struct {
	t      testing.TB
	config Config
	plan   *plan
	rnd    *rand.Rand
	mail   *mailbox
	clock  clock
	turns  turns
	disk   disk
	began  time.Time // by the bubble's clock, as is kept
	kept   time.Time // when the keepers came round last

	ours, theirs *memstore.Store // what survives
	sagaKeys     *saga.Keys
	contactKeys  pii.Keys

	app      *app.App // what does not
	crashes  int
	steps    int
	failures int // in a row, of what the engine and the queue begin with

	changed  time.Time               // when a circuit changed last, or the process that knows it
	refusing time.Time               // when a circuit was first seen to refuse since then
	handlers map[string]saga.Handler // of the process that runs
	calls    []call                  // of tasks, for duplicates

	acknowledged map[string]string // idempotency key -> the body that was answered
	script       []Visit           // that are to come
	waiting      []*caller         // who got no answer yet, and call again
	seen         map[string]glance // by order

	memory invariant.Memory

	mu         sync.Mutex // what follows is also written by tasks that were given up
	happened   map[string]int
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
		t: t, config: c, rnd: rand.New(rand.NewPCG(c.Seed, 1)), began: time.Now(),
		ours: memstore.New(memstore.Options{StaleReads: true}), theirs: memstore.New(memstore.Options{}),
		sagaKeys: keys, contactKeys: pii.NewMemoryKeys(), acknowledged: map[string]string{}, script: c.Visits,
		handlers: map[string]saga.Handler{}, seen: map[string]glance{}, happened: map[string]int{},
	}
	w.clock = clock{c: c.Clock, began: w.began, date: time.Duration(c.Seed%1000) * time.Hour, ahead: c.Clock.Process}
	w.disk = disk{full: c.Disk, note: w.note}
	w.plan = &plan{faults: c.Faults, note: w.note, trace: w.tracef, pause: w.pause, turns: &w.turns, again: w.duplicate, meddle: w.meddle}
	w.mail = &mailbox{plan: w.plan, sent: map[string]int{}}
	w.start()
	return w
}

// start wires a process over what survived.
func (w *World) start() {
	a, err := app.New(app.Config{
		Store:       &faultyStore{Store: w.ours, w: w},
		Provider:    w.theirs,
		SagaKeys:    w.sagaKeys,
		ContactKeys: w.contactKeys,
		Sender:      w.mail,
		NoContact:   w.mail,
		Simulator: provider.Config{
			LateAfter: w.config.LateAfter, Sleep: w.sleep, Now: w.clock.provider,
			Rand: rand.New(rand.NewPCG(w.rnd.Uint64(), w.rnd.Uint64())),
		},
		Gateway: func(g payment.Gateway) payment.Gateway { return &faultyGateway{Gateway: g, w: w} },
		Task:    w.task,
		Counts:  app.Counts{BreakerChanged: w.circuitChanged},
		Parse:   parsed,
		Apart:   w.config.Apart,
		Now:     w.clock.process,
		Rand:    rand.New(rand.NewPCG(w.rnd.Uint64(), w.rnd.Uint64())),
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.app, w.changed = a, time.Now()
}

func (w *World) circuitChanged(name string, to breaker.State) {
	w.note(name + " " + string(to))
	w.changed = time.Now()
}

// machines are those that were parsed, by their definition: a process starts often here.
var machines = struct {
	sync.Mutex
	parsed map[string]*asl.Machine
}{parsed: map[string]*asl.Machine{}}

func parsed(definition []byte) (*asl.Machine, error) {
	machines.Lock()
	defer machines.Unlock()
	if m := machines.parsed[string(definition)]; m != nil {
		return m, nil
	}
	m, err := aslrun.Parse(definition)
	if err == nil {
		machines.parsed[string(definition)] = m
	}
	return m, err
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
		w.restart()
		survived = false
	}()
	fn()
	return true
}

// restart starts the next process, as soon as the disk lets it.
func (w *World) restart() {
	w.crashes++
	w.note("restart")
	if full := w.disk.keepsDown(); full > 0 {
		w.tracef("no process starts for %s: the disk is full", full)
		w.pause(full)
	}
	ahead := w.clock.restart(w.rnd)
	w.tracef("restart, its clock ahead by %s", ahead)
	if ahead != 0 {
		w.note("restart with another clock")
	}
	w.start()
}

// Step does one due thing, or lets the clock jump to the next. It reports false when nothing will be due any more.
func (w *World) Step() bool { return w.stepUntil(time.Time{}) }

// stepUntil is Step, but jumps no further than until; zero: anywhere.
func (w *World) stepUntil(until time.Time) bool {
	more := true
	if !w.survive(func() { more = w.step(until) }) {
		return true
	}
	return more
}

func (w *World) step(until time.Time) bool {
	ctx := context.Background()
	var next time.Time
	failed := false
	for _, one := range []func(context.Context) (bool, time.Time, error){w.app.Engine.RunOne, w.app.Notifications.RunOne} {
		ran, wake, err := one(ctx)
		if ran {
			return true
		}
		if err != nil { // a fault at a read of the queue, or of the index: it is tried again
			wake, failed = w.clock.process().Add(w.patience()), true
		}
		if !wake.IsZero() && (next.IsZero() || wake.Before(next)) {
			next = wake
		}
	}
	if !failed {
		w.failures = 0
	}
	if next.IsZero() && until.IsZero() {
		return false
	}
	jump := maxTime
	if !next.IsZero() {
		jump = max(next.Sub(w.clock.process()), time.Millisecond)
	}
	if !until.IsZero() {
		jump = min(jump, time.Until(until))
	}
	if w.config.Keepers {
		jump = min(jump, keepEvery)
	}
	w.pause(w.clock.untilSet(jump))
	return true
}

// patience is the pause after a failure of the store: 100 ms, doubling to 10 s.
func (w *World) patience() time.Duration {
	w.failures++
	return min(100*time.Millisecond<<min(w.failures-1, 10), 10*time.Second)
}

// RunUntilIdle works until nothing will be due any more, then looks after what only the sweeper and the expirer would find, and
// checks the invariants at rest.
func (w *World) RunUntilIdle() {
	w.t.Helper()
	if !w.work() {
		return
	}
	idle := w.check(false)
	if idle.LateHolds > 0 {
		w.note("an order that has ended holds stock")
		if !w.plan.late {
			w.violate("I5: %d orders have ended and still hold stock", idle.LateHolds)
		}
	}
	if idle.Open > 0 {
		w.violate("I7: %d executions are open, and nobody goes on with them", idle.Open)
	}
	w.checkCircuits()
	for range maxRounds { // a reserve that is delivered again while the expirer is at work is for its next round
		w.ours.Settle()                                // replicas lag behind for seconds, not for ever
		w.pass(16*time.Minute + 2*w.clock.mayDiffer()) // past the age at which holds are asked about
		for i, keeper := range []func(context.Context) error{w.sweep, w.expire} {
			if err := w.call([]string{"sweep", "expire"}[i], keeper); err != nil {
				w.violate("%v", err)
			}
		}
		if !w.work() {
			return
		}
		if w.check(true).LateHolds == 0 {
			break
		}
	}
	w.checkRest()
}

// pass lets time pass, in which everything happens that is due.
func (w *World) pass(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		w.turn(until)
	}
}

// work works until nothing will be due any more. It reports false if that never comes.
func (w *World) work() bool {
	began := time.Now()
	for w.turn(time.Time{}) {
		if w.steps++; w.steps > maxSteps || time.Since(began) > maxTime {
			w.violate("livelock: %d steps and %s, and still not at rest", w.steps, time.Since(began))
			return false
		}
	}
	return true
}

// keep has the keepers come round if it is time. Whatever they fail at, they come again.
func (w *World) keep() {
	w.kept = time.Now()
	w.ours.Settle()
	ctx := context.Background()
	if err := errors.Join(w.sweep(ctx), w.expire(ctx)); err != nil {
		w.tracef("the keepers: %v", err)
	}
	w.note("keepers' round")
}

func (w *World) sweep(ctx context.Context) error {
	_, err := w.app.Orders.Sweep(ctx)
	return err
}

func (w *World) expire(ctx context.Context) error {
	_, err := w.app.Inventory.Expire(ctx)
	return err
}

// Crashed reports whether any planned fault has happened.
func (w *World) Crashed() bool { return w.plan.fired > 0 }

// Points is how many points the world has passed.
func (w *World) Points() int { return w.plan.points }

// Sent is how many times the relay got each message.
func (w *World) Sent() map[string]int { return w.mail.sent }
