package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// cloudWatchUnits are those that CloudWatch knows (MetricDatum, Unit).
var cloudWatchUnits = []string{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits",
	"Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second",
	"Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}

// checkEMF says what is wrong with a line, by
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html, with one thing more
// than that page has: a metric may be an object of Values and Counts, as AWS's own collectors write it. A member that the page does not name
// would be ignored; here it is an error.
func checkEMF(line []byte, now time.Time) error {
	if len(line) > 256<<10 {
		return fmt.Errorf("%d bytes, at most 256 KB", len(line))
	}
	if err := noMemberTwice(json.NewDecoder(bytes.NewReader(line))); err != nil {
		return err
	}
	var root map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something behind the object")
	}
	meta, ok := root["_aws"].(map[string]any)
	if !ok {
		return errors.New("no _aws")
	}
	if err := only(meta, "Timestamp", "CloudWatchMetrics"); err != nil {
		return err
	}
	stamp, _ := meta["Timestamp"].(json.Number)
	ms, err := stamp.Int64()
	if err != nil {
		return fmt.Errorf("Timestamp: %w", err)
	}
	if at := time.UnixMilli(ms); at.Before(now.Add(-14*24*time.Hour)) || at.After(now.Add(2*time.Hour)) {
		return fmt.Errorf("a Timestamp of %s, which CloudWatch takes for none of now", at)
	}
	directives, _ := meta["CloudWatchMetrics"].([]any)
	if len(directives) == 0 {
		return errors.New("no CloudWatchMetrics")
	}
	named := []string{"_aws"}
	for _, v := range directives {
		directive, _ := v.(map[string]any)
		names, err := checkDirective(directive, root)
		if err != nil {
			return err
		}
		named = append(named, names...)
	}
	return only(root, named...)
}

func only(object map[string]any, members ...string) error {
	for name := range object {
		if !slices.Contains(members, name) {
			return fmt.Errorf("the member %q", name)
		}
	}
	return nil
}

