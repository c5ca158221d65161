package awslambda

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
)

// A streamReader hands on what happened to orders: what starts an execution is started, and then everything is published.
type streamReader struct {
	tables  map[string]string
	startOf func(ctx context.Context, orderID string, redrives int64) (order.Start, error)
	start   func(ctx context.Context, s order.Start) error
	publish func(ctx context.Context, events ...awsbus.Event) (sent int, err error)
	trace   func(ctx context.Context) string // X-Ray's trace header, "" for none
	log     *slog.Logger
}

// do works through the batch in its order up to the first record that fails, and names that one: Lambda gives it and all behind it again, and in the
// end alone (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html). So one order's events are handed on in
// order. A record may come again: a start is known by its name, an event by its order and version.
func (s streamReader) do(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	var ready []awsbus.Event
	var of []int // the record of each
	failed, why := -1, error(nil)
	for i := range e.Records {
		event, err := s.record(ctx, e.Records[i])
		if err != nil {
			failed, why = i, err
			break
		}
		if event != nil {
			ready, of = append(ready, *event), append(of, i)
		}
	}
	if sent, err := s.publish(ctx, ready...); err != nil && sent < len(of) {
		failed, why = of[sent], err
	}
	out := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	if failed < 0 {
		return out, nil
	}
	sequence := e.Records[failed].Change.SequenceNumber
	s.log.LogAttrs(ctx, slog.LevelError, "A record of the stream is not handed on yet", slog.String("sequence_number", sequence),
		slog.Int("records", len(e.Records)), slog.Int("done", failed), slog.Any("error", why))
	out.BatchItemFailures = append(out.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: sequence})
	return out, nil
}

// record starts what the record starts, and returns what it tells; nil for one that is no event of an order, or one that a migration has brought along.
func (s streamReader) record(ctx context.Context, r events.DynamoDBEventRecord) (*awsbus.Event, error) {
	if r.EventName != "INSERT" { // an event never changes
		return nil, nil //nolint:nilnil // nothing to tell
	}
	change, err := dynamostore.ChangeOf(s.tables, r)
	if err != nil || !order.IsEvent(change.Key) || eventlog.IsMoved(change.Item) {
		return nil, err
	}
	e, err := eventlog.Decode(store.Entry{Key: change.Key, Item: change.Item})
	if err != nil {
		return nil, err
	}
	if redrives, starts := startsAfter(e); starts {
		if err := s.begin(ctx, change.Key.PK, redrives); err != nil {
			return nil, err
		}
	}
	detail, err := detailOf(change.Key.PK, e)
	if err != nil {
		return nil, err
	}
	return &awsbus.Event{Type: e.Type, Detail: detail, Time: e.Timestamp, Trace: s.trace(ctx)}, nil
}

// startsAfter is how often the order was resumed, if the event starts an execution.
func startsAfter(e eventlog.Event) (redrives int64, starts bool) {
	switch e.Type {
	case order.OrderCreated:
		return 0, true
	case order.SagaRedriven:
		n, _ := e.Data["n"].(json.Number)
		redrives, err := n.Int64()
		return redrives, err == nil
	}
	return 0, false
}

func (s streamReader) begin(ctx context.Context, orderID string, redrives int64) error {
	start, err := s.startOf(ctx, orderID, redrives)
	if fault.Is(err, fault.NotFound) {
		// The order was deleted since, or the execution that this one goes on from is no longer kept. The sweeper says so of an order that is open.
		s.log.LogAttrs(ctx, slog.LevelError, "An execution cannot be started", slog.String("order_id", orderID),
			slog.String("execution", order.ExecutionName(orderID, redrives)), slog.Any("error", err))
		return nil
	}
	if err != nil {
		return err
	}
	start.Trace = trace.PlaceOf(ctx).String()
	if err := s.start(ctx, start); err != nil {
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "SAGA execution started", slog.String("order_id", orderID),
		slog.String("correlation_id", start.CorrelationID), slog.String("execution", start.Execution))
	return nil
}

// A detail is what is published of an event. The log that it comes from holds no contact. What only verify needs, the chain and the hash of the
// caller's key, is left out.
type detail struct {
	OrderID       string         `json:"order_id"`
	Version       int64          `json:"version"`
	Type          string         `json:"type"`
	Timestamp     string         `json:"timestamp"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	Data          map[string]any `json:"data,omitempty"`
}

func detailOf(orderID string, e eventlog.Event) ([]byte, error) {
	data := make(map[string]any, len(e.Data))
	for name, value := range e.Data {
		if !strings.HasPrefix(name, "idempotency_") {
			data[name] = value
		}
	}
	return json.Marshal(detail{orderID, e.Version, e.Type, e.Timestamp.Format(eventlog.Layout), e.CorrelationID, data})
}
