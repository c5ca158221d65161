package notification_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestOneNotification(t *testing.T) {
	w := newWorld(t)
	w.queue(1, notification.OrderConfirmed)
	before := w.mem.Commits()
	w.run()
	if n := w.mem.Commits() - before; n != 3 {
		t.Errorf("%d commits, want 3: claim, record, record and delete", n)
	}
	e := w.smtp.only(t)
	if e.To != "jane1@example.com" || e.MessageID != "ord-1.v5@cloudflow" || !strings.Contains(e.Text, "USD 12.05") {
		t.Errorf("sent %+v", e)
	}
	r := w.record(1)
	if r.Status != notification.Sent || r.Channel != "smtp" || r.MessageID != e.MessageID || r.Attempts != 1 || r.CorrelationID != "corr-1" || !r.EndedAt.Equal(w.now()) {
		t.Errorf("record %+v", r)
	}
	w.empty()
	line := w.logLine("Notification sent")
	if line["service"] != "notification_service" || line["order_id"] != "ord-1" || line["correlation_id"] != "corr-1" {
		t.Errorf("logged %v", line)
	}
	w.discreet()
}

func TestABatchCostsThreeCommits(t *testing.T) {
	w := newWorld(t)
	for i := range notification.MaxBatch {
		w.queue(i, notification.OrderFailed)
	}
	w.config.Batch = notification.MaxBatch
	w.open()
	before := w.mem.Commits()
	w.run()
	if n := w.mem.Commits() - before; n != 3 {
		t.Errorf("%d commits for %d messages, want 3", n, notification.MaxBatch)
	}
	if n := len(w.smtp.sent()); n != notification.MaxBatch {
		t.Errorf("sent %d", n)
	}
}

func TestKinds(t *testing.T) {
	w := newWorld(t)
	for i, kind := range []notification.Kind{notification.OrderConfirmed, notification.OrderFailed, notification.OrderCancelled} {
		w.queue(i, kind)
	}
	w.run()
	var subjects []string
	for _, e := range w.smtp.sent() {
		subjects = append(subjects, e.Subject)
		if e.Text == "" || !strings.HasSuffix(e.Text, "\n") {
			t.Errorf("text %q", e.Text)
		}
	}
	want := []string{"Your order ord-0 is confirmed", "Your order ord-1 could not be completed", "Your order ord-2 is cancelled"}
	if !slices.Equal(subjects, want) {
		t.Errorf("subjects %q", subjects)
	}
}

func TestWhoHasNoAddress(t *testing.T) {
	cases := []struct {
		rule    string
		contact *notification.Contact
		erase   bool
		want    notification.Status
	}{
		{"no contact at all goes to the log", nil, false, notification.NoContact},
		{"a phone alone goes to the log", &notification.Contact{Phone: "+4912345"}, false, notification.NoContact},
		{"an erased contact goes to the log", &notification.Contact{Email: "jane@example.com"}, true, notification.ContactErased},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld(t)
			m := w.message(1, notification.OrderConfirmed, c.contact)
			if c.erase {
				if err := w.config.Keys.Erase(m.CustomerID); err != nil {
					t.Fatal(err)
				}
			}
			w.send(m)
			w.run()
			if n := len(w.smtp.sent()); n != 0 {
				t.Errorf("%d e-mails", n)
			}
			if e := w.logged.only(t); e.To != "" || e.OrderID != "ord-1" {
				t.Errorf("logged %+v", e)
			}
			if r := w.record(1); r.Status != c.want || r.Channel != "log" {
				t.Errorf("record %+v", r)
			}
			w.empty()
		})
	}
}

