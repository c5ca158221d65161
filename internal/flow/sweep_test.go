package flow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const day = 24 * time.Hour

// An engine on its own keeps what has ended for the time it was told, and its name for 90 days from the end.
func TestAnExecutionIsKeptAndThenDeleted(t *testing.T) {
	for keep, freed := range map[time.Duration]time.Duration{day: 90 * day, 100 * day: 100 * day} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := engine(t, flow.Options{Store: s, Dump: s, Keep: keep, Definition: fmt.Appendf(nil, `{"StartAt":"W","States":{
				"W":{"Type":"Wait","SecondsPath":"$.pause","Next":"T"},"T":{"Type":"Task","Resource":"work","End":true}}}`), Tasks: map[string]flow.Task{"work": counted}})
			stop := running(t, e)
			input := map[string]any{"pause": 3600}
			if _, err := e.Start(t.Context(), "o-1", input); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Start(t.Context(), "open", map[string]any{"pause": 3e7}); err != nil { // about a year
				t.Fatal(err)
			}
			<-time.After(time.Hour + time.Second)
			ended, err := e.Head(t.Context(), "o-1")
			if err != nil || ended.Status != asl.StatusSucceeded {
				t.Fatalf("%+v, %v", ended, err)
			}
			const sweep = time.Hour + time.Minute // within which one walk begins and ends
			<-time.After(time.Until(ended.Ended.Add(keep - time.Second)))
			if d := describe(t, e, "o-1"); d.Status != asl.StatusSucceeded || len(d.History) == 0 {
				t.Errorf("%+v", d)
			}
			if keep < freed {
				<-time.After(sweep)
				if _, err := e.Describe(t.Context(), "o-1"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "deleted when its time was over") {
					t.Errorf("%v", err)
				}
				<-time.After(time.Until(ended.Ended.Add(freed - time.Second)))
				if d, err := e.Start(t.Context(), "o-1", input); err != nil || d != ended {
					t.Errorf("%+v, %v, want %+v", d, err, ended)
				}
			}
			if _, err := e.Start(t.Context(), "o-1", nil); !fault.Is(err, fault.IdempotencyKeyReused) {
				t.Errorf("%v", err)
			}
			<-time.After(sweep)
			if _, err := e.Head(t.Context(), "o-1"); !fault.Is(err, fault.NotFound) {
				t.Errorf("%v", err)
			}
			if d, err := e.Start(t.Context(), "o-1", map[string]any{"pause": 1}); err != nil || !d.Open || !d.Started.After(ended.Ended) {
				t.Errorf("%+v, %v", d, err)
			}
			<-time.After(time.Minute)
			if n := effects(t, s, "o-1", "T"); n != 2 {
				t.Errorf("it ran %d times", n)
			}
			if d := describe(t, e, "open"); d.Status != asl.StatusRunning {
				t.Errorf("%+v", d)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// sweptWorld has executions that ended, by and by, of which some have journals longer than a commit, and some that are open.
type sweptWorld struct {
	s *unreliable
	m *memstore.Store
	o flow.Options
}

const sweptKeep = 10 * day

func newSweptWorld(t *testing.T, n int) *sweptWorld {
	t.Helper()
	w := &sweptWorld{m: newStore()}
	w.s = &unreliable{Store: w.m}
	w.o = flow.Options{Store: w.s, Dump: w.m, Keep: sweptKeep, RedriveWithin: 1000 * day, Definition: fmt.Appendf(nil, `{"StartAt":"C","States":{
		"C":{"Type":"Choice","Choices":[{"Variable":"$.pause","IsPresent":true,"Next":"W"}],"Default":"M"},
		"W":{"Type":"Wait","SecondsPath":"$.pause","End":true},
		"M":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":1,"ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"work","End":true}}},"Next":"F"},
		"F":{"Type":"Fail","Error":"E"}}}`), Tasks: map[string]flow.Task{"work": always(nil, nil)}}
	e := engine(t, w.o)
	for i := range n {
		name := fmt.Sprintf("x-%03d", i)
		var input any = items(i % 3)
		switch {
		case i%10 == 0:
			input = map[string]any{"pause": 9e7}
		case i%25 == 1:
			input = items(200)
		}
		if _, err := e.Start(t.Context(), name, input); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if ran, _, err := e.RunOne(t.Context()); err != nil {
			t.Fatal(err)
		} else if !ran {
			break
		}
	}
	return w
}

// walk sweeps to the end, and says how many pages that were.
func (w *sweptWorld) walk(t *testing.T, e *flow.Engine) (all flow.Swept, pages int) {
	t.Helper()
	for after := ""; ; {
		done, next, err := e.Sweep(t.Context(), after)
		all = flow.Swept{Looked: all.Looked + done.Looked, Forgotten: all.Forgotten + done.Forgotten, Freed: all.Freed + done.Freed}
		switch {
		case err != nil && !fault.Retryable(err):
			t.Fatal(err)
		case pages > 1000:
			t.Fatal("the walk has no end")
		case err == nil && next == "":
			return all, pages + 1
		}
		after, pages = next, pages+1
	}
}

// rows are what the store has of executions, by name.
func (w *sweptWorld) rows(t *testing.T) map[string]int {
	t.Helper()
	rows := map[string]int{}
	err := w.m.DumpTable(t.Context(), flow.Table, "", func(en store.Entry) error {
		if !strings.Contains(en.Key.PK, "#") {
			rows[en.Key.PK]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestASweepIsBoundedAndDeletesAllThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSweptWorld(t, 250)
		e := engine(t, w.o)
		before := w.rows(t)
		<-time.After(sweptKeep - time.Second)
		if all, _ := w.walk(t, e); all != (flow.Swept{Looked: 250}) {
			t.Errorf("before its time: %+v", all)
		}
		<-time.After(2 * time.Second)
		w.s.ops = nil
		all, pages := w.walk(t, e)
		if all != (flow.Swept{Looked: 250, Forgotten: 225}) || pages < 3 {
			t.Errorf("%+v in %d pages", all, pages)
		}
		if most := slices.Max(w.s.ops); most > 100 {
			t.Errorf("a commit had %d operations", most)
		}
		for name, n := range w.rows(t) {
			if d, err := e.Head(t.Context(), name); err != nil || d.Open && n != before[name] || !d.Open && n != 1 {
				t.Errorf("%+v has %d rows, %v", d, n, err)
			}
		}
		if all, _ := w.walk(t, e); all != (flow.Swept{Looked: 250}) {
			t.Errorf("once more: %+v", all)
		}
		<-time.After(80 * day)
		if all, _ := w.walk(t, e); all != (flow.Swept{Looked: 250, Freed: 225}) || len(w.rows(t)) != 25 {
			t.Errorf("after 90 days: %+v, %d are left", all, len(w.rows(t)))
		}
		if names, err := e.Running(t.Context(), "", 99); err != nil || len(names) != 25 {
			t.Errorf("%d are open, %v", len(names), err)
		}
	})
}

// The process dies before or after each write of a sweep, or has no reply: the next walk deletes what is left, and no open execution loses a row.
func TestASweepSurvivesACrashAtEveryWrite(t *testing.T) {
	for _, age := range []time.Duration{sweptKeep, 91 * day} { // the journals are due; the names are, too
		for _, f := range []fate{crashBefore, crashAfter, replyLost} {
			for n, last := int64(1), false; !last; n++ {
				synctest.Test(t, func(t *testing.T) {
					w := newSweptWorld(t, 4) // one is open, one has three commits of journal
					before := w.rows(t)
					<-time.After(age)
					first := w.s.updates.Load()
					w.s.fate = func(i int64) fate {
						if i == first+n {
							return f
						}
						return commits
					}
					e := engine(t, w.o)
					for !survives(func() { w.walk(t, e) }) {
						e = engine(t, w.o)
					}
					w.walk(t, e)
					last = w.s.updates.Load() < first+n
					rows := w.rows(t)
					if rows["x-000"] != before["x-000"] || before["x-001"] < 200 {
						t.Fatalf("%s %d: %v, before %v", f, n, rows, before)
					}
					for name, left := range rows {
						if name != "x-000" && (left != 1 || age > 90*day) {
							t.Errorf("%s %d: %d rows are left of %s", f, n, left, name)
						}
					}
				})
			}
		}
	}
}

func TestASweepLeavesWhatIsNotDueAnyMore(t *testing.T) {
	t.Run("an execution that is redriven before its turn comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newSweptWorld(t, 3)
			<-time.After(sweptKeep)
			e, other := engine(t, w.o), w.o
			other.Store = w.m
			redriven := false
			w.s.fate = func(int64) fate {
				if !redriven { // after the page was read
					redriven = true
					if d, err := engine(t, other).Redrive(t.Context(), "x-001", ""); err != nil || d.Redrives != 1 {
						t.Errorf("%+v, %v", d, err)
					}
				}
				return commits
			}
			if done, _, err := e.Sweep(t.Context(), ""); err != nil || !redriven || done != (flow.Swept{Looked: 3, Forgotten: 1}) {
				t.Errorf("%+v, %v", done, err)
			}
			if d := describe(t, e, "x-001"); d.Redrives != 1 || d.Error != "E" {
				t.Errorf("%+v", d)
			}
		})
	})
	for write, forgotten := range []int64{0, 1} { // before the first journal is marked, and before its first batch is deleted
		t.Run(fmt.Sprintf("an execution that has the name of one that was freed meanwhile, before write %d", write+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSweptWorld(t, 3)
				<-time.After(91 * day)
				e, other, first := engine(t, w.o), w.o, w.s.updates.Load()+1
				other.Store = w.m
				w.s.fate = func(n int64) fate {
					if n == first+int64(write) {
						o := engine(t, other)
						if done, _, err := o.Sweep(t.Context(), ""); err != nil || done.Freed != 2 {
							t.Errorf("%+v, %v", done, err)
						}
						if _, err := o.Start(t.Context(), "x-001", items(3)); err != nil {
							t.Error(err)
						}
						for range 20 {
							if _, _, err := o.RunOne(t.Context()); err != nil {
								t.Error(err)
							}
						}
					}
					return commits
				}
				if done, _, err := e.Sweep(t.Context(), ""); err != nil || done != (flow.Swept{Looked: 3, Forgotten: forgotten}) {
					t.Errorf("%+v, %v", done, err)
				}
				if d := describe(t, e, "x-001"); d.Status != asl.StatusFailed || d.Error != "E" {
					t.Errorf("%+v", d)
				}
			})
		})
	}
	t.Run("an engine that keeps for ever looks at nothing, and one without a dump is none", func(t *testing.T) {
		w := newSweptWorld(t, 3)
		w.o.Keep, w.o.Dump = 0, nil
		if done, next, err := engine(t, w.o).Sweep(t.Context(), ""); err != nil || next != "" || done != (flow.Swept{}) {
			t.Errorf("%+v, %q, %v", done, next, err)
		}
		w.o.Keep = day
		if _, err := flow.New(w.o); !fault.Is(err, fault.Internal) {
			t.Errorf("%v", err)
		}
	})
}
