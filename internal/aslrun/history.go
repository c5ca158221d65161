package aslrun

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/utkarsh698/cloudflow/asl"
)

// An Event is one of a history.
type Event asl.HistoryEvent

// details are the members of one event's details.
type details map[string]any

// JSON is the event as GetExecutionHistory has it (https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html), so that what
// reads AWS's histories reads these: {id, previousEventId, type, timestamp, <what>EventDetails}, where values stand as JSON texts.
func (e Event) JSON() map[string]any {
	out := map[string]any{
		"id": number(e.ID), "previousEventId": number(e.PreviousID), "type": e.Type, "timestamp": e.Time.UTC().Format(timestamp),
	}
	if name, d := e.Details(); len(d) > 0 {
		out[name] = d
	}
	return out
}

// WriteEvents writes a history as GetExecutionHistory answers, as one object and a newline: event by event, as WriteJSON does.
func WriteEvents(to io.Writer, events []Event) error {
	w := bufio.NewWriter(to)
	_, _ = w.WriteString(`{"events":`) // a bufio.Writer keeps its error for Flush
	writeEvents(w, events)
	_, _ = w.WriteString("}\n")
	return w.Flush()
}

func writeEvents(w *bufio.Writer, events []Event) {
	_ = w.WriteByte('[')
	var line []byte
	for i, e := range events {
		if line = line[:0]; i > 0 {
			line = append(line, ',')
		}
		line = asl.AppendJSON(line, e.JSON())
		_, _ = w.Write(line)
	}
	_ = w.WriteByte(']')
}

// Details are what AWS has beside the members that all events have, and what it calls that; empty: nothing.
func (e Event) Details() (name string, members map[string]any) {
	name, d := e.details()
	return name + "EventDetails", d
}

func (e Event) details() (name string, d details) {
	name, d = lowerFirst(e.Type), details{}
	switch {
	case e.Type == "ExecutionStarted":
		d.data("input", e.Input)
		d.text("roleArn", e.RoleARN)
	case e.Type == "ExecutionSucceeded":
		d.data("output", e.Output)
	case e.Type == "ExecutionRedriven", e.Type == "MapRunRedriven":
		d["redriveCount"] = number(int64(e.Redrives))
	case strings.HasPrefix(e.Type, "Execution"):
		d.failure(e)
	case strings.HasSuffix(e.Type, "StateEntered"):
		name = "stateEntered"
		d["name"] = e.State
		d.data("input", e.Input)
	case strings.HasSuffix(e.Type, "StateExited"):
		name = "stateExited"
		d["name"] = e.State
		d.data("output", e.Output)
		d.assigned(e.Assigned)
	case e.Type == "EvaluationFailed":
		d.failure(e)
		d.text("location", e.Location)
		d["state"] = e.State
	case strings.HasPrefix(e.Type, "LambdaFunction"), strings.HasPrefix(e.Type, "Activity"):
		d.call(e, "input")
	case e.Type == "MapStateStarted":
		d["length"] = number(int64(e.Length))
	case strings.HasPrefix(e.Type, "MapIteration"):
		d["name"], d["index"] = e.State, number(int64(e.Index))
	case strings.HasPrefix(e.Type, "MapRun"):
		d.failure(e)
	case strings.HasPrefix(e.Type, "Task") && !strings.HasPrefix(e.Type, "TaskState"):
		d["resourceType"], d["resource"] = integration(e.Resource)
		d.call(e, "parameters")
		if e.Type == "TaskScheduled" {
			d["region"] = region(e.Resource)
		}
	}
	return name, d
}

// call is what the events of a task have by their last word.
func (d details) call(e Event, input string) {
	switch {
	case strings.HasSuffix(e.Type, "Scheduled"):
		d.seconds("timeoutInSeconds", e.Timeout)
		d.seconds("heartbeatInSeconds", e.Heartbeat)
		if e.RoleARN != "" {
			d["taskCredentials"] = map[string]any{"roleArn": e.RoleARN}
		}
		if input == "parameters" { // it alone stands without its ...Details
			d[input] = string(asl.AppendJSON(nil, e.Input))
			return
		}
		d["resource"] = e.Resource
		d.data(input, e.Input)
	case strings.HasSuffix(e.Type, "Succeeded"), strings.HasSuffix(e.Type, "Submitted"):
		d.data("output", e.Output)
	case strings.HasSuffix(e.Type, "Failed"), strings.HasSuffix(e.Type, "TimedOut"):
		d.failure(e)
	}
}

// data is a value as JSON text, and whether that is cut off: never here.
func (d details) data(name string, v any) {
	d[name] = string(asl.AppendJSON(nil, v))
	d[name+"Details"] = map[string]any{"truncated": false}
}

// assigned are the variables that a state has set, each as JSON text.
func (d details) assigned(variables map[string]any) {
	if len(variables) == 0 {
		return
	}
	texts := make(map[string]any, len(variables))
	for name, v := range variables {
		texts[name] = string(asl.AppendJSON(nil, v))
	}
	d["assignedVariables"] = texts
	d["assignedVariablesDetails"] = map[string]any{"truncated": false}
}

func (d details) failure(e Event) {
	d.text("error", e.Error)
	d.text("cause", e.Cause)
}

// seconds are left out if there are none.
func (d details) seconds(name string, t time.Duration) {
	if t > 0 {
		d[name] = number(int64(t / time.Second))
	}
}

// text is left out if it is empty.
func (d details) text(name, s string) {
	if s != "" {
		d[name] = s
	}
}

// integration splits arn:aws:states:::sqs:sendMessage.waitForTaskToken into sqs and sendMessage.waitForTaskToken, and aws-sdk:s3:getObject into
// aws-sdk:s3 and getObject.
func integration(resource string) (service, action string) {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return "", resource
	}
	i := strings.LastIndex(parts[5], ":")
	if optimistic, _, ok := strings.Cut(parts[5], ".sync:"); ok {
		i = strings.LastIndex(optimistic, ":")
	}
	if i < 0 {
		return "", parts[5]
	}
	return parts[5][:i], parts[5][i+1:]
}

// region is the resource's own, or that of the default ARNs.
func region(resource string) string {
	if parts := strings.SplitN(resource, ":", 5); len(parts) == 5 && parts[3] != "" {
		return parts[3]
	}
	return "us-east-1"
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

func lowerFirst(s string) string {
	r := []rune(s)
	if len(r) > 0 {
		r[0] = unicode.ToLower(r[0])
	}
	return string(r)
}
