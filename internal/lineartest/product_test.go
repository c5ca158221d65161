package lineartest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A product is one product's history: of its stock and of its card.
type product struct {
	w      *world
	id     string
	shelf  *recorder[shelf]
	card   *recorder[card]
	orders atomic.Int64 // that were tried: a number for each
}

const (
	firstPrice = 1000 // cents
	firstStock = 6    // pieces: few, so that orders are refused

	visa     = "pm_card_visa"
	declined = "pm_card_chargeDeclined"
)

// recordProduct has the clients create, read, reprice, restock and order one product. after, if given, goes on alone.
func recordProduct(w *world, n int, after func(p *product)) []part {
	p := &product{w: w, id: fmt.Sprintf("P-%d", n)}
	p.shelf = newRecorder("stock of "+p.id, shelf{}, w.now)
	p.card = newRecorder("card of "+p.id, card{}, w.now)
	atOnce(n, func(client int, chance *rand.Rand) {
		switch k := chance.IntN(10); {
		case k == 0:
			p.create(client, firstStock+chance.Int64N(2), sometimes(chance))
		case k == 1:
			p.reprice(client, chance)
		case k <= 3:
			p.restock(client, chance.IntN(deliveryKeys), 1+chance.Int64N(2), sometimes(chance))
		case k <= 6:
			p.look(client)
		default:
			method := [...]string{visa, visa, declined}[chance.IntN(3)]
			p.order(client, 1+chance.Int64N(3), method, chance)
		}
	})
	w.idle()
	p.look(0)
	if after != nil {
		after(p)
	}
	return []part{p.shelf.part(), p.card.part()}
}

// both writes an absence down where it was seen: a product is absent if one of its two items is.
func (p *product) both(client int, a answer, stock operation[shelf], label operation[card]) {
	p.shelf.add(client, a.call, a.end, stock)
	p.card.add(client, a.call, a.end, label)
}

func (p *product) create(client int, stock int64, cut time.Duration) {
	r := request{
		method: http.MethodPut, path: "/products/" + p.id, cut: cut,
		body: apigen.ProductPut{Name: "P", UnitPriceCents: firstPrice, Stock: &stock},
	}
	switch a := p.w.do(r); {
	case a.lost():
		p.both(client, a, maybeStocked{stock}, maybeWritten{price: firstPrice, creates: true})
	case a.status == http.StatusCreated:
		p.both(client, a, stocked{stock}, written{firstPrice, 0, into[apigen.Product](p.w, a).Version})
	case a.status == http.StatusOK, a.status == http.StatusConflict:
		p.both(client, a, present{}, shown{})
	default:
		p.w.unexpected(r, a)
	}
}

func (p *product) look(client int) apigen.Product {
	r := request{method: http.MethodGet, path: "/products/" + p.id}
	switch a := p.w.do(r); a.status {
	case http.StatusOK:
		v := into[apigen.Product](p.w, a)
		p.both(client, a, counted{v.Available, v.Held, v.Sold}, shown{v.Version, v.UnitPriceCents})
		return v
	case http.StatusNotFound:
		p.both(client, a, absent{}, noCard{})
	default:
		p.w.unexpected(r, a)
	}
	return apigen.Product{}
}

// reprice reads the card and writes another price if it is still that one.
func (p *product) reprice(client int, chance *rand.Rand) {
	if seen := p.look(client).Version; seen > 0 {
		p.write(client, firstPrice+1+chance.Int64N(1000), seen, sometimes(chance))
	}
}

func (p *product) write(client int, price, match int64, cut time.Duration) {
	r := request{
		method: http.MethodPut, path: "/products/" + p.id, cut: cut, headers: []string{"If-Match", fmt.Sprintf(`"v%d"`, match)},
		body: apigen.ProductPut{Name: "P", UnitPriceCents: price},
	}
	var op operation[card]
	a := p.w.do(r)
	switch {
	case a.lost():
		op = maybeWritten{price: price, match: match}
	case a.status == http.StatusOK:
		op = written{price, match, into[apigen.Product](p.w, a).Version}
	case a.status == http.StatusPreconditionFailed:
		op = mismatched{match}
	default:
		p.w.unexpected(r, a)
		return
	}
	p.card.add(client, a.call, a.end, op)
}

