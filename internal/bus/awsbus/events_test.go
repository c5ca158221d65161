package awsbus_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

func event(i int) awsbus.Event {
	return awsbus.Event{Type: "ORDER_CREATED", Detail: fmt.Appendf(nil, `{"order_id":"ord-%d","version":1}`, i), Time: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
}

func events(n int) (list []awsbus.Event) {
	for i := range n {
		list = append(list, event(i))
	}
	return list
}

func TestEventsReachARulesTarget(t *testing.T) {
	e := awstest.Start(t)
	client, queues := eventbridge.NewFromConfig(e.Config()), sqs.NewFromConfig(e.Config())
	target := makeQueues(t, e).URL
	arn := fmt.Sprintf("arn:aws:sqs:%s:%s:%s", awstest.Region, awstest.Account, target[strings.LastIndex(target, "/")+1:])
	if _, err := client.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String("orders")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutRule(t.Context(), &eventbridge.PutRuleInput{
		Name: aws.String("confirmed"), EventBusName: aws.String("orders"), EventPattern: aws.String(`{"source":["cloudflow.orders"],"detail-type":["ORDER_CONFIRMED"]}`),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutTargets(t.Context(), &eventbridge.PutTargetsInput{
		Rule: aws.String("confirmed"), EventBusName: aws.String("orders"), Targets: []ebtypes.Target{{Id: aws.String("q"), Arn: &arn}},
	}); err != nil {
		t.Fatal(err)
	}
	list := events(25)
	list[13].Type, list[13].Trace = "ORDER_CONFIRMED", "Root=1-5759e988-bd862e3fe1be46a994272793"
	if n, err := awsbus.OpenEvents(e.Config(), awsbus.EventsConfig{Bus: "orders"}).Publish(t.Context(), list...); n != 25 || err != nil {
		t.Fatal(n, err)
	}
	out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &target, MaxNumberOfMessages: 10, WaitTimeSeconds: 10})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	var got struct {
		Source     string
		DetailType string `json:"detail-type"`
		Detail     struct {
			OrderID string `json:"order_id"`
		}
	}
	if err := json.Unmarshal([]byte(*out.Messages[0].Body), &got); err != nil || got.Source != awsbus.Source || got.DetailType != "ORDER_CONFIRMED" || got.Detail.OrderID != "ord-13" {
		t.Errorf("%s, %v", *out.Messages[0].Body, err)
	}
}

func TestEvents(t *testing.T) {
	open := func(t *testing.T) (*awsbus.Events, *awstest.Proxy) {
		p := awstest.NewProxy(t, "")
		p.Answer(func(_ string, body []byte) (int, string) {
			var in struct{ Entries []any }
			_ = json.Unmarshal(body, &in)
			return 200, answers(make([]string, len(in.Entries))...)
		})
		return awsbus.OpenEvents(p.Config(), awsbus.EventsConfig{Bus: "orders", Calls: quick}), p
	}
	sizes := func(p *awstest.Proxy) (n []int) {
		for _, b := range p.Bodies("PutEvents") {
			var in struct{ Entries []any }
			_ = json.Unmarshal(b, &in)
			n = append(n, len(in.Entries))
		}
		return n
	}

	t.Run("a call holds ten events and 256 KiB", func(t *testing.T) {
		e, p := open(t)
		list := events(14)
		for i := range 3 {
			list[i].Detail = fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 100<<10))
		}
		if n, err := e.Publish(t.Context(), list...); n != 14 || err != nil {
			t.Fatal(n, err)
		}
		if got := fmt.Sprint(sizes(p)); got != "[2 10 2]" {
			t.Errorf("calls of %s events", got)
		}
	})
	t.Run("an entry says when it happened and what it came from", func(t *testing.T) {
		e, p := open(t)
		traced := event(0)
		traced.Trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
		if n, err := e.Publish(t.Context(), traced); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		var in struct{ Entries []map[string]any }
		if err := json.Unmarshal(p.Bodies("PutEvents")[0], &in); err != nil || in.Entries[0]["TraceHeader"] != traced.Trace ||
			in.Entries[0]["Time"] != float64(traced.Time.Unix()) || in.Entries[0]["EventBusName"] != "orders" {
			t.Errorf("%v, %v", in, err)
		}
	})
	t.Run("an entry that fails for a while is tried again, alone", func(t *testing.T) {
		e, p := open(t)
		p.Trouble("PutEvents", awstest.Trouble{Status: 200, Body: answers("", "ThrottlingException", "", "InternalFailure")},
			awstest.Trouble{Status: 200, Body: answers("", "InternalException")})
		if n, err := e.Publish(t.Context(), events(4)...); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if got := fmt.Sprint(sizes(p)); got != "[4 2 1]" || !strings.Contains(string(p.Bodies("PutEvents")[2]), "ord-3") {
			t.Errorf("calls of %s events", got)
		}
	})
	t.Run("and not for ever: the error says how many, the number how many are there for certain", func(t *testing.T) {
		e, p := open(t)
		p.Trouble("PutEvents", awstest.Trouble{Status: 200, Body: answers("", "ThrottlingException", "")})
		for range 5 {
			p.Trouble("PutEvents", awstest.Trouble{Status: 200, Body: answers("ThrottlingException")})
		}
		n, err := e.Publish(t.Context(), events(3)...)
		if n != 1 || !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "1 of 3 events failed: ThrottlingException") || p.Asked("PutEvents") != 5 {
			t.Errorf("%d, %v after %d calls", n, err, p.Asked("PutEvents"))
		}
	})
	t.Run("an entry that is refused is not tried again", func(t *testing.T) {
		e, p := open(t)
		p.Trouble("PutEvents", awstest.Trouble{Status: 200, Body: answers("", "", "NotAuthorizedForSourceException")})
		if n, err := e.Publish(t.Context(), events(3)...); n != 2 || !fault.Is(err, fault.Internal) || p.Asked("PutEvents") != 1 {
			t.Errorf("%d, %v after %d calls", n, err, p.Asked("PutEvents"))
		}
	})
	t.Run("an event that can never go is named by its number, after those before it are out", func(t *testing.T) {
		for kind, spoil := range map[fault.Kind]func(*awsbus.Event){
			fault.PayloadTooLarge:  func(e *awsbus.Event) { e.Detail = fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 256<<10)) },
			fault.ValidationFailed: func(e *awsbus.Event) { e.Detail = []byte(`[1]`) },
		} {
			e, p := open(t)
			list := events(3)
			spoil(&list[1])
			if n, err := e.Publish(t.Context(), list...); n != 1 || !fault.Is(err, kind) || p.Asked("PutEvents") != 1 {
				t.Errorf("%s: %d, %v after %d calls", kind, n, err, p.Asked("PutEvents"))
			}
		}
	})
	t.Run("a bus that hangs, fails or answers nonsense ends in an error of the kind", func(t *testing.T) {
		for _, c := range []struct {
			trouble awstest.Trouble
			kind    fault.Kind
		}{
			{awstest.Trouble{Hang: true}, fault.Transient},
			{awstest.Trouble{Status: 500, Code: "InternalException"}, fault.Transient},
			{awstest.Trouble{Status: 400, Code: "ThrottlingException"}, fault.Throttled},
			{awstest.Trouble{Status: 400, Code: "ResourceNotFoundException"}, fault.Internal},
			{awstest.Trouble{Status: 200, Body: answers("")}, fault.Transient},
		} {
			e, p := open(t)
			p.Trouble("PutEvents", c.trouble, c.trouble, c.trouble)
			if n, err := e.Publish(t.Context(), events(2)...); n != 0 || !fault.Is(err, c.kind) {
				t.Errorf("%+v: %d, %v", c.trouble, n, err)
			}
		}
	})
}

// answers is PutEvents' answer: an entry for each code, "" for one that is there.
func answers(codes ...string) string {
	var entries []string
	failed := 0
	for _, c := range codes {
		if c == "" {
			entries = append(entries, `{"EventId":"1"}`)
			continue
		}
		failed++
		entries = append(entries, fmt.Sprintf(`{"ErrorCode":%q,"ErrorMessage":"no"}`, c))
	}
	return fmt.Sprintf(`{"FailedEntryCount":%d,"Entries":[%s]}`, failed, strings.Join(entries, ","))
}
