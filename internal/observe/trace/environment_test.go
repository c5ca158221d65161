package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // the collector of the test takes it
	"google.golang.org/protobuf/proto"
)

// settings reads an environment of names and values in turn.
func settings(pairs ...string) (*Settings, error) {
	all := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return Environment(func(name string) string { return all[name] }, "v1.2.3")
}

// opened is the tracer of an environment. It is closed without waiting for a collector.
func opened(t *testing.T, pairs ...string) *Tracer {
	t.Helper()
	s, err := settings(pairs...)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := Open(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = tracer.Close(ended)
	})
	return tracer
}

func TestTracingIsOffUntilItIsAskedFor(t *testing.T) {
	for name, pairs := range map[string][]string{
		"nothing is set":                      nil,
		"the exporter is none":                {"OTEL_TRACES_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"},
		"the SDK is disabled":                 {"OTEL_SDK_DISABLED", "true", "OTEL_TRACES_EXPORTER", "otlp"},
		"only a sampler is set":               {"OTEL_TRACES_SAMPLER", "always_on"},
		"only the metrics have an endpoint":   {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:1"},
		"what is wrong is not looked at then": {"OTEL_SDK_DISABLED", "true", "OTEL_TRACES_EXPORTER", "zipkin"},
	} {
		if s, err := settings(pairs...); s != nil || err != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if tracer, err := Open(nil, nil); tracer != nil || err != nil {
		t.Errorf("of no settings: %v, %v", tracer, err)
	}
}

func TestAWrongVariableIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"an exporter":    {[]string{"OTEL_TRACES_EXPORTER", "zipkin"}, `OTEL_TRACES_EXPORTER "zipkin" is not otlp, console (JSON to stderr), or none`},
		"one of two":     {[]string{"OTEL_TRACES_EXPORTER", "otlp, jaeger"}, `"otlp, jaeger" is not`},
		"none and one":   {[]string{"OTEL_TRACES_EXPORTER", "none,otlp"}, "is none and something"},
		"a protocol":     {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"}, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL "http/json" is not http/protobuf, grpc`},
		"an endpoint":    {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"}, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT "localhost:4318" is no http:// or https:// URL`},
		"a sampler":      {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "ratio"}, `OTEL_TRACES_SAMPLER "ratio" is not always_on`},
		"a share":        {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG", "1%"}, `OTEL_TRACES_SAMPLER_ARG "1%" is no share from 0 to 1`},
		"a share of 2":   {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "2"}, "OTEL_TRACES_SAMPLER_ARG"},
		"not a number":   {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "NaN"}, "OTEL_TRACES_SAMPLER_ARG"},
		"a propagator":   {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_PROPAGATORS", "b3"}, `OTEL_PROPAGATORS "b3" is not of tracecontext`},
		"an attribute":   {[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_RESOURCE_ATTRIBUTES", "novalue"}, "OTEL_RESOURCE_ATTRIBUTES"},
		"what is unused": {[]string{"OTEL_TRACES_EXPORTER", "console", "OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := settings(c.pairs...)
			if c.want == "" {
				if s == nil || err != nil {
					t.Errorf("%v, %v", s, err)
				}
				return
			}
			if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// received are the spans that a collector got.
type received struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []string
}

func (r *received) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range in.GetResourceSpans() {
		var of []string
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" || a.GetKey() == "service.version" || a.GetKey() == "team" {
				of = append(of, a.GetKey()+"="+a.GetValue().GetStringValue())
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, s.GetName()+" of "+strings.Join(of, " "))
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP is OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var from io.Reader = req.Body
	if zipped, err := gzip.NewReader(req.Body); err == nil && req.Header.Get("Content-Encoding") == "gzip" {
		from = zipped
	}
	body, err := io.ReadAll(from)
	in := &collector.ExportTraceServiceRequest{}
	if err != nil || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, in) != nil {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	_, _ = r.Export(req.Context(), in)
}

func TestSpansReachACollector(t *testing.T) {
	http1 := func(t *testing.T, r *received) string {
		server := httptest.NewServer(r)
		t.Cleanup(server.Close)
		return server.URL
	}
	overGRPC := func(t *testing.T, r *received) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		collector.RegisterTraceServiceServer(server, r)
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		return "http://" + l.Addr().String()
	}
	for protocol, start := range map[string]func(*testing.T, *received) string{"http/protobuf": http1, "grpc": overGRPC} {
		t.Run(protocol, func(t *testing.T) {
			r := &received{}
			tracer := opened(t, "OTEL_EXPORTER_OTLP_ENDPOINT", start(t, r), "OTEL_EXPORTER_OTLP_PROTOCOL", protocol,
				"OTEL_RESOURCE_ATTRIBUTES", "team=shop", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
			_, span := tracer.Continue(t.Context(), func(string) string { return "" }, Server, "POST /orders")
			span.End(nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := tracer.Close(ctx); err != nil {
				t.Fatal(err)
			}
			if want := "POST /orders of service.name=cloudflow service.version=v1.2.3 team=shop"; len(r.spans) != 1 || r.spans[0] != want {
				t.Errorf("it got %q", r.spans)
			}
		})
	}
}

func TestTheSamplerIsThatOfTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		sampler, share, from string
		want                 bool
	}{
		{"", "", "", true},
		{"", "", parent, true},
		{"", "", strings.TrimSuffix(parent, "01") + "00", false},
		{"always_off", "", parent, false},
		{"traceidratio", "0", parent, false},
		{"parentbased_traceidratio", "0", parent, true},
		{"parentbased_traceidratio", "0", "", false},
		{"parentbased_traceidratio", "1", "", true},
	} {
		tracer := opened(t, "OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", c.sampler, "OTEL_TRACES_SAMPLER_ARG", c.share)
		ctx, _ := tracer.Continue(t.Context(), func(name string) string { return map[string]string{"traceparent": c.from}[name] }, Server, "a")
		if Sampled(ctx) != c.want {
			t.Errorf("%+v: sampled %v", c, Sampled(ctx))
		}
	}
}

func TestPropagatorsAreThoseOfTheEnvironment(t *testing.T) {
	header := "Root=1-11111111-222222222222222222222222;Parent=3333333333333333;Sampled=1"
	w3c, aws := parent[3:35], "11111111222222222222222222222222"
	for text, want := range map[string]string{
		"": w3c, "tracecontext,xray": w3c, "xray,tracecontext": aws, "xray": aws, "tracecontext,baggage": w3c, "none": "",
	} {
		tracer := opened(t, "OTEL_TRACES_EXPORTER", "otlp", "OTEL_PROPAGATORS", text)
		ctx, _ := tracer.Continue(t.Context(), func(name string) string {
			return map[string]string{"traceparent": parent, "X-Amzn-Trace-Id": header}[name]
		}, Server, "a")
		if got := PlaceOf(ctx).String()[3:35]; got != want && (want != "" || got == w3c || got == aws) {
			t.Errorf("%q: it is in the trace %s", text, got)
		}
	}
}

func TestComplaintsDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	c := &complaints{log: slog.New(slog.NewTextHandler(&log, nil))}
	for range 100 {
		c.Handle(io.ErrUnexpectedEOF)
	}
	if n := strings.Count(log.String(), "Telemetry is not exported"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
