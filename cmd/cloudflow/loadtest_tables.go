package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

const (
	barCells  = 30   // of the longest bar
	fanCells  = 10   // of the longest run of symbols in a column of the tail
	mostBands = 14   // rows of a distribution: finer ones are in --json and in the report
	plateau   = 0.95 // of the most: within what two equal runs differ
)

// tables prints everything that was measured as text, in one write.
func (m measured) tables(w io.Writer) error {
	var b bytes.Buffer
	perCell, msPerCell := m.cells()
	for _, r := range m.Runs {
		glance(&b, r, perCell, msPerCell)
		distribution(&b, r)
	}
	tails(&b, m.Runs)
	curve(&b, m.Runs)
	m.Books.print(&b)
	_, err := w.Write(b.Bytes())
	return err
}

// cells are the orders a second and the milliseconds that one cell of a bar is: the same in all runs, so that they can be compared.
func (m measured) cells() (perSecond, ms float64) {
	for _, r := range m.Runs {
		perSecond, ms = max(perSecond, r.OrdersPerSecondOverall), max(ms, r.Latency.P99Ms)
	}
	return cell(perSecond, barCells), cell(ms, barCells)
}

// cell is the smallest of 1, 2 or 5 times a power of ten of which at most n make the value.
func cell(most float64, n int) float64 {
	if most <= 0 {
		return 1
	}
	for power := math.Pow(10, math.Floor(math.Log10(most/float64(n)))); ; power *= 10 {
		for _, of := range []float64{1, 2, 5} {
			if of*power*float64(n) >= most {
				return of * power
			}
		}
	}
}

