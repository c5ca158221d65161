package doctor

import (
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/order"
)

// stale is how old an open execution is that will not end by itself soon: the longest way of an order through retries, resolves and refunds
// takes some minutes. One that was open when the process stopped goes on at the next start.
const stale = time.Hour

// judge says what looks wrong, the worst first.
func (r *Report) judge(now time.Time) []string {
	wrong := []string{}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if r.FreeBytes < r.MinFreeBytes {
		say("The disk has %d MiB free, and below %d MiB orders are refused: make room.", r.FreeBytes>>20, r.MinFreeBytes>>20)
	}
	if n := len(r.Unreadable); n > 0 {
		say("%s cannot be read, the first is %s: run `cloudflow verify --data`.", things(int64(n), "item", "items"), r.Unreadable[0])
	}
	if n := r.Orders[order.Review]; n > 0 {
		say("%s for a person because the saga failed: see `cloudflow saga list --status FAILED` once it runs.", things(n, "order waits", "orders wait"))
	}
	if n := r.Dead.Count; n > 0 {
		say("%s could not be delivered, the oldest of %s: see `cloudflow dlq list` once it runs.", things(n, "notification", "notifications"), stamp(r.Dead.Since))
	}
	for _, b := range r.Breakers {
		say("The circuit %s is %s: while the provider fails, orders are refused.", b.Name, b.State)
	}
	if since := r.Executions.Since; since != nil && now.Sub(*since) >= stale {
		say("The saga %s is open since %s: the next start goes on with it.", r.Executions.Oldest, stamp(since))
	}
	return wrong
}

func stamp(t *time.Time) string { return t.UTC().Format(time.RFC3339) }

func things(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
