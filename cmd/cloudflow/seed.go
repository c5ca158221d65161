package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

const (
	maxSeedProducts = 9999 // P-0001 to P-9999
	maxSeedOrders   = 100_000
	seedCallers     = 16 // at once: enough to share syncs, few enough for a laptop
	seedShelf       = 10 // generated products that orders are for
	seedStock       = 100_000
)

func (c *cli) seedCommand() *cobra.Command {
	var products, orders int
	cmd := &cobra.Command{
		Use:   "seed",
		Short: "Put demo products and orders into an instance",
		Long: `Create the demo products (LAPTOP-01, MOUSE-01, KEYBD-01) in a running instance, and with --products as many generated
ones, P-0001 and on. With --orders, place as many demo orders and wait for their outcomes: of ten, seven are confirmed,
two are declined, and one is refused for want of stock. Whatever is there already is left as it is, so that the
command can be repeated; a repeat within 24 hours places no order twice. Prints what was made and how the orders ended.`,
		Example: `  cloudflow seed
  cloudflow seed --products 100 --orders 1000`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if products < 0 || products > maxSeedProducts {
				return usagef("--products %d is not from 0 to %d", products, maxSeedProducts)
			}
			if orders < 0 || orders > maxSeedOrders {
				return usagef("--orders %d is not from 0 to %d", orders, maxSeedOrders)
			}
			if orders > 0 {
				products = max(products, seedShelf)
			}
			return c.seed(cmd.Context(), products, orders)
		},
	}
	cmd.Flags().IntVar(&products, "products", 0, "generated products beside the demo ones")
	cmd.Flags().IntVar(&orders, "orders", 0, "demo orders, for the first ten generated products")
	return cmd
}

// seeded is what a seed has made.
type seeded struct {
	Products struct {
		Created int `json:"created"`
		There   int `json:"there"`
	} `json:"products"`
	Orders map[string]int `json:"orders"` // by status, or by the code of a refusal
}

func (c *cli) seed(ctx context.Context, products, orders int) error {
	shelf := slices.Clone(instance.DemoProducts)
	for n := range products {
		shelf = append(shelf, generated(n+1))
	}
	made := seeded{Orders: map[string]int{}}
	var mu sync.Mutex
	err := c.many(ctx, "products", len(shelf), func(ctx context.Context, n int) error {
		created, err := c.seedProduct(ctx, shelf[n])
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
		case created:
			made.Products.Created++
		default:
			made.Products.There++
		}
		return err
	})
	if err != nil {
		return err
	}
	err = c.many(ctx, "orders", orders, func(ctx context.Context, n int) error {
		outcome, err := c.seedOrder(ctx, n)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made.Orders[outcome]++
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.printSeeded(made)
}

func (c *cli) printSeeded(made seeded) error {
	if c.JSON {
		return c.printJSON(made)
	}
	fmt.Fprintf(c.out, "products: %d created, %d there already\n", made.Products.Created, made.Products.There)
	for _, outcome := range slices.Sorted(maps.Keys(made.Orders)) {
		fmt.Fprintf(c.out, "orders: %d %s\n", made.Orders[outcome], outcome)
	}
	return nil
}

// many calls do for 0 to n-1, seedCallers at once, and shows how far it is. The first error ends it.
func (c *cli) many(ctx context.Context, what string, n int, do func(ctx context.Context, i int) error) error {
	bar := c.progress(what, n)
	defer bar.end()
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(seedCallers)
	for i := 0; i < n && each.Err() == nil; i++ {
		g.Go(func() error {
			if err := do(each, i); err != nil {
				return err
			}
			bar.step(1)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err() // it may have ended before the first call
}

// generated is the n-th generated product: the same at each call, with prices from 1.99 to 199.99.
func generated(n int) inventory.PutProduct {
	stock := int64(seedStock)
	return inventory.PutProduct{
		ProductID: fmt.Sprintf("P-%04d", n), Name: fmt.Sprintf("Product %d", n), UnitPriceCents: int64(199 + n*3700%19801), Stock: &stock,
	}
}

// seedProduct reports whether it made the product; else there was one.
func (c *cli) seedProduct(ctx context.Context, p inventory.PutProduct) (created bool, err error) {
	status, body, err := c.fetch(nil, func(api *apigen.Client) (*http.Response, error) {
		return api.PutProduct(ctx, p.ProductID, &apigen.PutProductParams{},
			apigen.ProductPut{Name: p.Name, UnitPriceCents: p.UnitPriceCents, Stock: p.Stock})
	})
	switch {
	case err != nil:
		return false, err
	case status == http.StatusConflict && codeOf(body) == fault.ProductExists.Code(): // with another name or price by now
		return false, nil
	case status >= http.StatusBadRequest:
		return false, c.problem(status, body)
	}
	return status == http.StatusCreated, nil
}

// seedOrder places the n-th demo order, under a key that is the same at each call, and returns its status or why it was refused.
func (c *cli) seedOrder(ctx context.Context, n int) (outcome string, err error) {
	body := apigen.OrderRequest{
		CustomerID: fmt.Sprintf("cust-%03d", 1+n%50),
		Items:      []apigen.OrderRequestItem{{ProductID: generated(1 + n%seedShelf).ProductID, Quantity: int64(1 + n%3)}},
	}
	switch n % 10 {
	case 3, 6:
		body.PaymentMethod = ptr(provider.ChargeDeclined)
	case 9:
		body.Items = []apigen.OrderRequestItem{{ProductID: instance.DemoProducts[1].ProductID, Quantity: 9999}}
	}
	params := &apigen.PlaceOrderParams{IdempotencyKey: ptr(fmt.Sprintf("seed-%d", n)), Prefer: ptr("wait=20")}
	var o apigen.Order
	status, answer, err := c.fetch(&o, func(api *apigen.Client) (*http.Response, error) { return api.PlaceOrder(ctx, params, body) })
	switch {
	case err != nil:
		return "", err
	case status == http.StatusConflict && codeOf(answer) == fault.InsufficientStock.Code():
		return codeOf(answer), nil
	case status >= http.StatusBadRequest:
		return "", c.problem(status, answer)
	}
	return string(o.Status), nil
}

// codeOf is the code of a problem document; "" for anything else.
func codeOf(body []byte) string {
	var p apigen.Problem
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return p.Error
}
