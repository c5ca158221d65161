package simworld_test

import (
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/simworld"
)

// wants are so many orders of one piece each, of which there are enough for all.
func wants(n int, method string) (goods []simworld.Good, wishes []simworld.Wish) {
	for range n {
		wishes = append(wishes, simworld.Wish{Customer: "cust-1", Method: method, Lines: []order.RequestLine{{ProductID: "A", Quantity: 1}}})
	}
	return []simworld.Good{{ID: "A", PriceCents: 1000, Stock: int64(n)}}, wishes
}

// placed are visits that place one order after the other, with so much time in between.
func placed(n int, apart time.Duration) (visits []simworld.Visit) {
	for i := range n {
		visits = append(visits, simworld.Visit{Deed: simworld.Place, Wish: i, Wait: apart})
	}
	return visits
}

var down = provider.Fault{Down: true}

// troubles are each alone, as a test asks for it: what has to happen, and how the orders have to end.
var troubles = []struct {
	what   string
	orders int
	method string
	config func(c *simworld.Config)
	want   map[string]int // exactly so often
	some   []string       // at least once
}{
	{"a provider that is down opens the circuit, and closes it when it is back", 12, provider.Visa, func(c *simworld.Config) {
		c.Visits = placed(12, 20*time.Second)
		c.Outages = []simworld.Outage{{For: 2 * time.Minute, Fault: down}}
	}, map[string]int{"payment-charge CLOSED": 1}, []string{"payment-charge OPEN", "payment-charge HALF_OPEN", "order CONFIRMED", "place: PaymentProviderUnavailable"}},
	{"a provider that flaps loses no order", 2, provider.Visa, func(c *simworld.Config) {
		c.Visits = placed(2, time.Second)
		c.Outages = []simworld.Outage{{For: time.Hour, On: 2 * time.Second, Off: 3 * time.Second, Fault: down}}
	}, map[string]int{"order CONFIRMED": 2}, []string{"outage failed a open"}},
	{"a charge that is answered too late was made once", 1, provider.Visa, func(c *simworld.Config) {
		c.Outages = []simworld.Outage{{For: time.Minute, Late: 20 * time.Second, Fault: provider.Fault{Only: "capture"}}}
	}, map[string]int{"order CONFIRMED": 1, "answered too late to a capture": 1}, nil},
	{"a refund waits for the provider, and its circuit for the refunds", 3, provider.Slow, func(c *simworld.Config) {
		c.Apart = true
		c.Outages = []simworld.Outage{{For: 5 * time.Minute, Fault: provider.Fault{Only: "refund", Status: 500}}}
		for i := range 3 { // each is cancelled as soon as it is charged
			c.Visits = append(c.Visits, simworld.Visit{Deed: simworld.Place, Wish: i}, simworld.Visit{Deed: simworld.Cancel, Wish: i, Steps: 3})
		}
	}, map[string]int{"order CANCELLED": 3, "payment-refund CLOSED": 1}, []string{"payment-refund OPEN", "outage failed a refund"}},
	{"a disk that is nearly full refuses writes, and is read", 2, provider.Visa, func(c *simworld.Config) {
		c.Visits = append(placed(2, 0), simworld.Visit{Deed: simworld.Look, Wait: time.Minute})
		c.Disk = []simworld.FullDisk{{From: 6, For: 10 * time.Minute}}
	}, map[string]int{"order CONFIRMED": 2, "restart": 0}, []string{"read while the disk is full", "write refused by a full disk"}},
	{"a disk that is full ends the process, and keeps it down", 2, provider.Visa, func(c *simworld.Config) {
		c.Disk = []simworld.FullDisk{{From: 6, For: 10 * time.Minute, Dies: true}, {From: 9, For: time.Hour, Dies: true, Kept: true}}
	}, map[string]int{"order CONFIRMED": 2, "restart": 2}, nil},
	{"a clock that is set back an hour, twice, while a charge is under way", 1, provider.Slow, func(c *simworld.Config) {
		c.Clock.Steps = []simworld.ClockStep{{At: time.Second, By: -time.Hour}, {At: 2 * time.Second, By: -time.Hour}}
	}, map[string]int{"order CONFIRMED": 1, "clock set back": 2}, nil},
	{"a process whose clock is an hour behind that of the one before", 3, provider.TimeoutCharged, func(c *simworld.Config) {
		c.Clock = simworld.Clock{Process: 30 * time.Minute, Restart: time.Hour, Provider: -time.Hour}
		c.Faults = map[int]simworld.Fault{12: simworld.CrashAfter, 20: simworld.CrashBefore, 25: simworld.CrashAfter}
	}, map[string]int{"order CONFIRMED": 3, "restart with another clock": 3}, nil},
	{"a bug hands an order to a person, who resumes it", 2, provider.Visa, func(c *simworld.Config) {
		c.Bugs = []simworld.Bug{{Task: "order.confirm", For: 10 * time.Minute}}
	}, map[string]int{"order CONFIRMED": 2, "resumed": 2}, []string{"a bug in a task"}},
	{"a reserve that was refused is delivered again when there is stock, and the expirer gives that back", 2, provider.ChargeDeclined, func(c *simworld.Config) {
		c.Apart = true // else only a task that was committed is delivered again
		c.Goods[0].Stock = 1
		c.Visits = placed(2, 0) // before either of them has reserved
		c.Faults = map[int]simworld.Fault{}
		for n := range 40 { // when one has failed, and the other has given its piece back
			c.Faults[20+n] = simworld.Duplicate
		}
	}, map[string]int{"order FAILED": 1, "order COMPENSATED": 1}, []string{"an order that has ended holds stock"}},
	{"a cancel that comes while the charge is on its way", 1, provider.Visa, func(c *simworld.Config) {
		c.Visits = append(c.Visits, simworld.Visit{Deed: simworld.Cancel})
		c.Faults = map[int]simworld.Fault{9: simworld.Meddle}
	}, map[string]int{"order CANCELLED": 1, "meddle": 1, "cancel: ": 1}, nil},
}

