package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/observe"
)

func at() time.Time { return time.Date(2026, 1, 15, 12, 30, 0, 47_900_000, time.FixedZone("", 2*3600)) }

func TestALine(t *testing.T) {
	cases := []struct {
		rule string
		log  func(*slog.Logger)
		want string
	}{
		{"it begins with timestamp, level, service and message", func(l *slog.Logger) {
			l.With("service", "inventory_service.handler").Info("Inventory reserved",
				"order_id", "abc-123", "reservation_id", "res-456", "correlation_id", "corr-789")
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","service":"inventory_service.handler","message":"Inventory reserved",` +
			`"order_id":"abc-123","reservation_id":"res-456","correlation_id":"corr-789"}`},
		{"the last service wins", func(l *slog.Logger) { l.With("service", "a").With("service", "b").Warn("m", "service", "c") },
			`{"timestamp":"2026-01-15T10:30:00.047Z","level":"WARN","service":"c","message":"m"}`},
		{"an attribute cannot pose as a member of the line", func(l *slog.Logger) {
			l.With("level", "x").Error("m", "message", "y", slog.Group("", slog.String("service", "z")), "timestamp", 1)
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"ERROR","message":"m","level_":"x","message_":"y","service_":"z","timestamp_":1}`},
		{"a newline stays within its string", func(l *slog.Logger) { l.Info("a\nb", "k\r\n", "\x00\x1b\"\\\t\x7f\u2028\u0085é") },
			`{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"a\nb","k\r\n":"\u0000\u001b\"\\\t\u007f\u2028\u0085é"}`},
		{"bytes that are no text are replaced", func(l *slog.Logger) { l.Info("a\xffb\xc3") },
			`{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"a` + "\uFFFD" + `b` + "\uFFFD" + `"}`},
		{"values have the JSON type that suits them", func(l *slog.Logger) {
			l.Info("m", "i", -5, "u", uint64(math.MaxUint64), "b", true, "f", 1.5, "nan", math.NaN(), "d", 1500*time.Millisecond,
				"t", at(), "e", errors.New("no"), "s", time.March, "l", []int{1, 2}, "n", nil, "raw", json.RawMessage("{\n\"a\": 1}"))
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","i":-5,"u":18446744073709551615,"b":true,"f":1.5,"nan":"NaN",` +
			`"d":"1.5s","t":"2026-01-15T10:30:00.0479Z","e":"no","s":"March","l":[1,2],"n":null,"raw":{"a":1}}`},
		{"a value that cannot be written says so", func(l *slog.Logger) {
			l.Info("m", "c", make(chan int), "p", panics{}, "r", json.RawMessage("{"), "nil", (*nilError)(nil))
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","c":"!ERROR: chan int: json: unsupported type: chan int",` +
			`"p":"!PANIC: observe_test.panics","r":"!ERROR: json.RawMessage: json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input",` +
			`"nil":"!PANIC: *observe_test.nilError"}`},
		{"a card's number is struck out of every text, and numbers stay what they are", func(l *slog.Logger) {
			l.With("a", "4111111111111111").Info("paid with 4111 1111 1111 1111", "4111111111111111", "x", "e", errors.New("4111-1111-1111-1111"),
				"n", 4111111111111111, "j", map[string]any{"4111111111111111": "\"4111111111111111", "n": 4111111111111111},
				"id", "ord-01ARZ3NDEKTSV4RRFFQ69G5FAV", "raw", json.RawMessage(`["a\\",4111111111111111,"4111111111111111"]`))
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"paid with [card number]","a":"[card number]","[card number]":"x",` +
			`"e":"[card number]","n":4111111111111111,"j":{"[card number]":"\"[card number]","n":4111111111111111},` +
			`"id":"ord-01ARZ3NDEKTSV4RRFFQ69G5FAV","raw":["a\\",4111111111111111,"[card number]"]}`},
		{"groups are objects, empty ones are nothing", func(l *slog.Logger) {
			l.WithGroup("g").With("a", 1).WithGroup("h").Info("m", "b", 2, slog.Group("i", "level", 3), slog.Group("j"))
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","g":{"a":1,"h":{"b":2,"i":{"level":3}}}}`},
		{"a group that holds itself ends", func(l *slog.Logger) { l.Info("m", "g", endless{}) },
			`{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","g":{"g":{"g":{"g":{"g":{"g":{"g":{"g":{}}}}}}}},"truncated":true}`},
		{"the context's correlation id is added", func(l *slog.Logger) {
			l.InfoContext(observe.WithCorrelation(context.Background(), "corr-1"), "m")
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","correlation_id":"corr-1"}`},
		{"a line's own correlation id goes before the context's", func(l *slog.Logger) {
			ctx := observe.WithCorrelation(context.Background(), "corr-1")
			l.With("correlation_id", "corr-2").InfoContext(ctx, "m")
		}, `{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","message":"m","correlation_id":"corr-2"}`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var b bytes.Buffer
			c.log(observe.NewLogger(&b, nil, at))
			if got := b.String(); got != c.want+"\n" {
				t.Errorf("wrote\n%swant\n%s", got, c.want)
			}
			checkLine(t, b.Bytes())
		})
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no") }

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

type endless struct{}

func (endless) LogValue() slog.Value { return slog.GroupValue(slog.Any("g", endless{})) }

func TestLevels(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	log := observe.NewLogger(&b, &level, nil)
	log.Debug("no")
	level.Set(slog.LevelDebug)
	log.Debug("yes")
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("wrote %q", b.String())
	}
}

func TestLimits(t *testing.T) {
	t.Run("a huge text is cut between characters, and says how much is gone", func(t *testing.T) {
		var b bytes.Buffer
		observe.NewLogger(&b, nil, at).Info("m", "k", "x"+strings.Repeat("é", observe.MaxValueBytes))
		checkLine(t, b.Bytes())
		if !strings.Contains(b.String(), `é... (+8194 bytes)"`) || strings.Contains(b.String(), "\uFFFD") {
			t.Errorf("wrote ...%s", b.String()[b.Len()-60:])
		}
	})
	t.Run("a line has a greatest length", func(t *testing.T) {
		var b bytes.Buffer
		log := observe.NewLogger(&b, nil, at)
		for i := range 40 {
			log = log.With(fmt.Sprintf("w%d", i), strings.Repeat("\x00", observe.MaxValueBytes))
		}
		log.Info(strings.Repeat("\x01", 1<<20), "last", strings.Repeat("x", 1<<20))
		m := checkLine(t, b.Bytes())
		if b.Len() > 256<<10 || m["truncated"] != true {
			t.Errorf("a line of %d bytes, truncated: %v", b.Len(), m["truncated"])
		}
	})
}

func TestLinesAreWrittenWholeAndOneByOne(t *testing.T) {
	w := &whole{t: t}
	log := observe.NewLogger(w, nil, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			log := log.With("service", fmt.Sprint(i))
			for j := range 200 {
				log.Info("m", "j", j, "pad", strings.Repeat("x", j))
			}
		})
	}
	wg.Wait()
	if w.n != 1600 {
		t.Errorf("%d writes", w.n)
	}
}

// whole is not safe for concurrent use: the race detector watches it.
type whole struct {
	t *testing.T
	n int
}

func (w *whole) Write(p []byte) (int, error) {
	w.n++
	if !json.Valid(p) || bytes.Count(p, []byte("\n")) != 1 {
		w.t.Errorf("wrote %q", p)
	}
	return len(p), nil
}

// checkLine requires one JSON object on one line, without a name twice at its top.
func checkLine(t *testing.T, b []byte) map[string]any {
	t.Helper()
	if n := bytes.Count(b, []byte("\n")); n != 1 || b[len(b)-1] != '\n' {
		t.Fatalf("%d newlines in %q", n, b)
	}
	if !utf8.Valid(b) {
		t.Fatalf("no UTF-8: %q", b)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return m
}

func FuzzLogger(f *testing.F) {
	f.Add("message", "service", "k", "value", int64(5), 1.5, "corr-1")
	f.Add("", "", "", "", int64(0), math.Inf(1), "")
	f.Add("a\nb\xff", "\x00", "level", "\u2028\xed\xa0\x80", int64(-1), math.NaN(), "\"}\n{")
	f.Fuzz(func(t *testing.T, message, service, key, value string, i int64, fl float64, correlation string) {
		var b bytes.Buffer
		log := observe.NewLogger(&b, nil, func() time.Time { return time.Unix(i, 0) }).With("service", service, key, value)
		ctx := observe.WithCorrelation(t.Context(), correlation)
		log.InfoContext(ctx, message, key, fl, value, key, "i", i, "e", errors.New(value), "raw", json.RawMessage(value),
			"map", map[string]any{key: value}, slog.Group(key, slog.String(value, key)), "bytes", []byte(value))
		m := checkLine(t, b.Bytes())
		for _, name := range []string{"timestamp", "level", "message"} {
			if m[name] == nil {
				t.Errorf("no %s in %s", name, b.Bytes())
			}
		}
		b.Reset()
		log.WithGroup(key).WithGroup(value).With(value, key).Warn(message, key, value, key, message)
		checkLine(t, b.Bytes())
	})
}

func TestCorrelationFrom(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = "00-" + trace + "-00f067aa0ba902b7-01"
	cases := []struct {
		rule             string
		correlation, w3c string
		want             string
	}{
		{"a well-formed id is taken over", "my.id_1-2", "", "my.id_1-2"},
		{"it goes before the traceparent", "mine", parent, "mine"},
		{"a malformed one does not", "no spaces", parent, trace},
		{"an id of 64 characters is well-formed", strings.Repeat("x", 64), "", strings.Repeat("x", 64)},
		{"one of 65 is not", strings.Repeat("x", 65), "", ""},
		{"a line break is not", "a\nb", "", ""},
		{"dots that a path could not name are not", "..", "", ""},
		{"a card's number is not", "4111111111111111", "", ""},
		{"nor behind something, with dashes", "x.4111-1111-1111-1111", "", ""},
		{"then the traceparent is taken", "4111111111111111", parent, trace},
		{"an id that has such digits by chance is one", "41111111-1111-1111-9d6e-0f2f6f0d8c11", "", "41111111-1111-1111-9d6e-0f2f6f0d8c11"},
		{"of a traceparent the trace id is taken", "", parent, trace},
		{"nothing gives nothing", "", "", ""},
		{"the parent may not be zero", "", "00-" + trace + "-0000000000000000-01", ""},
		{"the trace id may not be zero", "", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"upper case is malformed", "", strings.ToUpper(parent), ""},
		{"version ff is malformed", "", "ff" + parent[2:], ""},
		{"version 00 has no more fields", "", parent + "-more", ""},
		{"a later version may have them", "", "cc" + parent[2:] + "-what-else", trace},
		{"but not glued on", "", "cc" + parent[2:] + "x", ""},
		{"a short one is malformed", "", parent[:54], ""},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			h := http.Header{}
			h.Set("x-correlation-id", c.correlation)
			h.Set("Traceparent", c.w3c)
			got, ok := observe.CorrelationFrom(h.Get)
			if got != c.want || ok != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, ok, c.want)
			}
		})
	}
}

func FuzzTraceID(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, header string) {
		if id, ok := observe.TraceID(header); ok && (len(id) != 32 || !observe.ValidCorrelation(id)) {
			t.Errorf("%q gave %q", header, id)
		}
	})
}

func TestCorrelationOfAContext(t *testing.T) {
	if id, ok := observe.Correlation(t.Context()); ok || id != "" {
		t.Errorf("an empty context carries %q", id)
	}
	if id, ok := observe.Correlation(observe.WithCorrelation(t.Context(), "corr-1")); !ok || id != "corr-1" {
		t.Errorf("carries %q", id)
	}
}

func BenchmarkLine(b *testing.B) {
	log := observe.NewLogger(io.Discard, nil, nil).With("service", "order_service.handler")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelInfo, "Order created", slog.String("order_id", "ord-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
			slog.String("correlation_id", "corr-01ARZ3NDEKTSV4RRFFQ69G5FAV"), slog.Int("total_cents", 1250))
	}
}
