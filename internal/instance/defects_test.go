package instance_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/simworld"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// What was wrong with the system that the specification describes, a line each.
func TestDefectsOfTheSpecifiedSystem(t *testing.T) {
	for _, d := range []struct {
		defect string
		story  scenario
	}{
		{"a compensation that has lost its input", scenario{shelf("A", 5), shelf("B", 7), places("o", declined, "A", "B", "B"), works, ends("o", "COMPENSATED"), counts("A", 5, 0, 0), counts("B", 7, 0, 0)}},
		{"an order never confirmed", scenario{shelf("A", 5), places("o", visa, "A"), works, ends("o", "CONFIRMED"), counts("A", 4, 0, 1), paid("o", 1000)}},
		{"a two-line reserve that keeps one line", scenario{shelf("A", 5), shelf("B", 1), places("first", visa, "A", "B"), places("second", visa, "A", "B"), works, oneEnds("CONFIRMED", "FAILED", "first", "second"), counts("A", 4, 0, 1), counts("B", 0, 0, 1)}},
		{"a release delivered twice that restocks twice", scenario{shelf("A", 5), places("o", declined, "A"), works, releases("o", "A"), releases("o", "A"), ends("o", "COMPENSATED"), counts("A", 5, 0, 0)}},
		{"a client's price that is believed", scenario{shelf("A", 5), refused("PRICE_CHANGED", visa, 1, "A"), places("o", visa, "A"), costs("A", 1), works, ends("o", "CONFIRMED"), paid("o", 1000)}},
		{"a client key equal to an internal one", scenario{shelf("A", 50), places("o", visa, "A"), works, restocks("o", "A", 7), ordersWithEveryKeyInTheStore("A"), works, ends("o", "CONFIRMED"), paid("o", 1000)}},
		{"a dead letter that its own reader deletes", scenario{shelf("A", 5), relay(false), places("o", visa, "A"), works, passes(24 * time.Hour), dead(1), told("o", 0), relay(true), redriven(1), works, dead(0), told("o", 1)}},
	} {
		t.Run(d.defect, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				s := &stage{bubble: b, ids: map[string]string{}}
				for _, step := range d.story {
					step(s)
				}
				if s.stop != nil {
					s.stop()
				}
			})
		})
	}
	t.Run("a crash in mid-reserve that blocks its key for 24 h", func(t *testing.T) {
		crashesAtEveryPoint(t, "ORDER-1", time.Minute)
	})
}

// A stage is where a scenario is played.
type stage struct {
	*bubble
	ids  map[string]string // order ids by the scenario's own names, which are also their idempotency keys
	stop func()
}

type scenario []func(*stage)

func shelf(product string, pieces int64) func(*stage) {
	return func(s *stage) { s.product(product, pieces) }
}

// places places an order; nothing happens to it before works.
func places(name, method string, products ...string) func(*stage) {
	return func(s *stage) {
		r := request(method, products...)
		r.Contact = &contact
		s.ids[name] = s.accepted(r, "Idempotency-Key", name)
	}
}

// works lets everything happen that is due within an hour, and holds the invariants.
func works(s *stage) {
	if s.stop == nil {
		s.stop = s.start()
	}
	s.rest()
}

func passes(d time.Duration) func(*stage) { return func(*stage) { wait(d) } }

func ends(name, status string) func(*stage) {
	return func(s *stage) {
		s.t.Helper()
		if o := s.outcome(s.ids[name]); string(o.Status) != status {
			s.t.Errorf("%s is %s: %s; want %s", name, o.Status, types(o), status)
		}
	}
}

// oneEnds requires that one of two orders ends like this and the other like that.
func oneEnds(one, other, first, second string) func(*stage) {
	return func(s *stage) {
		s.t.Helper()
		a, b := string(s.outcome(s.ids[first]).Status), string(s.outcome(s.ids[second]).Status)
		if (a != one || b != other) && (a != other || b != one) {
			s.t.Errorf("they are %s and %s; want one %s, one %s", a, b, one, other)
		}
	}
}

func counts(product string, available, held, sold int64) func(*stage) {
	return func(s *stage) { s.t.Helper(); s.stock(product, available, held, sold) }
}

func paid(name string, cents int64) func(*stage) {
	return func(s *stage) {
		l, err := s.Provider.Ledger(s.t.Context(), s.ids[name])
		if err != nil || l.CapturedCents-l.RefundedCents != cents {
			s.t.Errorf("the ledger of %s is %+v, %v; want %d", name, l, err, cents)
		}
	}
}

// releases delivers the saga's release once more.
func releases(name, product string) func(*stage) {
	return func(s *stage) {
		effect, err := s.Inventory.Release(s.t.Context(), inventory.Request{
			OrderID: s.ids[name], Lines: []inventory.Line{{ProductID: product, Quantity: 1}},
		})
		if err == nil {
			_, err = store.Commit(s.t.Context(), s.ours, effect)
		}
		if err != nil {
			s.t.Errorf("a release that comes again: %v", err)
		}
	}
}

