package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/observe"
)

func TestASampleDropsLines(t *testing.T) {
	const out, in = "4bf92f3577b34da6a3ce929d0e0e4736", "corr-01M8H685A8RF3VBSW3Q1TQBQM5" // of the sample
	sample := observe.NewSample(0.5)
	if sample.Keeps(out) || !sample.Keeps(in) {
		t.Fatalf("%s is kept: %v, %s: %v", out, sample.Keeps(out), in, sample.Keeps(in))
	}
	background := context.Background()
	cases := []struct {
		rule string
		kept bool
		log  func(*slog.Logger)
	}{
		{"of an order that is not in it", false, func(l *slog.Logger) { l.Info("m", "correlation_id", out, "order_id", "o") }},
		{"and not of one that is", true, func(l *slog.Logger) { l.Info("m", "correlation_id", in, "order_id", "o") }},
		{"whatever is below WARN", false, func(l *slog.Logger) {
			l.Log(background, slog.LevelWarn-1, "m", "correlation_id", out, "order_id", "o")
		}},
		{"not a warning", true, func(l *slog.Logger) { l.Warn("m", "correlation_id", out, "order_id", "o") }},
		{"not an error", true, func(l *slog.Logger) { l.Error("m", "correlation_id", out, "order_id", "o") }},
		{"not one without a correlation id", true, func(l *slog.Logger) { l.Info("Stopped", "order_id", "o") }},
		{"nor with an empty one", true, func(l *slog.Logger) { l.Info("m", "correlation_id", "", "order_id", "o") }},
		{"nor with one that is no text", true, func(l *slog.Logger) { l.Info("m", "correlation_id", 5, "order_id", "o") }},
		{"not one that names no order", true, func(l *slog.Logger) { l.Info("API key created", "correlation_id", out) }},
		{"whose id the logger has", false, func(l *slog.Logger) { l.With("correlation_id", out).Info("m", "order_id", "o") }},
		{"whose order the logger has", false, func(l *slog.Logger) { l.With("order_id", "o").Info("m", "correlation_id", out) }},
		{"whose id and order the logger has, before a group", false, func(l *slog.Logger) {
			l.With("order_id", "o", "correlation_id", out).WithGroup("g").Info("m", "correlation_id", in)
		}},
		{"whose id the context has", false, func(l *slog.Logger) {
			l.InfoContext(observe.WithCorrelation(background, out), "m", "order_id", "o")
		}},
		{"whose id stands in a group without a name", false, func(l *slog.Logger) {
			l.Info("m", slog.Group("", slog.String("correlation_id", out), slog.String("order_id", "o")))
		}},
		{"whose id has to be asked for", false, func(l *slog.Logger) { l.Info("m", "correlation_id", later(out), "order_id", "o") }},
		{"by the line's own id before the logger's", true, func(l *slog.Logger) {
			l.With("correlation_id", out).Info("m", "correlation_id", in, "order_id", "o")
		}},
		{"by the line's own id before the context's", true, func(l *slog.Logger) {
			l.InfoContext(observe.WithCorrelation(background, out), "m", "correlation_id", in, "order_id", "o")
		}},
		{"not by an id within a group, which is another member", true, func(l *slog.Logger) {
			l.Info("m", slog.Group("g", slog.String("correlation_id", out)), "order_id", "o")
		}},
		{"not by what follows WithGroup", true, func(l *slog.Logger) { l.WithGroup("g").Info("m", "correlation_id", out, "order_id", "o") }},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var sampled, all bytes.Buffer
			one := observe.NewSample(0.5)
			c.log(observe.NewSampledLogger(&sampled, slog.LevelDebug, at, one))
			c.log(observe.NewLogger(&all, slog.LevelDebug, at))
			switch {
			case c.kept && (sampled.String() != all.String() || one.Dropped() != 0):
				t.Errorf("wrote %q, without a sample %q", sampled.String(), all.String())
			case !c.kept && (sampled.Len() > 0 || one.Dropped() != 1):
				t.Errorf("wrote %q, dropped %d", sampled.String(), one.Dropped())
			}
		})
	}
}

type later string

func (l later) LogValue() slog.Value { return slog.StringValue(string(l)) }

// A restart, another instance and a later version have the same sample: these ids say so.
func TestASampleIsTheSameInEveryProcess(t *testing.T) {
	for id, least := range map[string]float64{ // the share from which on it is kept
		"corr-01M8H685A8RF3VBSW3Q1TQBQM5":  0.092995412,
		"corr-01M8H685A8RF3VBSW3Q1TQBQM6":  0.463756649,
		"4bf92f3577b34da6a3ce929d0e0e4736": 0.900039039,
		"my-own-id":                        0.129912774,
	} {
		low, high := 0.0, 1.0
		for range 60 {
			if middle := (low + high) / 2; observe.NewSample(middle).Keeps(id) {
				high = middle
			} else {
				low = middle
			}
		}
		if math.Abs(high-least) > 1e-9 {
			t.Errorf("%s is kept from %.9f on, want %.9f", id, high, least)
		}
	}
}

