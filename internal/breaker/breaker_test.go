package breaker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A testStore counts what reaches the store, and can be down: it fails at once or never answers.
type testStore struct {
	store.Store
	reads, updates atomic.Int64
	down, hang     atomic.Bool
	lostReply      atomic.Bool // of the next update
	between        func()      // runs once, between what the next update reads and its commit
}

var errDown = errors.New("the store is down")

func newTestStore() *testStore { return &testStore{Store: memstore.New(memstore.Options{})} }

func (s *testStore) fails(ctx context.Context) error {
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.down.Load() {
		return errDown
	}
	return nil
}

func (s *testStore) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	s.reads.Add(1)
	if err := s.fails(ctx); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key, c)
}

func (s *testStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	s.updates.Add(1)
	if err := s.fails(ctx); err != nil {
		return err
	}
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		err := fn(tx)
		if between := s.between; between != nil {
			s.between = nil
			between()
		}
		return err
	})
	if err == nil && s.lostReply.CompareAndSwap(true, false) {
		return fault.New(fault.Transient, "the reply was lost")
	}
	return err
}

func (s *testStore) calls() int64 { return s.reads.Load() + s.updates.Load() }

func (s *testStore) record(t *testing.T) record {
	t.Helper()
	it, err := s.Store.Get(t.Context(), store.Key{Table: Table, PK: "payment-charge", SK: sortKey}, store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(it)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newBreaker(s store.Store, c Config) *Breaker {
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(1, 2))
	}
	return New(s, "payment-charge", c)
}

func mustAcquire(t *testing.T, b *Breaker) *Permit {
	t.Helper()
	p, err := b.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return p
}

// call makes n calls that end so.
func call(t *testing.T, b *Breaker, n int, ok bool) {
	t.Helper()
	for range n {
		mustAcquire(t, b).Done(t.Context(), ok)
	}
}

func wantState(t *testing.T, b *Breaker, want State) Snapshot {
	t.Helper()
	s, err := b.State(t.Context())
	if err != nil {
		t.Fatalf("State: %v", err)
	}
	if s.State != want {
		t.Fatalf("state %s, want %s", s.State, want)
	}
	return s
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Fatalf("error %v, want the kind %q", err, want)
	}
}

func sleepUntilDue(b *Breaker) {
	s, _ := b.State(context.Background())
	time.Sleep(time.Until(s.OpenUntil))
}

func inBubble(t *testing.T, rule string, f func(t *testing.T)) {
	t.Helper()
	t.Run(rule, func(t *testing.T) { synctest.Test(t, f) })
}

func TestClosed(t *testing.T) {
	inBubble(t, "a healthy circuit reads once and writes nothing", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 100, true)
		time.Sleep(time.Hour)
		call(t, b, 100, true)
		if s.reads.Load() != 1 || s.updates.Load() != 0 {
			t.Fatalf("%d reads, %d updates", s.reads.Load(), s.updates.Load())
		}
	})
	inBubble(t, "a healthy circuit of several processes reads at most once in the cache's time", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{CacheFor: time.Second})
		for range 10 {
			call(t, b, 100, true)
			time.Sleep(time.Second)
		}
		if s.reads.Load() != 10 || s.updates.Load() != 0 {
			t.Fatalf("%d reads, %d updates", s.reads.Load(), s.updates.Load())
		}
	})
	inBubble(t, "five failures in a row open it, four do not", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		call(t, b, 4, false)
		wantState(t, b, Closed)
		call(t, b, 1, false)
		wantState(t, b, Open)
	})
	inBubble(t, "a success takes the count back to zero, also in the store", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 4, false)
		if got := s.record(t).Failures; got != 4 {
			t.Fatalf("%d failures stored", got)
		}
		call(t, b, 1, true)
		if got := s.record(t).Failures; got != 0 {
			t.Fatalf("%d failures stored after a success", got)
		}
		call(t, b, 4, false)
		wantState(t, b, Closed)
	})
	inBubble(t, "half of twenty calls in ten seconds open it", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		for range 9 {
			call(t, b, 1, false)
			call(t, b, 1, true)
			time.Sleep(500 * time.Millisecond)
		}
		call(t, b, 1, true)
		wantState(t, b, Closed)
		call(t, b, 1, false)
		wantState(t, b, Open)
	})
	inBubble(t, "half of twenty calls in longer than ten seconds do not", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		for range 30 {
			call(t, b, 1, true)
			call(t, b, 1, false)
			time.Sleep(1200 * time.Millisecond)
		}
		wantState(t, b, Closed)
	})
	inBubble(t, "calls from before the circuit changed are not among the twenty", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{Failures: 100})
		call(t, b, 10, true)
		call(t, b, 9, false)
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		call(t, b, 2, false)
		wantState(t, b, Closed)
	})
	inBubble(t, "a permit reports once", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		p := mustAcquire(t, b)
		for range 5 {
			p.Done(t.Context(), false)
		}
		if s := wantState(t, b, Closed); s.Failures != 1 {
			t.Fatalf("%d failures", s.Failures)
		}
	})
	inBubble(t, "an abandoned call counts neither way", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		call(t, b, 4, false)
		mustAcquire(t, b).Abandon(t.Context())
		if s := wantState(t, b, Closed); s.Failures != 4 {
			t.Fatalf("%d failures", s.Failures)
		}
	})
	inBubble(t, "a failure counts though the caller's time is over", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		p := mustAcquire(t, b)
		cancel()
		p.Done(ctx, false)
		if got := s.record(t).Failures; got != 1 {
			t.Fatalf("%d failures stored", got)
		}
	})
	inBubble(t, "an answer from before the circuit changed is not counted", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		late := make([]*Permit, 10)
		for i := range late {
			late[i] = mustAcquire(t, b)
		}
		if err := errors.Join(b.Trip(t.Context()), b.Reset(t.Context())); err != nil {
			t.Fatal(err)
		}
		for _, p := range late {
			p.Done(t.Context(), false)
		}
		if s := wantState(t, b, Closed); s.Failures != 0 {
			t.Fatalf("%d failures", s.Failures)
		}
	})
}

