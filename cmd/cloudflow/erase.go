package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// localActor is who acts on a stopped directory: nobody proves who that is.
const localActor = "cli"

// erased is what erase prints with --json.
type erased struct {
	CustomerID string    `json:"customer_id"`
	ErasedAt   time.Time `json:"erased_at"`
	Backups    []string  `json:"backups,omitempty"`
}

func (c *cli) eraseCommand() *cobra.Command {
	var data string
	var backups []string
	cmd := &cobra.Command{
		Use:   "erase CUSTOMER",
		Short: "Make a customer's e-mail addresses and phone numbers unreadable for good",
		Long: `Destroy the key under which a customer's contacts are sealed, in a running instance (--url) or in the
data directory of a stopped one (--data). Orders, totals and logs stay; what is still queued for the
customer goes to the log. A customer who never was is answered alike, and a repeat is safe.

Every backup holds keys of its own, and a customer is forgotten only when it is erased in them too: name
each with --backup. A backup that was away meanwhile, and is restored one day, needs the command again:
the log says "Contact erased" of each customer. A disk may keep old blocks of a file that was overwritten;
encrypt the disk if that matters to you.`,
		Example: `  cloudflow erase cust-001
  cloudflow erase cust-001 --backup /backups/monday --backup /backups/tuesday
  cloudflow erase cust-001 --data ./data`,
		Args: exactly(1, "a customer id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, dir := range backups { // before anything is destroyed: a name was mistyped
				if _, err := datadir.ReadManifest(dir); err != nil {
					return err
				}
			}
			e, err := c.erase(cmd, args[0], data)
			if err != nil {
				return err
			}
			for _, dir := range backups {
				if err := datadir.EraseIn(dir, args[0]); err != nil {
					return fmt.Errorf("erased in the instance, but not in the backup %s: %w; repeat the command", dir, err)
				}
			}
			e.Backups = backups
			if c.JSON {
				text, err := json.Marshal(e)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.out, string(text))
				return err
			}
			fmt.Fprintf(c.out, "%s  erased %s\n", e.CustomerID, e.ErasedAt.Format(time.RFC3339))
			for _, dir := range backups {
				fmt.Fprintf(c.out, "  and in %s\n", dir)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the data directory of a stopped instance")
	cmd.Flags().StringArrayVar(&backups, "backup", nil, "a backup to erase the customer in, too; may be repeated")
	return cmd
}

// erase erases in the instance.
func (c *cli) erase(cmd *cobra.Command, customerID, data string) (e erased, err error) {
	byData, err := stopped(cmd, data)
	if err != nil {
		return e, err
	}
	if byData {
		err = stillOn(data, func(i *instance.Instance) error {
			done, err := i.App.Orders.Erase(cmd.Context(), customerID, localActor)
			e = erased{CustomerID: done.CustomerID, ErasedAt: done.ErasedAt}
			return err
		})
		return e, err
	}
	c.timeout = 2 * time.Minute // of which the server takes one at most
	var done apigen.Erasure
	status, body, err := c.fetch(&done, func(api *apigen.Client) (*http.Response, error) {
		return api.EraseCustomer(cmd.Context(), customerID)
	})
	if err == nil && status >= http.StatusBadRequest {
		err = c.problem(status, body)
	}
	return erased{CustomerID: done.CustomerID, ErasedAt: done.ErasedAt}, err
}
