package breaker

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// two are the same circuit in two processes.
func two(s *testStore) (a, b *Breaker) {
	a = newBreaker(s, Config{CacheFor: time.Second, Rand: rand.New(rand.NewPCG(1, 1))})
	b = newBreaker(s, Config{CacheFor: time.Second, Rand: rand.New(rand.NewPCG(2, 2))})
	return a, b
}

func TestTwoProcesses(t *testing.T) {
	inBubble(t, "count their failures together", func(t *testing.T) {
		a, b := two(newTestStore())
		call(t, a, 2, true)
		call(t, b, 2, true)
		call(t, a, 3, false)
		call(t, b, 2, false)
		wantState(t, b, Open)
		time.Sleep(time.Second)
		wantState(t, a, Open)
	})
	inBubble(t, "sum failures that they add at the same moment", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		var wg sync.WaitGroup
		for _, x := range []*Breaker{a, b} {
			for range 3 {
				p := mustAcquire(t, x)
				wg.Go(func() { p.Done(t.Context(), false) })
			}
		}
		wg.Wait()
		synctest.Wait()
		if got := s.record(t).State; got != Open {
			t.Fatalf("six failures leave it %s", got)
		}
	})
	inBubble(t, "sum failures of which one is added between another's read and its commit", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 3, false)
		p, q := mustAcquire(t, a), mustAcquire(t, b)
		s.between = func() { q.Done(t.Context(), false) }
		p.Done(t.Context(), false)
		if got := s.record(t).State; got != Open {
			t.Fatalf("five failures leave it %s", got)
		}
	})
	inBubble(t, "have one permit, though the clocks of two machines are never quite the same", func(t *testing.T) {
		s := newTestStore()
		a, _ := two(s)
		b := newBreaker(s, Config{CacheFor: time.Second, Now: func() time.Time { return time.Now().Add(-time.Second) }})
		if err := a.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		mustAcquire(t, a)
		if _, err := b.Acquire(t.Context()); !fault.Is(err, fault.Transient) {
			t.Fatalf("another call goes through beside the first: %v", err)
		}
	})
	inBubble(t, "a trip that rests on an older generation is dropped", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 4, false)
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		call(t, a, 1, false)
		if r := s.record(t); r.State != Closed || r.Generation != 1 {
			t.Fatalf("stored %+v", r)
		}
		wantState(t, a, Closed)
	})
	inBubble(t, "a change is told by the one that decided it, and by none after its restart", func(t *testing.T) {
		s := newTestStore()
		var told []string
		tell := func(who string) Config {
			return Config{CacheFor: time.Second, OnChange: func(from, to State) { told = append(told, who+" "+string(from)+"-"+string(to)) }}
		}
		a, b := newBreaker(s, tell("a")), newBreaker(s, tell("b"))
		call(t, a, 5, false)
		wantState(t, a, Open)
		wantState(t, b, Open)
		wantState(t, newBreaker(s, tell("a's next life")), Open)
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleepUntilDue(a)
		wantState(t, a, Closed)
		if err := newBreaker(s, tell("c")).Trip(t.Context()); err != nil { // its first look at the circuit is the change
			t.Fatal(err)
		}
		if want := []string{"a CLOSED-OPEN", "b OPEN-CLOSED", "c CLOSED-OPEN"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
	inBubble(t, "one of them resets the count of both", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 4, false)
		time.Sleep(time.Second)
		call(t, b, 1, true)
		time.Sleep(time.Second)
		call(t, a, 1, false)
		wantState(t, a, Closed)
		if got := s.record(t).Failures; got != 1 {
			t.Fatalf("%d failures stored", got)
		}
	})
	inBubble(t, "a trip raises the generation once, whoever comes first", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		var late []*Permit
		for range 5 {
			late = append(late, mustAcquire(t, a), mustAcquire(t, b))
		}
		var wg sync.WaitGroup
		for _, p := range late {
			wg.Go(func() { p.Done(t.Context(), false) })
		}
		wg.Wait()
		time.Sleep(time.Second)
		if r := s.record(t); r.State != Open || r.Generation != 1 || r.Attempt != 1 {
			t.Fatalf("%+v", r)
		}
	})
	inBubble(t, "an answer of an older generation does not count in the next", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		late := mustAcquire(t, a)
		if err := b.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		late.Done(t.Context(), false) // a's cache still says generation 0
		if r := s.record(t); r.Failures != 0 || r.Generation != 2 {
			t.Fatalf("%+v", r)
		}
		if got := wantState(t, a, Closed); got.Generation != 2 {
			t.Fatalf("a is in generation %d", got.Generation)
		}
	})
	inBubble(t, "the probe of one closes the circuit of the other within the cache's time", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 5, false)
		time.Sleep(time.Second)
		wantState(t, b, Open)
		sleepUntilDue(a)
		call(t, a, 2, true)
		wantState(t, a, Closed)
		call(t, b, 1, true)
		wantState(t, b, Closed)
	})
	inBubble(t, "a reset by hand reaches the other when its cache is over", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 5, false)
		sleepUntilDue(a)
		mustAcquire(t, a)
		wantState(t, b, HalfOpen)
		if err := a.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantState(t, b, Closed)
	})
}