func TestWhoGaveAPhoneNumber(t *testing.T) {
	both, phone := &notification.Contact{Email: "jane@example.com", Phone: "+49123"}, &notification.Contact{Phone: "+49123"}
	for _, c := range []struct {
		rule      string
		contact   *notification.Contact
		phones    bool // there is a sender for them
		channel   string
		status    notification.Status
		to, phone string
	}{
		{"is told by phone alone, where there is a sender for it", both, true, "sns", notification.Sent, "", "+49123"},
		{"is told by phone without an address too", phone, true, "sns", notification.Sent, "", "+49123"},
		{"is told by e-mail alone, where there is none", both, false, "smtp", notification.Sent, "jane@example.com", ""},
		{"and no address is told nothing, where there is none", phone, false, "log", notification.NoContact, "", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld(t)
			phones := &fakeSender{name: "sns", w: w}
			if c.phones {
				w.config.Phone = phones
				w.open()
			}
			w.send(w.message(1, notification.OrderConfirmed, c.contact))
			w.run()
			if r := w.record(1); r.Status != c.status || r.Channel != c.channel {
				t.Errorf("record %+v", r)
			}
			tried := slices.Concat(phones.tried, w.smtp.tried, w.logged.tried)
			if len(tried) != 1 || tried[0].To != c.to || tried[0].Phone != c.phone || tried[0].Subject == "" {
				t.Errorf("sent %+v", tried)
			}
			w.discreet()
		})
	}
	t.Run("finds it in no error, however careless the sender", func(t *testing.T) {
		w := newWorld(t)
		w.config.Phone = &fakeSender{name: "sns", w: w, fail: func(e notification.Email) error {
			return fault.New(fault.Transient, "no way to %s", e.Phone)
		}}
		w.open()
		w.send(w.message(1, notification.OrderConfirmed, phone))
		w.run()
		if text := w.log.String(); strings.Contains(text, "49123") || !strings.Contains(text, "no way to [contact]") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestRedeliveryDoesNotSendTwice(t *testing.T) {
	w := newWorld(t)
	w.queue(1, notification.OrderConfirmed)
	w.queue(1, notification.OrderConfirmed) // the order side ran its task twice
	w.run()
	w.smtp.only(t)
	w.queue(1, notification.OrderConfirmed)
	w.run()
	w.smtp.only(t)
	w.empty()
	m := w.message(1, notification.OrderFailed, nil)
	m.Version = 6
	w.send(m)
	w.run()
	if n := len(w.logged.sent()); n != 1 {
		t.Errorf("another version is another notification, but %d were sent", n)
	}
}

func TestAFailedSend(t *testing.T) {
	t.Run("is tried three times, with pauses, and then is a dead letter that an operator can redrive", func(t *testing.T) {
		w := newWorld(t)
		w.queue(1, notification.OrderConfirmed)
		w.queue(2, notification.OrderConfirmed)
		w.smtp.fail = func(e notification.Email) error {
			if e.OrderID == "ord-1" {
				return fault.New(fault.Transient, "smtp: 451 4.7.1")
			}
			return nil
		}
		started := w.now()
		w.settle()
		if got := w.smtp.attempts("ord-1"); !slices.EqualFunc(got, []time.Duration{0, 30 * time.Second, 330 * time.Second},
			func(at time.Time, d time.Duration) bool { return at.Sub(started) == d }) {
			t.Errorf("tried at %v, began at %v", got, started)
		}
		if n := len(w.smtp.attempts("ord-2")); n != 1 {
			t.Errorf("the other one was sent %d times", n)
		}
		letters := w.dead()
		if len(letters) != 1 || letters[0].ID != "ord-1.v5" || letters[0].Receives != 3 || !strings.Contains(letters[0].Reason, "451 4.7.1") {
			t.Fatalf("dead letters %+v", letters)
		}
		if r := w.record(1); r.Status != notification.Sending || r.Attempts != 3 || r.Delivered() {
			t.Errorf("record %+v", r)
		}
		w.smtp.fail = nil
		if n, err := w.q.Redrive(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		w.settle()
		if r := w.record(1); r.Status != notification.Sent || r.Attempts != 4 {
			t.Errorf("record %+v", r)
		}
		w.empty()
		w.discreet()
	})
	t.Run("does not show the address, however careless the sender", func(t *testing.T) {
		w := newWorld(t)
		w.queue(1, notification.OrderConfirmed)
		w.smtp.fail = func(e notification.Email) error {
			return fault.Wrap(fault.Transient, fmt.Errorf("no mailbox %s", e.To), "smtp")
		}
		w.settle()
		if l := w.dead(); len(l) != 1 || !strings.Contains(l[0].Reason, "no mailbox [contact]") {
			t.Errorf("dead letters %+v", l)
		}
		w.discreet()
	})
	t.Run("may be a panic", func(t *testing.T) {
		w := newWorld(t)
		w.queue(1, notification.OrderConfirmed)
		w.smtp.fail = func(e notification.Email) error { panic(e.To) }
		w.settle()
		if l := w.dead(); len(l) != 1 {
			t.Errorf("dead letters %+v", l)
		}
		w.discreet()
	})
}

func TestPoisonHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	bodies := []string{"no JSON", "{}", `{"order_id":"a b"}`, `[]`, "\xff"}
	for _, body := range bodies {
		if err := w.q.Send(t.Context(), []byte(body)); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(time.Millisecond)
	}
	w.queue(1, notification.OrderConfirmed)
	w.run()
	w.smtp.only(t)
	w.settle()
	if l := w.dead(); len(l) != len(bodies) || !strings.Contains(l[0].Reason, "ValidationFailed") {
		t.Errorf("dead letters %+v", l)
	}
}

// A crash before each write, and one after each whose reply is lost: the message reaches the sender at least once,
// under one Message-ID, and is never lost.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, relay := range []string{"works", "fails"} {
		for _, staged := range []bool{true, false} {
			for _, replyLost := range []bool{false, true} {
				for n := 1; ; n++ {
					w := newWorld(t)
					w.staged = staged
					w.queue(1, notification.OrderConfirmed)
					if relay == "fails" {
						w.smtp.fail = func(notification.Email) error { return fault.New(fault.Transient, "451") }
					}
					w.faults.failAt, w.faults.writes, w.faults.replyLost = n, 0, replyLost
					w.open()
					w.settle()
					where := fmt.Sprintf("relay %s, staged %v, write %d, reply lost %v", relay, staged, n, replyLost)
					w.oneMessageID(where)
					attempts, dead := len(w.smtp.attempts("ord-1")), len(w.dead())
					switch {
					case attempts < 1 || attempts > 3:
						t.Errorf("%s: %d attempts", where, attempts)
					case relay == "works" && (attempts > 2 || dead != 0 || w.record(1).Status != notification.Sent):
						t.Errorf("%s: %d attempts, %d dead letters, record %+v", where, attempts, dead, w.record(1))
					case relay == "fails" && (dead != 1 || w.record(1).Status != notification.Sending):
						t.Errorf("%s: %d dead letters, record %+v", where, dead, w.record(1))
					case relay == "fails" && w.faults.writes < n && attempts != 3:
						t.Errorf("%s: %d attempts before the dead-letter queue, want 3", where, attempts)
					}
					if st, err := w.q.Stats(t.Context()); err != nil || st.Ready+st.InFlight != 0 {
						t.Errorf("%s: queue %+v, %v", where, st, err)
					}
					if w.faults.writes < n {
						break
					}
				}
			}
		}
	}
}

func TestTwoConsumersShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Now, w.config.Concurrency, w.config.Batch = time.Now, 3, 10
		w.clock = nil
		w.open()
		w.smtp.pause = 100 * time.Millisecond
		other := notification.New(w.config)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, s := range []*notification.Service{w.service, other} {
			wg.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		const orders = 300
		for i := range orders {
			w.queue(i, notification.OrderConfirmed)
			if i%50 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Minute)
		for i := range orders {
			if n := len(w.smtp.attempts(fmt.Sprintf("ord-%d", i))); n != 1 {
				t.Errorf("order %d was sent %d times", i, n)
			}
		}
		w.empty()
		cancel()
		wg.Wait()
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Run("the batch in hand is sent and recorded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Now, w.clock = time.Now, nil
			w.open()
			for i := range 10 {
				w.queue(i, notification.OrderConfirmed)
			}
			w.smtp.pause = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			if err := w.service.Run(ctx); err != nil {
				t.Error(err)
			}
			if n := len(w.smtp.sent()); n != 10 {
				t.Errorf("sent %d", n)
			}
			w.empty()
		})
	})
	t.Run("a relay that hangs costs one timeout, and what was not begun is visible at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Now, w.clock = time.Now, nil
			w.open()
			for i := range 10 {
				w.queue(i, notification.OrderConfirmed)
			}
			w.smtp.pause = time.Hour
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			started := time.Now()
			if err := w.service.Run(ctx); err != nil {
				t.Error(err)
			}
			if d := time.Since(started); d != notification.DefaultSendTimeout {
				t.Errorf("it took %v", d)
			}
			if m, err := w.q.Receive(t.Context(), 45, time.Minute); len(m) != 9 || err != nil {
				t.Errorf("%d visible, %v; want 9", len(m), err)
			}
		})
	})
	t.Run("a store that is away is asked again with growing pauses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.config.Now, w.clock = time.Now, nil
			w.open()
			w.queue(1, notification.OrderConfirmed)
			w.faults.down = true
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = w.service.Run(ctx)
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := w.faults.count(); n > 25 {
				t.Errorf("asked %d times in a minute", n)
			}
			w.faults.setDown(false)
			time.Sleep(time.Minute)
			w.smtp.only(t)
			cancel()
			<-done
		})
	})
}

