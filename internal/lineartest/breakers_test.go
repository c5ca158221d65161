package lineartest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A circuit is a breaker that is switched by hand only: no call to the provider fails in these histories, and they are over long before
// an open circuit would let a probe through.
type circuit struct {
	open       bool
	generation int64
	switched   uint64 // one bit for each switching that took place
}

// switching is a trip or a reset: each raises the generation, also one that finds the circuit as it wants it.
type switching struct {
	number int
	open   bool
}

func (o switching) step(c circuit) (circuit, bool) {
	return circuit{o.open, c.generation + 1, c.switched | 1<<o.number}, true
}

// seen is a view of the circuit.
type seen struct {
	open       bool
	generation int64
	after      uint64 // the bit of the switching whose answer it is; 0: none
}

func (o seen) step(c circuit) (circuit, bool) {
	return c, o.open == c.open && o.generation == c.generation && c.switched&o.after == o.after
}

// asked is an order that was let in, or that was refused because the circuit is open.
type asked struct{ open bool }

func (o asked) step(c circuit) (circuit, bool) { return c, o.open == c.open }

// panel is a history of the breakers: one part for each.
type panel struct {
	w         *world
	product   string
	switches  atomic.Int64
	recorders map[string]*recorder[circuit]
}

// recordBreakers has the clients switch and watch the breakers and place orders. after, if given, goes on alone.
func recordBreakers(w *world, n int, after func(p *panel)) []part {
	p := &panel{w: w, product: fmt.Sprintf("B-%d", n), recorders: map[string]*recorder[circuit]{}}
	stock := int64(1_000_000)
	w.do(request{method: http.MethodPut, path: "/products/" + p.product, body: apigen.ProductPut{Name: "B", UnitPriceCents: firstPrice, Stock: &stock}})
	for _, b := range p.list().Breakers { // as the history before left them
		p.recorders[b.Name] = newRecorder(b.Name, circuit{open: b.State == apigen.BreakerStateOPEN, generation: b.Generation}, w.now)
	}
	names := []string{app.ChargeBreaker, app.RefundBreaker}
	atOnce(n, func(client int, chance *rand.Rand) {
		switch k := chance.IntN(10); {
		case k <= 2:
			p.turn(client, names[chance.IntN(len(names))], chance.IntN(2) == 0, sometimes(chance))
		case k <= 6:
			p.look(client)
		default:
			p.order(client)
		}
	})
	w.idle()
	p.look(0)
	if after != nil {
		after(p)
	}
	p.turn(0, app.ChargeBreaker, false, 0) // for the histories after this one
	return []part{p.recorders[names[0]].part(), p.recorders[names[1]].part()}
}

// turn switches a breaker. The view in the answer is a read of its own, some time after.
func (p *panel) turn(client int, name string, open bool, cut time.Duration) {
	r := request{method: http.MethodPost, path: "/admin/breakers/" + name + "/reset", cut: cut}
	if open {
		r.path = "/admin/breakers/" + name + "/trip"
	}
	number := int(p.switches.Add(1)) - 1
	a := p.w.do(r)
	if !a.lost() && a.status != http.StatusOK {
		p.w.unexpected(r, a)
		return
	}
	p.recorders[name].add(client, a.call, a.end, switching{number, open})
	if !a.lost() {
		p.view(client, a, into[apigen.Breaker](p.w, a), 1<<number)
	}
}

func (p *panel) view(client int, a answer, b apigen.Breaker, after uint64) {
	if b.Stale != nil || b.State == apigen.BreakerStateHALFOPEN {
		p.w.t.Errorf("the breaker is %+v", b)
	}
	p.recorders[b.Name].add(client, a.call, a.end, seen{b.State == apigen.BreakerStateOPEN, b.Generation, after})
}

func (p *panel) list() apigen.BreakerList {
	return into[apigen.BreakerList](p.w, p.w.do(request{method: http.MethodGet, path: "/admin/breakers"}))
}

// look reads the list, each line for itself.
func (p *panel) look(client int) {
	r := request{method: http.MethodGet, path: "/admin/breakers"}
	a := p.w.do(r)
	if a.status != http.StatusOK {
		p.w.unexpected(r, a)
		return
	}
	for _, b := range into[apigen.BreakerList](p.w, a).Breakers {
		p.view(client, a, b, 0)
	}
}

// order asks whether orders are let in.
func (p *panel) order(client int) {
	r := request{
		method: http.MethodPost, path: "/orders",
		body: apigen.OrderRequest{CustomerID: "c", Items: []apigen.OrderRequestItem{{ProductID: p.product, Quantity: 1}}},
	}
	a := p.w.do(r)
	if a.status != http.StatusAccepted && a.status != http.StatusServiceUnavailable {
		p.w.unexpected(r, a)
		return
	}
	p.recorders[app.ChargeBreaker].add(client, a.call, a.end, asked{a.status == http.StatusServiceUnavailable})
}
