// Package idempotency keeps the record that makes a repeated call answer as the first one did.
//
// It promises: while a record lives, the same key with the same request answers the same stored bytes; the same key with
// another request is refused with fault.IdempotencyKeyReused. A record has one of two forms:
//
//   - Same commit (LookupTx, Complete): the effect is in our own store, so the record commits with it. Such a record is never
//     IN_PROGRESS: a crash leaves both or neither, and the loser of a race reads the winner's record.
//   - Lease (Begin, then Complete, Fail or Retryable of the Lease): the effect is elsewhere. The record is IN_PROGRESS while
//     someone works, under an owner, an epoch and a lease. A crash blocks the key for the lease and no longer: then another owner takes
//     over with the next epoch, and whatever the old one still writes is refused with ErrStale.
//
// Client keys are scoped by principal, method and route and stored hashed; internal keys are another namespace, so that no
// text that a client chooses can meet one. Expiry is checked on read, since DynamoDB's TTL lags by days; and since that TTL asks
// nobody, whoever must keep a record beyond its time moves its end with Extend.
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table is where the records are kept.
const Table = "idempotency"

// The states of a record. ABSENT is no record, EXPIRED one whose time is over.
const (
	InProgress  = "IN_PROGRESS"  // an owner works under a lease
	Completed   = "COMPLETED"    // done: Result answers every repeat
	FailedFinal = "FAILED_FINAL" // refused for good: Error answers every repeat
	Retryable   = "RETRYABLE"    // known not to have been executed: whoever comes next may try
)

// The attributes of a record.
const (
	attrState       = "state"
	attrFingerprint = "fingerprint"
	attrStatus      = "status"
	attrBody        = "body"
	attrRef         = "ref"
	attrError       = "error"
	attrOwner       = "owner"
	attrEpoch       = "epoch"
	attrLeaseUntil  = "lease_until_ms"
	attrExpiresAt   = store.AttrExpires
)

// recordSK is the sort key of every record: a partition holds one.
const recordSK = "record"

const (
	clientPrefix   = "client#"
	internalPrefix = "internal#"
)

// A Key names a record. The zero Key names none.
type Key struct{ pk string }

// ClientKey is the key of a client's Idempotency-Key. Another principal, method or route is another key. Method, route and key
// hold no NUL byte (a route is ours, a key is visible ASCII), so no two scopes have one text.
func ClientKey(principal, method, route, key string) Key {
	text := make([]byte, 0, len(principal)+len(method)+len(route)+len(key)+3)
	for _, part := range []string{principal, method, route} {
		text = append(append(text, part...), 0)
	}
	sum := sha256.Sum256(append(text, key...))
	return Key{clientPrefix + hex.EncodeToString(sum[:])}
}

// ClientKeyOfHash is the client key whose Hash that is: for those who kept the hash, as ORDER_CREATED does.
func ClientKeyOfHash(hash string) Key { return Key{clientPrefix + hash} }

// InternalKey is the key of CloudFlow's own work, such as a message that may be delivered twice.
func InternalKey(name string) Key { return Key{internalPrefix + name} }

// Hash is the hexadecimal SHA-256 of a client key and its scope, "" for an internal key.
func (k Key) Hash() string {
	if len(k.pk) > len(clientPrefix) && k.pk[:len(clientPrefix)] == clientPrefix {
		return k.pk[len(clientPrefix):]
	}
	return ""
}

// Item is where the record is kept.
func (k Key) Item() store.Key { return store.Key{Table: Table, PK: k.pk, SK: recordSK} }

// A Result is what a repeated call is answered with.
type Result struct {
	Status int    // HTTP status; 0 where there is none
	Body   []byte // the stored bytes
	Ref    string // what the call made, such as an order id
}

// A Record is what is known of a key.
type Record struct {
	State       string
	Fingerprint [32]byte // SHA-256 of the canonical request
	Result      Result   // of COMPLETED
	Error       string   // of FAILED_FINAL
	Owner       string   // of the lease form
	Epoch       int64    // of the lease form; rises with every take-over
	LeaseUntil  time.Time
	ExpiresAt   time.Time // zero: the record has no end
}

