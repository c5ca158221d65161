package idempotency

import (
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// Over reports whether an entry of Table is a client's record that nobody needs any more, but for what Keep says of it: it is complete, and
// its time is over. A record that is in progress is never over: its last owner may still be alive, and the next one goes on from its epoch.
func Over(e store.Entry, now time.Time) bool {
	return strings.HasPrefix(e.Key.PK, clientPrefix) && over(Decode(e.Item), now)
}

func over(r *Record, now time.Time) bool {
	return (r.State == Completed || r.State == FailedFinal) && r.expired(now)
}

// StageForget stages the end of the record at a key of Table, if it is over and keep does not want it, and says whether it has.
func StageForget(tx *store.Tx, key store.Key, now time.Time, keep Keep) (bool, error) {
	it, err := tx.Get(key)
	if err != nil || it == nil {
		return false, err
	}
	r := Decode(it)
	if !over(r, now) {
		return false, nil
	}
	if kept, err := keep(r); err != nil || kept {
		return false, err
	}
	tx.Delete(key)
	return true, nil
}
