package otlp

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/certtest"
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

// target is where an environment sends a signal to; nil: nowhere.
func target(text string, s Signal) (*Target, error) {
	e := Read(variables(text), s)
	if names := e.Exporters("prometheus (which is always there, at /metrics)"); e.Err() != nil || !slices.Contains(names, "otlp") {
		return nil, e.Err()
	}
	t := e.Target()
	e.Resource("1")
	if e.Err() != nil {
		return nil, e.Err()
	}
	return t, nil
}

func TestTheEnvironmentHasToAskForOTLP(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                 false,
		"OTEL_METRICS_EXPORTER=otlp":       true,
		"OTEL_METRICS_EXPORTER=none":       false,
		"OTEL_METRICS_EXPORTER=prometheus": false,
		"OTEL_METRICS_EXPORTER=prometheus,_SPACE_otlp":                                              true,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318":                                         true,
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://127.0.0.1:4318/v1/metrics":                      true,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318/v1/traces":                        false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_METRICS_EXPORTER=none":              false,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_METRICS_EXPORTER=prometheus":        false,
		"OTEL_METRICS_EXPORTER=otlp OTEL_SDK_DISABLED=true":                                         false,
		"OTEL_METRICS_EXPORTER=otlp OTEL_SDK_DISABLED=False":                                        true,
		"OTEL_EXPORTER_OTLP_ENDPOINT=nonsense OTEL_SDK_DISABLED=true OTEL_METRIC_EXPORT_INTERVAL=x": false, // what is not used is not looked at
		"OTEL_EXPORTER_OTLP_ENDPOINT=nonsense OTEL_METRICS_EXPORTER=none":                           false,
	} {
		if got, err := target(text, Metrics); err != nil || (got != nil) != want {
			t.Errorf("%q asks for it: %v, %v", text, got != nil, err)
		}
	}
}

func TestTheEnvironmentSaysWhere(t *testing.T) {
	read := func(text string, s Signal) *Target {
		t.Helper()
		to, err := target("OTEL_METRICS_EXPORTER=otlp OTEL_TRACES_EXPORTER=otlp "+text, s)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return to
	}
	text := func(to *Target) string {
		got := to.Protocol + " " + to.Endpoint + " " + to.Path
		if to.TLS == nil {
			got += " plain"
		}
		return got
	}
	for settings, want := range map[string]string{
		"":                                       "http/protobuf localhost:4318 /v1/metrics plain",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1": "http/protobuf c:1 /v1/metrics plain",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://c:1/base/":                                                             "http/protobuf c:1 /base/v1/metrics",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://c":                                                                     "http/protobuf c /v1/metrics",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:1/own OTEL_EXPORTER_OTLP_ENDPOINT=http://d:1":                 "http/protobuf c:1 /own plain",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:1":                                                            "http/protobuf c:1 / plain",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                                                                          "grpc localhost:4317 /v1/metrics plain",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf":                        "http/protobuf localhost:4318 /v1/metrics plain",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=c:4317":                                       "grpc c:4317 ",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=c:1 OTEL_EXPORTER_OTLP_METRICS_INSECURE=true": "grpc c:1  plain",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=https://c:1":                                  "grpc c:1 /v1/metrics",
	} {
		if got := text(read(settings, Metrics)); got != want {
			t.Errorf("%q: %q, want %q", settings, got, want)
		}
	}
	for settings, want := range map[string]string{
		"":                                       "http/protobuf localhost:4318 /v1/traces plain",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:1": "http/protobuf c:1 /v1/traces plain",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:1/own OTEL_EXPORTER_OTLP_ENDPOINT=http://d:1": "http/protobuf c:1 /own plain",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:1":                                           "http/protobuf localhost:4318 /v1/traces plain",
	} {
		if got := text(read(settings, Traces)); got != want {
			t.Errorf("%q: %q, want %q", settings, got, want)
		}
	}
	to := read("OTEL_EXPORTER_OTLP_HEADERS=api-key=a%2Cb%20c,x=1 OTEL_EXPORTER_OTLP_TIMEOUT=2500 OTEL_EXPORTER_OTLP_METRICS_COMPRESSION=gzip", Metrics)
	if !maps.Equal(to.Headers, map[string]string{"api-key": "a,b c", "x": "1"}) || to.Timeout != 2500*time.Millisecond || !to.Gzip {
		t.Errorf("%+v", to)
	}
	if to := read("", Metrics); to.Timeout != 10*time.Second || to.Gzip || len(to.Headers) > 0 {
		t.Errorf("without a word: %+v", to)
	}
	e := Read(variables("OTEL_SERVICE_NAME=shop OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=prod,service.name=other"), Traces)
	all := e.Resource("1")
	if last := all[len(all)-1]; e.Err() != nil || string(last.Key) != "service.name" || last.Value.AsString() != "shop" || len(all) != 5 {
		t.Errorf("the resource is %v, %v", all, e.Err())
	}
}

