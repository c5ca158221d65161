package app

import (
	"context"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// traced puts spans around the parts, where they are wired to each other. The parts know nothing of it but the text that says where a start
// and a message come from. With no tracer it puts nothing around anything.
type traced struct {
	tracer *trace.Tracer
	now    func() time.Time
}

// The attributes that tell what a span is about. Nothing of what a customer wrote is among them.
const (
	attrExecution  = "cloudflow.execution"
	attrState      = "cloudflow.state"
	attrTask       = "cloudflow.task"
	attrRetry      = "cloudflow.retry"
	attrEvents     = "cloudflow.events"
	attrOperations = "cloudflow.operations"
	attrBreaker    = "cloudflow.breaker"
	attrKind       = "cloudflow.kind" // of a notification
	attrMessage    = "messaging.message.id"
	attrQueue      = "messaging.destination.name"
	attrTable      = "db.collection.name"
)

func (t traced) store(s store.Store) store.Store {
	if t.tracer == nil {
		return s
	}
	return tracedStore{s, t}
}

// A tracedStore makes a span of each call for something that is looked at, and costs a look into the context for anything else. A commit that holds events of orders also publishes them: whoever
// follows the feed reads them from there.
type tracedStore struct {
	store.Store
	traced
}

func (s tracedStore) Get(ctx context.Context, key store.Key, c store.Consistency) (it store.Item, err error) {
	if !trace.Sampled(ctx) {
		return s.Store.Get(ctx, key, c)
	}
	ctx, span := s.tracer.Start(ctx, trace.Client, "store.get", trace.String(attrTable, key.Table))
	defer func() { span.End(err) }()
	return s.Store.Get(ctx, key, c)
}

func (s tracedStore) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) (items []store.Item, err error) {
	if !trace.Sampled(ctx) {
		return s.Store.GetMany(ctx, keys, c)
	}
	ctx, span := s.tracer.Start(ctx, trace.Client, "store.get_many", trace.Int(attrOperations, int64(len(keys))))
	defer func() { span.End(err) }()
	return s.Store.GetMany(ctx, keys, c)
}

func (s tracedStore) Range(ctx context.Context, q store.Query) (page []store.Entry, err error) {
	if !trace.Sampled(ctx) {
		return s.Store.Range(ctx, q)
	}
	ctx, span := s.tracer.Start(ctx, trace.Client, "store.range", trace.String(attrTable, q.Table))
	defer func() { span.End(err) }()
	return s.Store.Range(ctx, q)
}

func (s tracedStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	within, span := s.tracer.Start(ctx, trace.Client, "store.commit")
	if span == nil {
		return s.Store.Update(ctx, fn)
	}
	var staged int
	var events []string
	began := s.now()
	err := s.Store.Update(within, func(tx *store.Tx) error {
		err := fn(tx)
		staged, events = len(tx.Ops()), eventsOf(tx.Ops())
		return err
	})
	span.Set(trace.Int(attrOperations, int64(staged)))
	if err == nil && len(events) > 0 {
		s.tracer.Record(trace.Record{
			Parent: trace.PlaceOf(within), Kind: trace.Producer, Name: "publish order events", Begin: began, End: s.now(),
			Attrs: []trace.Attr{trace.String(attrQueue, "orders"), trace.Strings(attrEvents, events)},
		})
	}
	span.End(err)
	return err
}

// eventsOf are the types of the order events among the operations.
func eventsOf(ops []store.Op) (types []string) {
	for i := range ops {
		if ops[i].Kind == store.OpPut && order.IsEvent(ops[i].Key) {
			if e, err := eventlog.Decode(store.Entry{Key: ops[i].Key, Item: ops[i].Item}); err == nil {
				types = append(types, e.Type)
			}
		}
	}
	return types
}

// A tracedStarter makes a span of each start, below which the execution's are.
type tracedStarter struct {
	order.Starter
	traced
}

func (t traced) starter(s order.Starter) order.Starter {
	if t.tracer == nil {
		return s
	}
	return tracedStarter{s, t}
}

func (s tracedStarter) Stage(tx *store.Tx, start order.Start) error {
	if start.Trace == "" {
		return s.Starter.Stage(tx, start)
	}
	ctx, span := s.tracer.Start(trace.Parse(start.Trace).In(context.Background()), trace.Producer, "start execution",
		trace.String(attrExecution, start.Execution))
	start.Trace = trace.PlaceOf(ctx).String()
	err := s.Starter.Stage(tx, start)
	span.End(err)
	return err
}

// A tracedOutbox makes a span of each message that is put into the queue, below which its consumer's are.
type tracedOutbox struct {
	order.Outbox
	traced
}

func (t traced) outbox(o order.Outbox) order.Outbox {
	if t.tracer == nil {
		return o
	}
	return tracedOutbox{o, t}
}

func (o tracedOutbox) Send(tx *store.Tx, m order.Message) error {
	if m.Trace == "" {
		return o.Outbox.Send(tx, m)
	}
	ctx, span := o.tracer.Start(trace.Parse(m.Trace).In(context.Background()), trace.Producer, "send notifications",
		trace.String(attrQueue, "notifications"), trace.String(attrKind, m.Kind))
	m.Trace = trace.PlaceOf(ctx).String()
	err := o.Outbox.Send(tx, m)
	span.End(err)
	return err
}

