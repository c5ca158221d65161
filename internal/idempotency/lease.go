package idempotency

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// ErrStale is the cause of a completion that came too late: another owner, or a later epoch of the same one, has the key.
// Its kind is fault.Transient: who calls again finds the record as it is now.
var ErrStale = errors.New("the lease was taken over")

// A Lease is the right to work on a key. Its holder ends it with Complete, Fail or Retryable; one that dies lets it run out.
type Lease struct {
	Key         Key
	Owner       string
	Epoch       int64
	Fingerprint [32]byte
	Until       time.Time
}

// Begin takes the key for the owner, or returns the record that answers the call (COMPLETED or FAILED_FINAL): exactly one of
// the two is not nil. A key that another owner works on is fault.Transient until its lease is over; the same owner enters again at
// once, because it asks only after it has lost its earlier self. Every taking raises the epoch. Another fingerprint is
// fault.IdempotencyKeyReused.
func Begin(ctx context.Context, s store.Store, key Key, owner string, fingerprint [32]byte, lease time.Duration, now time.Time) (*Lease, *Record, error) {
	var taken *Lease
	var done *Record
	err := s.Update(ctx, func(tx *store.Tx) error {
		taken, done = nil, nil
		it, err := tx.Get(key.Item())
		if err != nil {
			return err
		}
		r, err := live(it, fingerprint, now, nil)
		if err != nil {
			return err
		}
		if r != nil {
			switch r.State {
			case Completed, FailedFinal:
				done = r
				return nil
			case InProgress:
				if r.Owner != owner && now.Before(r.LeaseUntil) {
					return fault.New(fault.Transient, "the same request is in progress")
				}
			}
		}
		// The epoch goes on from whatever stands there, an expired record too: its last owner may still be alive.
		taken = &Lease{Key: key, Owner: owner, Epoch: it.Int(attrEpoch) + 1, Fingerprint: fingerprint, Until: now.Add(lease)}
		tx.Put(key.Item(), taken.item(InProgress).With(store.N(attrLeaseUntil, ceilMilli(taken.Until))))
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return taken, done, nil
}

// Complete records the result in a commit of its own. Repeating it is safe.
func (l *Lease) Complete(ctx context.Context, s store.Store, r Result, now time.Time, ttl time.Duration) error {
	return s.Update(ctx, func(tx *store.Tx) error { return l.StageComplete(tx, r, now, ttl) })
}

// StageComplete stages the result beside the caller's own writes: all of them are dropped with ErrStale if the lease is lost. A
// ttl of 0 has no end.
func (l *Lease) StageComplete(tx *store.Tx, r Result, now time.Time, ttl time.Duration) error {
	it := append(l.item(Completed),
		store.N(attrStatus, int64(r.Status)),
		store.B(attrBody, r.Body),
		store.S(attrRef, r.Ref),
	)
	return l.end(tx, withExpiry(it, now, ttl))
}

// Fail records that the call is refused for good; text answers the repeats. A ttl of 0 has no end.
func (l *Lease) Fail(ctx context.Context, s store.Store, text string, now time.Time, ttl time.Duration) error {
	it := withExpiry(append(l.item(FailedFinal), store.S(attrError, text)), now, ttl)
	return s.Update(ctx, func(tx *store.Tx) error { return l.end(tx, it) })
}

// Retryable gives the key back: the work is known not to have been executed, so whoever comes next may try at once.
func (l *Lease) Retryable(ctx context.Context, s store.Store) error {
	return s.Update(ctx, func(tx *store.Tx) error { return l.end(tx, l.item(Retryable)) })
}

// end writes the record's last state under this lease, if the lease is still held. The same end once more is no error.
func (l *Lease) end(tx *store.Tx, it store.Item) error {
	old, err := tx.Get(l.Key.Item())
	if err != nil {
		return err
	}
	if old.Str(attrOwner) != l.Owner || old.Int(attrEpoch) != l.Epoch {
		return fault.Wrap(fault.Transient, ErrStale, "end epoch %d of %s", l.Epoch, l.Owner)
	}
	if state := old.Str(attrState); state != InProgress {
		if state == it.Str(attrState) && bytes.Equal(old.Bytes(attrBody), it.Bytes(attrBody)) && old.Str(attrError) == it.Str(attrError) {
			return nil
		}
		return fault.New(fault.Internal, "epoch %d of %s has ended as %s, now as %s", l.Epoch, l.Owner, state, it.Str(attrState))
	}
	tx.Put(l.Key.Item(), it)
	return nil
}

func (l *Lease) item(state string) store.Item {
	return store.Item{
		store.S(attrState, state),
		store.B(attrFingerprint, l.Fingerprint[:]),
		store.S(attrOwner, l.Owner),
		store.N(attrEpoch, l.Epoch),
	}
}

// ceilMilli keeps a lease from ending before its time.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
