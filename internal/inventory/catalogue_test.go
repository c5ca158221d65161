package inventory_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/inventory"
)

func put(id, name string, price int64) inventory.PutProduct {
	return inventory.PutProduct{ProductID: id, Name: name, UnitPriceCents: price}
}

func TestPut(t *testing.T) {
	t.Run("it creates a product with its stock", func(t *testing.T) {
		w := newWorld()
		p := put("a", "Keyboard", 8999)
		p.Stock = new(int64(50))
		product, created, err := w.Put(ctx, p)
		want := inventory.Product{ProductID: "a", Name: "Keyboard", UnitPriceCents: 8999, Available: 50, Version: 1}
		if err != nil || !created || product != want {
			t.Errorf("%+v, %v, %v", product, created, err)
		}
		if got, err := w.Get(ctx, "a"); err != nil || got != want {
			t.Errorf("Get: %+v, %v", got, err)
		}
		w.expect(t, "a", 50, 0, 0)
	})
	t.Run("without stock it has none", func(t *testing.T) {
		w := newWorld()
		if product, created, err := w.Put(ctx, put("a", "Keyboard", 8999)); err != nil || !created || product.Available != 0 {
			t.Errorf("%+v, %v, %v", product, created, err)
		}
	})
	t.Run("later it changes name and price, and leaves the stock alone", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 4))
		product, created, err := w.Put(ctx, put("a", "Other", 1))
		want := inventory.Product{ProductID: "a", Name: "Other", UnitPriceCents: 1, Available: 6, Held: 4, Version: 2}
		if err != nil || created || product != want {
			t.Errorf("%+v, %v, %v", product, created, err)
		}
		again, _, err := w.Put(ctx, put("a", "Other", 1))
		if err != nil || again != want {
			t.Errorf("a put that changes nothing: %+v, %v", again, err)
		}
		w.expect(t, "a", 6, 4, 0)
	})
	t.Run("stock for a product that exists is refused, except in a repeat of its creation", func(t *testing.T) {
		w := newWorld()
		p := put("a", "Keyboard", 8999)
		p.Stock = new(int64(50))
		w.store.failNext(1, true)
		if _, _, err := w.Put(ctx, p); !fault.Is(err, fault.Transient) {
			t.Fatal(err)
		}
		if _, created, err := w.Put(ctx, p); err != nil || created {
			t.Errorf("repeat: %v, %v", created, err)
		}
		w.must(t, w.Reserve, "ord-1", line("a", 4))
		if product, _, err := w.Put(ctx, p); err != nil || product.Available != 46 {
			t.Errorf("repeat after an order: %+v, %v", product, err)
		}
		for _, other := range []inventory.PutProduct{
			{ProductID: "a", Name: "Keyboard", UnitPriceCents: 8999, Stock: new(int64(51))},
			{ProductID: "a", Name: "Keyboard", UnitPriceCents: 9000, Stock: new(int64(50))},
			{ProductID: "a", Name: "Board", UnitPriceCents: 8999, Stock: new(int64(50))},
		} {
			if _, _, err := w.Put(ctx, other); !fault.Is(err, fault.ProductExists) {
				t.Errorf("%+v: %v", other, err)
			}
		}
		w.expect(t, "a", 46, 4, 0)
	})
	t.Run("If-Match names the version of name and price, which does not move with the stock", func(t *testing.T) {
		w := newWorld()
		p := put("a", "Other", 1)
		p.IfMatch = new(int64(1))
		if _, _, err := w.Put(ctx, p); !fault.Is(err, fault.PreconditionFailed) {
			t.Errorf("an absent product: %v", err)
		}
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 4))
		if product, _, err := w.Put(ctx, p); err != nil || product.Version != 2 {
			t.Errorf("%+v, %v", product, err)
		}
		p.Name = "Third"
		if _, _, err := w.Put(ctx, p); !fault.Is(err, fault.PreconditionFailed) {
			t.Errorf("an old version: %v", err)
		}
	})
	t.Run("of two that create at once one does", func(t *testing.T) {
		w := newWorld()
		var wg sync.WaitGroup
		var mu sync.Mutex
		creations := 0
		for range 20 {
			wg.Go(func() {
				_, created, err := w.Put(ctx, put("a", "Keyboard", 8999))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if created {
					creations++
				}
			})
		}
		wg.Wait()
		if creations != 1 {
			t.Errorf("created %d times", creations)
		}
	})
	t.Run("what is out of bounds is refused with its field", func(t *testing.T) {
		w := newWorld()
		for field, bad := range map[string][]inventory.PutProduct{
			"product_id":       {put("", "n", 1), put("a/b", "n", 1), put("ä", "n", 1), put(strings.Repeat("a", 65), "n", 1)},
			"name":             {put("a", "", 1), put("a", strings.Repeat("ä", 201), 1), put("a", "\xff", 1), put("a", "\x1b]0;owned\a", 1), put("a", "a\nb", 1)},
			"unit_price_cents": {put("a", "n", 0), put("a", "n", -1), put("a", "n", inventory.MaxUnitPriceCents+1)},
			"stock": {
				{ProductID: "a", Name: "n", UnitPriceCents: 1, Stock: new(int64(-1))},
				{ProductID: "a", Name: "n", UnitPriceCents: 1, Stock: new(int64(inventory.MaxStock + 1))},
			},
		} {
			for _, p := range bad {
				_, _, err := w.Put(ctx, p)
				if got := detail(err, "field"); !fault.Is(err, fault.ValidationFailed) || got != field {
					t.Errorf("%+v: %v, field %v", p, err, got)
				}
			}
		}
		if _, _, err := w.Put(ctx, inventory.PutProduct{
			ProductID: strings.Repeat("a", 64), Name: strings.Repeat("ä", 200),
			UnitPriceCents: inventory.MaxUnitPriceCents, Stock: new(int64(inventory.MaxStock)),
		}); err != nil {
			t.Errorf("at the bounds: %v", err)
		}
	})
}

