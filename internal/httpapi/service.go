package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
)

// NewServer returns the http.Server for a handler of New: it listens on addr, and its limits keep slow or silent
// callers from holding connections (limits.go).
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

const textType = "text/plain"

// GetMetrics shows what is counted. A scrape that cannot read all of it gets nothing: it is asked again in a few seconds.
func (s *server) GetMetrics(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	var text bytes.Buffer
	if err := s.metrics.Write(&text); err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Content-Type", metrics.ContentType)
	h.Set("Cache-Control", noStore)
	_, _ = x.Write(text.Bytes()) // a caller that has gone cannot be told
}

const yamlType = "application/yaml" // RFC 9512

// getOpenAPI serves the contract.
func (s *server) getOpenAPI(w http.ResponseWriter, r *http.Request) {
	s.serveDocument(of(w), r, yamlType, api.Spec)
}
