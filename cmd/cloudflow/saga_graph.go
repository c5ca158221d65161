package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sagagraph"
)

// A graphing is one saga graph command.
type graphing struct{ format, order, execution, out string }

func (c *cli) sagaGraph() *cobra.Command {
	var g graphing
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the saga, and the way that an order took through it",
		Long: `Draw the order saga's states: the way to success from top to bottom, the compensation beside it. Without --order it
needs no instance. With --order the states that the order's saga has visited are marked in their order, with
what failed and where it stands; --execution takes an earlier one.

--format svg is a picture for any viewer or browser, mermaid the text of a flowchart for what shows Markdown.
The machine drawn is that of this cloudflow, or the one in the file that --saga names, as serve has it; what an order's saga visited that is
no state of it is said on stderr.`,
		Example: `  cloudflow saga graph --out saga.svg
  cloudflow saga graph --order ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D --out order.svg
  cloudflow saga graph --format mermaid`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.graph(cmd, g) },
	}
	cmd.Flags().StringVar(&g.format, "format", "svg", "svg or mermaid")
	cmd.Flags().StringVar(&g.order, "order", "", "the order whose saga's way is drawn (default: none)")
	cmd.Flags().StringVar(&c.Saga, "saga", c.Saga, "the file of the machine to draw (default: the one that is built in)")
	cmd.Flags().StringVar(&g.execution, "execution", "", "with --order: an earlier execution, by its name (default: the current one)")
	cmd.Flags().StringVar(&g.out, "out", "", "the file to write; it must not exist (default: stdout)")
	return cmd
}

func (c *cli) graph(cmd *cobra.Command, o graphing) error {
	switch {
	case o.format != "svg" && o.format != "mermaid":
		return usagef("--format %q is not svg or mermaid", o.format)
	case cmd.Flags().Changed("order") && o.order == "":
		return usagef("--order is empty; leave it out to draw the saga alone")
	case o.execution != "" && o.order == "":
		return usagef("--execution is of an order: --order is wanted")
	}
	machine, err := c.drawn()
	if err != nil {
		return err
	}
	graph := sagagraph.New(machine)
	var path sagagraph.Path
	if o.order != "" {
		if path, err = c.pathOf(cmd, o); err != nil {
			return err
		}
		c.warnOfStrangers(machine, path)
	}
	draw := graph.StandaloneSVG
	if o.format == "mermaid" {
		draw = graph.Mermaid
	}
	return c.putGraph(o, func(w io.Writer) error { return draw(w, path) })
}

// drawn is the machine of --saga, or the one that is built in.
func (c *cli) drawn() (*asl.Machine, error) {
	if c.Saga == "" {
		return asl.Parse(saga.Definition(saga.LocalResources()))
	}
	definition, err := readSaga(c.Saga)
	if err != nil {
		return nil, fmt.Errorf("--saga: %w", err)
	}
	return c.parseASL(definition, c.err)
}

// pathOf asks the instance for the history of an order's saga.
func (c *cli) pathOf(cmd *cobra.Command, o graphing) (sagagraph.Path, error) {
	var s apigen.Saga
	status, body, err := c.fetch(&s, func(api *apigen.Client) (*http.Response, error) {
		return api.GetSaga(cmd.Context(), o.order, &apigen.GetSagaParams{Execution: given(o.execution)})
	})
	switch {
	case err != nil:
		return sagagraph.Path{}, err
	case status >= http.StatusBadRequest:
		return sagagraph.Path{}, c.problem(status, body)
	}
	steps := make([]sagagraph.Step, 0, len(s.History))
	for _, e := range s.History {
		step := sagagraph.Step{Type: e.Type}
		if e.State != nil {
			step.State = *e.State
		}
		steps = append(steps, step)
	}
	return sagagraph.PathOf(steps), nil
}

// warnOfStrangers names what was visited and is not in the drawing: a saga goes on with the definition that it began with.
func (c *cli) warnOfStrangers(m *asl.Machine, p sagagraph.Path) {
	told := map[string]bool{}
	for _, v := range p.Visits {
		if _, ok := m.State(v.State); !ok && !told[v.State] {
			told[v.State] = true
			fmt.Fprintf(c.err, "cloudflow: the saga has visited %q, which the machine that is drawn does not have\n", v.State)
		}
	}
}

// putGraph writes the drawing where it was asked for. With --json it is the text of one JSON value, or what the file is.
func (c *cli) putGraph(o graphing, write func(io.Writer) error) error {
	switch {
	case o.out == "" && !c.JSON:
		return write(c.out)
	case o.out == "":
		var text strings.Builder
		if err := write(&text); err != nil {
			return err
		}
		return c.printJSON(map[string]string{"format": o.format, "text": text.String()})
	}
	n, err := toFile(o.out, write)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.printJSON(map[string]any{"out": o.out, "bytes": n})
	}
	fmt.Fprintf(c.err, "cloudflow: %s: %s\n", o.out, size(n))
	return nil
}
