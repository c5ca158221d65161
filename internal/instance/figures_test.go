package instance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/dashboard"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestFigures(t *testing.T) {
	now := time.Date(2026, 1, 15, 12, 0, 30, 0, time.UTC)
	of := func(f *figures, name string) dashboard.ServiceFigure {
		for _, s := range f.read() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("there is no figure of %s", name)
		return dashboard.ServiceFigure{}
	}
	newTestFigures := func() *figures { return newFigures(func() time.Time { return now }, metrics.New()) }
	t.Run("they are of the last fifteen minutes", func(t *testing.T) {
		f := newTestFigures()
		for range 40 {
			f.add(figurePayment, time.Second, true)
			now = now.Add(time.Minute)
		}
		// 14 are of this minute's window; the running minute has none yet.
		if got := of(f, figurePayment); got.Calls != 14 || got.Failed != 14 || got.Took != 14*time.Second {
			t.Errorf("%+v", got)
		}
		now = now.Add(time.Hour)
		if got := of(f, figurePayment); got.Calls != 0 {
			t.Errorf("an hour later %+v", got)
		}
	})
	t.Run("an answer is no failure, a stream no request", func(t *testing.T) {
		f := newTestFigures()
		for _, err := range []error{nil, fault.New(fault.PaymentDeclined, "no"), fault.New(fault.InsufficientStock, "no"), fault.New(fault.Transient, "later"), errors.New("boom")} {
			f.addError(figureOrder, time.Now(), err)
		}
		if got := of(f, figureOrder); got.Calls != 5 || got.Failed != 2 {
			t.Errorf("%+v", got)
		}
		for _, status := range []int{200, 404, 429, 500, 503, 0} {
			f.request("GET", "/orders", status, time.Millisecond)
		}
		f.request("GET", "/events", 200, time.Hour)
		if got := of(f, figureHTTP); got.Calls != 6 || got.Failed != 3 || got.Took != 6*time.Millisecond {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a task is counted once, when it failed, was refused or is durable, and works as it did", func(t *testing.T) {
		f := newTestFigures()
		called := 0
		refusal := fault.New(fault.InsufficientStock, "short")
		for _, effect := range []store.Effect{
			{},
			{Committed: func() { called++ }},
			{Refused: func(*store.Refusal) error { return refusal }},
			{Refused: func(*store.Refusal) error { return nil }},
		} {
			got, err := f.task("inventory.reserve", func(context.Context, saga.TaskInput) (store.Effect, error) { return effect, nil })(t.Context(), saga.TaskInput{})
			if err != nil {
				t.Fatal(err)
			}
			before := of(f, figureInventory).Calls
			if effect.Refused == nil {
				got.Committed()
			} else if said := got.Refused(nil); (said == nil) != (effect.Refused(nil) == nil) {
				t.Errorf("a refusal became %v", said)
			}
			want := before + 1
			if effect.Refused != nil && effect.Refused(nil) == nil {
				want = before // it runs again, or fails as what it is
			}
			if now := of(f, figureInventory).Calls; now != want {
				t.Errorf("%d calls, want %d", now, want)
			}
		}
		boom := fault.New(fault.Internal, "boom")
		if _, err := f.task("inventory.release", func(context.Context, saga.TaskInput) (store.Effect, error) { return store.Effect{}, boom })(t.Context(), saga.TaskInput{}); !errors.Is(err, boom) {
			t.Error(err)
		}
		if got := of(f, figureInventory); called != 1 || got.Calls != 4 || got.Failed != 1 {
			t.Errorf("called %d times, counted %+v", called, got)
		}
	})
	t.Run("a service that is not on the map is not wrapped", func(t *testing.T) {
		if f := newTestFigures(); f.of["audit"] != nil || f.task("audit.write", nil) != nil {
			t.Error("it is")
		}
	})
}
