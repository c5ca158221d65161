package simworld

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// A Good is a product on the shelf.
type Good struct {
	ID         string
	PriceCents int64
	Stock      int64
}

// A Wish is an order that a customer wants. Its key is made from its place in Config.Wishes.
type Wish struct {
	Customer string
	Method   string
	Lines    []order.RequestLine
}

// A Visit is a call from outside.
type Visit struct {
	Deed  Deed
	Wish  int           // whose order it is about
	Steps int           // that the world makes after the visit before
	Wait  time.Duration // and what passes then
}

// A Deed is what a visitor does.
type Deed uint8

// The deeds. Whoever gets no answer calls again until there is one.
const (
	Place  Deed = iota // places the order; with one that was placed, asks again under its key
	Misuse             // asks for something else under the key of an order that was placed
	Cancel
	Look   // sees an order, as new as was seen before
	Resume // an operator resumes all that wait for a person
	Sweep  // the sweeper and the expirer come round
	deeds
)

func (d Deed) String() string {
	return [...]string{"place", "misuse", "cancel", "look", "resume", "sweep"}[d]
}

// A caller is a visit that goes on until it is answered.
type caller struct {
	Visit
	tries    int
	refusals int
	due      time.Time
}

// A glance is what was last seen of an order.
type glance struct {
	version int64
	status  string // if it has ended
}

const (
	maxTries = 500
	// maxRefusals is how often a customer comes again whose order cannot be taken now.
	maxRefusals = 10
	comesAgain  = 45 * time.Second
	maxResumes  = 20
)

// Live is a whole life: the shelves are filled, all visits are paid, and then the world works until it rests. All that waits for a person is
// resumed, unless it is abandoned, and in the end all customers ask once more.
func (w *World) Live() {
	w.t.Helper()
	for _, g := range w.config.Goods {
		w.Product(g.ID, g.PriceCents, g.Stock)
	}
	for len(w.script) > 0 {
		next := w.script[0]
		for range next.Steps {
			w.turn(time.Time{})
		}
		w.pass(next.Wait)
		w.survive(w.meddle)
	}
	w.RunUntilIdle()
	if !w.config.Abandon {
		w.resumeAll()
	}
	for i := range w.config.Wishes {
		for _, deed := range []Deed{Place, Look} {
			if w.acknowledged[keyOf(i)] != "" {
				w.survive(func() { w.attend(&caller{Visit: Visit{Deed: deed, Wish: i}}) })
			}
		}
	}
	w.RunUntilIdle()
	for _, g := range w.seen {
		if g.status == "" {
			g.status = order.Review // else there would be a violation
		}
		w.note("order " + g.status)
	}
	w.clock.tell(w.note)
}

// resumeAll has the operator come, when the bugs are mended, until nobody waits for a person any more.
func (w *World) resumeAll() {
	for range maxResumes {
		n, err := w.app.Orders.CountInReview(context.Background())
		if err == nil && n == 0 {
			return
		}
		w.pass(time.Hour) // longer than a bug lives
		w.survive(func() { w.attend(&caller{Visit: Visit{Deed: Resume}}) })
		w.RunUntilIdle()
	}
	w.violate("I5: orders still wait for a person who has resumed them %d times", maxResumes)
}

// turn lets one thing happen: somebody who got no answer calls again, or a step is made that jumps no further than until; zero: anywhere.
// It reports false when nothing will happen any more.
func (w *World) turn(until time.Time) bool {
	if w.config.Keepers && time.Since(w.kept) >= keepEvery {
		w.survive(w.keep)
		return true
	}
	for i, c := range w.waiting {
		if c.due.After(time.Now()) {
			if until.IsZero() || c.due.Before(until) {
				until = c.due
			}
			continue
		}
		w.waiting = append(w.waiting[:i:i], w.waiting[i+1:]...)
		w.survive(func() { w.attend(c) })
		return true
	}
	return w.stepUntil(until)
}

// meddle lets the next visitor call, wherever the world is, and whatever fault the call then meets itself.
func (w *World) meddle() {
	if len(w.script) == 0 {
		return
	}
	next := w.script[0]
	w.script = w.script[1:]
	w.attend(&caller{Visit: next})
}

