package asl_test

import (
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/asl/jsonata"
)

// A driver in small: it runs the tasks that it is asked for, and lets timers fire at once.
func Example() {
	machine, err := asl.Parse([]byte(`{
		"StartAt": "Charge",
		"States": {
			"Charge": {
				"Type": "Task", "Resource": "payment",
				"Parameters": {"task": "charge", "order.$": "$.order_id"},
				"Retry": [{"ErrorEquals": ["Transient"], "IntervalSeconds": 2}],
				"Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Refused"}],
				"ResultPath": "$.payment", "End": true
			},
			"Refused": {"Type": "Fail", "ErrorPath": "$.error.Error"}
		}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	input, err := asl.DecodeJSON([]byte(`{"order_id": "o-1"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	execution, commands := machine.Start(asl.Start{Input: input, Time: start})
	for execution.Status() == asl.StatusRunning {
		command := commands[0]
		event := asl.Event{ID: command.ID, Time: start}
		switch {
		case command.Kind == asl.StartTimer:
			fmt.Println("wait until", command.At.Format(time.TimeOnly))
			event.Kind, event.Time = asl.TimerFired, command.At
		case command.Attempt == 0:
			fmt.Printf("%s %s: no answer\n", command.Resource, asl.AppendJSON(nil, command.Input))
			event.Kind, event.Error = asl.TaskFailed, "Transient"
		default:
			fmt.Printf("%s %s: charged\n", command.Resource, asl.AppendJSON(nil, command.Input))
			event.Kind, event.Output = asl.TaskSucceeded, map[string]any{"captured": true}
		}
		if commands, err = execution.Step(event); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%s %s\n", execution.Status(), asl.AppendJSON(nil, execution.Output()))
	// Output:
	// payment {"order":"o-1","task":"charge"}: no answer
	// wait until 00:00:02
	// payment {"order":"o-1","task":"charge"}: charged
	// SUCCEEDED {"order_id":"o-1","payment":{"captured":true}}
}

// A machine that speaks JSONata needs an evaluator. A variable that a state assigns is there from the next one on.
func ExampleWithEvaluator() {
	machine, err := asl.Parse([]byte(`{
		"QueryLanguage": "JSONata",
		"StartAt": "Sum",
		"States": {
			"Sum": {
				"Type": "Pass",
				"Assign": {"total": "{% $sum($states.input.lines.(quantity * cents)) %}"},
				"Next": "Tell"
			},
			"Tell": {"Type": "Succeed", "Output": {"order": "{% $states.input.id %}", "total": "{% $total %}"}}
		}
	}`), asl.WithEvaluator(jsonata.Evaluator{}))
	if err != nil {
		panic(err)
	}
	input, err := asl.DecodeJSON([]byte(`{"id": "o-1", "lines": [{"quantity": 2, "cents": 350}, {"quantity": 1, "cents": 99}]}`))
	if err != nil {
		panic(err)
	}
	execution, _ := machine.Start(asl.Start{Input: input, Time: time.Unix(0, 0)})
	fmt.Printf("%s %s\n", execution.Status(), asl.AppendJSON(nil, execution.Output()))
	// Output: SUCCEEDED {"order":"o-1","total":799}
}
