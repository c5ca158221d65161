package observe

import (
	"context"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/pan"
)

type correlationKey struct{}

// WithCorrelation returns a context that carries the correlation id of one request, order or task.
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// Correlation is the correlation id that the context carries.
func Correlation(ctx context.Context) (string, bool) {
	if ctx == nil {
		return "", false
	}
	id, ok := ctx.Value(correlationKey{}).(string)
	return id, ok && id != ""
}

// The headers that a correlation id is taken from, in this order.
const (
	HeaderCorrelation = "X-Correlation-Id"
	HeaderTraceparent = "traceparent"
)

// CorrelationFrom takes the caller's own correlation id over: X-Correlation-Id if it is well-formed, else the trace id of a
// well-formed W3C traceparent. get returns a header's value, as http.Header.Get does. false: the caller sent neither, and
// a new id is to be made.
func CorrelationFrom(get func(name string) string) (string, bool) {
	if id := get(HeaderCorrelation); ValidCorrelation(id) {
		return id, true
	}
	return TraceID(get(HeaderTraceparent))
}

// ValidCorrelation reports whether id is one that may be taken over: 1 to 64 of [A-Za-z0-9._-], neither "." nor "..", as every id here, and
// without a payment card's number. What is longer or other does not get into logs and events.
func ValidCorrelation(id string) bool {
	if id == "" || len(id) > 64 || id == "." || id == ".." {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return !pan.In(id)
}

// TraceID is the trace id, 32 hexadecimal digits, of a traceparent header: version-traceid-parentid-flags
// (https://www.w3.org/TR/trace-context/#traceparent-header). A version above 00 may have more fields behind these; ff
// is none.
func TraceID(traceparent string) (string, bool) {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	h := strings.Trim(traceparent, " \t")
	if len(h) < size || h[2] != '-' || h[35] != '-' || h[52] != '-' {
		return "", false
	}
	version, trace, parent, flags := h[:2], h[3:35], h[36:52], h[53:55]
	if !lowerHex(version) || !lowerHex(trace) || !lowerHex(parent) || !lowerHex(flags) || version == "ff" {
		return "", false
	}
	if len(h) > size && (version == "00" || h[size] != '-') {
		return "", false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return "", false
	}
	return trace, true
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
