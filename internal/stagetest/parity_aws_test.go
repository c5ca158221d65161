package stagetest

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
)

// A step is what a state's task does, as each side sees it: the task's name among the machine's Parameters, and the request to DynamoDB that it commits with.
type step struct {
	task, event string
	operation   string
	first, last []string // what the request of the first and of the last commit has in it, beside the order's correlation id; one is both
}

const (
	transaction = "TransactWriteItems"
	onePut      = "PutItem"
)

// steps are those of the saga, by state. An event's own item is sealed in bytes; the order's head beside it says what it brings.
var steps = map[string]step{
	"ReserveStock":         {"inventory.reserve", "", transaction, nil, []string{toState("ACTIVE")}},
	"RecordReservation":    {"order.record", "STOCK_RESERVED", transaction, nil, []string{`"reserved":{"BOOL":true}`}},
	"ChargePayment":        {"payment.charge", "", onePut, []string{toState("CAPTURING")}, []string{toState("CAPTURED"), `"CAPTURING"`}},
	"ResolvePayment":       {"payment.resolve", "", onePut, []string{toState("CANCELLING")}, []string{toState("CANCELLED")}},
	"RecordPaymentFailure": {"order.record", "PAYMENT_FAILED", transaction, nil, []string{`"payment_failed":`}},
	"ConfirmOrder":         {"order.confirm", "", transaction, nil, []string{`"status":{"S":"CONFIRMED"}`}},
	"CommitReservation":    {"inventory.commit", "", transaction, nil, []string{toState("COMMITTED")}},
	"RefundPayment":        {"payment.refund", "", onePut, []string{toState("REFUNDING")}, []string{toState("REFUNDED")}},
	"ReleaseStock":         {"inventory.release", "", transaction, nil, []string{toState("RELEASED")}},
	"CompensateOrder":      {"order.compensate", "", transaction, nil, []string{`"released":{"BOOL":true}`}},
	"FailOrder":            {"order.fail", "", transaction, nil, []string{`"status":{"S":"FAILED"}`}},
	"NotifyCustomer":       {"order.notify", "", transaction, nil, []string{`"Delete"`, `"open#`}},
}

// toState is a row that is put in the state.
func toState(state string) string { return `"state":{"S":"` + state + `"}` }

func (s step) begins() []string {
	if s.first == nil {
		return s.last
	}
	return s.first
}

// sends is how often the store sends the commit before it gives up: a transaction can be sent again, a single put cannot.
func (s step) sends() int {
	if s.operation == transaction {
		return dynamostore.MaxFailures
	}
	return 1
}

// queueSends is how often a message is sent before the queue's client gives up (awscall.Limits).
const queueSends = 4

// rulesOf is the trouble as calls to AWS meet it.
func (s *stage) rulesOf(tr trouble, correlationID string) []rule {
	on := steps[tr.state]
	r := rule{operation: on.operation, about: on.last, times: on.sends()}
	switch tr.kind {
	case none:
		return nil
	case storeAway:
		r.about, r.trouble = on.begins(), awstest.Trouble{Status: http.StatusInternalServerError, Code: "InternalServerError"}
	case outcomeUnstored:
		r.trouble = awstest.Trouble{Status: http.StatusInternalServerError, Code: "InternalServerError"}
	case replyLost:
		r.trouble = awstest.Trouble{LoseReply: true}
		if on.operation == onePut {
			r.then = s.unseen
		}
	case replyRecovered:
		r.times, r.trouble = 1, awstest.Trouble{LoseReply: true}
	case messageUnsent:
		r = rule{operation: "SendMessage", times: queueSends, trouble: awstest.Trouble{Status: http.StatusInternalServerError, Code: "InternalError"}}
	case commitRefused:
		r.about, r.times, r.trouble = on.begins(), 1, awstest.Trouble{Status: http.StatusBadRequest, Code: "ValidationException"}
	case killedBefore:
		r.about, r.times, r.trouble = on.begins(), 1, awstest.Trouble{Hang: true, Struck: killFunction}
	case killedAfter:
		r.times, r.trouble = 1, awstest.Trouble{LoseReply: true, Struck: killFunction}
	}
	if tr.every {
		r.times = -1
	}
	if tr.state == "NotifyCustomer" && r.operation == transaction {
		return []rule{ofTheOrder(r, correlationID)}
	}
	r.about = append([]string{correlationID}, r.about...)
	return []rule{r}
}

