// Package awscall holds what the adapters of AWS have in common: how long a call may take and how often it is tried, and what an error of
// the SDK is to the house.
//
// It promises: a client made from Bounded ends each try by itself, however silent the other side is, and makes a stated number of them, with
// exponential backoff and full jitter between them
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). What is tried again is the SDK's standard choice: throttling,
// 5xx, and what got no answer (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html). Its token bucket also bounds what an
// outage costs: once a client's tokens are spent, a call that fails is not tried again.
package awscall

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// Limits of a call. The zero value of a member is its default.
type Limits struct {
	Try      time.Duration // of one try, from the connection to the last byte of the answer; default 5 s
	Attempts int           // tries in all, default 4
	Pause    time.Duration // the longest pause between two tries, default 2 s
}

const (
	defaultTry      = 5 * time.Second
	defaultAttempts = 4
	defaultPause    = 2 * time.Second
)

// Total is more than a call within the limits can take: for a context that ends it in any case.
func (l Limits) Total() time.Duration {
	l = l.orDefault()
	return time.Duration(l.Attempts) * (l.Try + l.Pause)
}

// Longer is the limits with more time for each try: for a call that may wait on the other side.
func (l Limits) Longer(d time.Duration) Limits {
	l = l.orDefault()
	l.Try += d
	return l
}

func (l Limits) orDefault() Limits {
	if l.Try <= 0 {
		l.Try = defaultTry
	}
	if l.Attempts <= 0 {
		l.Attempts = defaultAttempts
	}
	if l.Pause <= 0 {
		l.Pause = defaultPause
	}
	return l
}

// Bounded returns the config with the limits: its clients make their calls within them. An HTTP client of the config that is not the
// SDK's own is kept as it is, and so are its timeouts.
func Bounded(c aws.Config, l Limits) aws.Config {
	l = l.orDefault()
	c = c.Copy()
	client := c.HTTPClient
	if w, ok := client.(whole); ok {
		client = w.client
	}
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	if own, ok := client.(*awshttp.BuildableClient); ok {
		c.HTTPClient = HTTPClient(own.WithTimeout(l.Try))
	}
	c.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = l.Attempts
			// The SDK's own backoff drops its jitter once it has reached the longest pause.
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return Backoff(attempt, l.Pause), nil
			})
		})
	}
	return c
}

const firstPause = 200 * time.Millisecond

// Backoff is the pause after the n-th try, from 1: a random part of 200 ms that doubles with each try, up to the longest.
func Backoff(n int, longest time.Duration) time.Duration {
	pause := firstPause << min(max(n-1, 0), 16)
	return rand.N(max(min(pause, longest), 1))
}

// Sleep waits, and returns false if ctx has ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// Fault is the error of an SDK call as the house knows it, with what was being done; nil stays nil. Throttled: AWS says that it is asked too
// often. Transient: AWS has failed, or nothing is known of the call, a context that ended included. Internal: it was refused, and would be again.
func Fault(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(kind(err), err, "%s", doing)
}

func kind(err error) fault.Kind {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Transient
	}
	if throttles.IsErrorThrottle(err) == aws.TrueTernary {
		return fault.Throttled
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusTooManyRequests {
		return fault.Throttled
	}
	var api smithy.APIError
	var invalid smithy.InvalidParamsError
	var unspoken *smithy.SerializationError
	switch {
	case errors.As(err, &invalid), errors.As(err, &unspoken): // it was never sent
		return fault.Internal
	case response != nil && response.HTTPStatusCode() >= http.StatusInternalServerError:
		return fault.Transient
	case errors.As(err, &api):
		if api.ErrorFault() == smithy.FaultServer {
			return fault.Transient
		}
		return fault.Internal
	default: // no answer, or none that could be read
		return fault.Transient
	}
}

// Code is the code of the API's error in err's chain, such as ExecutionDoesNotExist; "" if there is none. It is the part of an error that never
// quotes what was sent.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
