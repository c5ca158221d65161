package asl_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// run drives a machine to its end: it answers each task with what answer returns, the first failure that it has for it or the input, and lets timers fire
// when they are due, which takes no time.
func run(definition, input string, answer func(asl.Command) (output any, failure string)) {
	machine, err := asl.Parse([]byte(definition))
	if err != nil {
		panic(err)
	}
	value, err := asl.DecodeJSON([]byte(input))
	if err != nil {
		panic(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	execution, open := machine.Start(asl.Start{Input: value, Time: now})
	for execution.Status() == asl.StatusRunning {
		command := open[0]
		open = open[1:]
		event := asl.Event{ID: command.ID, Time: now}
		switch command.Kind {
		case asl.Cancel: // its answer is not wanted any more
			for i, c := range open {
				if c.ID == command.ID && c.Kind != asl.Cancel {
					open = append(open[:i], open[i+1:]...)
					break
				}
			}
			continue
		case asl.StartTimer:
			now = command.At
			event.Kind, event.Time = asl.TimerFired, now
		default:
			event.Kind = asl.TaskSucceeded
			if event.Output, event.Error = answer(command); event.Error != "" {
				event.Kind, event.Output = asl.TaskFailed, nil
			}
		}
		more, err := execution.Step(event)
		if err != nil {
			panic(err)
		}
		open = append(open, more...)
	}
	if name, cause := execution.Failure(); name != "" {
		fmt.Println(execution.Status(), name, cause)
		return
	}
	fmt.Printf("%s %s\n", execution.Status(), asl.AppendJSON(nil, execution.Output()))
}

func nobody(asl.Command) (any, string) { panic("there is no task") }

// All problems of a definition are found at once, each with a JSON pointer, AWS's code and what to do.
func ExampleValidate() {
	for _, p := range asl.Validate([]byte(`{"StartAt": "A", "States": {"B": {"Type": "Wait", "Next": "C"}}}`)) {
		fmt.Println(p.Pointer, p.Code, p.Message)
	}
	// Output:
	// /StartAt MISSING_TRANSITION_TARGET Missing 'StartAt' target: A
	// /States/B SCHEMA_VALIDATION_FAILED one of Seconds, SecondsPath, Timestamp, TimestampPath is required
	// /States/B/Next MISSING_TRANSITION_TARGET Missing 'Next' target: C
}

// Choice looks at the input.
func ExampleMachine_choice() {
	definition := `{"StartAt": "Large", "States": {
		"Large": {"Type": "Choice", "Choices": [
			{"And": [{"Variable": "$.total", "NumericGreaterThan": 100000}, {"Variable": "$.known", "IsPresent": false}], "Next": "Ask"}
		], "Default": "Go"},
		"Ask": {"Type": "Pass", "Result": "a person decides", "End": true},
		"Go": {"Type": "Pass", "Result": "go on", "End": true}
	}}`
	run(definition, `{"total": 250000}`, nobody)
	run(definition, `{"total": 250000, "known": true}`, nobody)
	// Output:
	// SUCCEEDED "a person decides"
	// SUCCEEDED "go on"
}

// Map goes through a list, here two items at a time, and gathers what came of each.
func ExampleMachine_map() {
	run(`{"StartAt": "Each", "States": {"Each": {
		"Type": "Map", "ItemsPath": "$.lines", "MaxConcurrency": 2,
		"ItemSelector": {"n.$": "$$.Map.Item.Index", "line.$": "$$.Map.Item.Value"},
		"ItemProcessor": {"StartAt": "Price", "States": {"Price": {"Type": "Task", "Resource": "price", "End": true}}},
		"ResultPath": "$.prices", "End": true
	}}}`, `{"lines": ["pen", "book"]}`, func(c asl.Command) (any, string) {
		fmt.Printf("%s %s\n", c.Resource, asl.AppendJSON(nil, c.Input))
		return map[string]any{"of": c.Input.(map[string]any)["line"]}, ""
	})
	// Output:
	// price {"line":"pen","n":0}
	// price {"line":"book","n":1}
	// SUCCEEDED {"lines":["pen","book"],"prices":[{"of":"pen"},{"of":"book"}]}
}

// When a branch fails, its siblings are cancelled, and the Parallel state's Catch sees why.
func ExampleMachine_parallel() {
	run(`{"StartAt": "Both", "States": {
		"Both": {"Type": "Parallel", "Branches": [
			{"StartAt": "Reserve", "States": {"Reserve": {"Type": "Task", "Resource": "reserve", "End": true}}},
			{"StartAt": "Check", "States": {"Check": {"Type": "Wait", "Seconds": 86400, "End": true}}}
		], "Catch": [{"ErrorEquals": ["SoldOut"], "Next": "Undo"}], "End": true},
		"Undo": {"Type": "Pass", "Result": "undone", "End": true}
	}}`, `{}`, func(asl.Command) (any, string) { return nil, "SoldOut" })
	// Output: SUCCEEDED "undone"
}

// Retry waits longer each time, up to a limit; a Catch takes what is left.
func ExampleMachine_retry() {
	calls := 0
	run(`{"StartAt": "Charge", "States": {
		"Charge": {"Type": "Task", "Resource": "charge",
			"Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1, "BackoffRate": 3, "MaxAttempts": 5, "MaxDelaySeconds": 5}],
			"Catch": [{"ErrorEquals": ["Declined"], "ResultPath": "$.error", "Next": "Refused"}], "End": true},
		"Refused": {"Type": "Fail", "ErrorPath": "$.error.Error", "Cause": "the card was declined"}
	}}`, `{}`, func(c asl.Command) (any, string) {
		calls++
		fmt.Println("attempt", c.Attempt)
		if calls < 3 {
			return nil, "Busy"
		}
		return nil, "Declined"
	})
	// Output:
	// attempt 0
	// attempt 1
	// attempt 2
	// FAILED Declined the card was declined
}

// Paths select, and intrinsic functions compute.
func ExampleMachine_paths() {
	run(`{"StartAt": "Cheap", "States": {"Cheap": {"Type": "Pass", "End": true, "Parameters": {
		"names.$": "$.lines[?(@.cents < 500)].name",
		"text.$": "States.Format('{} lines, order {}', States.ArrayLength($.lines), $.id)"
	}}}}`, `{"id": "o-1", "lines": [{"name": "pen", "cents": 150}, {"name": "book", "cents": 1200}]}`, nobody)
	// Output: SUCCEEDED {"names":["pen"],"text":"2 lines, order o-1"}
}

// What a state assigns is there from the next one on, also inside of a Map.
func ExampleMachine_variables() {
	run(`{"StartAt": "Rate", "States": {
		"Rate": {"Type": "Pass", "Assign": {"rate.$": "$.rate"}, "Next": "Each"},
		"Each": {"Type": "Map", "ItemsPath": "$.cents", "End": true, "ItemProcessor": {"StartAt": "Add", "States": {
			"Add": {"Type": "Pass", "Parameters": {"sum.$": "States.MathAdd($, $rate)"}, "End": true}
		}}}
	}}`, `{"rate": 7, "cents": [100, 200]}`, nobody)
	// Output: SUCCEEDED [{"sum":107},{"sum":207}]
}

// A task that waits for a callback has a token in its input. The driver answers for it whenever the callback comes.
func ExampleMachine_callback() {
	run(`{"StartAt": "Approve", "States": {"Approve": {
		"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "HeartbeatSeconds": 3600,
		"Parameters": {"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/approvals", "MessageBody": {"token.$": "$$.Task.Token"}}, "End": true
	}}}`, `{}`, func(c asl.Command) (any, string) {
		body := c.Input.(map[string]any)["MessageBody"].(map[string]any)
		fmt.Println(body["token"] == c.Token, c.Heartbeat)
		return map[string]any{"approved": true}, ""
	})
	// Output:
	// true 1h0m0s
	// SUCCEEDED {"approved":true}
}

// Observe is shown the history as GetExecutionHistory has it.
func ExampleStart_observe() {
	machine, err := asl.Parse([]byte(`{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}}`))
	if err != nil {
		panic(err)
	}
	var types []string
	machine.Start(asl.Start{Observe: func(e asl.HistoryEvent) { types = append(types, e.Type) }})
	fmt.Println(strings.Join(types, " "))
	// Output: ExecutionStarted PassStateEntered PassStateExited SucceedStateEntered SucceedStateExited ExecutionSucceeded
}
