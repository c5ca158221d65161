package asl

import (
	"testing"
	"time"
)

func TestAMachineRunsFromStartToEnd(t *testing.T) {
	m, err := Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","Parameters":{"task":"t","input.$":"$"},"ResultPath":"$.a","End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x, cmds := m.Start(Start{Input: map[string]any{}, Time: time.Unix(0, 0)})
	if len(cmds) != 1 || cmds[0].ID != 1 || cmds[0].Kind != RunTask {
		t.Fatal(cmds)
	}
	if _, err := x.Step(Event{Kind: TaskSucceeded, ID: 1, Output: "ok"}); err != nil {
		t.Fatal(err)
	}
	if got := string(AppendJSON(nil, x.Output())); got != `{"a":"ok"}` || x.Status() != StatusSucceeded {
		t.Fatal(got)
	}
}
