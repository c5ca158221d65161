package inventory

import (
	"context"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Outcomes knows how orders ended.
type Outcomes interface {
	// Outcome returns the order's status as of now, never an older one; found is false if no such order exists.
	Outcome(ctx context.Context, orderID string) (status string, found bool, err error)
}

// An ExpireReport is what one Expire found among the holds past their age.
type ExpireReport struct {
	Released int
	Kept     []string // orders whose hold stays: PENDING, REVIEW or CONFIRMED
	Failed   int      // holds that could not be decided; the next Expire asks again
}

const (
	// holdAge is how old a hold is before it is asked about: many times what a saga takes whose provider is well.
	holdAge = 15 * time.Minute
	// expireBatch is how many holds are read at once, expirePerShard how many one Expire looks at in each shard: what it does in
	// one call is bounded, and the next one goes on where it stopped.
	expireBatch    = 100
	expirePerShard = 1000
)

// Expire asks for the outcome of every order whose hold is older than 15 minutes. It releases the hold if the order has ended
// without selling it (FAILED, COMPENSATED, CANCELLED) or does not exist, and keeps it else: age alone never releases. An order
// that cannot be decided now does not stop the others; the first error is returned beside the report.
func (s *Service) Expire(ctx context.Context) (ExpireReport, error) {
	var report ExpireReport
	var first error
	cutoff := ageKey(s.now().Add(-holdAge).UnixMilli())
	for n := range activeShards {
		if err := s.expireShard(ctx, n, cutoff, &report); err != nil && first == nil {
			first = err
		}
		if err := ctx.Err(); err != nil {
			return report, err
		}
	}
	if len(report.Kept) > 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "Old holds kept", slog.Int("count", len(report.Kept)), slog.String("first", report.Kept[0]))
	}
	return report, first
}

// expireShard decides the shard's old holds, the oldest first, from where the last Expire left off.
func (s *Service) expireShard(ctx context.Context, n int, cutoff string, report *ExpireReport) (first error) {
	s.mu.Lock()
	after := s.resume[n]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.resume[n] = after
		s.mu.Unlock()
	}()
	for range expirePerShard / expireBatch {
		entries, err := s.store.Range(ctx, store.Query{
			Table: ReservationsTable, PK: activePartition(n), After: after, Limit: expireBatch, Consistency: store.Eventual,
		})
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Key.SK >= cutoff {
				after = ""
				return first
			}
			orderID, _ := ActiveHold(e.Key)
			if err := s.expire(ctx, orderID, report); err != nil {
				report.Failed++
				if first == nil {
					first = err
				}
				if ctx.Err() != nil {
					return first
				}
			}
			after = e.Key.SK
		}
		if len(entries) < expireBatch {
			after = ""
			return first
		}
	}
	return first
}

func (s *Service) expire(ctx context.Context, orderID string, report *ExpireReport) error {
	status, found, err := s.outcomes.Outcome(ctx, orderID)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), err, "inventory: outcome of %s", orderID)
	}
	if found && !endedUnsold(status) {
		report.Kept = append(report.Kept, orderID)
		return nil
	}
	effect, err := s.Release(ctx, Request{OrderID: orderID})
	if err == nil {
		_, err = store.Commit(ctx, s.store, effect)
	}
	if err != nil {
		return fault.Wrap(fault.KindOf(err), err, "inventory: release of %s", orderID)
	}
	report.Released++
	return nil
}

// endedUnsold reports whether an order of that status will never sell what it holds. Any status that is not known here keeps it.
func endedUnsold(status string) bool {
	switch status {
	case "FAILED", "COMPENSATED", "CANCELLED":
		return true
	}
	return false
}
