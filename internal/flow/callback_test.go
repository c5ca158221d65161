package flow_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const approval = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"

// asking is a machine that asks somebody, with more members of that state, and then works.
func asking(members string) []byte {
	return fmt.Appendf(nil, `{"StartAt":"Ask","States":{
		"Ask":{"Type":"Task","Resource":%q,"Parameters":{"token.$":"$$.Task.Token","for.$":"$.order"},"ResultPath":"$.answer","Next":"Work"%s},
		"Work":{"Type":"Task","Resource":"work","ResultPath":null,"Next":"Done"},
		"Done":{"Type":"Succeed"}}}`, approval, members)
}

func asker(s store.Store, definition []byte) flow.Options {
	return flow.Options{Store: s, Definition: definition, Tasks: map[string]flow.Task{approval: counted, "work": counted}}
}

// ask starts an execution that waits for its answer, and returns the task.
func ask(t *testing.T, e *flow.Engine, s store.Store, name string) flow.HandedOut {
	t.Helper()
	start(t, e, s, name, map[string]any{"order": 7})
	settle(t, e)
	return handedOut(t, e, 1)[0]
}

func handedOut(t *testing.T, e *flow.Engine, n int) []flow.HandedOut {
	t.Helper()
	page, next, err := e.HandedOut(t.Context(), "", 1000)
	if err != nil || len(page) != n || next != "" {
		t.Fatalf("handed out: %+v, next %q, %v; want %d", page, next, err, n)
	}
	return page
}

// sent sends an answer, drives the engine until nothing is due, and returns what the sender heard.
func sent(t *testing.T, e *flow.Engine, send func(context.Context) error) error {
	t.Helper()
	err := taken(t, e, send)
	settle(t, e)
	return err
}

// taken sends an answer, drives the engine until the sender hears what became of it, and returns that.
func taken(t *testing.T, e *flow.Engine, send func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // if the process dies
	heard := make(chan error, 1)
	go func() { heard <- send(ctx) }()
	for range 10_000 {
		synctest.Wait()
		select {
		case err := <-heard:
			return err
		default:
		}
		ran, wake, err := e.RunOne(t.Context())
		switch {
		case err != nil:
			t.Fatalf("RunOne: %v", err)
		case !ran && wake.IsZero():
			t.Fatal("nobody hears the answer")
		case !ran:
			<-time.After(time.Until(wake))
		}
	}
	t.Fatal("the answer is not taken")
	return nil
}

func refusedAs(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%v, want %s", err, kind)
	}
}

