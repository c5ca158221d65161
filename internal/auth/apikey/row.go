package apikey

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table is where keys are kept: one partition, a key's id as its sort key. There are some dozens, and each process asks for one
// at most once in cacheFor.
const Table = "api-keys"

const partition = "keys"

// The attributes of a key. Its end is not the store's expires_at: an item of that name may vanish, and who had access must stay to be seen.
const (
	attrHash    = "hash" // SHA-256 of the secret
	attrSubject = "subject"
	attrScopes  = "scopes" // their names, with spaces between them
	attrLabel   = "label"
	attrCreated = "created_ms"
	attrExpires = "ends_ms"
	attrRevoked = "revoked_ms"
)

func itemKey(id string) store.Key { return store.Key{Table: Table, PK: partition, SK: id} }

func (k Key) item(hash [sha256.Size]byte) store.Item {
	names := make([]string, 0, len(auth.AllScopes))
	for _, s := range k.Scopes.List() {
		names = append(names, string(s))
	}
	it := store.Item{
		store.B(attrHash, hash[:]), store.S(attrSubject, k.Subject), store.S(attrScopes, strings.Join(names, " ")),
		store.N(attrCreated, k.CreatedAt.UnixMilli()),
	}
	if k.Label != "" {
		it = append(it, store.S(attrLabel, k.Label))
	}
	if !k.ExpiresAt.IsZero() {
		it = append(it, store.N(attrExpires, k.ExpiresAt.UnixMilli()))
	}
	return it
}

// decode reads a key's item; what is not whole is fault.Internal, and lets nobody in.
func decode(id string, it store.Item) (Key, [sha256.Size]byte, error) {
	scopes, err := auth.ParseScopes(it.Str(attrScopes))
	hash := it.Bytes(attrHash)
	k := Key{
		ID: id, Subject: it.Str(attrSubject), Scopes: scopes, Label: it.Str(attrLabel),
		CreatedAt: moment(it, attrCreated), ExpiresAt: moment(it, attrExpires), RevokedAt: moment(it, attrRevoked),
	}
	if err != nil || scopes == 0 || len(hash) != sha256.Size || !auth.ValidSubject(k.Subject) {
		return Key{}, [sha256.Size]byte{}, fault.New(fault.Internal, "the row of the API key %s is damaged", id)
	}
	return k, [sha256.Size]byte(hash), nil
}

func moment(it store.Item, name string) time.Time {
	if ms := it.Int(name); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// Decode reads an entry of Table, without the hash: for who counts keys in a directory in which nothing runs.
func Decode(e store.Entry) (Key, error) {
	k, _, err := decode(e.Key.SK, e.Item)
	return k, err
}
