package httpapi

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// orderShape is OrderRequest in openapi.yaml.
var orderShape = &shape{members: map[string]*shape{
	"customer_id": scalar,
	"items": {items: &shape{members: map[string]*shape{
		"product_id": scalar, "quantity": scalar, "unit_price_cents": scalar,
	}}},
	"payment_method": scalar,
	"currency":       scalar,
	"contact":        {members: map[string]*shape{"email": scalar, "phone": scalar}},
}}

// PlaceOrder stores an order and, if that is preferred, waits for its outcome.
func (s *server) PlaceOrder(w http.ResponseWriter, r *http.Request, params apigen.PlaceOrderParams) {
	x := of(w)
	x.Header().Set("Cache-Control", noStore)
	placed, err := s.place(r.Context(), x, params.IdempotencyKey)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Location", "/orders/"+placed.OrderID)
	if placed.Replayed {
		h.Set("Idempotent-Replayed", "true")
		s.log.InfoContext(r.Context(), "Order answered again", "order_id", placed.OrderID, "actor", x.principal.Subject, "correlation_id", x.correlationID)
	}
	if params.Prefer != nil {
		if wait := preferredWait(*params.Prefer); wait > 0 && s.replyOutcome(x, r, placed.OrderID, wait) {
			return
		}
	}
	h.Set("Retry-After", "1")
	x.reply(placed.Status, placed.Body)
}

// place is the contract's order of checks: unknown members, syntax of the key, the owner, replay, validation, admission. Place replays
// too, so the replay is asked for here only if the request would not reach Place.
func (s *server) place(ctx context.Context, x *exchange, key *string) (order.Placed, error) {
	if err := orderShape.check(x.body, ""); err != nil {
		return order.Placed{}, err
	}
	request, refused := orderRequest(x.body)
	request.Principal, request.Owner, request.CorrelationID = x.principal.Subject, x.principal.Owner(), x.correlationID
	request.OpenLimit = s.openOrders(x.principal)
	if key != nil {
		if err := checkKey(*key); err != nil {
			return order.Placed{}, err
		}
		request.IdempotencyKey, request.Fingerprint = *key, fingerprint("", x.body)
	}
	// Before the replay: what is stored under a key is for the customer whom the body names, and a caller may have lost its scopes since.
	if err := request.CheckOwner(); err != nil {
		return order.Placed{}, err
	}
	if refused == nil && s.drain.Started() {
		refused = errDraining
	}
	if refused == nil {
		return s.orders.Place(ctx, request)
	}
	if key != nil {
		placed, err := s.orders.Replay(ctx, x.principal.Subject, *key, request.Fingerprint)
		if err != nil || placed != nil {
			return deref(placed), err
		}
	}
	return order.Placed{}, refused
}

func deref(placed *order.Placed) order.Placed {
	if placed == nil {
		return order.Placed{}
	}
	return *placed
}

// fingerprint is the SHA-256 of a body's canonical form, after a prefix for what the path says.
func fingerprint(prefix string, body value) [32]byte {
	return sha256.Sum256(appendCanonical(append(make([]byte, 0, 512), prefix...), body))
}

// orderRequest reads the body; its error is the first member that is missing or of the wrong type.
func orderRequest(body value) (order.PlaceRequest, error) {
	var f form
	r := order.PlaceRequest{
		CustomerID:    f.text(body, "customer_id"),
		Lines:         orderLines(&f, body.get("items")),
		PaymentMethod: f.optionalText(body, "payment_method"),
		Currency:      f.optionalText(body, "currency"),
	}
	switch contact := body.get("contact"); contact.kind {
	case absent:
	case object:
		f.in = "contact"
		r.Contact = &order.Contact{Email: f.optionalText(contact, "email"), Phone: f.optionalText(contact, "phone")}
	default:
		f.invalid("contact", "must be an object")
	}
	return r, f.fault()
}

func orderLines(f *form, items value) []order.RequestLine {
	switch {
	case items.kind == absent:
		f.invalid("items", "is missing")
		return nil
	case items.kind != array:
		f.invalid("items", "must be an array")
		return nil
	case len(items.items) < 1 || len(items.items) > order.MaxLines:
		f.invalid("items", "must have 1 to "+strconv.Itoa(order.MaxLines)+" lines")
		return nil
	}
	lines := make([]order.RequestLine, len(items.items))
	f.list = "items"
	for i, item := range items.items {
		if f.index = i; item.kind != object {
			f.invalid("items["+strconv.Itoa(i)+"]", "must be an object")
			break
		}
		lines[i] = order.RequestLine{
			ProductID:      f.text(item, "product_id"),
			Quantity:       f.integer(item, "quantity"),
			UnitPriceCents: f.optionalInteger(item, "unit_price_cents"),
		}
	}
	f.list = ""
	return lines
}

