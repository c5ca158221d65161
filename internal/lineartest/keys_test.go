package lineartest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A binding is what an Idempotency-Key stands for; the zero binding is nothing yet.
type binding struct {
	body   int    // which of the bodies, from 1; 0: none
	order  string // "": made by a call whose answer was lost
	answer string // the bytes; "": nobody has seen them yet
}

// accepted is an answer that names the order: the 202 with its bytes, or the order's outcome (no answer then).
type accepted struct {
	body     int
	order    string
	answer   string
	replayed bool
}

func (o accepted) step(b binding) (binding, bool) {
	after := binding{o.body, o.order, o.answer}
	if after.answer == "" {
		after.answer = b.answer
	}
	if b.body == 0 {
		return after, !o.replayed
	}
	same := b.body == o.body && (b.order == "" || b.order == o.order) && (o.answer == "" || b.answer == "" || b.answer == o.answer)
	return after, o.replayed && same
}

// reused is a refusal because the key stands for another body.
type reused struct{ body int }

func (o reused) step(b binding) (binding, bool) { return b, b.body != 0 && b.body != o.body }

// turnedDown is a refusal at admission. It leaves the key free, and a key that is taken is not refused so.
type turnedDown struct{ body int }

func (o turnedDown) step(b binding) (binding, bool) { return b, b.body == 0 }

// maybeAccepted is a call whose answer was lost.
type maybeAccepted struct{ body int }

func (o maybeAccepted) step(b binding) (binding, bool) {
	if b.body == 0 && o.body != badBody {
		b.body = o.body
	}
	return b, true
}

const (
	keysOfAHistory = 4
	bodies         = 3
	badBody        = 3 // the last one: its price is not the catalogue's, so it is never accepted
)

// keyring is a history over a few keys: one part for each.
type keyring struct {
	w       *world
	n       int
	product string
	keys    [keysOfAHistory]*recorder[binding]
}

// recordKeys has the clients place orders under few keys, with different bodies. after, if given, goes on alone.
func recordKeys(w *world, n int, after func(k *keyring)) []part {
	k := &keyring{w: w, n: n, product: fmt.Sprintf("K-%d", n)}
	stock := int64(1_000_000)
	put := request{
		method: http.MethodPut, path: "/products/" + k.product, body: apigen.ProductPut{Name: "K", UnitPriceCents: firstPrice, Stock: &stock},
	}
	if a := w.do(put); a.status != http.StatusCreated {
		w.unexpected(put, a)
	}
	for i := range k.keys {
		k.keys[i] = newRecorder(fmt.Sprintf("key %d of history %d", i, n), binding{}, w.now)
	}
	atOnce(n, func(client int, chance *rand.Rand) {
		k.place(client, chance.IntN(len(k.keys)), 1+chance.IntN(bodies), chance.IntN(3) == 0, sometimes(chance))
	})
	w.idle()
	if after != nil {
		after(k)
	}
	parts := make([]part, len(k.keys))
	for i := range k.keys {
		parts[i] = k.keys[i].part()
	}
	return parts
}

func (k *keyring) place(client, key, body int, wait bool, cut time.Duration) {
	r := request{
		method: http.MethodPost, path: "/orders", cut: cut, headers: []string{"Idempotency-Key", fmt.Sprintf("keys-%d-%d", k.n, key)},
		body: apigen.OrderRequest{CustomerID: fmt.Sprintf("c-%d", body), Items: []apigen.OrderRequestItem{{ProductID: k.product, Quantity: 1}}},
	}
	if body == badBody {
		price := int64(firstPrice + 1)
		r.body.(apigen.OrderRequest).Items[0].UnitPriceCents = &price
	}
	if wait {
		r.headers = append(r.headers, "Prefer", "wait=20")
	}
	a := k.w.do(r)
	if op := k.read(r, a, body); op != nil {
		k.keys[key].add(client, a.call, a.end, op)
	}
}

// read says what the answer means, nil if it means nothing.
func (k *keyring) read(r request, a answer, body int) operation[binding] {
	switch a.status {
	case 0:
		return maybeAccepted{body}
	case http.StatusAccepted:
		return accepted{body, into[apigen.OrderAccepted](k.w, a).OrderID, a.body, a.replayed}
	case http.StatusOK:
		return accepted{body, into[apigen.Order](k.w, a).OrderID, "", a.replayed}
	}
	switch into[apigen.Problem](k.w, a).Error {
	case "IDEMPOTENCY_KEY_REUSED":
		return reused{body}
	case "PRICE_CHANGED":
		return turnedDown{body}
	}
	k.w.unexpected(r, a)
	return nil
}
