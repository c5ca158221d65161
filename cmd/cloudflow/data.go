package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// stopped says whether the command is about the data directory of a stopped instance (--data) and not about a running one (--url), and that
// there is such a directory: a command that only reads one must not make it.
func stopped(cmd *cobra.Command, data string) (bool, error) {
	// An empty --data is a variable of somebody's script that was not set: not to be answered by another instance.
	if !cmd.Flags().Changed("data") {
		return false, nil
	}
	if cmd.Flags().Changed("url") {
		return false, usagef("--data and --url exclude each other")
	}
	if !datadir.Exists(data) {
		return false, fmt.Errorf("%q is no data directory of cloudflow", data)
	}
	return true, nil
}

// on opens the data directory of a stopped instance with everything wired over it, calls fn, and closes it. Nothing runs meanwhile: open
// orders stay open.
func on(path string, fn func(*instance.Instance) error) error {
	return instanceOn(path, instance.Config{}, fn)
}

// stillOn is on for what a directory whose shop has moved is still good for: it is read, copied, and a customer is erased in it.
func stillOn(path string, fn func(*instance.Instance) error) error {
	return instanceOn(path, instance.Config{Moved: true}, fn)
}

// instanceOn is on with a configuration.
func instanceOn(path string, config instance.Config, fn func(*instance.Instance) error) error {
	config.Dir, config.Log = path, slog.New(slog.DiscardHandler)
	i, err := instance.Open(config)
	if err != nil {
		return err
	}
	return errors.Join(fn(i), i.Close())
}

// download makes a call whose answer is long, and hands its body to read: however long it takes, as long as something comes.
func (c *cli) download(do func(*apigen.Client) (*http.Response, error), read func(io.Reader) error) error {
	c.timeout = 0
	client, err := c.client()
	if err != nil {
		return err
	}
	resp, err := do(client)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("reading the answer of %s: %w", c.URL, err)
		}
		return c.problem(resp.StatusCode, body)
	}
	return read(resp.Body)
}

// piped hands what write writes to read. The first error of the two ends both.
func piped(ctx context.Context, write func(context.Context, io.Writer) error, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(ctx, w)
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	err := read(r)
	_ = r.CloseWithError(err)
	if writing := <-written; writing != nil && (err == nil || !errors.Is(writing, err)) {
		return writing
	}
	return err
}

// A meter passes on what is read, and says on a terminal how much it is: where no one knows how much there is to be, a bar has no end.
type meter struct {
	r     io.Reader
	out   io.Writer // nil: nobody looks
	bytes int64
	said  time.Time
}

// meterEvery is as often as a number can be read.
const meterEvery = 250 * time.Millisecond

func (c *cli) meter(r io.Reader) *meter {
	m := &meter{r: r}
	if f, ok := c.err.(*os.File); ok && !c.JSON && terminal(f) {
		m.out = f
	}
	return m
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.bytes += int64(n)
	if now := time.Now(); m.out != nil && now.Sub(m.said) >= meterEvery {
		m.said = now
		fmt.Fprintf(m.out, "\r%s ", size(m.bytes))
	}
	return n, err
}

// done takes the number off the terminal.
func (m *meter) done() {
	if m.out != nil && !m.said.IsZero() {
		fmt.Fprint(m.out, "\r\x1b[K")
	}
}

// size shows a number of bytes: 12.3 MB.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, "kMGT"
	for value >= 999.95 && len(unit) > 1 {
		value, unit = value/1000, unit[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, unit[0])
}
