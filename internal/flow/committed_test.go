package flow

import (
	"context"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A fact is reported once it is durable, and a report that panics harms nobody.
func TestCommittedFollowsTheCommit(t *testing.T) {
	s := memstore.New(memstore.Options{})
	var reported []string
	engine, err := New(Options{
		Store:      s,
		Definition: []byte(`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"r","End":true}}}`),
		Tasks: map[string]Task{"r": func(context.Context, Call) (store.Effect, error) {
			fact := store.Key{Table: "facts", PK: "f"}
			return store.Effect{
				Stage: func(tx *store.Tx) (any, error) { tx.Put(fact, nil); return nil, nil },
				Committed: func() {
					it, _ := s.Get(context.Background(), fact, store.Strong)
					if it == nil {
						t.Error("reported before it was durable")
					}
					reported = append(reported, "f")
					panic("a report that fails")
				},
			}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return engine.Stage(tx, "x", map[string]any{}) }); err != nil {
		t.Fatal(err)
	}
	engine.Begin("x")
	for range 10 {
		if ran, _, err := engine.RunOne(t.Context()); err != nil || !ran {
			break
		}
	}
	if x, err := engine.Describe(t.Context(), "x"); err != nil || x.Status != "SUCCEEDED" {
		t.Errorf("%v %v", x.Status, err)
	}
	if len(reported) != 1 {
		t.Errorf("reported %d times", len(reported))
	}
}

// Status answers as Describe does, without the replay.
func TestStatusIsThatOfDescribe(t *testing.T) {
	s := memstore.New(memstore.Options{})
	engine, err := New(Options{
		Store:      s,
		Definition: []byte(`{"StartAt":"A","States":{"A":{"Type":"Fail","Error":"No"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Status(t.Context(), "x"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown execution: %v", err)
	}
	if _, err := engine.Status(t.Context(), "no such#name"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an impossible name: %v", err)
	}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return engine.Stage(tx, "x", map[string]any{}) }); err != nil {
		t.Fatal(err)
	}
	engine.Begin("x")
	if got, err := engine.Status(t.Context(), "x"); got != asl.StatusRunning || err != nil {
		t.Errorf("got %s %v, want RUNNING", got, err)
	}
	for range 10 {
		if ran, _, err := engine.RunOne(t.Context()); err != nil || !ran {
			break
		}
	}
	if got, err := engine.Status(t.Context(), "x"); got != asl.StatusFailed || err != nil {
		t.Errorf("got %s %v, want FAILED", got, err)
	}
}
