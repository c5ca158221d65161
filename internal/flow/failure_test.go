package flow_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
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
