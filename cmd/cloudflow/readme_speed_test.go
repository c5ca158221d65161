package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The README's table of speed is made from docs/results/bench.txt, and from nothing else.
func TestReadmeSpeedTable(t *testing.T) {
	results, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", "bench.txt"))
	if err != nil {
		t.Fatalf("%v; `make bench` writes it", err)
	}
	path := filepath.Join("..", "..", "README.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	between := regexp.MustCompile(`(?s)(<!-- bench -->\n).*?(<!-- end of bench -->)`)
	if !between.Match(page) {
		t.Fatal("the page has no place for the table")
	}
	want := between.ReplaceAllString(string(page), "${1}"+strings.ReplaceAll(speedTable(string(results)), "$", "$$")+"${2}")
	if os.Getenv(update) != "" {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("the table is not that of docs/results/bench.txt; set %s=1 to renew it", update)
	}
}

// speedTable is the median of each benchmark's runs.
func speedTable(results string) string {
	header := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# (\w+): (.*)$`).FindAllStringSubmatch(results, -1) {
		header[m[1]] = m[2]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %s, %s (%s; [the runs](docs/results/bench.txt)):\n\n", "`"+header["command"]+"`", header["machine"], header["go"])
	b.WriteString("| an order, from POST to its terminal state, durable | orders/s | P50 ms | P99 ms | commits | bytes | CPU µs | floor: orders/s | fdatasync µs |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range []struct{ name, title string }{
		{"BenchmarkOrder/callers=64/products=100-", "64 callers, 100 products"},
		{"BenchmarkOrder/callers=256/products=100-", "256 callers, 100 products"},
		{"BenchmarkOrder/callers=64/products=1-", "64 callers, one hot product"},
	} {
		v := func(unit string, digits int) string { return median(results, row.name, unit, digits) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s + %s | %s | %s | %s | %s |\n", row.title, v("orders/s", 0), v("p50-ms", 1), v("p99-ms", 1),
			v("commits/order", 1), v("provider-commits/order", 1), v("bytes/order", 0), v("cpu-µs/order", 0), v("floor-orders/s", 0), v("fdatasync-µs", 0))
	}
	b.WriteString("\n| a part, 64 goroutines, durable | ops/s | commits a sync | bytes | allocations |\n|---|---|---|---|---|\n")
	for _, row := range []struct{ name, title string }{
		{"BenchmarkSaga-", "one whole saga in process, without HTTP"},
		{"BenchmarkReserve-", "reserve on one hot product"},
		{"BenchmarkAppend-", "append of one event"},
	} {
		v := func(unit string, digits int) string { return median(results, row.name, unit, digits) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.title, v("ops/s", 0), v("commits/sync", 0), v("bytes/op", 0), v("allocs/op", 0))
	}
	b.WriteString("\n| what it costs to look, against an instance that nobody looks at, in turns in one run | orders/s | nobody looks | ratio | CPU µs | nobody looks |\n|---|---|---|---|---|---|\n")
	for _, row := range []struct{ name, title string }{
		{"BenchmarkObserved/nothing-", "nobody looks at either: the noise of the method"},
		{"BenchmarkObserved/logs-", "logs at info, into a file"},
		{"BenchmarkObserved/metrics-", "metrics, scraped once a second"},
		{"BenchmarkObserved/traces=1%-", "traces of 1 % of the orders, to a collector"},
		{"BenchmarkObserved/all-", "all three"},
		{"BenchmarkObserved/traces=100%-", "traces of all orders"},
	} {
		v := func(unit string, digits int) string { return median(results, row.name, unit, digits) }
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.title, v("on-orders/s", 0), v("off-orders/s", 0), v("on/off", 2),
			v("on-cpu-µs/order", 0), v("off-cpu-µs/order", 0))
	}
	fmt.Fprintf(&b, "\nA refusal by an open circuit takes %s ns in the process.\n", median(results, "BenchmarkOpenRefusal-", "ns/op", 0))
	return b.String()
}

// median of a metric over the runs of a benchmark.
func median(results, name, unit string, digits int) string {
	var values []float64
	for _, line := range strings.Split(results, "\n") {
		if !strings.HasPrefix(line, name) {
			continue
		}
		fields := strings.Fields(line)
		for i := 3; i < len(fields); i += 2 {
			if fields[i] == unit {
				if v, err := strconv.ParseFloat(fields[i-1], 64); err == nil {
					values = append(values, v)
				}
			}
		}
	}
	if len(values) == 0 {
		return "?"
	}
	slices.Sort(values)
	return strconv.FormatFloat(values[len(values)/2], 'f', digits, 64)
}