func TestMessages(t *testing.T) {
	m := notification.Message{
		OrderID: "ord-1", CustomerID: "cust-1", Kind: notification.OrderFailed, Version: 7, TotalCents: 5, Currency: "EUR",
		FailureReason: "PAYMENT_DECLINED", CorrelationID: "corr-1", SealedContact: []byte{1, 2, 255},
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := notification.Decode(b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	for name, spoil := range map[string]func(*notification.Message){
		"a line break in the order's id": func(m *notification.Message) { m.OrderID = "a\nb" },
		"no customer":                    func(m *notification.Message) { m.CustomerID = "" },
		"an unknown kind":                func(m *notification.Message) { m.Kind = "ORDER_LOST" },
		"version 0":                      func(m *notification.Message) { m.Version = 0 },
		"a negative total":               func(m *notification.Message) { m.TotalCents = -1 },
		"a currency of four letters":     func(m *notification.Message) { m.Currency = "EURO" },
		"a sentence as a reason":         func(m *notification.Message) { m.FailureReason = "Dear customer" },
		"a correlation id with spaces":   func(m *notification.Message) { m.CorrelationID = "a b" },
	} {
		bad := m
		spoil(&bad)
		if _, err := bad.Encode(); !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"order_id":"ord-1","customer_id":"c","kind":"ORDER_FAILED","version":1,"total_cents":1,"currency":"USD"}`))
	f.Add([]byte(`{"sealed_contact":"!"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := notification.Decode(body)
		if err != nil {
			return
		}
		b, err := m.Encode()
		if err != nil {
			t.Fatalf("%+v was decoded and is not encoded: %v", m, err)
		}
		if again, err := notification.Decode(b); err != nil || again.MessageID() != m.MessageID() {
			t.Fatalf("%s: %v", b, err)
		}
	})
}

func TestAnEmailDoesNotLogItsAddress(t *testing.T) {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "email", notification.Email{To: "jane@example.com", OrderID: "ord-1"})
	if strings.Contains(b.String(), "jane") || !strings.Contains(b.String(), "ord-1") {
		t.Errorf("logged %s", b.String())
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	w.queue(1, notification.OrderConfirmed)
	w.run()
	it, err := w.mem.Get(t.Context(), store.Key{Table: "notifications", PK: "ord-1", SK: "n#0000000005"}, store.Strong)
	if err != nil || it.Str("status") != "SENT" {
		t.Errorf("item %v, %v", it, err)
	}
	w = newWorld(t)
	if _, err := w.service.Show(t.Context(), "ord-1", 5); !fault.Is(err, fault.NotFound) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkRunOne(b *testing.B) {
	w := newWorld(b)
	w.config.Log = slog.New(slog.DiscardHandler)
	w.smtp.forget = true
	w.config.Batch = notification.MaxBatch
	w.open()
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		b.StopTimer()
		for i := 0; i < notification.MaxBatch && n < b.N; i, n = i+1, n+1 {
			w.queue(n, notification.OrderConfirmed)
		}
		b.StartTimer()
		w.run()
	}
}
