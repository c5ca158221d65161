package awslambda

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// failure is err as whoever invoked the function sees it: errorType is the fault's kind, which is what the machine's Retry and Catch compare, and errorMessage
// the text for callers. What is internal stays in the log. The library gives an error the name that it asks for only as a value of this very
// type, outermost: wrapped, it would be called wrapError (https://docs.aws.amazon.com/lambda/latest/dg/golang-exceptions.html).
func failure(ctx context.Context, log *slog.Logger, requestID string, err error) messages.InvokeResponse_Error {
	var said messages.InvokeResponse_Error
	if errors.As(err, &said) {
		return said
	}
	kind, message := fault.OfTask(err)
	if kind == fault.Internal || message == "" {
		log.LogAttrs(ctx, slog.LevelError, "An invocation failed", slog.String("request_id", requestID),
			slog.String("kind", string(kind)), slog.Any("error", err))
	}
	if message == "" {
		message = "an internal error; the log has its text under this request: " + requestID
	}
	return messages.InvokeResponse_Error{Type: string(kind), Message: message}
}
