package instance_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A both logs to two handlers.
type both [2]slog.Handler

func (b both) Enabled(ctx context.Context, level slog.Level) bool {
	return b[0].Enabled(ctx, level) || b[1].Enabled(ctx, level)
}

func (b both) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(b[0].Handle(ctx, r.Clone()), b[1].Handle(ctx, r.Clone()))
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(attrs), b[1].WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b[0].WithGroup(name), b[1].WithGroup(name)}
}

// Whatever happens to orders, a log with a sample of them has every warning and error that the whole log has, all lines of the
// orders in the sample, and none of the others that is below a warning.
func TestASampledLogHasEveryErrorOfTheWholeOne(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0.0001, 0.4} {
		all, some, sample := &logbook{}, &logbook{}, observe.NewSample(share)
		log := slog.New(both{
			observe.NewLogger(all, slog.LevelDebug, nil).Handler(), observe.NewSampledLogger(some, slog.LevelDebug, nil, sample).Handler(),
		})
		g := newGauntlet(t, log, all, mailmen()[1])
		g.run()
		g.end()

		var want strings.Builder
		dropped, loud, infos := int64(0), map[string]int{}, map[string]int{}
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
			want.WriteString(text)
		}
		if some.text.String() != want.String() {
			t.Errorf("at %v the log is\n%swant\n%s", share, some.text.String(), want.String())
		}
		if dropped < 20 || sample.Dropped() != dropped {
			t.Errorf("at %v %d lines were dropped, and %d counted", share, dropped, sample.Dropped())
		}
		for _, message := range []string{"flow: an execution failed", "Notification failed", "Handler panicked"} {
			if loud[message] == 0 {
				t.Errorf("no %q in %v: nothing went wrong", message, loud)
			}
		}
		for what, id := range g.orders {
			if n := infos[id]; share < 0.01 && n > 0 {
				t.Errorf("at %v the log has %d lines of the order that is %s", share, n, what)
			}
		}
		t.Logf("at %v: %d of %d lines dropped, %d orders of %d left; warnings and errors: %v", share, dropped, strings.Count(all.text.String(), "\n"),
			len(infos), len(g.orders), loud)
	}
}
