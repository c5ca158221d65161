package storebus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/bustest"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestConformance(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bustest.Harness {
		c := newClock()
		q := storebus.Open(memstore.New(memstore.Options{StaleReads: true}), "q", storebus.Config{Now: c.now})
		return bustest.Harness{Queue: q, Dead: q, Advance: c.advance}
	})
}

// Nothing that a Queue keeps in memory may matter: here each call is made by a new one, as after a crash.
func TestConformanceWithANewQueueForEachCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T) bustest.Harness {
		c := newClock()
		s := memstore.New(memstore.Options{})
		q := forgetful{func() *storebus.Queue { return storebus.Open(s, "q", storebus.Config{Now: c.now}) }}
		return bustest.Harness{Queue: q, Dead: q, Advance: c.advance}
	})
}

type forgetful struct{ open func() *storebus.Queue }

func (f forgetful) Send(ctx context.Context, body []byte) error { return f.open().Send(ctx, body) }
func (f forgetful) Wait(ctx context.Context) error              { return f.open().Wait(ctx) }
func (f forgetful) Delete(ctx context.Context, receipts ...string) error {
	return f.open().Delete(ctx, receipts...)
}
func (f forgetful) Defer(ctx context.Context, d time.Duration, reason string, receipts ...string) error {
	return f.open().Defer(ctx, d, reason, receipts...)
}
func (f forgetful) Receive(ctx context.Context, n int, d time.Duration) ([]bus.Message, error) {
	return f.open().Receive(ctx, n, d)
}
func (f forgetful) List(ctx context.Context, cursor string, n int) ([]bus.DeadLetter, string, error) {
	return f.open().List(ctx, cursor, n)
}
func (f forgetful) Redrive(ctx context.Context, ids ...string) (int, error) {
	return f.open().Redrive(ctx, ids...)
}

