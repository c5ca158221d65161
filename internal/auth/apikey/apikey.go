// Package apikey keeps the keys of programs: who may call with them, in the name of whom, until when.
//
// It promises: a key is shown once, by Create, and can be read nowhere afterwards, for only a hash of its secret is stored; a key that is
// revoked or over is refused from that moment on in this process, and in every other within cacheFor; a key that cannot be looked up is
// never let through.
//
// It refuses a key without a subject, and without a scope: a shop's backend, which acts for all customers, is a subject with the
// scope admin.
//
// A crash leaves a key that is stored and was never shown, or none; nobody can use the first, and List shows it.
package apikey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Prefix begins every key, so that a leaked one is found by who scans for secrets, and told from a token.
const Prefix = "cfk_"

const (
	idBytes     = 5  // 8 characters: the key's name, and no secret
	secretBytes = 32 // nobody guesses 256 bits, however fast the hash: so it is a plain SHA-256 and no password hash
	maxLabel    = 100
	maxPage     = 1000
)

// Config of Keys. Store is required.
type Config struct {
	Store store.Store
	Now   func() time.Time // nil: time.Now
	Rand  io.Reader        // of ids and secrets; nil: crypto/rand
}

// Keys are the keys in a store. They are safe for concurrent use.
type Keys struct {
	store store.Store
	now   func() time.Time
	rand  io.Reader

	mu      sync.Mutex
	cache   map[string]cached // by id
	changes uint64            // how often a key was created or revoked here: what was read before a change is not kept after it
}

// New returns Keys over a store. It neither reads nor writes it.
func New(c Config) *Keys {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Keys{store: c.Store, now: c.Now, rand: c.Rand, cache: make(map[string]cached)}
}

// A Key is what is known of a key. Its secret is not.
type Key struct {
	ID        string // of cfk_<id>_<secret>
	Subject   string
	Scopes    auth.Scopes
	Label     string // what it is for, for people; "" if nobody said
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: it is not
}

// A Request asks for a key.
type Request struct {
	Subject   string
	Scopes    auth.Scopes
	Label     string
	ExpiresAt time.Time // zero: never
}

// Create stores a new key and returns it with its text, cfk_<id>_<secret>, which can be had at no later time. fault.ValidationFailed with the
// field: no well-formed subject, no scope, a label over 100 characters or with control characters, an end that is past.
func (k *Keys) Create(ctx context.Context, r Request) (Key, string, error) {
	now := k.now().Truncate(time.Millisecond).UTC()
	if err := r.check(now); err != nil {
		return Key{}, "", err
	}
	text := make([]byte, idBytes+secretBytes)
	if _, err := io.ReadFull(k.rand, text); err != nil {
		return Key{}, "", fault.Wrap(fault.Internal, err, "make a key")
	}
	key := Key{
		ID: idEncoding.EncodeToString(text[:idBytes]), Subject: r.Subject, Scopes: r.Scopes, Label: r.Label,
		CreatedAt: now, ExpiresAt: r.ExpiresAt.Truncate(time.Millisecond),
	}
	secret := base64.RawURLEncoding.EncodeToString(text[idBytes:])
	hash := sha256.Sum256([]byte(secret))
	err := k.store.Update(ctx, func(tx *store.Tx) error {
		tx.Put(itemKey(key.ID), key.item(hash), store.Absent())
		return nil
	})
	if store.RefusalOf(err) != nil { // one in 2^40 with each key that there is, or a repeat of ours whose first try was applied
		return Key{}, "", fault.Wrap(fault.Transient, err, "the key's id is taken")
	}
	if err != nil {
		return Key{}, "", fmt.Errorf("store a key: %w", err)
	}
	k.forget(key.ID)
	return key, Prefix + key.ID + "_" + secret, nil
}

// idEncoding has no letter that is mistaken for another when it is read out, and no '_'.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func (r Request) check(now time.Time) error {
	invalid := func(field, rule string, args ...any) error {
		return fault.New(fault.ValidationFailed, field+" "+rule+".", args...).With("field", field)
	}
	switch {
	case !auth.ValidSubject(r.Subject):
		return invalid("subject", "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")
	case r.Scopes == 0:
		return invalid("scopes", "must be at least one of %v", auth.AllScopes)
	case !utf8.ValidString(r.Label) || utf8.RuneCountInString(r.Label) > maxLabel || strings.ContainsFunc(r.Label, unicode.IsControl):
		return invalid("label", "must be at most %d characters, none of them a control character", maxLabel)
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return invalid("expires_at", "must be in the future")
	}
	return nil
}

// List returns at most limit keys (0: 1,000) whose ids come after the given one, in the order of their ids: those that are revoked or over,
// too, since who had access is a question that is asked later.
func (k *Keys) List(ctx context.Context, after string, limit int) ([]Key, error) {
	if limit == 0 {
		limit = maxPage
	}
	entries, err := k.store.Range(ctx, store.Query{Table: Table, PK: partition, After: after, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	keys := make([]Key, len(entries))
	for i, e := range entries {
		if keys[i], _, err = decode(e.Key.SK, e.Item); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Revoke ends a key, for good; of one that is revoked already it returns when that was. fault.NotFound: no such key.
func (k *Keys) Revoke(ctx context.Context, id string) (Key, error) {
	if !validID(id) {
		return Key{}, errNoKey
	}
	var key Key
	now := k.now().Truncate(time.Millisecond).UTC()
	err := k.store.Update(ctx, func(tx *store.Tx) error {
		it, err := tx.Get(itemKey(id))
		switch {
		case err != nil:
			return err
		case it == nil:
			return errNoKey
		}
		if key, _, err = decode(id, it); err != nil || !key.RevokedAt.IsZero() {
			return err
		}
		key.RevokedAt = now
		tx.Put(itemKey(id), it.With(store.N(attrRevoked, now.UnixMilli())))
		return nil
	})
	k.forget(id) // whatever became of it: the store is asked next
	if err != nil && !errors.Is(err, errNoKey) {
		return Key{}, fmt.Errorf("revoke a key: %w", err)
	}
	return key, err
}

var errNoKey = fault.New(fault.NotFound, "There is no such key. GET /admin/keys lists them.")
