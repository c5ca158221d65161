package observe

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A recorder is what a Writer writes to: it counts the writes, and may hold them up.
type recorder struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	gate   chan struct{} // each write takes one; nil: none is held up
	err    error
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if r.err != nil {
		return 0, r.err
	}
	return r.text.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writes
}

func TestAWriterWritesManyLinesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		w := NewWriter(r)
		fmt.Fprintln(w, "one")
		synctest.Wait()
		if r.String() != "one\n" {
			t.Errorf("after a quiet moment a line is not written at once: %q", r)
		}
		for n := range 100 {
			fmt.Fprintln(w, n)
		}
		synctest.Wait()
		if n := r.count(); n != 1 {
			t.Errorf("%d writes at once", n)
		}
		time.Sleep(2 * gatherTime)
		if lines := strings.Count(r.String(), "\n"); r.count() != 2 || lines != 101 || !strings.HasSuffix(r.String(), "98\n99\n") {
			t.Errorf("%d writes, %d lines", r.count(), lines)
		}
		w.Close()
		fmt.Fprintln(w, "late")
		w.Close()
		if !strings.HasSuffix(r.String(), "late\n") {
			t.Errorf("after Close: %q", r.String()[len(r.String())-10:])
		}
	})
}

func TestCloseWritesWhatIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		w := NewWriter(r)
		fmt.Fprintln(w, "one")
		synctest.Wait()
		fmt.Fprintln(w, "two")
		if w.Close(); r.String() != "one\ntwo\n" {
			t.Errorf("%q", r)
		}
	})
}

func TestAnErrorIsWrittenBeforeItsCallReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		w := NewWriter(r)
		log := NewLogger(w, slog.LevelInfo, nil)
		log.Info("first")
		synctest.Wait()
		log.Info("gathered")
		log.Warn("gathered too")
		if strings.Contains(r.String(), "gathered") {
			t.Error("nothing is gathered")
		}
		log.Error("it is broken")
		if lines := strings.Split(r.String(), "\n"); len(lines) != 5 || !strings.Contains(lines[3], "it is broken") {
			t.Errorf("written is %q", lines)
		}
		w.Close()
	})
}

func TestWhoLogsWaitsForAReaderThatIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{gate: make(chan struct{})}
		w := NewWriter(r)
		line := strings.Repeat("x", maxGathered/2) + "\n"
		var written atomic.Int64
		go func() {
			for range 8 {
				fmt.Fprint(w, line)
				written.Add(1)
			}
		}()
		time.Sleep(time.Second)
		if written.Load() >= 8 {
			t.Error("all lines are kept in memory")
		}
		close(r.gate)
		time.Sleep(time.Second)
		if w.Close(); written.Load() != 8 || len(r.String()) != 8*len(line) {
			t.Errorf("%d lines taken, %d bytes written", written.Load(), len(r.String()))
		}
	})
}

func TestAWriterSurvivesWhatCannotBeWritten(t *testing.T) {
	r := &recorder{err: errors.New("no space left")}
	w := NewWriter(r)
	for range 1000 {
		if n, err := w.Write([]byte("line\n")); n != 5 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	w.Close()
}

func TestAWriterKeepsTheLinesOfEachGoroutineInOrder(t *testing.T) {
	r := &recorder{}
	w := NewWriter(r)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 500 {
				fmt.Fprintf(w, "%d %d\n", g, n)
				if n%100 == 0 {
					w.Flush()
				}
			}
		})
	}
	wg.Wait()
	w.Close()
	next := map[int]int{}
	for _, line := range strings.Split(strings.TrimSpace(r.String()), "\n") {
		var g, n int
		if _, err := fmt.Sscanf(line, "%d %d", &g, &n); err != nil || next[g] != n {
			t.Fatalf("%q comes where %d is expected", line, next[g])
		}
		next[g]++
	}
	if len(next) != 8 || next[3] != 500 {
		t.Errorf("%v", next)
	}
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(&recorder{})
	log := NewLogger(w, slog.LevelInfo, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			log.LogAttrs(b.Context(), slog.LevelInfo, "Order created", slog.String("order_id", "ord-01M8H3RXBA8RNSAJPCJ3BQ8KDQ"))
		}
	})
	w.Close()
}
