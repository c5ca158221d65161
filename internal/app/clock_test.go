package app_test

import (
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// The clock of the machine is set while an order is under way: by minutes, by hours, by more than a key lives. The order ends, in the way
// that it would have ended, and nothing is held, charged or told twice.
func TestTheClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-25 * time.Hour, -time.Hour, -16 * time.Second, 16 * time.Second, 20 * time.Minute, 25 * time.Hour} {
		for method, ends := range map[string][]string{
			provider.Visa:           {order.Confirmed},
			provider.ChargeDeclined: {order.Compensated},
			provider.Slow:           {order.Confirmed},
			provider.TimeoutCharged: {order.Confirmed},
			provider.Timeout:        {order.Compensated},
			provider.Error:          {order.Compensated},
			provider.Late:           {order.Confirmed, order.Compensated},
		} {
			t.Run(by.String()+" during an order with "+method, func(t *testing.T) {
				inWorld(t, func(w *world) {
					id := w.place(method)
					pass(time.Second)
					w.sets(by)
					pass(5 * time.Second)
					w.sets(-by / 2)
					if by < 0 {
						pass(-by) // what sleeps by the clock sleeps as much longer
					}
					pass(time.Hour)
					status := w.view(id).Status
					if status != ends[0] && status != ends[len(ends)-1] {
						t.Errorf("ended %s: %s", status, types(w.view(id)))
					}
					if r := w.check(true); r.LateHolds != 0 {
						t.Errorf("%+v", r)
					}
					if again := w.place(method); again != id && by < 24*time.Hour {
						t.Errorf("the key names %s, and then %s", id, again)
					}
				})
			})
		}
	}
}
