package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) table() *tabwriter.Writer { return tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0) }

func (c *cli) paymentCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show ORDER_ID",
		Short: "Show our row of an order's payment beside the provider's own ledger",
		Long: `Print what was captured and refunded for an order by our own row and by the provider's ledger, and the ledger's
entries. Where the two differ, the provider's is the judge of the money.`,
		Example: `  cloudflow payment show ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D`,
		Args:    exactly(1, "an order id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p apigen.Payment
			printed, err := c.call(&p, func(api *apigen.Client) (*http.Response, error) {
				return api.GetPayment(cmd.Context(), args[0])
			})
			if err != nil || printed {
				return err
			}
			w := c.table()
			fmt.Fprintf(w, "\tstatus\tcaptured\trefunded\n")
			fmt.Fprintf(w, "ours\t%s\t%s\t%s\n", p.Status, cents(p.CapturedCents), cents(p.RefundedCents))
			fmt.Fprintf(w, "provider\t\t%s\t%s\n", cents(p.Provider.CapturedCents), cents(p.Provider.RefundedCents))
			for _, e := range p.Provider.Entries {
				fmt.Fprintf(w, "  %s\t%s\t%s\t\n", e.At.Format("2006-01-02T15:04:05.000Z"), e.Type, cents(e.AmountCents))
			}
			return w.Flush()
		},
	}
	return group("payment", "Look at payments", `  cloudflow payment show ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D`, show)
}

func (c *cli) productCommand() *cobra.Command {
	return group("product", "List, create, change and restock products",
		`  cloudflow product put LAPTOP-01 --name "Laptop 14" --price 149900 --stock 10`,
		c.productList(), c.productPut(), c.productRestock())
}

func (c *cli) productList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all products with price and stock",
		Long: `Print a line for each product: its name and price, and how many pieces are available, held by orders that are
not decided yet, and sold. All pages are read.`,
		Example: `  cloudflow product list`,
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.allProducts(cmd.Context())
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(apigen.ProductList{Products: all})
			}
			w := c.table()
			fmt.Fprintf(w, "product\tname\tprice\tavailable\theld\tsold\n")
			for _, p := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\n", p.ProductID, p.Name, cents(p.UnitPriceCents), p.Available, p.Held, p.Sold)
			}
			return w.Flush()
		},
	}
}

// allProducts reads every page.
func (c *cli) allProducts(ctx context.Context) ([]apigen.Product, error) {
	params := &apigen.ListProductsParams{Limit: ptr(100)}
	return pages(c, func(api *apigen.Client, cursor *string) (*http.Response, error) {
		params.Cursor = cursor
		return api.ListProducts(ctx, params)
	}, func(p apigen.ProductList) ([]apigen.Product, *string) { return p.Products, p.NextCursor })
}

func (c *cli) productPut() *cobra.Command {
	var name string
	var price, stock int64
	cmd := &cobra.Command{
		Use:   "put PRODUCT_ID",
		Short: "Create a product, or change its name and price",
		Long: `Create a product, or change its name and price. --stock counts at creation only; afterwards stock
grows by ` + "`cloudflow product restock`" + `. Prints the product as it is then.`,
		Example: `  cloudflow product put LAPTOP-01 --name "Laptop 14" --price 149900 --stock 10`,
		Args:    exactly(1, "a product id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apigen.ProductPut{Name: name, UnitPriceCents: price}
			if cmd.Flags().Changed("stock") {
				body.Stock = &stock
			}
			return c.product(func(api *apigen.Client) (*http.Response, error) {
				return api.PutProduct(cmd.Context(), args[0], &apigen.PutProductParams{}, body)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what customers see (required)")
	cmd.Flags().Int64Var(&price, "price", 0, "unit price in cents (required)")
	cmd.Flags().Int64Var(&stock, "stock", 0, "pieces at creation")
	return cmd
}

func (c *cli) productRestock() *cobra.Command {
	var quantity int64
	var key string
	cmd := &cobra.Command{
		Use:   "restock PRODUCT_ID",
		Short: "Add pieces to a product's stock",
		Long: `Add pieces to a product's stock, and print the product as it was right after. With --idempotency-key the same command,
repeated, adds them once.`,
		Example: `  cloudflow product restock LAPTOP-01 --quantity 5`,
		Args:    exactly(1, "a product id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				key = newKey()
			}
			return c.product(func(api *apigen.Client) (*http.Response, error) {
				return api.RestockProduct(cmd.Context(), args[0], &apigen.RestockProductParams{IdempotencyKey: key},
					apigen.RestockRequest{Quantity: quantity})
			})
		},
	}
	cmd.Flags().Int64Var(&quantity, "quantity", 0, "how many pieces (required)")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "the same key adds the pieces once (default: a fresh one)")
	return cmd
}

// product makes a call that answers a product and prints it.
func (c *cli) product(do func(*apigen.Client) (*http.Response, error)) error {
	var p apigen.Product
	printed, err := c.call(&p, do)
	if err != nil || printed {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s  %s  %s  available %d, held %d, sold %d\n",
		p.ProductID, p.Name, cents(p.UnitPriceCents), p.Available, p.Held, p.Sold)
	return err
}

func (c *cli) breakerCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List the circuit breakers",
		Long: `Print a line for each circuit breaker: its state (CLOSED lets calls through, OPEN refuses them, HALF_OPEN lets one
try), the failures in a row, and until when it is open.`,
		Example: `  cloudflow breaker list`,
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all apigen.BreakerList
			printed, err := c.call(&all, func(api *apigen.Client) (*http.Response, error) { return api.ListBreakers(cmd.Context()) })
			if err != nil || printed {
				return err
			}
			w := c.table()
			fmt.Fprintf(w, "breaker\tstate\tfailures\topen until\n")
			for _, b := range all.Breakers {
				until := ""
				if b.OpenUntil != nil {
					until = b.OpenUntil.Format("2006-01-02T15:04:05Z07:00")
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", b.Name, b.State, b.ConsecutiveFailures, until)
			}
			return w.Flush()
		},
	}
	return group("breaker", "Look at the circuit breakers, trip and reset them", `  cloudflow breaker trip payment-charge`,
		list,
		c.breakerMove("trip", "Open a breaker: calls behind it are refused at once",
			func(cmd *cobra.Command, api *apigen.Client, name string) (*http.Response, error) {
				return api.TripBreaker(cmd.Context(), name)
			}),
		c.breakerMove("reset", "Close a breaker: calls behind it go through again",
			func(cmd *cobra.Command, api *apigen.Client, name string) (*http.Response, error) {
				return api.ResetBreaker(cmd.Context(), name)
			}))
}

func (c *cli) breakerMove(verb, short string, do func(*cobra.Command, *apigen.Client, string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Long:    short + ". Prints its state as it is then. The names are payment-charge and\npayment-refund.",
		Example: "  cloudflow breaker " + verb + " payment-charge",
		Args:    exactly(1, "a breaker's name (payment-charge or payment-refund)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b apigen.Breaker
			printed, err := c.call(&b, func(api *apigen.Client) (*http.Response, error) { return do(cmd, api, args[0]) })
			if err != nil || printed {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s  %s\n", b.Name, b.State)
			return err
		},
	}
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  cloudflow version --json`,
		Args:    exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if c.JSON {
				_, err := fmt.Fprintf(c.out, "{\"version\":%q}\n", version)
				return err
			}
			_, err := fmt.Fprintf(c.out, "cloudflow %s\n", version)
			return err
		},
	}
}
