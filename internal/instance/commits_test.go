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

// One happy order costs six synced commits until it is CONFIRMED and eight until its saga has ended: the order with its start;
// reserve, record, the payment's intent, its outcome, confirm; commit, and notify with the end. The provider's two syncs
// (intent, capture) are its own, and the consumer of the notification queue is not run here.
func TestOneOrderCostsEightCommits(t *testing.T) {
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
		Sender: newMailbox(), NoContact: newMailbox(),
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
		if toConfirmed == 0 || toConfirmed > 6 || len(counted.commits) > 8 {
			t.Errorf("order %s cost %d commits, %d until it was confirmed:\n%s", placed.OrderID,
				len(counted.commits), toConfirmed, strings.Join(counted.commits, "\n"))
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
