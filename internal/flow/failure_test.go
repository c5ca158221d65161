package flow_test

import (
	"bytes"
	"context"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
)

// A sample of the log keeps what is WARN or above: an end that somebody has to look at is.
func TestAFailedExecutionIsAnErrorInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStore()
		e := engine(t, flow.Options{Store: s, Definition: []byte(one(``)), Log: slog.New(slog.NewTextHandler(&log, nil)), Tasks: map[string]flow.Task{
			arn("work"): func(_ context.Context, c flow.Call) (store.Effect, error) {
				if c.Execution == "o-1" {
					return store.Effect{}, fault.New(fault.OrderState, "of jane@example.test")
				}
				return store.Effect{}, nil
			}, arn("undo"): counted,
		}})
		start(t, e, s, "o-1", nil)
		start(t, e, s, "o-2", nil)
		settle(t, e)
		text := log.String()
		if strings.Count(text, "\n") != 1 || strings.Contains(text, "jane") || !strings.Contains(text,
			`level=ERROR msg="flow: an execution failed" execution=o-1 status=FAILED state=Work error=OrderState`) {
			t.Errorf("logged %s", text)
		}
	})
}

// Whoever catches an error knows the words of who threw it: the machine is told them as they are, and so is who reads the journal.
func TestWhatAMachineIsToldOfAFailureWordForWord(t *testing.T) {
	const (
		catchAll = `,"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.error","Next":"Put back"}]`
		tooLarge = "The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit."
	)
	work, service := arn("work"), "arn:aws:states:::dynamodb:getItem"
	large := strings.Repeat("x", 256<<10)
	for rule, c := range map[string]struct {
		resource string
		task     flow.Task
		want     map[string]any
	}{
		"a Failure's name and cause": {work, always(nil, &flow.Failure{Name: "DynamoDB.Throttled", Cause: "no JSON"}),
			map[string]any{"Error": "DynamoDB.Throttled", "Cause": "no JSON"}},
		"one that has neither":      {work, always(nil, &flow.Failure{NoName: true, NoCause: true}), map[string]any{"Error": nil, "Cause": nil}},
		"one whose words are empty": {work, always(nil, &flow.Failure{}), map[string]any{"Error": "", "Cause": ""}},
		"one whose words are too long": {work, always(nil, &flow.Failure{Name: large, Cause: large}),
			map[string]any{"Error": large[:256], "Cause": large[:32768]}},
		"a function's result over 256 KiB": {work, always(large, nil),
			map[string]any{"Error": "States.DataLimitExceeded", "Cause": strings.Replace(tooLarge, "%s", work, 1)}},
		"an integration's result over 256 KiB": {service, always(large, nil),
			map[string]any{"Error": "States.DataLimitExceeded", "Cause": strings.Replace(tooLarge, "%s", "dynamodb", 1)}},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				e := engine(t, flow.Options{Store: s, Definition: []byte(strings.Replace(one(catchAll), work, c.resource, 1)),
					Tasks: map[string]flow.Task{c.resource: c.task, arn("undo"): counted}})
				start(t, e, s, "o-1", map[string]any{})
				settle(t, e)
				d := describe(t, e, "o-1")
				out, _ := d.Output.(map[string]any)
				if !reflect.DeepEqual(out["error"], c.want) {
					t.Errorf("%s, and it caught %v, want %v", d.Status, out["error"], c.want)
				}
			})
		})
	}
}
