package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

func (c *cli) sagaHistory() *cobra.Command {
	var execution, data string
	cmd := &cobra.Command{
		Use:   "history ORDER_ID",
		Short: "Print the history of an order's saga, as AWS's GetExecutionHistory has it",
		Long: `Print every event of an execution of an order's saga, from a running instance (--url) or from the data directory of a
stopped one (--data): its number, its time, its type, and its details. With --json it is {"events": [...]} as GetExecutionHistory answers, so
that what reads AWS's histories reads these. Without --execution it is the current one.

The history is not stored: it is made of the execution's journal, by running its machine on what is recorded there.`,
		Example: `  cloudflow saga history ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D
  cloudflow saga history ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --data ./data --json`,
		Args: exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			byData, err := stopped(cmd, data)
			if err != nil {
				return err
			}
			read := c.historyOf
			if byData {
				read = func(cmd *cobra.Command, order, execution string) ([]aslrun.Event, error) {
					return historyIn(cmd, data, order, execution)
				}
			}
			events, err := read(cmd, args[0], execution)
			switch {
			case err != nil:
				return err
			case c.JSON:
				return aslrun.WriteEvents(c.out, events)
			}
			return c.printEvents(events)
		},
	}
	cmd.Flags().StringVar(&execution, "execution", "", "an earlier one, by its name (default: the current one)")
	cmd.Flags().StringVar(&data, "data", "", "the data directory of a stopped instance")
	return cmd
}

// historyIn reads the history in the directory of a stopped instance.
func historyIn(cmd *cobra.Command, data, order, execution string) (events []aslrun.Event, err error) {
	err = stillOn(data, func(i *instance.Instance) error {
		x, err := i.Saga(cmd.Context(), order, execution)
		events = eventsOf(x)
		return err
	})
	return events, err
}

func eventsOf(x flow.Execution) []aslrun.Event {
	events := make([]aslrun.Event, len(x.History))
	for i, h := range x.History {
		events[i] = aslrun.Event(h)
	}
	return events
}

// A tellingEvent is SagaEvent of the HTTP interface, with its values as they are written: numbers keep their text.
type tellingEvent struct {
	apigen.SagaEvent
	Input    json.RawMessage            `json:"input"`
	Output   json.RawMessage            `json:"output"`
	Assigned map[string]json.RawMessage `json:"assigned"`
}

// historyOf asks an instance for the history.
func (c *cli) historyOf(cmd *cobra.Command, order, execution string) ([]aslrun.Event, error) {
	var saga struct {
		History []tellingEvent `json:"history"`
	}
	status, body, err := c.fetch(&saga, func(api *apigen.Client) (*http.Response, error) {
		return api.GetSaga(cmd.Context(), order, &apigen.GetSagaParams{Execution: given(execution)})
	})
	switch {
	case err != nil:
		return nil, err
	case status >= http.StatusBadRequest:
		return nil, c.problem(status, body)
	}
	events := make([]aslrun.Event, len(saga.History))
	for i, t := range saga.History {
		if events[i], err = t.event(); err != nil {
			return nil, fmt.Errorf("event %d of the history: %w", t.ID, err)
		}
	}
	return events, nil
}

func (t tellingEvent) event() (e aslrun.Event, err error) {
	h := asl.HistoryEvent{
		ID: t.ID, PreviousID: zero(t.PreviousID), Type: t.Type, Time: t.Timestamp, State: zero(t.State), Resource: zero(t.Resource),
		Error: zero(t.Error), Cause: zero(t.Cause), Attempt: zero(t.Attempt), Index: zero(t.Index), Length: zero(t.Length),
		RoleARN: zero(t.RoleArn), Location: zero(t.Location),
		Timeout: time.Duration(zero(t.TimeoutSeconds)) * time.Second, Heartbeat: time.Duration(zero(t.HeartbeatSeconds)) * time.Second,
	}
	for text, into := range map[*json.RawMessage]*any{&t.Input: &h.Input, &t.Output: &h.Output} {
		if len(*text) > 0 {
			if *into, err = asl.DecodeJSON(*text); err != nil {
				return e, err
			}
		}
	}
	for name, text := range t.Assigned {
		if h.Assigned == nil {
			h.Assigned = make(map[string]any, len(t.Assigned))
		}
		if h.Assigned[name], err = asl.DecodeJSON(text); err != nil {
			return e, err
		}
	}
	return aslrun.Event(h), nil
}

// zero is what a pointer points to, or nothing.
func zero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
