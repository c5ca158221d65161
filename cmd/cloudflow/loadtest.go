package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

const (
	maxLoadRuns   = 20          // rows of a table, and points on a curve, that one still reads
	loadStock     = 100_000_000 // of each product, the most at once: several times what all runs together can sell
	defaultOrders = 50

	// restTime is how long it is waited for the sagas to rest: an order has its outcome some steps before its saga ends, and what holds
	// only at rest is not asked of one that is open.
	restTime = 5 * time.Second
)

// A loading is one loadtest command.
type loading struct {
	orders, products, warmup int
	concurrency              []int
	rate                     float64
	duration                 time.Duration
	mix                      string
	hot                      bool
	seed                     uint64
	report                   string
}

func (c *cli) loadtestCommand() *cobra.Command {
	var l loading
	cmd := &cobra.Command{
		Use:   "loadtest",
		Short: "Place many orders at once, and show how long they took and whether the books agree",
		Long: `Place orders and wait for the outcome of each; show throughput, latency and its distribution; check the invariants at
the end. The exit code is 1 if one does not hold. Without --url a private instance runs in a temporary directory, on the
same cores. Only the flag names another one, CLOUDFLOW_URL does not: the orders stay there, as do the products, LOAD-01
and on. There CLOUDFLOW_TOKEN must be an administrator's, and the limits of the caller hold.

--concurrency is a closed loop: so many callers, each with one order at a time. It says how much goes through. Several
numbers are several runs, and show from where on more callers bring no more. --rate is an open loop: so many orders are due a second,
whatever the server does, and the latency counts from then. It says how long customers wait.

--mix is how many of a hundred orders are confirmed, declined by the card, for a product without stock, and cancelled
at once. --report writes all tables and charts as one HTML file. After Ctrl-C what was measured is shown.`,
		Example: `  cloudflow loadtest --orders 50 --concurrency 10
  cloudflow loadtest --orders 5000 --concurrency 5,10,20,50 --report load.html
  cloudflow loadtest --rate 500 --duration 30s --mix happy=90,declined=5,short=3,cancel=2
  cloudflow loadtest --url https://shop.example --orders 1000 --hot`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.loadtest(cmd, l) },
	}
	flags := cmd.Flags()
	flags.IntVar(&l.orders, "orders", defaultOrders, "orders of each run (with --duration alone: as many as there is time for)")
	flags.IntSliceVar(&l.concurrency, "concurrency", []int{10}, "orders at once; several numbers are several runs")
	flags.Float64Var(&l.rate, "rate", 0, "orders due a second, in place of --concurrency")
	flags.DurationVar(&l.duration, "duration", 0, "start no order after so long, at most 10m")
	flags.StringVar(&l.mix, "mix", "happy=100", "percent of each kind: happy, declined, short, cancel")
	flags.IntVar(&l.products, "products", 10, "products that the orders are for")
	flags.BoolVar(&l.hot, "hot", false, "all orders are for one product")
	flags.IntVar(&l.warmup, "warmup", 100, "orders before each measurement, which do not count")
	flags.Uint64Var(&l.seed, "seed", 1, "decides which order is of which kind and product")
	flags.StringVar(&l.report, "report", "", "the HTML file to write; it must not exist")
	return cmd
}

// A measured is what the command says: all runs, and where and when.
type measured struct {
	Command string            `json:"command"`
	Date    time.Time         `json:"date"`
	Machine machine           `json:"machine"`
	Private bool              `json:"private"` // the instance was the command's own and had the same cores
	Runs    []loadtest.Result `json:"runs"`
	Books   books             `json:"books"`
}

// books are what a check of the invariants has found.
type books struct {
	Ok         bool               `json:"ok"`
	Orders     int64              `json:"orders"`
	Skipped    int64              `json:"skipped"`
	Violations []apigen.Violation `json:"violations"`
	Error      string             `json:"error,omitempty"` // why they could not be checked
}

// A machine is where the load was made.
type machine struct {
	System  string `json:"system"`
	Cores   int    `json:"cores"`
	CPU     string `json:"cpu,omitempty"` // "" where the system does not say
	Go      string `json:"go"`
	Version string `json:"version"`
}

func thisMachine() machine {
	m := machine{System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), Version: version}
	text, _ := os.ReadFile("/proc/cpuinfo") // Linux has it
	m.CPU = cpuModel(string(text))
	return m
}

