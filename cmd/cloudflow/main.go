// Command cloudflow is the whole system in one binary: `cloudflow serve` runs the HTTP API, the services, the engine and
// the store; the other commands are its client. Data goes to stdout, everything else to stderr; --json makes
// stdout one JSON value. Exit codes: 0 done, 1 failed, 2 the command line was wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C drains, a second one ends the process at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}

// settings are what flags, then CLOUDFLOW_* variables, then defaults decide: the environment is read first and gives
// the flags their defaults. The help is what `cloudflow environment` says of the variable.
type settings struct {
	Addr     string `env:"ADDR" envDefault:"127.0.0.1:8080" help:"where serve listens (--addr)"`
	Data     string `env:"DATA" envDefault:"./data" help:"the data directory of serve (--data)"`
	URL      string `env:"URL" envDefault:"http://127.0.0.1:8080" help:"the instance that the other commands talk to (--url)"`
	JSON     bool   `env:"JSON" help:"true: print one JSON value and nothing else (--json)"`
	LogLevel string `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error (--log-level)"`

	LogSample float64 `env:"LOG_SAMPLE" envDefault:"1" help:"the share of orders of which more than warnings and errors is logged (--log-sample); 1: all"`

	Currency string `env:"CURRENCY" envDefault:"USD" help:"the shop's one currency, ISO 4217 (--currency)"`

	Token string `env:"TOKEN" help:"who the commands call as: an API key or a JWT, sent as Authorization: Bearer"`

	Access accessSettings

	Saga string `env:"SAGA" help:"the file of the order saga's machine that new orders run (--saga); empty: the one that is built in"`

	BreakerFailures int           `env:"BREAKER_FAILURES" envDefault:"5" help:"consecutive failures that open a circuit (--breaker-failures)"`
	KeepExecutions  time.Duration `env:"KEEP_EXECUTIONS" envDefault:"2160h" help:"how long the history of a saga that has ended is kept (--keep-executions)"`
	KeepFeed        time.Duration `env:"KEEP_FEED" envDefault:"24h" help:"how far back the live feed can be resumed (--keep-feed)"`

	RatePerKey     int `env:"RATE_PER_KEY" envDefault:"100" help:"calls a second of one caller (--rate-per-key); 0: any number"`
	RatePerAddress int `env:"RATE_PER_ADDRESS" envDefault:"200" help:"calls a second from one address (--rate-per-address); 0: any number"`
	MaxOpenOrders  int `env:"MAX_OPEN_ORDERS" envDefault:"200" help:"orders of one caller that are not decided yet (--max-open-orders); 0: any number"`
	MaxConnections int `env:"MAX_CONNECTIONS" envDefault:"4096" help:"connections at once (--max-connections)"`

	MaxOpenExecutions  int `env:"MAX_OPEN_EXECUTIONS" envDefault:"250000" help:"open executions of all callers, beyond which new orders are refused (--max-open-executions); 0: any number"`
	MaxReadyExecutions int `env:"MAX_READY_EXECUTIONS" envDefault:"10000" help:"those of them that wait for a worker, beyond which new orders are refused (--max-ready-executions); 0: any number"`

	Sender   string `env:"SENDER" envDefault:"log" help:"how notifications leave: log or smtp (--sender)"`
	SMTPAddr string `env:"SMTP_ADDR" envDefault:"127.0.0.1:25" help:"the relay, host:port"`
	SMTPFrom string `env:"SMTP_FROM" envDefault:"orders@cloudflow.invalid" help:"the address that e-mail comes from"`
	SMTPUser string `env:"SMTP_USER" help:"the name at the relay; empty: none is given"`
	SMTPPass string `env:"SMTP_PASSWORD" help:"the password at the relay"`
	SMTPTLS  string `env:"SMTP_TLS" envDefault:"starttls" help:"starttls, tls or none"`
}

const envPrefix = "CLOUDFLOW_"

