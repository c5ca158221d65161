package flow_test

import (
	"context"
	"fmt"
	"reflect"
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
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestStartIsIdempotent(t *testing.T) {
	input := map[string]any{"a": 1, "b": []string{"x"}}
	world := func(t *testing.T) (*flow.Engine, *memstore.Store) {
		s := newStore()
		return engine(t, flow.Options{Store: s, Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted}}), s
	}
	t.Run("the same name and input are the same execution, open or ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, s := world(t)
			first, err := e.Start(t.Context(), "o-1", input)
			if err != nil || !first.Open || first.Definition == "" {
				t.Fatalf("%+v, %v", first, err)
			}
			<-time.After(time.Minute)
			again, err := e.Start(t.Context(), "o-1", struct {
				B []string `json:"b"`
				A int      `json:"a"`
			}{[]string{"x"}, 1})
			if err != nil || again != first {
				t.Errorf("%+v, %v, want %+v", again, err, first)
			}
			settle(t, e)
			again, err = e.Start(t.Context(), "o-1", input)
			if err != nil || again.Status != asl.StatusSucceeded || !again.Started.Equal(first.Started) || again.Ended.IsZero() {
				t.Errorf("%+v, %v", again, err)
			}
			settle(t, e)
			if n := effects(t, s, "o-1", "Work"); n != 1 {
				t.Errorf("it ran %d times", n)
			}
		})
	})
	t.Run("another input is refused, also when the first one's is forgotten: then the same one is known by its hash", func(t *testing.T) {
		e, _ := world(t)
		refused := func(input any) {
			t.Helper()
			if _, err := e.Start(t.Context(), "o-1", input); !fault.Is(err, fault.IdempotencyKeyReused) {
				t.Errorf("%v: %v", input, err)
			}
		}
		if _, err := e.Start(t.Context(), "o-1", input); err != nil {
			t.Fatal(err)
		}
		refused(nil)
		refused(map[string]any{"a": 1})
		settle(t, e)
		refused(nil)
		if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
			t.Fatal(err)
		}
		refused(nil)
		refused(map[string]any{"a": 1})
		if d, err := e.Start(t.Context(), "o-1", map[string]any{"b": []any{"x"}, "a": 1}); err != nil || d.Status != asl.StatusSucceeded {
			t.Errorf("%+v, %v", d, err)
		}
	})
	t.Run("what cannot be an execution is refused", func(t *testing.T) {
		e, _ := world(t)
		for name, input := range map[string]any{"": nil, "a b": nil, "f": func() {}} {
			if _, err := e.Start(t.Context(), name, input); !fault.Is(err, fault.BadRequest) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := e.Start(t.Context(), "big", strings.Repeat("x", 256<<10)); !fault.Is(err, fault.PayloadTooLarge) {
			t.Errorf("%v", err)
		}
	})
	t.Run("of many at once one begins it, and all have it", func(t *testing.T) {
		e, s := world(t)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if d, err := e.Start(t.Context(), "o-1", input); err != nil || d.Name != "o-1" {
					t.Errorf("%+v, %v", d, err)
				}
			})
		}
		all.Wait()
		settle(t, e)
		if n := effects(t, s, "o-1", "Work"); n != 1 {
			t.Errorf("it ran %d times", n)
		}
	})
	t.Run("a start whose reply was lost is repeated, and one that was not sent", func(t *testing.T) {
		for _, what := range []fate{replyLost, notSent} {
			u := &unreliable{Store: newStore()}
			u.fate = func(n int64) fate {
				if n == 1 {
					return what
				}
				return commits
			}
			e := engine(t, flow.Options{Store: u, Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted}})
			if _, err := e.Start(t.Context(), "o-1", input); !fault.Is(err, fault.Transient) {
				t.Fatalf("%v: %v", what, err)
			}
			if _, err := e.Start(t.Context(), "o-1", input); err != nil {
				t.Fatalf("%v: %v", what, err)
			}
			settle(t, e)
			if n := effects(t, u, "o-1", "Work"); n != 1 {
				t.Errorf("%v: it ran %d times", what, n)
			}
		}
	})
}

