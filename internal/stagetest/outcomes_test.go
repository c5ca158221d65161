package stagetest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

func confirmed(t *testing.T, s *stage) {
	a, b := s.product(t, 5), s.product(t, 7)
	o := s.placed(t, basket(provider.Visa, a, b))
	s.ended(t, o, end{status: order.Confirmed, log: confirmedLog, states: confirmedStates, hold: inventory.Committed, paid: payment.Captured})
	s.stock(t, a, 4, 0, 1)
	s.stock(t, b, 6, 0, 1)
	s.told(t, o)
}

func compensated(t *testing.T, s *stage) {
	p := s.product(t, 5)
	o := s.placed(t, basket(provider.ChargeDeclined, p))
	s.ended(t, o, end{
		status: order.Compensated, reason: "PAYMENT_DECLINED", log: declinedLog, hold: inventory.Released, paid: payment.Declined,
		states: []string{"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "RecordPaymentFailure", "ReleaseStock", "CompensateOrder", "NotifyCustomer", "Done"},
	})
	s.stock(t, p, 5, 0, 0)
	s.told(t, o)
}

// The last piece is promised to two: the one whose reservation hangs finds that it has gone.
func failed(t *testing.T, s *stage) {
	p := s.product(t, 1)
	hanging := s.make(t, rule{operation: "TransactWriteItems", about: []string{p, s.table(inventory.ReservationsTable)}, times: 1, trouble: awstest.Trouble{Hang: true}})
	slow := s.accepted(t, basket(provider.Visa, p))
	eventually(t, "its reservation hangs", hanging.met)
	quick := s.placed(t, basket(provider.Visa, p))
	s.ended(t, quick, end{status: order.Confirmed})
	s.ended(t, s.outcome(t, slow.OrderID), end{
		status: order.Failed, reason: "INSUFFICIENT_STOCK", log: failedLog,
		states: []string{"Enter", "ReserveStock", "FailOrder", "NotifyCustomer", "Done"},
	})
	s.stock(t, p, 0, 0, 1)
}

// A cancel that comes before the money was asked for: nothing has to be paid back.
func cancelled(t *testing.T, s *stage) {
	p := s.product(t, 3)
	hanging := s.make(t, rule{operation: "TransactWriteItems", about: []string{p, s.table(inventory.ReservationsTable)}, times: 1, trouble: awstest.Trouble{Hang: true}})
	o := s.accepted(t, basket(provider.Visa, p))
	eventually(t, "its reservation hangs", hanging.met)
	s.cancel(t, o.OrderID)
	s.ended(t, s.outcome(t, o.OrderID), end{
		status: order.Cancelled, reason: "CANCELLED_BY_CUSTOMER", hold: inventory.Released,
		log:    []string{order.OrderCreated, order.StockReleased, order.OrderCancelled},
		states: []string{"Enter", "ReserveStock", "RecordReservation", "ReleaseStock", "CompensateOrder", "NotifyCustomer", "Done"},
	})
	s.stock(t, p, 3, 0, 0)
	s.call(t, "POST", "/orders/"+o.OrderID+"/cancel", nil).is(http.StatusConflict).problem("ORDER_FINAL")
}

// A cancel that comes while the provider captures: the money goes back.
func cancelledLate(t *testing.T, s *stage) {
	p := s.product(t, 3)
	o := s.accepted(t, basket(provider.Slow, p))
	eventually(t, "its stock is reserved", func() bool { return slices.Contains(s.log(t, o.OrderID), order.StockReserved) })
	s.cancel(t, o.OrderID)
	s.ended(t, s.outcome(t, o.OrderID), end{
		status: order.Cancelled, reason: "CANCELLED_BY_CUSTOMER", hold: inventory.Released, paid: payment.Refunded,
		log: []string{order.OrderCreated, order.StockReserved, order.PaymentCharged, order.PaymentRefunded, order.StockReleased, order.OrderCancelled},
		states: []string{
			"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "RefundPayment", "ReleaseStock", "CompensateOrder", "NotifyCustomer", "Done",
		},
	})
	s.stock(t, p, 3, 0, 0)
	s.ledger(t, o.OrderID, 999, 999)
}

// cancel cancels twice: the second time changes nothing.
func (s *shop) cancel(t *testing.T, orderID string) {
	t.Helper()
	for range 2 {
		if o := s.call(t, "POST", "/orders/"+orderID+"/cancel", nil).is(http.StatusAccepted).order(); o.OrderID != orderID {
			t.Errorf("the cancel of %s answers with %s", orderID, o.OrderID)
		}
	}
}

func duplicate(t *testing.T, s *stage) {
	p := s.product(t, 5)
	r, key := basket(provider.Visa, p), unique("key")
	first := s.call(t, "POST", "/orders", r, "Idempotency-Key", key).is(http.StatusAccepted)
	for range 3 {
		again := s.call(t, "POST", "/orders", r, "Idempotency-Key", key).is(http.StatusAccepted)
		if string(again.body) != string(first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("the same key answers %s, first %s (%v)", again.body, first.body, again.header)
		}
	}
	o := s.outcome(t, first.order().OrderID)
	if again := s.call(t, "POST", "/orders", r, "Idempotency-Key", key).is(http.StatusAccepted); string(again.body) != string(first.body) {
		t.Errorf("after its end the same key answers %s, first %s", again.body, first.body)
	}
	r.Items[0].Quantity = 2
	s.call(t, "POST", "/orders", r, "Idempotency-Key", key).is(http.StatusUnprocessableEntity).problem("IDEMPOTENCY_KEY_REUSED")
	s.ended(t, o, end{status: order.Confirmed, log: confirmedLog})
	s.stock(t, p, 4, 0, 1)
}

// Bad input: what a person types in, and what API Gateway hands on.
func refused(t *testing.T, s *stage) {
	p := s.product(t, 5)
	for _, c := range []struct {
		rule, body string
		status     int
		code       string
	}{
		{"no JSON", `{"customer_id"`, http.StatusBadRequest, "BAD_REQUEST"},
		{"an unknown member", `{"customer_id":"c","items":[{"product_id":"` + p + `","quantity":1}],"discount":100}`, http.StatusBadRequest, "BAD_REQUEST"},
		{"no piece", `{"customer_id":"c","items":[{"product_id":"` + p + `","quantity":0}]}`, http.StatusUnprocessableEntity, "VALIDATION_FAILED"},
		{"no lines", `{"customer_id":"c","items":[]}`, http.StatusUnprocessableEntity, "VALIDATION_FAILED"},
		{"a product that there is not", `{"customer_id":"c","items":[{"product_id":"none","quantity":1}]}`, http.StatusUnprocessableEntity, "UNKNOWN_PRODUCT"},
		{"more than there is", `{"customer_id":"c","items":[{"product_id":"` + p + `","quantity":6}]}`, http.StatusConflict, "INSUFFICIENT_STOCK"},
		{"another price", `{"customer_id":"c","items":[{"product_id":"` + p + `","quantity":1,"unit_price_cents":1}]}`, http.StatusConflict, "PRICE_CHANGED"},
		{"a card number", `{"customer_id":"4111111111111111","items":[{"product_id":"` + p + `","quantity":1}]}`, http.StatusUnprocessableEntity, "VALIDATION_FAILED"},
		{"eleven kilobytes of nothing", `{"customer_id":"` + strings.Repeat("x", 11<<10) + `"}`, http.StatusUnprocessableEntity, "VALIDATION_FAILED"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s.call(t, "POST", "/orders", c.body, "Idempotency-Key", unique("key")).is(c.status).problem(c.code)
		})
	}
	s.call(t, "GET", "/orders/ord-00000000000000000000000000", nil).is(http.StatusNotFound).problem("NOT_FOUND")
	s.stock(t, p, 5, 0, 0)
}
