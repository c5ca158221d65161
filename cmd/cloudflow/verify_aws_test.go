package main

import (
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awsstage/awsstagetest"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// asking is the program as a process of its own, since the AWS SDK finds its credentials in the process's environment: there is no AWS but what environ
// leads to.
func asking(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, args...)
	cmd.Env = append(slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "AWS_") }), awstest.Nowhere()...)
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

func onAWS(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	return ends(t, asking(t, environ, args...))
}

// deployed puts what a stopped instance has kept into a stage.
func deployed(t *testing.T, dir string, stage *awsstage.Stage) {
	t.Helper()
	from, err := datadir.Open(dir, datadir.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	put := func(to store.Store) func(store.Entry) error {
		return func(e store.Entry) error {
			write(t, to, func(tx *store.Tx) { tx.Put(e.Key, e.Item) })
			return nil
		}
	}
	there := awsstage.TableNames(stage.Name)
	ours := func(e store.Entry) error {
		if _, ok := there[e.Key.Table]; !ok {
			return nil
		}
		return put(stage.Store)(e)
	}
	if err := from.Dump(t.Context(), ours, put(stage.Provider)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, to store.Store, stage func(tx *store.Tx)) {
	t.Helper()
	err := to.Update(t.Context(), func(tx *store.Tx) error {
		stage(tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyOnAWS(t *testing.T) {
	t.Parallel()
	emulator := awstest.Start(t)
	awsstagetest.Make(t, emulator, "dev")
	stage, err := awsstage.Open(t.Context(), emulator.Config(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, t.TempDir(), "--demo")
	orders := []apigen.Order{s.place("--item", "MOUSE-01=2"), s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")}
	eventually(t, "both customers are told", func() bool {
		return strings.Count(s.log.String(), "Notification sent") == 2
	})
	if code := s.end(); code != 0 {
		t.Fatal(code)
	}
	deployed(t, s.data, stage)
	heads := invoke(t, nil, "verify", "--data", s.data).exits(0).err

	proxy := awstest.NewProxy(t, emulator.URL)
	t.Run("what is in order is said to be, with the same hash as where it came from", func(t *testing.T) {
		r := onAWS(t, awstest.Environment(proxy.URL), "verify", "--aws", "--stage", "dev").exits(0).hints("stage dev / "+awstest.Account, "2 orders, 0 skipped", "0 violations")
		if r.out != "" || !strings.Contains(r.err, heads[strings.Index(heads, "cloudflow: heads "):]) {
			t.Errorf("printed %q, said %q", r.out, r.err)
		}
		report := one[apigen.VerifyReport](onAWS(t, awstest.Environment(emulator.URL), "verify", "--aws", "--stage", "dev", "--json").exits(0))
		if !report.Ok || report.Orders != 2 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("an execution of nobody's is one line", func(t *testing.T) {
		if err := stage.Machine.Start(t.Context(), order.Start{Execution: "ord-none", OrderID: "ord-none", Currency: "USD"}); err != nil {
			t.Fatal(err)
		}
		onAWS(t, awstest.Environment(proxy.URL), "verify", "--aws", "--stage", "dev").exits(1).prints("I7 ord-none: an execution of an order that does not exist")
		if proxy.Asked("ReceiveMessage") != 0 {
			t.Error("dead letters were looked at, and no notification is missed")
		}
		client := sfn.NewFromConfig(emulator.Config())
		arn := "arn:aws:states:" + awstest.Region + ":" + awstest.Account + ":execution:cloudflow-dev-saga:ord-none"
		if _, err := client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("one piece too many is one line, and exit 1", func(t *testing.T) {
		add := func(pieces int64) {
			write(t, stage.Store, func(tx *store.Tx) {
				tx.Add(inventory.StockKey("MOUSE-01"), []store.Delta{store.Inc("available", pieces)})
			})
		}
		add(1)
		defer add(-1)
		r := onAWS(t, awstest.Environment(emulator.URL), "verify", "--aws", "--stage", "dev").exits(1).prints("I1 MOUSE-01: initial ").hints("1 violations")
		if strings.Count(r.out, "\n") != 1 {
			t.Errorf("printed %q", r.out)
		}
		report := one[apigen.VerifyReport](onAWS(t, awstest.Environment(emulator.URL), "verify", "--aws", "--stage", "dev", "--json").exits(1))
		if report.Ok || len(report.Violations) != 1 || report.Violations[0].Invariant != "I1" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("a notification that is missed is looked for among the dead letters, which stay there", func(t *testing.T) {
		queues := sqs.NewFromConfig(emulator.Config())
		dead, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: ptr("cloudflow-dev-notifications-dlq")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: dead.QueueUrl, MessageBody: ptr("a letter")}); err != nil {
			t.Fatal(err)
		}
		write(t, stage.Store, func(tx *store.Tx) {
			for _, o := range orders {
				tx.Delete(notification.RecordKey(o.OrderID, o.Version))
			}
		})
		onAWS(t, awstest.Environment(proxy.URL), "verify", "--aws", "--stage", "dev").exits(0).hints("notification may still be on its way: 2")
		if proxy.Asked("ReceiveMessage") == 0 {
			t.Error("no dead letter was looked at")
		}
		if letters, _, err := stage.Queue.List(t.Context(), "", 10); err != nil || len(letters) != 1 {
			t.Errorf("%v, %v", letters, err)
		}
	})
	t.Run("what the page says is needed is what was asked for", func(t *testing.T) { onThePage(t, "verify", proxy.Operations()) })
}

// onThePage requires that the page lists a permission for each operation of the command.
func onThePage(t *testing.T, command string, operations []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/aws-deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "<!-- "+command+" -->")
	list, _, _ = strings.Cut(list, "<!-- end -->")
	for _, operation := range operations {
		action := strings.TrimSuffix(operation, "Batch") // one permission is for both
		if operation == "TransactWriteItems" {           // it has none of its own
			action = "PutItem"
		}
		if !strings.Contains(list, ":"+action+"`") {
			t.Errorf("the page does not have %s", action)
		}
	}
}

// A stage, a region, credentials or a permission that is not there is said with what to do.
func TestVerifyOnAWSSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	emulator := awstest.Start(t)
	awsstagetest.Make(t, emulator, "dev")
	onAWS(t, awstest.Environment(emulator.URL), "verify", "--aws").exits(1).hints("no table cloudflow-orders", "make deploy STAGE=prod")
	onAWS(t, nil, "verify", "--aws").exits(1).hints("no region", "AWS_REGION")
	onAWS(t, []string{"AWS_REGION=" + awstest.Region}, "verify", "--aws").exits(1).hints("no credentials", "AWS_PROFILE")
	proxy := awstest.NewProxy(t, emulator.URL)
	denied := `{"__type":"AccessDeniedException","message":"User: jane is not authorized to perform: dynamodb:Query"}`
	proxy.Trouble("Query", awstest.Trouble{Status: http.StatusBadRequest, Body: denied})
	r := onAWS(t, awstest.Environment(proxy.URL), "verify", "--aws", "--stage", "dev").exits(1).hints("not authorized to perform: dynamodb:Query", "docs/aws-deploy.md")
	if strings.Count(r.err, "\n") != strings.Count(r.err, "cloudflow: ") {
		t.Errorf("the SDK speaks too: %s", r.err)
	}
}

func TestVerifyOnAWSRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--aws", "--data", "x"}, {"--aws", "--url", "http://127.0.0.1:1"}, {"--stage", "dev"}, {"--aws", "--stage", "Dev"},
	} {
		invoke(t, nil, append([]string{"verify"}, args...)...).exits(2)
	}
}
