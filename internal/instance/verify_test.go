package instance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/invariant"
)

// A running instance is dumped store by store, ours first: what is ordered between the two dumps is in the provider's book alone.
func TestVerifyWhileOrdersArrive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		defer b.start()()
		b.product("A", 5)
		b.outcome(b.accepted(request(visa, "A")))
		wait(time.Second)
		begun := time.Now()
		s := invariant.New()
		if err := b.ours.Dump(t.Context(), s.Add); err != nil {
			t.Fatal(err)
		}
		id := b.accepted(request(visa, "A"))
		b.outcome(id)
		if err := b.theirs.Dump(t.Context(), s.AddProvider); err != nil {
			t.Fatal(err)
		}
		if r := s.Check(begun, false); len(r.Violations) > 0 {
			t.Errorf("an order that came between the dumps: %v", r.Violations)
		}
		wait(time.Second)
		r := s.Check(time.Now(), false)
		if len(r.Violations) != 1 || r.Violations[0].Subject != id || !strings.Contains(r.Violations[0].Detail, "does not exist") {
			t.Errorf("money for an order that was lost: %v", r.Violations)
		}
	})
}
