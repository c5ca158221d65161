package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

var noon = time.Date(2026, 1, 15, 12, 0, 30, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// recorded is an execution whose history is written as lines of "milliseconds type state error".
func recorded(t *testing.T, ended int, lines ...string) apigen.Saga {
	t.Helper()
	s := apigen.Saga{StartedAt: noon, Status: apigen.SagaStatusRUNNING}
	for i, line := range lines {
		var ms int
		var kind, state, fault string
		if n, _ := fmt.Sscan(line, &ms, &kind, &state, &fault); n < 2 {
			t.Fatalf("no line of a history: %q", line)
		}
		e := apigen.SagaEvent{ID: int64(i + 1), Type: kind, Timestamp: noon.Add(time.Duration(ms) * time.Millisecond)}
		if state != "" && state != "-" {
			e.State = &state
		}
		if fault != "" {
			e.Error, e.Cause = &fault, ptr("because")
		}
		if strings.HasSuffix(kind, "Scheduled") {
			e.Resource, e.Input = ptr("arn:aws:lambda:local:0:function:cloudflow-payment-handler"), map[string]any{"n": i}
		}
		if strings.HasSuffix(kind, "Scheduled") && strings.HasPrefix(state, "Ask") {
			e.Resource = ptr("sendMessage.waitForTaskToken")
		}
		s.History = append(s.History, e)
	}
	if ended >= 0 {
		s.EndedAt = ptr(noon.Add(time.Duration(ended) * time.Millisecond))
	}
	return s
}

// rowsOf writes spans as "state[#attempt] begin-end[ after wait][ error][ open][ undoes]".
func rowsOf(spans []Span) string {
	var lines []string
	for _, s := range spans {
		line := s.State
		if s.Attempt > 0 {
			line += fmt.Sprint("#", s.Attempt)
		}
		line += fmt.Sprintf(" %d-%d", s.Begin.Milliseconds(), s.End.Milliseconds())
		if s.Waits > 0 {
			line += fmt.Sprintf(" after %d", s.Waits.Milliseconds())
		}
		if s.Error != "" {
			line += " " + s.Error
		}
		if s.Open {
			line += " open"
		}
		if s.Asks {
			line += " asks"
		}
		if s.Undoes {
			line += " undoes"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestSpansOfAHistory(t *testing.T) {
	for _, c := range []struct {
		name    string
		ended   int // -1: it runs
		history []string
		rows    []string
	}{
		{"one that has not begun has none", -1, []string{"0 ExecutionStarted"}, nil},
		{"a task that did it at once is one row", 9, []string{
			"0 ExecutionStarted", "0 TaskStateEntered Charge", "1 LambdaFunctionScheduled Charge", "1 LambdaFunctionStarted Charge",
			"8 LambdaFunctionSucceeded Charge", "9 TaskStateExited Charge", "9 ExecutionSucceeded",
		}, []string{"Charge 0-9"}},
		{"each attempt is a row, with what it waited for the one before it; what a later one made good is no failure of the state", 3500, []string{
			"0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "100 LambdaFunctionFailed Charge Transient",
			"1100 LambdaFunctionScheduled Charge", "1200 LambdaFunctionTimedOut Charge States.Timeout",
			"3200 LambdaFunctionScheduled Charge", "3500 LambdaFunctionSucceeded Charge", "3500 TaskStateExited Charge",
		}, []string{"Charge 0-3500", "Charge#1 0-100 Transient", "Charge#2 1100-1200 after 1000 States.Timeout", "Charge#3 3200-3500 after 2000"}},
		{"an error that was caught stays at the state, and what follows undoes", 12, []string{
			"0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "7 LambdaFunctionFailed Charge PaymentDeclined", "7 TaskStateExited Charge",
			"7 TaskStateEntered UndoStock", "7 LambdaFunctionScheduled UndoStock", "12 LambdaFunctionSucceeded UndoStock", "12 TaskStateExited UndoStock",
		}, []string{"Charge 0-7 PaymentDeclined", "UndoStock 7-12 undoes"}},
		{"a caught state that is not said to be left ends where the next begins", 9, []string{
			"0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "4 LambdaFunctionFailed Charge Boom",
			"5 PassStateEntered Next", "9 PassStateExited Next",
		}, []string{"Charge 0-5 Boom", "Next 5-9"}},
		{"what is open goes on until now", -1, []string{
			"0 PassStateEntered A", "2 PassStateExited A", "2 TaskStateEntered Charge", "2 LambdaFunctionScheduled Charge",
		}, []string{"A 0-2", "Charge 2-60000 open"}},
		{"an attempt that is waited for is open, and not the one before it", -1, []string{
			"0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "5 LambdaFunctionFailed Charge Transient", "1005 LambdaFunctionScheduled Charge",
		}, []string{"Charge 0-60000 open", "Charge#1 0-5 Transient", "Charge#2 1005-60000 after 1000 open"}},
		{"a task that was handed out waits for an answer, each attempt for its own", -1, []string{
			"0 TaskStateEntered Ask", "0 TaskScheduled Ask", "0 TaskStarted Ask", "1 TaskSubmitted Ask", "50 TaskTimedOut Ask States.Timeout",
			"60 TaskScheduled Ask", "60 TaskStarted Ask", "61 TaskSubmitted Ask",
		}, []string{"Ask 0-60000 open asks", "Ask#1 0-50 States.Timeout", "Ask#2 60-60000 after 10 open asks"}},
		{"and not before it was handed out, or once it is answered, or left", 100, []string{
			"0 TaskStateEntered Ask1", "0 TaskScheduled Ask1", "0 TaskSubmitted Ask1", "5 TaskSucceeded Ask1", "5 TaskStateExited Ask1",
			"5 TaskStateEntered Ask2", "5 TaskScheduled Ask2", "5 TaskSubmitted Ask2", "9 PassStateEntered A", "9 PassStateExited A", "9 TaskStateEntered Ask3", "9 TaskScheduled Ask3",
		}, []string{"Ask1 0-5", "Ask2 5-9", "A 9-9", "Ask3 9-100 open"}},
		{"a job that runs elsewhere asks nobody", -1, []string{
			"0 TaskStateEntered Job", "0 TaskScheduled Job", "1 TaskSubmitted Job",
		}, []string{"Job 0-60000 open"}},
		{"the end of an execution ends a state that is never left, and says why", 8, []string{
			"0 PassStateEntered A", "1 PassStateExited A", "1 FailStateEntered Lost", "8 ExecutionFailed - TooBad",
		}, []string{"A 0-1", "Lost 1-8 TooBad"}},
		{"an error that nobody caught is the attempt's, which the end does not lengthen", 9, []string{
			"0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "3 LambdaFunctionFailed Charge First",
			"4 LambdaFunctionScheduled Charge", "6 LambdaFunctionFailed Charge Second", "9 ExecutionFailed - Second",
		}, []string{"Charge 0-9 Second", "Charge#1 0-3 First", "Charge#2 4-6 after 1 Second"}},
		{"a clock that was set back makes nothing negative", 0, []string{
			"0 TaskStateEntered Charge", "-50 LambdaFunctionScheduled Charge", "-40 LambdaFunctionFailed Charge Transient", "-45 LambdaFunctionScheduled Charge",
			"-30 LambdaFunctionSucceeded Charge", "-20 TaskStateExited Charge",
		}, []string{"Charge 0-0", "Charge#1 0-0 Transient", "Charge#2 0-0"}},
		{"what stands before the first state is left out", 1, []string{"0 LambdaFunctionFailed - Odd", "0 TaskStateExited Odd"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := recorded(t, c.ended, c.history...)
			spans := Of(s, func(state string) bool { return strings.HasPrefix(state, "Undo") }, noon.Add(time.Minute))
			if got, want := rowsOf(spans), strings.Join(c.rows, "\n"); got != want {
				t.Errorf("the rows are\n%s\nwant\n%s", got, want)
			}
		})
	}
	t.Run("a state has the input of its entry, and the resource and cause of its last attempt", func(t *testing.T) {
		s := recorded(t, 7, "0 TaskStateEntered Charge", "0 LambdaFunctionScheduled Charge", "7 LambdaFunctionFailed Charge PaymentDeclined")
		s.History[0].Input = map[string]any{"b": 1, "a": "<i>"}
		got := Of(s, nil, noon)[0]
		if got.Cause != "because" || Handler(got.Resource) != "payment-handler" || got.Input != "{\n  \"a\": \"\\u003ci\\u003e\",\n  \"b\": 1\n}" {
			t.Errorf("%+v", got)
		}
	})
}
