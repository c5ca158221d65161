package order

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// stageReview calls flow's hook in a transaction.
func (w *world) stageReview(id, execution, status string) {
	w.t.Helper()
	err := w.mem.Update(w.t.Context(), func(tx *store.Tx) error {
		return w.StageReview(tx, id, execution, status, "Internal", "dial tcp 10.0.0.7: refused")
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestStageReview(t *testing.T) {
	t.Run("it names the execution and the error, but not the cause, which is no text for customers", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.stageReview(id, id, "TIMED_OUT")
		d := w.events(id)[1].Data
		if d["execution"] != id || d["status"] != "TIMED_OUT" || d["error"] != "Internal" || len(d) != 3 {
			t.Fatalf("got %v", d)
		}
	})
	for name, c := range map[string]struct{ id, execution, status string }{
		"an execution that is not the current one": {"", "-r1", "FAILED"},
		"an execution that succeeded":              {"", "", "SUCCEEDED"},
		"an execution that runs":                   {"", "", "RUNNING"},
		"an execution of no order":                 {"ord-unknown", "", "FAILED"},
		"an execution of no order's name":          {"a#b", "", "ABORTED"},
	} {
		t.Run(name+" is passed over in silence", func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			reviewed := id
			if c.id != "" {
				reviewed = c.id
			}
			w.stageReview(reviewed, reviewed+c.execution, c.status)
			w.wantLog(id, "ORDER_CREATED")
		})
	}
	t.Run("a repeat, and a word that comes after the redrive, are passed over", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.sagas.end(id, "FAILED", "ConfirmOrder")
		w.stageReview(id, id, "FAILED")
		w.stageReview(id, id, "FAILED")
		w.do(id, redrive)
		w.stageReview(id, id, "FAILED")
		w.wantLog(id, "ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN")
		w.stageReview(id, id+"-r1", "ABORTED")
		w.wantLog(id, "ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN ORDER_REVIEW")
	})
}

func TestRedrive(t *testing.T) {
	t.Run("the saga goes on at the failed state, as the next execution", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		for n, want := range []string{id + "-r1", id + "-r2"} {
			w.do(id, review)
			execution, err := w.Redrive(t.Context(), id, "repaired", "key-admin", "corr-3")
			if err != nil || execution != want {
				t.Fatalf("got %s, %v, want %s", execution, err, want)
			}
			start := w.sagas.start(t, want)
			if start.Resume == nil || start.Resume.State != "ConfirmOrder" || string(start.Resume.Input) != `{"order_id":"x"}` || start.TotalCents != 129_900 {
				t.Fatalf("got %+v", start)
			}
			if begun := w.sagas.begun; begun[len(begun)-1] != want {
				t.Fatalf("begun: %v", begun)
			}
			e := w.events(id)[2*n+2]
			if e.Data["n"] != number(int64(n+1)) || e.Data["resume_at"] != "ConfirmOrder" || e.Data["reason"] != "repaired" || e.Data["actor"] != "key-admin" {
				t.Fatalf("got %v", e.Data)
			}
		}
	})
	t.Run("it begins though its operator goes away while it is stored", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, review)
		ctx, leave := context.WithCancel(t.Context())
		w.store = leavingStore{w.mem, leave}
		execution, err := w.Redrive(ctx, id, "repaired", "key-admin", "corr-3")
		if begun := w.sagas.begun; err != nil || begun[len(begun)-1] != execution {
			t.Fatalf("%q, %v; begun: %v", execution, err, begun)
		}
	})
	t.Run("an order that needs no review is not redriven", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		wantKind(t, redrive.do(w, id), fault.NotFailed)
		w.do(id, reserve, confirm)
		wantKind(t, redrive.do(w, id), fault.NotFailed)
	})
	t.Run("an execution that is not over is not redriven", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.stageReview(id, id, "FAILED")
		wantKind(t, redrive.do(w, id), fault.NotFailed)
	})
	t.Run("of many operators one redrives, the others hear that nothing has failed", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, review)
		var wg sync.WaitGroup
		var mu sync.Mutex
		redriven := 0
		for i := range 16 {
			wg.Go(func() {
				_, err := w.Redrive(context.Background(), id, "repaired", "key-admin", "corr-"+decimal(int64(i)))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					redriven++
				} else if !fault.Is(err, fault.NotFailed) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if redriven != 1 {
			t.Fatalf("%d redrives", redriven)
		}
		w.wantLog(id, "ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN")
	})
	t.Run("a lost reply is found to be one's own redrive, and another's is not", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, review)
		w.flaky.crashAt(1, true)
		w.do(id, redrive)
		w.wantLog(id, "ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN")

		w = newWorld(t, memstore.Options{})
		id = w.place()
		w.do(id, review)
		w.flaky.crashAt(1, false)
		rival := newWorld(t, memstore.Options{}).Service
		rival.store, rival.saga = w.mem, w.sagas
		w.store = &hookStore{Store: w.flaky, before: func() {
			_, err := rival.Redrive(context.Background(), id, "mine", "key-rival", "corr-8")
			if err != nil {
				t.Error(err)
			}
		}}
		wantKind(t, redrive.do(w, id), fault.NotFailed)
		w.wantLog(id, "ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN")
	})
	t.Run("a reason has 500 characters at most, however many bytes that is", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id, reason := w.place(), strings.Repeat("é", MaxReason)
		w.do(id, review)
		if _, err := w.Redrive(t.Context(), id, reason, "a", "c"); err != nil || w.events(id)[2].Data["reason"] != reason {
			t.Error(err)
		}
		w.do(id, review)
		_, err := w.Redrive(t.Context(), id, reason+"é", "a", "c")
		wantKind(t, err, fault.ValidationFailed)
	})
	t.Run("a reason is asked for, and not a long one", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for _, reason := range []string{"", strings.Repeat("x", 501)} {
			_, err := w.Redrive(t.Context(), w.place(), reason, "a", "c")
			if e := wantKind(t, err, fault.ValidationFailed); e.Details["field"] != "reason" {
				t.Fatalf("got %v", e.Details)
			}
		}
	})
}

