// Package observe is how the house is seen from outside: structured logs, and the ids that tie the lines of one request
// together.
//
// A log line is one JSON object, whatever it is made of: newlines and control characters are escaped, bytes that are no
// UTF-8 are replaced, a huge value is cut, and a value that cannot be written says so in its place. Each line is one
// Write, and writes never overlap. No text of it, whoever logs it, holds a payment card's number (pan): that is the last line of
// defence, behind those who refuse such numbers. The members come in this order: timestamp (RFC 3339, milliseconds, UTC), level,
// service, message, then the attributes.
//
//	{"timestamp":"2026-01-15T10:30:00.047Z","level":"INFO","service":"inventory_service.handler",
//	 "message":"Inventory reserved","order_id":"ord-...","reservation_id":"res-...","correlation_id":"corr-..."}
//
// Logging never fails for its caller: a line that cannot be written is lost. A Sample leaves lines out on purpose, never one of WARN or above.
package observe

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// The limits of a line. CloudWatch cuts an event at 256 KiB, and a line cut anywhere is no JSON.
const (
	MaxValueBytes = 8 << 10  // of a text, or of the JSON of a value; the rest is cut and counted
	MaxLineBytes  = 64 << 10 // attributes that would go beyond are left out, and the line says "truncated": true
	maxDepth      = 8        // of groups in groups
)

// The members that a line has of its own. An attribute of such a name is written with an underscore behind it, except
// service and correlation_id, which take their place.
const (
	keyTimestamp   = "timestamp"
	keyLevel       = "level"
	keyService     = "service"
	keyMessage     = "message"
	keyTruncated   = "truncated"
	keyCorrelation = "correlation_id"
	keyOrder       = "order_id" // an attribute like any other, but to a Sample
)

// NewLogger returns a logger that writes to w what is at least of the level (nil: INFO). now gives the timestamps; nil
// means the record's own, which is the time of the call. A correlation id in the context (WithCorrelation) is added to
// lines that have none.
func NewLogger(w io.Writer, level slog.Leveler, now func() time.Time) *slog.Logger {
	return NewSampledLogger(w, level, now, nil)
}

// output serialises the writes.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// write writes the line, at once if it is urgent, where there is a Writer that would gather it.
func (o *output) write(line []byte, urgent bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.w.Write(line)
	if f, ok := o.w.(interface{ Flush() }); ok && urgent {
		f.Flush()
	}
	return err
}

// A handler is a slog.Handler. What With gave it is kept as written JSON.
type handler struct {
	out       *output
	level     slog.Leveler
	now       func() time.Time
	sample    *Sample // nil: all
	service   string
	attrs     []byte   // ,"name":value...
	open      []string // groups that attrs has left open, outermost first
	of        subject  // by attrs
	truncated bool
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	next := *h
	l := line{b: slices.Clone(h.attrs), first: h.first(), truncated: h.truncated, top: len(h.open) == 0}
	for _, a := range attrs {
		if l.top && a.Key == keyService {
			next.service = a.Value.Resolve().String()
			continue
		}
		if l.top {
			next.of.take(a, 0)
		}
		l.attr(a, 0)
	}
	next.attrs, next.truncated = l.b, l.truncated
	return &next
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" || len(h.open) == maxDepth {
		return h
	}
	next := *h
	l := line{b: slices.Clone(h.attrs), first: h.first(), top: len(h.open) == 0}
	l.attrName(name)
	next.attrs = append(l.b, '{')
	next.open = append(slices.Clone(h.open), name)
	return &next
}

// first reports whether the next member follows an opening brace rather than another member.
func (h *handler) first() bool { return len(h.attrs) > 0 && h.attrs[len(h.attrs)-1] == '{' }

var lines = sync.Pool{New: func() any { return &line{b: make([]byte, 0, 1024)} }}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	top, service, of := len(h.open) == 0, h.service, h.of
	if top {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == keyService {
				service = a.Value.Resolve().String()
			}
			of.take(a, 0)
			return true
		})
	}
	id, inContext := Correlation(ctx)
	if inContext = inContext && !of.correlated; inContext {
		of.correlationID = id
	}
	if h.sample.drops(r.Level, &of) {
		return nil
	}
	l := lines.Get().(*line)
	defer func() {
		if cap(l.b) <= MaxLineBytes {
			lines.Put(l)
		}
	}()
	*l = line{b: l.b[:0], top: top, truncated: h.truncated}
	at := r.Time
	if h.now != nil {
		at = h.now()
	}
	l.b = append(l.b, `{"timestamp":"`...)
	l.b = at.UTC().AppendFormat(l.b, "2006-01-02T15:04:05.000Z07:00")
	l.b = append(l.b, `","level":"`...)
	l.b = append(l.b, r.Level.String()...)
	l.b = append(l.b, '"')
	if service != "" {
		l.name(keyService)
		l.text(service)
	}
	l.name(keyMessage)
	l.text(r.Message)
	if inContext {
		l.name(keyCorrelation)
		l.text(id)
		l.correlated = true
	}
	l.b = append(l.b, h.attrs...)
	l.first = h.first()
	r.Attrs(func(a slog.Attr) bool {
		if !l.top || a.Key != keyService {
			l.attr(a, len(h.open))
		}
		return true
	})
	for range h.open {
		l.b = append(l.b, '}')
	}
	if l.truncated {
		l.first = false // whatever stands before, a member does
		l.name(keyTruncated)
		l.b = append(l.b, "true"...)
	}
	l.b = append(l.b, '}', '\n')
	return h.out.write(l.b, r.Level >= slog.LevelError)
}