func (p *product) restock(client, key int, quantity int64, cut time.Duration) {
	r := request{
		method: http.MethodPost, path: "/products/" + p.id + "/restock", cut: cut,
		headers: []string{"Idempotency-Key", fmt.Sprintf("%s-delivery-%d", p.id, key)}, body: apigen.RestockRequest{Quantity: quantity},
	}
	var op operation[shelf]
	a := p.w.do(r)
	switch {
	case a.lost():
		op = maybeRestocked{key, quantity}
	case a.status == http.StatusOK:
		op = restocked{key, quantity, a.replayed, a.body}
	case a.status == http.StatusUnprocessableEntity:
		op = otherDelivery{key, quantity}
	case a.status == http.StatusNotFound:
		op = absent{}
	default:
		p.w.unexpected(r, a)
		return
	}
	p.shelf.add(client, a.call, a.end, op)
}

// order places an order and waits for its outcome. If its answer gets lost, it is sent again or given up.
func (p *product) order(client int, quantity int64, method string, chance *rand.Rand) {
	n := int(p.orders.Add(1)) - 1
	r := request{
		method: http.MethodPost, path: "/orders", cut: sometimes(chance),
		headers: []string{"Prefer", "wait=20", "Idempotency-Key", fmt.Sprintf("%s-order-%d", p.id, n)},
		body: apigen.OrderRequest{
			CustomerID: "c", Items: []apigen.OrderRequestItem{{ProductID: p.id, Quantity: quantity}}, PaymentMethod: &method,
		},
	}
	a := p.w.do(r)
	if first := a; first.lost() {
		if chance.IntN(2) > 0 {
			r.cut = 0
			a = p.w.do(r)
		}
		if a.status != http.StatusOK { // a refusal says nothing of the first call, which may still be under way
			p.maybe(client, first.call, n, quantity, method)
		} else {
			a.call = first.call // it was accepted once, by the one or the other
		}
	}
	if !a.lost() {
		p.outcome(client, r, a, n, quantity)
	}
}

// maybe is an order of which nobody knows whether it exists.
func (p *product) maybe(client int, call int64, n int, quantity int64, method string) {
	p.shelf.add(client, call, never, maybeReserved{n, quantity})
	p.shelf.add(client, call, never, maybeSettled{n, quantity, method == visa})
}

// outcome writes down what an answered order has done.
func (p *product) outcome(client int, r request, a answer, n int, quantity int64) {
	switch a.status {
	case http.StatusOK:
		p.placed(client, r, a, n, quantity)
	case http.StatusConflict:
		problem := into[apigen.Problem](p.w, a)
		if problem.Error != "INSUFFICIENT_STOCK" || problem.Available == nil {
			p.w.unexpected(r, a)
			return
		}
		p.shelf.add(client, a.call, a.end, short{quantity, *problem.Available})
	case http.StatusUnprocessableEntity:
		if into[apigen.Problem](p.w, a).Error != "UNKNOWN_PRODUCT" {
			p.w.unexpected(r, a)
			return
		}
		p.both(client, a, absent{}, noCard{})
	default:
		p.w.unexpected(r, a)
	}
}

func (p *product) placed(client int, r request, a answer, n int, quantity int64) {
	o := into[apigen.Order](p.w, a)
	p.card.add(client, a.call, a.end, priced{o.TotalCents / quantity})
	switch {
	case o.Status == apigen.OrderStatusCONFIRMED:
		p.shelf.add(client, a.call, a.end, reserved{n, quantity})
		p.w.ended(o.OrderID)
		p.shelf.add(client, a.call, p.w.now(), settled{n, quantity, true})
	case o.Status == apigen.OrderStatusCOMPENSATED:
		p.shelf.add(client, a.call, a.end, reserved{n, quantity})
		p.shelf.add(client, a.call, a.end, settled{n, quantity, false})
	case o.Status == apigen.OrderStatusFAILED && *o.FailureReason == "INSUFFICIENT_STOCK":
		p.shelf.add(client, a.call, a.end, failed{n, quantity})
	default:
		p.w.unexpected(r, a)
	}
}
