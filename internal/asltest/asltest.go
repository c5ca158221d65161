// Package asltest draws state machines for tests of who steps or drives them.
package asltest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Resource and CallbackResource are what the tasks of a drawn machine call.
const (
	Resource         = "r"
	CallbackResource = "r.waitForTaskToken"
	ChildResource    = "arn:aws:states:::states:startExecution.sync:2"
)

// Draw draws the definition of a machine of tasks, waits and Pass states, and of Parallel and Map states up to the depth, with retries of the one
// error, catches, variables and tolerated failures. Its input has an array "items". Every execution of it ends, if its tasks do. If children, some
// tasks start an execution of the machine "child", with such an input.
func Draw(t *rapid.T, depth int, retried string, children bool) string {
	m := machine{t: t, retried: retried, children: children}
	return "{" + m.flow(depth) + "}"
}

type machine struct {
	t        *rapid.T
	retried  string
	children bool
	n        int // states so far: names are unique in the whole machine
}

func (m *machine) flow(depth int) string {
	names := make([]string, rapid.IntRange(1, 3).Draw(m.t, "states"))
	for i := range names {
		m.n++
		names[i] = fmt.Sprintf("s%d", m.n)
	}
	states := make([]string, len(names))
	for i, name := range names {
		next := `"End":true`
		if i+1 < len(names) {
			next = fmt.Sprintf(`"Next":%q`, names[i+1])
		}
		states[i] = fmt.Sprintf("%q:{%s,%s}", name, m.state(depth, name, names[len(names)-1], i+1 == len(names)), next)
	}
	return fmt.Sprintf(`"StartAt":%q,"States":{%s}`, names[0], strings.Join(states, ","))
}

// state is a state but for where it leads; what it catches leads to the last one.
func (m *machine) state(depth int, name, last string, isLast bool) string {
	kinds := []string{"task", "task", "callback", "wait", "pass"}
	if m.children {
		kinds = append(kinds, "child")
	}
	if depth > 0 {
		kinds = append(kinds, "parallel", "map", "distributed")
	}
	kind := rapid.SampledFrom(kinds).Draw(m.t, "kind")
	switch kind {
	case "wait":
		return `"Type":"Wait","Seconds":2`
	case "pass":
		return `"Type":"Pass"`
	}
	common := m.common(name, last, isLast)
	switch kind {
	case "callback":
		return fmt.Sprintf(`"Type":"Task","Resource":%q,"Parameters":{"t.$":"$$.Task.Token"}`, CallbackResource) + common
	case "child":
		return fmt.Sprintf(`"Type":"Task","Resource":%q,"Parameters":{"StateMachineArn":"child","Input":{"items.$":"$.items"}}`, ChildResource) + common
	case "parallel":
		branches := make([]string, rapid.IntRange(1, 3).Draw(m.t, "branches"))
		for i := range branches {
			branches[i] = "{" + m.flow(depth-1) + "}"
		}
		return fmt.Sprintf(`"Type":"Parallel","Branches":[%s]`, strings.Join(branches, ",")) + common
	case "map":
		return fmt.Sprintf(`%s,"MaxConcurrency":%d,"ItemProcessor":{%s}`, mapping, rapid.IntRange(0, 2).Draw(m.t, "concurrency"), m.flow(depth-1)) + common
	case "distributed":
		return fmt.Sprintf(`%s,"ToleratedFailureCount":%d,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},%s}`, mapping,
			rapid.IntRange(0, 2).Draw(m.t, "tolerated"), m.flow(depth-1)) + common
	}
	return fmt.Sprintf(`"Type":"Task","Resource":%q`, Resource) + common
}

const mapping = `"Type":"Map","ItemsPath":"$.items","ItemSelector":{"items.$":"$.items","i.$":"$$.Map.Item.Index"}`

// common is what each state has that may fail.
func (m *machine) common(name, last string, isLast bool) string {
	text := fmt.Sprintf(`,"ResultPath":"$.%s"`, name)
	if rapid.Bool().Draw(m.t, "assign") {
		text += fmt.Sprintf(`,"Assign":{"v%s.$":"$"}`, name)
	}
	if rapid.Bool().Draw(m.t, "retry") {
		text += fmt.Sprintf(`,"Retry":[{"ErrorEquals":[%q],"IntervalSeconds":1,"MaxAttempts":1,"JitterStrategy":"FULL"}]`, m.retried)
	}
	if !isLast && rapid.Bool().Draw(m.t, "catch") {
		text += fmt.Sprintf(`,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":%q}]`, last)
	}
	return text
}
