package lineartest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// patience bounds every wait for something that should come at once: the machine may be busy, but not for ever.
const patience = 30 * time.Second

// A system is what is served: the wired services over one of the stores.
type system struct {
	app          *app.App
	handler      http.Handler
	ours, theirs store.Dumper
}

// onDisk is what `cloudflow serve` runs.
func onDisk(t testing.TB) system {
	t.Helper()
	i, err := instance.Open(instance.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return system{i.App, i.Handler, i.Dir.Store, i.Dir.Provider}
}

// inMemory is the same over memstore, whose eventual reads are always behind: an answer that is promised to be exact must not come
// from one. It serves what the histories call, and no more.
func inMemory(t testing.TB) system {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ours, theirs := memstore.New(memstore.Options{StaleReads: true}), memstore.New(memstore.Options{})
	keys, err := saga.NewKeys("k1", map[string][]byte{"k1": bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(app.Config{
		Store: ours, Provider: theirs, SagaKeys: keys, ContactKeys: pii.NewMemoryKeys(),
		Sender: sender.NewLog(log), NoContact: sender.NewLog(log), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	handler := httpapi.New(httpapi.Config{
		Orders: a.Orders, Products: a.Inventory, NewID: a.NewID, Log: log,
		Breakers: []httpapi.Breaker{a.Breakers[app.ChargeBreaker], a.Breakers[app.RefundBreaker]},
	})
	return system{a, handler, ours, theirs}
}

// A world is a system behind a socket, and its clock.
type world struct {
	t     testing.TB
	s     system
	url   string
	http  *http.Client
	began time.Time
	busy  atomic.Int64 // requests under way in the server, whoever still waits for them
}

// serve starts the system behind a socket. between stands between the two, nil for nothing.
func serve(t testing.TB, s system, between func(http.Handler) http.Handler) *world {
	t.Helper()
	w := &world{t: t, s: s, began: time.Now()}
	handler := s.handler
	if between != nil {
		handler = between(handler)
	}
	counted := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.busy.Add(1)
		defer w.busy.Add(-1)
		handler.ServeHTTP(rw, r)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httpapi.NewServer(l.Addr().String(), counted, slog.New(slog.DiscardHandler))
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * clients}
	ctx, stop := context.WithCancel(context.Background())
	worked, served := make(chan error, 1), make(chan error, 1)
	go func() { worked <- s.app.Run(ctx) }()
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		err := server.Shutdown(context.Background())
		stop()
		if err = errors.Join(err, <-worked); err != nil || !errors.Is(<-served, http.ErrServerClosed) {
			t.Errorf("the server did not stop well: %v", err)
		}
	})
	w.url, w.http = "http://"+l.Addr().String(), &http.Client{Transport: transport, Timeout: patience}
	return w
}

// now is the time in nanoseconds, on a clock that never goes back.
func (w *world) now() int64 { return int64(time.Since(w.began)) }

// An answer is what came back, and when. Its zero status is a lost one.
type answer struct {
	call, end int64
	status    int
	replayed  bool
	body      string
}

func (a answer) lost() bool { return a.status == 0 }

// A request is one call; headers are names and values in turn.
type request struct {
	method, path string
	body         any
	headers      []string
	cut          time.Duration // the client goes away after this time; 0: it does not
}

// do makes the call. An answer is lost if its client went away, and in no other case.
func (w *world) do(r request) answer {
	w.t.Helper()
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if r.cut > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.cut)
	}
	defer cancel()
	content := io.Reader(http.NoBody)
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			w.t.Error(err)
		}
		content = bytes.NewReader(text)
	}
	h, err := http.NewRequestWithContext(ctx, r.method, w.url+r.path, content)
	if err != nil {
		w.t.Error(err)
		return answer{}
	}
	if r.body != nil {
		h.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(r.headers); i += 2 {
		h.Header.Set(r.headers[i], r.headers[i+1])
	}
	a := answer{call: w.now(), end: never}
	resp, err := w.http.Do(h)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return a
	case err != nil:
		w.t.Errorf("%s %s: %v", r.method, r.path, err)
		return a
	}
	return answer{a.call, w.now(), resp.StatusCode, resp.Header.Get("Idempotent-Replayed") == "true", string(text)}
}

// unexpected reports an answer that no history has a place for.
func (w *world) unexpected(r request, a answer) {
	w.t.Helper()
	w.t.Errorf("%s %s %v %v answered %d %s", r.method, r.path, r.body, r.headers, a.status, a.body)
}

func into[T any](w *world, a answer) (v T) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		w.t.Errorf("%v in %s", err, a.body)
	}
	return v
}

// atOnce has the clients of a history make their calls side by side; each client has a chance of its own.
func atOnce(n int, call func(client int, chance *rand.Rand)) {
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(seed+n), uint64(c)))
			for range calls {
				call(c, chance)
			}
		})
	}
	wg.Wait()
}

// sometimes is when a client goes away: for one call in six, mostly while the server is at work.
func sometimes(chance *rand.Rand) time.Duration {
	if chance.IntN(6) > 0 {
		return 0
	}
	return time.Duration(100+chance.IntN(2000)) * time.Microsecond
}

// ended waits until the order's saga has ended.
func (w *world) ended(orderID string) {
	w.t.Helper()
	w.eventually("the saga of "+orderID+" ends", func() bool {
		status, err := w.s.app.Engine.Status(context.Background(), orderID)
		return err == nil && status != asl.StatusRunning
	})
}

// idle waits until no saga runs and no request is under way whose client has gone.
func (w *world) idle() {
	w.t.Helper()
	// In this order: a request that ends between the two looks leaves its saga open.
	w.eventually("all requests and sagas end", func() bool { return w.busy.Load() == 0 && w.s.app.Engine.Open() == 0 })
}

func (w *world) eventually(what string, yes func() bool) {
	w.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-limit.C:
			w.t.Fatalf("it does not happen that %s", what)
		case <-tick.C:
		}
	}
}

// atRest requires that no saga is open and that every invariant holds: what a history leaves must add up, too. Messages may wait in the
// queue: its consumer reads what may be behind, and in memory that always is.
func (w *world) atRest() {
	w.t.Helper()
	w.idle()
	s := invariant.New()
	err := errors.Join(w.s.ours.Dump(context.Background(), s.Add), w.s.theirs.Dump(context.Background(), s.AddProvider))
	if err != nil {
		w.t.Fatal(err)
	}
	report := s.Check(time.Now(), false)
	for _, v := range report.Violations {
		w.t.Error(v)
	}
	if report.Orders == 0 || report.Open != 0 {
		w.t.Errorf("%d orders, %d open", report.Orders, report.Open)
	}
}
