package storebus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// faulty fails one Update: before it is applied, or after.
type faulty struct {
	store.Store
	writes    int
	failAt    int
	replyLost bool
}

func (f *faulty) Update(ctx context.Context, fn func(*store.Tx) error) error {
	f.writes++
	if f.writes != f.failAt {
		return f.Store.Update(ctx, fn)
	}
	if f.replyLost {
		if err := f.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return fault.New(fault.Transient, "the store went away")
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newQueue(t *testing.T) (*storebus.Queue, store.Store, *clock) {
	t.Helper()
	c := newClock()
	s := memstore.New(memstore.Options{})
	return storebus.Open(s, "q", storebus.Config{Now: c.now}), s, c
}

// stage sends a message whose ID is also its body, and tells nobody.
func stage(t *testing.T, s store.Store, q *storebus.Queue, id string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return q.Stage(tx, id, []byte(id)) }); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, q *storebus.Queue) []bus.Message {
	t.Helper()
	m, err := q.Receive(t.Context(), 45, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drain receives and deletes until nothing comes, and returns the IDs.
func drain(t *testing.T, q *storebus.Queue) []string {
	t.Helper()
	var ids []string
	for {
		m := receive(t, q)
		if len(m) == 0 {
			return ids
		}
		for _, m := range m {
			ids = append(ids, m.ID)
			if err := q.Delete(t.Context(), m.Receipt); err != nil {
				t.Fatal(err)
			}
		}
	}
}
