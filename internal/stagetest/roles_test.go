package stagetest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/utkarsh698/cloudflow/internal/awslambda"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// stopped stops an execution from outside, as a person can in the console. EventBridge tells of it, and the order waits for a person.
func stopped(t *testing.T, g *guarded) {
	p := g.product(t, 1)
	o := g.accepted(t, basket(provider.Slow, p))
	eventually(t, "its stock is reserved", func() bool { return slices.Contains(g.log(t, o.OrderID), order.StockReserved) })
	machine := g.outputs["SagaStateMachineArn"]
	_, err := sfn.NewFromConfig(g.aws).StopExecution(t.Context(), &sfn.StopExecutionInput{
		ExecutionArn: aws.String(strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":" + o.OrderID),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the order waits for a person", func() bool {
		return g.call(t, "GET", "/orders/"+o.OrderID, nil).is(http.StatusOK).order().Status == "REVIEW"
	})
	g.call(t, "POST", "/admin/sagas/"+o.OrderID+"/redrive", map[string]any{"reason": "It was stopped by mistake."}).is(http.StatusAccepted)
	g.ended(t, g.outcome(t, o.OrderID), end{status: order.Confirmed})
	g.stock(t, p, 0, 0, 1)
	g.ledger(t, o.OrderID, 999, 0)
}

// clockwork is what the clock's functions are for: an order whose start the stream has not told of, since it is not read; and a hold that is old and
// of no order. Once the stream is read again it tells of a start that there has been.
func clockwork(t *testing.T, g *guarded) {
	abandoned := g.product(t, 4)
	hold, err := inventory.New(inventory.Config{Store: g.Store, Now: func() time.Time { return time.Now().Add(-time.Hour) }}).
		Reserve(t.Context(), inventory.Request{OrderID: "ord-" + rand.Text(), Lines: []inventory.Line{{ProductID: abandoned, Quantity: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Commit(t.Context(), g.Store, hold); err != nil {
		t.Fatal(err)
	}
	g.stock(t, abandoned, 1, 3, 0)

	p := g.product(t, 1)
	read := g.leaveStreamUnread(t)
	o := g.placed(t, basket(provider.Visa, p))
	want := end{status: order.Confirmed, log: confirmedLog, states: confirmedStates}
	g.ended(t, o, want)
	read()
	again := g.placed(t, basket(provider.Visa, g.product(t, 1))) // it stands behind the other in the stream
	g.ended(t, again, want)
	g.ended(t, o, want)

	eventually(t, "the expirer has given back what nobody ordered", func() bool {
		st, err := inventory.DecodeStock(g.item(t, inventory.Table, abandoned, "stock"))
		return err == nil && st.Held == 0
	})
	g.stock(t, abandoned, 4, 0, 0)
	eventually(t, "the dead letters were counted", func() bool { return len(g.lines(t, awslambda.DeadLetterCounter, "REPORT RequestId")) > 0 })
	for _, function := range []string{awslambda.Sweeper, awslambda.Expirer, awslambda.DeadLetterCounter, awslambda.Stream} {
		for _, line := range g.lines(t, function, "An invocation failed") {
			t.Errorf("%s: %s", function, line)
		}
	}
}

// leaveStreamUnread has Lambda read the orders' stream no more, until read is called.
func (s *stage) leaveStreamUnread(t *testing.T) (read func()) {
	t.Helper()
	const mappings = "/2015-03-31/event-source-mappings/"
	var list struct {
		EventSourceMappings []struct{ UUID string }
	}
	s.account(t, "lambda", http.MethodGet, mappings+"?FunctionName="+s.table(awslambda.Stream), "", &list)
	if len(list.EventSourceMappings) != 1 {
		t.Fatalf("the stream has the mappings %v", list)
	}
	set := func(enabled string) {
		s.account(t, "lambda", http.MethodPut, mappings+list.EventSourceMappings[0].UUID, `{"Enabled":`+enabled+`}`, nil)
	}
	set("false")
	return func() { set("true") }
}

// nothingDenied requires that every function was called, and that IAM has refused none of them anything, also where it went on without.
func (g *guarded) nothingDenied(t *testing.T) {
	t.Helper()
	for _, function := range awslambda.Handlers {
		if len(g.lines(t, function, "REPORT RequestId")) == 0 {
			t.Errorf("%s was never called: nothing is shown of its role", function)
		}
	}
	for _, call := range g.denied() {
		t.Error(call)
	}
}

// lines are those of a function's log that have the text in them.
func (s *stage) lines(t *testing.T, function, text string) (found []string) {
	t.Helper()
	group := "/aws/lambda/" + s.table(function)
	body, err := json.Marshal(map[string]any{"logGroupName": group})
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Events []struct {
			Message string `json:"message"`
		} `json:"events"`
	}
	s.account(t, "logs", http.MethodPost, "/", string(body), &out, "X-Amz-Target", "Logs_20140328.FilterLogEvents", "Content-Type", "application/x-amz-json-1.1")
	for _, e := range out.Events {
		if strings.Contains(e.Message, text) {
			found = append(found, e.Message)
		}
	}
	return found
}

// account asks a service of AWS that there is no client for here, as the owner of the account.
func (s *stage) account(t *testing.T, service, method, path, body string, into any, header ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.emulator.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	sign(t, r, service, body)
	resp, err := s.emulator.HTTP().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s %s: %d %s (%v)", service, method, path, resp.StatusCode, text, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s %s: %v: %s", service, path, err, text)
	}
}
