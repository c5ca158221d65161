package breaker

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A model is the circuit as saga.md tells it, for one caller at a time and without the share of failures.
type model struct {
	state     State
	failures  int
	attempt   int
	successes int
	openUntil time.Time
	permit    bool
	lease     time.Time
}

func (m *model) open(b *Breaker, attempt int) {
	s, _ := b.State(context.Background())
	*m = model{state: Open, attempt: attempt, openUntil: s.OpenUntil} // how long is chance: a test of its own bounds it
}

func (m *model) closed() { *m = model{state: Closed} }

// TestModel drives the circuit and the model with the same calls, restarts included.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		s := memstore.New(memstore.Options{})
		config := Config{
			MinCalls: 1 << 30, Now: func() time.Time { return now },
			Rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
		}
		b := New(s, "c", config)
		m := &model{state: Closed}
		var held *Permit
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 100_000).Draw(t, "ms")) * time.Millisecond)
			},
			"restart": func(*rapid.T) {
				b = New(s, "c", config)
				held = nil
			},
			"admit": func(t *rapid.T) {
				refuse := m.state == Open && now.Before(m.openUntil) || m.state == HalfOpen && m.permit && now.Before(m.lease)
				if err := b.Admit(ctx); fault.Is(err, fault.PaymentProviderUnavailable) != refuse {
					t.Fatalf("admission: %v, want a refusal: %v", err, refuse)
				}
			},
			"call": func(t *rapid.T) {
				p, err := b.Acquire(ctx)
				var want fault.Kind
				switch {
				case m.state == Open && now.Before(m.openUntil):
					want = fault.PaymentProviderUnavailable
				case m.state == HalfOpen && m.permit && now.Before(m.lease):
					want = fault.Transient
				}
				if fault.KindOf(err) != want {
					t.Fatalf("acquire: %v, want %q", err, want)
				}
				if err != nil {
					return
				}
				if m.state != Closed {
					*m = model{state: HalfOpen, attempt: m.attempt, successes: m.successes, permit: true, lease: now.Add(30 * time.Second)}
				}
				end := rapid.SampledFrom([]string{"success", "failure", "failure", "abandoned", "held"}).Draw(t, "end")
				finish(m, b, p, end)
				if end == "held" && m.state == HalfOpen {
					held = p
				}
			},
			"the held call ends": func(t *rapid.T) {
				if held == nil {
					t.Skip("none is held")
				}
				current := m.state == HalfOpen && m.permit && b.rec.holds(held.generation, held.token)
				end := rapid.SampledFrom([]string{"success", "failure", "abandoned"}).Draw(t, "end")
				if current {
					finish(m, b, held, end)
				} else {
					held.Done(ctx, end == "success")
				}
				held = nil
			},
			"trip": func(*rapid.T) {
				_ = b.Trip(ctx)
				m.open(b, max(m.attempt, 1))
			},
			"reset": func(*rapid.T) {
				_ = b.Reset(ctx)
				m.closed()
			},
			"": func(t *rapid.T) {
				got, err := b.State(ctx)
				if err != nil || got.State != m.state || int(got.Failures) != m.failures || int(got.Attempt) != m.attempt ||
					int(got.Successes) != m.successes || (got.PermitsOut == 1) != (m.permit && now.Before(m.lease)) {
					t.Fatalf("the circuit is %+v (%v), the model %+v", got, err, *m)
				}
			},
		})
	})
}

// finish ends a call in both. Only what the model says about HALF_OPEN and CLOSED is decided here.
func finish(m *model, b *Breaker, p *Permit, end string) {
	ctx := context.Background()
	switch end {
	case "success":
		p.Done(ctx, true)
		m.failures = 0
		if m.state == HalfOpen {
			m.permit = false
			if m.successes++; m.successes == 2 {
				m.closed()
			}
		}
	case "failure":
		p.Done(ctx, false)
		if m.state == HalfOpen {
			m.open(b, m.attempt+1)
		} else if m.failures++; m.failures == 5 {
			m.open(b, 1)
		}
	case "abandoned":
		p.Abandon(ctx)
		m.permit = false
	}
}