// attend makes a call. Who gets no answer, because of an error or of a process that dies, waits and calls again.
func (w *World) attend(c *caller) {
	c.tries++
	c.due = time.Now().Add(min(200*time.Millisecond<<min(c.tries, 8), 30*time.Second) + 11*time.Nanosecond)
	if c.tries > maxTries {
		w.violate("%s %d got no answer in %d tries", c.Deed, c.Wish, maxTries)
		return
	}
	if c.tries > 1 {
		w.note("called again")
	}
	w.waiting = append(w.waiting, c)
	if !w.do(context.Background(), c) {
		return
	}
	for i := range w.waiting {
		if w.waiting[i] == c {
			w.waiting = append(w.waiting[:i:i], w.waiting[i+1:]...)
			return
		}
	}
}

// do does the deed once, and reports whether it was answered.
func (w *World) do(ctx context.Context, c *caller) (answered bool) {
	var err error
	id := orderIn(w.acknowledged[keyOf(c.Wish)])
	placed := w.acknowledged[keyOf(c.Wish)] != ""
	switch {
	case c.Deed == Place:
		return w.placeOnce(ctx, c)
	case c.Deed == Resume:
		return w.resume(ctx)
	case c.Deed == Sweep:
		w.tracef("sweep: %v", errors.Join(w.sweep(ctx), w.expire(ctx)))
		return true // who fails comes round again anyway
	case !placed:
		return true // there is nothing to be asked for
	case c.Deed == Misuse:
		r := w.request(c.Wish)
		r.Lines, r.Fingerprint = r.Lines[:1], sha256.Sum256([]byte("another"))
		if _, err = w.app.Orders.Place(ctx, r); err == nil {
			w.violate("I8: another order was taken under the key of %s", id)
		}
		answered = fault.Is(err, fault.IdempotencyKeyReused)
	case c.Deed == Cancel:
		_, err = w.app.Orders.Cancel(ctx, id, order.CancelRequest{CorrelationID: "corr-cancel", Actor: "customer"})
		answered = err == nil || fault.Is(err, fault.OrderFinal) || fault.Is(err, fault.InReview)
	case c.Deed == Look:
		err = w.look(ctx, id)
		answered = err == nil
	}
	w.tracef("%s %s: %v", c.Deed, id, err)
	if answered {
		w.note(fmt.Sprintf("%s: %s", c.Deed, fault.KindOf(err)))
	} else if !fault.Retryable(err) {
		w.violate("%s %s: %v", c.Deed, id, err)
	}
	return answered
}

// placeOnce places a customer's order, or asks for it again. An order that was taken is never refused, and one that cannot be taken now is asked
// for again later.
func (w *World) placeOnce(ctx context.Context, c *caller) (answered bool) {
	key := keyOf(c.Wish)
	placed, err := w.app.Orders.Place(ctx, w.request(c.Wish))
	w.tracef("place %s: %s %v", key, placed.OrderID, err)
	switch {
	case err == nil:
		if w.acknowledged[key] != "" {
			w.note("asked again under the key")
		}
		w.acknowledge(key, string(placed.Body))
		return true
	case fault.Retryable(err):
		return false
	case w.acknowledged[key] != "":
		w.violate("I8: the order of key %s was taken, and then refused: %v", key, err)
		return true
	}
	w.note("place: " + string(fault.KindOf(err)))
	if fault.Is(err, fault.PaymentProviderUnavailable) {
		w.checkRefusal(err)
	}
	if fault.Is(err, fault.PaymentProviderUnavailable) && c.refusals < maxRefusals {
		c.refusals++
		c.due = time.Now().Add(comesAgain + 13*time.Nanosecond)
		return false
	}
	if !fault.Is(err, fault.InsufficientStock) && !fault.Is(err, fault.PaymentProviderUnavailable) {
		w.violate("place %s: %v", key, err)
	}
	return true
}

func keyOf(wish int) string { return fmt.Sprintf("wish-%d", wish) }

func (w *World) request(wish int) order.PlaceRequest {
	o := w.config.Wishes[wish]
	return order.PlaceRequest{
		CustomerID: o.Customer, Lines: o.Lines, PaymentMethod: o.Method, IdempotencyKey: keyOf(wish), Principal: o.Customer,
		OpenLimit: 1000, CorrelationID: "corr-" + keyOf(wish), Fingerprint: sha256.Sum256([]byte(keyOf(wish))),
		Contact: &order.Contact{Email: "customer@example.test"},
	}
}

// acknowledge holds what a client was told against what it was told before, and against what is stored.
func (w *World) acknowledge(key, body string) {
	if before, again := w.acknowledged[key]; again && before != body {
		w.violate("I8: key %s was answered %s and then %s", key, before, body)
	}
	w.acknowledged[key] = body
	w.checkAcknowledged(key)
}

