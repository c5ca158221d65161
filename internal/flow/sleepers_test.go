package flow

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A dormitory is a memstore that also holds the start of each execution whose name begins with "far-", all with one head: a million of them take
// no memory, and what is measured is the engine's.
type dormitory struct {
	*memstore.Store
	head store.Item
}

func (d *dormitory) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if strings.HasPrefix(q.PK, "far-") {
		return []store.Entry{{Key: headKey(q.PK), Item: d.head}}, nil
	}
	return d.Store.Range(ctx, q)
}

// TestATimerFiresInTimeWhileAMillionWait lets so many executions sleep in a Wait of 30 days, each begun as the recovery does it, and measures what one takes
// in memory. While they sleep, others have a Wait that ends soon: it is measured how late the task behind it begins, a commit included, and how late
// a bare timer of the runtime is that is due at the same time.
func TestATimerFiresInTimeWhileAMillionWait(t *testing.T) {
	sleepers, rings := longtest.Count(10_000, 100_000, 1_000_000), longtest.Count(50, 200, 1_000)
	started := time.Now()
	var mu sync.Mutex
	var late, bare []time.Duration
	ended := make(chan struct{}, rings)
	s := &dormitory{Store: memstore.New(memstore.Options{})}
	const until = "2006-01-02T15:04:05.000000Z"
	e, err := New(Options{
		Store:      s,
		Definition: []byte(`{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","TimestampPath":"$.until","Next":"Ring"},"Ring":{"Type":"Task","Resource":"ring","End":true}}}`),
		OnEnded:    func(Ended) { ended <- struct{}{} },
		Tasks: map[string]Task{"ring": func(_ context.Context, c Call) (store.Effect, error) {
			now := time.Now()
			in, _ := c.Input.(map[string]any)
			text, _ := in["until"].(string)
			due, err := time.Parse(until, text)
			if err == nil {
				mu.Lock()
				late = append(late, now.Sub(due))
				mu.Unlock()
			}
			return store.Effect{}, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	input := fmt.Sprintf(`{"until":%q}`, now.Add(30*24*time.Hour).Format(until))
	s.head = e.newHead(e.own, []byte(input), now, 1)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	before := inUse()
	for i := range sleepers {
		e.Begin(fmt.Sprintf("far-%09d", i))
	}
	asleep := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.agenda.asleep)
	}
	for deadline := time.Now().Add(5 * time.Minute); asleep() < sleepers; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d sleep", asleep(), sleepers)
		}
		<-time.After(time.Millisecond)
	}
	settled := time.Since(started)
	each := float64(inUse()-before) / float64(sleepers)

	for i := range rings {
		name, due := fmt.Sprintf("near-%d", i), time.Now().Add(20*time.Millisecond)
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			return e.Stage(tx, name, map[string]any{"until": due.UTC().Format(until)})
		})
		if err != nil {
			t.Fatal(err)
		}
		e.Begin(name)
		time.AfterFunc(time.Until(due), func() {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			bare = append(bare, now.Sub(due))
		})
		<-time.After(3 * time.Millisecond) // several are on their way at any time
	}
	for range rings {
		<-ended
	}
	if n := asleep(); n != sleepers {
		t.Errorf("%d sleep, want %d", n, sleepers)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(late)
	slices.Sort(bare)
	if len(late) != rings || late[0] < 0 {
		t.Fatalf("%d of %d rang, the first %v after its time", len(late), rings, late[0])
	}
	if p50 := late[len(late)/2]; p50 > 10*time.Millisecond { // P99 and the most, of a machine that others use too, are only told
		t.Errorf("half of the timers fired more than %v late", p50)
	}
	if each > 350 {
		t.Errorf("a sleeper takes %.0f bytes", each)
	}
	longtest.Record(t, started, longtest.Result{What: "executions asleep", Count: sleepers, Detail: fmt.Sprintf(
		"%.0f bytes each; asleep after %.2f s; %d timers due meanwhile fired late by %s, up to the call of the task behind; bare timers of the runtime beside them by %s",
		each, settled.Seconds(), rings, spread(late), spread(bare))})
}

// spread says of sorted durations what is usual and what is not.
func spread(d []time.Duration) string {
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	return fmt.Sprintf("%v in the median, P99 %v, at most %v", round(d[len(d)/2]), round(d[len(d)*99/100]), round(d[len(d)-1]))
}

// inUse is what is in use after a collection.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools kept for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
