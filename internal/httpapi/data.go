package httpapi

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/retention"
)

// The media types of what is streamed. None is registered but that of CSV (RFC 7111); these are what everybody uses.
const (
	tarType    = "application/x-tar"
	ndjsonType = "application/x-ndjson"
	csvType    = "text/csv"
)

// EraseCustomer destroys a customer's contacts. A caller that goes away does not stop it half way.
func (s *server) EraseCustomer(w http.ResponseWriter, r *http.Request, customerID apigen.CustomerID) {
	x := of(w)
	x.outlast(maxErase)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxErase)
	defer cancel()
	erasure, err := s.data.Erase(ctx, customerID, x.principal.Subject)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, erasure)
}

// maxErase is for a customer of very many orders: 20,000 are removed in a second.
const maxErase = time.Minute

// Backup streams a copy of everything.
func (s *server) Backup(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	s.log.InfoContext(r.Context(), "Backup asked for", "actor", x.principal.Subject, "correlation_id", x.correlationID)
	s.stream(x, r, tarType, s.data.Backup)
}

// ExportOrders streams all orders.
func (s *server) ExportOrders(w http.ResponseWriter, r *http.Request, params apigen.ExportOrdersParams) {
	s.export(of(w), r, (*string)(params.Format), params.Since, s.data.ExportOrders)
}

// ExportEvents streams all events.
func (s *server) ExportEvents(w http.ResponseWriter, r *http.Request, params apigen.ExportEventsParams) {
	s.export(of(w), r, (*string)(params.Format), params.Since, s.data.ExportEvents)
}

func (s *server) export(x *exchange, r *http.Request, format *string, since *time.Time,
	rows func(context.Context, io.Writer, export.Options) error,
) {
	o := export.Options{Format: export.NDJSON}
	if format != nil {
		o.Format = export.Format(*format)
	}
	if since != nil {
		at, err := queryTime(r, "since")
		if err != nil {
			s.refuse(x, r, err)
			return
		}
		o.Since = at
	}
	mediaType := ndjsonType
	if o.Format == export.CSV {
		mediaType = csvType
	}
	if !accepts(r, mediaType) {
		s.refuse(x, r, notAcceptable(mediaType))
		return
	}
	s.log.InfoContext(r.Context(), "Export asked for", "path", r.URL.Path, "actor", x.principal.Subject, "correlation_id", x.correlationID)
	s.stream(x, r, mediaType, func(ctx context.Context, w io.Writer) error { return rows(ctx, w, o) })
}

// retentionView is Retention in openapi.yaml.
type retentionView struct {
	Keys       int64 `json:"idempotency_keys"`
	Executions int64 `json:"executions"`
	Orders     int64 `json:"orders"`
	Waiting    int64 `json:"waiting"`
	More       bool  `json:"more,omitempty"`
}

// LookAtRetention counts what a run would delete.
func (s *server) LookAtRetention(w http.ResponseWriter, r *http.Request) {
	s.retention(of(w), r, s.data.LookAtRetention)
}

// RunRetention deletes what has been kept long enough.
func (s *server) RunRetention(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	s.log.InfoContext(r.Context(), "Retention asked for", "actor", x.principal.Subject, "correlation_id", x.correlationID)
	s.retention(x, r, s.data.Retain)
}

func (s *server) retention(x *exchange, r *http.Request, do func(context.Context) (retention.Report, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), maxVerify)
	defer cancel()
	defer s.drain.onStart(cancel)()
	x.outlast(maxVerify)
	report, err := do(ctx)
	if err != nil && s.drain.Started() {
		err = errDraining
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, retentionView{report.Keys, report.Executions, report.Orders, report.Waiting, report.More})
}
