package pii

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// KeyTable is where StoreKeys keeps a key per subject: partition SHA-256 of the subject in hexadecimal, no sort key, attribute key.
const KeyTable = "contact-keys"

const (
	attrKey = "key"

	// keyTime bounds a call, since the port has no context. keyTries is how often one is made whose outcome is not known.
	keyTime  = 10 * time.Second
	keyTries = 3
)

// StoreKeys is Keys in a store, for where many processes share them: on AWS a table of DynamoDB. Every read is a strong one and nothing is
// kept in memory, so that once Erase has returned no process opens anything any more.
//
// How long an erased key can be found in the store's own copies is the store's matter: on DynamoDB the table has no point-in-time recovery,
// no stream and no backups.
type StoreKeys struct{ store store.Store }

var _ Keys = (*StoreKeys)(nil)

// NewStoreKeys returns Keys in the store's KeyTable.
func NewStoreKeys(s store.Store) *StoreKeys { return &StoreKeys{s} }

func storeKey(subject string) store.Key {
	sum := sha256.Sum256([]byte(subject))
	return store.Key{Table: KeyTable, PK: hex.EncodeToString(sum[:])}
}

// Key implements Keys. Of two that make a subject's key at once both get the one that was stored.
func (s *StoreKeys) Key(subject string, create bool) (key []byte, err error) {
	at, fresh := storeKey(subject), newKey()
	err = repeat(func(ctx context.Context) error {
		it, err := s.store.Get(ctx, at, store.Strong)
		if err != nil || it != nil || !create {
			key = it.Bytes(attrKey)
			return err
		}
		return s.store.Update(ctx, func(tx *store.Tx) error {
			it, err := tx.Get(at)
			if err != nil || it != nil {
				key = it.Bytes(attrKey)
				return err
			}
			tx.Put(at, store.Item{store.B(attrKey, fresh)})
			key = fresh
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("pii: the subject's key: %w", err)
	case key == nil:
		return nil, ErrErased
	case len(key) != KeySize:
		return nil, fault.New(fault.Internal, "pii: a stored key of %d bytes", len(key))
	}
	return key, nil
}

// StageKey stages a subject's key as StoreKeys keeps it: for keys that come from elsewhere.
func StageKey(tx *store.Tx, subject string, key []byte) {
	tx.Put(storeKey(subject), store.Item{store.B(attrKey, key)})
}

// Erase implements Keys.
func (s *StoreKeys) Erase(subject string) error {
	err := repeat(func(ctx context.Context) error {
		return s.store.Update(ctx, func(tx *store.Tx) error {
			tx.Delete(storeKey(subject))
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("pii: erase the subject's key: %w", err)
	}
	return nil
}

// repeat calls do until it succeeds or fails for good, three times at most. It may be repeated: what it did is found.
func repeat(do func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	for range keyTries {
		if err = do(ctx); !fault.Is(err, fault.Transient) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			break
		}
	}
	return err
}
