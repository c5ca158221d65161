package instance_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// The failure table of the specification, a row each.
func TestFailureScenarios(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		row string
		run func(*testing.T)
	}{
		{"payment failure triggers compensation", paymentFailure},
		{"payment provider timeouts open the circuit, and orders fast-fail", paymentTimeouts},
		{"circuit breaker open fast-fails", breakerOpen},
		{"duplicate order is idempotent", duplicateOrder},
		{"inventory conflict is atomic", inventoryConflict},
		{"a message that is delivered again sends no second e-mail", messageRedelivered},
		{"a crash in mid-saga goes on from the last checkpoint", crashInMidSaga},
		{"a store write that fails is retried, and its duplicate changes nothing", storeWriteFails},
	} {
		t.Run(s.row, s.run)
	}
}

func paymentFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	w.product("B", 7)
	r := request(declined, "A", "B")
	r.Contact = &contact
	o := w.place(r)
	ended(t, o, "COMPENSATED", compensatedLog)
	if o.FailureReason == nil || *o.FailureReason != "PAYMENT_DECLINED" {
		t.Errorf("the failure reason is %v", o.FailureReason)
	}
	w.rest()
	w.stock("A", 5, 0, 0)
	w.stock("B", 7, 0, 0)
	w.ledger(o.OrderID, 0, 0)
	if n := w.mail.sent(o.OrderID); n != 1 {
		t.Errorf("the customer was told %d times", n)
	}
}

func paymentTimeouts(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 100)
		for n := range 5 {
			if s, _ := b.Breakers[app.ChargeBreaker].State(t.Context()); s.State != "CLOSED" {
				t.Fatalf("after %d timeouts the circuit is %s", n, s.State)
			}
			o := b.outcome(b.accepted(request(provider.Timeout, "A")))
			ended(t, o, "COMPENSATED", compensatedLog)
		}
		before := b.Provider.Attempts()
		began := time.Now()
		for range 50 {
			a := b.call("POST", "/orders", request(visa, "A")).is(http.StatusServiceUnavailable)
			p := a.problem("PAYMENT_PROVIDER_UNAVAILABLE")
			if p.RetryAfterSeconds == nil || *p.RetryAfterSeconds < 1 || *p.RetryAfterSeconds > 66 {
				t.Fatalf("answered %s", a.body)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the refusals waited for %s", took)
		}
		if after := b.Provider.Attempts(); after != before {
			t.Errorf("the provider was asked: %+v, before %+v", after, before)
		}
		b.rest()
		b.stock("A", 100, 0, 0)
	})
}

func breakerOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	w.call("POST", "/admin/breakers/payment-charge/trip", nil).is(http.StatusOK)
	var took []time.Duration
	for range 50 {
		began := time.Now()
		a := w.call("POST", "/orders", request(visa, "A")).is(http.StatusServiceUnavailable)
		took = append(took, time.Since(began))
		p := a.problem("PAYMENT_PROVIDER_UNAVAILABLE")
		if p.RetryAfterSeconds == nil || *p.RetryAfterSeconds < 1 {
			t.Fatalf("answered %s", a.body)
		}
		if h := a.header.Get("Retry-After"); h != strconv.FormatInt(*p.RetryAfterSeconds, 10) {
			t.Fatalf("Retry-After is %q, retry_after_seconds %d", h, *p.RetryAfterSeconds)
		}
	}
	slices.Sort(took)
	t.Logf("refused over HTTP in %s (median of 50)", took[len(took)/2])
	if a := w.i.App.Provider.Attempts(); a != (provider.Attempts{}) {
		t.Errorf("the provider was asked: %+v", a)
	}
	if r := w.rest(); r.Orders != 0 {
		t.Errorf("%d orders were stored", r.Orders)
	}
	w.stock("A", 5, 0, 0)
	w.call("POST", "/admin/breakers/payment-charge/reset", nil).is(http.StatusOK)
	ended(t, w.place(request(visa, "A")), "CONFIRMED", confirmedLog)
}

