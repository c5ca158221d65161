package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssfn "github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awsstage/awsstagetest"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/migrate"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/operator"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A shop is a stopped data directory with orders that ended, that stand still at a task, and that wait for a person.
type shop struct {
	path     string
	requests map[string]order.PlaceRequest // by order
	states   map[string]string             // of the open ones, by order
	review   string
}

// stopAt are tasks at which orders stand still, by the state that runs them and the card that brings an order there.
var stopAt = []struct{ state, task, method string }{
	{"RecordReservation", "order.record STOCK_RESERVED", provider.Visa},
	{"ChargePayment", "payment.charge", provider.Visa},
	{"ConfirmOrder", "order.confirm", provider.Visa},
	{"CommitReservation", "inventory.commit", provider.Visa},
	{"NotifyCustomer", "order.notify", provider.Visa},
	{"RecordPaymentFailure", "order.record PAYMENT_FAILED", provider.ChargeDeclined},
	{"ReleaseStock", "inventory.release", provider.ChargeDeclined},
	{"CompensateOrder", "order.compensate", provider.ChargeDeclined},
}

func stoppedShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{path: filepath.Join(t.TempDir(), "data"), requests: map[string]order.PlaceRequest{}, states: map[string]string{}}
	dir, err := datadir.Open(s.path, datadir.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	still := map[string]string{} // order -> task
	log := sender.NewLog(slog.New(slog.DiscardHandler))
	a, err := app.New(app.Config{
		Store: dir.Store, Provider: dir.Provider, SagaKeys: dir.SagaKeys, ContactKeys: dir.ContactKeys, Sender: log, NoContact: log,
		Task: func(name string, h saga.Handler) saga.Handler {
			return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
				switch at := still[in.Input.OrderID]; {
				case at != "" && at == strings.TrimSpace(name+" "+in.Event):
					return store.Effect{}, fault.New(fault.Transient, "standing still")
				case in.Input.OrderID == s.review && name == "order.confirm":
					return store.Effect{}, fault.New(fault.Internal, "this build cannot confirm")
				}
				return h(ctx, in)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stock := int64(1000)
	if _, _, err := a.Inventory.Put(t.Context(), inventory.PutProduct{ProductID: "A", Name: "A", UnitPriceCents: 500, Stock: &stock}); err != nil {
		t.Fatal(err)
	}
	for n := range 12 {
		s.place(t, a.Orders, []string{provider.Visa, provider.ChargeDeclined}[n%2])
	}
	for _, at := range stopAt {
		for range 2 {
			id := s.place(t, a.Orders, at.method)
			still[id], s.states[id] = at.task, at.state
		}
	}
	s.review = s.place(t, a.Orders, provider.Visa)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	eventually(t, "every order stands where it is to", func() bool {
		for id := range s.requests {
			x, err := a.Engine.Summary(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if state := s.states[id]; state != "" && x.State != state || state == "" && x.Status == asl.StatusRunning {
				return false
			}
		}
		return true
	})
	stop()
	waiting := func(tx *store.Tx) error { return a.Queue.Stage(tx, "waits", []byte(`{"waits":true}`)) }
	letter := func(tx *store.Tx) error {
		tx.Put(store.Key{Table: storebus.Table, PK: "notifications#dead", SK: "1"}, store.Item{store.S("id", "died"), store.N("sent", 1767225600000), store.B("body", []byte(`{}`))})
		return nil
	}
	if err := errors.Join(<-done, dir.Store.Update(t.Context(), waiting), dir.Store.Update(t.Context(), letter), dir.Close()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) place(t *testing.T, orders *order.Service, method string) string {
	t.Helper()
	r := order.PlaceRequest{
		CustomerID: fmt.Sprintf("cust-%d", len(s.requests)%7), Lines: []order.RequestLine{{ProductID: "A", Quantity: 1}}, PaymentMethod: method,
		IdempotencyKey: fmt.Sprintf("key-%d", len(s.requests)), Principal: "p", OpenLimit: 100, Contact: &order.Contact{Email: "ada@example.com"},
	}
	p, err := orders.Place(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	s.requests[p.OrderID] = r
	return p.OrderID
}

// migration is the command that moves to the stage at that address.
func migration(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	return asking(t, awstest.Environment(url), append([]string{"migrate", "--to", "aws", "--stage", "dev"}, args...)...)
}

// ends runs the command to its end.
func ends(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	return endsWith(t, cmd, func() {})
}

// endsWith is ends; started is called once the process is there.
func endsWith(t *testing.T, cmd *exec.Cmd, started func()) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started()
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{t, strings.Join(cmd.Args[1:], " "), cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// signalled runs the command until it asks for an operation the n-th time, and then gives its process the signal.
func signalled(t *testing.T, proxy *awstest.Proxy, cmd *exec.Cmd, signal os.Signal, operation string, n int64) result {
	t.Helper()
	var asked atomic.Int64
	there := make(chan struct{})
	proxy.Answer(func(o string, _ []byte) (int, string) {
		if o == operation && asked.Add(1) == n {
			<-there
			_ = cmd.Process.Signal(signal) // it runs: it has just asked
		}
		return 0, ""
	})
	defer proxy.Answer(nil)
	return endsWith(t, cmd, func() { close(there) })
}

// A directory moves to a stage, by the command and over the adapters of AWS: interrupted while it copies, killed while it starts executions, and run again.
func TestMigrateToAWS(t *testing.T) {
	t.Parallel()
	emulator := awstest.Start(t)
	awsstagetest.Make(t, emulator, "dev")
	s := stoppedShop(t)
	proxy := awstest.NewProxy(t, emulator.URL)
	heads := invoke(t, nil, "verify", "--data", s.path).exits(0).err
	heads = strings.TrimSpace(heads[strings.Index(heads, "heads "):])

	ends(t, migration(t, proxy.URL, "--data", s.path, "--dry-run")).exits(0).prints(heads, "open orders at ConfirmOrder", "flow", "not taken").hints("nothing was written")
	for _, operation := range []string{"TransactWriteItems", "PutItem", "UpdateItem", "StartExecution", "SendMessage"} {
		if n := proxy.Asked(operation); n != 0 {
			t.Errorf("a dry run has called %s %d times", operation, n)
		}
	}
	r := signalled(t, proxy, migration(t, proxy.URL, "--data", s.path), os.Interrupt, "TransactWriteItems", 3).exits(1).hints("the same command goes on")
	if strings.Contains(r.err, "served any more") || proxy.Asked("StartExecution") != 0 {
		t.Fatalf("it went too far: %s", r.err)
	}
	signalled(t, proxy, migration(t, proxy.URL, "--data", s.path), os.Kill, "StartExecution", 5).hints("the copy is the same, "+heads, "not served any more")
	invoke(t, nil, "serve", "--data", s.path, "--addr", "127.0.0.1:0").exits(1).hints("the shop has moved", "stage dev, account "+awstest.Account, "second time")
	invoke(t, nil, "verify", "--data", s.path).exits(0)
	invoke(t, nil, "key", "create", "--subject", "c", "--scopes", "orders:read", "--data", s.path).exits(1).hints("the shop has moved")
	for _, args := range [][]string{{"export", "orders"}, {"backup", filepath.Join(t.TempDir(), "backup")}, {"erase", "cust-6"}} {
		invoke(t, nil, append(args, "--data", s.path)...).exits(0)
	}
	report := one[migrate.Report](ends(t, migration(t, proxy.URL, "--data", s.path, "--json")).exits(0))
	if report.Before != migrate.Starting || report.Phase != migrate.Done || report.InReview != 1 || report.Messages < 1 || report.DeadLetters != 1 {
		t.Errorf("%+v", report)
	}
	ends(t, migration(t, proxy.URL, "--data", s.path)).exits(0).hints("an earlier run has done all of it")
	onThePage(t, "migrate", proxy.Operations())

	stage, err := awsstage.Open(t.Context(), emulator.Config(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	s.queued(t, stage)
	s.goesOn(t, emulator, stage)
}

// queued requires that the waiting message and the dead letter are where they belong.
func (s *shop) queued(t *testing.T, stage *awsstage.Stage) {
	t.Helper()
	var waiting []string
	eventually(t, "the message comes", func() bool {
		messages, err := stage.Queue.Receive(t.Context(), 10, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			waiting = append(waiting, m.ID)
		}
		return slices.Contains(waiting, "waits") // beside those of orders whose customers were not told yet
	})
	letters, _, err := stage.Queue.List(t.Context(), "", 10)
	if err != nil || len(letters) != 1 || letters[0].ID != "died" || letters[0].SentAt.UnixMilli() != 1767225600000 {
		t.Errorf("%+v, %v", letters, err)
	}
}

// goesOn plays Step Functions with what it was given, over the services as the functions have them, and requires that every order comes to its end.
func (s *shop) goesOn(t *testing.T, e *awstest.Emulator, stage *awsstage.Stage) {
	t.Helper()
	log := sender.NewLog(slog.New(slog.DiscardHandler))
	var mu sync.Mutex
	var told []notification.Message
	f := app.NewFunctions(app.Config{
		Store: stage.Store, Provider: stage.Provider, SagaKeys: stage.Keys, ContactKeys: pii.NewStoreKeys(stage.Store), Sender: log, NoContact: log,
	}, app.AWS{Saga: stage.Machine, StartNow: stage.Machine.Start, Send: func(_ context.Context, m notification.Message) error {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, m)
		return nil
	}})
	inputs := map[string]string{}
	for id, state := range s.states {
		inputs[id] = began(t, e, id)
		if !strings.Contains(inputs[id], `"resume_at":"`+state+`"`) {
			t.Errorf("%s begins with %s, and stood at %s", id, inputs[id], state)
		}
	}
	play(t, f, stage, inputs)
	for id, request := range s.requests {
		status, found, err := f.Orders.Outcome(t.Context(), id)
		want := map[string]string{provider.Visa: order.Confirmed, provider.ChargeDeclined: order.Compensated}[request.PaymentMethod]
		if id == s.review {
			want = order.Review
		}
		if err != nil || !found || status != want {
			t.Errorf("%s is %s, %v; want %s", id, status, err, want)
		}
		if p, err := f.Orders.Place(t.Context(), request); err != nil || !p.Replayed || p.OrderID != id {
			t.Errorf("the key of %s gives %+v, %v", id, p, err)
		}
	}
	for _, m := range told {
		if text, err := pii.Open(pii.NewStoreKeys(stage.Store), m.CustomerID, m.SealedContact); err != nil || !strings.Contains(string(text), "ada@example.com") {
			t.Errorf("the contact of %s: %s, %v", m.OrderID, text, err)
		}
	}
	p, err := f.Inventory.Get(t.Context(), "A")
	if err != nil || p.Held != 1 || p.Sold+p.Available+p.Held != 1000 || len(told) != len(s.states) {
		t.Errorf("%+v, %v; told %d", p, err, len(told))
	}
	s.resumed(t, e, stage, f)
}

// resumed requires that the order in review is shown to operators with how it failed, and resumed where it did: the feed's reader starts what Redrive
// has written.
func (s *shop) resumed(t *testing.T, e *awstest.Emulator, stage *awsstage.Stage, f *app.Functions) {
	t.Helper()
	sagas := operator.Sagas{Orders: f.Orders, Engine: stage.Machine}
	waiting, _, err := sagas.List(t.Context(), httpapi.SagasFailed, "", 10)
	if err != nil || len(waiting) != 1 || waiting[0].OrderID != s.review || waiting[0].Execution.State != "ConfirmOrder" || waiting[0].Execution.Status != asl.StatusFailed || waiting[0].Execution.Ended.IsZero() {
		t.Errorf("%+v, %v", waiting, err)
	}
	if x, all, err := sagas.Show(t.Context(), s.review, ""); err != nil || len(all) != 1 || x.Error != "Internal" || x.StateInput == nil {
		t.Errorf("%+v, %v, %v", x, all, err)
	}
	if _, _, err := sagas.Show(t.Context(), s.ended(), ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("the history of an order that ended before the move: %v", err)
	}
	execution, err := f.Orders.Redrive(t.Context(), s.review, "repaired", "op", "corr-9")
	if err != nil || execution != s.review+"-r1" {
		t.Fatalf("%s %v", execution, err)
	}
	start, err := f.Orders.StartOf(t.Context(), s.review, 1)
	if err == nil {
		err = stage.Machine.Start(t.Context(), start)
	}
	if err != nil {
		t.Fatal(err)
	}
	play(t, f, stage, map[string]string{execution: began(t, e, execution)})
	if status, _, err := f.Orders.Outcome(t.Context(), s.review); err != nil || status != order.Confirmed {
		t.Errorf("%s %v", status, err)
	}
}

// ended is an order that had come to its end before the move.
func (s *shop) ended() string {
	for id := range s.requests {
		if s.states[id] == "" && id != s.review {
			return id
		}
	}
	return ""
}

// began is the input that the execution has on Step Functions.
func began(t *testing.T, e *awstest.Emulator, execution string) string {
	t.Helper()
	x, err := awssfn.NewFromConfig(e.Config()).DescribeExecution(t.Context(), &awssfn.DescribeExecutionInput{
		ExecutionArn: aws.String(fmt.Sprintf("arn:aws:states:%s:%s:execution:cloudflow-dev-saga:%s", awstest.Region, awstest.Account, execution)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *x.Input
}

// play runs executions to their end over the services as the functions have them, as Step Functions would: by the inputs that it was given.
func play(t *testing.T, f *app.Functions, stage *awsstage.Stage, inputs map[string]string) {
	t.Helper()
	resources := saga.LocalResources()
	task := func(ctx context.Context, c flow.Call) (store.Effect, error) {
		effect, err := f.Table.Do(ctx, c.Input, c.Attempt)
		if err != nil {
			return store.Effect{}, err
		}
		result, err := store.Commit(ctx, stage.Store, effect)
		return store.Effect{Result: result}, err
	}
	mem := memstore.New(memstore.Options{})
	engine, err := flow.New(flow.Options{Store: mem, Definition: saga.Definition(resources), Tasks: map[string]flow.Task{
		resources.Order: task, resources.Inventory: task, resources.Payment: task,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for execution, input := range inputs {
		if err := mem.Update(t.Context(), func(tx *store.Tx) error { return engine.Stage(tx, execution, json.RawMessage(input)) }); err != nil {
			t.Fatal(err)
		}
		engine.Begin(execution)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	eventually(t, "the executions end", func() bool {
		running, err := engine.Running(t.Context(), "", 1)
		return err == nil && len(running) == 0
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for execution := range inputs {
		if x, err := engine.Summary(t.Context(), execution); err != nil || x.Status != asl.StatusSucceeded {
			t.Errorf("%s: %s %s %s %v", execution, x.Status, x.Error, x.Cause, err)
		}
	}
}
