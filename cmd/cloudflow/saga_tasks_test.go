package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// checkingSaga is the file of the order saga with the state of docs/asl.md between the reservation and the charge, and its members changed.
func checkingSaga(t *testing.T, changed map[string]any) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "asl.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A task that a person answers\n")
	_, block, _ := strings.Cut(section, "\n```json\n")
	block, _, _ = strings.Cut(block, "\n```\n")
	var state map[string]any
	if err := json.Unmarshal([]byte(block), &state); err != nil {
		t.Fatalf("the state of docs/asl.md: %v in %q", err, block)
	}
	for name, v := range changed {
		state[name] = v
	}
	own, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return sagaFile(t, `"ResultPath": null,
      "Next": "ChargePayment"`, `"ResultPath": null, "Next": "FraudCheck"`, `"States": {`, `"States": {"FraudCheck": `+string(own)+`,`)
}

// An order waits for a judgement that one of the next processes hears.
func TestATaskIsAnsweredByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir, "--demo", "--saga", checkingSaga(t, nil))
	s := &service{t: t, data: dir, url: first.log.url(t)}
	place := func() string {
		placed := s.cli("order", "place", "--customer", "cust-1", "--item", "LAPTOP-01=1", "--json").exits(0)
		return one[apigen.OrderAccepted](placed).OrderID
	}
	// waiting is the task of an order, once it is handed out.
	waiting := func(order string) (task apigen.Task) {
		eventually(t, "the order waits for its judgement", func() bool {
			for _, task = range one[apigen.TaskList](s.cli("saga", "tasks", "--json").exits(0)).Tasks {
				if task.OrderID != nil && *task.OrderID == order {
					return true
				}
			}
			return false
		})
		return task
	}
	ends := func(order string, as apigen.OrderStatus) {
		eventually(t, "the order ends", func() bool {
			o := one[apigen.Order](s.cli("order", "get", order, "--json").exits(0))
			if o.Status != "PENDING" && o.Status != as {
				t.Fatalf("the order is %s, want %s", o.Status, as)
			}
			return o.Status == as
		})
	}
	laptops := func(available, held, sold int64) {
		t.Helper()
		for _, p := range one[apigen.ProductList](s.cli("product", "list", "--json").exits(0)).Products {
			if p.ProductID == "LAPTOP-01" && (p.Available != available || p.Held != held || p.Sold != sold) {
				t.Errorf("of the laptops are available %d, held %d, sold %d, want %d, %d and %d", p.Available, p.Held, p.Sold, available, held, sold)
			}
		}
	}

	good, bad := place(), place()
	before := waiting(good)
	waiting(bad)
	if before.State != "FraudCheck" || before.TimesOutAt == nil || before.TimesOutAt.Sub(before.Since) != time.Hour || before.LastHeartbeatAt != nil {
		t.Errorf("%+v", before)
	}
	if input, _ := before.Input.(map[string]any); input["order_id"] != good || input["total_cents"] != 149900.0 {
		t.Errorf("it is to be judged by %v", before.Input)
	}
	first.kill()

	// New orders wait two seconds from here on. Those that are open wait as long as they were promised.
	second := start(t, dir, "--demo", "--saga", checkingSaga(t, map[string]any{"HeartbeatSeconds": 2}))
	s.url = second.log.url(t)
	after := waiting(good)
	if after.Token != before.Token || !after.Since.Equal(before.Since) {
		t.Errorf("before the kill %+v, after it %+v", before, after)
	}
	laptops(8, 2, 0)
	s.cli("saga", "show", good).exits(0).prints("RUNNING at FraudCheck, waits for an answer (saga tasks): FraudCheck", "TaskSubmitted")
	s.cli("saga", "list").exits(0).prints("RUNNING, waits for an answer")
	s.cli("saga", "tasks").exits(0).prints("times out", good, bad, "FraudCheck", after.Token)

	s.cli("saga", "task-heartbeat", "--", after.Token).exits(0).prints("heard")
	if again := waiting(good); again.LastHeartbeatAt == nil || again.TimesOutAt.Sub(*again.LastHeartbeatAt) != time.Hour {
		t.Errorf("after a heartbeat: %+v", again)
	}
	s.cli("saga", "task-success", "--output", `{"approved": true, "score": 0.10}`, "--", after.Token).exits(0).prints("succeeded")
	ends(good, "CONFIRMED")
	answered := s.cli("saga", "history", good, "--json").exits(0)
	if !strings.Contains(answered.out, `\"score\":0.10`) {
		t.Errorf("the number is not as it was sent: %s", answered.out)
	}
	s.cli("saga", "task-failure", "--error", "FraudSuspected", "--cause", "Three cards in one hour.", "--", waiting(bad).Token).exits(0).prints("failed")
	ends(bad, "COMPENSATED")
	s.cli("saga", "show", bad).exits(0).prints("FraudSuspected")

	alone := place()
	ends(alone, "COMPENSATED")
	s.cli("saga", "show", alone).exits(0).prints("TaskTimedOut", "States.Timeout")
	laptops(9, 0, 1)
	if left := one[apigen.TaskList](s.cli("saga", "tasks", "--json").exits(0)).Tasks; len(left) > 0 {
		t.Errorf("they wait still: %+v", left)
	}
	for _, c := range []string{"task-success", "task-failure", "task-heartbeat"} {
		s.cli("saga", c, "--", after.Token).exits(1).hints("TASK_TIMED_OUT (409)", "cloudflow saga tasks")
	}
	s.cli("verify").exits(0)
	second.terminate()
	if v := invoke(t, nil, "verify", "--data", dir).exits(0); v.out != "" {
		t.Errorf("verify says %s", v.out)
	}
	// What was recorded is replayed on the machine without the judgement, and with it.
	invoke(t, nil, "saga", "check", checkingSaga(t, nil), "--data", dir).exits(0).prints("3 replayed (0 open), 0 diverge\n")
	invoke(t, nil, "saga", "check", sagaFile(t), "--data", dir).exits(1).prints("diverges at FraudCheck")
	invoke(t, nil, "saga", "graph", "--saga", checkingSaga(t, nil)).exits(0).prints("FraudCheck")
}

