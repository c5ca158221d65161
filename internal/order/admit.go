package order

import (
	"context"
	"fmt"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// The bounds of an order.
const (
	MaxLines          = 50
	MaxQuantity       = 10_000
	MaxUnitPriceCents = 99_999_999
	MaxTotalCents     = 99_999_999
	MaxIDBytes        = 64
	MaxKeyBytes       = 255
	maxEmailBytes     = 254 // RFC 5321, section 4.5.3.1.3: a path of 256 holds the address between two brackets
	maxLocalBytes     = 64  // RFC 5321, section 4.5.3.1.1
)

// DefaultPaymentMethod is Stripe's name of a card that is charged.
const DefaultPaymentMethod = "pm_card_visa"

// validate checks the bounds that need nothing but the request, and fills in its defaults.
func (s *Service) validate(r *PlaceRequest) error {
	if r.PaymentMethod == "" {
		r.PaymentMethod = DefaultPaymentMethod
	}
	if r.Currency == "" {
		r.Currency = s.currency
	}
	if !validID(r.CustomerID) {
		return invalid("customer_id", idRule)
	}
	if n := len(r.Lines); n < 1 || n > MaxLines {
		return invalid("items", "must hold 1 to %d lines, not %d", MaxLines, n)
	}
	for i, l := range r.Lines {
		switch {
		case !validID(l.ProductID):
			return invalid(lineField(i, "product_id"), idRule)
		case l.Quantity < 1 || l.Quantity > MaxQuantity:
			return invalid(lineField(i, "quantity"), "must be from 1 to %d, not %d", MaxQuantity, l.Quantity)
		case l.UnitPriceCents != nil && (*l.UnitPriceCents < 1 || *l.UnitPriceCents > MaxUnitPriceCents):
			return invalid(lineField(i, "unit_price_cents"), "must be from 1 to %d, not %d", MaxUnitPriceCents, *l.UnitPriceCents)
		}
	}
	switch {
	case !validID(r.PaymentMethod):
		return invalid("payment_method", idRule)
	case r.Currency != s.currency:
		return invalid("currency", "must be %s", s.currency)
	case r.Contact != nil && r.Contact.Email != "" && !validEmail(r.Contact.Email):
		return invalid("contact.email", "must be an address of at most %d bytes, such as ada@example.com", maxEmailBytes)
	case r.Contact != nil && r.Contact.Phone != "" && !validPhone(r.Contact.Phone):
		return invalid("contact.phone", "must be an E.164 number, such as +4915112345678")
	}
	return nil
}

// admit freezes the prices, and refuses what is certain to fail. Its answers are advice: between now and the reservation anything may
// change, and then the saga decides.
func (s *Service) admit(ctx context.Context, r PlaceRequest) (Created, error) {
	ids := make([]string, 0, len(r.Lines))
	wanted := make(map[string]int64, len(r.Lines)) // lines of one product are merged
	for _, l := range r.Lines {
		if _, ok := wanted[l.ProductID]; !ok {
			ids = append(ids, l.ProductID)
		}
		wanted[l.ProductID] += l.Quantity
	}
	quotes, err := s.catalog.Quote(ctx, ids)
	if err != nil {
		return Created{}, fault.Wrap(fault.Unavailable, err, "prices cannot be read now")
	}
	c := Created{CustomerID: r.CustomerID, Currency: r.Currency, PaymentMethod: r.PaymentMethod}
	if c.Lines, err = price(r.Lines, quotes); err != nil {
		return Created{}, err
	}
	if c.TotalCents, err = total(c.Lines); err != nil {
		return Created{}, err
	}
	for _, id := range ids {
		if available := quotes[id].Available; available < wanted[id] {
			return Created{}, fault.New(fault.InsufficientStock, "%d of %s asked for, %d available", wanted[id], id, available).
				With("product_id", id).With("requested", wanted[id]).With("available", available)
		}
	}
	return c, s.admission.Admit(ctx)
}

// price gives each line the catalogue's price. All products are looked for first: a price says nothing about an order that cannot be.
func price(asked []RequestLine, quotes map[string]Quote) ([]Line, error) {
	lines := make([]Line, len(asked))
	for i, l := range asked {
		q, ok := quotes[l.ProductID]
		if !ok {
			return nil, fault.New(fault.UnknownProduct, "no product %s", l.ProductID).With("product_id", l.ProductID)
		}
		lines[i] = Line{ProductID: l.ProductID, Quantity: l.Quantity, UnitPriceCents: q.UnitPriceCents}
	}
	for i, l := range asked {
		if current := lines[i].UnitPriceCents; l.UnitPriceCents != nil && *l.UnitPriceCents != current {
			return nil, fault.New(fault.PriceChanged, "%s costs %d cents, not %d", l.ProductID, current, *l.UnitPriceCents).
				With("product_id", l.ProductID).With("sent", *l.UnitPriceCents).With("current", current)
		}
	}
	return lines, nil
}

// total adds up the lines. It neither overflows nor trusts the catalogue to have kept to the bounds.
func total(lines []Line) (int64, error) {
	var sum int64
	for i, l := range lines {
		if l.UnitPriceCents < 1 {
			return 0, fault.New(fault.Internal, "the catalogue has a price of %d cents for %s", l.UnitPriceCents, l.ProductID)
		}
		if l.UnitPriceCents > (MaxTotalCents-sum)/l.Quantity {
			return 0, invalid("items", "must come to %d cents at most: lines 0 to %d are more", MaxTotalCents, i)
		}
		sum += l.UnitPriceCents * l.Quantity
	}
	return sum, nil
}

const idRule = "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'"

// invalid is the refusal of a field: the message names it, and so does the detail.
func invalid(field, rule string, args ...any) error {
	return fault.New(fault.ValidationFailed, "%s %s", field, fmt.Sprintf(rule, args...)).With("field", field)
}

func lineField(i int, name string) string { return fmt.Sprintf("items[%d].%s", i, name) }

func validID(s string) bool {
	if s == "" || len(s) > MaxIDBytes {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// checkKey refuses what is no well-formed idempotency key: 1 to 255 visible ASCII characters.
func checkKey(key string) error {
	ok := key != "" && len(key) <= MaxKeyBytes
	for i := 0; ok && i < len(key); i++ {
		ok = key[i] > ' ' && key[i] < 0x7f
	}
	if !ok {
		return fault.New(fault.BadRequest, "an idempotency key has 1 to %d visible ASCII characters", MaxKeyBytes)
	}
	return nil
}

// validEmail takes what a relay can be handed: a dot-atom, one @ and a domain of two labels or more, in ASCII. Whether it exists only a
// message shows.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > maxEmailBytes || local == "" || len(local) > maxLocalBytes {
		return false
	}
	for _, atom := range strings.Split(local, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !alphanumeric(atom[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !alphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return len(labels) > 1
}

// validPhone takes E.164: a plus, then 7 to 15 digits, the first of them not zero.
func validPhone(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
