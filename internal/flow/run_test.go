package flow_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// running is an engine that Runs until stop, which returns Run's error.
func running(t *testing.T, e *flow.Engine) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func TestRunAdvancesWhatBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, flow.Options{Store: s, Definition: saga(), Tasks: sagaTasks()})
		start(t, e, s, "before", map[string]any{"well": true})
		stop := running(t, e)
		for i := range 100 {
			start(t, e, s, fmt.Sprintf("o-%d", i), map[string]any{"well": true})
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if n := e.Open(); n != 0 {
			t.Errorf("%d open", n)
		}
		for _, name := range []string{"before", "o-0", "o-99"} {
			if d := describe(t, e, name); d.Status != "SUCCEEDED" {
				t.Errorf("%s is %s", name, d.Status)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := e.Run(t.Context()); !fault.Is(err, fault.Internal) {
			t.Errorf("an engine runs once; the second Run: %v", err)
		}
	})
}

func TestNoMoreExecutionsAreAdvancedAtOnceThanThereAreWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var now, most atomic.Int64
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b")), Workers: 7, Tasks: map[string]flow.Task{
			arn("b"): counted,
			arn("a"): func(context.Context, flow.Call) (store.Effect, error) {
				most.Store(max(most.Load(), now.Add(1)))
				<-time.After(time.Second)
				now.Add(-1)
				return store.Effect{}, nil
			}}})
		stop := running(t, e)
		begin := time.Now()
		for i := range 70 {
			start(t, e, s, fmt.Sprintf("o-%d", i), nil)
		}
		for e.Open() > 0 {
			<-time.After(time.Second)
			synctest.Wait()
		}
		if took := time.Since(begin); most.Load() != 7 || took > 12*time.Second {
			t.Errorf("at most %d at once, in %v; want 7 in 10 s", most.Load(), took)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenExecutionsAreRecoveredAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 20_000 // more than a page in each shard
		s := newStore()
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a")), Tasks: map[string]flow.Task{arn("a"): counted}})
		for i := range many {
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, fmt.Sprintf("o-%d", i), nil) }); err != nil {
				t.Fatal(err)
			}
		}
		stop := running(t, e)
		<-time.After(time.Second)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		for i := range many {
			if n := effects(t, s, fmt.Sprintf("o-%d", i), "a"); n != 1 {
				t.Fatalf("o-%d took effect %d times", i, n)
			}
		}
	})
}

func TestDrain(t *testing.T) {
	slow := func(d time.Duration) flow.Task {
		return func(ctx context.Context, c flow.Call) (store.Effect, error) {
			select {
			case <-time.After(d):
				return counted(ctx, c)
			case <-ctx.Done():
				return store.Effect{}, ctx.Err()
			}
		}
	}
	cases := []struct {
		rule    string
		work    flow.Task
		takes   time.Duration
		effects int64
		failed  bool
	}{
		{"a task in flight is finished and committed", slow(5 * time.Second), 4 * time.Second, 1, false},
		{"a task that takes longer is cancelled, and runs again after the start", slow(time.Minute), 15 * time.Second, 0, false},
		{"a task that ignores that is left behind, and its result is dropped", func(ctx context.Context, c flow.Call) (store.Effect, error) {
			<-time.After(time.Minute)
			return counted(ctx, c)
		}, 20 * time.Second, 0, true},
	}
	for _, limit := range []string{``, `,"TimeoutSeconds":600`} {
		for _, c := range cases {
			t.Run(c.rule+limit, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore()
					definition := []byte(fmt.Sprintf(`{"StartAt":"Work","States":{
						"Work":{"Type":"Task","Resource":%q,"Next":"Then"%s},"Then":{"Type":"Task","Resource":%q,"End":true}}}`,
						arn("work"), limit, arn("then")))
					e := engine(t, flow.Options{Store: s, Definition: definition, Tasks: map[string]flow.Task{arn("work"): c.work, arn("then"): counted}})
					stop := running(t, e)
					start(t, e, s, "o-1", nil)
					<-time.After(time.Second)
					begin := time.Now()
					if err := stop(); (err != nil) != c.failed {
						t.Errorf("Run: %v", err)
					}
					if took := time.Since(begin); took != c.takes {
						t.Errorf("the drain took %v, want %v", took, c.takes)
					}
					<-time.After(2 * time.Minute)
					synctest.Wait()
					if n := effects(t, s, "o-1", "Work"); n != c.effects {
						t.Errorf("took effect %d times, want %d", n, c.effects)
					}
					if n := effects(t, s, "o-1", "Then"); n != 0 {
						t.Error("the next task was started")
					}
					e = engine(t, flow.Options{Store: s, Definition: definition, Tasks: map[string]flow.Task{arn("work"): counted, arn("then"): counted}})
					settle(t, e)
					if a, b := effects(t, s, "o-1", "Work"), effects(t, s, "o-1", "Then"); a != 1 || b != 1 {
						t.Errorf("after the next start: %d, %d", a, b)
					}
				})
			})
		}
	}
}

func TestAStoreThatIsAwayLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		var mu sync.Mutex
		works := map[string]int{}
		s := &unreliable{Store: newStore(), fate: func(int64) fate {
			if away.Load() {
				return storeAway
			}
			return commits
		}}
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b")), Workers: 4, Tasks: map[string]flow.Task{
			arn("b"): counted,
			arn("a"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
				mu.Lock()
				works[c.Execution]++
				mu.Unlock()
				<-time.After(time.Second)
				return counted(ctx, c)
			}}})
		stop := running(t, e)
		for i := range 20 {
			start(t, e, s, fmt.Sprintf("o-%d", i), nil)
		}
		<-time.After(500 * time.Millisecond)
		away.Store(true)
		before := s.updates.Load()
		<-time.After(10 * time.Minute)
		// Each of the 20 tries some nine times until its pause is 10 s, of which at least half is kept: no worker is held, none spins.
		if n := s.updates.Load() - before; n < 20*60 || n > 20*(600/5+10) {
			t.Errorf("%d attempts in ten minutes", n)
		}
		away.Store(false)
		<-time.After(20 * time.Second)
		synctest.Wait()
		if n := e.Open(); n != 0 {
			t.Errorf("%d open", n)
		}
		for i := range 20 {
			name := fmt.Sprintf("o-%d", i)
			if a, b := effects(t, s, name, "a"), effects(t, s, name, "b"); a != 1 || b != 1 || works[name] != 1 {
				t.Errorf("%s took effect %d and %d times, ran %d times", name, a, b, works[name])
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunRecoversWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreliable{Store: newStore()}
		o := flow.Options{Store: s, Definition: []byte(steps("a")), Tasks: map[string]flow.Task{arn("a"): counted}}
		start(t, engine(t, o), s, "o-1", nil)
		begin := time.Now()
		s.fate = func(int64) fate {
			if time.Since(begin) < time.Hour {
				return storeAway
			}
			return commits
		}
		e := engine(t, o)
		stop := running(t, e)
		<-time.After(time.Hour + 15*time.Second)
		synctest.Wait()
		if n := effects(t, s, "o-1", "a"); n != 1 {
			t.Errorf("took effect %d times", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTwoEnginesOnOneStoreDropTheStaleResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		release := make(chan struct{})
		attempts := make(map[string][]string)
		o := func(who string, work flow.Task) flow.Options {
			return flow.Options{Store: s, Definition: []byte(steps("a", "b")), Tasks: map[string]flow.Task{arn("b"): counted,
				arn("a"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
					attempts[who] = append(attempts[who], c.Attempt)
					return work(ctx, c)
				}}}
		}
		stale := engine(t, o("stale", func(ctx context.Context, c flow.Call) (store.Effect, error) {
			<-release
			return counted(ctx, c)
		}))
		stop := running(t, stale)
		start(t, stale, s, "o-1", nil)
		synctest.Wait()
		fresh := engine(t, o("fresh", counted))
		settle(t, fresh)
		close(release)
		synctest.Wait()
		if n := stale.Open(); n != 0 {
			t.Errorf("the stale engine has %d open", n)
		}
		for _, state := range []string{"a", "b"} {
			if n := effects(t, s, "o-1", state); n != 1 {
				t.Errorf("%s took effect %d times", state, n)
			}
		}
		if len(attempts["stale"]) != 1 || len(attempts["fresh"]) != 1 || attempts["stale"][0] != attempts["fresh"][0] {
			t.Errorf("attempts: %v; the same one was to run twice", attempts)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnExecutionGoesOnWithItsOwnDefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		tasks := map[string]flow.Task{arn("a"): counted, arn("b"): counted, arn("c"): counted}
		old := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b")), Tasks: tasks})
		start(t, old, s, "old", nil)
		if ran, _, err := old.RunOne(t.Context()); !ran || err != nil {
			t.Fatal(ran, err)
		}
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "c")), Tasks: tasks})
		start(t, e, s, "new", nil)
		settle(t, e)
		for _, c := range []struct {
			name, state string
			want        int64
		}{{"old", "b", 1}, {"old", "c", 0}, {"new", "b", 0}, {"new", "c", 1}} {
			if n := effects(t, s, c.name, c.state); n != c.want {
				t.Errorf("%s: %s took effect %d times, want %d", c.name, c.state, n, c.want)
			}
		}
		if a, b := describe(t, e, "old").Definition, describe(t, e, "new").Definition; a == b {
			t.Error("both have one definition")
		}
	})
	t.Run("a task that this build does not have lets the execution wait for one that has it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			tasks := map[string]flow.Task{arn("a"): counted, arn("b"): counted}
			old := engine(t, flow.Options{Store: s, Definition: []byte(steps("a")), Tasks: tasks})
			start(t, old, s, "old", nil)
			e := engine(t, flow.Options{Store: s, Definition: []byte(steps("b")), Tasks: map[string]flow.Task{arn("b"): counted}})
			for range 10 {
				if ran, wake, err := e.RunOne(t.Context()); err != nil {
					t.Fatal(err)
				} else if !ran {
					<-time.After(time.Until(wake))
				}
			}
			if d := describe(t, e, "old"); d.Status != "RUNNING" {
				t.Errorf("it is %s", d.Status)
			}
			settle(t, engine(t, flow.Options{Store: s, Definition: []byte(steps("b")), Tasks: tasks}))
			if n := effects(t, s, "old", "a"); n != 1 {
				t.Errorf("took effect %d times", n)
			}
		})
	})
}

func TestStageMayRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		row := store.Key{Table: "orders", PK: "o-1"}
		touch := func() {
			if err := s.Update(t.Context(), func(tx *store.Tx) error {
				it, err := tx.Get(row)
				tx.Put(row, store.Item{store.N("n", it.Int("n")+1)})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		runs := 0
		e := engine(t, flow.Options{Store: s, Definition: []byte(one(``)), Tasks: map[string]flow.Task{
			arn("work"): func(context.Context, flow.Call) (store.Effect, error) {
				return store.Effect{Stage: func(tx *store.Tx) (any, error) {
					it, err := tx.Get(row)
					if runs++; runs <= 3 {
						touch() // someone is faster
					}
					tx.Put(row, store.Item{store.N("n", it.Int("n")+100)})
					return it.Int("n"), err
				}}, nil
			}}})
		start(t, e, s, "o-1", nil)
		before := s.Commits()
		settle(t, e)
		d := describe(t, e, "o-1")
		it, err := s.Get(t.Context(), row, store.Strong)
		if err != nil {
			t.Fatal(err)
		}
		// The result is of the run that was committed: it saw all three others.
		if fmt.Sprint(d.Output) != "3" || it.Int("n") != 103 || runs != 4 {
			t.Errorf("output %v, row %d, %d runs", d.Output, it.Int("n"), runs)
		}
		if n := s.Commits() - before; n != 5 { // the definition, three others, this one
			t.Errorf("%d commits", n)
		}
	})
}

