package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

func TestLoadtestCommand(t *testing.T) {
	t.Parallel()
	const mix = "happy=90,declined=4,short=4,cancel=2"
	t.Run("a private instance, as text", func(t *testing.T) {
		// The variable names an instance that nobody shall load by mistake; the credential is not for the private one.
		r := invoke(t, []string{"CLOUDFLOW_URL=http://127.0.0.1:1", "CLOUDFLOW_TOKEN=cfk_of_another"},
			"loadtest", "--orders", "50", "--concurrency", "10", "--warmup", "20").exits(0)
		r.prints("At a glance: 50 orders", "closed loop, 10 at once", "Throughput", "P50 latency", "P95 latency", "P99 latency",
			"confirmed      50", "Latency distribution", "◄ ", "Tail latency", "P99.9", "Books: 70 orders", "0 violations")
		if r.err != "" {
			t.Errorf("said %q, and there is no terminal", r.err)
		}
	})
	t.Run("several concurrencies are several runs, as JSON and as a report", func(t *testing.T) {
		report := filepath.Join(t.TempDir(), "load.html")
		r := invoke(t, nil, "loadtest", "--orders", "50", "--concurrency", "2,10", "--mix", mix, "--warmup", "0", "--hot",
			"--seed", "7", "--report", report, "--json").exits(0).hints("load.html: ")
		m := one[measured](r)
		if len(m.Runs) != 2 || m.Runs[0].Concurrency != 2 || m.Runs[1].Concurrency != 10 || !m.Private || m.Machine.Cores < 1 {
			t.Fatalf("%+v", m)
		}
		stored := int64(0)
		for _, run := range m.Runs {
			sum := int64(0)
			for _, o := range run.Outcomes {
				sum += o.Count
			}
			if run.Done != 50 || sum != 50 || run.Counts.Errors() != 0 || run.Products != 1 || run.Seed != 7 || run.Mix.Short != 4 {
				t.Errorf("the run is %+v", run)
			}
			stored += run.Done - run.Counts.InsufficientStock
		}
		if !m.Books.Ok || m.Books.Orders != stored || m.Books.Skipped != 0 {
			t.Errorf("%d orders were stored, the books are %+v", stored, m.Books)
		}
		if !strings.HasPrefix(m.Command, "cloudflow loadtest --concurrency 2,10 --hot --json --mix "+mix) {
			t.Errorf("the command was %s", m.Command)
		}
		looksAtReport(t, report, 2+2*3)
	})
	t.Run("several runs as text show growth and throughput", func(t *testing.T) {
		invoke(t, nil, "loadtest", "--orders", "30", "--concurrency", "1,8", "--warmup", "0", "--products", "3").exits(0).
			prints("Growth", "%", "1 at once", "8 at once", "Orders/min")
	})
	t.Run("an open loop", func(t *testing.T) {
		m := one[measured](invoke(t, nil, "loadtest", "--rate", "100", "--duration", "300ms", "--json").exits(0))
		if len(m.Runs) != 1 || m.Runs[0].Rate != 100 || m.Runs[0].Concurrency != 0 || m.Runs[0].Done < 1 || m.Runs[0].Done > 30 { // a busy machine may not start the last ones
			t.Errorf("%+v", m.Runs)
		}
	})
	t.Run("a named instance keeps the products, and can be loaded again", func(t *testing.T) {
		s := serve(t, t.TempDir())
		s.cli("product", "put", "LOAD-01", "--name", "Of another price", "--price", "5", "--stock", "1").exits(0) // is filled up
		args := []string{"loadtest", "--url", s.url, "--orders", "100", "--mix", mix, "--warmup", "0", "--products", "2"}
		s.cli(args...).exits(0)
		s.cli(args...).exits(0).prints("Books: 192 orders")
		s.cli("product", "list").exits(0).prints("LOAD-01", "LOAD-02", loadtest.SoldOut)
		s.cli("product", "restock", loadtest.SoldOut, "--quantity", "1").exits(0)
		s.cli(args...).exits(1).hints("there are 1 of LOAD-NONE", "leave short out of --mix")
	})
	t.Run("a report is refused before the load", func(t *testing.T) {
		there := filepath.Join(t.TempDir(), "there.html")
		if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		for path, hint := range map[string]string{there: "exists already; choose another name with --report", filepath.Join(there, "r.html"): "no directory"} {
			if r := invoke(t, nil, "loadtest", "--report", path).exits(1).hints(hint); r.out != "" {
				t.Errorf("printed %q", r.out)
			}
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		invoke(t, nil, "loadtest", "--url", "http://"+freeAddr(t)).exits(1).hints("nothing listens")
	})
}

// What was measured until Ctrl-C is shown, with the books.
func TestLoadtestInterrupted(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	report := filepath.Join(t.TempDir(), "load.html")
	var out, errOut bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		args := []string{"loadtest", "--url", s.url, "--concurrency", "2,4", "--duration", "5m", "--warmup", "0", "--report", report}
		ended <- run(ctx, args, strings.NewReader(""), &out, &errOut, nil)
	}()
	eventually(t, "orders are placed", func() bool { return strings.Contains(s.cli("order", "list").exits(0).out, "CONFIRMED") })
	interrupt()
	r := result{t, "loadtest", <-ended, out.String(), errOut.String()}
	r.exits(1).hints("cloudflow: interrupted").prints("closed loop, 2 at once, interrupted", "confirmed", "Tail latency", "0 violations")
	if strings.Contains(r.out, "4 at once") {
		t.Error("the second run began after the interrupt")
	}
	looksAtReport(t, report, 3, strings.TrimPrefix(s.url, "http://"))
}

