package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// families are the metrics as a scraper reads them.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	f, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMetrics(t *testing.T) {
	w := newWorld()
	c := w.serve(t)
	c.send("POST", "/orders", oneLine)
	c.send("POST", "/orders", "{")
	c.send("GET", "/orders/"+orderID, "")
	c.send("GET", "/orders/"+orderID, "", "If-None-Match", `"v4"`)
	c.send("HEAD", "/orders/"+orderID, "")
	for n := range 50 { // none of these makes a label of its own
		c.send("GET", fmt.Sprintf("/basket-%d", n), "")
		c.send(fmt.Sprintf("MAKE%d", n), "/orders", "")
		c.send("GET", "/orders/"+strings.Repeat("x", n+1), "")
	}
	w.panic = "a bug"
	c.send("GET", "/products", "")
	w.panic = nil
	a := c.send("GET", "/metrics", "", "Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1")
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %v", a.status, a.header)
	}
	got := families(t, a.body)
	count := map[string]float64{}
	for _, m := range got["cloudflow_http_requests_total"].GetMetric() {
		name := ""
		for _, l := range m.GetLabel() {
			name += l.GetValue() + " "
		}
		count[strings.TrimSpace(name)] = m.GetCounter().GetValue()
	}
	for name, want := range map[string]float64{
		"POST /orders 2xx": 1, "POST /orders 4xx": 1, "GET /orders/{order_id} 2xx": 52, "GET /orders/{order_id} 3xx": 1,
		"GET /products 5xx": 1, "other other 4xx": 100,
	} {
		if count[name] != want {
			t.Errorf("%s: %v, want %v", name, count[name], want)
		}
	}
	if most := 5 * (len(everyCall) + 1); len(count) > most {
		t.Errorf("%d time series, at most %d: a label is made of what callers send", len(count), most)
	}
	for _, name := range []string{"cloudflow_http_request_duration_seconds", "cloudflow_executions_open", "go_goroutines", "process_open_fds"} {
		if got[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}
