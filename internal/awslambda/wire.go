package awslambda

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/token"
	"github.com/utkarsh698/cloudflow/internal/awssecrets"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/operator"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/sender/snssender"
	"github.com/utkarsh698/cloudflow/internal/sfn"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
)

// wire gives the function what it does. Of the adapters it makes those that the function's variables are there for, each with its client, once.
func (c Config) wire(f *Function) error {
	if c.Environment.Handler == Authorizer {
		return c.wireAuthorizer(f)
	}
	w, err := c.parts(f)
	if err != nil {
		return err
	}
	switch c.Environment.Handler {
	case OrderHandler:
		f.kind = trace.Server
		return w.service(f, "order", w.orderRoutes)
	case InventoryHandler:
		f.kind = trace.Server
		return w.service(f, "inventory", func(r *httpapi.Config) { r.Products = w.functions.Inventory })
	case PaymentHandler:
		f.kind = trace.Server
		return w.service(f, "payment", func(r *httpapi.Config) {
			r.Payments = w.functions.Payments
			r.Breakers = []httpapi.Breaker{w.functions.Breakers[app.ChargeBreaker], w.functions.Breakers[app.RefundBreaker]}
		})
	case NotificationHandler:
		f.does = on(notifier{handle: w.functions.Notifications.Handle, again: w.again, log: f.log}.do)
	case Stream:
		f.does = on(w.stream().do)
	case Sweeper:
		f.does = onClock(w.sweep())
	case Expirer:
		f.does = onClock(func(ctx context.Context) (any, error) { return w.functions.Inventory.Expire(ctx) })
	case Review:
		f.does = on(reviewer{
			machine: c.Environment.get(EnvStateMachine), stage: w.functions.Orders.StageReview, store: w.store,
			ended: w.counts.ExecutionEnded,
		}.do)
	case DeadLetterCounter:
		f.does = onClock(w.countDead())
	}
	return nil
}

// parts are what functions are made of. Those that the function has no variable for are nil.
type parts struct {
	Config
	metrics   *metrics.Metrics
	counts    app.Counts
	store     store.Store
	keys      *saga.Keys
	machine   *sfn.Machine
	queue     *awsbus.Queue
	functions *app.Functions
}

func (c Config) parts(f *Function) (*parts, error) {
	env := c.Environment
	w := &parts{Config: c, metrics: f.metrics, counts: app.CountIn(f.metrics)}
	client := dynamodb.NewFromConfig(c.AWS)
	tables := env.tables()
	theirs, simulated := tables[provider.Table]
	delete(tables, provider.Table)
	var err error
	if len(tables) > 0 {
		if w.store, err = dynamostore.New(dynamostore.Config{Client: client, Tables: tables}); err != nil {
			return nil, err
		}
	}
	if id := env.get(EnvSagaKeys); id != "" {
		secret := awssecrets.Open(c.AWS, awssecrets.Config{ID: id, Now: c.Now, Log: c.Log})
		if w.keys, err = saga.FollowKeys(awssecrets.Parse(secret, saga.ParseKeys).Follow); err != nil {
			return nil, err
		}
	}
	if arn := env.get(EnvStateMachine); arn != "" {
		header := xray(c.Tracer)
		w.machine, err = sfn.Open(c.AWS, sfn.Config{ARN: arn, Keys: w.keys, Trace: func(s order.Start) string {
			return header(trace.Parse(s.Trace).In(context.Background()))
		}})
		if err != nil {
			return nil, err
		}
	}
	if url, dead := env.get(EnvQueue), env.get(EnvDeadLetters); url != "" || dead != "" {
		w.queue = awsbus.Open(c.AWS, awsbus.Config{URL: url, DeadURL: dead, Now: c.Now})
	}
	config := app.Config{
		Store: w.store, SagaKeys: w.keys, ContactKeys: pii.NewStoreKeys(w.store), Counts: w.counts, Tracer: c.Tracer,
		Currency: env.get(EnvCurrency), NoContact: sender.NewLog(c.Log), Sends: notificationSends, Now: c.Now, Log: c.Log,
	}
	if simulated {
		if config.Provider, err = dynamostore.New(dynamostore.Config{Client: client, Tables: map[string]string{provider.Table: theirs}}); err != nil {
			return nil, err
		}
	}
	on := app.AWS{}
	if w.queue != nil {
		on.Send = w.send
	}
	if w.machine != nil {
		on.Saga, on.StartNow = w.machine, w.machine.Start
	}
	if topic := env.get(EnvTopic); topic != "" {
		sns, err := snssender.New(c.AWS, snssender.Config{TopicARN: topic})
		if err != nil {
			return nil, err
		}
		config.Sender, on.Phone = sns, sns
	}
	w.functions = app.NewFunctions(config, on)
	return w, nil
}

