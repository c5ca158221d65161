package eventlog

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

const table = "streams"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// appendTo stages events in a transaction of their own.
func appendTo(t testing.TB, s store.Store, stream string, at Head, now time.Time, events ...New) (Head, []Event) {
	t.Helper()
	var head Head
	var out []Event
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		head, out = Stage(tx, table, stream, at, now, events...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return head, out
}

func readAll(t testing.TB, s store.Store, stream string) []Event {
	t.Helper()
	events, err := Read(t.Context(), s, table, stream, 0, 0, store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func three(t testing.TB) (*memstore.Store, []Event) {
	s := memstore.New(memstore.Options{})
	head, first := appendTo(t, s, "a", Head{}, noon, New{Type: "ONE", Data: map[string]any{"n": json.Number("1")}, Actor: "x", CorrelationID: "c"})
	_, rest := appendTo(t, s, "a", head, noon.Add(time.Second), New{Type: "TWO"}, New{Type: "THREE", Data: map[string]any{}})
	return s, append(first, rest...)
}

func TestStage(t *testing.T) {
	t.Run("what is read is what was staged, and it verifies", func(t *testing.T) {
		s, staged := three(t)
		read := readAll(t, s, "a")
		if !reflect.DeepEqual(read, staged) {
			t.Fatalf("read   %v\nstaged %v", read, staged)
		}
		if err := Verify(read); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("timestamps are whole milliseconds in UTC", func(t *testing.T) {
		_, staged := three(t)
		if got, want := staged[0].Timestamp, noon.Truncate(time.Millisecond); !got.Equal(want) || got.Location() != time.UTC {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
	t.Run("a clock that goes back does not take the timestamps with it", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		head, _ := appendTo(t, s, "a", Head{}, noon, New{Type: "ONE"})
		_, late := appendTo(t, s, "a", head, noon.Add(-time.Hour), New{Type: "TWO"})
		if !late[0].Timestamp.Equal(head.Timestamp) {
			t.Fatalf("got %v, want %v", late[0].Timestamp, head.Timestamp)
		}
	})
	t.Run("a stale head is refused, and nothing is written", func(t *testing.T) {
		s, staged := three(t)
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			Stage(tx, table, "a", Head{Version: 1, Hash: staged[0].Hash, Timestamp: noon}, noon, New{Type: "OTHER"})
			return nil
		})
		if store.RefusalOf(err) == nil {
			t.Fatalf("got %v, want a refusal", err)
		}
		if n := len(readAll(t, s, "a")); n != 3 {
			t.Fatalf("%d events, want 3", n)
		}
	})
	t.Run("the canonical form is that of RFC 8785", func(t *testing.T) {
		e := Event{Version: 7, Type: "T\"", Timestamp: noon, Actor: "é", CorrelationID: "c\n", Data: map[string]any{"b": json.Number("2"), "a": []any{nil, true}}}
		want := jcs.Append(nil, map[string]any{
			"version": int64(7), "type": e.Type, "timestamp": "2026-03-01T12:00:00.123Z", "actor": e.Actor,
			"correlation_id": e.CorrelationID, "data": e.Data,
		})
		if got := appendCanonical(nil, e); string(got) != string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestRead(t *testing.T) {
	s, staged := three(t)
	for name, c := range map[string]struct {
		after int64
		limit int
		want  []Event
	}{
		"from the beginning":               {0, 0, staged},
		"after a version":                  {1, 0, staged[1:]},
		"no more than the limit":           {0, 2, staged[:2]},
		"nothing is after the last one":    {3, 0, []Event{}},
		"a page begins where one left off": {2, 1, staged[2:]},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(t.Context(), s, table, "a", c.after, c.limit, store.Strong)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %v, %v\nwant %v", got, err, c.want)
			}
		})
	}
	t.Run("streams are apart", func(t *testing.T) {
		if n := len(readAll(t, s, "b")); n != 0 {
			t.Fatalf("%d events of a stream that does not exist", n)
		}
	})
}

func TestVerify(t *testing.T) {
	edits := map[string]struct {
		edit    func([]Event) []Event
		version string
	}{
		"a changed type":          {func(e []Event) []Event { e[1].Type = "TWO!"; return e }, "version 2"},
		"changed data":            {func(e []Event) []Event { e[0].Data = map[string]any{"n": json.Number("2")}; return e }, "version 1"},
		"a changed actor":         {func(e []Event) []Event { e[2].Actor = "y"; return e }, "version 3"},
		"a changed time":          {func(e []Event) []Event { e[2].Timestamp = e[2].Timestamp.Add(1e6); return e }, "version 3"},
		"a time that falls":       {func(e []Event) []Event { e[1].Timestamp = noon.Add(-time.Hour); return e }, "version 2"},
		"an event left out":       {func(e []Event) []Event { return append(e[:1], e[2:]...) }, "version 2"},
		"the first one left out":  {func(e []Event) []Event { return e[1:] }, "version 1"},
		"two events swapped":      {func(e []Event) []Event { e[1], e[2] = e[2], e[1]; return e }, "version 2"},
		"a hash of other content": {func(e []Event) []Event { e[0].Hash = e[1].Hash; return e }, "version 1"},
		"a hash that is none":     {func(e []Event) []Event { e[0].Hash = "x"; return e }, "version 1"},
	}
	for name, c := range edits {
		t.Run(name+" is found, and the version named", func(t *testing.T) {
			_, staged := three(t)
			err := Verify(c.edit(staged))
			if err == nil || !strings.Contains(err.Error(), c.version+":") {
				t.Fatalf("got %v, want %s", err, c.version)
			}
		})
	}
	t.Run("a stream cut off at its end still verifies: its head has to be kept elsewhere", func(t *testing.T) {
		_, staged := three(t)
		if err := Verify(staged[:2]); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecode(t *testing.T) {
	good := `{"actor":"a","correlation_id":"c","data":null,"timestamp":"2026-03-01T12:00:00.123Z","type":"T","version":1}`
	entry := func(sk, text string) store.Entry {
		return store.Entry{Key: store.Key{Table: table, PK: "a", SK: sk}, Item: store.Item{store.S("event", text), store.S("hash", "h")}}
	}
	t.Run("an event's item is read", func(t *testing.T) {
		e, err := Decode(entry("event#0000000001", good))
		if err != nil || e.Type != "T" || e.Data != nil || e.Hash != "h" {
			t.Fatalf("got %v, %v", e, err)
		}
	})
	for name, en := range map[string]store.Entry{
		"an event in another's place": entry("event#0000000002", good),
		"no event at all":             entry("event#0000000001", ""),
		"an unfinished text":          entry("event#0000000001", good[:len(good)-1]),
		"trailing text":               entry("event#0000000001", good+" "),
		"data that is no object":      entry("event#0000000001", strings.Replace(good, "null", "[]", 1)),
		"two objects as data":         entry("event#0000000001", strings.Replace(good, "null", "{}{}", 1)),
		"a timestamp that is none":    entry("event#0000000001", strings.Replace(good, "12:00", "1200", 1)),
		"a string without an end":     entry("event#0000000001", `{"actor":"a`),
		"another order of members":    entry("event#0000000001", strings.Replace(good, `"actor":"a",`, "", 1)),
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if e, err := Decode(en); !fault.Is(err, fault.Internal) {
				t.Fatalf("got %v, %v", e, err)
			}
		})
	}
}

func TestDecodeExact(t *testing.T) {
	good := `{"actor":"a","correlation_id":"c","data":{"a":1,"b":2},"timestamp":"2026-03-01T12:00:00.123Z","type":"T","version":1}`
	entry := func(text string) store.Entry {
		return store.Entry{Key: store.Key{Table: table, PK: "a", SK: "event#0000000001"}, Item: store.Item{store.S("event", text)}}
	}
	t.Run("the canonical text is read", func(t *testing.T) {
		if e, err := DecodeExact(entry(good)); err != nil || e.Type != "T" {
			t.Fatalf("got %v, %v", e, err)
		}
	})
	for name, text := range map[string]string{
		"an escape that is not needed":    strings.Replace(good, `"T"`, `"\u0054"`, 1),
		"members in another order":        strings.Replace(good, `"a":1,"b":2`, `"b":2,"a":1`, 1),
		"a member twice":                  strings.Replace(good, `"a":1`, `"a":9,"a":1`, 1),
		"a version with a zero before it": strings.Replace(good, `"version":1`, `"version":01`, 1),
	} {
		t.Run(name+" is refused, though it says the same", func(t *testing.T) {
			if _, err := Decode(entry(text)); err != nil {
				t.Fatalf("not even read: %v", err)
			}
			if e, err := DecodeExact(entry(text)); !fault.Is(err, fault.Internal) {
				t.Fatalf("got %v, %v", e, err)
			}
		})
	}
}

func TestEventsRoundTrip(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Z_]{1,20}`), rapid.Just(`","timestamp":"x","type":"`))
	data := rapid.OneOf(rapid.Just(map[string]any(nil)), rapid.MapOf(text, rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return json.Number(string(jcs.Append(nil, n))) }),
		rapid.Map(text, func(s string) any { return map[string]any{"timestamp": s} }),
	)))
	rapid.Check(t, func(t *rapid.T) {
		e := Event{
			Version:       rapid.Int64Range(1, 9_999_999_999).Draw(t, "version"),
			Type:          text.Draw(t, "type"),
			Timestamp:     time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC(),
			Data:          data.Draw(t, "data"),
			CorrelationID: text.Draw(t, "correlation"),
			Actor:         text.Draw(t, "actor"),
		}
		got, err := parse(string(appendCanonical(nil, e)))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, e)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`{"actor":"a","correlation_id":"c","data":{"x":[1,"\u0000"]},"timestamp":"2026-03-01T12:00:00.123Z","type":"T","version":1}`)
	f.Add(`{"actor":"\`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parse(text) }) // neither panics nor hangs
}

func BenchmarkAppend(b *testing.B) {
	data := map[string]any{"amount_cents": json.Number("155898"), "payment_id": "pay-01JCQZ8V3W5K7M9N1P3R5T7V9X"}
	read := func(store.Key) (store.Item, uint64, error) { return nil, 0, nil }
	at := Head{}
	b.ReportAllocs()
	for b.Loop() {
		tx := store.NewTx(read)
		at, _ = Stage(tx, table, "ord-01JCQZ8V3W5K7M9N1P3R5T7V9X", at, noon, New{
			Type: "PAYMENT_CHARGED", Data: data, CorrelationID: "corr-01JCQZ8V3W5K7M9N1P3R5T7V9X", Actor: "saga",
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	s, _ := three(b)
	entries, err := s.Range(b.Context(), store.Query{Table: table, PK: "a"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, en := range entries {
			if _, err := Decode(en); err != nil {
				b.Fatal(err)
			}
		}
	}
}
