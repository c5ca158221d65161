package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/migrate"
)

// toAWS is the one place that there is to migrate to.
const toAWS = "aws"

// A moving is what the flags of migrate say.
type moving struct {
	data, to, stage string
	dryRun          bool
}

func (c *cli) migrateCommand() *cobra.Command {
	m := moving{data: c.Data}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Take a shop that has outgrown one machine to AWS, with everything in it",
		Long: `Take everything along from the data directory of a stopped instance to a stage that was deployed with
` + "`make deploy`" + ` and has never taken an order: products, orders, events, holds, payments, circuits, idempotency keys, the
keys of contacts, waiting notifications and dead letters. All of it is copied and read back; then each open order's saga
is started on Step Functions at the state where it stands.

It may be interrupted at any time; the same command goes on where it stopped, and one that is done says so. Before the first
start the directory is marked as moved: from then on ` + "`cloudflow serve`" + ` refuses it, and there is no way back, since
serving it, or a backup from before, would charge customers a second time. --dry-run verifies and counts, and writes nothing.

Credentials and the region are found where the AWS CLI finds them. Let nobody order at the stage before it is done. Not taken
are the API keys, the histories of sagas that have ended, and the marks of retention.`,
		Example: `  cloudflow migrate --data ./data --to aws --dry-run
  cloudflow migrate --data ./data --to aws --stage prod`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case m.to != toAWS:
				return usagef("--to %q is not %s, the one place that there is", m.to, toAWS)
			case cmd.Flags().Changed("url"):
				return usagef("migrate takes the directory of a stopped instance (--data), and not --url")
			}
			if err := awsstage.CheckStage(m.stage); err != nil {
				return usagef("--stage: %v", err)
			}
			if !datadir.Exists(m.data) {
				return fmt.Errorf("%q is no data directory of cloudflow", m.data)
			}
			return stillOn(m.data, func(i *instance.Instance) error { return c.migrate(cmd.Context(), i, m) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&m.data, "data", m.data, "the data directory of a stopped instance")
	flags.StringVar(&m.to, "to", "", "where to: aws")
	flags.StringVar(&m.stage, "stage", awsstage.Production, "the stage, as it was deployed with")
	flags.BoolVar(&m.dryRun, "dry-run", false, "say what would be done and what would be refused, and write nothing")
	return cmd
}

// migrate moves what was opened.
func (c *cli) migrate(ctx context.Context, i *instance.Instance, m moving) error {
	books, err := instance.Verify(ctx, i.Dir, time.Now())
	if err != nil {
		return err
	}
	if n := len(books.Violations); n > 0 {
		return fmt.Errorf("the books of %s are not in order, and what is broken here would be broken there: %d violations, which `cloudflow verify --data %s` lists", m.data, n, m.data)
	}
	config, err := awsstage.Config(ctx)
	if err != nil {
		return err
	}
	stage, err := awsstage.Open(ctx, config, m.stage)
	if err != nil {
		return err
	}
	gone := datadir.Moved{To: toAWS, Stage: stage.Name, Account: stage.Account, Region: stage.Region, At: time.Now().UTC().Truncate(time.Millisecond)}
	left, err := i.Dir.Left(gone)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "cloudflow: from %s to %s, stage %s\n", m.data, toAWS, stage)
	bars := &bars{c: c}
	r, err := migrate.Run(ctx, migrate.Config{
		Source: sourceOf(i, left, func() error {
			if !left {
				bars.end()
				fmt.Fprintf(c.err, "cloudflow: the copy is the same, heads %s. From here on the shop is there, and %s is not served any more\n", books.Heads, m.data)
			}
			return i.Dir.Leave(gone)
		}),
		Target: targetOf(stage), DryRun: m.dryRun, Now: time.Now, Progress: bars.step,
	})
	bars.end()
	switch {
	case errors.Is(err, context.Canceled) || err != nil && ctx.Err() != nil:
		where := "before this run has written anything"
		if r.Phase != "" {
			where = "in the phase " + string(r.Phase)
		}
		fmt.Fprintf(c.err, "cloudflow: stopped %s; the same command goes on from there\n", where)
		return err
	case err != nil:
		return err
	}
	return c.printMigration(r, m.dryRun)
}

