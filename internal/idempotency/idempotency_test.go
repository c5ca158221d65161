package idempotency_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	one   = [32]byte{1}
	two   = [32]byte{2}
)

const day = 24 * time.Hour

func orderKey() idempotency.Key {
	return idempotency.ClientKey("alice", "POST", "/orders", "k-1")
}

// once does what a service does: it answers from the record, or does its work and completes the record in the same commit.
func once(s store.Store, key idempotency.Key, fp [32]byte, body string, now time.Time, keep idempotency.Keep) (string, error) {
	var answer string
	err := s.Update(context.Background(), func(tx *store.Tx) error {
		r, err := idempotency.LookupTx(tx, key, fp, now, keep)
		if err != nil {
			return err
		}
		if r != nil {
			answer = string(r.Result.Body)
			return nil
		}
		answer = body
		tx.Put(store.Key{Table: "work", PK: body}, store.Item{})
		idempotency.Complete(tx, key, fp, idempotency.Result{Status: 202, Body: []byte(body), Ref: "ord-1"}, now, day)
		return nil
	})
	return answer, err
}

func mustOnce(t *testing.T, s store.Store, key idempotency.Key, fp [32]byte, body string, now time.Time, keep idempotency.Keep) string {
	t.Helper()
	answer, err := once(s, key, fp, body, now, keep)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestSameCommitForm(t *testing.T) {
	t.Run("a repeat answers the first call's bytes", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		if got := mustOnce(t, s, orderKey(), one, "second", start.Add(day-time.Second), nil); got != "first" {
			t.Errorf("answer = %q", got)
		}
		r, err := idempotency.Lookup(context.Background(), s, orderKey(), one, start, nil)
		if err != nil || r == nil || r.State != idempotency.Completed || r.Result.Status != 202 || r.Result.Ref != "ord-1" {
			t.Errorf("record = %+v, %v", r, err)
		}
	})
	t.Run("the same key with another request is refused", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		if _, err := once(s, orderKey(), two, "second", start, nil); !fault.Is(err, fault.IdempotencyKeyReused) {
			t.Errorf("err = %v", err)
		}
		if _, err := idempotency.Lookup(context.Background(), s, orderKey(), two, start, nil); !fault.Is(err, fault.IdempotencyKeyReused) {
			t.Errorf("Lookup: err = %v", err)
		}
	})
	t.Run("an unknown key is nil", func(t *testing.T) {
		r, err := idempotency.Lookup(context.Background(), memstore.New(memstore.Options{}), orderKey(), one, start, nil)
		if r != nil || err != nil {
			t.Errorf("record = %+v, %v", r, err)
		}
	})
	t.Run("of many at once one does the work and all answer its bytes", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		answers := make([]string, 50)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				for { // a lost conflict is fault.Transient: try again
					a, err := once(s, orderKey(), one, fmt.Sprintf("by-%d", i), start, nil)
					if err == nil {
						answers[i] = a
						return
					}
				}
			})
		}
		wg.Wait()
		for _, a := range answers {
			if a != answers[0] {
				t.Fatalf("answers %q and %q", answers[0], a)
			}
		}
		if s.Commits() < 1 {
			t.Error("nothing was committed")
		}
	})
	t.Run("completing without a look-up never replaces a record", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			idempotency.Complete(tx, orderKey(), one, idempotency.Result{}, start, day)
			return nil
		})
		if store.RefusalOf(err) == nil {
			t.Errorf("err = %v, want a refusal", err)
		}
	})
}

