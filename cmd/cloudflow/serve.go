package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

func (c *cli) serveCommand() *cobra.Command {
	var demo bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the HTTP API, the services, the saga engine and the store",
		Long: `Run everything: the HTTP API, the services, the saga engine and the durable store, in one process.
Data lives in --data and survives kill -9; one process holds the directory at a time. Logs are JSON
lines on stderr; with --log-sample 0.01 those of one order in a hundred, by its correlation id, and every
warning and error. SIGTERM or Ctrl-C stops accepting, finishes the requests, and leaves open sagas to
the next start.

Without --auth it runs in development mode: everybody on this machine is admin, it listens on loopback only, and the rates
and --max-open-orders are off, since everybody is one caller. With --auth keys callers have API keys, the first of which is
made with ` + "`cloudflow key create --data DIR`" + ` before the start; with --auth jwt they have an issuer's tokens.

With --auth or without, a new order is answered 503 with Retry-After while more executions than --max-ready-executions wait for a
worker, or the first of them waits for 10 s, or more than --max-open-executions are open. What was accepted goes on.

With --saga new orders run the state machine in a file. Those that are open go on with the one that they began with; what a change
would have changed for them is told by ` + "`cloudflow saga check`" + `.

Every flag has a CLOUDFLOW_ variable, which ` + "`cloudflow environment`" + ` lists. E-mail is sent with CLOUDFLOW_SENDER=smtp
and CLOUDFLOW_SMTP_ADDR, _FROM, _USER, _PASSWORD, _TLS.

Metrics are at /metrics for Prometheus. They and the traces of orders are sent as OTLP where OpenTelemetry's variables ask for
it, such as OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318.`,
		Example: `  cloudflow serve --demo
  cloudflow serve --addr 127.0.0.1:9000 --data /var/lib/cloudflow
  cloudflow serve --addr :8443 --auth keys --tls-cert cert.pem --tls-key key.pem --admin-addr 127.0.0.1:9090
  cloudflow serve --addr :8443 --auth jwt --jwt-issuer https://id.shop.example/ --jwt-audience cloudflow \
    --jwt-keys https://id.shop.example/.well-known/jwks.json --tls-cert cert.pem --tls-key key.pem`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.serve(cmd.Context(), demo) },
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Addr, "addr", c.Addr, "where to listen; on loopback only without --auth")
	c.Access.flags(flags)
	flags.StringVar(&c.Data, "data", c.Data, "the data directory; made if it is not there")
	flags.BoolVar(&demo, "demo", false, "put demo products on the shelf: LAPTOP-01, MOUSE-01, KEYBD-01")
	flags.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	flags.Float64Var(&c.LogSample, "log-sample", c.LogSample, "the share of orders, such as 0.01, of which more than warnings and errors is logged")
	flags.StringVar(&c.Currency, "currency", c.Currency, "the shop's one currency")
	flags.StringVar(&c.Sender, "sender", c.Sender, "how notifications leave: log or smtp")
	flags.StringVar(&c.Saga, "saga", c.Saga, "the file of the order saga's machine that new orders run (default: the one that is built in)")
	flags.IntVar(&c.BreakerFailures, "breaker-failures", c.BreakerFailures, "consecutive failures that open a circuit")
	flags.IntVar(&c.RatePerKey, "rate-per-key", c.RatePerKey, "calls a second of one caller, twice that at once; 0: any number")
	flags.IntVar(&c.RatePerAddress, "rate-per-address", c.RatePerAddress, "calls a second from one address; 0 behind a proxy, where all are one")
	flags.IntVar(&c.MaxOpenOrders, "max-open-orders", c.MaxOpenOrders, "orders that one caller may have open at once; 0: any number")
	flags.IntVar(&c.MaxConnections, "max-connections", c.MaxConnections, "connections at once, a quarter of them from one address; 0: any number")
	flags.IntVar(&c.MaxOpenExecutions, "max-open-executions", c.MaxOpenExecutions, "executions begun and not ended, beyond which new orders are refused; 0: any number")
	flags.IntVar(&c.MaxReadyExecutions, "max-ready-executions", c.MaxReadyExecutions, "those of them that wait for a worker, beyond which new orders are refused; 0: any number, however long they wait")
	flags.DurationVar(&c.KeepExecutions, "keep-executions", c.KeepExecutions, "how long the history of a saga that has ended is kept")
	flags.DurationVar(&c.KeepFeed, "keep-feed", c.KeepFeed, "how far back the live feed can be resumed")
	return cmd
}

// limits are what callers may do, as the flags say.
func (c *cli) limits() *httpapi.Limits {
	work := limit.Bounds{Open: c.MaxOpenExecutions, Ready: c.MaxReadyExecutions}
	if work.Ready > 0 {
		work.Wait = httpapi.DefaultLimits.Work.Wait
	}
	return &httpapi.Limits{
		PerKey: httpapi.RateOf(c.RatePerKey), PerAddress: httpapi.RateOf(c.RatePerAddress),
		OpenOrders: c.MaxOpenOrders, Connections: c.MaxConnections, Work: work,
	}
}

