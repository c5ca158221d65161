package metrics

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
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
		if got, err := Environment(variables(text)); err != nil || (got != nil) != want {
			t.Errorf("%q asks for it: %v, %v", text, got != nil, err)
		}
	}
}

func TestTheEnvironmentSaysWhere(t *testing.T) {
	read := func(text string) *OTLP {
		t.Helper()
		o, err := Environment(variables("OTEL_METRICS_EXPORTER=otlp " + text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return o
	}
	for text, want := range map[string]string{
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
		o := read(text)
		got := o.protocol + " " + o.endpoint + " " + o.path
		if o.plain {
			got += " plain"
		}
		if got != want || o.plain != (o.tls == nil) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	o := read("OTEL_EXPORTER_OTLP_HEADERS=api-key=a%2Cb%20c,x=1 OTEL_EXPORTER_OTLP_TIMEOUT=2500 OTEL_METRIC_EXPORT_INTERVAL=15000 " +
		"OTEL_EXPORTER_OTLP_METRICS_COMPRESSION=gzip OTEL_SERVICE_NAME=shop OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=prod")
	if !maps.Equal(o.headers, map[string]string{"api-key": "a,b c", "x": "1"}) || o.timeout != 2500*time.Millisecond || o.interval != 15*time.Second || !o.gzip {
		t.Errorf("%+v", o)
	}
	set := Config{Version: "1", OTLP: o}.resource().Set().Encoded(attributeText{})
	if set != "deployment.environment.name=prod service.name=shop service.version=1" {
		t.Errorf("the resource is %s", set)
	}
	if o := read(""); o.timeout != 10*time.Second || o.interval != time.Minute || o.gzip || len(o.headers) > 0 {
		t.Errorf("without a word: %+v", o)
	}
	if o := read("OTEL_METRIC_EXPORT_TIMEOUT=1000"); o.timeout != time.Second {
		t.Errorf("the shorter time: %s", o.timeout)
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
		"OTEL_EXPORTER_OTLP_TIMEOUT=10s":                                                            "milliseconds",
		"OTEL_METRIC_EXPORT_INTERVAL=0":                                                             "such as 60000",
		"OTEL_METRIC_EXPORT_INTERVAL=99999999999":                                                   "milliseconds",
		"OTEL_METRIC_EXPORT_TIMEOUT=-1":                                                             "milliseconds",
		"OTEL_EXPORTER_OTLP_COMPRESSION=zstd":                                                       "none, gzip",
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=rising":                                  "cumulative, delta, lowmemory",
		"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=exponential":                      "explicit_bucket_histogram",
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
		o, err := Environment(variables(text))
		if err == nil || o != nil || !strings.HasPrefix(err.Error(), name+" ") || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCertificatesOfTheCollector(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := fmt.Sprintf("OTEL_EXPORTER_OTLP_CERTIFICATE=%[1]s/cert.pem OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=%[1]s/cert.pem OTEL_EXPORTER_OTLP_CLIENT_KEY=%[1]s/key.pem ", dir)
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for scheme, secured := range map[string]bool{"https": true, "http": false} {
			o, err := Environment(variables(files + "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol + " OTEL_EXPORTER_OTLP_ENDPOINT=" + scheme + "://127.0.0.1:1"))
			if err != nil {
				t.Fatal(err)
			}
			if got := o.tls != nil && o.tls.RootCAs != nil && len(o.tls.Certificates) == 1; got != secured {
				t.Errorf("%s over %s has its certificates: %v", protocol, scheme, got)
			}
			if _, err := o.exporter(); err != nil {
				t.Errorf("%s over %s: %v", protocol, scheme, err)
			}
		}
	}
}
