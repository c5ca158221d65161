package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A share is a metric of ones and zeros; its row in the document says so.
const share = "1 for each "

// asked is one metric of CloudFlow's that an alarm or a graph looks at.
type asked struct {
	name       string
	dimensions []string // name, value, name, value
	threshold  any      // of an alarm
}

func ownMetrics(d template) ([]asked, error) {
	var all []asked
	for _, r := range d.resources(alarmType) {
		if r.props["Namespace"] != namespace {
			continue
		}
		a := asked{name: fmt.Sprint(r.props["MetricName"]), threshold: r.props["Threshold"]}
		for _, dimension := range many(r.props["Dimensions"]) {
			a.dimensions = append(a.dimensions, fmt.Sprint(at(dimension, "Name")), fmt.Sprint(at(dimension, "Value")))
		}
		all = append(all, a)
	}
	for _, r := range d.resources(dashboardType) {
		var body any
		if err := json.Unmarshal([]byte(fmt.Sprint(r.props["DashboardBody"])), &body); err != nil {
			return nil, err
		}
		for _, widget := range many(at(body, "widgets")) {
			for _, row := range many(at(widget, "properties", "metrics")) {
				cells := many(row)
				if cells[0] != namespace {
					continue
				}
				a := asked{name: fmt.Sprint(cells[1])}
				for _, cell := range cells[2 : len(cells)-1] { // the options are last
					a.dimensions = append(a.dimensions, fmt.Sprint(cell))
				}
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no alarm and no graph asks for a metric of CloudFlow's")
	}
	return all, nil
}

// written are the metrics of docs/metrics.md, which the program's tests hold to what it writes.
type written map[string]writtenMetric

type writtenMetric struct {
	sets  []string // names of dimensions, such as "Stage, state"
	value string   // what the document says of a value
}

func writtenMetrics() (written, error) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		return nil, err
	}
	return parseMetrics(string(text))
}

func parseMetrics(text string) (written, error) {
	_, table, _ := strings.Cut(text, "<!-- cloudwatch -->\n")
	table, _, _ = strings.Cut(table, "<!-- end -->")
	all := written{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		// On Lambda nobody writes what AWS/Lambda has.
		if len(cells) != 4 || !strings.HasPrefix(cells[0], "`") || strings.Contains(line, "not written on Lambda") {
			continue
		}
		m := writtenMetric{value: cells[3]}
		for _, set := range strings.Split(cells[2], "; ") {
			m.sets = append(m.sets, strings.Trim(set, "`"))
		}
		all[strings.Trim(cells[0], "`")] = m
	}
	if len(all) == 0 {
		return nil, errors.New("docs/metrics.md has no table of CloudWatch's metrics")
	}
	return all, nil
}

// take says why nobody writes what is asked for, or why the alarm can never tell.
func (w written) take(a asked) error {
	m, ok := w[a.name]
	if !ok {
		return errors.New("no handler writes it")
	}
	var names []string
	for i := 0; i+1 < len(a.dimensions); i += 2 {
		name, value := a.dimensions[i], a.dimensions[i+1]
		names = append(names, name)
		if _, known, ok := strings.Cut(m.value, "`"+name+"` is "); ok && !slices.Contains(strings.Split(known, ", "), value) {
			return fmt.Errorf("%s is one of %s", name, known)
		}
	}
	if set := strings.Join(names, ", "); !slices.Contains(m.sets, set) {
		return fmt.Errorf("it is written with the dimensions %q", m.sets)
	}
	if t, ok := a.threshold.(float64); ok && strings.HasPrefix(m.value, share) && (t <= 0 || t >= 1) {
		return fmt.Errorf("it is 1 or 0, and the threshold %v", t)
	}
	return nil
}

// The other side of the rule: what is deployed does not change, and the document does.
func TestAChangedMetricIsNoticed(t *testing.T) {
	synthesized(t)
	all, err := ownMetrics(prod.deployed())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"", ""}, // this one is the truth
		{"| `SAGASuccessRate` | None", "| `SagaSuccessRate` | None"},
		{"| `OrdersCreated` | Count | `Stage` ", "| `OrdersCreated` | Count | `Stage, service` "},
		{"`Stage, breaker, state`; `Stage, state`", "`Stage, breaker, state`"},
		{"`state` is CLOSED, OPEN, HALF_OPEN |", "`state` is CLOSED, HALF_OPEN |"},
		{"| `DLQMessageCount` | Count | `Stage` ", "| `DLQMessageCount` | Count | `Stage, queue` "},
		{"`Stage` | 1 for each COMPENSATED", "`service` | 1 for each COMPENSATED"},
		{"how it is now, place dead |", "how it is now; not written on Lambda |"},
	} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		if change[0] != "" && changed == string(text) {
			t.Errorf("%q is not in the document", change[0])
		}
		w, err := parseMetrics(changed)
		if err != nil {
			t.Fatal(err)
		}
		var errs []error
		for _, a := range all {
			errs = append(errs, w.take(a))
		}
		if err := errors.Join(errs...); (err == nil) != (change[0] == "") {
			t.Errorf("%q for %q: %v", change[1], change[0], err)
		}
	}
	w := written{"Rate": {sets: []string{"Stage"}, value: share + "SUCCEEDED"}}
	for threshold, ok := range map[float64]bool{.95: true, 95: false, 0: false} {
		if err := w.take(asked{"Rate", []string{"Stage", "prod"}, threshold}); (err == nil) != ok {
			t.Errorf("an alarm at %v: %v", threshold, err)
		}
	}
}
