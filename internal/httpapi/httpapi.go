// Package httpapi answers HTTP for the services, as api/openapi.yaml says and no otherwise: routes, headers, bodies and errors come
// from that document, and the tests fail on an answer that it does not declare.
//
// It promises: a body is read one way only (no duplicate or unknown member, no number that is not what it looks like);
// whatever goes wrong is a problem document (RFC 9457) with a stable code; a text that was not written for callers never
// reaches one; a stored answer is sent byte by byte as it was stored; an order that was stored is never answered with an error.
//
// It refuses what cannot be read (4xx) before a service hears of it. Bounds of values are the services' own.
//
// It keeps nothing. Whatever survives a crash was committed by a service before its answer was written; a caller whose answer got
// lost repeats the call with its Idempotency-Key.
package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Config is what New wires. Every interface is required but Faults, and but those that none of Paths needs.
type Config struct {
	Orders      Orders
	Lists       Lists
	News        News
	Products    Products
	Payments    Payments
	Sagas       Sagas
	Tasks       Tasks
	DeadLetters DeadLetters
	Breakers    []Breaker // in the order in which they are listed
	Verifier    Verifier
	Data        Data
	Keys        Keys
	Faults      Faults // nil outside development mode: then there is no such path

	// Debug are profiles of the process by their names, "" the list of them: GET /debug/pprof/{name} on the operators' side of Split, for
	// who holds the scope admin. Each ends with its request's context. nil, and without Split: there is no such path.
	Debug map[string]http.HandlerFunc
	// Recovering says that the server has started and is not ready yet; nil: it is ready at once.
	Recovering func() bool
	// Metrics count the requests and are what GET /metrics shows; nil: some that nobody else counts into.
	Metrics *metrics.Metrics
	// Tracer has a trace begin, or go on, with each request; nil: there is none.
	Tracer *trace.Tracer
	// Drain is started when the server is about to stop; nil: it never is.
	Drain *Drain
	// Principal says who calls: fault.Unauthorized. nil: development mode, everybody is auth.Anonymous.
	Principal func(*http.Request) (auth.Principal, error)
	// CursorKeys are 32 secret bytes each, from which the keys of cursors are derived: the first makes new ones, all are good for old
	// ones. nil: cursors end with the process.
	CursorKeys [][]byte
	// Limits are what callers may do; the zero value is none. Development mode knows no rates.
	Limits Limits
	// Now is the time; nil: time.Now.
	Now func() time.Time
	// CORS are the origins whose pages may call from a browser, each exactly as a browser sends it; none: no page but our own.
	CORS []string
	// Paths are the paths that there are, as the document writes them, such as /orders/{order_id}; nil: all. What serves a path that is not among
	// them may be nil.
	Paths []string
	// NewID makes an id with the prefix; nil: prefix and a ULID.
	NewID func(prefix string) string
	Log   *slog.Logger // nil: nothing is logged
}

// Orders is the order service, as customers reach it.
type Orders interface {
	// Replay answers a key that is known already, nil if it is not: fault.IdempotencyKeyReused.
	Replay(ctx context.Context, principal, key string, fingerprint [32]byte) (*order.Placed, error)
	// Place replays, validates, admits and stores.
	Place(ctx context.Context, r order.PlaceRequest) (order.Placed, error)
	Get(ctx context.Context, orderID string, q order.ViewQuery) (order.View, error)
	// Wait returns the order once it is terminal, or as it is when ctx ends.
	Wait(ctx context.Context, orderID string) (order.View, error)
	Cancel(ctx context.Context, orderID string, r order.CancelRequest) (order.View, error)
}

// Lists shows many orders a little, and one order's log in full.
type Lists interface {
	// List returns a page, the newest first. A status that there is not is fault.BadRequest.
	List(ctx context.Context, q order.ListQuery) (order.Page, error)
	// Events returns the log after a version, and whose order it is: fault.NotFound.
	Events(ctx context.Context, orderID string, after int64, limit int) (order.LogPage, error)
}

// News is what happens to orders, for who follows it.
type News interface {
	// NewsEnd is where everything is still to come.
	NewsEnd(ctx context.Context) (store.Position, error)
	// News returns what follows a place, in order for each order.
	News(ctx context.Context, after store.Position) (order.News, error)
	// NewsGrow is closed when there is more. It is taken before the look.
	NewsGrow() <-chan struct{}
	// NewsWaits says since when what follows a place has been there; zero: nothing does yet.
	NewsWaits(ctx context.Context, after store.Position) (time.Time, error)
}