func (c *cli) serve(ctx context.Context, demo bool) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return usagef("--log-level %q is not debug, info, warn or error", c.LogLevel)
	}
	tail := observe.NewTail()
	lines := logLines{observe.NewWriter(c.err), tail}
	defer lines.Close()
	log := observe.NewSampledLogger(lines, level, nil, observe.NewSample(c.LogSample))
	if err := c.checkServe(); err != nil {
		return err
	}
	definition, err := c.ownSaga()
	if err != nil {
		return err
	}
	otlp, err := metrics.Environment(c.getenv, version)
	if err != nil {
		return usagef("%v", err)
	}
	relay, err := c.relay(log)
	if err != nil {
		return err
	}
	access, err := c.Access.access(ctx, log)
	if err != nil {
		return err
	}
	traced, err := trace.Environment(c.getenv, version)
	if err != nil {
		return usagef("%v", err)
	}
	tracer, err := trace.Open(traced, log)
	if err != nil {
		return err
	}
	defer c.closeTracer(ctx, tracer, log)
	instance.TuneGC()
	i, err := instance.Open(instance.Config{
		Dir: c.Data, Sender: relay, Currency: c.Currency, BreakerFailures: c.BreakerFailures, Limits: c.limits(), Version: version,
		KeepExecutions: c.KeepExecutions, KeepFeed: c.KeepFeed, Access: access, OTLP: otlp, Log: log, Tail: tail, Tracer: tracer,
		Saga: definition,
	})
	if err != nil {
		return err
	}
	err = c.listen(ctx, i, log, demo)
	return errors.Join(err, i.Close())
}

// lastSpans bounds the export of what has ended: a collector that does not answer must not keep the program from stopping.
const lastSpans = 5 * time.Second

func (c *cli) closeTracer(ctx context.Context, tracer *trace.Tracer, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "The last spans are lost", slog.String("service", "cloudflow"), slog.Any("error", err))
	}
}

// getenv is a variable of the environment.
func (c *cli) getenv(name string) string { return c.environ[name] }

// logLines are gathered on their way out; the pages have them at once.
type logLines struct {
	*observe.Writer
	tail *observe.Tail
}

func (l logLines) Write(p []byte) (int, error) {
	_, _ = l.tail.Write(p) // it takes all
	return l.Writer.Write(p)
}

// checkServe refuses what would only be noticed by the first order, or never.
func (c *cli) checkServe() error {
	switch {
	case c.Data == "":
		return usagef("--data is empty; name a directory, such as ./data")
	case !currencyCode.MatchString(c.Currency):
		return usagef("--currency %q is not a code of ISO 4217, such as USD", c.Currency)
	case c.BreakerFailures < 1:
		return usagef("--breaker-failures %d would open a circuit that nothing has failed in; 1 is the least", c.BreakerFailures)
	case !(c.LogSample > 0 && c.LogSample <= 1): // NaN is none either
		return usagef("--log-sample %v is no share of the orders; it is more than 0, and at most 1 for all", c.LogSample)
	case c.KeepExecutions < time.Hour:
		return usagef("--keep-executions %s would delete what somebody is looking at; 1h is the least", c.KeepExecutions)
	}
	if c.KeepFeed < time.Minute {
		return usagef("--keep-feed %s is shorter than a client takes to come back; 1m is the least", c.KeepFeed)
	}
	for _, l := range []struct {
		name string
		n    int
	}{
		{"rate-per-key", c.RatePerKey}, {"rate-per-address", c.RatePerAddress},
		{"max-open-orders", c.MaxOpenOrders}, {"max-connections", c.MaxConnections},
		{"max-open-executions", c.MaxOpenExecutions}, {"max-ready-executions", c.MaxReadyExecutions},
	} {
		if l.n < 0 || l.n > maxLimit {
			return usagef("--%s %d is not from 0 (no limit) to %d", l.name, l.n, maxLimit)
		}
	}
	return c.Access.check(c.Addr)
}

// maxLimit is more than one machine can do; a greater number is a mistake.
const maxLimit = 1_000_000

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

func (c *cli) listen(ctx context.Context, i *instance.Instance, log *slog.Logger, demo bool) error {
	if demo {
		if err := i.SeedDemo(ctx); err != nil {
			return err
		}
	}
	customers, operators, err := c.listeners(ctx)
	if err != nil {
		return err
	}
	if err := c.listening(ctx, i, log, customers, operators); err != nil {
		if operators != nil {
			err = errors.Join(err, operators.Close())
		}
		return errors.Join(err, customers.Close())
	}
	err = i.ServeSplit(ctx, customers, operators)
	log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "Stopped", slog.String("service", "cloudflow"))
	return err
}

// relay is where notifications leave.
func (c *cli) relay(log *slog.Logger) (notification.Sender, error) {
	switch c.Sender {
	case "log":
		return sender.NewLog(log), nil
	case "smtp":
		host, port, err := net.SplitHostPort(c.SMTPAddr)
		if err != nil {
			return nil, usagef("CLOUDFLOW_SMTP_ADDR %q is not host:port", c.SMTPAddr)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, usagef("CLOUDFLOW_SMTP_ADDR %q: the port is no number", c.SMTPAddr)
		}
		return sender.NewSMTP(sender.SMTPConfig{
			Host: host, Port: number, From: c.SMTPFrom, Username: c.SMTPUser, Password: c.SMTPPass, TLS: sender.TLSPolicy(c.SMTPTLS),
		})
	default:
		return nil, usagef("--sender %q is not log or smtp", c.Sender)
	}
}
