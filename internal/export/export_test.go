package export_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

var start = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// A shop is an order service with nothing around it.
type shop struct {
	*order.Service
	t   *testing.T
	mem *memstore.Store
	now time.Time
	ids byte
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, mem: memstore.New(memstore.Options{}), now: start}
	s.Service = order.New(order.Config{
		Store: s.mem, Catalog: s, Admission: s, Saga: s, Outbox: s, Keys: pii.NewMemoryKeys(),
		Now: func() time.Time { return s.now }, NewID: s.newID, Currency: "USD",
	})
	return s
}

func (s *shop) Quote(_ context.Context, ids []string) (map[string]order.Quote, error) {
	out := map[string]order.Quote{}
	for _, id := range ids {
		out[id] = order.Quote{UnitPriceCents: 250, Available: 100}
	}
	return out, nil
}

func (*shop) Admit(context.Context) error         { return nil }
func (*shop) Stage(*store.Tx, order.Start) error  { return nil }
func (*shop) Begin(string)                        {}
func (*shop) Send(*store.Tx, order.Message) error { return nil }
func (*shop) Failure(context.Context, string) (order.Failure, error) {
	return order.Failure{}, fault.New(fault.NotFound, "none")
}

func (s *shop) newID(prefix string) string {
	s.ids++
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(s.now))
	id[15] = s.ids
	return prefix + id.String()
}

// place places an order a minute after the one before it.
func (s *shop) place(customerID, product string) string {
	s.t.Helper()
	s.now = s.now.Add(time.Minute)
	p, err := s.Place(s.t.Context(), order.PlaceRequest{
		CustomerID: customerID, Lines: []order.RequestLine{{ProductID: product, Quantity: 2}}, Principal: customerID,
		Contact: &order.Contact{Email: "ada@example.test"}, CorrelationID: "corr-1",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.OrderID
}

func (s *shop) cancel(id string) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	if _, err := s.Cancel(s.t.Context(), id, order.CancelRequest{Actor: "operator", CorrelationID: "corr-2"}); err != nil {
		s.t.Fatal(err)
	}
}

type exporter func(context.Context, store.Dumper, io.Writer, export.Options) error

func (s *shop) export(f exporter, o export.Options) string {
	s.t.Helper()
	var out bytes.Buffer
	if err := f(s.t.Context(), s.mem, &out, o); err != nil {
		s.t.Fatal(err)
	}
	return out.String()
}

func TestExport(t *testing.T) {
	s := newShop(t)
	first, second := s.place("cust-1", "A"), s.place("-1", "B")
	s.cancel(first)
	t.Run("of orders is what GET shows of each, without events, in the order of their creation", func(t *testing.T) {
		lines := strings.Split(strings.TrimSuffix(s.export(export.Orders, export.Options{Format: export.NDJSON}), "\n"), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines: %s", len(lines), lines)
		}
		for i, id := range []string{first, second} {
			var got, want map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatal(err)
			}
			view, err := s.Get(t.Context(), id, order.ViewQuery{})
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(view)
			_ = json.Unmarshal(text, &want)
			delete(want, "events")
			want["created_at"], want["updated_at"] = view.Events[0].Timestamp, view.Events[len(view.Events)-1].Timestamp
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		}
	})
	t.Run("of events is every log in full", func(t *testing.T) {
		lines := strings.Split(strings.TrimSuffix(s.export(export.Events, export.Options{Format: export.NDJSON}), "\n"), "\n")
		page, err := s.Events(t.Context(), first, 0, 100)
		log := page.Events
		if err != nil || len(lines) != 3 || len(log) != 2 {
			t.Fatalf("%d lines, %d events, %v", len(lines), len(log), err)
		}
		for i, want := range log {
			var got export.Event
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatal(err)
			}
			if got.OrderID != first || got.Version != want.Version || got.Type != want.Type || got.Hash != want.Hash || got.Actor != want.Actor ||
				got.CorrelationID != want.CorrelationID || got.Timestamp != want.Timestamp.Format(eventlog.Layout) || len(got.Data) != len(want.Data) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		}
	})
	t.Run("as CSV has a header, CRLF, JSON in a cell, and no formula", func(t *testing.T) {
		text := s.export(export.Orders, export.Options{Format: export.CSV})
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != 3 || strings.Count(text, "\r\n") != 3 || strings.Count(text, "\n") != 3 {
			t.Fatalf("%v in %q", err, text)
		}
		if rows[0][0] != "order_id" || rows[1][0] != first || rows[2][0] != second || rows[2][2] != "'-1" {
			t.Errorf("%q", rows)
		}
		var items []order.Line
		if err := json.Unmarshal([]byte(rows[1][3]), &items); err != nil || items[0] != (order.Line{ProductID: "A", Quantity: 2, UnitPriceCents: 250}) {
			t.Errorf("%v %+v", err, items)
		}
		rows, err = csv.NewReader(strings.NewReader(s.export(export.Events, export.Options{Format: export.CSV}))).ReadAll()
		if err != nil || len(rows) != 4 || rows[3][6] != "'-1" || !json.Valid([]byte(rows[3][4])) || rows[2][4] != "" {
			t.Errorf("%v %q", err, rows)
		}
	})
	t.Run("since a time leaves out what is older: orders by their creation, events by their own time", func(t *testing.T) {
		for _, c := range []struct {
			since          time.Time
			orders, events int
		}{
			{start, 2, 3},
			{start.Add(time.Minute), 2, 3}, // the first one's very moment
			{start.Add(time.Minute + time.Millisecond), 1, 2},
			{start.Add(2*time.Minute + time.Second), 0, 1}, // the cancel of the first
			{start.Add(time.Hour), 0, 0},
			{time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), 0, 0},
			{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), 2, 3},
		} {
			o := export.Options{Format: export.NDJSON, Since: c.since}
			orders, events := strings.Count(s.export(export.Orders, o), "\n"), strings.Count(s.export(export.Events, o), "\n")
			if orders != c.orders || events != c.events {
				t.Errorf("since %s: %d orders, %d events; want %d, %d", c.since, orders, events, c.orders, c.events)
			}
		}
	})
	t.Run("holds no contact", func(t *testing.T) {
		for _, f := range []exporter{export.Orders, export.Events} {
			for _, format := range []export.Format{export.NDJSON, export.CSV} {
				if text := s.export(f, export.Options{Format: format}); strings.Contains(text, "example.test") || strings.Contains(text, "sealed") {
					t.Error(text)
				}
			}
		}
	})
	t.Run("knows no other format", func(t *testing.T) {
		if err := export.Orders(t.Context(), s.mem, io.Discard, export.Options{Format: "xml"}); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v", err)
		}
	})
	t.Run("that cannot be written, or whose context ends, is an error", func(t *testing.T) {
		full := errors.New("full")
		if err := export.Orders(t.Context(), s.mem, failing{full}, export.Options{Format: export.CSV}); !errors.Is(err, full) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := export.Events(ctx, s.mem, io.Discard, export.Options{Format: export.NDJSON}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("of a log that cannot be read is an error, and not an export without it", func(t *testing.T) {
		err := s.mem.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(eventlog.Key(order.Table, second, 1), store.Item{store.S("event", "{")})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []exporter{export.Orders, export.Events} {
			if err := f(t.Context(), s.mem, io.Discard, export.Options{Format: export.NDJSON}); err == nil || !strings.Contains(err.Error(), second) {
				t.Errorf("%v", err)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
