package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The whole way: a shop with orders of all kinds moves, and goes on where it stood.
func TestAShopMovesAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := outgrown(t)
		to := newStage(t)
		to.runs = true
		r, err := from.migrate(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range stands {
			if state := at.state; r.Open[state] == 0 && state != "ReserveStock" {
				t.Errorf("no order stood at %s: %v", at.state, r.Open)
			}
		}
		if r.Phase != Done || r.Orders != len(from.requests) || r.Open["FailOrder"] != 1 || r.Open["RefundPayment"] != 1 || r.Open[fromTheBeginning] != 3 || r.InReview != 2 || r.Messages == 0 || r.DeadLetters != 2 {
			t.Errorf("%+v", r)
		}
		started := 0
		for _, n := range r.Open {
			started += n
		}
		if r.Started != started || to.starts != started {
			t.Errorf("%d executions were started, %d by the report, of %d", to.starts, r.Started, started)
		}
		if source := verified(t, from); source.Heads != r.Heads {
			t.Errorf("the heads are %s, and verify says %s", r.Heads, source.Heads)
		}

		broughtAlong(t, to)
		to.works(2 * time.Hour)
		if report := to.check(from, true); report.Reviews != 2 {
			t.Errorf("%+v", report)
		}
		resumesReviews(t, from, to)
		answersRepeats(t, from, to)
		// Contacts open there, and those of who was erased do not.
		slices.Sort(to.mail)
		if got := strings.Join(slices.Compact(to.mail), " "); strings.Contains(got, "cust-1@") || !strings.Contains(got, "cust-0@") || !strings.Contains(got, "cust-3@") {
			t.Errorf("%s", got)
		}
		// Another run says that it is done, and changes nothing.
		before, starts := dump(t, to.ours), to.starts
		r, err = from.migrate(to)
		if err != nil || r.Before != Done || r.Phase != Done || r.Started != 0 || to.starts != starts || !maps.Equal(before, dump(t, to.ours)) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// broughtAlong requires that every event says that it was, or a stage's stream would start and tell everything again.
func broughtAlong(t *testing.T, to *stage) {
	t.Helper()
	events := 0
	err := to.ours.DumpTable(t.Context(), order.Table, "", func(e store.Entry) error {
		if order.IsEvent(e.Key) {
			events++
			if !eventlog.IsMoved(e.Item) {
				t.Errorf("%s looks as if it had happened there", e.Key)
			}
		}
		return nil
	})
	if err != nil || events == 0 {
		t.Errorf("%d events, %v", events, err)
	}
}

// resumesReviews requires that the orders in review can be resumed at the stage, at the state that had failed here.
func resumesReviews(t *testing.T, from *shop, to *stage) {
	t.Helper()
	waiting, err := to.Orders.InReview(t.Context(), "", 100)
	if err != nil || len(waiting) != 2 {
		t.Fatalf("%v, %v", waiting, err)
	}
	states := map[string]bool{}
	for _, w := range waiting {
		execution, err := to.Orders.Redrive(t.Context(), w.OrderID, "repaired", "op", "corr-3")
		if err != nil || execution != w.OrderID+"-r1" {
			t.Fatalf("%s, %v", execution, err)
		}
		x, err := to.Engine.Describe(t.Context(), execution)
		if err != nil {
			t.Fatal(err)
		}
		input, _ := x.Input.(map[string]any)
		states[fmt.Sprint(input["resume_at"])] = true
		if mac, _ := input["mac"].(string); !strings.HasPrefix(mac, "kb:") || input["order_id"] != w.OrderID {
			t.Errorf("it goes on with %v", input)
		}
	}
	if !states["ConfirmOrder"] || !states["CommitReservation"] {
		t.Errorf("they go on at %v", states)
	}
	to.works(time.Hour)
	if report := to.check(from, true); report.Reviews != 0 {
		t.Errorf("%+v", report)
	}
}

// answersRepeats requires that the same key gives the same order at the stage.
func answersRepeats(t *testing.T, from *shop, to *stage) {
	t.Helper()
	for id, request := range from.requests {
		p, err := to.Orders.Place(t.Context(), request)
		if err != nil || !p.Replayed || p.OrderID != id || string(p.Body) != from.answers[id] {
			t.Errorf("%s: %+v, %v", id, p, err)
		}
	}
}

func verified(t *testing.T, s *shop) invariant.Report {
	t.Helper()
	books := invariant.New()
	if err := errors.Join(s.ours.Dump(t.Context(), books.Add), s.theirs.Dump(t.Context(), books.AddProvider)); err != nil {
		t.Fatal(err)
	}
	r := books.Check(time.Now(), false)
	if len(r.Violations) > 0 {
		t.Fatalf("the source is broken: %v", r.Violations)
	}
	return r
}

var errCrash = errors.New("the process died")

// A migration that dies at any write, send or start, or after it, goes on with the next run, and the target is what it is without a crash.
func TestItSurvivesACrashAtEveryWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := outgrown(t)
		small := func(c *Config) { c.batch = 4 } // so that a table takes several notes
		whole := newStage(t)
		if _, err := from.migrate(whole, small); err != nil {
			t.Fatal(err)
		}
		// A message that was sent twice stands twice in the queue: what counts is whom it is of.
		want, sent := dump(t, whole.ours, "queues"), messages(t, whole)
		for _, replyLost := range []bool{false, true} {
			for n := 1; ; n++ {
				to := newStage(t)
				calls := 0
				to.point = func() (before, after error) {
					to.mu.Lock()
					defer to.mu.Unlock()
					if calls++; calls != n {
						return nil, nil
					}
					if replyLost {
						return nil, errCrash
					}
					return errCrash, nil
				}
				_, err := from.migrate(to, small)
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatalf("crash at %d: %v", n, err)
				}
				crashed := err != nil
				if r, err := from.migrate(to, small); err != nil || r.Phase != Done {
					t.Fatalf("after a crash at %d (reply lost: %v): %v, %v", n, replyLost, r.Phase, err)
				}
				if got := dump(t, to.ours, "queues"); !maps.Equal(got, want) || !maps.Equal(dump(t, to.theirs), dump(t, whole.theirs)) {
					t.Fatalf("after a crash at %d (reply lost: %v) the target is another: %s", n, replyLost, difference(got, want))
				}
				if to.starts != whole.starts || !slices.Equal(messages(t, to), sent) {
					t.Fatalf("after a crash at %d: %d starts, messages %v; want %d, %v", n, to.starts, messages(t, to), whole.starts, sent)
				}
				if !crashed && calls < n {
					t.Logf("%d points", n-1)
					break
				}
			}
		}
	})
}

