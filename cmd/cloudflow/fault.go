package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func (c *cli) faultCommand() *cobra.Command {
	show := &cobra.Command{
		Use:     "show",
		Short:   "Show the simulated payment provider's outage",
		Example: `  cloudflow fault show`,
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.fault(func(api *apigen.Client) (*http.Response, error) { return api.GetFaults(cmd.Context()) })
		},
	}
	clear := &cobra.Command{
		Use:     "clear",
		Short:   "End the simulated payment provider's outage",
		Example: `  cloudflow fault clear`,
		Args:    exactly(0, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.putFaults(cmd.Context(), apigen.Faults{}) },
	}
	return group("fault", "Let the simulated payment provider fail (development mode only)", `  cloudflow fault set --down`,
		show, c.faultSet(), clear)
}

func (c *cli) faultSet() *cobra.Command {
	var (
		only         string
		rate, lose   float64
		down, hang   bool
		status       int
		latency      time.Duration
		milliseconds int64
	)
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Begin or change an outage of the simulated payment provider",
		Long: `Begin an outage of the simulated payment provider, or change it: it is then what the flags say and no more.
--down, --status and --hang befall the share --rate of the calls. The outage ends with ` + "`cloudflow fault clear`" + `
or with the process. An instance that wants credentials has no such thing.`,
		Example: `  cloudflow fault set --down
  cloudflow fault set --only capture --status 500 --rate 0.5
  cloudflow fault set --latency 800ms --lose-replies 0.1`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 {
				return usagef("%s wants a flag that says what is to fail; `cloudflow fault clear` ends an outage", cmd.CommandPath())
			}
			body := apigen.Faults{}
			if only != "" {
				body.Only = ptr(apigen.FaultsOnly(only))
			}
			if milliseconds = latency.Milliseconds(); latency != 0 {
				body.LatencyMs = &milliseconds
			}
			for flag, set := range map[string]func(){
				"rate": func() { body.Rate = &rate }, "lose-replies": func() { body.LoseReplies = &lose },
				"down": func() { body.Down = &down }, "hang": func() { body.Hang = &hang }, "status": func() { body.Status = &status },
			} {
				if cmd.Flags().Changed(flag) {
					set()
				}
			}
			return c.putFaults(cmd.Context(), body)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&only, "only", "", "the one operation that it befalls: open, capture, cancel or refund (default: all)")
	flags.Float64Var(&rate, "rate", 0, "the share of the calls, 0 to 1 (default: every call)")
	flags.BoolVar(&down, "down", false, "refuse the connection")
	flags.BoolVar(&hang, "hang", false, "do nothing and never answer")
	flags.IntVar(&status, "status", 0, "answer 429, or 500 to 599, and do nothing")
	flags.DurationVar(&latency, "latency", 0, "wait so long before each call is carried out, at most 2m")
	flags.Float64Var(&lose, "lose-replies", 0, "carry out, and lose this share of the answers, 0 to 1")
	return cmd
}

func (c *cli) putFaults(ctx context.Context, body apigen.Faults) error {
	return c.fault(func(api *apigen.Client) (*http.Response, error) { return api.PutFaults(ctx, body) })
}

// fault makes a call that answers the outage and prints it.
func (c *cli) fault(do func(*apigen.Client) (*http.Response, error)) error {
	var f apigen.Faults
	printed, err := c.call(&f, do)
	if err != nil || printed {
		return err
	}
	var is []string
	add := func(format string, args ...any) { is = append(is, fmt.Sprintf(format, args...)) }
	if f.Only != nil {
		add("only %s", *f.Only)
	}
	if f.Rate != nil {
		add("rate %g", *f.Rate)
	}
	if f.Down != nil {
		add("down")
	}
	if f.Status != nil {
		add("status %d", *f.Status)
	}
	if f.Hang != nil {
		add("hang")
	}
	if f.LatencyMs != nil {
		add("latency %s", time.Duration(*f.LatencyMs)*time.Millisecond)
	}
	if f.LoseReplies != nil {
		add("lose-replies %g", *f.LoseReplies)
	}
	if is == nil {
		is = []string{"no outage"}
	}
	_, err = fmt.Fprintln(c.out, strings.Join(is, ", "))
	return err
}
