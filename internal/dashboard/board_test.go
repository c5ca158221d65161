package dashboard

import (
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 15, 12, 0, 30, 0, time.UTC)

func TestBoard(t *testing.T) {
	now := noon
	newTestBoard := func() *board { now = noon; return newBoard(func() time.Time { return now }) }
	ends := func(b *board, id, how string, began time.Time, took time.Duration) {
		b.add(Event{OrderID: id, Type: "ORDER_CREATED", At: began})
		b.add(Event{OrderID: id, Type: "STOCK_RESERVED", At: began})
		b.add(Event{OrderID: id, Type: how, At: began.Add(took)})
	}
	t.Run("counts a minute's orders, how they ended and how long they took", func(t *testing.T) {
		b := newTestBoard()
		for i := range 98 {
			ends(b, fmt.Sprint(i), "ORDER_CONFIRMED", noon, 20*time.Millisecond)
		}
		ends(b, "c", "ORDER_COMPENSATED", noon, 900*time.Millisecond)
		ends(b, "f", "ORDER_FAILED", noon, 950*time.Millisecond)
		r := b.read()
		last := boardMinutes - 1
		if r.Created[last] != 100 || r.Success[last] != (ratio{98, true}) || r.Compensated[last] != 1 || r.P99[last] != (ratio{900, true}) {
			t.Errorf("the last minute: created %v, success %v, compensated %v, P99 %v", r.Created[last], r.Success[last], r.Compensated[last], r.P99[last])
		}
		if r.Created[0] != 0 || r.Success[0].Given {
			t.Errorf("a minute without orders has %v, %v", r.Created[0], r.Success[0])
		}
		if r.Total.Created != 100 || r.Total.Ended != 100 || r.Total.Failed != 1 || !r.Begins.Equal(noon.Truncate(time.Minute).Add(-14*time.Minute)) {
			t.Errorf("all together: %+v from %s", r.Total, r.Begins)
		}
	})
	t.Run("forgets what is older than fifteen minutes, and takes what comes late or in disorder", func(t *testing.T) {
		b := newTestBoard()
		ends(b, "a", "ORDER_CONFIRMED", noon, time.Millisecond)
		ends(b, "b", "ORDER_CONFIRMED", noon.Add(-3*time.Minute), time.Millisecond)
		ends(b, "old", "ORDER_CONFIRMED", noon.Add(-16*time.Minute), time.Millisecond)
		if r := b.read(); r.Total.Created != 2 || r.Created[boardMinutes-4] != 1 {
			t.Errorf("%+v", r)
		}
		now = noon.Add(13 * time.Minute)
		if r := b.read(); r.Total.Created != 1 || r.Created[1] != 1 {
			t.Errorf("13 minutes later %+v", r)
		}
		now = noon.Add(time.Hour)
		if r := b.read(); r.Total.Created != 0 || len(b.minutes) != 0 {
			t.Errorf("an hour later %+v", r)
		}
	})
	t.Run("keeps little however many orders there are", func(t *testing.T) {
		b := newTestBoard()
		for i := range 30_000 {
			b.add(Event{OrderID: fmt.Sprint("open-", i), Type: "ORDER_CREATED", At: noon})
		}
		if len(b.open) > maxOpen || len(b.queue) > maxOpen {
			t.Errorf("%d open orders are remembered, %d queued", len(b.open), len(b.queue))
		}
		for i := range 30_000 {
			ends(b, fmt.Sprint(i), "ORDER_CONFIRMED", noon, time.Duration(i%100+1)*time.Millisecond)
		}
		r := b.read()
		if n := len(b.minutes[0].times); n > maxTimes || n < maxTimes/2 {
			t.Errorf("%d durations are kept", n)
		}
		if p := r.P99[boardMinutes-1].Value; p < 90 || p > 100 {
			t.Errorf("the P99 of a sample is %v", p)
		}
		if len(b.open) > maxOpen {
			t.Errorf("%d open orders are remembered", len(b.open))
		}
	})
}
