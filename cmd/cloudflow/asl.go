package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/sagagraph"
)

// maxASLFile bounds what is read of any file here. A definition may have 1 MiB and an input 256 KiB, and a mock file many results of that size.
const maxASLFile = 64 << 20

// exitNotSucceeded is for an execution that was run and failed. A wrong command line is 1 here, where the other commands have 2: who runs machines in
// a test tells an execution that failed from one that never was.
const exitNotSucceeded = 2

// aslCommand groups what works on the file of any state machine, without an instance.
func (c *cli) aslCommand() *cobra.Command {
	g := group("asl", "Run, check and draw a state machine in a file, on this machine",
		`  cloudflow asl validate order.asl.json
  cloudflow asl run order.asl.json --input input.json --mocks MockConfigFile.json --test-case HappyPath`,
		c.aslRun(), c.aslValidate(), c.aslGraph())
	g.Long = `Work with a state machine in the Amazon States Language that stands in a file: no instance is needed, and no AWS.

Exit codes of these commands: 0 the execution succeeded or the machine is valid, 2 the execution failed or timed out, 1 everything
else, a wrong command line too.`
	g.Args = notUsage(g.Args)
	g.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	for _, sub := range g.Commands() {
		sub.Args = notUsage(sub.Args)
	}
	return g
}

// notUsage makes of a wrong command line an ordinary error, for its exit code.
func notUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return errors.New(err.Error())
		}
		return nil
	}
}

// An aslRunning is one asl run command.
type aslRunning struct {
	input, mocks, testCase, context string
	history                         bool
}

func (c *cli) aslRun() *cobra.Command {
	var o aslRunning
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a state machine with mocks and a virtual clock, and print how it ends",
		Long: `Run the state machine in FILE on an input, and print how the execution ends, in which states it was, and with
--history its events, as AWS's GetExecutionHistory has them. Nothing is called: the tasks are answered by a test case of
a mock file, AWS's MockConfigFile.json, in which DelaySeconds beside Return or Throw lets an answer come late. A task that is
called and has no mock stops the run. Time is virtual: a Wait of a year takes no time.

In the mock file the machine is called as FILE, without its extension. --context FILE is a JSON merge patch on the
context object's Execution and StateMachine.

Exit code 0: it SUCCEEDED, 2: it FAILED or TIMED_OUT, 1: there was no execution.`,
		Example: `  cloudflow asl run order.asl.json --input input.json
  echo '{"orderId":"o-1"}' | cloudflow asl run order.asl.json --input - --mocks MockConfigFile.json --test-case Declined --json
  cloudflow asl run order.asl.json --input input.json --context context.json --history`,
		Args: exactly(1, "the file of a state machine"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.runASL(cmd, args[0], o) },
	}
	cmd.Flags().StringVar(&o.input, "input", "", "the file of the execution's input, - for stdin (required)")
	cmd.Flags().StringVar(&o.mocks, "mocks", "", "the mock file that answers the tasks (default: none may be called)")
	cmd.Flags().StringVar(&o.testCase, "test-case", "", "with --mocks: the test case (default: the only one)")
	cmd.Flags().StringVar(&o.context, "context", "", "a file with a JSON merge patch on the context object")
	cmd.Flags().BoolVar(&o.history, "history", false, "print the history too")
	return cmd
}

