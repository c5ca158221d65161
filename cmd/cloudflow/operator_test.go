package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestSeedCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	t.Run("the demo products are there after it, and a repeat leaves them alone", func(t *testing.T) {
		s.cli("seed").exits(0).prints("products: 3 created, 0 there already")
		s.cli("product", "restock", "MOUSE-01", "--quantity", "5").exits(0)
		s.cli("seed").exits(0).prints("products: 0 created, 3 there already")
		s.cli("product", "put", "KEYBD-01", "--name", "Keyboard", "--price", "9499").exits(0)
		s.cli("seed").exits(0).prints("products: 0 created, 3 there already")
		s.cli("product", "list").exits(0).prints("LAPTOP-01", "94.99", "30")
	})
	t.Run("orders end in all the ways that they should, and a repeat places none twice", func(t *testing.T) {
		first := one[seeded](s.cli("seed", "--orders", "20", "--json").exits(0))
		want := map[string]int{"CONFIRMED": 14, "COMPENSATED": 4, "INSUFFICIENT_STOCK": 2}
		for _, r := range []seeded{first, one[seeded](s.cli("seed", "--orders", "20", "--json").exits(0))} {
			for outcome, n := range want {
				if r.Orders[outcome] != n || len(r.Orders) != len(want) {
					t.Errorf("the orders ended %v, want %v", r.Orders, want)
				}
			}
		}
		if first.Products.Created != seedShelf || first.Products.There != 3 {
			t.Errorf("the products are %+v", first.Products)
		}
		if report := one[apigen.VerifyReport](s.cli("verify", "--json").exits(0)); report.Orders != 18 {
			t.Errorf("%d orders are stored", report.Orders)
		}
	})
	t.Run("its bounds are said", func(t *testing.T) {
		s.cli("seed", "--products", "10000").exits(2).hints("0 to 9999")
		s.cli("seed", "--orders", "-1").exits(2).hints("0 to 100000")
	})
}

func TestDLQAndFaultCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	s.cli("dlq", "list").exits(0).prints("letter", "reason")
	s.cli("dlq", "redrive", "--all").exits(0).prints("redriven 0")
	s.cli("dlq", "redrive", "ord-unknown.v4").exits(0).prints("redriven 0")
	s.cli("dlq", "redrive").exits(2).hints("--all", "cloudflow dlq list")
	s.cli("dlq", "redrive", "x", "--all").exits(2).hints("exclude each other")

	s.cli("fault", "show").exits(0).prints("no outage")
	s.cli("fault", "set", "--only", "capture", "--status", "500", "--rate", "0.5", "--latency", "20ms", "--lose-replies", "0.1").exits(0).
		prints("only capture, rate 0.5, status 500, latency 20ms, lose-replies 0.1")
	s.cli("fault", "set", "--down").exits(0).prints("down\n")
	s.cli("order", "place", "--customer", "c", "--item", "MOUSE-01=1", "--wait", "1s").exits(0).prints("PENDING") // its charge is refused, and tried again
	s.cli("fault", "set").exits(2).hints("cloudflow fault clear")
	s.cli("fault", "set", "--only", "charge").exits(1).hints("VALIDATION_FAILED (422): only must be open, capture, cancel or refund")
	s.cli("fault", "clear").exits(0).prints("no outage")
	s.cli("saga", "list").exits(0).prints("execution", "since")
	s.cli("saga", "list", "--status", "ended").exits(2).hints("RUNNING or FAILED")
}

