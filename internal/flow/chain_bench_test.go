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

	"golang.org/x/sys/unix"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// BenchmarkChain is executions of five tasks in a row on a data directory, each commit synced: callers start one each and wait for its end. The
// tasks do nothing, so what is measured is the engine. "staged" are tasks that only stage, which ride in one commit.
//
// The floors are measured in the same run, in turns with it: the same callers make as many commits of as many bytes for each execution, one after
// the other, through another store without an engine ("store"); and as many bytes in as many syncs are appended to a file ("disk"). The ratio to a
// floor is the median of the turns, and cpu-µs is the process's, so that neither says much of who else uses the machine.
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
	bare, disk := newBareStore(b, filepath.Join(dir, "bare")), newBareDisk(b, filepath.Join(dir, "disk"))
	// The first executions are not counted: then the definition is stored, and goroutines and the memtable are there.
	const warm = 256
	// In each turn all callers have something to do nearly all the time.
	turns := min(16, max(1, b.N/(4*callers)))
	atOnce(b, callers, warm, func(i int) error { return execute(i) })
	var sum chainTurn
	var ofStore, ofDisk []float64
	b.ResetTimer()
	for turn := range turns {
		from, to := turn*b.N/turns, (turn+1)*b.N/turns
		if from == to {
			continue
		}
		before, burnt := s.Stats(), cpuTime(b)
		took, latencies := atOnce(b, callers, to-from, func(i int) error { return execute(warm + from + i) })
		after := s.Stats()
		one := chainTurn{took: took, cpu: cpuTime(b) - burnt, latencies: latencies,
			commits: int(after.Commits - before.Commits), groups: max(int(after.Groups-before.Groups), 1), bytes: int(after.Bytes - before.Bytes)}
		one.bare = bare.execute(b, callers, from, to, one.commits/(to-from), one.bytes/one.commits)
		one.disk = disk.append(b, one.groups, one.bytes/one.groups)
		ofStore, ofDisk = append(ofStore, one.bare.Seconds()/took.Seconds()), append(ofDisk, one.disk.Seconds()/took.Seconds())
		sum.add(one)
	}
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	sum.report(b)
	slices.Sort(ofStore)
	slices.Sort(ofDisk)
	b.ReportMetric(ofStore[len(ofStore)/2], "of-store-floor")
	b.ReportMetric(ofDisk[len(ofDisk)/2], "of-disk-floor")
}

// A chainTurn is what a number of executions took, and what their floors did.
type chainTurn struct {
	took, cpu, bare, disk  time.Duration
	latencies              []time.Duration
	commits, groups, bytes int
}

func (c *chainTurn) add(one chainTurn) {
	c.took, c.cpu, c.bare, c.disk = c.took+one.took, c.cpu+one.cpu, c.bare+one.bare, c.disk+one.disk
	c.commits, c.groups, c.bytes = c.commits+one.commits, c.groups+one.groups, c.bytes+one.bytes
	c.latencies = append(c.latencies, one.latencies...)
}

func (c *chainTurn) report(b *testing.B) {
	n := float64(b.N)
	slices.Sort(c.latencies)
	b.ReportMetric(0, "ns/op") // the floors are in it
	b.ReportMetric(n/c.took.Seconds(), "executions/s")
	b.ReportMetric(float64(c.cpu.Microseconds())/n, "cpu-µs/execution")
	b.ReportMetric(milliseconds(c.latencies[len(c.latencies)/2]), "p50-ms")
	b.ReportMetric(milliseconds(c.latencies[len(c.latencies)*99/100]), "p99-ms")
	b.ReportMetric(float64(c.commits)/n, "commits/execution")
	b.ReportMetric(float64(c.bytes)/n, "bytes/execution")
	b.ReportMetric(float64(c.commits)/float64(c.groups), "commits/sync")
	b.ReportMetric(n/c.bare.Seconds(), "store-floor/s")
	b.ReportMetric(n/c.disk.Seconds(), "disk-floor/s")
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

// A bareStore is a store without an engine.
type bareStore struct {
	s     *pebblestore.Store
	frame int // what a commit has beside its padding
}

func newBareStore(b *testing.B, dir string) *bareStore {
	b.Helper()
	f := &bareStore{s: openStore(b, dir)}
	if err := f.put(b.Context(), -1, 0, nil); err != nil {
		b.Fatal(err)
	}
	f.frame = int(f.s.Stats().Bytes)
	return f
}

func (f *bareStore) put(ctx context.Context, i, k int, padding []byte) error {
	return f.s.Update(ctx, func(tx *store.Tx) error {
		key := store.Key{Table: "bare", PK: "o-" + strconv.Itoa(i), SK: strconv.Itoa(k)}
		tx.Put(key, store.Item{store.B("padding", padding)}, store.Absent())
		return nil
	})
}

// execute makes the commits of executions, one after the other for each of the callers.
func (f *bareStore) execute(b *testing.B, callers, from, to, commits, size int) time.Duration {
	b.Helper()
	padding := bytes.Repeat([]byte{'x'}, max(size-f.frame, 0))
	took, _ := atOnce(b, callers, to-from, func(i int) error {
		for k := range commits {
			if err := f.put(b.Context(), from+i, k, padding); err != nil {
				return err
			}
		}
		return nil
	})
	return took
}

// A bareDisk is a file.
type bareDisk struct{ f *os.File }

func newBareDisk(b *testing.B, name string) *bareDisk {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &bareDisk{f}
}

// append writes chunks and syncs each: what the disk alone would have needed.
func (d *bareDisk) append(b *testing.B, chunks, size int) time.Duration {
	b.Helper()
	chunk := make([]byte, max(size, 1))
	began := time.Now()
	for range chunks {
		if _, err := d.f.Write(chunk); err != nil {
			b.Fatal(err)
		}
		if err := d.f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
