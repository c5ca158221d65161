package notification

import (
	"context"
	"errors"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
)

// The pauses of Run after an error of the queue or the store.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Run takes batches from the queue until ctx ends, and returns nil then. The batch in hand is finished and recorded,
// unless a send fails: then what was not begun goes back to the queue at once.
func (s *Service) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		ran, _, err := s.RunOne(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Error("Notifications are not processed", "error", err.Error(), "again_in", pause)
			sleep(ctx, pause)
			pause = min(2*pause, lastPause)
		case !ran:
			pause = firstPause
			// Its error is the end of ctx, or the queue is away: then the next receive says so.
			_ = s.c.Queue.Wait(ctx)
		default:
			pause = firstPause
		}
	}
	return nil
}

// RunOne takes one batch from the queue and handles it, on the caller's goroutine if Concurrency is 1. ran is false if
// there was none: then nothing is due before wake, or nothing at all if wake is zero (or the queue cannot tell).
func (s *Service) RunOne(ctx context.Context) (ran bool, wake time.Time, err error) {
	received := s.c.Now()
	batch, err := s.c.Queue.Receive(ctx, s.c.Batch, s.c.Visibility)
	if err != nil {
		return false, time.Time{}, err
	}
	if len(batch) == 0 {
		if s.c.Staged != nil {
			wake = s.c.Staged.Next()
		}
		return false, wake, nil
	}
	failures, err := s.handle(ctx, batch, received.Add(s.c.Visibility))
	if err != nil {
		return true, time.Time{}, err
	}
	ctx = context.WithoutCancel(ctx) // what is left to do ends this batch
	if s.c.Staged == nil {
		if err := s.c.Queue.Delete(ctx, done(batch, failures)...); err != nil {
			return true, time.Time{}, err
		}
	}
	return true, time.Time{}, s.putBack(ctx, failures)
}

// done returns the receipts of the batch without the failures, which stand in the batch's order.
func done(batch []bus.Message, failures []Failure) []string {
	receipts := make([]string, 0, len(batch))
	for _, m := range batch {
		if len(failures) > 0 && failures[0].Message.Receipt == m.Receipt {
			failures = failures[1:]
			continue
		}
		receipts = append(receipts, m.Receipt)
	}
	return receipts
}

// putBack defers what has failed: together where delay and reason are the same, as they are when the relay is away. An
// error loses no message: it is visible again when its visibility ends.
func (s *Service) putBack(ctx context.Context, failures []Failure) error {
	type group struct {
		delay  time.Duration
		reason string
	}
	var order []group
	receipts := make(map[group][]string)
	for _, f := range failures {
		s.log.Warn("Notification failed", append(about(f.Message),
			"message_id", f.Message.ID, "receives", f.Message.Receives, "error", f.Err.Error())...)
		g := group{RetryAfter(f.Message.Receives), f.Err.Error()}
		if errors.Is(f.Err, errNotBegun) {
			g.delay = 0
		}
		if receipts[g] == nil {
			order = append(order, g)
		}
		receipts[g] = append(receipts[g], f.Message.Receipt)
	}
	for _, g := range order {
		if err := s.c.Queue.Defer(ctx, g.delay, g.reason, receipts[g]...); err != nil {
			return err
		}
	}
	return nil
}

// about are the ids that a message's lines are found by; none if it cannot be understood.
func about(m bus.Message) []any {
	content, err := Decode(m.Body)
	if err != nil {
		return nil
	}
	return []any{"order_id", content.OrderID, "correlation_id", content.CorrelationID}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
