package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// cacheFor is how long a key is believed without asking the store. In one process the cache is exact, for Revoke empties it; this bounds
	// how long another process can lag behind.
	cacheFor = 2 * time.Second
	// maxCached bounds the cache: far more keys than a shop has backends, and under 1 MiB.
	maxCached = 1024
)

type cached struct {
	key   Key
	hash  [sha256.Size]byte
	until time.Time
}

// Verify says who calls with the key. fault.Unauthorized: it is none of ours, or revoked, or over; the caller hears the same of each, and the
// cause says which it was. Any other error: it could not be looked up.
//
// An id tells nothing, so only the comparison of the secrets takes the same time whatever they are.
func (k *Keys) Verify(ctx context.Context, text string) (auth.Principal, error) {
	id, secret, ok := split(text)
	if !ok {
		return auth.Principal{}, refused("it is not of the form of a key")
	}
	entry, err := k.look(ctx, id)
	if err != nil {
		return auth.Principal{}, err
	}
	hash := sha256.Sum256([]byte(secret))
	now := k.now()
	switch {
	case entry == nil:
		return auth.Principal{}, refused("there is no key %s", id)
	case subtle.ConstantTimeCompare(hash[:], entry.hash[:]) != 1:
		return auth.Principal{}, refused("the secret is not that of key %s", id)
	case !entry.key.RevokedAt.IsZero():
		return auth.Principal{}, refused("the key %s was revoked at %s", id, entry.key.RevokedAt.Format(time.RFC3339))
	case !entry.key.ExpiresAt.IsZero() && !now.Before(entry.key.ExpiresAt):
		return auth.Principal{}, refused("the key %s ended at %s", id, entry.key.ExpiresAt.Format(time.RFC3339))
	}
	return auth.Principal{Subject: entry.key.Subject, Scopes: entry.key.Scopes}, nil
}

func refused(reason string, args ...any) error {
	return auth.Refused(fmt.Errorf("API key: "+reason, args...))
}

// split takes cfk_<id>_<secret> apart. An id has no '_', the secret may.
func split(text string) (id, secret string, ok bool) {
	rest, ours := strings.CutPrefix(text, Prefix)
	id, secret, two := strings.Cut(rest, "_")
	return id, secret, ours && two && validID(id) && len(secret) == base64.RawURLEncoding.EncodedLen(secretBytes)
}

func validID(id string) bool {
	if len(id) != idEncoding.EncodedLen(idBytes) {
		return false
	}
	_, err := idEncoding.DecodeString(id)
	return err == nil
}

// look returns the key's row, nil if there is none. An absent one is not kept: whoever makes ids up would fill the cache.
func (k *Keys) look(ctx context.Context, id string) (*cached, error) {
	k.mu.Lock()
	entry, ok := k.cache[id]
	changes := k.changes
	k.mu.Unlock()
	if ok && k.now().Before(entry.until) {
		return &entry, nil
	}
	it, err := k.store.Get(ctx, itemKey(id), store.Strong)
	if err != nil {
		return nil, unknown(err)
	}
	if it == nil {
		return nil, nil
	}
	key, hash, err := decode(id, it)
	if err != nil {
		return nil, err
	}
	entry = cached{key, hash, k.now().Add(cacheFor)}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == changes { // else it may have been revoked since it was read
		if len(k.cache) >= maxCached {
			clear(k.cache)
		}
		k.cache[id] = entry
	}
	return &entry, nil
}

// unknown is the error of a key that could not be looked up: a store that is away is no reason to say that a key is wrong.
func unknown(err error) error {
	var known *fault.Error
	if errors.As(err, &known) || fault.Retryable(err) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "Credentials cannot be checked now.")
}

// forget has the store asked again for the key, and keeps nothing that was read before.
func (k *Keys) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	delete(k.cache, id)
}