func detail(err error, name string) any {
	var e *fault.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Details[name]
}

func TestReading(t *testing.T) {
	t.Run("an unknown product is not found", func(t *testing.T) {
		w := newWorld()
		for _, id := range []string{"nope", "", "products#", strings.Repeat("a", 2000)} {
			if _, err := w.Get(ctx, id); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
	t.Run("the list is in the order of ids and goes on after one", func(t *testing.T) {
		w := newWorld()
		for i := range 120 { // more than one GetMany takes
			w.create(t, fmt.Sprintf("p-%03d", i), int64(i))
		}
		products, err := w.List(ctx, "p-009", 105)
		if err != nil || len(products) != 105 {
			t.Fatalf("%d products, %v", len(products), err)
		}
		for i, p := range products {
			if want := fmt.Sprintf("p-%03d", i+10); p.ProductID != want || p.Available != int64(i+10) || p.Name != "A "+want {
				t.Fatalf("product %d is %+v", i, p)
			}
		}
		if rest, err := w.List(ctx, "p-118", 105); err != nil || len(rest) != 1 {
			t.Errorf("the last page: %v, %v", rest, err)
		}
		if none, err := newWorld().List(ctx, "", 10); err != nil || len(none) != 0 {
			t.Errorf("an empty catalogue: %v, %v", none, err)
		}
	})
	t.Run("a quote knows price and stock, and leaves out what is unknown", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 4))
		quotes, err := w.Quote(ctx, []string{"a", "nope"})
		want := map[string]inventory.Quote{"a": {Name: "A a", UnitPriceCents: 999, Available: 6}}
		if err != nil || !reflect.DeepEqual(quotes, want) {
			t.Errorf("%v, %v", quotes, err)
		}
	})
	t.Run("no id meets an index", func(t *testing.T) {
		w := newWorld()
		for _, id := range []string{"products", "product", "stock", "active"} {
			w.create(t, id, 5)
		}
		w.must(t, w.Reserve, "ord-1", line("products", 1), line("stock", 1))
		w.expect(t, "products", 4, 1, 0)
		if products, err := w.List(ctx, "", 10); err != nil || len(products) != 4 {
			t.Errorf("%v, %v", products, err)
		}
	})
}

