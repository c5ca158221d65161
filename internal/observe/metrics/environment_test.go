package metrics

import (
	"strings"
	"testing"
	"time"
)

// variables are an environment: "A=1 B=2".
func variables(text string) func(string) string {
	all := map[string]string{}
	for _, v := range strings.Fields(text) {
		name, value, _ := strings.Cut(v, "=")
		all[name] = strings.ReplaceAll(value, "_SPACE_", " ")
	}
	return func(name string) string { return all[name] }
}

func TestHowOftenMetricsAreSent(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"": {time.Minute, 10 * time.Second},
		"OTEL_METRIC_EXPORT_INTERVAL=15000 OTEL_EXPORTER_OTLP_TIMEOUT=2500":                  {15 * time.Second, 2500 * time.Millisecond},
		"OTEL_METRIC_EXPORT_TIMEOUT=1000":                                                    {time.Minute, time.Second},
		"OTEL_METRIC_EXPORT_TIMEOUT=20000 OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=1":              {time.Minute, time.Millisecond},
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta OTEL_METRICS_EXPORTER=otlp": {time.Minute, 10 * time.Second},
	} {
		o, err := Environment(variables("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1 "+text), "1")
		if err != nil || o.interval != want[0] || o.target.Timeout != want[1] {
			t.Errorf("%q: %+v, %v", text, o, err)
			continue
		}
		if set := (Config{OTLP: o}).resource().Set().Encoded(attributeText{}); set != "service.name=cloudflow service.version=1" {
			t.Errorf("the resource is %s", set)
		}
	}
	for _, text := range []string{"", "OTEL_METRICS_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1", "OTEL_METRICS_EXPORTER=prometheus"} {
		if o, err := Environment(variables(text), ""); o != nil || err != nil {
			t.Errorf("%q: %v, %v", text, o, err)
		}
	}
	for text, hint := range map[string]string{
		"OTEL_METRICS_EXPORTER=console":                                        "/metrics",
		"OTEL_METRIC_EXPORT_INTERVAL=0":                                        "such as 60000",
		"OTEL_METRIC_EXPORT_INTERVAL=99999999999":                              "milliseconds",
		"OTEL_METRIC_EXPORT_TIMEOUT=-1":                                        "milliseconds",
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=rising":             "cumulative, delta, lowmemory",
		"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=exponential": "explicit_bucket_histogram",
	} {
		name, _, _ := strings.Cut(text, "=")
		o, err := Environment(variables("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1 "+text), "1")
		if err == nil || o != nil || !strings.HasPrefix(err.Error(), name+" ") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
