package flow_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// saga reserves, charges at its second attempt, is refused by a floor, puts back, and ends as its input says.
func saga() []byte {
	return []byte(fmt.Sprintf(`{"StartAt":"Reserve","States":{
		"Reserve":{"Type":"Task","Resource":%q,"ResultPath":null,"TimeoutSeconds":5,"Next":"Charge"},
		"Charge":{"Type":"Task","Resource":%q,"ResultPath":"$.payment","Next":"Pause",
			"Retry":[{"ErrorEquals":["Transient"],"IntervalSeconds":1,"JitterStrategy":"FULL"}]},
		"Pause":{"Type":"Wait","Seconds":90,"Next":"Ship"},
		"Ship":{"Type":"Task","Resource":%q,"ResultPath":"$.shipment","Next":"Done",
			"Catch":[{"ErrorEquals":["InsufficientStock"],"ResultPath":"$.error","Next":"Put back"}]},
		"Put back":{"Type":"Task","Resource":%q,"ResultPath":null,"Next":"End well"},
		"End well":{"Type":"Choice","Choices":[{"Variable":"$.well","BooleanEquals":true,"Next":"Done"}],"Default":"Broken"},
		"Broken":{"Type":"Fail","Error":"Broken","Cause":"as asked for"},
		"Done":{"Type":"Succeed"}}}`, arn("reserve"), arn("charge"), arn("ship"), arn("put-back")))
}

func sagaTasks() map[string]flow.Task {
	return map[string]flow.Task{
		arn("reserve"): counted,
		arn("charge"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
			if c.Attempt[len(c.Attempt)-2:] == ".0" {
				return store.Effect{}, fault.New(fault.Transient, "not at the first attempt")
			}
			return counted(ctx, c)
		},
		arn("ship"): func(context.Context, flow.Call) (store.Effect, error) {
			return store.Effect{
				Stage: func(tx *store.Tx) (any, error) {
					tx.Add(store.Key{Table: "stock", PK: "p"}, []store.Delta{store.Take("available", 1)})
					return "shipped", nil
				},
				Refused: func(*store.Refusal) error { return fault.New(fault.InsufficientStock, "none left") },
			}, nil
		},
		arn("put-back"): counted,
	}
}

// A life is one execution of the saga that must end, whatever becomes of the n-th Update.
type life struct {
	t      *testing.T
	s      *unreliable
	well   bool
	staged []string // the states whose tasks may be committed together
}

func (l *life) engine() *flow.Engine {
	return engine(l.t, flow.Options{Store: l.s, Definition: saga(), Tasks: sagaTasks(), Seed: func() uint64 { return 7 },
		StagedOnly: stagedOnly(l.staged...),
		OnFailed: func(tx *store.Tx, e flow.Ended) error {
			tx.Add(effectKey(e.Execution, "review"), []store.Delta{store.Inc("n", 1)})
			return nil
		}})
}

// run starts the execution as a client does, and drives it through crashes to its end.
func (l *life) run() flow.Execution {
	started := false
	for range 10 {
		e := l.engine()
		if survives(func() {
			for !started {
				err := l.s.Update(l.t.Context(), func(tx *store.Tx) error {
					return e.Stage(tx, "o-1", map[string]any{"well": l.well})
				})
				switch {
				case err == nil, store.RefusalOf(err) != nil:
					started = true
				case !fault.Retryable(err):
					l.t.Fatalf("start: %v", err)
				}
			}
			e.Begin("o-1")
			l.drive(e)
		}) {
			return describe(l.t, e, "o-1")
		}
	}
	l.t.Fatal("ten crashes")
	return flow.Execution{}
}

func (l *life) drive(e *flow.Engine) {
	for range 1000 {
		ran, wake, err := e.RunOne(l.t.Context())
		switch {
		case err != nil && !fault.Retryable(err):
			l.t.Fatalf("RunOne: %v", err)
		case ran, err != nil:
		case wake.IsZero():
			return
		default:
			<-time.After(time.Until(wake))
		}
	}
	l.t.Fatal("the engine does not come to rest")
}

