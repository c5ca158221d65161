// Package snssender sends notifications through Amazon SNS. It is a package of its own, so that the single binary does not link the SDK.
package snssender

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
)

const defaultTimeout = 10 * time.Second

// Config says where Amazon SNS is to send.
type Config struct {
	TopicARN string         // for those without a phone number; "": they are refused
	SenderID string         // whom an SMS names as its sender, 1 to 11 letters and digits, where the country allows it; "": SNS's default
	Timeout  time.Duration  // of a whole send, default 10 s
	Calls    awscall.Limits // of each call
}

// A Sender sends an SMS to a phone number, and the rest to a topic. A topic tells all who subscribe to it the same, so it gets what is
// told and to which order it belongs, and never a customer's address: whoever wants an e-mail to reach the customer has SMTP, which is also
// how Amazon SES takes them.
//
// SNS knows no repeats: what is sent again after a crash, or after a reply that was lost, arrives again
// (https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html).
type Sender struct {
	config Config
	client *sns.Client
}

var _ notification.Sender = (*Sender)(nil)

// New checks the configuration and asks nobody.
func New(config aws.Config, c Config) (*Sender, error) {
	if c.TopicARN != "" && !strings.HasPrefix(c.TopicARN, "arn:") {
		return nil, fmt.Errorf("snssender: %q is not the ARN of a topic", c.TopicARN)
	}
	if len(c.SenderID) > 11 || strings.ContainsFunc(c.SenderID, func(r rune) bool { return !letterOrDigit(r) }) {
		return nil, errors.New("snssender: the sender of an SMS is named with 1 to 11 letters and digits")
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	return &Sender{c, sns.NewFromConfig(awscall.Bounded(config, c.Calls))}, nil
}

func letterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// Name is "sns".
func (*Sender) Name() string { return "sns" }

// Send hands the e-mail's subject to SNS as an SMS if there is a phone number, else subject and text to the topic. fault.ValidationFailed: the number
// can be none, or there is neither number nor topic; fault.Internal: SNS's no is a lasting one, such as that of a number whose owner has
// opted out; fault.Transient and fault.Throttled: it may have been sent all the same.
func (s *Sender) Send(ctx context.Context, e notification.Email) error {
	in := &sns.PublishInput{}
	switch {
	case e.Phone != "" && !dialable(e.Phone):
		return fault.New(fault.ValidationFailed, "snssender: the contact is no phone number").With("field", "contact.phone")
	case e.Phone != "":
		in.PhoneNumber, in.Message = &e.Phone, &e.Subject
		in.MessageAttributes = attributes("AWS.SNS.SMS.SMSType", "Transactional", "AWS.SNS.SMS.SenderID", s.config.SenderID)
	case s.config.TopicARN != "":
		in.TopicArn, in.Subject, in.Message = &s.config.TopicARN, &e.Subject, &e.Text
		in.MessageAttributes = attributes("kind", string(e.Kind), "order_id", e.OrderID, "correlation_id", e.CorrelationID, "message_id", e.MessageID)
	default:
		return fault.New(fault.ValidationFailed, "snssender: neither a phone number nor a topic")
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if _, err := s.client.Publish(ctx, in); err != nil {
		// SNS's texts quote the number.
		code := awscall.Code(err)
		if code == "" {
			code = "the connection failed"
		}
		return fault.New(fault.KindOf(awscall.Fault(err, "")), "snssender: %s", code)
	}
	return nil
}

// attributes are those of the pairs of name and value that have a value.
func attributes(pairs ...string) map[string]types.MessageAttributeValue {
	all := make(map[string]types.MessageAttributeValue, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			all[pairs[i]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &pairs[i+1]}
		}
	}
	return all
}

// dialable takes E.164: a plus, then 7 to 15 digits, the first of them not zero.
func dialable(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	return ok && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}
