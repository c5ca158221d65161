// Package export writes all orders, or all events, as lines of JSON or as CSV (RFC 4180): for a warehouse, a spreadsheet, an auditor.
//
// It promises: one consistent state, in the order in which the orders were created; the memory of one order, however many there are; and
// that what is not whole returns an error, which whoever carries the rows must let their reader notice. It refuses an order whose head or
// log cannot be read: an export without it would look complete.
//
// It holds no contact: none stands in an order's log or head. It writes nothing, so there is nothing for a crash to lose.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Format is how rows are written.
type Format string

// The formats.
const (
	NDJSON Format = "ndjson" // one JSON object a line
	CSV    Format = "csv"    // RFC 4180, with a header
)

// Options of an export.
type Options struct {
	Format Format
	Since  time.Time // orders created, or events appended, at or after it; zero: all
}

// Orders writes one row for each order: what GET /orders/{id} shows of it without the events, and when it was created and last changed.
func Orders(ctx context.Context, s store.Dumper, w io.Writer, o Options) error {
	out, err := newWriter(w, o.Format, orderColumns)
	if err != nil {
		return err
	}
	var created *order.Created
	err = each(ctx, s, o.Since, func(e store.Entry) error {
		switch {
		case e.Key.SK == eventlog.Key(order.Table, e.Key.PK, 1).SK:
			ev, err := eventlog.Decode(e)
			if err != nil {
				return err
			}
			c, err := order.DecodeCreated(ev)
			created = &c
			return err
		case !order.IsHead(e.Key): // it comes behind the events
			return nil
		}
		st, err := order.DecodeHead(e.Item)
		if err == nil && created == nil {
			err = fault.New(fault.Internal, "its log does not begin with %s", order.OrderCreated)
		}
		if err != nil {
			return err
		}
		row := orderRow(e.Key.PK, st, *created)
		created = nil
		if row.createdAt.Before(o.Since) {
			return nil
		}
		return out.order(row)
	})
	return errors.Join(err, out.flush())
}

// Events writes one row for each event: the orders one after the other, each log from its beginning.
func Events(ctx context.Context, s store.Dumper, w io.Writer, o Options) error {
	out, err := newWriter(w, o.Format, eventColumns)
	if err != nil {
		return err
	}
	// An old order may have young events: a resumed one, after a long time. So the events of all are looked at.
	err = each(ctx, s, time.Time{}, func(e store.Entry) error {
		if !strings.HasPrefix(e.Key.SK, eventlog.Prefix) {
			return nil
		}
		ev, err := eventlog.Decode(e)
		if err != nil || ev.Timestamp.Before(o.Since) {
			return err
		}
		return out.event(eventRow(e.Key.PK, ev))
	})
	return errors.Join(err, out.flush())
}

// each calls fn for the items of all orders that may have been created at or after since, in the order of their creation: the ids are
// ULIDs, so that is the order of the dump.
func each(ctx context.Context, s store.Dumper, since time.Time, fn func(store.Entry) error) error {
	from := order.IDPrefix
	if !since.IsZero() {
		// An id is made before its order is stored: a moment, or as long as a commit is tried.
		var least ulid.ULID
		if ms := since.Add(-madeBefore).UnixMilli(); ms > 0 {
			_ = least.SetTime(uint64(ms)) // beyond the year 10889 it stays 0, and all are looked at
		}
		from += least.String()
	}
	err := s.DumpTable(ctx, order.Table, from, func(e store.Entry) error {
		if !order.IsOrders(e.Key) {
			return errEnd
		}
		if err := fn(e); err != nil {
			return fmt.Errorf("export: %s: %w", e.Key, err)
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// madeBefore is more than an order's id can be older than its first event.
const madeBefore = time.Minute

var errEnd = errors.New("the orders have ended")
