package trace

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	otel "go.opentelemetry.io/otel/trace"
)

// ids makes the IDs of traces and spans. A trace's begins with the second it was begun in, as AWS X-Ray wants it
// (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-traceids), and has 96 bits of chance behind it; a
// sampler that goes by the trace's ID goes by the last of these.
type ids struct{}

// NewIDs implements sdk.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace otel.TraceID, span otel.SpanID) {
	binary.BigEndian.PutUint32(trace[:], uint32(time.Now().Unix())) //nolint:gosec // until 2106
	binary.BigEndian.PutUint32(trace[4:], rand.Uint32())
	binary.BigEndian.PutUint64(trace[8:], rand.Uint64())
	return trace, g.NewSpanID(ctx, trace)
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ otel.TraceID) (id otel.SpanID) {
	if wanted, ok := ctx.Value(idKey{}).(otel.SpanID); ok {
		return wanted
	}
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) // never zero, which is none
	return id
}

type idKey struct{}

// withID has the next span that is begun in the context have that ID. The context is for that span alone.
func withID(ctx context.Context, id otel.SpanID) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}
