package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/retention"
)

func (c *cli) retentionCommand() *cobra.Command {
	var data string
	var run bool
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Count what has been kept long enough, and delete it with --run",
		Long: `Count what has been kept long enough, on a running instance (--url) or in the data directory of a stopped
one (--data): idempotency keys whose time is over, histories of sagas (see serve --keep-executions), and orders
of over seven years with all that belongs to them. Nothing is deleted without --run.

An instance makes a run each hour by itself. Only orders that have ended in every respect are touched: one that
waits for a person waits here, too. The payment provider's ledger is not ours to delete.`,
		Example: `  cloudflow retention
  cloudflow retention --run`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			byData, err := stopped(cmd, data)
			if err != nil {
				return err
			}
			var r apigen.Retention
			if byData {
				r, err = c.retain(cmd, data, run)
			} else {
				c.timeout = verifyTimeout
				var printed bool
				printed, err = c.call(&r, func(api *apigen.Client) (*http.Response, error) {
					if run {
						return api.RunRetention(cmd.Context())
					}
					return api.LookAtRetention(cmd.Context())
				})
				if printed {
					return err
				}
			}
			if err != nil {
				return err
			}
			return c.printRetention(r, run)
		},
	}
	cmd.Flags().BoolVar(&run, "run", false, "delete it")
	cmd.Flags().StringVar(&data, "data", "", "the data directory of a stopped instance")
	return cmd
}

// retain looks, or runs, in a stopped directory.
func (c *cli) retain(cmd *cobra.Command, data string, run bool) (out apigen.Retention, err error) {
	err = instanceOn(data, instance.Config{KeepExecutions: c.KeepExecutions}, func(i *instance.Instance) error {
		do := i.Retention.Look
		if run {
			do = i.Retention.Run
		}
		var r retention.Report
		r, err := do(cmd.Context())
		out = apigen.Retention{IdempotencyKeys: r.Keys, Executions: r.Executions, Orders: r.Orders, Waiting: r.Waiting}
		if r.More {
			out.More = ptr(true)
		}
		return err
	})
	return out, err
}

func (c *cli) printRetention(r apigen.Retention, run bool) error {
	if c.JSON {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.out, string(text))
		return err
	}
	what, least := "kept long enough", ""
	if run {
		what = "deleted"
	}
	if r.More != nil && *r.More {
		least = "at least "
	}
	w := c.table()
	fmt.Fprintf(w, "\t%s\n", what)
	for _, row := range []struct {
		name string
		n    int64
	}{{"idempotency keys", r.IdempotencyKeys}, {"executions", r.Executions}, {"orders", r.Orders}} {
		fmt.Fprintf(w, "%s\t%s%d\n", row.name, least, row.n)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Waiting > 0 {
		fmt.Fprintf(c.err, "cloudflow: %d orders have not ended in every respect and are kept; `cloudflow saga show` says where one stands\n", r.Waiting)
	}
	return nil
}