// A named instance whose books are wrong, or which does not show them, is exit 1, and the figures are printed all the same.
func TestLoadtestOfAnInstanceWithWrongBooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, verify, hint string
		status             int
		prints             []string
	}{
		{
			"a violation", `{"ok":false,"orders":9,"skipped":0,"violations":[{"invariant":"stock","subject":"LOAD-01","detail":"<b>2 too many</b>"}]}`,
			"1 violation of the invariants", 200, []string{"stock LOAD-01: <b>2 too many</b>", "9 orders checked"},
		},
		{"no permission", `{"error":"FORBIDDEN","message":"Not yours.","status":403}`, "could not be checked: FORBIDDEN (403)", 403, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer cfk_1" {
					t.Errorf("%s %s without the credential", r.Method, r.URL)
				}
				switch {
				case r.URL.Path == "/admin/verify":
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.verify)
				case r.Method == http.MethodPut:
					w.WriteHeader(http.StatusCreated)
				default:
					fmt.Fprint(w, `{"order_id":"ord-1","status":"CONFIRMED"}`)
				}
			}))
			defer server.Close()
			report := filepath.Join(t.TempDir(), "load.html")
			env := []string{"CLOUDFLOW_TOKEN=cfk_1"}
			args := []string{"loadtest", "--url", server.URL, "--orders", "5"}
			invoke(t, env, append(args, "--report", report)...).exits(1).hints(c.hint).prints("confirmed").prints(c.prints...)
			m := one[measured](invoke(t, env, append(args, "--json")...).exits(1).hints(c.hint))
			if m.Books.Ok || m.Books.Violations == nil || len(m.Runs) != 1 || m.Private {
				t.Errorf("%+v", m)
			}
			looksAtReport(t, report, 3, strings.TrimPrefix(server.URL, "http://"))
		})
	}
}

// looksAtReport requires that the page is well-formed, has so many charts which are well-formed too, has no script, and fetches nothing.
func looksAtReport(t *testing.T, path string, charts int, hosts ...string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	images := regexp.MustCompile(`<img src="data:image/svg&#43;xml;base64,([^"]*)"`).FindAllStringSubmatch(text, -1)
	if len(images) != charts || strings.Count(text, "<img") != charts {
		t.Errorf("%d charts, want %d", len(images), charts)
	}
	for _, image := range images {
		svg, err := base64.StdEncoding.DecodeString(html.UnescapeString(image[1]))
		if err != nil {
			t.Fatal(err)
		}
		parses(t, xml.NewDecoder(bytes.NewReader(svg)))
		text = strings.Replace(text, image[1], "", 1)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	parses(t, d)
	for _, host := range hosts {
		text = strings.ReplaceAll(text, "http://"+host, "")
	}
	if bad := regexp.MustCompile(`(?i)<script|<b>|https?:|href=|url\(|@import|ZgotmplZ|NaN|%!|\son[a-z]+=`).FindString(text); bad != "" {
		t.Errorf("the report has %s in it", bad)
	}
	for _, want := range []string{"<h1>CloudFlow load test</h1>", "cloudflow loadtest", "cores", "At a glance", "prefers-color-scheme: dark"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q", want)
		}
	}
}