func TestExpiryIsCheckedOnRead(t *testing.T) {
	ctx := context.Background()
	t.Run("a record whose time is over answers nothing and is replaced", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		if got := mustOnce(t, s, orderKey(), two, "second", start.Add(day+time.Second), nil); got != "second" {
			t.Errorf("answer = %q", got)
		}
	})
	t.Run("it does not end before its order is terminal", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		open := true
		keep := func(r *idempotency.Record) (bool, error) {
			if r.Result.Ref != "ord-1" {
				t.Errorf("keep was asked about %q", r.Result.Ref)
			}
			return open, nil
		}
		if got := mustOnce(t, s, orderKey(), one, "second", start.Add(30*day), keep); got != "first" {
			t.Errorf("answer = %q while the order is open", got)
		}
		open = false
		if got := mustOnce(t, s, orderKey(), one, "second", start.Add(30*day), keep); got != "second" {
			t.Errorf("answer = %q after the order ended", got)
		}
	})
	t.Run("an error of keep is an error, not an expiry", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		away := fault.New(fault.Unavailable, "away")
		_, err := once(s, orderKey(), one, "second", start.Add(2*day), func(*idempotency.Record) (bool, error) { return false, away })
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("Extend moves the end later, never earlier, and makes nothing", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		extend := func(until time.Time) {
			t.Helper()
			if err := s.Update(ctx, func(tx *store.Tx) error {
				return idempotency.Extend(tx, idempotency.ClientKeyOfHash(orderKey().Hash()), until)
			}); err != nil {
				t.Fatal(err)
			}
		}
		extend(start.Add(day))
		if it, _ := s.Get(ctx, orderKey().Item(), store.Strong); it != nil {
			t.Fatal("Extend made a record")
		}
		mustOnce(t, s, orderKey(), one, "first", start, nil)
		extend(start.Add(3 * day))
		extend(start)
		if got := mustOnce(t, s, orderKey(), one, "second", start.Add(2*day), nil); got != "first" {
			t.Errorf("answer = %q", got)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Run("another principal, method, route or key is another record", func(t *testing.T) {
		keys := map[store.Key]string{}
		for _, parts := range [][4]string{
			{"alice", "POST", "/orders", "k"}, {"bob", "POST", "/orders", "k"}, {"alice", "PUT", "/orders", "k"},
			{"alice", "POST", "/orders/", "k"}, {"alice", "POST", "/orders", "k2"}, {"alic", "ePOST", "/orders", "k"},
			{"alice\x00POST", "POST", "/orders", "k"}, {"", "", "", "alicePOST/ordersk"},
		} {
			k := idempotency.ClientKey(parts[0], parts[1], parts[2], parts[3]).Item()
			if other, ok := keys[k]; ok {
				t.Errorf("%q has the key of %s", parts, other)
			}
			keys[k] = fmt.Sprintf("%q", parts)
		}
	})
	// With one namespace for both, a client whose key reads "reserve#ord-1" would be answered with the reservation's record, or
	// make its task believe that it was done.
	t.Run("a client key equal to an internal one", func(t *testing.T) {
		s := memstore.New(memstore.Options{})
		name := "reserve#ord-1"
		lease, _, err := idempotency.Begin(context.Background(), s, idempotency.InternalKey(name), "w", one, time.Minute, start)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustOnce(t, s, idempotency.ClientKey("", "", "", name), two, "mine", start, nil); got != "mine" {
			t.Errorf("answer = %q", got)
		}
		sneaky := "internal#" + name
		if got := mustOnce(t, s, idempotency.ClientKey("", "", "", sneaky), two, "mine too", start, nil); got != "mine too" {
			t.Errorf("answer = %q", got)
		}
		if err := lease.Complete(context.Background(), s, idempotency.Result{Ref: "res-1"}, start, 0); err != nil {
			t.Errorf("the internal record was disturbed: %v", err)
		}
	})
	t.Run("the stored key does not show the client's text", func(t *testing.T) {
		k := idempotency.ClientKey("alice", "POST", "/orders", "secret")
		if len(k.Hash()) != 64 || k.Item().PK != "client#"+k.Hash() {
			t.Errorf("key = %v", k.Item())
		}
		if h := idempotency.InternalKey("x").Hash(); h != "" {
			t.Errorf("an internal key has the hash %q", h)
		}
	})
}
