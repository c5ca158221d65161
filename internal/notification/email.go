package notification

import (
	"log/slog"
	"strconv"
	"time"
)

// An Email is what a Sender sends. Its texts are made of the order's ids and amount alone, so nothing that a customer
// has written can stand in a header.
type Email struct {
	OrderID       string
	CorrelationID string
	Kind          Kind
	MessageID     string    // with its domain, without angle brackets; the same at every repeat
	Date          time.Time // of this attempt
	To            string    // the address as the customer gave it: for the sender to validate
	Phone         string    // instead of To, the number: the subject then is all that is sent; neither goes to NoContact only
	Subject       string    // printable ASCII
	Text          string    // plain text, lines end with \n
}

// LogValue keeps the contact out of every log.
func (e Email) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("order_id", e.OrderID),
		slog.String("message_id", e.MessageID),
		slog.String("kind", string(e.Kind)),
	)
}

// compose writes the e-mail of a message.
func compose(m Message, to Contact, now time.Time) Email {
	e := Email{
		OrderID:       m.OrderID,
		CorrelationID: m.CorrelationID,
		Kind:          m.Kind,
		MessageID:     m.MessageID() + "@" + Domain,
		Date:          now,
		To:            to.Email,
		Phone:         to.Phone,
	}
	switch m.Kind {
	case OrderConfirmed:
		e.Subject = "Your order " + m.OrderID + " is confirmed"
		e.Text = "Thank you for your order " + m.OrderID + ".\n\n" +
			"It is confirmed, and " + amount(m) + " was charged.\n"
	case OrderCancelled:
		e.Subject = "Your order " + m.OrderID + " is cancelled"
		e.Text = "Your order " + m.OrderID + " over " + amount(m) + " is cancelled, as you asked.\n\n" + refunded
	case OrderFailed:
		e.Subject = "Your order " + m.OrderID + " could not be completed"
		e.Text = "We are sorry: your order " + m.OrderID + " over " + amount(m) + " could not be completed, because " +
			because(m.FailureReason) + ".\n\n" + refunded
	}
	return e
}

const refunded = "You will not be charged. If the amount was taken from your card already, it was returned in full.\n"

// because is the failure reason in words.
func because(reason string) string {
	switch reason {
	case "INSUFFICIENT_STOCK":
		return "a product is out of stock"
	case "UNKNOWN_PRODUCT":
		return "a product is no longer sold"
	case "PAYMENT_DECLINED":
		return "the payment was declined"
	case "PAYMENT_PROVIDER_UNAVAILABLE":
		return "the payment could not be made at the moment"
	case "INVENTORY_UNAVAILABLE":
		return "the stock could not be reserved at the moment"
	default:
		return "of a problem on our side"
	}
}

// amount is such as "USD 12.50".
func amount(m Message) string {
	cents := strconv.FormatInt(m.TotalCents%100, 10)
	if len(cents) < 2 {
		cents = "0" + cents
	}
	return m.Currency + " " + strconv.FormatInt(m.TotalCents/100, 10) + "." + cents
}
