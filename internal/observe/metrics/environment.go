package metrics

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// The protocols of OTLP.
const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

// The limits of OTLP, as OpenTelemetry's specification has them where the environment says nothing.
const (
	defaultInterval = time.Minute
	defaultTimeout  = 10 * time.Second // of one call; all of a look and its sending end with the interval
)

// OTLP is where metrics are sent to.
type OTLP struct {
	protocol string
	endpoint string // host:port
	path     string // of HTTP
	plain    bool   // without TLS
	tls      *tls.Config
	headers  map[string]string
	gzip     bool
	timeout  time.Duration // of one call
	interval time.Duration

	temporality sdkmetric.TemporalitySelector
	resource    []attribute.KeyValue
}

// Environment reads OpenTelemetry's variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/). It returns nil if they ask for no OTLP: it has to be asked for, by otlp in
// OTEL_METRICS_EXPORTER or, where that is empty, by an endpoint. /metrics is there whatever they say.
//
// The specification would have an odd value ignored with a warning. Here it is an error that names the variable and says what would do, for
// metrics that go nowhere are noticed on the day that they are needed. What is not used is not looked at.
func Environment(getenv func(string) string) (*OTLP, error) {
	e := environment{getenv: getenv}
	wanted := e.wanted()
	if e.err != nil || !wanted {
		return nil, e.err
	}
	o := &OTLP{
		protocol: e.oneOf(protocolHTTP, e.either("PROTOCOL"), protocolHTTP, protocolGRPC),
		timeout:  e.milliseconds(defaultTimeout, e.either("TIMEOUT")),
		interval: e.milliseconds(defaultInterval, "OTEL_METRIC_EXPORT_INTERVAL"),
		gzip:     e.oneOf("none", e.either("COMPRESSION"), "none", "gzip") == "gzip",
		headers:  map[string]string{},
	}
	if limit := e.milliseconds(o.timeout, "OTEL_METRIC_EXPORT_TIMEOUT"); limit < o.timeout {
		o.timeout = limit
	}
	e.endpoint(o)
	e.certificates(o)
	for _, p := range e.pairs(e.either("HEADERS")) {
		o.headers[p.name] = p.value
	}
	for _, p := range e.pairs("OTEL_RESOURCE_ATTRIBUTES") {
		o.resource = append(o.resource, attribute.String(p.name, p.value))
	}
	if name := e.get("OTEL_SERVICE_NAME"); name != "" {
		o.resource = append(o.resource, attribute.String("service.name", name))
	}
	switch e.oneOf("cumulative", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "delta", "lowmemory") {
	case "delta":
		o.temporality = sdkmetric.DeltaTemporalitySelector
	case "lowmemory":
		o.temporality = sdkmetric.LowMemoryTemporalitySelector
	default:
		o.temporality = sdkmetric.CumulativeTemporalitySelector
	}
	e.oneOf("", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram") // there is no other here
	if e.err != nil {
		return nil, e.err
	}
	return o, nil
}

// An environment keeps the first thing that is wrong.
type environment struct {
	getenv func(string) string
	err    error
}

const prefix = "OTEL_EXPORTER_OTLP_"

func (e *environment) get(name string) string { return strings.TrimSpace(e.getenv(name)) }

func (e *environment) wrong(name, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...))
	}
}

// either is the variable of metrics if it is set, else that of all signals.
func (e *environment) either(name string) string {
	if own := prefix + "METRICS_" + name; e.get(own) != "" {
		return own
	}
	return prefix + name
}

// wanted reports whether metrics are to be sent.
func (e *environment) wanted() bool {
	if e.boolean("OTEL_SDK_DISABLED") {
		return false
	}
	const exporters = "OTEL_METRICS_EXPORTER"
	text := e.get(exporters)
	if text == "" {
		return e.get(e.either("ENDPOINT")) != ""
	}
	found, none := false, false
	list := strings.Split(text, ",")
	for _, name := range list {
		switch strings.TrimSpace(name) {
		case "otlp":
			found = true
		case "none":
			none = true
		case "prometheus": // GET /metrics is there anyway
		default:
			e.wrong(exporters, "%q is not otlp, prometheus (which is always there, at /metrics), or none", text)
		}
	}
	if none && len(list) > 1 {
		e.wrong(exporters, "%q is none and something", text)
	}
	return found
}