// A Keep says whether a record whose time is over still counts, because what it made is not finished: an order that is not
// terminal. It reads through the same Tx where there is one. A nil Keep keeps none.
type Keep func(r *Record) (bool, error)

// Lookup returns the key's live record, or nil. A record of another request is fault.IdempotencyKeyReused.
func Lookup(ctx context.Context, s store.Store, key Key, fingerprint [32]byte, now time.Time, keep Keep) (*Record, error) {
	it, err := s.Get(ctx, key.Item(), store.Strong)
	if err != nil {
		return nil, err
	}
	return live(it, fingerprint, now, keep)
}

// LookupTx is Lookup within a transaction: the answer still holds when it commits.
func LookupTx(tx *store.Tx, key Key, fingerprint [32]byte, now time.Time, keep Keep) (*Record, error) {
	it, err := tx.Get(key.Item())
	if err != nil {
		return nil, err
	}
	return live(it, fingerprint, now, keep)
}

// Complete stages the record of a call whose effect is staged in the same transaction. The caller has found no live record
// with LookupTx in it; without that look-up the record must be absent, or the commit is refused. A ttl of 0 has no end.
func Complete(tx *store.Tx, key Key, fingerprint [32]byte, r Result, now time.Time, ttl time.Duration) {
	it := store.Item{
		store.S(attrState, Completed),
		store.B(attrFingerprint, fingerprint[:]),
		store.N(attrStatus, int64(r.Status)),
		store.B(attrBody, r.Body),
		store.S(attrRef, r.Ref),
	}
	it = withExpiry(it, now, ttl)
	for _, read := range tx.Reads() {
		if read.Key == key.Item() {
			tx.Put(key.Item(), it)
			return
		}
	}
	tx.Put(key.Item(), it, store.Absent())
}

// Extend moves the end of a record to until if it would end before, and does nothing for an absent record or one without an
// end. A sweeper calls it for what is not finished, while the record still lives: Keep alone cannot bring back what the store's TTL took.
func Extend(tx *store.Tx, key Key, until time.Time) error {
	it, err := tx.Get(key.Item())
	if err != nil || it == nil {
		return err
	}
	if _, ends := it.Lookup(attrExpiresAt); ends && it.Int(attrExpiresAt) < until.Unix() {
		tx.Put(key.Item(), it.With(store.N(attrExpiresAt, until.Unix())))
	}
	return nil
}

// live decodes the record, and returns nil for one that is absent or whose time is over.
func live(it store.Item, fingerprint [32]byte, now time.Time, keep Keep) (*Record, error) {
	if it == nil {
		return nil, nil
	}
	r := Decode(it)
	if r.expired(now) {
		if keep == nil {
			return nil, nil
		}
		if kept, err := keep(r); err != nil || !kept {
			return nil, err
		}
	}
	if r.Fingerprint != fingerprint {
		return nil, fault.New(fault.IdempotencyKeyReused, "this idempotency key was used with another request")
	}
	return r, nil
}

// Decode reads a record from its item, which is not nil.
func Decode(it store.Item) *Record {
	r := &Record{
		State: it.Str(attrState),
		Result: Result{
			Status: int(it.Int(attrStatus)),
			Body:   it.Bytes(attrBody),
			Ref:    it.Str(attrRef),
		},
		Error: it.Str(attrError),
		Owner: it.Str(attrOwner),
		Epoch: it.Int(attrEpoch),
	}
	if v, ok := it.Lookup(attrFingerprint); ok {
		copy(r.Fingerprint[:], v.Text())
	}
	if ms := it.Int(attrLeaseUntil); ms != 0 {
		r.LeaseUntil = time.UnixMilli(ms).UTC()
	}
	if s := it.Int(attrExpiresAt); s != 0 {
		r.ExpiresAt = time.Unix(s, 0).UTC()
	}
	return r
}

func (r *Record) expired(now time.Time) bool {
	return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt)
}

// withExpiry rounds the end up to a whole second, so that no record ends before its time.
func withExpiry(it store.Item, now time.Time, ttl time.Duration) store.Item {
	if ttl <= 0 {
		return it
	}
	return append(it, store.N(attrExpiresAt, now.Add(ttl+time.Second-1).Unix()))
}
