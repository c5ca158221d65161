package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// copied is what backup prints with --json.
type copied struct {
	Dir       string    `json:"dir"`
	CreatedAt time.Time `json:"created_at"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"`
}

func (c *cli) backupCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy everything, consistently, while orders go on",
		Long: `Copy the data of a running instance (--url), or of a stopped one (--data), into a new directory: both
stores as of one moment, and the keys. What was acknowledged before is in it. The copy is checked against
its manifest, synced, and only then gets its name: DIR is whole or not there.

It holds the keys of the customers' contacts: keep it as safe as the data directory, and when a customer is
to be forgotten, erase it here too (cloudflow erase CUSTOMER --backup DIR).`,
		Example: `  cloudflow backup /backups/2026-01-15
  cloudflow backup /backups/2026-01-15 --data ./data`,
		Args: exactly(1, "a directory that does not exist yet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if dir == "" {
				return usagef("the directory's name is empty")
			}
			if err := datadir.Vacant(dir); err != nil {
				return err
			}
			manifest, err := c.backup(cmd, dir, data)
			if err != nil {
				return err
			}
			done := copied{Dir: dir, CreatedAt: manifest.CreatedAt, Files: len(manifest.Files)}
			for _, f := range manifest.Files {
				done.Bytes += f.Size
			}
			if c.JSON {
				text, err := json.Marshal(done)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.out, string(text))
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s  %d files, %s, as of %s\n", dir, done.Files, size(done.Bytes), done.CreatedAt.Format(time.RFC3339))
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the data directory of a stopped instance")
	return cmd
}

func (c *cli) backup(cmd *cobra.Command, dir, data string) (manifest datadir.Manifest, err error) {
	byData, err := stopped(cmd, data)
	if err != nil {
		return manifest, err
	}
	unpack := func(r io.Reader) error {
		p := c.meter(r)
		defer p.done()
		manifest, err = datadir.Unpack(p, dir)
		return err
	}
	if byData {
		return manifest, stillOn(data, func(i *instance.Instance) error { return piped(cmd.Context(), i.Dir.Backup, unpack) })
	}
	err = c.download(func(api *apigen.Client) (*http.Response, error) { return api.Backup(cmd.Context()) }, unpack)
	if errors.Is(err, datadir.ErrBackup) {
		err = fmt.Errorf("the backup is incomplete and was removed: %w; the instance's log may say why", err)
	}
	return manifest, err
}

func (c *cli) restoreCommand() *cobra.Command {
	data := ""
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Make a data directory of a backup, and check it",
		Long: `Make a data directory of a backup, which is left as it is. Every file is checked against the backup's
manifest, and the new directory is whole or not there. Then the invariants are checked, as by
cloudflow verify --data: every violation is one line, and the exit code is then 1.

Orders that were open go on when cloudflow serve is started on it. What was taken in after the backup is
not in it; the payment provider may know of it.`,
		Example: `  cloudflow restore /backups/2026-01-15 --data ./restored`,
		Args:    exactly(1, "a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return usagef("--data is wanted: the directory to make")
			}
			manifest, err := datadir.Restore(cmd.Context(), args[0], data)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "cloudflow: restored %s as of %s: %d files\n", data, manifest.CreatedAt.Format(time.RFC3339), len(manifest.Files))
			return c.verifyData(cmd, data)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the directory to make; it must not exist or be empty (required)")
	return cmd
}
