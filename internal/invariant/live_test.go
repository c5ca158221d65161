package invariant_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An aws is what a stage has beside its tables.
type aws struct {
	executions    map[string]asl.Status
	ended         time.Time // all that have
	waiting, dead int64
	letters       []string
}

func (a aws) Names(_ context.Context, status asl.Status, token string, limit int) (names []string, next string, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.executions)) {
		if a.executions[name] != status || name <= token {
			continue
		}
		if len(names) == min(limit, 2) { // so that there are pages
			return names, names[len(names)-1], nil
		}
		names = append(names, name)
	}
	return names, "", nil
}

func (a aws) Status(_ context.Context, execution string) (asl.Status, time.Time, error) {
	status, ok := a.executions[execution]
	switch {
	case !ok:
		return "", time.Time{}, fault.New(fault.NotFound, "none")
	case status == asl.StatusRunning:
		return status, time.Time{}, nil
	}
	return status, a.ended, nil
}

func (a aws) CountWaiting(context.Context) (int64, error) { return a.waiting, nil }
func (a aws) CountDead(context.Context) (int64, error)    { return a.dead, nil }

func (a aws) List(_ context.Context, cursor string, _ int) (letters []bus.DeadLetter, next string, err error) {
	for i, id := range a.letters { // a letter a page
		if id > cursor {
			if i < len(a.letters)-1 {
				next = id
			}
			return []bus.DeadLetter{{ID: id}}, next, nil
		}
	}
	return nil, "", nil
}

// A stage is a dump that is held in two stores, and what AWS has beside them.
type stage struct {
	dump
	aws
	live invariant.Live
}

// deploy puts the dump where only a walk reads it, ten minutes later.
func (d dump) deploy(t *testing.T) *stage {
	t.Helper()
	s := &stage{dump: d, aws: aws{executions: map[string]asl.Status{}, ended: d.at}}
	for _, e := range d.ours {
		if e.Key.Table == flow.Table && e.Key.SK == "head" {
			s.executions[e.Key.PK] = asl.Status(e.Item.Str("status"))
		}
	}
	now := d.at.Add(10 * time.Minute)
	s.live = invariant.Live{Ours: inMemory(t, d.ours), Provider: inMemory(t, d.theirs), Now: func() time.Time { return now }}
	return s
}