// notificationSends are under way at once: all of a batch, so that it takes as long as its slowest.
const notificationSends = 10

// send puts a notification into the queue, under its own name.
func (w *parts) send(ctx context.Context, m notification.Message) error {
	body, err := m.Encode()
	if err != nil {
		return err
	}
	return w.queue.SendMessage(ctx, awsbus.Sent{ID: m.MessageID(), Body: body, Trace: xray(w.Tracer)(ctx)})
}

// again hides a notification that failed for as long as the single binary would.
func (w *parts) again(ctx context.Context, m bus.Message, reason string) error {
	return w.queue.Defer(ctx, notification.RetryAfter(m.Receives), reason, m.Receipt)
}

// service is a function with routes and tasks.
func (w *parts) service(f *Function, name string, give func(*httpapi.Config)) error {
	none := w.Environment.get(EnvAuth) == authNone
	routes := httpapi.Config{
		Paths: paths[w.Environment.Handler], Principal: calledBy(none), CORS: w.Environment.origins(),
		Metrics: w.metrics, NewID: w.functions.NewID, Now: w.Now, Log: w.Log,
	}
	if !none { // the rates are API Gateway's
		routes.Limits.OpenOrders = httpapi.DefaultLimits.OpenOrders
	}
	give(&routes)
	server := &server{routes: routes, keys: w.keys}
	if _, err := server.handler(); err != nil { // at the init, and not in the first invocation
		return err
	}
	f.does = onCall(
		func(ctx context.Context, e events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
			handler, err := server.handler()
			if err != nil {
				return events.APIGatewayProxyResponse{}, err
			}
			return serveHTTP(ctx, handler, e)
		},
		func(ctx context.Context, payload []byte) (any, error) {
			attempt := w.functions.NewID("att-")
			if lc, ok := lambdacontext.FromContext(ctx); ok { // each attempt of Step Functions is an invocation of its own
				attempt = lc.AwsRequestID
			}
			return doTask(ctx, w.functions.Table, w.store, name, attempt, payload)
		},
	)
	return nil
}

// A server is the routes under the keys of cursors that count now: those come from the signing keys, which may be rotated while this process lives.
type server struct {
	routes httpapi.Config
	keys   *saga.Keys

	mu   sync.Mutex
	made http.Handler // under routes.CursorKeys
}

func (s *server) handler() (http.Handler, error) {
	cursors, err := s.keys.Derive("cloudflow cursors 1")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil || !slices.EqualFunc(cursors, s.routes.CursorKeys, bytes.Equal) {
		s.routes.CursorKeys = cursors
		s.made = httpapi.New(s.routes)
	}
	return s.made, nil
}

func (w *parts) orderRoutes(r *httpapi.Config) {
	r.Orders, r.Lists = tracedOrders{w.functions.Orders}, w.functions.Orders
	r.Sagas = operator.Sagas{Orders: w.functions.Orders, Engine: w.machine}
	r.DeadLetters = notification.DeadLetters{Queue: w.queue}
	r.Data = erasures{orders: w.functions.Orders}
}

