package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func (c *cli) exportCommand() *cobra.Command {
	return group("export", "Write all orders or all events as lines of JSON or as CSV", `  cloudflow export orders --format csv --out orders.csv`,
		c.exportOf("orders", "Write all orders, as they are now",
			`One row for each order, in the order in which they were created: what cloudflow order get shows, without
the events.`, export.Orders,
			func(ctx context.Context, api *apigen.Client, f export.Format, since *time.Time) (*http.Response, error) {
				return api.ExportOrders(ctx, &apigen.ExportOrdersParams{Format: ptr(apigen.ExportOrdersParamsFormat(f)), Since: since})
			}),
		c.exportOf("events", "Write every event of every order",
			`One row for each event, with all that the log holds of it: the orders one after the other as they were
created, each with its log from the beginning.`, export.Events,
			func(ctx context.Context, api *apigen.Client, f export.Format, since *time.Time) (*http.Response, error) {
				return api.ExportEvents(ctx, &apigen.ExportEventsParams{Format: ptr(apigen.ExportEventsParamsFormat(f)), Since: since})
			}))
}

// An exporting is one export command.
type exporting struct {
	format, since, out, data string

	local  func(context.Context, store.Dumper, io.Writer, export.Options) error
	remote func(context.Context, *apigen.Client, export.Format, *time.Time) (*http.Response, error)
}

func (c *cli) exportOf(what, short, long string,
	local func(context.Context, store.Dumper, io.Writer, export.Options) error,
	remote func(context.Context, *apigen.Client, export.Format, *time.Time) (*http.Response, error),
) *cobra.Command {
	e := exporting{local: local, remote: remote}
	cmd := &cobra.Command{
		Use:   what,
		Short: short,
		Long: long + ` All rows are of one moment. No contact is in them.

--since takes a time (RFC 3339) or an age such as 24h, and leaves out what is older. An export that did not
come to its end says so, and the exit code is then 1; with --out the file appears only when it is whole.
In CSV a cell that a spreadsheet would take for a formula has an apostrophe before it.`,
		Example: `  cloudflow export ` + what + ` --since 24h
  cloudflow export ` + what + ` --format csv --since 2026-01-01T00:00:00Z --out ` + what + `.csv
  cloudflow export ` + what + ` --data ./data`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.export(cmd, e) },
	}
	cmd.Flags().StringVar(&e.format, "format", string(export.NDJSON), "ndjson or csv")
	cmd.Flags().StringVar(&e.since, "since", "", "leave out what is older: a time, or an age such as 24h")
	cmd.Flags().StringVar(&e.out, "out", "", "the file to write; it must not exist (default: stdout)")
	cmd.Flags().StringVar(&e.data, "data", "", "the data directory of a stopped instance")
	return cmd
}

func (c *cli) export(cmd *cobra.Command, e exporting) error {
	o := export.Options{Format: export.Format(e.format)}
	var err error
	switch {
	case o.Format != export.NDJSON && o.Format != export.CSV:
		return usagef("--format %q is not ndjson or csv", e.format)
	case c.JSON && e.out == "":
		return usagef("an export is not one JSON value; --format ndjson is one a line")
	}
	if o.Since, err = since(e.since, time.Now()); err != nil {
		return err
	}
	byData, err := stopped(cmd, e.data)
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		if byData {
			return stillOn(e.data, func(i *instance.Instance) error { return e.local(cmd.Context(), i.Dir.Store, w, o) })
		}
		var from *time.Time
		if !o.Since.IsZero() {
			from = &o.Since
		}
		return c.download(
			func(api *apigen.Client) (*http.Response, error) { return e.remote(cmd.Context(), api, o.Format, from) },
			func(r io.Reader) error {
				if _, err := io.Copy(w, r); err != nil {
					return fmt.Errorf("the export is incomplete: %w", err)
				}
				return nil
			})
	}
	if e.out == "" {
		return write(c.out)
	}
	n, err := toFile(e.out, write)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = fmt.Fprintf(c.out, "{\"out\":%q,\"bytes\":%d}\n", e.out, n)
		return err
	}
	fmt.Fprintf(c.err, "cloudflow: %s: %s\n", e.out, size(n))
	return nil
}

// since reads a time or an age; "" is none.
func since(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age).UTC().Truncate(time.Millisecond), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("--since %q is neither a time such as 2026-01-15T10:30:00Z nor an age such as 24h", text)
	}
	return at, nil
}

// toFile makes a file, for its owner alone, that is whole or not there.
func toFile(path string, write func(io.Writer) error) (bytes int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s exists already; choose another name with --out", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // mode 0600
	if err != nil {
		return 0, err
	}
	err = write(f)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			bytes = info.Size()
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return bytes, err
}
