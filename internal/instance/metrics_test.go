package instance_test

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// scrape is what GET /metrics says, each value under its name and labels.
func (w *world) scrape() map[string]float64 {
	w.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(w.call("GET", "/metrics", nil).is(http.StatusOK).body))
	if err != nil {
		w.t.Fatal(err)
	}
	values := map[string]float64{}
	for name, family := range families {
		if family.GetHelp() == "" {
			w.t.Errorf("%s is not explained", name)
		}
		if counter := family.GetType() == dto.MetricType_COUNTER; strings.HasPrefix(name, "cloudflow_") && counter != strings.HasSuffix(name, "_total") {
			w.t.Errorf("%s is a %s", name, family.GetType())
		}
		w.families = append(w.families, name)
		for _, m := range family.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			values[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetricsTellWhatAnInstanceDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	before := w.scrape()
	w.place(request(visa, "A"))
	w.rest()
	w.call("POST", "/admin/breakers/payment-charge/trip", nil).is(http.StatusOK)
	w.call("POST", "/orders", request(visa, "A")).is(http.StatusServiceUnavailable)
	after := w.scrape()
	for name, want := range map[string]float64{
		"cloudflow_http_requests_total POST /orders 2xx":     1,
		"cloudflow_http_requests_total POST /orders 5xx":     1,
		"cloudflow_http_request_duration_seconds GET /ready": 0,
		"cloudflow_breaker_state payment-charge OPEN":        1,
		"cloudflow_breaker_state payment-charge CLOSED":      -1,
		"cloudflow_breaker_state payment-refund CLOSED":      0,
		"cloudflow_executions_open":                          0,
		"cloudflow_store_low_disk cloudflow":                 0,
		"cloudflow_queue_messages ready notifications":       0,
		"cloudflow_queue_messages dead notifications":        0,
		"cloudflow_build_info ":                              0,

		"cloudflow_orders_created_total":                           1,
		"cloudflow_orders_ended_total CONFIRMED":                   1,
		"cloudflow_orders_ended_total COMPENSATED":                 0,
		"cloudflow_saga_executions_total SUCCEEDED":                1,
		"cloudflow_saga_executions_total TIMED_OUT":                0,
		"cloudflow_breaker_changes_total payment-charge OPEN":      1,
		"cloudflow_breaker_changes_total payment-refund HALF_OPEN": 0,
		"cloudflow_task_duration_seconds payment.charge":           1,
		"cloudflow_task_duration_seconds payment.refund":           0,
		"cloudflow_orders_review":                                  0,
		"cloudflow_feed_lag_seconds":                               0,
	} {
		value, ok := after[name]
		if got := value - before[name]; !ok || got != want {
			t.Errorf("%s moved by %v, want %v (there: %v)", name, got, want, ok)
		}
	}
	commits := after["cloudflow_store_commits_total cloudflow"] - before["cloudflow_store_commits_total cloudflow"]
	syncs := after["cloudflow_store_syncs_total cloudflow"] - before["cloudflow_store_syncs_total cloudflow"]
	if commits < 8 || syncs < 1 || syncs > commits || after["cloudflow_store_disk_bytes provider"] == 0 {
		t.Errorf("%v commits, %v syncs", commits, syncs)
	}
	for name, want := range map[string]float64{
		"cloudflow_store_commit_duration_seconds cloudflow": commits, "cloudflow_store_sync_duration_seconds cloudflow": syncs,
		"cloudflow_store_group_commits cloudflow": syncs,
	} {
		// Both are told after the answers have left, so a look may come between.
		if got := after[name] - before[name]; got < want-1 || got > want+1 {
			t.Errorf("%s moved by %v, want %v", name, got, want)
		}
	}
}

func TestARunningInstanceHasTheWholeCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scrape()
	for _, row := range metrics.Catalog() {
		if !slices.Contains(w.families, row.Prometheus) {
			t.Errorf("/metrics has no %s", row.Prometheus)
		}
	}
}

func TestTheStatusesThatAreCountedAreAllThatThereAre(t *testing.T) {
	t.Parallel()
	orders := []string{order.Confirmed, order.Failed, order.Compensated, order.Cancelled}
	executions := []string{string(asl.StatusSucceeded), string(asl.StatusFailed), string(asl.StatusTimedOut), string(asl.StatusAborted)}
	if !slices.Equal(metrics.OrderStatuses, orders) || !slices.Equal(metrics.ExecutionStatuses, executions) {
		t.Errorf("%q and %q", metrics.OrderStatuses, metrics.ExecutionStatuses)
	}
}

func TestAFollowerWhoKeepsUpIsNotBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	f := &follower{t: t, told: map[string][]feedEvent{}}
	f.follow(w)
	id := w.place(request(visa, "A")).OrderID
	w.rest() // commits what is no event, too: the end of the saga
	eventually(t, "the follower is up to date", func() bool { return w.scrape()["cloudflow_feed_lag_seconds"] == 0 })
	f.heard(w, id)
	f.leave()
}

// Orders go on at their pace while a collector takes the connection and says nothing, and the stop is not held for long.
func TestACollectorThatHangsDelaysNoOrder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	otlp, err := metrics.Environment(func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(), "OTEL_METRIC_EXPORT_INTERVAL": "1"}[name]
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *instance.Config) { c.OTLP = otlp })
	w.product("A", 100)
	conn, err := l.Accept() // it is being sent to
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 20 {
		ended(t, w.place(request(visa, "A")), "CONFIRMED", confirmedLog)
	}
	if got := w.scrape()["cloudflow_orders_created_total"]; got != 20 {
		t.Errorf("%v orders are counted", got)
	}
	began := time.Now()
	w.end()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop takes %s", took)
	}
}

func TestMetricsShowDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 5)
	w.mail.refusing(func(e notification.Email) error { return fault.New(fault.ValidationFailed, "no such mailbox") })
	r := request(visa, "A")
	r.Contact = &contact
	w.place(r)
	eventually(t, "the notification is among the dead letters or on its way there", func() bool {
		values := w.scrape()
		return values["cloudflow_queue_messages in_flight notifications"]+values["cloudflow_queue_messages dead notifications"] == 1
	})
}
