package aslrun

import (
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
)

// What a history looks like, event by event, but for what all events have.
func TestEventsAreThoseOfGetExecutionHistory(t *testing.T) {
	const cause = `An error occurred while executing the state 'B' (entered at the event id #4). The JSONata expression '$n + 'x'' specified for the field 'Output' ` +
		`threw an error during evaluation. T2002: The right side of the \"+\" operator must evaluate to a number`
	for _, c := range []struct {
		sentence, definition, input, mocks string
		want                               []string
	}{
		{"a task that fails, is tried again and succeeds", task(`"TimeoutSeconds":9,"HeartbeatSecondsPath":"$.a","Credentials":{"RoleArn":"r"},"Retry":[{"ErrorEquals":["E"]}],`), `{"a":1}`, answers(`{"0":{"Throw":{"Error":"E","Cause":"c"}},"1":{"Return":{"ok":true}}}`), []string{
			`0 ExecutionStarted executionStartedEventDetails {"input":"{\"a\":1}","inputDetails":{"truncated":false},"roleArn":"arn:aws:iam::123456789012:role/order"}`,
			`0 TaskStateEntered stateEnteredEventDetails {"input":"{\"a\":1}","inputDetails":{"truncated":false},"name":"Charge"}`,
			`2 TaskScheduled taskScheduledEventDetails {"heartbeatInSeconds":1,"parameters":"{\"a\":1}","region":"us-east-1","resource":"invoke","resourceType":"lambda","taskCredentials":{"roleArn":"r"},"timeoutInSeconds":9}`,
			`3 TaskStarted taskStartedEventDetails {"resource":"invoke","resourceType":"lambda"}`,
			`4 TaskFailed taskFailedEventDetails {"cause":"c","error":"E","resource":"invoke","resourceType":"lambda"}`,
			`5 TaskScheduled taskScheduledEventDetails {"heartbeatInSeconds":1,"parameters":"{\"a\":1}","region":"us-east-1","resource":"invoke","resourceType":"lambda","taskCredentials":{"roleArn":"r"},"timeoutInSeconds":9}`,
			`6 TaskStarted taskStartedEventDetails {"resource":"invoke","resourceType":"lambda"}`,
			`7 TaskSucceeded taskSucceededEventDetails {"output":"{\"ok\":true}","outputDetails":{"truncated":false},"resource":"invoke","resourceType":"lambda"}`,
			`8 TaskStateExited stateExitedEventDetails {"name":"Charge","output":"{\"ok\":true}","outputDetails":{"truncated":false}}`,
			`9 ExecutionSucceeded executionSucceededEventDetails {"output":"{\"ok\":true}","outputDetails":{"truncated":false}}`,
		}},
		{"a Map", `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"S","States":{"S":{"Type":"Succeed"}}}}}}`, `["x"]`, ``, []string{
			`0 ExecutionStarted executionStartedEventDetails {"input":"[\"x\"]","inputDetails":{"truncated":false},"roleArn":"arn:aws:iam::123456789012:role/order"}`,
			`0 MapStateEntered stateEnteredEventDetails {"input":"[\"x\"]","inputDetails":{"truncated":false},"name":"M"}`,
			`2 MapStateStarted mapStateStartedEventDetails {"length":1}`,
			`3 MapIterationStarted mapIterationStartedEventDetails {"index":0,"name":"M"}`,
			`4 SucceedStateEntered stateEnteredEventDetails {"input":"\"x\"","inputDetails":{"truncated":false},"name":"S"}`,
			`5 SucceedStateExited stateExitedEventDetails {"name":"S","output":"\"x\"","outputDetails":{"truncated":false}}`,
			`6 MapIterationSucceeded mapIterationSucceededEventDetails {"index":0,"name":"M"}`,
			`7 MapStateSucceeded`,
			`7 MapStateExited stateExitedEventDetails {"name":"M","output":"[\"x\"]","outputDetails":{"truncated":false}}`,
			`9 ExecutionSucceeded executionSucceededEventDetails {"output":"[\"x\"]","outputDetails":{"truncated":false}}`,
		}},
		{"an expression that cannot be evaluated, after a variable was set", `{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"n":"{% 1 + 1 %}"},"Next":"B"},"B":{"Type":"Pass","Output":"{% $n + 'x' %}","End":true}}}`, `1`, ``, []string{
			`0 ExecutionStarted executionStartedEventDetails {"input":"1","inputDetails":{"truncated":false},"roleArn":"arn:aws:iam::123456789012:role/order"}`,
			`0 PassStateEntered stateEnteredEventDetails {"input":"1","inputDetails":{"truncated":false},"name":"A"}`,
			`2 PassStateExited stateExitedEventDetails {"assignedVariables":{"n":"2"},"assignedVariablesDetails":{"truncated":false},"name":"A","output":"1","outputDetails":{"truncated":false}}`,
			`3 PassStateEntered stateEnteredEventDetails {"input":"1","inputDetails":{"truncated":false},"name":"B"}`,
			`4 EvaluationFailed evaluationFailedEventDetails {"cause":"` + cause + `","error":"States.QueryEvaluationError","location":"Output","state":"B"}`,
			`5 ExecutionFailed executionFailedEventDetails {"cause":"` + cause + `","error":"States.QueryEvaluationError"}`,
		}},
		{"a branch that fails", `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"E"}}}]}}}`, `1`, ``, []string{
			`0 ExecutionStarted executionStartedEventDetails {"input":"1","inputDetails":{"truncated":false},"roleArn":"arn:aws:iam::123456789012:role/order"}`,
			`0 ParallelStateEntered stateEnteredEventDetails {"input":"1","inputDetails":{"truncated":false},"name":"P"}`,
			`2 ParallelStateStarted`,
			`3 FailStateEntered stateEnteredEventDetails {"input":"1","inputDetails":{"truncated":false},"name":"F"}`,
			`4 ParallelStateFailed`,
			`5 ExecutionFailed executionFailedEventDetails {"error":"E"}`,
		}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			r, err := trial{definition: c.definition, input: c.input, mocks: c.mocks}.run(t)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, e := range r.History {
				if e.ID != int64(i)+1 {
					t.Errorf("event %d has the ID %d", i+1, e.ID)
				}
				line := strings.TrimSpace(string(asl.AppendJSON(nil, e.JSON()["previousEventId"])) + " " + e.Type)
				if name, members := e.Details(); len(members) > 0 {
					line += " " + name + " " + string(asl.AppendJSON(nil, members))
				}
				got = append(got, line)
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestARedriveShowsItsNumber(t *testing.T) {
	for _, kind := range []string{"ExecutionRedriven", "MapRunRedriven"} {
		got := string(asl.AppendJSON(nil, Event{ID: 9, PreviousID: 8, Type: kind, Redrives: 2, State: "M"}.JSON()))
		if want := `"` + lowerFirst(kind) + `EventDetails":{"redriveCount":2}`; !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestAResourceIsAServiceAndAnAction(t *testing.T) {
	for resource, want := range map[string]string{
		"arn:aws:states:::lambda:invoke":                         "lambda invoke",
		"arn:aws:states:::sqs:sendMessage.waitForTaskToken":      "sqs sendMessage.waitForTaskToken",
		"arn:aws:states:::states:startExecution.sync:2":          "states startExecution.sync:2",
		"arn:aws:states:::aws-sdk:s3:getObject":                  "aws-sdk:s3 getObject",
		"arn:aws:states:eu-west-1:123456789012:dynamodb:putItem": "dynamodb putItem",
		"inventory": " inventory",
		"arn:aws:states:::aws-sdk:sfn:startExecution.sync:2":         "aws-sdk:sfn startExecution.sync:2",
		"arn:aws:states:eu-west-1:123456789012:elasticmapreduce:add": "elasticmapreduce add",
	} {
		service, action := integration(resource)
		if service+" "+action != want {
			t.Errorf("%s is %q and %q", resource, service, action)
		}
	}
}
