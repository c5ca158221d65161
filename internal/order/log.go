package order

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A LogPage is a part of an order's log in full.
type LogPage struct {
	CustomerID string // whose order it is
	Previous   string // the hash of the event before the first of these, to which it is chained; "" before version 1
	Events     []eventlog.Event
	More       bool // behind these
}

// Events returns the order's log after a version, at most limit events: 0 begins with the first, and nothing is after the last one.
// fault.NotFound: no such order.
func (s *Service) Events(ctx context.Context, id string, after int64, limit int) (LogPage, error) {
	if !validID(id) {
		return LogPage{}, notFound()
	}
	st, found, err := s.state(ctx, id)
	if err != nil {
		return LogPage{}, err
	}
	if !found {
		return LogPage{}, notFound()
	}
	page := LogPage{CustomerID: st.CustomerID}
	// The event before tells the hash, one more whether there is more.
	before := max(after-1, 0)
	events, err := eventlog.Read(ctx, s.store, Table, id, before, limit+1+int(after-before), store.Strong)
	if err != nil {
		return LogPage{}, err
	}
	if len(events) > 0 && events[0].Version == after {
		page.Previous, events = events[0].Hash, events[1:]
	}
	if page.More = len(events) > limit; page.More {
		events = events[:limit]
	}
	page.Events = events
	return page, nil
}
