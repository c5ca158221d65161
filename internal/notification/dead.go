package notification

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
)

// A DeadLetter is a notification that could not be delivered, as an operator sees it: without the contact, sealed as it is, and without
// what the customer would have read.
type DeadLetter struct {
	ID       string
	OrderID  string // "", like Kind, if the message cannot be read
	Kind     Kind
	Receives int
	SentAt   time.Time
	DiedAt   time.Time
	Reason   string // the last error; it holds nothing of the contact
}

// DeadLetters reads the dead letters of a queue of notifications, and redrives them.
type DeadLetters struct{ Queue bus.DeadLetters }

// List returns up to limit dead letters from the cursor's place on, as bus.DeadLetters does.
func (d DeadLetters) List(ctx context.Context, cursor string, limit int) (letters []DeadLetter, next string, err error) {
	dead, next, err := d.Queue.List(ctx, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	letters = make([]DeadLetter, len(dead))
	for i, l := range dead {
		letters[i] = DeadLetter{ID: l.ID, Receives: l.Receives, SentAt: l.SentAt, DiedAt: l.DiedAt, Reason: l.Reason}
		if m, err := Decode(l.Body); err == nil {
			letters[i].OrderID, letters[i].Kind = m.OrderID, m.Kind
		}
	}
	return letters, next, nil
}

// Redrive puts the letters with these ids, or all, back into the queue, as bus.DeadLetters does.
func (d DeadLetters) Redrive(ctx context.Context, ids ...string) (int, error) {
	return d.Queue.Redrive(ctx, ids...)
}
