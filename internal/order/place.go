package order

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/jcs"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// KeyTTL is how long a client's idempotency key answers at least; it never ends before its order is terminal.
	KeyTTL = 24 * time.Hour

	statusAccepted = 202
	placeAttempts  = 3 // a store that answers Transient three times in a row is down, and the caller should hear of it
	// commitTime bounds a commit that its caller no longer waits for: many times what a disk takes that is merely busy.
	commitTime = 10 * time.Second

	attrSealed = "sealed" // of the contact's item
	attrSince  = "since_ms"
)

// A PlaceRequest asks for an order.
type PlaceRequest struct {
	CustomerID    string
	Lines         []RequestLine
	PaymentMethod string   // "" is DefaultPaymentMethod
	Currency      string   // "" is the configured one
	Contact       *Contact // nil: none

	IdempotencyKey string   // "": each call is a new order
	Principal      string   // who calls: the key's scope, and the actor of ORDER_CREATED
	Owner          string   // the only customer who may be ordered for; "": any
	Fingerprint    [32]byte // SHA-256 of the canonical body
	CorrelationID  string   // "" makes one
	Trace          string   // where the call stands, as a W3C traceparent; "": nobody looks
	OpenLimit      int      // how many orders the principal may have open at once; 0: any number
}

// A RequestLine is one line as it was asked for.
type RequestLine struct {
	ProductID      string
	Quantity       int64
	UnitPriceCents *int64 // the price that the caller saw; nil: whatever it is
}

// A Contact is where the customer wants to hear of the order. Each part may be "".
type Contact struct {
	Email string `json:"email"`
	Phone string `json:"phone"` // E.164
}

// Placed is the answer to a placed order: exactly these bytes, also when the call is repeated under its key.
type Placed struct {
	OrderID  string
	Status   int
	Body     []byte
	Replayed bool // answered from the record of an earlier call
}

// Replay returns the stored answer of an earlier call under the key, or nil if there is none. fault.IdempotencyKeyReused: that call
// had another body; fault.BadRequest: no well-formed key.
func (s *Service) Replay(ctx context.Context, principal, key string, fingerprint [32]byte) (*Placed, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	rec, err := idempotency.Lookup(ctx, s.store, clientKey(principal, key), fingerprint, s.now(), func(r *idempotency.Record) (bool, error) {
		it, err := s.store.Get(ctx, headKey(r.Result.Ref), store.Strong)
		return unfinished(it, err)
	})
	if err != nil || rec == nil {
		return nil, err
	}
	return replayed(rec), nil
}

// CheckOwner is fault.Forbidden if the request is for another customer than its owner. One that names no customer is not valid, which is
// for Place to say.
func (r *PlaceRequest) CheckOwner() error {
	if r.Owner == "" || r.CustomerID == "" || r.CustomerID == r.Owner {
		return nil
	}
	return fault.New(fault.Forbidden, "You can order for yourself only: customer_id must be your own.").With("field", "customer_id")
}

// Place stores a new order and starts its saga, in one commit. The checks come in this order: the owner (fault.Forbidden), a replay,
// validation (fault.ValidationFailed with the field), whether there is too much to do (fault.Overloaded), and then what is certain to fail:
// fault.UnknownProduct, fault.PriceChanged, fault.InsufficientStock, fault.PaymentProviderUnavailable, fault.TooManyOpenOrders.
// fault.Unavailable: prices cannot be read.
//
// Calls with one key make one order, however many come at once, and all get the same bytes.
func (s *Service) Place(ctx context.Context, r PlaceRequest) (Placed, error) {
	if err := r.CheckOwner(); err != nil {
		return Placed{}, err
	}
	if r.IdempotencyKey != "" {
		if err := checkKey(r.IdempotencyKey); err != nil {
			return Placed{}, err
		}
	}
	placed, err := s.place(ctx, r)
	if err == nil || r.IdempotencyKey == "" {
		return placed, err
	}
	// A replay comes before every refusal; the commit looks for one by itself, so it is only here that it has to be asked for. Looked for
	// last, it also serves the loser of a race that was refused while the winner was stored.
	earlier, lookupErr := s.Replay(ctx, r.Principal, r.IdempotencyKey, r.Fingerprint)
	switch {
	case fault.Is(lookupErr, fault.IdempotencyKeyReused):
		return Placed{}, lookupErr
	case lookupErr == nil && earlier != nil:
		return *earlier, nil
	}
	return Placed{}, err
}

func (s *Service) place(ctx context.Context, r PlaceRequest) (Placed, error) {
	if err := s.validate(&r); err != nil {
		return Placed{}, err
	}
	if err := s.gate.Enter(); err != nil { // before anything is read: where there is too much to do already, a refusal is to cost little
		return Placed{}, err
	}
	defer s.gate.Leave()
	created, err := s.admit(ctx, r)
	if err != nil {
		return Placed{}, err
	}
	n := newOrder{request: r, id: s.newID("ord-"), created: created}
	if n.request.CorrelationID == "" {
		n.request.CorrelationID = s.newID("corr-")
	}
	if r.IdempotencyKey != "" {
		n.key = clientKey(r.Principal, r.IdempotencyKey)
		n.created.KeyHash = n.key.Hash()
	}
	if n.sealed, err = s.seal(r); err != nil {
		return Placed{}, err
	}
	n.body = placedBody(n.id, created.TotalCents)
	return s.commit(ctx, n)
}

// A newOrder is an order that is about to be stored.
type newOrder struct {
	request PlaceRequest
	id      string
	created Created
	key     idempotency.Key // zero: none
	sealed  []byte          // the contact; nil: none
	body    []byte
}

