package app_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A failure is a state of the saga that fails for good.
type failure struct {
	state  string
	why    string
	place  func(w *world) (id string) // an order that comes to fail there
	heal   func(w *world, id string)  // nil: the redrive itself heals it
	review string                     // the status while a person is needed
	error  string                     // that the review names
	ends   string
	log    string // leaving out ORDER_REVIEW and SAGA_REDRIVEN
	left   int64  // pieces on the shelf at the end, of ten
	net    int64  // cents that the customer has paid
}

const (
	confirmedLog   = "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED"
	compensatedLog = "ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED"
)

func broken(task, method string) func(*world) string {
	return func(w *world) string {
		w.breaks(task)
		return w.place(method)
	}
}

func mended(w *world, _ string) { w.breaks("") }

func failures() []failure {
	all := []failure{
		{"RecordReservation", "the build is broken", broken("order.record STOCK_RESERVED", visa), mended, order.Review, "Internal", order.Confirmed, confirmedLog, 8, 2000},
		{"RecordPaymentFailure", "the build is broken", broken("order.record PAYMENT_FAILED", declined), mended, order.Review, "Internal", order.Compensated, compensatedLog, 10, 0},
		{"ConfirmOrder", "the build is broken", broken("order.confirm ", visa), mended, order.Review, "Internal", order.Confirmed, confirmedLog, 8, 2000},
		{"CommitReservation", "the build is broken", broken("inventory.commit", visa), mended, order.Confirmed, "Internal", order.Confirmed, confirmedLog, 8, 2000},
		{"ReleaseStock", "the build is broken", broken("inventory.release", declined), mended, order.Review, "Internal", order.Compensated, compensatedLog, 10, 0},
		{"CompensateOrder", "the build is broken", broken("order.compensate", declined), mended, order.Review, "Internal", order.Compensated, compensatedLog, 10, 0},
		{"NotifyCustomer", "the build is broken", broken("order.notify", visa), mended, order.Confirmed, "Internal", order.Confirmed, confirmedLog, 8, 2000},
		{"FailOrder", "the build is broken", shortOrder, mended, order.Review, "Internal", order.Failed, "ORDER_CREATED STOCK_REJECTED ORDER_FAILED", 1, 0},
		{"CommitReservation", "the stock was given back", releasedOrder, reserveAgain, order.Confirmed, "HoldReleased", order.Confirmed, confirmedLog, 8, 2000},
		{"ReleaseStock", "the execution's input was edited", editedOrder, nil, order.Review, "BadSignature", order.Compensated, "ORDER_CREATED STOCK_RELEASED ORDER_COMPENSATED", 10, 0},
		{"RefundPayment", "the receipt of the refund is over another amount", misrefunded, honest, order.Review, "PaymentMismatch", order.Cancelled, "ORDER_CREATED STOCK_RESERVED CANCEL_REQUESTED PAYMENT_CHARGED PAYMENT_REFUNDED STOCK_RELEASED ORDER_CANCELLED", 10, 0},
	}
	for why, bend := range map[string]func(*payment.Receipt){
		"the receipt is over another amount":    func(r *payment.Receipt) { r.AmountCents-- },
		"the receipt is in another currency":    func(r *payment.Receipt) { r.Currency = "EUR" },
		"the receipt is of another intent":      func(r *payment.Receipt) { r.IntentID += "0" },
		"the receipt is empty":                  func(r *payment.Receipt) { *r = payment.Receipt{} },
		"the receipt is over less than nothing": func(r *payment.Receipt) { r.AmountCents = -r.AmountCents },
	} {
		all = append(all, failure{"ResolvePayment", why, func(w *world) string {
			w.lies(lie{capture: bend})
			return w.place(visa)
		}, honest, order.Review, "PaymentMismatch", order.Confirmed, confirmedLog, 8, 2000})
	}
	return all
}

func honest(w *world, _ string) { w.lies(lie{}) }

// shortOrder is an order whose stock is gone between its admission and its reservation.
func shortOrder(w *world) string {
	w.breaks("order.fail")
	w.stop() // nothing is reserved before the stock is gone
	id := w.place(visa)
	w.edit(stockKey, func(it store.Item) store.Item { return it.With(store.N("initial", 1), store.N("available", 1)) })
	w.start()
	return id
}

var stockKey = store.Key{Table: inventory.Table, PK: "A", SK: "stock"}