func (c *cli) runASL(cmd *cobra.Command, file string, o aslRunning) error {
	switch flags := cmd.Flags(); {
	case o.input == "":
		return errors.New("--input is wanted: the file of the execution's input, or - for stdin; see `cloudflow asl run --help`")
	case flags.Changed("test-case") && o.mocks == "":
		return errors.New("--test-case is of a mock file: --mocks is wanted")
	case flags.Changed("mocks") && o.mocks == "", flags.Changed("context") && o.context == "":
		return errors.New("--mocks and --context name a file; leave them out to do without")
	}
	definition, err := readASL(file)
	if err != nil {
		return err
	}
	run := aslrun.Run{Name: machineName(file), History: o.history, Execution: newUUID(), Now: time.Now()}
	if run.Machine, err = c.parseASL(definition, c.err); err != nil {
		return err
	}
	if err := c.readRun(cmd.Context(), &run, o); err != nil {
		return err
	}
	result, err := run.Do(cmd.Context())
	if err != nil {
		return err
	}
	if err := c.printRun(result); err != nil {
		return err
	}
	if result.Status != asl.StatusSucceeded {
		fmt.Fprintf(c.err, "cloudflow: the execution is %s\n", result.Status)
		return &exit{exitNotSucceeded}
	}
	return nil
}

// readRun reads what a run is given beside its machine.
func (c *cli) readRun(ctx context.Context, run *aslrun.Run, o aslRunning) (err error) {
	if run.Input, err = c.readJSON(ctx, "--input", o.input); err != nil {
		return err
	}
	if o.context != "" {
		if run.Context, err = c.readJSON(ctx, "--context", o.context); err != nil {
			return err
		}
	}
	if o.mocks == "" {
		return nil
	}
	text, err := readASL(o.mocks)
	if err != nil {
		return err
	}
	mocks, err := aslrun.ParseMocks(text)
	if err == nil {
		run.Mocks, err = mocks.TestCase(run.Name, o.testCase)
	}
	if err != nil {
		return fmt.Errorf("--mocks %s: %w", o.mocks, err)
	}
	return nil
}

// readJSON reads the JSON value in a file, or on stdin.
func (c *cli) readJSON(ctx context.Context, flag, file string) (any, error) {
	read := readASL
	if file == "-" {
		read = func(string) ([]byte, error) { return c.readStdin(ctx) }
	}
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	v, err := asl.DecodeJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s", flag, file, strings.TrimPrefix(err.Error(), "asl: "))
	}
	return v, nil
}

// readStdin reads until the end of it, or of ctx: then the read goes on behind, until the process ends. It waits for a person.
func (c *cli) readStdin(ctx context.Context) ([]byte, error) {
	if f, ok := c.in.(*os.File); ok && terminal(f) {
		return nil, errors.New("nothing is piped in; name the file of the input")
	}
	type answer struct {
		text []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := readBounded("stdin", c.in)
		done <- answer{text, err}
	}()
	select {
	case a := <-done:
		return a.text, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func readASL(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return readBounded(file, f)
}

func readBounded(name string, from io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxASLFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case len(text) > maxASLFile:
		return nil, fmt.Errorf("%s has over %d MiB; no such file is read", name, maxASLFile>>20)
	}
	return text, nil
}

// machineName is what the machine in the file is called: its base name without extension.
func machineName(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// newUUID is a random one (RFC 9562, version 4), the name that AWS gives an execution.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (c *cli) printRun(r aslrun.Result) error {
	if c.JSON {
		return r.WriteJSON(c.out)
	}
	w := c.table()
	fmt.Fprintf(w, "status\t%s\n", r.Status)
	for _, line := range []struct {
		name  string
		value any
	}{{"error", r.Error}, {"cause", r.Cause}} {
		if s, ok := line.value.(string); ok {
			fmt.Fprintf(w, "%s\t%s\n", line.name, oneLine(s))
		}
	}
	fmt.Fprintf(w, "states\t%s\n", oneLine(strings.Join(r.States, ", ")))
	if r.Status == asl.StatusSucceeded {
		fmt.Fprintf(w, "output\t%s\n", asl.AppendJSON(nil, r.Output))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.printEvents(r.History)
}

// printEvents prints a history, one event a line.
func (c *cli) printEvents(events []aslrun.Event) error {
	for _, e := range events {
		line := fmt.Sprintf("%d  %s  %s", e.ID, e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Type)
		if _, details := e.Details(); len(details) > 0 {
			line += "  " + string(asl.AppendJSON(nil, details))
		}
		if _, err := fmt.Fprintln(c.out, line); err != nil {
			return err
		}
	}
	return nil
}

// oneLine is a text of a file as it is, or as a JSON string if it would move the pen of a terminal.
func oneLine(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return string(asl.AppendJSON(nil, s))
	}
	return s
}

func (c *cli) aslValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check the definition of a state machine, and print all that is wrong with it",
		Long: `Check the definition in FILE as AWS does when a state machine is made, and print everything that is wrong with it:
where, as a JSON pointer, a code and what to do, one problem a line. What AWS refuses for Express machines only is not refused.

Exit code 0: it is valid, 1: it is not, or the file cannot be read.`,
		Example: `  cloudflow asl validate order.asl.json
  cloudflow asl validate order.asl.json --json`,
		Args: exactly(1, "the file of a state machine"),
		RunE: func(_ *cobra.Command, args []string) error {
			definition, err := readASL(args[0])
			if err != nil {
				return err
			}
			if _, err := c.parseASL(definition, c.out); err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(validation{"VALID", []asl.Problem{}})
			}
			_, err = fmt.Fprintln(c.out, "VALID")
			return err
		},
	}
}

