package trace

import (
	"context"
	"os"
	"time"
)

// flushTime bounds the export at the end of an invocation: it is part of what the function is paid for.
const flushTime = 2 * time.Second

// Invocation does one invocation of a Lambda function: as a span below that of X-Ray's header, with everything that has ended exported
// before it returns. After that AWS freezes the process, and what is not exported may never be.
//
// The header is the event's own (a message's AWSTraceHeader, a request's X-Amzn-Trace-Id); "" takes that of the invocation, which the
// runtime leaves in the environment (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime).
func (t *Tracer) Invocation(ctx context.Context, kind Kind, name, header string, do func(context.Context) error) error {
	if t == nil {
		return do(ctx)
	}
	if header == "" {
		header = os.Getenv("_X_AMZN_TRACE_ID")
	}
	within, span := t.Continue(ctx, func(name string) string {
		if name == "X-Amzn-Trace-Id" {
			return header
		}
		return ""
	}, kind, name)
	defer func() {
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		_ = t.Flush(flush) // told of by the error handler; the invocation has its own result
	}()
	finished := false
	defer func() {
		if !finished { // a panic, which the runtime reports
			span.Fail("panic")
		}
	}()
	err := do(within)
	finished = true
	span.End(err)
	return err
}
