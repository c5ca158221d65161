package notification

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Kind is what a message tells.
type Kind string

// The kinds. COMPENSATED and FAILED orders send OrderFailed.
const (
	OrderConfirmed Kind = "ORDER_CONFIRMED"
	OrderFailed    Kind = "ORDER_FAILED"
	OrderCancelled Kind = "ORDER_CANCELLED"
)

// A Message is what stands in the queue, as JSON.
type Message struct {
	OrderID       string `json:"order_id"`
	CustomerID    string `json:"customer_id"` // the subject under whose key the contact is sealed
	Kind          Kind   `json:"kind"`
	Version       int64  `json:"version"` // of the order's terminal event
	TotalCents    int64  `json:"total_cents"`
	Currency      string `json:"currency"` // ISO 4217
	FailureReason string `json:"failure_reason,omitempty"`
	CorrelationID string `json:"correlation_id"`
	Trace         string `json:"trace,omitempty"`          // where its sender stands, as a W3C traceparent; nothing goes by it
	SealedContact []byte `json:"sealed_contact,omitempty"` // a Contact as JSON, sealed by pii.Seal for CustomerID; base64
}

// A Contact is how to reach a customer: the plaintext of SealedContact.
type Contact struct {
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// MessageID names the notification wherever it goes: <order id>.v<version>. It is the message's ID in the queue, and with
// Domain the Message-ID of the e-mail.
func (m Message) MessageID() string {
	return m.OrderID + ".v" + strconv.FormatInt(m.Version, 10)
}

// Domain is the right-hand side of every Message-ID.
const Domain = "cloudflow"

// Encode returns the message as it stands in the queue.
func (m Message) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// Decode reads what Encode wrote. Members that it does not know are ignored: their sender is newer.
// fault.ValidationFailed if the message cannot be understood; the error's text quotes nothing of it.
func Decode(body []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, fault.New(fault.ValidationFailed, "a notification that is not JSON of the right shape")
	}
	if err := m.check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// check keeps out what has no place in a key, a header or a sentence.
func (m Message) check() error {
	var wrong []error
	bad := func(field string) {
		wrong = append(wrong, fault.New(fault.ValidationFailed, "a notification with a bad %s", field).With("field", field))
	}
	if !isID(m.OrderID) {
		bad("order_id")
	}
	if !isID(m.CustomerID) {
		bad("customer_id")
	}
	if m.Kind != OrderConfirmed && m.Kind != OrderFailed && m.Kind != OrderCancelled {
		bad("kind")
	}
	if m.Version < 1 {
		bad("version")
	}
	if m.TotalCents < 0 {
		bad("total_cents")
	}
	if len(m.Currency) != 3 || strings.Trim(m.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		bad("currency")
	}
	if m.FailureReason != "" && !isID(m.FailureReason) {
		bad("failure_reason")
	}
	if m.CorrelationID != "" && !isID(m.CorrelationID) {
		bad("correlation_id")
	}
	return errors.Join(wrong...)
}

// isID reports whether s is 1 to 64 characters of [A-Za-z0-9._-], as all ids of the HTTP contract are.
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
