package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A world is a store with keys in it, and a clock.
type world struct {
	*apikey.Keys
	t     *testing.T
	store *watchedStore
	now   time.Time
}

// A watchedStore counts the reads of single items, fails them on demand, and tells when one is under way.
type watchedStore struct {
	store.Store
	gets   atomic.Int64
	err    error
	during func() // after the read, before its answer
}

func (s *watchedStore) Get(ctx context.Context, k store.Key, c store.Consistency) (store.Item, error) {
	s.gets.Add(1)
	if s.err != nil {
		return nil, s.err
	}
	it, err := s.Store.Get(ctx, k, c)
	if s.during != nil {
		s.during()
	}
	return it, err
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: &watchedStore{Store: memstore.New(memstore.Options{})}, now: time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)}
	w.Keys = w.process()
	return w
}

// process is another process over the same store.
func (w *world) process() *apikey.Keys {
	return apikey.New(apikey.Config{Store: w.store, Now: func() time.Time { return w.now }})
}

// create makes a key of ada's for reading.
func (w *world) create(change ...func(*apikey.Request)) (apikey.Key, string) {
	w.t.Helper()
	r := apikey.Request{Subject: "ada", Scopes: auth.ScopesOf(auth.ScopeOrdersRead), Label: "the shop's cron"}
	for _, f := range change {
		f(&r)
	}
	key, text, err := w.Create(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return key, text
}

// passes requires that the key is taken.
func (w *world) passes(text string) {
	w.t.Helper()
	who, err := w.Verify(w.t.Context(), text)
	if err != nil || who.Subject != "ada" || who.Scopes != auth.ScopesOf(auth.ScopeOrdersRead) {
		w.t.Fatalf("answered %+v, %v", who, err)
	}
}

// refuses requires that it is not, for the reason, and that its caller is not told which.
func (w *world) refuses(text, reason string) {
	w.t.Helper()
	who, err := w.Verify(w.t.Context(), text)
	var refusal *fault.Error
	if !errors.As(err, &refusal) || refusal.Kind != fault.Unauthorized || who != (auth.Principal{}) {
		w.t.Fatalf("answered %+v, %v", who, err)
	}
	if refusal.Message != "The credentials are not valid." || !strings.Contains(fmt.Sprint(refusal.Err), reason) {
		w.t.Errorf("the caller is told %q, the log %v; want %q", refusal.Message, refusal.Err, reason)
	}
	if _, secret, _ := strings.Cut(strings.TrimPrefix(text, "cfk_"), "_"); secret != "" && strings.Contains(err.Error(), secret) {
		w.t.Errorf("the secret stands in the log: %v", err)
	}
}

func TestAKey(t *testing.T) {
	t.Run("is cfk_, its id and 256 random bits, and its secret is stored nowhere", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		if !regexp.MustCompile(`^cfk_[0-9a-hj-np-tv-z]{8}_[A-Za-z0-9_-]{43}$`).MatchString(text) || !strings.HasPrefix(text, "cfk_"+key.ID+"_") {
			t.Fatalf("it is %s of %+v", text, key)
		}
		secret := text[len("cfk_")+len(key.ID)+1:]
		items, err := w.store.Range(t.Context(), store.Query{Table: apikey.Table, PK: "keys"})
		if err != nil || len(items) != 1 {
			t.Fatalf("%v, %v", items, err)
		}
		if encoded := store.AppendItem(nil, items[0].Item); bytes.Contains(encoded, []byte(secret)) {
			t.Error("the secret is in the store")
		}
		_, other := w.create()
		if other == text {
			t.Error("two keys are one")
		}
		w.passes(text)
		w.passes(other)
	})
	t.Run("is refused with another's secret, a letter changed, cut short or made up", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		_, other := w.create()
		secret := other[len(other)-43:]
		w.refuses("cfk_"+key.ID+"_"+secret, "the secret is not that of key "+key.ID)
		w.refuses(text[:len(text)-1], "not of the form")
		w.refuses(text+"A", "not of the form")
		w.refuses("cfk_"+key.ID+"_", "not of the form")
		w.refuses("cfk_"+key.ID, "not of the form")
		w.refuses("cfk__"+secret, "not of the form")
		w.refuses("cfk_"+strings.ToUpper(key.ID[:7])+"U_"+secret, "not of the form")
		w.refuses("", "not of the form")
		w.refuses("cfk_00000000_"+secret, "there is no key 00000000")
		w.refuses(strings.Repeat("cfk_", 5000), "not of the form")
	})
	t.Run("ends at its time, to the moment, though it was believed before", func(t *testing.T) {
		w := newWorld(t)
		end := w.now.Add(time.Second)
		_, text := w.create(func(r *apikey.Request) { r.ExpiresAt = end })
		w.passes(text)
		w.now = end.Add(-time.Millisecond)
		w.passes(text)
		w.now = end
		w.refuses(text, "ended at")
	})
	t.Run("that is revoked is refused from the next call on", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		w.passes(text) // it is in the cache now
		if _, err := w.Revoke(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		w.refuses(text, "was revoked")
	})
	t.Run("that is revoked while it is being looked up is not kept", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		w.store.during = func() {
			w.store.during = nil
			if _, err := w.Revoke(t.Context(), key.ID); err != nil {
				t.Error(err)
			}
		}
		w.passes(text) // it was read before
		w.refuses(text, "was revoked")
	})
	t.Run("that another process revoked is refused two seconds later at the latest", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		w.passes(text)
		if _, err := w.process().Revoke(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(2 * time.Second)
		w.refuses(text, "was revoked")
	})
	t.Run("is looked up once in two seconds, however often it is shown", func(t *testing.T) {
		w := newWorld(t)
		_, text := w.create()
		for range 1000 {
			w.passes(text)
		}
		if n := w.store.gets.Load(); n != 1 {
			t.Errorf("%d reads", n)
		}
	})
	t.Run("that cannot be looked up is neither let through nor called wrong", func(t *testing.T) {
		w := newWorld(t)
		_, text := w.create()
		w.store.err = errors.New("the disk is gone")
		if who, err := w.Verify(t.Context(), text); !fault.Is(err, fault.Unavailable) || who != (auth.Principal{}) {
			t.Errorf("answered %+v, %v", who, err)
		}
	})
	t.Run("whose row is damaged lets nobody in", func(t *testing.T) {
		w := newWorld(t)
		key, text := w.create()
		at := store.Key{Table: apikey.Table, PK: "keys", SK: key.ID}
		for _, damage := range []store.Attr{store.S("subject", ""), store.S("scopes", "everything"), store.S("scopes", ""), store.B("hash", nil)} {
			err := w.store.Update(t.Context(), func(tx *store.Tx) error {
				it, err := tx.Get(at)
				tx.Put(at, it.With(damage))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.process().Verify(t.Context(), text); !fault.Is(err, fault.Internal) {
				t.Errorf("%v: %v", damage, err)
			}
		}
	})
}

func TestWhatIsNoKey(t *testing.T) {
	w := newWorld(t)
	for field, change := range map[string]func(*apikey.Request){
		"subject":    func(r *apikey.Request) { r.Subject = "" },
		"subject ":   func(r *apikey.Request) { r.Subject = "ada lovelace" },
		"subject  ":  func(r *apikey.Request) { r.Subject = strings.Repeat("a", 65) },
		"scopes":     func(r *apikey.Request) { r.Scopes = 0 },
		"label":      func(r *apikey.Request) { r.Label = strings.Repeat("é", 101) },
		"label ":     func(r *apikey.Request) { r.Label = "a\nb" },
		"expires_at": func(r *apikey.Request) { r.ExpiresAt = w.now },
	} {
		r := apikey.Request{Subject: "ada", Scopes: auth.ScopesOf(auth.ScopeAdmin), Label: strings.Repeat("é", 100)}
		change(&r)
		_, text, err := w.Create(t.Context(), r)
		var refusal *fault.Error
		if !errors.As(err, &refusal) || refusal.Kind != fault.ValidationFailed || refusal.Details["field"] != strings.TrimSpace(field) || text != "" {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestListAndRevoke(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for range 5 {
		key, _ := w.create(func(r *apikey.Request) { r.ExpiresAt = w.now.Add(time.Hour) })
		ids = append(ids, key.ID)
	}
	t.Run("all are listed, page by page", func(t *testing.T) {
		seen, after := map[string]bool{}, ""
		for range 4 {
			page, err := w.List(t.Context(), after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page {
				seen[k.ID], after = true, k.ID
				if k.Subject != "ada" || k.Label != "the shop's cron" || !k.CreatedAt.Equal(w.now) || !k.ExpiresAt.Equal(w.now.Add(time.Hour)) {
					t.Errorf("%+v", k)
				}
			}
		}
		if len(seen) != len(ids) {
			t.Errorf("listed %v of %v", seen, ids)
		}
	})
	t.Run("a second revocation says when the first was", func(t *testing.T) {
		first, err := w.Revoke(t.Context(), ids[0])
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
		if again, err := w.Revoke(t.Context(), ids[0]); err != nil || again != first || again.RevokedAt.IsZero() {
			t.Errorf("%+v and then %+v, %v", first, again, err)
		}
	})
	t.Run("a revoked key stays in the list", func(t *testing.T) {
		all, err := w.List(t.Context(), "", 0)
		if err != nil || len(all) != len(ids) {
			t.Fatalf("%v %v", all, err)
		}
		for _, k := range all {
			if k.RevokedAt.IsZero() == (k.ID == ids[0]) {
				t.Errorf("%+v", k)
			}
		}
	})
	t.Run("an unknown key cannot be revoked", func(t *testing.T) {
		for _, id := range []string{"00000000", "", "../keys", strings.Repeat("0", 2000)} {
			if _, err := w.Revoke(t.Context(), id); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}
