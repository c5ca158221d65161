package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/invariant"
)

func (c *cli) verifyCommand() *cobra.Command {
	var data, stage string
	var onAWS bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants: stock, money by the provider's own ledger, every order's log",
		Long: `Check the invariants on a running instance (--url), on the data directory of a stopped one (--data), or on
what is deployed to AWS (--aws). Every violation is one line, and the exit code is then 1. Orders whose saga is
open are not asked for what holds at rest only; how many were skipped is said on stderr.

The hash over all orders' chains is printed too, but for --url: the chain of an order proves edits, not
truncation, so keep it elsewhere.

On AWS there is no moment at which all tables could be read. What changed while it was read is not judged but
counted, and what looks broken is looked at again, twice at most, before it is reported: ask at a quiet hour for
everything. Credentials and the region are those of the AWS CLI. Nothing is written, but dead letters, where a
notification is missed, are hidden from others for a moment.`,
		Example: `  cloudflow verify
  cloudflow verify --data ./data
  cloudflow verify --aws --stage dev`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch flags := cmd.Flags(); {
			case onAWS && (flags.Changed("data") || flags.Changed("url")):
				return usagef("--aws, --data and --url exclude each other")
			case onAWS:
				return c.verifyAWS(cmd, stage)
			case flags.Changed("stage"):
				return usagef("--stage is one on AWS: say --aws too")
			}
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
	cmd.Flags().BoolVar(&onAWS, "aws", false, "what is deployed to AWS")
	cmd.Flags().StringVar(&stage, "stage", awsstage.Production, "with --aws: the stage, as it was deployed")
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
	return c.report(reportOf(found), found.Heads)
}

// reportOf is a report as the HTTP interface has it.
func reportOf(found invariant.Report) apigen.VerifyReport {
	report := apigen.VerifyReport{Orders: int64(found.Orders), Skipped: int64(found.Open), Ok: len(found.Violations) == 0}
	for _, v := range found.Violations {
		report.Violations = append(report.Violations, apigen.Violation{Invariant: v.Rule, Subject: v.Subject, Detail: v.Detail})
	}
	return report
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
