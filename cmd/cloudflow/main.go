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
// the flags their defaults.
type settings struct {
	Addr     string `env:"ADDR" envDefault:"127.0.0.1:8080"`
	Data     string `env:"DATA" envDefault:"./data"`
	URL      string `env:"URL" envDefault:"http://127.0.0.1:8080"`
	JSON     bool   `env:"JSON"`
	LogLevel string `env:"LOG_LEVEL" envDefault:"info"`
	Currency string `env:"CURRENCY" envDefault:"USD"`

	BreakerFailures int           `env:"BREAKER_FAILURES" envDefault:"5"`
	KeepExecutions  time.Duration `env:"KEEP_EXECUTIONS" envDefault:"2160h"`

	Sender   string `env:"SENDER" envDefault:"log"`
	SMTPAddr string `env:"SMTP_ADDR" envDefault:"127.0.0.1:25"`
	SMTPFrom string `env:"SMTP_FROM" envDefault:"orders@cloudflow.invalid"`
	SMTPUser string `env:"SMTP_USER"`
	SMTPPass string `env:"SMTP_PASSWORD"`
	SMTPTLS  string `env:"SMTP_TLS" envDefault:"starttls"`
}

const envPrefix = "CLOUDFLOW_"

// variable is an error of the environment under the name of the variable, where the library knows the field's only.
func variable(err error) error {
	var wrong env.ParseError
	if !errors.As(err, &wrong) {
		return err
	}
	field, _ := reflect.TypeFor[settings]().FieldByName(wrong.Name)
	return fmt.Errorf("%s%s: %w", envPrefix, field.Tag.Get("env"), wrong.Err)
}

// A cli is one invocation: its streams and its settings.
type cli struct {
	settings
	in       io.Reader
	out, err io.Writer

	timeout time.Duration // of a call
}

// errUsage marks a command line that was wrong: exit code 2.
var errUsage = errors.New("usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, environ []string) int {
	c := &cli{in: in, out: out, err: errOut, timeout: clientTimeout}
	if err := env.ParseWithOptions(&c.settings, env.Options{Prefix: envPrefix, Environment: env.ToMap(environ)}); err != nil {
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
or puts everything back. One binary: HTTP API, services, saga engine and durable store.`,
		Example: `  cloudflow serve --demo
  cloudflow order place --customer cust-1 --item LAPTOP-01=1 --wait 10s
  cloudflow verify --data ./data`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; `cloudflow --help` lists them", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see `%s --help`", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&c.JSON, "json", c.JSON, "print one JSON value and nothing else")
	flags.StringVar(&c.URL, "url", c.URL, "the instance to talk to")
	root.AddCommand(
		c.serveCommand(),
		c.orderCommand(),
		c.paymentCommand(),
		c.productCommand(),
		c.breakerCommand(),
		c.sagaCommand(),
		c.verifyCommand(),
		c.eraseCommand(),
		c.backupCommand(),
		c.restoreCommand(),
		c.exportCommand(),
		c.retentionCommand(),
		c.demoCommand(),
		c.versionCommand(),
	)
	return root
}

// group is a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Example: example, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for %q; see `%s --help`", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
		return nil
	}, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	g.AddCommand(commands...)
	return g
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
