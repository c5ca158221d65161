package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// maxPage is the most rows that the server gives at a time.
const maxPage = 100

func (c *cli) orderList() *cobra.Command {
	var customer, status string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List orders, the newest first",
		Long: `List orders, the newest first: your own, or with admin those of --customer or of everybody.
--status is one of PENDING, CONFIRMED, FAILED, COMPENSATED, CANCELLED and REVIEW.`,
		Example: `  cloudflow order list --limit 20
  cloudflow order list --customer cust-1 --status REVIEW`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit %d lists nothing; 1 is the least", limit)
			}
			params := &apigen.ListOrdersParams{CustomerID: given(customer)}
			if status != "" {
				params.Status = ptr(apigen.OrderStatus(status))
			}
			return c.listOrders(cmd, params, limit)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&customer, "customer", "", "whose orders")
	flags.StringVar(&status, "status", "", "only those that are in this status now")
	flags.IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

// An orderPage keeps the rows as they came, for --json.
type orderPage struct {
	Orders     []json.RawMessage `json:"orders"`
	NextCursor *string           `json:"next_cursor,omitempty"`
}

// listOrders goes through the pages until it has enough, or there are no more. A page can be empty and not the last.
func (c *cli) listOrders(cmd *cobra.Command, params *apigen.ListOrdersParams, limit int) error {
	rows := []json.RawMessage{}
	for {
		params.Limit = ptr(min(maxPage, limit-len(rows)))
		var page orderPage
		status, body, err := c.fetch(&page, func(api *apigen.Client) (*http.Response, error) { return api.ListOrders(cmd.Context(), params) })
		switch {
		case err != nil:
			return err
		case status >= http.StatusBadRequest:
			return c.problem(status, body)
		}
		rows, params.Cursor = append(rows, page.Orders...), page.NextCursor
		if page.NextCursor == nil || len(rows) >= limit {
			break
		}
	}
	if err := c.printOrders(rows); err != nil {
		return err
	}
	if params.Cursor != nil {
		fmt.Fprintf(c.err, "cloudflow: there are more; --limit %d lists the newest %d only\n", limit, limit)
	}
	return nil
}

func (c *cli) printOrders(rows []json.RawMessage) error {
	if c.JSON {
		return json.NewEncoder(c.out).Encode(orderPage{Orders: rows})
	}
	w := c.table()
	fmt.Fprintf(w, "order\tstatus\tcustomer\ttotal\tcreated\n")
	for _, row := range rows {
		var o apigen.OrderSummary
		if err := json.Unmarshal(row, &o); err != nil {
			return fmt.Errorf("the answer of %s is not what its contract says: %w", c.URL, err)
		}
		status := string(o.Status)
		if o.FailureReason != nil {
			status += " " + string(*o.FailureReason)
		}
		if o.NeedsReview && o.Status != apigen.OrderStatusREVIEW {
			status += " (needs review)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s %s\t%s\n", o.OrderID, status, o.CustomerID, cents(o.TotalCents), o.Currency, o.CreatedAt.Format(stamp))
	}
	return w.Flush()
}

// stamp is how a time is shown: UTC, in milliseconds.
const stamp = "2006-01-02T15:04:05.000Z"