// releasedOrder is a confirmed order whose stock somebody has given back before it could be sold.
func releasedOrder(w *world) string {
	w.breaks("inventory.commit")
	id := w.place(visa)
	pass(time.Minute)
	commit(w, id, w.Inventory.Release)
	w.breaks("")
	if _, err := w.Orders.Redrive(w.t.Context(), id, "try", "op", "corr-0"); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func commit(w *world, id string, task func(context.Context, inventory.Request) (store.Effect, error)) {
	w.t.Helper()
	e, err := task(w.t.Context(), inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "A", Quantity: 2}}})
	if err == nil {
		_, err = store.Commit(w.t.Context(), w.ours, e)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// reserveAgain holds the stock for the order once more: the released hold is taken away first, as a person would have to.
func reserveAgain(w *world, id string) {
	err := w.ours.Update(w.t.Context(), func(tx *store.Tx) error {
		tx.Delete(store.Key{Table: inventory.ReservationsTable, PK: id, SK: "hold"})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	commit(w, id, w.Inventory.Reserve)
}

// editedOrder is an order whose execution somebody has told to charge less.
func editedOrder(w *world) string {
	w.stop()
	id := w.place(visa)
	w.edit(flowHead(id), func(it store.Item) store.Item {
		return it.With(store.S("input", strings.Replace(it.Str("input"), `"total_cents":2000`, `"total_cents":1`, 1)))
	})
	w.start()
	return id
}

func flowHead(execution string) store.Key {
	return store.Key{Table: flow.Table, PK: execution, SK: "head"}
}

// misrefunded is an order that is cancelled after its charge, and whose refund the provider answers with nonsense.
func misrefunded(w *world) string {
	w.lies(lie{refund: func(r *payment.Receipt) { r.AmountCents-- }})
	id := w.place("pm_sim_slow")
	pass(time.Second) // it is being charged
	if _, err := w.Orders.Cancel(w.t.Context(), id, order.CancelRequest{CorrelationID: "corr-2", Actor: "p"}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// Each state of the saga that has no way left fails the execution; the order then waits for a person, and goes on where it stood
// once the cause is healed.
func TestAFailedStateIsReviewedAndRedriven(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.state+" fails because "+f.why, func(t *testing.T) {
			inWorld(t, func(w *world) { f.play(w) })
		})
	}
}

func (f failure) play(w *world) {
	t := w.t
	id := f.place(w)
	pass(time.Hour)
	n := f.reviewed(w, id)
	if _, err := w.Orders.Cancel(t.Context(), id, order.CancelRequest{CorrelationID: "corr-3", Actor: "p"}); !fault.Is(err, fault.InReview) && !fault.Is(err, fault.OrderFinal) {
		t.Errorf("a cancel in review: %v", err)
	}
	again := w.place(methodOf(w, id)) // I8, whatever the order waits for
	if again != id {
		t.Errorf("the key names %s, and then %s", id, again)
	}

	if f.heal != nil { // a redrive too early fails there again, and is told of again
		f.redrive(w, id, n+1, "ann")
		pass(time.Hour)
		n++
		if m := f.reviewed(w, id); m != n {
			t.Fatalf("redriven %d times, want %d", m, n)
		}
		f.heal(w, id)
	}
	f.redrive(w, id, n+1, "ann", "bob", "cy", "dee")
	pass(time.Hour)
	v := w.view(id)
	if v.Status != f.ends || v.NeedsReview {
		t.Errorf("ended %s, needs review %v: %s", v.Status, v.NeedsReview, types(v))
	}
	if got := withoutReviews(v); got != f.log {
		t.Errorf("the log is\n%s, want\n%s", got, f.log)
	}
	r := w.check(true)
	if r.Open != 0 || r.Reviews != 0 {
		t.Errorf("at rest: %+v", r)
	}
	l, err := w.Provider.Ledger(t.Context(), id)
	if err != nil || l.CapturedCents-l.RefundedCents != f.net {
		t.Errorf("the ledger: %+v, %v, want %d", l, err, f.net)
	}
	if p, err := w.Inventory.Get(t.Context(), "A"); err != nil || p.Available != f.left || p.Held != 0 {
		t.Errorf("%+v, %v, want %d available", p, err, f.left)
	}
}

// reviewed requires that the order waits for a person, and returns how often it was redriven.
func (f failure) reviewed(w *world, id string) (redrives int) {
	w.t.Helper()
	v := w.view(id)
	last := v.Events[len(v.Events)-1]
	if v.Status != f.review || !v.NeedsReview || last.Type != order.OrderReview {
		w.t.Fatalf("%s, needs review %v: %s", v.Status, v.NeedsReview, types(v))
	}
	for _, e := range v.Events {
		if e.Type == order.SagaRedriven {
			redrives++
		}
	}
	name := execution(id, redrives)
	if last.Data["execution"] != name || last.Data["status"] != "FAILED" || last.Data["error"] != f.error {
		w.t.Errorf("the review says %v", last.Data)
	}
	x, err := w.Engine.Describe(w.t.Context(), name)
	if err != nil || x.State != f.state {
		w.t.Errorf("%s ended in %s, %v; want %s", name, x.State, err, f.state)
	}
	if _, err := w.Engine.Redrive(w.t.Context(), name, ""); !fault.Is(err, fault.NotFailed) { // the engine's own would sign nothing anew
		w.t.Errorf("%s was redriven past its order: %v", name, err)
	}
	return redrives
}

// redrive lets operators redrive at once: one does, the others are told that nothing has failed.
func (f failure) redrive(w *world, id string, n int, operators ...string) {
	w.t.Helper()
	var wg sync.WaitGroup
	var done atomic.Int64
	for _, operator := range operators {
		wg.Go(func() {
			name, err := w.Orders.Redrive(context.Background(), id, "healed", operator, "corr-"+operator)
			switch {
			case err == nil && name == execution(id, n):
				done.Add(1)
			case !fault.Is(err, fault.NotFailed):
				w.t.Errorf("redrive by %s: %s, %v", operator, name, err)
			}
		})
	}
	wg.Wait()
	if done.Load() != 1 {
		w.t.Errorf("redriven %d times", done.Load())
	}
	for _, e := range w.view(id).Events {
		if e.Type == order.SagaRedriven && e.Data["n"] == json.Number(strconv.Itoa(n)) && e.Data["resume_at"] == f.state {
			return
		}
	}
	w.t.Errorf("no SAGA_REDRIVEN %d at %s: %s", n, f.state, types(w.view(id)))
}

// What has a way left never waits for a person.
func TestAStateWithAWayLeftIsNotReviewed(t *testing.T) {
	for task, want := range map[string]string{
		"inventory.reserve": "ORDER_CREATED STOCK_RELEASED ORDER_COMPENSATED",
		"payment.charge":    compensatedLog,
	} {
		t.Run(task+" fails for good", func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := broken(task, visa)(w)
				pass(time.Hour)
				if got := types(w.view(id)); got != want {
					t.Errorf("the log is %s, want %s", got, want)
				}
				w.check(true)
				w.stock(10, 0, 0)
			})
		})
	}
	t.Run("a provider that lies once is asked again by resolve", func(t *testing.T) {
		inWorld(t, func(w *world) {
			told := false
			w.lies(lie{capture: func(r *payment.Receipt) {
				if !told {
					told, r.AmountCents = true, 1
				}
			}})
			id := w.place(visa)
			pass(time.Hour)
			if got := types(w.view(id)); got != confirmedLog {
				t.Errorf("the log is %s", got)
			}
			w.check(true)
		})
	})
}

