package dynamostore

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The bounds of one call. Every attempt is counted here: the SDK's own retryer is off, because it would send a write again whose reply was
// lost, and it does not know which of them may be.
const (
	// MaxAttempts is how many requests one call makes at most. Those that wait their turn at a hot item or a throttled
	// partition need several; with these pauses eight take a second and a half on average.
	MaxAttempts = 8
	// MaxFailures is how many of them may end without an answer, which is the default of the SDK's standard mode: who hangs for the whole
	// timeout three times has gone.
	MaxFailures = 3

	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
)

// A fate says what became of one request.
type fate uint8

const (
	answered    fate = iota // DynamoDB has decided; the same request gets the same answer
	busy                    // refused for now and not applied: throttled, or another transaction holds the item
	unreachable             // never sent
	lost                    // no answer, or one that says nothing: it may have been applied
)

// call makes the request until it is answered, MaxAttempts times at most. A request that may have been applied is sent again only if resend
// says that it may; maybe reports that one was without an answer, so that an error of a later one does not say that nothing was
// written. An error of ctx is returned bare as long as nothing was sent.
func (s *Store) call(ctx context.Context, resend bool, send func(context.Context) error) (maybe bool, err error) {
	failures := 0
	for n := range MaxAttempts {
		if n > 0 {
			s.pause(ctx, n-1)
		}
		if ctxErr := ctx.Err(); ctxErr != nil {
			if n == 0 || !maybe {
				err = ctxErr
			}
			return maybe, err
		}
		err = s.once(ctx, send)
		switch fateOf(err) {
		case answered:
			return maybe, err
		case busy:
			continue
		case unreachable:
		case lost:
			if maybe = true; !resend {
				return true, err
			}
		}
		if failures++; failures == MaxFailures {
			return maybe, err
		}
	}
	return maybe, err
}

func (s *Store) once(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.conf.CallTimeout)
	defer cancel()
	return send(ctx)
}

// ours goes with every request to DynamoDB, and oursToo with those to its streams.
func ours(o *dynamodb.Options) {
	o.Retryer, o.HTTPClient = aws.NopRetryer{}, awscall.HTTPClient(o.HTTPClient)
}

func oursToo(o *dynamodbstreams.Options) {
	o.Retryer, o.HTTPClient = aws.NopRetryer{}, awscall.HTTPClient(o.HTTPClient)
}

// pause waits for a random part of a time that doubles (full jitter,
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or until ctx ends.
func (s *Store) pause(ctx context.Context, n int) {
	longest := min(firstPause<<n, lastPause)
	timer := time.NewTimer(time.Duration(s.conf.Rand() % uint64(longest)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// fateOf tells by an error what became of its request. One that it does not know may have been applied.
func fateOf(err error) fate {
	var api smithy.APIError
	var canceled *types.TransactionCanceledException
	var dial *net.OpError
	var unwritten *smithy.SerializationError
	switch {
	case err == nil, errors.Is(err, errConflict), store.RefusalOf(err) != nil:
		return answered
	case errors.As(err, &canceled):
		if slices.ContainsFunc(canceled.CancellationReasons, passing) {
			return busy
		}
		return answered
	case errors.As(err, &api):
		return fateOfCode(api.ErrorCode(), err)
	case errors.As(err, &unwritten):
		return answered
	case errors.As(err, &dial) && dial.Op == "dial":
		return unreachable
	default:
		return lost
	}
}

func fateOfCode(code string, err error) fate {
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok { // TransactionInProgressException is among them
		return busy
	}
	if code == "TransactionConflictException" || code == "ThrottlingError" {
		return busy
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() < 500 {
		return answered
	}
	// DynamoDB answers 500 to writes that it has applied too
	// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html).
	return lost
}

// passing reports whether the reason is one that goes by itself.
func passing(r types.CancellationReason) bool {
	switch aws.ToString(r.Code) {
	case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
		return true
	default:
		return false
	}
}

func throttled(err error) bool {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		return slices.ContainsFunc(canceled.CancellationReasons, func(r types.CancellationReason) bool {
			return passing(r) && aws.ToString(r.Code) != "TransactionConflict"
		})
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	_, ok := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
	return ok && api.ErrorCode() != "TransactionInProgressException" || api.ErrorCode() == "ThrottlingError"
}

// read makes a call that changes nothing.
func (s *Store) read(ctx context.Context, what string, send func(context.Context) error) error {
	_, err := s.call(ctx, true, send)
	return failed(ctx, what, false, err)
}

// failed is the error of a call as the port has it: fault.Throttled and fault.Transient of what may succeed later, fault.Internal of what DynamoDB
// will never take. maybe: it was a write that may have been applied, so nothing else can be said of it.
func failed(ctx context.Context, what string, maybe bool, err error) error {
	switch {
	case err == nil:
		return nil
	case maybe:
		if fateOf(err) == answered {
			err = errors.New(err.Error()) // a conflict or a refusal that nobody may act on
		}
		return fault.Wrap(fault.Transient, err, "dynamostore: %s: an answer is missing; the transaction may be applied or not", what)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errConflict), store.RefusalOf(err) != nil:
		return err
	case throttled(err):
		return fault.Wrap(fault.Throttled, err, "dynamostore: %s", what)
	case fateOf(err) != answered:
		return fault.Wrap(fault.Transient, err, "dynamostore: %s", what)
	default:
		return fault.Wrap(fault.Internal, err, "dynamostore: %s", what)
	}
}
