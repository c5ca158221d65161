package order

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A View is an order as it is shown: the fold of its log up to View.Version.
type View struct {
	OrderID       string      `json:"order_id"`
	Status        string      `json:"status"`
	CustomerID    string      `json:"customer_id"`
	Items         []Line      `json:"items"`
	TotalCents    int64       `json:"total_cents"`
	Currency      string      `json:"currency"`
	FailureReason string      `json:"failure_reason,omitempty"`
	NeedsReview   bool        `json:"needs_review,omitempty"`
	Events        []EventView `json:"events"`
	Version       int64       `json:"version"` // also the entity tag: equal versions are equal views
}

// An EventView is an event as it is shown with its order.
type EventView struct {
	Version   int64          `json:"version"`
	Type      string         `json:"type"`
	Timestamp string         `json:"timestamp"`      // RFC 3339, UTC, milliseconds
	Data      map[string]any `json:"data,omitempty"` // that of ORDER_CREATED stands in the view itself
}

// Terminal reports whether the view holds the order's terminal event.
func (v View) Terminal() bool {
	switch v.Status {
	case Confirmed, Failed, Compensated, Cancelled:
		return true
	}
	return false
}

// A ViewQuery says which view of an order is wanted. The zero ViewQuery wants a recent one.
type ViewQuery struct {
	AsOf       time.Time // the view as it was then: all events up to and including that time
	Version    int64     // the view up to that event
	MinVersion int64     // a view at least as new as this one, which the caller has seen
	Owner      string    // whose orders alone are shown; "" shows everybody's
}

// tornReads is how often a strong read may meet an append half way before it is given up as fault.Transient.
const tornReads = 8

// Get returns a view of the order. It reads what may lag behind, and reads again strongly if the order is absent there or
// older than what is asked for: so an order that was acknowledged is always found, and no version goes back behind MinVersion.
//
// fault.NotFound: no such order, none of the owner's, none yet at AsOf, or no such version; fault.BadRequest: both AsOf and Version.
func (s *Service) Get(ctx context.Context, id string, q ViewQuery) (View, error) {
	if q.Version < 0 || q.Version > 0 && !q.AsOf.IsZero() {
		return View{}, fault.New(fault.BadRequest, "either as_of or a version from 1 on")
	}
	if err := s.CheckOwner(ctx, id, q.Owner); err != nil {
		return View{}, err
	}
	// What was then can only be told from a log that is known to be whole up to then.
	if q.AsOf.IsZero() {
		events, err := s.wholeLog(ctx, id, store.Eventual)
		if err != nil {
			return View{}, err
		}
		if n := int64(len(events)); n > 0 && n >= q.MinVersion && n >= q.Version {
			return view(id, upTo(events, q))
		}
	}
	return s.strong(ctx, id, q)
}

// CheckOwner is fault.NotFound unless the order is there and the owner's; "" owns every order, and for that nothing is read. A foreign
// order and an unknown one cost the same single read and have the same error: neither says that the order exists.
func (s *Service) CheckOwner(ctx context.Context, id, owner string) error {
	if !validID(id) { // the index partitions of the same table are no orders
		return notFound()
	}
	if owner == "" {
		return nil
	}
	st, found, err := s.state(ctx, id)
	if err != nil {
		return err
	}
	if !found || st.foreign(owner) {
		return notFound()
	}
	return nil
}

// strong is Get on the log as it is now.
func (s *Service) strong(ctx context.Context, id string, q ViewQuery) (View, error) {
	events, err := s.wholeLog(ctx, id, store.Strong)
	if err != nil {
		return View{}, err
	}
	if len(events) == 0 {
		return View{}, notFound()
	}
	if int64(len(events)) < q.Version {
		return View{}, fault.New(fault.NotFound, "order %s has no version %d yet", id, q.Version)
	}
	if events = upTo(events, q); len(events) == 0 {
		return View{}, fault.New(fault.NotFound, "there was no order %s at that time", id)
	}
	return view(id, events)
}

// wholeLog reads the order's log from its beginning, as far as it is whole. An eventual read ends before the first event that is missing. A
// strong one is repeated, since a missing event means that it met a commit half way.
func (s *Service) wholeLog(ctx context.Context, id string, c store.Consistency) ([]eventlog.Event, error) {
	for range tornReads {
		events, err := s.readLog(ctx, id, c)
		if err != nil {
			return nil, err
		}
		whole := 0
		for whole < len(events) && events[whole].Version == int64(whole)+1 {
			whole++
		}
		if whole == len(events) || c == store.Eventual {
			return events[:whole], nil
		}
	}
	return nil, fault.New(fault.Transient, "the log of order %s was being written to", id)
}

func (s *Service) readLog(ctx context.Context, id string, c store.Consistency) ([]eventlog.Event, error) {
	var all []eventlog.Event
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Version
		}
		page, err := eventlog.Read(ctx, s.store, Table, id, after, 0, c)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = page
		} else {
			all = append(all, page...)
		}
		if len(page) < store.MaxRangeLimit {
			return all, nil
		}
	}
}

// upTo is the beginning of the log that the query asks for.
func upTo(events []eventlog.Event, q ViewQuery) []eventlog.Event {
	switch {
	case q.Version > 0:
		return events[:q.Version]
	case !q.AsOf.IsZero():
		n := len(events)
		for n > 0 && events[n-1].Timestamp.After(q.AsOf) {
			n--
		}
		return events[:n]
	}
	return events
}

// view folds a log that is not empty.
func view(id string, events []eventlog.Event) (View, error) {
	st, err := Fold(events)
	if err != nil {
		return View{}, err
	}
	created, err := DecodeCreated(events[0])
	if err != nil {
		return View{}, err
	}
	v := View{
		OrderID:       id,
		Status:        st.Status,
		CustomerID:    st.CustomerID,
		Items:         created.Lines,
		TotalCents:    st.TotalCents,
		Currency:      st.Currency,
		FailureReason: st.FailureReason(),
		NeedsReview:   st.NeedsReview,
		Events:        make([]EventView, len(events)),
		Version:       st.Version,
	}
	for i, e := range events {
		v.Events[i] = EventView{Version: e.Version, Type: e.Type, Timestamp: e.Timestamp.Format(eventlog.Layout)}
		if e.Type != OrderCreated {
			v.Events[i].Data = e.Data
		}
	}
	return v, nil
}

// Outcome is the order's status as it is now.
func (s *Service) Outcome(ctx context.Context, id string) (status string, found bool, err error) {
	st, found, err := s.state(ctx, id)
	return st.Status, found, err
}

// state reads the head strongly.
func (s *Service) state(ctx context.Context, id string) (State, bool, error) {
	it, err := s.store.Get(ctx, headKey(id), store.Strong)
	if err != nil || it == nil {
		return State{}, false, err
	}
	st, err := DecodeHead(it)
	return st, err == nil, err
}
