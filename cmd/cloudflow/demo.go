package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

func (c *cli) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the four scenarios, step by step, on a private instance",
		Long: `Start a private instance in a temporary directory, drive it over HTTP through four scenarios (everything
succeeds; the card is declined; the circuit is open; not enough stock), and show what each step did and
how long it took. Exit code 1 if an outcome is not what it should be. With --json one object, all scenarios.`,
		Example: `  cloudflow demo`,
		Args:    exactly(0, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.demo(cmd.Context()) },
	}
}

// A scene is one scenario as it went.
type scene struct {
	Scenario   string      `json:"scenario"`
	Request    string      `json:"request"`
	Status     int         `json:"status"`
	Millis     float64     `json:"millis"` // until the answer
	Steps      []sceneStep `json:"steps,omitempty"`
	Events     []string    `json:"events,omitempty"`
	Outcome    string      `json:"outcome"`
	AsExpected bool        `json:"as_expected"`
}

type sceneStep struct {
	State  string `json:"state"`
	At     int64  `json:"at_ms"`
	Millis int64  `json:"millis"`
	Error  string `json:"error,omitempty"`
}

func (c *cli) demo(ctx context.Context) error {
	var scenes []scene
	err := c.onPrivate(ctx, func(i *instance.Instance) (err error) {
		if err = i.SeedDemo(ctx); err == nil {
			scenes, err = c.scenes(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.show(scenes)
}

// onPrivate runs an instance in a temporary directory while use runs, and makes it the one that is talked to, without a credential. When ctx
// ends, use is told by its own and not by an instance that goes away.
func (c *cli) onPrivate(ctx context.Context, use func(*instance.Instance) error) (err error) {
	dir, err := os.MkdirTemp("", "cloudflow-private-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.DiscardHandler)
	i, err := instance.Open(instance.Config{Dir: dir, Sender: sender.NewLog(log), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- i.Serve(serving, l) }()
	c.URL, c.Token = "http://"+l.Addr().String(), ""
	err = use(i)
	stop()
	return errors.Join(err, <-served)
}

// order is what a scene asks for.
type demoOrder struct {
	product, method string
	quantity        int64
}

func (c *cli) scenes(ctx context.Context) ([]scene, error) {
	plans := []struct {
		title string
		order demoOrder
		open  bool // the circuit is tripped first
		want  string
	}{
		{"Happy path: everything succeeds", demoOrder{"LAPTOP-01", "pm_card_visa", 1}, false, "CONFIRMED"},
		{"Payment failure: the card is declined, the stock is given back", demoOrder{"MOUSE-01", "pm_card_chargeDeclined", 2}, false, "COMPENSATED"},
		{"Circuit breaker open: refused at once, the provider is not asked", demoOrder{"KEYBD-01", "pm_card_visa", 1}, true, "PAYMENT_PROVIDER_UNAVAILABLE"},
		{"Oversell: more than there is", demoOrder{"KEYBD-01", "pm_card_visa", 9}, false, "INSUFFICIENT_STOCK"},
	}
	var scenes []scene
	for _, p := range plans {
		if p.open {
			if err := c.breaker(ctx, (*apigen.Client).TripBreaker); err != nil {
				return nil, err
			}
		}
		s, err := c.scene(ctx, p.title, p.order, p.want)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.title, err)
		}
		scenes = append(scenes, s)
		if p.open {
			if err := c.breaker(ctx, (*apigen.Client).ResetBreaker); err != nil {
				return nil, err
			}
		}
	}
	return scenes, nil
}

func (c *cli) breaker(ctx context.Context, move func(*apigen.Client, context.Context, string, ...apigen.RequestEditorFn) (*http.Response, error)) error {
	_, _, err := c.fetch(nil, func(api *apigen.Client) (*http.Response, error) { return move(api, ctx, app.ChargeBreaker) })
	return err
}

func (c *cli) scene(ctx context.Context, title string, o demoOrder, want string) (scene, error) {
	s := scene{Scenario: title, Request: fmt.Sprintf("POST /orders  %s x %d, %s", o.product, o.quantity, o.method)}
	before, err := c.available(ctx, o.product)
	if err != nil {
		return s, err
	}
	began := time.Now()
	status, body, err := c.fetch(nil, func(api *apigen.Client) (*http.Response, error) {
		return api.PlaceOrder(ctx, &apigen.PlaceOrderParams{IdempotencyKey: ptr(newKey()), Prefer: ptr("wait=20")}, apigen.OrderRequest{
			CustomerID: "cust-demo", PaymentMethod: &o.method,
			Items: []apigen.OrderRequestItem{{ProductID: o.product, Quantity: o.quantity}},
		})
	})
	s.Status, s.Millis = status, float64(time.Since(began).Microseconds())/1000
	if err != nil {
		return s, err
	}
	if status >= 400 {
		var p apigen.Problem
		if err := json.Unmarshal(body, &p); err != nil {
			return s, err
		}
		s.Outcome, s.AsExpected = p.Error+": "+p.Message, p.Error == want
	} else {
		var order apigen.Order
		if err := json.Unmarshal(body, &order); err != nil {
			return s, err
		}
		if err := c.follow(ctx, &s, order); err != nil {
			return s, err
		}
		s.AsExpected = string(order.Status) == want
	}
	after, err := c.available(ctx, o.product)
	s.Outcome += fmt.Sprintf("; stock of %s %d -> %d", o.product, before, after)
	return s, err
}

// follow adds what the saga did and what the provider's ledger says.
func (c *cli) follow(ctx context.Context, s *scene, o apigen.Order) error {
	for _, e := range o.Events {
		s.Events = append(s.Events, string(e.Type))
	}
	saga, err := c.endOfSaga(ctx, o.OrderID)
	if err != nil {
		return err
	}
	s.Steps = steps(saga)
	var pay apigen.Payment
	if _, _, err := c.fetch(&pay, func(api *apigen.Client) (*http.Response, error) { return api.GetPayment(ctx, o.OrderID) }); err != nil {
		return err
	}
	s.Outcome = string(o.Status)
	if o.FailureReason != nil {
		s.Outcome += " (" + string(*o.FailureReason) + ")"
	}
	s.Outcome += fmt.Sprintf("; the provider's ledger: captured %s, refunded %s", cents(pay.Provider.CapturedCents), cents(pay.Provider.RefundedCents))
	return nil
}

// endOfSaga waits for the saga's last steps: the order has its outcome a few of them earlier.
func (c *cli) endOfSaga(ctx context.Context, orderID string) (saga apigen.Saga, err error) {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, _, err := c.fetch(&saga, func(api *apigen.Client) (*http.Response, error) { return api.GetSaga(ctx, orderID, nil) }); err != nil {
			return saga, err
		}
		if saga.Status != apigen.SagaStatusRUNNING {
			return saga, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return saga, ctx.Err()
		}
	}
}

// steps makes one line of each Task state's events.
func steps(saga apigen.Saga) []sceneStep {
	var out []sceneStep
	for _, e := range saga.History {
		at := e.Timestamp.Sub(saga.StartedAt).Milliseconds()
		switch e.Type {
		case "TaskStateEntered":
			if e.State != nil {
				out = append(out, sceneStep{State: *e.State, At: at})
			}
		case "LambdaFunctionFailed", "LambdaFunctionTimedOut", "TaskFailed", "TaskTimedOut":
			if len(out) > 0 && e.Error != nil {
				out[len(out)-1].Error = *e.Error
			}
		case "TaskStateExited":
			if len(out) > 0 {
				out[len(out)-1].Millis = at - out[len(out)-1].At
			}
		}
	}
	return out
}

func (c *cli) available(ctx context.Context, product string) (int64, error) {
	var p apigen.Product
	_, _, err := c.fetch(&p, func(api *apigen.Client) (*http.Response, error) { return api.GetProduct(ctx, product) })
	return p.Available, err
}

// fetch makes a call and returns the answer whatever its status; a good one is decoded into into (nil: not wanted).
func (c *cli) fetch(into any, do func(*apigen.Client) (*http.Response, error)) (int, []byte, error) {
	client, err := c.client()
	if err != nil {
		return 0, nil, err
	}
	resp, err := do(client)
	if err != nil {
		return 0, nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && into != nil && resp.StatusCode < 400 {
		err = apigen.Decode(body, into)
	}
	return resp.StatusCode, body, err
}

func (c *cli) show(scenes []scene) error {
	ok := true
	for n, s := range scenes {
		ok = ok && s.AsExpected
		if c.JSON {
			continue
		}
		fmt.Fprintf(c.out, "%d  %s\n   %s  -> %d in %.1f ms\n", n+1, s.Scenario, s.Request, s.Status, s.Millis)
		for _, step := range s.Steps {
			fmt.Fprintf(c.out, "     +%3d ms  %-22s %3d ms  %s\n", step.At, step.State, step.Millis, step.Error)
		}
		for _, e := range s.Events {
			fmt.Fprintf(c.out, "     event    %s\n", e)
		}
		fmt.Fprintf(c.out, "   => %s\n\n", s.Outcome)
	}
	if c.JSON {
		text, err := json.Marshal(map[string]any{"scenarios": scenes})
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, string(text))
	}
	if !ok {
		return errors.New("an outcome was not what it should be")
	}
	return nil
}
