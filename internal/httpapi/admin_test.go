package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/inventory"
)

func failedExecution() flow.Execution {
	return flow.Execution{
		Name: orderID, Status: "FAILED", State: "CommitReservation", Error: "HoldReleased", Cause: `{"errorType":"HoldReleased"}`,
		Input: map[string]any{"order_id": orderID, "total_cents": json.Number("8999")}, Started: start, Ended: start.Add(time.Second),
		History: []asl.HistoryEvent{
			{ID: 1, Type: "ExecutionStarted", Time: start},
			{ID: 2, PreviousID: 1, Type: "TaskStateEntered", Time: start, State: "ReserveStock", Input: map[string]any{"a": nil}},
		},
	}
}

func TestBreakers(t *testing.T) {
	t.Run("all are listed, an open one with its time", func(t *testing.T) {
		a := newWorld().serve(t).send("GET", "/admin/breakers", "")
		const want = `{"breakers":[{"name":"payment-charge","state":"CLOSED","generation":4,"consecutive_failures":0,"attempt":0,"permits_out":0,"probe_successes":0},` +
			`{"name":"payment-refund","state":"OPEN","generation":4,"consecutive_failures":0,"open_until":"2026-01-15T10:31:00Z","attempt":0,"permits_out":0,"probe_successes":0}]}`
		if a.body != want {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("with the store away, what this process goes by is shown, and said so", func(t *testing.T) {
		w := newWorld()
		w.err = fault.New(fault.Unavailable, "away")
		if a := w.serve(t).send("GET", "/admin/breakers", ""); a.status != 200 || strings.Count(a.body, `"stale":true`) != 2 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("trip and reset answer with the new state, and the log says who", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		for _, step := range []struct {
			call string
			want breaker.State
		}{{"trip", breaker.Open}, {"reset", breaker.Closed}} {
			a := c.send("POST", "/admin/breakers/payment-charge/"+step.call, "")
			if a.status != 200 || !strings.Contains(a.body, `"state":"`+string(step.want)+`"`) {
				t.Errorf("%s: %d %s", step.call, a.status, a.body)
			}
		}
		if log := w.log.String(); !strings.Contains(log, "tripped by hand") || !strings.Contains(log, "reset by hand") || !strings.Contains(log, `"actor":"anonymous"`) {
			t.Errorf("log: %s", log)
		}
	})
}

func TestSagas(t *testing.T) {
	t.Run("a saga is shown with its history", func(t *testing.T) {
		w := newWorld()
		w.execution = failedExecution()
		a := w.serve(t).send("GET", "/admin/sagas/"+orderID, "")
		for _, part := range []string{`"execution":"` + orderID, `"status":"FAILED"`, `"state":"CommitReservation"`, `"total_cents":8999`, `"ended_at":"2026-01-15T10:30:01Z"`, `"type":"TaskStateEntered"`} {
			if !strings.Contains(a.body, part) {
				t.Errorf("no %s in %s", part, a.body)
			}
		}
	})
	t.Run("a redrive names the new execution and keeps the reason", func(t *testing.T) {
		w := newWorld()
		a := w.serve(t).send("POST", "/admin/sagas/"+orderID+"/redrive", `{"reason":"The bank said \"yes\"."}`)
		if a.status != 202 || a.body != `{"execution":"`+orderID+`-r1"}` || w.reason != `The bank said "yes".` || a.header.Get("Location") != "/admin/sagas/"+orderID {
			t.Errorf("%d %s, reason %q", a.status, a.body, w.reason)
		}
	})
}

func TestVerify(t *testing.T) {
	t.Run("no violation is an empty list", func(t *testing.T) {
		w := newWorld()
		w.report = httpapi.VerifyReport{Orders: 7, Skipped: 1}
		if a := w.serve(t).send("GET", "/admin/verify", ""); a.body != `{"ok":true,"orders":7,"skipped":1,"violations":[]}` {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("a violation is an answer, not an error", func(t *testing.T) {
		w := newWorld()
		w.report.Violations = []httpapi.Violation{{Invariant: "I1", Subject: "KEYBD-01", Detail: "one is missing"}}
		if a := w.serve(t).send("GET", "/admin/verify", ""); a.status != 200 || !strings.HasPrefix(a.body, `{"ok":false`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestProducts(t *testing.T) {
	t.Run("the list goes on behind its cursor", func(t *testing.T) {
		w := newWorld()
		for _, id := range []string{"A", "B", "C"} {
			w.list = append(w.list, inventory.Product{ProductID: id, Name: id, UnitPriceCents: 1, Version: 1})
		}
		c := w.serve(t)
		var page struct {
			Products   []struct{ ProductID string } `json:"products"`
			NextCursor string                       `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(c.send("GET", "/products?limit=2", "").body), &page); err != nil || len(page.Products) != 2 || page.NextCursor == "" {
			t.Fatalf("%+v %v", page, err)
		}
		w.list = w.list[2:]
		a := c.send("GET", "/products?limit=2&cursor="+page.NextCursor, "")
		if w.listAfter != "B" || strings.Contains(a.body, "next_cursor") {
			t.Errorf("after %q: %s", w.listAfter, a.body)
		}
	})
	t.Run("an empty catalogue is an empty list", func(t *testing.T) {
		if a := newWorld().serve(t).send("GET", "/products", ""); a.body != `{"products":[]}` {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("a product carries the version of its name and price", func(t *testing.T) {
		if a := newWorld().serve(t).send("GET", "/products/KEYBD-01", ""); a.status != 200 || a.header.Get("ETag") != `"v3"` {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
	t.Run("a put with stock creates, without it changes", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		a := c.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":8999,"stock":0}`)
		if a.status != 201 || a.header.Get("Location") != "/products/KEYBD-01" || *w.put.Stock != 0 || w.put.IfMatch != nil || w.put.ProductID != "KEYBD-01" {
			t.Errorf("%d %v %+v", a.status, a.header, w.put)
		}
		for tag, want := range map[string]int64{`"v3"`: 3, `W/"v3"`: -1, `"abc"`: -1, `"v03"`: -1} { // -1: no version, so it never matches
			a = c.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":8999}`, "If-Match", tag)
			if a.status != 200 || w.put.Stock != nil || *w.put.IfMatch != want {
				t.Errorf("%s: %d, If-Match %d", tag, a.status, *w.put.IfMatch)
			}
		}
	})
	t.Run("a restock is answered with the stored bytes, and the product is a part of its fingerprint", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		a := c.send("POST", "/products/A/restock", `{"quantity":5}`, "Idempotency-Key", "k")
		first := w.restocked
		if a.status != 200 || a.header.Get("Idempotent-Replayed") != "" || first.Quantity != 5 || first.IdempotencyKey != "k" || first.Principal != "anonymous" {
			t.Errorf("%d %v %+v", a.status, a.header, first)
		}
		a = c.send("POST", "/products/B/restock", `{"quantity":5}`, "Idempotency-Key", "again")
		if a.header.Get("Idempotent-Replayed") != "true" || w.restocked.Fingerprint == first.Fingerprint {
			t.Errorf("%v", a.header)
		}
	})
}
