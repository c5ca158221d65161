package dashboard

import (
	"strings"
	"testing"
	"time"
)

func TestServiceMap(t *testing.T) {
	boxOf := func(m serviceMap, title string) mapBox {
		for _, b := range m.Boxes {
			if b.Title == title {
				return b
			}
		}
		t.Fatalf("there is no box %s", title)
		return mapBox{}
	}
	figures := []ServiceFigure{
		{Name: "http", Calls: 1000, Failed: 1, Took: 5 * time.Second},
		{Name: "payment", Calls: 10, Failed: 1, Took: time.Second},
		{Name: "inventory", Calls: 1, Took: 350 * time.Microsecond},
		{Name: "store", Calls: 2000, Took: time.Second},
		{Name: "unknown", Calls: 1},
	}
	m := mapOf(figures, minuteTotal{Ended: 1200, P99: ratio{24.5, true}})
	for _, c := range []struct{ title, state, average, rest string }{
		{"HTTP API", "warned", "Avg 5.0 ms  OK 99.9 %", "1,000 calls"},
		{"payment-service", "alarmed", "Avg 100 ms  OK 90.0 %", "10 calls"},
		{"inventory-service", "fine", "Avg 0.35 ms  OK 100 %", "1 call"},
		{"notification-service", "idle", "not called", ""},
		{"saga engine", "fine", "P99 24.5 ms", "1,200 ended"},
		{"store", "fine", "Avg 0.50 ms a sync", "2,000 syncs since the start"},
	} {
		if b := boxOf(m, c.title); b.State != c.state || b.Average != c.average || b.Rest != c.rest {
			t.Errorf("%s is %+v, want %+v", c.title, b, c)
		}
	}
	if !strings.Contains(m.Spoken, "notification-service: not called; payment-service: Avg 100 ms  OK 90.0 %, 10 calls;") {
		t.Errorf("spoken it is %q", m.Spoken)
	}
	t.Run("one failure of a million is not rounded away", func(t *testing.T) {
		if got := okShare(ServiceFigure{Calls: 1_000_000, Failed: 1}); got != "99.9 %" {
			t.Error(got)
		}
	})
	t.Run("nothing has happened yet", func(t *testing.T) {
		for _, b := range mapOf(nil, minuteTotal{}).Boxes {
			if b.State != "idle" {
				t.Errorf("%+v", b)
			}
		}
	})
}