func TestRestock(t *testing.T) {
	restock := func(key string, quantity int64) inventory.Restock {
		return inventory.Restock{
			ProductID: "a", Quantity: quantity, IdempotencyKey: key, Principal: "alice",
			Fingerprint: [32]byte{byte(quantity)}, CorrelationID: "corr-1",
		}
	}
	t.Run("it adds to what is available and answers the product", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		w.must(t, w.Reserve, "ord-1", line("a", 4))
		status, body, replayed, err := w.Restock(ctx, restock("k", 5))
		if err != nil || status != 200 || replayed {
			t.Fatalf("%d, %v, %v", status, replayed, err)
		}
		var p inventory.Product
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatal(err)
		}
		if now, _ := w.Get(ctx, "a"); p != now || p.Available != 11 {
			t.Errorf("answered %+v, stands %+v", p, now)
		}
		w.expect(t, "a", 11, 4, 0)
	})
	t.Run("a repeat answers the same bytes and adds nothing", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		_, first, _, err := w.Restock(ctx, restock("k", 5))
		if err != nil {
			t.Fatal(err)
		}
		w.must(t, w.Reserve, "ord-1", line("a", 1))
		status, body, replayed, err := w.Restock(ctx, restock("k", 5))
		if err != nil || status != 200 || !replayed || string(body) != string(first) {
			t.Errorf("%d %s, %v, %v; first %s", status, body, replayed, err, first)
		}
		w.expect(t, "a", 14, 1, 0)
	})
	t.Run("the key belongs to its principal and its request", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		for _, principal := range []string{"alice", "bob"} {
			r := restock("k", 5)
			r.Principal = principal
			if _, _, replayed, err := w.Restock(ctx, r); err != nil || replayed {
				t.Errorf("%s: %v, %v", principal, replayed, err)
			}
		}
		if _, _, _, err := w.Restock(ctx, restock("k", 6)); !fault.Is(err, fault.IdempotencyKeyReused) {
			t.Errorf("another request: %v", err)
		}
		w.expect(t, "a", 20, 0, 0)
	})
	t.Run("after its time the key is free again", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", 10)
		for range 2 {
			if _, _, replayed, err := w.Restock(ctx, restock("k", 5)); err != nil || replayed {
				t.Errorf("%v, %v", replayed, err)
			}
			w.now = w.now.Add(24*time.Hour + time.Second)
		}
		w.expect(t, "a", 20, 0, 0)
	})
	t.Run("a crash before its write adds nothing, a lost reply adds once", func(t *testing.T) {
		for _, replyLost := range []bool{false, true} {
			w := newWorld()
			w.create(t, "a", 10)
			w.store.failNext(1, replyLost)
			if _, _, _, err := w.Restock(ctx, restock("k", 5)); !fault.Is(err, fault.Transient) {
				t.Fatal(err)
			}
			if _, _, replayed, err := w.Restock(ctx, restock("k", 5)); err != nil || replayed != replyLost {
				t.Errorf("reply lost %v: replayed %v, %v", replyLost, replayed, err)
			}
			w.expect(t, "a", 15, 0, 0)
		}
	})
	t.Run("what is out of bounds is refused, and the key stays free", func(t *testing.T) {
		w := newWorld()
		for _, quantity := range []int64{0, -1, inventory.MaxStock + 1} {
			if _, _, _, err := w.Restock(ctx, restock("k", quantity)); !fault.Is(err, fault.ValidationFailed) || detail(err, "field") != "quantity" {
				t.Errorf("%d: %v", quantity, err)
			}
		}
		if _, _, _, err := w.Restock(ctx, restock("", 1)); !fault.Is(err, fault.BadRequest) {
			t.Errorf("no key: %v", err)
		}
		if _, _, _, err := w.Restock(ctx, restock("k", 1)); !fault.Is(err, fault.NotFound) {
			t.Errorf("no product: %v", err)
		}
		r := restock("k", 1)
		r.ProductID = "products#"
		if _, _, _, err := w.Restock(ctx, r); !fault.Is(err, fault.NotFound) {
			t.Errorf("no id: %v", err)
		}
		w.create(t, "a", 1)
		if _, _, replayed, err := w.Restock(ctx, restock("k", 1)); err != nil || replayed {
			t.Errorf("%v, %v", replayed, err)
		}
	})
	t.Run("a product's total has a bound that no number of restocks passes", func(t *testing.T) {
		w := newWorld()
		w.create(t, "a", inventory.MaxStock)
		fills := int(inventory.MaxTotalStock/inventory.MaxStock) - 1
		for i := range fills {
			if _, _, _, err := w.Restock(ctx, restock(fmt.Sprint("k-", i), inventory.MaxStock)); err != nil {
				t.Fatalf("restock %d: %v", i, err)
			}
		}
		if _, _, _, err := w.Restock(ctx, restock("last", 1)); !fault.Is(err, fault.ValidationFailed) || detail(err, "field") != "quantity" {
			t.Errorf("err = %v", err)
		}
		w.expect(t, "a", inventory.MaxTotalStock, 0, 0)
	})
}
