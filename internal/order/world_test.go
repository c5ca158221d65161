package order

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A world is an order service over an empty store, and all that stands around it.
type world struct {
	*Service
	t       testing.TB
	mem     *memstore.Store
	flaky   *flakyStore
	catalog *fakeCatalog
	breaker *fakeBreaker
	sagas   *fakeSagas
	keys    pii.Keys
	logged  *bytes.Buffer

	mu  sync.Mutex
	now time.Time
	ids int
}

func newWorld(t testing.TB, opts memstore.Options) *world {
	mem := memstore.New(opts)
	w := &world{
		t:       t,
		mem:     mem,
		flaky:   &flakyStore{Store: mem},
		catalog: &fakeCatalog{quotes: map[string]Quote{"LAPTOP-01": {129_900, 100}, "MOUSE-02": {2_500, 10}, "GOLD": {99_999_999, 1_000_000}}},
		breaker: &fakeBreaker{},
		sagas:   &fakeSagas{store: mem},
		keys:    pii.NewMemoryKeys(),
		logged:  &bytes.Buffer{},
		now:     t0,
	}
	w.Service = New(Config{
		Store:     w.flaky,
		Feed:      mem,
		Catalog:   w.catalog,
		Admission: w.breaker,
		Saga:      w.sagas,
		Outbox:    fakeOutbox{},
		Keys:      w.keys,
		Now:       w.clock,
		NewID:     w.newID,
		Currency:  "USD",
		Log:       slog.New(slog.NewJSONHandler(w.logged, nil)),
	})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) newID(prefix string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("%s%026d", prefix, w.ids)
}

// request asks for one laptop, under a key if it is not "".
func request(key string) PlaceRequest {
	return PlaceRequest{
		CustomerID:     "cust-1",
		Lines:          []RequestLine{{ProductID: "LAPTOP-01", Quantity: 1}},
		IdempotencyKey: key,
		Principal:      "key-1",
		Fingerprint:    [32]byte{1},
		CorrelationID:  "corr-1",
	}
}

func (w *world) place() string {
	w.t.Helper()
	p, err := w.Place(w.t.Context(), request(""))
	if err != nil {
		w.t.Fatal(err)
	}
	return p.OrderID
}

// A command is something that happens to an order. Tasks are committed as the Lambda adapter does it.
type command struct {
	name string
	do   func(w *world, id string) error
}

func task(id string) Task { return Task{OrderID: id, CorrelationID: "corr-1"} }

func (w *world) commit(e store.Effect, err error) error {
	if err == nil {
		_, err = store.Commit(context.Background(), w.flaky, e)
	}
	return err
}

var (
	reserve = command{"record STOCK_RESERVED", func(w *world, id string) error {
		return w.commit(w.Record(context.Background(), RecordTask{Task: task(id), Event: StockReserved}))
	}}
	decline = command{"record PAYMENT_FAILED", func(w *world, id string) error {
		return w.commit(w.Record(context.Background(), RecordTask{Task: task(id), Event: PaymentFailed, Error: "PaymentDeclined"}))
	}}
	confirm = command{"confirm", func(w *world, id string) error {
		return w.commit(w.Confirm(context.Background(), Task{OrderID: id, CorrelationID: "corr-1", PaymentID: "pay-7"}))
	}}
	compensate = command{"compensate", func(w *world, id string) error {
		return w.commit(w.Compensate(context.Background(), task(id)))
	}}
	refunded = command{"compensate after a refund", func(w *world, id string) error {
		return w.commit(w.Compensate(context.Background(), Task{OrderID: id, CorrelationID: "corr-1", PaymentID: "pay-7", RefundedCents: 129_900}))
	}}
	fail = command{"fail", func(w *world, id string) error {
		return w.commit(w.Fail(context.Background(), Task{OrderID: id, CorrelationID: "corr-1", Caught: "UnknownProduct"}))
	}}
	notify = command{"notify", func(w *world, id string) error {
		return w.commit(w.Notify(context.Background(), task(id)))
	}}
	cancel = command{"cancel", func(w *world, id string) error {
		_, err := w.Cancel(context.Background(), id, CancelRequest{CorrelationID: "corr-2", Actor: "key-1"})
		return err
	}}
	review = command{"review", func(w *world, id string) error {
		st, _, err := w.state(context.Background(), id)
		if err != nil {
			return err
		}
		execution := ExecutionName(id, st.Redrives)
		w.sagas.end(execution, "FAILED", "ConfirmOrder")
		return w.flaky.Update(context.Background(), func(tx *store.Tx) error {
			return w.StageReview(tx, id, execution, "FAILED", "Internal", "a cause with details")
		})
	}}
	redrive = command{"redrive", func(w *world, id string) error {
		_, err := w.Redrive(context.Background(), id, "repaired", "key-admin", "corr-3")
		return err
	}}
)

var allCommands = []command{reserve, decline, confirm, compensate, refunded, fail, notify, cancel, review, redrive}

func (w *world) do(id string, commands ...command) {
	w.t.Helper()
	for _, c := range commands {
		if err := c.do(w, id); err != nil {
			w.t.Fatalf("%s: %v", c.name, err)
		}
	}
}

