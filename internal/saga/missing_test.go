package saga

import (
	"slices"
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	r := LocalResources()
	own := string(Definition(r))
	if missing, err := Missing([]byte(own), r); err != nil || missing != nil {
		t.Fatalf("the saga that is built in: %v, %v", missing, err)
	}
	for _, c := range []struct {
		rule, from, to string
		want           []string
	}{
		{"a task that nobody does is missing", `"task": "payment.charge"`, `"task": "payment.gift"`, []string{"task payment.gift (state ChargePayment)"}},
		{"a resource that nobody is is missing", r.Payment, "arn:aws:lambda:local:000000000000:function:other", []string{
			"resource arn:aws:lambda:local:000000000000:function:other (state ChargePayment)",
			"resource arn:aws:lambda:local:000000000000:function:other (state RefundPayment)",
			"resource arn:aws:lambda:local:000000000000:function:other (state ResolvePayment)",
		}},
		{"a task has a name", `"task": "order.confirm"`, `"other": 1`, []string{"the name of a task in its Parameters (state ConfirmOrder)"}},
		{"a name that is known when it runs passes", `"task": "order.confirm"`, `"task.$": "$.x"`, nil},
		{"a task that waits for an answer from outside passes", r.Payment, "arn:aws:states:::sqs:sendMessage.waitForTaskToken", nil},
		{"branches and iterations are looked at", `"States": {`, `"States": {"Both": {"Type": "Parallel", "End": true, "Branches": [{"StartAt": "A", "States": {
		   "A": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "B", "States": {"B": {"Type": "Task", "Resource": "` + r.Order + `", "End": true}}}}}}]},`,
			[]string{"Parameters that name a task (state B)"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			missing, err := Missing([]byte(strings.ReplaceAll(own, c.from, c.to)), r)
			if err != nil || !slices.Equal(missing, c.want) {
				t.Errorf("%q, %v, want %q", missing, err, c.want)
			}
		})
	}
}
