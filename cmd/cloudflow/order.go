package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) orderCommand() *cobra.Command {
	return group("order", "Place, read, list, watch and cancel orders",
		`  cloudflow order place --customer cust-1 --item LAPTOP-01=1 --wait 10s`,
		c.orderPlace(), c.orderGet(), c.orderList(), c.orderWatch(), c.orderCancel())
}

func (c *cli) orderPlace() *cobra.Command {
	var (
		customer, method, currency, email, phone, key string
		items                                         []string
		wait                                          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "place",
		Short: "Place an order",
		Long: `Place an order. --item is PRODUCT=QUANTITY, or PRODUCT=QUANTITY@CENTS to be refused if the price is
another by now; repeat it for more lines. An idempotency key is always sent: give one with
--idempotency-key and the same command, repeated, is the same order. Prints the order as it was accepted or,
with --wait, as it ended, with its events. An order that ends otherwise than CONFIRMED is no failure of the command.`,
		Example: `  cloudflow order place --customer cust-1 --item LAPTOP-01=1 --item MOUSE-01=2 --wait 10s
  cloudflow order place --customer cust-1 --item KEYBD-01=1@8999 --payment-method pm_card_chargeDeclined --wait 10s`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return usagef("--wait %s is no time to wait, such as 10s", wait)
			}
			body := apigen.OrderRequest{CustomerID: customer, PaymentMethod: given(method), Currency: given(currency)}
			for _, text := range items {
				item, err := parseItem(text)
				if err != nil {
					return err
				}
				body.Items = append(body.Items, item)
			}
			if email != "" || phone != "" {
				body.Contact = &apigen.Contact{Email: given(email), Phone: given(phone)}
			}
			if key == "" {
				key = newKey()
			}
			params := &apigen.PlaceOrderParams{IdempotencyKey: &key}
			if wait > 0 {
				params.Prefer = ptr(fmt.Sprintf("wait=%d", int((wait+time.Second-1)/time.Second)))
			}
			var order apigen.Order // an accepted order has fewer members of the same names
			printed, err := c.call(&order, func(api *apigen.Client) (*http.Response, error) {
				return api.PlaceOrder(cmd.Context(), params, body)
			})
			if err != nil || printed {
				return err
			}
			return c.printOrder(order)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&customer, "customer", "", "who orders (required)")
	flags.StringArrayVar(&items, "item", nil, "PRODUCT=QUANTITY or PRODUCT=QUANTITY@CENTS (required, repeatable)")
	flags.StringVar(&method, "payment-method", "", "how to pay (default pm_card_visa)")
	flags.StringVar(&currency, "currency", "", "the shop's currency if absent")
	flags.StringVar(&email, "email", "", "where to send the outcome; stored sealed")
	flags.StringVar(&phone, "phone", "", "stored sealed")
	flags.StringVar(&key, "idempotency-key", "", "names this order on your side (default: a fresh one)")
	flags.DurationVar(&wait, "wait", 0, "wait this long for the outcome, at most 20s")
	return cmd
}

func parseItem(text string) (apigen.OrderRequestItem, error) {
	product, rest, ok := strings.Cut(text, "=")
	quantity, price, priced := strings.Cut(rest, "@")
	n, err := strconv.ParseInt(quantity, 10, 64)
	if !ok || product == "" || err != nil {
		return apigen.OrderRequestItem{}, usagef("--item %q is not PRODUCT=QUANTITY, such as LAPTOP-01=1", text)
	}
	item := apigen.OrderRequestItem{ProductID: product, Quantity: n}
	if priced {
		unit, err := strconv.ParseInt(price, 10, 64)
		if err != nil {
			return apigen.OrderRequestItem{}, usagef("--item %q: the price after @ is in cents, such as 149900", text)
		}
		item.UnitPriceCents = &unit
	}
	return item, nil
}

func (c *cli) orderGet() *cobra.Command {
	var asOf string
	var version int64
	cmd := &cobra.Command{
		Use:   "get ORDER_ID",
		Short: "Show an order and what happened to it",
		Long: `Print an order's status, why it was not confirmed if it was not, its lines and total, and its events with the
time since the first one. With --version or --as-of, as it was then.`,
		Example: `  cloudflow order get ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D
  cloudflow order get ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --version 2`,
		Args: exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := &apigen.GetOrderParams{}
			if asOf != "" {
				at, err := time.Parse(time.RFC3339, asOf)
				if err != nil {
					return usagef("--as-of %q is not a time such as 2026-01-02T15:04:05Z", asOf)
				}
				params.AsOf = &at
			}
			if cmd.Flags().Changed("version") {
				if version < 1 {
					return usagef("--version %d is no version: an order's first is 1", version)
				}
				params.Version = &version
			}
			var order apigen.Order
			printed, err := c.call(&order, func(api *apigen.Client) (*http.Response, error) {
				return api.GetOrder(cmd.Context(), args[0], params)
			})
			if err != nil || printed {
				return err
			}
			return c.printOrder(order)
		},
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", "as it was at this time (RFC 3339)")
	cmd.Flags().Int64Var(&version, "version", 0, "as it was after this many events")
	return cmd
}

func (c *cli) orderCancel() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ORDER_ID",
		Short: "Cancel an order that is not decided yet",
		Long: `Ask for an order to be cancelled, and print its status as it is then. The saga sees the wish at its next step and puts
everything back, unless the order was confirmed first: ` + "`cloudflow order get`" + ` shows which it was.`,
		Example: `  cloudflow order cancel ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D`,
		Args:    exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var accepted apigen.CancelAccepted
			printed, err := c.call(&accepted, func(api *apigen.Client) (*http.Response, error) {
				return api.CancelOrder(cmd.Context(), args[0])
			})
			if err != nil || printed {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s  %s  (cancel requested)\n", accepted.OrderID, accepted.Status)
			return err
		},
	}
}

func (c *cli) printOrder(o apigen.Order) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	status := string(o.Status)
	if o.FailureReason != nil {
		status += "  " + string(*o.FailureReason)
	}
	fmt.Fprintf(w, "%s\t%s\n", o.OrderID, status)
	fmt.Fprintf(w, "total\t%s\n", cents(o.TotalCents))
	for _, item := range o.Items {
		fmt.Fprintf(w, "%s\t%d x %s\n", item.ProductID, item.Quantity, cents(item.UnitPriceCents))
	}
	var first time.Time
	for i, e := range o.Events {
		if i == 0 {
			first = e.Timestamp
		}
		fmt.Fprintf(w, "  %d  %s\t%s\t+%d ms\n", e.Version, e.Type, e.Timestamp.Format("2006-01-02T15:04:05.000Z"), e.Timestamp.Sub(first).Milliseconds())
	}
	return w.Flush()
}