// The signing key was lost, and with it every execution that is under way: what moves stock or money stops, until a redrive signs anew
// what stands in the order's own log.
func TestALostSigningKeyStopsWhatItSigned(t *testing.T) {
	inWorld(t, func(w *world) {
		w.breaks("order.confirm ")
		id := w.place(visa)
		pass(time.Minute)
		w.breaks("")
		w.stop()
		w.keys = signingKeys(t, "k2", "x")
		w.start()
		if _, err := w.Orders.Redrive(t.Context(), id, "a new key", "op", "corr-2"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if v := w.view(id); v.Status != order.Confirmed || v.NeedsReview {
			t.Fatalf("%s: %s", v.Status, types(v))
		}
		w.check(true)
		w.stock(8, 0, 2)
	})
	inWorld(t, func(w *world) {
		w.stop()
		id := w.place(visa)
		w.keys = signingKeys(t, "k2", "x")
		w.start()
		pass(time.Hour)
		if v := w.view(id); v.Status != order.Review {
			t.Fatalf("%s: %s", v.Status, types(v))
		}
		w.stock(10, 0, 0)
		if l, err := w.Provider.Ledger(t.Context(), id); err != nil || len(l.Entries) != 0 {
			t.Errorf("the provider was asked: %+v, %v", l, err)
		}
	})
}

func execution(id string, redrives int) string {
	if redrives == 0 {
		return id
	}
	return id + "-r" + strconv.Itoa(redrives)
}

func types(v order.View) string {
	names := make([]string, len(v.Events))
	for i, e := range v.Events {
		names[i] = e.Type
	}
	return strings.Join(names, " ")
}

func withoutReviews(v order.View) string {
	var names []string
	for _, e := range v.Events {
		if e.Type != order.OrderReview && e.Type != order.SagaRedriven {
			names = append(names, e.Type)
		}
	}
	return strings.Join(names, " ")
}

// methodOf is the method that the order's key was made with.
func methodOf(w *world, id string) string {
	w.t.Helper()
	it, err := w.ours.Get(w.t.Context(), store.Key{Table: order.Table, PK: id, SK: "head"}, store.Strong)
	if err != nil {
		w.t.Fatal(err)
	}
	return it.Str("payment_method")
}
