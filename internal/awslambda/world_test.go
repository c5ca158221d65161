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

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A world is an account with everything that the functions are given, and nobody who calls them: the test plays API Gateway, the stream, the
// queue and the clock. The saga's machine is one that waits, so that an execution of it runs until somebody stops it.
type world struct {
	t        *testing.T
	emulator *awstest.Emulator
	env      map[string]string
	client   *dynamodb.Client
	later    time.Duration // how far the functions' clocks are ahead
	metrics  strings.Builder
	invoked  int
	made     map[string]*Function
}

const (
	machineARN = "arn:aws:states:" + awstest.Region + ":" + awstest.Account + ":stateMachine:saga"
	waits      = `{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":3600,"End":true}}}`
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, emulator: awstest.Start(t), env: map[string]string{
		EnvStage: "test", EnvStateMachine: machineARN, EnvEventBus: "events", EnvCurrency: "USD", EnvAuth: authJWT, EnvSagaKeys: "saga-keys",
	}, made: map[string]*Function{}}
	config := w.emulator.Config()
	w.client = dynamodb.NewFromConfig(config)
	for variable, table := range tables {
		w.env[variable] = "t-" + table
		w.emulator.MakeTable(t, "t-"+table)
	}
	w.do(secretsmanager.NewFromConfig(config).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("saga-keys"), SecretString: aws.String(`{"signing":"k1","k1":"` + strings.Repeat("5a", 32) + `"}`),
	}))
	queues := sqs.NewFromConfig(config)
	dead := w.do(queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("dead")})).(*sqs.CreateQueueOutput)
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:dead","maxReceiveCount":"%d"}`, awstest.Region, awstest.Account, bus.MaxReceives)
	queue := w.do(queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("notifications"), Attributes: map[string]string{"RedrivePolicy": policy},
	})).(*sqs.CreateQueueOutput)
	w.env[EnvQueue], w.env[EnvDeadLetters] = *queue.QueueUrl, *dead.QueueUrl
	topic := w.do(sns.NewFromConfig(config).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("topic")})).(*sns.CreateTopicOutput)
	w.env[EnvTopic] = *topic.TopicArn
	w.do(eventbridge.NewFromConfig(config).CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: aws.String("events")}))
	w.do(sfn.NewFromConfig(config).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("saga"), Definition: aws.String(waits), RoleArn: aws.String("arn:aws:iam::" + awstest.Account + ":role/saga"),
	}))
	return w
}

// do is what a call has answered.
func (w *world) do(out any, err error) any {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) now() time.Time { return time.Now().Add(w.later) }

// function is the function of that name, warm after its first use.
func (w *world) function(name string) *Function {
	w.t.Helper()
	if f := w.made[name]; f != nil {
		return f
	}
	env, err := ReadEnvironment(func(variable string) string {
		if variable == EnvHandler {
			return name
		}
		return w.env[variable]
	})
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := New(Config{
		Environment: env, AWS: w.emulator.Config(), Metrics: &w.metrics, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Now: w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.made[name] = f
	return f
}

// invoke sends the event as Lambda does, and reads the result into out, which may be nil.
func (w *world) invoke(name string, event, out any) error {
	w.t.Helper()
	payload, ok := event.(string)
	if !ok {
		text, err := json.Marshal(event)
		if err != nil {
			w.t.Fatal(err)
		}
		payload = string(text)
	}
	w.invoked++
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: fmt.Sprint("request-", w.invoked)})
	result, err := w.function(name).Invoke(ctx, []byte(payload))
	if err == nil && out != nil {
		err = json.Unmarshal(result, out)
	}
	return err
}

// A reply is what API Gateway is answered.
type reply struct {
	StatusCode        int
	MultiValueHeaders map[string][]string
	Body              string
}

func (r reply) header(name string) string { return strings.Join(r.MultiValueHeaders[name], ", ") }

// A request is a call of the interface; its event is as API Gateway makes it of one with HTTP/2 (names of headers are small there).
type request struct {
	method, path, body string
	subject, scopes    string            // as the authorizer has found; "": it was not asked
	operator           string            // the IAM principal's ARN
	headers            map[string]string // beside those of all
}