// cpuModel is the first processor's name in what /proc/cpuinfo says.
func cpuModel(text string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (c *cli) loadtest(cmd *cobra.Command, l loading) error {
	private := !cmd.Flags().Changed("url")
	if !private {
		if _, err := c.client(); err != nil {
			return err
		}
	}
	configs, err := l.configs(cmd.Flags())
	if err != nil {
		return err
	}
	if l.report != "" { // not after ten minutes of load
		if _, err := os.Lstat(l.report); err == nil {
			return fmt.Errorf("%s exists already; choose another name with --report", l.report)
		}
		if info, err := os.Stat(filepath.Dir(l.report)); err != nil || !info.IsDir() {
			return fmt.Errorf("%s is no directory, so that the report cannot be written to %s", filepath.Dir(l.report), l.report)
		}
	}
	m := measured{Command: commandLine(cmd), Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Private: private}
	if private {
		err = c.onPrivate(cmd.Context(), func(*instance.Instance) error { return c.measure(cmd.Context(), configs, &m) })
	} else {
		err = c.measure(cmd.Context(), configs, &m)
	}
	if len(m.Runs) == 0 {
		return err
	}
	return errors.Join(err, c.showMeasured(m, l.report))
}

// configs are the runs that the flags ask for. What is wrong with them is said before anything is sent.
func (l loading) configs(flags *pflag.FlagSet) ([]loadtest.Config, error) {
	switch {
	case flags.Changed("concurrency") && flags.Changed("rate"):
		return nil, usagef("--concurrency is a closed loop and --rate an open one: they exclude each other")
	case flags.Changed("rate") && !(l.rate > 0):
		return nil, usagef("--rate %g is not above 0", l.rate)
	case flags.Changed("products") && l.hot:
		return nil, usagef("--hot is one product: --products and --hot exclude each other")
	case l.products < 1 || l.products > loadtest.MaxProducts:
		return nil, usagef("--products %d is not from 1 to %d", l.products, loadtest.MaxProducts)
	case len(l.concurrency) == 0 || len(l.concurrency) > maxLoadRuns:
		return nil, usagef("--concurrency has %d numbers and not 1 to %d", len(l.concurrency), maxLoadRuns)
	}
	if flags.Changed("duration") && !flags.Changed("orders") {
		l.orders = 0
	}
	mix, err := parseMix(l.mix)
	if err != nil {
		return nil, err
	}
	one := loadtest.Config{
		URL:    "http://127.0.0.1", // until the instance is there
		Orders: l.orders, Duration: l.duration, Rate: l.rate, Mix: mix, Hot: l.hot, Warmup: l.warmup, Seed: l.seed,
	}
	if mix.Short > 0 {
		one.ShortProduct = loadtest.SoldOut
	}
	if l.hot {
		l.products = 1
	}
	one.Products = loadtest.ProductIDs(l.products)
	if l.rate > 0 {
		return []loadtest.Config{one}, checked(one)
	}
	var all []loadtest.Config
	for i, n := range l.concurrency {
		if n < 1 {
			return nil, usagef("--concurrency %d is not from 1 to %d", n, loadtest.MaxInFlight)
		}
		if slices.Contains(l.concurrency[:i], n) {
			return nil, usagef("--concurrency names %d twice", n)
		}
		run := one
		run.Concurrency = n
		if err := checked(run); err != nil {
			return nil, err
		}
		all = append(all, run)
	}
	return all, nil
}

// checked says what is wrong with a run as the flag that asked for it.
func checked(run loadtest.Config) error {
	err := run.Validate()
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	return usagef("--%v: %s", f.Details["field"], strings.TrimSuffix(f.Message, "."))
}

// parseMix reads happy=90,declined=5,short=3,cancel=2.
func parseMix(text string) (loadtest.Mix, error) {
	var m loadtest.Mix
	kinds := map[string]*int{"happy": &m.Happy, "declined": &m.Declined, "short": &m.Short, "cancel": &m.Cancel}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		kind, known := kinds[name]
		percent, err := strconv.Atoi(value)
		switch {
		case !known:
			return m, usagef("--mix %q: %q is not one of happy, declined, short and cancel, each once, such as happy=95,declined=5", text, name)
		case err != nil:
			return m, usagef("--mix %q: %q is not a whole number of percent, such as happy=95,declined=5", text, part)
		}
		*kind = percent
		delete(kinds, name)
	}
	if m == (loadtest.Mix{}) { // which Config takes for: not set
		return m, usagef("--mix %q: the parts add up to 0 percent and not to 100", text)
	}
	return m, nil
}

// commandLine is the command as it was typed, but for a password in a URL.
func commandLine(cmd *cobra.Command) string {
	text := cmd.CommandPath()
	cmd.Flags().Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		switch {
		case f.Name == "url":
			if u, err := url.Parse(value); err == nil {
				value = u.Redacted()
			}
		case f.Value.Type() == "intSlice":
			value = strings.Trim(value, "[]")
		}
		if f.Value.Type() == "bool" {
			text += " --" + f.Name
			return
		}
		text += " --" + f.Name + " " + value
	})
	return text
}

