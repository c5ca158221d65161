// Package otlp reads where telemetry is sent to from OpenTelemetry's variables
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/), for metrics and for traces alike.
//
// It has to be asked for: by otlp in OTEL_METRICS_EXPORTER or OTEL_TRACES_EXPORTER or, where that is empty, by an endpoint.
//
// The specification would have an odd value ignored with a warning. Here it is an error that names the variable and says what would do, for
// telemetry that goes nowhere is noticed on the day that it is needed. What is not used is not looked at. No error quotes a header's value.
package otlp

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
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// The protocols.
const (
	HTTP = "http/protobuf"
	GRPC = "grpc"
)

// defaultTimeout is of one call, as the specification has it where the environment says nothing.
const defaultTimeout = 10 * time.Second

// A Signal is what is sent.
type Signal string

// The signals.
const (
	Metrics Signal = "METRICS"
	Traces  Signal = "TRACES"
)

// A Target is where a signal is sent to.
type Target struct {
	Protocol string
	Endpoint string      // host:port
	Path     string      // of HTTP
	TLS      *tls.Config // nil: none
	Headers  map[string]string
	Gzip     bool
	Timeout  time.Duration // of one call
}

// Credentials are those of gRPC.
func (t *Target) Credentials() credentials.TransportCredentials {
	if t.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(t.TLS)
}

// An Environment is read for one signal. It keeps the first thing that is wrong.
type Environment struct {
	getenv func(string) string
	signal Signal
	err    error
}

// Read begins to read.
func Read(getenv func(string) string, s Signal) *Environment {
	return &Environment{getenv: getenv, signal: s}
}

// Err is what is wrong, nil if nothing is.
func (e *Environment) Err() error { return e.err }

// Exporters are the names in the signal's variable of exporters, sorted; otlp if it is empty and there is an endpoint. Beside otlp and none
// those are known whose names the others begin with.
func (e *Environment) Exporters(others ...string) []string {
	if e.boolean("OTEL_SDK_DISABLED") {
		return nil
	}
	variable := "OTEL_" + string(e.signal) + "_EXPORTER"
	text := e.Get(variable)
	if text == "" {
		if e.Get(e.either("ENDPOINT")) == "" {
			return nil
		}
		return []string{"otlp"}
	}
	var names []string
	list := strings.Split(text, ",")
	for _, name := range list {
		name = strings.TrimSpace(name)
		known := slices.ContainsFunc(others, func(o string) bool { word, _, _ := strings.Cut(o, " "); return word == name })
		switch {
		case name == "none" && len(list) > 1:
			e.Wrong(variable, "%q is none and something", text)
		case name == "none":
		case name == "otlp" || known:
			names = append(names, name)
		default:
			e.Wrong(variable, "%q is not otlp, %s, or none", text, strings.Join(others, ", "))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Target is where otlp leads.
func (e *Environment) Target() *Target {
	t := &Target{
		Protocol: e.OneOf(HTTP, e.either("PROTOCOL"), HTTP, GRPC),
		Timeout:  e.Milliseconds(defaultTimeout, e.either("TIMEOUT")),
		Gzip:     e.OneOf("none", e.either("COMPRESSION"), "none", "gzip") == "gzip",
		Headers:  map[string]string{},
	}
	if plain := e.endpoint(t); !plain {
		e.certificates(t)
	}
	for _, p := range e.pairs(e.either("HEADERS")) {
		t.Headers[p.name] = p.value
	}
	return t
}

// Resource is who sends: cloudflow, and what the environment says of itself. Of two attributes with one name the last counts.
func (e *Environment) Resource(version string) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("service.name", "cloudflow")}
	if version != "" {
		all = append(all, attribute.String("service.version", version))
	}
	for _, p := range e.pairs("OTEL_RESOURCE_ATTRIBUTES") {
		all = append(all, attribute.String(p.name, p.value))
	}
	if name := e.Get("OTEL_SERVICE_NAME"); name != "" {
		all = append(all, attribute.String("service.name", name))
	}
	return all
}

const prefix = "OTEL_EXPORTER_OTLP_"

// Get is a variable, without space around it.
func (e *Environment) Get(name string) string { return strings.TrimSpace(e.getenv(name)) }

// Wrong says what a variable should be.
func (e *Environment) Wrong(name, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...))
	}
}

