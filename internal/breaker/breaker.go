// Package breaker is a circuit breaker whose state is shared through the store: it survives a restart, and all
// processes of one name trip and recover together.
//
//	         5 failures in a row, or half of 20 calls in 10 s
//	CLOSED ───────────────────────────────────────────────▶ OPEN
//	   ▲                                                    │  ▲
//	   │ two successes               open_until has passed, │  │ one failure:
//	   │                             a call takes the permit▼  │ twice as long, up to 5 min
//	   └──────────────────────────────────────────────── HALF_OPEN
//
// It promises that a refusal costs no access to the store and none to what it protects; that a healthy circuit writes
// nothing and, in one process, reads nothing; that in HALF_OPEN one call at a time goes through, and that a permit whose
// holder died is given again when its lease is over. Each change of state is a compare-and-swap that raises the
// generation; what was asked in an older generation is not counted.
//
// It refuses with fault.PaymentProviderUnavailable while OPEN, and with fault.Transient in HALF_OPEN whoever has no permit.
//
// If its store is down it goes on with what it knows, waits for the store no longer than storeTimeout, asks it once a
// second, and writes what it decided meanwhile when the store is back, unless another process decided first. A crash
// may lose the newest failures that were counted, never the record.
package breaker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Breaker is one circuit. It is safe for concurrent use.
type Breaker struct {
	store store.Store
	name  string
	key   store.Key
	c     Config

	// turn is held across calls of the store: one at a time. It is a channel, because a wait for it ends with the
	// caller's context.
	turn chan struct{}

	mu       sync.Mutex // guards all below; never held across a call of the store
	rec      record     // the circuit as this process knows it
	base     int64      // the generation of the stored record that rec goes on from
	adds     int64      // failures counted here and not yet stored
	reset    bool       // the count went back to 0 before adds, and that is not yet stored
	ahead    bool       // rec's state was changed here and is not yet stored
	localSeq uint64     // of the last change that made rec ahead
	loaded   bool
	loadedAt time.Time
	retryAt  time.Time // the store failed: it is not asked before this
	window   window
	since    time.Time // when rec's state was seen to change; zero: it was not
}

// Config of a Breaker. A zero member means the default, except CacheFor.
type Config struct {
	Failures int           // consecutive failures that trip it; 5
	OpenFor  time.Duration // how long it stays open the first time; 60 s, plus or minus 10 %
	MaxOpen  time.Duration // OpenFor doubles up to this; 5 min
	Window   time.Duration // over which the share of failures is watched, in this process; 10 s
	MinCalls int           // calls in the window from which half of them failing trips it; 20
	Lease    time.Duration // of a permit: longer than any call that holds one; 30 s
	// CacheFor is how old the record may be while other processes write it too: 1 s on AWS. 0: this process is the only writer, so
	// what it has in memory is exact.
	CacheFor time.Duration

	Now  func() time.Time
	Rand *rand.Rand // for jitter and tokens; the breaker guards it
	Log  *slog.Logger
	// OnChange is called at each change of state that this process decided, in order; it must not call the breaker. What another process
	// decided, this one before its last start among them, is that one's to tell: so a change is told once, however many share the circuit.
	OnChange func(from, to State)
	// Watch is told of each question and each report: what was done, since when, in which state that left the circuit, and with what error.
	Watch func(ctx context.Context, what string, began time.Time, left State, err error)
}

// What Watch is told of.
const (
	Asked     = "acquire"
	Succeeded = "record success"
	Failed    = "record failure"
)

// watch tells Watch what was done since then.
func (b *Breaker) watch(ctx context.Context, what string, began time.Time, err error) {
	b.mu.Lock()
	left := b.rec.State
	b.mu.Unlock()
	b.c.Watch(ctx, what, began, left, err)
}

const (
	storeTimeout = time.Second // a call to the outside must not wait longer for its own bookkeeping
	storePause   = time.Second // between questions to a store that is down
)