// bar is the value in cells, to an eighth; what is more than nothing is seen.
func bar(value, perCell float64) string {
	eighths := int(math.Round(value / perCell * 8))
	if value > 0 {
		eighths = max(eighths, 1)
	}
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

// loopOf says what a run was.
func loopOf(r loadtest.Result) string {
	if r.Rate > 0 {
		return fmt.Sprintf("open loop, %s orders due a second", decimals(r.Rate))
	}
	return fmt.Sprintf("closed loop, %d at once", r.Concurrency)
}

// loadOf is the run in the first column of a table over several.
func loadOf(r loadtest.Result) string {
	if r.Rate > 0 {
		return decimals(r.Rate) + "/s due"
	}
	return fmt.Sprintf("%d at once", r.Concurrency)
}

func glance(b *bytes.Buffer, r loadtest.Result, perCell, msPerCell float64) {
	stopped := ""
	if r.Interrupted {
		stopped = ", interrupted"
	}
	fmt.Fprintf(b, "At a glance: %s in %s s, %s%s\n", count(r.Done, "order"), digits(r.ElapsedSeconds), loopOf(r), stopped)
	rows := [][]string{
		{"Metric", "Result", fmt.Sprintf("each █ is %g orders/s or %g ms", perCell, msPerCell)},
		{"Throughput", decimals(r.OrdersPerSecondOverall) + "/s", bar(r.OrdersPerSecondOverall, perCell)},
	}
	for _, p := range []struct {
		name string
		ms   float64
	}{{"P50 latency", r.Latency.P50Ms}, {"P95 latency", r.Latency.P95Ms}, {"P99 latency", r.Latency.P99Ms}} {
		rows = append(rows, []string{p.name, milliseconds(p.ms), bar(p.ms, msPerCell)})
	}
	align(b, "lrl", rows, 1)
	b.WriteByte('\n')
	rows = [][]string{{"Outcome", "Orders", "P50", "P99", "Max"}}
	for _, o := range r.Outcomes {
		rows = append(rows, []string{
			strings.ReplaceAll(string(o.Outcome), "_", " "), thousands(o.Count),
			milliseconds(o.Latency.P50Ms), milliseconds(o.Latency.P99Ms), milliseconds(o.Latency.MaxMs),
		})
	}
	align(b, "lrrrr", rows, 1)
	for _, e := range r.Errors {
		fmt.Fprintf(b, "error: %s (%s)\n", e.Text, count(e.Count, "order"))
	}
	for _, text := range missing(r) {
		fmt.Fprintln(b, text)
	}
	b.WriteByte('\n')
}

// missing says which orders are in no figure, and why.
func missing(r loadtest.Result) []string {
	var out []string
	if r.Abandoned > 0 {
		out = append(out, fmt.Sprintf("Under way at the interrupt and not waited for: %s.", count(r.Abandoned, "order")))
	}
	if r.Behind > 0 && !r.Interrupted {
		out = append(out, fmt.Sprintf("Due and never started: %s. This was more than the instance takes.", count(r.Behind, "order")))
	}
	return out
}

// bands are the bars of a distribution, as many neighbours put together as it takes to have few rows.
func bands(r loadtest.Result) []loadtest.Bar {
	each := (len(r.Distribution) + mostBands - 1) / mostBands
	var out []loadtest.Bar
	for i, b := range r.Distribution {
		if i%each == 0 {
			out = append(out, b)
			continue
		}
		last := &out[len(out)-1]
		last.ToMs, last.Count = b.ToMs, last.Count+b.Count
	}
	return out
}

func distribution(b *bytes.Buffer, r loadtest.Result) {
	fmt.Fprintf(b, "Latency distribution: %s\n", loopOf(r))
	rows := [][]string{{"Latency (ms)", "", "", "Orders", ""}}
	most := int64(0)
	all := bands(r)
	for _, band := range all {
		most = max(most, band.Count)
	}
	from := 0.0
	for _, band := range all {
		var names []string
		for _, p := range percentilesOf(r.Latency) {
			if p.ms >= from && (p.ms < band.ToMs || band == all[len(all)-1]) {
				names = append(names, p.name)
			}
		}
		from = band.ToMs
		mark := ""
		if len(names) > 0 {
			mark = "◄ " + strings.Join(names, " ")
		}
		rows = append(rows, []string{
			digits(band.FromMs) + " – " + digits(band.ToMs), bar(float64(band.Count), float64(most)/barCells),
			fmt.Sprintf("%.1f%%", 100*float64(band.Count)/float64(r.Done)), thousands(band.Count), mark,
		})
	}
	align(b, "rlrrl", rows, 1)
	b.WriteByte('\n')
}

type percentile struct {
	name string
	ms   float64
}

func percentilesOf(l loadtest.Latency) []percentile {
	return []percentile{{"P50", l.P50Ms}, {"P95", l.P95Ms}, {"P99", l.P99Ms}, {"P99.9", l.P999Ms}, {"max", l.MaxMs}}
}

// tails prints how the percentiles go apart, and by how much they have grown from the first run to the last.
func tails(b *bytes.Buffer, runs []loadtest.Result) {
	most := 0.0
	for _, r := range runs {
		most = max(most, r.Latency.P99Ms)
	}
	each := cell(most, fanCells)
	fmt.Fprintf(b, "Tail latency: each symbol is %g ms\n", each)
	rows := [][]string{{"Load", "P50", "", "P95", "", "P99", "", "P99.9", "Max"}}
	for _, r := range runs {
		row := []string{loadOf(r)}
		for i, p := range percentilesOf(r.Latency) {
			row = append(row, milliseconds(p.ms))
			if i < 3 {
				symbols := 0
				if r.Done > 0 {
					symbols = max(1, int(math.Round(p.ms/each)))
				}
				row = append(row, strings.Repeat([]string{"·", "○", "◆"}[i], symbols))
			}
		}
		rows = append(rows, row)
	}
	rules := 1
	if first, last := runs[0], runs[len(runs)-1]; len(runs) > 1 {
		row := []string{"Growth"}
		was := percentilesOf(first.Latency)
		for i, p := range percentilesOf(last.Latency) {
			row = append(row, growth(was[i].ms, p.ms))
			if i < 3 {
				row = append(row, "")
			}
		}
		rows, rules = append(rows, row), 2
	}
	align(b, "lrlrlrlrr", rows, rules)
	b.WriteByte('\n')
}

// growth is by how many percent a value has grown; nothing can be said of what began with 0.
func growth(from, to float64) string {
	if from <= 0 {
		return "-"
	}
	return fmt.Sprintf("%+.0f%%", 100*(to/from-1))
}

// curve prints the throughput of each run, and from where on more callers bring little.
func curve(b *bytes.Buffer, runs []loadtest.Result) {
	most := 0.0
	for _, r := range runs {
		most = max(most, r.OrdersPerSecondOverall)
	}
	each := cell(most, barCells)
	fmt.Fprintf(b, "Throughput: each █ is %g orders/s\n", each)
	rows := [][]string{{"Load", "Orders/s", "Orders/min", "Errors", ""}}
	for _, r := range runs {
		v := r.OrdersPerSecondOverall
		rows = append(rows, []string{
			loadOf(r), decimals(v), thousands(int64(math.Round(60 * v))), thousands(r.Counts.Errors()), bar(v, each),
		})
	}
	align(b, "lrrrl", rows, 1)
	if text := plateauOf(runs); text != "" {
		fmt.Fprintln(b, text)
	}
	b.WriteByte('\n')
}

// plateauOf says with how many at once nearly all of the most is reached, or that it was not seen to end.
func plateauOf(runs []loadtest.Result) string {
	most, tried := 0.0, 0
	for _, r := range runs {
		most, tried = max(most, r.OrdersPerSecondOverall), max(tried, r.Concurrency)
	}
	if len(runs) < 2 || most == 0 {
		return ""
	}
	least := tried
	for _, r := range runs {
		if r.OrdersPerSecondOverall >= plateau*most {
			least = min(least, r.Concurrency)
		}
	}
	if least == tried {
		return fmt.Sprintf("It still grows at %d at once, the most that were tried.", tried)
	}
	return fmt.Sprintf("With %d at once it is within 5%% of the most, %s orders/s: more callers bring longer waits.", least, decimals(most))
}

func (k books) print(b *bytes.Buffer) {
	for _, v := range k.Violations {
		fmt.Fprintf(b, "%s %s: %s\n", v.Invariant, v.Subject, v.Detail)
	}
	if k.Error == "" {
		fmt.Fprintf(b, "Books: %s\n", k.summary())
	}
}

func (k books) summary() string {
	text := fmt.Sprintf("%s checked, those of the warm-up among them, %s of the invariants",
		count(k.Orders, "order"), count(int64(len(k.Violations)), "violation"))
	if k.Skipped > 0 {
		text += fmt.Sprintf("; %s with an open saga, of which less is asked", count(k.Skipped, "order"))
	}
	return text
}

// align prints rows in columns, each to the left (l) or to the right (r), with a rule below the first row, and above the last if there are two.
func align(b *bytes.Buffer, columns string, rows [][]string, rules int) {
	width := make([]int, len(columns))
	for _, row := range rows {
		for i, text := range row {
			width[i] = max(width[i], utf8.RuneCountInString(text))
		}
	}
	var lines []string
	long := 0
	for _, row := range rows {
		var line strings.Builder
		for i, text := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(text))
			if columns[i] == 'r' {
				text = pad + text
			} else {
				text += pad
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(text)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
		long = max(long, utf8.RuneCountInString(lines[len(lines)-1]))
	}
	rule := strings.Repeat("─", long)
	for i, line := range lines {
		if i == 1 || rules == 2 && i == len(lines)-1 && i > 1 {
			fmt.Fprintln(b, rule)
		}
		fmt.Fprintln(b, line)
	}
}

func milliseconds(ms float64) string { return digits(ms) + " ms" }

// digits are the first three, more of a whole number: what a measurement can be trusted with.
func digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return thousands(int64(math.Round(v)))
}

// decimals is a number with a place after the point below 100.
func decimals(v float64) string {
	if v < 99.95 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	}
	return thousands(int64(math.Round(v)))
}

// count is so many of something.
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}

// thousands is a whole number, not below 0, with its thousands set apart.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