// rowsLeft counts the rows of tasks that are handed out, also those that nobody is shown.
func rowsLeft(t *testing.T, s store.Store) (n int) {
	t.Helper()
	for shard := range 16 {
		err := store.Each(t.Context(), s, store.Query{Table: flow.Table, PK: fmt.Sprintf("task#%02d", shard)}, func(store.Entry) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestATaskIsHandedOutAndCalledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := asker(s, asking(`,"TimeoutSeconds":2592000,"HeartbeatSeconds":86400`))
		var given flow.Call
		o.Tasks[approval] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
			given = c
			return counted(ctx, c)
		}
		e := engine(t, o)
		stop := running(t, e)
		start(t, e, s, "o-1", map[string]any{"order": 7})
		synctest.Wait()
		task := handedOut(t, e, 1)[0]
		began := time.Now().UTC()
		input, _ := given.Input.(map[string]any)
		if given.Token == "" || input["token"] != given.Token || task.Token != given.Token {
			t.Errorf("the function has %q, its input %v, the row %q", given.Token, input, task.Token)
		}
		if task.Execution != "o-1" || task.State != "Ask" || task.Resource != approval || !task.Since.Equal(began) || !task.Until.Equal(began.Add(24*time.Hour)) {
			t.Errorf("%+v", task)
		}
		if d := describe(t, e, "o-1"); !slices.Equal(d.Awaits, []string{"Ask"}) || !d.Wakes.IsZero() || flow.ExecutionOf(task.Token) != "o-1" {
			t.Errorf("it awaits %q until %v; the token is of %q", d.Awaits, d.Wakes, flow.ExecutionOf(task.Token))
		}
		<-time.After(12 * time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		e = engine(t, o) // another process
		stop = running(t, e)
		if err := e.SendTaskSuccess(t.Context(), task.Token, map[string]any{"approved": true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d := describe(t, e, "o-1")
		if out := string(asl.AppendJSON(nil, d.Output)); d.Status != asl.StatusSucceeded || out != `{"answer":{"approved":true},"order":7}` {
			t.Errorf("%s %s", d.Status, out)
		}
		if d.Awaits != nil || flow.ExecutionOf("o-1") != "" {
			t.Errorf("it awaits %q; o-1 is a token of %q", d.Awaits, flow.ExecutionOf("o-1"))
		}
		var types []string
		for _, h := range d.History[2:6] {
			types = append(types, fmt.Sprint(h.Type, " ", h.Time.Sub(began), " ", string(asl.AppendJSON(nil, h.Output))))
		}
		if want := []string{"TaskScheduled 0s null", "TaskStarted 0s null", `TaskSubmitted 0s {"state":"Ask"}`, `TaskSucceeded 12h0m0s {"approved":true}`}; !slices.Equal(types, want) {
			t.Errorf("%q", types)
		}
		if n := effects(t, s, "o-1", "Ask"); n != 1 {
			t.Errorf("it was handed out %d times", n)
		}
		handedOut(t, e, 0)
		refusedAs(t, e.SendTaskSuccess(t.Context(), task.Token, nil), fault.TaskTimedOut)
		refusedAs(t, e.SendTaskHeartbeat(t.Context(), task.Token), fault.TaskTimedOut)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestACallbackThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, asker(s, asking(`,"Retry":[{"ErrorEquals":["Later"],"IntervalSeconds":60,"MaxAttempts":1}],"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Done"}]`)))
		first := ask(t, e, s, "o-1")
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskFailure(ctx, first.Token, "Later", "on holiday") }); err != nil {
			t.Fatal(err)
		}
		second := handedOut(t, e, 1)[0] // the minute has passed: settle waits
		if second.Token == first.Token {
			t.Error("the next attempt has the same token")
		}
		refusedAs(t, sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, first.Token, true) }), fault.TaskTimedOut)
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskFailure(ctx, second.Token, "No", "") }); err != nil {
			t.Fatal(err)
		}
		d := describe(t, e, "o-1")
		if out := string(asl.AppendJSON(nil, d.Output)); out != `{"e":{"Cause":null,"Error":"No"},"order":7}` {
			t.Errorf("%s %s", d.Status, out)
		}
		if n := effects(t, s, "o-1", "Ask"); n != 2 || rowsLeft(t, s) != 0 {
			t.Errorf("%d handed out, %d rows", n, rowsLeft(t, s))
		}
	})
}

func TestWhatIsNoTokenOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, asker(s, asking(``)))
		good := ask(t, e, s, "o-1").Token
		raw, err := base64.RawURLEncoding.DecodeString(good[1:])
		if err != nil {
			t.Fatal(err)
		}
		changed := func(at int, to byte) string {
			b := slices.Clone(raw)
			b[at] = to
			return "t" + base64.RawURLEncoding.EncodeToString(b)
		}
		for _, c := range []struct {
			what, token string
			kind        fault.Kind
		}{
			{"nothing", "", fault.BadRequest},
			{"no base64", "é", fault.BadRequest},
			{"another letter", "T" + good[1:], fault.BadRequest},
			{"a MAC alone", "t" + base64.RawURLEncoding.EncodeToString(raw[:16]), fault.BadRequest},
			{"no name", "t" + base64.RawURLEncoding.EncodeToString(raw[:17]), fault.BadRequest},
			{"an impossible name", changed(len(raw)-1, '#'), fault.BadRequest},
			{"a longer one", good + "AAAA", fault.BadRequest},
			{"another MAC", changed(0, raw[0]^1), fault.TaskDoesNotExist},
			{"another task", changed(16, raw[16]+2), fault.TaskDoesNotExist},
			{"another execution", changed(len(raw)-1, '2'), fault.TaskDoesNotExist},
		} {
			for call, send := range map[string]func() error{
				"success":   func() error { return e.SendTaskSuccess(t.Context(), c.token, nil) },
				"failure":   func() error { return e.SendTaskFailure(t.Context(), c.token, "", "") },
				"heartbeat": func() error { return e.SendTaskHeartbeat(t.Context(), c.token) },
			} {
				if err := send(); !fault.Is(err, c.kind) {
					t.Errorf("%s, %s: %v, want %s", c.what, call, err, c.kind)
				}
			}
		}
		start(t, e, s, "o-2", map[string]any{"order": 8}) // "another execution" exists, and has a key of its own
		settle(t, e)
		refusedAs(t, e.SendTaskSuccess(t.Context(), changed(len(raw)-1, '2'), nil), fault.TaskDoesNotExist)
		refusedAs(t, e.SendTaskSuccess(t.Context(), good, strings.Repeat("x", 256<<10)), fault.PayloadTooLarge)
		refusedAs(t, e.SendTaskSuccess(t.Context(), good, func() {}), fault.BadRequest)
		refusedAs(t, e.SendTaskFailure(t.Context(), good, strings.Repeat("x", 257), ""), fault.BadRequest)
		refusedAs(t, e.SendTaskFailure(t.Context(), good, "", strings.Repeat("x", 32769)), fault.BadRequest)
		handedOut(t, e, 2)
	})
}

