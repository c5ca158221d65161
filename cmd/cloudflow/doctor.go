package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/doctor"
)

func (c *cli) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor DIR",
		Short: "Look into the data directory of a stopped instance, and say what looks wrong",
		Long: `Print what the data directory of a stopped instance holds: how large it is, items and bytes by table, orders by
status, open sagas, messages that wait and dead letters, how far back the live feed goes, API keys, circuits that are not
CLOSED, and how much of the disk is free. At its end stands what looks wrong, a sentence each; the exit code is 0 all the same.

No item is changed; the store's files are opened as a start would open them. Whether the books are in order is for
` + "`cloudflow verify --data DIR`" + ` to say.`,
		Example: `  cloudflow doctor ./data
  cloudflow doctor /var/lib/cloudflow --json`,
		Args: exactly(1, "a data directory, such as ./data"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !datadir.Exists(args[0]) {
				return fmt.Errorf("%q is no data directory of cloudflow", args[0])
			}
			report, err := doctor.Look(cmd.Context(), args[0], datadir.Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(report)
			}
			return c.printReport(report)
		},
	}
}

func (c *cli) printReport(r *doctor.Report) error {
	w := c.table()
	fmt.Fprintf(w, "directory\t%s\tformat %d\n", r.Path, r.Format)
	fmt.Fprintf(w, "on disk\t%s\tthe provider's ledger %s\n", size(r.StoreBytes), size(r.ProviderBytes))
	fmt.Fprintf(w, "disk free\t%s\torders are refused below %d MiB\n", size(int64(r.FreeBytes)), r.MinFreeBytes>>20)
	fmt.Fprintf(w, "open sagas\t%d\t%s\n", r.Executions.Count, oldest(r.Executions))
	fmt.Fprintf(w, "messages\t%d\t%s\n", r.Queued.Count, oldest(r.Queued))
	fmt.Fprintf(w, "dead letters\t%d\t%s\n", r.Dead.Count, oldest(r.Dead))
	since := ""
	if r.Feed.Since != nil {
		since = "since " + r.Feed.Since.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "feed entries\t%d\t%s\n", r.Feed.Changes, since)
	fmt.Fprintf(w, "API keys\t%d\t%d expired, %d revoked\n", r.Keys.Valid, r.Keys.Expired, r.Keys.Revoked)
	for _, b := range r.Breakers {
		until := ""
		if b.OpenUntil != nil {
			until = "until " + b.OpenUntil.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "circuit\t%s\t%s %s\n", b.Name, b.State, until)
	}
	if err := w.Flush(); err != nil { // each part has columns of its own
		return err
	}
	fmt.Fprintf(w, "\norders\tnumber\n")
	for _, status := range slices.Sorted(maps.Keys(r.Orders)) {
		fmt.Fprintf(w, "  %s\t%d\n", status, r.Orders[status])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\ntable\titems\tbytes\n")
	for _, t := range r.Tables {
		name := t.Name
		if t.Provider {
			name = "the provider's " + name
		}
		fmt.Fprintf(w, "  %s\t%d\t%s\n", name, t.Items, size(t.Bytes))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	for _, sentence := range r.Wrong {
		fmt.Fprintln(c.out, sentence)
	}
	if len(r.Wrong) == 0 {
		fmt.Fprintln(c.out, "Nothing looks wrong.")
	}
	return nil
}

func oldest(g doctor.Group) string {
	if g.Since == nil {
		return ""
	}
	return fmt.Sprintf("the oldest %s, %s", g.Oldest, g.Since.Format(time.RFC3339))
}