// Products is the catalogue and its stock.
type Products interface {
	Get(ctx context.Context, productID string) (inventory.Product, error)
	// List returns up to limit products whose ids come after the given one.
	List(ctx context.Context, after string, limit int) ([]inventory.Product, error)
	Put(ctx context.Context, p inventory.PutProduct) (product inventory.Product, created bool, err error)
	// Restock returns the answer as it is stored under the key.
	Restock(ctx context.Context, r inventory.Restock) (status int, body []byte, replayed bool, err error)
}

// Payments shows our row of a payment and the provider's book of it.
type Payments interface {
	Show(ctx context.Context, orderID string) (payment.View, error)
}

// A Breaker is one circuit breaker, for an operator.
type Breaker interface {
	Name() string
	// State is what is known of the circuit. With an error it is still what this process goes by, but may be behind the others.
	State(ctx context.Context) (breaker.Snapshot, error)
	Trip(ctx context.Context) error
	Reset(ctx context.Context) error
}

// Sagas shows and resumes what runs for an order.
type Sagas interface {
	// List returns up to limit sagas that have not come to their end, beyond the cursor's place; "" begins. The next cursor is ""
	// at the end. Some may be left out of a page, such as one that ended meanwhile.
	List(ctx context.Context, which SagaStatus, after string, limit int) (list []SagaSummary, next string, err error)
	// Show is an execution of the order, the current one if the name is "", and the names of all: fault.NotFound.
	Show(ctx context.Context, orderID, execution string) (shown flow.Execution, all []string, err error)
	// Redrive resumes a failed one and returns the new execution's name: fault.NotFound, fault.NotFailed.
	Redrive(ctx context.Context, orderID, reason, actor, correlationID string) (execution string, err error)
}

// Keys are the API keys.
type Keys interface {
	// Create returns the new key and its text: fault.ValidationFailed.
	Create(ctx context.Context, r apikey.Request) (apikey.Key, string, error)
	// List returns up to limit keys whose ids come after the given one.
	List(ctx context.Context, after string, limit int) ([]apikey.Key, error)
	// Revoke ends a key: fault.NotFound.
	Revoke(ctx context.Context, id string) (apikey.Key, error)
}

// Verifier checks the invariants over the whole store.
type Verifier interface {
	Verify(ctx context.Context) (VerifyReport, error)
}

// Data is everything that is kept, as an operator handles it: as a whole, or what belongs to one customer.
type Data interface {
	// Erase destroys the customer's contacts: fault.ValidationFailed.
	Erase(ctx context.Context, customerID, actor string) (order.Erasure, error)
	// Backup writes a copy of everything as a tar: fault.Unavailable while another is under way.
	Backup(ctx context.Context, w io.Writer) error
	ExportOrders(ctx context.Context, w io.Writer, o export.Options) error
	ExportEvents(ctx context.Context, w io.Writer, o export.Options) error
	// LookAtRetention counts what Retain would delete.
	LookAtRetention(ctx context.Context) (retention.Report, error)
	// Retain deletes what has been kept long enough: fault.Unavailable while another run is under way.
	Retain(ctx context.Context) (retention.Report, error)
}

// A VerifyReport is what holds and what does not.
type VerifyReport struct {
	Orders     int64       // read
	Skipped    int64       // with an open saga: left out where an invariant holds only at rest
	Violations []Violation // none: all is well
}

// A Violation is one thing that does not hold.
type Violation struct {
	Invariant string `json:"invariant"` // I1, I2 ... as the architecture names them
	Subject   string `json:"subject"`   // the order or the product
	Detail    string `json:"detail"`
}

// A Drain tells the handlers that the server is about to stop: those who wait for an order's outcome are answered, and nothing
// new is taken.
type Drain struct {
	ctx   context.Context
	start context.CancelFunc
}

// NewDrain returns a Drain that has not started.
func NewDrain() *Drain {
	ctx, start := context.WithCancel(context.Background())
	return &Drain{ctx, start}
}

// Start starts it, once and for good.
func (d *Drain) Start() { d.start() }

// Started reports whether it has.
func (d *Drain) Started() bool { return d.ctx.Err() != nil }

// onStart has f called once it starts; the func that it returns takes that back.
func (d *Drain) onStart(f func()) func() bool { return context.AfterFunc(d.ctx, f) }

