package awsbus

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/utkarsh698/cloudflow/internal/bus"
)

// The message attributes that are ours.
const (
	attrID       = "MessageName" // the sender's own; without it the name is SQS's
	attrEncoding = "BodyEncoding"
	attrSentAt   = "FirstSentAt" // ms; of a message that was in a queue before
	attrRun      = "RedriveRun"  // of a redriven message: the call that did it

	inBase64 = "base64"
)

// encode makes the message's text and attributes.
func (m Sent) encode() (string, map[string]types.MessageAttributeValue) {
	body, attributes := string(m.Body), map[string]types.MessageAttributeValue{}
	set := func(name, value string) {
		if value != "" {
			attributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
	}
	if !sendable(body) {
		body = base64.StdEncoding.EncodeToString(m.Body)
		set(attrEncoding, inBase64)
	}
	set(attrID, m.ID)
	if !m.sentAt.IsZero() {
		set(attrSentAt, strconv.FormatInt(m.sentAt.UnixMilli(), 10))
	}
	set(attrRun, m.run)
	return body, attributes
}

// sendable reports whether SQS takes the text: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html).
func sendable(body string) bool {
	if !utf8.ValidString(body) {
		return false
	}
	for _, r := range body {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// A Delivery is a message as SQS gives it: to who receives, or to a Lambda function in its event
// (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
type Delivery struct {
	MessageID         string // SQS's own
	ReceiptHandle     string
	Body              string
	Attributes        map[string]string // SQS's: SentTimestamp, ApproximateReceiveCount ...
	MessageAttributes map[string]string // the string values of the sender's
}

// Decode is the message of a delivery. A body that says that it is base64, and is not, is left as it is: its consumer refuses it, and it
// becomes a dead letter like any other that cannot be read.
func Decode(d Delivery) bus.Message {
	m := bus.Message{
		ID:       d.MessageID,
		Receipt:  d.ReceiptHandle,
		Body:     []byte(d.Body),
		Receives: int(integer(d.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])),
		SentAt:   moment(d.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]),
	}
	if id := d.MessageAttributes[attrID]; id != "" {
		m.ID = id
	}
	if at := d.MessageAttributes[attrSentAt]; at != "" {
		m.SentAt = moment(at)
	}
	if d.MessageAttributes[attrEncoding] == inBase64 {
		if body, err := base64.StdEncoding.DecodeString(d.Body); err == nil {
			m.Body = body
		}
	}
	return m
}

func deliveryOf(m *types.Message) Delivery {
	d := Delivery{
		MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
		Attributes: m.Attributes, MessageAttributes: make(map[string]string, len(m.MessageAttributes)),
	}
	for name, value := range m.MessageAttributes {
		d.MessageAttributes[name] = aws.ToString(value.StringValue)
	}
	return d
}

func integer(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// moment is a time in milliseconds, zero if the text is none.
func moment(text string) time.Time {
	ms := integer(text)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
