package httpapi_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
)

func TestTasks(t *testing.T) {
	task := flow.HandedOut{
		Execution: orderID + "-r1", State: "FraudCheck", Resource: "r.waitForTaskToken", Token: "t-1", Input: map[string]any{"total_cents": 8999},
		Since: start, Beat: start.Add(time.Minute), Until: start.Add(time.Hour),
	}
	t.Run("they are listed a page at a time, with the order where it is one's", func(t *testing.T) {
		w := newWorld()
		w.tasks = []flow.HandedOut{task, {Execution: "nightly", State: "Ask", Resource: "r.waitForTaskToken", Token: "t-2", Since: start, Beat: start}}
		c := w.serve(t)
		a := c.send("GET", "/admin/tasks?limit=2", "")
		const want = `{"tasks":[{"token":"t-1","execution":"` + orderID + `-r1","order_id":"` + orderID + `","state":"FraudCheck","resource":"r.waitForTaskToken",` +
			`"input":{"total_cents":8999},"since":"2026-01-15T10:30:00Z","last_heartbeat_at":"2026-01-15T10:31:00Z","times_out_at":"2026-01-15T11:30:00Z"},` +
			`{"token":"t-2","execution":"nightly","state":"Ask","resource":"r.waitForTaskToken","since":"2026-01-15T10:30:00Z"}],"next_cursor":"`
		next, _ := a.problem(t)["next_cursor"].(string)
		if !strings.HasPrefix(a.body, want) || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s", a.body)
		}
		w.tasks = nil
		if a := c.send("GET", "/admin/tasks?cursor="+next, ""); a.body != `{"tasks":[]}` || w.listAfter != "nightly/0000000007" {
			t.Errorf("after %q: %s", w.listAfter, a.body)
		}
		if a := c.send("GET", "/admin/dlq?cursor="+next, ""); a.status != 400 {
			t.Errorf("the cursor of another list: %d %s", a.status, a.body)
		}
	})
	t.Run("an answer reaches the engine as it was sent, to the last digit", func(t *testing.T) {
		for _, c := range []struct{ path, body, want string }{
			{"success", `{"token":"t-1"}`, `success t-1 null`},
			{"success", `{"output":null,"token":"t-1"}`, `success t-1 null`},
			{"success", `{"token":"t-1","output":false}`, `success t-1 false`},
			{"success", `{"token":"t-1","output":""}`, `success t-1 ""`},
			{
				"success", `{"token":"t-1","output": {"n":12345678901234567890.10, "m":1.0, "e":1E+2, "z":-0, "é":"\u00e9\n", "a":[[],{},null]}}`,
				`success t-1 {"a":[[],{},null],"e":1E+2,"m":1.0,"n":12345678901234567890.10,"z":-0,"é":"é\n"}`,
			},
			{"failure", `{"token":"t-1"}`, `failure t-1 "" ""`},
			{"failure", `{"token":"t-1","error":"Fraud","cause":"Three \"cards\"."}`, `failure t-1 "Fraud" "Three \"cards\"."`},
			{"failure", `{"token":"` + strings.Repeat("t", 512) + `","error":"` + strings.Repeat("e", 256) + `","cause":"` + strings.Repeat("c", 32768) + `"}`,
				`failure ` + strings.Repeat("t", 512) + ` "` + strings.Repeat("e", 256) + `" "` + strings.Repeat("c", 32768) + `"`},
			{"heartbeat", `{"token":"t-1"}`, `heartbeat t-1`},
		} {
			w := newWorld()
			a := w.serve(t).send("POST", "/admin/tasks/"+c.path, c.body)
			if a.status != 200 || a.body != `{}` || !slices.Equal(w.answers, []string{c.want}) {
				t.Errorf("%s %.100s: %d %s, the engine heard %.200q, want %.200s", c.path, c.body, a.status, a.body, w.answers, c.want)
			}
		}
	})
	t.Run("the log says who answered and never a token", func(t *testing.T) {
		w := newWorld()
		c := w.serve(t)
		for _, path := range []string{"success", "failure", "heartbeat"} {
			c.send("POST", "/admin/tasks/"+path, `{"token":"t-secret"}`)
		}
		log := w.log.String()
		if strings.Count(log, `"actor":"anonymous"`) != 2 || !strings.Contains(log, `"outcome":"failure"`) || strings.Contains(log, "t-secret") {
			t.Errorf("log: %s", log)
		}
	})
}

