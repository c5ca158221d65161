package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/order"
)

// What reading a log may hold in memory, however long the log is.
const (
	// maxLogLine is read of a line: sixteen times the longest that an instance writes. A longer one is none of ours.
	maxLogLine = 1 << 20
	// maxFound is kept of the lines that are looked for, until they are sorted. An order writes about ten of 250 bytes, so this is over
	// six thousand orders under one correlation id.
	maxFound = 16 << 20
	// maxOrders are remembered of one correlation id, which is more than fit into maxFound.
	maxOrders = 100_000
)

func (c *cli) logsCommand() *cobra.Command {
	var find lineSearch
	cmd := &cobra.Command{
		Use:   "logs --correlation-id ID|--order-id ID [FILE|-]",
		Short: "Show what all services have logged of one request or one order",
		Long: `Read the JSON lines that ` + "`cloudflow serve`" + ` writes to stderr, from a file or from stdin, and print those of one
correlation id or one order, sorted by time: when, level, service, message, and behind an arrow the reservation or payment
that it is about. What the saga engine logs of an order's executions is among them; with --correlation-id, if it stands behind the
first line that names the order. With --json the lines are printed as they were written, in one JSON value.

An order that is not in the sample of ` + "`serve --log-sample`" + ` has warnings and errors in the log, or nothing.

The log may have any length: of the lines that are looked for 16 MiB are kept, and 1 MiB of any line. If there are more, the
first 16 MiB are printed, it is said on stderr, and the exit code is 1; so it is if nothing was found. Lines that are no JSON are
skipped, and counted on stderr.`,
		Example: `  cloudflow logs --order-id ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D serve.log
  journalctl -u cloudflow -o cat | cloudflow logs --correlation-id corr-01JD3V6J9W8Q3X4Y5Z6A7B8C9D`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s wants one file, or - for stdin; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if (find.correlationID == "") == (find.orderID == "") {
				return usagef("one of --correlation-id and --order-id is wanted, such as --order-id ord-01JD3V6J9W8Q3X4Y5Z6A7B8C9D")
			}
			name := "-"
			if len(args) == 1 {
				name = args[0]
			}
			return c.logs(cmd.Context(), name, &find)
		},
	}
	cmd.Flags().StringVar(&find.correlationID, "correlation-id", "", "of the request: the X-Correlation-Id of its answer")
	cmd.Flags().StringVar(&find.orderID, "order-id", "", "of the order")
	return cmd
}

func (c *cli) logs(ctx context.Context, name string, find *lineSearch) error {
	from := c.in
	if name == "-" {
		name = "stdin"
		if f, ok := c.in.(*os.File); ok && terminal(f) {
			return usagef("nothing is piped in; name the file of the log, such as serve.log")
		}
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only read
		from = f
	}
	if err := find.read(ctx, from); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if err := c.printFound(find); err != nil {
		return err
	}
	if find.skipped > 0 {
		fmt.Fprintf(c.err, "cloudflow: %d lines of %s are no JSON and were skipped\n", find.skipped, name)
	}
	switch {
	case find.more:
		return fmt.Errorf("%s has over %d MiB of lines with %s; only the first are shown", name, maxFound>>20, find)
	case len(find.found) == 0:
		return fmt.Errorf("no line of %s has %s%s", name, find, find.hint())
	}
	return nil
}

// A foundLine is one that was looked for, as it was written.
type foundLine struct {
	at   time.Time
	text []byte
}

// A lineSearch looks for the lines of one request or one order.
type lineSearch struct {
	correlationID, orderID string // one of them is ""

	orders  map[string]bool // that the lines with the correlation id name
	found   []foundLine     // by time, and lines of the same millisecond as they were written
	bytes   int
	more    bool  // there are more than are kept
	skipped int64 // lines that are no JSON object
}

func (s *lineSearch) String() string {
	if s.orderID != "" {
		return "the order id " + s.orderID
	}
	return "the correlation id " + s.correlationID
}

// hint is what else may be meant.
func (s *lineSearch) hint() string {
	switch {
	case strings.HasPrefix(s.correlationID, "ord-"):
		return "; that is an order's id: look for it with --order-id"
	case strings.HasPrefix(s.orderID, "corr-"):
		return "; that is a correlation id: look for it with --correlation-id"
	}
	return "; the log is what `cloudflow serve` writes to stderr, at --log-level info or debug, of the orders in its --log-sample"
}

// read takes the log line by line, and sorts what it has found.
func (s *lineSearch) read(ctx context.Context, from io.Reader) error {
	r := bufio.NewReaderSize(from, maxLogLine)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // the rest of it is thrown away
			s.skipped++
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
		case len(bytes.TrimSpace(line)) > 0:
			s.take(bytes.TrimSpace(line))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.found, func(a, b foundLine) int { return a.at.Compare(b.at) })
	return nil
}

