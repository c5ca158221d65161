package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/longtest"
)

// flowTables are the medians of the engine's benchmarks, and what its tests saw with their full counts.
func flowTables(results string) (string, error) {
	header := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# (\w+): (.*)$`).FindAllStringSubmatch(results, -1) {
		if header[m[1]] == "" {
			header[m[1]] = m[2]
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, %s, %s; the load of the machine was %s.\n\n", header["command"], header["date"], header["machine"], header["go"], header["load"])
	b.WriteString("| five tasks in a row | at once | executions/s | P50 ms | P99 ms | commits | bytes | CPU µs | commits a sync | floor: the store alone | ratio | floor: the disk alone | ratio |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, kind := range []struct{ name, title string }{{"staged=false", "each task a commit"}, {"staged=true", "tasks that only stage"}} {
		for _, callers := range []int{1, 10, 64, 256} {
			v := func(unit string, digits int) string {
				return median(results, fmt.Sprintf("BenchmarkChain/%s/at-once=%d-", kind.name, callers), unit, digits)
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s/s | %s | %s/s | %s |\n", kind.title, callers, v("executions/s", 0), v("p50-ms", 1),
				v("p99-ms", 1), v("commits/execution", 0), v("bytes/execution", 0), v("cpu-µs/execution", 0), v("commits/sync", 0), v("store-floor/s", 0), v("of-store-floor", 2),
				v("disk-floor/s", 0), v("of-disk-floor", 2))
		}
	}
	b.WriteString("\n| a Map, all its tasks open at once, in memory | µs an item | bytes allocated an item | ms in all |\n|---|---|---|---|\n")
	for _, n := range []int{100, 1_000, 10_000} {
		v := func(unit string, digits int) string {
			return median(results, fmt.Sprintf("BenchmarkMap/items=%d-", n), unit, digits)
		}
		fmt.Fprintf(&b, "| %d items | %s | %s | %s |\n", n, v("µs/item", 1), v("bytes/item", 0), v("ms/map", 1))
	}
	b.WriteString("\n")
	seen := 0
	for line := range strings.Lines(results) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var r longtest.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return "", err
		}
		if r.Violations != 0 {
			return "", fmt.Errorf("%s saw %d violations", r.Test, r.Violations)
		}
		seen++
		fmt.Fprintf(&b, "- %s %s: %s (`%s`).\n", thousands(int64(r.Count)), r.What, r.Detail, r.Test)
	}
	if seen != 2 || strings.Contains(b.String(), "?") {
		return "", fmt.Errorf("a figure is missing")
	}
	b.WriteString("\n")
	return b.String(), nil
}