// measure makes the runs one after the other, and then has the books checked. After an interrupt it returns context.Canceled, and m has
// what was measured until then.
func (c *cli) measure(ctx context.Context, runs []loadtest.Config, m *measured) error {
	if err := c.loadProducts(ctx, runs[0]); err != nil {
		return err
	}
	for _, run := range runs {
		run.URL, run.Edit = c.URL, c.credential
		r, err := c.loadRun(ctx, run)
		if err != nil {
			return err
		}
		m.Runs = append(m.Runs, r)
		if ctx.Err() != nil {
			break
		}
	}
	m.Books = c.checkBooks(context.WithoutCancel(ctx))
	return ctx.Err()
}

// loadRun makes one run and shows how far it is.
func (c *cli) loadRun(ctx context.Context, run loadtest.Config) (loadtest.Result, error) {
	label, total := fmt.Sprintf("%d at once", run.Concurrency), run.Orders
	if run.Rate > 0 {
		label = fmt.Sprintf("%g a second", run.Rate)
	}
	if run.Orders == 0 {
		label, total = label+", seconds", int(run.Duration.Seconds())
	}
	bar := c.progress(label, total)
	defer bar.end()
	return loadtest.Run(ctx, run, func(s loadtest.Snapshot) {
		done := int(s.Done)
		if run.Orders == 0 {
			done = int(s.ElapsedSeconds)
		}
		note := fmt.Sprintf("%s orders/s, p99 %s", decimals(s.OrdersPerSecond), milliseconds(s.Latency.P99Ms))
		if s.Phase == loadtest.WarmingUp {
			note = "warming up"
		}
		bar.at(done, note)
	})
}

// loadProducts makes the products, and fills up those that an earlier load test has left.
func (c *cli) loadProducts(ctx context.Context, run loadtest.Config) error {
	err := c.many(ctx, "products", len(run.Products), func(ctx context.Context, n int) error {
		stock := int64(loadStock)
		id := run.Products[n]
		created, err := c.seedProduct(ctx, inventory.PutProduct{ProductID: id, Name: "Load test " + id, UnitPriceCents: 1999, Stock: &stock})
		if err != nil || created {
			return err
		}
		return c.refill(ctx, id)
	})
	if err != nil || run.ShortProduct == "" {
		return err
	}
	none := int64(0)
	if _, err = c.seedProduct(ctx, inventory.PutProduct{ProductID: loadtest.SoldOut, Name: "Load test, none left", UnitPriceCents: 1999, Stock: &none}); err != nil {
		return err
	}
	left, err := c.available(ctx, loadtest.SoldOut)
	if err == nil && left > 0 {
		err = fmt.Errorf("there are %d of %s, which is the product without stock; leave short out of --mix", left, loadtest.SoldOut)
	}
	return err
}

func (c *cli) refill(ctx context.Context, id string) error {
	left, err := c.available(ctx, id)
	if err != nil || left >= loadStock/2 {
		return err
	}
	status, body, err := c.fetch(nil, func(api *apigen.Client) (*http.Response, error) {
		return api.RestockProduct(ctx, id, &apigen.RestockProductParams{IdempotencyKey: newKey()}, apigen.RestockRequest{Quantity: loadStock - left})
	})
	if err == nil && status >= http.StatusBadRequest {
		err = c.problem(status, body)
	}
	return err
}

// checkBooks has the invariants checked, when no saga is open any more or the wait for that is over.
func (c *cli) checkBooks(ctx context.Context) books {
	asked := *c
	asked.timeout, asked.JSON = verifyTimeout, false // a problem is a part of the one value that is printed
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(restTime); ; <-tick.C {
		var report apigen.VerifyReport
		status, body, err := asked.fetch(&report, func(api *apigen.Client) (*http.Response, error) { return api.Verify(ctx) })
		if err == nil && status >= http.StatusBadRequest {
			err = asked.problem(status, body)
		}
		if err != nil {
			return books{Error: err.Error(), Violations: []apigen.Violation{}}
		}
		if report.Skipped == 0 || time.Now().After(until) {
			b := books{Ok: report.Ok, Orders: report.Orders, Skipped: report.Skipped, Violations: report.Violations}
			if b.Violations == nil {
				b.Violations = []apigen.Violation{}
			}
			return b
		}
	}
}

// showMeasured prints what was measured and writes the report.
func (c *cli) showMeasured(m measured, report string) error {
	if c.JSON {
		if err := c.printJSON(m); err != nil {
			return err
		}
	} else if err := m.tables(c.out); err != nil {
		return err
	}
	if report != "" {
		n, err := toFile(report, func(w io.Writer) error { return m.html(w) })
		if err != nil {
			return err
		}
		fmt.Fprintf(c.err, "cloudflow: %s: %s\n", report, size(n))
	}
	switch {
	case m.Books.Error != "":
		return fmt.Errorf("the books could not be checked: %s", m.Books.Error)
	case !m.Books.Ok:
		return fmt.Errorf("%s of the invariants", count(int64(len(m.Books.Violations)), "violation"))
	}
	return nil
}
