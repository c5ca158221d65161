package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/timeline"
)

func TestTraceCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	ended := func(args ...string) string {
		t.Helper()
		id := s.place(args...).OrderID
		eventually(t, "the saga ends", func() bool {
			return one[apigen.Saga](s.cli("saga", "show", id, "--json").exits(0)).Status == apigen.SagaStatusSUCCEEDED
		})
		return id
	}
	confirmed, declined := ended("--item", "MOUSE-01=1"), ended("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	t.Run("a confirmed order has a bar for each step, on one scale", func(t *testing.T) {
		r := s.cli("trace", confirmed).exits(0).prints(confirmed+"  CONFIRMED  Total: ", "Segment", "Duration", "Timeline (",
			"inventory-handler  ReserveStock", "payment-handler    ChargePayment", "  provider         capture", "order-handler      NotifyCustomer",
			"Result: Stock sold | Customer's notification queued | 29.99 USD charged\n")
		if strings.Contains(r.out, "Status") || r.err != "" {
			t.Errorf("printed\n%s, said %q", r.out, r.err)
		}
		head := regexp.MustCompile(`(?m)^Segment.*Timeline`).FindString(r.out)
		left := utf8.RuneCountInString(strings.TrimSuffix(head, "Timeline"))
		for _, line := range strings.Split(r.out, "\n")[3:] {
			if line == "" {
				break
			}
			if n := utf8.RuneCountInString(line); n <= left || n > left+traceWidth {
				t.Errorf("the bar ends at %d, the columns at %d: %s", n, left, line)
			}
		}
	})
	t.Run("a compensated one says what came of each step, and what is true at its end", func(t *testing.T) {
		s.cli("trace", declined).exits(0).prints("COMPENSATED", "Status", "Created PENDING", "PaymentDeclined", "decline",
			"Stock released (compensation)", "Status → COMPENSATED", "Result: Stock restored | Customer's notification queued | No charge made\n")
	})
	t.Run("as JSON it is one value", func(t *testing.T) {
		tr := one[timeline.Trace](s.cli("trace", declined, "--json").exits(0))
		if !tr.Ended || tr.OrderID != declined || tr.Status != "COMPENSATED" || len(tr.Result) != 3 ||
			!slices.ContainsFunc(tr.Segments, func(g timeline.Segment) bool { return g.Who == "payment-handler" && g.Failed }) {
			t.Errorf("%+v", tr)
		}
	})
	t.Run("an order that there is not, and a wrong command line", func(t *testing.T) {
		s.cli("trace", "ord-00000000000000000000000000").exits(1).hints("NOT_FOUND (404)")
		s.cli("trace").exits(2).hints("an order id", "`cloudflow trace --help`")
	})
}

func TestTraceBars(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		of    timeline.Segment
		total int64
		want  string
	}{
		{"all of it", timeline.Segment{DurationMS: 7}, 7, strings.Repeat("█", traceWidth)},
		{"the second half", timeline.Segment{StartMS: 50, DurationMS: 50}, 100, strings.Repeat(" ", 30) + strings.Repeat("█", 30)},
		{"what took no time, at the end", timeline.Segment{StartMS: 9}, 9, strings.Repeat(" ", 59) + "█"},
		{"a moment", timeline.Segment{Instant: true}, 9, "·"},
		{"a wait", timeline.Segment{DurationMS: 1, Waiting: true}, 60, "░"},
		{"an order that took less than a millisecond", timeline.Segment{}, 0, "█"},
	} {
		if got := traceBar(c.of, c.total); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