func TestOpen(t *testing.T) {
	inBubble(t, "it refuses without touching the store, and says for how long", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{CacheFor: time.Second})
		call(t, b, 5, false)
		before := s.calls()
		time.Sleep(10 * time.Second)
		for range 100 {
			err := b.Admit(t.Context())
			wantKind(t, err, fault.PaymentProviderUnavailable)
			var e *fault.Error
			errors.As(err, &e)
			if n := e.Details["retry_after_seconds"].(int); n < 44 || n > 56 { // 60 s ±10 % - 10 s
				t.Fatalf("retry after %d s", n)
			}
			_, err = b.Acquire(t.Context())
			wantKind(t, err, fault.PaymentProviderUnavailable)
		}
		if s.calls() != before {
			t.Fatalf("%d calls of the store", s.calls()-before)
		}
	})
	inBubble(t, "it lasts 60 s, then doubles up to 5 min, each plus or minus a tenth", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		call(t, b, 5, false)
		for i, seconds := range []float64{60, 120, 240, 300, 300} {
			s := wantState(t, b, Open)
			got := time.Until(s.OpenUntil).Seconds()
			if got < seconds*0.9-0.001 || got > seconds*1.1 || s.Attempt != int64(i+1) {
				t.Fatalf("attempt %d opens for %v s, want about %v s", s.Attempt, got, seconds)
			}
			sleepUntilDue(b)
			call(t, b, 1, false)
		}
	})
	inBubble(t, "after a restart it is still open, and half open after its time", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 5, false)
		b = newBreaker(s, Config{})
		wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
		sleepUntilDue(b)
		mustAcquire(t, b)
		b = newBreaker(s, Config{})
		wantState(t, b, HalfOpen)
		_, err := b.Acquire(t.Context())
		wantKind(t, err, fault.Transient)
	})
	inBubble(t, "admission passes once the time is over, and takes no permit", func(t *testing.T) {
		b := newBreaker(newTestStore(), Config{})
		call(t, b, 5, false)
		sleepUntilDue(b)
		for range 3 {
			if err := b.Admit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		wantState(t, b, Open)
		mustAcquire(t, b)
	})
	inBubble(t, "it is tripped and reset by hand", func(t *testing.T) {
		var seen []State
		b := newBreaker(newTestStore(), Config{OnChange: func(_, to State) { seen = append(seen, to) }})
		if err := b.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		call(t, b, 1, true)
		if len(seen) != 2 || seen[0] != Open || seen[1] != Closed {
			t.Fatalf("changes %v", seen)
		}
	})
}

func halfOpen(t *testing.T, s store.Store, c Config) (*Breaker, *Permit) {
	t.Helper()
	b := newBreaker(s, c)
	call(t, b, 5, false)
	sleepUntilDue(b)
	return b, mustAcquire(t, b)
}

