package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

func (c *cli) verifyCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants: stock, money by the provider's own ledger, every order's log",
		Long: `Check the invariants on a running instance (--url), or on the data directory of a stopped one (--data).
Every violation is one line, and the exit code is then 1. Orders whose saga is open are not asked for
what holds at rest only; how many were skipped is said on stderr.

For a data directory the hash over all orders' chains is printed too: the chain of an order proves edits,
not truncation, so keep it elsewhere.`,
		Example: `  cloudflow verify
  cloudflow verify --data ./data`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			byData, err := stopped(cmd, data)
			switch {
			case err != nil:
				return err
			case byData:
				return c.verifyData(cmd, data)
			}
			return c.verifyURL(cmd)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the data directory of a stopped instance")
	return cmd
}

func (c *cli) verifyURL(cmd *cobra.Command) error {
	c.timeout = verifyTimeout
	var report apigen.VerifyReport
	status, body, err := c.fetch(&report, func(api *apigen.Client) (*http.Response, error) { return api.Verify(cmd.Context()) })
	switch {
	case err != nil:
		return err
	case status >= http.StatusBadRequest:
		return c.problem(status, body)
	}
	return c.report(report, "")
}

func (c *cli) verifyData(cmd *cobra.Command, path string) error {
	dir, err := datadir.Open(path, datadir.Options{Moved: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	found, err := instance.Verify(cmd.Context(), dir, time.Now())
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	report := apigen.VerifyReport{Orders: int64(found.Orders), Skipped: int64(found.Open), Ok: len(found.Violations) == 0}
	for _, v := range found.Violations {
		report.Violations = append(report.Violations, apigen.Violation{Invariant: v.Rule, Subject: v.Subject, Detail: v.Detail})
	}
	return c.report(report, found.Heads)
}

func (c *cli) report(r apigen.VerifyReport, heads string) error {
	if c.JSON {
		if r.Violations == nil {
			r.Violations = []apigen.Violation{}
		}
		text, err := json.Marshal(struct {
			apigen.VerifyReport
			Heads string `json:"heads,omitempty"`
		}{r, heads})
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, string(text))
	} else {
		for _, v := range r.Violations {
			fmt.Fprintf(c.out, "%s %s: %s\n", v.Invariant, v.Subject, v.Detail)
		}
	}
	fmt.Fprintf(c.err, "cloudflow: %d orders, %d skipped (saga open), %d violations\n", r.Orders, r.Skipped, len(r.Violations))
	if heads != "" {
		fmt.Fprintf(c.err, "cloudflow: heads %s\n", heads)
	}
	if !r.Ok {
		return &exit{1}
	}
	return nil
}