func (r request) event() string {
	headers := map[string][]string{
		"host": {"abc123.execute-api.eu-west-1.amazonaws.com"}, "content-type": {"application/json"},
		"x-amzn-trace-id": {"Root=1-5759e988-bd862e3fe1be46a994272793"}, "x-forwarded-for": {"198.51.100.7"},
	}
	for name, value := range r.headers {
		headers[name] = []string{value}
	}
	context := map[string]any{
		"stage": "test", "path": "/test" + r.path, "httpMethod": r.method, "requestId": "req", "apiId": "abc123",
		"identity": map[string]any{"sourceIp": "198.51.100.7", "userArn": nil},
	}
	if r.operator != "" {
		context["identity"] = map[string]any{"sourceIp": "198.51.100.7", "userArn": r.operator}
	}
	if r.subject != "" {
		context["authorizer"] = map[string]any{"principalId": r.subject, "subject": r.subject, "scopes": r.scopes, "integrationLatency": 12}
	}
	body := any(nil)
	if r.body != "" {
		body = r.body
	}
	path, query, _ := strings.Cut(r.path, "?")
	values := map[string][]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			values[name] = append(values[name], value)
		}
	}
	context["path"] = "/test" + path
	text, err := json.Marshal(map[string]any{
		"resource": path, "path": path, "httpMethod": r.method, "multiValueHeaders": headers, "multiValueQueryStringParameters": values,
		"requestContext": context, "body": body, "isBase64Encoded": false,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (w *world) call(function string, r request) reply {
	w.t.Helper()
	var out reply
	if err := w.invoke(function, r.event(), &out); err != nil {
		w.t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return out
}

const operatorARN = "arn:aws:sts::" + awstest.Account + ":assumed-role/Operators/jane@example.com"

// stock puts a product on the shelf.
func (w *world) stock(id string, pieces int) {
	w.t.Helper()
	r := w.call(InventoryHandler, request{
		method: "PUT", path: "/products/" + id, subject: "shop", scopes: "products:write",
		body: fmt.Sprintf(`{"name":"Mouse","unit_price_cents":2500,"stock":%d}`, pieces),
	})
	if r.StatusCode != http.StatusCreated {
		w.t.Fatalf("%+v", r)
	}
}

// place places an order and returns its id.
func (w *world) place(product string, quantity int, method, key string) string {
	w.t.Helper()
	r := w.call(OrderHandler, orderOf(product, quantity, method, key))
	var placed struct {
		OrderID string `json:"order_id"`
	}
	if err := json.Unmarshal([]byte(r.Body), &placed); err != nil || r.StatusCode != http.StatusAccepted {
		w.t.Fatalf("%+v, %v", r, err)
	}
	if at := r.header("Location"); at != "/test/orders/"+placed.OrderID {
		w.t.Errorf("Location %q does not lead through the stage", at)
	}
	return placed.OrderID
}

func orderOf(product string, quantity int, method, key string) request {
	return request{
		method: "POST", path: "/orders", subject: "cust-1", scopes: "orders:read orders:write", headers: map[string]string{"idempotency-key": key},
		body: fmt.Sprintf(`{"customer_id":"cust-1","items":[{"product_id":%q,"quantity":%d}],"payment_method":%q,"contact":{"email":"jane@example.com"}}`,
			product, quantity, method),
	}
}

// An orderView is an order as GET shows it.
type orderView struct {
	Status        string
	FailureReason string `json:"failure_reason"`
	NeedsReview   bool   `json:"needs_review"`
	Events        []struct{ Type string }
}

func (w *world) order(id string) orderView {
	w.t.Helper()
	r := w.call(OrderHandler, request{method: "GET", path: "/orders/" + id, subject: "cust-1", scopes: "orders:read"})
	var v orderView
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil || r.StatusCode != http.StatusOK {
		w.t.Fatalf("%+v, %v", r, err)
	}
	return v
}

func (v orderView) types() string {
	var names []string
	for _, e := range v.Events {
		names = append(names, e.Type)
	}
	return strings.Join(names, " ")
}

// record is the stream's record of an item of the orders' table.
func (w *world) record(pk, sk, event, sequence string) map[string]any {
	w.t.Helper()
	key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
	out := w.do(w.client.GetItem(w.t.Context(), &dynamodb.GetItemInput{TableName: aws.String("t-orders"), Key: key, ConsistentRead: aws.Bool(true)})).(*dynamodb.GetItemOutput)
	if out.Item == nil {
		w.t.Fatalf("no item %s %s", pk, sk)
	}
	return map[string]any{
		"eventID": "e-" + sequence, "eventName": event, "eventSource": "aws:dynamodb", "awsRegion": awstest.Region,
		"eventSourceARN": "arn:aws:dynamodb:" + awstest.Region + ":" + awstest.Account + ":table/t-orders/stream/2026-01-01T00:00:00.000",
		"dynamodb": map[string]any{
			"ApproximateCreationDateTime": 1767225600, "SequenceNumber": sequence, "SizeBytes": 100, "StreamViewType": "NEW_AND_OLD_IMAGES",
			"Keys": image(key), "NewImage": image(out.Item),
		},
	}
}

// image is an item as the stream's records write it.
func image(item map[string]types.AttributeValue) map[string]any {
	out := map[string]any{}
	for name, v := range item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			out[name] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = map[string]any{"B": v.Value}
		case *types.AttributeValueMemberBOOL:
			out[name] = map[string]any{"BOOL": v.Value}
		}
	}
	return out
}

const created = "event#0000000001"

// failures are the records or messages that a function names.
type failures struct {
	BatchItemFailures []struct{ ItemIdentifier string }
}

// begin plays the stream for a new order, and returns what its execution on Step Functions has begun with.
func (w *world) begin(id string) string {
	w.t.Helper()
	var out failures
	if err := w.invoke(Stream, map[string]any{"Records": []any{w.record(id, created, "INSERT", "100")}}, &out); err != nil || len(out.BatchItemFailures) != 0 {
		w.t.Fatalf("%+v, %v", out, err)
	}
	return w.input(id)
}

func (w *world) input(execution string) string {
	w.t.Helper()
	x := w.do(sfn.NewFromConfig(w.emulator.Config()).DescribeExecution(w.t.Context(), &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(strings.Replace(machineARN, "stateMachine", "execution", 1) + ":" + execution),
	})).(*sfn.DescribeExecutionOutput)
	return *x.Input
}

