package instance_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
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
