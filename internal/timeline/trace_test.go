package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

// orderOf is an order with those events, the first a moment before the saga's start.
func orderOf(status apigen.OrderStatus, events ...apigen.OrderEventType) apigen.Order {
	o := apigen.Order{OrderID: "ord-1", Status: status, TotalCents: 1999, Currency: "USD"}
	for i, e := range append([]apigen.OrderEventType{apigen.OrderEventTypeORDERCREATED}, events...) {
		o.Events = append(o.Events, apigen.OrderEvent{Version: int64(i + 1), Type: e, Timestamp: at(i)})
	}
	return o
}

// paid is a payment of which the provider's book has entries of "type milliseconds".
func paid(status apigen.PaymentStatus, entries ...string) *apigen.Payment {
	p := &apigen.Payment{Status: status}
	for _, text := range entries {
		e := apigen.LedgerEntry{}
		ms := 0
		fmt.Sscan(text, &e.Type, &ms)
		if e.At = at(ms); e.Type != "decline" && e.Type != "cancel" {
			e.AmountCents = 1999
		}
		switch e.Type {
		case "capture":
			p.Provider.CapturedCents += 1999
		case "refund":
			p.Provider.RefundedCents += 1999
		}
		p.Provider.Entries = append(p.Provider.Entries, e)
	}
	return p
}

