package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// How the feed is kept up.
const (
	// watchSilence is three of the server's comments: a connection that is silent for longer is dead.
	watchSilence = 45 * time.Second
	// The pauses before connecting again: a restart takes about a second, an outage as long as it likes.
	firstReconnect = 500 * time.Millisecond
	lastReconnect  = 5 * time.Second
)

func (c *cli) orderWatch() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [ORDER_ID]",
		Short: "Follow what happens to orders, or to one until it has ended",
		Long: `Follow the live feed: a line for each event of your own orders, or with admin of all. With an order's
id the first line is how it stands now, and the command ends when the order does. If the server goes away it
connects again and misses nothing. With --json each line is one object.`,
		Example: `  cloudflow order watch
  cloudflow order watch ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s wants one order id or none; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w := &watch{c: c}
			if len(args) == 1 {
				w.orderID = args[0]
			}
			return w.run(cmd.Context())
		},
	}
}

// A watch follows the feed over as many connections as it takes.
type watch struct {
	c       *cli
	orderID string // "": all that come
	seen    int64  // of that order
	ended   bool   // it has
	begun   bool   // there was a connection
	current bool   // the order was looked at since the feed last had a gap
	last    string // the id to go on behind
}

// A feedEvent is FeedEvent of the contract.
type feedEvent struct {
	OrderID   string `json:"order_id"`
	Version   int64  `json:"version"`
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Status    string `json:"status"`
}

// errFinal is in the chain of an error that connecting again would not change.
var errFinal = errors.New("final")

var errSilent = fmt.Errorf("nothing was heard for %s", watchSilence)

func (w *watch) run(ctx context.Context) error {
	for pause := firstReconnect; ; pause = min(2*pause, lastReconnect) {
		connected, err := w.follow(ctx)
		switch {
		case w.ended:
			return nil
		case ctx.Err() != nil && w.orderID == "":
			return nil // that is how a watch of everything ends
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case !w.begun, errors.Is(err, errFinal):
			return err
		}
		if connected {
			pause = firstReconnect
		}
		why := ""
		if err != nil {
			why = ": " + err.Error()
		}
		fmt.Fprintf(w.c.err, "cloudflow: the feed of %s ended%s; connecting again\n", w.c.URL, why)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// follow is one connection, from its beginning to its end, and whether there was one.
func (w *watch) follow(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	defer func() {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
	}()
	endless := *w.c
	endless.timeout = 0
	api, err := endless.client()
	if err != nil {
		return false, final(err)
	}
	resp, err := api.StreamEvents(ctx, &apigen.StreamEventsParams{LastEventID: given(w.last)})
	if err != nil {
		return false, w.c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return false, w.refused(resp.StatusCode, body)
	}
	w.begun = true
	if w.orderID != "" && !w.current { // after the feed has begun, so that nothing can happen in between
		if err := w.look(ctx); err != nil || w.ended {
			return true, err
		}
	}
	return true, w.read(ctx, resp.Body, func() { silence.Reset(watchSilence) })
}

// refused is a problem that ends the watch, unless it is one that passes.
func (w *watch) refused(status int, body []byte) error {
	if w.begun && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
		return fmt.Errorf("it answers %d", status)
	}
	return final(w.c.problem(status, body))
}

// final marks an error without changing its text.
func final(err error) error { return finalError{err} }

type finalError struct{ error }

func (finalError) Is(target error) bool { return target == errFinal } //nolint:errorlint // that is what Is is for
func (e finalError) Unwrap() error      { return e.error }

// look reads how the order stands now.
func (w *watch) look(ctx context.Context) error {
	var o apigen.Order
	status, body, err := w.c.fetch(&o, func(api *apigen.Client) (*http.Response, error) { return api.GetOrder(ctx, w.orderID, nil) })
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return w.refused(status, body)
	}
	w.current = true
	e := o.Events[len(o.Events)-1]
	return w.show(feedEvent{o.OrderID, e.Version, string(e.Type), e.Timestamp.Format(stamp), string(o.Status)})
}

// read shows the events of a connection until it ends or the order does. heard is called with each line.
func (w *watch) read(ctx context.Context, body io.Reader, heard func()) error {
	var event, data string
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		heard()
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "id":
			w.last = value
		case name == "event":
			event = value
		case name == "data":
			data = value
		case lines.Text() != "": // a comment
		case event == "reset":
			if err := w.gap(ctx); err != nil || w.ended {
				return err
			}
			event, data = "", ""
		case data != "":
			var e feedEvent
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return fmt.Errorf("the feed says %q: %w", data, err)
			}
			if err := w.show(e); err != nil || w.ended {
				return err
			}
			event, data = "", ""
		}
	}
	return lines.Err()
}

// gap is what the feed's reset means: it went on longer than events are kept.
func (w *watch) gap(ctx context.Context) error {
	fmt.Fprintln(w.c.err, "cloudflow: the feed does not reach back to where this watch was: some events are missing")
	if w.current = false; w.orderID == "" {
		return nil
	}
	return w.look(ctx)
}

func (w *watch) show(e feedEvent) error {
	if w.orderID != "" {
		if e.OrderID != w.orderID || e.Version <= w.seen {
			return nil
		}
		w.seen = e.Version
	}
	var err error
	if w.c.JSON {
		err = json.NewEncoder(w.c.out).Encode(e)
	} else {
		_, err = fmt.Fprintf(w.c.out, "%s  %s  %2d  %-17s  %s\n", e.Timestamp, e.OrderID, e.Version, e.Type, e.Status)
	}
	if err != nil {
		return final(err)
	}
	open := e.Status == string(apigen.OrderStatusPENDING) || e.Status == string(apigen.OrderStatusREVIEW)
	w.ended = w.orderID != "" && !open
	return nil
}