// messages are the names of what stands in the stage's queue, each once.
func messages(t *testing.T, s *stage) []string {
	t.Helper()
	names := map[string]bool{}
	err := s.ours.DumpTable(t.Context(), "queues", "", func(e store.Entry) error {
		names[e.Key.PK+" "+e.Item.Str("id")] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(names))
}

func difference(got, want map[string]string) string {
	var lines []string
	for k, v := range want {
		if got[k] != v {
			lines = append(lines, k+": "+got[k]+", want "+v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			lines = append(lines, k+": one too many")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// What the target's own loops do while a migration has stopped half way is not undone by its next run, and undoes nothing.
func TestTheTargetIsAwakeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := outgrown(t)
		for n := 1; ; n += 3 {
			to := newStage(t)
			to.runs = true
			calls := 0
			to.point = func() (before, after error) {
				to.mu.Lock()
				defer to.mu.Unlock()
				if calls++; calls == n {
					return errCrash, nil
				}
				return nil, nil
			}
			if _, err := from.migrate(to); err == nil {
				break // it ended before write n
			}
			to.works(20 * time.Minute) // sweeper and expirer look several times
			if _, err := from.migrate(to); err != nil {
				t.Fatalf("after a crash at %d: %v", n, err)
			}
			to.works(time.Hour)
			if r := to.check(from, true); r.Reviews != 2 || t.Failed() {
				t.Fatalf("after a crash at %d: %+v", n, r)
			}
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	rule := func(name string, fn func(t *testing.T, from *shop, to *stage)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fn(t, outgrown(t), newStage(t)) })
		})
	}
	rule("a target that has orders of its own", func(t *testing.T, from *shop, to *stage) {
		to.product("B", 10)
		to.place(provider.Visa, "B", 1)
		before := dump(t, to.ours)
		if r, err := from.migrate(to); !errors.Is(err, ErrTaken) || r.Phase != "" || to.left || !maps.Equal(before, dump(t, to.ours)) {
			t.Errorf("%v", err)
		}
	})
	rule("an order that is placed there while the shop moves", func(t *testing.T, from *shop, to *stage) {
		_, err := from.migrate(to, func(c *Config) {
			c.Progress = func(s Step) {
				if s.Name == "copy orders" && len(to.requests) == 0 {
					to.product("B", 10)
					to.place(provider.Visa, "B", 1)
				}
			}
		})
		if !errors.Is(err, ErrTaken) || to.left || len(to.inputs) > 0 {
			t.Errorf("%v", err)

		}
	})
	for what, edit := range map[string]func(tx *store.Tx, e store.Entry) bool{
		"an item is lost": func(tx *store.Tx, e store.Entry) bool { tx.Delete(e.Key); return e.Key.Table == payment.Table },
		"a stock is another": func(tx *store.Tx, e store.Entry) bool {
			tx.Put(e.Key, e.Item.With(store.N("available", 7)))
			return e.Key.SK == "stock"
		},
		"a contact key is gone": func(tx *store.Tx, e store.Entry) bool { tx.Delete(e.Key); return e.Key.Table == pii.KeyTable },
		"no list leads there":   func(tx *store.Tx, e store.Entry) bool { tx.Delete(e.Key); return e.Key.SK == "head" },
		"an event too many": func(tx *store.Tx, e store.Entry) bool {
			tx.Put(store.Key{Table: order.Table, PK: e.Key.PK, SK: "event#0000000099"}, e.Item)
			return strings.HasPrefix(e.Key.SK, eventlog.Prefix)
		},
	} {
		rule("a copy that is not the same: "+what, func(t *testing.T, from *shop, to *stage) {
			edited := false
			_, err := from.migrate(to, func(c *Config) {
				c.Target.Walk = func(ctx context.Context, fn func(store.Entry) error) error {
					edited = change(t, to, edit)
					return ByLists(to.ours)(ctx, fn)
				}
			})
			if !edited || !errors.Is(err, ErrDiffers) || to.left {
				t.Errorf("%v: %v", edited, err)
			}
			// The next run copies it again; what nobody here has written stays, and goes on being refused.
			r, err := from.migrate(to)
			if again := errors.Is(err, ErrDiffers); again != (what == "an event too many") || !again && r.Phase != Done {
				t.Errorf("again: %+v, %v", r.Phase, err)
			}
		})
	}
	rule("a source that cannot be marked as left: nothing is started or sent", func(t *testing.T, from *shop, to *stage) {
		_, err := from.migrate(to, func(c *Config) { c.Source.Leave = func(context.Context) error { return errCrash } })
		if !errors.Is(err, errCrash) || to.starts+to.sends > 0 || len(actedOn(t, to.shop)) > 0 {
			t.Errorf("%v", err)
		}
	})
	rule("a stage without a simulator, for a shop whose payments were simulated", func(t *testing.T, from *shop, to *stage) {
		_, err := from.migrate(to, func(c *Config) { c.Target.Provider = nil })
		if !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "simulator=1") {
			t.Errorf("%v", err)
		}
	})
}

