package awslambda

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
)

// Config of a Function. Environment and AWS are required.
type Config struct {
	Environment Environment
	AWS         aws.Config // of all clients
	Version     string     // of the program, for its metrics
	// Metrics gets lines of CloudWatch's embedded metric format, once for each invocation; nil: nothing is counted.
	Metrics io.Writer
	Tracer  *trace.Tracer // nil: nothing is traced
	Log     *slog.Logger  // nil: nothing is logged
	Now     func() time.Time
}

// A Function is one of the functions, with its clients and services made once. It is a lambda.Handler.
type Function struct {
	name    string
	does    func(ctx context.Context, payload []byte) (any, error)
	kind    trace.Kind
	metrics *metrics.Metrics
	tracer  *trace.Tracer
	log     *slog.Logger
}

// New makes the function that the environment names. It reads the signing keys, where the function has them, and asks nobody else.
func New(c Config) (*Function, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Function{name: c.Environment.Handler, kind: trace.Consumer, tracer: c.Tracer, log: c.Log.With("service", "lambda")}
	if c.Metrics != nil {
		m, err := metrics.Open(metrics.Config{Version: c.Version, Log: c.Log, EMF: metrics.NewEMF(c.Metrics, metrics.EMFOptions{
			Service: f.name, Stage: c.Environment.get(EnvStage), Lambda: true, Now: c.Now,
		})})
		if err != nil {
			return nil, err
		}
		f.metrics = m
	}
	if err := c.wire(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return f, nil
}

// answerTime is what is left of an invocation's time when its work is told to stop: for the answer, and for what was traced and counted.
const answerTime = 500 * time.Millisecond

// Invoke implements lambda.Handler. Its error is a messages.InvokeResponse_Error.
func (f *Function) Invoke(ctx context.Context, payload []byte) (out []byte, err error) {
	requestID := "unknown"
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		requestID = lc.AwsRequestID
	}
	defer f.flush(ctx)
	work := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		work, cancel = context.WithDeadline(ctx, end.Add(-answerTime))
		defer cancel()
	}
	err = f.tracer.Invocation(work, f.kind, f.name, traceHeader(payload), func(ctx context.Context) error {
		result, err := f.guarded(ctx, payload)
		if err == nil {
			out, err = json.Marshal(result)
		}
		return err
	})
	if err != nil {
		return nil, failure(ctx, f.log, requestID, err)
	}
	return out, nil
}

// guarded does the work. A panic is Transient: whoever called may call again.
func (f *Function) guarded(ctx context.Context, payload []byte) (result any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			f.log.LogAttrs(ctx, slog.LevelError, "A function panicked", slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			err = fault.New(fault.Transient, "the function panicked")
		}
	}()
	return f.does(ctx, payload)
}

// flushTime bounds what is written of the metrics.
const flushTime = time.Second

func (f *Function) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := f.metrics.Flush(ctx); err != nil {
		f.log.LogAttrs(ctx, slog.LevelWarn, "Metrics were not written", slog.Any("error", err))
	}
}

// traceHeader is the X-Ray header of a request or of a batch's first message; "" for an event that brings none: then it is the invocation's.
func traceHeader(payload []byte) string {
	var e struct {
		Headers map[string]string `json:"headers"`
		Records []struct {
			Attributes map[string]string `json:"attributes"`
		} `json:"Records"`
	}
	if json.Unmarshal(payload, &e) != nil {
		return ""
	}
	for name, value := range e.Headers {
		if strings.EqualFold(name, xrayHeader) {
			return value
		}
	}
	if len(e.Records) > 0 {
		return e.Records[0].Attributes["AWSTraceHeader"]
	}
	return ""
}

const xrayHeader = "X-Amzn-Trace-Id"

// xray is the X-Ray header of the context, "" if nobody looks.
func xray(t *trace.Tracer) func(ctx context.Context) string {
	return func(ctx context.Context) (header string) {
		t.Headers(ctx, func(name, value string) {
			if name == xrayHeader {
				header = value
			}
		})
		return header
	}
}

// on decodes an event for what takes it: fault.BadRequest.
func on[E, R any](do func(context.Context, E) (R, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, payload []byte) (any, error) {
		var e E
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, fault.Wrap(fault.BadRequest, err, "The event is not of the shape that this function takes.")
		}
		return do(ctx, e)
	}
}

// onClock is for an event of the clock, which says nothing.
func onClock(do func(context.Context) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, _ []byte) (any, error) { return do(ctx) }
}

// onCall tells a request of API Gateway from a task of Step Functions: a service's function is called by both.
func onCall(
	request func(context.Context, events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error),
	task func(ctx context.Context, payload []byte) (any, error),
) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, payload []byte) (any, error) {
		var e struct {
			HTTPMethod string           `json:"httpMethod"`
			Task       *json.RawMessage `json:"task"`
		}
		switch err := json.Unmarshal(payload, &e); {
		case err == nil && e.HTTPMethod != "":
			return on(request)(ctx, payload)
		case err == nil && e.Task != nil:
			return task(ctx, payload)
		}
		return nil, fault.New(fault.BadRequest, "The event is neither a request of API Gateway nor a task of the saga.")
	}
}