func (s *stage) check(t *testing.T) invariant.Report {
	t.Helper()
	s.live.Sagas, s.live.Messages = s.aws, s.aws
	r, err := s.live.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// broken are the rules that are broken, each once.
func broken(r invariant.Report) string {
	var rules []string
	for _, v := range r.Violations {
		if !slices.Contains(rules, v.Rule) {
			rules = append(rules, v.Rule)
		}
	}
	return strings.Join(rules, " ")
}

// otherwise are the corruptions in which a walk finds less than a check of the dump, with why.
var otherwise = map[string]struct{ want, why string }{
	"a hold of an order that never was":          {"", "nothing leads to it: it is not active, and its order is in no list"},
	"the execution is gone":                      {"", "Step Functions forgets an execution 90 days after its end"},
	"an execution that ended before its order":   {"I5", "what is open is no index of ours there"},
	"an open execution that no recovery finds":   {"", "Step Functions recovers by itself"},
	"an ended execution that is indexed as open": {"", "Step Functions recovers by itself"},
}

func TestAWalkFindsEachCorruption(t *testing.T) {
	t.Parallel()
	whole := healthy(t)
	left := maps.Clone(otherwise)
	for _, c := range corruptions {
		want := c.want
		if other, ok := left[c.what]; ok {
			want = other.want
			delete(left, c.what)
		}
		t.Run(c.what, func(t *testing.T) {
			d := whole
			d.ours, d.theirs = slices.Clone(whole.ours), slices.Clone(whole.theirs)
			c.edit(t, &d)
			if r := d.deploy(t).check(t); broken(r) != want {
				t.Errorf("broken: %q, want %q\n%v", broken(r), want, r.Violations)
			}
		})
	}
	if len(left) > 0 {
		t.Errorf("there are no such corruptions: %v", left)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	whole := healthy(t)
	t.Run("a shop in order has nothing to say", func(t *testing.T) {
		r := whole.deploy(t).check(t)
		if len(r.Violations) > 0 || r.Orders != 6 || r.Products != 2 || r.Open != 1 || r.Reviews != 1 || r.MovedProducts != 1 || r.MayWait != 0 {
			t.Errorf("%+v", r)
		}
		if r.Heads != whole.check(false).Heads {
			t.Error("the hash over the chains is not that of a dump")
		}
	})
	t.Run("what is broken in the first look only is not reported, what stays is, and the looks are bounded", func(t *testing.T) {
		for looks, want := range map[int]string{0: "", 1: "", 2: "", 3: "I5", 100: "I5"} {
			s := whole.deploy(t)
			seen := 0
			s.live.Ours = edited{s.live.Ours, func(k store.Key, it store.Item) store.Item {
				if k == inventory.HoldKey(whole.confirmed) {
					if seen++; seen <= looks {
						return it.With(store.S("state", inventory.Released))
					}
				}
				return it
			}}
			if r := s.check(t); !strings.Contains(broken(r), want) || want == "" && broken(r) != "" {
				t.Errorf("broken in %d looks: %v", looks, r.Violations)
			} else if seen > 3 {
				t.Errorf("looked %d times", seen)
			}
		}
	})
	t.Run("an order that no list has is found by its execution", func(t *testing.T) {
		d := whole
		d.ours = slices.Clone(whole.ours)
		for _, list := range []string{"day#", "open#", "customer#"} {
			listless("orders", list, open)(t, &d)
		}
		if r := d.deploy(t).check(t); r.Orders != 6 || !strings.Contains(fmt.Sprint(r.Violations), d.open+": PENDING, and not in the list day") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("without the provider's book our own rows are believed", func(t *testing.T) {
		s := whole.deploy(t)
		s.live.Provider = nil
		if r := s.check(t); len(r.Violations) != 0 {
			t.Errorf("%+v", r)
		}
		for what, edit := range map[string]edit{
			"gone":             loses(payment.Table, confirmed, "payment"),
			"another amount":   sets(payment.Table, confirmed, "payment", store.N("captured_cents", 1)),
			"nothing refunded": sets(payment.Table, cancelled, "payment", store.N("refunded_cents", 0)),
		} {
			d := whole
			d.ours = slices.Clone(whole.ours)
			edit(t, &d)
			s := d.deploy(t)
			s.live.Provider = nil
			if r := s.check(t); !strings.HasPrefix(broken(r), "I3") {
				t.Errorf("%s: %+v", what, r)
			}
		}
	})
}

func TestLiveJudgesWhatStoodStill(t *testing.T) {
	t.Parallel()
	whole := healthy(t)
	t.Run("an order that changes while it is read is not judged, and counted", func(t *testing.T) {
		for what, key := range map[string]store.Key{
			"its head": order.HeadKey(whole.confirmed), "its place among the open ones": order.OpenKey(whole.confirmed), "its place in review": order.ReviewKey(whole.confirmed),
		} {
			d := whole
			d.theirs = slices.Clone(whole.theirs)
			book(confirmed, "outcome", amount(1))(t, &d)
			s := d.deploy(t)
			s.live.Ours = edited{s.live.Ours, func(k store.Key, it store.Item) store.Item {
				if k == key {
					return it.With(store.N("version", 99))
				}
				return it
			}}
			if r := s.check(t); len(r.Violations) != 0 || r.Open != 2 || r.MovedProducts != 2 {
				t.Errorf("%s: %+v", what, r)
			}
		}
	})
	t.Run("an order whose saga is open is not asked for its money", func(t *testing.T) {
		d := whole
		d.ours = slices.Clone(whole.ours)
		row := d.ours[d.find(t, &d.ours, payment.Table, d.confirmed, "payment")].Item
		gains(payment.Table, open, "payment", row.With(store.N("amount_cents", 1)))(t, &d)
		if r := d.check(false); broken(r) != "I3" {
			t.Errorf("of one moment it is: %+v", r)
		}
		if r := d.deploy(t).check(t); len(r.Violations) != 0 || r.Open != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a product whose stock moves is not held against its holds, but its pieces still add up", func(t *testing.T) {
		d := whole
		d.ours = slices.Clone(whole.ours)
		moves("inventory", named("LAST"), "stock", "sold", -1)(t, &d)
		moves("inventory", named("LAST"), "stock", "available", 1)(t, &d)
		s := d.deploy(t)
		if r := s.check(t); broken(r) != "I1" || r.MovedProducts != 1 {
			t.Errorf("at rest: %+v", r)
		}
		var n int64
		s.live.Ours = edited{s.live.Ours, func(k store.Key, it store.Item) store.Item {
			if k == inventory.StockKey("LAST") {
				n++
				return it.With(store.N("restocked", it.Int("restocked")+n), store.N("available", it.Int("available")+n))
			}
			return it
		}}
		if r := s.check(t); broken(r) != "" || r.MovedProducts != 2 {
			t.Errorf("while it moves: %+v", r)
		}
		s.live.Ours = edited{s.live.Ours, func(k store.Key, it store.Item) store.Item {
			if k == inventory.StockKey("LAST") {
				n++
				return it.With(store.N("restocked", it.Int("restocked")+n))
			}
			return it
		}}
		if r := s.check(t); broken(r) != "I1" {
			t.Errorf("while pieces get lost: %+v", r)
		}
	})
}

func TestLiveJudgesListsThatStoodStill(t *testing.T) {
	t.Parallel()
	whole := healthy(t)
	t.Run("a caller's counter is not held against orders that come and go", func(t *testing.T) {
		d := whole
		d.ours = slices.Clone(whole.ours)
		moves("orders", named("holder#p"), "open", "open", 2)(t, &d)
		s := d.deploy(t)
		if r := s.check(t); broken(r) != "I7" {
			t.Errorf("%+v", r)
		}
		here := false
		s.live.Ours = ranged{s.live.Ours, func(q store.Query, entries []store.Entry) []store.Entry {
			if key := order.OpenKey("ord-new"); q.PK == key.PK {
				if here = !here; here { // each second look
					return append(entries, store.Entry{Key: key, Item: store.Item{store.S("holder", "p")}})
				}
			}
			return entries
		}}
		if r := s.check(t); strings.Contains(fmt.Sprint(r.Violations), "counter") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("an order that was placed after its day was read is under way, and one that was placed long before is lost to its day", func(t *testing.T) {
		d := whole
		d.ours = slices.Clone(whole.ours)
		listless("orders", "day#", confirmed)(t, &d)
		for since, want := range map[time.Duration]string{30 * time.Second: "", 10 * time.Minute: "I7"} {
			s := d.deploy(t)
			s.live.Now = func() time.Time { return order.MadeAt(d.confirmed).Add(since) }
			if r := s.check(t); broken(r) != want {
				t.Errorf("after %v: %+v", since, r)
			}
		}
	})
}

func TestLiveAsksTheEngine(t *testing.T) {
	t.Parallel()
	whole := healthy(t)
	for _, c := range []struct {
		what  string
		edit  func(s *stage)
		now   time.Duration // since the dump
		open  int
		wants string
	}{
		{"an execution that an old order waits for does not exist", func(s *stage) { delete(s.executions, s.open) }, 10 * time.Minute, 0, "I5 I7"},
		{"one that a young order waits for", func(s *stage) { delete(s.executions, s.open) }, 4 * time.Minute, 1, ""},
		{"one that has failed, and nobody was told", func(s *stage) { s.executions[s.open] = asl.StatusTimedOut }, 10 * time.Minute, 0, "I5"},
		{"one that has failed a moment ago", func(s *stage) {
			s.executions[s.open], s.ended = asl.StatusFailed, s.at.Add(9*time.Minute)
		}, 10 * time.Minute, 1, ""},
		{"ended ones are gone after 90 days", func(s *stage) {
			for name, status := range s.executions {
				if status != asl.StatusRunning {
					delete(s.executions, name)
				}
			}
		}, 10 * time.Minute, 1, ""},
		{"an execution of an order that does not exist", func(s *stage) { s.executions["ord-none"] = asl.StatusRunning }, 10 * time.Minute, 1, "I7"},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := whole.deploy(t)
			c.edit(s)
			now := s.at.Add(c.now)
			s.live.Now = func() time.Time { return now }
			if r := s.check(t); broken(r) != c.wants || r.Open != c.open {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestLiveAsksTheQueue(t *testing.T) {
	t.Parallel()
	d := healthy(t)
	sets("notifications", confirmed, "n#", store.S("status", "SENDING"))(t, &d)
	letter := d.confirmed + ".v4"
	for _, c := range []struct {
		what  string
		edit  func(s *stage)
		waits int
		wants string
	}{
		{"a notification that is nowhere", func(*stage) {}, 0, "I9"},
		{"it may be among those that wait", func(s *stage) { s.waiting = 1 }, 1, ""},
		{"it is dead", func(s *stage) { s.dead, s.letters = 2, []string{"a", letter} }, 0, ""},
		{"others are dead", func(s *stage) { s.dead, s.letters = 2, []string{"a", "b"} }, 0, "I9"},
		{"it may be among the dead ones that were not seen", func(s *stage) { s.dead, s.letters = 3, []string{"a", "b"} }, 1, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := d.deploy(t)
			c.edit(s)
			if r := s.check(t); broken(r) != c.wants || r.MayWait != c.waits {
				t.Errorf("%+v", r)
			}
		})
	}
	t.Run("it may be on its way for five minutes", func(t *testing.T) {
		s := d.deploy(t)
		s.live.Now = func() time.Time { return d.at }
		if r := s.check(t); broken(r) != "" || r.MayWait != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// A shop that is open: what is placed and done while the walk goes on is no violation. What is read is of as many moments as the scheduler makes.
func TestLiveOfARunningShop(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for n := range 3 {
		s.put(fmt.Sprint("P", n), 1000)
	}
	stop := s.run()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 300 {
			method := []string{provider.Visa, provider.ChargeDeclined}[n%2]
			s.placeAs("p", fmt.Sprint("cust-", n%5), fmt.Sprint(n), method, fmt.Sprint("P", n%3))
		}
	}()
	looks := 0
	for busy := true; busy; looks++ {
		select {
		case <-done:
			busy = false
		default:
		}
		running := engine{s}
		r, err := invariant.Live{Ours: s.ours, Provider: s.theirs, Sagas: running, Messages: aws{}, Now: time.Now}.Check(t.Context())
		if err != nil || len(r.Violations) > 0 {
			t.Fatalf("look %d: %+v, %v", looks, r, err)
		}
	}
	stop()
	t.Logf("looked %d times", looks)
}

// An engine is the system's own, asked as Step Functions is.
type engine struct{ *system }

func (e engine) Names(_ context.Context, status asl.Status, _ string, _ int) (names []string, next string, err error) {
	for _, entry := range entries(e.t, e.ours) {
		if entry.Key.Table == flow.Table && entry.Key.SK == "head" && entry.Item.Str("status") == string(status) {
			names = append(names, entry.Key.PK)
		}
	}
	return names, "", nil
}

func (e engine) Status(ctx context.Context, execution string) (asl.Status, time.Time, error) {
	it, err := e.ours.Get(ctx, store.Key{Table: flow.Table, PK: execution, SK: "head"}, store.Strong)
	if err == nil && it == nil {
		err = fault.New(fault.NotFound, "none")
	}
	return asl.Status(it.Str("status")), time.Now(), err
}

// An edited store shows items as edit makes them where they are asked for by their keys.
type edited struct {
	store.Store
	edit func(store.Key, store.Item) store.Item
}

func (s edited) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	items, err := s.Store.GetMany(ctx, keys, c)
	for i, it := range items {
		items[i] = s.edit(keys[i], it)
	}
	return items, err
}

// A ranged store shows partitions as edit makes them.
type ranged struct {
	store.Store
	edit func(store.Query, []store.Entry) []store.Entry
}

func (s ranged) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	entries, err := s.Store.Range(ctx, q)
	return s.edit(q, entries), err
}

// A failing store fails for good after some reads.
type failing struct {
	store.Store
	left atomic.Int64
	err  error
}

func (s *failing) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	if s.left.Add(-1) < 0 {
		return nil, s.err
	}
	return s.Store.GetMany(ctx, keys, c)
}

func (s *failing) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if s.left.Add(-1) < 0 {
		return nil, s.err
	}
	return s.Store.Range(ctx, q)
}