// sourceOf is a stopped instance as what moves.
func sourceOf(i *instance.Instance, left bool, leave func() error) migrate.Source {
	return migrate.Source{
		Ours: i.Dir.Store, Provider: i.Dir.Provider, Contacts: i.Dir.ContactKeys,
		StartOf: i.App.Orders.StartOf, Describe: i.App.Engine.Describe, Left: left,
		Leave: func(context.Context) error { return leave() },
	}
}

// targetOf is a stage as where it moves to.
func targetOf(s *awsstage.Stage) migrate.Target {
	t := migrate.Target{
		Store: s.Store, SendDead: s.Queue.SendDead, Start: s.Machine.Start, Walk: migrate.ByLists(s.Store),
		Send: func(ctx context.Context, id string, body []byte) error {
			return s.Queue.SendMessage(ctx, awsbus.Sent{ID: id, Body: body})
		},
	}
	if s.Provider != nil { // else a nil pointer in an interface, which is not nil
		t.Provider = s.Provider
	}
	return t
}

// bars are a bar for each part of the work, one after the other.
type bars struct {
	c    *cli
	name string
	bar  *progress
}

func (b *bars) step(s migrate.Step) {
	if s.Name != b.name {
		b.end()
		b.name, b.bar = s.Name, b.c.progress(s.Name, s.Total)
	}
	b.bar.at(s.Done, "")
}

func (b *bars) end() {
	if b.bar != nil {
		b.bar.end()
	}
	b.name, b.bar = "", nil
}

func (c *cli) printMigration(r migrate.Report, dryRun bool) error {
	if c.JSON {
		text, err := json.Marshal(struct {
			migrate.Report
			DryRun bool `json:"dry_run"`
		}{r, dryRun})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.out, string(text))
		return err
	}
	w := c.table()
	fmt.Fprintf(w, "%d orders\theads %s\n", r.Orders, r.Heads)
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s\t%d items, %s\n", t.Table, t.Items, size(t.Bytes))
	}
	fmt.Fprintf(w, "waiting notifications\t%d, sent\ndead letters\t%d, as dead letters\n", r.Messages, r.DeadLetters)
	for _, state := range slices.Sorted(maps.Keys(r.Open)) {
		fmt.Fprintf(w, "open orders at %s\t%d, started there\n", state, r.Open[state])
	}
	fmt.Fprintf(w, "orders in review\t%d, as they are\n", r.InReview)
	for _, left := range slices.Sorted(maps.Keys(r.Left)) {
		fmt.Fprintf(w, "%s\t%d items, not taken\n", left, r.Left[left])
	}
	if r.Expired > 0 {
		fmt.Fprintf(w, "idempotency keys whose time is over\t%d, not taken\n", r.Expired)
	}
	if r.LedgerPages > 0 {
		fmt.Fprintf(w, "ledger of orders that retention has deleted\t%d items, not taken\n", r.LedgerPages)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case dryRun && r.Phase == "":
		fmt.Fprintf(c.err, "cloudflow: nothing was written. The copy takes about %d write units of DynamoDB, and %s at least\n", r.WriteUnits, r.AtLeast().Round(time.Second))
	case dryRun:
		fmt.Fprintf(c.err, "cloudflow: nothing was written. An earlier run has come to the phase %s\n", r.Phase)
	case r.Before == migrate.Done:
		fmt.Fprintln(c.err, "cloudflow: an earlier run has done all of it; nothing was changed")
	default:
		fmt.Fprintf(c.err, "cloudflow: done; %d executions were started by this run. `cloudflow verify --aws` looks at the books there\n", r.Started)
	}
	return nil
}
