package invariant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// walked are the tables that a walk covers. It leaves out flow's and the queue's, which are not kept in tables on AWS, and retention's, which is not there.
var walked = []string{
	order.Table, inventory.Table, inventory.ReservationsTable, payment.Table, idempotency.Table, notification.Table, provider.Table,
}

func TestTheIndexesReachEverything(t *testing.T) {
	t.Parallel()
	short := healthy(t)
	for name, make := range map[string]func(t *testing.T, entries []store.Entry) store.Store{
		"memstore": inMemory, "pebblestore": onDisk, "dynamostore": onDynamoDB,
	} {
		t.Run("a walk over "+name+" gives exactly what a dump gives", func(t *testing.T) {
			t.Parallel()
			reaches(t, short, make)
		})
	}
	t.Run("and so it is over days and pages, with keys that were used again and products of another call's key", func(t *testing.T) {
		t.Parallel()
		reaches(t, long(t), inMemory)
	})
	t.Run("and where the days are lost, by an order that is open and its customer", func(t *testing.T) {
		t.Parallel()
		d := short
		d.ours = slices.DeleteFunc(slices.Clone(short.ours), func(e store.Entry) bool { return strings.HasPrefix(e.Key.PK, "day") })
		reaches(t, d, inMemory)
	})
}

func reaches(t *testing.T, d dump, make func(*testing.T, []store.Entry) store.Store) {
	t.Helper()
	var got []store.Entry
	read := 0
	w := invariant.Walk{
		Ours: make(t, d.ours), Provider: make(t, d.theirs), Begun: d.at.Add(time.Hour), Orders: func(n int) { read = n },
		Each: func(e store.Entry) error {
			got = append(got, e)
			return nil
		},
	}
	moved, err := w.Run(t.Context())
	if err != nil || len(moved.Orders)+len(moved.Products)+len(moved.Holders) > 0 {
		t.Fatalf("%+v, %v", moved, err)
	}
	var want []string
	orders := 0
	for _, e := range slices.Concat(d.ours, d.theirs) {
		if e.Key.Table == order.Table && order.IsHead(e.Key) {
			orders++
		}
		if slices.Contains(walked, e.Key.Table) && !strings.HasPrefix(e.Key.PK, "client#") || strings.HasPrefix(e.Item.Str("ref"), order.IDPrefix) {
			want = append(want, text(e))
		}
	}
	given := texts(got)
	slices.Sort(want)
	slices.Sort(given)
	if !slices.Equal(given, want) {
		t.Errorf("gave %d entries, the dump has %d: %s", len(given), len(want), difference(given, want))
	}
	if read != orders {
		t.Errorf("said that %d orders were read of %d", read, orders)
	}
	s := invariant.New()
	for _, e := range got { // in the order in which they came
		if e.Key.Table == provider.Table {
			_ = s.AddProvider(e)
		} else {
			_ = s.Add(e)
		}
	}
	for _, e := range d.ours {
		if !slices.Contains(walked, e.Key.Table) {
			_ = s.Add(e)
		}
	}
	if walked, dumped := s.Check(d.at, false), d.check(false); fmt.Sprintf("%+v", walked) != fmt.Sprintf("%+v", dumped) {
		t.Errorf("the walk is judged %+v, the dump %+v", walked, dumped)
	}
}

// text is an entry with its attributes in one order.
func text(e store.Entry) string {
	it := slices.Clone(e.Item)
	slices.SortFunc(it, func(a, b store.Attr) int { return strings.Compare(a.Name, b.Name) })
	return fmt.Sprint(e.Key, it)
}

func texts(entries []store.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, text(e))
	}
	return all
}

// difference is the first of two sorted lists that the other one lacks.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(want) || i < len(got) && got[i] < want[i] {
			return "it has no " + got[i]
		}
		if i >= len(got) || got[i] > want[i] {
			return "not given was " + want[i]
		}
	}
	return "none"
}

func inMemory(t *testing.T, entries []store.Entry) store.Store {
	return filled(t, memstore.New(memstore.Options{}), entries)
}

func onDisk(t *testing.T, entries []store.Entry) store.Store {
	s, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Logger: slog.New(slog.DiscardHandler), MinFreeBytes: pebblestore.NoMinFree})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return filled(t, s, entries)
}

func onDynamoDB(t *testing.T, entries []store.Entry) store.Store {
	emulator := awstest.Start(t)
	tables := map[string]string{}
	for _, table := range walked {
		tables[table] = "t-" + table
		emulator.MakeTable(t, "t-"+table)
	}
	s, err := dynamostore.New(dynamostore.Config{Client: dynamodb.NewFromConfig(emulator.Config()), Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	return filled(t, s, slices.DeleteFunc(slices.Clone(entries), func(e store.Entry) bool { return !slices.Contains(walked, e.Key.Table) }))
}

// filled writes the entries into the store.
func filled[S store.Store](t *testing.T, s S, entries []store.Entry) S {
	t.Helper()
	for some := range slices.Chunk(entries, store.MaxOps) {
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			for _, e := range some {
				tx.Put(e.Key, e.Item)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// long is the dump of a shop after some days, with a customer and a shard of a day that have more orders than one read gives.
func long(t *testing.T) (d dump) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		for n := range 130 {
			s.put(fmt.Sprint("P", n), 100_000)
		}
		stop := s.run()
		for n := range 60 { // the last ones of a key come when its time is over
			customer := fmt.Sprint("cust-", n%5)
			s.placeAs(customer, customer, fmt.Sprint("key-", n%20), provider.Visa, fmt.Sprint("P", n))
			s.pass(2 * time.Hour)
		}
		for n := range 2 {
			_, _, _, err := s.Inventory.Restock(t.Context(), inventory.Restock{
				ProductID: "P1", Quantity: 5, IdempotencyKey: fmt.Sprint(n), Principal: "p", CorrelationID: "corr",
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		stop()
		for n := range store.MaxRangeLimit + 10 {
			s.placeAs("shop", "cust-many", fmt.Sprint("many-", n), provider.Visa, "P1")
		}
		d.ours, d.theirs, d.at = entries(t, s.ours), entries(t, s.theirs), time.Now()
	})
	return d
}

func TestWalkEndsWithItsFirstError(t *testing.T) {
	t.Parallel()
	d := healthy(t)
	broken := errors.New("broken")
	t.Run("of who is given the entries", func(t *testing.T) {
		for n := range 60 {
			left := n
			_, err := invariant.Walk{Ours: inMemory(t, d.ours), Provider: inMemory(t, d.theirs), Begun: d.at, Each: func(store.Entry) error {
				if left--; left < 0 {
					return broken
				}
				return nil
			}}.Run(t.Context())
			if !errors.Is(err, broken) {
				t.Fatalf("after %d entries: %v", n, err)
			}
		}
	})
	t.Run("of the store, whichever read it is", func(t *testing.T) {
		for n := 0; ; n++ {
			failing := &failing{Store: inMemory(t, d.ours), err: broken}
			failing.left.Store(int64(n))
			_, err := invariant.Walk{Ours: failing, Provider: inMemory(t, d.theirs), Begun: d.at, Each: func(store.Entry) error { return nil }}.Run(t.Context())
			if err == nil && failing.left.Load() >= 0 {
				if n < 10 {
					t.Errorf("a walk of %d reads", n)
				}
				return
			}
			if !errors.Is(err, broken) {
				t.Fatalf("at read %d: %v", n, err)
			}
		}
	})
	t.Run("of the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := invariant.Walk{Ours: inMemory(t, d.ours), Begun: d.at, Each: func(store.Entry) error { return nil }}
		if _, err := w.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