func TestAnswersToTasksThatAreRefused(t *testing.T) {
	const success, failure, heartbeat = "/admin/tasks/success", "/admin/tasks/failure", "/admin/tasks/heartbeat"
	nested := func(levels int) string {
		return `{"token":"t","output":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`
	}
	for _, c := range []refusal{
		{rule: "more tasks than a page has", method: "GET", path: "/admin/tasks?limit=101", status: 400, field: "limit"},
		{rule: "a cursor of one's own", method: "GET", path: "/admin/tasks?cursor=o-1", status: 400, field: "cursor"},
		{rule: "a status of tasks", method: "GET", path: "/admin/tasks?status=open", status: 400, field: "status"},

		{rule: "no token", path: success, body: `{"output":1}`, status: 422, field: "token"},
		{rule: "an empty token", path: heartbeat, body: `{"token":""}`, status: 422, field: "token"},
		{rule: "a token that is a number", path: failure, body: `{"token":1}`, status: 422, field: "token"},
		{rule: "a token that is too long", path: heartbeat, body: `{"token":"` + strings.Repeat("t", 513) + `"}`, status: 422, field: "token"},
		{rule: "a result by another name, which would have been null", path: success, body: `{"token":"t","result":1}`, status: 400, field: "result"},
		{rule: "an output of a failure", path: failure, body: `{"token":"t","output":1}`, status: 400, field: "output"},
		{rule: "an output that is nested too deeply", path: success, body: nested(17), status: 400, field: "output" + strings.Repeat("[0]", 16)},
		{rule: "a member of the output twice", path: success, body: `{"token":"t","output":{"a":1,"a":2}}`, status: 400, field: "output.a"},
		{rule: "an error that is too long", path: failure, body: `{"token":"t","error":"` + strings.Repeat("e", 257) + `"}`, status: 422, field: "error"},
		{rule: "an error that is an object", path: failure, body: `{"token":"t","error":{}}`, status: 422, field: "error"},
		{rule: "a cause that is too long", path: failure, body: `{"token":"t","cause":"` + strings.Repeat("c", 32769) + `"}`, status: 422, field: "cause"},
		{rule: "no token of ours", path: success, body: `{"token":"t"}`, status: 400, err: fault.New(fault.BadRequest, "This is no task token.")},
		{rule: "a token of no task", path: heartbeat, body: `{"token":"t"}`, status: 404, err: fault.New(fault.TaskDoesNotExist, "x")},
		{rule: "a task that is closed", path: failure, body: `{"token":"t"}`, status: 409, err: fault.New(fault.TaskTimedOut, "x")},
	} {
		if c.method == "" {
			c.method = "POST"
		}
		c.code = map[int]string{400: "BAD_REQUEST", 404: "TASK_DOES_NOT_EXIST", 409: "TASK_TIMED_OUT", 422: "VALIDATION_FAILED"}[c.status]
		t.Run(c.rule, c.run)
	}
	t.Run("an output of 15 levels is one", func(t *testing.T) {
		if a := newWorld().serve(t).send("POST", success, nested(15)); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestAnAnswerIsWaitedFor(t *testing.T) {
	const success, body = "/admin/tasks/success", `{"token":"t-1"}`
	t.Run("until it is durable", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.taken = make(chan struct{})
			time.AfterFunc(19*time.Second, func() { close(w.taken) })
			began := time.Now()
			if status, answer := call(t, c, "POST", body, success); status != 200 || answer != "{}" || time.Since(began) != 19*time.Second {
				t.Errorf("%d %s after %s", status, answer, time.Since(began))
			}
		})
	})
	t.Run("20 seconds at most", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.taken = make(chan struct{}) // never
			began := time.Now()
			if status, answer := call(t, c, "POST", body, success); status != 503 || time.Since(began) != 20*time.Second {
				t.Errorf("%d %s after %s", status, answer, time.Since(began))
			}
		})
	})
	t.Run("though the server drains, which takes no other", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.taken = make(chan struct{})
			time.AfterFunc(time.Second, w.drain.Start)
			time.AfterFunc(2*time.Second, func() { close(w.taken) })
			if status, answer := call(t, c, "POST", body, success); status != 200 {
				t.Errorf("%d %s", status, answer)
			}
			if status, answer := call(t, c, "POST", body, success); status != 503 || len(w.answers) != 1 {
				t.Errorf("%d %s, the engine heard %q", status, answer, w.answers)
			}
		})
	})
	t.Run("not for a caller that has gone", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.taken = make(chan struct{}) // never: the bubble ends only when nobody waits
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://server"+success, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			began := time.Now()
			if resp, err := c.Do(r); err == nil {
				resp.Body.Close()
				t.Errorf("%s", resp.Status)
			}
			synctest.Wait()
			if took := time.Since(began); took != time.Second {
				t.Errorf("after %s", took)
			}
		})
	})
}
