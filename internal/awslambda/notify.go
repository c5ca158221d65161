package awslambda

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/notification"
)

// notifier sends a batch of notifications.
type notifier struct {
	handle func(ctx context.Context, batch []bus.Message) ([]notification.Failure, error)
	// again hides messages that have failed until they are to be tried again.
	again func(ctx context.Context, m bus.Message, reason string) error
	log   *slog.Logger
}

// do handles the batch, and names the messages that are not done: those alone stay in the queue
// (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html). None is an empty list, never null.
func (n notifier) do(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
	batch, ids := make([]bus.Message, len(e.Records)), make(map[string]string, len(e.Records))
	for i := range e.Records {
		batch[i] = messageOf(&e.Records[i])
		ids[e.Records[i].ReceiptHandle] = e.Records[i].MessageId
	}
	failures, err := n.handle(ctx, batch)
	if err != nil { // nothing is known of any: all come again
		return events.SQSEventResponse{}, err
	}
	out := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, f := range failures {
		n.log.LogAttrs(ctx, slog.LevelWarn, "Notification failed", slog.String("message_id", f.Message.ID),
			slog.Int("receives", f.Message.Receives), slog.Any("error", f.Err))
		out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: ids[f.Message.Receipt]})
		if err := n.again(ctx, f.Message, f.Err.Error()); err != nil { // then it comes when the queue's own time is over
			n.log.LogAttrs(ctx, slog.LevelWarn, "A message could not be put off", slog.String("message_id", f.Message.ID), slog.Any("error", err))
		}
	}
	return out, nil
}

func messageOf(r *events.SQSMessage) bus.Message {
	attributes := make(map[string]string, len(r.MessageAttributes))
	for name, a := range r.MessageAttributes {
		if a.StringValue != nil {
			attributes[name] = *a.StringValue
		}
	}
	return awsbus.Decode(awsbus.Delivery{
		MessageID: r.MessageId, ReceiptHandle: r.ReceiptHandle, Body: r.Body, Attributes: r.Attributes, MessageAttributes: attributes,
	})
}
