package metrics

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write the tables into docs/metrics.md")

// Each row is asked for once, so that all of them are there: their names, kinds and labels at /metrics are the table's.
func TestTheCatalogIsWhatPrometheusReads(t *testing.T) {
	m := New()
	fill := map[Instrument]bool{} // what somebody else has to set
	for i := range instruments {
		labels := slices.Repeat([]string{"x"}, len(catalog[i].Labels))
		switch {
		case catalog[i].Kind == KindHistogram:
			m.Histogram(i, labels...)
		case catalog[i].Kind == KindCounter && len(catalog[i].values) == 0 && i != OrdersCreated:
			m.Counter(i, labels...)
		case catalog[i].Kind == KindGauge && i != BuildInfo:
			fill[i] = true
		}
	}
	m.Observe(func(_ context.Context, o Observer) error {
		for i := range fill {
			o.Set(i, 1, slices.Repeat([]string{"x"}, len(catalog[i].Labels))...)
		}
		return nil
	})
	families := parsed(t, m)
	for _, row := range Catalog() {
		family := families[row.Prometheus]
		delete(families, row.Prometheus)
		kind := map[Kind]dto.MetricType{KindCounter: dto.MetricType_COUNTER, KindGauge: dto.MetricType_GAUGE, KindHistogram: dto.MetricType_HISTOGRAM}[row.Kind]
		if family == nil || family.GetType() != kind || family.GetHelp() != row.Help {
			t.Errorf("%s is %v", row.Prometheus, family)
			continue
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want := slices.Sorted(slices.Values(row.Labels))
		if slices.Sort(labels); !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %q, want %q", row.Prometheus, labels, want)
		}
	}
	for name := range families {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is in no row", name)
		}
	}
}

func TestTheCatalogIsWellFormed(t *testing.T) {
	var names []string
	for i, row := range Catalog() {
		names = append(names, row.Name, row.Prometheus)
		if !strings.HasPrefix(row.Name, "cloudflow.") || strings.Trim(row.Name, "abcdefghijklmnopqrstuvwxyz._") != "" || !strings.HasSuffix(row.Help, ".") {
			t.Errorf("%+v", row)
		}
		if (row.Kind == KindHistogram) != (len(row.bounds) > 0) || !slices.IsSorted(row.bounds) || len(row.values) > 0 && len(row.Labels) != 1 {
			t.Errorf("%+v", row)
		}
		for _, c := range row.cloudWatch {
			names = append(names, c.name)
			for _, set := range c.dimensions {
				for _, label := range set {
					if label != serviceDimension && !slices.Contains(row.Labels, label) {
						t.Errorf("%s has no label %s", row.Name, label)
					}
				}
			}
			if c.label != "" && !slices.Contains(row.Labels, c.label) || !slices.Contains(cloudWatchUnits, c.unit) || (c.one != "" && row.Kind != KindCounter) {
				t.Errorf("%s: %+v", row.Name, c)
			}
			if c.one != "" && !slices.Contains(row.values, c.one) {
				t.Errorf("row %d counts %s, which never comes", i, c.one)
			}
		}
	}
	slices.Sort(names)
	if twice := len(names) - len(slices.Compact(slices.Clone(names))); twice > 0 {
		t.Errorf("%d names twice in %q", twice, names)
	}
	// What is judged by 3 s must not share a bucket with what is not.
	if !slices.Contains(catalog[TaskDuration].bounds, 3) {
		t.Error("a task's duration has no bound at 3 s")
	}
}

// instrumentTable and cloudWatchTable are what docs/metrics.md says of the catalog.
func instrumentTable() string {
	var b strings.Builder
	b.WriteString("| Specification | Prometheus | OpenTelemetry | Kind, unit | Labels | Meaning |\n|---|---|---|---|---|---|\n")
	for _, row := range Catalog() {
		var names, labels []string
		for _, c := range row.cloudWatch {
			names = append(names, code(c.name))
		}
		for _, l := range row.Labels {
			labels = append(labels, code(l))
		}
		kind := string(row.Kind)
		if row.Unit != "" {
			kind += ", " + row.Unit
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			strings.Join(names, ", "), code(row.Prometheus), code(row.Name), kind, strings.Join(labels, ", "), row.Help)
	}
	return b.String()
}

func cloudWatchTable() string {
	var b strings.Builder
	b.WriteString("| CloudWatch | Unit | Dimensions | A value |\n|---|---|---|---|\n")
	for _, row := range Catalog() {
		for _, c := range row.cloudWatch {
			var sets []string
			for _, set := range c.sets(&row) {
				sets = append(sets, code(strings.Join(append([]string{stageDimension}, set...), ", ")))
			}
			value := map[Kind]string{KindCounter: "how many since the last line", KindGauge: "how it is now", KindHistogram: "each one"}[row.Kind]
			switch {
			case c.one != "":
				value = "1 for each " + c.one + ", 0 for each other " + c.label
			case c.only != nil:
				value += ", " + c.label + " " + strings.Join(c.only, " and ")
			case c.notLambda:
				value += "; not written on Lambda, where `Duration` of AWS/Lambda is this"
			case slices.Contains(row.Labels, "state"):
				value += "; `state` is " + strings.Join(CircuitStates, ", ")
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(c.name), c.unit, strings.Join(sets, "; "), value)
		}
	}
	return b.String()
}

func code(s string) string { return "`" + s + "`" }

func TestTheDocumentHasTheCatalog(t *testing.T) {
	const path = "../../../docs/metrics.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for name, table := range map[string]string{"instruments": instrumentTable(), "cloudwatch": cloudWatchTable()} {
		place := regexp.MustCompile(`(?s)(<!-- ` + name + ` -->\n).*?(<!-- end -->)`)
		found := place.FindString(doc)
		want := "<!-- " + name + " -->\n" + table + "<!-- end -->"
		switch {
		case found == "":
			t.Errorf("%s has no place for the table of %s", path, name)
		case *update:
			doc = place.ReplaceAllLiteralString(doc, want)
		case found != want:
			t.Errorf("the table of %s is not the catalog's: go test ./internal/observe/metrics -run Document -update", name)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What infra's alarms and graphs ask for is held against the document's table by infra's own test, so the table has to be what is written.
func TestTheDocumentHasWhatIsWrittenOnLambda(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- cloudwatch -->\n")
	table, _, _ = strings.Cut(table, "<!-- end -->")
	var want []string
	for _, row := range strings.Split(table, "\n") {
		cell := strings.Split(row, " | ")
		if len(cell) != 4 || !strings.HasPrefix(row, "| `") || strings.Contains(row, "not written on Lambda") {
			continue
		}
		for _, set := range strings.Split(cell[2], "; ") {
			want = append(want, strings.Trim(cell[0], "| `")+" "+strings.ReplaceAll(strings.Trim(set, "`"), ",", ""))
		}
	}
	value := regexp.MustCompile(`=\S*`)
	var got []string
	for key := range emitted(t, EMFOptions{Stage: "prod", Service: "order-handler", Lambda: true}) {
		got = append(got, value.ReplaceAllString(key, ""))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("written is\n%s\nand the document says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
