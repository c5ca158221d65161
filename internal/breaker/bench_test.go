package breaker

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func BenchmarkOpenRefusal(b *testing.B) {
	br := newBreaker(memstore.New(memstore.Options{}), Config{})
	if err := br.Trip(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if br.Admit(b.Context()) == nil {
			b.Fatal("admitted")
		}
	}
}

func BenchmarkClosedCall(b *testing.B) {
	br := newBreaker(memstore.New(memstore.Options{}), Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := br.Acquire(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			p.Done(b.Context(), true)
		}
	})
}
