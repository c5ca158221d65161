package main

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// An order that was open when the machine was changed ends on the states of the one that it began with; a new one runs the new one.
func TestServeWithAChangedSaga(t *testing.T) {
	t.Parallel()
	first := serve(t, t.TempDir(), "--demo", "--breaker-failures", "1000000")
	first.cli("fault", "set", "--down").exits(0)
	open := one[apigen.Order](first.cli("order", "place", "--customer", "cust-1", "--item", "MOUSE-01=1", "--json").exits(0))
	show := func(s *service, id string) apigen.Saga {
		return one[apigen.Saga](s.cli("saga", "show", id, "--json").exits(0))
	}
	eventually(t, "the charge is tried", func() bool {
		v := show(first, open.OrderID)
		return v.State != nil && *v.State == "ChargePayment"
	})
	first.end()

	changed := sagaFile(t, "NotifyCustomer", "TellCustomer")
	second := serve(t, first.data, "--saga", changed)
	fresh := second.place("--item", "MOUSE-01=1")
	if fresh.Status != "CONFIRMED" {
		t.Errorf("the new order is %s", fresh.Status)
	}
	eventually(t, "the open order ends", func() bool { return show(second, open.OrderID).Status == "SUCCEEDED" })
	old, new := show(second, open.OrderID), show(second, fresh.OrderID)
	visits := func(s apigen.Saga, state string) bool {
		for _, e := range s.History {
			if e.State != nil && *e.State == state {
				return true
			}
		}
		return false
	}
	if !visits(old, "NotifyCustomer") || visits(old, "TellCustomer") {
		t.Error("the open order left the machine that it began with")
	}
	if !visits(new, "TellCustomer") || visits(new, "NotifyCustomer") {
		t.Error("the new order does not run the new machine")
	}
	if old.Definition == nil || new.Definition == nil || *old.Definition == *new.Definition {
		t.Fatalf("the definitions are %v and %v", old.Definition, new.Definition)
	}
	second.cli("saga", "show", open.OrderID).exits(0).prints("definition", *old.Definition)
	second.end()
	r := invoke(t, nil, "saga", "check", changed, "--data", first.data).exits(1)
	r.prints(open.OrderID+" diverges at NotifyCustomer", "2 replayed (0 open), 1 diverge\n")
}

func TestServeRefusesASagaThatItCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refused := func(file string) result {
		return invoke(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", dir, "--saga", file).exits(1)
	}
	refused(sagaFile(t, `"task": "order.confirm"`, `"task": "order.applaud"`)).hints("this cloudflow has not: task order.applaud (state ConfirmOrder)")
	refused(sagaFile(t, "${PaymentHandlerArn}", "arn:aws:lambda:eu-central-1:000000000000:function:pay")).hints("function:pay (state ChargePayment)")
	refused(sagaFile(t, `"StartAt": "Enter"`, `"StartAt": "Nowhere"`)).hints("the definition is invalid", "/StartAt")
	refused("none.asl.json").hints("--saga", "no such file")
}

// A state may speak JSONata, in what is run, checked and drawn, and says the same in it.
func TestServeWithASagaThatSpeaksJSONata(t *testing.T) {
	t.Parallel()
	file := sagaFile(t, `"Parameters": {
        "task": "order.notify",
        "input.$": "$"
      },`, `"QueryLanguage": "JSONata", "Arguments": {"task": "order.notify", "input": "{% $states.input %}"}, "Output": "{% $states.input %}",`,
		`"ResultPath": null,
      "Next": "Done"`, `"Next": "Done"`)
	s := serve(t, t.TempDir(), "--demo", "--saga", file)
	placed := s.place("--item", "MOUSE-01=1")
	eventually(t, "the saga ends", func() bool {
		return one[apigen.Saga](s.cli("saga", "show", placed.OrderID, "--json").exits(0)).Status == "SUCCEEDED"
	})
	s.end()
	invoke(t, nil, "saga", "check", sagaFile(t), "--data", s.data).exits(0).prints("1 replayed (0 open), 0 diverge\n")
	invoke(t, nil, "saga", "history", placed.OrderID, "--data", s.data).exits(0).prints("ExecutionSucceeded")
}
