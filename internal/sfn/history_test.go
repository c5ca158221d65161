package sfn_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/sfn"
)

// An awsHistory answers as Step Functions does for one execution whose task is a function by its plain ARN, which the emulator shows otherwise
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html): each event names its predecessor, what a
// function does has events of its own, times are seconds.
type awsHistory struct {
	status string
	events []map[string]any
	page   int // events of a page at most; 0: 1,000
}

const began = 1777000000

func (h *awsHistory) add(kind string, details map[string]any) {
	e := map[string]any{
		"id": len(h.events) + 1, "previousEventId": len(h.events), "type": kind, "timestamp": began + float64(len(h.events))/1000,
	}
	if details != nil {
		name := strings.ToLower(kind[:1]) + kind[1:] + "EventDetails"
		if strings.HasSuffix(kind, "StateEntered") {
			name = "stateEnteredEventDetails"
		}
		if strings.HasSuffix(kind, "StateExited") {
			name = "stateExitedEventDetails"
		}
		e[name] = details
	}
	h.events = append(h.events, e)
}

const function = "arn:aws:lambda:eu-west-1:000000000000:function:cloudflow-order-handler"

// attempt is one call of the function that fails.
func (h *awsHistory) attempt(name, cause string) {
	h.add("LambdaFunctionScheduled", map[string]any{"resource": function, "region": "eu-west-1", "input": `{"task":"order.confirm"}`, "inputDetails": map[string]any{"truncated": false}})
	h.add("LambdaFunctionStarted", nil)
	h.add("LambdaFunctionFailed", map[string]any{"error": name, "cause": cause})
}

func failedHistory(attempts int) *awsHistory {
	h := &awsHistory{status: "FAILED"}
	h.add("ExecutionStarted", map[string]any{"input": `{"order_id":"ord-1"}`, "roleArn": "arn:aws:iam::000000000000:role/saga"})
	h.add("ChoiceStateEntered", map[string]any{"name": "Enter", "input": `{"order_id":"ord-1"}`})
	h.add("ChoiceStateExited", map[string]any{"name": "Enter", "output": `{"order_id":"ord-1"}`})
	h.add("TaskStateEntered", map[string]any{"name": "ConfirmOrder", "input": `{"order_id":"ord-1","n":12345678901234567890}`, "inputDetails": map[string]any{"truncated": false}})
	for range attempts {
		h.attempt("Transient", `{"errorMessage":"away","errorType":"Transient"}`)
	}
	h.add("ExecutionFailed", map[string]any{"error": "Transient", "cause": `{"errorMessage":"away","errorType":"Transient"}`})
	return h
}

func (h *awsHistory) answer(operation string, body []byte) (int, string) {
	var in struct {
		MaxResults   int
		ReverseOrder bool
		NextToken    string
	}
	_ = json.Unmarshal(body, &in)
	reply := map[string]any{}
	switch operation {
	case "DescribeExecution":
		reply = map[string]any{
			"executionArn": "arn:aws:states:eu-west-1:000000000000:execution:saga:ord-1", "name": "ord-1", "status": h.status, "startDate": began,
			"input": `{"order_id":"ord-1"}`, "inputDetails": map[string]any{"included": true}, "redriveCount": 0,
		}
		if h.status != "RUNNING" {
			reply["stopDate"] = began + 60
		}
		if h.status == "FAILED" {
			reply["error"], reply["cause"] = "Transient", `{"errorMessage":"away","errorType":"Transient"}`
		}
	case "GetExecutionHistory":
		events := slices.Clone(h.events)
		if in.ReverseOrder {
			slices.Reverse(events)
		}
		from := 0
		if in.NextToken != "" {
			_, _ = fmt.Sscan(in.NextToken, &from)
		}
		size := in.MaxResults
		if h.page > 0 {
			size = h.page
		}
		to := min(from+size, len(events))
		reply["events"] = events[from:to]
		if to < len(events) {
			reply["nextToken"] = fmt.Sprint(to)
		}
	}
	text, err := json.Marshal(reply)
	if err != nil {
		panic(err)
	}
	return 200, string(text)
}