// change makes one edit of the stage's first item that it is for, through nobody's eyes.
func change(t *testing.T, s *stage, edit func(tx *store.Tx, e store.Entry) bool) (done bool) {
	t.Helper()
	errEnough, errOther := errors.New("enough"), errors.New("not this one")
	err := s.ours.Dump(t.Context(), func(e store.Entry) error {
		err := s.ours.Update(t.Context(), func(tx *store.Tx) error {
			if !edit(tx, e) {
				return errOther
			}
			return nil
		})
		if err == nil {
			done = true
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return done
}

// A source that changed after an interrupted run is another: what was copied may be gone from it since.
func TestASourceThatHasChanged(t *testing.T) {
	for what, then := range map[string]struct {
		do   func(s *shop)
		says string
	}{
		"an order is placed":     {func(s *shop) { s.place(provider.Visa, "A", 1) }, "with the heads"},
		"a product is restocked": {func(s *shop) { s.product("C", 3) }, "something beside them"},
		"a customer is erased": {func(s *shop) {
			if _, err := s.Orders.Erase(s.t.Context(), "cust-0", "op"); err != nil {
				s.t.Fatal(err)
			}
		}, "something beside them"},
	} {
		synctest.Test(t, func(t *testing.T) {
			from, to := outgrown(t), newStage(t)
			calls := 0
			to.point = func() (before, after error) {
				to.mu.Lock()
				defer to.mu.Unlock()
				if calls++; calls == 12 {
					return errCrash, nil
				}
				return nil, nil
			}
			if _, err := from.migrate(to); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			then.do(from)
			before := dump(t, to.ours)
			if _, err := from.migrate(to); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), then.says) || !maps.Equal(before, dump(t, to.ours)) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
}

// Once the source is left, a customer who is erased there does not leave the orders half started.
func TestACustomerIsErasedAfterTheSourceWasLeft(t *testing.T) {
	for _, phase := range []Phase{Copied, Starting, Done} {
		synctest.Test(t, func(t *testing.T) {
			from, to := outgrown(t), newStage(t)
			to.point = func() (before, after error) {
				to.mu.Lock()
				defer to.mu.Unlock()
				if to.left && phase == Copied || to.starts == 3 && phase == Starting {
					return errCrash, nil
				}
				return nil, nil
			}
			if r, err := from.migrate(to); r.Phase != phase || errors.Is(err, errCrash) != (phase != Done) {
				t.Fatalf("%s: %v, %v", phase, r.Phase, err)
			}
			to.point = nil
			if _, err := from.Orders.Erase(t.Context(), "cust-0", "op"); err != nil {
				t.Fatal(err)
			}
			if r, err := from.migrate(to); err != nil || r.Phase != Done {
				t.Errorf("%s: %v, %v", phase, r.Phase, err)
			}
		})
	}
}

// A backup that was restored elsewhere is the same source. A run of it that is still copying does not write over what the shop has become.
func TestARunThatWasOvertakenStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		to.runs = true
		var became map[string]string
		r, err := from.migrate(to, func(c *Config) {
			c.batch = 4 // so that the orders take several notes
			c.Progress = func(s Step) {
				if s.Name != "copy "+order.Table || became != nil {
					return
				}
				if r, err := from.migrate(to); err != nil || r.Phase != Done {
					t.Fatalf("the other run: %s, %v", r.Phase, err)
				}
				to.works(2 * time.Hour)
				became = dump(t, to.ours)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "another run") || r.Started != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if now := dump(t, to.ours); became == nil || !maps.Equal(now, became) {
			t.Errorf("the shop was written over: %s", difference(now, became))
		}
		to.check(from, true)
	})
}

// What was sent is not sent again by the next run.
func TestMessagesAreSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		to.point = func() (before, after error) {
			to.mu.Lock()
			defer to.mu.Unlock()
			if to.starts > 0 { // all messages were sent, and noted
				return errCrash, nil
			}
			return nil, nil
		}
		first, err := from.migrate(to)
		messages := first.Messages + first.DeadLetters
		if !errors.Is(err, errCrash) || messages < 3 || to.sends != messages {
			t.Fatalf("%+v, %v, %d messages", first, err, to.sends)
		}
		to.point = nil
		if r, err := from.migrate(to); err != nil || to.sends != messages {
			t.Errorf("%+v, %v, %d messages", r, err, to.sends)
		}
	})
}

