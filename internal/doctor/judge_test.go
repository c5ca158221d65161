package doctor

import (
	"strings"
	"testing"
	"time"
)

func TestWhatLooksWrong(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	healthy := func() *Report { return &Report{FreeBytes: 1 << 30, MinFreeBytes: 256 << 20} }
	for _, c := range []struct {
		name  string
		spoil func(*Report)
		says  []string // parts of the sentences, in their order
	}{
		{"a directory with nothing in it is well", func(*Report) {}, nil},
		{"a disk right at the mark is well", func(r *Report) { r.FreeBytes = r.MinFreeBytes }, nil},
		{"a disk below the mark", func(r *Report) { r.FreeBytes = 255 << 20 }, []string{"255 MiB free, and below 256 MiB"}},
		{"an order that waits for a person", func(r *Report) { r.Orders = map[string]int64{"REVIEW": 1, "CONFIRMED": 3} }, []string{"1 order waits for a person"}},
		{"dead letters", func(r *Report) { r.Dead = Group{2, "m", ago(time.Hour)} }, []string{"2 notifications could not be delivered, the oldest of 2026-05-01T11:00:00Z"}},
		{"messages that wait are well", func(r *Report) { r.Queued = Group{2, "m", ago(time.Hour)} }, nil},
		{"a circuit", func(r *Report) { r.Breakers = []Breaker{{Name: "payment-charge", State: "HALF_OPEN"}} }, []string{"payment-charge is HALF_OPEN"}},
		{"a saga that was open when the process stopped is well", func(r *Report) { r.Executions = Group{1, "ord-1", ago(time.Minute)} }, nil},
		{"a saga that is open for long", func(r *Report) { r.Executions = Group{1, "ord-1", ago(time.Hour)} }, []string{"ord-1 is open since"}},
		{"the worst is said first", func(r *Report) {
			r.FreeBytes, r.Unreadable = 0, []string{"orders/ord-1/head"}
		}, []string{"0 MiB free", "1 item cannot be read, the first is orders/ord-1/head"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := healthy()
			c.spoil(r)
			got := r.judge(now)
			if len(got) != len(c.says) {
				t.Fatalf("says %q", got)
			}
			for i, part := range c.says {
				if !strings.Contains(got[i], part) || !strings.HasSuffix(got[i], ".") {
					t.Errorf("says %q, want %q", got[i], part)
				}
			}
		})
	}
}
