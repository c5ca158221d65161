package notification_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A world is one consumer with its queue and store, under a clock of its own.
type world struct {
	t       testing.TB
	clock   *clock
	mem     *memstore.Store
	faults  *faulty
	staged  bool
	q       *storebus.Queue
	config  notification.Config
	service *notification.Service
	smtp    *fakeSender
	logged  *fakeSender
	log     *syncBuffer
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, clock: &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}, mem: memstore.New(memstore.Options{}), staged: true, log: &syncBuffer{}}
	w.faults = &faulty{Store: w.mem}
	w.smtp, w.logged = &fakeSender{name: "smtp", w: w}, &fakeSender{name: "log", w: w}
	w.config = notification.Config{
		Store: w.faults, Keys: pii.NewMemoryKeys(), Sender: w.smtp, NoContact: w.logged, Now: w.now,
		Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	w.open()
	return w
}

// open begins a new process.
func (w *world) open() {
	w.q = storebus.Open(w.faults, "notifications", storebus.Config{Now: w.config.Now})
	w.config.Queue, w.config.Staged = w.q, nil
	if w.staged {
		w.config.Staged = w.q
	}
	w.service = notification.New(w.config)
}

func (w *world) now() time.Time {
	if w.clock == nil {
		return time.Now()
	}
	return w.clock.now()
}

func (w *world) message(i int, kind notification.Kind, c *notification.Contact) notification.Message {
	w.t.Helper()
	m := notification.Message{
		OrderID: fmt.Sprintf("ord-%d", i), CustomerID: fmt.Sprintf("cust-%d", i), Kind: kind, Version: 5, TotalCents: 1205, Currency: "USD",
		CorrelationID: fmt.Sprintf("corr-%d", i),
	}
	if c != nil {
		plain, err := json.Marshal(c)
		if err != nil {
			w.t.Fatal(err)
		}
		if m.SealedContact, err = pii.Seal(w.config.Keys, m.CustomerID, plain); err != nil {
			w.t.Fatal(err)
		}
	}
	return m
}

func (w *world) send(m notification.Message) {
	w.t.Helper()
	body, err := m.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.mem.Update(w.t.Context(), func(tx *store.Tx) error { return w.q.Stage(tx, m.MessageID(), body) }); err != nil {
		w.t.Fatal(err)
	}
	w.q.Notify()
}

func (w *world) queue(i int, kind notification.Kind) {
	w.t.Helper()
	w.send(w.message(i, kind, &notification.Contact{Email: fmt.Sprintf("jane%d@example.com", i), Phone: "+49123"}))
}

// run drives the consumer until nothing is visible.
func (w *world) run() {
	w.t.Helper()
	for range 100 {
		ran, _, err := w.service.RunOne(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if !ran {
			return
		}
	}
	w.t.Fatal("it does not end")
}

// settle drives the consumer, and the clock, until nothing is in sight any more. After an error the process begins anew.
func (w *world) settle() {
	w.t.Helper()
	for range 200 {
		ran, wake, err := w.service.RunOne(w.t.Context())
		switch {
		case err != nil:
			w.open()
		case ran:
		case !w.staged: // such a queue cannot tell when to come back
			if st, _ := w.q.Stats(w.t.Context()); st.Ready+st.InFlight == 0 {
				return
			}
			w.clock.advance(10 * time.Second)
		case wake.IsZero():
			return
		default:
			w.clock.advance(max(wake.Sub(w.now()), 0))
		}
	}
	w.t.Fatal("it does not settle")
}

func (w *world) record(i int) notification.Record {
	w.t.Helper()
	r, err := w.service.Show(w.t.Context(), fmt.Sprintf("ord-%d", i), 5)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) empty() {
	w.t.Helper()
	if st, err := w.q.Stats(w.t.Context()); err != nil || st != (storebus.Stats{}) {
		w.t.Errorf("the queue holds %+v, %v", st, err)
	}
}

func (w *world) dead() []bus.DeadLetter {
	w.t.Helper()
	l, _, err := w.q.List(w.t.Context(), "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) oneMessageID(where string) {
	w.t.Helper()
	for _, e := range w.smtp.tried {
		if e.MessageID != "ord-1.v5@cloudflow" {
			w.t.Errorf("%s: Message-ID %s", where, e.MessageID)
		}
	}
}

// discreet requires that no address stands in a log line or in the store.
func (w *world) discreet() {
	w.t.Helper()
	if strings.Contains(w.log.String(), "jane") {
		w.t.Errorf("the log names the contact: %s", w.log.String())
	}
	err := w.mem.Dump(w.t.Context(), func(e store.Entry) error {
		if strings.Contains(fmt.Sprint(e), "jane") {
			return errors.New("an item names the contact: " + e.Key.String())
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) logLine(message string) map[string]any {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == message {
			return m
		}
	}
	w.t.Fatalf("no %q in %s", message, w.log.String())
	return nil
}

// fakeSender remembers what it was given.
type fakeSender struct {
	name   string
	w      *world
	fail   func(notification.Email) error
	pause  time.Duration
	forget bool

	mu    sync.Mutex
	tried []notification.Email
	ok    []notification.Email
}

func (f *fakeSender) Name() string { return f.name }

func (f *fakeSender) Send(ctx context.Context, e notification.Email) error {
	if f.pause > 0 {
		timer := time.NewTimer(f.pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forget {
		return nil
	}
	f.tried = append(f.tried, e)
	if f.fail != nil {
		if err := f.fail(e); err != nil {
			return err
		}
	}
	f.ok = append(f.ok, e)
	return nil
}

func (f *fakeSender) sent() []notification.Email {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ok)
}

func (f *fakeSender) only(t testing.TB) notification.Email {
	t.Helper()
	sent := f.sent()
	if len(sent) != 1 {
		t.Fatalf("%s took %d e-mails, want 1", f.name, len(sent))
	}
	return sent[0]
}

// attempts are the times at which an order's e-mail was tried.
func (f *fakeSender) attempts(orderID string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var at []time.Time
	for _, e := range f.tried {
		if e.OrderID == orderID {
			at = append(at, e.Date)
		}
	}
	return at
}

// faulty fails one Update, before it is applied or after, or all of them while it is down.
type faulty struct {
	store.Store
	mu        sync.Mutex
	writes    int
	failAt    int
	replyLost bool
	down      bool
}

func (f *faulty) Update(ctx context.Context, fn func(*store.Tx) error) error {
	f.mu.Lock()
	f.writes++
	fail, down := f.writes == f.failAt, f.down
	f.mu.Unlock()
	if !fail && !down {
		return f.Store.Update(ctx, fn)
	}
	if fail && f.replyLost {
		if err := f.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return fault.New(fault.Transient, "the store went away")
}

func (f *faulty) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *faulty) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