func TestEachTroubleAlone(t *testing.T) {
	for _, c := range troubles {
		t.Run(c.what, func(t *testing.T) {
			config := simworld.Config{Seed: 1, Visits: placed(c.orders, 0)}
			config.Goods, config.Wishes = wants(c.orders, c.method)
			c.config(&config)
			w := live(t, config)
			happened := w.Happened()
			if v := w.Violations(); len(v) > 0 {
				t.Errorf("%s", strings.Join(v, "\n"))
			}
			for what, n := range c.want {
				if happened[what] != n {
					t.Errorf("%s: %d times, want %d", what, happened[what], n)
				}
			}
			for _, what := range c.some {
				if happened[what] == 0 {
					t.Errorf("%s: never", what)
				}
			}
			if t.Failed() {
				t.Logf("%v\n%s\n%s", happened, config, w.Trace())
			}
		})
	}
}

// The process dies at each point while a provider that was down opens the circuit and closes it again, and the next one's clock is an hour behind
// or ahead: whoever waits for a time waits no longer than it would have.
func TestACrashAtEveryPointWithTheClockSet(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		for _, f := range []simworld.Fault{simworld.CrashBefore, simworld.CrashAfter} {
			t.Run(f.String()+", the clock is then set by "+(-ahead).String(), func(t *testing.T) {
				t.Parallel()
				for n, crashed := 1, true; crashed; n++ {
					c := simworld.Config{Seed: uint64(n), Visits: placed(8, 20*time.Second), Faults: map[int]simworld.Fault{n: f}}
					c.Goods, c.Wishes = wants(8, provider.Visa)
					c.Outages = []simworld.Outage{{For: time.Minute, Fault: provider.Fault{Down: true}}}
					c.Clock = simworld.Clock{Process: ahead, Restart: time.Nanosecond} // the next shows the time of the world
					w := live(t, c)
					if v := w.Violations(); len(v) > 0 {
						t.Fatalf("point %d:\n%s\n\n%s\n%s", n, strings.Join(v, "\n"), c, w.Trace())
					}
					if crashed = w.Crashed(); crashed && w.Happened()["restart with another clock"] > 1 {
						t.Fatalf("point %d: it died more than once", n)
					}
					if !crashed && n < 100 {
						t.Errorf("only %d points", n-1)
					}
				}
			})
		}
	}
}