func parses(t *testing.T, d *xml.Decoder) {
	t.Helper()
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// The password in a URL stays out of a report that is sent around.
func TestLoadtestCommandLineIsShownWithoutAPassword(t *testing.T) {
	t.Parallel()
	cmd, _, err := (&cli{}).root().Find([]string{"loadtest"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags([]string{"--url", "https://ada:secret@shop.example", "--hot", "--rate", "2.5"}); err != nil {
		t.Fatal(err)
	}
	if got := commandLine(cmd); got != "cloudflow loadtest --hot --rate 2.5 --url https://ada:xxxxx@shop.example" {
		t.Error(got)
	}
}

func TestTablesOfLoad(t *testing.T) {
	t.Parallel()
	t.Run("a bar is to an eighth, and of little is seen", func(t *testing.T) {
		for value, want := range map[float64]string{0: "", 0.001: "▏", 10: "█", 15: "█▌", 29.9: "███"} {
			if got := bar(value, 10); got != want {
				t.Errorf("%g is %s, want %s", value, got, want)
			}
		}
	})
	t.Run("a cell is a round value", func(t *testing.T) {
		for most, want := range map[float64]float64{0: 1, 30: 1, 31: 2, 700: 50, 0.3: 0.01, 3000: 100} {
			if got := cell(most, 30); got < want*0.999 || got > want*1.001 {
				t.Errorf("%g has cells of %g, want %g", most, got, want)
			}
		}
	})
	t.Run("the plateau is where it begins", func(t *testing.T) {
		runs := func(rates ...float64) (out []loadtest.Result) {
			for i, rate := range rates {
				out = append(out, loadtest.Result{Snapshot: loadtest.Snapshot{Concurrency: 10 * (i + 1), OrdersPerSecondOverall: rate}})
			}
			return out
		}
		for want, list := range map[string][]loadtest.Result{
			"": runs(100),
			"With 20 at once it is within 5% of the most, 1,000 orders/s: more callers bring longer waits.": runs(500, 960, 1000),
			"It still grows at 20 at once, the most that were tried.":                                       runs(500, 960),
		} {
			if got := plateauOf(list); got != want {
				t.Errorf("said %q, want %q", got, want)
			}
		}
	})
	t.Run("a run in which nothing came back has tables too", func(t *testing.T) {
		m := measured{Runs: []loadtest.Result{{}, {}}, Books: books{Violations: []apigen.Violation{}}}
		var b bytes.Buffer
		if err := m.tables(&b); err != nil || strings.Contains(b.String(), "NaN") {
			t.Errorf("%v: %s", err, b.String())
		}
		b.Reset()
		if err := m.html(&b); err != nil || !strings.Contains(b.String(), "</html>") {
			t.Errorf("%v: %s", err, b.String())
		}
	})
	t.Run("what is in no figure is said", func(t *testing.T) {
		r := loadtest.Result{Snapshot: loadtest.Snapshot{Behind: 1}, Abandoned: 2}
		if got := strings.Join(missing(r), " "); !strings.Contains(got, "not waited for: 2 orders") || !strings.Contains(got, "never started: 1 order.") {
			t.Error(got)
		}
		r.Interrupted = true // then what was due is no judgement
		if got := missing(r); len(got) != 1 {
			t.Error(got)
		}
	})
	t.Run("the processor is what the system calls it", func(t *testing.T) {
		if got := cpuModel("processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2 GHz: fast\n"); got != "Some CPU @ 2 GHz: fast" {
			t.Error(got)
		}
		if got := cpuModel(""); got != "" {
			t.Error(got)
		}
	})
}
