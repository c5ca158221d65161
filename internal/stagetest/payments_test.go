package stagetest

import (
	"cmp"
	"net/http"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// methods are all payment methods of the interface, with what has to come of them.
var methods = []struct {
	method   string
	end      end
	captured int64 // that stays with the provider
}{
	{"", end{status: order.Confirmed, log: confirmedLog, states: confirmedStates}, 999},
	{provider.Visa, end{status: order.Confirmed, log: confirmedLog, states: confirmedStates}, 999},
	{provider.Slow, end{status: order.Confirmed, log: confirmedLog, states: confirmedStates}, 999},
	{provider.ChargeDeclined, end{status: order.Compensated, reason: "PAYMENT_DECLINED", log: declinedLog}, 0},
	{"pm_nobody_knows", end{status: order.Compensated, reason: "PAYMENT_DECLINED", log: declinedLog}, 0},
	{provider.TimeoutCharged, end{status: order.Confirmed, log: confirmedLog}, 999},
	{provider.Timeout, end{status: order.Compensated, reason: "PAYMENT_PROVIDER_UNAVAILABLE", log: declinedLog}, 0},
	{provider.Late, end{status: order.Compensated, reason: "PAYMENT_PROVIDER_UNAVAILABLE", log: declinedLog}, 0},
	{provider.Error, end{status: order.Compensated, reason: "PAYMENT_PROVIDER_UNAVAILABLE", log: declinedLog}, 0},
}

// Every payment method comes to its end, and the provider's own book says so too. They run one after the other, each with a closed circuit: it is shared by
// all orders, and those that fail would open it for the others.
func everyMethod(t *testing.T, s *stage) {
	for _, m := range methods {
		t.Run(cmp.Or(m.method, "the default"), func(t *testing.T) {
			s.call(t, "POST", "/admin/breakers/"+app.ChargeBreaker+"/reset", nil).is(http.StatusOK)
			p := s.product(t, 2)
			o := s.placed(t, basket(m.method, p))
			s.ended(t, o, m.end)
			s.ledger(t, o.OrderID, m.captured, 0)
			if m.captured > 0 {
				s.stock(t, p, 1, 0, 1)
			} else {
				s.stock(t, p, 2, 0, 0)
			}
		})
	}
	s.call(t, "POST", "/admin/breakers/"+app.ChargeBreaker+"/reset", nil).is(http.StatusOK)
}