func checkDirective(directive, root map[string]any) (named []string, err error) {
	if err := only(directive, "Namespace", "Dimensions", "Metrics"); err != nil {
		return nil, err
	}
	if namespace, _ := directive["Namespace"].(string); namespace == "" || len(namespace) > 1024 {
		return nil, fmt.Errorf("the Namespace %q", namespace)
	}
	sets, _ := directive["Dimensions"].([]any)
	if len(sets) == 0 {
		return nil, errors.New("no Dimensions")
	}
	var seen []string
	for _, v := range sets {
		set, ok := v.([]any)
		if !ok || len(set) > 30 {
			return nil, fmt.Errorf("the DimensionSet %v", v)
		}
		if key := fmt.Sprint(set); slices.Contains(seen, key) {
			return nil, fmt.Errorf("the DimensionSet %v twice", v)
		} else {
			seen = append(seen, key)
		}
		for _, name := range set {
			text, _ := name.(string)
			if value, _ := root[text].(string); text == "" || len(text) > 250 || value == "" || len(value) > 1024 {
				return nil, fmt.Errorf("the dimension %v is %v", name, root[text])
			}
			named = append(named, text)
		}
	}
	metrics, _ := directive["Metrics"].([]any)
	if len(metrics) == 0 || len(metrics) > 100 {
		return nil, fmt.Errorf("%d Metrics, at most 100", len(metrics))
	}
	for _, v := range metrics {
		metric, _ := v.(map[string]any)
		if err := only(metric, "Name", "Unit", "StorageResolution"); err != nil {
			return nil, err
		}
		name, _ := metric["Name"].(string)
		if name == "" || len(name) > 1024 || slices.Contains(named, name) {
			return nil, fmt.Errorf("the Name %q", name)
		}
		if unit, _ := metric["Unit"].(string); !slices.Contains(cloudWatchUnits, unit) {
			return nil, fmt.Errorf("the Unit %v", metric["Unit"])
		}
		if err := checkTarget(root[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		named = append(named, name)
	}
	return named, nil
}

func checkTarget(v any) error {
	number := func(v any) (float64, error) {
		n, _ := v.(json.Number)
		f, err := n.Float64()
		if err != nil || math.Abs(f) > math.Ldexp(1, 360) {
			return 0, fmt.Errorf("the value %v", v)
		}
		return f, nil
	}
	numbers := func(v any) (all []float64, err error) {
		list, ok := v.([]any)
		if !ok || len(list) == 0 || len(list) > 100 {
			return nil, fmt.Errorf("%d values, from 1 to 100", len(list))
		}
		for _, v := range list {
			f, err := number(v)
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
		return all, nil
	}
	switch v := v.(type) {
	case json.Number:
		_, err := number(v)
		return err
	case []any:
		_, err := numbers(v)
		return err
	case map[string]any:
		if err := only(v, "Values", "Counts", "Max", "Min", "Count", "Sum"); err != nil {
			return err
		}
		values, err := numbers(v["Values"])
		if err != nil {
			return err
		}
		counts, err := numbers(v["Counts"])
		if err != nil || len(counts) != len(values) {
			return fmt.Errorf("%d Counts of %d Values: %w", len(counts), len(values), err)
		}
		total, sum := 0.0, 0.0
		for n := range counts {
			if counts[n] < 1 || counts[n] != math.Trunc(counts[n]) {
				return fmt.Errorf("the count %v", counts[n])
			}
			total, sum = total+counts[n], sum+counts[n]*values[n]
		}
		for name, want := range map[string]float64{"Count": total, "Sum": sum, "Max": slices.Max(values), "Min": slices.Min(values)} {
			if got, err := number(v[name]); err != nil || math.Abs(got-want) > 1e-9*math.Abs(want) {
				return fmt.Errorf("%s is %v, the values say %v", name, got, want)
			}
		}
		return nil
	}
	return fmt.Errorf("%v is no number and no list of some", v)
}

// noMemberTwice is what encoding/json does not look for.
func noMemberTwice(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		seen := map[any]bool{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name] {
				return fmt.Errorf("the member %v twice", name)
			}
			seen[name] = true
			if err := noMemberTwice(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			if err := noMemberTwice(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

func TestTheCheckerRefuses(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	const good = `{"_aws":{"Timestamp":1800000000000,"CloudWatchMetrics":[{"Namespace":"CloudFlow","Dimensions":[["service"]],"Metrics":[{"Name":"A","Unit":"Count"}]}]},"service":"s","A":1}`
	if err := checkEMF([]byte(good), now); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"A":1}`, `"A":1}{}`},
		{`"A":1}`, `"A":1,"A":1}`},
		{`"A":1}`, `"A":1,"B":1}`},
		{`"A":1}`, `"A":"1"}`},
		{`"A":1}`, `"A":1e300}`},
		{`"A":1}`, `"A":[]}`},
		{`"A":1}`, `"A":[1,"2"]}`},
		{`"A":1}`, `"A":[` + strings.Repeat("1,", 100) + `1]}`},
		{`"A":1}`, `"A":{"Values":[1],"Counts":[1,2],"Max":1,"Min":1,"Count":1,"Sum":1}}`},
		{`"A":1}`, `"A":{"Values":[1,2],"Counts":[1,2],"Max":2,"Min":1,"Count":3,"Sum":4}}`},
		{`"A":1}`, `"B":1}`},
		{`"service":"s"`, `"service":""`},
		{`"service":"s"`, `"service":1`},
		{`["service"]`, `["service","other"]`},
		{`[["service"]]`, `[["service"],["service"]]`},
		{`[["service"]]`, `[]`},
		{`"CloudFlow"`, `""`},
		{`"Count"`, `"Orders"`},
		{`,"Unit":"Count"`, `,"Unit":"Count","Help":"x"`},
		{`[{"Name":"A","Unit":"Count"}]`, `[]`},
		{`[{"Name":"A","Unit":"Count"}]`, `[{"Name":"A","Unit":"Count"},{"Name":"A","Unit":"Count"}]`},
		{`1800000000000`, `1800000000`},
		{`1800000000000`, `"1800000000000"`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if err := checkEMF([]byte(bad), now); bad == good || err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

// An emfWorld counts, and has what was written.
type emfWorld struct {
	*Metrics
	t   *testing.T
	out bytes.Buffer
	now time.Time
}

func newEMFWorld(t *testing.T, o EMFOptions) *emfWorld {
	t.Helper()
	w := &emfWorld{t: t, now: time.UnixMilli(1_800_000_000_000)}
	o.Now = func() time.Time { return w.now }
	var err error
	if w.Metrics, err = Open(Config{EMF: NewEMF(&w.out, o)}); err != nil {
		t.Fatal(err)
	}
	return w
}

// flush writes, and returns each metric of each line under its name and dimensions, as JSON.
func (w *emfWorld) flush() map[string]string {
	w.t.Helper()
	w.out.Reset()
	if err := w.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return told(w.t, w.out.Bytes(), w.now)
}

// told reads lines that have to be right: "SAGASuccessRate service=s" is `[1,0]`.
func told(t *testing.T, text []byte, now time.Time) map[string]string {
	t.Helper()
	all := map[string]string{}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("the last line has no end: %q", text)
	}
	for line := range bytes.Lines(text) {
		if err := checkEMF(bytes.TrimSuffix(line, []byte("\n")), now); err != nil {
			t.Errorf("%v: %s", err, line)
			continue
		}
		var root map[string]json.RawMessage
		var meta emfMetadata
		if err := errors.Join(json.Unmarshal(line, &root), json.Unmarshal(root["_aws"], &meta)); err != nil {
			t.Fatal(err)
		}
		for _, directive := range meta.CloudWatchMetrics {
			if directive.Namespace != "CloudFlow" {
				t.Errorf("the namespace %q", directive.Namespace)
			}
			for _, set := range directive.Dimensions {
				for _, metric := range directive.Metrics {
					key := metric.Name
					for _, name := range set {
						key += " " + name + "=" + strings.Trim(string(root[name]), `"`)
					}
					if all[key] != "" {
						all[key] += " "
					}
					all[key] += string(root[metric.Name])
				}
			}
		}
	}
	return all
}

