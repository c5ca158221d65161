package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) sagaCommand() *cobra.Command {
	var execution string
	show := &cobra.Command{
		Use:   "show ORDER_ID",
		Short: "Show where an order's saga stands and how it came there",
		Long: `Show an execution of an order's saga: its status, the state in which it stands or failed, and its history, one
event a line with the time since the start. Without --execution it is the current one. The definition is the hash of the machine that it
runs, with which it goes on when new orders run another (serve --saga).`,
		Example: `  cloudflow saga show ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D
  cloudflow saga show ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --execution ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D-r1`,
		Args: exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s apigen.Saga
			printed, err := c.call(&s, func(api *apigen.Client) (*http.Response, error) {
				return api.GetSaga(cmd.Context(), args[0], &apigen.GetSagaParams{Execution: given(execution)})
			})
			if err != nil || printed {
				return err
			}
			return c.printSaga(s)
		},
	}
	show.Flags().StringVar(&execution, "execution", "", "an earlier one, by its name (default: the current one)")
	var reason string
	redrive := &cobra.Command{
		Use:   "redrive ORDER_ID",
		Short: "Let the saga of an order in review go on where it failed",
		Long: `Start a new execution of an order's saga at the state that failed, with the input it had, and print its name. What was
done stays done. --reason is kept in the order's log with who gave it. Only an order that needs review can be redriven;
` + "`cloudflow saga list --status FAILED`" + ` lists them.`,
		Example: `  cloudflow saga redrive ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --reason "provider is back"`,
		Args:    exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usagef("--reason is wanted: it is kept in the order's log")
			}
			var accepted apigen.RedriveAccepted
			printed, err := c.call(&accepted, func(api *apigen.Client) (*http.Response, error) {
				return api.RedriveSaga(cmd.Context(), args[0], apigen.RedriveRequest{Reason: reason})
			})
			if err != nil || printed {
				return err
			}
			_, err = fmt.Fprintf(c.out, "started %s\n", accepted.Execution)
			return err
		},
	}
	redrive.Flags().StringVar(&reason, "reason", "", "why it can go on now (required)")
	return group("saga", "Look at the sagas of orders, redrive one that failed, answer one that waits", `  cloudflow saga list --status FAILED`,
		c.sagaList(), show, c.sagaHistory(), c.sagaGraph(), c.sagaCheck(), redrive,
		c.sagaTasks(), c.taskSuccess(), c.taskFailure(), c.taskHeartbeat())
}

func (c *cli) sagaList() *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sagas that are under way or wait for a person",
		Long: `List the sagas that have not come to their end, the oldest order first: those under way and those that failed
and wait for a person. All pages are read. A saga that succeeded is in no list.`,
		Example: `  cloudflow saga list
  cloudflow saga list --status FAILED --json`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := &apigen.ListSagasParams{Limit: ptr(100)}
			switch up := strings.ToUpper(status); up {
			case "":
			case "RUNNING", "FAILED":
				params.Status = ptr(apigen.ListSagasParamsStatus(up))
			default:
				return usagef("--status %q is not RUNNING or FAILED", status)
			}
			all, err := pages(c, func(api *apigen.Client, cursor *string) (*http.Response, error) {
				params.Cursor = cursor
				return api.ListSagas(cmd.Context(), params)
			}, func(p apigen.SagaList) ([]apigen.SagaSummary, *string) { return p.Sagas, p.NextCursor })
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(apigen.SagaList{Sagas: all})
			}
			return c.printSagas(all)
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "RUNNING or FAILED (default: both)")
	return cmd
}

func (c *cli) printSagas(all []apigen.SagaSummary) error {
	w := c.table()
	fmt.Fprintf(w, "execution\tstatus\tstate\tsince\terror\n")
	for _, s := range all {
		state, detail := "", ""
		if s.State != nil {
			state = *s.State
		}
		if s.Error != nil {
			detail = *s.Error
		}
		status := string(s.Status)
		if s.NeedsReview {
			status += ", needs review"
		}
		if s.AwaitsAnswer != nil {
			status += ", waits for an answer"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Execution, status, state, s.UpdatedAt.Format(time.RFC3339), detail)
	}
	return w.Flush()
}

func (c *cli) printSaga(s apigen.Saga) error {
	w := c.table()
	line := string(s.Status)
	if s.State != nil {
		line += " at " + *s.State
	}
	if s.Error != nil {
		line += ": " + *s.Error
	}
	if s.AwaitsAnswer != nil {
		line += ", waits for an answer (saga tasks): " + strings.Join(*s.AwaitsAnswer, ", ")
	}
	if s.WaitsUntil != nil {
		line += ", tries again at " + s.WaitsUntil.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "%s\t%s\n", s.Execution, line)
	if len(s.Executions) > 1 {
		fmt.Fprintf(w, "of\t%s\n", strings.Join(s.Executions, ", "))
	}
	if s.Definition != nil {
		fmt.Fprintf(w, "definition\t%s\n", *s.Definition)
	}
	for _, e := range s.History {
		state, detail := "", ""
		if e.State != nil {
			state = *e.State
		}
		if e.Attempt != nil {
			detail = fmt.Sprintf("retry %d  ", *e.Attempt)
		}
		if e.Error != nil {
			detail += *e.Error
		}
		fmt.Fprintf(w, "  %d\t+%d ms\t%s\t%s\t%s\n", e.ID, e.Timestamp.Sub(s.StartedAt).Milliseconds(), e.Type, state, detail)
	}
	return w.Flush()
}
