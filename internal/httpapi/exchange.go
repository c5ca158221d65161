package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/pan"
)

// An exchange is one request on its way: the ResponseWriter that its handler gets, and what is known about it. It travels as the
// writer and not in the context, because a context value would copy the request once more.
type exchange struct {
	http.ResponseWriter
	correlationID string
	principal     auth.Principal
	body          value // parsed; absent for a call without one
	answered      bool  // the status is on its way: nothing can be taken back
	status        int   // that was answered; 0: none yet
	route         *metrics.Route
}

// WriteHeader notes that the answer has begun.
func (x *exchange) WriteHeader(status int) {
	if !x.answered && status >= http.StatusOK {
		x.answered, x.status = true, status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write notes that the answer has begun.
func (x *exchange) Write(b []byte) (int, error) {
	if !x.answered {
		x.answered, x.status = true, http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// outlast puts the server's deadline for the answer off, for a call that takes up to d.
func (x *exchange) outlast(d time.Duration) {
	until := time.Now().Add(d + writeTimeout - maxWait)
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(until) // a writer that is no connection has no deadline
}

// of is the exchange behind a generated handler's writer; every handler runs behind ServeHTTP, which put it there.
func of(w http.ResponseWriter) *exchange {
	if x, ok := w.(*exchange); ok {
		return x
	}
	return &exchange{ResponseWriter: w}
}

// reply answers with stored or ready bytes of JSON.
func (x *exchange) reply(status int, body []byte) {
	x.Header().Set("Content-Type", jsonType)
	x.WriteHeader(status)
	_, _ = x.Write(body) // a caller that has gone cannot be told
}

// replyJSON answers with v; what cannot be marshalled is an internal error.
func (s *server) replyJSON(x *exchange, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.refuse(x, r, fault.Wrap(fault.Internal, err, "httpapi: marshal the answer"))
		return
	}
	x.reply(status, body)
}

// How an answer may be cached. Orders and products are revalidated by their ETag; whatever was done or refused is not kept at all.
const (
	noStore    = "no-store"
	revalidate = "private, no-cache"
)

// correlation is the id that the call goes by: the caller's X-Correlation-Id, the trace id of its traceparent
// (https://www.w3.org/TR/trace-context/), or a new one. One that is malformed, or holds a card's number, is replaced and not refused: a
// wrong header for the log is no reason to lose an order.
func (s *server) correlation(r *http.Request) string {
	if id := r.Header.Get("X-Correlation-Id"); validID(id) && !pan.In(id) {
		return id
	}
	if id, ok := traceID(r.Header.Get("Traceparent")); ok {
		return id
	}
	return s.newID("corr-")
}

// traceID is the 32 hexadecimal digits of version-traceid-parentid-flags. A later version may have more after the flags.
func traceID(traceparent string) (string, bool) {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-' {
		return "", false
	}
	version, trace, parent, flags := traceparent[:2], traceparent[3:35], traceparent[36:52], traceparent[53:55]
	if version == "ff" || version == "00" && len(traceparent) != 55 || len(traceparent) > 55 && traceparent[55] != '-' {
		return "", false
	}
	if !lowerHex(version) || !lowerHex(trace) || !lowerHex(parent) || !lowerHex(flags) {
		return "", false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return "", false
	}
	return trace, true
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