// received is notification.Config's: the message's handling is below what sent it, each time that it is received.
func (t traced) received() func(context.Context, notification.Message, int) (context.Context, func(error)) {
	if t.tracer == nil {
		return nil
	}
	return func(ctx context.Context, m notification.Message, receives int) (context.Context, func(error)) {
		if m.Trace == "" {
			return ctx, nil
		}
		ctx, span := t.tracer.Start(trace.Parse(m.Trace).In(ctx), trace.Consumer, "notification-handler",
			trace.String(attrQueue, "notifications"), trace.String(trace.AttrOrder, m.OrderID), trace.String(trace.AttrCorrelation, m.CorrelationID),
			trace.String(attrKind, string(m.Kind)), trace.Int(attrRetry, int64(receives-1)))
		return ctx, span.End
	}
}

// A tracedSender makes a span of each notification that leaves.
type tracedSender struct {
	notification.Sender
	traced
}

func (t traced) sender(s notification.Sender) notification.Sender {
	if t.tracer == nil || s == nil {
		return s
	}
	return tracedSender{s, t}
}

func (s tracedSender) Send(ctx context.Context, e notification.Email) (err error) {
	ctx, span := s.tracer.Start(ctx, trace.Client, "send e-mail", trace.String("cloudflow.sender", s.Name()), trace.String(attrMessage, e.MessageID))
	defer func() { span.End(err) }()
	return s.Sender.Send(ctx, e)
}

// A tracedGateway makes a span of each call of the provider.
type tracedGateway struct {
	payment.Gateway
	traced
}

func (t traced) gateway(g payment.Gateway) payment.Gateway {
	if t.tracer == nil {
		return g
	}
	return tracedGateway{g, t}
}

func (g tracedGateway) call(ctx context.Context, what string) (context.Context, *trace.Span) {
	return g.tracer.Start(ctx, trace.Client, "payment-provider "+what)
}

func (g tracedGateway) Open(ctx context.Context, in payment.Intent) (id string, err error) {
	ctx, span := g.call(ctx, "open")
	defer func() { span.End(err) }()
	return g.Gateway.Open(ctx, in)
}

func (g tracedGateway) Capture(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	ctx, span := g.call(ctx, "capture")
	defer func() { span.End(err) }()
	return g.Gateway.Capture(ctx, intentID)
}

func (g tracedGateway) Cancel(ctx context.Context, intentID string) (c payment.Cancellation, err error) {
	ctx, span := g.call(ctx, "cancel")
	defer func() { span.End(err) }()
	return g.Gateway.Cancel(ctx, intentID)
}

func (g tracedGateway) Refund(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	ctx, span := g.call(ctx, "refund")
	defer func() { span.End(err) }()
	return g.Gateway.Refund(ctx, intentID)
}

// breaker is breaker.Config's: what was asked of the circuit, and what it was told.
func (t traced) breaker(name string) func(ctx context.Context, what string, began time.Time, left breaker.State, err error) {
	if t.tracer == nil {
		return nil
	}
	return func(ctx context.Context, what string, began time.Time, left breaker.State, err error) {
		if !trace.Sampled(ctx) {
			return
		}
		t.tracer.Record(trace.Record{
			Parent: trace.PlaceOf(ctx), Name: "circuit-breaker " + what, Begin: began, End: t.now(), Failed: kindOf(err),
			Attrs: []trace.Attr{trace.String(attrBreaker, name), trace.String("cloudflow.breaker_state", string(left))},
		})
	}
}

func kindOf(err error) string {
	if err == nil {
		return ""
	}
	return string(fault.KindOf(err))
}

// handler tells a task where it stands, for what it sends.
func (t traced) handler(h saga.Handler) saga.Handler {
	if t.tracer == nil {
		return h
	}
	return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
		in.Trace = trace.PlaceOf(ctx).String()
		return h(ctx, in)
	}
}

// task has each attempt noted, when it begins and when it stages, and what it does done below it. The follower makes the span, once it is
// known what came of the attempt.
func (t traced) task(do flow.Task) flow.Task {
	if t.tracer == nil {
		return do
	}
	return func(ctx context.Context, c flow.Call) (store.Effect, error) {
		f := followerOf(ctx)
		if f == nil {
			return do(ctx, c)
		}
		a := attempt{c.Entered, c.Retry}
		f.note(a, func(n *noted) { *n = noted{began: t.now()} })
		effect, err := do(f.place.Of(a.what(f.execution)).In(ctx), c)
		if stage := effect.Stage; stage != nil {
			effect.Stage = func(tx *store.Tx) (any, error) {
				f.note(a, func(n *noted) { n.staged = t.now() })
				return stage(tx)
			}
		}
		return effect, err
	}
}

// handlerName is the name of the spans of a task's attempts: that of the Lambda function that does the same.
func handlerName(task string) string {
	service, _, _ := strings.Cut(task, ".")
	return service + "-handler"
}