func TestAVariableThatIsWrongIsSaid(t *testing.T) {
	const secret = "s3cr3t"
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, hint := range map[string]string{
		"OTEL_METRICS_EXPORTER=console":                                                             "/metrics",
		"OTEL_METRICS_EXPORTER=otlp,none":                                                           "none and something",
		"OTEL_SDK_DISABLED=yes":                                                                     "true, false",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http":                                                          "http/protobuf, grpc",
		"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json":                                             "http/protobuf, grpc",
		"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318":                                                "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=localhost":                                                     "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://c":                                                       "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://":                                                       "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://:4318":                                                  "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c/?a=b":                                                 "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:" + secret + "@c:1":                                   "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=%zz":                                                   "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=collector":                    "http://127.0.0.1:4317",
		"OTEL_EXPORTER_OTLP_HEADERS=" + secret:                                                      "name=value",
		"OTEL_EXPORTER_OTLP_HEADERS=a=1,b=" + secret + "%zz":                                        "place 2",
		"OTEL_EXPORTER_OTLP_METRICS_HEADERS==" + secret:                                             "name=value",
		"OTEL_RESOURCE_ATTRIBUTES=a":                                                                "name=value",
		"OTEL_EXPORTER_OTLP_TIMEOUT=0":                                                              "such as 10000",
		"OTEL_EXPORTER_OTLP_TIMEOUT=99999999999":                                                    "milliseconds",
		"OTEL_EXPORTER_OTLP_TIMEOUT=10s":                                                            "milliseconds",
		"OTEL_EXPORTER_OTLP_COMPRESSION=zstd":                                                       "none, gzip",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=" + dir + "/none.pem OTEL_EXPORTER_OTLP_ENDPOINT=https://c": "PEM",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=" + empty + " OTEL_EXPORTER_OTLP_ENDPOINT=https://c":        "PEM",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + empty + " OTEL_EXPORTER_OTLP_ENDPOINT=https://c": "OTEL_EXPORTER_OTLP_CLIENT_KEY",
	} {
		name, _, _ := strings.Cut(text, "=")
		if !strings.Contains(text, "OTEL_METRICS_EXPORTER") {
			text += " OTEL_METRICS_EXPORTER=otlp"
		}
		if strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_PROTOCOL") && strings.Contains(text, "_ENDPOINT") {
			name = "OTEL_EXPORTER_OTLP_ENDPOINT"
		}
		to, err := target(text, Metrics)
		if err == nil || to != nil || !strings.HasPrefix(err.Error(), name+" ") || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCertificatesOfTheCollector(t *testing.T) {
	dir := t.TempDir()
	cert, key := certtest.SelfSigned(t, 1)
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := fmt.Sprintf("OTEL_EXPORTER_OTLP_CERTIFICATE=%[1]s/cert.pem OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=%[1]s/cert.pem OTEL_EXPORTER_OTLP_CLIENT_KEY=%[1]s/key.pem ", dir)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for scheme, secured := range map[string]bool{"https": true, "http": false} {
			to, err := target(files+"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol+" OTEL_EXPORTER_OTLP_ENDPOINT="+scheme+"://127.0.0.1:1", Metrics)
			if err != nil {
				t.Fatal(err)
			}
			if got := to.TLS != nil && to.TLS.RootCAs != nil && len(to.TLS.Certificates) == 1; got != secured {
				t.Errorf("%s over %s has its certificates: %v", protocol, scheme, got)
			}
			if got := to.Credentials().Info().SecurityProtocol; (got == "tls") != secured {
				t.Errorf("%s over %s: the credentials are %s", protocol, scheme, got)
			}
		}
	}
}
