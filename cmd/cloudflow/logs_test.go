package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The log of a run in which an order was confirmed, one declined, and one charged though the provider's answer was lost.
var recordedLog = filepath.Join("testdata", "serve.log")

const (
	confirmedID   = "ord-01M8H685A8RF3VBSW3Q5FB2WYT"
	confirmedCorr = "corr-01M8H685A8RF3VBSW3Q1TQBQM5"
)

// piping runs a command with that stdin.
func piping(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(in), &out, &errOut, nil)
	return result{t, strings.Join(args, " "), code, out.String(), errOut.String()}
}

func TestLogsCommand(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(recordedLog)
	if err != nil {
		t.Fatal(err)
	}
	const confirmed = `@timestamp               level  service                      message
───────────────────────  ─────  ───────────────────────────  ──────────────────────
2026-11-28 13:41:54.125  INFO   order_service.handler        Order created
2026-11-28 13:41:54.125  INFO   order_service.handler        SAGA execution started
2026-11-28 13:41:54.126  INFO   inventory_service.handler    Inventory reserved      → res-01M8H685A8RF3VBSW3Q5FB2WYT
2026-11-28 13:41:54.132  INFO   payment_service.handler      Payment charged         → pay-01M8H685A8RF3VBSW3Q5FB2WYT
2026-11-28 13:41:54.135  INFO   order_service.handler        Order confirmed
2026-11-28 13:41:54.135  INFO   inventory_service.handler    Inventory committed     → res-01M8H685A8RF3VBSW3Q5FB2WYT
2026-11-28 13:41:54.135  INFO   notification_service         Notification queued
2026-11-28 13:41:54.136  INFO   notification_service.sender  Notification written
2026-11-28 13:41:54.137  INFO   notification_service         Notification sent
`
	t.Run("the lines of a request or an order, from a file or from stdin", func(t *testing.T) {
		for _, r := range []result{
			invoke(t, nil, "logs", "--correlation-id", confirmedCorr, recordedLog),
			invoke(t, nil, "logs", "--order-id", confirmedID, recordedLog),
			piping(t, string(text), "logs", "--order-id", confirmedID),
			piping(t, string(text), "logs", "--order-id", confirmedID, "-"),
		} {
			if r.exits(0).out != confirmed || r.err != "" {
				t.Errorf("cloudflow %s prints\n%s and says %q", r.args, r.out, r.err)
			}
		}
	})
	t.Run("they are sorted by time, whatever order the log has, and what is no JSON is skipped and counted", func(t *testing.T) {
		lines := strings.SplitAfter(string(text), "\n")
		var early, late strings.Builder
		for _, line := range lines { // as of two instances, the later one's file first; within a millisecond the order stays
			if strings.Contains(line, "54.12") {
				early.WriteString(line)
			} else {
				late.WriteString(line)
			}
		}
		in := "{\"half\": \n" + late.String() + "[1]\n" + early.String() + strings.Repeat("x", maxLogLine+10) + "\nno end"
		r := piping(t, in, "logs", "--order-id", confirmedID).exits(0).hints("4 lines of stdin are no JSON")
		if r.out != confirmed {
			t.Errorf("prints\n%s", r.out)
		}
	})
	t.Run("as JSON they are as they were written, in one value", func(t *testing.T) {
		r := one[struct {
			Lines   []map[string]any
			Skipped int
		}](piping(t, "oops\n"+string(text), "logs", "--order-id", confirmedID, "--json").exits(0))
		if len(r.Lines) != 9 || r.Skipped != 1 || r.Lines[8]["channel"] != "log" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("what is not found is exit 1 with a hint, and an empty list as JSON", func(t *testing.T) {
		invoke(t, nil, "logs", "--order-id", "ord-no-such", recordedLog).exits(1).hints("no line of "+recordedLog, "the order id ord-no-such", "stderr")
		invoke(t, nil, "logs", "--correlation-id", confirmedID, recordedLog).exits(1).hints("--order-id")
		invoke(t, nil, "logs", "--order-id", confirmedCorr, recordedLog).exits(1).hints("--correlation-id")
		piping(t, "", "logs", "--order-id", "x", "--json").exits(1).prints(`{"lines":[],"skipped":0}`)
		invoke(t, nil, "logs", "--order-id", "x", filepath.Join(t.TempDir(), "no-such")).exits(1).hints("no such file")
	})
	t.Run("an id within another, or in another member, is not the id", func(t *testing.T) {
		in := `{"timestamp":"2026-01-01T00:00:00.000Z","message":"about ord-1","order_id":"ord-12"}` + "\n" + `{"message":"ord-1","order_id":["ord-1"]}`
		piping(t, in, "logs", "--order-id", "ord-1").exits(1)
	})
	t.Run("what the engine logs of an order's executions is among its lines", func(t *testing.T) {
		in := `{"timestamp":"2026-01-01T00:00:00.001Z","message":"created","order_id":"ord-1","correlation_id":"c"}
{"timestamp":"2026-01-01T00:00:00.002Z","level":"WARN","message":"late","execution":"ord-1"}
{"timestamp":"2026-01-01T00:00:00.003Z","level":"ERROR","message":"failed","execution":"ord-1-r2"}
{"timestamp":"2026-01-01T00:00:00.004Z","level":"ERROR","message":"stuck","order_id":"ord-1","execution":"ord-1-r2"}
{"timestamp":"2026-01-01T00:00:00.005Z","message":"another","execution":"ord-12"}
{"timestamp":"2026-01-01T00:00:00.006Z","message":"by hand","order_id":"ord-1","correlation_id":"d"}`
		for id, want := range map[[2]string]string{
			{"--order-id", "ord-1"}:    "created late failed stuck by hand",
			{"--correlation-id", "c"}:  "created late failed stuck",
			{"--correlation-id", "d"}:  "by hand",
			{"--order-id", "ord-12"}:   "another",
			{"--order-id", "ord-1-r2"}: "",
		} {
			var got []string
			r := piping(t, in, "logs", id[0], id[1], "--json")
			for _, line := range one[struct{ Lines []struct{ Message string } }](r).Lines {
				got = append(got, line.Message)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s has %q, want %q", id, got, want)
			}
		}
	})
	t.Run("a line does nothing to the terminal, and one without a time stands where it was written", func(t *testing.T) {
		in := `{"timestamp":"2026-01-01T00:00:00.001Z","level":5,"message":"first","order_id":"o","reservation_id":"res-1","payment_id":"pay-1"}
{"message":"\u001b[2Jsecond\nline","order_id":"o"}
{"timestamp":"2026-01-01T00:00:00.002Z","message":"third","order_id":"o"}`
		r := piping(t, in, "logs", "--order-id", "o").exits(0).prints("→ res-1 pay-1")
		if lines := strings.Split(r.out, "\n"); len(lines) != 6 || strings.ContainsRune(r.out, 0x1b) || !strings.Contains(lines[3], "second") {
			t.Errorf("prints %q", r.out)
		}
	})
	t.Run("a wrong command line is exit 2", func(t *testing.T) {
		for _, args := range [][]string{{"logs"}, {"logs", recordedLog}, {"logs", "--order-id", "o", "--correlation-id", "c"}, {"logs", "--order-id", ""}} {
			invoke(t, nil, args...).exits(2).hints("one of --correlation-id and --order-id")
		}
		invoke(t, nil, "logs", "--order-id", "o", "a", "b").exits(2).hints("one file")
	})
}

// endless is a log that never ends but by its count.
type endless struct {
	line  []byte
	left  int
	after func()
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for e.left > 0 && n+len(e.line) <= len(p) {
		n += copy(p[n:], e.line)
		e.left--
	}
	if n == 0 {
		return 0, io.EOF
	}
	if e.after != nil {
		e.after()
	}
	return n, nil
}

func TestLogsHoldNoMoreThanTheirBound(t *testing.T) {
	t.Parallel()
	line := func(id string) []byte {
		b, _ := json.Marshal(map[string]string{"timestamp": "2026-01-01T00:00:00.000Z", "order_id": id, "message": strings.Repeat("m", 900)})
		return append(b, '\n')
	}
	t.Run("of a log of any length what is looked for is kept, up to the bound", func(t *testing.T) {
		s := &lineSearch{orderID: "o"}
		if err := s.read(t.Context(), &endless{line: line("o"), left: 2 * maxFound / 1000}); err != nil {
			t.Fatal(err)
		}
		if !s.more || s.bytes > maxFound || s.bytes < maxFound-2000 {
			t.Errorf("more %v, %d bytes", s.more, s.bytes)
		}
	})
	t.Run("and what is not looked for is not kept", func(t *testing.T) {
		s := &lineSearch{orderID: "other"}
		if err := s.read(t.Context(), &endless{line: line("o"), left: 10_000}); err != nil || len(s.found) > 0 || s.skipped > 0 {
			t.Errorf("%v %d", err, len(s.found))
		}
	})
	t.Run("more than that is said, with what was found", func(t *testing.T) {
		var out, errOut bytes.Buffer
		in := &endless{line: line("o"), left: 2 * maxFound / 1000}
		code := run(t.Context(), []string{"logs", "--order-id", "o"}, in, &out, &errOut, nil)
		if code != 1 || out.Len() == 0 || !strings.Contains(errOut.String(), fmt.Sprint(maxFound>>20, " MiB")) {
			t.Errorf("exit %d, printed %d bytes, said %q", code, out.Len(), errOut.String())
		}
	})
	t.Run("a log that does not end is left when asked to", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := (&lineSearch{orderID: "x"}).read(ctx, &endless{line: line("o"), left: 1 << 40, after: cancel})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestServeLogsASampleOfTheOrders(t *testing.T) {
	t.Parallel()
	for share, want := range map[string]int{"1": 0, "0.000001": 1} { // cloudflow logs finds the order, or not
		s := serve(t, t.TempDir(), "--demo", "--log-sample", share)
		o := s.place("--customer", "cust-1", "--item", "MOUSE-01=1")
		if code := s.end(); code != 0 {
			t.Fatalf("serve: exit %d", code)
		}
		log := s.log.String()
		for _, message := range []string{"Product created", "Listening", "Stopped"} {
			if !strings.Contains(log, message) {
				t.Errorf("at %s there is no %q in\n%s", share, message, log)
			}
		}
		r := piping(t, log, "logs", "--order-id", o.OrderID).exits(want)
		if want != 0 {
			r.hints("--log-sample")
		}
	}
	invoke(t, []string{"CLOUDFLOW_LOG_SAMPLE=0"}, "serve", "--data", t.TempDir()).exits(2).hints("--log-sample 0 ")
	invoke(t, []string{"CLOUDFLOW_LOG_SAMPLE=one"}, "version").exits(2).hints("CLOUDFLOW_LOG_SAMPLE", `"one"`)
}
