package metrics

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	proto "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/utkarsh698/cloudflow/internal/observe/otlp"
)

// attributeText writes a set as name=value, in order.
type attributeText struct{}

func (attributeText) Encode(it attribute.Iterator) string {
	var all []string
	for it.Next() {
		all = append(all, string(it.Attribute().Key)+"="+it.Attribute().Value.AsString())
	}
	return strings.Join(all, " ")
}

func (attributeText) ID() attribute.EncoderID { return attribute.EncoderID{} }

// A fakeCollector keeps what it is sent.
type fakeCollector struct {
	collector.UnimplementedMetricsServiceServer

	mu    sync.Mutex
	got   []*proto.ResourceMetrics
	paths []string
	keys  []string // the header api-key
	fail  bool
}

func (c *fakeCollector) take(path, key string, r *collector.ExportMetricsServiceRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths, c.keys = append(c.paths, path), append(c.keys, key)
	if c.fail {
		return errors.New("no")
	}
	c.got = append(c.got, r.ResourceMetrics...)
	return nil
}

// Export is the gRPC.
func (c *fakeCollector) Export(ctx context.Context, r *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	return &collector.ExportMetricsServiceResponse{}, c.take("grpc", strings.Join(md.Get("api-key"), ""), r)
}

func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" && err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	var request collector.ExportMetricsServiceRequest
	if err = errors.Join(err, protobuf.Unmarshal(body, &request)); err == nil {
		err = c.take(r.URL.Path, r.Header.Get("Api-Key"), &request)
	}
	if err != nil {
		http.Error(w, strings.Repeat("no ", 1000), http.StatusBadRequest)
	}
}

func (c *fakeCollector) broken(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = yes
}

// value is the latest of an instrument with those labels: a sum's, a gauge's, or how many a histogram has. "": it was not sent.
func (c *fakeCollector) value(name, labels string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := ""
	for _, rm := range c.got {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				if m.Name != name {
					continue
				}
				for _, p := range append(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()...) {
					if text(p.Attributes) == labels {
						got = fmt.Sprint(p.GetAsDouble())
					}
				}
				for _, p := range m.GetHistogram().GetDataPoints() {
					if text(p.Attributes) == labels {
						got = fmt.Sprint(p.GetCount(), " ", p.GetSum(), " ", m.GetHistogram().AggregationTemporality)
					}
				}
			}
		}
	}
	return got
}

func text(attributes []*common.KeyValue) string {
	var all []string
	for _, a := range attributes {
		all = append(all, a.Key+"="+a.Value.GetStringValue())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func serveCollector(t *testing.T, protocol string) (*fakeCollector, string) {
	t.Helper()
	c := &fakeCollector{}
	if protocol == otlp.HTTP {
		s := httptest.NewServer(c)
		t.Cleanup(s.Close)
		return c, s.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterMetricsServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c, "http://" + l.Addr().String()
}

func TestOTLP(t *testing.T) {
	for _, protocol := range []string{otlp.HTTP, otlp.GRPC} {
		for _, compression := range []string{"none", "gzip"} {
			t.Run(protocol+" "+compression, func(t *testing.T) {
				c, url := serveCollector(t, protocol)
				o, err := Environment(variables("OTEL_EXPORTER_OTLP_PROTOCOL="+protocol+" OTEL_EXPORTER_OTLP_ENDPOINT="+url+
					" OTEL_EXPORTER_OTLP_HEADERS=api-key=k OTEL_EXPORTER_OTLP_COMPRESSION="+compression), "1.2.3")
				if err != nil {
					t.Fatal(err)
				}
				m, err := Open(Config{Version: "1.2.3", OTLP: o})
				if err != nil {
					t.Fatal(err)
				}
				m.Counter(OrdersCreated).Inc()
				m.Histogram(TaskDuration, "payment.charge").Took(2 * time.Second)
				m.Observe(func(_ context.Context, o Observer) error { o.Set(ExecutionsOpen, 7); return nil })
				if err := m.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.Counter(OrdersCreated).Inc()
				if err := m.Close(t.Context()); err != nil { // with the last flush
					t.Fatal(err)
				}
				for _, want := range [][3]string{
					{"cloudflow.orders.created", "", "2"},
					{"cloudflow.orders.ended", "status=FAILED", "0"},
					{"cloudflow.executions.open", "", "7"},
					{"cloudflow.build.info", "version=1.2.3", "1"},
					{"cloudflow.task.duration", "task=payment.charge", "1 2 AGGREGATION_TEMPORALITY_CUMULATIVE"},
				} {
					if got := c.value(want[0], want[1]); got != want[2] {
						t.Errorf("%s{%s} is %s, want %s", want[0], want[1], got, want[2])
					}
				}
				path := map[string]string{otlp.HTTP: "/v1/metrics", otlp.GRPC: "grpc"}[protocol]
				if len(c.paths) != 2 || c.paths[0] != path || c.keys[1] != "k" {
					t.Errorf("sent to %q with the keys %q", c.paths, c.keys)
				}
				if got := text(c.got[0].Resource.Attributes); got != "service.name=cloudflow service.version=1.2.3" {
					t.Errorf("by %s", got)
				}
				if err := errors.Join(m.Close(t.Context()), m.Write(io.Discard)); err != nil {
					t.Errorf("after the end: %v", err)
				}
			})
		}
	}
	t.Run("differences, if they are preferred", func(t *testing.T) {
		c, url := serveCollector(t, otlp.HTTP)
		o, err := Environment(variables("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta OTEL_EXPORTER_OTLP_ENDPOINT="+url), "")
		if err != nil {
			t.Fatal(err)
		}
		m, err := Open(Config{OTLP: o})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			m.Counter(OrdersCreated).Inc()
			m.Histogram(TaskDuration, "payment.charge").Took(time.Second)
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, h := c.value("cloudflow.orders.created", ""), c.value("cloudflow.task.duration", "task=payment.charge"); got != "1" || h != "1 1 AGGREGATION_TEMPORALITY_DELTA" {
				t.Errorf("%s and %s", got, h)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestACollectorThatRefusesIsSaidOnce(t *testing.T) {
	c, url := serveCollector(t, otlp.HTTP)
	o, err := Environment(variables("OTEL_EXPORTER_OTLP_ENDPOINT="+url), "")
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	m, err := Open(Config{OTLP: o, Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []bool{true, true, true, false, false, true} {
		c.broken(broken)
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(log.b.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "cannot be sent") || !strings.Contains(lines[1], "sent again") || len(lines[0]) > 600 {
		t.Errorf("said %q", lines)
	}
}

// A collector that takes the connection and says nothing: counting, looking and the end go on.
func TestACollectorThatHangs(t *testing.T) {
	for _, protocol := range []string{otlp.HTTP, otlp.GRPC} {
		t.Run(protocol, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			o, err := Environment(variables("OTEL_METRIC_EXPORT_INTERVAL=1 OTEL_EXPORTER_OTLP_PROTOCOL="+protocol+" OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String()), "")
			if err != nil {
				t.Fatal(err)
			}
			m, err := Open(Config{OTLP: o})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := l.Accept() // it is sending now
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range 1000 {
				m.Counter(OrdersCreated).Inc()
				m.Histogram(TaskDuration, "payment.charge").Took(time.Second)
			}
			if got := parsed(t, m)["cloudflow_orders_created_total"].GetMetric()[0].GetCounter().GetValue(); got != 1000 {
				t.Errorf("%v are counted", got)
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := m.Close(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the end takes %s", took)
			}
		})
	}
}
