package stagetest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A notification that nobody takes ends among the dead letters, and is delivered once an operator sends it again.
func poisoned(t *testing.T, s *stage) {
	s.impatient(t)
	refusing := s.make(t, rule{operation: "Publish", about: []string{"ord-"}, times: -1, trouble: awstest.Trouble{Status: http.StatusForbidden, Code: "AuthorizationError"}})
	r := basket(provider.Visa, s.product(t, 1))
	email := "ada@example.com"
	r.Contact = &apigen.Contact{Email: &email}
	o := s.placed(t, r)
	s.ended(t, o, end{status: order.Confirmed})
	letter := o.OrderID + ".v4"
	eventually(t, "its notification is a dead letter", func() bool { return slices.Contains(s.letters(t), letter) })
	if records, err := s.Store.Range(t.Context(), store.Query{Table: notification.Table, PK: o.OrderID}); err != nil || len(records) != 1 || notification.DecodeRecord(records[0]).Delivered() {
		t.Errorf("the record of what was not delivered: %v, %v", records, err)
	}
	s.call(t, "POST", "/admin/dlq/redrive", map[string]any{"ids": []string{"ord-none.v1"}}).is(http.StatusOK)
	if !slices.Contains(s.letters(t), letter) {
		t.Error("it has gone, and another one was sent again")
	}
	refusing.lift()
	var redriven struct {
		Redriven int `json:"redriven"`
	}
	s.call(t, "POST", "/admin/dlq/redrive", map[string]any{"ids": []string{letter}}).is(http.StatusOK).as(&redriven)
	if redriven.Redriven != 1 {
		t.Errorf("%d letters were sent again", redriven.Redriven)
	}
	s.told(t, o)
	if letters := s.letters(t); slices.Contains(letters, letter) {
		t.Errorf("it is delivered and still among %v", letters)
	}
}

// impatient has a message that failed come again at once: by itself it would wait for five minutes.
func (s *stage) impatient(t *testing.T) {
	t.Helper()
	client := sqs.NewFromConfig(s.aws)
	out, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(s.table("notifications"))})
	if err != nil {
		t.Fatal(err)
	}
	set := func(seconds string) {
		_, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: out.QueueUrl, Attributes: map[string]string{"VisibilityTimeout": seconds}})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("2")
	s.make(t, rule{operation: "ChangeMessageVisibilityBatch", about: []string{s.table("notifications") + `"`}, times: -1, trouble: awstest.Trouble{Status: http.StatusForbidden, Code: "AccessDenied"}})
}

// letters are the ids of the dead letters.
func (s *stage) letters(t *testing.T) (ids []string) {
	t.Helper()
	var list struct {
		Letters []struct {
			ID string `json:"id"`
		} `json:"letters"`
	}
	s.call(t, "GET", "/admin/dlq", nil).is(http.StatusOK).as(&list)
	for _, l := range list.Letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// loseStart places an order whose execution Step Functions says that it has started, and has not. The sweeper finds the order within two minutes: it has to be
// a minute old, and the clock strikes each minute. So the scenario begins before all others, and found is its end.
func (s *stage) loseStart(t *testing.T) (found func(t *testing.T, s *stage)) {
	t.Helper()
	p := s.product(t, 1)
	lie := s.make(t, rule{
		operation: "StartExecution", about: []string{p}, times: 1,
		trouble: awstest.Trouble{Status: http.StatusOK, Body: `{"executionArn":"arn:aws:states:eu-west-1:000000000000:execution:none:none","startDate":1}`},
	})
	o := s.accepted(t, basket(provider.Visa, p))
	eventually(t, "the start is lost", lie.met)
	if _, err := s.Machine.Failure(t.Context(), o.OrderID); !fault.Is(err, fault.NotFound) {
		t.Fatalf("there is an execution: %v", err)
	}
	return func(t *testing.T, s *stage) {
		s.ended(t, s.outcome(t, o.OrderID), end{status: order.Confirmed, log: confirmedLog, states: confirmedStates})
		s.stock(t, p, 0, 0, 1)
	}
}

// An execution that fails waits for a person, and goes on where it stood once one says so.
func review(t *testing.T, s *stage) {
	p := s.product(t, 1)
	o := s.accepted(t, basket(provider.Slow, p)) // three seconds before it would be confirmed
	denied := s.make(t, rule{
		operation: "TransactWriteItems", about: []string{o.OrderID, order.OrderConfirmed}, times: -1,
		trouble: awstest.Trouble{Status: http.StatusBadRequest, Code: "AccessDeniedException"},
	})
	var got apigen.Order
	eventually(t, "the order waits for a person", func() bool {
		got = s.call(t, "GET", "/orders/"+o.OrderID, nil).is(http.StatusOK).order()
		return got.Status == "REVIEW"
	})
	if got.NeedsReview == nil || !*got.NeedsReview {
		t.Errorf("needs_review is %v", got.NeedsReview)
	}
	if f, err := s.Machine.Failure(t.Context(), o.OrderID); err != nil || f.State != "ConfirmOrder" || f.Status != "FAILED" {
		t.Errorf("it failed at %q, %s (%v)", f.State, f.Status, err)
	}
	s.call(t, "POST", "/orders/"+o.OrderID+"/cancel", nil).is(http.StatusConflict).problem("IN_REVIEW")
	denied.lift()
	redrive := func() answer {
		return s.call(t, "POST", "/admin/sagas/"+o.OrderID+"/redrive", map[string]any{"reason": "The table answers again."})
	}
	var accepted struct {
		Execution string `json:"execution"`
	}
	redrive().is(http.StatusAccepted).as(&accepted)
	if accepted.Execution != o.OrderID+"-r1" {
		t.Errorf("the new execution is %q", accepted.Execution)
	}
	redrive().is(http.StatusConflict).problem("NOT_FAILED")
	s.ended(t, s.outcome(t, o.OrderID), end{
		status: order.Confirmed,
		log:    []string{order.OrderCreated, order.StockReserved, order.OrderReview, order.SagaRedriven, order.PaymentCharged, order.OrderConfirmed},
		states: []string{
			"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "Enter", "ConfirmOrder", "CommitReservation", "NotifyCustomer", "Done",
		},
	})
	s.stock(t, p, 0, 0, 1)
	s.ledger(t, o.OrderID, 999, 0)
}