// either is the variable of the signal if it is set, else that of all signals.
func (e *Environment) either(name string) string {
	if own := prefix + string(e.signal) + "_" + name; e.Get(own) != "" {
		return own
	}
	return prefix + name
}

// boolean is as the specification has it: true or nothing.
func (e *Environment) boolean(name string) bool {
	return e.OneOf("false", name, "true", "false") == "true"
}

// OneOf is the variable's value, in small letters, or what is meant if it is empty.
func (e *Environment) OneOf(meant, name string, allowed ...string) string {
	value := e.Get(name)
	if value == "" {
		return meant
	}
	if small := strings.ToLower(value); slices.Contains(allowed, small) {
		return small
	}
	e.Wrong(name, "%q is not %s", value, strings.Join(allowed, ", "))
	return meant
}

// Milliseconds is how the specification writes all its durations.
func (e *Environment) Milliseconds(meant time.Duration, name string) time.Duration {
	text := e.Get(name)
	if text == "" {
		return meant
	}
	const most = int64(24 * time.Hour / time.Millisecond)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		e.Wrong(name, "%q is no number of milliseconds from 1 to %d, such as %d", text, most, meant.Milliseconds())
		return meant
	}
	return time.Duration(n) * time.Millisecond
}

// endpoint is a URL; for gRPC host:port will do. That of all signals is where /v1/metrics and /v1/traces are, the signal's own is the place
// itself. plain: there is no TLS.
func (e *Environment) endpoint(t *Target) (plain bool) {
	name := e.either("ENDPOINT")
	text := e.Get(name)
	example := "http://127.0.0.1:4318"
	if t.Protocol == GRPC {
		example = "http://127.0.0.1:4317"
	}
	if text == "" {
		text = strings.Replace(example, "127.0.0.1", "localhost", 1)
	}
	if t.Protocol == GRPC && !strings.Contains(text, "://") {
		if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" {
			e.Wrong(name, "%q is no URL, such as %s", text, example)
			return true
		}
		t.Endpoint = text
		return e.boolean(e.either("INSECURE"))
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		if err == nil {
			text = u.Redacted()
		}
		e.Wrong(name, "%q is no http:// or https:// URL of a host and nothing else, such as %s", text, example)
		return true
	}
	t.Endpoint, t.Path = u.Host, u.Path
	if name == prefix+"ENDPOINT" {
		t.Path = strings.TrimSuffix(u.Path, "/") + "/v1/" + strings.ToLower(string(e.signal))
	} else if t.Path == "" {
		t.Path = "/"
	}
	return u.Scheme == "http"
}

// certificates are read when there is TLS to use them for.
func (e *Environment) certificates(t *Target) {
	if e.err != nil {
		return
	}
	t.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if name := e.either("CERTIFICATE"); e.Get(name) != "" {
		pem, err := os.ReadFile(e.Get(name))
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = errors.New("no certificate in it")
		}
		if err != nil {
			e.Wrong(name, "names no file of certificates in PEM: %v", err)
			return
		}
		t.TLS.RootCAs = pool
	}
	certificate, key := e.either("CLIENT_CERTIFICATE"), e.either("CLIENT_KEY")
	if e.Get(certificate) == "" && e.Get(key) == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(e.Get(certificate), e.Get(key))
	if err != nil {
		e.Wrong(certificate, "and %s name no certificate and its key in PEM: %v", key, err)
		return
	}
	t.TLS.Certificates = []tls.Certificate{pair}
}

type pair struct{ name, value string }

// pairs reads name=value,name=value with values as in a URL. What is wrong is said without the values: in headers they are secrets.
func (e *Environment) pairs(name string) (list []pair) {
	text := e.Get(name)
	if text == "" {
		return nil
	}
	for n, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || !token(key) {
			e.Wrong(name, "has no name=value in place %d; values are written as in a URL, with %%2C for a comma", n+1)
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