// told writes a trace as lines of "who what begin+duration[ outcome]", what is below another behind a dash.
func told(tr Trace) string {
	lines := make([]string, 0, len(tr.Segments))
	for _, s := range tr.Segments {
		line := strings.Repeat("-", s.Depth) + s.Who + " " + s.What + fmt.Sprintf(" %d+%d", s.StartMS, s.DurationMS)
		if s.Outcome != "" {
			line += " " + s.Outcome
		}
		if s.Failed {
			line += "!"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTell(t *testing.T) {
	charge := []string{"0 TaskStateEntered ChargePayment", "0 LambdaFunctionScheduled ChargePayment", "7 LambdaFunctionSucceeded ChargePayment", "7 TaskStateExited ChargePayment"}
	notify := func(ms int) []string {
		return []string{fmt.Sprint(ms, " TaskStateEntered NotifyCustomer"), fmt.Sprint(ms+1, " TaskStateExited NotifyCustomer")}
	}
	succeeded := func(s apigen.Saga) apigen.Saga {
		s.Status = apigen.SagaStatusSUCCEEDED
		return s
	}
	lines := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		name    string
		account Account
		rows    []string
		result  string
		total   int64
		open    bool
	}{
		{
			"an order that was confirmed", Account{
				orderOf("CONFIRMED", "STOCK_RESERVED", "PAYMENT_CHARGED", "ORDER_CONFIRMED"),
				[]apigen.Saga{succeeded(recorded(t, 9, lines(charge, notify(7))...))}, paid("CAPTURED", "open 2", "capture 5"),
			}, []string{
				"api order accepted 0+0 Created PENDING", "payment-handler ChargePayment 0+7 Payment charged", "-provider open 2+0 19.99 USD",
				"-provider capture 5+0 19.99 USD", "saga NotifyCustomer 7+1 Notification queued",
			}, "Stock sold | Customer's notification queued | 19.99 USD charged", 8, false,
		},
		{
			"an order that was compensated says what was undone", Account{
				orderOf("COMPENSATED", "STOCK_RESERVED", "PAYMENT_FAILED", "STOCK_RELEASED", "ORDER_COMPENSATED"),
				[]apigen.Saga{succeeded(recorded(t, 9, "0 TaskStateEntered ChargePayment", "0 LambdaFunctionScheduled ChargePayment",
					"4 LambdaFunctionFailed ChargePayment PaymentDeclined", "4 TaskStateExited ChargePayment", "4 TaskStateEntered ReleaseStock", "6 TaskStateExited ReleaseStock",
					"6 TaskStateEntered CompensateOrder", "7 TaskStateExited CompensateOrder"))}, paid("DECLINED", "open 1", "decline 3"),
			}, []string{
				"api order accepted 0+0 Created PENDING", "payment-handler ChargePayment 0+4 PaymentDeclined!", "-provider open 1+0 19.99 USD", "-provider decline 3+0",
				"saga ReleaseStock 4+2 Stock released (compensation)", "saga CompensateOrder 6+1 Status → COMPENSATED",
			}, "Stock restored | No charge made", 7, false,
		},
		{
			"an attempt that is waited for has its wait before it, and what the provider did stands under the attempt", Account{
				orderOf("CONFIRMED", "STOCK_RESERVED", "PAYMENT_CHARGED", "ORDER_CONFIRMED"),
				[]apigen.Saga{succeeded(recorded(t, 1205, "0 TaskStateEntered ChargePayment", "0 LambdaFunctionScheduled ChargePayment",
					"100 LambdaFunctionFailed ChargePayment Transient", "1100 LambdaFunctionScheduled ChargePayment", "1200 LambdaFunctionSucceeded ChargePayment",
					"1200 TaskStateExited ChargePayment"))}, paid("CAPTURED", "open 50", "capture 1150"),
			}, []string{
				"api order accepted 0+0 Created PENDING", "payment-handler ChargePayment 0+1200 Payment charged",
				"-payment-handler attempt 1 0+100 Transient!", "-provider open 50+0 19.99 USD", "-saga wait 100+1000",
				"-payment-handler attempt 2 1100+100", "-provider capture 1150+0 19.99 USD",
			}, "Stock sold | 19.99 USD charged", 1200, false,
		},
		{
			"what the provider did when nobody was asking it stands by itself, and a refund undoes the charge", Account{
				orderOf("COMPENSATED", "STOCK_RESERVED", "PAYMENT_FAILED", "STOCK_RELEASED", "ORDER_COMPENSATED"),
				[]apigen.Saga{succeeded(recorded(t, 7, charge...))}, paid("REFUNDED", "open 2", "capture 500", "refund 700"),
			}, []string{
				"api order accepted 0+0 Created PENDING", "payment-handler ChargePayment 0+7 ok", "-provider open 2+0 19.99 USD",
				"provider capture 500+0 19.99 USD", "provider refund 700+0 19.99 USD",
			}, "Stock restored | Charge of 19.99 USD refunded", 700, false,
		},
		{
			"an order that is under way claims nothing that may still change", Account{
				orderOf("PENDING", "STOCK_RESERVED"),
				[]apigen.Saga{recorded(t, -1, "0 TaskStateEntered ChargePayment", "0 LambdaFunctionScheduled ChargePayment")}, paid("CAPTURING", "open 2"),
			}, []string{
				"api order accepted 0+0 Created PENDING", "payment-handler ChargePayment 0+60000 under way", "-provider open 2+0 19.99 USD",
			}, "", 60000, true,
		},
		{
			"an order that was refused held nothing and has no payment", Account{
				orderOf("FAILED", "STOCK_REJECTED", "ORDER_FAILED"),
				[]apigen.Saga{succeeded(recorded(t, 3, "0 TaskStateEntered FailOrder", "3 TaskStateExited FailOrder"))}, nil,
			}, []string{"api order accepted 0+0 Created PENDING", "saga FailOrder 0+3 Status → FAILED"}, "No stock held | No charge made", 3, false,
		},
		{
			"an order that waits for a person is not at its end", Account{
				orderOf("REVIEW", "STOCK_RESERVED", "ORDER_REVIEW"),
				[]apigen.Saga{{StartedAt: noon, EndedAt: ptr(at(4)), Status: "FAILED", History: recorded(t, 4, "0 TaskStateEntered RefundPayment", "4 ExecutionFailed - Mismatch").History}}, nil,
			}, []string{"api order accepted 0+0 Created PENDING", "saga RefundPayment 0+4 Mismatch!"}, "", 4, true,
		},
		{
			"of an order whose history is not kept any more it says what the order and the provider say", Account{
				orderOf("CONFIRMED", "STOCK_RESERVED", "PAYMENT_CHARGED", "ORDER_CONFIRMED"), nil, paid("CAPTURED", "open 2", "capture 5"),
			}, []string{"api order accepted 0+0 Created PENDING", "provider open 2+0 19.99 USD", "provider capture 5+0 19.99 USD"},
			"Stock sold | 19.99 USD charged", 5, false,
		},
		{
			"and of one of which there is neither history nor payment it says nothing of money: they may be told elsewhere", Account{
				orderOf("COMPENSATED", "STOCK_RESERVED", "PAYMENT_FAILED", "STOCK_RELEASED", "ORDER_COMPENSATED"), nil, nil,
			}, []string{"api order accepted 0+0 Created PENDING"}, "Stock restored", 0, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Tell(c.account, noon.Add(time.Minute))
			if want := strings.Join(c.rows, "\n"); told(got) != want {
				t.Errorf("the rows are\n%s\nwant\n%s", told(got), want)
			}
			if result := strings.Join(got.Result, " | "); result != c.result || got.TotalMS != c.total || got.Ended == c.open {
				t.Errorf("result %q, total %d, ended %v", result, got.TotalMS, got.Ended)
			}
		})
	}
	t.Run("executions stand one behind the other, each from when it was redriven", func(t *testing.T) {
		first := recorded(t, 5, "0 TaskStateEntered RefundPayment", "5 ExecutionFailed - Mismatch")
		second := succeeded(recorded(t, 4, "0 TaskStateEntered RefundPayment", "4 TaskStateExited RefundPayment"))
		second.StartedAt, second.Execution = at(1000), "ord-1-r1"
		for i := range second.History {
			second.History[i].Timestamp = second.History[i].Timestamp.Add(time.Second)
		}
		got := Tell(Account{orderOf("COMPENSATED", "PAYMENT_REFUNDED"), []apigen.Saga{first, second}, nil}, noon)
		want := "api order accepted 0+0 Created PENDING\nsaga RefundPayment 0+5 Mismatch!\nsaga redriven 1000+0 ord-1-r1\nsaga RefundPayment 1000+4 Payment refunded (compensation)"
		if told(got) != want || got.TotalMS != 1004 {
			t.Errorf("the rows are\n%s", told(got))
		}
	})
}
