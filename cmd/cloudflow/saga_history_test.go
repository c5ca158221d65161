package main

import (
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestSagaHistoryCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	good := s.place("--item", "MOUSE-01=1")
	declined := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	type event struct {
		ID, PreviousEventID int64
		Type, Timestamp     string
		Started             struct{ Input, RoleArn string } `json:"executionStartedEventDetails"`
		Entered             struct{ Name, Input string }    `json:"stateEnteredEventDetails"`
		Scheduled           struct {
			Resource, Input  string
			TimeoutInSeconds int
		} `json:"lambdaFunctionScheduledEventDetails"`
		Failed    struct{ Error, Cause string } `json:"lambdaFunctionFailedEventDetails"`
		Succeeded struct {
			Output        string
			OutputDetails struct{ Truncated bool }
		} `json:"executionSucceededEventDetails"`
	}
	type history struct{ Events []event }
	t.Run("it has GetExecutionHistory's shape", func(t *testing.T) {
		h := one[history](s.cli("saga", "history", declined.OrderID, "--json").exits(0)).Events
		timeouts, failures := 0, 0
		for i, e := range h {
			if _, err := time.Parse(time.RFC3339, e.Timestamp); err != nil || e.ID != int64(i+1) || e.PreviousEventID >= e.ID || e.Type == "" {
				t.Errorf("event %d: %+v", i+1, e)
			}
			if e.Scheduled.TimeoutInSeconds > 0 && strings.HasPrefix(e.Scheduled.Resource, "arn:") && e.Scheduled.Input != "" {
				timeouts++
			}
			if e.Failed.Error == "PaymentDeclined" && strings.Contains(e.Failed.Cause, "errorMessage") {
				failures++
			}
		}
		if len(h) < 20 || timeouts == 0 || failures != 1 {
			t.Fatalf("%d events, %d with a timeout, %d failures", len(h), timeouts, failures)
		}
		first, last := h[0], h[len(h)-1]
		if first.Type != "ExecutionStarted" || !strings.Contains(first.Started.Input, declined.OrderID) || !strings.HasPrefix(first.Started.RoleArn, "arn:aws:iam::") {
			t.Errorf("it begins with %+v", first)
		}
		if last.Type != "ExecutionSucceeded" {
			t.Errorf("it ends with %+v", last)
		}
		if v, err := asl.DecodeJSON([]byte(first.Started.Input)); err != nil || v == nil {
			t.Errorf("the input is no JSON text: %v", err)
		}
	})
	t.Run("for a person it is one event a line", func(t *testing.T) {
		r := s.cli("saga", "history", good.OrderID, "--execution", good.OrderID).exits(0).prints("1  ", "  ExecutionStarted  {", "  TaskStateEntered  {", `"name":"ChargePayment"`)
		saga := one[apigen.Saga](s.cli("saga", "show", good.OrderID, "--json").exits(0))
		if n := strings.Count(r.out, "\n"); n != len(saga.History) {
			t.Errorf("%d lines for %d events", n, len(saga.History))
		}
	})
	t.Run("what is not there is refused", func(t *testing.T) {
		s.cli("saga", "history", "ord-00000000000000000000000000").exits(1).hints("404")
		s.cli("saga", "history", good.OrderID, "--execution", good.OrderID+"-r7").exits(1).hints("404")
		s.cli("saga", "history", good.OrderID, "--data", s.data, "--url", s.url).exits(2).hints("exclude each other")
		s.cli("saga", "history").exits(2)
	})
	texts := map[string]string{}
	for _, id := range []string{good.OrderID, declined.OrderID} {
		texts[id] = s.cli("saga", "history", id, "--json").exits(0).out
	}
	s.end()
	t.Run("the directory of a stopped instance gives the same bytes", func(t *testing.T) {
		for id, text := range texts {
			if r := invoke(t, nil, "saga", "history", id, "--data", s.data, "--json").exits(0); r.out != text {
				t.Errorf("%s\nwant %s", r.out, text)
			}
		}
		invoke(t, nil, "saga", "history", "ord-00000000000000000000000000", "--data", s.data).exits(1)
		invoke(t, nil, "saga", "history", good.OrderID, "--data", t.TempDir()).exits(1).hints("is no data directory")
	})
}
