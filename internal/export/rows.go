package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// An Order is a row of an export of orders.
type Order struct {
	OrderID       string       `json:"order_id"`
	Status        string       `json:"status"`
	CustomerID    string       `json:"customer_id"`
	Items         []order.Line `json:"items"`
	TotalCents    int64        `json:"total_cents"`
	Currency      string       `json:"currency"`
	FailureReason string       `json:"failure_reason,omitempty"`
	NeedsReview   bool         `json:"needs_review,omitempty"`
	Version       int64        `json:"version"`
	CreatedAt     string       `json:"created_at"` // RFC 3339, UTC, milliseconds
	UpdatedAt     string       `json:"updated_at"`

	createdAt time.Time
}

var orderColumns = []string{
	"order_id", "status", "customer_id", "items", "total_cents", "currency", "failure_reason", "needs_review", "version", "created_at", "updated_at",
}

func orderRow(id string, st order.State, c order.Created) Order {
	return Order{
		OrderID: id, Status: st.Status, CustomerID: st.CustomerID, Items: c.Lines, TotalCents: st.TotalCents, Currency: st.Currency,
		FailureReason: st.FailureReason(), NeedsReview: st.NeedsReview, Version: st.Version,
		CreatedAt: st.CreatedAt.Format(eventlog.Layout), UpdatedAt: st.UpdatedAt.Format(eventlog.Layout), createdAt: st.CreatedAt,
	}
}

// An Event is a row of an export of events: all that the log holds.
type Event struct {
	OrderID       string         `json:"order_id"`
	Version       int64          `json:"version"`
	Type          string         `json:"type"`
	Timestamp     string         `json:"timestamp"` // RFC 3339, UTC, milliseconds
	Data          map[string]any `json:"data,omitempty"`
	CorrelationID string         `json:"correlation_id"`
	Actor         string         `json:"actor"`
	Hash          string         `json:"hash"`
}

var eventColumns = []string{"order_id", "version", "type", "timestamp", "data", "correlation_id", "actor", "hash"}

func eventRow(id string, e eventlog.Event) Event {
	return Event{
		OrderID: id, Version: e.Version, Type: e.Type, Timestamp: e.Timestamp.Format(eventlog.Layout), Data: e.Data,
		CorrelationID: e.CorrelationID, Actor: e.Actor, Hash: e.Hash,
	}
}

// bufferBytes of rows are written at a time.
const bufferBytes = 32 << 10

// A writer writes rows. One of the two is nil.
type writer struct {
	lines *json.Encoder
	cells *csv.Writer
	out   *bufio.Writer
}

// newWriter writes the header of a CSV. fault.BadRequest: there is no such format.
func newWriter(w io.Writer, f Format, columns []string) (*writer, error) {
	out := &writer{out: bufio.NewWriterSize(w, bufferBytes)}
	switch f {
	case NDJSON:
		out.lines = json.NewEncoder(out.out)
		out.lines.SetEscapeHTML(false)
		return out, nil
	case CSV:
		out.cells = csv.NewWriter(out.out)
		out.cells.UseCRLF = true
		return out, out.cells.Write(columns)
	}
	return nil, fault.New(fault.BadRequest, "format must be %s or %s.", NDJSON, CSV).With("field", "format")
}

func (w *writer) order(o Order) error {
	if w.lines != nil {
		return w.lines.Encode(o)
	}
	items, err := json.Marshal(o.Items)
	if err != nil {
		return err
	}
	review := ""
	if o.NeedsReview {
		review = "true"
	}
	return w.row(o.OrderID, o.Status, o.CustomerID, string(items), strconv.FormatInt(o.TotalCents, 10), o.Currency, o.FailureReason, review,
		strconv.FormatInt(o.Version, 10), o.CreatedAt, o.UpdatedAt)
}

func (w *writer) event(e Event) error {
	if w.lines != nil {
		return w.lines.Encode(e)
	}
	data := ""
	if e.Data != nil {
		text, err := json.Marshal(e.Data)
		if err != nil {
			return err
		}
		data = string(text)
	}
	return w.row(e.OrderID, strconv.FormatInt(e.Version, 10), e.Type, e.Timestamp, data, e.CorrelationID, e.Actor, e.Hash)
}

func (w *writer) row(cells ...string) error {
	for i, c := range cells {
		cells[i] = guarded(c)
	}
	return w.cells.Write(cells)
}

// guarded keeps a spreadsheet from running a cell as a formula
// (https://owasp.org/www-community/attacks/CSV_Injection): what would begin one gets an apostrophe before it.
func guarded(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// flush writes what is buffered. The CSV's own buffer comes first.
func (w *writer) flush() error {
	if w.cells != nil {
		w.cells.Flush()
		if err := w.cells.Error(); err != nil {
			return err
		}
	}
	return w.out.Flush()
}
