package snssender_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/sender/snssender"
)

// sms is what is sent to one who gave a phone number.
func sms() notification.Email {
	e := email()
	e.To, e.Phone = "", "+4915112345678"
	return e
}

func email() notification.Email {
	return notification.Email{
		OrderID: "ord-1", CorrelationID: "corr-1", Kind: notification.OrderConfirmed, MessageID: "ord-1.v5@cloudflow",
		Date: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), To: "jane.doe@example.com",
		Subject: "Your order ord-1 is confirmed", Text: "Thank you.\n",
	}
}

func open(t *testing.T, config aws.Config, c snssender.Config) *snssender.Sender {
	t.Helper()
	c.Calls = awscall.Limits{Try: 300 * time.Millisecond, Attempts: 3, Pause: 20 * time.Millisecond}
	s, err := snssender.New(config, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSender(t *testing.T) {
	emulator := awstest.Start(t)
	t.Run("who gave a phone number gets the subject as an SMS", func(t *testing.T) {
		proxy := awstest.NewProxy(t, emulator.URL)
		if err := open(t, proxy.Config(), snssender.Config{TopicARN: "arn:aws:sns:x", SenderID: "CloudFlow"}).Send(t.Context(), sms()); err != nil {
			t.Fatal(err)
		}
		form, err := url.ParseQuery(string(proxy.Bodies("Publish")[0]))
		if err != nil || form.Get("PhoneNumber") != "+4915112345678" || form.Get("Message") != "Your order ord-1 is confirmed" || form.Get("TopicArn") != "" ||
			!strings.Contains(form.Encode(), "Transactional") || !strings.Contains(form.Encode(), "SenderID") {
			t.Errorf("%v, %v", form, err)
		}
	})
	t.Run("the rest is told to the topic, without the address", func(t *testing.T) {
		topics, queues := sns.NewFromConfig(emulator.Config()), sqs.NewFromConfig(emulator.Config())
		topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("orders")})
		if err != nil {
			t.Fatal(err)
		}
		queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + awstest.Region + ":" + awstest.Account + ":orders"),
		}); err != nil {
			t.Fatal(err)
		}
		if err := open(t, emulator.Config(), snssender.Config{TopicARN: *topic.TopicArn}).Send(t.Context(), email()); err != nil {
			t.Fatal(err)
		}
		out, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 10})
		if err != nil || len(out.Messages) != 1 {
			t.Fatal(out, err)
		}
		body := *out.Messages[0].Body
		for _, want := range []string{"Your order ord-1 is confirmed", "Thank you.", "ord-1.v5@cloudflow", "corr-1", "ORDER_CONFIRMED"} {
			if !strings.Contains(body, want) {
				t.Errorf("no %q in %s", want, body)
			}
		}
		if strings.Contains(body, "jane") {
			t.Errorf("the topic is told the address: %s", body)
		}
	})
}

func TestFailures(t *testing.T) {
	failure := func(status int, code string) awstest.Trouble {
		return awstest.Trouble{Status: status, Body: "<ErrorResponse><Error><Code>" + code + "</Code><Message>Invalid: +4915112345678</Message></Error></ErrorResponse>"}
	}
	for _, c := range []struct {
		rule    string
		trouble awstest.Trouble
		tries   int
		kind    fault.Kind
	}{
		{"a number that SNS does not take is refused for good", failure(400, "InvalidParameter"), 1, fault.Internal},
		{"SNS is asked too often", failure(400, "Throttling"), 3, fault.Throttled},
		{"SNS fails", failure(500, "InternalError"), 3, fault.Transient},
		{"SNS hangs", awstest.Trouble{Hang: true}, 3, fault.Transient},
	} {
		t.Run(c.rule, func(t *testing.T) {
			proxy := awstest.NewProxy(t, "")
			for range c.tries {
				proxy.Trouble("Publish", c.trouble)
			}
			err := open(t, proxy.Config(), snssender.Config{}).Send(t.Context(), sms())
			if !fault.Is(err, c.kind) || proxy.Asked("Publish") != c.tries || strings.Contains(err.Error(), "49151") {
				t.Errorf("%v after %d tries", err, proxy.Asked("Publish"))
			}
		})
	}
	t.Run("what can be no number, and what has nowhere to go, is refused before SNS is asked", func(t *testing.T) {
		proxy := awstest.NewProxy(t, "")
		s := open(t, proxy.Config(), snssender.Config{})
		for _, phone := range []string{"", "+0123456789", "004915112345678", "+123456", "+1234567890123456", "+4915112\n345678"} {
			e := sms()
			e.Phone = phone
			if err := s.Send(t.Context(), e); !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%q: %v", phone, err)
			}
		}
		if n := proxy.Asked("Publish"); n != 0 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a configuration that cannot work is refused", func(t *testing.T) {
		for _, c := range []snssender.Config{{TopicARN: "orders"}, {SenderID: "Cloud Flow"}, {SenderID: "CloudFlowShop"}} {
			if _, err := snssender.New(aws.Config{}, c); err == nil {
				t.Errorf("%+v was taken", c)
			}
		}
	})
}
