package flow

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestAnAgendaHoldsNoRunThatIsOver(t *testing.T) {
	const many = 10_000
	a := newAgenda(time.Now)
	for i := range many {
		a.add(fmt.Sprintf("o-%d", i))
	}
	for i := range many {
		r := a.pop()
		if r.run == nil || r.run.name != fmt.Sprintf("o-%d", i) {
			t.Fatalf("pop %d: %v", i, r)
		}
		a.remove(r.run)
	}
	if r := a.pop(); r.run != nil {
		t.Errorf("one more: %s", r.run.name)
	}
	for _, r := range a.ready[:cap(a.ready)] {
		if r.run != nil {
			t.Fatalf("%s is held", r.run.name)
		}
	}
}

// A hesitant store lets its caller wait with what it has read.
type hesitant struct {
	store.Store
	read, goOn chan struct{}
}

func (h *hesitant) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	page, err := h.Store.Range(ctx, q)
	if q.PK == "x" {
		h.read <- struct{}{}
		<-h.goOn
	}
	return page, err
}

// A caller that does not know whether its commit was applied begins the execution "in case", and again when it knows.
func TestABeginIsHeardWhileTheExecutionIsFoundToBeAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hesitant{memstore.New(memstore.Options{}), make(chan struct{}, 1), make(chan struct{})}
		e, err := New(Options{
			Store:      s,
			Definition: []byte(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait() // it has recovered: the index was empty

		e.Begin("x")
		<-s.read // nothing stands there
		if err := s.Update(ctx, func(tx *store.Tx) error { return e.Stage(tx, "x", nil) }); err != nil {
			t.Fatal(err)
		}
		e.Begin("x")
		close(s.goOn)
		synctest.Wait()
		if n := e.Open(); n != 0 {
			t.Errorf("%d open", n)
		}
		if status, err := e.Status(ctx, "x"); err != nil || status != succeeded {
			t.Errorf("it is %s, %v", status, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// A poisoned store panics when one execution's journal is read, as a bug would.
type poisoned struct {
	store.Store
	reads int
}

func (p *poisoned) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if q.PK == "x" {
		if p.reads++; p.reads <= 3 {
			panic("a bug")
		}
	}
	return p.Store.Range(ctx, q)
}

func TestAPanicInAStepIsOneExecutionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &poisoned{Store: memstore.New(memstore.Options{})}
		e, err := New(Options{
			Store:      s,
			Definition: []byte(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"x", "y"} {
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, name, nil) }); err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		for name, want := range map[string]asl.Status{"x": running, "y": succeeded} {
			if status, err := e.Status(ctx, name); err != nil || status != want {
				t.Errorf("%s is %s, %v", name, status, err)
			}
		}
		<-time.After(time.Minute)
		if status, err := e.Status(ctx, "x"); err != nil || status != succeeded {
			t.Errorf("and x is %s, %v", status, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestAnExecutionThatIsNotThereIsForgottenHoweverOftenItBegins(t *testing.T) {
	e, err := New(Options{
		Store:      memstore.New(memstore.Options{}),
		Definition: []byte(`{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.Begin("x")
	}
	for range 10 {
		if ran, _, err := e.RunOne(t.Context()); err != nil || !ran {
			break
		}
	}
	if n := e.Open(); n != 0 {
		t.Errorf("%d open", n)
	}
}