// A saga may end between the write of its order's row and a repeat of that write, whose reply was lost: then the row does not come back.
func TestARowComesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		closed := 0
		to.then = func() error {
			to.mu.Lock()
			defer to.mu.Unlock()
			rows := actedOn(t, to.shop)
			if len(rows) == 0 {
				return nil
			}
			closed += len(rows)
			err := to.ours.Update(t.Context(), func(tx *store.Tx) error {
				for _, k := range rows {
					tx.Delete(k)
				}
				return nil
			})
			return errors.Join(err, fault.New(fault.Transient, "the reply was lost"))
		}
		if r, err := from.migrate(to); err != nil || r.Phase != Done {
			t.Fatalf("%v, %v", r.Phase, err)
		}
		if rows := len(actedOn(t, from)); closed != rows {
			t.Errorf("%d rows came and went, of %d", closed, rows)
		}
	})
}

// actedOn are the shop's rows that make somebody act.
func actedOn(t *testing.T, s *shop) (rows []store.Key) {
	t.Helper()
	err := s.ours.DumpTable(t.Context(), order.Table, "", func(e store.Entry) error {
		if _, ok := order.ActedOn(e.Key); ok {
			rows = append(rows, e.Key)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return rows
}

// A store that is busy is asked again, and not for ever.
func TestABusyStoreIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		calls, rests := 0, 0
		busy := func(n int) func() (before, after error) {
			return func() (before, after error) {
				to.mu.Lock()
				defer to.mu.Unlock()
				if calls++; calls%n != 0 {
					return fault.New(fault.Throttled, "slow down"), nil
				}
				return nil, nil
			}
		}
		rest := func(c *Config) {
			c.Rest = func(context.Context, time.Duration) {
				to.mu.Lock()
				defer to.mu.Unlock()
				rests++
			}
		}
		to.point = busy(1 << 20)
		if _, err := from.migrate(to, rest); !fault.Is(err, fault.Throttled) || calls != tries {
			t.Errorf("%d calls: %v", calls, err)
		}
		to.point, rests = busy(2), 0
		if r, err := from.migrate(to, rest); err != nil || r.Phase != Done || rests == 0 {
			t.Errorf("%v, %v, after %d rests", r.Phase, err, rests)
		}
	})
}

func TestADryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		here := dump(t, from.ours)
		to.point = func() (before, after error) { t.Error("a write"); return errCrash, nil }
		r, err := from.migrate(to, func(c *Config) { c.DryRun = true })
		if err != nil || r.Phase != "" || r.Orders != len(from.requests) || r.Items() < 100 || r.WriteUnits < int64(2*r.Items()) || r.AtLeast() <= 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if to.left || len(dump(t, to.ours)) > 0 || !maps.Equal(here, dump(t, from.ours)) {
			t.Error("something was written")
		}
		to.point = nil
		to.product("B", 10)
		to.place(provider.Visa, "B", 1)
		if _, err := from.migrate(to, func(c *Config) { c.DryRun = true }); !errors.Is(err, ErrTaken) {
			t.Errorf("%v", err)
		}
	})
}

// An interrupted run is one whose context has ended: it stops after what is under way, and the next one does not begin at the start.
func TestAnInterruptedRunGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := outgrown(t), newStage(t)
		writes := 0
		to.point = func() (before, after error) {
			to.mu.Lock()
			defer to.mu.Unlock()
			writes++
			return nil, nil
		}
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		c := Config{
			Source: Source{Ours: from.ours, Provider: from.theirs, Contacts: from.contacts, StartOf: from.Orders.StartOf, Describe: from.Engine.Describe,
				Leave: func(context.Context) error { to.left = true; return nil }},
			Target: to.target(), Now: time.Now, batch: 5,
			Progress: func(s Step) {
				if s.Name == "copy orders" && s.Done > 0 {
					interrupt()
				}
			},
		}
		if r, err := Run(ctx, c); !errors.Is(err, context.Canceled) || r.Phase != Copying {
			t.Fatalf("%v, %v", r.Phase, err)
		}
		before := writes
		c.Progress = nil
		if r, err := Run(t.Context(), c); err != nil || r.Phase != Done {
			t.Fatalf("%v, %v", r.Phase, err)
		}
		again := writes - before
		anew := newStage(t)
		writes = 0
		anew.point = func() (before, after error) {
			to.mu.Lock()
			defer to.mu.Unlock()
			writes++
			return nil, nil
		}
		if _, err := from.migrate(anew, func(c *Config) { c.batch = 5 }); err != nil {
			t.Fatal(err)
		}
		if before+again > writes+2*atOnce {
			t.Errorf("%d writes and then %d; without an interruption %d", before, again, writes)
		}
	})
}