func (w *emfWorld) wants(rule string, want map[string]string) {
	w.t.Helper()
	got := w.flush()
	for key, value := range want {
		if got[key] != value {
			w.t.Errorf("%s: %s is %q, want %q", rule, key, got[key], value)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		w.t.Errorf("%s: written too: %v", rule, got)
	}
}

func TestEMFTellsARun(t *testing.T) {
	w := newEMFWorld(t, EMFOptions{Service: "order-handler"})
	w.wants("nothing has happened", map[string]string{})

	created, confirmed, compensated := w.Counter(OrdersCreated), w.Counter(OrdersEnded, "CONFIRMED"), w.Counter(OrdersEnded, "COMPENSATED")
	succeeded, failed, timedOut := w.Counter(SagaExecutions, "SUCCEEDED"), w.Counter(SagaExecutions, "FAILED"), w.Counter(SagaExecutions, "TIMED_OUT")
	opened := w.Counter(BreakerChanges, "payment-charge", "OPEN")
	task := w.Histogram(TaskDuration, "payment.charge")
	for range 3 {
		created.Inc()
		succeeded.Inc()
	}
	confirmed.Inc()
	compensated.Inc()
	failed.Inc()
	opened.Inc()
	task.Took(1234 * time.Millisecond)
	w.wants("a run", map[string]string{
		"OrdersCreated service=order-handler":                                               "3",
		"SAGACompensationRate service=order-handler":                                        "[0,1]",
		"SAGASuccessRate service=order-handler":                                             "[0,1,1,1]",
		"CircuitBreakerStateChange service=order-handler breaker=payment-charge state=OPEN": "1",
		"CircuitBreakerStateChange service=order-handler state=OPEN":                        "1",
		"LambdaDuration service=order-handler task=payment.charge":                          "1234",
		"LambdaDuration service=order-handler":                                              "1234",
	})
	w.wants("nothing more has happened", map[string]string{})
	if w.out.Len() > 0 {
		t.Errorf("an empty flush writes %q", w.out.String())
	}
	timedOut.Inc()
	w.wants("one execution", map[string]string{"SAGASuccessRate service=order-handler": "0"})

	for range 1000 {
		succeeded.Inc()
	}
	failed.Inc()
	w.wants("very many", map[string]string{
		"SAGASuccessRate service=order-handler": `{"Values":[0,1],"Counts":[1,1000],"Max":1,"Min":0,"Count":1001,"Sum":1000}`,
	})
}

func TestEMFTellsGaugesWhenTheyChangeAndEveryMinute(t *testing.T) {
	w := newEMFWorld(t, EMFOptions{})
	dead, review := 0.0, 2.0
	w.Observe(func(_ context.Context, o Observer) error {
		for place, n := range map[string]float64{"ready": 3, "in_flight": 4, "dead": dead} {
			o.Set(QueueMessages, n, "notifications", place)
		}
		o.Set(OrdersReview, review)
		o.Set(StoreDisk, 1000, "cloudflow") // has no name there
		return nil
	})
	depth := map[string]string{"QueueDepth service=cloudflow queue=notifications": "7"}
	all := map[string]string{"DLQMessageCount service=cloudflow queue=notifications": "0", "OrdersInReview service=cloudflow": "2", "QueueDepth service=cloudflow queue=notifications": depth["QueueDepth service=cloudflow queue=notifications"]}
	w.wants("at first", all)
	w.wants("no change", map[string]string{})
	dead = 1
	w.wants("a dead letter", map[string]string{"DLQMessageCount service=cloudflow queue=notifications": "1"})
	w.now = w.now.Add(time.Minute)
	all["DLQMessageCount service=cloudflow queue=notifications"] = "1"
	w.wants("a minute later", all)
	dead, review = math.NaN(), math.Inf(1)
	w.wants("no numbers", map[string]string{})
}

func TestEMFOnLambdaLeavesOutWhatAWSHas(t *testing.T) {
	w := newEMFWorld(t, EMFOptions{Lambda: true})
	w.Histogram(TaskDuration, "payment.charge").Took(time.Second)
	w.Histogram(StoreCommitDuration, "cloudflow").Took(5 * time.Millisecond)
	w.wants("a task and a commit", map[string]string{"StoreCommitDuration service=cloudflow store=cloudflow": "5"})
}

func TestEMFOfAStageIsWhatItsAlarmsAskFor(t *testing.T) {
	w := newEMFWorld(t, EMFOptions{Service: "order-handler", Stage: "prod", Lambda: true})
	w.Observe(func(_ context.Context, o Observer) error {
		o.Set(QueueMessages, 2, "notifications", "dead")
		o.Set(QueueMessages, 9, "notifications", "ready")
		return nil
	})
	w.Counter(OrdersCreated).Inc()
	for _, status := range []string{"CONFIRMED", "CONFIRMED", "COMPENSATED", "CANCELLED", "FAILED"} {
		w.Counter(OrdersEnded, status).Inc()
	}
	w.Counter(SagaExecutions, "SUCCEEDED").Inc()
	w.Counter(BreakerChanges, "payment-charge", "OPEN").Inc()
	w.Counter(BreakerChanges, "payment-refund", "OPEN").Inc()
	w.wants("all that there is", map[string]string{
		"OrdersCreated Stage=prod":                        "1",
		"SAGASuccessRate Stage=prod":                      "[0,0,0,100,100]",
		"SAGACompensationRate Stage=prod":                 "[0,0,0,100,100]",
		"CircuitBreakerStateChange Stage=prod State=OPEN": "[1,1]",
		"DLQMessageCount Stage=prod":                      "2",
	})
	w.wants("a gauge is said at each invocation", map[string]string{"DLQMessageCount Stage=prod": "2"})
}

func TestEMFHistogramsKeepTheirSumAndTheirSide(t *testing.T) {
	w := newEMFWorld(t, EMFOptions{})
	task := w.Histogram(TaskDuration, "inventory.reserve")
	const key = "LambdaDuration service=cloudflow task=inventory.reserve"
	within := func(rule string, count int, sum float64, beyond int) {
		t.Helper()
		text := w.flush()[key]
		var values []float64
		var d emfDistribution
		switch {
		case strings.HasPrefix(text, "["):
			if err := json.Unmarshal([]byte(text), &values); err != nil {
				t.Fatal(err)
			}
		case strings.HasPrefix(text, "{"):
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatal(err)
			}
			for n, v := range d.Values {
				values = append(values, slices.Repeat([]float64{v}, int(d.Counts[n]))...)
			}
		default:
			t.Fatalf("%s: %q", rule, text)
		}
		got, over := 0.0, 0
		for _, v := range values {
			if got += v; v > 3000 {
				over++
			}
		}
		if len(values) != count || math.Abs(got-sum) > 1e-6*sum || over != beyond {
			t.Errorf("%s: %d values of %v, %d over 3 s; want %d of %v, %d: %s", rule, len(values), got, over, count, sum, beyond, text)
		}
	}
	task.Took(2900 * time.Millisecond)
	task.Took(3100 * time.Millisecond)
	within("either side of 3 s", 2, 6000, 1)
	for n := range 250 {
		task.Took(time.Duration(n) * 10 * time.Millisecond)
	}
	within("many", 250, 249*250/2*10, 0)
	task.Took(time.Hour)
	task.Took(time.Minute)
	task.Took(700 * time.Millisecond)
	within("beyond the last bound", 3, 3_660_700, 2)
	task.Took(0)
	task.Took(0)
	if got := w.flush()[key]; got != "[0,0]" {
		t.Errorf("two that took nothing: %s", got)
	}
}

