package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// NewServer returns the http.Server for a handler of New: it listens on addr, and its limits keep slow or silent
// callers from holding connections.
func NewServer(addr string, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// Else net/http answers "OPTIONS *" by itself, without a correlation id.
		DisableGeneralOptionsHandler: true,
	}
}

const (
	// A header is one packet or two: who needs longer sends it byte by byte to keep the connection.
	readHeaderTimeout = 5 * time.Second
	// 64 KiB even over a bad mobile line, from the connection's first byte.
	readTimeout = 15 * time.Second
	// From the end of the header to the end of the answer: maxWait, and the commit before and the answer after it. A route that takes
	// longer lifts it for itself (exchange.outlast).
	writeTimeout = maxWait + 15*time.Second
	// Longer than the usual 60 s of load balancers, which must be the ones to close: else they send into a connection that just went.
	idleTimeout = 2 * time.Minute
	// Cookies of other applications on the same host are what fills headers; ours need under 1 KiB.
	maxHeaderBytes = 16 << 10
)

// GetHealth answers as long as the process can.
func (s *server) GetHealth(w http.ResponseWriter, _ *http.Request) {
	x := of(w)
	x.Header().Set("Cache-Control", noStore)
	x.reply(http.StatusOK, []byte(`{"status":"ok"}`))
}

// GetReady says whether the server should be sent work.
func (s *server) GetReady(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	switch {
	case s.drain.Started():
		s.refuse(x, r, errDraining)
	case s.recovering():
		s.refuse(x, r, errRecovering)
	default:
		x.Header().Set("Cache-Control", noStore)
		x.reply(http.StatusOK, []byte(`{"status":"ready"}`))
	}
}

var errRecovering = fault.New(fault.Unavailable, "The server has just started and is taking up its open work.")

const yamlType = "application/yaml" // RFC 9512

// getOpenAPI serves the contract.
func (s *server) getOpenAPI(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	h := x.Header()
	h.Set("ETag", s.specTag)
	h.Set("Cache-Control", "no-cache")
	if noneMatch(r.Header.Get("If-None-Match")).matches(s.specTag) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", yamlType)
	_, _ = x.Write(api.Spec) // a caller that has gone cannot be told
}