// tracedOrders has an order's trace go on from the request that placed it.
type tracedOrders struct{ httpapi.Orders }

func (o tracedOrders) Place(ctx context.Context, r order.PlaceRequest) (order.Placed, error) {
	r.Trace = trace.PlaceOf(ctx).String()
	return o.Orders.Place(ctx, r)
}

// erasures is of httpapi.Data what there is a path for.
type erasures struct {
	httpapi.Data
	orders *order.Service
}

func (e erasures) Erase(ctx context.Context, customerID, actor string) (order.Erasure, error) {
	return e.orders.Erase(ctx, customerID, actor)
}

func (w *parts) stream() streamReader {
	bus := awsbus.OpenEvents(w.AWS, awsbus.EventsConfig{Bus: w.Environment.get(EnvEventBus)})
	return streamReader{
		tables: w.Environment.tables(), startOf: w.functions.Orders.StartOf, start: w.machine.Start, publish: bus.Publish,
		trace: xray(w.Tracer), log: w.Log.With("service", "stream"),
	}
}

// sweep looks after the open orders, and counts those that wait for a person.
func (w *parts) sweep() func(context.Context) (any, error) {
	inReview := gauge(w.metrics, func(o metrics.Observer, n int64) { o.Set(metrics.OrdersReview, float64(n)) })
	return func(ctx context.Context) (any, error) {
		report, err := w.functions.Orders.Sweep(ctx)
		if err != nil {
			return nil, err
		}
		w.Log.LogAttrs(ctx, slog.LevelInfo, "Open orders were looked through", slog.String("service", "sweeper"),
			slog.Int("open", report.Open), slog.Int("started", report.Started), slog.Int("reviewed", report.Reviewed))
		n, err := w.functions.Orders.CountInReview(ctx)
		if err != nil {
			return nil, err
		}
		inReview(int64(n))
		return report, nil
	}
}

// deadQueue is the queue as metrics name it.
const deadQueue = "notifications"

func (w *parts) countDead() func(context.Context) (any, error) {
	dead := gauge(w.metrics, func(o metrics.Observer, n int64) { o.Set(metrics.QueueMessages, float64(n), deadQueue, "dead") })
	return func(ctx context.Context) (any, error) {
		n, err := w.queue.CountDead(ctx)
		if err != nil {
			return nil, err
		}
		dead(n)
		return map[string]int64{"dead_letters": n}, nil
	}
}

// gauge has what was counted last said at each flush; before it was, nothing is.
func gauge(m *metrics.Metrics, set func(metrics.Observer, int64)) func(int64) {
	var last atomic.Pointer[int64]
	m.Observe(func(_ context.Context, o metrics.Observer) error {
		if n := last.Swap(nil); n != nil {
			set(o, *n)
		}
		return nil
	})
	return func(n int64) { last.Store(&n) }
}

// wireAuthorizer knows one issuer, or none.
func (c Config) wireAuthorizer(f *Function) error {
	a := authorizer{log: c.Log.With("service", "authorizer")}
	if place := c.Environment.get(EnvKeys); place != "" {
		keys, err := token.Keys(place, c.Now, a.log)
		if err != nil {
			return err
		}
		algorithms, err := token.ParseAlgorithms(token.DefaultAlgorithms)
		if err != nil {
			return err
		}
		verifier, err := token.New(token.Config{
			Issuer: c.Environment.get(EnvIssuer), Audience: c.Environment.get(EnvAudience), Algorithms: algorithms, Keys: keys, Now: c.Now,
		})
		if err != nil {
			return err
		}
		a.verify = func(ctx context.Context, credential string) (auth.Principal, error) {
			verifier.Look(ctx) // nothing runs beside the invocations
			return verifier.Verify(ctx, credential)
		}
	}
	f.does = on(a.do)
	return nil
}