func TestAShareIsWhatIsKeptOfIt(t *testing.T) {
	const orders = 100_000
	ids := map[string]func(int) string{
		"ids of one millisecond, one after the other": func(i int) string {
			var id ulid.ULID
			id[13], id[14], id[15] = byte(i>>16), byte(i>>8), byte(i)
			return "corr-" + id.String()
		},
		"trace ids": func(i int) string { return fmt.Sprintf("%032x", i) },
		"numbers":   func(i int) string { return fmt.Sprint(i) },
	}
	for what, id := range ids {
		for _, share := range []float64{0.001, 0.01, 0.1, 0.5, 0.9} {
			sample, kept := observe.NewSample(share), 0
			for i := range orders {
				if sample.Keeps(id(i)) {
					kept++
				}
			}
			deviation := math.Sqrt(orders * share * (1 - share))
			if math.Abs(float64(kept)-orders*share) > 4*deviation {
				t.Errorf("%s: of %d orders %d are kept at %v", what, orders, kept, share)
			}
		}
	}
	for _, all := range []float64{1, 0, -1, 1.5, math.NaN(), math.Inf(1)} {
		sample := observe.NewSample(all)
		for i := range 1000 {
			if !sample.Keeps(fmt.Sprint(i)) {
				t.Fatalf("a share of %v drops an order", all)
			}
		}
	}
}

// A logCall is one call of a logger, with its correlation id in one of the places where it may stand.
type logCall struct {
	level   slog.Level
	id      string
	place   string
	ofOrder bool
}

func drawCall(ids []string) *rapid.Generator[logCall] {
	return rapid.Custom(func(t *rapid.T) logCall {
		return logCall{
			level:   slog.Level(rapid.IntRange(int(slog.LevelDebug)-2, int(slog.LevelError)+2).Draw(t, "level")),
			id:      rapid.SampledFrom(ids).Draw(t, "id"),
			place:   rapid.SampledFrom([]string{"line", "logger", "context", "group", "none"}).Draw(t, "place"),
			ofOrder: rapid.Bool().Draw(t, "of an order"),
		}
	})
}

func (c logCall) to(log *slog.Logger, n int) {
	ctx, attrs := context.Background(), []slog.Attr{slog.Int("n", n)}
	if c.ofOrder {
		attrs = append(attrs, slog.String("order_id", "ord-"+c.id))
	}
	id := slog.String("correlation_id", c.id)
	switch c.place {
	case "line":
		attrs = append(attrs, id)
	case "logger":
		log = slog.New(log.Handler().WithAttrs([]slog.Attr{id}))
	case "context":
		ctx = observe.WithCorrelation(ctx, c.id)
	case "group":
		attrs = append(attrs, slog.Attr{Value: slog.GroupValue(id)})
	}
	log.LogAttrs(ctx, c.level, "m", attrs...)
}

// numbers are the n of the lines that are written at the share.
func numbers(t *rapid.T, calls []logCall, share float64) map[int]bool {
	var text bytes.Buffer
	sample := observe.NewSample(share)
	log := observe.NewSampledLogger(&text, slog.LevelDebug-4, nil, sample)
	for n, c := range calls {
		c.to(log, n)
	}
	written := map[int]bool{}
	for line := range strings.Lines(text.String()) {
		var m struct{ N int }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		written[m.N] = true
	}
	if got := sample.Dropped(); got != int64(len(calls)-len(written)) {
		t.Errorf("of %d lines %d are written, and %d were dropped", len(calls), len(written), got)
	}
	return written
}

func TestWhateverIsLoggedASampleKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`), rapid.StringN(1, 8, -1)), 1, 6).Draw(t, "ids")
		calls := rapid.SliceOfN(drawCall(ids), 1, 60).Draw(t, "calls")
		share := rapid.Float64Range(math.SmallestNonzeroFloat64, 1).Draw(t, "share")
		larger := rapid.Float64Range(share, 1).Draw(t, "a larger share")
		written, more := numbers(t, calls, share), numbers(t, calls, larger)
		whole := map[string]bool{} // whether the lines of an id are written
		for n, c := range calls {
			sampled := c.level < slog.LevelWarn && c.place != "none" && c.ofOrder
			switch seen, known := whole[c.id]; {
			case !sampled && !written[n]:
				t.Errorf("at %v the line %+v is lost", share, c)
			case sampled && known && seen != written[n]:
				t.Errorf("at %v some lines of %q are written, and %+v is %v", share, c.id, c, written[n])
			case sampled:
				whole[c.id] = written[n]
			}
			if written[n] && !more[n] {
				t.Errorf("%+v is written at %v, and not at %v", c, share, larger)
			}
		}
		if all := numbers(t, calls, 1); len(all) != len(calls) {
			t.Errorf("of %d lines %d are written at 1", len(calls), len(all))
		}
	})
}

// What eight lines of an order cost: with 4,000 orders/s there are 32,000 a second.
func BenchmarkSample(b *testing.B) {
	for _, share := range []float64{1, 0.01, 1e-9} {
		b.Run(fmt.Sprintf("share %v", share), func(b *testing.B) {
			log := observe.NewSampledLogger(io.Discard, nil, nil, observe.NewSample(share)).With("service", "order_service.handler")
			ids := make([]string, 1024)
			for i := range ids {
				ids[i] = "corr-" + ulid.Make().String()
			}
			ctx, i := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				log.LogAttrs(ctx, slog.LevelInfo, "Order created", slog.String("order_id", "ord-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
					slog.String("correlation_id", ids[i%len(ids)]), slog.Int("total_cents", 1250))
			}
		})
	}
}
