package provider

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// TestLedgerProperty makes any calls in any order and holds the book to the rules of money, and to what was answered.
func TestLedgerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		book := memstore.New(memstore.Options{})
		gaveUp := func(context.Context, time.Duration) error { return context.DeadlineExceeded }
		s := New(Config{Store: book, Now: func() time.Time { return now }, Sleep: gaveUp})
		promised := map[string]string{} // what a call was told, for good
		orders := rapid.SampledFrom([]string{"a", "b"})
		methods := rapid.SampledFrom([]string{Visa, ChargeDeclined, Timeout, TimeoutCharged, Late, Error, Slow})
		tell := func(t *rapid.T, order, what string) {
			if was, ok := promised[order]; ok && was != what {
				t.Fatalf("order %s was told %s and then %s", order, was, what)
			}
			promised[order] = what
		}
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				_, _ = s.Open(ctx, payment.Intent{
					OrderID: orders.Draw(t, "order"), AmountCents: 100, Currency: "USD", Method: methods.Draw(t, "method"),
				})
			},
			"time passes": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "s")) * time.Second) },
			"capture": func(t *rapid.T) {
				o := orders.Draw(t, "order")
				switch _, err := s.Capture(ctx, intentID(o)); {
				case err == nil:
					tell(t, o, "captured")
				case fault.Is(err, fault.PaymentDeclined):
					tell(t, o, "not captured")
				}
			},
			"cancel": func(t *rapid.T) {
				o := orders.Draw(t, "order")
				switch c, err := s.Cancel(ctx, intentID(o)); {
				case err == nil && c.Captured:
					tell(t, o, "captured")
				case err == nil:
					tell(t, o, "not captured")
				}
			},
			"refund": func(t *rapid.T) {
				o := orders.Draw(t, "order")
				if _, err := s.Refund(ctx, intentID(o)); err == nil {
					tell(t, o, "captured")
				}
			},
			"": func(t *rapid.T) {
				books := Books{Now: now, Each: func(a Account) error { return judge(a, promised[a.OrderID]) }}
				if err := book.Dump(ctx, books.Add); err != nil {
					t.Fatal(err)
				}
				if err := books.Close(); err != nil {
					t.Fatal(err)
				}
				for _, o := range []string{"a", "b"} { // the same through the page, which enters what was due
					v, err := s.Ledger(ctx, o)
					if err != nil || v.RefundedCents > v.CapturedCents || v.CapturedCents > 100 {
						t.Fatalf("%s: %+v, %v", o, v, err)
					}
				}
			},
		})
	})
}

func judge(a Account, promised string) error {
	if a.Captures > 1 || a.CapturedCents > a.AmountCents || a.RefundedCents > a.CapturedCents || a.Cancelled && a.CapturedCents > 0 {
		return fmt.Errorf("the book breaks its rules: %+v", a)
	}
	if promised == "captured" && a.CapturedCents != 100 || promised == "not captured" && (a.CapturedCents != 0 || a.Pending) {
		return fmt.Errorf("told %s, but the book says %+v", promised, a)
	}
	return nil
}
