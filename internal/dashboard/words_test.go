package dashboard

import (
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestWords(t *testing.T) {
	t.Run("money and numbers are grouped by thousands, whatever their sign", func(t *testing.T) {
		for cents, want := range map[int64]string{0: "0.00", 5: "0.05", 149900: "1,499.00", -149905: "-1,499.05", 100000000: "1,000,000.00", -5: "-0.05"} {
			if got := money(cents); got != want {
				t.Errorf("%d cents are %s, want %s", cents, got, want)
			}
		}
		for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -999: "-999", -1000: "-1,000", 1234567: "1,234,567"} {
			if got := thousands(n); got != want {
				t.Errorf("%d is %s, want %s", n, got, want)
			}
		}
	})
	t.Run("a duration has as many digits as a reader wants", func(t *testing.T) {
		for d, want := range map[time.Duration]string{
			-1: "–", 0: "<1 ms", 999 * time.Microsecond: "<1 ms", time.Millisecond: "1 ms", 9999 * time.Millisecond: "9,999 ms",
			10 * time.Second: "10.0 s", 599 * time.Second: "599.0 s", 10 * time.Minute: "10m0s",
		} {
			if got := took(d); got != want {
				t.Errorf("%s is %q, want %q", d, got, want)
			}
		}
	})
	t.Run("each status has a sentence", func(t *testing.T) {
		for status, want := range map[apigen.OrderStatus]string{
			apigen.OrderStatusCONFIRMED:   "Confirmed in 20 ms: 1 piece reserved and sold, 10.00 USD charged.",
			apigen.OrderStatusCOMPENSATED: "Put back in 20 ms: the card was declined, so the reserved stock",
			apigen.OrderStatusFAILED:      "Refused in 20 ms: the card was declined. Nothing was reserved",
			apigen.OrderStatusCANCELLED:   "Cancelled in 20 ms",
			apigen.OrderStatusREVIEW:      "A person has to look at it",
			apigen.OrderStatusPENDING:     "Under way: the saga is at ChargePayment.",
		} {
			s := &story{Created: noon, Ended: ptr(noon.Add(20 * time.Millisecond)), Saga: &apigen.Saga{State: ptr("ChargePayment")}}
			s.Order = apigen.Order{
				Status: status, TotalCents: 1000, Currency: "USD", FailureReason: ptr(apigen.FailureReasonPAYMENTDECLINED),
				Items: []apigen.OrderItem{{Quantity: 1}},
			}
			if got := outcome(s); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", status, got, want)
			}
		}
		if got := outcome(&story{Order: apigen.Order{Status: apigen.OrderStatusCOMPENSATED, FailureReason: ptr(apigen.FailureReason("NEW"))}}); !strings.Contains(got, "something failed") {
			t.Errorf("a reason that is not known: %q", got)
		}
		if got := outcome(&story{Order: apigen.Order{Status: apigen.OrderStatusPENDING}}); got != "Under way." {
			t.Errorf("an order without a saga: %q", got)
		}
		waits := &story{Order: apigen.Order{Status: apigen.OrderStatusPENDING}, Saga: &apigen.Saga{
			State: ptr("FraudCheck"), AwaitsAnswer: &[]string{"FraudCheck"}, UpdatedAt: noon.Add(time.Hour),
			History: []apigen.SagaEvent{{Type: "TaskStarted", Timestamp: noon}, {Type: "TaskSubmitted", Timestamp: noon}},
		}}
		if got := outcome(waits); got != "Waiting since "+noon.Format("2006-01-02 15:04:05")+" UTC: somebody has to answer FraudCheck (cloudflow saga tasks)." {
			t.Errorf("an order that waits for an answer: %q", got)
		}
		if a, b := doer("arn:aws:states:::sqs:sendMessage.waitForTaskToken"), doer("arn:aws:lambda:local:0:function:cloudflow-payment-handler"); a != "whoever answers with its token" || b != "payment service" {
			t.Errorf("they are done by %q and %q", a, b)
		}
	})
	t.Run("a log line is taken apart, and what is none of ours is shown as it is", func(t *testing.T) {
		got := logLine(`{"timestamp":"2026-01-15T12:00:30.5Z","level":"INFO","service":"order","message":"Placed","order_id":"o","b":2,"a":"x"}`)
		if got.Time != "12:00:30.500" || got.Level != "INFO" || got.Service != "order" || got.Message != "Placed" || got.Rest != `{"a":"x","b":2}` {
			t.Errorf("%+v", got)
		}
		for _, odd := range []string{"", "no JSON", "[1]", `"text"`, `{"torn`} {
			if got := logLine(odd); got != (logged{Rest: odd}) {
				t.Errorf("%q is %+v", odd, got)
			}
		}
		if got := logLine(`{"timestamp":7,"level":null}`); got.Time != "" || got.Level != "" {
			t.Errorf("members of other types: %+v", got)
		}
	})
	t.Run("a service is named by its function, an absent hash is empty", func(t *testing.T) {
		for resource, want := range map[string]string{"arn:aws:lambda:local:0:function:cloudflow-order-handler": "order", "": "", "odd": "odd"} {
			if got := service(resource); got != want {
				t.Errorf("%q is %q", resource, got)
			}
		}
		if short("") != "" || short("0123456789abcdef") != "0123456789ab" {
			t.Error(short(""), short("0123456789abcdef"))
		}
	})
	t.Run("what waits until a moment that is over waits no more", func(t *testing.T) {
		if seconds(nil) != 0 || seconds(&noon) != 0 || seconds(ptr(time.Now().Add(90*time.Second))) < 88 {
			t.Error(seconds(nil), seconds(&noon))
		}
	})
}

func TestRunsAreBounded(t *testing.T) {
	var rs runs
	for i := range maxRuns + 20 {
		if id := rs.add(run{Quantity: int64(i)}); id != i+1 {
			t.Fatalf("run %d has the id %d", i, id)
		}
	}
	if len(rs.all) != maxRuns {
		t.Errorf("%d runs are kept", len(rs.all))
	}
	for id, there := range map[string]bool{"1": false, "20": false, "21": true, "120": true, "121": false, "": false, "x": false, "-1": false, "0": false, "99999999999999999999": false} {
		if r, ok := rs.get(id); ok != there || ok && r.Quantity != int64(r.ID-1) {
			t.Errorf("run %q is %+v, %v", id, r, ok)
		}
	}
}
