package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A spanCollector takes spans over OTLP, as any collector does.
type spanCollector struct {
	mu    sync.Mutex
	spans map[string]*otlp.Span // by ID
}

func newSpanCollector(t *testing.T) *spanCollector {
	t.Helper()
	c := &spanCollector{spans: map[string]*otlp.Span{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		in := &collector.ExportTraceServiceRequest{}
		if err != nil || proto.Unmarshal(body, in) != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range in.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, s := range scope.GetSpans() {
					c.spans[string(s.GetSpanId())] = s
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // ms
	return c
}

// names counts the spans by name, and those whose parent has not come.
func (c *spanCollector) names() (names map[string]int, orphans []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names = map[string]int{}
	for _, s := range c.spans {
		names[s.GetName()]++
		if parent := string(s.GetParentSpanId()); parent != "" && c.spans[parent] == nil {
			orphans = append(orphans, s.GetName())
		}
	}
	return names, orphans
}

// The process is killed while it charges a card. The trace of the order goes on in the next one, and has one saga.
func TestATraceSurvivesKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("eight seconds of real time")
	}
	c, dir := newSpanCollector(t), t.TempDir()
	p := start(t, dir)
	s := &service{t: t, url: p.log.url(t), data: dir}
	s.cli("product", "put", "A", "--name", "A", "--price", "1000", "--stock", "5").exits(0)
	id := one[apigen.OrderAccepted](s.cli("order", "place", "--customer", "c", "--item", "A=1", "--payment-method", "pm_sim_timeout_charged", "--json").
		exits(0)).OrderID
	eventually(t, "the card is being charged, and what was before is exported", func() bool {
		names, _ := c.names()
		return names["payment-provider open"] == 1 && names["RecordReservation"] == 1 && names["POST /orders"] == 1
	})
	p.kill()
	if names, orphans := c.names(); names["cloudflow-saga"] != 0 || len(orphans) == 0 {
		t.Fatalf("killed too late: %v", names)
	}
	p = start(t, dir)
	s.url = p.log.url(t)
	eventually(t, "the order is confirmed, and the customer is told", func() bool {
		names, _ := c.names()
		return names["notification-handler"] == 1
	})
	if o := one[apigen.Order](s.cli("order", "get", id, "--json").exits(0)); o.Status != "CONFIRMED" {
		t.Errorf("the order is %s", o.Status)
	}
	p.terminate()
	names, orphans := c.names()
	for name, want := range map[string]int{"POST /orders": 1, "cloudflow-saga": 1, "ReserveStock": 1, "ChargePayment": 1, "Done": 1, "notification-handler": 1} {
		if names[name] != want {
			t.Errorf("%d spans %s, want %d", names[name], name, want)
		}
	}
	if len(orphans) > 0 {
		t.Errorf("no parents of %v", orphans)
	}
}

func TestACollectorThatIsAwayKeepsNoOrderWaiting(t *testing.T) {
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hangs)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // ms; the library reads it
	s := serveIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL}, t.TempDir(), "--demo")
	began := time.Now()
	for range 20 {
		if o := s.place("--item", "MOUSE-01=1"); o.Status != "CONFIRMED" {
			t.Fatalf("the order is %s", o.Status)
		}
	}
	if code := s.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAWrongTracingVariableIsAUsageError(t *testing.T) {
	dir := t.TempDir() + "/d"
	invoke(t, []string{"OTEL_TRACES_EXPORTER=zipkin"}, "serve", "--data", dir).exits(2).hints("OTEL_TRACES_EXPORTER", "otlp, console")
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}
