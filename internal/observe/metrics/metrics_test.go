package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// parsed is what m writes, as a scraper reads it.
func parsed(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestRequestsAreCounted(t *testing.T) {
	m := New()
	route := m.Route("POST", "/orders")
	for _, status := range []int{202, 200, 429, 503, 0, 999, -100} {
		route.Answered(status, 30*time.Millisecond)
	}
	families := parsed(t, m)
	got := map[string]float64{}
	for _, metric := range families["cloudflow_http_requests_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range metric.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["method"] != "POST" || labels["route"] != "/orders" {
			t.Errorf("labels %v", labels)
		}
		got[labels["status"]] = metric.GetCounter().GetValue()
	}
	for status, want := range map[string]float64{"1xx": 0, "2xx": 2, "3xx": 0, "4xx": 1, "5xx": 4} {
		if got[status] != want {
			t.Errorf("%s: %v, want %v", status, got[status], want)
		}
	}
	h := families["cloudflow_http_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 7 || h.GetSampleSum() < 0.2 || h.GetSampleSum() > 0.22 {
		t.Errorf("%v", h)
	}
}

func TestWhatTheProcessIsIsThere(t *testing.T) {
	families := parsed(t, New())
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total", "process_open_fds", "go_build_info"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

func TestSamples(t *testing.T) {
	m := New()
	value := 1.0
	m.Collect(func(add func(Sample)) {
		add(Sample{Name: "things", Help: "Things.", Value: value, Labels: []string{"kind", "a"}})
		add(Sample{Name: "things", Help: "Things.", Value: 2 * value, Labels: []string{"kind", "b"}})
		add(Sample{Name: "done_total", Help: "Done.", Value: 7, Counter: true})
	})
	t.Run("they are read at each scrape", func(t *testing.T) {
		for ; value < 4; value++ {
			things := parsed(t, m)["cloudflow_things"].GetMetric()
			if len(things) != 2 || things[0].GetGauge().GetValue() != value || things[1].GetGauge().GetValue() != 2*value {
				t.Errorf("%v", things)
			}
		}
	})
	t.Run("a counter is one", func(t *testing.T) {
		if family := parsed(t, m)["cloudflow_done_total"]; family.GetType() != dto.MetricType_COUNTER {
			t.Errorf("%v", family)
		}
	})
	t.Run("one that is wrong is an error, and nothing is written", func(t *testing.T) {
		m := New()
		m.Collect(func(add func(Sample)) { add(Sample{Name: "no text: \xff"}) })
		var text strings.Builder
		if err := m.Write(&text); err == nil || text.Len() > 0 {
			t.Errorf("%v, %q", err, text.String())
		}
	})
	t.Run("a panic is an error, and not the end of the process", func(t *testing.T) {
		m := New()
		m.Collect(func(func(Sample)) { panic("index out of range") })
		if err := m.Write(failing{}); err == nil || !strings.Contains(err.Error(), "index out of range") {
			t.Errorf("%v", err)
		}
	})
	t.Run("two of the same name and labels are an error", func(t *testing.T) {
		m := New()
		for range 2 {
			m.Collect(func(add func(Sample)) { add(Sample{Name: "twice"}) })
		}
		if err := m.Write(failing{}); err == nil {
			t.Error("no error")
		}
	})
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

func BenchmarkAnswered(b *testing.B) {
	route := New().Route("POST", "/orders")
	b.ReportAllocs()
	for b.Loop() {
		route.Answered(202, 3*time.Millisecond)
	}
}

func TestRequestsAreToldToWhoWatches(t *testing.T) {
	m := New()
	m.Route("GET", "/before").Answered(200, time.Second) // nobody is told
	var got []string
	m.Watch(func(method, pattern string, status int, took time.Duration) {
		got = append(got, fmt.Sprint(method, " ", pattern, " ", status, " ", took))
	})
	m.Route("POST", "/orders").Answered(503, 2*time.Millisecond)
	m.Route("GET", "/orders/{order_id}").Answered(0, 0)
	if want := []string{"POST /orders 503 2ms", "GET /orders/{order_id} 0 0s"}; !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}
}