// look sees an order. It never goes back, and what has ended has ended. Reads are served while the disk is full.
func (w *World) look(ctx context.Context, id string) error {
	before := w.seen[id]
	view, err := w.app.Orders.Get(ctx, id, order.ViewQuery{MinVersion: before.version})
	if w.disk.isFull() {
		w.note("read while the disk is full")
		if err != nil {
			w.violate("the disk is full, and %s cannot be read: %v", id, err)
		}
	}
	if err != nil {
		return err
	}
	if view.Version < before.version || before.status != "" && view.Status != before.status {
		w.violate("I12: order %s was seen %s at version %d, and then %s at %d", id, before.status, before.version, view.Status, view.Version)
	}
	now := glance{version: view.Version}
	if view.Terminal() {
		now.status = view.Status
	}
	w.seen[id] = now
	return nil
}

// resume resumes all that wait for a person.
func (w *World) resume(ctx context.Context) (answered bool) {
	wait, err := w.app.Orders.InReview(ctx, "", 100)
	if err != nil {
		return false
	}
	for _, o := range wait {
		_, err := w.app.Orders.Redrive(ctx, o.OrderID, "it is mended", "operator", "corr-resume")
		w.tracef("resume %s: %v", o.OrderID, err)
		switch {
		case err == nil:
			w.note("resumed")
		case fault.Retryable(err):
			return false
		case !fault.Is(err, fault.NotFailed):
			w.violate("resume %s: %v", o.OrderID, err)
		}
	}
	return true
}

// Product puts a product on the shelf.
func (w *World) Product(id string, priceCents, stock int64) {
	w.t.Helper()
	err := w.call("product "+id, func(ctx context.Context) error {
		_, _, err := w.app.Inventory.Put(ctx, inventory.PutProduct{ProductID: id, Name: id, UnitPriceCents: priceCents, Stock: &stock})
		if fault.Is(err, fault.ProductExists) || fault.Is(err, fault.ValidationFailed) {
			return nil // the first call was done, and its reply lost
		}
		return err
	})
	if err != nil {
		w.violate("product %s: %v", id, err)
	}
}

// call does what a client does who has nothing else to do: it repeats a call that got no answer, or "try again", for hours.
func (w *World) call(what string, fn func(ctx context.Context) error) error {
	for n := range maxTries {
		var err error
		if !w.survive(func() { err = fn(context.Background()) }) {
			continue
		}
		if err == nil || !fault.Retryable(err) {
			w.tracef("client: %s: %v", what, err)
			return err
		}
		w.pause(min(100*time.Millisecond<<min(n/10, 10), time.Minute))
	}
	w.violate("client: %s got no answer in %d tries", what, maxTries)
	return errors.New("no answer")
}

// Place places an order under an idempotency key and returns its id; "" and the kind if it was refused.
func (w *World) Place(key, method string, lines ...order.RequestLine) (id string, refused fault.Kind) {
	w.t.Helper()
	var placed order.Placed
	request := order.PlaceRequest{
		CustomerID: "cust-1", Lines: lines, PaymentMethod: method, IdempotencyKey: key, Principal: "test", OpenLimit: 1000,
		CorrelationID: "corr-" + key, Contact: &order.Contact{Email: "customer@example.test"},
	}
	err := w.call("place "+key, func(ctx context.Context) (err error) {
		placed, err = w.app.Orders.Place(ctx, request)
		return err
	})
	if err != nil {
		return "", fault.KindOf(err)
	}
	w.acknowledge(key, string(placed.Body))
	return placed.OrderID, ""
}

// Cancel asks for an order's cancellation. That it comes too late is no failure.
func (w *World) Cancel(id string) {
	_ = w.call("cancel "+id, func(ctx context.Context) error {
		_, err := w.app.Orders.Cancel(ctx, id, order.CancelRequest{CorrelationID: "corr-cancel", Actor: "customer"})
		return err
	})
}

// Status is what a client sees of an order.
func (w *World) Status(id string) string {
	w.t.Helper()
	var view order.View
	err := w.call("get "+id, func(ctx context.Context) (err error) {
		view, err = w.app.Orders.Get(ctx, id, order.ViewQuery{})
		return err
	})
	if err != nil {
		w.violate("I12: GET of the acknowledged order %s: %v", id, err)
	}
	return view.Status
}
