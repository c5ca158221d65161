// Package sender holds the ways in which a notification leaves the house: log, which writes a line and is what
// development and customers without an address get, and smtp, which hands the e-mail to a relay. snssender, which sends an SMS, is a package
// beside it.
//
// All promise the same: nil means taken over, an error says so without naming the recipient, and fault.Transient
// means that another try may succeed. A repeated send carries the same Message-ID, where what carries it has room for one.
package sender

import (
	"context"
	"log/slog"

	"github.com/utkarsh698/cloudflow/internal/notification"
)

// Log writes one line for each e-mail: its subject, never its recipient.
type Log struct{ log *slog.Logger }

var _ notification.Sender = (*Log)(nil)

// NewLog returns a Log that writes to the logger.
func NewLog(log *slog.Logger) *Log {
	return &Log{log.With("service", "notification_service.sender")}
}

// Name is "log".
func (*Log) Name() string { return "log" }

// Send writes the line. It does not fail.
func (l *Log) Send(ctx context.Context, e notification.Email) error {
	l.log.LogAttrs(ctx, slog.LevelInfo, "Notification written",
		slog.String("order_id", e.OrderID),
		slog.String("correlation_id", e.CorrelationID),
		slog.String("message_id", e.MessageID),
		slog.String("subject", e.Subject))
	return nil
}
