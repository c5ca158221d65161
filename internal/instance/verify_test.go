package instance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// A running instance is dumped store by store, ours first: what is ordered between the two dumps is in the provider's book alone.
func TestVerifyWhileOrdersArrive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 5)
		b.outcome(b.accepted(request(visa, "A")))
		b.fault(provider.Fault{Only: "open", Latency: 2 * time.Second})
		pending := b.accepted(request(visa, "A")) // no payment of it stands in our dump
		wait(time.Second)
		begun := time.Now()
		s := invariant.New()
		if err := b.ours.Dump(t.Context(), s.Add); err != nil {
			t.Fatal(err)
		}
		id := b.accepted(request(visa, "A"))
		b.outcome(id)
		b.outcome(pending)
		if err := b.theirs.Dump(t.Context(), s.AddProvider); err != nil {
			t.Fatal(err)
		}
		if r := s.Check(begun, false); len(r.Violations) > 0 {
			t.Errorf("an order that came between the dumps: %v", r.Violations)
		}
		wait(time.Second)
		r := s.Check(time.Now(), false)
		var found []string
		for _, v := range r.Violations {
			found = append(found, v.String())
		}
		text := strings.Join(found, "\n")
		if len(found) != 2 || !strings.Contains(text, id+": the provider has captured money for an order that does not exist") ||
			!strings.Contains(text, pending+": PENDING, captured 1000, and there is no payment") {
			t.Errorf("had both been lost: %s", text)
		}
	})
}