func TestStage(t *testing.T) {
	t.Run("a message is sent if and only if its commit is made", func(t *testing.T) {
		q, s, _ := newQueue(t)
		errNo := errors.New("no")
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			if err := q.Stage(tx, "lost", []byte("x")); err != nil {
				return err
			}
			return errNo
		})
		if !errors.Is(err, errNo) {
			t.Fatal(err)
		}
		stage(t, s, q, "kept")
		if got := drain(t, q); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("received %q", got)
		}
	})
	t.Run("an ID that cannot stand in a key is refused", func(t *testing.T) {
		q, s, _ := newQueue(t)
		for _, id := range []string{"", "a b", "a\x00b", "é", strings.Repeat("x", 257)} {
			err := s.Update(t.Context(), func(tx *store.Tx) error { return q.Stage(tx, id, []byte("x")) })
			if !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
	t.Run("two messages with one ID in one commit are two messages", func(t *testing.T) {
		q, s, _ := newQueue(t)
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(q.Stage(tx, "same", []byte("a")), q.Stage(tx, "same", []byte("b")))
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := drain(t, q); len(got) != 2 {
			t.Errorf("received %q", got)
		}
	})
	t.Run("two queues that send at one moment lose nothing", func(t *testing.T) {
		q, s, c := newQueue(t)
		other := storebus.Open(s, "q", storebus.Config{Now: c.now})
		for _, q := range []*storebus.Queue{q, other} {
			if err := q.Send(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if got := drain(t, q); len(got) != 2 {
			t.Errorf("received %q", got)
		}
	})
}

// Commits become visible in another order than that in which they were staged. The bound that saves Receive from old
// tombstones must not hide the ones that come late.
func TestMessagesThatCommitLateAreFound(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, 9 * time.Second, 11 * time.Second, 3 * time.Minute} {
		t.Run("after "+late.String(), func(t *testing.T) {
			q, s, c := newQueue(t)
			err := s.Update(t.Context(), func(tx *store.Tx) error {
				if err := q.Stage(tx, "slow", []byte("x")); err != nil {
					return err
				}
				stage(t, s, q, "fast")
				if got := drain(t, q); !slices.Equal(got, []string{"fast"}) {
					t.Errorf("received %q before the slow commit", got)
				}
				c.advance(late)
				drain(t, q)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			// Nobody calls Notify: Next alone leads there, soon as long as the message is remembered, and by a sweep after that.
			deadline := c.now().Add(time.Second)
			if late > 10*time.Second {
				deadline = c.now().Add(time.Minute)
			}
			for {
				if got := drain(t, q); slices.Equal(got, []string{"slow"}) {
					return
				}
				next := q.Next()
				if next.IsZero() || next.After(deadline) {
					t.Fatalf("not found; next look at %v, it is %v", next, c.now())
				}
				c.advance(max(next.Sub(c.now()), 0))
			}
		})
	}
}

func TestAnIdleQueueAsksForNothing(t *testing.T) {
	q, s, c := newQueue(t)
	stage(t, s, q, "a")
	_ = s.Update(t.Context(), func(tx *store.Tx) error { // never committed
		_ = q.Stage(tx, "b", []byte("x"))
		return errors.New("no")
	})
	looks := 0
	for {
		next := q.Next()
		if next.IsZero() {
			break
		}
		if looks++; looks > 30 {
			t.Fatalf("after %d looks the queue still wants one at %v, it is %v", looks, next, c.now())
		}
		c.advance(max(next.Sub(c.now()), 0))
		drain(t, q)
	}
}

func TestAMessageDeferredToThisVeryMomentIsVisible(t *testing.T) {
	q, s, c := newQueue(t)
	stage(t, s, q, "a")
	stage(t, s, q, "b")
	first, err := q.Receive(t.Context(), 1, time.Minute)
	if err != nil || len(first) != 1 || first[0].ID != "a" {
		t.Fatal(first, err)
	}
	if err := q.Defer(t.Context(), time.Second, "", first[0].Receipt); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Second)
	older, err := q.Receive(t.Context(), 1, time.Minute) // a, for the second time
	if err != nil || len(older) != 1 || older[0].ID != "a" {
		t.Fatal(older, err)
	}
	if err := q.Defer(t.Context(), time.Second, "", older[0].Receipt); err != nil {
		t.Fatal(err)
	}
	younger, err := q.Receive(t.Context(), 1, time.Minute) // b, for the first time
	if err != nil || len(younger) != 1 || younger[0].ID != "b" {
		t.Fatal(younger, err)
	}
	c.advance(time.Second)
	if m, err := q.Receive(t.Context(), 1, time.Minute); err != nil || len(m) != 1 || m[0].ID != "a" {
		t.Fatal(m, err)
	}
	if err := q.Defer(t.Context(), 0, "", younger[0].Receipt); err != nil { // sorts before what was just found
		t.Fatal(err)
	}
	if got := drain(t, q); !slices.Equal(got, []string{"b"}) {
		t.Errorf("received %q", got)
	}
}

func TestAReceiveWhoseReplyWasLostHidesNothingForGood(t *testing.T) {
	const visibility = 30 * time.Second // less than it takes until a sweep
	c := newClock()
	s := &faulty{Store: memstore.New(memstore.Options{}), failAt: 2, replyLost: true}
	q := storebus.Open(s, "q", storebus.Config{Now: c.now})
	if got := drain(t, q); len(got) != 0 {
		t.Fatal(got)
	}
	if err := q.Send(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if m, err := q.Receive(t.Context(), 1, visibility); !fault.Is(err, fault.Transient) {
		t.Fatal(m, err)
	}
	if got := drain(t, q); len(got) != 0 {
		t.Errorf("received %q while it is hidden", got)
	}
	c.advance(visibility)
	if got := drain(t, q); len(got) != 1 {
		t.Errorf("received %q", got)
	}
}

// A clock that is set back an hour must not hide for that hour what was to be hidden for half a minute.
func TestAClockThatIsSetBackHidesNothingForThatLong(t *testing.T) {
	const visibility = 30 * time.Second
	q, s, c := newQueue(t)
	for _, id := range []string{"left", "deferred"} {
		stage(t, s, q, id)
	}
	m, err := q.Receive(t.Context(), 2, visibility)
	if err != nil || len(m) != 2 {
		t.Fatal(m, err)
	}
	if err := q.Defer(t.Context(), visibility, "not now", m[1].Receipt); err != nil {
		t.Fatal(err)
	}
	c.advance(-time.Hour)
	for passed := time.Second; ; passed += time.Second {
		c.advance(time.Second)
		switch got := drain(t, q); {
		case len(got) == 2 && passed >= visibility:
			return
		case len(got) > 0:
			t.Fatalf("received %q after %s", got, passed)
		case passed > 2*visibility:
			t.Fatalf("hidden for %s", passed)
		}
	}
}

// Whoever is driven step by step sleeps until Next, by a clock of its own.
func TestNextIsByTheClockOfWhoAsks(t *testing.T) {
	q, s, c := newQueue(t)
	stage(t, s, q, "m")
	if m, err := q.Receive(t.Context(), 1, time.Minute); err != nil || len(m) != 1 {
		t.Fatal(m, err)
	}
	drain(t, q)
	c.advance(-time.Hour)
	began := c.now()
	for range 100 {
		next := q.Next()
		if next.After(began.Add(2 * time.Minute)) {
			t.Fatalf("it sleeps for %s", next.Sub(c.now()))
		}
		c.advance(max(next.Sub(c.now()), time.Millisecond))
		if len(drain(t, q)) == 1 {
			return
		}
	}
	t.Error("the message never came")
}

func TestReceiversRace(t *testing.T) {
	const messages, receivers = 400, 8
	c := newClock()
	s := memstore.New(memstore.Options{})
	shared := storebus.Open(s, "q", storebus.Config{Now: c.now})
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("no message is had by two receivers (a queue each: %v)", own), func(t *testing.T) {
			for i := range messages {
				if err := shared.Send(t.Context(), fmt.Appendf(nil, "%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			seen := make(map[string]int)
			var wg sync.WaitGroup
			for range receivers {
				q := shared
				if own {
					q = storebus.Open(s, "q", storebus.Config{Now: c.now})
				}
				wg.Go(func() {
					for empty := 0; empty < 3; {
						batch, err := q.Receive(t.Context(), 7, time.Minute)
						if err != nil && !fault.Is(err, fault.Transient) {
							t.Error(err)
							return
						}
						if len(batch) == 0 {
							empty++
						}
						for _, m := range batch {
							mu.Lock()
							seen[string(m.Body)]++
							mu.Unlock()
							if err := q.Delete(t.Context(), m.Receipt); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			for body, n := range seen {
				if n != 1 {
					t.Errorf("%s was received %d times", body, n)
				}
			}
			if len(seen) != messages {
				t.Errorf("received %d of %d", len(seen), messages)
			}
		})
	}
}

func TestLargeMessagesFitIntoTheirCommits(t *testing.T) {
	q, _, c := newQueue(t)
	body := []byte(strings.Repeat("x", bus.MaxBodyBytes))
	const n = 30
	for range n {
		if err := q.Send(t.Context(), body); err != nil {
			t.Fatal(err)
		}
	}
	for round := range bus.MaxReceives {
		var receipts []string
		for {
			batch, err := q.Receive(t.Context(), 45, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) == 0 {
				break
			}
			for _, m := range batch {
				receipts = append(receipts, m.Receipt)
			}
		}
		if len(receipts) != n {
			t.Fatalf("round %d: received %d of %d", round, len(receipts), n)
		}
		if err := q.Defer(t.Context(), time.Minute, "again", receipts...); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
	}
	drain(t, q)
	if st, err := q.Stats(t.Context()); err != nil || st.Dead != n {
		t.Fatalf("stats %+v, %v", st, err)
	}
	if moved, err := q.Redrive(t.Context()); err != nil || moved != n {
		t.Fatalf("redrive = %d, %v", moved, err)
	}
}

func TestDeadLettersKeepTheirReason(t *testing.T) {
	q, s, c := newQueue(t)
	stage(t, s, q, "ord-1.v5")
	for range bus.MaxReceives {
		m := receive(t, q)
		if len(m) != 1 {
			t.Fatalf("received %d", len(m))
		}
		reason := "451 \xff try later " + strings.Repeat("é", 2000)
		if err := q.Defer(t.Context(), time.Second, reason, m[0].Receipt); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Second)
	}
	receive(t, q)
	letters, _, err := q.List(t.Context(), "", 0)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	l := letters[0]
	if l.ID != "ord-1.v5" || !strings.HasPrefix(l.Reason, "451 \uFFFD try later é") || len(l.Reason) > bus.MaxReasonBytes || !l.DiedAt.Equal(c.now()) {
		t.Errorf("dead letter %+v", l)
	}
}

func TestStats(t *testing.T) {
	q, s, c := newQueue(t)
	first := c.now()
	for i := range 5 {
		stage(t, s, q, fmt.Sprintf("m%d", i))
		c.advance(time.Second)
	}
	m, err := q.Receive(t.Context(), 2, time.Minute)
	if err != nil || len(m) != 2 {
		t.Fatal(len(m), err)
	}
	st, err := q.Stats(t.Context())
	if err != nil || st.Ready != 3 || st.InFlight != 2 || st.Dead != 0 || !st.Oldest.Equal(first) {
		t.Errorf("stats %+v, %v", st, err)
	}
}

func TestDecodeFindsAMessageWhereverItStands(t *testing.T) {
	c := newClock()
	s := memstore.New(memstore.Options{})
	q := storebus.Open(s, "q", storebus.Config{Now: c.now})
	stage(t, s, q, "m")
	for receives, want := range []storebus.Place{storebus.Ready, storebus.InFlight, storebus.InFlight, storebus.InFlight, storebus.Dead} {
		n := 0
		err := s.Dump(t.Context(), func(e store.Entry) error {
			n++
			got, ok := storebus.Decode(e)
			if !ok || got.Queue != "q" || got.Place != want || got.ID != "m" || string(got.Body) != "m" || got.Receives != min(receives, 3) {
				t.Errorf("%v is %+v, %v; want it in %s", e, got, ok, want)
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Errorf("%d entries, %v", n, err)
		}
		receive(t, q)
		c.advance(time.Minute)
	}
	if _, ok := storebus.Decode(store.Entry{Key: store.Key{Table: "orders", PK: "ord-1"}}); ok {
		t.Error("an order is no message")
	}
}

// Each write of a message's way is lost, or its reply is, and the process begins anew: the message is still delivered
// until it is deleted, or stands among the dead letters, exactly once.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for n := 1; ; n++ {
			c := newClock()
			s := &faulty{Store: memstore.New(memstore.Options{}), failAt: n, replyLost: replyLost}
			open := func() *storebus.Queue { return storebus.Open(s, "q", storebus.Config{Now: c.now}) }
			q := open()
			again := func(do func() error) { // a crash ends the process; the next one does the same again
				for do() != nil {
					c.advance(time.Millisecond)
					q = open()
				}
			}
			again(func() error {
				return s.Update(t.Context(), func(tx *store.Tx) error { return q.Stage(tx, "m", []byte("x")) })
			})
			receives := 0
			for range 10 {
				again(func() error {
					m, err := q.Receive(t.Context(), 10, time.Minute)
					receives += len(m)
					if err == nil && len(m) > 0 {
						return q.Defer(t.Context(), time.Minute, "no", m[0].Receipt)
					}
					return err
				})
				c.advance(time.Minute)
			}
			sent := 1
			if replyLost && n == 1 {
				sent = 2 // the sender could not know
			}
			if st, _ := q.Stats(t.Context()); st.Dead != sent || st.Ready+st.InFlight != 0 || receives > 3*sent {
				t.Errorf("write %d (reply lost: %v): %+v after %d receives", n, replyLost, st, receives)
			}
			again(func() error { _, err := q.Redrive(t.Context()); return err })
			again(func() error {
				m, err := q.Receive(t.Context(), 10, time.Minute)
				if err != nil {
					return err
				}
				for _, m := range m {
					if err := q.Delete(t.Context(), m.Receipt); err != nil {
						return err
					}
				}
				return nil
			})
			c.advance(time.Minute)
			for range 2 {
				again(func() error {
					m, err := q.Receive(t.Context(), 10, time.Minute)
					if err == nil && len(m) > 0 {
						err = q.Delete(t.Context(), m[0].Receipt)
					}
					return err
				})
			}
			if st, _ := q.Stats(t.Context()); st != (storebus.Stats{}) {
				t.Errorf("write %d (reply lost: %v): %+v in the end", n, replyLost, st)
			}
			if s.writes < n {
				break
			}
		}
	}
}

func BenchmarkSendReceiveDelete(b *testing.B) {
	s := memstore.New(memstore.Options{})
	q := storebus.Open(s, "q", storebus.Config{})
	body := []byte(strings.Repeat("x", 400))
	ctx := b.Context()
	b.ReportAllocs()
	for n := 0; n < b.N; {
		sent := 0
		for ; sent < 45 && n < b.N; sent, n = sent+1, n+1 {
			if err := s.Update(ctx, func(tx *store.Tx) error { return q.Stage(tx, "ord-01ARZ3NDEKTSV4RRFFQ69G5FAV.v5", body) }); err != nil {
				b.Fatal(err)
			}
			q.Notify()
		}
		m, err := q.Receive(ctx, 45, time.Minute)
		if err != nil || len(m) != sent {
			b.Fatal(len(m), err)
		}
		receipts := make([]string, len(m))
		for i := range m {
			receipts[i] = m[i].Receipt
		}
		if err := q.Delete(ctx, receipts...); err != nil {
			b.Fatal(err)
		}
	}
}
