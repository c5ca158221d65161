package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func proxyEvent(t *testing.T, text string) events.APIGatewayProxyRequest {
	t.Helper()
	var e events.APIGatewayProxyRequest
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestServeHTTP(t *testing.T) {
	var got *http.Request
	var body string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Location", "/orders/ord-1")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Late", "too late")
		_, _ = w.Write([]byte{0xff, 0xfe})
	})
	e := proxyEvent(t, `{"resource":"/orders/{order_id}","path":"/orders/a%2Db","httpMethod":"POST",
		"multiValueHeaders":{"host":["api.example"],"prefer":["wait=1","x=2"],"X-Correlation-Id":["corr-9"]},
		"multiValueQueryStringParameters":{"a":["1 2","3"],"b":["&="]},
		"requestContext":{"path":"/prod/orders/a%2Db","stage":"prod","identity":{"sourceIp":"198.51.100.7"}},
		"body":"eyJ4IjoxfQ==","isBase64Encoded":true}`)
	out, err := serveHTTP(t.Context(), h, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a request keeps its headers, its query and its body", func(t *testing.T) {
		q := got.URL.Query()
		if got.Host != "api.example" || len(got.Header["Prefer"]) != 2 || got.Header.Get("X-Correlation-Id") != "corr-9" || body != `{"x":1}` ||
			fmt.Sprint(q["a"], q["b"]) != "[1 2 3] [&=]" || got.URL.Path != "/orders/a-b" || got.ContentLength != 7 || got.RemoteAddr != "198.51.100.7:0" {
			t.Errorf("%+v, %q", got, body)
		}
	})
	t.Run("an answer keeps every line of a header, its bytes, and its status", func(t *testing.T) {
		if out.StatusCode != http.StatusAccepted || len(out.MultiValueHeaders["Set-Cookie"]) != 2 || out.MultiValueHeaders["X-Late"] != nil || !out.IsBase64Encoded || out.Body != "//4=" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("a Location leads back through the stage, and stays where there is none in the way", func(t *testing.T) {
		if at := out.MultiValueHeaders["Location"]; len(at) != 1 || at[0] != "/prod/orders/ord-1" {
			t.Errorf("%v", at)
		}
		e.RequestContext.Path = e.Path
		if out, err := serveHTTP(t.Context(), h, e); err != nil || out.MultiValueHeaders["Location"][0] != "/orders/ord-1" {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("a body that is not the base64 that it is said to be is refused", func(t *testing.T) {
		e.Body = "%"
		if _, err := serveHTTP(t.Context(), h, e); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v", err)
		}
	})
}

func TestWhoCalls(t *testing.T) {
	const role = "arn:aws:sts::123456789012:assumed-role/Operators/jane@example.com"
	for _, c := range []struct {
		rule, path, context string
		none                bool
		subject             string
		scopes              auth.Scopes
		kind                fault.Kind
	}{
		{"whom the authorizer found", "/orders", `"authorizer":{"subject":"cust-1","scopes":"orders:read orders:write"}`, false,
			"cust-1", auth.ScopesOf(auth.ScopeOrdersRead, auth.ScopeOrdersWrite), ""},
		{"nobody", "/orders", `"identity":{}`, false, "", 0, fault.Unauthorized},
		{"an authorizer's answer without a caller", "/orders", `"authorizer":{"principalId":"x"}`, false, "", 0, fault.Internal},
		{"an authorizer's answer with a scope that there is not", "/orders", `"authorizer":{"subject":"cust-1","scopes":"root"}`, false, "", 0, fault.Internal},
		{"an IAM principal on an operators' path", "/admin/sagas", `"identity":{"userArn":"` + role + `"}`, false,
			"jane-example.com", auth.ScopesOf(auth.ScopeAdmin), ""},
		{"an IAM principal elsewhere is nobody", "/orders", `"identity":{"userArn":"` + role + `"}`, false, "", 0, fault.Unauthorized},
		{"anybody where callers are not told apart", "/orders", `"identity":{}`, true, auth.Anonymous.Subject, auth.Anonymous.Scopes, ""},
		{"an IAM principal where callers are not told apart", "/admin/sagas", `"identity":{"userArn":"` + role + `"}`, true,
			"jane-example.com", auth.ScopesOf(auth.ScopeAdmin), ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			e := proxyEvent(t, `{"path":"`+c.path+`","httpMethod":"GET","headers":{"X-Subject":"cust-9"},"requestContext":{`+c.context+`}}`)
			r, err := requestOf(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			p, err := calledBy(c.none)(r)
			if p.Subject != c.subject || p.Scopes != c.scopes || fault.KindOf(err) != c.kind {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// unauthorized reports whether API Gateway makes a 401 of the error.
func unauthorized(err error) bool {
	said, outermost := err.(messages.InvokeResponse_Error) //nolint:errorlint // the library asks so
	return outermost && said.Message == "Unauthorized"
}

func TestAuthorizer(t *testing.T) {
	const method = "arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/GET/orders/ord-1"
	verify := func(_ context.Context, credential string) (auth.Principal, error) {
		switch credential {
		case "good":
			return auth.Principal{Subject: "cust-1", Scopes: auth.ScopesOf(auth.ScopeOrdersRead, auth.ScopeOrdersWrite)}, nil
		case "away":
			return auth.Principal{}, fault.New(fault.Unavailable, "Credentials cannot be checked now.")
		}
		return auth.Principal{}, auth.Refused(errors.New("it is over"))
	}
	f := &Function{name: Authorizer, does: on(authorizer{verify, quiet()}.do), log: quiet()}
	ask := func(f *Function, token, method string) (string, error) {
		out, err := f.Invoke(t.Context(), fmt.Appendf(nil, `{"type":"TOKEN","authorizationToken":%q,"methodArn":%q}`, token, method))
		return string(out), err
	}
	t.Run("a good token allows the stage, and says who calls", func(t *testing.T) {
		out, err := ask(f, "bearer good", method)
		want := `{"principalId":"cust-1","policyDocument":{"Version":"2012-10-17","Statement":[{"Action":["execute-api:Invoke"],"Effect":"Allow",` +
			`"Resource":["arn:aws:execute-api:eu-west-1:123456789012:abc123/prod/*"]}]},"context":{"scopes":"orders:read orders:write","subject":"cust-1"}}`
		if out != want || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
	for rule, token := range map[string]string{"a bad token": "Bearer bad", "no token": "Bearer ", "another scheme": "Basic good", "nothing": ""} {
		t.Run(rule+" is Unauthorized, the word that API Gateway knows", func(t *testing.T) {
			if _, err := ask(f, token, method); !unauthorized(err) {
				t.Errorf("%#v", err)
			}
		})
	}
	t.Run("without an issuer nothing is good", func(t *testing.T) {
		if _, err := ask(&Function{does: on(authorizer{nil, quiet()}.do), log: quiet()}, "Bearer good", method); !unauthorized(err) {
			t.Errorf("%#v", err)
		}
	})
	t.Run("an issuer that is away is another error", func(t *testing.T) {
		if _, err := ask(f, "Bearer away", method); err == nil || unauthorized(err) {
			t.Errorf("%#v", err)
		}
	})
	t.Run("what is no method of an API is refused", func(t *testing.T) {
		if out, err := ask(f, "Bearer good", "arn:aws:s3:::bucket/prod/x"); err == nil {
			t.Error(out)
		}
	})
}

func TestInvoke(t *testing.T) {
	invoke := func(does func(context.Context, []byte) (any, error)) (string, error) {
		out, err := (&Function{name: "f", does: does, log: quiet()}).Invoke(t.Context(), []byte("{}"))
		return string(out), err
	}
	for _, c := range []struct {
		rule string
		err  error
		want messages.InvokeResponse_Error
	}{
		{"a kind is the type, and its text the message", fault.New(fault.InsufficientStock, "A: 3 asked for"), messages.InvokeResponse_Error{Type: "InsufficientStock", Message: "A: 3 asked for"}},
		{"a wrapped one too", fmt.Errorf("reserve: %w", fault.New(fault.Transient, "again")), messages.InvokeResponse_Error{Type: "Transient", Message: "again"}},
		{"a store that is away is Transient, which the machine knows", fault.New(fault.Unavailable, "away"), messages.InvokeResponse_Error{Type: "Transient", Message: "away"}},
		{"an unknown one shows nothing of its text", errors.New("secret"), messages.InvokeResponse_Error{Type: "Internal", Message: "an internal error; the log has its text under this request: unknown"}},
		{"time that ran out is Transient", context.DeadlineExceeded, messages.InvokeResponse_Error{Type: "Transient", Message: "an internal error; the log has its text under this request: unknown"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := invoke(func(context.Context, []byte) (any, error) { return nil, c.err })
			got, ok := err.(messages.InvokeResponse_Error) //nolint:errorlint // the library asks so
			if !ok || got.Type != c.want.Type || got.Message != c.want.Message {
				t.Errorf("%#v", err)
			}
		})
	}
	t.Run("a panic is Transient, and the process goes on", func(t *testing.T) {
		_, err := invoke(func(context.Context, []byte) (any, error) { panic("secret") })
		if got := (messages.InvokeResponse_Error{}); !errors.As(err, &got) || got.Type != "Transient" || strings.Contains(got.Message, "secret") || got.ShouldExit {
			t.Errorf("%#v", err)
		}
	})
	t.Run("work is told to stop before the time is over", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := &Function{log: quiet(), does: func(work context.Context, _ []byte) (any, error) {
			end, _ := ctx.Deadline()
			own, ok := work.Deadline()
			return ok && end.Sub(own) == answerTime, nil
		}}
		if out, err := f.Invoke(ctx, []byte("{}")); string(out) != "true" || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("nothing is null", func(t *testing.T) {
		if out, err := invoke(func(context.Context, []byte) (any, error) { return nil, nil }); out != "null" || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("an event of another shape is refused", func(t *testing.T) {
		f := &Function{log: quiet(), does: onCall(nil, nil)}
		for _, event := range []string{`{}`, `[]`, `{"Records":[]}`, `x`} {
			if out, err := f.Invoke(t.Context(), []byte(event)); err == nil {
				t.Errorf("%s: %s", event, out)
			}
		}
	})
}

func TestNotifier(t *testing.T) {
	const event = `{"Records":[{"messageId":"m-1","receiptHandle":"r-1","body":"one","attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1767225600000"},
		"messageAttributes":{"MessageName":{"stringValue":"ord-1.4","stringListValues":[],"binaryListValues":[],"dataType":"String"}}},
		{"messageId":"m-2","receiptHandle":"r-2","body":"two","attributes":{"ApproximateReceiveCount":"1"}}]}`
	var deferred []string
	run := func(handle func(context.Context, []bus.Message) ([]notification.Failure, error)) (string, error) {
		again := func(_ context.Context, m bus.Message, _ string) error {
			deferred = append(deferred, m.Receipt)
			return errors.New("SQS is away")
		}
		out, err := (&Function{log: quiet(), does: on(notifier{handle, again, quiet()}.do)}).Invoke(t.Context(), []byte(event))
		return string(out), err
	}
	t.Run("a batch that is done has an empty list of failures, and no null", func(t *testing.T) {
		var got []bus.Message
		out, err := run(func(_ context.Context, batch []bus.Message) ([]notification.Failure, error) {
			got = batch
			return nil, nil
		})
		if out != `{"batchItemFailures":[]}` || err != nil {
			t.Errorf("%s, %v", out, err)
		}
		if len(got) != 2 || got[0].ID != "ord-1.4" || got[0].Receives != 2 || string(got[1].Body) != "two" || got[1].ID != "m-2" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a failure is named by SQS's own name, and put off", func(t *testing.T) {
		out, err := run(func(_ context.Context, batch []bus.Message) ([]notification.Failure, error) {
			return []notification.Failure{{Message: batch[0], Err: errors.New("451")}}, nil
		})
		if out != `{"batchItemFailures":[{"itemIdentifier":"m-1"}]}` || err != nil || len(deferred) != 1 || deferred[0] != "r-1" {
			t.Errorf("%s, %v, %v", out, err, deferred)
		}
	})
	t.Run("where nothing is known, all come again", func(t *testing.T) {
		if out, err := run(func(context.Context, []bus.Message) ([]notification.Failure, error) { return nil, errors.New("away") }); err == nil {
			t.Error(out)
		}
	})
}

func TestStreamPublishes(t *testing.T) {
	record := func(n int, eventName string) events.DynamoDBEventRecord {
		var r events.DynamoDBEventRecord
		text := fmt.Sprintf(`{"eventName":%q,"eventSourceARN":"arn:aws:dynamodb:eu-west-1:1:table/t-orders/stream/x","dynamodb":{"SequenceNumber":"%d",
			"Keys":{"pk":{"S":"ord-1"},"sk":{"S":"event#%010d"}},"NewImage":{"pk":{"S":"ord-1"},"sk":{"S":"event#%010d"},"_v":{"N":"7"},
			"event":{"S":"{\"actor\":\"saga\",\"correlation_id\":\"corr-1\",\"data\":{\"idempotency_key_hash\":\"ff\",\"note\":1},\"timestamp\":\"2026-05-01T12:00:00.000Z\",\"type\":\"STOCK_RESERVED\",\"version\":%d}"},"hash":{"S":"00"}}}}`,
			eventName, n, n, n, n)
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	batch := events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{record(1, "INSERT"), record(2, "REMOVE"), record(3, "INSERT"), record(4, "INSERT")}}
	var published []awsbus.Event
	s := streamReader{
		tables: map[string]string{"orders": "t-orders"}, trace: func(context.Context) string { return "Root=1" }, log: quiet(),
		publish: func(_ context.Context, e ...awsbus.Event) (int, error) {
			published = e
			return 1, fault.New(fault.Transient, "EventBridge is away")
		},
	}
	out, err := s.do(t.Context(), batch)
	if err != nil || len(out.BatchItemFailures) != 1 || out.BatchItemFailures[0].ItemIdentifier != "3" {
		t.Fatalf("the first that was not sent is named: %+v, %v", out, err)
	}
	want := `{"order_id":"ord-1","version":1,"type":"STOCK_RESERVED","timestamp":"2026-05-01T12:00:00.000Z","correlation_id":"corr-1","data":{"note":1}}`
	if len(published) != 3 || string(published[0].Detail) != want || published[0].Type != "STOCK_RESERVED" || published[0].Trace != "Root=1" {
		t.Errorf("%d: %s", len(published), published[0].Detail)
	}
}

// What a migration has brought along happened where the shop was before: there it was told, and what it starts was started.
func TestStreamPassesOverWhatWasBroughtAlong(t *testing.T) {
	s := memstore.New(memstore.Options{})
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		eventlog.Stage(tx, order.Table, "ord-1", eventlog.Head{}, time.Now(), eventlog.New{Type: order.OrderCreated})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Get(t.Context(), eventlog.Key(order.Table, "ord-1", 1), store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	record := func(moved bool) events.DynamoDBEventRecord {
		image := map[string]any{"pk": map[string]any{"S": "ord-1"}, "sk": map[string]any{"S": created}, "_v": map[string]any{"N": "7"}}
		for _, a := range it {
			image[a.Name] = map[string]any{"S": a.Value.Text()}
		}
		if moved {
			for _, a := range eventlog.Moved(nil) {
				image[a.Name] = map[string]any{"BOOL": a.Value.Int() == 1}
			}
		}
		text, err := json.Marshal(map[string]any{
			"eventName": "INSERT", "eventSourceARN": "arn:aws:dynamodb:eu-west-1:1:table/t-orders/stream/x",
			"dynamodb": map[string]any{"SequenceNumber": "1", "Keys": map[string]any{"pk": image["pk"], "sk": image["sk"]}, "NewImage": image},
		})
		if err != nil {
			t.Fatal(err)
		}
		var r events.DynamoDBEventRecord
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, moved := range []bool{false, true} {
		started, published := 0, 0
		reader := streamReader{
			tables: map[string]string{"orders": "t-orders"}, trace: func(context.Context) string { return "" }, log: quiet(),
			startOf: func(_ context.Context, id string, _ int64) (order.Start, error) { return order.Start{OrderID: id}, nil },
			start:   func(context.Context, order.Start) error { started++; return nil },
			publish: func(_ context.Context, e ...awsbus.Event) (int, error) { published += len(e); return len(e), nil },
		}
		out, err := reader.do(t.Context(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{record(moved)}})
		want := 1
		if moved {
			want = 0
		}
		if err != nil || len(out.BatchItemFailures) > 0 || started != want || published != want {
			t.Errorf("moved %v: started %d, published %d, %+v %v", moved, started, published, out, err)
		}
	}
}

func TestTraceHeader(t *testing.T) {
	for event, want := range map[string]string{
		`{"headers":{"X-Amzn-Trace-Id":"Root=1"}}`:                    "Root=1",
		`{"headers":{"x-amzn-trace-id":"Root=2"}}`:                    "Root=2",
		`{"Records":[{"attributes":{"AWSTraceHeader":"Root=3"}},{}]}`: "Root=3",
		`{"task":"order.fail"}`:                                       "",
		`{"Records":[{"dynamodb":{}}]}`:                               "",
		`[]`:                                                          "",
	} {
		if got := traceHeader([]byte(event)); got != want {
			t.Errorf("%s: %q", event, got)
		}
	}
}
