package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

func (c *cli) keyCommand() *cobra.Command {
	return group("key", "Make, list and revoke API keys",
		`  cloudflow key create --data ./data --subject ops --scopes admin
  cloudflow key list`, c.keyCreate(), c.keyList(), c.keyRevoke())
}

func (c *cli) keyCreate() *cobra.Command {
	var subject, scopes, label, data string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an API key and print it, this once",
		Long: `Make an API key and print it on stdout. Nobody can see it again: what is kept is a hash of it. It goes into
CLOUDFLOW_TOKEN for these commands, and into the header Authorization: Bearer for others.

The subject is the customer whose orders the key reads and writes; with the scope admin it is a name for the log, and the
key acts for everybody. The first key is made with --data while no instance runs there; it makes the directory if it is
not there.`,
		Example: `  cloudflow key create --data ./data --subject ops --scopes admin
  cloudflow key create --subject cust-001 --scopes orders:read,orders:write --label "mobile app" --expires-in 2160h`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case subject == "":
				return usagef("--subject is missing; it is the customer whose orders the key is for, or a name for an operator")
			case !auth.ValidSubject(subject):
				return usagef("--subject %q is not 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'", subject)
			case scopes == "":
				return usagef("--scopes is missing; there are %s", scopeNames())
			case expires < 0:
				return usagef("--expires-in %s is past", expires)
			}
			set, err := auth.ParseScopes(scopes)
			if err != nil {
				return usagef("--scopes: %v", err)
			}
			var end time.Time
			if expires > 0 {
				end = time.Now().Add(expires).UTC().Truncate(time.Millisecond)
			}
			if cmd.Flags().Changed("data") {
				if cmd.Flags().Changed("url") {
					return usagef("--data and --url exclude each other")
				}
				if data == "" {
					return usagef("--data is empty; name a directory, such as ./data")
				}
				return c.keyInto(cmd, data, apikey.Request{Subject: subject, Scopes: set, Label: label, ExpiresAt: end})
			}
			body := apigen.KeyRequest{Subject: subject, Label: given(label)}
			for _, s := range set.List() {
				body.Scopes = append(body.Scopes, apigen.Scope(s))
			}
			if !end.IsZero() {
				body.ExpiresAt = &end
			}
			var made apigen.KeyCreated
			printed, err := c.call(&made, func(api *apigen.Client) (*http.Response, error) { return api.CreateKey(cmd.Context(), body) })
			if err != nil || printed {
				return err
			}
			return c.printKey(made)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&subject, "subject", "", "the customer whose orders the key is for, or an operator's name")
	flags.StringVar(&scopes, "scopes", "", "what it may do, with commas between: "+scopeNames())
	flags.StringVar(&label, "label", "", "what it is for, for people")
	flags.DurationVar(&expires, "expires-in", 0, "when it ends, from now, such as 2160h; 0: never")
	flags.StringVar(&data, "data", "", "the data directory of a stopped instance, for the first key")
	return cmd
}

func scopeNames() string {
	names := make([]string, len(auth.AllScopes))
	for i, s := range auth.AllScopes {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

// keyInto makes a key in the data directory of a stopped instance.
func (c *cli) keyInto(cmd *cobra.Command, data string, r apikey.Request) error {
	return on(data, func(i *instance.Instance) error {
		key, text, err := i.Keys.Create(cmd.Context(), r)
		if err != nil {
			return err
		}
		made := apigen.KeyCreated{Key: text, KeyID: key.ID, Subject: key.Subject, Label: given(key.Label), CreatedAt: key.CreatedAt}
		for _, s := range key.Scopes.List() {
			made.Scopes = append(made.Scopes, apigen.Scope(s))
		}
		if !key.ExpiresAt.IsZero() {
			made.ExpiresAt = &key.ExpiresAt
		}
		if c.JSON {
			return c.printJSON(made)
		}
		return c.printKey(made)
	})
}

// printKey prints the key alone on stdout, so that a script can keep it.
func (c *cli) printKey(k apigen.KeyCreated) error {
	if _, err := fmt.Fprintln(c.out, k.Key); err != nil {
		return err
	}
	ends := "it does not end by itself"
	if k.ExpiresAt != nil {
		ends = "it ends " + k.ExpiresAt.Format(time.RFC3339)
	}
	fmt.Fprintf(c.err, "cloudflow: key %s of %s (%s), %s; it is shown this once\n", k.KeyID, k.Subject, joined(k.Scopes), ends)
	return nil
}

func joined(scopes []apigen.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

func (c *cli) keyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the API keys, those that were revoked or have ended, too",
		Long: `List the API keys in the order of their ids, which stand between the two underscores of a key. Those that
were revoked or have ended stay in the list, so that it can be told later who had access. All pages are read.`,
		Example: `  cloudflow key list
  cloudflow key list --json`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := &apigen.ListKeysParams{Limit: ptr(100)}
			all, err := pages(c, func(api *apigen.Client, cursor *string) (*http.Response, error) {
				params.Cursor = cursor
				return api.ListKeys(cmd.Context(), params)
			}, func(p apigen.KeyList) ([]apigen.Key, *string) { return p.Keys, p.NextCursor })
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(apigen.KeyList{Keys: all})
			}
			w := c.table()
			fmt.Fprintln(w, "key\tsubject\tscopes\tcreated\tstate\tlabel")
			for _, k := range all {
				label := ""
				if k.Label != nil {
					label = *k.Label
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Subject, joined(k.Scopes), k.CreatedAt.Format(time.RFC3339),
					stateOf(k, time.Now()), label)
			}
			return w.Flush()
		},
	}
}

// stateOf says whether a key can be used.
func stateOf(k apigen.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked " + k.RevokedAt.Format(time.RFC3339)
	case k.ExpiresAt == nil:
		return "good"
	case now.Before(*k.ExpiresAt):
		return "good until " + k.ExpiresAt.Format(time.RFC3339)
	}
	return "ended " + k.ExpiresAt.Format(time.RFC3339)
}

func (c *cli) keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke KEY_ID",
		Short:   "End an API key, for good",
		Long:    "End an API key, for good, from the next call on. KEY_ID is what stands between its two underscores.",
		Example: `  cloudflow key revoke 8w1c5x0d`,
		Args:    exactly(1, "a key's id, as `cloudflow key list` prints it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var key apigen.Key
			printed, err := c.call(&key, func(api *apigen.Client) (*http.Response, error) { return api.RevokeKey(cmd.Context(), args[0]) })
			if err != nil || printed {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s  %s  %s\n", key.KeyID, key.Subject, stateOf(key, time.Now()))
			return err
		},
	}
}