// take keeps a line if it is looked for.
func (s *lineSearch) take(line []byte) {
	if line[0] != '{' || !json.Valid(line) {
		s.skipped++
		return
	}
	if !s.mayBe(line) {
		return
	}
	l := logged(line)
	if !s.wants(l) {
		return
	}
	if s.bytes+len(line) > maxFound {
		s.more = true
		return
	}
	s.bytes += len(line)
	at, err := time.Parse(time.RFC3339Nano, l.Timestamp)
	if n := len(s.found); err != nil && n > 0 { // it stands behind the line that it was written behind
		at = s.found[n-1].at
	}
	s.found = append(s.found, foundLine{at, bytes.Clone(line)})
}

// mayBe is a look at the bytes of a line: decoding each would take ten times as long.
func (s *lineSearch) mayBe(line []byte) bool {
	if bytes.Contains(line, []byte(s.correlationID+s.orderID)) { // one is empty
		return true
	}
	return len(s.orders) > 0 && bytes.Contains(line, []byte("ord-")) && !bytes.Contains(line, []byte(`"correlation_id"`))
}

// wants reports whether the line is looked for. What has an execution and no order is the engine's, which knows executions alone.
func (s *lineSearch) wants(l logMembers) bool {
	of := l.OrderID
	if of == "" {
		of = order.OfExecution(l.Execution)
	}
	if s.orderID != "" {
		return of == s.orderID
	}
	if l.CorrelationID == "" {
		return s.orders[of]
	}
	if l.CorrelationID == s.correlationID && l.OrderID != "" {
		if s.orders == nil {
			s.orders = map[string]bool{}
		}
		if len(s.orders) < maxOrders {
			s.orders[l.OrderID] = true
		}
	}
	return l.CorrelationID == s.correlationID
}

// A logMembers is what is shown of a line. See package observe for what else it has.
type logMembers struct {
	Timestamp     string `json:"timestamp"`
	Level         string `json:"level"`
	Service       string `json:"service"`
	Message       string `json:"message"`
	OrderID       string `json:"order_id"`
	ReservationID string `json:"reservation_id"`
	PaymentID     string `json:"payment_id"`
	CorrelationID string `json:"correlation_id"`
	Execution     string `json:"execution"`
}

// logged is what can be read of a line: a member of another type than its own is empty, and the others are there all the same.
func logged(line []byte) (l logMembers) {
	_ = json.Unmarshal(line, &l) // it is valid, so what goes wrong is a member's type
	return l
}

func (c *cli) printFound(s *lineSearch) error {
	if c.JSON {
		lines := make([]json.RawMessage, len(s.found))
		for i, l := range s.found {
			lines[i] = l.text
		}
		return c.printJSON(struct {
			Lines   []json.RawMessage `json:"lines"`
			Skipped int64             `json:"skipped"`
		}{lines, s.skipped})
	}
	if len(s.found) == 0 {
		return nil
	}
	rows := make([][5]string, 2, 2+len(s.found))
	rows[0] = [5]string{"@timestamp", "level", "service", "message"}
	for _, f := range s.found {
		rows = append(rows, logged(f.text).row())
	}
	rows[1] = ruler(rows)
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row[:], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return c.printTrimmed(text.String())
}

// row is the line as it is shown.
func (l logMembers) row() [5]string {
	stamp := l.Timestamp
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		stamp = at.UTC().Format("2006-01-02 15:04:05.000")
	}
	about := strings.TrimSpace(l.ReservationID + " " + l.PaymentID)
	if about != "" {
		about = "→ " + printable(about)
	}
	return [5]string{printable(stamp), printable(l.Level), printable(l.Service), printable(l.Message), about}
}

// ruler is the line below the headings, as long as each column is wide. What an arrow points at has no heading.
func ruler(rows [][5]string) (line [5]string) {
	for i := range rows[0] {
		width := 0
		for _, row := range rows {
			width = max(width, utf8.RuneCountInString(row[i]))
		}
		if rows[0][i] != "" {
			line[i] = strings.Repeat("─", width)
		}
	}
	return line
}

// printTrimmed prints a table without the spaces that pad its last column.
func (c *cli) printTrimmed(table string) error {
	out := bufio.NewWriter(c.out)
	for line := range strings.Lines(table) {
		fmt.Fprintln(out, strings.TrimRight(line, " \n"))
	}
	return out.Flush()
}

// printable is a text of somebody else's for a terminal: what a control character would do to it, it does not.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
