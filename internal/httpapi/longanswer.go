package httpapi

import (
	"context"
	"io"
	"net/http"
	"time"
)

// A streamed answer is written as it is made: no buffer holds all of it, and no limit cuts it but that of a caller who reads nothing.
type streamed struct {
	x         *exchange
	mediaType string
}

// Write begins the answer with its first bytes. Each call puts the server's deadline off: a long answer is no slow caller.
func (s *streamed) Write(p []byte) (int, error) {
	s.begin()
	until := time.Now().Add(writeTimeout)
	_ = http.NewResponseController(s.x.ResponseWriter).SetWriteDeadline(until) // a writer that is no connection has no deadline
	return s.x.Write(p)
}

func (s *streamed) begin() {
	if s.x.answered {
		return
	}
	h := s.x.Header()
	h.Set("Content-Type", s.mediaType)
	h.Set("Cache-Control", noStore)
	s.x.WriteHeader(http.StatusOK)
}

// stream answers with what write writes. If it fails before the first byte the answer is a problem. After that the connection is cut: half
// an answer must not look like a whole one. A caller that goes away, or a server that is about to stop, ends it.
func (s *server) stream(x *exchange, r *http.Request, mediaType string, write func(ctx context.Context, w io.Writer) error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer s.drain.onStart(cancel)()
	x.outlast(maxVerify) // until the first bytes
	out := &streamed{x, mediaType}
	err := write(ctx, out)
	switch {
	case err == nil:
		out.begin() // nothing is an answer, too
	case x.answered:
		s.log.WarnContext(r.Context(), "An answer was cut", "method", r.Method, "path", pathOf(r),
			"correlation_id", x.correlationID, "error", err.Error())
		panic(http.ErrAbortHandler)
	case s.drain.Started():
		s.refuse(x, r, errDraining)
	default:
		s.refuse(x, r, err)
	}
}