// lead runs the saga's own machine over the functions, as Step Functions would: it invokes them with a state's Parameters, and goes by the names of their
// errors.
func (w *world) lead(id, input string) flow.Execution {
	w.t.Helper()
	resources := saga.LocalResources()
	call := func(name string) flow.Task {
		return func(_ context.Context, c flow.Call) (store.Effect, error) {
			var result any
			err := w.invoke(name, c.Input, &result)
			if said := (messages.InvokeResponse_Error{}); errors.As(err, &said) {
				return store.Effect{}, fault.New(fault.Kind(said.Type), "%s", said.Message)
			}
			return store.Effect{Result: normal(result)}, err
		}
	}
	s := memstore.New(memstore.Options{})
	engine, err := flow.New(flow.Options{Store: s, Definition: saga.Definition(resources), Tasks: map[string]flow.Task{
		resources.Order: call(OrderHandler), resources.Inventory: call(InventoryHandler), resources.Payment: call(PaymentHandler),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(input))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		w.t.Fatal(err)
	}
	if err := s.Update(w.t.Context(), func(tx *store.Tx) error { return engine.Stage(tx, id, value) }); err != nil {
		w.t.Fatal(err)
	}
	engine.Begin(id)
	for range 200 { // steps; a happy order takes ten
		ran, wake, err := engine.RunOne(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if !ran && wake.IsZero() {
			break
		}
		if !ran { // a retry is due
			timer := time.NewTimer(time.Until(wake))
			<-timer.C
		}
	}
	x, err := engine.Describe(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

// normal is the value as asl has it, with json.Number.
func normal(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		panic(err)
	}
	return out
}

// received are the messages of the notification queue, as its event source mapping hands them on.
func (w *world) received() (records []any) {
	w.t.Helper()
	out := w.do(sqs.NewFromConfig(w.emulator.Config()).ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(w.env[EnvQueue]), MaxNumberOfMessages: 10, WaitTimeSeconds: 2,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"},
	})).(*sqs.ReceiveMessageOutput)
	for _, m := range out.Messages {
		attributes := map[string]any{}
		for name, a := range m.MessageAttributes {
			attributes[name] = map[string]any{"stringValue": a.StringValue, "stringListValues": []any{}, "binaryListValues": []any{}, "dataType": a.DataType}
		}
		records = append(records, map[string]any{
			"messageId": m.MessageId, "receiptHandle": m.ReceiptHandle, "body": m.Body, "attributes": m.Attributes, "messageAttributes": attributes,
			"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + awstest.Region + ":" + awstest.Account + ":notifications", "awsRegion": awstest.Region,
		})
	}
	return records
}
