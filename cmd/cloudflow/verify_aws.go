package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/invariant"
)

// lookAgain is the pause before what looks broken is looked at again: a commit that was under way is over then.
const lookAgain = time.Second

func (c *cli) verifyAWS(cmd *cobra.Command, name string) error {
	if err := awsstage.CheckStage(name); err != nil {
		return usagef("--stage: %v", err)
	}
	ctx := cmd.Context()
	config, err := awsstage.Config(ctx)
	if err != nil {
		return err
	}
	stage, err := awsstage.Look(ctx, config, name)
	if err != nil {
		return permitted(err)
	}
	fmt.Fprintf(c.err, "cloudflow: stage %s\n", stage)
	bar := c.counter("orders read")
	live := invariant.Live{
		Ours: stage.Store, Sagas: stage.Machine, Messages: stage.Queue, Now: time.Now, Pause: lookAgain,
		Orders: func(read int) { bar.at(read, "") },
	}
	if stage.Provider != nil { // else a nil pointer in an interface, which is not nil
		live.Provider = stage.Provider
	}
	found, err := live.Check(ctx)
	bar.end()
	if err != nil {
		return permitted(err)
	}
	c.notAsked(found, live.Provider == nil)
	return c.report(reportOf(found), found.Heads)
}

// permitted says of a permission that is missing where all of them are listed.
func permitted(err error) error {
	if strings.Contains(awscall.Code(err), "AccessDenied") {
		return fmt.Errorf("%w (docs/aws-deploy.md lists what verify needs)", err)
	}
	return err
}

// notAsked says what a shop that is open was not asked.
func (c *cli) notAsked(r invariant.Report, noBook bool) {
	if noBook {
		fmt.Fprintln(c.err, "cloudflow: payments are not simulated here: they are judged by our own rows, without the provider's ledger")
	}
	if r.MovedProducts > 0 {
		fmt.Fprintf(c.err, "cloudflow: products in motion: %d; what they hold and have sold was not compared with the orders' holds\n", r.MovedProducts)
	}
	if r.MayWait > 0 {
		fmt.Fprintf(c.err, "cloudflow: orders whose notification may still be on its way: %d\n", r.MayWait)
	}
}
