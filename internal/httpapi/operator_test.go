package httpapi_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/notification"
)

func TestSagaList(t *testing.T) {
	waiting := flow.Execution{
		Name: orderID + "-r1", Status: "RUNNING", State: "RefundPayment", Started: start, Updated: start.Add(time.Second), Wakes: start.Add(time.Minute),
	}
	failed := failedExecution()
	failed.Updated = failed.Ended
	t.Run("a line says where a saga stands, since when, and whether somebody is needed", func(t *testing.T) {
		w := newWorld()
		w.sagas = []httpapi.SagaSummary{{OrderID: orderID, Execution: waiting}, {OrderID: orderID, Execution: failed, NeedsReview: true}}
		a := w.serve(t).send("GET", "/admin/sagas", "")
		const want = `{"sagas":[` +
			`{"order_id":"` + orderID + `","execution":"` + orderID + `-r1","status":"RUNNING","state":"RefundPayment","needs_review":false,` +
			`"started_at":"2026-01-15T10:30:00Z","updated_at":"2026-01-15T10:30:01Z","waits_until":"2026-01-15T10:31:00Z"},` +
			`{"order_id":"` + orderID + `","execution":"` + orderID + `","status":"FAILED","state":"CommitReservation","error":"HoldReleased","needs_review":true,` +
			`"started_at":"2026-01-15T10:30:00Z","updated_at":"2026-01-15T10:30:01Z","ended_at":"2026-01-15T10:30:01Z"}]}`
		if a.body != want || w.which != httpapi.SagasUnfinished {
			t.Errorf("asked for %q: %s", w.which, a.body)
		}
	})
	t.Run("it can be asked for one status, and goes on behind its cursor", func(t *testing.T) {
		w := newWorld()
		w.sagas = []httpapi.SagaSummary{{OrderID: orderID, Execution: failed}}
		c := w.serve(t)
		next, _ := c.send("GET", "/admin/sagas?status=FAILED&limit=1", "").problem(t)["next_cursor"].(string)
		if w.which != httpapi.SagasFailed || next == "" {
			t.Fatalf("asked for %q, next %q", w.which, next)
		}
		w.sagas = nil
		if a := c.send("GET", "/admin/sagas?status=FAILED&cursor="+next, ""); a.body != `{"sagas":[]}` || w.listAfter != orderID {
			t.Errorf("after %q: %s", w.listAfter, a.body)
		}
		if a := c.send("GET", "/admin/sagas?status=RUNNING&cursor="+next, ""); a.status != 400 || !strings.Contains(a.body, `"field":"cursor"`) {
			t.Errorf("the cursor of another list: %d %s", a.status, a.body)
		}
	})
	t.Run("an earlier execution is shown by its name, and all are named", func(t *testing.T) {
		w := newWorld()
		w.execution = failed
		a := w.serve(t).send("GET", "/admin/sagas/"+orderID+"?execution="+orderID+"-r1", "")
		if w.shown != orderID+"-r1" || !strings.Contains(a.body, `"executions":["`+orderID+`","`+orderID+`-r1"]`) {
			t.Errorf("asked for %q: %s", w.shown, a.body)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	letter := notification.DeadLetter{
		ID: orderID + ".v4", OrderID: orderID, Kind: notification.OrderConfirmed, Receives: 3, SentAt: start, DiedAt: start.Add(time.Minute), Reason: "no relay",
	}
	t.Run("they are listed a page at a time, one that cannot be read with what is known", func(t *testing.T) {
		w := newWorld()
		w.letters = []notification.DeadLetter{letter, {ID: "x", Receives: 3, SentAt: start, DiedAt: start}}
		c := w.serve(t)
		a := c.send("GET", "/admin/dlq?limit=2", "")
		const want = `{"letters":[{"id":"` + orderID + `.v4","order_id":"` + orderID + `","kind":"ORDER_CONFIRMED","receives":3,` +
			`"sent_at":"2026-01-15T10:30:00Z","died_at":"2026-01-15T10:31:00Z","reason":"no relay"},` +
			`{"id":"x","receives":3,"sent_at":"2026-01-15T10:30:00Z","died_at":"2026-01-15T10:30:00Z"}],"next_cursor":"`
		next, _ := a.problem(t)["next_cursor"].(string)
		if !strings.HasPrefix(a.body, want) {
			t.Errorf("%s", a.body)
		}
		w.letters = nil
		if a := c.send("GET", "/admin/dlq?cursor="+next, ""); a.body != `{"letters":[]}` || w.listAfter != "0001768473000000.x" {
			t.Errorf("after %q: %s", w.listAfter, a.body)
		}
	})
	t.Run("those that are named are redriven, or all, within a bounded time, and the log says who did it", func(t *testing.T) {
		w := newWorld()
		w.letters = []notification.DeadLetter{letter}
		c := w.serve(t)
		if a := c.send("POST", "/admin/dlq/redrive", `{"ids":["a","b"]}`); a.body != `{"redriven":1}` || strings.Join(w.redriven, " ") != "a b" || !w.bounded {
			t.Errorf("redrove %q: %s", w.redriven, a.body)
		}
		if a := c.send("POST", "/admin/dlq/redrive", `{}`); a.body != `{"redriven":1}` || w.redriven != nil {
			t.Errorf("redrove %q: %s", w.redriven, a.body)
		}
		if log := w.log.String(); strings.Count(log, `"redriven":1,"actor":"anonymous"`) != 2 {
			t.Errorf("log: %s", log)
		}
	})
	t.Run("what was moved before an error stands in the log", func(t *testing.T) {
		w := newWorld()
		w.letters, w.err = []notification.DeadLetter{letter}, fault.New(fault.Transient, "the store went away")
		if a := w.serve(t).send("POST", "/admin/dlq/redrive", `{}`); a.status != 503 || !strings.Contains(w.log.String(), `"redriven":1`) {
			t.Errorf("%d %s, log %s", a.status, a.body, w.log.String())
		}
	})
}

func TestFaults(t *testing.T) {
	t.Run("an outage is what was put last, and {} ends it", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		for _, step := range []struct{ put, is string }{
			{`{"down":true}`, `{"down":true}`},
			{`{"only":"capture","rate":5e-1,"status":500}`, `{"only":"capture","rate":0.5,"status":500}`},
			{`{"hang":true,"latency_ms":120000,"lose_replies":1}`, `{"hang":true,"latency_ms":120000,"lose_replies":1}`},
			{`{"down":false,"rate":0,"latency_ms":0}`, `{}`},
			{`{"status":429}`, `{"status":429}`},
			{`{}`, `{}`},
		} {
			if a := c.send("PUT", "/admin/faults", step.put); a.status != 200 || a.body != step.is {
				t.Errorf("put %s: %d %s", step.put, a.status, a.body)
			}
			if a := c.send("GET", "/admin/faults", ""); a.status != 200 || a.body != step.is {
				t.Errorf("after %s: %d %s", step.put, a.status, a.body)
			}
		}
	})
	t.Run("outside development mode there is no such path, for any method", func(t *testing.T) {
		c := newWorld().serve(t, func(c *httpapi.Config) { c.Faults = nil })
		nothing := c.send("GET", "/admin/nothing", "").problem(t)
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "OPTIONS"} {
			a := c.send(method, "/admin/faults", `{"down":true}`)
			if a.status != 404 || a.problem(t)["detail"] != nothing["detail"] || a.header.Get("Allow") != "" {
				t.Errorf("%s: %d %s", method, a.status, a.body)
			}
		}
	})
}

func TestOperatorsCallsThatCannotBeRead(t *testing.T) {
	const letters, faults = "/admin/dlq/redrive", "/admin/faults"
	for _, c := range []refusal{
		{rule: "a status that there is no list of", method: "GET", path: "/admin/sagas?status=SUCCEEDED", status: 400, field: "status"},
		{rule: "a status in small letters", method: "GET", path: "/admin/sagas?status=failed", status: 400, field: "status"},
		{rule: "an empty status", method: "GET", path: "/admin/sagas?status=", status: 400, field: "status"},
		{rule: "no sagas at all", method: "GET", path: "/admin/sagas?limit=0", status: 400, field: "limit"},
		{rule: "more sagas than a page has", method: "GET", path: "/admin/sagas?limit=101", status: 400, field: "limit"},
		{rule: "a limit that is no number", method: "GET", path: "/admin/sagas?limit=abc", status: 400, field: "limit"},
		{rule: "a cursor of one's own", method: "GET", path: "/admin/sagas?cursor=" + orderID, status: 400, field: "cursor"},
		{rule: "a torn cursor", method: "GET", path: "/admin/sagas?cursor=MTpvcmQ%2F", status: 400, field: "cursor"},
		{rule: "an empty execution", method: "GET", path: "/admin/sagas/" + orderID + "?execution=", status: 400, field: "execution"},
		{rule: "an execution that is too long", method: "GET", path: "/admin/sagas/" + orderID + "?execution=" + strings.Repeat("a", 81), status: 400, field: "execution"},
		{rule: "more letters than a page has", method: "GET", path: "/admin/dlq?limit=101", status: 400, field: "limit"},
		{rule: "a cursor with a line break", method: "GET", path: "/admin/dlq?cursor=MToK", status: 400, field: "cursor"},
		{rule: "a status for letters", method: "GET", path: "/admin/dlq?status=dead", status: 400, field: "status"},

		{rule: "ids that are a text", method: "POST", path: letters, body: `{"ids":"all"}`, status: 422, field: "ids"},
		{rule: "ids that are null", method: "POST", path: letters, body: `{"ids":null}`, status: 422, field: "ids"},
		{rule: "an empty list, which is hardly ever meant", method: "POST", path: letters, body: `{"ids":[]}`, status: 422, field: "ids"},
		{rule: "101 ids", method: "POST", path: letters, body: `{"ids":["a"` + strings.Repeat(`,"a"`, 100) + `]}`, status: 422, field: "ids"},
		{rule: "an id that is a number", method: "POST", path: letters, body: `{"ids":["a",1]}`, status: 422, field: "ids[1]"},
		{rule: "an id that is empty", method: "POST", path: letters, body: `{"ids":[""]}`, status: 422, field: "ids[0]"},
		{rule: "an id that is too long", method: "POST", path: letters, body: `{"ids":["` + strings.Repeat("a", 129) + `"]}`, status: 422, field: "ids[0]"},
		{rule: "a member that is misspelt: it would have meant all", method: "POST", path: letters, body: `{"id":["a"]}`, status: 400, field: "id"},

		{rule: "an outage of a misspelt kind", method: "PUT", path: faults, body: `{"donw":true}`, status: 400, field: "donw"},
		{rule: "down that is a text", method: "PUT", path: faults, body: `{"down":"true"}`, status: 422, field: "down"},
		{rule: "hang that is a number", method: "PUT", path: faults, body: `{"hang":1}`, status: 422, field: "hang"},
		{rule: "a rate above 1", method: "PUT", path: faults, body: `{"rate":1.01}`, status: 422, field: "rate"},
		{rule: "a rate below 0", method: "PUT", path: faults, body: `{"rate":-0.1}`, status: 422, field: "rate"},
		{rule: "a rate beyond all numbers", method: "PUT", path: faults, body: `{"rate":1e309}`, status: 422, field: "rate"},
		{rule: "a rate that is a text", method: "PUT", path: faults, body: `{"rate":"0.5"}`, status: 422, field: "rate"},
		{rule: "a share of lost replies above 1", method: "PUT", path: faults, body: `{"lose_replies":2}`, status: 422, field: "lose_replies"},
		{rule: "a status that is no failure", method: "PUT", path: faults, body: `{"status":200}`, status: 422, field: "status"},
		{rule: "a status of 0", method: "PUT", path: faults, body: `{"status":0}`, status: 422, field: "status"},
		{rule: "a latency below nothing", method: "PUT", path: faults, body: `{"latency_ms":-1}`, status: 422, field: "latency_ms"},
		{rule: "a latency of more than two minutes", method: "PUT", path: faults, body: `{"latency_ms":120001}`, status: 422, field: "latency_ms"},
		{rule: "a latency beyond 64 bits", method: "PUT", path: faults, body: `{"latency_ms":9223372036854775808}`, status: 422, field: "latency_ms"},
		{rule: "what the simulator refuses", method: "PUT", path: faults, body: `{"only":"charge"}`, status: 422, field: "only", err: fault.New(fault.ValidationFailed, "x").With("field", "only")},
	} {
		c.code = map[int]string{400: "BAD_REQUEST", 422: "VALIDATION_FAILED"}[c.status]
		t.Run(c.rule, c.run)
	}
	t.Run("a path that is no order", func(t *testing.T) {
		if a := newWorld().serve(t).send("GET", "/admin/sagas/"+url.PathEscape("a b"), ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