func TestStoreDown(t *testing.T) {
	for _, how := range []string{"fails", "hangs"} {
		for _, cache := range []time.Duration{0, time.Second} {
			inBubble(t, "a store that "+how+" leaves the circuit working, cached for "+cache.String(), func(t *testing.T) {
				s := newTestStore()
				set := func(v bool) {
					s.down.Store(v && how == "fails")
					s.hang.Store(v && how == "hangs")
				}
				b := newBreaker(s, Config{CacheFor: cache})
				set(true)
				start := time.Now()
				call(t, b, 5, false)
				wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
				_, err := b.Acquire(t.Context())
				wantKind(t, err, fault.PaymentProviderUnavailable)
				if d := time.Since(start); d > 5*time.Second {
					t.Fatalf("the calls waited %v for the store", d)
				}
				before := s.calls()
				for range 100 {
					_ = b.Admit(t.Context())
				}
				if s.calls() != before {
					t.Fatal("an open circuit asked its store")
				}
				sleepUntilDue(b)
				mustAcquire(t, b).Done(t.Context(), true)
				set(false)
				time.Sleep(2 * time.Second)
				mustAcquire(t, b).Done(t.Context(), true)
				wantState(t, b, Closed)
				if r := s.record(t); r.State != Closed || r.Generation != 3 {
					t.Fatalf("when the store was back it got %+v", r)
				}
			})
		}
	}
	inBubble(t, "a trip by hand says that it was not stored, and holds here", func(t *testing.T) {
		s := newTestStore()
		s.down.Store(true)
		b := newBreaker(s, Config{})
		wantKind(t, b.Trip(t.Context()), fault.Unavailable)
		wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
	})
	inBubble(t, "what another process decided meanwhile wins", func(t *testing.T) {
		s := newTestStore()
		a, b := two(s)
		call(t, a, 1, true)
		s.down.Store(true)
		call(t, a, 5, false)
		s.down.Store(false)
		if err := b.Trip(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleepUntilDue(a)
		call(t, a, 1, true)
		if got := wantState(t, a, Closed); got.Generation != 2 {
			t.Fatalf("generation %d", got.Generation)
		}
	})
	inBubble(t, "a lost reply leaves one permit and one state", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 5, false)
		sleepUntilDue(b)
		s.lostReply.Store(true)
		p := mustAcquire(t, b)
		_, err := b.Acquire(t.Context())
		wantKind(t, err, fault.Transient)
		time.Sleep(2 * time.Second)
		p.Done(t.Context(), true)
		call(t, b, 1, true)
		wantState(t, b, Closed)
		if r := s.record(t); r.State != Closed || r.Generation != 3 {
			t.Fatalf("stored %+v", r)
		}
	})
	inBubble(t, "counts that could not be stored are stored with the next", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 1, false)
		s.down.Store(true)
		call(t, b, 2, false)
		s.down.Store(false)
		time.Sleep(2 * time.Second)
		call(t, b, 1, false)
		if r := s.record(t); r.Failures != 4 {
			t.Fatalf("%d failures stored", r.Failures)
		}
	})
}

func TestSlowStore(t *testing.T) {
	inBubble(t, "calls that succeed do not wait while a failure is being stored, and end its count", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		failed := mustAcquire(t, b)
		s.between = func() { time.Sleep(time.Second / 2) }
		var wg sync.WaitGroup
		wg.Go(func() { failed.Done(t.Context(), false) })
		synctest.Wait()
		start := time.Now()
		call(t, b, 100, true)
		if d := time.Since(start); d != 0 {
			t.Fatalf("they waited %v", d)
		}
		wg.Wait()
		if r := s.record(t); r.Failures != 0 {
			t.Fatalf("%d failures stored", r.Failures)
		}
	})
	inBubble(t, "a circuit that trips refuses at once, before its trip is stored", func(t *testing.T) {
		s := newTestStore()
		b := newBreaker(s, Config{})
		call(t, b, 4, false)
		failed := mustAcquire(t, b)
		s.between = func() { time.Sleep(time.Second / 2) }
		var wg sync.WaitGroup
		wg.Go(func() { failed.Done(t.Context(), false) })
		synctest.Wait()
		wantKind(t, b.Admit(t.Context()), fault.PaymentProviderUnavailable)
		if r := s.record(t); r.State != Closed {
			t.Fatalf("stored %+v", r)
		}
		wg.Wait()
		if r := s.record(t); r.State != Open || r.Generation != 1 {
			t.Fatalf("stored %+v", r)
		}
	})
}

func TestDecode(t *testing.T) {
	t.Run("a record reads back as it was written", func(t *testing.T) {
		want := record{State: HalfOpen, Generation: 7, Attempt: 2, Successes: 1, Permits: []grant{{"t", 99}}}
		got, err := decode(want.item())
		if err != nil || got.State != want.State || got.Generation != 7 || len(got.Permits) != 1 || got.Permits[0] != want.Permits[0] {
			t.Fatalf("%+v, %v", got, err)
		}
	})
	t.Run("a damaged record is an error", func(t *testing.T) {
		if _, err := decode(record{State: "AJAR"}.item()); err == nil {
			t.Fatal("no error")
		}
	})
}