// noTask is a token of no task.
const noTask = "t6w0Xk2pVqJ1uT3nM8sYzcg5vcmQtMDFKSFpLNVYzTThROVQyVzRYNlk4WjBBMUI"

func TestAnswersThatCannotBe(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--saga", checkingSaga(t, nil))
	s.cli("saga", "tasks").exits(0).prints("execution", "token")
	s.cli("saga", "task-success", noTask).exits(1).hints("TASK_DOES_NOT_EXIST (404)", "`cloudflow saga tasks` lists those that wait")
	s.cli("saga", "task-heartbeat", "none").exits(1).hints("BAD_REQUEST (400): This is no task token")
	s.cli("saga", "task-failure", "--error", strings.Repeat("e", 257), noTask).exits(1).hints("VALIDATION_FAILED (422): error must be 256 bytes at most")
	s.cli("saga", "task-success").exits(2).hints("wants the token of a task")
	s.cli("saga", "task-success", noTask, "--output", "approved").exits(2).hints("--output is no JSON", `'"so"'`)
	s.cli("saga", "task-success", noTask, "--output", "").exits(2).hints("--output is no JSON")
	s.cli("saga", "task-success", noTask, "--output", "@none.json").exits(1).hints("--output", "no such file")
	p := one[apigen.Problem](s.cli("saga", "task-success", noTask, "--json").exits(1))
	if p.Error != "TASK_DOES_NOT_EXIST" {
		t.Errorf("%+v", p)
	}
	file := filepath.Join(t.TempDir(), "judgement.json")
	if err := os.WriteFile(file, []byte(`{"card": "4111 1111 1111 1111"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cli("saga", "task-success", noTask, "--output", "@"+file).exits(1).hints("VALIDATION_FAILED (422): output.card must not hold a payment card's number")
}