// A server is what the generated routes call.
type server struct {
	orders     Orders
	lists      Lists
	news       News
	streams    *streams
	cursors    cursors
	products   Products
	payments   Payments
	sagas      Sagas
	tasks      Tasks
	letters    DeadLetters
	breakers   []Breaker
	verifier   Verifier
	data       Data
	keys       Keys
	origins    []string
	paths      []string                    // nil: all
	verifying  chan struct{}               // holds one while a check runs
	faults     Faults                      // nil: not in development mode
	debug      map[string]http.HandlerFunc // nil: there is none
	recovering func() bool
	drain      *Drain
	principal  func(*http.Request) (auth.Principal, error)
	limits     Limits
	pace       pace
	newID      func(prefix string) string
	log        *slog.Logger
	tracer     *trace.Tracer
	metrics    *metrics.Metrics
	unrouted   *metrics.Route // counts what is no call of the document
	now        func() time.Time
	mux        *http.ServeMux
}

// New returns the handler of all routes.
func New(c Config) http.Handler {
	s := newServer(c)
	s.mux = s.routes(everything)
	return s
}

// Split is New for two listeners: one for customers, and one for operators, which others cannot reach. A path of the one side is an
// unknown path on the other; probes and the contract are on both. all has every route, for who calls from this process.
func Split(c Config) (customers, operators, all http.Handler) {
	s := newServer(c)
	o, a := *s, *s // what they share is behind pointers
	s.mux, o.mux, a.mux = s.routes(forCustomers), o.routes(forOperators), a.routes(everything)
	return s, &o, &a
}

func newServer(c Config) *server {
	s := &server{
		orders: c.Orders, lists: c.Lists, news: c.News, cursors: newCursors(c.CursorKeys), products: c.Products, payments: c.Payments,
		sagas: c.Sagas, tasks: c.Tasks, letters: c.DeadLetters, breakers: c.Breakers, verifier: c.Verifier, verifying: make(chan struct{}, 1), data: c.Data,
		keys: c.Keys, origins: c.CORS, paths: c.Paths, streams: &streams{}, faults: c.Faults, debug: c.Debug, recovering: c.Recovering, drain: c.Drain, principal: c.Principal, limits: c.Limits,
		newID: c.NewID, log: c.Log, tracer: c.Tracer, metrics: c.Metrics, now: c.Now,
	}
	if s.recovering == nil {
		s.recovering = func() bool { return false }
	}
	if s.drain == nil {
		s.drain = NewDrain()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.metrics == nil {
		s.metrics = metrics.New()
	}
	s.unrouted = s.metrics.Route("other", "other")
	if s.news != nil {
		s.metrics.Observe(s.observeLag)
	}
	if s.principal != nil {
		s.pace = newPace(c.Limits, s.now)
	} else {
		s.limits.OpenOrders = 0
		s.principal = func(*http.Request) (auth.Principal, error) { return auth.Anonymous, nil }
	}
	if s.newID == nil {
		s.newID = func(prefix string) string { return prefix + ulid.Make().String() }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// ServeHTTP gives the request its correlation id and its route, counts it, also against its address, and answers for a
// handler that panics.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	x := &exchange{ResponseWriter: w, correlationID: s.correlation(r), route: s.unrouted}
	defer func() { x.route.Answered(x.status, s.now().Sub(began)) }()
	h := x.Header()
	h.Set("X-Correlation-Id", x.correlationID)
	h.Set("X-Content-Type-Options", "nosniff")
	s.allowOrigin(h, r)
	defer s.rescue(x, r)
	if err := s.pace.ofAddress(r); err != nil {
		s.refuse(x, r, err)
		return
	}
	if p := r.URL.EscapedPath(); p != debugPath && (!clean(p) || !clean(r.URL.Path)) { // the links of that page want its slash
		s.refuse(x, r, errNoRoute)
		return
	}
	s.mux.ServeHTTP(x, r)
}

// rescue makes a panic an internal error. If the answer has begun it cannot be taken back, so the connection is cut: half an
// answer must not look like a whole one.
func (s *server) rescue(x *exchange, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it like this
		panic(cause)
	}
	s.log.ErrorContext(r.Context(), "Handler panicked", "method", r.Method, "path", pathOf(r),
		"correlation_id", x.correlationID, "panic", cause)
	if x.answered {
		panic(http.ErrAbortHandler)
	}
	s.refuse(x, r, fault.New(fault.Internal, "panic"))
}