// data is what an instrument of the catalog would give, with values that ours never have.
func data(m metricdata.Metrics) *metricdata.ResourceMetrics {
	return &metricdata.ResourceMetrics{ScopeMetrics: []metricdata.ScopeMetrics{{Metrics: []metricdata.Metrics{m}}}}
}

func TestEMFLeavesOutWhatCloudWatchDoesNotTake(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	name := catalog[ExecutionsOpen].Name
	for value, want := range map[float64]string{
		math.NaN(): "", math.Inf(1): "", math.Inf(-1): "", math.MaxFloat64: "", -math.MaxFloat64: "", math.Ldexp(1, 361): "",
		math.SmallestNonzeroFloat64: "0", 1e100: "1e+100", -5: "-5", .1: "0.1",
	} {
		var out bytes.Buffer
		e := NewEMF(&out, EMFOptions{Now: func() time.Time { return now }})
		err := e.Export(t.Context(), data(metricdata.Metrics{Name: name, Data: metricdata.Gauge[float64]{
			DataPoints: []metricdata.DataPoint[float64]{{Value: value}},
		}}))
		got := told(t, out.Bytes(), now)
		if err != nil || got["OpenExecutions service=cloudflow"] != want || (want == "") != (out.Len() == 0) {
			t.Errorf("%v is written as %v, %v", value, got, err)
		}
	}
	t.Run("and keeps the rest", func(t *testing.T) {
		var out bytes.Buffer
		e := NewEMF(&out, EMFOptions{Now: func() time.Time { return now }})
		point := func(task string, sum float64) metricdata.HistogramDataPoint[float64] {
			return metricdata.HistogramDataPoint[float64]{
				Attributes: attribute.NewSet(attribute.String("task", task)), Bounds: []float64{1}, BucketCounts: []uint64{0, 2}, Count: 2, Sum: sum,
			}
		}
		if err := e.Export(t.Context(), data(metricdata.Metrics{Name: catalog[TaskDuration].Name, Data: metricdata.Histogram[float64]{
			DataPoints: []metricdata.HistogramDataPoint[float64]{point("a", math.Inf(1)), point("b", math.NaN()), point("c", 1e300), point("d", 8)},
		}})); err != nil {
			t.Fatal(err)
		}
		got := told(t, out.Bytes(), now)
		if len(got) != 2 || got["LambdaDuration service=cloudflow task=d"] != "[4000,4000]" {
			t.Errorf("%v", got)
		}
	})
	t.Run("and what it does not know", func(t *testing.T) {
		var out bytes.Buffer
		e := NewEMF(&out, EMFOptions{})
		for _, m := range []metricdata.Metrics{
			{Name: "another.library", Data: metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Value: 1}}}},
			{Name: name, Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 1}}}},
			{Name: catalog[TaskDuration].Name, Data: metricdata.Histogram[float64]{DataPoints: []metricdata.HistogramDataPoint[float64]{{Count: 1}}}},
			{Name: name},
		} {
			if err := e.Export(t.Context(), data(m)); err != nil || out.Len() > 0 {
				t.Errorf("%+v: %v, %s", m, err, out.Bytes())
			}
		}
	})
}