// parseASL compiles a definition. What is wrong with it is printed, for a person to w; the error is then the exit code.
func (c *cli) parseASL(definition []byte, w io.Writer) (*asl.Machine, error) {
	m, err := aslrun.Parse(definition)
	var invalid *asl.InvalidError
	if errors.As(err, &invalid) {
		return nil, c.printInvalid(invalid.Problems, w)
	}
	return m, err
}

// A validation is what is said of a definition.
type validation struct {
	Status   string        `json:"status"`
	Problems []asl.Problem `json:"problems"`
}

// printInvalid says what is wrong: as JSON to stdout, for a person one problem a line to w.
func (c *cli) printInvalid(problems []asl.Problem, w io.Writer) error {
	count := "1 problem"
	if n := len(problems); n > 1 {
		count = fmt.Sprint(n, " problems")
	}
	fmt.Fprintf(c.err, "cloudflow: the definition is invalid: %s\n", count)
	if c.JSON {
		if err := c.printJSON(validation{"INVALID", problems}); err != nil {
			return err
		}
		return &exit{1}
	}
	for _, p := range problems {
		fmt.Fprintf(w, "%s: %s: %s\n", oneLine(p.Pointer), p.Code, oneLine(p.Message))
	}
	return &exit{1}
}

func (c *cli) aslGraph() *cobra.Command {
	var g graphing
	cmd := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw a state machine",
		Long: `Draw the states of the machine in FILE: the way to success from top to bottom, what is reached only when something
fails beside it.

--format mermaid is the text of a flowchart for what shows Markdown, svg a picture for any viewer or browser.`,
		Example: `  cloudflow asl graph order.asl.json
  cloudflow asl graph order.asl.json --format svg --out order.svg`,
		Args: exactly(1, "the file of a state machine"),
		RunE: func(_ *cobra.Command, args []string) error { return c.graphASL(args[0], g) },
	}
	cmd.Flags().StringVar(&g.format, "format", "mermaid", "mermaid or svg")
	cmd.Flags().StringVar(&g.out, "out", "", "the file to write; it must not exist (default: stdout)")
	return cmd
}

func (c *cli) graphASL(file string, o graphing) error {
	if o.format != "svg" && o.format != "mermaid" {
		return fmt.Errorf("--format %q is not mermaid or svg", o.format)
	}
	definition, err := readASL(file)
	if err != nil {
		return err
	}
	machine, err := c.parseASL(definition, c.err)
	if err != nil {
		return err
	}
	graph := sagagraph.New(machine)
	draw := graph.StandaloneSVG
	if o.format == "mermaid" {
		draw = graph.Mermaid
	}
	return c.putGraph(o, func(w io.Writer) error { return draw(w, sagagraph.Path{}) })
}