// The refusal itself, without HTTP, takes under a millisecond; see also the breaker's benchmark.
func TestAnOpenCircuitRefusesUnderAMillisecond(t *testing.T) {
	w := newWorld(t)
	w.product("A", 1)
	w.place(request(visa, "A"))
	w.rest() // nothing else commits any more
	b := w.i.App.Breakers[app.ChargeBreaker]
	if err := b.Trip(t.Context()); err != nil {
		t.Fatal(err)
	}
	commits := w.i.Dir.Store.Stats().Commits
	took := make([]time.Duration, 1000)
	for i := range took {
		began := time.Now()
		err := b.Admit(t.Context())
		took[i] = time.Since(began)
		if !fault.Is(err, fault.PaymentProviderUnavailable) {
			t.Fatal(err)
		}
	}
	slices.Sort(took)
	if p95 := took[950]; p95 >= time.Millisecond { // the machine may be busy with other tests
		t.Errorf("19 of 20 refusals took up to %s", p95)
	}
	if n := w.i.Dir.Store.Stats().Commits; n != commits {
		t.Errorf("the refusals made %d commits", n-commits)
	}
}

func duplicateOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	r := request(visa, "A")
	first := w.call("POST", "/orders", r, "Idempotency-Key", "k1").is(http.StatusAccepted)
	if h := first.header.Get("Idempotent-Replayed"); h != "" {
		t.Errorf("the first answer says Idempotent-Replayed: %s", h)
	}
	id := into[apigen.OrderAccepted](first).OrderID
	ended(t, w.outcome(id), "CONFIRMED", confirmedLog)
	again := w.call("POST", "/orders", r, "Idempotency-Key", "k1").is(http.StatusAccepted)
	if !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %s and then %s, %v", first.body, again.body, again.header)
	}
	waited := w.call("POST", "/orders", r, "Idempotency-Key", "k1", "Prefer", "wait=20").is(http.StatusOK).order()
	if waited.OrderID != id {
		t.Errorf("waiting for the same key shows another order: %s", waited.OrderID)
	}
	other := request(visa, "A", "A")
	w.call("POST", "/orders", other, "Idempotency-Key", "k1").is(http.StatusUnprocessableEntity).problem("IDEMPOTENCY_KEY_REUSED")
	if report := w.rest(); report.Orders != 1 {
		t.Errorf("%d orders", report.Orders)
	}
	w.stock("A", 4, 0, 1)
	if a := w.i.App.Provider.Attempts(); a.Capture != 1 {
		t.Errorf("captured %d times", a.Capture)
	}
}

func inventoryConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rounds = 5
	for n := range rounds {
		plenty, last := "PLENTY-"+strconv.Itoa(n), "LAST-"+strconv.Itoa(n)
		w.product(plenty, 10)
		w.product(last, 1)
		var wg sync.WaitGroup
		confirmed := make([]bool, 2)
		for i := range confirmed {
			wg.Go(func() {
				a := w.call("POST", "/orders", request(visa, plenty, last), waiting...)
				switch a.status {
				case http.StatusOK:
					o := a.order()
					confirmed[i] = o.Status == "CONFIRMED"
					if !confirmed[i] && (o.Status != "FAILED" || *o.FailureReason != "INSUFFICIENT_STOCK") {
						t.Errorf("an order ended %s", a.body)
					}
				case http.StatusConflict:
					a.problem("INSUFFICIENT_STOCK")
				default:
					t.Errorf("answered %d %s", a.status, a.body)
				}
			})
		}
		wg.Wait()
		if confirmed[0] == confirmed[1] {
			t.Fatalf("confirmed: %v, want exactly one", confirmed)
		}
		w.rest()
		w.stock(plenty, 9, 0, 1)
		w.stock(last, 0, 0, 1)
	}
}

func messageRedelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.product("A", 5)
		stop := b.running(b.Engine.Run) // nobody consumes the queue yet
		r := request(visa, "A")
		r.Contact = &contact
		id := b.accepted(r)
		ended(t, b.outcome(id), "CONFIRMED", confirmedLog)
		wait(time.Minute)
		var messages []bus.Message
		for range 2 { // the first delivery is never deleted, so the queue delivers it again
			got, err := b.Queue.Receive(t.Context(), 10, time.Second)
			if err != nil || len(got) != 1 {
				t.Fatalf("received %v, %v", got, err)
			}
			messages = append(messages, got...)
			wait(2 * time.Second)
		}
		if messages[0].ID != messages[1].ID || messages[1].Receives != 2 {
			t.Fatalf("not the same message: %+v", messages)
		}
		for _, m := range messages {
			if failed, err := b.Notifications.Handle(t.Context(), []bus.Message{m}); err != nil || len(failed) > 0 {
				t.Fatal(failed, err)
			}
		}
		if n := b.mail.sent(id); n != 1 {
			t.Errorf("%d e-mails were sent", n)
		}
		stop()
		defer b.running(b.Notifications.Run)() // and a third time, by the consumer
		b.rest()
		if n := b.mail.sent(id); n != 1 {
			t.Errorf("%d e-mails were sent", n)
		}
	})
}

// crashInMidSaga takes the disk as it is while the charge is at the provider: what a power cut would leave.
func crashInMidSaga(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	if err := w.i.App.Provider.SetFault(provider.Fault{Only: "capture", Latency: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	id := w.accepted(request(visa, "A"))
	eventually(t, "the provider is asked to capture", func() bool { return w.i.App.Provider.Attempts().Capture == 1 })
	image := t.TempDir()
	copyDir(t, w.dir, image)

	after := openWorld(t, image)
	ended(t, after.outcome(id), "CONFIRMED", confirmedLog)
	after.rest()
	after.stock("A", 4, 0, 1)
	after.ledger(id, 1000, 0)
	saga := into[apigen.Saga](after.call("GET", "/admin/sagas/"+id, nil).is(http.StatusOK))
	entered := map[string]int{}
	for _, e := range saga.History {
		if e.Type == "TaskStateEntered" {
			entered[*e.State]++
		}
	}
	for _, state := range []string{"ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "CommitReservation", "NotifyCustomer"} {
		if entered[state] != 1 {
			t.Errorf("%s was entered %d times", state, entered[state])
		}
	}
	if a := after.i.App.Provider.Attempts(); a.Open != 0 || a.Capture != 1 {
		t.Errorf("after the crash the provider was asked %+v, want one capture of the intent that stood on disk", a)
	}
}

// copyDir copies a directory whose files nobody is writing.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func storeWriteFails(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for n := 1; ; n++ {
			fired := false
			inBubble(t, func(t *testing.T, b *bubble) {
				b.product("A", 5)
				stop := b.start()
				wait(time.Second) // the engine has stored its definition
				b.faults.arm(n, replyLost)
				id := b.accepted(request(visa, "A"), "Idempotency-Key", "k1")
				ended(t, b.outcome(id), "CONFIRMED", confirmedLog)
				if r := b.rest(); r.Orders != 1 {
					t.Errorf("%d orders", r.Orders)
				}
				b.stock("A", 4, 0, 1)
				executions := 0
				for _, k := range b.keys(flow.Table) {
					if k.SK == "head" {
						executions++
					}
				}
				if executions != 1 {
					t.Errorf("%d executions", executions)
				}
				stop()
				b.faults.mu.Lock()
				fired = b.faults.fired
				b.faults.mu.Unlock()
			})
			if t.Failed() {
				t.Fatalf("write %d failed, reply lost: %v", n, replyLost)
			}
			if !fired {
				t.Logf("%d writes, reply lost: %v", n-1, replyLost)
				if n < 8 {
					t.Fatal("too few writes for a whole order")
				}
				break
			}
		}
	}
}
