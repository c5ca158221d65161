package payment_test

import (
	"log/slog"
	"strconv"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// BenchmarkCharge is one charge with its effect and the provider's part, on stores in memory.
func BenchmarkCharge(b *testing.B) {
	rows := memstore.New(memstore.Options{})
	sim := provider.New(provider.Config{Store: memstore.New(memstore.Options{})})
	s := payment.New(payment.Config{
		Store: rows, Gateway: sim, Ledger: sim, Log: slog.New(slog.DiscardHandler),
		ChargeBreaker: breaker.New(rows, "payment-charge", breaker.Config{}),
		RefundBreaker: breaker.New(rows, "payment-refund", breaker.Config{}),
	})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e, err := s.Charge(b.Context(), payment.Charge{
			OrderID: "ord-" + strconv.Itoa(i), AmountCents: 4200, Currency: "USD", Method: provider.Visa, CorrelationID: "corr-1", Attempt: "a",
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.Commit(b.Context(), rows, e); err != nil {
			b.Fatal(err)
		}
	}
}
