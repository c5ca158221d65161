package pii

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestStoreKeys(t *testing.T) {
	open := func() (*StoreKeys, *memstore.Store) {
		s := memstore.New(memstore.Options{})
		return NewStoreKeys(s), s
	}
	t.Run("what was sealed opens in another process, and until the key is erased", func(t *testing.T) {
		k, s := open()
		sealed, err := Seal(k, "cust-1", []byte("jane@example.com"))
		if err != nil {
			t.Fatal(err)
		}
		another := NewStoreKeys(s)
		if text, err := Open(another, "cust-1", sealed); err != nil || string(text) != "jane@example.com" {
			t.Fatalf("%q, %v", text, err)
		}
		for range 2 {
			if err := k.Erase("cust-1"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(another, "cust-1", sealed); !errors.Is(err, ErrErased) {
			t.Errorf("opened in the other process: %v", err)
		}
		if _, err := Seal(k, "cust-1", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(another, "cust-1", sealed); !errors.Is(err, ErrErased) {
			t.Errorf("opened under the new key: %v", err)
		}
	})
	t.Run("a subject without a key has none until one is asked for, and no other's", func(t *testing.T) {
		k, _ := open()
		if _, err := k.Key("cust-1", false); !errors.Is(err, ErrErased) {
			t.Error(err)
		}
		one, err := k.Key("cust-1", true)
		if err != nil {
			t.Fatal(err)
		}
		two, err := k.Key("cust-2", true)
		if err != nil || bytes.Equal(one, two) || len(one) != KeySize {
			t.Error("one key for two subjects", err)
		}
	})
	t.Run("any text is a subject, and none stands in the table", func(t *testing.T) {
		k, s := open()
		for _, subject := range []string{"", "\x00", strings.Repeat("x", 5000), "jane@example.com"} {
			if _, err := k.Key(subject, true); err != nil {
				t.Errorf("%.20q: %v", subject, err)
			}
		}
		_ = s.Dump(t.Context(), func(e store.Entry) error {
			if strings.Contains(e.Key.String(), "jane") {
				t.Errorf("stored under %s", e.Key)
			}
			return nil
		})
	})
	t.Run("all who make a key at once get the same", func(t *testing.T) {
		k, _ := open()
		keys := make([][]byte, 20)
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				var err error
				if keys[i], err = k.Key("cust-1", true); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, key := range keys {
			if !bytes.Equal(key, keys[0]) {
				t.Fatal("two keys")
			}
		}
	})
	t.Run("a key that was cut short is an error, and no key", func(t *testing.T) {
		k, s := open()
		_ = s.Update(t.Context(), func(tx *store.Tx) error {
			tx.Put(storeKey("cust-1"), store.Item{store.B(attrKey, []byte("short"))})
			return nil
		})
		if _, err := k.Key("cust-1", true); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
}

// Each write of a key's life is lost, or only its reply is: the key that was given out is the one that is stored, and an erasure that returned nil
// has erased.
func TestStoreKeysWithALostWrite(t *testing.T) {
	for _, replyLost := range []bool{false, true} {
		for failures := 1; failures <= keyTries; failures++ {
			mem := memstore.New(memstore.Options{})
			s := &losing{Store: mem, left: failures, replyLost: replyLost}
			k := NewStoreKeys(s)
			key, err := k.Key("cust-1", true)
			if failures == keyTries && !replyLost { // it gives up, and says so
				if !fault.Is(err, fault.Transient) {
					t.Errorf("after %d failures: %v", failures, err)
				}
				continue
			}
			stored, err2 := NewStoreKeys(mem).Key("cust-1", false)
			if err != nil || err2 != nil || !bytes.Equal(key, stored) {
				t.Errorf("%d failures, reply lost %v: %x, %v; stored %x, %v", failures, replyLost, key, err, stored, err2)
			}
			s.left = 1
			if err := k.Erase("cust-1"); err != nil {
				t.Error(err)
			}
			if _, err := NewStoreKeys(mem).Key("cust-1", false); !errors.Is(err, ErrErased) {
				t.Errorf("after the erasure: %v", err)
			}
		}
	}
}

// losing loses the next writes, or their replies.
type losing struct {
	store.Store
	left      int
	replyLost bool
}

func (l *losing) Update(ctx context.Context, fn func(*store.Tx) error) error {
	if l.left == 0 {
		return l.Store.Update(ctx, fn)
	}
	l.left--
	if l.replyLost {
		if err := l.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return fault.New(fault.Transient, "the write was lost, or its reply was")
}

func TestStageKey(t *testing.T) {
	elsewhere, s := NewMemoryKeys(), memstore.New(memstore.Options{})
	sealed, err := Seal(elsewhere, "cust-1", []byte("jane@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := elsewhere.Key("cust-1", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { StageKey(tx, "cust-1", key); return nil }); err != nil {
		t.Fatal(err)
	}
	if text, err := Open(NewStoreKeys(s), "cust-1", sealed); err != nil || string(text) != "jane@example.com" {
		t.Errorf("%q, %v", text, err)
	}
}