func refused(code, method string, priceCents int64, product string) func(*stage) {
	return func(s *stage) {
		r := request(method, product)
		r.Items[0].UnitPriceCents = &priceCents
		p := s.call("POST", "/orders", r).is(http.StatusConflict).problem(code)
		if p.Sent == nil || *p.Sent != priceCents || p.Current == nil || *p.Current != 1000 {
			s.t.Errorf("the problem is %+v", p)
		}
	}
}

func costs(product string, cents int64) func(*stage) {
	return func(s *stage) {
		s.call("PUT", "/products/"+product, apigen.ProductPut{Name: product, UnitPriceCents: cents}).is(http.StatusOK)
	}
}

// restocks adds pieces under a key that an order has: another route, another key.
func restocks(key, product string, pieces int64) func(*stage) {
	return func(s *stage) {
		a := s.call("POST", "/products/"+product+"/restock", apigen.RestockRequest{Quantity: pieces}, "Idempotency-Key", key)
		if a.is(http.StatusOK).header.Get("Idempotent-Replayed") != "" {
			s.t.Errorf("answered %s from another route's record", a.body)
		}
	}
}

// ordersWithEveryKeyInTheStore takes every key under which the store keeps an idempotency record or an execution, and every name
// that could be made of the orders, and places an order under it. Each is a new order.
func ordersWithEveryKeyInTheStore(product string) func(*stage) {
	return func(s *stage) {
		s.t.Helper()
		keys := map[string]bool{}
		for _, table := range []string{idempotency.Table, "flow", "payments", "reservations"} {
			for _, k := range s.keys(table) {
				keys[k.PK], keys[k.PK+"/"+k.SK] = true, true
			}
		}
		for _, id := range s.ids {
			for _, name := range []string{"", "internal#", "reserve-", "charge-", "release#", "inventory.reserve#", "notify:"} {
				keys[name+id] = true
			}
		}
		seen := map[string]bool{}
		for key := range keys {
			id := s.accepted(request(visa, product), "Idempotency-Key", key)
			if seen[id] {
				s.t.Errorf("the key %q names another key's order", key)
			}
			seen[id] = true
		}
		for _, id := range s.ids {
			if seen[id] {
				s.t.Errorf("order %s was answered to a key that is not its own", id)
			}
		}
	}
}

// relay is there, or refuses every e-mail.
func relay(up bool) func(*stage) {
	return func(s *stage) {
		s.mail.refusing(func(notification.Email) error {
			if up {
				return nil
			}
			return fault.New(fault.Transient, "the relay is down")
		})
	}
}

func dead(n int) func(*stage) {
	return func(s *stage) {
		s.t.Helper()
		letters, _, err := s.DeadLetters().List(s.t.Context(), "", 10)
		if err != nil || len(letters) != n {
			s.t.Errorf("%d dead letters, %v; want %d", len(letters), err, n)
		}
		for _, l := range letters {
			if l.Receives != bus.MaxReceives {
				s.t.Errorf("dead after %d receives", l.Receives)
			}
		}
	}
}

func redriven(n int) func(*stage) {
	return func(s *stage) {
		if moved, err := s.DeadLetters().Redrive(s.t.Context()); err != nil || moved != n {
			s.t.Errorf("redrove %d, %v", moved, err)
		}
	}
}

func told(name string, times int) func(*stage) {
	return func(s *stage) {
		s.t.Helper()
		if n := s.mail.sent(s.ids[name]); n != times {
			s.t.Errorf("the customer of %s was told %d times, want %d", name, n, times)
		}
	}
}

// crashesAtEveryPoint lets the process die at every write and every call to the provider, before and after it is done: the order's
// key is answered at once and its saga goes on, within the limit, on a clock that would let a day pass.
func crashesAtEveryPoint(t *testing.T, key string, limit time.Duration) {
	t.Helper()
	for _, f := range []simworld.Fault{simworld.CrashBefore, simworld.CrashAfter} {
		for n, crashed := 1, true; crashed; n++ {
			synctest.Test(t, func(t *testing.T) {
				w := simworld.New(t, simworld.Config{Seed: 1, Faults: map[int]simworld.Fault{n: f}})
				w.Product("A", 1000, 5)
				line := order.RequestLine{ProductID: "A", Quantity: 1}
				began := time.Now()
				id, kind := w.Place(key, visa, line)
				for len(w.Sent()) == 0 && time.Since(began) < 25*time.Hour && w.Step() {
				}
				took := time.Since(began) // until the customer is told
				again, _ := w.Place(key, visa, line)
				what := fmt.Sprintf("%s at point %d", f, n)
				if kind != "" || again != id {
					t.Errorf("%s: the key names %q, and then %q (%s)", what, id, again, kind)
				}
				if n := w.Sent()[id+".v4@"+notification.Domain]; n < 1 || took > limit { // its fourth event is ORDER_CONFIRMED
					t.Errorf("%s: told %v after %s", what, w.Sent(), took)
				}
				w.RunUntilIdle()
				for _, v := range w.Violations() {
					t.Errorf("%s: %s", what, v)
				}
				if crashed = w.Crashed(); !crashed && n < 10 {
					t.Errorf("only %d points", n-1)
				}
			})
			if t.Failed() {
				return
			}
		}
	}
}
