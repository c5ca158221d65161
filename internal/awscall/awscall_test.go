package awscall

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

func answer(status int, err error) error {
	return &smithy.OperationError{ServiceID: "SFN", OperationName: "StartExecution", Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err},
	}}
}

func TestAnErrorsKindSaysWhetherAnotherTryMakesSense(t *testing.T) {
	code := func(c string, f smithy.ErrorFault) error {
		return &smithy.GenericAPIError{Code: c, Message: "m", Fault: f}
	}
	for _, c := range []struct {
		err  error
		kind fault.Kind
		code string
	}{
		{answer(400, code("ThrottlingException", smithy.FaultClient)), fault.Throttled, "ThrottlingException"},
		{answer(429, code("Whatever", smithy.FaultClient)), fault.Throttled, "Whatever"},
		{answer(400, code("AccessDeniedException", smithy.FaultClient)), fault.Internal, "AccessDeniedException"},
		{answer(500, code("InternalFailure", smithy.FaultServer)), fault.Transient, "InternalFailure"},
		{answer(503, errors.New("no JSON")), fault.Transient, ""},
		{answer(200, &smithy.DeserializationError{Err: errors.New("no JSON")}), fault.Transient, ""},
		{&smithy.OperationError{Err: &smithyhttp.RequestSendError{Err: errors.New("refused")}}, fault.Transient, ""},
		{&smithy.OperationError{Err: context.DeadlineExceeded}, fault.Transient, ""},
		{&smithy.OperationError{Err: &smithy.CanceledError{Err: context.Canceled}}, fault.Transient, ""},
		{&smithy.OperationError{Err: smithy.InvalidParamsError{Context: "x"}}, fault.Internal, ""},
		{&smithy.OperationError{Err: &smithy.SerializationError{Err: errors.New("x")}}, fault.Internal, ""},
	} {
		err := Fault(c.err, "doing")
		if !fault.Is(err, c.kind) || Code(err) != c.code || !errors.Is(err, c.err) {
			t.Errorf("%v: %v, code %q", c.err, err, Code(err))
		}
	}
	if err := Fault(nil, "doing"); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	for n, longest := range map[int]time.Duration{-1: 200 * time.Millisecond, 1: 200 * time.Millisecond, 3: 800 * time.Millisecond, 4: time.Second, 1000: time.Second} {
		var most time.Duration
		for range 2000 {
			most = max(most, Backoff(n, time.Second))
		}
		if most > longest || most < longest/2 {
			t.Errorf("after try %d up to %v, want up to %v", n, most, longest)
		}
	}
	Backoff(1, 0) // must not panic
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if Sleep(ctx, time.Hour) || !Sleep(t.Context(), time.Millisecond) {
		t.Error("Sleep does not say whether it slept")
	}
}

type other struct{}

func (other) Do(*http.Request) (*http.Response, error) { return nil, errors.New("no") }

func TestBoundedSetsWhatItCan(t *testing.T) {
	for _, client := range []aws.HTTPClient{nil, awshttp.NewBuildableClient(), HTTPClient(awshttp.NewBuildableClient())} {
		c := Bounded(aws.Config{HTTPClient: client}, Limits{Try: 7 * time.Second, Attempts: 2})
		if w, ok := c.HTTPClient.(whole); !ok || w.client.(*awshttp.BuildableClient).GetTimeout() != 7*time.Second || c.Retryer().MaxAttempts() != 2 {
			t.Errorf("%T became %+v", client, c.HTTPClient)
		}
	}
	if c := Bounded(aws.Config{HTTPClient: other{}}, Limits{}); c.HTTPClient != (other{}) {
		t.Errorf("%T was replaced", c.HTTPClient)
	}
	if d := (Limits{}).Total(); d != 28*time.Second {
		t.Errorf("a call takes up to %v", d)
	}
	if got := fmt.Sprint(Limits{}.Longer(time.Second)); got != "{6s 4 2s}" {
		t.Error(got)
	}
}