// variable is an error of the environment under the name of the variable, where the library knows the field's only.
func variable(err error) error {
	var wrong env.ParseError
	if !errors.As(err, &wrong) {
		return err
	}
	for _, field := range fieldsOf(reflect.TypeFor[settings]()) {
		if field.Name == wrong.Name {
			return fmt.Errorf("%s%s: %w", envPrefix, field.Tag.Get("env"), wrong.Err)
		}
	}
	return err
}

// A cli is one invocation: its streams and its settings.
type cli struct {
	settings
	in       io.Reader
	out, err io.Writer
	environ  map[string]string // what is not ours too: OpenTelemetry's variables

	timeout time.Duration // of a call
}

// errUsage marks a command line that was wrong: exit code 2.
var errUsage = errors.New("usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, environ []string) int {
	c := &cli{in: in, out: out, err: errOut, environ: env.ToMap(environ), timeout: clientTimeout}
	if err := env.ParseWithOptions(&c.settings, env.Options{Prefix: envPrefix, Environment: c.environ}); err != nil {
		fmt.Fprintf(errOut, "cloudflow: environment: %v\n", variable(err))
		return 2
	}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var ended *exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended): // it has said what there is to say
		return ended.code
	case errors.Is(err, errUsage):
		fmt.Fprintf(errOut, "cloudflow: %v\n", err)
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled): // Ctrl-C: where it was just then helps nobody
		fmt.Fprintln(errOut, "cloudflow: interrupted")
		return 1
	default:
		fmt.Fprintf(errOut, "cloudflow: %v\n", err)
		return 1
	}
}

// An exit ends the command with a code and without another word.
type exit struct{ code int }

func (e *exit) Error() string { return fmt.Sprintf("exit %d", e.code) }

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cloudflow",
		Short: "Take orders and money: reserve, charge, confirm, or put everything back",
		Long: `CloudFlow takes a customer's order, reserves the stock, charges the card and confirms it,
or puts everything back. One binary: HTTP API, services, saga engine and durable store.

Data goes to stdout, the rest to stderr. Exit codes: 0 done, 1 failed, 2 the command line was wrong. Every flag that
an instance is run or reached by has a variable: ` + "`cloudflow help environment`" + `.`,
		Example: `  cloudflow serve --demo
  cloudflow order place --customer cust-1 --item LAPTOP-01=1 --wait 10s
  cloudflow verify --data ./data`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q%s; `cloudflow --help` lists them", args[0], meant(cmd, args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true // completionCommand is ours
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see `%s --help`", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&c.JSON, "json", c.JSON, "print one JSON value and nothing else")
	flags.StringVar(&c.URL, "url", c.URL, "the instance to talk to")
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		c.serveCommand(),
		c.orderCommand(),
		c.eventsCommand(),
		c.paymentCommand(),
		c.productCommand(),
		c.breakerCommand(),
		c.sagaCommand(),
		c.logsCommand(),
		c.traceCommand(),
		c.dlqCommand(),
		c.keyCommand(),
		c.faultCommand(),
		c.verifyCommand(),
		c.doctorCommand(),
		c.eraseCommand(),
		c.backupCommand(),
		c.restoreCommand(),
		c.migrateCommand(),
		c.exportCommand(),
		c.retentionCommand(),
		c.seedCommand(),
		c.demoCommand(),
		c.aslCommand(),
		c.loadtestCommand(),
		c.completionCommand(),
		c.manCommand(),
		c.environmentCommand(),
		c.versionCommand(),
	)
	return root
}

// helpCommand is cobra's, but for a topic that there is not: cobra prints the help of cloudflow itself then, and exits 0.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print the help of a command",
		Example: "  cloudflow help order place\n  cloudflow help environment",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || topic == nil || len(rest) > 0 {
				return usagef("there is no help on %q; `cloudflow --help` lists the commands", strings.Join(args, " "))
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}

// group is a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Example: example, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for %q%s; see `%s --help`", args[0], cmd.CommandPath(), meant(cmd, args[0]), cmd.CommandPath())
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	g.AddCommand(commands...)
	return g
}

// meant is a question behind an unknown command: did you mean that one?
func meant(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		return ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return ""
}

// exactly wants n arguments and says which.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s wants %s; see `%s --help`", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}
