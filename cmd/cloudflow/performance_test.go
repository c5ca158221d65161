package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tables of docs/performance.md are made from what was measured, docs/results/loadtest.txt and flow.txt, and from nothing else.
func TestPerformancePage(t *testing.T) {
	for _, part := range []struct {
		name, command string
		tables        func(results string) (string, error)
	}{{"loadtest", "make loadtest", performanceTables}, {"flow", "make bench-flow", flowTables}} {
		t.Run(part.name, func(t *testing.T) {
			results, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", part.name+".txt"))
			if err != nil {
				t.Fatalf("%v; `%s` writes it", err, part.command)
			}
			tables, err := part.tables(string(results))
			if err != nil {
				t.Fatalf("docs/results/%s.txt: %v", part.name, err)
			}
			checkPerformancePage(t, part.name, tables)
		})
	}
}

// checkPerformancePage holds the part of that name against the tables, or renews it.
func checkPerformancePage(t *testing.T, name, tables string) {
	path := filepath.Join("..", "..", "docs", "performance.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	between := regexp.MustCompile(`(?s)(<!-- ` + name + ` -->\n).*?(<!-- end of ` + name + ` -->)`)
	if !between.Match(page) {
		t.Fatal("the page has no place for the tables")
	}
	want := between.ReplaceAllString(string(page), "${1}"+tables+"${2}")
	if os.Getenv(update) != "" {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("the tables are not those of docs/results/%s.txt; set %s=1 to renew them", name, update)
	}
}

// specified are the specification's figures of its reservations, by how many there were at once: P50, P95, P99 in ms, a minute.
var specified = []struct{ load, p50, p95, p99, minute string }{
	{"5 at once", "37", "68", "95", "940"},
	{"10 at once", "47", "89", "120", "1,100"},
	{"20 at once", "54", "98", "140", "1,300"},
	{"50 at once", "61", "110", "160", "1,280"},
}

// performanceTables are the specification's shape beside its figures, and what the machine does when it is asked for more.
func performanceTables(results string) (string, error) {
	header := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# (\w+): (.*)$`).FindAllStringSubmatch(results, -1) {
		header[m[1]] = m[2]
	}
	runs := strings.Split(results, "\n$ ")[1:]
	if len(runs) != 4 {
		return "", fmt.Errorf("%d runs, want 4", len(runs))
	}
	for _, run := range runs {
		if !strings.Contains(run, "0 violations of the invariants") || strings.Contains(run, "interrupted") {
			return "", fmt.Errorf("a run did not come to a good end: %s", strings.SplitN(run, "\n", 2)[0])
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, %s, %s.\n\n", header["command"], header["date"], header["machine"], header["go"])
	b.WriteString("| 50 orders | P50 | P95 | P99 | a minute | the specification's reservations: P50 | P95 | P99 | a minute |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range specified {
		l, err := loadRow(runs[1], s.load)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s ms | %s ms | %s ms | %s |\n", s.load, l.p50, l.p95, l.p99, l.minute, s.p50, s.p95, s.p99, s.minute)
	}
	b.WriteString("\n| as much as goes | orders/s | P50 | P95 | P99 | P99.9 | max |\n|---|---|---|---|---|---|---|\n")
	closed, err := loadRow(runs[2], "64 at once")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "| 40,000 orders, 64 at once | %s | %s | %s | %s | %s | %s |\n", closed.second, closed.p50, closed.p95, closed.p99, closed.p999, closed.most)
	rate := regexp.MustCompile(`--rate (\d+)`).FindStringSubmatch(runs[3])
	if rate == nil {
		return "", fmt.Errorf("no rate in %s", strings.SplitN(runs[3], "\n", 2)[0])
	}
	open, err := loadRow(runs[3], `[\d,]+/s due`)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "| 60 s, %s due a second: 80 %% of that | %s | %s | %s | %s | %s | %s |\n\n", rate[1], open.second, open.p50, open.p95, open.p99, open.p999, open.most)
	return b.String(), nil
}

// A measuredLoad is a row of the tables that a run prints.
type measuredLoad struct{ p50, p95, p99, p999, most, second, minute string }

func loadRow(run, name string) (l measuredLoad, err error) {
	const ms = `([\d.,]+ m?s)`
	latency := regexp.MustCompile(`(?m)^` + name + `\s+` + ms + `\s+·*\s+` + ms + `\s+○*\s+` + ms + `\s+◆*\s+` + ms + `\s+` + ms + `$`).FindStringSubmatch(run)
	through := regexp.MustCompile(`(?m)^` + name + `\s+([\d,]+)\s+([\d,]+)\s+(\d+)\b`).FindStringSubmatch(run)
	if latency == nil || through == nil {
		return measuredLoad{}, fmt.Errorf("no rows of %q", name)
	}
	if through[3] != "0" {
		return measuredLoad{}, fmt.Errorf("%s errors at %q", through[3], name)
	}
	return measuredLoad{latency[1], latency[2], latency[3], latency[4], latency[5], through[1], through[2]}, nil
}