const stoppable = `{"StartAt":"Pause","States":{
	"Pause":{"Type":"Wait","SecondsPath":"$.pause","Next":"Work"},
	"Work":{"Type":"Task","Resource":"work","Next":"Then","Retry":[{"ErrorEquals":["States.ALL"],"MaxAttempts":9}]%s},
	"Then":{"Type":"Task","Resource":"then","End":true}}}`

func TestStop(t *testing.T) {
	for _, limit := range []string{``, `,"TimeoutSeconds":600`} {
		t.Run("the context of a task that runs ends, its effect is dropped, nothing follows"+limit, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, calls, ended := newStore(), 0, 0
				var hook []flow.Ended
				e := engine(t, flow.Options{Store: s, Definition: fmt.Appendf(nil, stoppable, limit), Tasks: map[string]flow.Task{
					"work": func(ctx context.Context, c flow.Call) (store.Effect, error) {
						calls++
						<-ctx.Done()
						ended++
						return counted(ctx, c) // too late
					}, "then": counted,
				}, OnFailed: func(_ *store.Tx, x flow.Ended) error { hook = append(hook, x); return nil }})
				stop := running(t, e)
				start(t, e, s, "o-1", map[string]any{"pause": 0})
				<-time.After(time.Second)
				d, err := e.Stop(t.Context(), "o-1", "Operator", "not any more")
				if err != nil || d.Status != asl.StatusAborted || d.Ended.IsZero() {
					t.Fatalf("%+v, %v", d, err)
				}
				synctest.Wait()
				if calls != 1 || ended != 1 || e.Open() != 0 {
					t.Errorf("%d calls, %d ended, %d open", calls, ended, e.Open())
				}
				<-time.After(time.Hour)
				if n := effects(t, s, "o-1", "Work") + effects(t, s, "o-1", "Then"); n != 0 || calls != 1 {
					t.Errorf("%d effects after the end, %d calls", n, calls)
				}
				x := describe(t, e, "o-1")
				if x.Status != asl.StatusAborted || x.Error != "Operator" || x.Cause != "not any more" || x.State != "Work" || !x.Ended.Equal(d.Ended) {
					t.Errorf("%+v", x)
				}
				if last := x.History[len(x.History)-1]; last.Type != "ExecutionAborted" || last.Error != "Operator" {
					t.Errorf("the last event is %+v", last)
				}
				if len(hook) != 1 || hook[0].Status != asl.StatusAborted || hook[0].Error != "Operator" {
					t.Errorf("OnFailed: %+v", hook)
				}
				if again, err := e.Stop(t.Context(), "o-1", "Other", ""); err != nil || again != d {
					t.Errorf("once more: %+v, %v", again, err)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
	for _, pause := range []int{30, 3600} { // one that is kept in memory, one that is read anew
		t.Run(fmt.Sprintf("one that waits %d s is gone at once", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				e := engine(t, flow.Options{Store: s, Definition: fmt.Appendf(nil, stoppable, ""), Tasks: map[string]flow.Task{"work": counted, "then": counted}})
				stop := running(t, e)
				start(t, e, s, "o-1", map[string]any{"pause": pause})
				<-time.After(time.Second)
				if d, err := e.Stop(t.Context(), "o-1", "", ""); err != nil || d.Open {
					t.Errorf("%+v, %v", d, err)
				}
				synctest.Wait()
				if e.Open() != 0 {
					t.Error("it is still there")
				}
				<-time.After(2 * time.Hour)
				if n := effects(t, s, "o-1", "Work"); n != 0 {
					t.Error("it went on")
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("one that has ended stays as it is, and one that is not there is not found", func(t *testing.T) {
		e := engine(t, flow.Options{Store: newStore(), Definition: []byte(one("")), Tasks: map[string]flow.Task{arn("work"): counted}})
		if _, err := e.Start(t.Context(), "o-1", nil); err != nil {
			t.Fatal(err)
		}
		settle(t, e)
		if d, err := e.Stop(t.Context(), "o-1", "E", ""); err != nil || d.Status != asl.StatusSucceeded {
			t.Errorf("%+v, %v", d, err)
		}
		for _, name := range []string{"o-2", "open#00", ""} {
			if _, err := e.Stop(t.Context(), name, "", ""); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := e.Stop(t.Context(), "o-1", strings.Repeat("x", 257), ""); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a name whose owner has deleted it can be stopped and begun again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Definition: fmt.Appendf(nil, stoppable, ""), Tasks: map[string]flow.Task{"work": counted, "then": counted}})
			start(t, e, s, "o-1", map[string]any{"pause": 3600})
			if _, _, err := e.RunOne(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Stop(t.Context(), "o-1", "", ""); err != nil {
				t.Fatal(err)
			}
			settle(t, e)
			if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), func(tx *store.Tx) error { flow.StageForget(tx, "o-1"); return nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Start(t.Context(), "o-1", map[string]any{"pause": 0}); err != nil {
				t.Fatal(err)
			}
			settle(t, e)
			if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("of many tasks those that run end, and those that wait for a worker do not begin", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			var calls, ended atomic.Int64
			e := engine(t, flow.Options{Store: s, Definition: mapped(""), Workers: 3, PerExecution: 10, Tasks: map[string]flow.Task{
				arn("each"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
					calls.Add(1)
					<-ctx.Done()
					ended.Add(1)
					return counted(ctx, c) // too late
				}}})
			stop := running(t, e)
			start(t, e, s, "o-1", items(20))
			<-time.After(time.Second)
			if d, err := e.Stop(t.Context(), "o-1", "", ""); err != nil || d.Status != asl.StatusAborted {
				t.Errorf("%+v, %v", d, err)
			}
			synctest.Wait()
			if calls.Load() != 3 || ended.Load() != 3 || e.Open() != 0 {
				t.Errorf("%d began, %d ended, %d open", calls.Load(), ended.Load(), e.Open())
			}
			if n := effects(t, s, "o-1", "Each"); n != 0 {
				t.Errorf("took effect %d times", n)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("one of a long journal that moves all the time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := slowStore{newStore()}
			e := engine(t, flow.Options{Store: s, Definition: mapped(""), Tasks: map[string]flow.Task{arn("each"): always(nil, nil)}})
			stop := running(t, e)
			start(t, e, s, "o-1", items(3000))
			<-time.After(time.Second / 2)
			if d, err := e.Stop(t.Context(), "o-1", "E", ""); err != nil || d.Status != asl.StatusAborted {
				t.Errorf("%+v, %v", d, err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a stop survives a crash, a lost reply and a lost call: it is made again", func(t *testing.T) {
		for _, what := range []fate{crashBefore, crashAfter, replyLost, notSent} {
			synctest.Test(t, func(t *testing.T) {
				u, hit := &unreliable{Store: newStore()}, false
				o := flow.Options{Store: u, Definition: fmt.Appendf(nil, stoppable, ""), Tasks: map[string]flow.Task{"work": counted, "then": counted}}
				e := engine(t, o)
				start(t, e, u, "o-1", map[string]any{"pause": 3600})
				if _, _, err := e.RunOne(t.Context()); err != nil {
					t.Fatal(err)
				}
				u.fate = func(int64) fate {
					if hit {
						return commits
					}
					hit = true
					return what
				}
				if !survives(func() { _, _ = e.Stop(t.Context(), "o-1", "E", "") }) {
					e = engine(t, o)
				}
				if d, err := e.Stop(t.Context(), "o-1", "E", ""); err != nil || d.Status != asl.StatusAborted {
					t.Errorf("%v: %+v, %v", what, d, err)
				}
				settle(t, e)
				if n := effects(t, u, "o-1", "Work"); n != 0 || e.Open() != 0 || describe(t, e, "o-1").Error != "E" {
					t.Errorf("%v: %d effects, %d open", what, n, e.Open())
				}
			})
		}
	})
}

// slowStore takes its time: for a commit to be synced, and to read much.
type slowStore struct{ store.Store }

func (s slowStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	<-time.After(time.Millisecond)
	return err
}

func (s slowStore) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	page, err := s.Store.Range(ctx, q)
	<-time.After(time.Duration(len(page)) * 5 * time.Microsecond)
	return page, err
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		work := func(_ context.Context, c flow.Call) (store.Effect, error) {
			if strings.HasPrefix(c.Execution, "bad") {
				return store.Effect{}, fault.New(fault.PaymentDeclined, "no")
			}
			return store.Effect{}, nil
		}
		e := engine(t, flow.Options{Store: s, Definition: fmt.Appendf(nil, `{"StartAt":"W","States":{
			"W":{"Type":"Wait","SecondsPath":"$","Next":"T"},"T":{"Type":"Task","Resource":"work","End":true}}}`), Tasks: map[string]flow.Task{"work": work}})
		for i := range 7 {
			for kind, pause := range map[string]int{"bad": 0, "good": 0, "open": 1 << 20, "stopped": 1 << 20} {
				name := fmt.Sprint(kind, "-", i)
				if _, err := e.Start(t.Context(), name, pause); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 200 {
			if _, _, err := e.RunOne(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 7 {
			if _, err := e.Stop(t.Context(), fmt.Sprint("stopped-", i), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		for status, want := range map[asl.Status]string{
			asl.StatusRunning: "open", asl.StatusFailed: "bad", asl.StatusSucceeded: "good", asl.StatusAborted: "stopped", asl.StatusTimedOut: "", "": "*",
		} {
			var names []string
			pages, after := 0, ""
			for {
				page, next, err := e.List(t.Context(), s, status, after, 3)
				if err != nil || len(page) > 3 {
					t.Fatalf("%s: %d, %v", status, len(page), err)
				}
				for _, x := range page {
					if status != "" && x.Status != status || x.Open != (x.Status == asl.StatusRunning) || x.Ended.IsZero() != x.Open {
						t.Errorf("%s: %+v", status, x)
					}
					names = append(names, x.Name)
				}
				if pages++; next == "" {
					break
				}
				after = next
			}
			var expected []string
			for _, kind := range []string{"bad", "good", "open", "stopped"} {
				for i := range 7 {
					if want == kind || want == "*" {
						expected = append(expected, fmt.Sprint(kind, "-", i))
					}
				}
			}
			if !slices.Equal(names, expected) {
				t.Errorf("%s, in %d pages: %v", status, pages, names)
			}
		}
		if _, _, err := e.List(t.Context(), s, "", "", 0); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v", err)
		}
	})
}

// A machine that goes round for ever ends where its history is as long as Step Functions lets it be, and its journal with it, also if the process dies at
// one of the last writes.
func TestAHistoryIsBounded(t *testing.T) {
	var want flow.Execution
	var writes int64
	play := func(n int64, f fate) {
		synctest.Test(t, func(t *testing.T) {
			s, calls := &unreliable{Store: newStore(), fate: func(i int64) fate {
				if i == n {
					return f
				}
				return commits
			}}, 0
			o := flow.Options{Store: s, RedriveWithin: flow.RedrivePeriod, Definition: []byte(`{"StartAt":"Round","States":{
				"Round":{"Type":"Task","Resource":"work","ResultPath":null,"Next":"More"},
				"More":{"Type":"Choice","Choices":[{"Variable":"$.enough","IsPresent":true,"Next":"Done"}],"Default":"Round"},
				"Done":{"Type":"Succeed"}}}`),
				Tasks: map[string]flow.Task{"work": func(context.Context, flow.Call) (store.Effect, error) { calls++; return store.Effect{}, nil }}}
			e := engine(t, o)
			start(t, e, s.Store, "o-1", map[string]any{})
			for !survives(func() { settle(t, e) }) {
				e = engine(t, o)
			}
			d := describe(t, e, "o-1")
			if d.Status != asl.StatusFailed || d.Error != "States.Runtime" || d.Cause != "The execution reached the maximum number of history events (25000)." {
				t.Errorf("%s %s: %s", d.Status, d.Error, d.Cause)
			}
			if n := len(d.History); n < 24_990 || n > 25_010 { // a task that is under way has its events
				t.Errorf("%d events", n)
			}
			if d.NotRedrivable != "Execution history event limit exceeded" {
				t.Errorf("redrivable: %q", d.NotRedrivable)
			}
			journal := 0
			if err := store.Each(t.Context(), s, store.Query{Table: flow.Table, PK: "o-1", Prefix: "j#"}, func(store.Entry) error { journal++; return nil }); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				want, writes = d, s.updates.Load()
				if journal != calls || journal > 25_000/5 {
					t.Errorf("%d entries of %d calls", journal, calls)
				}
			} else if len(d.History) != len(want.History) || d.State != want.State || calls < journal || calls > journal+1 {
				t.Errorf("%s %d: %d events in %s, want %d in %s; %d entries of %d calls", f, n, len(d.History), d.State, len(want.History), want.State, journal, calls)
			}
			if err := e.ForgetJournal(t.Context(), "o-1"); err != nil {
				t.Fatal(err)
			}
			left, err := s.Range(t.Context(), store.Query{Table: flow.Table, PK: "o-1"})
			if err != nil || len(left) != 1 {
				t.Errorf("%d rows are left, %v", len(left), err)
			}
		})
	}
	play(0, commits)
	for _, f := range []fate{crashBefore, crashAfter} {
		for n := writes - 1; n <= writes; n++ {
			play(n, f)
		}
	}
}

func TestAnExecutionKeepsTheARNsThatItWasStartedWith(t *testing.T) {
	definition := []byte(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":5,"Next":"Say"},
		"Say":{"Type":"Pass","Parameters":{"execution.$":"$$.Execution.Id","role.$":"$$.Execution.RoleArn","machine.$":"$$.StateMachine.Id"},"End":true}}}`)
	for rule, c := range map[string]struct {
		began, goesOn flow.Options
		want          map[string]any
	}{
		"those of nowhere": {flow.Options{}, flow.Options{Region: "eu-central-1", Account: "111111111111"}, map[string]any{
			"execution": "arn:aws:states:local:000000000000:execution:cloudflow:o-1", "role": "arn:aws:iam::000000000000:role/cloudflow",
			"machine": "arn:aws:states:local:000000000000:stateMachine:cloudflow",
		}},
		"those of a region and an account": {flow.Options{Region: "eu-central-1", Account: "111111111111", Name: "orders"}, flow.Options{}, map[string]any{
			"execution": "arn:aws:states:eu-central-1:111111111111:execution:orders:o-1", "role": "arn:aws:iam::111111111111:role/orders",
			"machine": "arn:aws:states:eu-central-1:111111111111:stateMachine:orders",
		}},
		"those of an account alone": {flow.Options{Account: "111111111111"}, flow.Options{}, map[string]any{
			"execution": "arn:aws:states:local:111111111111:execution:cloudflow:o-1", "role": "arn:aws:iam::111111111111:role/cloudflow",
			"machine": "arn:aws:states:local:111111111111:stateMachine:cloudflow",
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				for _, o := range []*flow.Options{&c.began, &c.goesOn} {
					o.Store, o.Definition = s, definition
				}
				start(t, engine(t, c.began), s, "o-1", nil)
				e := engine(t, c.goesOn)
				settle(t, e)
				if d := describe(t, e, "o-1"); !reflect.DeepEqual(d.Output, c.want) {
					t.Errorf("%s with %v, want %v", d.Status, d.Output, c.want)
				}
			})
		})
	}
}
