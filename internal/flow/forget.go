package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// forgetPage is how many entries of a journal are deleted in a commit: below what one takes.
const forgetPage = 90

// What the head of an execution whose journal is deleted has.
const (
	attrForgotten = "forgotten"
	attrInputHash = "input_hash" // by which the same input is known again
)

// ForgetJournal deletes the journal of an execution that has ended, and its input but for a hash. The head stays: that there was one, when, and how it
// ended; the name is taken as long as it is there. Describe then answers fault.NotFound. A crash in between is finished by a repeat. fault.OrderState:
// it has not ended. An execution that does not exist is no error.
func (e *Engine) ForgetJournal(ctx context.Context, name string) error {
	_, err := e.forgetJournal(ctx, name, func(Stored) bool { return true })
	return err
}

// forgetJournal is ForgetJournal if that may be, and reports whether it was the first to do so. A short journal goes in one commit.
func (e *Engine) forgetJournal(ctx context.Context, name string, may func(Stored) bool) (first bool, err error) {
	batch := store.Query{Table: Table, PK: name, Prefix: entryPrefix, Limit: forgetPage}
	page, err := e.o.Store.Range(ctx, batch)
	if err != nil {
		return false, err
	}
	goesOn := false
	err = e.o.Store.Update(ctx, func(tx *store.Tx) error {
		head, err := tx.Get(headKey(name))
		if goesOn, first = head != nil && may(storedOf(name, head)), false; err != nil || !goesOn || head.Bool(attrForgotten) {
			return err
		}
		if head.Str("status") == string(running) {
			return fault.New(fault.OrderState, "execution %s has not ended", name)
		}
		input, err := inputOf(head)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "flow: the head of %s", name)
		}
		first = true
		// First of all: whoever looks meanwhile must not take the rest of a journal for all of it.
		tx.Put(headKey(name), head.Without("input").With(store.Bool(attrForgotten, true), store.S(attrInputHash, hashOf(input))))
		deleteAll(tx, page)
		return nil
	})
	if err != nil || !goesOn {
		return false, err
	}
	if err := e.forgetRows(ctx, name); err != nil {
		return first, err
	}
	for {
		page, err := e.o.Store.Range(ctx, batch)
		if err != nil || len(page) == 0 {
			return first, err
		}
		err = e.o.Store.Update(ctx, func(tx *store.Tx) error {
			tx.Check(headKey(name), store.Equal(store.Bool(attrForgotten, true))) // else the name may be another execution's by now
			deleteAll(tx, page)
			return nil
		})
		if refusal := store.RefusalOf(err); refusal != nil && refusal.Key == headKey(name) {
			return first, nil // somebody else has deleted all of it
		}
		if err != nil || len(page) < forgetPage {
			return first, err
		}
	}
}

func deleteAll(tx *store.Tx, page []store.Entry) {
	for _, en := range page {
		tx.Delete(en.Key)
	}
}

// hashOf is of an asl value: of the same value, however its text was written.
func hashOf(v any) string {
	sum := sha256.Sum256(asl.AppendJSON(nil, v))
	return hex.EncodeToString(sum[:])
}

// StageForget stages the end of an execution whose journal was forgotten: its head. Only its owner knows that the name will not be
// used again.
func StageForget(tx *store.Tx, name string) { tx.Delete(headKey(name)) }
