package inventory_test

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestStageAging(t *testing.T) {
	w := newWorld()
	w.create(t, "a", 10)
	for _, id := range []string{"ord-active", "ord-ended", "ord-gone"} {
		w.must(t, w.Reserve, id, line("a", 1))
	}
	var rows []store.Entry
	err := w.store.DumpTable(ctx, inventory.ReservationsTable, "", func(e store.Entry) error {
		if id, ok := inventory.ActiveHold(e.Key); ok {
			rows = append(rows, e)
			return w.store.Update(ctx, func(tx *store.Tx) error {
				tx.Delete(e.Key)
				if id == "ord-gone" {
					tx.Delete(store.Key{Table: inventory.ReservationsTable, PK: id, SK: "hold"})
				}
				return nil
			})
		}
		return nil
	})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%v, %v", rows, err)
	}
	w.must(t, w.Release, "ord-ended")
	for _, row := range rows {
		if err := w.store.Update(ctx, func(tx *store.Tx) error { return inventory.StageAging(tx, row) }); err != nil {
			t.Fatal(err)
		}
		id, _ := inventory.ActiveHold(row.Key)
		it, err := w.store.Get(ctx, row.Key, store.Strong)
		if listed := it != nil; err != nil || listed != (id == "ord-active") {
			t.Errorf("%s is listed: %v, %v", id, listed, err)
		}
	}
}
