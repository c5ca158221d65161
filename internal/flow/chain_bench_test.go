package flow_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// BenchmarkChain is executions of five tasks in a row on a data directory, each commit synced: callers start one each and wait for its end. The
// tasks do nothing, so what is measured is the engine. "staged" are tasks that only stage, which ride in one commit.
//
// The floor is measured in the same run, after it: the same callers make as many commits of as many bytes for each execution, one after the
// other, through the same store without an engine ("store"); and as many bytes in as many syncs are appended to a file ("disk").
func BenchmarkChain(b *testing.B) {
	for _, staged := range []bool{false, true} {
		for _, callers := range []int{1, 10, 64, 256} {
			b.Run(fmt.Sprintf("staged=%t/at-once=%d", staged, callers), func(b *testing.B) { benchmarkChain(b, callers, staged) })
		}
	}
}

func benchmarkChain(b *testing.B, callers int, staged bool) {
	dir := b.TempDir()
	s := openStore(b, filepath.Join(dir, "flow"))
	var waiting sync.Map // by name: who waits for the end
	names, tasks := []string{"a", "b", "c", "d", "e"}, map[string]flow.Task{}
	for _, n := range names {
		tasks[arn(n)] = always(nil, nil)
	}
	e := engine(b, flow.Options{
		Store: s, Definition: []byte(steps(names...)), Tasks: tasks,
		StagedOnly: func(flow.Call) bool { return staged },
		OnEnded: func(end flow.Ended) {
			if ch, ok := waiting.LoadAndDelete(end.Execution); ok {
				ch.(chan flow.Ended) <- end //nolint:errcheck // it is what execute stored
			}
		},
	})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	input := map[string]any{"order_id": "01J8Z3", "lines": []any{map[string]any{"product_id": "p-1", "quantity": "2"}}}
	execute := func(i int) error {
		name, ended := "o-"+strconv.Itoa(i), make(chan flow.Ended, 1)
		waiting.Store(name, ended)
		if err := s.Update(ctx, func(tx *store.Tx) error { return e.Stage(tx, name, input) }); err != nil {
			return err
		}
		e.Begin(name)
		if end := <-ended; end.Status != "SUCCEEDED" {
			return fmt.Errorf("%s: %s %s", name, end.Status, end.Error)
		}
		return nil
	}
	const warm = 256 // the first executions: the definition is stored, goroutines and memtable are there
	atOnce(b, callers, warm, func(i int) error { return execute(i) })
	before := s.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	took, latencies := atOnce(b, callers, b.N, func(i int) error { return execute(warm + i) })
	b.StopTimer()
	after := s.Stats()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	n := float64(b.N)
	commits, groups, written := after.Commits-before.Commits, after.Groups-before.Groups, after.Bytes-before.Bytes
	rate := n / took.Seconds()
	b.ReportMetric(rate, "executions/s")
	b.ReportMetric(milliseconds(latencies[len(latencies)/2]), "p50-ms")
	b.ReportMetric(milliseconds(latencies[len(latencies)*99/100]), "p99-ms")
	b.ReportMetric(float64(commits)/n, "commits/execution")
	b.ReportMetric(float64(written)/n, "bytes/execution")
	b.ReportMetric(float64(commits)/float64(max(groups, 1)), "commits/sync")

	bare := bareStore(b, filepath.Join(dir, "bare"), callers, int(commits)/b.N, int(written/commits))
	b.ReportMetric(bare, "store-floor/s")
	b.ReportMetric(rate/bare, "of-store-floor")
	disk := n / bareDisk(b, filepath.Join(dir, "disk"), int(groups), int(written/max(groups, 1))).Seconds()
	b.ReportMetric(disk, "disk-floor/s")
	b.ReportMetric(rate/disk, "of-disk-floor")
}

func openStore(t testing.TB, dir string) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(dir, pebblestore.Options{MinFreeBytes: pebblestore.NoMinFree})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// atOnce does n things, callers at a time, and returns how long all of them took, and each, the quickest first.
func atOnce(b *testing.B, callers, n int, do func(i int) error) (took time.Duration, each []time.Duration) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	parts := make([][]time.Duration, callers)
	began := time.Now()
	for c := range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				at := time.Now()
				if err := do(int(i)); err != nil {
					b.Error(err)
					return
				}
				parts[c] = append(parts[c], time.Since(at))
			}
		})
	}
	wg.Wait()
	took, each = time.Since(began), slices.Concat(parts...)
	if len(each) != n {
		b.FailNow()
	}
	slices.Sort(each)
	return took, each
}

// bareStore makes the commits of executions, one after the other for each of the callers, and returns how many executions' worth a second
// there are.
func bareStore(b *testing.B, dir string, callers, commits, size int) float64 {
	b.Helper()
	s := openStore(b, dir)
	put := func(i, k int, padding []byte) error {
		return s.Update(b.Context(), func(tx *store.Tx) error {
			key := store.Key{Table: "bare", PK: "o-" + strconv.Itoa(i), SK: strconv.Itoa(k)}
			tx.Put(key, store.Item{store.B("padding", padding)}, store.Absent())
			return nil
		})
	}
	if err := put(0, 0, nil); err != nil {
		b.Fatal(err)
	}
	padding := bytes.Repeat([]byte{'x'}, max(size-int(s.Stats().Bytes), 0)) // what a commit has beside it is known now
	took, _ := atOnce(b, callers, b.N, func(i int) error {
		for k := range commits {
			if err := put(i, k, padding); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(b.N) / took.Seconds()
}

// bareDisk appends as many chunks to a file and syncs each: what the disk alone would have needed.
func bareDisk(b *testing.B, name string, chunks, size int) time.Duration {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, max(size, 1))
	began := time.Now()
	for range chunks {
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
