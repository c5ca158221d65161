package lineartest

// A shelf is the stock of a product. The zero shelf is no product.
type shelf struct {
	exists                bool
	available, held, sold int64
	holding, done         uint64 // orders, one bit each: those that hold stock, and those that are through with it
	deliveries            [deliveryKeys + 2]delivery
}

// A delivery is what a restock's key stands for; the zero delivery is none yet.
type delivery struct {
	quantity int64
	answer   string // "": made by a call whose answer was lost
}

const (
	deliveryKeys  = 3            // that the restocks of a history draw from: few, so that they meet
	spareDelivery = deliveryKeys // that they do not use, and the one after it
)

// stocked is a PUT that created the product.
type stocked struct{ stock int64 }

func (o stocked) step(s shelf) (shelf, bool) {
	return shelf{exists: true, available: o.stock}, !s.exists
}

// maybeStocked is one whose answer was lost.
type maybeStocked struct{ stock int64 }

func (o maybeStocked) step(s shelf) (shelf, bool) {
	if s.exists {
		return s, true
	}
	return shelf{exists: true, available: o.stock}, true
}

// absent is an answer that knew of no product.
type absent struct{}

func (absent) step(s shelf) (shelf, bool) { return s, !s.exists }

// present is an answer that knew of one.
type present struct{}

func (present) step(s shelf) (shelf, bool) { return s, s.exists }

// counted is a GET.
type counted struct{ available, held, sold int64 }

func (o counted) step(s shelf) (shelf, bool) {
	return s, s.exists && o == counted{s.available, s.held, s.sold}
}

// short is a refusal at admission, which says what there was.
type short struct{ asked, available int64 }

func (o short) step(s shelf) (shelf, bool) {
	return s, s.exists && s.available == o.available && s.available < o.asked
}

// reserved is the first half of an order that found its stock.
type reserved struct {
	order    int
	quantity int64
}

func (o reserved) step(s shelf) (shelf, bool) {
	possible := s.exists && s.available >= o.quantity && (s.holding|s.done)&(1<<o.order) == 0
	s.available -= o.quantity
	s.held += o.quantity
	s.holding |= 1 << o.order
	return s, possible
}

// failed is an order of which the saga found that there was too little.
type failed struct {
	order    int
	quantity int64
}

func (o failed) step(s shelf) (shelf, bool) {
	possible := s.exists && s.available < o.quantity && (s.holding|s.done)&(1<<o.order) == 0
	s.done |= 1 << o.order
	return s, possible
}

// settled is the second half of an order: what it held is sold, or goes back.
type settled struct {
	order    int
	quantity int64
	sold     bool
}

func (o settled) step(s shelf) (shelf, bool) {
	possible := s.holding&(1<<o.order) != 0
	s.holding &^= 1 << o.order
	s.done |= 1 << o.order
	s.held -= o.quantity
	if o.sold {
		s.sold += o.quantity
	} else {
		s.available += o.quantity
	}
	return s, possible
}

// maybeReserved is the first half of an order whose answer was lost. That it was refused, or never arrived, is the case in which it comes
// at the very end.
type maybeReserved struct {
	order    int
	quantity int64
}

func (o maybeReserved) step(s shelf) (shelf, bool) {
	if after, possible := reserved(o).step(s); possible {
		return after, true
	}
	s.done |= 1 << o.order
	return s, true
}

// maybeSettled is its second half, if there was a first.
type maybeSettled struct {
	order    int
	quantity int64
	sold     bool
}

func (o maybeSettled) step(s shelf) (shelf, bool) {
	if s.done&(1<<o.order) != 0 {
		return s, true
	}
	return settled(o).step(s)
}

// restocked is a delivery, or the repeat of one.
type restocked struct {
	key      int
	quantity int64
	replayed bool
	answer   string
}

func (o restocked) step(s shelf) (shelf, bool) {
	had := s.deliveries[o.key]
	s.deliveries[o.key] = delivery{o.quantity, o.answer}
	if had == (delivery{}) {
		s.available += o.quantity
		return s, s.exists && !o.replayed
	}
	return s, o.replayed && had.quantity == o.quantity && (had.answer == "" || had.answer == o.answer)
}

// otherDelivery is a refusal, because the key stands for another quantity.
type otherDelivery struct {
	key      int
	quantity int64
}

func (o otherDelivery) step(s shelf) (shelf, bool) {
	had := s.deliveries[o.key].quantity
	return s, had != 0 && had != o.quantity
}

// maybeRestocked is a delivery whose answer was lost.
type maybeRestocked struct {
	key      int
	quantity int64
}

func (o maybeRestocked) step(s shelf) (shelf, bool) {
	if s.exists && s.deliveries[o.key] == (delivery{}) {
		s.available += o.quantity
		s.deliveries[o.key].quantity = o.quantity
	}
	return s, true
}

// A card is the product's price and its version; the zero card is no product.
type card struct{ version, price int64 }

// noCard is an answer that knew of no product.
type noCard struct{}

func (noCard) step(c card) (card, bool) { return c, c.version == 0 }

// shown is a GET, or a PUT of a product that exists already, which says no more than that it does (version 0).
type shown card

func (o shown) step(c card) (card, bool) {
	return c, c.version > 0 && (o.version == 0 || o == shown(c))
}

// priced is an order, or the refusal of one, that says what the price was.
type priced struct{ price int64 }

func (o priced) step(c card) (card, bool) { return c, c.version > 0 && c.price == o.price }

// written is a PUT that did what it was asked for, and says which version that is.
type written struct {
	price   int64
	match   int64 // the version that had to stand; 0: any
	version int64 // that of the answer
}

func (o written) step(c card) (card, bool) {
	after := c
	if c.price != o.price {
		after = card{c.version + 1, o.price}
	}
	return after, (o.match == 0 || o.match == c.version) && o.version == after.version
}

// mismatched is a PUT whose version did not stand.
type mismatched struct{ match int64 }

func (o mismatched) step(c card) (card, bool) { return c, c.version != o.match }

// maybeWritten is a PUT whose answer was lost; with stock it creates, and changes nothing that exists.
type maybeWritten struct {
	price, match int64
	creates      bool
}

func (o maybeWritten) step(c card) (card, bool) {
	if (o.creates && c.version > 0) || (o.match > 0 && o.match != c.version) || c.price == o.price {
		return c, true
	}
	return card{c.version + 1, o.price}, true
}