func TestHalfOpen(t *testing.T) {
	inBubble(t, "two successes close it", func(t *testing.T) {
		b, p := halfOpen(t, newTestStore(), Config{})
		p.Done(t.Context(), true)
		if s := wantState(t, b, HalfOpen); s.Successes != 1 || s.PermitsOut != 0 {
			t.Fatalf("%+v", s)
		}
		call(t, b, 1, true)
		if s := wantState(t, b, Closed); s.Attempt != 0 || s.Failures != 0 {
			t.Fatalf("%+v", s)
		}
	})
	inBubble(t, "one failure opens it, also after a success", func(t *testing.T) {
		b, p := halfOpen(t, newTestStore(), Config{})
		p.Done(t.Context(), true)
		call(t, b, 1, false)
		if s := wantState(t, b, Open); s.Attempt != 2 {
			t.Fatalf("attempt %d", s.Attempt)
		}
	})
	inBubble(t, "admission and other calls are refused only while a permit is out", func(t *testing.T) {
		b, p := halfOpen(t, newTestStore(), Config{})
		wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
		_, err := b.Acquire(t.Context())
		wantKind(t, err, fault.Transient)
		p.Abandon(t.Context())
		if err := b.Admit(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, b)
	})
	inBubble(t, "a permit whose holder died is given again when its lease is over", func(t *testing.T) {
		b, lost := halfOpen(t, newTestStore(), Config{})
		time.Sleep(30*time.Second - time.Millisecond)
		_, err := b.Acquire(t.Context())
		wantKind(t, err, fault.Transient)
		time.Sleep(time.Millisecond)
		p := mustAcquire(t, b)
		lost.Done(t.Context(), false) // it has been replaced: it counts no more
		wantState(t, b, HalfOpen)
		p.Done(t.Context(), true)
		if s := wantState(t, b, HalfOpen); s.Successes != 1 {
			t.Fatalf("%d successes", s.Successes)
		}
	})
	inBubble(t, "a late answer counts while nobody else was given the permit", func(t *testing.T) {
		b, p := halfOpen(t, newTestStore(), Config{})
		time.Sleep(time.Minute)
		p.Done(t.Context(), false)
		wantState(t, b, Open)
	})
	for _, cache := range []time.Duration{0, time.Second} {
		inBubble(t, "one permit under 64 callers, cached for "+cache.String(), func(t *testing.T) {
			s := newTestStore()
			c := Config{CacheFor: cache}
			b, p := halfOpen(t, s, c)
			p.Abandon(t.Context())
			callers := []*Breaker{b}
			if cache > 0 {
				callers = append(callers, newBreaker(s, Config{CacheFor: cache, Rand: rand.New(rand.NewPCG(3, 4))}))
			}
			var granted, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					_, err := callers[i%len(callers)].Acquire(t.Context())
					switch {
					case err == nil:
						granted.Add(1)
					case fault.Is(err, fault.Transient):
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			if granted.Load() != 1 || refused.Load() != 63 {
				t.Fatalf("%d granted, %d refused", granted.Load(), refused.Load())
			}
		})
	}
	inBubble(t, "callers that retry close it: no livelock", func(t *testing.T) {
		b, p := halfOpen(t, newTestStore(), Config{})
		p.Abandon(t.Context())
		var wg sync.WaitGroup
		var done atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				for try := 0; try < 100; try++ {
					p, err := b.Acquire(t.Context())
					if err != nil {
						time.Sleep(time.Second + time.Duration(i)*time.Millisecond)
						continue
					}
					time.Sleep(100 * time.Millisecond)
					p.Done(t.Context(), true)
					done.Add(1)
					return
				}
			})
		}
		wg.Wait()
		if done.Load() != 64 {
			t.Fatalf("%d of 64 calls were made", done.Load())
		}
		wantState(t, b, Closed)
	})
}

func TestAClockThatIsSetBackDoesNotKeepTheCircuitOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skew := time.Duration(0)
		s := newTestStore()
		b := newBreaker(s, Config{Now: func() time.Time { return time.Now().Add(skew) }})
		if err := b.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Admit(t.Context()); !fault.Is(err, fault.PaymentProviderUnavailable) {
			t.Fatal(err)
		}
		skew = -time.Minute // it stays open somewhat longer, within what any circuit may
		if err := b.Admit(t.Context()); !fault.Is(err, fault.PaymentProviderUnavailable) {
			t.Fatal(err)
		}
		skew = -25 * time.Hour
		for _, b := range []*Breaker{b, newBreaker(s, Config{Now: b.c.Now})} { // the process that opened it, and the next one
			if err := b.Admit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		p := mustAcquire(t, b)
		if s := wantState(t, b, HalfOpen); s.PermitsOut != 1 {
			t.Fatalf("%+v: not a probe", s)
		}
		p.Done(t.Context(), true)
		mustAcquire(t, b).Done(t.Context(), true)
		wantState(t, b, Closed)
	})
}

// The permit's holder died, and the clock of the next process is behind: the permit does not live for that hour.
func TestAClockThatIsSetBackDoesNotKeepTheCircuitHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skew := time.Duration(0)
		s := newTestStore()
		first := newBreaker(s, Config{Now: func() time.Time { return time.Now().Add(skew) }})
		if err := first.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		mustAcquire(t, first) // and is never heard of again
		next := newBreaker(s, Config{Now: first.c.Now})
		if err := next.Admit(t.Context()); !fault.Is(err, fault.PaymentProviderUnavailable) {
			t.Fatalf("the permit lives: %v", err)
		}
		skew = -time.Hour
		if err := next.Admit(t.Context()); err != nil {
			t.Fatalf("nobody has the permit: %v", err)
		}
		mustAcquire(t, next).Done(t.Context(), true)
		mustAcquire(t, next).Done(t.Context(), true)
		wantState(t, next, Closed)
	})
}
