package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) dlqCommand() *cobra.Command {
	return group("dlq", "Look at the dead letters, and put them back into the queue", `  cloudflow dlq list`, c.dlqList(), c.dlqRedrive())
}

func (c *cli) dlqList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the notifications that could not be delivered",
		Long: `List the dead letters: notifications that were tried three times, the one that was sent first at the head, with the
last error. All pages are read. Whom a letter is for, and what it says, is not shown.`,
		Example: `  cloudflow dlq list
  cloudflow dlq list --json`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := &apigen.ListDeadLettersParams{Limit: ptr(100)}
			all, err := pages(c, func(api *apigen.Client, cursor *string) (*http.Response, error) {
				params.Cursor = cursor
				return api.ListDeadLetters(cmd.Context(), params)
			}, func(p apigen.DeadLetterList) ([]apigen.DeadLetter, *string) { return p.Letters, p.NextCursor })
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(apigen.DeadLetterList{Letters: all})
			}
			w := c.table()
			fmt.Fprintf(w, "letter\tkind\ttried\tdied\treason\n")
			for _, l := range all {
				kind, reason := "", ""
				if l.Kind != nil {
					kind = string(*l.Kind)
				}
				if l.Reason != nil {
					reason = *l.Reason
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", l.ID, kind, l.Receives, l.DiedAt.Format(time.RFC3339), reason)
			}
			return w.Flush()
		},
	}
}

func (c *cli) dlqRedrive() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "redrive [ID...]",
		Short: "Put dead letters back into the queue",
		Long: `Put dead letters back into the queue, where they are delivered or die again: up to 100 by their ids, as
` + "`cloudflow dlq list`" + ` prints them, or --all. An id that is no dead letter counts nothing. Prints how many were put back.`,
		Example: `  cloudflow dlq redrive ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D.v4
  cloudflow dlq redrive --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var body apigen.RedriveLetters
			switch {
			case all && len(args) > 0:
				return usagef("--all and ids exclude each other")
			case !all && len(args) == 0:
				return usagef("%s wants ids, as `cloudflow dlq list` prints them, or --all", cmd.CommandPath())
			case !all:
				body.Ids = &args
			}
			var done apigen.RedrivenLetters
			printed, err := c.call(&done, func(api *apigen.Client) (*http.Response, error) {
				return api.RedriveDeadLetters(cmd.Context(), body)
			})
			if err != nil || printed {
				return err
			}
			_, err = fmt.Fprintf(c.out, "redriven %d\n", done.Redriven)
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all there are")
	return cmd
}
