package inventory_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
)

// A model is what inventory promises, without a store: counters and the state of each order's hold.
type model struct {
	available map[string]int64
	state     map[string]string
	lines     map[string][]inventory.Line
	keys      map[string]int64 // restocks that took effect, by key
}

// reserve returns the kind of the refusal, "" for success.
func (m *model) reserve(order string, lines []inventory.Line) fault.Kind {
	switch m.state[order] {
	case inventory.Active, inventory.Committed:
		return ""
	case inventory.Released, inventory.Tombstone:
		return fault.HoldReleased
	}
	need := map[string]int64{}
	for _, l := range lines {
		need[l.ProductID] += l.Quantity
	}
	for _, id := range []string{"a", "b", "nope"} { // by product id: the first that fails is named
		have, known := m.available[id]
		switch {
		case need[id] == 0:
		case !known:
			return fault.UnknownProduct
		case have < need[id]:
			return fault.InsufficientStock
		}
	}
	for id, n := range need {
		m.available[id] -= n
	}
	m.state[order], m.lines[order] = inventory.Active, lines
	return ""
}

func (m *model) release(order string) fault.Kind {
	switch m.state[order] {
	case inventory.Committed:
		return fault.OrderState
	case inventory.Active:
		for _, l := range m.lines[order] {
			m.available[l.ProductID] += l.Quantity
		}
		m.state[order] = inventory.Released
	case "":
		m.state[order] = inventory.Tombstone
	}
	return ""
}

func (m *model) commit(order string) fault.Kind {
	switch m.state[order] {
	case inventory.Active, inventory.Committed:
		m.state[order] = inventory.Committed
		return ""
	}
	return fault.HoldReleased
}

// Tasks and restocks come in any order, twice, too late, and lose their commit or its reply: after each of them the counters are
// the model's, and I1 and I2 hold.
func TestAnyInterleavingKeepsTheBooks(t *testing.T) {
	// The orders' lines are fixed, as the saga's input is.
	orders := map[string][]inventory.Line{
		"ord-1": {line("a", 3)},
		"ord-2": {line("b", 2), line("a", 1)},
		"ord-3": {line("b", 1), line("b", 3)},
		"ord-4": {line("a", 2), line("nope", 1)},
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		m := &model{available: map[string]int64{}, state: map[string]string{}, lines: map[string][]inventory.Line{}, keys: map[string]int64{}}
		for _, id := range []string{"a", "b"} {
			stock := rapid.Int64Range(0, 6).Draw(rt, "stock of "+id)
			if _, _, err := w.Put(ctx, inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: 1, Stock: &stock}); err != nil {
				rt.Fatal(err)
			}
			m.available[id] = stock
		}
		step := func(name string, applied func() fault.Kind, call func() error) {
			switch fate := rapid.IntRange(0, 9).Draw(rt, name+"'s fate"); fate {
			case 0: // the commit is lost
				w.store.failNext(1, false)
				if err := call(); !fault.Is(err, fault.Transient) {
					rt.Fatalf("%s: %v", name, err)
				}
			case 1: // its reply is lost; a refusal arrives
				w.store.failNext(1, true)
				want := applied()
				if want == "" {
					want = fault.Transient
				}
				if err := call(); !fault.Is(err, want) {
					rt.Fatalf("%s: %v, want %s", name, err, want)
				}
			default:
				want := applied()
				if err := call(); fault.KindOf(err) != want {
					rt.Fatalf("%s: %v, want %q", name, err, want)
				}
			}
			w.store.failNext(0, false)
		}
		task := func(name string, do task, applied func(order string) fault.Kind) {
			order := rapid.SampledFrom([]string{"ord-1", "ord-2", "ord-3", "ord-4"}).Draw(rt, name)
			step(name+" "+order, func() fault.Kind { return applied(order) }, func() error {
				_, err := w.do(do, order, orders[order]...)
				return err
			})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"reserve": func(*rapid.T) {
				task("reserve", w.Reserve, func(order string) fault.Kind { return m.reserve(order, orders[order]) })
			},
			"release": func(*rapid.T) { task("release", w.Release, m.release) },
			"commit":  func(*rapid.T) { task("commit", w.Commit, m.commit) },
			"restock": func(rt *rapid.T) {
				n := rapid.Int64Range(1, 4).Draw(rt, "key")
				key := fmt.Sprint("k-", n)
				step("restock "+key, func() fault.Kind {
					if m.keys[key] == 0 {
						m.keys[key] = n
						m.available["a"] += n
					}
					return ""
				}, func() error {
					_, _, _, err := w.Restock(ctx, inventory.Restock{
						ProductID: "a", Quantity: n, IdempotencyKey: key, Fingerprint: [32]byte{byte(n)},
					})
					return err
				})
			},
			"": func(rt *rapid.T) {
				if err := w.check(); err != nil {
					rt.Fatal(err)
				}
				for id, want := range m.available {
					if p, err := w.Get(ctx, id); err != nil || p.Available != want {
						rt.Fatalf("%s: %+v, %v; the model has %d", id, p, err, want)
					}
				}
			},
		})
	})
}
