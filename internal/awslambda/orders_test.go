package awslambda

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

// Orders from the POST to the notification, over the tables, the queue, the bus and the machine of an emulator.
func TestOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stock("MOUSE", 10)

	t.Run("a happy one is confirmed, and its customer told once", func(t *testing.T) {
		id := w.place("MOUSE", 2, provider.Visa, "happy")
		x := w.lead(id, w.begin(id))
		if v := w.order(id); v.Status != order.Confirmed || x.Status != "SUCCEEDED" ||
			v.types() != "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED" {
			t.Fatalf("%s: %+v", x.Status, v)
		}
		records := w.received()
		records = append(records, map[string]any{
			"messageId": "poison", "receiptHandle": "none", "body": "{", "attributes": map[string]string{"ApproximateReceiveCount": "3"},
		})
		var out failures
		if err := w.invoke(NotificationHandler, map[string]any{"Records": records}, &out); err != nil {
			t.Fatal(err)
		}
		if len(records) != 2 || len(out.BatchItemFailures) != 1 || out.BatchItemFailures[0].ItemIdentifier != "poison" {
			t.Errorf("%d records, failed %+v", len(records), out)
		}
		item := w.do(w.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("t-notifications"), Key: firstKey(t, w, "t-notifications")})).(*dynamodb.GetItemOutput)
		if status := item.Item["status"].(*types.AttributeValueMemberS); status.Value != "SENT" {
			t.Errorf("the notification is %s", status.Value)
		}
	})
	t.Run("a repeat is answered with the stored bytes, and another body under the key is refused", func(t *testing.T) {
		first := w.call(OrderHandler, orderOf("MOUSE", 1, provider.Visa, "same"))
		again := w.call(OrderHandler, orderOf("MOUSE", 1, provider.Visa, "same"))
		if again.StatusCode != http.StatusAccepted || again.Body != first.Body || again.header("Idempotent-Replayed") != "true" {
			t.Errorf("%+v, then %+v", first, again)
		}
		if other := w.call(OrderHandler, orderOf("MOUSE", 2, provider.Visa, "same")); other.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(other.Body, "IDEMPOTENCY_KEY_REUSED") {
			t.Errorf("%+v", other)
		}
	})
	t.Run("a declined card gives the stock back", func(t *testing.T) {
		id := w.place("MOUSE", 3, provider.ChargeDeclined, "declined")
		x := w.lead(id, w.begin(id))
		if v := w.order(id); v.Status != order.Compensated || v.FailureReason != "PAYMENT_DECLINED" || x.Status != "SUCCEEDED" {
			t.Errorf("%s: %+v", x.Status, v)
		}
		if p := w.call(InventoryHandler, request{method: "GET", path: "/products/MOUSE", subject: "cust-1"}); !strings.Contains(p.Body, `"held":0`) || !strings.Contains(p.Body, `"sold":2`) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("a shortage that admission could not see fails the order", func(t *testing.T) {
		w.stock("LAST", 1)
		one, two := w.place("LAST", 1, provider.Visa, "one"), w.place("LAST", 1, provider.Visa, "two")
		w.lead(one, w.begin(one))
		w.lead(two, w.begin(two))
		if v := w.order(two); w.order(one).Status != order.Confirmed || v.Status != order.Failed || v.FailureReason != "INSUFFICIENT_STOCK" {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a task's error has the kind's name, and the text of an internal one stays in the log", func(t *testing.T) {
		id := w.place("MOUSE", 1, provider.Visa, "edited")
		edited := strings.Replace(w.begin(id), `"total_cents":2500`, `"total_cents":1`, 1)
		err := w.invoke(PaymentHandler, `{"task":"payment.charge","input":`+edited+`}`, nil)
		if said := (messages.InvokeResponse_Error{}); !errors.As(err, &said) || said.Type != "BadSignature" {
			t.Errorf("%#v", err)
		}
		if _, outermost := err.(messages.InvokeResponse_Error); !outermost { //nolint:errorlint // the library asks so
			t.Errorf("%T", err)
		}
		err = w.invoke(OrderHandler, `{"task":"payment.charge","input":{}}`, nil)
		if said := (messages.InvokeResponse_Error{}); !errors.As(err, &said) || said.Type != "Internal" {
			t.Errorf("another service's task: %#v", err)
		}
	})
	t.Run("another customer's order is not there", func(t *testing.T) {
		id := w.place("MOUSE", 1, provider.Visa, "mine")
		for _, r := range []request{
			{method: "GET", path: "/orders/" + id, subject: "cust-2", scopes: "orders:read"},
			{method: "GET", path: "/orders/ord-none", subject: "cust-1", scopes: "orders:read"},
		} {
			if a := w.call(OrderHandler, r); a.StatusCode != http.StatusNotFound || a.header("Content-Type") != "application/problem+json" {
				t.Errorf("%+v", a)
			}
		}
	})
	t.Run("a function has no paths of the others'", func(t *testing.T) {
		for function, path := range map[string]string{OrderHandler: "/products", InventoryHandler: "/orders/ord-1", PaymentHandler: "/health"} {
			if a := w.call(function, request{method: "GET", path: path, operator: operatorARN, subject: "cust-1", scopes: "admin"}); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %+v", function, path, a)
			}
		}
	})
	t.Run("operators' paths are for IAM principals, and what they do is under their name", func(t *testing.T) {
		if a := w.call(PaymentHandler, request{method: "GET", path: "/admin/breakers", operator: operatorARN}); a.StatusCode != http.StatusOK {
			t.Errorf("%+v", a)
		}
		if a := w.call(PaymentHandler, request{method: "GET", path: "/admin/breakers", subject: "cust-1", scopes: "orders:read"}); a.StatusCode != http.StatusForbidden {
			t.Errorf("%+v", a)
		}
		if a := w.call(OrderHandler, request{method: "GET", path: "/orders?limit=1", operator: operatorARN}); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("an IAM principal on a customer's path: %+v", a)
		}
	})
	t.Run("the stream stops at the first record that fails, and takes repeats", func(t *testing.T) {
		a, b := w.place("MOUSE", 1, provider.Visa, "s1"), w.place("MOUSE", 1, provider.Visa, "s2")
		broken := w.record(a, created, "INSERT", "201")
		broken["dynamodb"].(map[string]any)["NewImage"].(map[string]any)["event"] = map[string]any{"S": "{"}
		var out failures
		batch := []any{w.record(a, created, "INSERT", "200"), w.record(a, "head", "MODIFY", "2005"), broken, w.record(b, created, "INSERT", "202")}
		if err := w.invoke(Stream, map[string]any{"Records": batch}, &out); err != nil || len(out.BatchItemFailures) != 1 || out.BatchItemFailures[0].ItemIdentifier != "201" {
			t.Fatalf("%+v, %v", out, err)
		}
		batch = []any{w.record(a, created, "INSERT", "200"), w.record(b, created, "INSERT", "202")}
		if err := w.invoke(Stream, map[string]any{"Records": batch}, &out); err != nil || len(out.BatchItemFailures) != 0 || out.BatchItemFailures == nil {
			t.Fatalf("%+v, %v", out, err)
		}
		if w.input(a) == "" || w.input(b) == "" {
			t.Error("not started")
		}
	})
	t.Run("a cursor outlives a rotation of the signing keys", func(t *testing.T) {
		page := func(cursor string) reply {
			return w.call(OrderHandler, request{method: "GET", path: "/orders?limit=1" + cursor, subject: "cust-1", scopes: "orders:read"})
		}
		var first struct {
			NextCursor string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(page("").Body), &first); err != nil || first.NextCursor == "" {
			t.Fatalf("%+v, %v", first, err)
		}
		secrets := secretsmanager.NewFromConfig(w.emulator.Config())
		current := w.do(secrets.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("saga-keys")})).(*secretsmanager.GetSecretValueOutput)
		rotated := w.do(saga.RotateKeys([]byte(*current.SecretString))).([]byte)
		w.do(secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("saga-keys"), SecretString: aws.String(string(rotated))}))
		w.later += 6 * time.Minute // after which a warm function looks at the secret again
		if a := page("&cursor=" + first.NextCursor); a.StatusCode != http.StatusOK {
			t.Errorf("in a warm function: %+v", a)
		}
		delete(w.made, OrderHandler)
		if a := page("&cursor=" + first.NextCursor); a.StatusCode != http.StatusOK {
			t.Errorf("in a new one: %+v", a)
		}
	})
	t.Run("what was counted is written as metrics of the stage", func(t *testing.T) {
		for _, want := range []string{`"Stage":"test"`, `"OrdersCreated":`, `"SAGASuccessRate":`, `"SAGACompensationRate":`} {
			if !strings.Contains(w.metrics.String(), want) {
				t.Errorf("no %s in %.2000s", want, w.metrics.String())
			}
		}
	})
}

