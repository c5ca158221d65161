package pebblestore

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// openDisk opens a store as the binary does, watched too, on the disk that holds the temporary files.
func openDisk(b *testing.B, feed func(store.Key) bool) *Store {
	b.Helper()
	var commits, groups [16]atomic.Int64 // about what a histogram costs
	s, err := Open(b.TempDir(), Options{Feed: feed, Watch: Watch{
		Committed: func(took time.Duration) { commits[bits.Len64(uint64(took))%len(commits)].Add(int64(took)) },
		Synced:    func(took time.Duration, n int) { groups[n%len(groups)].Add(int64(took)) },
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeStore(b, s) })
	return s
}

// each calls fn b.N times from so many goroutines.
func each(b *testing.B, goroutines int, fn func(i int64) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func report(b *testing.B, s *Store, before Stats) {
	after := s.Stats()
	commits, groups := after.Commits-before.Commits, after.Groups-before.Groups
	if commits == 0 || groups == 0 {
		return
	}
	b.ReportMetric(float64(commits)/float64(groups), "commits/sync")
	b.ReportMetric(float64(after.Bytes-before.Bytes)/float64(commits), "bytes/commit")
	b.ReportMetric(float64((after.SyncTime-before.SyncTime).Microseconds())/float64(groups), "µs/sync")
	b.ReportMetric(float64(after.Conflicts-before.Conflicts)/float64(commits), "conflicts/commit")
}

// A commit like a step of the saga: a head that was read, an event that must be new, a counter with a floor, a journal entry.
func BenchmarkCommit(b *testing.B) {
	text := strings.Repeat("0123456789", 30)
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := openDisk(b, func(k store.Key) bool { return k.Table == "orders" })
			stock := store.Key{Table: "products", PK: "mug", SK: "stock"}
			put(b, s, stock, store.N("available", 1<<40), store.N("held", 0))
			before := s.Stats()
			b.ReportAllocs()
			each(b, goroutines, func(i int64) error {
				id := fmt.Sprintf("01J%023d", i%8192) // so that two steps of one order never meet
				head := store.Key{Table: "orders", PK: id}
				return s.Update(context.Background(), func(tx *store.Tx) error {
					it, err := tx.Get(head)
					if err != nil {
						return err
					}
					tx.Put(head, store.Item{store.S("status", "RESERVED"), store.N("version", it.Int("version")+1), store.S("body", text)})
					tx.Put(store.Key{Table: "events", PK: id, SK: fmt.Sprintf("%08d", i)}, store.Item{store.S("body", text)}, store.Absent())
					tx.Add(stock, []store.Delta{store.Take("available", 1), store.Inc("held", 1)})
					tx.Put(store.Key{Table: "journal", PK: id, SK: fmt.Sprintf("%08d", i)}, store.Item{store.S("body", text)})
					return nil
				})
			})
			report(b, s, before)
		})
	}
}

func BenchmarkHotCounter(b *testing.B) {
	s := openDisk(b, nil)
	stock := store.Key{Table: "products", PK: "mug", SK: "stock"}
	put(b, s, stock, store.N("available", 1<<40), store.N("held", 0))
	before := s.Stats()
	each(b, 64, func(int64) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			tx.Add(stock, []store.Delta{store.Take("available", 1), store.Inc("held", 1)})
			return nil
		})
	})
	report(b, s, before)
}

func BenchmarkGet(b *testing.B) {
	s := openDisk(b, nil)
	const items = 20_000
	name := func(i int) store.Key { return store.Key{Table: "orders", PK: fmt.Sprintf("01J%023d", i)} }
	for from := 0; from < items; from += store.MaxOps {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			for i := from; i < from+store.MaxOps; i++ {
				tx.Put(name(i), store.Item{store.S("status", "CONFIRMED"), store.N("version", 7), store.S("body", strings.Repeat("x", 300))})
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		first int
	}{{"there", 0}, {"absent", items}} {
		b.Run(c.name, func(b *testing.B) {
			keys := make([]store.Key, 1000)
			for i := range keys {
				keys[i] = name(c.first + i*17%items)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				it, err := s.Get(context.Background(), keys[i%len(keys)], store.Strong)
				if err != nil || (it != nil) != (c.first == 0) {
					b.Fatal(it, err)
				}
				i++
			}
		})
	}
}