func (e *environment) boolean(name string) bool {
	return e.oneOf("false", name, "true", "false") == "true"
}

// oneOf is the variable's value, in small letters, or what is meant if it is empty.
func (e *environment) oneOf(meant, name string, allowed ...string) string {
	value := e.get(name)
	if value == "" {
		return meant
	}
	if small := strings.ToLower(value); slices.Contains(allowed, small) {
		return small
	}
	e.wrong(name, "%q is not %s", value, strings.Join(allowed, ", "))
	return meant
}

// milliseconds is how the specification writes all its durations.
func (e *environment) milliseconds(meant time.Duration, name string) time.Duration {
	text := e.get(name)
	if text == "" {
		return meant
	}
	const most = int64(24 * time.Hour / time.Millisecond)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		e.wrong(name, "%q is no number of milliseconds from 1 to %d, such as %d", text, most, meant.Milliseconds())
		return meant
	}
	return time.Duration(n) * time.Millisecond
}

// endpoint is a URL; for gRPC host:port will do. That of all signals is where /v1/metrics is, that of metrics is the place itself.
func (e *environment) endpoint(o *OTLP) {
	name := e.either("ENDPOINT")
	text := e.get(name)
	example := "http://127.0.0.1:4318"
	if o.protocol == protocolGRPC {
		example = "http://127.0.0.1:4317"
	}
	if text == "" {
		text = strings.Replace(example, "127.0.0.1", "localhost", 1)
	}
	if o.protocol == protocolGRPC && !strings.Contains(text, "://") {
		if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" {
			e.wrong(name, "%q is no URL, such as %s", text, example)
			return
		}
		o.endpoint, o.plain = text, e.boolean(e.either("INSECURE"))
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		if err == nil {
			text = u.Redacted()
		}
		e.wrong(name, "%q is no http:// or https:// URL of a host and nothing else, such as %s", text, example)
		return
	}
	o.endpoint, o.plain, o.path = u.Host, u.Scheme == "http", u.Path
	if name == prefix+"ENDPOINT" {
		o.path = strings.TrimSuffix(u.Path, "/") + "/v1/metrics"
	} else if o.path == "" {
		o.path = "/"
	}
}

// certificates are read when there is TLS to use them for.
func (e *environment) certificates(o *OTLP) {
	if o.plain || e.err != nil {
		return
	}
	o.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if name := e.either("CERTIFICATE"); e.get(name) != "" {
		pem, err := os.ReadFile(e.get(name))
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = errors.New("no certificate in it")
		}
		if err != nil {
			e.wrong(name, "names no file of certificates in PEM: %v", err)
			return
		}
		o.tls.RootCAs = pool
	}
	certificate, key := e.either("CLIENT_CERTIFICATE"), e.either("CLIENT_KEY")
	if e.get(certificate) == "" && e.get(key) == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(e.get(certificate), e.get(key))
	if err != nil {
		e.wrong(certificate, "and %s name no certificate and its key in PEM: %v", key, err)
		return
	}
	o.tls.Certificates = []tls.Certificate{pair}
}

type pair struct{ name, value string }

// pairs reads name=value,name=value with values as in a URL. What is wrong is said without the values: in headers they are secrets.
func (e *environment) pairs(name string) (list []pair) {
	text := e.get(name)
	if text == "" {
		return nil
	}
	for n, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !token(key) {
			e.wrong(name, "has no name=value in place %d; values are written as in a URL, with %%2C for a comma", n+1)
			return nil
		}
		list = append(list, pair{key, value})
	}
	return list
}

// token reports whether the text may be a header's name (RFC 9110, 5.6.2).
func token(s string) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("!#$%&'*+-.^_`|~", c):
		default:
			return false
		}
	}
	return s != ""
}