func openHistory(t *testing.T, h *awsHistory) (*sfn.Machine, *awstest.Proxy) {
	t.Helper()
	p := awstest.NewProxy(t, "")
	p.Answer(h.answer)
	return open(t, p.Config(), sfn.Config{}), p
}

func TestTheHistoryOfAFunctionThatFailed(t *testing.T) {
	m, _ := openHistory(t, failedHistory(2))
	x, err := m.Describe(t.Context(), "ord-1")
	if err != nil || x.Status != asl.StatusFailed || x.State != "ConfirmOrder" || x.Error != "Transient" || !strings.Contains(x.Cause, "away") ||
		!x.Started.Equal(time.Unix(began, 0)) || !x.Ended.Equal(time.Unix(began+60, 0)) || !x.Updated.After(x.Started) {
		t.Fatalf("%+v, %v", x, err)
	}
	if text, _ := json.Marshal(x.StateInput); string(text) != `{"n":12345678901234567890,"order_id":"ord-1"}` {
		t.Errorf("the state's input is %s", text)
	}
	var seen []string
	for _, h := range x.History {
		input, _ := json.Marshal(h.Input)
		seen = append(seen, fmt.Sprintf("%d<%d %s %s %v %d %s %s", h.ID, h.PreviousID, h.Type, h.State, h.Resource == function, h.Attempt, h.Error, input))
	}
	want := []string{
		`1<0 ExecutionStarted  false 0  {"order_id":"ord-1"}`,
		`2<1 ChoiceStateEntered Enter false 0  {"order_id":"ord-1"}`,
		`3<2 ChoiceStateExited Enter false 0  null`,
		`4<3 TaskStateEntered ConfirmOrder false 0  {"n":12345678901234567890,"order_id":"ord-1"}`,
		`5<4 LambdaFunctionScheduled ConfirmOrder true 0  {"task":"order.confirm"}`,
		`6<5 LambdaFunctionStarted ConfirmOrder true 0  null`,
		`7<6 LambdaFunctionFailed ConfirmOrder true 0 Transient null`,
		`8<7 LambdaFunctionScheduled ConfirmOrder true 1  {"task":"order.confirm"}`,
		`9<8 LambdaFunctionStarted ConfirmOrder true 1  null`,
		`10<9 LambdaFunctionFailed ConfirmOrder true 1 Transient null`,
		`11<10 ExecutionFailed  false 0 Transient null`,
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the history is\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestFailure(t *testing.T) {
	t.Run("is found behind hundreds of attempts, on as many pages as it takes", func(t *testing.T) {
		h := failedHistory(600)
		h.page = 97
		m, p := openHistory(t, h)
		f, err := m.Failure(t.Context(), "ord-1")
		if err != nil || f.Status != "FAILED" || f.State != "ConfirmOrder" || string(f.Input) != `{"order_id":"ord-1","n":12345678901234567890}` ||
			f.Error != "Transient" || f.Cause == "" || p.Asked("GetExecutionHistory") != 19 {
			t.Errorf("%+v, %v after %d pages", f, err, p.Asked("GetExecutionHistory"))
		}
		s, err := m.Summary(t.Context(), "ord-1")
		if err != nil || s.State != "ConfirmOrder" || len(s.History) != 0 || !s.Updated.After(s.Started) {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("of one that runs or has succeeded is its status, and costs one call", func(t *testing.T) {
		for _, status := range []string{"RUNNING", "SUCCEEDED"} {
			h := failedHistory(1)
			h.status = status
			m, p := openHistory(t, h)
			if f, err := m.Failure(t.Context(), "ord-1"); err != nil || f.Status != status || f.State != "" || p.Asked("GetExecutionHistory") != 0 {
				t.Errorf("%+v, %v", f, err)
			}
		}
	})
	t.Run("of one that was stopped or timed out is where it stood", func(t *testing.T) {
		for _, status := range []string{"ABORTED", "TIMED_OUT"} {
			h := failedHistory(1)
			h.status = status
			h.events = h.events[:len(h.events)-2]
			m, _ := openHistory(t, h)
			if f, err := m.Failure(t.Context(), "ord-1"); err != nil || f.Status != status || f.State != "ConfirmOrder" {
				t.Errorf("%+v, %v", f, err)
			}
		}
	})
	t.Run("of one that was stopped before its first state has its own input and no state", func(t *testing.T) {
		h := failedHistory(1)
		h.status, h.events = "ABORTED", h.events[:1]
		m, _ := openHistory(t, h)
		if f, err := m.Failure(t.Context(), "ord-1"); err != nil || f.State != "" || string(f.Input) != `{"order_id":"ord-1"}` {
			t.Errorf("%+v, %v", f, err)
		}
	})
	t.Run("whose input the history has in part only is an error: a resume would begin with a half", func(t *testing.T) {
		h := failedHistory(1)
		h.events[3]["stateEnteredEventDetails"].(map[string]any)["inputDetails"] = map[string]any{"truncated": true}
		m, _ := openHistory(t, h)
		if _, err := m.Failure(t.Context(), "ord-1"); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
	t.Run("of what is no execution, or cannot be the name of one, is not found", func(t *testing.T) {
		p := awstest.NewProxy(t, "")
		p.Answer(func(string, []byte) (int, string) { return 400, `{"__type":"ExecutionDoesNotExist","message":"no"}` })
		m := open(t, p.Config(), sfn.Config{})
		for _, name := range []string{"ord-1", "", "a b", "a:b", strings.Repeat("x", 81)} {
			_, err := m.Failure(t.Context(), name)
			_, err2 := m.Describe(t.Context(), name)
			_, err3 := m.Summary(t.Context(), name)
			if !fault.Is(err, fault.NotFound) || !fault.Is(err2, fault.NotFound) || !fault.Is(err3, fault.NotFound) {
				t.Errorf("%q: %v, %v, %v", name, err, err2, err3)
			}
		}
		if n := p.Asked("DescribeExecution"); n != 3 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("is tried again where Step Functions throttles, and not for ever", func(t *testing.T) {
		m, p := openHistory(t, failedHistory(1))
		throttle := awstest.Trouble{Status: 400, Code: "ThrottlingException"}
		p.Trouble("GetExecutionHistory", throttle, throttle)
		if f, err := m.Failure(t.Context(), "ord-1"); err != nil || f.State != "ConfirmOrder" {
			t.Errorf("%+v, %v", f, err)
		}
		p.Trouble("DescribeExecution", throttle, throttle, throttle)
		if _, err := m.Failure(t.Context(), "ord-1"); !fault.Is(err, fault.Throttled) {
			t.Error(err)
		}
	})
}

func TestALongHistoryHasItsBeginningAndItsEnd(t *testing.T) {
	h := failedHistory(2000)
	m, p := openHistory(t, h)
	x, err := m.Describe(t.Context(), "ord-1")
	if err != nil || len(x.History) != 4000 || x.History[0].ID != 1 || x.History[2999].ID != 3000 || x.History[3000].ID != 5006 || x.History[3999].Type != "ExecutionFailed" ||
		x.State != "ConfirmOrder" || p.Asked("GetExecutionHistory") != 4 {
		t.Errorf("%d events, %v after %d pages", len(x.History), err, p.Asked("GetExecutionHistory"))
	}
	short := failedHistory(332) // 1,001 events
	m, p = openHistory(t, short)
	if x, err := m.Describe(t.Context(), "ord-1"); err != nil || len(x.History) != len(short.events) || p.Asked("GetExecutionHistory") != 2 {
		t.Errorf("%d events of %d, %v", len(x.History), len(short.events), err)
	}
}
