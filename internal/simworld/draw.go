package simworld

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// Draw is the world of a seed: several orders at once that want the same scarce goods, and about half of all troubles, so that each meets the
// others and each is seen alone.
func Draw(seed uint64) Config {
	d := draw{rand.New(rand.NewPCG(seed, 3))}
	c := Config{
		Seed: seed, LateAfter: d.between(time.Second, 20*time.Second), Apart: d.oneIn(2), Keepers: d.oneIn(2), Abandon: d.oneIn(3),
		Faults: map[int]Fault{},
	}
	c.Goods, c.Wishes = d.goods()
	c.Visits = d.visits(len(c.Wishes))
	d.faults(c.Faults, len(c.Wishes))
	if d.oneIn(2) {
		c.Clock = d.clock()
	}
	if !d.oneIn(3) {
		c.Outages = d.outages()
	}
	if d.oneIn(3) {
		c.Disk = d.disk(len(c.Wishes))
	}
	if d.oneIn(3) {
		tasks := []string{"order.confirm", "order.record", "inventory.commit", "inventory.release", "payment.refund", "payment.resolve", "payment.charge", "order.notify"}
		c.Bugs = []Bug{{d.of(tasks), d.between(0, 20*time.Second), d.between(10*time.Second, 20*time.Minute)}}
	}
	return c
}

type draw struct{ *rand.Rand }

func (d draw) oneIn(n int) bool { return d.IntN(n) == 0 }

func (d draw) of(all []string) string { return all[d.IntN(len(all))] }

// between is a duration that falls on no other's instant.
func (d draw) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64(to-from)))
}

// Methods are all ways to pay; the ones that just work are most of the draws.
var (
	methods = []string{
		provider.Visa, provider.ChargeDeclined, provider.Timeout, provider.TimeoutCharged, provider.Late, provider.Error, provider.Slow,
	}
	sound = []string{provider.Visa, provider.Slow}
)

// goods are up to three products, and 1 to 8 orders. On the shelf is from two fifths of what they want to a little more than all.
func (d draw) goods() (goods []Good, wishes []Wish) {
	for i := range 1 + d.IntN(3) {
		goods = append(goods, Good{ID: fmt.Sprintf("G%d", i), PriceCents: 100 + d.Int64N(900)})
	}
	for range min(1+d.IntN(13), 8) {
		w := Wish{Customer: fmt.Sprintf("cust-%d", d.IntN(3)), Method: d.of(sound)}
		if d.oneIn(3) {
			w.Method = d.of(methods)
		}
		for i := range goods {
			if last := i == len(goods)-1; d.oneIn(2) || last && len(w.Lines) == 0 {
				pieces := 1 + d.Int64N(2)
				w.Lines = append(w.Lines, order.RequestLine{ProductID: goods[i].ID, Quantity: pieces})
				goods[i].Stock += pieces
			}
		}
		wishes = append(wishes, w)
	}
	for i := range goods {
		goods[i].Stock = max(2, goods[i].Stock*(40+d.Int64N(70))/100)
	}
	return goods, wishes
}

// visits place every order, and do about three times as much else in between. In most worlds they come in a crowd, so that many orders are under
// way at once, in some with whiles in between, in which an outage comes and goes.
func (d draw) visits(wishes int) []Visit {
	var all []Visit
	for i := range wishes {
		all = append(all, Visit{Deed: Place, Wish: i})
		for range d.IntN(6) {
			all = append(all, Visit{Deed: Deed(d.IntN(int(deeds))), Wish: d.IntN(i + 1)})
		}
		if d.oneIn(2) {
			all = append(all, Visit{Deed: Cancel, Wish: i})
		}
	}
	pace := d.IntN(4)
	for i := range all {
		switch {
		case d.oneIn(20), pace == 0 && d.oneIn(4):
			all[i].Wait = d.between(time.Second, 4*time.Minute)
		case pace == 1:
			all[i].Steps = d.IntN(6)
		default:
			all[i].Steps = d.IntN(3) / 2
		}
	}
	return all
}

// faults are up to a dozen that break something, and as many that come in between.
func (d draw) faults(faults map[int]Fault, wishes int) {
	points := 20 + 20*wishes
	for range d.IntN(4 + 2*wishes) {
		faults[5+d.IntN(points)] = Faults[d.IntN(len(Faults))]
	}
	for range d.IntN(2 + 3*wishes) {
		faults[5+d.IntN(points)] = Meddle
	}
	for range d.IntN(2 + wishes) {
		faults[5+d.IntN(points)] = Duplicate
	}
}

func (d draw) clock() Clock {
	c := Clock{
		Provider: d.between(-time.Hour, time.Hour),
		Process:  d.between(-time.Hour, time.Hour),
		Restart:  d.between(time.Second, time.Hour),
	}
	for range d.IntN(4) {
		by := d.between(time.Second, time.Minute) // as NTP sets a clock
		if d.oneIn(3) {
			by = d.between(time.Minute, time.Hour)
		}
		if d.oneIn(2) {
			by = -by
		}
		c.Steps = append(c.Steps, ClockStep{d.between(0, 10*time.Minute), by})
	}
	slices.SortFunc(c.Steps, func(a, b ClockStep) int { return int(a.At - b.At) })
	return c
}

func (d draw) outages() []Outage {
	var all []Outage
	for range 1 + d.IntN(3) {
		o := Outage{At: d.between(0, 3*time.Minute), For: d.between(10*time.Second, 6*time.Minute)}
		if !d.oneIn(3) {
			o.At = d.between(0, 5*time.Second) // while most is under way
		}
		if d.oneIn(3) {
			o.On, o.Off = d.between(time.Second, time.Minute), d.between(time.Second, time.Minute)
		}
		o.Fault.Only = d.of([]string{"", "", "", "capture", "refund", "refund", "refund", "cancel"})
		switch d.IntN(10) {
		case 0:
			o.Fault.Down = true
		case 1:
			o.Fault.Status = 500 + 3*d.IntN(2)
		case 2:
			o.Fault.Status = 429
		case 3:
			o.Fault.Hang = true
		case 4:
			o.Fault.Latency = d.between(time.Second, 15*time.Second)
		case 5:
			o.Fault.LoseReplies = 1
		default:
			o.Late = d.between(8*time.Second, 30*time.Second)                                  // no caller waits that long
			o.Fault.Only = d.of([]string{"capture", "capture", "capture", "refund", "cancel"}) // else none gets further than to open
		}
		if d.oneIn(3) {
			o.Fault.Rate = 0.5
		}
		all = append(all, o)
	}
	return all
}

func (d draw) disk(wishes int) []FullDisk {
	var all []FullDisk
	for range 1 + d.IntN(2) {
		all = append(all, FullDisk{
			From: 8 + d.IntN(15*wishes), For: d.between(time.Second, time.Hour), Dies: d.oneIn(2), Kept: d.oneIn(2),
		})
	}
	return all
}
