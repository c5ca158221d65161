package flow

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestWorkersIdleForTheNextRun(t *testing.T) {
	const machine = `{"StartAt": "a", "States": {"a": {"Type": "Task", "Resource": "arn:a", "TimeoutSeconds": 60, "End": true}}}`
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		e, err := New(Options{Store: s, Definition: []byte(machine), Tasks: map[string]Task{"arn:a": func(context.Context, Call) (store.Effect, error) {
			<-time.After(time.Second)
			return store.Effect{}, nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()

		// have runs as many executions as are named at once, and says how many workers there were and are.
		have := func(name string, executions, during, after int) {
			t.Helper()
			for i := range executions {
				name := fmt.Sprintf("%s-%d", name, i)
				if err := s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, name, nil) }); err != nil {
					t.Fatal(err)
				}
				e.Begin(name)
			}
			synctest.Wait()
			e.mu.Lock()
			if n := e.workers; n != during {
				t.Errorf("%d workers during %s, want %d", n, name, during)
			}
			e.mu.Unlock()
			<-time.After(2 * time.Second)
			synctest.Wait()
			e.mu.Lock()
			if n := e.workers; n != after || len(e.idle) != after {
				t.Errorf("%d workers after %s, %d of them idle, want %d", n, name, len(e.idle), after)
			}
			e.mu.Unlock()
		}
		have("first", 1, 1, 1)
		have("next", 1, 1, 1)
		have("burst", idleWorkers+50, idleWorkers+50, idleWorkers)
		have("lone", 1, idleWorkers, idleWorkers)
		if e.Open() != 0 {
			t.Errorf("%d open", e.Open())
		}
		cancel()
		if err := <-done; err != nil || e.workers != 0 || len(e.idle) != 0 {
			t.Errorf("after the drain %d workers, %d idle, %v", e.workers, len(e.idle), err)
		}
	})
}