// Orders that retention has deleted left pages in the provider's ledger, and sold pieces in the products' archived counters.
func TestAShopWithDeletedOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newShop(t, "a", memoryKeys)
		from.product("A", 100)
		for range 3 {
			from.place(provider.Visa, "A", 1)
		}
		from.works(time.Minute)
		timer := time.NewTimer(retention.KeepOrders + time.Hour)
		<-timer.C
		kept := from.place(provider.Visa, "A", 2)
		from.works(time.Minute)
		keep := retention.New(retention.Config{
			Store: from.ours, Dump: from.ours, Engine: from.Engine, Now: time.Now, Rest: func(context.Context, time.Duration) {},
		})
		if r, err := keep.Run(t.Context()); err != nil || r.Orders != 3 {
			t.Fatalf("%+v, %v", r, err)
		}
		verified(t, from)
		to := newStage(t)
		r, err := from.migrate(to)
		if err != nil || r.Orders != 1 || r.LedgerPages != 6 || r.Expired != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		to.check(from, true)
		st, err := to.Inventory.Get(t.Context(), "A")
		if err != nil || st.Sold != 5 || st.Available != 95 {
			t.Errorf("%+v, %v", st, err)
		}
		if v, found, err := to.Orders.Outcome(t.Context(), kept); err != nil || !found || v != order.Confirmed {
			t.Errorf("%s %v %v", v, found, err)
		}
		err = from.ours.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(store.Key{Table: retention.Table, PK: "deleting", SK: kept}, store.Item{})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := from.migrate(newStage(t)); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "retention is deleting "+kept) {
			t.Errorf("%v", err)
		}
	})
}

// A key whose time is over counts as long as its order is open, and lives on there.
func TestKeysOfOpenOrdersLiveOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newShop(t, "a", memoryKeys)
		from.product("A", 100)
		ended := from.place(provider.Visa, "A", 1)
		from.works(time.Minute)
		open := from.place(provider.Visa, "A", 1)
		timer := time.NewTimer(3 * order.KeyTTL) // the machine stood still over the weekend
		<-timer.C
		to := newStage(t)
		r, err := from.migrate(to)
		if err != nil || r.Expired != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		var records int
		err = to.ours.DumpTable(t.Context(), "idempotency", "", func(e store.Entry) error {
			records++
			if left := time.Until(time.Unix(e.Item.Int("expires_at"), 0)); e.Item.Str("ref") != open || left < order.KeyTTL-time.Second {
				t.Errorf("%s of %s lives for %s", e.Key, e.Item.Str("ref"), left)
			}
			return nil
		})
		if err != nil || records != 1 {
			t.Errorf("%d records, %v; %s has ended", records, err, ended)
		}
	})
}

