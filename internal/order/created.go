package order

import (
	"encoding/json"
	"strconv"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Line is one line of an order, at the price that was frozen when it was placed.
type Line struct {
	ProductID      string `json:"product_id"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unit_price_cents"`
}

// Created is what ORDER_CREATED says. The contact is not among it.
type Created struct {
	CustomerID    string
	Lines         []Line
	TotalCents    int64
	Currency      string
	PaymentMethod string
	KeyHash       string // of the idempotency key and its scope; "" if there was none
}

func (c Created) data() map[string]any {
	items := make([]any, len(c.Lines))
	for i, l := range c.Lines {
		items[i] = map[string]any{
			"product_id":       l.ProductID,
			"quantity":         number(l.Quantity),
			"unit_price_cents": number(l.UnitPriceCents),
		}
	}
	data := map[string]any{
		"items":          items,
		"total_cents":    number(c.TotalCents),
		"currency":       c.Currency,
		"payment_method": c.PaymentMethod,
		"customer_id":    c.CustomerID,
	}
	if c.KeyHash != "" {
		data["idempotency_key_hash"] = c.KeyHash
	}
	return data
}

// DecodeCreated reads the first event of an order. fault.Internal: it is of another type or not well-formed.
func DecodeCreated(e eventlog.Event) (Created, error) {
	if e.Type != OrderCreated {
		return Created{}, fault.New(fault.Internal, "version %d of the log is %s, not %s", e.Version, e.Type, OrderCreated)
	}
	d := decoder{data: e.Data}
	c := Created{
		CustomerID:    d.str("customer_id"),
		TotalCents:    d.integer("total_cents"),
		Currency:      d.str("currency"),
		PaymentMethod: d.str("payment_method"),
	}
	c.KeyHash, _ = e.Data["idempotency_key_hash"].(string)
	items, _ := e.Data["items"].([]any)
	if len(items) == 0 {
		d.fail("items")
	}
	c.Lines = make([]Line, len(items))
	for i, it := range items {
		m, _ := it.(map[string]any)
		line := decoder{data: m}
		c.Lines[i] = Line{
			ProductID:      line.str("product_id"),
			Quantity:       line.integer("quantity"),
			UnitPriceCents: line.integer("unit_price_cents"),
		}
		if line.bad != "" {
			d.fail("items")
		}
	}
	if d.bad != "" {
		return Created{}, malformed(&e, d.bad)
	}
	return c, nil
}

// A decoder remembers the first member that is missing or of another type.
type decoder struct {
	data map[string]any
	bad  string
}

func (d *decoder) fail(name string) {
	if d.bad == "" {
		d.bad = name
	}
}

func (d *decoder) str(name string) string {
	s, ok := d.data[name].(string)
	if !ok {
		d.fail(name)
	}
	return s
}

func (d *decoder) integer(name string) int64 {
	n, ok := integer(d.data[name])
	if !ok {
		d.fail(name)
	}
	return n
}

func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func number(n int64) json.Number { return json.Number(decimal(n)) }
