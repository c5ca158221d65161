package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) eventsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "events ORDER_ID",
		Short: "Show an order's log in full, and check its chain of hashes",
		Long: `Show every event of an order's log. Each is chained to the one before it by a hash; the chain is
computed anew here, and whether it holds is said on stderr. If it breaks the exit code is 1. The chain
proves that nothing was edited or left out, not that nothing was cut off at the end: compare the last
hash with one that was kept elsewhere.`,
		Example: `  cloudflow events ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D
  cloudflow events ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --json`,
		Args: exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := c.fetchLog(cmd, args[0])
			if err != nil {
				return err
			}
			events := make([]loggedEvent, len(log.Events))
			for i, text := range log.Events {
				if events[i], err = decodeLogged(text); err != nil {
					return fmt.Errorf("the answer of %s is not what its contract says: %w", c.URL, err)
				}
			}
			if err := c.printLog(log, events); err != nil {
				return err
			}
			return c.judge(events)
		},
	}
}

// A logPage is OrderLog of the contract, the events as they came.
type logPage struct {
	OrderID    string            `json:"order_id"`
	Events     []json.RawMessage `json:"events"`
	NextCursor *string           `json:"next_cursor,omitempty"`
}

// fetchLog goes through all pages.
func (c *cli) fetchLog(cmd *cobra.Command, orderID string) (logPage, error) {
	all := logPage{Events: []json.RawMessage{}}
	params := &apigen.ListOrderEventsParams{Limit: ptr(maxPage)}
	for {
		var page logPage
		status, body, err := c.fetch(&page, func(api *apigen.Client) (*http.Response, error) {
			return api.ListOrderEvents(cmd.Context(), orderID, params)
		})
		switch {
		case err != nil:
			return logPage{}, err
		case status >= http.StatusBadRequest:
			return logPage{}, c.problem(status, body)
		}
		all.OrderID, all.Events = page.OrderID, append(all.Events, page.Events...)
		if params.Cursor = page.NextCursor; params.Cursor == nil {
			return all, nil
		}
	}
}

// A loggedEvent is LogEvent of the contract. Numbers keep their text, which is what was hashed.
type loggedEvent struct {
	Version       int64          `json:"version"`
	Type          string         `json:"type"`
	Timestamp     string         `json:"timestamp"`
	Data          map[string]any `json:"data"`
	CorrelationID string         `json:"correlation_id"`
	Actor         string         `json:"actor"`
	PreviousHash  string         `json:"previous_hash"`
	Hash          string         `json:"hash"`
}

func decodeLogged(text []byte) (e loggedEvent, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&e)
	return e, err
}

func (c *cli) printLog(log logPage, events []loggedEvent) error {
	if c.JSON {
		return json.NewEncoder(c.out).Encode(log)
	}
	w := c.table()
	for _, e := range events {
		data := ""
		if e.Data != nil {
			text, err := json.Marshal(e.Data)
			if err != nil {
				return err
			}
			data = string(text)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%.12s\t%s\n", e.Version, e.Type, e.Timestamp, e.Actor, e.Hash, data)
	}
	return w.Flush()
}

// judge says whether the chain holds, or where it breaks.
func (c *cli) judge(events []loggedEvent) error {
	if err := checkChain(events); err != nil {
		fmt.Fprintf(c.err, "cloudflow: the chain is broken: %v\n", err)
		return &exit{1}
	}
	fmt.Fprintf(c.err, "cloudflow: the chain of %d events holds; its last hash is %s\n", len(events), events[len(events)-1].Hash)
	return nil
}

func checkChain(events []loggedEvent) error {
	if len(events) == 0 {
		return errors.New("there is no event")
	}
	previous := ""
	chain := make([]eventlog.Event, len(events))
	for i, e := range events {
		at, err := time.Parse(eventlog.Layout, e.Timestamp)
		if err != nil {
			return fmt.Errorf("version %d: %q is not how a log writes a time", e.Version, e.Timestamp)
		}
		if e.PreviousHash != previous {
			return fmt.Errorf("version %d: it is not chained to the event before it", e.Version)
		}
		previous = e.Hash
		chain[i] = eventlog.Event{
			Version: e.Version, Type: e.Type, Timestamp: at, Data: e.Data, CorrelationID: e.CorrelationID, Actor: e.Actor, Hash: e.Hash,
		}
	}
	err := eventlog.Verify(chain)
	var broken *fault.Error
	if errors.As(err, &broken) {
		return errors.New(strings.TrimPrefix(broken.Message, "eventlog: "))
	}
	return err
}
