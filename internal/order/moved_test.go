package order

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// arrived is an order in review that was brought to where its execution is unknown, with how an execution of it has failed, which is named by what
// its name has behind the order's id.
func arrived(t *testing.T, suffix string) (w *world, id string) {
	t.Helper()
	w = newWorld(t, memstore.Options{})
	id = w.place()
	w.stageReview(id, id, "FAILED")
	err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
		tx.Delete(sagaKey(id))
		if suffix != "none" {
			StageFailure(tx, id, id+suffix, Kept{Failure{Status: "FAILED", State: "CommitReservation", Input: []byte(`{"order_id":"y"}`), Error: "HoldReleased"}, t0, t0})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sagas.fed = true // as where the change feed starts executions
	return w, id
}

func TestAnOrderInReviewThatWasBroughtAlong(t *testing.T) {
	t.Run("is resumed at the state in which it failed where it was before", func(t *testing.T) {
		w, id := arrived(t, "")
		if execution, err := w.Redrive(t.Context(), id, "repaired", "key-admin", "corr-3"); err != nil || execution != id+"-r1" {
			t.Fatalf("%q, %v", execution, err)
		}
		start, err := w.StartOf(t.Context(), id, 1) // what the feed's reader starts
		if err != nil || start.Execution != id+"-r1" || start.Resume == nil || start.Resume.State != "CommitReservation" || string(start.Resume.Input) != `{"order_id":"y"}` {
			t.Fatalf("%+v, %v", start, err)
		}
		if _, err := w.StartOf(t.Context(), id, 2); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is kept is of another execution, and serves this one: %v", err)
		}
	})
	t.Run("is not resumed by what is kept of another execution, or by nothing", func(t *testing.T) {
		for _, suffix := range []string{"none", "-r1"} {
			w, id := arrived(t, suffix)
			wantKind(t, redrive.do(w, id), fault.NotFailed)
		}
	})
}

func TestWhatWasBroughtAlongIsForgottenWithItsOrder(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	id := w.place()
	w.do(id, reserve, confirm, notify)
	err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
		StageFailure(tx, id, id, Kept{Failure: Failure{Status: "FAILED", State: "NotifyCustomer"}, Started: t0, Ended: t0})
		return nil
	})
	if err == nil {
		err = w.mem.Update(t.Context(), func(tx *store.Tx) error {
			p, ok, err := ReadPast(tx.Get, id)
			if err != nil || !ok {
				t.Fatalf("%v %v", ok, err)
			}
			return p.StageForget(tx)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if left, err := w.mem.Range(t.Context(), store.Query{Table: Table, PK: id}); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestActedOn(t *testing.T) {
	for key, want := range map[store.Key]string{
		openKey("ord-1"): "ord-1", reviewKey("ord-2"): "ord-2", headKey("ord-3"): "", customerKey("c", "ord-4"): "", dayKey(t0, "ord-5"): "", dayMarkKey("2026-01-01"): "",
	} {
		if id, ok := ActedOn(key); ok != (want != "") || ok && id != want {
			t.Errorf("%s: %q %v", key, id, ok)
		}
	}
}

func TestAny(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	for _, want := range []bool{false, true} {
		if got, err := Any(t.Context(), w.mem); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		w.place()
	}
}