func TestEMFSplitsWhatIsTooMuchForALine(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	g := &group{sets: [][]string{{"service"}}, values: []pair{{"service", "s"}}}
	for n := range 230 {
		g.metrics = append(g.metrics, &emfMetric{name: fmt.Sprintf("M%d", n), unit: "Count", values: []counted{{float64(n), 1}}})
	}
	for n := range 310 {
		g.metrics[7].values = append(g.metrics[7].values, counted{float64(n), 2})
	}
	var text []byte
	lines := 0
	for ; len(g.metrics) > 0; lines++ {
		var line []byte
		line, g.metrics = g.line(now)
		text = append(text, line...)
	}
	got := told(t, text, now)
	if lines != 4 || len(got) != 230 {
		t.Errorf("%d metrics in %d lines", len(got), lines)
	}
	if n := strings.Count(got["M7 service=s"], "Values"); n != 3 { // the last few are a list
		t.Errorf("311 values in %d distributions", n)
	}
}

func TestEMFSaysWhenItCannotWrite(t *testing.T) {
	m, err := Open(Config{EMF: NewEMF(failing{}, EMFOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Errorf("with nothing to write: %v", err)
	}
	m.Counter(OrdersCreated).Inc()
	if err := m.Flush(t.Context()); err == nil {
		t.Error("no error")
	}
}

// What many count while others flush is written once each, in whole lines.
func TestEMFBesideCounting(t *testing.T) {
	out := &lockedBuffer{}
	m, err := Open(Config{EMF: NewEMF(out, EMFOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	const goroutines, each = 4, 2000
	var counting, flushing sync.WaitGroup
	done := make(chan struct{})
	for range goroutines {
		counting.Go(func() {
			created, task := m.Counter(OrdersCreated), m.Histogram(TaskDuration, "order.record")
			for range each {
				created.Inc()
				task.Took(time.Millisecond)
			}
		})
	}
	for range 2 {
		flushing.Go(func() {
			for {
				if err := m.Flush(context.Background()); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	counting.Wait()
	close(done)
	flushing.Wait()
	if err := m.Close(t.Context()); err != nil { // the last flush
		t.Fatal(err)
	}
	created, tasks := 0.0, 0
	for line := range bytes.Lines(out.b.Bytes()) {
		for key, text := range told(t, line, time.Now()) {
			switch key {
			case "OrdersCreated service=cloudflow":
				var n float64
				if err := json.Unmarshal([]byte(text), &n); err != nil {
					t.Fatal(err)
				}
				created += n
			case "LambdaDuration service=cloudflow":
				var d emfDistribution
				var list []float64
				if json.Unmarshal([]byte(text), &d) == nil {
					tasks += int(d.Count)
				} else if json.Unmarshal([]byte(text), &list) == nil {
					tasks += len(list)
				} else {
					tasks++
				}
			}
		}
	}
	if created != goroutines*each || tasks != goroutines*each {
		t.Errorf("%v orders and %d tasks, want %d", created, tasks, goroutines*each)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// It is an exporter like any other: for the SDK's own reader too.
func TestEMFIsAnExporter(t *testing.T) {
	var out bytes.Buffer
	var e sdkmetric.Exporter = NewEMF(&out, EMFOptions{})
	reader := sdkmetric.NewPeriodicReader(e)
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	created, err := meter.Float64Counter(catalog[OrdersCreated].Name)
	if err != nil {
		t.Fatal(err)
	}
	created.Add(t.Context(), 2)
	if err := reader.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := reader.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := told(t, out.Bytes(), time.Now()); got["OrdersCreated service=cloudflow"] != "2" || len(got) != 1 {
		t.Errorf("%v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Export(ended, &metricdata.ResourceMetrics{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
