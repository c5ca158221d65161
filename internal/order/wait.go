package order

import (
	"context"
	"sync"
	"time"
)

// lookEvery is how often a waiter looks for itself. The commit that ends an order wakes its waiters; but that call can be lost with a
// reply, or the commit be another process's.
const lookEvery = time.Second

// lastLook bounds the read that answers a waiter whose own time is over.
const lastLook = time.Second

// Wait returns the order's view once it is terminal, or as it is when ctx ends: then View.Terminal is false and the error nil.
// fault.NotFound: no such order.
func (s *Service) Wait(ctx context.Context, id string) (View, error) {
	w := s.waiters.add(id)
	defer s.waiters.remove(id, w)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		st, found, err := s.state(ctx, id)
		switch {
		case err != nil && ctx.Err() == nil:
			return View{}, err
		case err == nil && !found:
			return View{}, notFound()
		case err == nil && st.Terminal():
			return s.lastView(ctx, id)
		}
		select {
		case <-ctx.Done():
			return s.lastView(ctx, id)
		case <-w.woken: // by the commit that ended the order: the head has nothing to add
			if v, err := s.lastView(ctx, id); err != nil || v.Terminal() {
				return v, err
			}
		case <-tick.C:
		}
	}
}

// lastView reads the view though ctx may have ended.
func (s *Service) lastView(ctx context.Context, id string) (View, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	return s.strong(ctx, id, ViewQuery{})
}

// waiters are those who wait for an order to end, in this process.
type waiters struct {
	mu      sync.Mutex
	byOrder map[string]map[*waiter]struct{}
}

// A waiter is woken at most once.
type waiter struct{ woken chan struct{} }

func (ws *waiters) add(id string) *waiter {
	w := &waiter{woken: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	set := ws.byOrder[id]
	if set == nil {
		set = make(map[*waiter]struct{}, 1)
		ws.byOrder[id] = set
	}
	set[w] = struct{}{}
	return w
}

func (ws *waiters) remove(id string, w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.byOrder[id], w)
	if len(ws.byOrder[id]) == 0 {
		delete(ws.byOrder, id)
	}
}

func (ws *waiters) wake(id string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.byOrder[id] {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}
