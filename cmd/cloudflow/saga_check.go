package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

func (c *cli) sagaCheck() *cobra.Command {
	data := c.Data
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Replay the recorded sagas on a changed machine, and say which would diverge",
		Long: `Replay every execution in the data directory of a stopped instance, open ones and those that have ended, on the machine in
FILE, and say of each that would do something else where that begins: the state, the number of the event as saga history counts,
what it did and what the new machine does. That is another state, another task, another input of a task, a command that is not asked for
any more, or another end. How long it waits is not compared: a retry's interval and a timeout may change. Nothing is called and nothing
is written.

An execution goes on with the machine that it began with, whatever is said here: this is to see what a change changes. In FILE
the names that stand in for the tasks, such as ${OrderHandlerArn}, are those of saga/order.asl.json.

Exit code 0: none diverges, 1: some do, or the machine is invalid, 2: the command line was wrong.`,
		Example: `  cloudflow saga check new.asl.json --data ./data
  cloudflow saga check new.asl.json --data ./data --json`,
		Args: exactly(1, "the file of a state machine"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.checkSagas(cmd, args[0], data) },
	}
	cmd.Flags().StringVar(&data, "data", data, "the data directory of a stopped instance")
	return cmd
}

// A checking is what is said of a machine.
type checking struct {
	flow.Checked
	Divergences []divergence `json:"divergences"`
}

type divergence struct {
	Execution string `json:"execution"`
	flow.Divergence
}

func (c *cli) checkSagas(cmd *cobra.Command, file, data string) error {
	switch {
	case cmd.Flags().Changed("url"):
		return usagef("a machine is checked on the data directory of a stopped instance (--data), not on a running one")
	case data == "":
		return usagef("--data is empty; name the data directory of a stopped instance")
	}
	definition, err := readSaga(file)
	if err != nil {
		return err
	}
	machine, err := c.parseASL(definition, c.out)
	if err != nil {
		return err
	}
	if !datadir.Exists(data) {
		return fmt.Errorf("%q is no data directory of cloudflow", data)
	}
	result := checking{Divergences: []divergence{}}
	err = stillOn(data, func(i *instance.Instance) (err error) {
		result.Checked, err = i.App.Engine.Check(cmd.Context(), i.Dir.Store, machine, func(execution string, at flow.Divergence) error {
			if c.JSON {
				result.Divergences = append(result.Divergences, divergence{execution, at})
				return nil
			}
			return c.printDivergence(execution, at) // at once: there may be many
		})
		return err
	})
	if err != nil {
		return err
	}
	return c.printChecking(result)
}

// readSaga reads the definition in a file, with the Resources of the single binary in place.
func readSaga(file string) ([]byte, error) {
	text, err := readASL(file)
	return saga.Substitute(text, saga.LocalResources()), err
}

// ownSaga is the machine of --saga, nil if there is none. It is refused here and not by the first order that comes to a state which nobody can do.
func (c *cli) ownSaga() ([]byte, error) {
	if c.Saga == "" {
		return nil, nil
	}
	definition, err := readSaga(c.Saga)
	if err != nil {
		return nil, fmt.Errorf("--saga: %w", err)
	}
	if _, err := c.parseASL(definition, c.err); err != nil {
		return nil, err
	}
	missing, err := saga.Missing(definition, saga.LocalResources())
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("this cloudflow has not: %s", strings.Join(missing, "; "))
	}
	if err != nil {
		return nil, fmt.Errorf("--saga %s: %w", c.Saga, err)
	}
	return definition, nil
}

func (c *cli) printDivergence(execution string, d flow.Divergence) error {
	_, err := fmt.Fprintf(c.out, "%s diverges at %s, event %d (%s)\n  old: %s\n  new: %s\n",
		oneLine(execution), oneLine(d.State), d.Event, d.Kind, oneLine(d.Old), oneLine(d.New))
	return err
}

func (c *cli) printChecking(r checking) error {
	if c.JSON {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.out, "%d replayed (%d open), %d diverge\n", r.Replayed, r.Open, r.Diverging)
	}
	if r.Forgotten > 0 {
		fmt.Fprintf(c.err, "cloudflow: %d are not replayed: their histories were deleted when their time was over\n", r.Forgotten)
	}
	if r.Diverging > 0 {
		fmt.Fprintf(c.err, "cloudflow: %d of %d executions would diverge\n", r.Diverging, r.Replayed)
		return &exit{1}
	}
	return nil
}
