package provider

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const order = "ord-01"

func newSimulator() (*Simulator, *memstore.Store) {
	s := memstore.New(memstore.Options{})
	return New(Config{Store: s, Rand: rand.New(rand.NewPCG(1, 2))}), s
}

func open(t *testing.T, s *Simulator, method string) string {
	t.Helper()
	id, err := s.Open(t.Context(), payment.Intent{OrderID: order, AmountCents: 4200, Currency: "USD", Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// capture gives up after payment's 8 s.
func capture(t *testing.T, s *Simulator, id string) (payment.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	return s.Capture(ctx, id)
}

func ledger(t *testing.T, s *Simulator) payment.LedgerView {
	t.Helper()
	v, err := s.Ledger(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantCaptured(t *testing.T, s *Simulator, cents int64) {
	t.Helper()
	if v := ledger(t, s); v.CapturedCents != cents {
		t.Fatalf("the ledger has %d captured, want %d: %+v", v.CapturedCents, cents, v.Entries)
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Fatalf("error %v, want the kind %q", err, want)
	}
}

func inBubble(t *testing.T, rule string, f func(t *testing.T)) {
	t.Helper()
	t.Run(rule, func(t *testing.T) { synctest.Test(t, f) })
}

func TestMethods(t *testing.T) {
	for method, want := range map[string]struct {
		answer   time.Duration // when the capture is answered
		err      bool
		kind     fault.Kind
		captured int64 // a minute later
	}{
		"":             {captured: 4200},
		Visa:           {captured: 4200},
		ChargeDeclined: {err: true, kind: fault.PaymentDeclined},
		Timeout:        {answer: 8 * time.Second, err: true, kind: fault.Transient},
		TimeoutCharged: {answer: 8 * time.Second, err: true, kind: fault.Transient, captured: 4200},
		Late:           {answer: 8 * time.Second, err: true, kind: fault.Transient, captured: 4200},
		Error:          {err: true, kind: fault.Internal},
		Slow:           {answer: 3 * time.Second, captured: 4200},
	} {
		inBubble(t, "capture with "+method, func(t *testing.T) {
			s, _ := newSimulator()
			id := open(t, s, method)
			start := time.Now()
			r, err := capture(t, s, id)
			if got := time.Since(start); got != want.answer {
				t.Errorf("answered after %v, want %v", got, want.answer)
			}
			if want.err {
				wantKind(t, err, want.kind)
			} else if err != nil || r.AmountCents != 4200 || r.Currency != "USD" || r.IntentID != id {
				t.Errorf("receipt %+v, %v", r, err)
			}
			time.Sleep(time.Minute)
			wantCaptured(t, s, want.captured)
		})
		inBubble(t, "a cancelled intent is never captured with "+method, func(t *testing.T) {
			s, _ := newSimulator()
			id := open(t, s, method)
			if c, err := s.Cancel(t.Context(), id); err != nil || c.Captured {
				t.Fatalf("%+v, %v", c, err)
			}
			_, err := capture(t, s, id)
			wantKind(t, err, fault.PaymentDeclined)
			time.Sleep(time.Minute)
			wantCaptured(t, s, 0)
		})
	}
	t.Run("an unknown method is declined at once", func(t *testing.T) {
		s, m := newSimulator()
		_, err := s.Open(t.Context(), payment.Intent{OrderID: order, AmountCents: 1, Currency: "USD", Method: "pm_card_4242"})
		wantKind(t, err, fault.PaymentDeclined)
		if m.Commits() != 0 {
			t.Fatal("it was stored")
		}
	})
}

func TestLate(t *testing.T) {
	inBubble(t, "it is captured at its time though nobody calls, and dated so", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Late)
		due := time.Now().Add(9 * time.Second)
		_, err := capture(t, s, id)
		wantKind(t, err, fault.Transient)
		wantCaptured(t, s, 0)
		time.Sleep(time.Hour)
		v := ledger(t, s)
		if v.CapturedCents != 4200 || !v.Entries[1].At.Equal(due) {
			t.Fatalf("%+v, due %v", v, due)
		}
	})
	inBubble(t, "a cancellation before its time wins, one after it answers the receipt", func(t *testing.T) {
		for _, wait := range []time.Duration{0, 2 * time.Second} {
			s, _ := newSimulator()
			id := open(t, s, Late)
			_, err := capture(t, s, id)
			wantKind(t, err, fault.Transient)
			time.Sleep(wait)
			late := wait > 0
			if c, err := s.Cancel(t.Context(), id); err != nil || c.Captured != late {
				t.Fatalf("after %v: %+v, %v", wait, c, err)
			}
			time.Sleep(time.Minute)
			wantCaptured(t, s, map[bool]int64{false: 0, true: 4200}[late])
		}
	})
	inBubble(t, "a caller who waits long enough gets the receipt", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Late)
		if r, err := s.Capture(t.Context(), id); err != nil || r.AmountCents != 4200 {
			t.Fatalf("%+v, %v", r, err)
		}
	})
	inBubble(t, "a restart keeps its time", func(t *testing.T) {
		s, m := newSimulator()
		_, err := capture(t, s, open(t, s, Late))
		wantKind(t, err, fault.Transient)
		s = New(Config{Store: m})
		time.Sleep(time.Second)
		wantCaptured(t, s, 4200)
	})
}

func TestLedgerRules(t *testing.T) {
	t.Run("opening is idempotent, and other terms are a mismatch", func(t *testing.T) {
		s, _ := newSimulator()
		if a, b := open(t, s, Visa), open(t, s, Visa); a != b {
			t.Fatalf("%s and %s", a, b)
		}
		_, err := s.Open(t.Context(), payment.Intent{OrderID: order, AmountCents: 1, Currency: "USD"})
		wantKind(t, err, fault.PaymentMismatch)
	})
	t.Run("open and capture are one commit each", func(t *testing.T) {
		s, m := newSimulator()
		id := open(t, s, Visa)
		if m.Commits() != 1 {
			t.Fatalf("%d commits", m.Commits())
		}
		if _, err := capture(t, s, id); err != nil {
			t.Fatal(err)
		}
		if m.Commits() != 2 {
			t.Fatalf("%d commits", m.Commits())
		}
	})
	t.Run("a repeated capture answers the first receipt", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Visa)
		a, err := capture(t, s, id)
		b, err2 := capture(t, s, id)
		if err != nil || err2 != nil || a.AmountCents != b.AmountCents {
			t.Fatalf("%+v %v, %+v %v", a, err, b, err2)
		}
		if v := ledger(t, s); len(v.Entries) != 2 || v.CapturedCents != 4200 {
			t.Fatalf("%+v", v)
		}
	})
	t.Run("a refund happens once, and only of what was captured", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Visa)
		_, err := s.Refund(t.Context(), id)
		wantKind(t, err, fault.PaymentDeclined)
		if _, err := capture(t, s, id); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r, err := s.Refund(t.Context(), id); err != nil || r.AmountCents != 4200 {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if v := ledger(t, s); v.RefundedCents != 4200 || len(v.Entries) != 3 {
			t.Fatalf("%+v", v)
		}
	})
	t.Run("an unknown intent is NotFound, an unknown order has an empty page", func(t *testing.T) {
		s, _ := newSimulator()
		for _, id := range []string{"pi-x", "x", "pi-"} {
			_, err := s.Capture(t.Context(), id)
			wantKind(t, err, fault.NotFound)
			_, err = s.Cancel(t.Context(), id)
			wantKind(t, err, fault.NotFound)
		}
		if v := ledger(t, s); v.Entries == nil || len(v.Entries) != 0 {
			t.Fatalf("%+v", v)
		}
	})
	t.Run("of captures and cancellations at the same moment one kind wins, and all are told the same", func(t *testing.T) {
		for range 50 {
			s, _ := newSimulator()
			id := open(t, s, Visa)
			var wg sync.WaitGroup
			var captured, refused atomic.Int64
			for i := range 16 {
				wg.Go(func() {
					if i%2 == 0 {
						c, err := s.Cancel(t.Context(), id)
						switch {
						case err != nil:
							t.Error(err)
						case c.Captured:
							captured.Add(1)
						default:
							refused.Add(1)
						}
						return
					}
					if _, err := s.Capture(t.Context(), id); err == nil {
						captured.Add(1)
					} else if fault.Is(err, fault.PaymentDeclined) {
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			if captured.Load() != 0 && captured.Load() != 16 || captured.Load()+refused.Load() != 16 {
				t.Fatalf("%d were told captured, %d not", captured.Load(), refused.Load())
			}
		}
	})
}

func TestFaults(t *testing.T) {
	set := func(t *testing.T, s *Simulator, f Fault) {
		t.Helper()
		if err := s.SetFault(f); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, "nothing happens while it is down, answers a status or hangs", func(t *testing.T) {
		for _, c := range []struct {
			f    Fault
			kind fault.Kind
		}{
			{Fault{Down: true}, fault.PaymentProviderUnavailable},
			{Fault{Status: 429}, fault.Throttled},
			{Fault{Status: 500}, fault.Internal},
			{Fault{Status: 503}, fault.Internal},
			{Fault{Hang: true}, fault.Transient},
		} {
			s, m := newSimulator()
			id := open(t, s, Visa)
			set(t, s, c.f)
			_, err := capture(t, s, id)
			wantKind(t, err, c.kind)
			if m.Commits() != 1 {
				t.Fatalf("%+v: it was carried out", c.f)
			}
			set(t, s, Fault{})
			if _, err := capture(t, s, id); err != nil {
				t.Fatal(err)
			}
		}
	})
	inBubble(t, "a lost reply is lost after the money moved", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Visa)
		set(t, s, Fault{LoseReplies: 1})
		if _, err := capture(t, s, id); !errors.Is(err, errReplyLost) {
			t.Fatal(err)
		}
		wantCaptured(t, s, 4200)
	})
	inBubble(t, "it befalls one operation only, and the others go on", func(t *testing.T) {
		s, _ := newSimulator()
		set(t, s, Fault{Only: "capture", Status: 500})
		_, err := capture(t, s, open(t, s, Visa))
		wantKind(t, err, fault.Internal)
	})
	inBubble(t, "it befalls a share of the calls, and every call is counted", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Visa)
		set(t, s, Fault{Rate: 0.1, Status: 500})
		failed := 0
		for range 1000 {
			if _, err := capture(t, s, id); err != nil {
				failed++
			}
		}
		if failed < 60 || failed > 140 || s.Attempts() != (Attempts{Open: 1, Capture: 1000}) {
			t.Fatalf("%d failed, %+v", failed, s.Attempts())
		}
	})
	inBubble(t, "latency comes before the work", func(t *testing.T) {
		s, _ := newSimulator()
		id := open(t, s, Visa)
		set(t, s, Fault{Latency: 9 * time.Second})
		_, err := capture(t, s, id)
		wantKind(t, err, fault.Transient)
		wantCaptured(t, s, 0)
	})
	t.Run("one that is out of its bounds is refused and changes nothing", func(t *testing.T) {
		s, _ := newSimulator()
		for _, f := range []Fault{{Rate: 2}, {LoseReplies: -1}, {Status: 404}, {Only: "close"}, {Latency: time.Hour}} {
			wantKind(t, s.SetFault(f), fault.ValidationFailed)
		}
		if s.Fault() != (Fault{}) {
			t.Fatalf("%+v", s.Fault())
		}
	})
}