// commit stores the order, or finds that its key has an answer. Transient means that the commit may have been applied: then it is
// tried again under the same id, and finds itself.
//
// A caller that goes away does not take the order back, which may be stored already. So it does not end the commit either: what is stored
// without a word would have no saga until somebody looks for it.
func (s *Service) commit(ctx context.Context, n newOrder) (Placed, error) {
	var winner *idempotency.Record
	var day string // on which it was stored
	err := ctx.Err()
	if err != nil {
		return Placed{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	for attempt := range placeAttempts {
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			winner = nil
			if n.created.KeyHash != "" {
				var err error
				winner, err = idempotency.LookupTx(tx, n.key, n.request.Fingerprint, s.now(), func(r *idempotency.Record) (bool, error) {
					it, err := tx.Get(headKey(r.Result.Ref))
					return unfinished(it, err)
				})
				if err != nil || winner != nil {
					return err
				}
			}
			if attempt > 0 {
				if it, err := tx.Get(headKey(n.id)); err != nil || it != nil {
					return err
				}
			}
			now := s.now()
			day = dayOf(now)
			return s.stage(tx, n, now)
		})
		if err = outOfPlaces(err, n); !fault.Is(err, fault.Transient) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		if fault.Is(err, fault.Transient) {
			s.saga.Begin(n.id) // in case it was applied; else there is nothing to begin
		}
		return Placed{}, err
	}
	if winner != nil && winner.Result.Ref != n.id {
		return *replayed(winner), nil
	}
	s.noteDay(day)
	s.saga.Begin(n.id)
	s.onCreated()
	for _, message := range [...]string{"Order created", "SAGA execution started"} {
		s.log.LogAttrs(ctx, slog.LevelInfo, message,
			slog.String("order_id", n.id),
			slog.String("customer_id", n.created.CustomerID),
			slog.String("correlation_id", n.request.CorrelationID))
	}
	return Placed{OrderID: n.id, Status: statusAccepted, Body: n.body}, nil
}

// stage stages all that makes an order: first event, head, indexes, contact, the record of its key and the start of its saga.
func (s *Service) stage(tx *store.Tx, n newOrder, now time.Time) error {
	_, events := eventlog.Stage(tx, Table, n.id, eventlog.Head{}, now, eventlog.New{
		Type:          OrderCreated,
		Data:          n.created.data(),
		CorrelationID: n.request.CorrelationID,
		Actor:         n.request.Principal,
	})
	st := State{
		Status:        Pending,
		Version:       1,
		Hash:          events[0].Hash,
		CreatedAt:     events[0].Timestamp,
		UpdatedAt:     events[0].Timestamp,
		CustomerID:    n.created.CustomerID,
		TotalCents:    n.created.TotalCents,
		Currency:      n.created.Currency,
		PaymentMethod: n.created.PaymentMethod,
		CorrelationID: n.request.CorrelationID,
	}
	tx.Put(headKey(n.id), st.item(), store.Absent())
	since := store.N(attrSince, st.CreatedAt.UnixMilli())
	tx.Put(customerKey(n.created.CustomerID, n.id), store.Item{since})
	if err := stageOpen(tx, n, since); err != nil {
		return err
	}
	tx.Put(dayKey(st.CreatedAt, n.id), store.Item{since})
	if day := dayOf(st.CreatedAt); !s.dayNoted(day) {
		tx.Put(dayMarkKey(day), store.Item{})
	}
	if n.sealed != nil {
		tx.Put(contactKey(n.id), store.Item{store.B(attrSealed, n.sealed)})
	}
	if n.created.KeyHash != "" {
		result := idempotency.Result{Status: statusAccepted, Body: n.body, Ref: n.id}
		idempotency.Complete(tx, n.key, n.request.Fingerprint, result, now, KeyTTL)
	}
	start := n.created.start(n.id, 0, n.request.CorrelationID)
	start.Trace = n.request.Trace
	return s.saga.Stage(tx, start)
}

// start is what the order's execution starts with, having been resumed that many times.
func (c Created) start(id string, redrives int64, correlationID string) Start {
	return Start{
		Execution:     ExecutionName(id, redrives),
		OrderID:       id,
		Lines:         c.Lines,
		TotalCents:    c.TotalCents,
		Currency:      c.Currency,
		PaymentMethod: c.PaymentMethod,
		CorrelationID: correlationID,
	}
}

// seal seals the contact under the customer's key. It comes before the commit: the key is on disk before anything is sealed
// with it.
func (s *Service) seal(r PlaceRequest) ([]byte, error) {
	if r.Contact == nil || *r.Contact == (Contact{}) {
		return nil, nil
	}
	if s.keys == nil {
		return nil, fault.New(fault.Internal, "there are no keys to seal a contact with")
	}
	text, err := json.Marshal(r.Contact)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "encode a contact")
	}
	return pii.Seal(s.keys, r.CustomerID, text)
}

func clientKey(principal, key string) idempotency.Key {
	return idempotency.ClientKey(principal, "POST", "/orders", key)
}

// unfinished reports whether a record whose time is over still counts: its order is there and not terminal.
func unfinished(head store.Item, err error) (bool, error) {
	if err != nil || head == nil {
		return false, err
	}
	st, err := DecodeHead(head)
	return err == nil && !st.Terminal(), err
}

func replayed(r *idempotency.Record) *Placed {
	return &Placed{OrderID: r.Result.Ref, Status: r.Result.Status, Body: r.Result.Body, Replayed: true}
}

func placedBody(id string, totalCents int64) []byte {
	b := make([]byte, 0, 96)
	b = append(b, `{"order_id":`...)
	b = jcs.AppendString(b, id)
	b = append(b, `,"status":"PENDING","total_cents":`...)
	b = append(b, decimal(totalCents)...)
	return append(b, '}')
}