// firstKey is the key of the one item of a table.
func firstKey(t *testing.T, w *world, table string) map[string]types.AttributeValue {
	t.Helper()
	out := w.do(w.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})).(*dynamodb.ScanOutput)
	if len(out.Items) != 1 {
		t.Fatalf("%d items in %s", len(out.Items), table)
	}
	return map[string]types.AttributeValue{"pk": out.Items[0]["pk"], "sk": out.Items[0]["sk"]}
}

// The functions that the clock calls, and the one that failed executions call.
func TestWatchmen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stock("MOUSE", 10)
	machine := sfn.NewFromConfig(w.emulator.Config())
	stop := func(id string) {
		t.Helper()
		w.do(machine.StopExecution(t.Context(), &sfn.StopExecutionInput{
			ExecutionArn: aws.String(strings.Replace(machineARN, "stateMachine", "execution", 1) + ":" + id), Error: aws.String("Gone"),
		}))
	}
	clock := `{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","detail":{}}`

	lost, failed := w.place("MOUSE", 1, provider.Visa, "lost"), w.place("MOUSE", 1, provider.Visa, "failed")
	w.begin(failed)
	stop(failed)
	w.later = 2 * time.Minute
	t.Run("the sweeper starts what the stream has missed, and marks what failed unseen", func(t *testing.T) {
		var report order.SweepReport
		if err := w.invoke(Sweeper, clock, &report); err != nil || report.Open != 2 || report.Started != 1 || report.Reviewed != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		if w.input(lost) == "" || !w.order(failed).NeedsReview {
			t.Error("not done")
		}
		if !strings.Contains(w.metrics.String(), `"OrdersInReview":1`) {
			t.Errorf("%s", w.metrics.String())
		}
	})
	t.Run("a redrive is started by the stream", func(t *testing.T) {
		r := w.call(OrderHandler, request{
			method: "POST", path: "/admin/sagas/" + failed + "/redrive", operator: operatorARN, body: `{"reason":"the outage is over"}`,
		})
		if r.StatusCode != http.StatusAccepted || !strings.Contains(r.Body, failed+"-r1") {
			t.Fatalf("%+v", r)
		}
		var out failures
		if err := w.invoke(Stream, map[string]any{"Records": []any{w.record(failed, "event#0000000003", "INSERT", "300")}}, &out); err != nil || len(out.BatchItemFailures) != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		if input := w.input(failed + "-r1"); !strings.Contains(input, `"order_id":"`+failed+`"`) {
			t.Errorf("%s", input)
		}
	})
	t.Run("an execution's failure marks its order, once, and only of our machine", func(t *testing.T) {
		stop(lost)
		change := func(arn string) string {
			text, _ := json.Marshal(map[string]any{
				"version": "0", "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
				"detail": map[string]any{"executionArn": "", "stateMachineArn": arn, "name": lost, "status": "ABORTED", "error": "Gone", "cause": nil},
			})
			return string(text)
		}
		if err := w.invoke(Review, change(machineARN+"-other"), nil); err == nil {
			t.Error("another machine's was taken")
		}
		for range 2 {
			if err := w.invoke(Review, change(machineARN), nil); err != nil {
				t.Fatal(err)
			}
		}
		if v := w.order(lost); !v.NeedsReview || v.types() != "ORDER_CREATED ORDER_REVIEW" {
			t.Errorf("%+v", v)
		}
	})
	t.Run("the expirer asks for outcomes, and keeps what is open", func(t *testing.T) {
		id := w.place("MOUSE", 2, provider.Visa, "held")
		if err := w.invoke(InventoryHandler, `{"task":"inventory.reserve","input":`+w.begin(id)+`}`, nil); err != nil {
			t.Fatal(err)
		}
		w.later = time.Hour
		var report struct{ Kept []string }
		if err := w.invoke(Expirer, clock, &report); err != nil || len(report.Kept) != 1 || report.Kept[0] != id {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("dead letters are counted each minute, though their number stays", func(t *testing.T) {
		w.do(sqs.NewFromConfig(w.emulator.Config()).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(w.env[EnvDeadLetters]), MessageBody: aws.String("{")}))
		w.metrics.Reset()
		for range 2 {
			if err := w.invoke(DeadLetterCounter, clock, nil); err != nil {
				t.Fatal(err)
			}
			w.later += 59 * time.Second // the clock of rules is not exact
		}
		if n := strings.Count(w.metrics.String(), `"DLQMessageCount":1`); n != 2 {
			t.Errorf("%d in %s", n, w.metrics.String())
		}
	})
}