// New returns the breaker of that name. Nothing is read before its first use.
func New(s store.Store, name string, c Config) *Breaker {
	setDefault(&c.Failures, 5)
	setDefault(&c.OpenFor, time.Minute)
	setDefault(&c.MaxOpen, 5*time.Minute)
	setDefault(&c.Window, 10*time.Second)
	setDefault(&c.MinCalls, 20)
	setDefault(&c.Lease, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Breaker{
		store: s, name: name, key: store.Key{Table: Table, PK: name, SK: sortKey}, c: c,
		turn: make(chan struct{}, 1), rec: record{State: Closed}, window: window{width: c.Window / buckets},
	}
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Name is the circuit's name, such as payment-charge.
func (b *Breaker) Name() string { return b.name }

// Admit says whether new work that will need the call should be taken in: advice, which takes no permit. It refuses
// with fault.PaymentProviderUnavailable and retry_after_seconds while the circuit is open, and in HALF_OPEN while a permit is out.
func (b *Breaker) Admit(ctx context.Context) error {
	now := b.c.Now()
	b.mu.Lock()
	if b.mustRead(now) {
		b.mu.Unlock()
		b.refresh(ctx)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	switch {
	case b.rec.State == Open && b.openLeft(b.rec, now.UnixMilli()) > 0:
		return refusal(b.openLeft(b.rec, now.UnixMilli()))
	case b.rec.State == HalfOpen:
		if until, out := b.permitOut(now.UnixMilli()); out {
			return refusal(until - now.UnixMilli())
		}
	}
	return nil
}

// Acquire is asked before each call. The caller makes the call and then tells the permit what came of it. It refuses with
// fault.PaymentProviderUnavailable while the circuit is open, and with fault.Transient in HALF_OPEN while another call has the permit.
func (b *Breaker) Acquire(ctx context.Context) (p *Permit, err error) {
	now := b.c.Now()
	if b.c.Watch != nil {
		defer func() { b.watch(ctx, Asked, now, err) }()
	}
	b.mu.Lock()
	if b.mustRead(now) {
		b.mu.Unlock()
		b.refresh(ctx)
		b.mu.Lock()
	}
	p, err = b.pass(now)
	b.mu.Unlock()
	if p != nil || err != nil {
		return p, err
	}
	return b.probe(ctx, now)
}

// pass decides what needs no write: a permit of a closed circuit or a refusal. Neither: the call may be a probe. mu is held.
func (b *Breaker) pass(now time.Time) (*Permit, error) {
	ms := now.UnixMilli()
	switch b.rec.State {
	case Open:
		if left := b.openLeft(b.rec, ms); left > 0 {
			return nil, refusal(left)
		}
		return nil, nil
	case HalfOpen:
		if _, out := b.permitOut(ms); out {
			return nil, errProbing()
		}
		return nil, nil
	case Closed:
	}
	return &Permit{b: b, generation: b.rec.Generation}, nil
}

// probe takes the one permit. Who finds another call at it does not wait: that one is taking the permit.
func (b *Breaker) probe(ctx context.Context, now time.Time) (*Permit, error) {
	if !b.tryTurn() {
		return nil, errProbing()
	}
	defer b.endTurn()
	b.mu.Lock()
	token := newToken(b.c.Rand)
	b.mu.Unlock()
	granted := b.change(ctx, func(r record) (record, bool) {
		if r.State == Open && b.openLeft(r, now.UnixMilli()) == 0 {
			r.OpenUntil = now.UnixMilli()
		}
		return r.probe(now.UnixMilli(), token, b.c.Lease.Milliseconds())
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if granted {
		return &Permit{b: b, generation: b.rec.Generation, token: token}, nil
	}
	p, err := b.pass(now)
	if p == nil && err == nil {
		err = errProbing()
	}
	return p, err
}

// A Permit is the leave to make one call. It ends with Done or Abandon; what comes after is ignored.
type Permit struct {
	b          *Breaker
	generation int64
	token      string // of a probe; "" in CLOSED
	ended      atomic.Bool
}

// Done reports the call: ok if what was called answered, whatever the answer. It works when ctx has ended already,
// since that is how most failures come.
func (p *Permit) Done(ctx context.Context, ok bool) {
	if !p.ended.CompareAndSwap(false, true) {
		return
	}
	now := p.b.c.Now()
	if p.b.c.Watch != nil {
		what := Succeeded
		if !ok {
			what = Failed
		}
		defer p.b.watch(ctx, what, now, nil)
	}
	if p.token == "" {
		p.b.count(ctx, p.generation, ok)
		return
	}
	p.b.settle(ctx, func(r record) (record, bool) {
		if ok {
			return r.probeSucceeded(p.generation, p.token)
		}
		return r.probeFailed(p.generation, p.token, now.UnixMilli())
	})
}

// Abandon gives the permit back without a verdict: the call was not made, or its caller gave it up.
func (p *Permit) Abandon(ctx context.Context) {
	if !p.ended.CompareAndSwap(false, true) || p.token == "" {
		return
	}
	p.b.settle(ctx, func(r record) (record, bool) { return r.abandoned(p.generation, p.token) })
}

// count is the result of a call in CLOSED.
func (b *Breaker) count(ctx context.Context, generation int64, ok bool) {
	now := b.c.Now()
	b.mu.Lock()
	if b.rec.State != Closed || b.rec.Generation != generation {
		b.mu.Unlock() // asked before the circuit changed: it says nothing about the circuit as it is
		return
	}
	b.window.add(now, !ok)
	switch {
	case !ok:
		b.adds++
		b.rec.Failures++
		if b.rec.Failures >= int64(b.c.Failures) || b.window.half(now, b.c.MinCalls) {
			b.tripHere(now)
		}
	case b.rec.Failures > 0:
		b.adds, b.reset, b.rec.Failures = 0, true, 0
	}
	pending := b.pending()
	b.mu.Unlock()
	if pending {
		b.flush(ctx)
	}
}

// settle changes the record after a probe. Nothing is lost if the caller's context ends: the lease brings the permit back.
func (b *Breaker) settle(ctx context.Context, f func(record) (record, bool)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*storeTimeout)
	defer cancel()
	if b.takeTurn(ctx) != nil {
		return
	}
	defer b.endTurn()
	b.change(ctx, b.withOpenTime(f))
}

// Trip opens the circuit by hand, for the time that it would be open had it failed. If the store cannot be written it is
// open in this process all the same, and the error is fault.Unavailable.
func (b *Breaker) Trip(ctx context.Context) error {
	now := b.c.Now().UnixMilli()
	return b.byHand(ctx, b.withOpenTime(func(r record) (record, bool) { return r.opened(now, max(r.Attempt, 1)), true }))
}

// Reset closes the circuit by hand and forgets its failures. Its error is that of Trip.
func (b *Breaker) Reset(ctx context.Context) error {
	return b.byHand(ctx, func(r record) (record, bool) { return r.closed(), true })
}

func (b *Breaker) byHand(ctx context.Context, f func(record) (record, bool)) error {
	if err := b.takeTurn(ctx); err != nil {
		return err
	}
	defer b.endTurn()
	b.change(ctx, f)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ahead {
		return fault.New(fault.Unavailable, "the circuit breaker was changed here, but its store could not be written")
	}
	return nil
}

// withOpenTime gives a change that opened the circuit its end: chance is drawn once, so that a change that runs again gives the same record.
func (b *Breaker) withOpenTime(f func(record) (record, bool)) func(record) (record, bool) {
	b.mu.Lock()
	jitter := b.c.Rand.Float64()
	b.mu.Unlock()
	return func(r record) (record, bool) {
		next, ok := f(r)
		if ok && next.State == Open {
			next.OpenUntil += b.openTime(next.Attempt, jitter).Milliseconds()
		}
		return next, ok
	}
}

// openTime is OpenFor, doubled for each attempt beyond the first, at most MaxOpen, and then plus or minus a tenth, so that
// circuits that opened together do not probe together.
func (b *Breaker) openTime(attempt int64, jitter float64) time.Duration {
	d := b.c.OpenFor
	for i := int64(1); i < attempt && d < b.c.MaxOpen; i++ {
		d *= 2
	}
	d = min(d, b.c.MaxOpen)
	return time.Duration(float64(d) * (0.9 + 0.2*jitter))
}

// openLeft is for how many milliseconds more an open circuit stays so. No circuit is opened for longer than MaxOpen and a tenth: one that
// would be has seen the clock set back, and is not to refuse all orders until the clock has caught up.
func (b *Breaker) openLeft(r record, now int64) int64 {
	left := r.OpenUntil - now
	if left <= 0 || left > (b.c.MaxOpen+b.c.MaxOpen/10).Milliseconds() {
		return 0
	}
	return left
}

// permitOut is the record's. mu is held.
func (b *Breaker) permitOut(now int64) (until int64, out bool) {
	return b.rec.permitOut(now, b.c.Lease.Milliseconds())
}

// A Snapshot is the circuit as an operator sees it.
type Snapshot struct {
	Name       string
	State      State
	Generation int64
	Failures   int64     // consecutive, in CLOSED
	OpenUntil  time.Time // zero unless OPEN
	Attempt    int64     // how many times it opened since it was last closed
	PermitsOut int       // in HALF_OPEN, with a lease that lives
	Successes  int64     // of probes, in HALF_OPEN
	Since      time.Time // when this process saw it come into this state; zero: it has known no other
}

// State is the circuit as this process knows it, no older than CacheFor. If the store cannot be read it is older, and the
// error is fault.Unavailable beside it.
func (b *Breaker) State(ctx context.Context) (Snapshot, error) {
	now := b.c.Now()
	b.mu.Lock()
	if b.mustRead(now) {
		b.mu.Unlock()
		b.refresh(ctx)
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	s := Snapshot{
		Name: b.name, State: b.rec.State, Generation: b.rec.Generation, Failures: b.rec.Failures,
		Attempt: b.rec.Attempt, Successes: b.rec.Successes, Since: b.since,
	}
	if s.State == Open {
		s.OpenUntil = time.UnixMilli(b.rec.OpenUntil).UTC()
	}
	if _, out := b.permitOut(now.UnixMilli()); out {
		s.PermitsOut = 1
	}
	if now.Before(b.retryAt) {
		return s, fault.New(fault.Unavailable, "the circuit breaker's store does not answer; this is what one process knows")
	}
	return s, nil
}

func refusal(ms int64) error {
	seconds := int(max(1, (ms+999)/1000))
	return &fault.Error{
		Kind:    fault.PaymentProviderUnavailable,
		Message: "Circuit breaker OPEN: the payment provider is failing, so it is not asked until it has had time to recover",
		Details: map[string]any{"retry_after_seconds": seconds},
	}
}

func errProbing() error {
	return &fault.Error{Kind: fault.Transient, Message: "circuit breaker HALF_OPEN: another call is trying the payment provider"}
}
