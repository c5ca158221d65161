package instance_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A fanOut logs to several handlers.
type fanOut []slog.Handler

func (f fanOut) Enabled(ctx context.Context, level slog.Level) bool {
	return slices.ContainsFunc(f, func(h slog.Handler) bool { return h.Enabled(ctx, level) })
}

func (f fanOut) Handle(ctx context.Context, r slog.Record) (err error) {
	for _, h := range f {
		err = errors.Join(err, h.Handle(ctx, r.Clone()))
	}
	return err
}

func (f fanOut) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (f fanOut) WithGroup(name string) slog.Handler {
	return f.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f fanOut) each(of func(slog.Handler) slog.Handler) (out fanOut) {
	for _, h := range f {
		out = append(out, of(h))
	}
	return out
}

// Whatever happens to orders, a log with a sample of them has every warning and error that the whole log has, all lines of the
// orders in the sample, and none of the others that is below a warning.
func TestASampledLogHasEveryErrorOfTheWholeOne(t *testing.T) {
	t.Parallel()
	all, shares := &logbook{}, []float64{0.0001, 0.4}
	logs := fanOut{observe.NewLogger(all, slog.LevelDebug, nil).Handler()}
	books, samples := make([]logbook, len(shares)), make([]*observe.Sample, len(shares))
	for i, share := range shares {
		samples[i] = observe.NewSample(share)
		logs = append(logs, observe.NewSampledLogger(&books[i], slog.LevelDebug, nil, samples[i]).Handler())
	}
	g := newGauntlet(t, slog.New(logs), all, mailmen()[1])
	g.run()
	g.end()
	for i, share := range shares {
		want, dropped, loud, infos := sampled(t, all, samples[i])
		if got := books[i].text.String(); !sameLines(got, want) { // two that are written at once may stand the other way round
			t.Errorf("at %v the log is\n%swant\n%s", share, got, want)
		}
		if dropped < 20 || samples[i].Dropped() != dropped {
			t.Errorf("at %v %d lines were dropped, and %d counted", share, dropped, samples[i].Dropped())
		}
		for _, message := range []string{"flow: an execution failed", "Notification failed", "Handler panicked", "Circuit breaker changed"} {
			if loud[message] == 0 {
				t.Errorf("no %q in %v: it did not go wrong", message, loud)
			}
		}
		for what, id := range g.orders {
			if n := infos[id]; n > 0 && share < 0.01 {
				t.Errorf("at %v the log has %d lines of the order that is %s", share, n, what)
			}
		}
		t.Logf("at %v: %d lines of %d, and some of %d orders; %v", share, strings.Count(want, "\n"), strings.Count(all.text.String(), "\n"), len(infos), loud)
	}
}

func sameLines(a, b string) bool {
	return slices.Equal(slices.Sorted(strings.SplitSeq(a, "\n")), slices.Sorted(strings.SplitSeq(b, "\n")))
}

// sampled is what a sample is to leave of the log, and how many lines it is to drop; the warnings and errors by their message, and how many
// other lines each order has then.
func sampled(t *testing.T, all *logbook, sample *observe.Sample) (log string, dropped int64, loud, infos map[string]int) {
	t.Helper()
	var left strings.Builder
	loud, infos = map[string]int{}, map[string]int{}
	for text := range strings.Lines(all.text.String()) {
		var l struct {
			Level         slog.Level
			Message       string
			OrderID       string `json:"order_id"`
			CorrelationID string `json:"correlation_id"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch {
		case l.Level >= slog.LevelWarn:
			loud[l.Message]++
		case l.OrderID != "" && l.CorrelationID != "" && !sample.Keeps(l.CorrelationID):
			dropped++
			continue
		case l.OrderID != "":
			infos[l.OrderID]++
		}
		left.WriteString(text)
	}
	return left.String(), dropped, loud, infos
}
