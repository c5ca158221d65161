package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/timeline"
)

// traceWidth is how many characters the longest bar has.
const traceWidth = 60

func (c *cli) traceCommand() *cobra.Command {
	var adminURL string
	cmd := &cobra.Command{
		Use:   "trace ORDER_ID",
		Short: "Show what an order's way through the services took, as a timeline",
		Long: `Print each step of an order with its start, its duration and a bar: the states of its saga and who did them, each
attempt of a task that was tried more than once and the wait before it, and under the payment what the provider's own ledger
says. An order that did not go straight to CONFIRMED has a column with what came of each step. Behind them stands what
has become of stock, customer and money, as far as it is known.

It is made from what is stored, to the millisecond, without a collector of traces. Sagas that were redriven are shown one
after the other; a history whose time is over (see serve --keep-executions) is missing, which is said on stderr.`,
		Example: `  cloudflow trace ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D
  cloudflow trace ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --json`,
		Args: exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			operators := *c
			if adminURL != "" {
				operators.URL = adminURL
			}
			account, err := c.account(cmd.Context(), &operators, args[0])
			if err != nil {
				return err
			}
			trace := timeline.Tell(account, time.Now())
			if c.JSON {
				return c.printJSON(trace)
			}
			return c.printTrace(trace)
		},
	}
	cmd.Flags().StringVar(&adminURL, "admin-url", "", "where the operators' routes are, if serve has an --admin-addr (default: --url)")
	return cmd
}

// account asks for everything that is told of an order, the sagas and the payment where operators are told. The order has to be there; a
// history or a payment need not be.
func (c *cli) account(ctx context.Context, operators *cli, id string) (a timeline.Account, err error) {
	if _, err := c.look(&a.Order, func(api *apigen.Client) (*http.Response, error) { return api.GetOrder(ctx, id, nil) }, false); err != nil {
		return a, err
	}
	var current apigen.Saga
	there, err := operators.look(&current, func(api *apigen.Client) (*http.Response, error) { return api.GetSaga(ctx, id, nil) }, true)
	switch {
	case err != nil:
		return a, err
	case !there:
		fmt.Fprintf(c.err, "cloudflow: %s has no history of the saga of %s: its time is over, or operators are told elsewhere (--admin-url)\n", operators.URL, id)
	default:
		if a.Executions, err = operators.earlier(ctx, id, current); err != nil {
			return a, err
		}
		a.Executions = append(a.Executions, current)
	}
	var p apigen.Payment
	there, err = operators.look(&p, func(api *apigen.Client) (*http.Response, error) { return api.GetPayment(ctx, id) }, true)
	if there {
		a.Payment = &p
	}
	return a, err
}

// earlier are the executions that were redriven, the oldest first.
func (c *cli) earlier(ctx context.Context, id string, current apigen.Saga) (all []apigen.Saga, err error) {
	for _, name := range current.Executions {
		if name == current.Execution {
			continue
		}
		var s apigen.Saga
		there, err := c.look(&s, func(api *apigen.Client) (*http.Response, error) {
			return api.GetSaga(ctx, id, &apigen.GetSagaParams{Execution: &name})
		}, true)
		switch {
		case err != nil:
			return nil, err
		case !there:
			fmt.Fprintf(c.err, "cloudflow: the history of %s is not kept any more\n", name)
		default:
			all = append(all, s)
		}
	}
	return all, nil
}

// look makes a call, and reports whether there was something. That there is nothing is an error unless it may be missing.
func (c *cli) look(into any, do func(*apigen.Client) (*http.Response, error), mayMiss bool) (there bool, err error) {
	status, body, err := c.fetch(into, do)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusNotFound && mayMiss:
		return false, nil
	case status >= http.StatusBadRequest:
		return false, c.problem(status, body)
	}
	return true, nil
}

func (c *cli) printTrace(t timeline.Trace) error {
	soFar := ""
	if !t.Ended {
		soFar = " so far"
	}
	fmt.Fprintf(c.out, "Trace: %s  %s  Total: %d ms%s\n\n", t.OrderID, t.Status, t.TotalMS, soFar)
	straight := t.Status == string(apigen.OrderStatusCONFIRMED)
	for _, s := range t.Segments {
		straight = straight && !s.Failed
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	status := ""
	if !straight {
		status = "Status\t"
	}
	fmt.Fprintf(w, "Segment\t\tStart\tDuration\t%sTimeline (%d ms)\n", status, t.TotalMS)
	for _, s := range t.Segments {
		took := fmt.Sprintf("%d ms", s.DurationMS)
		if s.Instant {
			took = "-"
		}
		if !straight {
			status = printable(s.Outcome) + "\t"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%d ms\t%s\t%s%s\n", strings.Repeat("  ", s.Depth), printable(s.Who), printable(s.What), s.StartMS, took, status, traceBar(s, t.TotalMS))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := c.printTrimmed(text.String()); err != nil {
		return err
	}
	if len(t.Result) > 0 {
		fmt.Fprintf(c.out, "\nResult: %s\n", strings.Join(t.Result, " | "))
	}
	return nil
}

// traceBar is where a segment lies within the whole: at least one character, and never beyond the width.
func traceBar(s timeline.Segment, total int64) string {
	total = max(1, total)
	begin := min(s.StartMS*traceWidth/total, traceWidth-1)
	length := min(max(1, (s.DurationMS*traceWidth+total-1)/total), traceWidth-begin)
	mark := "█"
	switch {
	case s.Waiting:
		mark = "░"
	case s.Instant:
		mark = "·"
	}
	return strings.Repeat(" ", int(begin)) + strings.Repeat(mark, int(length))
}