func (l *life) check(d flow.Execution) {
	t := l.t
	status, review := "SUCCEEDED", int64(0)
	if !l.well {
		status, review = "FAILED", 1
	}
	if string(d.Status) != status {
		t.Fatalf("ended %s: %s %s", d.Status, d.Error, d.Cause)
	}
	if l.well {
		out, _ := d.Output.(map[string]any)
		if !reflect.DeepEqual(out["payment"], map[string]any{"state": "Charge"}) || out["error"] == nil {
			t.Errorf("output = %v", d.Output)
		}
	} else if d.Error != "Broken" || d.State != "Broken" {
		t.Errorf("failed with %s in %s", d.Error, d.State)
	}
	for state, want := range map[string]int64{"Reserve": 1, "Charge": 1, "Put back": 1, "review": review} {
		if n := effects(t, l.s.Store, "o-1", state); n != want {
			t.Errorf("%s took effect %d times, want %d", state, n, want)
		}
	}
	for shard := range 16 {
		left, err := l.s.Range(t.Context(), store.Query{Table: "flow", PK: fmt.Sprintf("open#%02d", shard)})
		if err != nil || len(left) > 0 {
			t.Errorf("left in the index: %v, %v", left, err)
		}
	}
}

// together are the states that may be committed with the one before them, in the two ways in which an execution is played: none, and all
// that call nobody. Ship is refused, so it is put off to a commit of its own.
var together = map[string][]string{"apart": nil, "together": {"Reserve", "Ship", "Put back"}}

func TestAnExecutionSurvivesWhateverBecomesOfEachWrite(t *testing.T) {
	for how, staged := range together {
		for _, well := range []bool{true, false} {
			for _, f := range []fate{crashBefore, crashAfter, replyLost, notSent, storeAway} {
				t.Run(fmt.Sprintf("%s, %s, ends well %t", f, how, well), func(t *testing.T) {
					l := life{well: well, staged: staged}
					n := int64(1)
					for ; l.survives(t, n, f); n++ {
					}
					if n < 6 {
						t.Errorf("only %d updates: the test misses some", n)
					}
				})
			}
		}
	}
}

// survives plays a life in which the n-th Update has that fate, and reports whether there was one.
func (l life) survives(t *testing.T, n int64, f fate) (reached bool) {
	synctest.Test(t, func(t *testing.T) {
		l.t, l.s = t, &unreliable{Store: newStore(), fate: func(i int64) fate {
			if i == n {
				return f
			}
			return commits
		}}
		l.check(l.run())
		reached = l.s.updates.Load() >= n
	})
	if t.Failed() {
		t.Fatalf("update %d", n)
	}
	return reached
}

func TestAnExecutionSurvivesWhateverBecomesOfEverySecondWrite(t *testing.T) {
	for how, staged := range together {
		for _, f := range []fate{replyLost, notSent, storeAway} {
			t.Run(f.String()+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := &life{t: t, well: true, staged: staged, s: &unreliable{Store: newStore(), fate: func(i int64) fate {
						if i%2 == 1 {
							return f
						}
						return commits
					}}}
					l.check(l.run())
				})
			})
		}
	}
}

func TestAPanicOfATaskThatIsASimulatedCrashPassesThrough(t *testing.T) {
	for rule, members := range map[string]string{
		"on the caller's goroutine":        ``,
		"from a task that has a timeout":   `,"TimeoutSeconds":5`,
		"from a task that was late for it": `,"TimeoutSeconds":5,"Retry":[{"ErrorEquals":["States.ALL"]}]`,
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				late := rule == "from a task that was late for it"
				e := engine(t, flow.Options{Store: s, Definition: []byte(one(members)), Tasks: map[string]flow.Task{
					arn("work"): func(ctx context.Context, _ flow.Call) (store.Effect, error) {
						if late {
							<-ctx.Done()
							<-time.After(time.Millisecond)
						}
						panic(crash{})
					}}})
				start(t, e, s, "o-1", nil)
				if survives(func() { settle(t, e) }) {
					t.Fatal("the crash was swallowed")
				}
				synctest.Wait()
				e = engine(t, flow.Options{Store: s, Definition: []byte(one(members)), Tasks: map[string]flow.Task{arn("work"): counted}})
				settle(t, e)
				if n := effects(t, s, "o-1", "Work"); n != 1 {
					t.Errorf("after the restart it took effect %d times", n)
				}
			})
		})
	}
}

func TestOnEndedIsToldOnceTheEndIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		var told []string
		var e *flow.Engine
		e = engine(t, flow.Options{Store: s, Definition: []byte(one(``)),
			Tasks: map[string]flow.Task{arn("undo"): counted, arn("work"): func(ctx context.Context, c flow.Call) (store.Effect, error) {
				if c.Execution == "o-bad" {
					return store.Effect{}, fault.New(fault.OrderState, "too late")
				}
				return counted(ctx, c)
			}},
			OnEnded: func(x flow.Ended) {
				if d := describe(t, e, x.Execution); d.Status != x.Status || d.Ended.IsZero() {
					t.Errorf("told of %+v, which is %+v", x, d)
				}
				told = append(told, x.Execution+" "+string(x.Status)+" "+x.Error)
				if len(told) == 1 {
					panic("whoever counts is broken")
				}
			},
		})
		for _, name := range []string{"o-1", "o-bad", "o-3"} {
			start(t, e, s, name, nil)
			settle(t, e)
		}
		if want := []string{"o-1 SUCCEEDED ", "o-bad FAILED OrderState", "o-3 SUCCEEDED "}; !slices.Equal(told, want) || e.Open() != 0 {
			t.Errorf("told %q, want %q; %d are open", told, want, e.Open())
		}
	})
}

func TestOnFailed(t *testing.T) {
	failing := func(hook func(*store.Tx, flow.Ended) error, s store.Store, members string, work flow.Task) *flow.Engine {
		return engine(t, flow.Options{Store: s, Definition: []byte(one(members)), OnFailed: hook,
			Tasks: map[string]flow.Task{arn("work"): work, arn("undo"): counted}})
	}
	t.Run("it is told how the execution ended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, now := newStore(), time.Now().UTC()
			var got []flow.Ended
			e := failing(func(_ *store.Tx, e flow.Ended) error { got = append(got, e); return nil }, s, ``,
				always(nil, fault.New(fault.OrderState, "too late")))
			start(t, e, s, "o-1", nil)
			settle(t, e)
			want := []flow.Ended{{Execution: "o-1", Machine: "cloudflow", Status: "FAILED", Error: "OrderState", State: "Work", At: now,
				Cause: `{"errorMessage":"too late","errorType":"OrderState"}`}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	})
	t.Run("its error or its refusal leaves the execution open until it passes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, tries, works := newStore(), 0, 0
			e := failing(func(tx *store.Tx, e flow.Ended) error {
				tries++
				switch tries {
				case 1:
					return errBoom
				case 2:
					panic("nil map")
				case 3:
					tx.Check(effectKey("o-1", "nothing"), store.Exists())
				}
				tx.Add(effectKey("o-1", "review"), []store.Delta{store.Inc("n", 1)})
				return nil
			}, s, ``, func(context.Context, flow.Call) (store.Effect, error) {
				works++
				return store.Effect{}, fault.New(fault.OrderState, "too late")
			})
			start(t, e, s, "o-1", nil)
			settle(t, e)
			if d := describe(t, e, "o-1"); d.Status != "FAILED" || d.Ended.IsZero() || e.Open() != 0 {
				t.Errorf("ended %+v", d)
			}
			if n := effects(t, s, "o-1", "review"); n != 1 || tries != 4 || works != 1 {
				t.Errorf("staged %d times in %d tries, the task ran %d times", n, tries, works)
			}
		})
	})
	t.Run("it is not called for an execution that succeeds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			e := failing(func(*store.Tx, flow.Ended) error { t.Error("called"); return nil }, s, ``, counted)
			start(t, e, s, "o-1", nil)
			settle(t, e)
		})
	})
	t.Run("it is called for a machine that fails without a task", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, called := newStore(), 0
			e := engine(t, flow.Options{Store: s, Definition: []byte(`{"StartAt":"No","States":{"No":{"Type":"Fail","Error":"Never"}}}`),
				OnFailed: func(*store.Tx, flow.Ended) error { called++; return nil }})
			start(t, e, s, "o-1", nil)
			settle(t, e)
			if d := describe(t, e, "o-1"); called != 1 || d.Status != "FAILED" || d.Error != "Never" || d.Ended.IsZero() {
				t.Errorf("called %d times, %+v", called, d)
			}
		})
	})
}