// The lists of letters and sagas are read to their last page, whatever the size of a page.
func TestListsReadAllPages(t *testing.T) {
	t.Parallel()
	endless := false
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cursor := r.URL.Query().Get("cursor")
		next := map[string]string{"": "a", "a": "b"}[cursor]
		if endless {
			next = "a"
		}
		line := map[string]any{
			"order_id": "ord-" + cursor, "execution": "ord-" + cursor + "-r1", "status": "FAILED", "needs_review": true, "state": "RefundPayment",
			"error": "PaymentMismatch", "started_at": "2026-01-15T10:30:00Z", "updated_at": "2026-01-15T10:31:00Z",
			"id": "letter-" + cursor, "kind": "ORDER_CONFIRMED", "receives": 3, "sent_at": "2026-01-15T10:30:00Z",
			"died_at": "2026-01-15T10:31:00Z", "reason": "no relay",
		}
		page := map[string]any{"sagas": []any{line}, "letters": []any{line}}
		if next != "" {
			page["next_cursor"] = next
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	server := httptest.NewServer(h)
	defer server.Close()
	at := []string{"CLOUDFLOW_URL=" + server.URL}
	invoke(t, at, "saga", "list").exits(0).prints("ord--r1", "ord-a-r1", "ord-b-r1", "FAILED, needs review", "RefundPayment", "PaymentMismatch")
	invoke(t, at, "dlq", "list").exits(0).prints("letter-", "letter-a", "letter-b", "no relay")
	if all := one[apigen.SagaList](invoke(t, at, "saga", "list", "--json").exits(0)); len(all.Sagas) != 3 || all.NextCursor != nil {
		t.Errorf("%+v", all)
	}
	if all := one[apigen.DeadLetterList](invoke(t, at, "dlq", "list", "--json").exits(0)); len(all.Letters) != 3 {
		t.Errorf("%+v", all)
	}
	endless = true
	invoke(t, at, "dlq", "list").exits(1).hints("do not get on")
}

// What a machine of one's own computes with may be no number of Go's: it is shown to the last digit, and keeps nobody from seeing the rest.
func TestNumbersAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	const input = `{"big":12345678901234567890,"cents":1.0,"huge":1e400}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"tasks":[{"token":"t1","execution":"x","state":"Ask","resource":"r","since":"2026-01-15T10:30:00Z","input":` + input + `}]}`
		if r.URL.Path != "/admin/tasks" {
			answer = `{"order_id":"o","execution":"o","executions":["o"],"status":"RUNNING","started_at":"2026-01-15T10:30:00Z","updated_at":"2026-01-15T10:30:00Z",` +
				`"input":` + input + `,"history":[{"id":1,"timestamp":"2026-01-15T10:30:00Z","type":"ExecutionStarted","input":` + input + `}]}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	at := []string{"CLOUDFLOW_URL=" + server.URL}
	invoke(t, at, "saga", "tasks").exits(0).prints("t1")
	invoke(t, at, "saga", "tasks", "--json").exits(0).prints(input)
	invoke(t, at, "saga", "history", "o").exits(0).prints("ExecutionStarted")
}

func TestWhatAnswersIsNotAlwaysAnInstance(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	page := "<html>" + strings.Repeat("a long page ", 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page))
	}))
	defer server.Close()
	at := []string{"CLOUDFLOW_URL=" + server.URL}
	r := invoke(t, at, "breaker", "list", "--json").exits(1).hints("is it a CloudFlow?")
	if r.out != "" {
		t.Errorf("printed %q", r.out)
	}
	status = http.StatusNotFound
	if r := invoke(t, at, "breaker", "list").exits(1).hints("404", "is it a CloudFlow?"); len(r.err) > 400 || strings.Count(r.err, "\n") != 1 {
		t.Errorf("said %q", r.err)
	}
	invoke(t, nil, "breaker", "list", "--url", "http://no-such-host.invalid").exits(1).hints("cannot reach http://no-such-host.invalid", "--url")
}

// Ctrl-C while a command waits ends it with one word.
func TestACommandThatIsInterrupted(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 64)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	for _, args := range [][]string{
		{"order", "place", "--customer", "c", "--item", "A=1", "--wait", "20s"}, {"seed", "--products", "100"}, {"saga", "list"}, {"verify"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		var out, errOut bytes.Buffer
		ended := make(chan int, 1)
		go func() {
			ended <- run(ctx, append(args, "--url", server.URL), strings.NewReader(""), &out, &errOut, nil)
		}()
		<-asked
		interrupt()
		if code := <-ended; code != 1 || errOut.String() != "cloudflow: interrupted\n" || out.Len() > 0 {
			t.Errorf("%v: exit %d, printed %q, said %q", args, code, out.String(), errOut.String())
		}
	}
}

func TestHelpOnATopicThatThereIsNot(t *testing.T) {
	t.Parallel()
	invoke(t, nil, "help", "order", "place").exits(0).prints("Place an order", "--wait")
	invoke(t, nil, "help").exits(0).prints("Available Commands")
	for _, args := range [][]string{{"help", "frobnicate"}, {"help", "order", "plce"}} {
		if r := invoke(t, nil, args...).exits(2).hints("there is no help on", "`cloudflow --help`"); r.out != "" {
			t.Errorf("printed %q", r.out)
		}
	}
	invoke(t, nil, "oder").exits(2).hints("did you mean order?")
	invoke(t, nil, "order", "plac").exits(2).hints("did you mean place?")
}

// The variables that are listed are those that are read, with the defaults that count.
func TestEnvironmentCommand(t *testing.T) {
	t.Parallel()
	listed := one[struct{ Variables []setting }](invoke(t, nil, "environment", "--json").exits(0)).Variables
	text := invoke(t, nil, "environment").exits(0).out
	help := invoke(t, nil, "help", "environment").exits(0).out
	for _, v := range listed {
		if v.Help == "" || v.Variable == envPrefix {
			t.Errorf("%+v says too little: every field of settings has the tags env and help", v)
		}
		if strings.Contains(v.Variable, "PASSWORD") && v.Default != "" {
			t.Errorf("%s has a default", v.Variable)
		}
		for _, page := range []string{text, help} {
			if !strings.Contains(page, v.Variable+" ") || !strings.Contains(page, v.Help) {
				t.Errorf("%s is not in %s", v.Variable, page)
			}
		}
	}
	if !slices.ContainsFunc(listed, func(v setting) bool { return v.Variable == "CLOUDFLOW_ADDR" && v.Default == "127.0.0.1:8080" }) {
		t.Errorf("listed are %+v", listed)
	}
}

func TestCompletionCommand(t *testing.T) {
	t.Parallel()
	for shell, part := range map[string]string{
		"bash": "complete -o", "zsh": "#compdef cloudflow", "fish": "complete -c cloudflow", "powershell": "Register-ArgumentCompleter",
	} {
		invoke(t, nil, "completion", shell).exits(0).prints(part)
		if v := one[map[string]string](invoke(t, nil, "completion", shell, "--json").exits(0)); v["shell"] != shell || !strings.Contains(v["script"], part) {
			t.Errorf("%s: %v", shell, v)
		}
	}
	invoke(t, nil, "completion", "tcsh").exits(2).hints("unknown command", "cloudflow completion --help")
	invoke(t, nil, "__complete", "saga", "").exits(0).prints("list", "redrive", "show") // what the scripts ask
}

func TestManCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	pages := one[struct{ Pages []string }](invoke(t, nil, "man", dir, "--json").exits(0)).Pages
	c := &cli{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	commands := 0
	_ = eachCommand(c.root(), func(cmd *cobra.Command) error {
		commands++
		text, err := os.ReadFile(filepath.Join(dir, manName(cmd)+".1"))
		if err != nil {
			t.Error(err)
		}
		for _, part := range []string{".TH ", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH EXAMPLES\n", ".SH EXIT STATUS\n", ".SH SEE ALSO\n", `\-\-json`} {
			if !strings.Contains(string(text), part) {
				t.Errorf("the page of %s has no %q", cmd.CommandPath(), part)
			}
		}
		return nil
	})
	if len(pages) != commands {
		t.Errorf("%d pages for %d commands", len(pages), commands)
	}
	again := t.TempDir()
	invoke(t, []string{"CLOUDFLOW_URL=http://127.0.0.1:9", "CLOUDFLOW_DATA=/elsewhere"}, "man", again).exits(0).prints(filepath.Join(again, "cloudflow-order-place.1"))
	for _, page := range pages {
		first, _ := os.ReadFile(page)
		second, err := os.ReadFile(filepath.Join(again, filepath.Base(page)))
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s depends on the environment: %v", page, err)
		}
	}
	invoke(t, nil, "man").exits(2).hints("a directory")
	if got, want := roff("a-b\\c\n.TH\n'x"), "a\\-b\\ec\n\\&.TH\n\\&'x"; got != want {
		t.Errorf("roff: %q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	t.Run("it is silent where there is no terminal, and with --json", func(t *testing.T) {
		c := &cli{err: &bytes.Buffer{}}
		p := c.progress("orders", 10)
		p.step(1)
		p.end()
		if p.to != nil {
			t.Error("it draws into a buffer")
		}
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if c := (&cli{err: null, settings: settings{JSON: true}}); c.progress("orders", 10).to != nil {
			t.Error("it draws beside --json")
		}
		if c := (&cli{err: null}); c.progress("orders", 10).to == nil || c.progress("orders", 0).to != nil {
			t.Error("it draws for nothing, or not for something")
		}
	})
	t.Run("it is drawn in single writes, ten times a second at most, and leaves the line empty", func(t *testing.T) {
		var drawn writes
		at := time.Unix(0, 0)
		p := &progress{to: &drawn, label: "orders", total: 1000, now: func() time.Time { return at }}
		for range 1000 {
			at = at.Add(time.Millisecond)
			p.step(1)
		}
		if n := len(drawn); n < 9 || n > 11 {
			t.Errorf("drawn %d times in a second", n)
		}
		if want := "\rorders [##############................] 501 of 1000"; !slices.ContainsFunc(drawn, func(s string) bool { return strings.HasPrefix(s, want[:20]) }) {
			t.Errorf("drawn %q", drawn)
		}
		width := len(strings.TrimRight(drawn[len(drawn)-1], " ")) - 1
		p.end()
		if last := drawn[len(drawn)-1]; strings.Trim(last, "\r ") != "" || len(last) != width+2 || !strings.HasSuffix(last, "\r") {
			t.Errorf("at its end it writes %q", last)
		}
	})
	t.Run("it says something about how far it is", func(t *testing.T) {
		var drawn writes
		p := &progress{to: &drawn, label: "orders", total: 10, now: time.Now}
		p.at(5, "fast")
		if len(drawn) != 1 || !strings.HasSuffix(drawn[0], "] 5 of 10  fast") {
			t.Errorf("drawn %q", drawn)
		}
		(&progress{}).at(5, "silent")
	})
	t.Run("and how far it has come where nobody knows the end", func(t *testing.T) {
		var drawn writes
		p := &progress{to: &drawn, label: "orders read", now: time.Now}
		p.at(5, "")
		if len(drawn) != 1 || drawn[0] != "\rorders read: 5" {
			t.Errorf("drawn %q", drawn)
		}
	})
}

// writes keeps each write.
type writes []string

func (w *writes) Write(b []byte) (int, error) {
	*w = append(*w, string(b))
	return len(b), nil
}