// replyOutcome waits for the order's outcome and answers with it. It reports false, and has answered nothing, if there is none by
// then: the order is stored, so whatever goes wrong from here on the answer is 202.
func (s *server) replyOutcome(x *exchange, r *http.Request, orderID string, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	defer s.drain.onStart(cancel)()
	view, err := s.orders.Wait(ctx, orderID)
	if err != nil {
		s.log.WarnContext(r.Context(), "Waiting for an order failed", "order_id", orderID,
			"correlation_id", x.correlationID, "error", err.Error())
		return false
	}
	if !view.Terminal() {
		return false
	}
	h := x.Header()
	h.Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	h.Set("ETag", etag(view.Version))
	s.replyJSON(x, r, http.StatusOK, view)
	return true
}

// GetOrder shows an order, now or as it was.
func (s *server) GetOrder(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID, params apigen.GetOrderParams) {
	x := of(w)
	var seen noneMatch
	if params.IfNoneMatch != nil {
		seen = noneMatch(*params.IfNoneMatch)
	}
	query, err := viewQuery(r, params, seen)
	query.Owner = x.principal.Owner()
	if err == nil && !validID(orderID) {
		err = errNoOrder
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	view, err := s.orders.Get(r.Context(), orderID, query)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	tag := etag(view.Version)
	h := x.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", revalidate)
	if seen.matches(tag) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	s.replyJSON(x, r, http.StatusOK, view)
}

var errNoOrder = fault.New(fault.NotFound, "There is no such order.")

// queryTime reads a parameter that is a time. The generated code takes a bare date, too, and nothing at all.
func queryTime(r *http.Request, name string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, r.URL.Query().Get(name))
	if err != nil {
		return time.Time{}, fault.New(fault.BadRequest, "%s must be a time as in RFC 3339, such as 2026-01-15T10:30:00Z; "+
			"write the + of a time zone as %%2B.", name).With("field", name)
	}
	return at, nil
}

// viewQuery reads the parameters: fault.BadRequest names the one that is wrong. For the present order, what the caller has seen
// already is the least that it gets.
func viewQuery(r *http.Request, params apigen.GetOrderParams, seen noneMatch) (order.ViewQuery, error) {
	q := order.ViewQuery{}
	if params.AsOf != nil && params.Version != nil {
		return q, fault.New(fault.BadRequest, "as_of and version exclude each other.").With("field", "as_of")
	}
	if params.AsOf != nil {
		at, err := queryTime(r, "as_of")
		if err != nil {
			return q, err
		}
		q.AsOf = at
	}
	for _, p := range [...]struct {
		name string
		from *int64
		to   *int64
	}{{"version", params.Version, &q.Version}, {"min_version", params.MinVersion, &q.MinVersion}} {
		if p.from == nil {
			continue
		}
		if *p.from < 1 {
			return q, fault.New(fault.BadRequest, "%s must be 1 or more.", p.name).With("field", p.name)
		}
		*p.to = *p.from
	}
	if q.AsOf.IsZero() && q.Version == 0 {
		q.MinVersion = max(q.MinVersion, seen.newest())
	}
	return q, nil
}

// cancelAnswer is CancelAccepted in openapi.yaml.
type cancelAnswer struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status"`
}

// CancelOrder writes down that the customer wants the order cancelled.
func (s *server) CancelOrder(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID) {
	x := of(w)
	if !validID(orderID) {
		s.refuse(x, r, errNoOrder)
		return
	}
	view, err := s.orders.Cancel(r.Context(), orderID, order.CancelRequest{
		Owner: x.principal.Owner(), Actor: x.principal.Subject, CorrelationID: x.correlationID,
	})
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Cache-Control", noStore)
	h.Set("Location", "/orders/"+view.OrderID)
	h.Set("Retry-After", "1")
	s.replyJSON(x, r, http.StatusAccepted, cancelAnswer{view.OrderID, view.Status})
}