func TestTheMachinesOwnTimeoutEndsARunningTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begin := newStore(), time.Now()
		var ended []flow.Ended
		definition := fmt.Sprintf(`{"TimeoutSeconds":10,"StartAt":"Work","States":{
			"Work":{"Type":"Task","Resource":%q,"TimeoutSeconds":60,"End":true}}}`, arn("work"))
		e := engine(t, flow.Options{Store: s, Definition: []byte(definition),
			OnFailed: func(_ *store.Tx, e flow.Ended) error { ended = append(ended, e); return nil },
			Tasks: map[string]flow.Task{arn("work"): func(ctx context.Context, _ flow.Call) (store.Effect, error) {
				<-ctx.Done()
				return store.Effect{}, ctx.Err()
			}}})
		start(t, e, s, "o-1", nil)
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != "TIMED_OUT" || time.Since(begin).Round(time.Second) != 10*time.Second || len(ended) != 1 {
			t.Errorf("%s after %v, OnFailed: %v", d.Status, time.Since(begin), ended)
		}
	})
}

func TestAHeartbeatThatCannotComeIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begin := newStore(), time.Now()
		e := engine(t, flow.Options{Store: s, Definition: []byte(one(`,"TimeoutSeconds":60,"HeartbeatSeconds":7,
			"Catch":[{"ErrorEquals":["States.HeartbeatTimeout"],"Next":"Put back"}]`)),
			Tasks: map[string]flow.Task{arn("undo"): counted, arn("work"): func(ctx context.Context, _ flow.Call) (store.Effect, error) {
				<-ctx.Done()
				return store.Effect{}, ctx.Err()
			}}})
		start(t, e, s, "o-1", nil)
		settle(t, e)
		if n := effects(t, s, "o-1", "Put back"); n != 1 || time.Since(begin).Round(time.Second) != 7*time.Second {
			t.Errorf("caught %d times after %v", n, time.Since(begin))
		}
	})
}

func TestAJournalOfMoreThanAPageIsReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tries := newStore(), 0
		o := flow.Options{Store: s, Definition: []byte(one(`,"Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":1,"MaxDelaySeconds":300,"MaxAttempts":1200}]`)),
			Tasks: map[string]flow.Task{arn("work"): func(context.Context, flow.Call) (store.Effect, error) {
				if tries++; tries <= 1100 {
					return store.Effect{}, fault.New(fault.Transient, "not now")
				}
				return store.Effect{Result: "at last"}, nil
			}}}
		e := engine(t, o)
		start(t, e, s, "o-1", nil)
		for tries < 1050 { // 2,100 entries
			ran, wake, err := e.RunOne(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !ran {
				<-time.After(time.Until(wake))
			}
		}
		e = engine(t, o)
		settle(t, e)
		d := describe(t, e, "o-1")
		if d.Output != "at last" || tries != 1101 || len(d.History) < 3000 {
			t.Errorf("%v after %d tries, %d events", d.Output, tries, len(d.History))
		}
	})
}

func TestAClockThatIsSetBackDoesNotTurnTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, now := newStore(), time.Now()
		e := engine(t, flow.Options{Store: s, Definition: []byte(steps("a", "b")), Now: func() time.Time { return now },
			Tasks: map[string]flow.Task{arn("b"): counted, arn("a"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
				now = now.Add(-time.Hour)
				return counted(ctx, c)
			}}})
		start(t, e, s, "o-1", nil)
		settle(t, e)
		d := describe(t, e, "o-1")
		if d.Status != "SUCCEEDED" || !d.Ended.Equal(d.Started) {
			t.Errorf("%s, from %v to %v", d.Status, d.Started, d.Ended)
		}
	})
}

func TestATaskWhoseDriverIsStoppedRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		ctx, cancel := context.WithCancel(t.Context())
		var attempts []string
		e := engine(t, flow.Options{Store: s, Definition: []byte(one(``)), Tasks: map[string]flow.Task{
			arn("work"): func(within context.Context, c flow.Call) (store.Effect, error) {
				attempts = append(attempts, c.Attempt)
				cancel()
				if within.Err() != nil && len(attempts) == 1 {
					return store.Effect{}, within.Err()
				}
				return counted(within, c)
			}}})
		start(t, e, s, "o-1", nil)
		if ran, _, err := e.RunOne(ctx); ran || err == nil {
			t.Errorf("ran = %t, %v", ran, err)
		}
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != "SUCCEEDED" || len(attempts) != 2 || attempts[0] != attempts[1] {
			t.Errorf("%s, attempts %v", d.Status, attempts)
		}
	})
}
