package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
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

// correlation is the id that the call goes by: its caller's own, if it sent one that may be taken over, or a new one. Any other is
// replaced and not refused: a wrong header for the log is no reason to lose an order.
func (s *server) correlation(r *http.Request) string {
	if id, ok := observe.CorrelationFrom(r.Header.Get); ok {
		return id
	}
	return s.newID("corr-")
}