// events returns the order's events, and checks what must always hold: the chain, the grammar, and that the head is their fold.
func (w *world) events(id string) []eventlog.Event {
	w.t.Helper()
	events, err := checkedLog(w.mem, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

func checkedLog(s store.Store, id string) ([]eventlog.Event, error) {
	ctx := context.Background()
	events, err := eventlog.Read(ctx, s, Table, id, 0, 0, store.Strong)
	if err != nil {
		return nil, err
	}
	if err := eventlog.Verify(events); err != nil {
		return nil, err
	}
	if log := typesOf(events); !mayOccur(log) {
		return nil, fmt.Errorf("a log that may not occur: %v", log)
	}
	folded, err := Fold(events)
	if err != nil {
		return nil, err
	}
	it, err := s.Get(ctx, headKey(id), store.Strong)
	if err != nil {
		return nil, err
	}
	head, err := DecodeHead(it)
	if err == nil && head != folded {
		err = fmt.Errorf("head %+v\nfold %+v", head, folded)
	}
	return events, err
}

func typesOf(events []eventlog.Event) []string {
	types := make([]string, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	return types
}

func (w *world) wantLog(id, want string) {
	w.t.Helper()
	if got := strings.Join(typesOf(w.events(id)), " "); got != want {
		w.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func (w *world) get(id string, q ViewQuery) View {
	w.t.Helper()
	v, err := w.Get(w.t.Context(), id, q)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// messages are the messages in the outbox, in the order of their keys.
func (w *world) messages() []Message {
	w.t.Helper()
	entries, err := w.mem.Range(w.t.Context(), store.Query{Table: "outbox", PK: "queue"})
	if err != nil {
		w.t.Fatal(err)
	}
	messages := make([]Message, len(entries))
	for i, en := range entries {
		if err := json.Unmarshal(en.Item.Bytes("message"), &messages[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	return messages
}

// index counts the items of an index partition.
func (w *world) index(pk string) int {
	w.t.Helper()
	entries, err := w.mem.Range(w.t.Context(), store.Query{Table: Table, PK: pk})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(entries)
}

func wantKind(t testing.TB, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("got %v, want %s", err, kind)
	}
	return e
}

// flakyStore fails one Update: before it is applied, or after it.
type flakyStore struct {
	store.Store
	mu        sync.Mutex
	countdown int // the Update that fails, counted from 1; 0: none
	replyLost bool
	failed    bool
}

var errCrash = fault.New(fault.Transient, "the store was away")

func (f *flakyStore) crashAt(n int, replyLost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countdown, f.replyLost, f.failed = n, replyLost, false
}

func (f *flakyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	f.mu.Lock()
	f.countdown--
	hit := f.countdown == 0
	f.failed = f.failed || hit
	f.mu.Unlock()
	if hit && !f.replyLost {
		return errCrash
	}
	if err := f.Store.Update(ctx, fn); err != nil || !hit {
		return err
	}
	return errCrash
}

type fakeCatalog struct {
	quotes map[string]Quote
	asked  func() // nil: nothing happens then
	err    error
}

func (c *fakeCatalog) Quote(_ context.Context, ids []string) (map[string]Quote, error) {
	if c.asked != nil {
		c.asked()
	}
	out := make(map[string]Quote, len(ids))
	for _, id := range ids {
		if q, ok := c.quotes[id]; ok {
			out[id] = q
		}
	}
	return out, c.err
}

type fakeBreaker struct{ err error }

func (b *fakeBreaker) Admit(context.Context) error { return b.err }

// fakeSagas keeps executions in the store, so that a start is in the order's commit or nowhere.
type fakeSagas struct {
	store *memstore.Store
	fed   bool // a feed starts executions, so that Stage stages nothing
	mu    sync.Mutex
	begun []string
}

func sagaKey(execution string) store.Key {
	return store.Key{Table: "sagas", PK: execution, SK: "execution"}
}

func (f *fakeSagas) Stage(tx *store.Tx, s Start) error {
	if f.fed {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tx.Put(sagaKey(s.Execution), store.Item{store.S("status", "RUNNING"), store.B("start", text)}, store.Absent())
	return nil
}

func (f *fakeSagas) Begin(execution string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = append(f.begun, execution)
}

func (f *fakeSagas) Failure(ctx context.Context, execution string) (Failure, error) {
	it, err := f.store.Get(ctx, sagaKey(execution), store.Strong)
	if err != nil {
		return Failure{}, err
	}
	if it == nil {
		return Failure{}, fault.New(fault.NotFound, "no execution %s", execution)
	}
	return Failure{Status: it.Str("status"), State: it.Str("state"), Input: json.RawMessage(`{"order_id":"x"}`), Error: "Internal"}, nil
}

// end writes that the execution has come to an end, whether or not it was ever started.
func (f *fakeSagas) end(execution, status, state string) {
	_ = f.store.Update(context.Background(), func(tx *store.Tx) error {
		it, err := tx.Get(sagaKey(execution))
		tx.Put(sagaKey(execution), it.With(store.S("status", status), store.S("state", state)))
		return err
	})
}

func (f *fakeSagas) start(t testing.TB, execution string) Start {
	t.Helper()
	it, err := f.store.Get(t.Context(), sagaKey(execution), store.Strong)
	if err != nil || it == nil {
		t.Fatalf("no execution %s, %v", execution, err)
	}
	var s Start
	if err := json.Unmarshal(it.Bytes("start"), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

type fakeOutbox struct{}

func (fakeOutbox) Send(tx *store.Tx, m Message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	tx.Put(store.Key{Table: "outbox", PK: "queue", SK: m.OrderID + "." + m.Kind}, store.Item{store.B("message", text)})
	return nil
}

var discard = slog.New(slog.DiscardHandler)
