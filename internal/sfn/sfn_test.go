package sfn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssfn "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/operator"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sfn"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// quick are limits that make a test of what hangs short.
var quick = awscall.Limits{Try: 300 * time.Millisecond, Attempts: 3, Pause: 20 * time.Millisecond}

const arn = "arn:aws:states:eu-west-1:000000000000:stateMachine:saga"

func keys(t *testing.T, letter string) *saga.Keys {
	t.Helper()
	k, err := saga.NewKeys("k"+letter, map[string][]byte{"k" + letter: []byte(strings.Repeat(letter, 32))})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func start(name string) order.Start {
	return order.Start{
		Execution: name, OrderID: "ord-1", Lines: []order.Line{{ProductID: "A", Quantity: 2}}, TotalCents: 1205, Currency: "USD",
		PaymentMethod: "pm_card_visa", CorrelationID: "corr-1",
	}
}

// machine is like the saga's where this package is concerned: it finds the state to go on at, has a payment, and fails in a task until somebody
// resumes it there.
const machine = `{"StartAt": "Enter", "States": {
	"Enter": {"Type": "Choice", "Choices": [{"Variable": "$.resume_at", "IsPresent": true, "Next": "Healed"}], "Default": "ChargePayment"},
	"ChargePayment": {"Type": "Pass", "Result": {"captured": true}, "ResultPath": "$.payment", "Next": "Wait"},
	"Wait": {"Type": "Wait", "SecondsPath": "$.total_cents", "Next": "ConfirmOrder"},
	"ConfirmOrder": {"Type": "Task", "Resource": "arn:aws:lambda:eu-west-1:000000000000:function:none", "End": true,
		"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2}]},
	"Healed": {"Type": "Pass", "Result": "done", "ResultPath": "$.outcome", "Next": "Done"},
	"Done": {"Type": "Succeed"}}}`

func makeMachine(t *testing.T, e *awstest.Emulator) *awssfn.Client {
	t.Helper()
	client := awssfn.NewFromConfig(e.Config())
	if _, err := client.CreateStateMachine(t.Context(), &awssfn.CreateStateMachineInput{
		Name: aws.String("saga"), Definition: aws.String(machine), RoleArn: aws.String("arn:aws:iam::000000000000:role/saga"),
	}); err != nil {
		t.Fatal(err)
	}
	return client
}

func open(t *testing.T, config aws.Config, c sfn.Config) *sfn.Machine {
	t.Helper()
	if c.ARN == "" {
		c.ARN = arn
	}
	c.Calls = quick
	if c.Keys == nil {
		c.Keys = keys(t, "1")
	}
	m, err := sfn.Open(config, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ended waits until the execution has ended.
func ended(t *testing.T, m *sfn.Machine, name string) order.Failure {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		f, err := m.Failure(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Status != "RUNNING" {
			return f
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not end", name)
	return order.Failure{}
}

func TestAnOrderIsResumedOnStepFunctions(t *testing.T) {
	emulator := awstest.Start(t, "SFN_WAIT_SCALE=0")
	makeMachine(t, emulator)
	m := open(t, emulator.Config(), sfn.Config{})
	mem := memstore.New(memstore.Options{})
	orders := order.New(order.Config{
		Store: mem, Catalog: catalog{}, Admission: admission{}, Saga: m, StartNow: m.Start, Outbox: outbox{}, Now: time.Now, Currency: "USD", Log: slog.New(slog.DiscardHandler),
		NewID: func(prefix string) string { return prefix + ulid.Make().String() },
	})
	sagas := operator.Sagas{Orders: orders, Engine: m}
	placed, err := orders.Place(t.Context(), order.PlaceRequest{
		CustomerID: "cust-1", Lines: []order.RequestLine{{ProductID: "A", Quantity: 2}}, Principal: "key-1", Fingerprint: [32]byte{1}, CorrelationID: "corr-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	id := placed.OrderID
	if _, err := m.Failure(t.Context(), id); !fault.Is(err, fault.NotFound) {
		t.Fatalf("before the feed has it: %v", err)
	}
	begin := func(redrives int64) {
		t.Helper()
		s, err := orders.StartOf(t.Context(), id, redrives)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the feed tells of a change at least once
			if err := m.Start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin(0)
	f := ended(t, m, id)
	var input map[string]any
	if err := json.Unmarshal(f.Input, &input); err != nil || f.Status != "FAILED" || f.State != "ConfirmOrder" || f.Error == "" ||
		fmt.Sprint(input["payment"]) != "map[captured:true]" || input["order_id"] != id {
		t.Fatalf("%+v, %v", f, err)
	}
	if status, at, err := m.Status(t.Context(), id); err != nil || status != asl.StatusFailed || time.Since(at) > time.Minute {
		t.Errorf("%s since %v, %v", status, at, err)
	}
	if _, _, err := m.Status(t.Context(), "ord-none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an execution that there is not: %v", err)
	}
	if err := mem.Update(t.Context(), func(tx *store.Tx) error { return orders.StageReview(tx, id, id, f.Status, f.Error, f.Cause) }); err != nil {
		t.Fatal(err)
	}

	failed, _, err := sagas.List(t.Context(), httpapi.SagasFailed, "", 10)
	if err != nil || len(failed) != 1 || failed[0].OrderID != id || failed[0].Execution.State != "ConfirmOrder" || failed[0].Execution.Status != asl.StatusFailed {
		t.Errorf("%+v, %v", failed, err)
	}
	if running, _, err := sagas.List(t.Context(), httpapi.SagasRunning, "", 10); err != nil || len(running) != 0 {
		t.Errorf("%+v, %v", running, err)
	}
	shown, all, err := sagas.Show(t.Context(), id, "")
	if err != nil || len(all) != 1 || shown.Name != id || shown.State != "ConfirmOrder" || shown.Error != f.Error || shown.Ended.IsZero() || shown.Updated.Before(shown.Started) {
		t.Errorf("%+v, %v", shown, err)
	}
	var seen []string
	for _, h := range shown.History {
		seen = append(seen, fmt.Sprintf("%s %s %d", h.Type, h.State, h.Attempt))
	}
	want := []string{
		"ExecutionStarted  0", "ChoiceStateEntered Enter 0", "ChoiceStateExited Enter 0", "PassStateEntered ChargePayment 0", "PassStateExited ChargePayment 0",
		"WaitStateEntered Wait 0", "WaitStateExited Wait 0", "TaskStateEntered ConfirmOrder 0", "TaskScheduled ConfirmOrder 0", "TaskFailed ConfirmOrder 0",
		"TaskScheduled ConfirmOrder 1", "TaskFailed ConfirmOrder 1", "TaskScheduled ConfirmOrder 2", "TaskFailed ConfirmOrder 2", "ExecutionFailed  0",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the history is\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}

	name, err := sagas.Redrive(t.Context(), id, "healed", "op", "corr-2")
	if err != nil || name != id+"-r1" {
		t.Fatal(name, err)
	}
	if _, err := sagas.Redrive(t.Context(), id, "healed", "op2", "corr-3"); !fault.Is(err, fault.NotFailed) {
		t.Errorf("a second operator: %v", err)
	}
	begin(1)
	if f := ended(t, m, name); f.Status != "SUCCEEDED" {
		t.Fatalf("%+v", f)
	}
	resumed, err := m.Describe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	in, out := resumed.Input.(map[string]any), resumed.Output.(map[string]any)
	if in["resume_at"] != "ConfirmOrder" || fmt.Sprint(in["payment"]) != "map[captured:true]" || out["outcome"] != "done" {
		t.Errorf("from %v to %v", in, out)
	}
	decoded, err := saga.DecodeTask(map[string]any{"task": "order.confirm", "input": resumed.Input}, "")
	if err != nil || keys(t, "1").Verify(decoded.Input) != nil {
		t.Errorf("the resumed input: %v, %v", err, keys(t, "1").Verify(decoded.Input))
	}

	names, next, err := m.Names(t.Context(), asl.StatusFailed, "", 10)
	if err != nil || len(names) != 1 || names[0] != id || next != "" {
		t.Errorf("failed are %v, %q, %v", names, next, err)
	}
}

// What the sweeper does when the feed did not.
func TestASweepStartsWhatTheFeedDidNot(t *testing.T) {
	emulator := awstest.Start(t, "SFN_WAIT_SCALE=0")
	makeMachine(t, emulator)
	m := open(t, emulator.Config(), sfn.Config{})
	now := time.Now()
	orders := order.New(order.Config{
		Store: memstore.New(memstore.Options{}), Catalog: catalog{}, Admission: admission{}, Saga: m, StartNow: m.Start, Outbox: outbox{},
		Now: func() time.Time { return now }, Currency: "USD", NewID: func(prefix string) string { return prefix + ulid.Make().String() },
	})
	placed, err := orders.Place(t.Context(), order.PlaceRequest{
		CustomerID: "cust-1", Lines: []order.RequestLine{{ProductID: "A", Quantity: 1}}, Principal: "key-1", Fingerprint: [32]byte{1}, CorrelationID: "corr-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if r, err := orders.Sweep(t.Context()); err != nil || r.Started != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	ended(t, m, placed.OrderID)
	if r, err := orders.Sweep(t.Context()); err != nil || r.Reviewed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStart(t *testing.T) {
	emulator := awstest.Start(t, "SFN_WAIT_SCALE=0")
	client := makeMachine(t, emulator)
	setup := func(t *testing.T) (*sfn.Machine, *awstest.Proxy) {
		p := awstest.NewProxy(t, emulator.URL)
		return open(t, p.Config(), sfn.Config{}), p
	}
	t.Run("a name that is taken by the same input is a success, running, over, or signed with another key", func(t *testing.T) {
		m, p := setup(t)
		for range 2 {
			if err := m.Start(t.Context(), start("same")); err != nil {
				t.Fatal(err)
			}
		}
		ended(t, m, "same")
		if err := m.Start(t.Context(), start("same")); err != nil {
			t.Error(err)
		}
		if err := open(t, p.Config(), sfn.Config{Keys: keys(t, "2")}).Start(t.Context(), start("same")); err != nil {
			t.Error(err)
		}
	})
	t.Run("or asked for from another place in a trace", func(t *testing.T) {
		m, _ := setup(t)
		for _, trace := range []string{"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01"} {
			s := start("traced")
			s.Trace = trace
			if err := m.Start(t.Context(), s); err != nil {
				t.Errorf("%q: %v", trace, err)
			}
		}
	})
	t.Run("by another it is an error that names both", func(t *testing.T) {
		m, _ := setup(t)
		if err := m.Start(t.Context(), start("other")); err != nil {
			t.Fatal(err)
		}
		s := start("other")
		s.TotalCents++
		if err := m.Start(t.Context(), s); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "other") || !strings.Contains(err.Error(), arn) {
			t.Error(err)
		}
		if _, err := client.StartExecution(t.Context(), &awssfn.StartExecutionInput{StateMachineArn: aws.String(arn), Name: aws.String("text"), Input: aws.String(`"a"`)}); err != nil {
			t.Fatal(err)
		}
		if err := m.Start(t.Context(), start("text")); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
	t.Run("a reply that was lost does not start it twice, and what is throttled, fails or hangs is tried again", func(t *testing.T) {
		m, p := setup(t)
		for i, trouble := range []awstest.Trouble{{LoseReply: true}, {Status: 400, Code: "ThrottlingException"}, {Status: 503, Code: "ServiceUnavailable"}, {Hang: true}} {
			p.Trouble("StartExecution", trouble)
			if err := m.Start(t.Context(), start(fmt.Sprintf("again-%d", i))); err != nil {
				t.Errorf("%+v: %v", trouble, err)
			}
		}
		if n := p.Asked("StartExecution"); n != 8 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("and not for ever", func(t *testing.T) {
		m, p := setup(t)
		for _, c := range []struct {
			trouble awstest.Trouble
			tries   int
			kind    fault.Kind
		}{
			{awstest.Trouble{Status: 400, Code: "ThrottlingException"}, 3, fault.Throttled},
			{awstest.Trouble{Status: 400, Code: "ExecutionLimitExceeded"}, 1, fault.Throttled},
			{awstest.Trouble{Hang: true}, 3, fault.Transient},
			{awstest.Trouble{Status: 400, Code: "StateMachineDoesNotExist"}, 1, fault.Internal},
		} {
			before := p.Asked("StartExecution")
			p.Trouble("StartExecution", slices.Repeat([]awstest.Trouble{c.trouble}, c.tries)...)
			if err := m.Start(t.Context(), start("never")); !fault.Is(err, c.kind) || p.Asked("StartExecution")-before != c.tries {
				t.Errorf("%+v: %v after %d tries", c.trouble, err, p.Asked("StartExecution")-before)
			}
		}
		// It exists, and yet it cannot be described: another try may find it.
		p.Trouble("StartExecution", awstest.Trouble{Status: 400, Code: "ExecutionAlreadyExists"})
		if err := m.Start(t.Context(), start("never")); !fault.Is(err, fault.Transient) {
			t.Error(err)
		}
	})
	t.Run("while it runs Step Functions itself answers the same input as the first time", func(t *testing.T) {
		p := awstest.NewProxy(t, "")
		p.Answer(func(string, []byte) (int, string) {
			return 200, `{"executionArn":"arn:aws:states:eu-west-1:000000000000:execution:saga:ord-1","startDate":1.777e9}`
		})
		m := open(t, p.Config(), sfn.Config{ARN: arn + ":live", Trace: func(s order.Start) string { return "Root=1-" + s.CorrelationID }})
		for range 2 {
			if err := m.Start(t.Context(), start("ord-1")); err != nil {
				t.Error(err)
			}
		}
		var in struct{ StateMachineArn, Name, Input, TraceHeader string }
		if err := json.Unmarshal(p.Bodies("StartExecution")[1], &in); err != nil || in.StateMachineArn != arn+":live" || in.Name != "ord-1" || in.TraceHeader != "Root=1-corr-1" {
			t.Errorf("%+v, %v", in, err)
		}
		if p.Asked("DescribeExecution") != 0 || string(p.Bodies("StartExecution")[0]) != string(p.Bodies("StartExecution")[1]) {
			t.Error("the two are not the same call")
		}
	})
	t.Run("what is no machine is refused at once", func(t *testing.T) {
		for _, bad := range []string{"", "saga", "arn:aws:states:eu-west-1:0:execution:saga", "arn:aws:lambda:eu-west-1:0:stateMachine:saga", arn + ":a:b"} {
			if _, err := sfn.Open(aws.Config{}, sfn.Config{ARN: bad}); err == nil {
				t.Errorf("%q was taken", bad)
			}
		}
	})
}

type catalog struct{}

func (catalog) Quote(_ context.Context, ids []string) (map[string]order.Quote, error) {
	quotes := map[string]order.Quote{}
	for _, id := range ids {
		quotes[id] = order.Quote{UnitPriceCents: 100, Available: 10}
	}
	return quotes, nil
}

type admission struct{}

func (admission) Admit(context.Context) error { return nil }

type outbox struct{}

func (outbox) Send(*store.Tx, order.Message) error { return nil }