// hookStore calls a function once, after its first Update has failed.
type hookStore struct {
	store.Store
	before func()
}

func (h *hookStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	err := h.Store.Update(ctx, fn)
	if err != nil && h.before != nil {
		h.before()
		h.before = nil
	}
	return err
}

func (w *world) sweep() SweepReport {
	w.t.Helper()
	r, err := w.Sweep(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestStartOf(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	id := w.place()
	w.do(id, review, redrive)
	first, err := w.StartOf(t.Context(), id, 0)
	if err != nil || first.Execution != id || first.Resume != nil || first.PaymentMethod == "" || first.TotalCents != 129_900 || first.CorrelationID != "corr-1" {
		t.Errorf("%+v, %v", first, err)
	}
	again, err := w.StartOf(t.Context(), id, 1)
	if err != nil || again.Execution != id+"-r1" || again.Resume == nil || again.Resume.State != "ConfirmOrder" {
		t.Errorf("%+v, %v", again, err)
	}
	for _, none := range []string{"", "days#all", "ord-00000000000000000000000099"} {
		_, err := w.StartOf(t.Context(), none, 0)
		wantKind(t, err, fault.NotFound)
	}
	_, err = w.StartOf(t.Context(), id, 7)
	wantKind(t, err, fault.NotFound)
}

func TestSweep(t *testing.T) {
	t.Run("an order whose execution never began gets it after a minute, once", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.sagas.fed = true // a feed should have started it, and did not
		id := w.place()
		w.sagas.fed = false
		w.pass(sweepAge - time.Second)
		if r := w.sweep(); r != (SweepReport{}) {
			t.Fatalf("too early: %+v", r)
		}
		w.pass(time.Second)
		if r := w.sweep(); r != (SweepReport{Open: 1, Started: 1}) {
			t.Fatalf("got %+v", r)
		}
		if s := w.sagas.start(t, id); s.TotalCents != 129_900 || s.CorrelationID != "corr-1" || s.Resume != nil || len(s.Lines) != 1 {
			t.Fatalf("got %+v", s)
		}
		if r := w.sweep(); r != (SweepReport{Open: 1}) {
			t.Fatalf("got %+v", r)
		}
	})
	t.Run("an execution whose start was stored unheard is begun", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.sagas.begun = nil // the reply was lost, and with it the call
		w.pass(61 * time.Second)
		if report, err := w.Sweep(t.Context()); err != nil || report.Open != 1 || report.Started != 0 {
			t.Fatalf("%+v, %v", report, err)
		}
		if len(w.sagas.begun) != 1 || w.sagas.begun[0] != id {
			t.Fatalf("begun: %v", w.sagas.begun)
		}
	})
	t.Run("a resume that never began is started where the failed execution stood", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.sagas.fed = true
		w.do(id, review, redrive)
		w.sagas.fed = false
		w.pass(2 * sweepAge)
		if r := w.sweep(); r != (SweepReport{Open: 1, Started: 1}) {
			t.Fatalf("got %+v", r)
		}
		if s := w.sagas.start(t, id+"-r1"); s.Resume == nil || s.Resume.State != "ConfirmOrder" {
			t.Fatalf("got %+v", s)
		}
	})
	t.Run("where a feed starts executions it starts what is missing itself", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.sagas.fed = true
		id := w.place()
		var started []Start
		var fails error
		w.startNow = func(_ context.Context, s Start) error {
			started = append(started, s)
			return fails
		}
		w.pass(sweepAge)
		if r := w.sweep(); r != (SweepReport{Open: 1, Started: 1}) || len(started) != 1 || started[0].Execution != id || started[0].TotalCents != 129_900 {
			t.Fatalf("got %+v, started %+v", r, started)
		}
		fails = fault.New(fault.Throttled, "later")
		r, err := w.Sweep(t.Context())
		wantKind(t, err, fault.Throttled)
		if r != (SweepReport{Open: 1, Failed: 1}) {
			t.Fatalf("got %+v", r)
		}
	})
	t.Run("a failed execution without a review gets one, also after the terminal event", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve, confirm)
		w.sagas.end(id, "FAILED", "CommitReservation")
		w.pass(sweepAge)
		if r := w.sweep(); r != (SweepReport{Open: 1, Reviewed: 1}) {
			t.Fatalf("got %+v", r)
		}
		w.wantLog(id, "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED ORDER_REVIEW")
		if r := w.sweep(); r != (SweepReport{Open: 1}) {
			t.Fatalf("a person has it, and yet %+v", r)
		}
	})
	t.Run("an order whose saga is over leaves the index, unless it has not ended: that is reported", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		done, stuck := w.place(), w.place()
		w.do(done, fail)
		w.sagas.end(done, "SUCCEEDED", "Done")
		w.sagas.end(stuck, "SUCCEEDED", "Done")
		w.pass(sweepAge)
		if r := w.sweep(); r != (SweepReport{Open: 2, Closed: 1, Stuck: 1}) {
			t.Fatalf("got %+v", r)
		}
		if w.index(openKey(done).PK) != 0 && openKey(done).PK != openKey(stuck).PK {
			t.Fatal("it is still there")
		}
		if !strings.Contains(w.logged.String(), "did not end") {
			t.Fatal("nothing was logged")
		}
	})
	t.Run("one order that cannot be looked after does not keep the others", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.sagas.fed = true
		for range 40 {
			w.place()
		}
		w.sagas.fed = false
		w.pass(sweepAge)
		w.flaky.crashAt(1, false)
		r, err := w.Sweep(t.Context())
		wantKind(t, err, fault.Transient)
		if r != (SweepReport{Open: 40, Started: 39, Failed: 1}) {
			t.Fatalf("got %+v", r)
		}
		if r := w.sweep(); r != (SweepReport{Open: 40, Started: 1}) {
			t.Fatalf("got %+v", r)
		}
	})
	t.Run("sweepers at the same time start an execution once", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		w.sagas.fed = true
		w.place()
		w.sagas.fed = false
		w.pass(sweepAge)
		var wg sync.WaitGroup
		var started atomic.Int64
		for range 8 {
			wg.Go(func() {
				report, err := w.Sweep(context.Background())
				if err != nil {
					t.Error(err)
				}
				started.Add(int64(report.Started))
			})
		}
		wg.Wait()
		if n := started.Load(); n != 1 {
			t.Fatalf("started %d times", n)
		}
	})
	t.Run("the key of an order that is not terminal does not end", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		p, err := w.Place(t.Context(), request("k1"))
		if err != nil {
			t.Fatal(err)
		}
		w.do(p.OrderID, review)
		expires := func() time.Time {
			it, err := w.mem.Get(t.Context(), clientKey("key-1", "k1").Item(), store.Strong)
			if err != nil {
				t.Fatal(err)
			}
			return idempotency.Decode(it).ExpiresAt
		}
		for range 100 { // four days
			w.pass(time.Hour)
			w.sweep()
			if left := expires().Sub(w.clock()); left < KeyTTL/2-time.Hour {
				t.Fatalf("the key has %v left", left)
			}
		}
		w.do(p.OrderID, redrive, fail)
		end := expires()
		w.pass(time.Hour)
		w.sagas.end(p.OrderID+"-r1", "SUCCEEDED", "Done")
		w.sweep()
		if !expires().Equal(end) {
			t.Fatal("the key of a terminal order was moved")
		}
	})
}

func TestOnlyABadEndIsAFailure(t *testing.T) {
	for status, want := range map[string]bool{"FAILED": true, "TIMED_OUT": true, "ABORTED": true, "SUCCEEDED": false, "RUNNING": false, "": false} {
		if f := (Failure{Status: status}); f.failed() != want {
			t.Errorf("%q: %v", status, f.failed())
		}
	}
}
