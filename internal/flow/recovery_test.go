package flow

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// chain is a machine of five tasks in a row.
const chain = `{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","ResultPath":null,"Next":"B"},"B":{"Type":"Task","Resource":"r","ResultPath":null,"Next":"C"},
	"C":{"Type":"Task","Resource":"r","ResultPath":null,"Next":"D"},"D":{"Type":"Task","Resource":"r","ResultPath":null,"Next":"E"},"E":{"Type":"Task","Resource":"r","ResultPath":null,"End":true}}}`

// TestAHundredThousandOpenExecutionsRecover fills a data directory with open executions that stand at all five tasks of a chain, opens it anew,
// and measures how long it takes until all are known (ready) and until the last of them has ended, as multiples of how long it takes to read what
// the engine has stored. Other than reading, ending them makes three synced commits for each in the mean, 512 at a time.
func TestAHundredThousandOpenExecutionsRecover(t *testing.T) {
	n := longtest.Count(1_000, 10_000, 100_000)
	started, dir := time.Now(), t.TempDir()
	fill(t, dir, n)

	s := openDir(t, dir)
	items, bytes, read := readAll(t, s)
	closeDir(t, s)

	began := time.Now()
	s = openDir(t, dir)
	opened := time.Since(began)
	recovered, finished := make(chan struct{}), make(chan struct{})
	var ended atomic.Int64
	e := newChain(t, s, Options{
		Log: slog.New(recoveredHandler{slog.DiscardHandler, recovered}),
		OnEnded: func(end Ended) {
			if end.Status != succeeded {
				t.Errorf("%s ended %s", end.Execution, end.Status)
			}
			if ended.Add(1) == int64(n) {
				close(finished)
			}
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began = time.Now()
	go func() { done <- e.Run(ctx) }()
	within(t, recovered, "ready")
	ready := time.Since(began)
	within(t, finished, "the last end")
	last := time.Since(began)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if names, err := e.Running(t.Context(), "", 1); err != nil || len(names) > 0 {
		t.Errorf("%v are open still, %v", names, err)
	}
	commits := s.Stats().Commits
	closeDir(t, s)

	times := func(d time.Duration) float64 { return d.Seconds() / read.Seconds() }
	longtest.Record(t, started, longtest.Result{What: "open executions in a data directory", Count: n, Detail: fmt.Sprintf(
		"reading its %d items of %.1f MB takes %v; opening it %v; ready after %v, %.1f times the reading; the last has ended after %v and %d commits, %.0f times",
		items, float64(bytes)/1e6, read.Round(time.Millisecond), opened.Round(time.Millisecond), ready.Round(time.Millisecond), times(ready),
		last.Round(time.Millisecond), commits, times(last))})
	if times(ready) > 50 || times(last) > 1000 { // each would be thousands if something looked at all of them for each
		t.Errorf("ready after %.0f times the reading, the last end after %.0f", times(ready), times(last))
	}
}

// fill begins n executions and makes the commits of the first tasks of each, of 0 to 4 of them, as an engine would.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	s := openDir(t, dir)
	defer closeDir(t, s)
	e := newChain(t, s, Options{})
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := fillOne(t.Context(), e, fmt.Sprintf("o-%d", i), i%5); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func fillOne(ctx context.Context, e *Engine, name string, tasks int) error {
	input := map[string]any{"order_id": name, "lines": []any{map[string]any{"product_id": "p-1", "quantity": "2"}}}
	if err := e.o.Store.Update(ctx, func(tx *store.Tx) error { return e.Stage(tx, name, input) }); err != nil {
		return err
	}
	r := run{name: name}
	if err := e.replay(ctx, &r, func(asl.Start) func(asl.HistoryEvent) { return nil }); err != nil {
		return err
	}
	for range tasks {
		task, ok := soleTask(r.x.Open())
		if !ok {
			return fmt.Errorf("%s waits for no task", name)
		}
		r.answer = &answer{kind: asl.TaskSucceeded, id: task.ID, effect: store.Effect{Result: "done"}}
		if out := e.commit(ctx, &r); out != again {
			return fmt.Errorf("%s: its commit comes out as %d", name, out)
		}
	}
	return nil
}

func newChain(t *testing.T, s store.Store, o Options) *Engine {
	t.Helper()
	o.Store, o.Definition = s, []byte(chain)
	o.Tasks = map[string]Task{"r": func(context.Context, Call) (store.Effect, error) { return store.Effect{Result: "done"}, nil }}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// readAll reads the engine's table from the beginning to the end.
func readAll(t *testing.T, s *pebblestore.Store) (items, bytes int, took time.Duration) {
	t.Helper()
	began := time.Now()
	err := s.DumpTable(t.Context(), Table, "", func(en store.Entry) error {
		items, bytes = items+1, bytes+len(en.Key.PK)+len(en.Key.SK)+en.Item.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return items, bytes, time.Since(began)
}

func openDir(t *testing.T, dir string) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(dir, pebblestore.Options{MinFreeBytes: pebblestore.NoMinFree})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeDir(t *testing.T, s *pebblestore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// within waits for what a slow machine may take long for.
func within(t *testing.T, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(15 * time.Minute):
		t.Fatalf("%s does not come", what)
	}
}

// A recoveredHandler closes a channel when the log says that the recovery is over.
type recoveredHandler struct {
	slog.Handler
	recovered chan struct{}
}

func (h recoveredHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h recoveredHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "flow: recovered" {
		close(h.recovered)
	}
	return nil
}