// An open order whose execution the engine has at no task: it goes on at the last one that it was at, and one that was at none is refused.
func TestAnExecutionThatStandsAtNoTask(t *testing.T) {
	entered := func(states ...string) (history []asl.HistoryEvent) {
		for _, s := range states {
			history = append(history, asl.HistoryEvent{Type: "TaskStateEntered", State: s, Input: map[string]any{"at": s}}, asl.HistoryEvent{Type: "TaskStateExited", State: s})
		}
		return history
	}
	for _, c := range []struct {
		what  string
		x     flow.Execution
		state string // "": it begins as it began
		err   error
	}{
		{"ended, and only its row does not know", flow.Execution{Status: asl.StatusSucceeded, State: "Done", History: entered("CommitReservation", "NotifyCustomer")}, "NotifyCustomer", nil},
		{"ended at a choice", flow.Execution{Status: asl.StatusFailed, State: "PaymentResolved", History: entered("ReserveStock", "ResolvePayment")}, "ResolvePayment", nil},
		{"aborted before its first task", flow.Execution{Status: asl.StatusAborted, State: "Enter"}, "", ErrSource},
		{"not at its first task yet", flow.Execution{Status: asl.StatusRunning, State: "Enter"}, "", nil},
		{"at its first task", flow.Execution{Status: asl.StatusRunning, State: "ReserveStock", StateInput: map[string]any{}, History: entered("ReserveStock")}, "", nil},
		{"at its second", flow.Execution{Status: asl.StatusRunning, State: "RecordReservation", StateInput: map[string]any{}, History: entered("ReserveStock", "RecordReservation")}, "RecordReservation", nil},
		{"at its second, which is none of the target's", flow.Execution{Status: asl.StatusRunning, State: "FraudCheck", StateInput: map[string]any{}, History: entered("ReserveStock", "FraudCheck")}, "", ErrSource},
		{"at its second, with an input that nothing can go on with", flow.Execution{Status: asl.StatusRunning, State: "RecordReservation", History: entered("ReserveStock", "RecordReservation")}, "", ErrSource},
	} {
		synctest.Test(t, func(t *testing.T) {
			from, to := newShop(t, "a", memoryKeys), newStage(t)
			from.product("A", 1)
			id := from.place(provider.Visa, "A", 1)
			_, err := from.migrate(to, func(conf *Config) {
				conf.Source.Describe = func(context.Context, string) (flow.Execution, error) { return c.x, nil }
			})
			if !errors.Is(err, c.err) || err != nil && c.err == nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			if input, _ := to.inputs[id].(map[string]any); c.err == nil && (input == nil || c.state != "" && input["resume_at"] != c.state || c.state == "" && input["resume_at"] != nil) {
				t.Errorf("%s: it goes on with %v", c.what, input)
			}
		})
	}
}

// A target that a later version has begun is left alone.
func TestAnUnknownPhaseIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := newShop(t, "a", memoryKeys), newStage(t)
		err := to.ours.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(noteKey(stateNote), store.Item{store.S(attrPhase, "PACKING")})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := from.migrate(to); err == nil || !strings.Contains(err.Error(), "PACKING") || to.left {
			t.Errorf("%v", err)
		}
	})
}

// A shop that has nothing yet moves, too.
func TestAnEmptyShopMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := newShop(t, "a", memoryKeys), newStage(t)
		if r, err := from.migrate(to); err != nil || r.Phase != Done || r.Orders != 0 || !to.left {
			t.Errorf("%+v, %v", r, err)
		}
		to.check(from, true)
	})
}

// What the survey does not know is not left out in silence.
func TestAnUnknownTableIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newShop(t, "a", memoryKeys)
		err := from.ours.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(store.Key{Table: "coupons", PK: "c"}, store.Item{})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := from.migrate(newStage(t)); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "coupons") {
			t.Errorf("%v", err)
		}
	})
}