var orderIDs = regexp.MustCompile(`ord-[0-9A-Z]{26}`)

// ofTheOrder makes the rule when the order is stored, for what names the order and not its correlation id.
func ofTheOrder(r rule, correlationID string) rule {
	return rule{operation: transaction, about: []string{correlationID, `"version":{"N":"1"}`}, times: 1, then: func(body string) []rule {
		r.about = append([]string{orderIDs.FindString(body)}, r.about...)
		return []rule{r}
	}}
}

// unseen lets the store not see either that the put was applied whose reply was lost.
func (s *stage) unseen(body string) []rule {
	return []rule{{
		operation: "GetItem", about: []string{orderIDs.FindString(body), s.table(payment.Table)}, times: dynamostore.MaxFailures,
		trouble: awstest.Trouble{Status: http.StatusInternalServerError, Code: "InternalServerError"},
	}}
}

// runOnStepFunctions brings an order through the scenario on the stage.
func (s *stage) runOnStepFunctions(t *testing.T, p *parity) passage {
	t.Helper()
	var products []string
	for range p.products() {
		products = append(products, s.product(t, inStock))
	}
	correlationID := unique("corr")
	for _, r := range s.rulesOf(p.trouble, correlationID) {
		s.make(t, r)
	}
	held := s.hold(t, p.meanwhile.state, correlationID)
	o := s.accepted(t, p.request(products), "X-Correlation-Id", correlationID)
	if held != nil {
		eventually(t, o.OrderID+" is in "+p.meanwhile.state, held.met)
		s.happens(t, p.meanwhile.what, o, products[0])
		held.lift()
	}
	if s.executed(t, o.OrderID) != asl.StatusSucceeded {
		eventually(t, o.OrderID+" is in review", func() bool { return s.books().head(t, o.OrderID).NeedsReview })
		var redriven apigen.RedriveAccepted
		s.call(t, "POST", "/admin/sagas/"+o.OrderID+"/redrive", apigen.RedriveRequest{Reason: "it works now"}).is(http.StatusAccepted).as(&redriven)
		s.executed(t, redriven.Execution)
	}
	return s.books().passage(t, o.OrderID, products, p.meanwhile.state)
}

func (s *stage) books() library { return library{s.Store, s.Provider, s.Machine.Describe} }

// hold holds the first commit of a state's task until it is lifted; nil without a state.
func (s *stage) hold(t *testing.T, state, correlationID string) *made {
	t.Helper()
	if state == "" {
		return nil
	}
	about := append([]string{correlationID}, steps[state].begins()...)
	return s.make(t, rule{operation: steps[state].operation, about: about, times: -1, trouble: awstest.Trouble{Hang: true}})
}

// happens does what happens meanwhile.
func (s *stage) happens(t *testing.T, what act, o apigen.Order, product string) {
	t.Helper()
	switch what {
	case nothing:
	case customerCancels:
		s.cancel(t, o.OrderID)
	case otherBuysAll:
		r := basket(provider.Visa, product)
		r.Items[0].Quantity = inStock
		s.placed(t, r)
	case circuitOpens:
		s.call(t, "POST", "/admin/breakers/"+app.ChargeBreaker+"/trip", nil).is(http.StatusOK)
		tripped := time.Now()
		eventually(t, "no function knows the circuit as it was", func() bool { return time.Since(tripped) > breakerCache })
	case captureComesLate:
		eventually(t, "the provider has captured", func() bool {
			var paid apigen.Payment
			s.call(t, "GET", "/admin/payments/"+o.OrderID, nil).is(http.StatusOK).as(&paid)
			return paid.Provider.CapturedCents > 0
		})
	}
}

// breakerCache is longer than a function goes by what it has read of a circuit (package app).
const breakerCache = 1100 * time.Millisecond

// executed waits for the end of an execution.
func (s *stage) executed(t *testing.T, execution string) asl.Status {
	t.Helper()
	status := asl.StatusRunning
	eventually(t, "the execution "+execution+" has ended", func() bool {
		x, err := s.Machine.Summary(t.Context(), execution)
		if err == nil {
			status = x.Status
		}
		return status != asl.StatusRunning
	})
	return status
}
