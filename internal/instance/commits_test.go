package instance_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// One happy order costs four synced commits: the order with its start; reserve and record; the payment's intent; its outcome with
// confirm, commit, notify and the end. Where each step commits apart, as on AWS, it is six until the order is CONFIRMED and eight
// until its saga has ended. The provider's two syncs (intent, capture) are its own, and the consumer of the notification queue
// is not run here.
func TestOneOrderCostsFourCommits(t *testing.T) {
	t.Run("together", func(t *testing.T) { countCommits(t, false, 4, 4) })
	t.Run("apart", func(t *testing.T) { countCommits(t, true, 6, 8) })
}

func countCommits(t *testing.T, apart bool, wantConfirmed, wantAll int) {
	t.Helper()
	dir, err := datadir.Open(t.TempDir(), datadir.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	counted := &countingStore{Store: dir.Store}
	a, err := app.New(app.Config{
		Store: counted, Provider: dir.Provider, SagaKeys: dir.SagaKeys, ContactKeys: dir.ContactKeys,
		Sender: newMailbox(), NoContact: newMailbox(), Apart: apart,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var engine sync.WaitGroup
	engine.Go(func() {
		if err := a.Engine.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer engine.Wait()
	defer stop()
	_, _, err = a.Inventory.Put(ctx, inventory.PutProduct{ProductID: "A", Name: "A", UnitPriceCents: 1000, Stock: ptr(int64(10))})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		counted.reset()
		before, provider := dir.Store.Stats(), dir.Provider.Stats()
		placed, err := a.Orders.Place(ctx, order.PlaceRequest{
			CustomerID: "cust-1", Lines: []order.RequestLine{{ProductID: "A", Quantity: 1}}, IdempotencyKey: fmt.Sprint("k", n),
			Principal: "test", Contact: &order.Contact{Email: "ada@example.test"},
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the saga ends", func() bool { return a.Engine.Open() == 0 })
		if n == 0 {
			continue // beside it the engine stored its definition, once in a store's life
		}
		after := dir.Store.Stats()
		if synced := after.Groups - before.Groups; synced != uint64(len(counted.commits)) {
			t.Errorf("%d batches were synced for %d commits", synced, len(counted.commits))
		}
		toConfirmed := 0
		for i, c := range counted.commits {
			if strings.Contains(c, "ORDER_CONFIRMED") {
				toConfirmed = i + 1
			}
		}
		if toConfirmed != wantConfirmed || len(counted.commits) != wantAll {
			t.Errorf("order %s cost %d commits, want %d, %d until it was confirmed, want %d:\n%s", placed.OrderID,
				len(counted.commits), wantAll, toConfirmed, wantConfirmed, strings.Join(counted.commits, "\n"))
		}
		t.Logf("%d commits, %d until it was confirmed, %d bytes; the provider's: %d", len(counted.commits), toConfirmed,
			after.Bytes-before.Bytes, dir.Provider.Stats().Groups-provider.Groups)
	}
}

// A countingStore notes what each commit wrote.
type countingStore struct {
	store.Store
	mu      sync.Mutex
	commits []string
}

func (s *countingStore) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = nil
}

func (s *countingStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	var text string
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		err := fn(tx)
		text = ""
		for _, op := range tx.Ops() {
			text += fmt.Sprintf("  %s", op.Key)
			if e := op.Item.Str("event"); strings.Contains(e, `"type":"ORDER_CONFIRMED"`) {
				text += " (ORDER_CONFIRMED)"
			}
		}
		return err
	})
	if err == nil && text != "" {
		s.mu.Lock()
		s.commits = append(s.commits, time.Now().UTC().Format("05.000000")+text)
		s.mu.Unlock()
	}
	return err
}
