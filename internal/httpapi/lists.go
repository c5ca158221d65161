package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// orderList is OrderList in openapi.yaml.
type orderList struct {
	Orders     []order.Summary `json:"orders"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

// ListOrders shows a page of a customer's orders, or, to an operator, of all.
func (s *server) ListOrders(w http.ResponseWriter, r *http.Request, params apigen.ListOrdersParams) {
	x := of(w)
	q, err := listQuery(x.principal, params)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	query := "GET /orders\x00" + q.CustomerID + "\x00" + q.Status
	if q.Limit, q.After, err = s.page(x, query, params.Limit, params.Cursor); err != nil {
		s.refuse(x, r, err)
		return
	}
	list := orderList{Orders: []order.Summary{}}
	// Another's orders are none, as an unknown customer's are, and nothing is read for them.
	if q.CustomerID == "" || x.principal.Owns(q.CustomerID) {
		page, err := s.lists.List(r.Context(), q)
		if err != nil {
			s.refuse(x, r, err)
			return
		}
		list.Orders, list.NextCursor = append(list.Orders, page.Orders...), s.next(x, query, page.Next)
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

// listQuery is what the parameters ask for. Who is no operator and names no customer means itself.
func listQuery(p auth.Principal, params apigen.ListOrdersParams) (order.ListQuery, error) {
	q := order.ListQuery{}
	if params.Status != nil {
		q.Status = string(*params.Status)
		if err := order.CheckStatus(q.Status); err != nil {
			return q, err
		}
	}
	switch {
	case params.CustomerID != nil:
		if q.CustomerID = *params.CustomerID; !validID(q.CustomerID) {
			return q, fault.New(fault.BadRequest, "customer_id must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\".").
				With("field", "customer_id")
		}
	case !p.Scopes.Has(auth.ScopeAdmin):
		q.CustomerID = p.Subject
	}
	return q, nil
}

// orderLog is OrderLog in openapi.yaml.
type orderLog struct {
	OrderID    string     `json:"order_id"`
	Events     []logEvent `json:"events"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// A logEvent is LogEvent in openapi.yaml: the members that are hashed, each always there, and the two hashes.
type logEvent struct {
	Version       int64          `json:"version"`
	Type          string         `json:"type"`
	Timestamp     string         `json:"timestamp"`
	Data          map[string]any `json:"data"`
	CorrelationID string         `json:"correlation_id"`
	Actor         string         `json:"actor"`
	PreviousHash  string         `json:"previous_hash,omitempty"`
	Hash          string         `json:"hash"`
}

// ListOrderEvents shows a page of an order's log.
func (s *server) ListOrderEvents(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID, params apigen.ListOrderEventsParams) {
	x := of(w)
	query := "GET /orders/{order_id}/events\x00" + orderID
	limit, place, err := s.page(x, query, params.Limit, params.Cursor)
	if err == nil && !validID(orderID) {
		err = errNoOrder
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	after, _ := strconv.ParseInt(place, 10, 64) // ours, or "": then 0
	page, err := s.lists.Events(r.Context(), orderID, after, limit)
	if err == nil && !x.principal.Owns(page.CustomerID) || fault.Is(err, fault.NotFound) {
		err = errNoOrder // the same words for both
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := orderLog{OrderID: orderID, Events: make([]logEvent, len(page.Events))}
	previous := page.Previous
	for i, e := range page.Events {
		list.Events[i] = viewOfEvent(e, previous)
		previous, place = e.Hash, strconv.FormatInt(e.Version, 10)
	}
	if page.More {
		list.NextCursor = s.next(x, query, place)
	}
	x.Header().Set("Cache-Control", revalidate)
	s.replyJSON(x, r, http.StatusOK, list)
}

func viewOfEvent(e eventlog.Event, previous string) logEvent {
	return logEvent{
		Version: e.Version, Type: e.Type, Timestamp: timestamp(e.Timestamp), Data: e.Data,
		CorrelationID: e.CorrelationID, Actor: e.Actor, PreviousHash: previous, Hash: e.Hash,
	}
}

func timestamp(t time.Time) string { return t.Format(eventlog.Layout) }
