package instance_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

// BenchmarkOrder is the whole thing: POST /orders over loopback, durable, until the order is terminal (Prefer: wait), callers and
// server in one process on one machine. Beside orders/s it reports what an order costs on disk and the floor of the same run:
// as many bytes in as many groups, appended and synced by a bare loop.
func BenchmarkOrder(b *testing.B) {
	for _, c := range []struct {
		callers, products int
	}{{64, 100}, {256, 100}, {64, 1}} {
		name := fmt.Sprintf("callers=%d/products=%d", c.callers, c.products)
		b.Run(name, func(b *testing.B) { benchmarkOrder(b, c.callers, c.products) })
	}
}

func benchmarkOrder(b *testing.B, callers, products int) {
	dir := b.TempDir()
	i, addr, stop := serveBench(b, instance.Config{Dir: dir, Log: observe.NewLogger(io.Discard, slog.LevelInfo, nil)}, products) // lines are made, not kept
	drive(b, addr, min(callers, 8), products, 200)                                                                               // warm: connections, caches, the first memtable

	before, theirs := i.Dir.Store.Stats(), i.Dir.Provider.Stats()
	latencies := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	began, burnt := time.Now(), cpuTime(b)
	latencies = append(latencies, drive(b, addr, callers, products, b.N)...)
	took := time.Since(began)
	burnt = cpuTime(b) - burnt
	b.StopTimer()
	after, theirsAfter := i.Dir.Store.Stats(), i.Dir.Provider.Stats()
	stop()

	slices.Sort(latencies)
	n := float64(b.N)
	groups, bytes := after.Groups-before.Groups, after.Bytes-before.Bytes
	b.ReportMetric(n/took.Seconds(), "orders/s")
	b.ReportMetric(float64(burnt.Microseconds())/n, "cpu-µs/order")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(after.Commits-before.Commits)/n, "commits/order")
	b.ReportMetric(float64(theirsAfter.Commits-theirs.Commits)/n, "provider-commits/order")
	b.ReportMetric(float64(after.Commits-before.Commits)/float64(max(groups, 1)), "commits/sync")
	b.ReportMetric(float64(bytes)/n, "bytes/order")
	total, median := floor(b, dir, int(groups+theirsAfter.Groups-theirs.Groups), int(bytes+theirsAfter.Bytes-theirs.Bytes))
	b.ReportMetric(n/total.Seconds(), "floor-orders/s")
	b.ReportMetric(float64(median.Nanoseconds())/1000, "fdatasync-µs")
}

// serveBench serves an instance with products on the shelf, as serve does, until stop, which verifies and closes it.
func serveBench(b *testing.B, c instance.Config, products int) (i *instance.Instance, addr string, stop func()) {
	b.Helper()
	instance.TuneGC()
	c.Sender = sender.NewLog(c.Log)
	i, err := instance.Open(c)
	if err != nil {
		b.Fatal(err)
	}
	stock := int64(100_000_000)
	for n := range products {
		p := inventory.PutProduct{ProductID: fmt.Sprintf("P-%03d", n), Name: "P", UnitPriceCents: 100, Stock: &stock}
		if _, _, err := i.App.Inventory.Put(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- i.Serve(ctx, l) }()
	return i, l.Addr().String(), func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
		report, err := instance.Verify(context.Background(), i.Dir, time.Now())
		if err != nil || len(report.Violations) > 0 {
			b.Errorf("verify: %v %v", err, report.Violations)
		}
		if err := i.Close(); err != nil {
			b.Error(err)
		}
	}
}

// cpuTime is what this process has used so far, callers included: it does not depend on who else uses the machine.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// drive places n orders from callers goroutines and returns how long each took until it was terminal.
func drive(b *testing.B, addr string, callers, products, n int) []time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	out := make([][]time.Duration, callers)
	for c := range callers {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for k := next.Add(1); k <= int64(n); k = next.Add(1) {
				began := time.Now()
				if err := placeOne(conn, in, int(k)%products); err != nil {
					b.Error(err)
					return
				}
				out[c] = append(out[c], time.Since(began))
			}
		})
	}
	wg.Wait()
	return slices.Concat(out...)
}

// placeOne writes one request and reads its answer: a generator that costs little beside the server that it shares the cores with.
func placeOne(conn net.Conn, in *bufio.Reader, product int) error {
	body := fmt.Sprintf(`{"customer_id":"cust-1","items":[{"product_id":"P-%03d","quantity":1}]}`, product)
	_, err := fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nPrefer: wait=20\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return nil
}

// floor appends and syncs the bytes in as many groups, one after the other: what the disk alone would have needed.
func floor(b *testing.B, dir string, groups, bytes int) (total, median time.Duration) {
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	groups = max(groups, 1)
	chunk := make([]byte, max(bytes/groups, 1))
	syncs := make([]time.Duration, groups)
	began := time.Now()
	for i := range groups {
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
		at := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		syncs[i] = time.Since(at)
	}
	total = time.Since(began)
	slices.Sort(syncs)
	return total, syncs[groups/2]
}