// TestATaskThatIsHandedOutTimesOut restarts the engine between: neither the time since when it waits nor a heartbeat is forgotten.
func TestATaskThatIsHandedOutTimesOut(t *testing.T) {
	const caught = `,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Done"}]`
	for _, c := range []struct {
		what, members string
		beats         []time.Duration // after the start
		over          time.Duration
	}{
		{"after its timeout", `,"TimeoutSeconds":7200`, nil, 2 * time.Hour},
		{"after its heartbeat", `,"TimeoutSeconds":7200,"HeartbeatSeconds":30`, nil, 30 * time.Second},
		{"after the last heartbeat", `,"HeartbeatSeconds":3600`, []time.Duration{59 * time.Minute, 100 * time.Minute}, 160 * time.Minute},
		{"after its timeout, heartbeats or not", `,"TimeoutSeconds":6000,"HeartbeatSeconds":3600`, []time.Duration{59 * time.Minute, 99 * time.Minute}, 100 * time.Minute},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted: %v", c.what, restarts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStore()
					o := asker(s, asking(c.members+caught))
					e := engine(t, o)
					stop := running(t, e)
					start(t, e, s, "o-1", map[string]any{"order": 1})
					began := time.Now()
					synctest.Wait()
					token := handedOut(t, e, 1)[0].Token
					for _, at := range c.beats {
						<-time.After(time.Until(began.Add(at)))
						if err := e.SendTaskHeartbeat(t.Context(), token); err != nil {
							t.Fatal(err)
						}
						if restarts {
							if err := stop(); err != nil {
								t.Fatal(err)
							}
							e = engine(t, o)
							stop = running(t, e)
						}
					}
					<-time.After(10 * time.Hour)
					d := describe(t, e, "o-1")
					out, _ := d.Output.(map[string]any)
					failure, _ := out["e"].(map[string]any)
					if took := d.Ended.Sub(began); took != c.over || failure["Error"] != "States.Timeout" {
						t.Errorf("ended after %s with %v, want %s", took, failure["Error"], c.over)
					}
					refusedAs(t, e.SendTaskHeartbeat(t.Context(), token), fault.TaskTimedOut)
					refusedAs(t, e.SendTaskSuccess(t.Context(), token, nil), fault.TaskTimedOut)
					if n := rowsLeft(t, s); n != 0 {
						t.Errorf("%d rows", n)
					}
					if err := stop(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// TestAHeartbeatAndTheSilenceRace lets a heartbeat come in just before the commit that would tell of a silence.
func TestAHeartbeatAndTheSilenceRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *flow.Engine
		var token string
		s := &unreliable{Store: newStore()}
		e = engine(t, asker(s, asking(`,"HeartbeatSeconds":60`)))
		start(t, e, s.Store, "o-1", map[string]any{"order": 1})
		for token == "" { // not settle, which would wait for the silence
			if _, _, err := e.RunOne(t.Context()); err != nil {
				t.Fatal(err)
			}
			if page, _, _ := e.HandedOut(t.Context(), "", 1); len(page) > 0 {
				token = page[0].Token
			}
		}
		beats := 0
		s.fate = func(int64) fate {
			if beats++; beats == 1 { // the Update of the silence
				if err := e.SendTaskHeartbeat(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
			return commits
		}
		began := time.Now()
		settle(t, e)
		if d := describe(t, e, "o-1"); d.Status != asl.StatusFailed || d.Error != "States.Timeout" || d.Ended.Sub(began) != 2*time.Minute {
			t.Errorf("%s %s after %s", d.Status, d.Error, d.Ended.Sub(began))
		}
		if beats < 2 {
			t.Error("no heartbeat was sent")
		}
	})
}

func TestWhatClosesATaskBesideItsAnswer(t *testing.T) {
	parallel := `{"StartAt":"Both","States":{"Both":{"Type":"Parallel","End":true,"Branches":[
		{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"` + approval + `","End":true}}},
		{"StartAt":"Work","States":{"Work":{"Type":"Task","Resource":"work","End":true}}}],
		"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Rest"}]},
		"Rest":{"Type":"Wait","Seconds":600,"End":true}}}`
	closed := func(t *testing.T, e *flow.Engine, s store.Store, token string) {
		t.Helper()
		refusedAs(t, e.SendTaskHeartbeat(t.Context(), token), fault.TaskTimedOut)
		refusedAs(t, e.SendTaskSuccess(t.Context(), token, nil), fault.TaskTimedOut)
		refusedAs(t, e.SendTaskFailure(t.Context(), token, "", ""), fault.TaskTimedOut)
		if n := rowsLeft(t, s); n != 0 {
			t.Errorf("%d rows", n)
		}
	}
	t.Run("the failure of the branch beside it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			given := make(chan string, 1)
			o := asker(s, []byte(parallel))
			o.Tasks[approval] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
				given <- c.Token
				return counted(ctx, c)
			}
			o.Tasks["work"] = always(nil, fault.New(fault.OrderState, "no"))
			e := engine(t, o)
			stop := running(t, e)
			start(t, e, s, "o-1", nil)
			<-time.After(time.Minute)
			closed(t, e, s, <-given)
			<-time.After(time.Hour)
			if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded {
				t.Errorf("%+v", d)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a Stop, of one that waits for the answer alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, asker(s, asking(``)))
			stop := running(t, e)
			start(t, e, s, "o-1", map[string]any{"order": 1})
			<-time.After(time.Hour)
			token := handedOut(t, e, 1)[0].Token
			if d, err := e.Stop(t.Context(), "o-1", "", ""); err != nil || d.Open {
				t.Errorf("%+v, %v", d, err)
			}
			synctest.Wait()
			if e.Open() != 0 {
				t.Error("it is still there")
			}
			closed(t, e, s, token)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("the deadline of the machine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, asker(s, slices.Concat([]byte(`{"TimeoutSeconds":600,`), asking(``)[1:])))
			stop := running(t, e)
			start(t, e, s, "o-1", map[string]any{"order": 1})
			<-time.After(time.Minute)
			token := handedOut(t, e, 1)[0].Token
			<-time.After(time.Hour)
			if d := describe(t, e, "o-1"); d.Status != asl.StatusTimedOut || d.Ended.Sub(d.Started) != 10*time.Minute {
				t.Errorf("%+v", d)
			}
			closed(t, e, s, token)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestRowsThatACrashLeaves kills the process between a commit that closes a task by something else and the deletion of its row.
func TestRowsThatACrashLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		die := false
		s := &unreliable{Store: newStore(), fate: func(int64) fate {
			if die {
				return crashAfter
			}
			return commits
		}}
		e := engine(t, asker(s, asking(``)))
		token := ask(t, e, s.Store, "o-1").Token
		die = true
		if survives(func() { _, _ = e.Stop(t.Context(), "o-1", "", "") }) {
			t.Fatal("it did not die")
		}
		die = false
		if n := rowsLeft(t, s); n != 1 {
			t.Fatalf("%d rows: this test proves nothing", n)
		}
		e = engine(t, asker(s, asking(``)))
		settle(t, e)
		handedOut(t, e, 0)
		refusedAs(t, e.SendTaskHeartbeat(t.Context(), token), fault.TaskTimedOut)
		if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
			t.Fatal(err)
		}
		if n := rowsLeft(t, s); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestAnAnswerThatIsEarly comes while the function that hands the task out is still running, and waits for that.
func TestAnAnswerThatIsEarly(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("the function fails: %v", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				o := asker(s, asking(`,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"Done"}]`))
				var e *flow.Engine
				heard := make(chan error, 1)
				o.Tasks[approval] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
					go func() { heard <- e.SendTaskSuccess(context.WithoutCancel(ctx), c.Token, "yes") }()
					<-time.After(time.Second)
					if fails {
						return store.Effect{}, fault.New(fault.OrderState, "no")
					}
					return counted(ctx, c)
				}
				e = engine(t, o)
				stop := running(t, e)
				start(t, e, s, "o-1", map[string]any{"order": 1})
				<-time.After(time.Minute)
				if err := <-heard; fails != (err != nil) || fails && !fault.Is(err, fault.TaskTimedOut) {
					t.Errorf("the sender hears %v", err)
				}
				d := describe(t, e, "o-1")
				if out, _ := d.Output.(map[string]any); d.Status != asl.StatusSucceeded || !fails && out["answer"] != "yes" {
					t.Errorf("%s %v", d.Status, d.Output)
				}
				if n := effects(t, s, "o-1", "Ask"); n != 1 && !fails {
					t.Errorf("%d effects", n)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestManyCallbacksAtOnce has a Map's tasks answered by many at a time, each twice: one of the two is taken.
func TestManyCallbacksAtOnce(t *testing.T) {
	const n = 300
	s := newStore()
	e := engine(t, flow.Options{Store: s, Definition: []byte(`{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemsPath":"$.items","End":true,
		"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"` + approval + `","End":true}}}}}}`),
		Tasks: map[string]flow.Task{approval: always(nil, nil)}})
	stop := running(t, e)
	start(t, e, s, "o-1", items(n))
	deadline := time.Now().Add(time.Minute)
	for rowsLeft(t, s) < n && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	var taken, closed atomic.Int64
	var wait sync.WaitGroup
	for _, task := range handedOut(t, e, n) {
		for range 2 {
			wait.Go(func() {
				switch err := e.SendTaskSuccess(t.Context(), task.Token, task.Token); {
				case err == nil:
					taken.Add(1)
				case fault.Is(err, fault.TaskTimedOut):
					closed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
	}
	wait.Wait()
	if taken.Load() != n || closed.Load() != n {
		t.Errorf("%d taken, %d refused", taken.Load(), closed.Load())
	}
	for d, err := e.Head(t.Context(), "o-1"); d.Open && err == nil && time.Now().Before(deadline); d, err = e.Head(t.Context(), "o-1") {
		time.Sleep(time.Millisecond)
	}
	if out, _ := describe(t, e, "o-1").Output.([]any); len(out) != n || rowsLeft(t, s) != 0 {
		t.Errorf("%d results, %d rows", len(out), rowsLeft(t, s))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A countedReads store counts the pages that are read of the journal of "o-1".
type countedReads struct {
	store.Store
	n atomic.Int64
}

func (c *countedReads) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if q.PK == "o-1" {
		c.n.Add(1)
	}
	return c.Store.Range(ctx, q)
}

// TestAJournalIsNotReadForEachOfManyAnswers has a Map's tasks answered one by one: with a journal that is read for each, the time would grow with the
// square of their number.
func TestAJournalIsNotReadForEachOfManyAnswers(t *testing.T) {
	for _, members := range []string{``, `"TimeoutSeconds":86400,`} {
		synctest.Test(t, func(t *testing.T) {
			s := &countedReads{Store: newStore()}
			e := engine(t, flow.Options{Store: s, Definition: []byte(`{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemsPath":"$.items","End":true,
				"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Ask","States":{"Ask":{"Type":"Task",` + members + `"Resource":"` + approval + `","End":true}}}}}}`)})
			stop := running(t, e)
			start(t, e, s, "o-1", items(100))
			<-time.After(time.Hour)
			before := s.n.Load()
			for _, task := range handedOut(t, e, 100) {
				if err := e.SendTaskSuccess(t.Context(), task.Token, 1); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded {
				t.Errorf("it is %s", d.Status)
			}
			if n := s.n.Load() - before; n < 1 || n > 40 {
				t.Errorf("its journal was read %d times", n)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnAnswerWhoseFateIsUnknown is told as that: it may have been taken. The execution takes one answer in any case, be it its last or not.
func TestAnAnswerWhoseFateIsUnknown(t *testing.T) {
	last := fmt.Appendf(nil, `{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":%q,"Parameters":{"token.$":"$$.Task.Token"},"ResultPath":"$.answer","End":true}}}`, approval)
	for _, c := range []struct {
		fate
		definition []byte
	}{{replyLost, asking(``)}, {replyLost, last}, {notSent, asking(``)}, {storeAway, last}} {
		f := c.fate
		t.Run(f.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lose := false
				s := &unreliable{Store: newStore(), fate: func(int64) fate {
					if lose {
						lose = false
						return f
					}
					return commits
				}}
				e := engine(t, asker(s, c.definition))
				token := ask(t, e, s.Store, "o-1").Token
				lose = true
				err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "yes") })
				if f == replyLost {
					refusedAs(t, err, fault.Transient)
				} else if err != nil { // it is tried again until it is known
					t.Error(err)
				}
				refusedAs(t, e.SendTaskSuccess(t.Context(), token, "no"), fault.TaskTimedOut)
				if out, _ := describe(t, e, "o-1").Output.(map[string]any); out["answer"] != "yes" {
					t.Errorf("%v", out)
				}
			})
		})
	}
}

func TestAnEngineThatStopsTakesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		o := asker(s, asking(``))
		e := engine(t, o)
		stop := running(t, e)
		start(t, e, s, "o-1", map[string]any{"order": 1})
		synctest.Wait()
		token := handedOut(t, e, 1)[0].Token
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		refusedAs(t, e.SendTaskSuccess(t.Context(), token, "yes"), fault.Unavailable)
		e = engine(t, o)
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "yes") }); err != nil {
			t.Error(err)
		}
	})
}

// TestATaskThatIsHandedOutByItsCommitRidesAlong hands a task out in the commit of the one before it.
func TestATaskThatIsHandedOutByItsCommitRidesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreliable{Store: newStore()}
		o := asker(s, []byte(`{"StartAt":"Work","States":{"Work":{"Type":"Task","Resource":"work","Next":"Ask"},"Ask":{"Type":"Task","Resource":"`+approval+`","Next":"Then"},
			"Then":{"Type":"Task","Resource":"work","End":true}}}`))
		o.StagedOnly = stagedOnly("Ask", "Then")
		e := engine(t, o)
		if _, err := e.Start(t.Context(), "o-1", nil); err != nil {
			t.Fatal(err)
		}
		before := len(s.ops)
		settle(t, e)
		if n := len(s.ops) - before; n != 2 { // the definition's, and one for both tasks
			t.Errorf("%d commits", n)
		}
		token := handedOut(t, e, 1)[0].Token
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, 1) }); err != nil {
			t.Fatal(err)
		}
		if n := len(s.ops) - before; n != 3 {
			t.Errorf("%d commits with the answer", n)
		}
		if n := effects(t, s, "o-1", "Ask"); n != 1 || describe(t, e, "o-1").Status != asl.StatusSucceeded {
			t.Errorf("%d effects, %+v", n, describe(t, e, "o-1"))
		}
	})
}

