package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/doctor"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// edit changes the data directory of a stopped instance by hand, to what a run does not do at will.
func edit(t *testing.T, path string, fn func(*datadir.Dir) error) {
	t.Helper()
	dir, err := datadir.Open(path, datadir.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fn(dir), dir.Close()); err != nil {
		t.Fatal(err)
	}
}

// content is every item of both stores, as text.
func content(t *testing.T, path string) (items []string) {
	t.Helper()
	edit(t, path, func(dir *datadir.Dir) error {
		each := func(e store.Entry) error {
			line := e.Key.String()
			for _, a := range e.Item {
				line += " " + a.Name + "=" + a.Value.String()
			}
			items = append(items, line)
			return nil
		}
		return dir.Dump(t.Context(), each, each)
	})
	return items
}

func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	for range 3 {
		s.place("--item", "MOUSE-01=1")
	}
	declined := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	s.cli("key", "create", "--subject", "a", "--scopes", "orders:read").exits(0)
	revoked := one[apigen.KeyCreated](s.cli("key", "create", "--subject", "b", "--scopes", "admin", "--json").exits(0))
	s.cli("key", "revoke", revoked.KeyID).exits(0)
	eventually(t, "no saga is open", func() bool {
		return len(one[apigen.SagaList](s.cli("saga", "list", "--json").exits(0)).Sagas) == 0
	})
	t.Run("a directory that is in use is refused, with what to do", func(t *testing.T) {
		r := invoke(t, nil, "doctor", s.data).exits(1).hints("in use", "stop the cloudflow that runs there")
		if r.out != "" {
			t.Errorf("printed %q", r.out)
		}
	})
	if code := s.end(); code != 0 {
		t.Fatalf("serve: exit %d", code)
	}
	edit(t, s.data, func(dir *datadir.Dir) error { // what has not been sent yet depends on when it ended
		var queued []store.Key
		err := dir.Store.DumpTable(t.Context(), storebus.Table, "", func(e store.Entry) error {
			queued = append(queued, e.Key)
			return nil
		})
		return errors.Join(err, dir.Store.Update(t.Context(), func(tx *store.Tx) error {
			for _, k := range queued {
				tx.Delete(k)
			}
			return nil
		}))
	})
	t.Run("a directory that is well", func(t *testing.T) {
		before := content(t, s.data)
		r := one[doctor.Report](invoke(t, nil, "doctor", s.data, "--json").exits(0))
		if want := map[string]int64{"CONFIRMED": 3, "COMPENSATED": 1}; !reflect.DeepEqual(r.Orders, want) {
			t.Errorf("orders %v, want %v", r.Orders, want)
		}
		if want := (doctor.Keys{Valid: 1, Revoked: 1}); r.Keys != want {
			t.Errorf("keys %+v, want %+v", r.Keys, want)
		}
		if r.Executions.Count+r.Queued.Count+r.Dead.Count != 0 || len(r.Breakers)+len(r.Unreadable) > 0 {
			t.Errorf("%+v", r)
		}
		if events := int64(3*4 + 5); r.Feed.Changes != events || r.Feed.Since == nil || time.Since(*r.Feed.Since) > time.Hour {
			t.Errorf("the feed is %+v, want the %d events", r.Feed, events)
		}
		if r.Format != 1 || r.StoreBytes == 0 || r.ProviderBytes == 0 || r.FreeBytes == 0 || r.MinFreeBytes != 256<<20 {
			t.Errorf("%+v", r)
		}
		items := map[string]int64{}
		for _, table := range r.Tables {
			items[table.Name] += table.Items
			if table.Bytes <= 0 || table.Provider != strings.HasPrefix(table.Name, "provider-") {
				t.Errorf("%+v", table)
			}
		}
		if items["payments"] != 4 || items["api-keys"] != 2 || items["provider-intents"] == 0 {
			t.Errorf("items by table: %v", items)
		}
		if len(r.Wrong) > 0 && !strings.Contains(r.Wrong[0], "MiB free") {
			t.Errorf("wrong is %q", r.Wrong)
		}
		invoke(t, nil, "doctor", s.data).exits(0).prints("format 1", "below 256 MiB", "CONFIRMED    3", "COMPENSATED  1", "the provider's provider-intents", "1 revoked")
		if after := content(t, s.data); !reflect.DeepEqual(before, after) {
			t.Errorf("it has changed the directory: %d items, then %d", len(before), len(after))
		}
	})
	t.Run("what looks wrong is said, and the exit code is 0 all the same", func(t *testing.T) {
		edit(t, s.data, func(dir *datadir.Dir) error {
			queue := storebus.Open(dir.Store, "notifications", storebus.Config{})
			return dir.Store.Update(t.Context(), func(tx *store.Tx) error {
				head, err := tx.Get(order.HeadKey(declined.OrderID))
				if err != nil {
					return err
				}
				tx.Put(order.HeadKey(declined.OrderID), head.With(store.S("status", "REVIEW"), store.Bool("needs_review", true)))
				tx.Put(store.Key{Table: order.Table, PK: "ord-broken", SK: "head"}, store.Item{store.S("status", "CONFIRMED")})
				for i, sent := range []int64{2_000, 1_000} {
					tx.Put(store.Key{Table: storebus.Table, PK: "notifications#dead", SK: string(rune('a' + i))},
						store.Item{store.S("id", "letter-"+string(rune('a'+i))), store.N("sent", sent)})
				}
				tx.Put(store.Key{Table: flow.Table, PK: "ord-stuck", SK: "head"}, store.Item{store.S("status", "RUNNING"), store.N("started_ms", 3_000)})
				tx.Put(store.Key{Table: "circuit-breakers", PK: "payment-charge", SK: "breaker"}, store.Item{store.S("state", "OPEN"), store.N("open_until", 4_000)})
				return queue.Stage(tx, "letter-c", []byte("{}"))
			})
		})
		invoke(t, nil, "doctor", s.data).exits(0).prints(
			"1 order waits for a person", "2 notifications could not be delivered, the oldest of 1970-01-01T00:00:01Z",
			"The circuit payment-charge is OPEN", "The saga ord-stuck is open since 1970-01-01T00:00:03Z",
			"1 item cannot be read, the first is orders/ord-broken/head", "the oldest letter-b,", "REVIEW     1")
		r := one[doctor.Report](invoke(t, nil, "doctor", s.data, "--json").exits(0))
		if r.Dead.Count != 2 || r.Dead.Oldest != "letter-b" || r.Queued.Count != 1 || r.Queued.Oldest != "letter-c" || r.Executions.Oldest != "ord-stuck" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("what is no data directory is not made one", func(t *testing.T) {
		empty := t.TempDir()
		invoke(t, nil, "doctor", empty).exits(1).hints("no data directory")
		invoke(t, nil, "doctor", "").exits(1).hints("no data directory")
		invoke(t, nil, "doctor", filepath.Join(empty, "no-such")).exits(1).hints("no data directory")
		if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
			t.Errorf("made %v, %v", entries, err)
		}
		invoke(t, nil, "doctor").exits(2).hints("./data", "`cloudflow doctor --help`")
	})
}
