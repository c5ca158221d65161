package flow_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// BenchmarkFiveSteps runs executions of five tasks from the start to the end, begun by 64 goroutines, on memstore. One operation is one
// execution: six commits. Allocations are of flow, asl, memstore and the tasks together.
func BenchmarkFiveSteps(b *testing.B) {
	for _, c := range []struct{ name, limit string }{{"no timeouts", ``}, {"with timeouts", `"TimeoutSeconds":20,`}} {
		b.Run(c.name, func(b *testing.B) { benchmarkFiveSteps(b, c.limit) })
	}
}

func benchmarkFiveSteps(b *testing.B, limit string) {
	definition := `{"StartAt":"a","States":{`
	tasks := map[string]flow.Task{}
	var open sync.WaitGroup
	for i, n := range []string{"a", "b", "c", "d", "e"} {
		next := `"Next":"` + string(rune('b'+i)) + `"},`
		if n == "e" {
			next = `"End":true}}}`
		}
		definition += `"` + n + `":{"Type":"Task","Resource":"` + arn(n) + `","ResultPath":null,` + limit +
			`"Parameters":{"task":"` + n + `","input.$":"$"},` + next
		tasks[arn(n)] = counted
	}
	tasks[arn("e")] = func(ctx context.Context, c flow.Call) (store.Effect, error) {
		effect, err := counted(ctx, c)
		return store.Effect{Stage: func(tx *store.Tx) (any, error) {
			open.Done()
			return effect.Stage(tx)
		}}, err
	}
	s := newStore()
	e := engine(b, flow.Options{Store: s, Definition: []byte(definition), Tasks: tasks})
	ctx, cancel := context.WithCancel(b.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := e.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	input := map[string]any{"order_id": "01J8Z3", "lines": []any{map[string]any{"product_id": "p-1", "quantity": "2"}}}
	var next atomic.Int64
	open.Add(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	var starters sync.WaitGroup
	for range 64 {
		starters.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				name := "o-" + strconv.FormatInt(i, 10)
				if err := s.Update(ctx, func(tx *store.Tx) error { return e.Stage(tx, name, input) }); err != nil {
					b.Error(err)
					return
				}
				e.Begin(name)
			}
		})
	}
	starters.Wait()
	open.Wait()
	b.StopTimer()
	cancel()
	done.Wait()
}