// TestATaskWithoutAFunctionIsListed is of a machine whose callbacks are for whoever lists them.
func TestATaskWithoutAFunctionIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreliable{Store: newStore()}
		o := asker(s, asking(``))
		delete(o.Tasks, approval)
		e := engine(t, o)
		token := ask(t, e, s, "o-1").Token
		if err := sent(t, e, func(ctx context.Context) error { return e.SendTaskSuccess(ctx, token, "yes") }); err != nil {
			t.Fatal(err)
		}
		if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded {
			t.Errorf("%+v", d)
		}
	})
}

func TestHandedOutIsPaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		e := engine(t, asker(s, asking(``)))
		for i := range 25 {
			start(t, e, s, fmt.Sprintf("o-%02d", i), map[string]any{"order": i})
		}
		settle(t, e)
		var names []string
		for after, pages := "", 0; pages == 0 || after != ""; pages++ {
			page, next, err := e.HandedOut(t.Context(), after, 10)
			if err != nil || pages > 3 {
				t.Fatalf("page %d: %v", pages, err)
			}
			for _, task := range page {
				names = append(names, task.Execution)
			}
			after = next
		}
		if len(names) != 25 || !slices.IsSorted(names) {
			t.Errorf("%v", names)
		}
		if _, _, err := e.HandedOut(t.Context(), "", 0); !fault.Is(err, fault.BadRequest) {
			t.Error(err)
		}
	})
}
