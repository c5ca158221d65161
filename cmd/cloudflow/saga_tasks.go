package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// exampleToken stands in the help texts.
const exampleToken = "t6w0Xk2pVqJ1uT3nM8sYzcg5vcmQtMDFK"

func (c *cli) sagaTasks() *cobra.Command {
	return &cobra.Command{
		Use:   "tasks",
		Short: "List the tasks that wait for an answer",
		Long: `List the tasks of sagas that wait for somebody: those of a machine of your own (serve --saga) whose resource ends in
.waitForTaskToken. All pages are read. --json has what each is to be judged by, its input. Who sees a token may answer with it:
task-success, task-failure, task-heartbeat.`,
		Example: `  cloudflow saga tasks
  cloudflow saga tasks --json`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := &apigen.ListTasksParams{Limit: ptr(100)}
			all, err := pages(c, func(api *apigen.Client, cursor *string) (*http.Response, error) {
				params.Cursor = cursor
				return api.ListTasks(cmd.Context(), params)
			}, func(p apigen.TaskList) ([]apigen.Task, *string) { return p.Tasks, p.NextCursor })
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(apigen.TaskList{Tasks: all})
			}
			return c.printTasks(all)
		},
	}
}

func (c *cli) printTasks(all []apigen.Task) error {
	w := c.table()
	fmt.Fprintf(w, "execution\tstate\tsince\ttimes out\ttoken\n")
	for _, t := range all {
		until := "never"
		if t.TimesOutAt != nil {
			until = t.TimesOutAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Execution, oneLine(t.State), t.Since.Format(time.RFC3339), until, t.Token)
	}
	return w.Flush()
}

func (c *cli) taskSuccess() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "task-success TOKEN",
		Short: "Answer a task: it has succeeded",
		Long: `Answer the task of a token, as ` + "`cloudflow saga tasks`" + ` prints it: it has succeeded, and its saga goes on with --output as the
result. That is JSON, or @ and the name of a file with it, or - for stdin. It is kept with the order, so no payment card's number may
stand in it. It is done when the command returns.`,
		Example: `  cloudflow saga task-success ` + exampleToken + `
  cloudflow saga task-success --output '{"approved": true}' ` + exampleToken + `
  cloudflow saga task-success --output @judgement.json ` + exampleToken,
		Args: exactly(1, "the token of a task"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apigen.TaskSuccess{Token: args[0]}
			if cmd.Flags().Changed("output") {
				text, err := c.taskOutput(cmd.Context(), output)
				if err != nil {
					return err
				}
				body.Output = text
			}
			return c.answerTask("succeeded", func(api *apigen.Client) (*http.Response, error) { return api.SendTaskSuccess(cmd.Context(), body) })
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "the result: JSON, @FILE, or - for stdin (default: null)")
	return cmd
}

// taskOutput is a JSON text as it was given, so that its numbers stay what they are.
func (c *cli) taskOutput(ctx context.Context, given string) (json.RawMessage, error) {
	text, err := []byte(given), error(nil)
	switch file, isFile := strings.CutPrefix(given, "@"); {
	case given == "-":
		text, err = c.readStdin(ctx)
	case isFile:
		text, err = readASL(file)
	}
	if err != nil {
		return nil, fmt.Errorf("--output: %w", err)
	}
	if _, err := asl.DecodeJSON(text); err != nil {
		return nil, usagef(`--output is no JSON: %s; a text wants its quotes, '"so"', and a file an @ before its name`, strings.TrimPrefix(err.Error(), "asl: "))
	}
	return text, nil
}

func (c *cli) taskFailure() *cobra.Command {
	var name, cause string
	cmd := &cobra.Command{
		Use:   "task-failure TOKEN",
		Short: "Answer a task: it has failed",
		Long: `Answer the task of a token, as ` + "`cloudflow saga tasks`" + ` prints it: it has failed with an error, for which its state's Retry and Catch
look. Both texts are kept with the order. It is done when the command returns.`,
		Example: `  cloudflow saga task-failure --error FraudSuspected --cause "Three cards in one hour." ` + exampleToken,
		Args:    exactly(1, "the token of a task"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apigen.TaskFailure{Token: args[0], Error: given(name), Cause: given(cause)}
			return c.answerTask("failed", func(api *apigen.Client) (*http.Response, error) { return api.SendTaskFailure(cmd.Context(), body) })
		},
	}
	cmd.Flags().StringVar(&name, "error", "", "the error's name, up to 256 bytes (default: none)")
	cmd.Flags().StringVar(&cause, "cause", "", "why, in words, up to 32,768 bytes (default: none)")
	return cmd
}

func (c *cli) taskHeartbeat() *cobra.Command {
	return &cobra.Command{
		Use:   "task-heartbeat TOKEN",
		Short: "Say that somebody works at a task",
		Long: `Say of the task of a token, as ` + "`cloudflow saga tasks`" + ` prints it, that somebody works at it: the HeartbeatSeconds of its state begin
anew. Its TimeoutSeconds do not.`,
		Example: `  cloudflow saga task-heartbeat ` + exampleToken,
		Args:    exactly(1, "the token of a task"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := apigen.TaskHeartbeat{Token: args[0]}
			return c.answerTask("heard", func(api *apigen.Client) (*http.Response, error) { return api.SendTaskHeartbeat(cmd.Context(), body) })
		},
	}
}

// answerTask makes the call, and prints what the task is now.
func (c *cli) answerTask(now string, do func(*apigen.Client) (*http.Response, error)) error {
	status, body, err := c.fetch(nil, do)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound || status == http.StatusConflict:
		return fmt.Errorf("%w; `cloudflow saga tasks` lists those that wait", c.problem(status, body))
	case status >= http.StatusBadRequest:
		return c.problem(status, body)
	case c.JSON:
		return c.printJSON(json.RawMessage(body))
	}
	_, err = fmt.Fprintln(c.out, now)
	return err
}
