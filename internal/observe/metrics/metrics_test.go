package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
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

func TestWhatIsKnownElsewhereIsReadAtEachScrape(t *testing.T) {
	m := New()
	value := 1.0
	m.Observe(func(_ context.Context, o Observer) error {
		o.Set(StoreDisk, value, "a")
		o.Set(StoreDisk, 2*value, "b")
		o.Set(StoreCommits, 7*value, "a")
		return nil
	})
	for ; value < 4; value++ {
		families := parsed(t, m)
		disk := families["cloudflow_store_disk_bytes"].GetMetric()
		if len(disk) != 2 || disk[0].GetGauge().GetValue() != value || disk[1].GetGauge().GetValue() != 2*value {
			t.Errorf("%v", disk)
		}
		commits := families["cloudflow_store_commits_total"]
		if commits.GetType() != dto.MetricType_COUNTER || commits.GetMetric()[0].GetCounter().GetValue() != 7*value {
			t.Errorf("%v", commits)
		}
	}
	for name, read := range map[string]func(context.Context, Observer) error{
		"the store is away":  func(context.Context, Observer) error { return errors.New("the store is away") },
		"index out of range": func(context.Context, Observer) error { panic("index out of range") },
		"the labels":         func(_ context.Context, o Observer) error { o.Set(StoreDisk, 1); return nil },
		"nobody can set":     func(_ context.Context, o Observer) error { o.Set(TaskDuration, 1, "x"); return nil },
	} {
		t.Run("what cannot be read is an error, and nothing is written: "+name, func(t *testing.T) {
			m, wrong := New(), true
			m.Observe(func(ctx context.Context, o Observer) error {
				if !wrong {
					return nil
				}
				return read(ctx, o)
			})
			var text strings.Builder
			if err := m.Write(&text); err == nil || text.Len() > 0 || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, %q", err, text.String())
			}
			wrong = false
			if err := m.Write(&text); err != nil || text.Len() == 0 {
				t.Errorf("%v, after it can be read again", err)
			}
		})
	}
	t.Run("whoever has gone is no error", func(t *testing.T) {
		if err := m.Write(failing{}); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsKnownBeforehandIsThereAtZero(t *testing.T) {
	m := New()
	m.Histogram(TaskDuration, "inventory.reserve")
	m.Counter(BreakerChanges, "payment-charge", "OPEN")
	families := parsed(t, m)
	for name, n := range map[string]int{
		"cloudflow_orders_created_total": 1, "cloudflow_orders_ended_total": 4, "cloudflow_saga_executions_total": 4,
		"cloudflow_breaker_changes_total": 1, "cloudflow_task_duration_seconds": 1,
	} {
		series := families[name].GetMetric()
		if len(series) != n {
			t.Errorf("%s has %d series, want %d", name, len(series), n)
		}
		for _, s := range series {
			if s.GetCounter().GetValue() != 0 || s.GetHistogram().GetSampleCount() != 0 {
				t.Errorf("%s begins with %v", name, s)
			}
		}
	}
	if got := len(families["cloudflow_task_duration_seconds"].GetMetric()[0].GetHistogram().GetBucket()); got != len(taskBounds)+1 {
		t.Errorf("%d buckets", got)
	}
}

func TestASeriesIsOne(t *testing.T) {
	m := New()
	failed, task := m.Counter(OrdersEnded, "FAILED"), m.Histogram(TaskDuration, "a")
	if failed != m.Counter(OrdersEnded, "FAILED") || task != m.Histogram(TaskDuration, "a") {
		t.Error("two for one name")
	}
	if m.Counter(HTTPRequests, "a", "b", "c") == m.Counter(HTTPRequests, "a", "bc", "") {
		t.Error("one for two")
	}
	for name, ask := range map[string]func(){
		"a counter that is a histogram": func() { m.Counter(TaskDuration, "a") },
		"a histogram that is a gauge":   func() { m.Histogram(FeedLag) },
		"too few labels":                func() { m.Counter(OrdersEnded) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is given out", name)
				}
			}()
			ask()
		}()
	}
}

func TestHistograms(t *testing.T) {
	m := New()
	h := m.Histogram(TaskDuration, "payment.charge")
	for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Millisecond + 1, 3 * time.Second, 3*time.Second + 1, time.Hour} {
		h.Took(d)
	}
	got := parsed(t, m)["cloudflow_task_duration_seconds"].GetMetric()[0].GetHistogram()
	if got.GetSampleCount() != 7 || math.Abs(got.GetSampleSum()-3606.002000002) > 1e-9 {
		t.Errorf("%d values of %v", got.GetSampleCount(), got.GetSampleSum())
	}
	for _, b := range got.GetBucket() {
		want, known := map[float64]uint64{.001: 3, .0025: 4, 2: 4, 3: 5, 5: 6, 20: 6}[b.GetUpperBound()]
		if known && b.GetCumulativeCount() != want {
			t.Errorf("%d up to %v, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
	group := m.Histogram(StoreGroupCommits, "cloudflow")
	group.Held(1)
	group.Held(512)
	if got := parsed(t, m)["cloudflow_store_group_commits"].GetMetric()[0].GetHistogram(); got.GetSampleSum() != 513 || got.GetBucket()[0].GetCumulativeCount() != 1 {
		t.Errorf("%v", got)
	}
}

// Many count while others look: nothing is lost, and no look sees less than the one before.
func TestCountingBesideLooking(t *testing.T) {
	m := New()
	const goroutines, each = 8, 5000
	var counting sync.WaitGroup
	for range goroutines {
		counting.Go(func() {
			created, took := m.Counter(OrdersCreated), m.Histogram(TaskDuration, "order.record")
			for n := range each {
				created.Inc()
				took.Took(time.Duration(n) * time.Microsecond)
			}
		})
	}
	done := make(chan struct{})
	go func() { counting.Wait(); close(done) }()
	last := 0.0
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		families := parsed(t, m)
		n := families["cloudflow_orders_created_total"].GetMetric()[0].GetCounter().GetValue()
		if n < last {
			t.Fatalf("%v after %v", n, last)
		}
		last = n
		if ended {
			h := families["cloudflow_task_duration_seconds"].GetMetric()[0].GetHistogram()
			if n != goroutines*each || h.GetSampleCount() != goroutines*each {
				t.Errorf("%v and %d of %d", n, h.GetSampleCount(), goroutines*each)
			}
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

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

func TestNilCountsNothing(t *testing.T) {
	var none *Metrics
	none.Counter(OrdersCreated).Inc()
	none.Histogram(TaskDuration, "inventory.reserve").Took(time.Second)
	none.Watch(func(string, string, int, time.Duration) { t.Error("it is watched") })
	none.Route("POST", "/orders").Answered(202, time.Second)
	none.Observe(func(context.Context, Observer) error { t.Error("it is asked"); return nil })
	if err := errors.Join(none.Flush(t.Context()), none.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := none.Write(io.Discard); err == nil {
		t.Error("it has something to write")
	}
}
